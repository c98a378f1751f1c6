//! The passive open: where to listen, and the connections that come in (RFC 9622 7.2).

mod open;

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::{Connection, Opened, Origin};
use crate::endpoint::EndpointAddress;
use crate::error::{Attempt, AttemptError, EstablishmentError, EstablishmentErrorKind as Kind, ListenError};
use crate::framer::FramerFactory;
use crate::preconnection::Preconnection;
use crate::properties::TransportProperties;
use crate::protocol::ProtocolStack;
use crate::stack::{Acceptor, Arrival};

/// How long a client may take for its TLS handshake and framers, unless [`Establish::timeout`] says otherwise: a
/// client that connects and stays silent must not hold a socket forever.
pub const DEFAULT_ESTABLISH_TIMEOUT: Duration = Duration::from_secs(10);

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
    acceptors: Mutex<Option<Acceptors>>,
    stopped: watch::Sender<bool>,
    /// How many connections may still come; `None` is any number.
    limit: watch::Sender<Option<usize>>,
    /// Clients that came as the limit was reached.
    held: Mutex<VecDeque<(Arrival, ProtocolStack)>>,
    /// Which of the acceptors is asked first the next time.
    turn: AtomicUsize,
    addresses: Vec<EndpointAddress>,
    tls: bool,
    shared: Arc<Shared>,
}

/// Where clients come in; none after the listener was stopped.
type Acceptors = Arc<Vec<Box<dyn Acceptor>>>;

/// What every incoming connection needs.
struct Shared {
    framers: Vec<FramerFactory>,
    properties: Arc<TransportProperties>,
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
    pub(crate) async fn open(preconnection: &Preconnection) -> Result<Self, ListenError> {
        Ok(Self::over(open::acceptors(preconnection).await?, preconnection))
    }

