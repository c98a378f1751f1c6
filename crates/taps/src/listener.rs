//! The passive open: sockets that listen, and the connections that come in (RFC 9622 7.2).

use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::connection::Connection;
use crate::endpoint::{Place, canonical};
use crate::error::{
    Attempt, AttemptError, ConfigurationError, EstablishmentError, EstablishmentErrorKind as Kind, ListenError,
};
use crate::framer::FramerFactory;
use crate::initiate::handshake;
use crate::preconnection::Preconnection;
use crate::properties::TransportProperties;
use crate::resolve::Resolver;
use crate::stream::ByteStream;
use crate::tls::{Security, TlsInfo};

/// How long a client may take for its TLS handshake and framers, unless [`Establish::timeout`] says otherwise: a
/// client that connects and stays silent must not hold a socket forever.
pub const DEFAULT_ESTABLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// How many clients may wait in the system's queue for [`Listener::incoming`].
const BACKLOG: i32 = 1024;

/// How long a listener rests when the process has no descriptor left for a client that waits.
const REST: Duration = Duration::from_millis(50);

/// Takes connections in.
///
/// Establishing a connection may take long, for TLS waits on the client. A server therefore takes each client
/// with [`incoming`](Self::incoming), which never waits on one, and establishes it in a task of its own:
///
/// ```no_run
/// # async fn serve(listener: postroad_taps::Listener) -> Result<(), Box<dyn std::error::Error>> {
/// while let Some(incoming) = listener.incoming().await? {
///     tokio::spawn(async move {
///         match incoming.establish().await {
///             Ok(connection) => { /* serve it */ }
///             Err(error) => eprintln!("{error}"),
///         }
///     });
/// }
/// # Ok(()) }
/// ```
///
/// [`accept`](Self::accept) does both in one, for programs with one client at a time.
pub struct Listener {
    sockets: Mutex<Option<Arc<Vec<TcpListener>>>>,
    stopped: watch::Sender<bool>,
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

/// What every incoming connection needs.
struct Shared {
    tls: Option<TlsAcceptor>,
    framers: Vec<FramerFactory>,
    properties: TransportProperties,
}

/// Why a listener could not take a connection in. It goes on listening; call again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The process or the system has no descriptor or memory left; the listener has rested for 50 ms already.
    #[error("out of descriptors or memory: {0}")]
    OutOfResources(String),
    /// A client was taken in by [`Listener::accept`], and the connection with it failed.
    #[error(transparent)]
    Establishment(#[from] EstablishmentError),
}

impl Listener {
    pub(crate) async fn open(preconnection: Preconnection) -> Result<Self, ListenError> {
        let local = preconnection.local.as_ref().ok_or(ConfigurationError::NoLocalEndpoint)?;
        let tls = match &preconnection.security {
            Security::Disabled => None,
            Security::Tls(config) => Some(TlsAcceptor::from(config.server()?)),
        };
        local.check().map_err(ConfigurationError::from)?;
        let wanted = Resolver::system().resolve_local(local, crate::Protocol::Tcp).all().await?;
        let any = local.identifiers().place == Place::Any;
        let sockets = if any { bind_any(&wanted)? } else { bind_all(&wanted)? };
        let addresses = sockets.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>();
        let addresses = addresses.map_err(|error| failed(wanted[0], &error))?;
        let Preconnection { framers, properties, .. } = preconnection;
        Ok(Self {
            sockets: Mutex::new(Some(Arc::new(sockets))),
            stopped: watch::Sender::new(false),
            addresses,
            shared: Arc::new(Shared { tls, framers, properties }),
        })
    }

    /// Waits for the next client and hands it over before a byte is exchanged; `None` after
    /// [`stop`](Self::stop). Several tasks may wait at once.
    ///
    /// # Errors
    /// [`AcceptError::OutOfResources`]; the listener goes on.
    ///
    /// # Cancel safety
    /// Dropping the future loses no client.
    pub async fn incoming(&self) -> Result<Option<Incoming>, AcceptError> {
        let mut stopped = self.stopped.subscribe();
        let Some(sockets) = self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return Ok(None);
        };
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(None),
                accepted = accept_any(&sockets) => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let accepted = Instant::now();
                    return Ok(Some(Incoming {
                        stream,
                        peer: canonical(peer),
                        accepted,
                        shared: Arc::clone(&self.shared),
                    }));
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tokio::time::sleep(REST).await;
                    return Err(AcceptError::OutOfResources(error.to_string()));
                }
            }
        }
    }

    /// Waits for the next client and establishes the connection with it; `None` after [`stop`](Self::stop).
    ///
    /// A client that is slow at its TLS handshake holds up the ones behind it: a server with many clients wants
    /// [`incoming`](Self::incoming).
    ///
    /// # Errors
    /// Also when the connection with one client failed; the listener goes on.
    ///
    /// # Cancel safety
    /// Dropping the future may close the connection of a client that is being established.
    #[doc(alias = "HANDLE_CONNECTION_RECEIVED")]
    pub async fn accept(&self) -> Result<Option<Connection>, AcceptError> {
        match self.incoming().await? {
            Some(incoming) => Ok(Some(incoming.establish().await?)),
            None => Ok(None),
        }
    }

    /// The address where it listens, with the port that the system picked when none was asked for; the first one
    /// of several.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Every address where it listens; there are several when the local endpoint's name has several.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether its connections are protected by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.shared.tls.is_some()
    }

    /// Stops listening: waiting tasks get `None`, new clients are refused, connections live on.
    pub fn stop(&self) {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.stopped.send_replace(true);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("addresses", &self.addresses)
            .field("tls", &self.is_tls())
            .finish_non_exhaustive()
    }
}

