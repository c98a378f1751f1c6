//! The preconnection: what to reach, how, and what to run on top (RFC 9622 6).

use std::fmt;
use std::sync::Arc;

use crate::connection::Connection;
use crate::endpoint::{LocalEndpoint, RemoteEndpoint};
use crate::error::{EstablishmentError, ListenError};
use crate::framer::{Framer, FramerFactory};
use crate::initiate::{self, Initiate};
use crate::listener::Listener;
use crate::message::Message;
use crate::properties::{Role, TransportProperties};
use crate::rendezvous::Rendezvous;
use crate::resolve::Resolver;
use crate::selection::{CandidateTree, Context};
use crate::stack::proxy::Proxy;
use crate::tls::Security;

/// A set of wishes from which connections and listeners are made: plain data, cheap to clone.
///
/// [`initiate`](Self::initiate) and [`listen`](Self::listen) take a snapshot, so one preconnection can make many
/// connections, and changing it later changes none of them (RFC 9622 7.1).
///
/// Security is on by default: a connection in clear text is asked for with
/// [`Security::Disabled`](crate::Security::Disabled).
///
/// ```no_run
/// use std::time::Duration;
/// use postroad_taps::{Preconnection, RemoteEndpoint, Security};
///
/// # async fn run() -> Result<(), postroad_taps::EstablishmentError> {
/// let connection = Preconnection::new()
///     .remote(RemoteEndpoint::host("localhost").port(5000))
///     .security(Security::Disabled)
///     .initiate()
///     .timeout(Duration::from_secs(5))
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Preconnection {
    pub(crate) locals: Vec<LocalEndpoint>,
    pub(crate) remotes: Vec<RemoteEndpoint>,
    pub(crate) properties: TransportProperties,
    pub(crate) security: Security,
    pub(crate) framers: Vec<FramerFactory>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) resolver: Resolver,
    /// What is remembered of earlier connections; `None` is what the process has in common.
    pub(crate) context: Option<Context>,
}

impl Preconnection {
    /// A preconnection without endpoints and framers, with all properties at their defaults, and TLS.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets where to stand, and nowhere else: needed to listen, optional to initiate.
    #[doc(alias = "local_endpoint")]
    pub fn local(mut self, endpoint: impl Into<LocalEndpoint>) -> Self {
        self.locals = vec![endpoint.into()];
        self
    }

    /// Adds another place to stand: a listener stands on all, a connection starts from the one that does best
    /// (RFC 9622 6.1).
    #[doc(alias = "AddLocal")]
    pub fn add_local(mut self, endpoint: impl Into<LocalEndpoint>) -> Self {
        self.locals.push(endpoint.into());
        self
    }

    /// Sets whom to reach, and nobody else: needed to initiate.
    #[doc(alias = "remote_endpoint")]
    pub fn remote(mut self, endpoint: impl Into<RemoteEndpoint>) -> Self {
        self.remotes = vec![endpoint.into()];
        self
    }

    /// Adds another endpoint of the same peer, such as one that is specific to a protocol: one of them is reached
    /// (RFC 9622 6.1).
    #[doc(alias = "AddRemote")]
    pub fn add_remote(mut self, endpoint: impl Into<RemoteEndpoint>) -> Self {
        self.remotes.push(endpoint.into());
        self
    }

    /// Takes an endpoint of the peer out again.
    #[doc(alias = "RemoveRemote")]
    pub fn remove_remote(mut self, endpoint: &RemoteEndpoint) -> Self {
        self.remotes.retain(|known| known != endpoint);
        self
    }

    /// Asks this resolver for the addresses of names, instead of the system's.
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// Remembers here what comes of the attempts, and learns from it, instead of with all other connections of the
    /// process. With [`isolate_session`](field@crate::ConnectionProperties::isolate_session) each connection has a memory
    /// of its own all the same.
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Sets the transport properties.
    #[doc(alias = "transport_properties")]
    pub fn properties(mut self, properties: TransportProperties) -> Self {
        self.properties = properties;
        self
    }

    /// Sets the security, TLS by default.
    #[doc(alias = "security_needed")]
    pub fn security(mut self, security: impl Into<Security>) -> Self {
        self.security = security.into();
        self
    }

    /// Has a proxy make the connections. It is raced for at all of its own addresses; the hosts of the remote endpoints
    /// are resolved by it and not here. Protocols over TCP go through it, others are no candidates then, but for Unix
    /// sockets and the memory of this process, which need none. A connection has the proxy's address for its remote one.
    /// Remote endpoints need a port by number; listeners disregard it.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Adds a framer, by a function that makes one: each attempt to connect gets its own.
    ///
    /// The one added last runs first on what is sent, and last on what is received.
    #[doc(alias = "add_framer")]
    pub fn framer<F: Framer + 'static>(mut self, make: impl Fn() -> F + Send + Sync + 'static) -> Self {
        self.framers.push(Arc::new(move || Box::new(make())));
        self
    }

    /// Opens a connection actively (RFC 9622 7.1). Nothing happens before the result is awaited.
    pub fn initiate(&self) -> Initiate {
        Initiate::new(self.clone())
    }

    /// Opens a connection actively and sends a message first, with the handshake where that is safe and possible
    /// (RFC 9622 7.1).
    #[doc(alias = "InitiateWithSend")]
    pub fn initiate_with_send(&self, message: impl Into<Message>) -> Initiate {
        self.initiate().with_message(message)
    }

    /// Opens a connection actively, and gives it while it is being established.
    pub fn initiate_now(&self) -> Connection {
        self.initiate().now()
    }

    /// Tells what [`initiate`](Self::initiate) would try, in which order, what it would not try, and why. Names are
    /// resolved for it; no connection is opened.
    ///
    /// ```
    /// use postroad_taps::{Preconnection, ProtocolStack, RemoteEndpoint, Security};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), postroad_taps::EstablishmentError> {
    /// let remote = RemoteEndpoint::host("192.0.2.1").port(5000);
    /// let tree = Preconnection::new().remote(remote).security(Security::Disabled).candidates().await?;
    /// let stacks: Vec<_> = tree.candidates().map(|candidate| candidate.stack()).collect();
    /// assert_eq!(stacks, [ProtocolStack::Tcp]);
    /// println!("{tree}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`initiate`](Self::initiate), where that would try nothing.
    ///
    /// # Cancel safety
    /// Dropping the future ends the resolution.
    pub async fn candidates(&self) -> Result<CandidateTree, EstablishmentError> {
        initiate::candidates(self, Role::Initiate).await
    }

    /// Meets a peer that does the same (RFC 9622 7.3). Both endpoints are needed, with ports that both sides know.
    #[doc(alias = "Rendezvous")]
    pub fn rendezvous(&self) -> Rendezvous {
        Rendezvous::new(self.clone())
    }

    /// Opens a listener (RFC 9622 7.2).
    ///
    /// # Errors
    /// See [`ListenError`]; a preconnection without a local endpoint, or with TLS and no server certificate, opens
    /// nothing.
    ///
    /// # Cancel safety
    /// Dropping the future closes what it had opened.
    pub async fn listen(&self) -> Result<Listener, ListenError> {
        Listener::open(self).await
    }
}

impl fmt::Debug for Preconnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preconnection")
            .field("locals", &self.locals)
            .field("remotes", &self.remotes)
            .field("properties", &self.properties)
            .field("security", &self.security)
            .field("framers", &self.framers.len())
            .field("proxy", &self.proxy)
            .finish()
    }
}
