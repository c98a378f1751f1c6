//! TCP, Multipath TCP, and TLS over either.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Acceptor, Arrival, Hosting, Leaf, Setting, Stand};
use crate::endpoint::{EndpointAddress, canonical};
use crate::error::AttemptError;
use crate::properties::{CapacityProfile, ConnectionProperties};
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::transport::{About, BoxFuture, Established};

/// How many clients may wait in the system's queue.
const BACKLOG: i32 = 1024;

/// Connects, and protects where the stack says so.
pub(super) async fn connect(leaf: &Leaf, setting: &Setting) -> Result<Established, AttemptError> {
    let remote = leaf.remote.ip().ok_or(AttemptError::Transport(io::ErrorKind::InvalidInput))?;
    let socket = socket(leaf, remote)?;
    let tcp = socket.connect(remote).await.map_err(|error| AttemptError::from_io(&error))?;
    first_properties(&tcp, &setting.properties.connection)?;
    let about = about(leaf.stack, &tcp)?;
    let stream = match (&setting.security, leaf.stack.is_secure()) {
        (Some(security), true) => security.protect(tcp, about).await?,
        _ => ByteStream::tcp(tcp, about),
    };
    Ok(Established::stream(stream))
}

fn socket(leaf: &Leaf, remote: SocketAddr) -> Result<TcpSocket, AttemptError> {
    let local = |error: io::Error| AttemptError::LocalEndpoint(error.kind());
    let socket = new_socket(leaf.stack, remote).map_err(|error| AttemptError::Transport(error.kind()))?;
    if let Some(interface) = &leaf.interface {
        bind_interface(&socket, interface).map_err(local)?;
    }
    if let Some(source) = leaf.local.as_ref().and_then(EndpointAddress::ip) {
        socket.set_reuse_address(true).map_err(local)?;
        socket.bind(&source.into()).map_err(local)?;
    }
    socket.set_nonblocking(true).map_err(local)?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

fn new_socket(stack: ProtocolStack, address: SocketAddr) -> io::Result<Socket> {
    #[cfg(target_os = "linux")]
    if matches!(stack, ProtocolStack::Mptcp | ProtocolStack::TlsMptcp) {
        return Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::MPTCP));
    }
    let _ = stack;
    Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
}

/// Leaves and enters by one interface only.
pub(crate) fn bind_interface(socket: &Socket, interface: &str) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return socket.bind_device(Some(interface.as_bytes()));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (socket, interface);
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn about(stack: ProtocolStack, tcp: &TcpStream) -> Result<About, AttemptError> {
    let addresses = || Ok((canonical(tcp.local_addr()?), canonical(tcp.peer_addr()?)));
    let (local, remote) = addresses().map_err(|error: io::Error| AttemptError::from_io(&error))?;
    Ok(About::new(stack, local.into(), remote.into()))
}

/// Sets the properties of a connection that is new.
fn first_properties(tcp: &TcpStream, properties: &ConnectionProperties) -> Result<(), AttemptError> {
    let fresh = ConnectionProperties::default();
    let set = || {
        tcp.set_nodelay(properties.capacity_profile.no_delay())?;
        apply(tcp, &fresh, properties)
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
            socket.set_tcp_user_timeout(Some(value.unwrap_or(Duration::ZERO)))?;
        }
        if from.max_send_rate != to.max_send_rate {
            postroad_sys::tcp::set_max_pacing_rate(tcp, to.max_send_rate.map(|bits| (bits / 8).max(1)))?;
        }
    }
    Ok(())
}

/// Marks the packets of a socket with the code point of a profile: the upper six bits of the octet (RFC 2474 3).
#[cfg(unix)]
pub(crate) fn mark(socket: &SockRef<'_>, profile: CapacityProfile) -> io::Result<()> {
    let octet = u32::from(profile.dscp()) << 2;
    // An IPv4 client of a socket for both families gets IPv4 packets.
    match socket.local_addr()?.as_socket().map(canonical) {
        Some(SocketAddr::V4(_)) => socket.set_tos_v4(octet),
        Some(SocketAddr::V6(_)) => socket.set_tclass_v6(octet),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
pub(crate) fn mark(_: &SockRef<'_>, _: CapacityProfile) -> io::Result<()> {
    Ok(())
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
    let socket = new_socket(stand.stack, address)?;
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
    let socket = TcpListener::from_std(socket.into())?;
    let local = socket.local_addr()?.into();
    Ok(Box::new(TcpAcceptor { socket, stack: stand.stack, local, hosting: hosting.clone() }))
}

impl Acceptor for TcpAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let (tcp, peer) = self.socket.accept().await?;
            let (stack, hosting) = (self.stack, self.hosting.clone());
            let establish = Box::pin(async move {
                first_properties(&tcp, &hosting.properties.connection)?;
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
