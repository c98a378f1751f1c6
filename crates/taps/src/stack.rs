//! Protocol stacks: how each of them reaches a peer and how it listens.
//!
//! One module a stack. Each has `connect`, which makes an established transport of a [`Leaf`], and `listen`, which
//! makes an [`Acceptor`]; what they have in common with the rest is the seam of [`crate::transport`] only.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::endpoint::{EndpointAddress, WebSocketResource};
use crate::error::{AttemptError, ListenError};
use crate::properties::TransportProperties;
use crate::protocol::ProtocolStack;
use crate::selection::StackSet;
use crate::stack::proxy::Proxy;
use crate::tls::{ClientSide, ServerSide};
use crate::transport::{BoxFuture, Established};

pub(crate) mod http;
#[cfg(unix)]
pub(crate) mod kind;
#[cfg(feature = "memory")]
pub(crate) mod memory;
#[cfg(any(feature = "udp", feature = "udp-lite", target_os = "linux"))]
mod peers;
#[cfg(windows)]
mod pipe;
pub(crate) mod proxy;
#[cfg(feature = "quic")]
pub(crate) mod quic;
pub(crate) mod tcp;
#[cfg(any(feature = "udp", feature = "udp-lite"))]
mod udp;
#[cfg(unix)]
pub(crate) mod unix;
#[cfg(feature = "websocket")]
pub(crate) mod websocket;

/// One way to reach the peer: the end of a branch of the candidates (RFC 9623 4.1).
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) stack: ProtocolStack,
    pub(crate) remote: EndpointAddress,
    /// Where to start from; the system decides where there is none.
    pub(crate) local: Option<EndpointAddress>,
    /// The interface to leave by.
    pub(crate) interface: Option<Arc<str>>,
    /// The host that was asked for, as text.
    pub(crate) host: Arc<str>,
    #[cfg_attr(not(feature = "websocket"), allow(dead_code, reason = "for a stack that is not built in"))]
    pub(crate) websocket: Option<Arc<WebSocketResource>>,
    /// How many hops a datagram may take.
    #[cfg_attr(
        not(any(feature = "udp", feature = "udp-lite")),
        allow(dead_code, reason = "for stacks that are not built in")
    )]
    pub(crate) hop_limit: Option<u8>,
}

/// What all leaves of one establishment share.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) properties: Arc<TransportProperties>,
    /// How to protect the connection; `None` is clear text.
    pub(crate) security: Option<ClientSide>,
    /// Whether a first message may leave before the handshake is over, where the peer allows it: it may arrive twice.
    pub(crate) early: bool,
    /// Who makes TCP connections for this end.
    pub(crate) proxy: Option<Arc<Via>>,
}

/// The way through a proxy: the addresses of leaves are the proxy's then.
#[derive(Debug)]
pub(crate) struct Via {
    pub(crate) proxy: Proxy,
    /// The port of the target, whose host is the leaf's.
    pub(crate) port: u16,
}

/// The stacks that are built in: what [`connect`] and [`listen`] know.
pub(crate) const BUILT: StackSet = {
    let built = StackSet::EMPTY.with(ProtocolStack::Tcp).with(ProtocolStack::Tls);
    #[cfg(unix)]
    let built = built.with(ProtocolStack::UnixStream);
    #[cfg(windows)]
    let built = built.with(ProtocolStack::NamedPipe);
    #[cfg(feature = "udp")]
    let built = built.with(ProtocolStack::Udp);
    #[cfg(all(feature = "udp-lite", target_os = "linux"))]
    let built = built.with(ProtocolStack::UdpLite);
    #[cfg(target_os = "linux")]
    let built = built.with(ProtocolStack::Mptcp).with(ProtocolStack::TlsMptcp);
    #[cfg(target_os = "linux")]
    let built = built.with(ProtocolStack::UnixSeqpacket).with(ProtocolStack::UnixDatagram);
    #[cfg(feature = "quic")]
    let built = built.with(ProtocolStack::QuicStream).with(ProtocolStack::QuicDatagram);
    #[cfg(feature = "memory")]
    let built = built.with(ProtocolStack::MemoryStream).with(ProtocolStack::MemoryMessage);
    #[cfg(feature = "websocket")]
    let built = built.with(ProtocolStack::WebSocket).with(ProtocolStack::SecureWebSocket);
    built
};

/// Those that may be used where a proxy makes the connections: what runs over TCP, and what does not leave the machine.
pub(crate) const PROXIED: StackSet = {
    let proxied = StackSet::EMPTY.with(ProtocolStack::Tcp).with(ProtocolStack::Tls);
    #[cfg(unix)]
    let proxied = proxied.with(ProtocolStack::UnixStream);
    #[cfg(target_os = "linux")]
    let proxied = proxied.with(ProtocolStack::UnixSeqpacket).with(ProtocolStack::UnixDatagram);
    #[cfg(windows)]
    let proxied = proxied.with(ProtocolStack::NamedPipe);
    #[cfg(feature = "memory")]
    let proxied = proxied.with(ProtocolStack::MemoryStream).with(ProtocolStack::MemoryMessage);
    #[cfg(feature = "websocket")]
    let proxied = proxied.with(ProtocolStack::WebSocket).with(ProtocolStack::SecureWebSocket);
    proxied
};

