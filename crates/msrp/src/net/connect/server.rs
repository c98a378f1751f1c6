//! The end that is connected to: listening ports, and the sessions that are expected there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use postroad_taps::{Listener, LocalEndpoint, Preconnection, Protocol};
use tokio::sync::{Semaphore, oneshot};

use super::{ConnectError, Ends, Options, check_local, local_uri};
use crate::engine;
use crate::net::link::{Doorman, Shared, State};
use crate::net::random;
use crate::net::transport::Transport;
use crate::{Code, Host, Path, Scheme, Uri};

/// Listens for peers of any number of sessions, on one port or on several.
///
/// Connections are accepted and bound in tasks of their own: a client that says nothing, or does not get on with TLS,
/// delays nobody.
///
/// ```no_run
/// # async fn run(theirs: postroad_msrp::Path) -> Result<(), Box<dyn std::error::Error>> {
/// use postroad_msrp::connect::Server;
/// use postroad_msrp::session::Session;
///
/// let server = Server::default();
/// let expected = server.prepare(None).await?;
/// // `expected.path()` goes into the offer as a=path, `theirs` comes with the answer.
/// let session = Session::new(expected.complete(theirs).await?);
/// # let _ = session;
/// # Ok(()) }
/// ```
#[doc(alias = "MSRPServer")]
#[derive(Debug, Clone, Default)]
pub struct Server {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    options: Options,
    ports: tokio::sync::Mutex<HashMap<Port, Arc<Listener>>>,
    book: Arc<Book>,
}

/// Where it listens, and over what.
type Port = (Host, u16, Scheme, crate::Transport);

/// Waits for a peer on a port of its own.
#[doc(alias = "AcceptorDirect")]
#[derive(Debug, Clone, Default)]
pub struct DirectAcceptor {
    server: Server,
}

/// A session whose peer is waited for. Dropping it expects the peer no longer.
#[derive(Debug)]
pub struct Expected {
    server: Server,
    path: Path,
    entered: Entered,
}

/// An entry in the book, as long as the session is expected or there.
#[derive(Debug)]
pub(crate) struct Entered {
    book: Arc<Book>,
    uri: Uri,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.book.forget(&self.uri);
    }
}

/// The sessions that are expected.
#[derive(Debug, Default)]
struct Book {
    entries: Mutex<HashMap<Uri, Wanted>>,
}

#[derive(Debug)]
struct Wanted {
    options: Options,
    /// The peer's path, once it is known, and who waits for the peer.
    wanted: Option<(Path, oneshot::Sender<Found>)>,
    /// Connections whose first request is for this session, and wait for the peer's path to be known.
    waiting: Vec<(Weak<Shared>, Path)>,
    /// Whether a connection is bound to it.
    bound: bool,
}

#[derive(Debug)]
struct Found {
    link: Arc<Shared>,
    session: engine::SessionKey,
}

/// Connections that wait for one session's path to be known: more are turned away.
const WAITING: usize = 8;

/// Connections to a port that are nobody's yet: they are being let in, or have not said for which session they are. More wait in
/// the system's queue, so that who connects and says nothing takes neither memory nor sockets without end.
const STRANGERS: usize = 1024;

/// The same from one address, whose further connections are closed: one client is not to keep the others out.
const FROM_ADDRESS: usize = 64;

