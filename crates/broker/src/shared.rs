//! What the connections of a broker share.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use postroad_amqp::sasl;
use postroad_amqp::v1_0::{Config, Connection, ServerSasl};
use postroad_codec::v1_0::Error;
use postroad_taps::{ByteStream, TlsConfig, TlsInfo};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::connections::{ConnectionLimits, Connections};
use crate::link_expiry::ExpiryLimits;
use crate::link_table::TableLimits;
use crate::mailbox::{Mailbox, Order};
use crate::node::Nodes;
use crate::passwords::Passwords;
use crate::suspended::Links;
use crate::transaction::{Ledger, TransactionLimits};

/// A broker, as its connections see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) settings: Settings,
    pub(crate) buffers: Buffers,
    pub(crate) passwords: Passwords,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) links: Arc<Links>,
    sasl: Arc<sasl::ServerConfig>,
    anonymous: bool,
    connections: Mutex<Connections>,
    /// How many connections there are.
    count: watch::Sender<usize>,
    /// Whether the broker is going down.
    closing: watch::Sender<bool>,
}

/// What does not change while the broker runs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) engine: Config,
    pub(crate) auto_create: bool,
    pub(crate) max_message_size: u64,
    pub(crate) connections: ConnectionLimits,
    pub(crate) max_links: usize,
    pub(crate) max_links_per_session: usize,
    pub(crate) transactions: TransactionLimits,
    /// How many links are kept after they are detached, and how long.
    pub(crate) resumable: TableLimits,
    pub(crate) expiry: ExpiryLimits,
    /// What clients get that ask for TLS where the transport has none.
    pub(crate) tls: Option<TlsConfig>,
}

/// What the layer below knows of a client.
#[derive(Debug, Default)]
pub(crate) struct Security {
    /// Whether the transport is encrypted.
    pub(crate) secure: bool,
    /// The common name in the certificate that the client has shown, which was verified.
    pub(crate) external: Option<String>,
}

impl Security {
    pub(crate) fn of(stream: &ByteStream) -> Self {
        let tls = stream.tls_info();
        // A certificate without a name, or with one that no log can show, names nobody.
        let good = |name: &String| !name.is_empty() && !name.contains(char::is_control);
        let external = tls.and_then(TlsInfo::peer_common_name).filter(good);
        Self { secure: tls.is_some(), external }
    }
}

impl Shared {
    pub(crate) fn new(nodes: Arc<Nodes>, settings: Settings, sasl: sasl::ServerConfig, anonymous: bool) -> Self {
        let links = Arc::new(Links::new(settings.resumable));
        Self {
            nodes,
            settings,
            links,
            buffers: Buffers::default(),
            passwords: Passwords::default(),
            ledger: Arc::default(),
            sasl: Arc::new(sasl),
            anonymous,
            connections: Mutex::default(),
            count: watch::Sender::new(0),
            closing: watch::Sender::new(false),
        }
    }

    /// The engine for a client that has connected at `since`, from which on its time runs.
    pub(crate) fn engine(&self, security: Security, since: Instant) -> Result<Connection, getrandom::Error> {
        let Security { secure, external } = security;
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce)?;
        let mechanisms = self.sasl.mechanisms(secure, external.as_deref());
        let server = sasl::Server::new(Arc::clone(&self.sasl), secure, external, nonce).deferred_checks(true);
        let sasl = ServerSasl { mechanisms, server, allow_bare: self.anonymous };
        Ok(Connection::server(self.settings.engine.clone(), Some(sasl), since))
    }

    /// Takes a connection in. One that is too many is to be told so; `None` where there is no time even for that.
    pub(crate) fn register(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Registered> {
        let mut connections = self.connections();
        let mailbox = Arc::new(Mailbox::default());
        let (key, refusal) = connections.add(Arc::clone(&mailbox), address, self.settings.connections)?;
        self.count.send_replace(connections.in_all());
        Some(Registered { shared: Arc::clone(self), mailbox, key, refusal })
    }

    /// Notes whose connection it is, and refuses it where the user has too many.
    pub(crate) fn authenticated(&self, key: usize, user: &str) -> Result<(), Error> {
        self.connections().authenticated(key, user, self.settings.connections)
    }

    /// Lets the broker cut off the task of a connection.
    pub(crate) fn set_abort(&self, key: usize, mailbox: &Arc<Mailbox>, abort: AbortHandle) {
        self.connections().set_abort(key, mailbox, abort);
    }

    pub(crate) fn connections_len(&self) -> usize {
        self.connections().len()
    }

    /// Tells every connection to end, and takes no more. Links are not kept any more.
    pub(crate) fn close_all(&self, order: Order) {
        let mut connections = self.connections();
        connections.shut = Some(order);
        let mailboxes = connections.mailboxes();
        drop(connections);
        drop(self.links.close());
        self.closing.send_replace(true);
        for mailbox in mailboxes {
            mailbox.order(order);
        }
    }

    /// Cuts every connection off, and says how many there were.
    pub(crate) fn abort_all(&self, order: Order) -> usize {
        let mut connections = self.connections();
        connections.shut = Some(order);
        connections.abort_all();
        connections.in_all()
    }

    /// Waits until no connection is left.
    pub(crate) async fn idle(&self) {
        let mut count = self.count.subscribe();
        let _ = count.wait_for(|count| *count == 0).await;
    }

    /// Waits until the broker is going down.
    pub(crate) async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        let _ = closing.wait_for(|closing| *closing).await;
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among those of the broker; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) shared: Arc<Shared>,
    pub(crate) mailbox: Arc<Mailbox>,
    key: usize,
    /// What it is to be told in place of being served.
    pub(crate) refusal: Option<Error>,
}

impl Registered {
    /// The key by which [`Shared::set_abort`] knows the connection.
    pub(crate) fn key(&self) -> usize {
        self.key
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut connections = self.shared.connections();
        connections.remove(self.key);
        let left = connections.in_all();
        self.shared.count.send_replace(left);
    }
}

/// Read buffers that nobody uses. A connection has one only while it holds a part of a frame.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<BytesMut>>,
}

/// A read takes at most this many bytes.
pub(crate) const READ: usize = 64 * 1024;

/// So many unused buffers are kept.
const KEEP: usize = 16;

impl Buffers {
    pub(crate) fn lease(&self) -> BytesMut {
        let found = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        found.unwrap_or_else(|| BytesMut::with_capacity(READ))
    }

    pub(crate) fn give_back(&self, buffer: BytesMut) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEEP {
            free.push(buffer);
        }
    }
}
