//! The end that is connected to: peers that talk to each other without a broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_amqp::sasl::ServerConfig;
use postroad_amqp::v1_0 as amqp;
use postroad_taps::{
    BlockingError, EndpointAddress, EstablishmentError, Incoming, ListenError, Listener, LocalEndpoint, Preconnection,
    Protocol, Security, TlsInfo,
};

use tokio::runtime::Handle;

use crate::connection::Accepted;
use crate::link_table::LinkTable;
use crate::options::{SUBPROTOCOL, bytes_only, random_uuid};
use crate::passwords::Passwords;
use crate::sasl::AcceptSasl;
use crate::types::Value;
use crate::{Connection, ConnectionError, ExpiredLink, KeepLinks, TlsConfig, TlsMode, tls_header, v1_0};

/// How connections are accepted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptOptions {
    /// The address to listen on, or the Unix socket. Connections to an address come by TCP alone, whatever is built in, or
    /// by WebSocket where the endpoint has a resource: `LocalEndpoint::any().port(80).websocket("/")`.
    pub local: LocalEndpoint,
    /// Whether clients must use TLS, and the certificate that they see.
    pub security: Security,
    /// When TLS begins, where clients must use it: with the first byte ([`TlsMode::Scheme`], the default), or behind AMQP's TLS
    /// header ([`TlsMode::Header`]) on a port that begins in clear text.
    pub tls_mode: TlsMode,
    /// Whether clients that do not send the TLS header are served in clear text all the same, with [`TlsMode::Header`]. By
    /// default they are told to send it, and are left.
    pub allow_clear_text: bool,
    /// Who may come, and how they show who they are. Everybody may by default.
    pub sasl: AcceptSasl,
    /// The id of our container; a random one by default.
    pub container_id: String,
    /// Properties of our end, beside `product` and `version`. An open that is larger than the frames which the peer takes is
    /// told without properties and capabilities.
    pub properties: Vec<(String, Value)>,
    /// The extensions that our end offers.
    pub offered_capabilities: Vec<String>,
    /// The extensions that our end would use.
    pub desired_capabilities: Vec<String>,
    /// Silence after which a client counts as dead.
    pub idle_timeout: Option<Duration>,
    /// The largest frame that we take, in bytes; 512 at least.
    pub max_frame_size: u32,
    /// The highest channel that we take: so many sessions at once, and one. By default 255.
    pub channel_max: u16,
    /// How long TLS and opening may take in all.
    pub handshake_timeout: Duration,
    /// Whether and how links are kept whose connection is lost, so that their clients go on with them; not by default.
    /// Without it no client has [`Guarantee::ExactlyOnce`](crate::Guarantee::ExactlyOnce).
    pub keep_links: Option<KeepLinks>,
}

impl AcceptOptions {
    /// The defaults, for clients without TLS.
    #[must_use]
    pub fn new(local: LocalEndpoint) -> Self {
        Self {
            local,
            security: Security::Disabled,
            tls_mode: TlsMode::Scheme,
            allow_clear_text: false,
            sasl: AcceptSasl::default(),
            container_id: random_uuid().to_string(),
            properties: Vec::new(),
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            idle_timeout: None,
            max_frame_size: 65_536,
            channel_max: 255,
            handshake_timeout: Duration::from_secs(30),
            keep_links: None,
        }
    }
}

impl AcceptOptions {
    /// The configuration for clients that send the TLS header.
    fn tls_by_header(&self) -> Option<&TlsConfig> {
        match &self.security {
            Security::Tls(config) if self.tls_mode == TlsMode::Header => Some(config),
            _ => None,
        }
    }
}

/// Why there is no acceptor, or a connection was not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The options cannot be used.
    #[error("{0}")]
    Options(String),
    /// The address cannot be listened on, or the TLS configuration has no certificate.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The acceptor has failed: no further connection will come.
    #[error("{0}")]
    Listener(String),
    /// The transport of one client was not established.
    #[error(transparent)]
    Transport(#[from] EstablishmentError),
    /// One client did not open its connection.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

/// Accepts connections, from everybody unless [`AcceptOptions::sasl`] says who may come.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use postroad_client::{AcceptOptions, Acceptor, LinkOptions, LocalEndpoint};
///
/// let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::any().port(5672))).await?;
/// loop {
///     let incoming = acceptor.next_connection().await?;
///     // Each client in a task of its own: one that says nothing delays nobody.
///     tokio::spawn(async move {
///         let connection = incoming.open().await?;
///         let mut receiver = connection.next_link().await?.into_receiver(&LinkOptions::default())?;
///         while let Ok(message) = receiver.receive().await {
///             receiver.accept(&message)?;
///         }
///         Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
///     });
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    serving: Arc<Serving>,
}

/// What the connections of an acceptor have in common.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) options: AcceptOptions,
    pub(crate) config: amqp::Config,
    pub(crate) sasl: Option<Arc<ServerConfig>>,
    passwords: Arc<Passwords>,
    table: Option<Arc<LinkTable>>,
}

/// How long a connection that we close waits for its client.
const CLOSE: Duration = Duration::from_secs(10);

