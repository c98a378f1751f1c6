//! A connection, from the moment on at which it is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use postroad_client as client;
use postroad_client::types::{PeerError, Value};
use postroad_client::{ConnectOptions, EndpointState, EndpointStates, Node};
use tokio::sync::watch;

use crate::closing::Closing;
use crate::container::Command;
use crate::reactor::HandlerSlot;
use crate::session;
use crate::tokens::Tokens;
use crate::{Acceptor, Container, LinkOptions, Receiver, Sender, Session, Transaction, Transport};

/// A connection. It is asked for and used at once, and opens by and by: what is made on it waits for that.
///
/// Clones are handles of the same connection; it stays open until it is closed, whether there are handles or not.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) container: Container,
    hostname: Option<String>,
    /// What it came to, where the peer has connected.
    acceptor: Option<Acceptor>,
    /// What there is once it has opened.
    pub(crate) client: OnceLock<client::Connection>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) handler: HandlerSlot,
    /// It lives for as long as somebody uses it: the run while it has begun, and its links.
    default_session: Mutex<Weak<session::Inner>>,
    pub(crate) tokens: Tokens,
    /// The connection whose peer has sent links to this one, and how many are here.
    origin: Option<(Connection, AtomicUsize)>,
    pub(crate) closing: Closing,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Opening,
    /// Nobody wants it any more, and it has not opened.
    GivenUp,
    Open,
    Over,
}

impl Connection {
    pub(crate) fn new(container: &Container, options: Option<&ConnectOptions>) -> Self {
        Self { inner: Arc::new(Inner::of(container, options.map(host_of))) }
    }

    /// One that has come to an acceptor.
    pub(crate) fn incoming(acceptor: &Acceptor, client: client::Connection) -> Self {
        let inner = Inner { acceptor: Some(acceptor.clone()), ..Inner::of(acceptor.container(), None) };
        let _ = inner.client.set(client);
        inner.phase.send_replace(Phase::Open);
        Self { inner: Arc::new(inner) }
    }

    /// One for links that the peer of another one has sent away.
    pub(crate) fn redirected(from: &Self, options: &ConnectOptions) -> Self {
        let inner = Inner::of(from.container(), Some(host_of(options)));
        Self { inner: Arc::new(Inner { origin: Some((from.root().clone(), AtomicUsize::new(0))), ..inner }) }
    }

    /// The connection that the program knows of.
    pub(crate) fn root(&self) -> &Self {
        self.inner.origin.as_ref().map_or(self, |(origin, _)| origin)
    }

    pub(crate) fn is_redirected(&self) -> bool {
        self.inner.origin.is_some()
    }

