//! TCP, Multipath TCP, and TLS over either.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::proxy::Target;
use super::socket::{bind_interface, mark};
use super::{Acceptor, Arrival, Hosting, Leaf, Setting, Stand};
use crate::endpoint::{EndpointAddress, canonical};
use crate::error::AttemptError;
use crate::properties::{
    CapacityProfile, ConnectionProperties, Multipath, Preference, Role, SelectionProperty, TransportProperties,
};
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::transport::{About, BoxFuture, Established};

/// How many clients may wait in the system's queue.
const BACKLOG: i32 = 1024;

/// Connects, and protects where the stack says so.
pub(super) async fn connect(leaf: &Leaf, setting: &Setting) -> Result<Established, AttemptError> {
    let (tcp, about) = open(leaf, setting).await?;
    let stream = match (&setting.security, leaf.stack.is_secure()) {
        (Some(security), true) if setting.early => Box::pin(security.protect_early(tcp, about)).await?,
        (Some(security), true) => Box::pin(security.protect(tcp, about)).await?,
        // Selection gathers no such thing: what is meant to be protected is never sent in clear text.
        (None, true) => return Err(AttemptError::Transport(io::ErrorKind::InvalidInput)),
        (_, false) => ByteStream::tcp(tcp, about),
    };
    Ok(Established::stream(stream))
}

/// Connects, in clear text so far.
pub(super) async fn open(leaf: &Leaf, setting: &Setting) -> Result<(TcpStream, About), AttemptError> {
    let remote = leaf.remote.ip().ok_or(AttemptError::Transport(io::ErrorKind::InvalidInput))?;
    let socket = socket(leaf, remote)?;
    // The packets of the handshake are marked too (RFC 9622 8.1.6); those of a new socket have the default's mark.
    let profile = setting.properties.connection.capacity_profile;
    if profile != CapacityProfile::Default {
        mark(&SockRef::from(&socket), profile).map_err(|error| AttemptError::Property(error.kind()))?;
    }
    let mut tcp = socket.connect(remote).await.map_err(|error| AttemptError::from_io(&error))?;
    first_properties(&tcp, &setting.properties)?;
    let about = match is_multipath(leaf.stack) || remote.ip().is_unspecified() {
        true => about(leaf.stack, &tcp)?,
        // The rest of it is known.
        false => {
            let local = tcp.local_addr().map_err(|error| AttemptError::from_io(&error))?;
            About::new(leaf.stack, canonical(local).into(), canonical(remote).into())
        }
    };
    if let Some(via) = &setting.proxy {
        let target = Target { host: &leaf.host, port: via.port };
        Box::pin(via.proxy.connect(&mut tcp, target)).await?;
    }
    Ok((tcp, about))
}