    /// Takes clients in with what listens already.
    pub(crate) fn over(acceptors: Vec<Box<dyn Acceptor>>, preconnection: &Preconnection) -> Self {
        let mut addresses: Vec<EndpointAddress> = Vec::new();
        for acceptor in &acceptors {
            if !addresses.contains(acceptor.local()) {
                addresses.push(acceptor.local().clone());
            }
        }
        let tls = acceptors.iter().all(|acceptor| acceptor.stack().is_secure());
        let Preconnection { framers, properties, .. } = preconnection.clone();
        Self {
            acceptors: Mutex::new(Some(Arc::new(acceptors))),
            stopped: watch::Sender::new(false),
            limit: watch::Sender::new(None),
            held: Mutex::default(),
            turn: AtomicUsize::new(0),
            addresses,
            tls,
            shared: Arc::new(Shared { framers, properties: Arc::new(properties) }),
        }
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
        let Some(acceptors) = self.acceptors.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return Ok(None);
        };
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(None),
                accepted = self.accept_within_limit(&acceptors) => accepted,
            };
            match accepted {
                Ok((arrival, stack)) => {
                    let (accepted, shared) = (Instant::now(), Arc::clone(&self.shared));
                    return Ok(Some(Incoming { arrival, stack, accepted, shared }));
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tokio::time::sleep(REST).await;
                    return Err(AcceptError::OutOfResources(error.to_string()));
                }
            }
        }
    }

    async fn accept_within_limit(&self, acceptors: &[Box<dyn Acceptor>]) -> io::Result<(Arrival, ProtocolStack)> {
        let mut limit = self.limit.subscribe();
        loop {
            // The sender is ours: it does not go.
            let _ = limit.wait_for(|left| *left != Some(0)).await;
            let held = self.held().pop_front();
            let accepted = match held {
                Some(held) => held,
                None => tokio::select! {
                    biased;
                    _ = limit.changed() => continue,
                    accepted = accept_any(acceptors, self.turn.fetch_add(1, Ordering::Relaxed)) => accepted?,
                },
            };
            if self.take_place() {
                return Ok(accepted);
            }
            // Another task has taken the last place meanwhile.
            self.held().push_back(accepted);
        }
    }

    fn take_place(&self) -> bool {
        let mut taken = true;
        self.limit.send_if_modified(|left| match left {
            Some(0) => {
                taken = false;
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
            None => false,
        });
        taken
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<(Arrival, ProtocolStack)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets this many connections come from now on; the clients after them wait in the system's queue, and nobody is
    /// refused (RFC 9622 7.2).
    pub fn set_new_connection_limit(&self, connections: usize) {
        self.limit.send_replace(Some(connections));
    }

    /// Lets any number of connections come.
    pub fn reset_connection_limit(&self) {
        self.limit.send_replace(None);
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

    /// Where it listens, with the port that the system picked when none was asked for; the first one of several.
    #[must_use]
    pub fn local_endpoint(&self) -> &EndpointAddress {
        &self.addresses[0]
    }

    /// Everywhere where it listens; there are several when there are several local endpoints, or one with a name
    /// that has several addresses. Protocols that share an address are one entry.
    #[must_use]
    pub fn local_endpoints(&self) -> &[EndpointAddress] {
        &self.addresses
    }

    /// Whether its connections are protected by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Waits until it has been stopped.
    #[doc(alias = "HANDLE_STATE_STOPPED")]
    pub async fn stopped(&self) {
        // The sender is ours: it does not go.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Stops listening: waiting tasks get `None`, new clients are refused, connections live on.
    pub fn stop(&self) {
        self.acceptors.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.held().clear();
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
    arrival: Arrival,
    stack: ProtocolStack,
    accepted: Instant,
    shared: Arc<Shared>,
}

impl Incoming {
    /// The address of the client.
    #[must_use]
    pub fn remote_endpoint(&self) -> &EndpointAddress {
        &self.arrival.peer
    }

    /// The protocol stack that it has come over.
    #[must_use]
    pub fn protocol_stack(&self) -> ProtocolStack {
        self.stack
    }

    /// Establishes the connection: the handshakes of the protocol and of TLS, where it has them, and the framers'
    /// start. It takes at most [`DEFAULT_ESTABLISH_TIMEOUT`] unless told otherwise.
    pub fn establish(self) -> Establish {
        Establish { incoming: self, timeout: DEFAULT_ESTABLISH_TIMEOUT }
    }

    async fn run(self) -> Result<Connection, AttemptError> {
        let Shared { framers, properties } = &*self.shared;
        let established = self.arrival.establish.await?;
        let opened = Opened::start(established, Origin::new(framers, None), None).await?;
        Ok(Connection::new(opened, properties))
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("peer", &self.arrival.peer).finish_non_exhaustive()
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
            let (address, stack, accepted) = (incoming.arrival.peer.clone(), incoming.stack, incoming.accepted);
            let result = tokio::time::timeout(timeout, incoming.run()).await;
            let (kind, error) = match result {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => (Kind::EstablishmentFailed, error),
                Err(_) => (Kind::Timeout(timeout), AttemptError::Unfinished),
            };
            let attempt = Attempt { stack, address, started_after: Duration::ZERO, elapsed: accepted.elapsed(), error };
            Err(EstablishmentError::new(kind, vec![attempt]))
        })
    }
}

/// Waits on every acceptor, on another one first each time: a flood at one of them keeps nobody out at the others. Each
/// call has its own waker, so several tasks may wait.
async fn accept_any(acceptors: &[Box<dyn Acceptor>], turn: usize) -> io::Result<(Arrival, ProtocolStack)> {
    if let [acceptor] = acceptors {
        return Ok((acceptor.accept().await?, acceptor.stack()));
    }
    let (later, first) = acceptors.split_at(turn % acceptors.len().max(1));
    let waiting = first.iter().chain(later).map(|acceptor| (acceptor.accept(), acceptor.stack()));
    let mut waiting: Vec<_> = waiting.collect();
    poll_fn(|cx| {
        let ready = waiting.iter_mut().find_map(|(accept, stack)| match accept.as_mut().poll(cx) {
            Poll::Ready(accepted) => Some(accepted.map(|arrival| (arrival, *stack))),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Errors that concern one client who is gone again, not the listener (accept(2)).
pub(crate) fn is_the_clients(error: &io::Error) -> bool {
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
