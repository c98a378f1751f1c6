//! QUIC: its streams, and its datagrams (RFC 9000, RFC 9221).
//!
//! A connection of ours is a stream of a QUIC connection, and its clones are further streams of the same one. Or it is all
//! the datagrams of a QUIC connection, which has no stream then. Where both ends ask for that, a stream has datagrams of its own
//! beside it for messages that may be lost. The packets, their loss and their encryption are quinn's.

mod arrivals;
mod datagram;
mod early;
mod error;
mod link;
mod listen;
mod loose;
mod parameters;
mod patience;
mod socket;
mod stream;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Connecting, Connection, ZeroRttAccepted};
use socket2::{Domain, Protocol, Type};

use self::datagram::Datagrams;
use self::early::{Early, finish};
use self::link::{Link, Ways};
pub(super) use self::listen::listen;
use self::parameters::{Carries, PeerStreams, parameters, priority};
use self::socket::Socket;
use self::stream::QuicStream;
use super::socket::bind_interface;
use super::{Leaf, Setting};
use crate::endpoint::{EndpointAddress, canonical};
use crate::error::AttemptError;
use crate::properties::{Direction, Multipath, Role};
use crate::protocol::ProtocolStack;
use crate::tls::{ClientSide, QuicClient, TlsConfig, TlsConfigError, TlsInfo, TlsVersion};
use crate::transport::{About, Established};

/// How long an attempt waits for a peer that does not answer, as the system does for TCP.
const PATIENCE: Duration = Duration::from_secs(120);

/// Connects: a handshake, and the first stream.
///
/// With early data allowed and a session known, what is written leaves at once, and the handshake ends behind it.
pub(super) async fn connect(leaf: &Leaf, setting: &Setting) -> Result<Established, AttemptError> {
    let attempt = Attempt::prepare(leaf, setting).await?;
    let (connecting, socket) = attempt.begin()?;
    let connecting = match if attempt.early { connecting.into_0rtt() } else { Err(connecting) } {
        Ok((connection, accepted)) => return attempt.established_early(connection, accepted, &socket),
        Err(connecting) => connecting,
    };
    let connection = tokio::select! {
        connected = connecting => connected.map_err(|error| attempt.failed(&error))?,
        trouble = socket.trouble() => return Err(AttemptError::from_io(&trouble.into())),
        () = tokio::time::sleep(PATIENCE) => return Err(AttemptError::NoAnswer),
    };
    attempt.established(connection, &socket).await
}

/// One leaf, ready to be tried.
struct Attempt<'a> {
    leaf: &'a Leaf,
    setting: &'a Setting,
    remote: SocketAddr,
    side: ClientSide,
    tls: QuicClient,
    ways: Ways,
    early: bool,
    /// Whether messages that may be lost go beside the streams.
    loose: bool,
}

impl<'a> Attempt<'a> {
    async fn prepare(leaf: &'a Leaf, setting: &'a Setting) -> Result<Self, AttemptError> {
        let remote = leaf.remote.ip().ok_or(AttemptError::Transport(io::ErrorKind::InvalidInput))?;
        let side = match &setting.security {
            Some(side) => side.clone(),
            // There is no QUIC without TLS (RFC 9001). Whoever asks for it by name and says nothing of security gets
            // the default.
            None => ClientSide::prepare(&TlsConfig::default(), &leaf.host).await.map_err(|error| unusable(&error))?,
        };
        let tls = side.config().quic_client().map_err(|error| unusable(&error))?;
        let ways = match setting.properties.direction() {
            Direction::Bidirectional => Ways::Both,
            Direction::UnidirectionalSend => Ways::Out,
            Direction::UnidirectionalReceive => Ways::In,
        };
        // Datagrams would be lost for good when the server rejects them. And who wants to be asked about the peer is
        // asked before anything leaves.
        let streams = leaf.stack == ProtocolStack::QuicStream && ways != Ways::In;
        let early = setting.early && streams && !side.config().asks_for_trust();
        let loose = streams && ways == Ways::Both && parameters::asks_for_loose(&setting.properties);
        Ok(Self { leaf, setting, remote, side, tls, ways, early, loose })
    }

    /// Sends the first packet.
    fn begin(&self) -> Result<(Connecting, Arc<Socket>), AttemptError> {
        let properties = &self.setting.properties;
        let socket = self.socket()?;
        let socket = Socket::new(socket, properties.connection.capacity_profile).map_err(|error| refused(&error))?;
        let crypto = match self.side.sessions() {
            Some(context) => self.tls.isolated(context, self.early).map_err(|error| unusable(&error))?,
            None => self.tls.config(self.early),
        };
        let streams = self.leaf.stack == ProtocolStack::QuicStream;
        let carries = Carries { streams, datagrams: !streams || self.loose };
        let peer_streams = if streams && self.ways == Ways::In { PeerStreams::OneWay } else { PeerStreams::None };
        let mut config = ClientConfig::new(crypto);
        config.transport_config(parameters(&properties.connection, carries, peer_streams));
        let (endpoint, _) = listen::endpoint(&socket, None).map_err(|error| refused(&error))?;
        let name = self.side.name().to_str();
        let connecting = endpoint.connect_with(config, self.remote, &name);
        Ok((connecting.map_err(|_| AttemptError::Transport(io::ErrorKind::InvalidInput))?, socket))
    }