/// Tries one leaf.
pub(crate) async fn connect(leaf: &Leaf, setting: &Setting) -> Result<Established, AttemptError> {
    match leaf.stack {
        ProtocolStack::Tcp | ProtocolStack::Tls | ProtocolStack::Mptcp | ProtocolStack::TlsMptcp => {
            tcp::connect(leaf, setting).await
        }
        #[cfg(feature = "quic")]
        ProtocolStack::QuicStream | ProtocolStack::QuicDatagram => quic::connect(leaf, setting).await,
        #[cfg(unix)]
        ProtocolStack::UnixStream => unix::connect(leaf, setting).await,
        #[cfg(target_os = "linux")]
        ProtocolStack::UnixSeqpacket => unix::seqpacket::connect(leaf).await,
        #[cfg(target_os = "linux")]
        ProtocolStack::UnixDatagram => unix::datagram::connect(leaf).await,
        #[cfg(windows)]
        ProtocolStack::NamedPipe => pipe::connect(leaf).await,
        #[cfg(feature = "udp")]
        ProtocolStack::Udp => udp::connect(leaf, setting).await,
        #[cfg(feature = "udp-lite")]
        ProtocolStack::UdpLite => udp::connect(leaf, setting).await,
        #[cfg(feature = "memory")]
        ProtocolStack::MemoryStream | ProtocolStack::MemoryMessage => memory::connect(leaf).await,
        #[cfg(feature = "websocket")]
        ProtocolStack::WebSocket | ProtocolStack::SecureWebSocket => websocket::connect(leaf, setting).await,
        // Selection gathers only what is compiled in.
        #[allow(unreachable_patterns, reason = "where every stack is built in")]
        _ => Err(AttemptError::Transport(io::ErrorKind::Unsupported)),
    }
}

/// Where to listen: one stack on one address.
#[derive(Debug, Clone)]
pub(crate) struct Stand {
    pub(crate) stack: ProtocolStack,
    pub(crate) local: EndpointAddress,
    pub(crate) interface: Option<Arc<str>>,
    /// Whether the address stands for those of both families.
    pub(crate) both_families: bool,
    #[cfg_attr(not(feature = "websocket"), allow(dead_code, reason = "for a stack that is not built in"))]
    pub(crate) websocket: Option<Arc<WebSocketResource>>,
    /// The only sender whose datagrams to a multicast group are taken.
    #[cfg_attr(
        not(any(feature = "udp", feature = "udp-lite")),
        allow(dead_code, reason = "for stacks that are not built in")
    )]
    pub(crate) source: Option<std::net::IpAddr>,
}

/// What all stands of one listener share.
#[derive(Debug, Clone)]
pub(crate) struct Hosting {
    pub(crate) properties: Arc<TransportProperties>,
    pub(crate) security: Option<ServerSide>,
}

/// Takes clients in, on one address.
pub(crate) trait Acceptor: Send + Sync + fmt::Debug {
    /// Waits for a client. Several tasks may wait at once, and a dropped future loses no client.
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>>;

    fn stack(&self) -> ProtocolStack;

    /// Where it listens, with the port that the system picked.
    fn local(&self) -> &EndpointAddress;
}

/// A client that has come, before a byte is exchanged with it.
pub(crate) struct Arrival {
    pub(crate) peer: EndpointAddress,
    /// Goes through the handshake with it.
    pub(crate) establish: BoxFuture<'static, Result<Established, AttemptError>>,
}

/// Begins to listen.
pub(crate) fn listen(stand: &Stand, hosting: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    match stand.stack {
        ProtocolStack::Tcp | ProtocolStack::Tls | ProtocolStack::Mptcp | ProtocolStack::TlsMptcp => {
            tcp::listen(stand, hosting)
        }
        #[cfg(feature = "quic")]
        ProtocolStack::QuicStream | ProtocolStack::QuicDatagram => quic::listen(stand, hosting),
        #[cfg(unix)]
        ProtocolStack::UnixStream => unix::listen(stand, hosting),
        #[cfg(target_os = "linux")]
        ProtocolStack::UnixSeqpacket => unix::seqpacket::listen(stand),
        #[cfg(target_os = "linux")]
        ProtocolStack::UnixDatagram => unix::datagram::listen(stand, hosting),
        #[cfg(windows)]
        ProtocolStack::NamedPipe => pipe::listen(stand),
        #[cfg(feature = "udp")]
        ProtocolStack::Udp => udp::listen(stand, hosting),
        #[cfg(feature = "udp-lite")]
        ProtocolStack::UdpLite => udp::listen(stand, hosting),
        #[cfg(feature = "memory")]
        ProtocolStack::MemoryStream | ProtocolStack::MemoryMessage => memory::listen(stand, hosting),
        #[cfg(feature = "websocket")]
        ProtocolStack::WebSocket | ProtocolStack::SecureWebSocket => websocket::listen(stand, hosting),
        #[allow(unreachable_patterns, reason = "where every stack is built in")]
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Why an address cannot be listened on.
pub(crate) fn failed(address: &EndpointAddress, error: &io::Error) -> ListenError {
    let address = address.clone();
    match error.kind() {
        io::ErrorKind::PermissionDenied => ListenError::PolicyProhibited { address },
        io::ErrorKind::AddrInUse => ListenError::AddressInUse { address },
        io::ErrorKind::AddrNotAvailable => ListenError::NotLocal { address },
        io::ErrorKind::AlreadyExists if address.unix().is_some() => ListenError::NotASocket { address },
        io::ErrorKind::NotFound if address.unix().is_some() => ListenError::NoFolder { address },
        kind => ListenError::Failed { address, kind },
    }
}
