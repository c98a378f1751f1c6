//! A link of either kind.

use postroad_client::types::{Fields, PeerError};
use postroad_client::{EndpointStates, Guarantee, Node};

use crate::closing::Closing;
use crate::ends::Nodes;
use crate::home::Home;
use crate::reactor::HandlerSlot;
use crate::{Connection, Receiver, Sender, Session};

/// A link of either kind. Clones are handles of the same link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// One that sends.
    Sender(Sender),
    /// One that receives.
    Receiver(Receiver),
}

/// Calls the same method of either kind.
macro_rules! either {
    ($link:ident, $end:ident => $call:expr) => {
        match $link {
            Link::Sender($end) => $call,
            Link::Receiver($end) => $call,
        }
    };
}

impl Link {
    /// Whether our end sends.
    #[must_use]
    pub fn is_sender(&self) -> bool {
        matches!(self, Self::Sender(_))
    }

    /// Whether our end receives.
    #[must_use]
    pub fn is_receiver(&self) -> bool {
        !self.is_sender()
    }

    /// The sender, where it is one.
    #[must_use]
    pub fn as_sender(&self) -> Option<&Sender> {
        match self {
            Self::Sender(sender) => Some(sender),
            Self::Receiver(_) => None,
        }
    }

    /// The receiver, where it is one.
    #[must_use]
    pub fn as_receiver(&self) -> Option<&Receiver> {
        match self {
            Self::Receiver(receiver) => Some(receiver),
            Self::Sender(_) => None,
        }
    }

    /// The name of the link.
    #[must_use]
    pub fn name(&self) -> &str {
        either!(self, end => end.name())
    }

    /// The session of the link.
    #[must_use]
    pub fn session(&self) -> &Session {
        either!(self, end => end.session())
    }

    /// The connection of the link.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        self.session().connection()
    }

    /// Messages that may still be sent: by us where our end sends, by the peer where it receives.
    #[must_use]
    pub fn credit(&self) -> u32 {
        either!(self, end => end.credit())
    }

    /// Messages that wait here: those that have no outcome at a sender, those that were not handed out at a receiver.
    #[must_use]
    pub fn queued(&self) -> usize {
        either!(self, end => end.queued())
    }

    /// Where messages come from, as our end says.
    #[must_use]
    pub fn source(&self) -> Option<Node> {
        either!(self, end => end.source())
    }

    /// Where messages go, as our end says.
    #[must_use]
    pub fn target(&self) -> Option<Node> {
        either!(self, end => end.target())
    }

    /// Where messages come from, as the peer says, once it has attached the link.
    #[must_use]
    pub fn remote_source(&self) -> Option<Node> {
        either!(self, end => end.remote_source())
    }

    /// Where messages go, as the peer says, once it has attached the link.
    #[must_use]
    pub fn remote_target(&self) -> Option<Node> {
        either!(self, end => end.remote_target())
    }

    /// The properties of the link that the peer told as it attached it.
    #[must_use]
    pub fn remote_properties(&self) -> Option<Fields> {
        either!(self, end => end.remote_properties())
    }

    /// How often a message may arrive, as it was asked for by whichever end attaches the link.
    #[must_use]
    pub fn guarantee(&self) -> Guarantee {
        either!(self, end => end.guarantee())
    }

    /// How far both ends have come.
    #[must_use]
    pub fn state(&self) -> EndpointStates {
        either!(self, end => end.state())
    }

    /// As [`Sender::close`] or [`Receiver::close`].
    pub fn close(&self) {
        either!(self, end => end.close());
    }

    /// As [`Sender::detach`] or [`Receiver::detach`].
    pub fn detach(&self) {
        either!(self, end => end.detach());
    }

    /// Closes the link with an error.
    #[doc(alias = "condition")]
    pub fn close_with(&self, error: PeerError) {
        either!(self, end => end.close_with(error));
    }

    /// Remembers the nodes at both ends, for when the link is over.
    pub(crate) fn remember_nodes(&self) {
        let (source, target) = (self.source(), self.target());
        let (remote_source, remote_target) = (self.remote_source(), self.remote_target());
        let ends = either!(self, end => &end.inner.ends);
        ends.remember(Nodes { source, target, remote_source, remote_target });
    }

    pub(crate) fn handler(&self) -> &HandlerSlot {
        either!(self, end => &end.inner.handler)
    }

    pub(crate) fn home(&self) -> &Home {
        either!(self, end => &end.inner.home)
    }

    pub(crate) fn closing(&self) -> &Closing {
        either!(self, end => &end.inner.closing)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing().has_begun()
    }
}

impl From<Sender> for Link {
    fn from(sender: Sender) -> Self {
        Self::Sender(sender)
    }
}

impl From<Receiver> for Link {
    fn from(receiver: Receiver) -> Self {
        Self::Receiver(receiver)
    }
}
