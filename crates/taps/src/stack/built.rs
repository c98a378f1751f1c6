//! Which stacks are built in, and which features bring those that are not.

use crate::protocol::{Protocol, ProtocolStack};
use crate::selection::StackSet;

/// A feature of this crate, and whether it is on.
type Feature = (&'static str, bool);

const MEMORY: Feature = ("memory", cfg!(feature = "memory"));
const MPTCP: Feature = ("mptcp", cfg!(feature = "mptcp"));
const PIPE: Feature = ("pipe", cfg!(feature = "pipe"));
const QUIC: Feature = ("quic", cfg!(feature = "quic"));
const TCP: Feature = ("tcp", cfg!(feature = "tcp"));
const TLS: Feature = ("tls", cfg!(feature = "tls"));
const UDP: Feature = ("udp", cfg!(feature = "udp"));
const UDP_LITE: Feature = ("udp-lite", cfg!(feature = "udp-lite"));
const UNIX: Feature = ("unix", cfg!(feature = "unix"));
const WEBSOCKET: Feature = ("websocket", cfg!(feature = "websocket"));

/// The stacks that are built in: what [`connect`](super::connect) and [`listen`](super::listen) know.
pub(crate) const BUILT: StackSet = {
    let (mut built, mut at) = (StackSet::EMPTY, 0);
    while at < ProtocolStack::ALL.len() {
        let stack = ProtocolStack::ALL[at];
        if system_has(stack) && missing(stack).is_none() {
            built = built.with(stack);
        }
        at += 1;
    }
    built
};

/// Those of them that may be used where a proxy makes the connections: what runs over TCP, and what does not leave the
/// machine.
pub(crate) const PROXIED: StackSet = {
    let (mut proxied, mut at) = (StackSet::EMPTY, 0);
    while at < ProtocolStack::ALL.len() {
        let stack = ProtocolStack::ALL[at];
        let may = matches!(
            stack.protocol(),
            Protocol::Tcp | Protocol::WebSocket | Protocol::Unix | Protocol::NamedPipe | Protocol::Memory
        );
        if may && BUILT.contains(stack) {
            proxied = proxied.with(stack);
        }
        at += 1;
    }
    proxied
};

/// The feature that a stack lacks, of those that this system has; the first, where it is more than one.
pub(crate) const fn lacking(stack: ProtocolStack) -> Option<&'static str> {
    if system_has(stack) { missing(stack) } else { None }
}

const fn missing(stack: ProtocolStack) -> Option<&'static str> {
    let (needed, mut at) = (features(stack), 0);
    while at < needed.len() {
        let (name, is_on) = needed[at];
        if !is_on {
            return Some(name);
        }
        at += 1;
    }
    None
}

/// The features that a stack is made of.
const fn features(stack: ProtocolStack) -> &'static [Feature] {
    match stack {
        ProtocolStack::Tcp => &[TCP],
        ProtocolStack::Tls => &[TCP, TLS],
        ProtocolStack::Mptcp => &[MPTCP],
        ProtocolStack::TlsMptcp => &[MPTCP, TLS],
        ProtocolStack::Udp => &[UDP],
        ProtocolStack::UdpLite => &[UDP_LITE],
        ProtocolStack::QuicStream | ProtocolStack::QuicDatagram => &[QUIC],
        ProtocolStack::UnixStream | ProtocolStack::UnixSeqpacket | ProtocolStack::UnixDatagram => &[UNIX],
        ProtocolStack::NamedPipe => &[PIPE],
        ProtocolStack::WebSocket => &[WEBSOCKET],
        ProtocolStack::SecureWebSocket => &[WEBSOCKET, TLS],
        ProtocolStack::MemoryStream | ProtocolStack::MemoryMessage => &[MEMORY],
    }
}

/// Whether this crate has the stack on this system.
const fn system_has(stack: ProtocolStack) -> bool {
    match stack {
        ProtocolStack::Mptcp | ProtocolStack::TlsMptcp | ProtocolStack::UdpLite => cfg!(target_os = "linux"),
        ProtocolStack::UnixSeqpacket | ProtocolStack::UnixDatagram => cfg!(target_os = "linux"),
        ProtocolStack::UnixStream => cfg!(unix),
        ProtocolStack::NamedPipe => cfg!(windows),
        _ => true,
    }
}
