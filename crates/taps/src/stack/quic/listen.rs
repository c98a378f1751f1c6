//! The passive side of QUIC.
//!
//! A client is one connection of QUIC, and each of its streams a connection of ours in the same group, which comes with
//! its first bytes: a stream that nothing was sent on does not exist for the peer (RFC 9623 4.5). What arrives first tells
//! what the connection is for: streams, or datagrams. Handshakes run beside each other and beside all this.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{
    Connecting, Connection, ConnectionError, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime,
    ZeroRttAccepted,
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::datagram::Datagrams;
use super::early::finish;
use super::error;
use super::link::{Link, Ways};
use super::new_socket;
use super::parameters::{Carries, PeerStreams, asks_for_loose, parameters};
use super::socket::Socket;
use super::stream::QuicStream;
use crate::endpoint::{EndpointAddress, canonical};
use crate::error::AttemptError;
use crate::properties::{Direction, Multipath, Preference, Role, SelectionProperty, TransportProperties};
use crate::protocol::ProtocolStack;
use crate::stack::{Acceptor, Arrival, Hosting, Stand};
use crate::tls::{TlsConfig, TlsInfo, TlsVersion};
use crate::transport::{About, Established};

/// How many connections wait until somebody takes them. Beyond that clients wait, each with its streams.
const WAITING: usize = 64;

/// How many handshakes go on at once. Beyond the first number a client has to show that its address is its own, beyond
/// the second it is refused: what pretends to be many clients costs no more than that.
const TRUSTED: usize = 64;
pub(super) const HANDSHAKES: usize = 512;

/// How many clients have not been handed over with a first stream or datagram, handshakes included: each costs some
/// kilobytes. Beyond that they are refused.
pub(super) const SILENT: usize = 1024;

/// How long an established client may take for its first stream or datagram.
pub(super) const SILENT_PATIENCE: Duration = Duration::from_secs(300);

/// How long a client may take for its handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// How much of what comes before a handshake is taken up waits, in bytes: of one client, and of all.
const EARLY: u64 = 256 * 1024;
const ALL_EARLY: u64 = 8 * 1024 * 1024;

/// A socket of QUIC that listens.
#[derive(Debug)]
pub(super) struct QuicAcceptor {
    arrivals: Mutex<mpsc::Receiver<Arrival>>,
    stack: ProtocolStack,
    local: EndpointAddress,
}

/// What every client's task has.
pub(super) struct Reception {
    arrivals: mpsc::Sender<Arrival>,
    socket: Arc<Socket>,
    properties: Arc<TransportProperties>,
    stack: ProtocolStack,
    local: SocketAddr,
    carries: Carries,
    tls: TlsConfig,
    early: bool,
    /// Whether messages that may be lost go beside the streams.
    loose: bool,
    pub(super) handshakes: Semaphore,
    pub(super) silent: Arc<Semaphore>,
}

/// A handshake that goes on while what the client sends is looked at, and its place among those that go on at once.
struct Handshake<'a> {
    over: ZeroRttAccepted,
    until: Instant,
    _permit: SemaphorePermit<'a>,
}

/// Begins to listen.
pub(in crate::stack) fn listen(stand: &Stand, hosting: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    let (acceptor, _) = open(stand, hosting)?;
    Ok(Box::new(acceptor))
}

pub(super) fn open(stand: &Stand, hosting: &Hosting) -> io::Result<(QuicAcceptor, Arc<Reception>)> {
    let address = stand.local.ip().ok_or(io::ErrorKind::InvalidInput)?;
    let side = hosting.security.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
    let properties = &hosting.properties;
    let socket = new_socket(address, stand.interface.as_deref(), stand.both_families)?;
    let socket = Socket::new(socket, properties.connection.capacity_profile)?;
    let mut carries = carries(stand.stack, properties);
    let loose = carries.streams && asks_for_loose(properties);
    // Nothing tells the first datagram of one kind from that of the other.
    carries.datagrams &= !loose;
    // Early data may be a copy: only those who have said that they can do with copies get it (RFC 9622 6.2.5).
    let early = properties.safely_replayable()
        && properties.preference_in(SelectionProperty::ZeroRttMsg, Role::Listen) != Preference::Prohibit;
    let crypto =
        side.config().quic_server(early).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let mut config = ServerConfig::with_crypto(crypto);
    let peer_streams = if carries.streams { PeerStreams::Grouped } else { PeerStreams::None };
    let takes = Carries { datagrams: carries.datagrams || loose, ..carries };
    config.transport_config(parameters(&properties.connection, takes, peer_streams));
    config.migration(properties.multipath_in(Role::Listen) != Multipath::Disabled);
    config.max_incoming(HANDSHAKES).incoming_buffer_size(EARLY).incoming_buffer_size_total(ALL_EARLY);
    let (endpoint, local) = endpoint(&socket, Some(config))?;
    let (sender, arrivals) = mpsc::channel(WAITING);
    let reception = Arc::new(Reception {
        arrivals: sender,
        socket,
        properties: Arc::clone(properties),
        stack: stand.stack,
        local,
        carries,
        tls: side.config().clone(),
        early: early && !side.config().asks_for_clients(),
        loose,
        handshakes: Semaphore::new(HANDSHAKES),
        silent: Arc::new(Semaphore::new(SILENT)),
    });
    tokio::spawn(receive(endpoint, Arc::clone(&reception)));
    Ok((QuicAcceptor { arrivals: Mutex::new(arrivals), stack: stand.stack, local: local.into() }, reception))
}

