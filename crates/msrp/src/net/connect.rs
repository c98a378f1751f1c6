//! How sessions get their connections (RFC 4975 5.4, 6, 8.2): the one end connects, the other accepts.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "tls")]
use postroad_taps::TlsConfig;
use postroad_taps::{ByteStream, EstablishmentError, ListenError, Preconnection, Protocol, RemoteEndpoint, Security};

use super::link::Shared;
use super::random;
use super::transport::{Ends, Transport};
use crate::engine::{self, AddError, Receive, SessionEnd, SessionOptions};
use crate::{DEFAULT_PORT, Host, Path, Scheme, Uri};

mod relay;
mod server;

pub use relay::{Mode, Reached, RelayConnection, RelaySettings, RelaySettingsError};
pub(crate) use server::Entered;
pub use server::{DirectAcceptor, Expected, Server};

/// How connections are made, and how the sessions on them are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// How long connecting, or waiting to be connected to, may take. By default 30 s.
    #[doc(alias = "MSRPTimeout")]
    pub timeout: Duration,
    /// The certificates of `msrps` URIs: what a peer's must lead to, and what this end shows.
    #[cfg(feature = "tls")]
    pub tls: TlsConfig,
    /// Whether paths are compared by their session ids alone, since something between rewrites addresses. Nothing then says
    /// that a request comes from where it should.
    #[doc(alias = "use_sessmatch")]
    pub by_session_id: bool,
    /// How often an empty request is sent so that the connection does not fall silent. By default never.
    #[doc(alias = "KEEPALIVE_INTERVAL")]
    pub keepalive: Option<Duration>,
    /// The most content of a chunk. By default as [`engine::SessionOptions::chunk`] has it.
    pub chunk: Option<usize>,
    /// The resource of WebSockets that are connected to or listened on, for URIs with the transport `ws` (RFC 7977). By
    /// default `/`.
    #[cfg(feature = "websocket")]
    pub websocket_resource: String,
    /// The largest message at all, in octets. By default without limit: large ones come in parts.
    pub max_size: u64,
    /// What is the same for all sessions of a connection.
    pub connection: engine::Config,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            #[cfg(feature = "tls")]
            tls: TlsConfig::default(),
            by_session_id: false,
            keepalive: None,
            chunk: None,
            #[cfg(feature = "websocket")]
            websocket_resource: "/".to_owned(),
            max_size: u64::MAX / 2,
            connection: engine::Config::default(),
        }
    }
}

/// Connects to the peer itself.
///
/// ```no_run
/// # async fn run(theirs: postroad_msrp::Path) -> Result<(), Box<dyn std::error::Error>> {
/// use postroad_msrp::connect::DirectConnector;
/// use postroad_msrp::engine::Outgoing;
/// use postroad_msrp::session::Session;
///
/// let connector = DirectConnector::default();
/// let ours = connector.prepare(None)?;
/// // `ours` goes into the offer as a=path, `theirs` comes with the answer.
/// let session = Session::new(connector.complete(&ours, theirs).await?);
/// session.deliver(Outgoing::new("text/plain", "Hello world!")).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "ConnectorDirect")]
#[derive(Debug, Clone, Default)]
pub struct DirectConnector {
    options: Options,
}

impl DirectConnector {
    /// A connector.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// The path to this end, for the session description: to a URI of the caller's, or to a new one. Nobody connects to it.
    ///
    /// # Errors
    /// The URI lacks its session id or its port.
    pub fn prepare(&self, local: Option<Uri>) -> Result<Path, ConnectError> {
        let uri = match local {
            Some(uri) => check_local(uri)?,
            None => local_uri(Ipv4Addr::LOCALHOST.into(), DEFAULT_PORT, Scheme::Msrp),
        };
        Ok(uri.into())
    }

    /// Connects to where the peer's path begins, and waits until the peer has answered for its session.
    ///
    /// # Errors
    /// It cannot be connected to, or knows of no such session.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn complete(&self, local: &Path, remote: Path) -> Result<Transport, ConnectError> {
        let within = self.options.timeout;
        let connecting = async {
            let (stream, ends) = open(remote.first(), &self.options).await?;
            let link = Shared::start(stream, self.options.config(remote.first().transport()));
            let options = self.options.session(local.last().clone(), Vec::new(), remote.clone());
            let transport = join(link, options, local.clone(), remote, ends)?;
            transport.probe().await?;
            Ok(transport)
        };
        tokio::time::timeout(within, connecting).await.unwrap_or(Err(ConnectError::Timeout(within)))
    }
}

/// Puts a session on a connection.
fn join(
    link: Arc<Shared>,
    options: SessionOptions,
    local_path: Path,
    remote_path: Path,
    ends: Ends,
) -> Result<Transport, ConnectError> {
    let added = link.turn(|state| {
        // The peer may be waiting already.
        let added = state.engine.bind(options, Instant::now())?;
        state.feed(added);
        Ok::<_, AddError>(added)
    });
    Ok(Transport { link, session: added?, local_path, remote_path, ends, _entered: None })
}