    pub(crate) fn add_tenant(&self) {
        if let Some((_, tenants)) = &self.inner.origin {
            tenants.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many are left.
    pub(crate) fn remove_tenant(&self) -> usize {
        self.inner.origin.as_ref().map_or(0, |(_, tenants)| tenants.fetch_sub(1, Ordering::Relaxed).saturating_sub(1))
    }

    /// The connection below, once it is open: for what goes by futures, on the runtime that the container runs on.
    #[must_use]
    pub fn client(&self) -> Option<&client::Connection> {
        self.inner.client.get()
    }

    /// The acceptor that it came to; nothing where we have connected.
    #[must_use]
    pub fn acceptor(&self) -> Option<&Acceptor> {
        self.inner.acceptor.as_ref()
    }

    /// The container that it belongs to.
    #[must_use]
    pub fn container(&self) -> &Container {
        &self.inner.container
    }

    /// The host that the peer is asked for.
    #[must_use]
    pub fn hostname(&self) -> Option<String> {
        self.inner.client.get().map_or_else(|| self.inner.hostname.clone(), client::Connection::hostname)
    }

    /// What carries the connection, once it is open.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        self.inner.client.get().map(Transport::of)
    }

    /// The id of the peer's container, once it has opened.
    #[must_use]
    pub fn remote_container(&self) -> Option<String> {
        self.inner.client.get()?.remote_container()
    }

    /// The host that the peer asks us for.
    #[must_use]
    pub fn remote_hostname(&self) -> Option<String> {
        self.inner.client.get()?.remote_hostname()
    }

    /// The extensions that the peer offers.
    #[must_use]
    pub fn remote_offered_capabilities(&self) -> Vec<String> {
        self.inner.client.get().map(client::Connection::remote_offered_capabilities).unwrap_or_default()
    }

    /// The extensions that the peer would use.
    #[must_use]
    pub fn remote_desired_capabilities(&self) -> Vec<String> {
        self.inner.client.get().map(client::Connection::remote_desired_capabilities).unwrap_or_default()
    }

    /// A property that the peer tells of itself.
    #[doc(alias = "remote_properties")]
    #[must_use]
    pub fn remote_property(&self, name: &str) -> Option<Value> {
        self.inner.client.get()?.remote_property(name)
    }

    /// How far both ends have come.
    #[must_use]
    pub fn state(&self) -> EndpointStates {
        match (self.inner.client.get(), *self.inner.phase.borrow()) {
            (Some(client), _) => client.state(),
            (None, Phase::Over | Phase::GivenUp) => {
                EndpointStates { local: EndpointState::Closed, remote: EndpointState::Closed }
            }
            (None, _) => EndpointStates { local: EndpointState::Active, remote: EndpointState::Uninit },
        }
    }

    /// Another session. Links that name none are on a session of the connection's own.
    #[must_use]
    pub fn session(&self) -> Session {
        let session = Session::new(self.clone());
        session.begin();
        session
    }

    /// The session of links that name none.
    pub(crate) fn default_session(&self) -> Session {
        let mut known = self.inner.default_session.lock().unwrap_or_else(PoisonError::into_inner);
        let there_is = known.upgrade().map(|inner| Session { inner }).filter(|session| !session.is_over());
        there_is.unwrap_or_else(|| {
            let session = Session::new(self.clone());
            *known = Arc::downgrade(&session.inner);
            session
        })
    }

    /// A sender to the node at an address.
    #[doc(alias = "Container.create_sender")]
    pub fn create_sender(&self, target: impl Into<Node>) -> Sender {
        self.create_sender_with(LinkOptions::new().target(target))
    }

    /// A sender.
    #[doc(alias = "create_sender")]
    pub fn create_sender_with(&self, options: LinkOptions) -> Sender {
        self.default_session().create_sender_with(options)
    }

    /// A receiver from the node at an address.
    #[doc(alias = "Container.create_receiver")]
    pub fn create_receiver(&self, source: impl Into<Node>) -> Receiver {
        self.create_receiver_with(LinkOptions::new().source(source))
    }

    /// A receiver.
    #[doc(alias = "create_receiver")]
    pub fn create_receiver_with(&self, options: LinkOptions) -> Receiver {
        self.default_session().create_receiver_with(options)
    }

    /// Asks for a transaction, on the session of the connection's own: as [`Session::declare_transaction`].
    #[doc(alias = "Container.declare_transaction")]
    pub fn declare_transaction(&self) -> Transaction {
        self.default_session().declare_transaction()
    }

    /// Closes the connection: what was handed over goes out first. One that is still being opened is given up.
    pub fn close(&self) {
        self.begin_to_close(None);
    }

    /// Closes the connection with an error.
    #[doc(alias = "condition")]
    pub fn close_with(&self, error: PeerError) {
        self.begin_to_close(Some(error));
    }

    fn begin_to_close(&self, error: Option<PeerError>) {
        if self.inner.closing.begin(error) {
            self.inner.container.command(Command::Close(self.clone()));
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.inner.phase.borrow() == Phase::Open
    }

    /// Waits until the connection has opened; nothing where it never will.
    pub(crate) async fn opened(&self) -> Option<&client::Connection> {
        self.wait(|phase| phase != Phase::Opening).await;
        self.inner.client.get()
    }

    /// Waits until nobody wants it any more before it has opened.
    pub(crate) async fn given_up(&self) {
        self.wait(|phase| phase == Phase::GivenUp).await;
    }

    async fn wait(&self, until: impl Fn(Phase) -> bool) {
        let mut phase = self.inner.phase.subscribe();
        let _ = phase.wait_for(|phase| until(*phase)).await;
    }

    /// A number that no other connection has while this one is there.
    pub(crate) fn number(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }
}

impl Inner {
    fn of(container: &Container, hostname: Option<String>) -> Self {
        Self {
            container: container.clone(),
            hostname,
            acceptor: None,
            client: OnceLock::new(),
            phase: watch::channel(Phase::Opening).0,
            handler: HandlerSlot::default(),
            default_session: Mutex::default(),
            tokens: Tokens::default(),
            origin: None,
            closing: Closing::default(),
        }
    }
}

/// The host that a peer is asked for.
fn host_of(options: &ConnectOptions) -> String {
    options.virtual_host.clone().unwrap_or_else(|| options.url.host().to_owned())
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Connection {}
