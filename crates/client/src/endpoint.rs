//! How far the two ends of a connection or link have come.

use crate::link::Link;
use crate::types::Fields;
use crate::{Connection, IncomingLink, Node, Receiver, Sender, SharedReceiver};

/// How far one end of a connection or link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointState {
    /// It has said nothing yet.
    #[doc(alias = "UNINIT")]
    Uninit,
    /// It has opened or attached.
    #[doc(alias = "ACTIVE")]
    Active,
    /// It has closed or detached, or nothing can come of it any more.
    #[doc(alias = "CLOSED")]
    Closed,
}

/// How far both ends of a connection or link have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointStates {
    /// Our end.
    #[doc(alias = "LOCAL_UNINIT")]
    #[doc(alias = "LOCAL_ACTIVE")]
    #[doc(alias = "LOCAL_CLOSED")]
    pub local: EndpointState,
    /// The peer's end.
    #[doc(alias = "REMOTE_UNINIT")]
    #[doc(alias = "REMOTE_ACTIVE")]
    #[doc(alias = "REMOTE_CLOSED")]
    pub remote: EndpointState,
}

impl EndpointState {
    fn of(begun: bool, ended: bool) -> Self {
        match (begun, ended) {
            (_, true) => Self::Closed,
            (true, false) => Self::Active,
            (false, false) => Self::Uninit,
        }
    }
}

impl Connection {
    /// How far the connection has come. Both ends are closed when it is over, for whatever reason:
    /// [`error`](Self::error) tells it.
    #[must_use]
    pub fn state(&self) -> EndpointStates {
        self.inner.shared.with(|state| {
            let over = state.over.is_some();
            EndpointStates {
                // A client opens at once; a server has opened before anybody has a handle of the connection.
                local: EndpointState::of(true, over || state.engine.is_closing()),
                remote: EndpointState::of(state.opened, over),
            }
        })
    }

    /// The id of our container, as our open tells it.
    #[doc(alias = "container")]
    #[must_use]
    pub fn container_id(&self) -> String {
        self.inner.shared.with(|state| state.engine.own().container)
    }

    /// The host that our open asks the peer for; none at the end that is connected to.
    #[must_use]
    pub fn hostname(&self) -> Option<String> {
        self.inner.shared.with(|state| state.engine.own().host)
    }

    /// The host that the peer's open asks us for.
    #[must_use]
    pub fn remote_hostname(&self) -> Option<String> {
        self.inner.shared.with(|state| state.engine.peer()?.host)
    }

    /// The extensions that the peer would use.
    #[must_use]
    pub fn remote_desired_capabilities(&self) -> Vec<String> {
        self.inner.shared.with(|state| state.engine.peer().unwrap_or_default().desires)
    }
}

impl IncomingLink {
    /// How far the link has come: the peer has attached it, and our end has said nothing.
    #[must_use]
    pub fn state(&self) -> EndpointStates {
        EndpointStates { local: EndpointState::Uninit, remote: EndpointState::Active }
    }

    /// Whether the peer receives on it, so that our end sends.
    #[must_use]
    pub fn is_sender(&self) -> bool {
        !self.is_receiver()
    }
}

impl Link {
    pub(crate) fn state(&self) -> EndpointStates {
        self.with(|state| {
            let entry = &state.links[self.key];
            let over = entry.over.is_some();
            EndpointStates {
                local: EndpointState::of(true, over || !state.engine.is_attached(entry.id)),
                remote: EndpointState::of(entry.attached, over),
            }
        })
    }

    /// What both ends say that messages come from and go to: ours, then the peer's. Nothing once the link is over.
    fn nodes(&self) -> Nodes {
        self.with(|state| {
            let id = state.links[self.key].id;
            let (source, target) = state.engine.own_nodes(id);
            let (remote_source, remote_target) =
                state.engine.remote(id).map_or((None, None), |remote| (remote.source, remote.target));
            Nodes { source, target, remote_source, remote_target }
        })
    }
}

struct Nodes {
    source: Option<Node>,
    target: Option<Node>,
    remote_source: Option<Node>,
    remote_target: Option<Node>,
}

impl Sender {
    /// How far the link has come. Both ends are closed when it is over: [`error`](Self::error) tells why.
    #[must_use]
    pub fn state(&self) -> EndpointStates {
        self.link.state()
    }

    /// Where messages come from, as our end attached the link; nothing once the link is over.
    #[must_use]
    pub fn source(&self) -> Option<Node> {
        self.link.nodes().source
    }

    /// Where messages go, as our end attached the link; nothing once the link is over.
    #[must_use]
    pub fn target(&self) -> Option<Node> {
        self.link.nodes().target
    }

    /// Where messages come from, as the peer attached the link; nothing once the link is over.
    #[must_use]
    pub fn remote_source(&self) -> Option<Node> {
        self.link.nodes().remote_source
    }

    /// Where messages go, as the peer attached the link; nothing once the link is over.
    #[must_use]
    pub fn remote_target(&self) -> Option<Node> {
        self.link.nodes().remote_target
    }

