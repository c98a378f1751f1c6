//! The preconnection of the original.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::connection::Connection;
use super::event_loop::{run, spawn};
use super::listener::Listener;
use super::reason::SendErrorReason;
use super::shared::Shared;
use crate::BlockingError;
use crate::blocking::inside_runtime;
use crate::endpoint::{LocalEndpoint, RemoteEndpoint};
use crate::framer::Framer;
use crate::initiate::Initiate;
use crate::message::{IntoData, Message, MessageContext};
use crate::properties::TransportProperties;
use crate::tls::{Security, TlsConfig};

/// What to reach and how. A connection or listener is made of it as it is at the call.
#[must_use]
pub struct Preconnection {
    inner: crate::Preconnection,
    unfulfilled_handler: Rc<RefCell<dyn FnMut()>>,
}

impl Preconnection {
    /// A preconnection with the original's arguments, in its order.
    ///
    /// Without `security_needed`, connections are in clear text, as in the original. With it, TLS verifies the peer
    /// against the system's authorities; [`security`](Self::security) says it in detail, which a listener needs.
    /// The handler is called once for each connection or listener for which nothing has the properties.
    #[doc(alias = "local_endpoint")]
    #[doc(alias = "remote_endpoint")]
    pub fn new(
        local_endpoint: Option<LocalEndpoint>,
        remote_endpoint: Option<RemoteEndpoint>,
        transport_properties: Option<TransportProperties>,
        security_needed: bool,
        unfulfilled_handler: impl FnMut() + 'static,
    ) -> Self {
        let security = if security_needed { Security::Tls(TlsConfig::default()) } else { Security::Disabled };
        let mut inner =
            crate::Preconnection::new().properties(transport_properties.unwrap_or_default()).security(security);
        if let Some(local) = local_endpoint {
            inner = inner.local(local);
        }
        if let Some(remote) = remote_endpoint {
            inner = inner.remote(remote);
        }
        Self { inner, unfulfilled_handler: Rc::new(RefCell::new(unfulfilled_handler)) }
    }

    /// Sets the security in detail: certificates, authorities, versions.
    pub fn security(&mut self, security: impl Into<Security>) {
        self.inner = std::mem::take(&mut self.inner).security(security);
    }

    /// Adds a framer, by a function that makes one: each attempt to connect gets its own.
    ///
    /// The one added last runs first on what is sent, and last on what is received.
    pub fn add_framer<F: Framer + 'static>(&mut self, framer: impl Fn() -> F + Send + Sync + 'static) {
        self.inner = std::mem::take(&mut self.inner).framer(framer);
    }

    /// Opens a connection actively; it is given at once, while it is being established. After `timeout` it is given up.
    pub fn initiate(&self, timeout: Option<Duration>) -> Connection {
        self.open(self.inner.initiate(), timeout)
    }

    fn open(&self, mut initiate: Initiate, timeout: Option<Duration>) -> Connection {
        if let Some(timeout) = timeout {
            initiate = initiate.timeout(timeout);
        }
        let shared = Shared::new(Some(initiate.now()), self.inner.properties.clone(), std::rc::Weak::new());
        let connection = Connection::of(&shared);
        Shared::watch(connection.clone(), Some(Rc::clone(&self.unfulfilled_handler)));
        connection
    }

    /// Opens a connection actively with a first message, which goes with the handshake where it is safely replayable and
    /// transport and peer allow it. When no connection is established the handler is not called:
    /// the connection tells it (RFC 9622 9.2.5).
    #[doc(alias = "message_data")]
    #[doc(alias = "message_context")]
    pub fn initiate_with_send(
        &self,
        message_data: impl IntoData,
        sent_handler: impl FnOnce(&Connection, Option<SendErrorReason>) + 'static,
        message_context: Option<MessageContext>,
        timeout: Option<Duration>,
    ) -> Connection {
        let message = Message::new(message_data).in_context(message_context.unwrap_or_default());
        let connection = self.open(self.inner.initiate_with_send(message), timeout);
        connection.tell_first(Box::new(sent_handler));
        connection
    }

    /// Listens for connections.
    pub fn listen(&self) -> Listener {
        let listener = Listener::new();
        spawn(listener.clone().serve(self.inner.clone(), Rc::clone(&self.unfulfilled_handler)));
        listener
    }

    /// Runs the loop of this thread until nothing is left to do: every connection is closed and every listener
    /// stopped, or [`Connection::stop`] is called. A server without an end stays here, as in the original.
    ///
    /// # Errors
    /// It is called by a task of an async runtime, where [`run`] does the same, or by a handler, or the system has
    /// nothing to run it with.
    pub fn start(&self) -> Result<(), BlockingError> {
        if inside_runtime() {
            return Err(BlockingError::InsideRuntime);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| BlockingError::NoRuntime(error.kind()))?;
        runtime.block_on(run());
        // Whoever still looks up a name is not waited for.
        runtime.shutdown_background();
        Ok(())
    }
}

impl fmt::Debug for Preconnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
