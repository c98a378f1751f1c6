//! The transport protocols that a connection may run over, and the stacks made of them (RFC 9622 4.1, RFC 9621 4.1).

use std::fmt;
use std::str::FromStr;

/// A transport protocol that an endpoint may be specific to (RFC 9622 6.1.3).
///
/// An endpoint that names none is generic: every stack that the properties allow is a candidate for it.
///
/// ```
/// use postroad_taps::Protocol;
///
/// assert_eq!("QUIC".parse(), Ok(Protocol::Quic));
/// assert_eq!(Protocol::UdpLite.to_string(), "udp-lite");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// Multipath TCP (RFC 8684); with a peer that has only TCP it is TCP.
    Mptcp,
    /// UDP (RFC 768).
    Udp,
    /// UDP-Lite, whose checksum may cover a part of a datagram (RFC 3828).
    UdpLite,
    /// QUIC (RFC 9000), its streams or its datagrams (RFC 9221).
    Quic,
    /// A Unix domain socket of any kind; its endpoints have a path.
    Unix,
    /// A named pipe of Windows; its endpoints have a name.
    NamedPipe,
    /// WebSocket (RFC 6455) over TCP.
    WebSocket,
    /// Memory of this process; nothing leaves it.
    Memory,
}

impl Protocol {
    /// Every protocol, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::Tcp,
        Self::Mptcp,
        Self::Udp,
        Self::UdpLite,
        Self::Quic,
        Self::Unix,
        Self::NamedPipe,
        Self::WebSocket,
        Self::Memory,
    ];

    /// The name in lower case, as [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Mptcp => "mptcp",
            Self::Udp => "udp",
            Self::UdpLite => "udp-lite",
            Self::Quic => "quic",
            Self::Unix => "unix",
            Self::NamedPipe => "named-pipe",
            Self::WebSocket => "websocket",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads a name in any case.
impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(text));
        known.ok_or_else(|| UnknownProtocol { name: text.to_owned() })
    }
}

/// A name that is no protocol's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol `{name}`: tcp, mptcp, udp, udp-lite, quic, unix, named-pipe, websocket or memory")]
#[non_exhaustive]
pub struct UnknownProtocol {
    /// What was given.
    pub name: String,
}

/// A protocol stack: what lies between the framers and the network (RFC 9621 4.1.3).
///
/// One protocol has several stacks where it has a secure form or carries different kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProtocolStack {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// Multipath TCP.
    Mptcp,
    /// TLS over Multipath TCP.
    TlsMptcp,
    /// UDP.
    Udp,
    /// UDP-Lite.
    UdpLite,
    /// A stream of a QUIC connection, which is always encrypted (RFC 9001).
    QuicStream,
    /// The datagrams of a QUIC connection (RFC 9221).
    QuicDatagram,
    /// A Unix stream socket.
    UnixStream,
    /// A Unix socket of sequenced packets: a connection that keeps the boundaries of messages.
    UnixSeqpacket,
    /// A Unix datagram socket.
    UnixDatagram,
    /// A named pipe of Windows, as a stream of bytes.
    NamedPipe,
    /// WebSocket over TCP.
    WebSocket,
    /// WebSocket over TLS.
    SecureWebSocket,
    /// A stream of bytes inside this process.
    MemoryStream,
    /// Messages inside this process.
    MemoryMessage,
}

impl ProtocolStack {
    /// Every stack, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::Tcp,
        Self::Tls,
        Self::Mptcp,
        Self::TlsMptcp,
        Self::Udp,
        Self::UdpLite,
        Self::QuicStream,
        Self::QuicDatagram,
        Self::UnixStream,
        Self::UnixSeqpacket,
        Self::UnixDatagram,
        Self::NamedPipe,
        Self::WebSocket,
        Self::SecureWebSocket,
        Self::MemoryStream,
        Self::MemoryMessage,
    ];

    /// The protocol that an endpoint names to ask for this stack.
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Tcp | Self::Tls => Protocol::Tcp,
            Self::Mptcp | Self::TlsMptcp => Protocol::Mptcp,
            Self::Udp => Protocol::Udp,
            Self::UdpLite => Protocol::UdpLite,
            Self::QuicStream | Self::QuicDatagram => Protocol::Quic,
            Self::UnixStream | Self::UnixSeqpacket | Self::UnixDatagram => Protocol::Unix,
            Self::NamedPipe => Protocol::NamedPipe,
            Self::WebSocket | Self::SecureWebSocket => Protocol::WebSocket,
            Self::MemoryStream | Self::MemoryMessage => Protocol::Memory,
        }
    }

    /// Whether what it carries is encrypted and its peer authenticated.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::TlsMptcp | Self::QuicStream | Self::QuicDatagram | Self::SecureWebSocket)
    }

    /// The name in lower case, as logs and listings show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls/tcp",
            Self::Mptcp => "mptcp",
            Self::TlsMptcp => "tls/mptcp",
            Self::Udp => "udp",
            Self::UdpLite => "udp-lite",
            Self::QuicStream => "quic-stream",
            Self::QuicDatagram => "quic-datagram",
            Self::UnixStream => "unix-stream",
            Self::UnixSeqpacket => "unix-seqpacket",
            Self::UnixDatagram => "unix-datagram",
            Self::NamedPipe => "named-pipe",
            Self::WebSocket => "websocket/tcp",
            Self::SecureWebSocket => "websocket/tls",
            Self::MemoryStream => "memory-stream",
            Self::MemoryMessage => "memory-message",
        }
    }
}

impl fmt::Display for ProtocolStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_round_trip_in_any_case() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().to_uppercase().parse(), Ok(protocol));
        }
        let error = "sctp".parse::<Protocol>().unwrap_err();
        assert_eq!(error.name, "sctp");
    }

    #[test]
    fn every_stack_has_its_own_name_and_every_protocol_a_stack() {
        assert_eq!(ProtocolStack::ALL.map(ProtocolStack::name).into_iter().collect::<HashSet<_>>().len(), 16);
        let protocols: HashSet<_> = ProtocolStack::ALL.map(ProtocolStack::protocol).into_iter().collect();
        assert_eq!(protocols, HashSet::from(Protocol::ALL));
    }

    #[test]
    fn the_secure_stacks_are_those_with_tls_inside() {
        let secure: Vec<_> = ProtocolStack::ALL.into_iter().filter(|stack| stack.is_secure()).collect();
        use ProtocolStack::{QuicDatagram, QuicStream, SecureWebSocket, Tls, TlsMptcp};
        assert_eq!(secure, [Tls, TlsMptcp, QuicStream, QuicDatagram, SecureWebSocket]);
    }
}
