//! Links, sessions and connections that are over: whoever waits on one is told why, and it goes with its last handle.

use std::time::Duration;

use super::State;
use crate::event::ConnectionEvent;
use crate::protocol::{LinkId, SessionId, Take};
use crate::{ConnectionError, LinkError, Node};

impl State {
    /// Ends a link: whoever waits for anything on it is told why.
    pub(crate) fn end_link(&mut self, id: LinkId, error: LinkError) {
        let keeps = self.key_of(id).is_some_and(|key| self.keeps(key));
        let node = if keeps { self.own_node(id) } else { None };
        // What is kept and was not taken comes again.
        let (suspended, left) = self.engine.release(id, if keeps { Take::Settled } else { Take::All });
        let Some(key) = self.key_of(id) else { return };
        if let Some(known) = self.by_engine.get_mut(id.index()) {
            *known = None;
        }
        if let Some(suspended) = suspended {
            let lost = if keeps { self.suspend(key, node, suspended).err() } else { Some(suspended) };
            if let Some(suspended) = lost {
                self.keep_doubts(key, suspended, &error);
            }
        }
        let Self { links, wakes, waiters, .. } = self;
        let entry = &mut links[key];
        entry.waiters.wake(wakes);
        waiters.wake(wakes);
        if entry.suspended {
            entry.sends.part(&error, wakes);
        } else {
            entry.sends.fail(&error, wakes);
        }
        let kept = entry.kept.take();
        entry.left.extend(left);
        entry.over.get_or_insert(error);
        let serial = entry.serial;
        drop(kept);
        self.moved.forget_link(serial);
        self.tidy_link(key);
    }

    /// The node at our end of a link, as we have told it.
    fn own_node(&self, id: LinkId) -> Option<Node> {
        let (source, target) = self.engine.own_nodes(id);
        if self.engine.receives(id) { target } else { source }
    }

    /// Forgets a link that is over once its handle is gone and every outcome has been taken: until then its key is not
    /// used again.
    pub(crate) fn tidy_link(&mut self, key: usize) {
        let Some(entry) = self.links.get_mut(key).filter(|entry| entry.abandoned && entry.over.is_some()) else {
            return;
        };
        entry.left.clear();
        entry.waiters.wake(&mut self.wakes);
        entry.sends.sync_waiters.wake(&mut self.wakes);
        if entry.sends.slots.is_empty() {
            self.links.remove(key);
        }
    }

    pub(crate) fn end_session(&mut self, id: SessionId, error: &LinkError) {
        let ended = self.sessions.iter_mut().find(|(_, entry)| entry.id == id);
        let Some((key, entry)) = ended else { return };
        entry.over.get_or_insert_with(|| error.clone());
        entry.waiters.wake(&mut self.wakes);
        for link in self.links_of(key) {
            // A sender that had left before was the first to go.
            let why = self.left_for(link).unwrap_or_else(|| error.clone());
            self.end_link(link, why);
        }
        let serial = self.sessions[key].serial;
        if self.sessions[key].handles == 0 {
            self.sessions.remove(key);
        }
        self.parted_from(Some(serial));
    }

    /// Ends everything.
    pub(crate) fn end_connection(&mut self, error: ConnectionError) {
        // What is known of links that are kept is known before they are.
        if self.keeper.is_some() {
            self.take_news();
        }
        if self.over.is_some() {
            return;
        }
        let link_error = LinkError::Connection(error.clone());
        self.over = Some(error.clone());
        (self.down, self.detached) = (None, None);
        self.waiters.wake(&mut self.wakes);
        let sessions: Vec<SessionId> = self.sessions.iter().map(|(_, entry)| entry.id).collect();
        for session in sessions {
            self.end_session(session, &link_error);
        }
        self.parted_from(None);
        self.tell_of_doubts();
        self.tell(ConnectionEvent::Over(error));
    }

    /// Notes that the handle of a link is gone, and closes the link.
    pub(crate) fn abandon_link(&mut self, key: usize, timeout: Duration) {
        let Some(entry) = self.links.get_mut(key) else { return };
        entry.abandoned = true;
        let (id, over) = (entry.id, entry.over.is_some());
        if over {
            self.tidy_link(key);
        } else {
            self.detach(id, timeout);
        }
    }
}
