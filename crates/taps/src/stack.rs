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
use crate::stack::proxy::Proxy;
use crate::tls::{ClientSide, ServerSide};
use crate::transport::{BoxFuture, Established};

mod built;
pub(crate) mod http;
#[cfg(unix)]
pub(crate) mod kind;
#[cfg(feature = "memory")]
pub(crate) mod memory;
#[cfg(any(feature = "udp", feature = "udp-lite", all(target_os = "linux", feature = "unix")))]
mod peers;
#[cfg(all(windows, feature = "pipe"))]
mod pipe;
pub(crate) mod proxy;
#[cfg(feature = "quic")]
pub(crate) mod quic;
#[cfg(any(feature = "quic", feature = "tcp", feature = "udp", feature = "udp-lite"))]
mod socket;
#[cfg(feature = "tcp")]
pub(crate) mod tcp;
#[cfg(any(feature = "udp", feature = "udp-lite"))]
mod udp;
#[cfg(all(unix, feature = "unix"))]
pub(crate) mod unix;
#[cfg(feature = "websocket")]
pub(crate) mod websocket;

pub(crate) use built::{BUILT, PROXIED, lacking};

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
    pub(crate) websocket: Option<Arc<WebSocketResource>>,
    /// How many hops a datagram may take.
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

/// Tries one leaf. Each but TCP is in a box of its own, or every attempt would have the size of the largest.
pub(crate) async fn connect(leaf: &Leaf, setting: &Setting) -> Result<Established, AttemptError> {
    match leaf.stack {
        #[cfg(feature = "tcp")]
        ProtocolStack::Tcp | ProtocolStack::Tls | ProtocolStack::Mptcp | ProtocolStack::TlsMptcp => {
            tcp::connect(leaf, setting).await
        }
        #[cfg(feature = "quic")]
        ProtocolStack::QuicStream | ProtocolStack::QuicDatagram => Box::pin(quic::connect(leaf, setting)).await,
        #[cfg(all(unix, feature = "unix"))]
        ProtocolStack::UnixStream => Box::pin(unix::connect(leaf, setting)).await,
        #[cfg(all(target_os = "linux", feature = "unix"))]
        ProtocolStack::UnixSeqpacket => Box::pin(unix::seqpacket::connect(leaf)).await,
        #[cfg(all(target_os = "linux", feature = "unix"))]
        ProtocolStack::UnixDatagram => Box::pin(unix::datagram::connect(leaf)).await,
        #[cfg(feature = "udp")]
        ProtocolStack::Udp => Box::pin(udp::connect(leaf, setting)).await,
        #[cfg(feature = "udp-lite")]
        ProtocolStack::UdpLite => Box::pin(udp::connect(leaf, setting)).await,
        #[cfg(feature = "memory")]
        ProtocolStack::MemoryStream | ProtocolStack::MemoryMessage => Box::pin(memory::connect(leaf)).await,
        #[cfg(feature = "websocket")]
        ProtocolStack::WebSocket | ProtocolStack::SecureWebSocket => Box::pin(websocket::connect(leaf, setting)).await,
        // Selection gathers only what is compiled in.
        #[allow(unreachable_patterns, reason = "where every stack is built in")]
        _ => {
            let _ = setting;
            Err(AttemptError::Transport(io::ErrorKind::Unsupported))
        }
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
    pub(crate) websocket: Option<Arc<WebSocketResource>>,
    /// The only sender whose datagrams to a multicast group are taken.
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
        #[cfg(feature = "tcp")]
        ProtocolStack::Tcp | ProtocolStack::Tls | ProtocolStack::Mptcp | ProtocolStack::TlsMptcp => {
            tcp::listen(stand, hosting)
        }
        #[cfg(feature = "quic")]
        ProtocolStack::QuicStream | ProtocolStack::QuicDatagram => quic::listen(stand, hosting),
        #[cfg(all(unix, feature = "unix"))]
        ProtocolStack::UnixStream => unix::listen(stand, hosting),
        #[cfg(all(target_os = "linux", feature = "unix"))]
        ProtocolStack::UnixSeqpacket => unix::seqpacket::listen(stand),
        #[cfg(all(target_os = "linux", feature = "unix"))]
        ProtocolStack::UnixDatagram => unix::datagram::listen(stand, hosting),
        #[cfg(all(windows, feature = "pipe"))]
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
        _ => {
            let _ = hosting;
            Err(io::ErrorKind::Unsupported.into())
        }
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
