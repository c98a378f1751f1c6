//! What a peer opens, before our end has answered.

use std::fmt;

use postroad_client as client;
use postroad_client::types::{Fields, PeerError};
use postroad_client::{Guarantee, Node};

use crate::Handler;

/// What a peer asks for as it attaches a link.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) source: Option<Node>,
    pub(crate) target: Option<Node>,
    pub(crate) properties: Option<Fields>,
    pub(crate) guarantee: Guarantee,
}

/// A connection, a session or a link that the peer opens, and how our end answers it: as it was asked, unless the handler of
/// [`on_connection_opening`](crate::Handler::on_connection_opening), [`on_session_opening`](crate::Handler::on_session_opening)
/// or [`on_link_opening`](crate::Handler::on_link_opening) says something else.
#[derive(Default)]
pub struct Opening {
    pub(crate) refused: Option<PeerError>,
    pub(crate) handler: Option<Box<dyn Handler>>,
    pub(crate) source: Option<Node>,
    pub(crate) target: Option<Node>,
    pub(crate) terms: client::LinkOptions,
    pub(crate) in_parts: bool,
    pub(crate) known: Option<Node>,
}

impl Opening {
    /// The node at our end of a link that was kept while it had no connection
    /// ([`KeepLinks`](crate::client::KeepLinks)) and that the peer attaches again. It goes on where it was: deliveries that our
    /// end had sent and that have no outcome get theirs on the new link, by their tags.
    #[must_use]
    pub fn known(&self) -> Option<&Node> {
        self.known.as_ref()
    }

    /// Refuses it: the peer is told why.
    #[doc(alias = "condition")]
    pub fn refuse(&mut self, error: PeerError) {
        self.refused = Some(error);
    }

    /// Who hears of the connection or of the link first, from its `opened` on.
    pub fn set_handler(&mut self, handler: impl Handler + 'static) {
        self.handler = Some(Box::new(handler));
    }

    /// Where messages of the link come from, as our end says: for a link that our end sends on, the node at our end. Its
    /// address is that which the peer hears where it asked for a dynamic node, and its filters are those that are in place.
    pub fn set_source(&mut self, source: impl Into<Node>) {
        self.source = Some(source.into());
    }

    /// Where messages of the link go, as our end says: for a link that our end receives on, the node at our end.
    pub fn set_target(&mut self, target: impl Into<Node>) {
        self.target = Some(target.into());
    }

    /// Has the link take messages in parts: as [`LinkOptions::in_parts`](crate::LinkOptions::in_parts).
    pub fn set_in_parts(&mut self) {
        self.in_parts = true;
    }

    /// The other terms of the link, such as the largest message that is taken.
    pub fn terms(&mut self) -> &mut client::LinkOptions {
        &mut self.terms
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("refused", &self.refused)
            .field("handler", &self.handler.is_some())
            .field("source", &self.source)
            .field("target", &self.target)
            .field("terms", &self.terms)
            .finish()
    }
}