impl Acceptor {
    /// Listens.
    ///
    /// # Errors
    /// When the address cannot be listened on, the TLS configuration has no certificate, or nobody could connect.
    pub async fn listen(options: AcceptOptions) -> Result<Self, AcceptError> {
        let config = options.config()?;
        let sasl = options.sasl.config(matches!(options.security, Security::Tls(_)))?.map(Arc::new);
        let security = match options.tls_by_header() {
            None => options.security.clone(),
            Some(tls) => {
                tls.check_server().map_err(ListenError::from)?;
                Security::Disabled
            }
        };
        let listener = preconnection(options.local.clone()).security(security).listen().await?;
        let table = options.keep_links.clone().map(|limits| LinkTable::new(limits, Handle::current()));
        let passwords = Arc::default();
        Ok(Self { listener, serving: Arc::new(Serving { options, config, sasl, passwords, table }) })
    }

    /// The address that is listened on, with the port that the system picked when none was asked for.
    #[must_use]
    pub fn local_endpoint(&self) -> &EndpointAddress {
        self.listener.local_endpoint()
    }

    /// The next connection, as soon as it has come and before anything is read of it.
    ///
    /// # Errors
    /// [`AcceptError::Listener`], which is final.
    ///
    /// # Cancel safety
    /// A dropped future has taken no connection.
    pub async fn next_connection(&self) -> Result<IncomingConnection, AcceptError> {
        match self.listener.incoming().await {
            Ok(Some(transport)) => Ok(IncomingConnection { transport, serving: Arc::clone(&self.serving) }),
            Ok(None) => Err(AcceptError::Listener("the listener was stopped".to_owned())),
            Err(error) => Err(AcceptError::Listener(error.to_string())),
        }
    }

    /// The next link that was kept and is given up with messages whose outcome nobody will know: its time is over, or its client
    /// has another link of that name. As many of these wait to be taken as links are kept.
    ///
    /// # Errors
    /// [`AcceptError::Options`] where no links are kept.
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    pub async fn next_expired(&self) -> Result<ExpiredLink, AcceptError> {
        match &self.serving.table {
            Some(table) => Ok(table.next_expired().await),
            None => Err(AcceptError::Options("no links are kept: `keep_links` says whether".to_owned())),
        }
    }

    /// Accepts the next connection and waits until its client has opened it: [`next_connection`](Self::next_connection) and
    /// [`IncomingConnection::open`] in one. Other clients wait meanwhile.
    ///
    /// # Errors
    /// When this one client fails; the next call goes on. [`AcceptError::Listener`] is final.
    ///
    /// # Cancel safety
    /// A dropped future may have taken a connection, which is then closed.
    pub async fn accept(&self) -> Result<Connection, AcceptError> {
        self.next_connection().await?.open().await
    }
}

/// A connection that has come, and of which nothing was read yet. Dropped, it is closed.
#[derive(Debug)]
pub struct IncomingConnection {
    transport: Incoming,
    serving: Arc<Serving>,
}

/// What is known of a client without its word.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) remote: EndpointAddress,
    pub(crate) tls: Option<TlsInfo>,
}

impl IncomingConnection {
    /// The address of the client.
    #[must_use]
    pub fn remote_endpoint(&self) -> &EndpointAddress {
        self.transport.remote_endpoint()
    }

    /// Does TLS, headers and SASL with the client, and opens: until then, or for
    /// [`handshake_timeout`](AcceptOptions::handshake_timeout).
    ///
    /// # Errors
    /// When the client does not get so far: it is left then.
    ///
    /// # Cancel safety
    /// A dropped future closes the connection.
    pub async fn open(self) -> Result<Connection, AcceptError> {
        let Self { transport, serving } = self;
        let (since, options) = (Instant::now(), &serving.options);
        let transport = transport.establish().timeout(options.handshake_timeout).await?;
        let mut stream =
            transport.into_byte_stream().map_err(|_| ConnectionError::Transport(std::io::ErrorKind::NotConnected))?;
        let mut first = Vec::new();
        if let Some(tls) = options.tls_by_header() {
            let left = options.handshake_timeout.saturating_sub(since.elapsed());
            let waited = tokio::time::timeout(left, tls_header::answer(stream, tls, options.allow_clear_text));
            (stream, first) = waited.await.map_err(|_| timed_out())??;
        }
        let origin = Origin { remote: stream.remote_endpoint().clone(), tls: stream.tls_info().cloned() };
        let engine = v1_0::server(&serving, origin.tls.as_ref(), since)?;
        let (passwords, table) = (Arc::clone(&serving.passwords), serving.table.clone());
        let accepted = Accepted { stream, first, origin, passwords, table, timeout: CLOSE };
        Ok(Connection::serve(engine, accepted).await?)
    }
}

impl Connection {
    /// The address that an accepted connection has come from; `None` at the end that has connected.
    #[must_use]
    pub fn remote_endpoint(&self) -> Option<&EndpointAddress> {
        self.inner.origin.as_ref().map(|origin| &origin.remote)
    }

    /// What TLS has found out of the client of an accepted connection; `None` without TLS, and at the end that has connected.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.inner.origin.as_ref()?.tls.as_ref()
    }
}

/// Listens with the protocol that the endpoint means, and no other.
fn preconnection(local: LocalEndpoint) -> Preconnection {
    if local.allows(Protocol::Tcp) {
        Preconnection::new().local(local.protocol(Protocol::Tcp))
    } else if local.allows(Protocol::Unix) {
        Preconnection::new().local(local).properties(bytes_only())
    } else {
        // It may have been named already, and a name stands once.
        let named = local.clone().subprotocol(SUBPROTOCOL);
        let is_new = local.allows(Protocol::WebSocket) && named.check().is_ok();
        Preconnection::new().local(if is_new { named } else { local })
    }
}

/// What an engine says that waits for its peer's header in vain.
fn timed_out() -> ConnectionError {
    ConnectionError::Protocol(amqp::ConnectionError::Handshake)
}