/// A client that has connected; [`establish`](Self::establish) makes a connection of it. Dropping it closes the
/// socket.
#[must_use = "the client waits for `establish`"]
pub struct Incoming {
    stream: TcpStream,
    peer: SocketAddr,
    accepted: Instant,
    shared: Arc<Shared>,
}

impl Incoming {
    /// The address of the client.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Establishes the connection: the TLS handshake, when the listener has TLS, and the framers' start. It takes
    /// at most [`DEFAULT_ESTABLISH_TIMEOUT`] unless told otherwise.
    pub fn establish(self) -> Establish {
        Establish { incoming: self, timeout: DEFAULT_ESTABLISH_TIMEOUT }
    }

    async fn run(self) -> Result<Connection, AttemptError> {
        let Shared { tls, framers, properties } = &*self.shared;
        properties.apply(&self.stream).map_err(|error| AttemptError::Property(error.kind()))?;
        let stream = match tls {
            None => ByteStream::tcp(self.stream).map_err(|error| AttemptError::from_io(&error))?,
            Some(acceptor) => protect(acceptor, self.stream).await?,
        };
        Connection::open(stream, framers, properties).await
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A client's connection that is about to be established; await it.
///
/// # Cancel safety
/// Dropping the future closes the client's socket.
#[derive(Debug)]
#[must_use = "nothing happens before this is awaited"]
pub struct Establish {
    incoming: Incoming,
    timeout: Duration,
}

impl Establish {
    /// Gives up after this time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl IntoFuture for Establish {
    type Output = Result<Connection, EstablishmentError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { incoming, timeout } = self;
        Box::pin(async move {
            let (address, accepted) = (incoming.peer, incoming.accepted);
            let result = tokio::time::timeout(timeout, incoming.run()).await;
            let (kind, error) = match result {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => (Kind::EstablishmentFailed, error),
                Err(_) => (Kind::Timeout(timeout), AttemptError::Unfinished),
            };
            let attempt = Attempt { address, started_after: Duration::ZERO, elapsed: accepted.elapsed(), error };
            Err(EstablishmentError::new(kind, vec![attempt]))
        })
    }
}

/// Runs the handshake with a client.
pub(crate) async fn protect(acceptor: &TlsAcceptor, tcp: TcpStream) -> Result<ByteStream, AttemptError> {
    let stream = acceptor.accept(tcp).await.map_err(|error| handshake(&error))?;
    let session = stream.get_ref().1;
    let info = TlsInfo::of(session, session.server_name());
    ByteStream::tls(stream.into(), info).map_err(|error| AttemptError::from_io(&error))
}

/// Waits on every socket. Each call to `accept` has its own waker, so several tasks may wait.
async fn accept_any(sockets: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    if let [socket] = sockets {
        return socket.accept().await;
    }
    let mut waiting: Vec<_> = sockets.iter().map(|socket| Box::pin(socket.accept())).collect();
    poll_fn(|cx| {
        let ready = waiting.iter_mut().find_map(|accept| match accept.as_mut().poll(cx) {
            Poll::Ready(accepted) => Some(accepted),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Errors that concern one client who is gone again, not the listener (accept(2)).
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut
            | io::ErrorKind::PermissionDenied
    )
}

/// Every address of the machine: one socket for both families, or one for IPv4 where there is no IPv6.
fn bind_any(wanted: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    match bind(wanted[0]) {
        Ok(socket) => Ok(vec![socket]),
        Err(error) if no_such_family(&error) => Ok(vec![bind(wanted[1]).map_err(|error| failed(wanted[1], &error))?]),
        Err(error) => Err(failed(wanted[0], &error)),
    }
}

/// Every address of a name, all on the port that the first one gets.
fn bind_all(wanted: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    let mut sockets: Vec<TcpListener> = Vec::new();
    let mut port = 0;
    let mut skipped = None;
    for &address in wanted {
        let mut address = address;
        if address.port() == 0 {
            address.set_port(port);
        }
        if sockets.iter().any(|socket| socket.local_addr().is_ok_and(|bound| bound == address)) {
            continue;
        }
        match bind(address) {
            Ok(socket) => {
                port = socket.local_addr().map_err(|error| failed(address, &error))?.port();
                sockets.push(socket);
            }
            // A name may carry addresses of a family that this machine does not have: `::1` for localhost.
            Err(error) if wanted.len() > 1 && no_such_family(&error) => {
                skipped = Some(failed(address, &error));
            }
            // The system picked this port, free on another address and taken on this one: that other will do.
            Err(error) if address.port() != 0 && wanted[0].port() == 0 && !sockets.is_empty() => {
                skipped = Some(failed(address, &error));
            }
            Err(error) => return Err(failed(address, &error)),
        }
    }
    match skipped {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(sockets),
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // The unspecified address stands for both families; any other one only for itself.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // On Windows the option would let two listeners share a port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn no_such_family(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.kind() == io::ErrorKind::Unsupported
        || (cfg!(target_os = "linux") && error.raw_os_error() == Some(EAFNOSUPPORT))
}

fn failed(address: SocketAddr, error: &io::Error) -> ListenError {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ListenError::PolicyProhibited { address },
        io::ErrorKind::AddrInUse => ListenError::AddressInUse { address },
        io::ErrorKind::AddrNotAvailable => ListenError::NotLocal { address },
        kind => ListenError::Failed { address, kind },
    }
}