impl Server {
    /// A server whose connections and sessions are like this.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { inner: Arc::new(Inner { options, ..Inner::default() }) }
    }

    /// Expects a peer at a URI, or at a new one on the loopback address, and listens there where nobody does yet: on the URI's
    /// address, or on all addresses of its name. Without a port it is any that is free; [`Expected::path`] has it.
    ///
    /// # Errors
    /// The address cannot be listened on, or the URI is expected already.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the port open.
    pub async fn prepare(&self, local: Option<Uri>) -> Result<Expected, ConnectError> {
        let loopback = Host::from(Ipv4Addr::LOCALHOST);
        let host = local.as_ref().map_or(&loopback, Uri::host).clone();
        let scheme = local.as_ref().map_or(Scheme::Msrp, Uri::scheme);
        let wanted = local.as_ref().and_then(Uri::port).unwrap_or(0);
        let transport = local.as_ref().map_or(crate::Transport::Tcp, |uri| uri.transport().clone());
        if !Options::speaks(&transport) {
            return Err(ConnectError::Unreachable(Box::new(local.expect("by default it is TCP"))));
        }
        let port = self.listen((host.clone(), wanted, scheme, transport)).await?;
        let uri = match local {
            Some(uri) if uri.session_id().is_some() => check_local(uri.with_port(port))?,
            Some(uri) => {
                let id = random::session_id();
                uri.with_port(port).with_session_id(id).expect("letters and digits are a session id")
            }
            None => local_uri(host, port, scheme),
        };
        self.inner.book.expect(&uri, self.inner.options.clone())?;
        let entered = Entered { book: self.inner.book.clone(), uri: uri.clone() };
        Ok(Expected { server: self.clone(), path: uri.into(), entered })
    }

    /// Stops listening. Sessions go on; peers that have not come yet will not.
    #[doc(alias = "stopListening")]
    pub async fn close(&self) {
        for (_, listener) in self.inner.ports.lock().await.drain() {
            listener.stop();
        }
        self.inner.book.lock().clear();
    }

    async fn listen(&self, (host, port, scheme, transport): Port) -> Result<u16, ConnectError> {
        let mut ports = self.inner.ports.lock().await;
        if port != 0 && ports.contains_key(&(host.clone(), port, scheme, transport.clone())) {
            return Ok(port);
        }
        let options = &self.inner.options;
        let local = match &host {
            Host::Ip(address) => LocalEndpoint::address(*address),
            // All addresses of that name.
            name => LocalEndpoint::host(name.to_string()),
        };
        let local = local.port(port);
        let local = match transport {
            #[cfg(feature = "websocket")]
            crate::Transport::Ws => local.websocket(&options.websocket_resource).subprotocol(super::SUBPROTOCOL),
            _ => local.protocol(Protocol::Tcp),
        };
        let security = options.security(scheme)?;
        let listener = Arc::new(Preconnection::new().local(local).security(security).listen().await?);
        let port = listener.local_endpoint().ip().map_or(port, |address| address.port());
        let (timeout, config) = (options.timeout, options.config(&transport));
        ports.insert((host, port, scheme, transport), listener.clone());
        tokio::spawn(accept(listener, timeout, config, self.inner.book.clone()));
        Ok(port)
    }
}

/// Lets clients in.
async fn accept(listener: Arc<Listener>, timeout: Duration, config: engine::Config, book: Arc<Book>) {
    let (places, addresses) = (Arc::new(Semaphore::new(STRANGERS)), Addresses::default());
    while let Ok(place) = places.clone().acquire_owned().await {
        let incoming = match listener.incoming().await {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "no connection was accepted");
                continue;
            }
        };
        let remote = incoming.remote_endpoint().clone();
        let Some(from) = addresses.enter(remote.ip().map(|address| address.ip())) else {
            tracing::debug!(%remote, "too many connections from there that are for no session");
            continue;
        };
        let book = book.clone();
        tokio::spawn(async move {
            match incoming.establish().timeout(timeout).await {
                Ok(connection) => match connection.into_byte_stream() {
                    Ok(stream) => {
                        let ends = Ends::of(&stream);
                        Shared::start_with(stream, config, Some(book), Some(ends), Some(Box::new((place, from))));
                    }
                    Err(error) => tracing::debug!(%remote, %error, "a connection that is no stream"),
                },
                Err(error) => tracing::debug!(%remote, %error, "a client did not get in"),
            }
        });
    }
}

/// How many connections of each address are nobody's yet.
#[derive(Debug, Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<Option<IpAddr>, usize>>>);

/// One of them, as long as it is nobody's.
struct Stranger {
    addresses: Addresses,
    address: Option<IpAddr>,
}

impl Addresses {
    fn enter(&self, address: Option<IpAddr>) -> Option<Stranger> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        (*count < FROM_ADDRESS).then(|| {
            *count += 1;
            Stranger { addresses: self.clone(), address }
        })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl DirectAcceptor {
    /// An acceptor whose session is like this.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { server: Server::new(options) }
    }

    /// Listens at a URI, or at a new one, and expects a peer there.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn prepare(&self, local: Option<Uri>) -> Result<Expected, ConnectError> {
        self.server.prepare(local).await
    }
}