fn socket(leaf: &Leaf, remote: SocketAddr) -> Result<TcpSocket, AttemptError> {
    let local = |error: io::Error| AttemptError::LocalEndpoint(error.kind());
    // All of them come nonblocking; most systems need no further call for that.
    let opened = match remote {
        _ if is_multipath(leaf.stack) => {
            new_socket(leaf.stack, remote).map(|socket| TcpSocket::from_std_stream(socket.into()))
        }
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = opened.map_err(|error| AttemptError::Transport(error.kind()))?;
    if let Some(interface) = &leaf.interface {
        bind_interface(&SockRef::from(&socket), interface).map_err(local)?;
    }
    if let Some(source) = leaf.local.as_ref().and_then(EndpointAddress::ip) {
        socket.set_reuseaddr(true).map_err(local)?;
        socket.bind(source).map_err(local)?;
    }
    Ok(socket)
}

/// A socket that listens or connects where another one of this process does the other.
pub(crate) fn meeting_point(local: SocketAddr) -> io::Result<TcpSocket> {
    let socket = new_socket(ProtocolStack::Tcp, local)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

fn new_socket(stack: ProtocolStack, address: SocketAddr) -> io::Result<Socket> {
    if is_multipath(stack) {
        return postroad_sys::mptcp::socket(Domain::for_address(address));
    }
    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
}

fn is_multipath(stack: ProtocolStack) -> bool {
    matches!(stack, ProtocolStack::Mptcp | ProtocolStack::TlsMptcp)
}

/// What there is to know about a connected socket. One that was opened for several paths is plain TCP where the peer, or
/// something on the way, has no Multipath TCP (RFC 8684 3.7); its properties are those of its kind of socket all the same.
pub(crate) fn about(stack: ProtocolStack, tcp: &TcpStream) -> Result<About, AttemptError> {
    let read = || Ok((uses_paths(tcp)?, canonical(tcp.local_addr()?), canonical(tcp.peer_addr()?)));
    let (multipath, local, remote) = read().map_err(|error: io::Error| AttemptError::from_io(&error))?;
    let stack = match (stack, multipath) {
        (ProtocolStack::Mptcp, false) => ProtocolStack::Tcp,
        (ProtocolStack::TlsMptcp, false) => ProtocolStack::Tls,
        (ProtocolStack::Tcp, true) => ProtocolStack::Mptcp,
        (ProtocolStack::Tls, true) => ProtocolStack::TlsMptcp,
        (stack, _) => stack,
    };
    Ok(About { multipath, ..About::new(stack, local.into(), remote.into()) })
}

/// Whether a connected socket has several paths; a system without Multipath TCP does not tell.
fn uses_paths(tcp: &TcpStream) -> io::Result<bool> {
    match postroad_sys::mptcp::is_fallback(tcp) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
        fallback => fallback.map(|fallback| !fallback),
    }
}

/// Sets the properties of a connection that is new.
pub(crate) fn first_properties(tcp: &TcpStream, properties: &TransportProperties) -> Result<(), AttemptError> {
    let (wanted, fresh) = (&properties.connection, ConnectionProperties::default());
    let keep_alive = properties.preference(SelectionProperty::KeepAlive);
    let set = || {
        tcp.set_nodelay(wanted.capacity_profile.no_delay())?;
        if keep_alive == Preference::Prohibit {
            return apply(tcp, &fresh, &ConnectionProperties { keep_alive_timeout: None, ..wanted.clone() });
        }
        // Asked for without a time, the system has its own (RFC 9622 6.2.10).
        if keep_alive >= Preference::Prefer && wanted.keep_alive_timeout.is_none() {
            SockRef::from(tcp).set_keepalive(true)?;
        }
        apply(tcp, &fresh, wanted)
    };
    set().map_err(|error| AttemptError::Property(error.kind()))
}

/// Brings a socket from some properties to others; one that the system refuses is an error, not a wish.
pub(crate) fn apply(tcp: &TcpStream, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    if from.capacity_profile != to.capacity_profile {
        socket.set_tcp_nodelay(to.capacity_profile.no_delay())?;
        mark(&socket, to.capacity_profile)?;
    }
    if from.keep_alive_period() != to.keep_alive_period() {
        match to.keep_alive_period() {
            Some(idle) => {
                let idle = idle.max(Duration::from_secs(1));
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(idle))?;
            }
            None => socket.set_keepalive(false)?,
        }
    }
    #[cfg(target_os = "linux")]
    {
        // What is advertised to the peer cannot be set on Linux, so the user timeout holds for this end.
        if from.abort_after() != to.abort_after() {
            let value = to.abort_after().map(|timeout| timeout.max(Duration::from_millis(1)));
            socket.set_tcp_user_timeout(Some(value.unwrap_or(Duration::ZERO))).map_err(|error| absent(tcp, error))?;
        }
        if from.max_send_rate != to.max_send_rate {
            // The connection keeps to the rate by itself, and who takes the bytes has only this. Not all sockets have it.
            let _ = postroad_sys::tcp::set_max_pacing_rate(tcp, to.max_send_rate.map(|bits| (bits / 8).max(1)));
        }
    }
    Ok(())
}

/// A socket of Multipath TCP does not have every option of TCP; some kernels say so by an error that has no kind.
#[cfg(target_os = "linux")]
fn absent(tcp: &TcpStream, error: io::Error) -> io::Error {
    let multipath = SockRef::from(tcp).protocol().is_ok_and(|protocol| protocol == Some(Protocol::MPTCP));
    if multipath { io::ErrorKind::Unsupported.into() } else { error }
}