impl Transport {
    /// Sends an empty request and waits for its answer: the session is there, and bound to this connection.
    async fn probe(&self) -> Result<(), ConnectError> {
        let session = self.session;
        self.link.turn(|state| state.engine.probe(session)).map_err(|_| ConnectError::Session(SessionEnd::Removed))?;
        self.link.answered(session).await.map_err(ConnectError::Session)
    }
}

impl Options {
    /// How a session is on the engine.
    fn session(&self, local: Uri, relays: Vec<Uri>, remote: Path) -> SessionOptions {
        let mut session = SessionOptions::new(local, remote);
        session.relays = relays;
        session.by_session_id = self.by_session_id;
        session.keepalive = self.keepalive;
        session.chunk = self.chunk;
        session.max_size = self.max_size;
        session.receive = Receive::Undecided;
        session
    }

    /// Whether a transport is built in.
    fn speaks(transport: &crate::Transport) -> bool {
        match transport {
            crate::Transport::Tcp => true,
            crate::Transport::Ws => cfg!(feature = "websocket"),
            crate::Transport::Other(_) => false,
        }
    }

    /// How a connection over a transport is.
    fn config(&self, transport: &crate::Transport) -> engine::Config {
        match transport {
            #[cfg(feature = "websocket")]
            crate::Transport::Ws => engine::Config { carriage: engine::Carriage::Frames(FRAME), ..self.connection },
            _ => self.connection,
        }
    }

    fn security(&self, scheme: Scheme) -> Result<Security, ConnectError> {
        match scheme {
            Scheme::Msrp => Ok(Security::Disabled),
            #[cfg(feature = "tls")]
            Scheme::Msrps => Ok(Security::Tls(self.tls.clone())),
            #[cfg(not(feature = "tls"))]
            Scheme::Msrps => Err(ConnectError::NoTls),
        }
    }
}

/// Connects to the hop that a URI names.
async fn open(uri: &Uri, options: &Options) -> Result<(ByteStream, Ends), ConnectError> {
    if uri.host().is_invalid() || !Options::speaks(uri.transport()) {
        return Err(ConnectError::Unreachable(Box::new(uri.clone())));
    }
    let port = uri.port().unwrap_or(DEFAULT_PORT);
    let remote = match uri.host() {
        Host::Ip(address) => RemoteEndpoint::address(*address),
        name => RemoteEndpoint::host(name.to_string()),
    };
    let remote = match uri.transport() {
        #[cfg(feature = "websocket")]
        crate::Transport::Ws => remote.port(port).websocket(&options.websocket_resource).subprotocol(SUBPROTOCOL),
        _ => remote.port(port).protocol(Protocol::Tcp),
    };
    let preconnection = Preconnection::new().remote(remote).security(options.security(uri.scheme())?);
    let connection = preconnection.initiate().timeout(options.timeout).await?;
    let stream = connection.into_byte_stream().map_err(|error| ConnectError::Stream(error.to_string()))?;
    let ends = Ends::of(&stream);
    Ok((stream, ends))
}

/// The subprotocol of WebSocket (RFC 7977 5.1).
#[cfg(feature = "websocket")]
const SUBPROTOCOL: &str = "msrp";

/// The most content of a frame over a WebSocket: what is behind one waits for it to end.
#[cfg(feature = "websocket")]
const FRAME: usize = 65_536;

impl Ends {
    fn of(stream: &ByteStream) -> Self {
        Self {
            local: stream.local_endpoint().clone(),
            remote: stream.remote_endpoint().clone(),
            tls: stream.tls_info().cloned(),
        }
    }
}

/// A URI of this end's.
fn local_uri(host: Host, port: u16, scheme: Scheme) -> Uri {
    let uri = Uri::new(host).with_port(port).with_scheme(scheme);
    uri.with_session_id(random::session_id()).expect("letters and digits are a session id")
}

/// A URI of a path has its session id and its port (RFC 4975 6).
fn check_local(uri: Uri) -> Result<Uri, ConnectError> {
    if uri.session_id().is_none() || uri.port().is_none() { Err(ConnectError::Local(Box::new(uri))) } else { Ok(uri) }
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A URI of this end lacks its session id or its port.
    #[error("{0} lacks its session id or its port")]
    Local(Box<Uri>),
    /// Nobody can connect to this URI: its transport is not known, or its host stands for none.
    #[error("nobody connects to {0}")]
    Unreachable(Box<Uri>),
    /// TLS is not built in.
    #[error("TLS is not built in: the feature `tls` is missing")]
    NoTls,
    /// There is no connection.
    #[error(transparent)]
    Establishment(#[from] EstablishmentError),
    /// The connection is no stream.
    #[error("{0}")]
    Stream(String),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The connection does not take the session.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The session ended before it had begun.
    #[error("the session has not begun: {0}")]
    Session(SessionEnd),
    /// It was not there in time.
    #[error("no session within {0:?}")]
    Timeout(Duration),
    /// The URI is expected already, or not at all.
    #[error("{0} is expected already, or not any more")]
    Expected(Box<Uri>),
    /// The relay does not take this end.
    #[error("the relay does not take this end: {0}")]
    Relay(String),
    /// The server has been closed.
    #[error("the server is closed")]
    Closed,
}
