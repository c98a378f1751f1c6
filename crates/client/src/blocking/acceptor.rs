//! The end that is connected to.

use postroad_taps::EndpointAddress;

use super::{Connection, ConnectionGuard, Receiver, Runtime, Sender, Session, StreamingReceiver, Wrap, mirror};
use crate::types::{Fields, PeerError};
use crate::{AcceptError, AcceptOptions, AttachError, EndpointStates, ExpiredLink, Guarantee, LinkOptions, Node};

mirror! {
    /// Accepts connections, from everybody unless [`AcceptOptions::sasl`] says who may come.
    #[derive(Debug)]
    pub struct Acceptor of crate::Acceptor, under Runtime;

    wait fn accept(&self) -> Result<Connection, AcceptError>;
    /// `None` when no client has opened a connection by then; one that was about to is cut off.
    some fn accept_timeout(&self) = accept -> Result<Connection, AcceptError>;
    wait fn next_connection(&self) -> Result<IncomingConnection, AcceptError>;
    /// `None` when no client has connected by then.
    some fn next_connection_timeout(&self) = next_connection -> Result<IncomingConnection, AcceptError>;
    wait fn next_expired(&self) -> Result<ExpiredLink, AcceptError>;
    /// `None` when none has by then.
    some fn next_expired_timeout(&self) = next_expired -> Result<ExpiredLink, AcceptError>;
    pass fn local_endpoint(&self) -> &EndpointAddress;
}

mirror! {
    /// A connection that has come, and of which nothing was read yet. Dropped, it is closed.
    #[derive(Debug)]
    pub struct IncomingConnection of crate::IncomingConnection, under Runtime;

    pass fn remote_endpoint(&self) -> &EndpointAddress;
    wait fn open(self) -> Result<Connection, AcceptError>;
}

impl Acceptor {
    /// Listens. The thread that drives connections starts where it does not run yet.
    ///
    /// # Errors
    /// As [`Acceptor::listen`](crate::Acceptor::listen), and inside an async runtime.
    pub fn listen(options: AcceptOptions) -> Result<Self, AcceptError> {
        let guard = Runtime::shared()?;
        let inner = guard.run(crate::Acceptor::listen(options))??;
        Ok(Self { inner, guard })
    }
}

/// What the peer opens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A session that the peer has begun.
    Session(Session),
    /// A link that the peer attaches, and that waits for an answer.
    Link(IncomingLink),
}

impl Wrap<crate::Incoming, ConnectionGuard> for Incoming {
    fn wrap(inner: crate::Incoming, guard: &ConnectionGuard) -> Self {
        match inner {
            crate::Incoming::Session(session) => Self::Session(Session::wrap(session, guard)),
            crate::Incoming::Link(link) => Self::Link(IncomingLink::wrap(link, guard)),
        }
    }
}

mirror! {
    /// A link that the peer attaches, and that waits for an answer. Dropped, it is refused.
    #[derive(Debug)]
    pub struct IncomingLink of crate::IncomingLink, under ConnectionGuard;

    pass fn name(&self) -> &str;
    pass fn session(&self) -> Session;
    pass fn is_coordinator(&self) -> bool;
    pass fn remote_source(&self) -> Option<&Node>;
    pass fn remote_target(&self) -> Option<&Node>;
    pass fn remote_properties(&self) -> Option<&Fields>;
    pass fn remote_offered_capabilities(&self) -> &[String];
    pass fn remote_desired_capabilities(&self) -> &[String];
    pass fn remote_max_message_size(&self) -> Option<u64>;
    pass fn has_unsettled_map(&self) -> bool;
    pass fn known(&self) -> Option<&Node>;
    pass fn set_source(&mut self, node: impl Into<Node>) -> ();
    pass fn set_target(&mut self, node: impl Into<Node>) -> ();
    pass fn is_receiver(&self) -> bool;
    pass fn is_sender(&self) -> bool;
    pass fn state(&self) -> EndpointStates;
    pass fn source_address(&self) -> Option<&str>;
    pass fn target_address(&self) -> Option<&str>;
    pass fn guarantee(&self) -> Guarantee;
    make fn into_receiver(self, options: &LinkOptions) -> Result<Receiver, AttachError>;
    make fn into_streaming_receiver(self, options: &LinkOptions) -> Result<StreamingReceiver, AttachError>;
    make fn into_sender(self, options: &LinkOptions) -> Result<Sender, AttachError>;
}

impl IncomingLink {
    /// As [`IncomingLink::refuse`](crate::IncomingLink::refuse), which does not wait.
    pub fn refuse(self, error: PeerError) {
        self.inner.refuse(error);
    }
}