/// A socket that listens.
#[derive(Debug)]
struct TcpAcceptor {
    socket: TcpListener,
    stack: ProtocolStack,
    local: EndpointAddress,
    hosting: Hosting,
}

/// Begins to listen.
pub(super) fn listen(stand: &Stand, hosting: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    let address = stand.local.ip().ok_or(io::ErrorKind::InvalidInput)?;
    let socket = listen_on(listening_socket(stand.stack, address, hosting)?, stand, address)?;
    accept_on(socket, stand.stack, hosting)
}

/// Takes clients in with a socket that listens.
pub(crate) fn accept_on(socket: TcpListener, stack: ProtocolStack, hosting: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    let local = socket.local_addr()?.into();
    Ok(Box::new(TcpAcceptor { socket, stack: plain(stack), local, hosting: early(hosting) }))
}

/// Takes data that a client sends before the handshake is over from those alone who can do with copies (RFC 9622 6.2.5).
fn early(hosting: &Hosting) -> Hosting {
    let Hosting { properties, security } = hosting.clone();
    let wanted = properties.safely_replayable()
        && properties.preference_in(SelectionProperty::ZeroRttMsg, Role::Listen) != Preference::Prohibit;
    let security = security.map(|security| if wanted { security.taking_early_data() } else { security });
    Hosting { properties, security }
}

/// Opens a socket that listens to plain TCP.
#[cfg(feature = "websocket")]
pub(super) fn bind(stand: &Stand) -> io::Result<TcpListener> {
    let address = stand.local.ip().ok_or(io::ErrorKind::InvalidInput)?;
    listen_on(new_socket(stand.stack, address)?, stand, address)
}

