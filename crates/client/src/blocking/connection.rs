//! A connection to a peer.

use postroad_taps::{EndpointAddress, TlsInfo};

use super::{Cbs, ConnectionEvents, ConnectionGuard, Incoming, IncomingLink, Runtime, Session, Wrap, mirror};
use crate::sasl::User;
use crate::types::{PeerError, Value};
use crate::{
    AttachError, CbsError, CbsOptions, ConnectError, ConnectOptions, ConnectionError, EndpointStates, Message,
    Redirect, RedirectError,
};

mirror! {
    /// An open connection. Clones are handles of the same connection; when the last one is gone, and the last session and
    /// link on it, the connection is closed, and whoever drops the last waits for that, for the close timeout at most.
    #[derive(Debug, Clone)]
    pub struct Connection of crate::Connection, under ConnectionGuard;

    wait fn session(&self) -> Result<Session, AttachError>;
    soon fn session_timeout(&self) = session -> Result<Session, AttachError>;
    wait fn close(&self) -> Result<(), ConnectionError>;
    wait fn cbs(&self) -> Result<Cbs, CbsError>;
    wait fn cbs_with(&self, options: CbsOptions) -> Result<Cbs, CbsError>;
    wait fn detach(&self) -> Result<(), ConnectionError>;
    wait fn attach(&self) -> Result<(), ConnectError>;
    pass fn when_over(&self, told: impl FnOnce(ConnectionError) + Send + 'static) -> ();
    pass fn is_detached(&self) -> bool;
    wait fn next_incoming(&self) -> Result<Incoming, ConnectionError>;
    some fn next_incoming_timeout(&self) = next_incoming -> Result<Incoming, ConnectionError>;
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
    pass fn user(&self) -> Option<User>;
    pass fn remote_endpoint(&self) -> Option<&EndpointAddress>;
    pass fn tls_info(&self) -> Option<&TlsInfo>;
    pass fn is_redirect_here(&self, redirect: &Redirect) -> bool;
    pass fn redirect_options(&self, redirect: &Redirect) -> Result<ConnectOptions, RedirectError>;
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