    fn socket(&self) -> Result<UdpSocket, AttemptError> {
        let unspecified: IpAddr = match self.remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = self.leaf.local.as_ref().and_then(EndpointAddress::ip);
        let local = local.unwrap_or_else(|| SocketAddr::new(unspecified, 0));
        let socket = new_socket(local, self.leaf.interface.as_deref(), false)
            .map_err(|error| AttemptError::LocalEndpoint(error.kind()))?;
        if self.stays_on_one_path() {
            // So the network can say that nobody is there, and the system which address packets come from. It would
            // also keep the connection from going on from another address.
            socket.connect(self.remote).map_err(|error| AttemptError::from_io(&error))?;
        }
        Ok(socket)
    }

    /// Elsewhere a connected socket cannot be told the peer's address again with each packet.
    fn stays_on_one_path(&self) -> bool {
        cfg!(target_os = "linux") && self.setting.properties.multipath_in(Role::Initiate) == Multipath::Disabled
    }

    fn failed(&self, error: &quinn::ConnectionError) -> AttemptError {
        error::attempt(error, || self.tls.verdict(self.side.name()))
    }

    /// What is known of the session before the handshake is over.
    fn unfinished(&self) -> TlsInfo {
        TlsInfo::unfinished(TlsVersion::V1_3, self.side.asked())
    }

    fn link(&self, connection: Connection, socket: &Arc<Socket>, tls: &TlsInfo) -> Result<Arc<Link>, AttemptError> {
        let local = self.local(socket).map_err(|error| refused(&error))?;
        let mut about = About::new(self.leaf.stack, local.into(), canonical(self.remote).into());
        about.tls = Some(tls.clone());
        let link = Link::new(connection, Arc::clone(socket), about, true, &self.setting.properties.connection);
        Ok(Arc::new(link.with_loose(self.loose)))
    }

    /// Where packets to the peer come from.
    fn local(&self, socket: &Socket) -> io::Result<SocketAddr> {
        let local = quinn::AsyncUdpSocket::local_addr(socket)?;
        if !local.ip().is_unspecified() {
            return Ok(canonical(local));
        }
        // A socket of the same kind that sends nothing tells it.
        let probe = new_socket(SocketAddr::new(local.ip(), 0), self.leaf.interface.as_deref(), false)?;
        probe.connect(self.remote)?;
        Ok(SocketAddr::new(canonical(probe.local_addr()?).ip(), local.port()))
    }

    /// The handshake goes on while data leaves.
    fn established_early(
        &self,
        connection: Connection,
        accepted: ZeroRttAccepted,
        socket: &Arc<Socket>,
    ) -> Result<Established, AttemptError> {
        let (tls, properties) = (self.unfinished(), &self.setting.properties.connection);
        let link = self.link(connection, socket, &tls)?;
        let (send, receive) = link.open_now(self.ways).map_err(|error| AttemptError::from_io(&error))?;
        let early = Early::new(accepted, self.ways, priority(properties), Some(tls));
        let stream = QuicStream::new(link.join(), Some(send), receive).sending_early(early);
        Ok(link.established_stream(stream, properties))
    }

    /// The handshake is over.
    async fn established(&self, connection: Connection, socket: &Arc<Socket>) -> Result<Established, AttemptError> {
        let tls = self.unfinished();
        finish(&tls, &connection);
        self.side.config().check_trust(&tls).await?;
        let link = self.link(connection, socket, &tls)?;
        let properties = &self.setting.properties.connection;
        if self.leaf.stack == ProtocolStack::QuicDatagram {
            if link.connection.max_datagram_size().is_none() {
                return Err(AttemptError::Transport(io::ErrorKind::Unsupported));
            }
            return Ok(link.established_datagrams(Datagrams::new(link.join(), None, false), false));
        }
        if self.ways == Ways::In {
            return Ok(link.established_stream(QuicStream::awaited(link.join()), properties));
        }
        let (send, receive) = link.open(self.ways).await?;
        Ok(link.established(Some(send), receive, properties))
    }
}

/// A bound socket of UDP.
fn new_socket(local: SocketAddr, interface: Option<&str>, both_families: bool) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        socket.set_only_v6(!both_families)?;
    }
    if let Some(interface) = interface {
        bind_interface(&socket, interface)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

fn refused(error: &io::Error) -> AttemptError {
    AttemptError::Transport(error.kind())
}

/// A configuration that serves for TLS and not for QUIC.
fn unusable(error: &TlsConfigError) -> AttemptError {
    AttemptError::Tls(crate::tls::TlsError::Failed(error.to_string()))
}

#[cfg(test)]
mod tests;