fn listen_on(socket: Socket, stand: &Stand, address: SocketAddr) -> io::Result<TcpListener> {
    if address.is_ipv6() {
        socket.set_only_v6(!stand.both_families)?;
    }
    // On Windows the option would let two listeners share a port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if let Some(interface) = &stand.interface {
        bind_interface(&socket, interface)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A listener that takes several paths where its clients offer them has one socket for those and for plain TCP; unless it
/// wants a timeout that Multipath TCP does not have.
fn listening_socket(stack: ProtocolStack, address: SocketAddr, hosting: &Hosting) -> io::Result<Socket> {
    let wanted = cfg!(feature = "mptcp") && hosting.properties.multipath_in(Role::Listen) != Multipath::Disabled;
    if wanted && hosting.properties.connection.abort_after().is_none() {
        // The kernel may lack it, or the administrator has switched it off.
        if let Ok(socket) = postroad_sys::mptcp::socket(Domain::for_address(address)) {
            return Ok(socket);
        }
    }
    new_socket(plain(stack), address)
}

/// What a client may have come over that offers no more.
fn plain(stack: ProtocolStack) -> ProtocolStack {
    if stack.is_secure() { ProtocolStack::Tls } else { ProtocolStack::Tcp }
}

impl Acceptor for TcpAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let (tcp, peer) = self.socket.accept().await?;
            let (stack, hosting) = (self.stack, self.hosting.clone());
            let establish = Box::pin(async move {
                first_properties(&tcp, &hosting.properties)?;
                let about = about(stack, &tcp)?;
                Ok(Established::stream(match &hosting.security {
                    None => ByteStream::tcp(tcp, about),
                    Some(security) => security.protect(tcp, about).await?,
                }))
            });
            Ok(Arrival { peer: canonical(peer).into(), establish })
        })
    }

    fn stack(&self) -> ProtocolStack {
        self.stack
    }

    fn local(&self) -> &EndpointAddress {
        &self.local
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn the_defaults_only_switch_nagle_off() {
        let (stream, _peer) = connected().await;
        first_properties(&stream, &TransportProperties::new()).unwrap();
        assert!(stream.nodelay().unwrap());
        assert!(!SockRef::from(&stream).keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(SockRef::from(&stream).tos_v4().unwrap(), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn each_property_reaches_the_socket() {
        let (stream, _peer) = connected().await;
        first_properties(
            &stream,
            &TransportProperties::new()
                .keep_alive_timeout(Duration::from_secs(30))
                .conn_timeout(Duration::from_secs(60))
                .capacity_profile(CapacityProfile::CapacitySeeking),
        )
        .unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(socket.tos_v4().unwrap(), 10 << 2);
        assert!(!stream.nodelay().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_code_point_follows_the_packets_and_not_the_socket() {
        // A machine without IPv6 has no such socket.
        let Ok(listener) = TcpListener::bind("[::]:0").await else { return };
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let stream = listener.accept().await.unwrap().0;
        first_properties(&stream, &TransportProperties::new().capacity_profile(CapacityProfile::Scavenger)).unwrap();
        assert_eq!(SockRef::from(&stream).tos_v4().unwrap(), 1 << 2);
    }

    #[tokio::test]
    async fn a_keep_alive_longer_than_the_timeout_is_off() {
        let (stream, _peer) = connected().await;
        first_properties(
            &stream,
            &TransportProperties::new()
                .keep_alive_timeout(Duration::from_secs(30))
                .conn_timeout(Duration::from_secs(10)),
        )
        .unwrap();
        assert!(!SockRef::from(&stream).keepalive().unwrap());
    }

    /// RFC 9622 6.2.10: asked for without a time, it is the system's.
    #[tokio::test]
    async fn keep_alive_follows_its_preference() {
        for (properties, on) in [
            (TransportProperties::new().require(SelectionProperty::KeepAlive), true),
            (TransportProperties::new().prefer(SelectionProperty::KeepAlive), true),
            (TransportProperties::new().avoid(SelectionProperty::KeepAlive), false),
            (
                TransportProperties::new()
                    .prohibit(SelectionProperty::KeepAlive)
                    .keep_alive_timeout(Duration::from_secs(30)),
                false,
            ),
        ] {
            let (stream, _peer) = connected().await;
            first_properties(&stream, &properties).unwrap();
            assert_eq!(SockRef::from(&stream).keepalive().unwrap(), on, "{properties:?}");
        }
    }

    /// RFC 9622 8.2: the user timeout counts once it is enabled, and where there is no timeout of the connection's.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_user_timeout_reaches_the_socket() {
        let (three, nine) = (Duration::from_secs(3), Duration::from_secs(9));
        let timeout = TransportProperties::new().user_timeout(crate::properties::UserTimeout::of(nine));
        for (properties, expected) in [
            (TransportProperties::new(), None),
            (timeout.clone(), Some(nine)),
            (timeout.conn_timeout(three), Some(three)),
        ] {
            let (stream, _peer) = connected().await;
            first_properties(&stream, &properties).unwrap();
            assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), expected);
        }
    }

    /// Case 61, RFC 9622 8.1.6: the code points that the seed names, on TCP and on UDP over both families.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn each_profile_marks_packets() {
        for (profile, code_point, no_delay) in [
            (CapacityProfile::Default, 0x00, true),
            (CapacityProfile::Scavenger, 0x01, false),
            (CapacityProfile::LowLatencyInteractive, 0x24, true),
            (CapacityProfile::LowLatencyNonInteractive, 0x12, true),
            (CapacityProfile::ConstantRateStreaming, 0x1c, true),
            (CapacityProfile::CapacitySeeking, 0x0a, false),
        ] {
            let properties = TransportProperties::new().capacity_profile(profile);
            let (stream, _peer) = connected().await;
            first_properties(&stream, &properties).unwrap();
            assert_eq!(SockRef::from(&stream).tos_v4().unwrap(), code_point << 2);
            assert_eq!(stream.nodelay().unwrap(), no_delay);
            let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            mark(&SockRef::from(&datagrams), profile).unwrap();
            assert_eq!(SockRef::from(&datagrams).tos_v4().unwrap(), code_point << 2);
            // A machine without IPv6 has no such socket.
            if let Ok(datagrams) = UdpSocket::bind("[::1]:0").await {
                mark(&SockRef::from(&datagrams), profile).unwrap();
                assert_eq!(SockRef::from(&datagrams).tclass_v6().unwrap(), code_point << 2);
            }
        }
    }
}