impl Expected {
    /// The path to this end, for the session description.
    #[doc(alias = "full_local_path")]
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the peer of this path: for a connection whose first request comes from there (RFC 4975 5.4).
    ///
    /// # Errors
    /// The peer has not come in time, or the server was closed.
    ///
    /// # Cancel safety
    /// Dropping the future expects the peer no longer.
    pub async fn complete(self, remote: Path) -> Result<Transport, ConnectError> {
        let Self { server, path, entered } = self;
        let within = server.inner.options.timeout;
        let found = entered.book.want(&entered.uri, remote.clone())?;
        let found = match tokio::time::timeout(within, found).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => return Err(ConnectError::Closed),
            Err(_) => return Err(ConnectError::Timeout(within)),
        };
        let Found { link, session } = found;
        let ends = link.ends().expect("an accepted connection knows its ends");
        Ok(Transport { link, session, local_path: path, remote_path: remote, ends, _entered: Some(entered) })
    }

    /// Expects the peer no longer.
    pub fn cleanup(self) {}
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uri, Wanted>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, uri: &Uri, options: Options) -> Result<(), ConnectError> {
        let mut entries = self.lock();
        if entries.contains_key(uri) {
            return Err(ConnectError::Expected(Box::new(uri.clone())));
        }
        entries.insert(uri.clone(), Wanted { options, wanted: None, waiting: Vec::new(), bound: false });
        Ok(())
    }

    /// The peer's path is known now: connections that have waited for that are looked at.
    fn want(&self, uri: &Uri, remote: Path) -> Result<oneshot::Receiver<Found>, ConnectError> {
        let (found, wait) = oneshot::channel();
        let waiting = {
            let mut entries = self.lock();
            let entry = entries.get_mut(uri).ok_or_else(|| ConnectError::Expected(Box::new(uri.clone())))?;
            entry.wanted = Some((remote, found));
            std::mem::take(&mut entry.waiting)
        };
        for (link, from) in waiting {
            if let Some(link) = link.upgrade() {
                let now = Instant::now();
                link.turn(|state| self.stranger(&Arc::downgrade(&link), state, uri, &from, now));
            }
        }
        Ok(wait)
    }

    fn forget(&self, uri: &Uri) {
        let entry = self.lock().remove(uri);
        for (link, _) in entry.into_iter().flat_map(|entry| entry.waiting) {
            if let Some(link) = link.upgrade() {
                link.turn(|state| state.engine.turn_away(Code::NO_SUCH_SESSION, Instant::now()));
            }
        }
    }
}

impl Doorman for Book {
    fn stranger(&self, link: &Weak<Shared>, state: &mut State, to: &Uri, from: &Path, now: Instant) {
        let mut entries = self.lock();
        let key = match entries.get_key_value(to) {
            Some((uri, _)) => Some(uri.clone()),
            // What rewrites addresses has rewritten this one.
            None => {
                let by_id = |(uri, entry): &(&Uri, &Wanted)| entry.options.by_session_id && uri.is_session_of(to);
                entries.iter().find(by_id).map(|(uri, _)| uri.clone())
            }
        };
        let Some(entry) = key.as_ref().and_then(|uri| entries.get_mut(uri)) else {
            drop(entries);
            return state.engine.turn_away(Code::NO_SUCH_SESSION, now);
        };
        if entry.bound {
            drop(entries);
            return state.engine.turn_away(Code::BOUND_ELSEWHERE, now);
        }
        let Some((remote, _)) = &entry.wanted else {
            if entry.waiting.len() >= WAITING {
                drop(entries);
                return state.engine.turn_away(Code::NO_SUCH_SESSION, now);
            }
            entry.waiting.push((link.clone(), from.clone()));
            return;
        };
        let is_peer =
            if entry.options.by_session_id { from.first().is_session_of(remote.first()) } else { from == remote };
        if !is_peer {
            drop(entries);
            return state.engine.turn_away(Code::NO_SUCH_SESSION, now);
        }
        let (remote, found) = entry.wanted.take().expect("just looked at");
        let options = entry.options.session(key.expect("it was found by it"), Vec::new(), remote);
        entry.bound = true;
        drop(entries);
        match state.engine.bind(options, now) {
            Ok(session) => {
                state.feed(session);
                if let Some(link) = link.upgrade()
                    && let Err(Found { session, .. }) = found.send(Found { link, session })
                {
                    // Nobody waits any more.
                    state.remove(session, now);
                }
            }
            Err(_) => state.engine.turn_away(Code::NO_SUCH_SESSION, now),
        }
    }
}
