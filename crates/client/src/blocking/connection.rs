//! A connection to a peer.

use super::{ConnectionEvents, ConnectionGuard, IncomingLink, Runtime, Session, Wrap, mirror};
use crate::types::{PeerError, Value};
use crate::{AttachError, ConnectError, ConnectOptions, ConnectionError, EndpointStates, Message};

mirror! {
    /// An open connection. Clones are handles of the same connection; when the last one is gone, and the last session and
    /// link on it, the connection is closed, and whoever drops the last waits for that, for the close timeout at most.
    #[derive(Debug, Clone)]
    pub struct Connection of crate::Connection, under ConnectionGuard;

    wait fn session(&self) -> Result<Session, AttachError>;
    soon fn session_timeout(&self) = session -> Result<Session, AttachError>;
    wait fn close(&self) -> Result<(), ConnectionError>;
    wait fn detach(&self) -> Result<(), ConnectionError>;
    wait fn attach(&self) -> Result<(), ConnectError>;
    pass fn when_over(&self, told: impl FnOnce(ConnectionError) + Send + 'static) -> ();
    pass fn is_detached(&self) -> bool;
    wait fn next_link(&self) -> Result<IncomingLink, ConnectionError>;
    some fn next_link_timeout(&self) = next_link -> Result<IncomingLink, ConnectionError>;
    pass fn state(&self) -> EndpointStates;
    pass fn error(&self) -> Option<ConnectionError>;
    pass fn container_id(&self) -> String;
    pass fn hostname(&self) -> Option<String>;
    pass fn remote_container(&self) -> Option<String>;
    pass fn remote_property(&self, name: &str) -> Option<Value>;
    pass fn remote_hostname(&self) -> Option<String>;
    pass fn remote_offered_capabilities(&self) -> Vec<String>;
    pass fn is_managed(&self) -> bool;
    pass fn remote_desired_capabilities(&self) -> Vec<String>;
    pass fn brought(&self, message: &Message) -> bool;
    pass fn events(&self) -> ConnectionEvents;
    pass fn abort(&self, error: PeerError) -> ();
}

impl Connection {
    /// Connects, authenticates and opens. The thread that drives it starts where it does not run yet.
    ///
    /// # Errors
    /// As [`Connection::open`](crate::Connection::open), and inside an async runtime.
    pub fn open(options: ConnectOptions) -> Result<Self, ConnectError> {
        let runtime = Runtime::shared()?;
        let inner = runtime.run(crate::Connection::open(options))??;
        Ok(Self::wrap(inner, &runtime))
    }
}

impl Wrap<crate::Connection, Runtime> for Connection {
    fn wrap(inner: crate::Connection, runtime: &Runtime) -> Self {
        let guard = ConnectionGuard::new(&inner, runtime);
        Self { inner, guard }
    }
}

impl Wrap<&crate::Connection, ConnectionGuard> for Connection {
    fn wrap(inner: &crate::Connection, guard: &ConnectionGuard) -> Self {
        Self { inner: inner.clone(), guard: guard.clone() }
    }
}