/// An endpoint of QUIC over a socket, and where that is bound.
pub(super) fn endpoint(socket: &Arc<Socket>, config: Option<ServerConfig>) -> io::Result<(Endpoint, SocketAddr)> {
    let socket: Arc<Socket> = Arc::clone(socket);
    let endpoint =
        Endpoint::new_with_abstract_socket(EndpointConfig::default(), config, socket, Arc::new(TokioRuntime))?;
    let local = canonical(endpoint.local_addr()?);
    Ok((endpoint, local))
}

/// What a listener takes: datagrams where reliability is not a must, streams where it is not forbidden.
fn carries(stack: ProtocolStack, properties: &TransportProperties) -> Carries {
    let reliability = properties.preference_in(SelectionProperty::Reliability, Role::Listen);
    Carries {
        streams: stack == ProtocolStack::QuicStream && reliability != Preference::Prohibit,
        datagrams: stack == ProtocolStack::QuicDatagram || reliability != Preference::Require,
    }
}

impl Acceptor for QuicAcceptor {
    fn accept(&self) -> crate::transport::BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let arrival = self.arrivals.lock().await.recv().await;
            // The socket has failed: there is no more to come.
            arrival.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
        })
    }

    fn stack(&self) -> ProtocolStack {
        self.stack
    }

    fn local(&self) -> &EndpointAddress {
        &self.local
    }
}

/// Takes clients in until the acceptor is dropped, and refuses them for as long as the socket is still needed by those
/// who came before.
async fn receive(endpoint: Endpoint, reception: Arc<Reception>) {
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            () = reception.arrivals.closed() => break,
        };
        let Some(incoming) = incoming else { return };
        let free = reception.handshakes.available_permits();
        if free > 0 && HANDSHAKES - free >= TRUSTED && !incoming.remote_address_validated() {
            // The client comes again with a token, which it gets only where it says it is (RFC 9000 8.1.2).
            let _ = incoming.retry();
            continue;
        }
        match Arc::clone(&reception.silent).try_acquire_owned() {
            Ok(silent) if free > 0 => drop(tokio::spawn(Arc::clone(&reception).take_in(incoming, silent))),
            _ => incoming.refuse(),
        }
    }
    drop(reception);
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => incoming.refuse(),
                None => return,
            },
            () = endpoint.wait_idle() => return,
        }
    }
}

impl Reception {
    /// Goes through the handshake with a client, and takes what it opens for as long as it stays.
    async fn take_in(self: Arc<Self>, incoming: Incoming, silent: OwnedSemaphorePermit) {
        let peer = canonical(incoming.remote_address());
        let permit = self.handshakes.acquire().await.expect("the semaphore is never closed");
        let until = Instant::now() + HANDSHAKE_PATIENCE;
        let result = match timeout_at(until, self.handshake(incoming)).await {
            Ok(result) => result,
            Err(_) => Err(AttemptError::NoAnswer),
        };
        match result {
            Ok((link, Some(over))) => {
                self.attend(&link, Some(Handshake { over, until, _permit: permit }), silent).await;
            }
            Ok((link, None)) => {
                drop(permit);
                self.attend(&link, None, silent).await;
            }
            Err(error) => {
                drop(permit);
                let failed = Arrival { peer: peer.into(), establish: Box::pin(async { Err(error) }) };
                // Failures are told while somebody listens to them.
                let _ = self.arrivals.try_send(failed);
            }
        }
    }

    async fn handshake(&self, incoming: Incoming) -> Result<(Arc<Link>, Option<ZeroRttAccepted>), AttemptError> {
        let failed = |error| error::attempt(&error, || None);
        let mut connecting = incoming.accept().map_err(failed)?;
        let data = connecting.handshake_data().await.map_err(failed)?;
        let data = data.downcast::<quinn::crypto::rustls::HandshakeData>().ok();
        let tls = TlsInfo::unfinished(TlsVersion::V1_3, data.and_then(|data| data.server_name).as_deref());
        let (connection, accepted) = match self.begin(connecting) {
            Ok((connection, accepted)) => (connection, Some(accepted)),
            Err(connecting) => {
                let connection = connecting.await.map_err(failed)?;
                finish(&tls, &connection);
                self.tls.check_trust(&tls).await?;
                (connection, None)
            }
        };
        let link = self.link(connection, tls);
        link.set_handshaking(accepted.is_some());
        Ok((link, accepted))
    }