    /// The extensions that the peer offers on the link; none once it is over.
    #[must_use]
    pub fn remote_offered_capabilities(&self) -> Vec<String> {
        self.link.remote_capabilities().0
    }

    /// The extensions that the peer would use on the link; none once it is over.
    #[must_use]
    pub fn remote_desired_capabilities(&self) -> Vec<String> {
        self.link.remote_capabilities().1
    }
}

impl Receiver {
    /// How far the link has come. Both ends are closed when it is over: [`error`](Self::error) tells why.
    #[must_use]
    pub fn state(&self) -> EndpointStates {
        self.link.state()
    }

    /// Where messages come from, as our end attached the link; nothing once the link is over.
    #[must_use]
    pub fn source(&self) -> Option<Node> {
        self.link.nodes().source
    }

    /// Where messages go, as our end attached the link; nothing once the link is over.
    #[must_use]
    pub fn target(&self) -> Option<Node> {
        self.link.nodes().target
    }

    /// Where messages come from, as the peer attached the link; nothing once the link is over.
    #[must_use]
    pub fn remote_source(&self) -> Option<Node> {
        self.link.nodes().remote_source
    }

    /// Where messages go, as the peer attached the link; nothing once the link is over.
    #[must_use]
    pub fn remote_target(&self) -> Option<Node> {
        self.link.nodes().remote_target
    }

    /// The extensions that the peer offers on the link; none once it is over.
    #[must_use]
    pub fn remote_offered_capabilities(&self) -> Vec<String> {
        self.link.remote_capabilities().0
    }

    /// The extensions that the peer would use on the link; none once it is over.
    #[must_use]
    pub fn remote_desired_capabilities(&self) -> Vec<String> {
        self.link.remote_capabilities().1
    }
}

impl SharedReceiver {
    /// As [`Receiver::state`].
    #[must_use]
    pub fn state(&self) -> EndpointStates {
        self.link().state()
    }

    /// As [`Receiver::source`].
    #[must_use]
    pub fn source(&self) -> Option<Node> {
        self.link().nodes().source
    }

    /// As [`Receiver::target`].
    #[must_use]
    pub fn target(&self) -> Option<Node> {
        self.link().nodes().target
    }

    /// As [`Receiver::remote_source`].
    #[must_use]
    pub fn remote_source(&self) -> Option<Node> {
        self.link().nodes().remote_source
    }

    /// As [`Receiver::remote_target`].
    #[must_use]
    pub fn remote_target(&self) -> Option<Node> {
        self.link().nodes().remote_target
    }

    /// As [`Receiver::remote_properties`].
    #[must_use]
    pub fn remote_properties(&self) -> Option<Fields> {
        self.link().remote_properties()
    }

    /// The extensions that the peer offers on the link; none once it is over.
    #[must_use]
    pub fn remote_offered_capabilities(&self) -> Vec<String> {
        self.link().remote_capabilities().0
    }

    /// The extensions that the peer would use on the link; none once it is over.
    #[must_use]
    pub fn remote_desired_capabilities(&self) -> Vec<String> {
        self.link().remote_capabilities().1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use postroad_amqp::v1_0::{self as amqp, Config};

    use super::*;
    use crate::connection::Inner;
    use crate::protocol::{How, Role, To};
    use crate::state::Shared;
    use crate::v1_0::Engine;
    use crate::{LinkOptions, Session};

    const ACTIVE: EndpointState = EndpointState::Active;

    #[test]
    fn an_end_has_said_nothing_before_it_has_answered() {
        let engine = amqp::Connection::client(Config::new("client"), None, Instant::now());
        let shared = Shared::new(Engine::new(engine));
        let connection = Connection { inner: Arc::new(Inner { shared, close_timeout: Duration::ZERO, origin: None }) };
        let unanswered = EndpointStates { local: ACTIVE, remote: EndpointState::Uninit };
        assert_eq!(connection.state(), unanswered);
        // Nothing of it waits for the peer's open (2.4.2).
        let (session, link) = connection.inner.shared.with(|state| {
            let id = state.engine.begin().unwrap();
            let session = state.add_session(id, true);
            let (node, options) = (Node::at("a"), LinkOptions::default());
            let to = To::Node { role: Role::Sender, node: &node, options: &options };
            let link = state.engine.attach(id, "link", to, How::Anew).unwrap();
            (session, state.add_link(link, session))
        });
        let session = Session::new(connection.clone(), session);
        let link = Link { session, key: link, name: "link".to_owned(), timeout: Duration::ZERO };
        assert_eq!(link.state(), unanswered);
        assert_eq!((link.nodes().target.unwrap().address.as_deref(), link.nodes().remote_target), (Some("a"), None));
        connection.abort(crate::types::PeerError::default());
        assert_eq!(connection.state(), EndpointStates { local: EndpointState::Closed, remote: EndpointState::Uninit });
        assert_eq!(link.state().local, EndpointState::Closed, "nothing follows a close");
    }
}
