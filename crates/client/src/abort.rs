//! Ending sessions and links without waiting: with an error of ours (part 2, 2.5.5 and 2.6.5), or for now (2.6.4).

use crate::link::Link;
use crate::types::PeerError;
use crate::{Receiver, Sender, Session, SharedReceiver};

impl Session {
    /// Ends the session with an error, and every link on it, and does not wait for the answer. What has not left yet is not
    /// waited for either.
    #[doc(alias = "condition")]
    pub fn abort(&self, error: PeerError) {
        let (id, timeout) = (self.id(), self.inner.connection.inner.close_timeout);
        self.shared().with(|state| {
            if state.sessions[self.inner.key].over.is_none() {
                state.abort_session(id, error, timeout);
            }
        });
    }
}

impl Sender {
    /// Closes the link with an error, and does not wait for the answer. The rest of a message that has not left yet does not
    /// leave any more.
    #[doc(alias = "condition")]
    pub fn abort(&self, error: PeerError) {
        self.link.abort(error);
    }
}

impl Sender {
    /// Detaches the link, and waits for nothing: what the peer keeps of it stays, for a link of the same name. What was handed
    /// over goes out first. To a peer that keeps nothing it is as good as closed.
    pub fn detach(&self) {
        self.link.leave();
    }
}

impl Receiver {
    /// Detaches the link, and waits for nothing: what the peer keeps of it stays, such as a durable subscription, for a link of
    /// the same name.
    pub fn detach(&self) {
        self.link.leave();
    }

    /// Closes the link with an error, and does not wait for the answer.
    #[doc(alias = "condition")]
    pub fn abort(&self, error: PeerError) {
        self.link.abort(error);
    }
}

impl SharedReceiver {
    /// As [`Receiver::detach`].
    pub fn detach(&self) {
        self.link().leave();
    }

    /// As [`Receiver::abort`].
    pub fn abort(&self, error: PeerError) {
        self.link().abort(error);
    }
}

impl Link {
    fn leave(&self) {
        self.with(|state| state.links[self.key].stays = true);
        self.shut();
    }

    fn abort(&self, error: PeerError) {
        self.with(|state| {
            let entry = &state.links[self.key];
            if entry.over.is_none() {
                state.abort_link(entry.id, error);
            }
        });
    }
}