    /// With early data the streams are looked at before the handshake is over.
    fn begin(&self, connecting: Connecting) -> Result<(Connection, ZeroRttAccepted), Connecting> {
        if self.early { connecting.into_0rtt() } else { Err(connecting) }
    }

    fn link(&self, connection: Connection, tls: TlsInfo) -> Arc<Link> {
        let ip = connection.local_ip().unwrap_or_else(|| self.local.ip());
        let local = canonical(SocketAddr::new(ip, self.local.port()));
        let mut about = About::new(self.stack, local.into(), canonical(connection.remote_address()).into());
        about.tls = Some(tls);
        let link = Link::new(connection, Arc::clone(&self.socket), about, false, &self.properties.connection);
        Arc::new(link.with_loose(self.loose))
    }

    /// Hands over what the client opens. It is silent until the first of that has been handed over.
    async fn attend(&self, link: &Arc<Link>, mut handshake: Option<Handshake<'_>>, silent: OwnedSemaphorePermit) {
        if self.properties.direction() == Direction::UnidirectionalSend {
            // The client waits for a stream of ours, and opens none.
            if let Ok((send, _)) = link.open(Ways::Out).await {
                self.hand_over(link, link.established(Some(send), None, &self.properties.connection)).await;
            }
            drop(silent);
            self.await_handshake(link, &mut handshake).await;
            return;
        }
        let connection = link.connection.clone();
        let (mut silent, until) = (Some(silent), Instant::now() + SILENT_PATIENCE);
        loop {
            let established = tokio::select! {
                // What has come before the end of the handshake was seen counts as early.
                biased;
                () = self.arrivals.closed() => break,
                opened = connection.accept_bi(), if self.carries.streams => match opened {
                    Ok((send, receive)) => self.stream(link, QuicStream::new(link.join(), Some(send), Some(receive))),
                    Err(_) => break,
                },
                opened = connection.accept_uni(), if self.carries.streams => match opened {
                    Ok(receive) => self.stream(link, QuicStream::new(link.join(), None, Some(receive))),
                    Err(_) => break,
                },
                datagram = connection.read_datagram(), if self.carries.datagrams && silent.is_some() => match datagram {
                    Ok(first) => {
                        let early = link.is_handshaking();
                        let datagrams = Datagrams::new(link.join(), Some(first), early);
                        self.hand_over(link, link.established_datagrams(datagrams, false)).await;
                        drop(silent);
                        self.await_handshake(link, &mut handshake).await;
                        return;
                    }
                    Err(_) => break,
                },
                in_time = self.await_handshake(link, &mut handshake), if handshake.is_some() => {
                    if in_time { continue } else { break }
                }
                () = sleep_until(until), if silent.is_some() => {
                    link.give_up();
                    break;
                }
            };
            self.hand_over(link, established).await;
            silent = None;
        }
        if silent.is_some() && (handshake.is_some() || link.is_given_up()) {
            let reason = link.connection.close_reason().filter(|error| *error != ConnectionError::LocallyClosed);
            let error = reason.map_or(AttemptError::NoAnswer, |error| error::attempt(&error, || None));
            let failed = Box::pin(async { Err(error) });
            let _ = self.arrivals.try_send(Arrival { peer: link.about().remote.clone(), establish: failed });
        }
    }

    /// Waits for the end of a handshake that goes on; a client that takes too long for it is given up.
    async fn await_handshake(&self, link: &Link, handshake: &mut Option<Handshake<'_>>) -> bool {
        let Some(Handshake { over, until, .. }) = handshake else { return true };
        if timeout_at(*until, over).await.is_err() {
            link.give_up();
            return false;
        }
        *handshake = None;
        if let Some(tls) = &link.about().tls {
            finish(tls, &link.connection);
        }
        link.set_handshaking(false);
        true
    }

    fn stream(&self, link: &Arc<Link>, stream: QuicStream) -> Established {
        let stream = if link.is_handshaking() { stream.receiving_early() } else { stream };
        link.established_stream(stream, &self.properties.connection)
    }

    async fn hand_over(&self, link: &Link, established: Established) {
        let peer = link.about().remote.clone();
        let arrival = Arrival { peer, establish: Box::pin(async { Ok(established) }) };
        // Nobody listens any more: the stream is dropped, and the client told so.
        let _ = self.arrivals.send(arrival).await;
    }
}
