//! Descriptors that came from elsewhere, and what they turn out to be.
//!
//! One that was inherited or sent along says nothing about itself; the system does.

use std::io;

use socket2::{SockRef, Socket};

use crate::option::{SocketOption, linux};

/// What a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// The family of its addresses.
    pub family: Family,
    /// What it carries.
    pub kind: Kind,
    /// The protocol that carries it.
    pub protocol: Protocol,
    /// Whether it takes connections in.
    pub listening: bool,
    /// Whether it has a peer: it is connected, or one of a pair.
    pub connected: bool,
}

/// The family of a socket's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6, and IPv4 beside it unless the socket is set to IPv6 only.
    Ipv6,
    /// Names and pairs within this host.
    Unix,
    /// Another, by its number.
    Other(i32),
}

/// What a socket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes in order.
    Stream,
    /// Messages, each by itself.
    Datagram,
    /// Messages in order, over a connection.
    #[doc(alias = "SOCK_SEQPACKET")]
    SequencedPacket,
    /// Something else, by its number.
    Other(i32),
}

/// The protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// The family's own, where it has but one.
    Own,
    /// TCP.
    Tcp,
    /// Multipath TCP, which may have fallen back to TCP.
    Mptcp,
    /// UDP.
    Udp,
    /// UDP-Lite.
    UdpLite,
    /// Another, by its number.
    Other(i32),
}

/// Takes over a descriptor as a socket, nonblocking and closed when another program is run, and says what it is.
///
/// Nothing is read from it.
///
/// # Errors
///
/// What the system says: `ENOTSOCK` where it is none; [`Unsupported`](io::ErrorKind::Unsupported) where it is not Linux.
/// The descriptor is closed then.
#[cfg(unix)]
pub fn adopt(descriptor: std::os::fd::OwnedFd) -> io::Result<(Socket, Description)> {
    let socket = Socket::from(descriptor);
    let description = describe(&socket)?;
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    Ok((socket, description))
}

/// Says what a socket is.
///
/// # Errors
///
/// What the system says: `ENOTSOCK` where it is none; [`Unsupported`](io::ErrorKind::Unsupported) where it is not Linux.
pub fn describe<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<Description> {
    let socket = socket.into();
    Ok(Description {
        family: Family::from_kernel(DOMAIN.int(&socket)?),
        kind: Kind::from_kernel(TYPE.int(&socket)?),
        protocol: Protocol::from_kernel(PROTOCOL.int(&socket)?),
        listening: ACCEPTS.int(&socket)? != 0,
        connected: is_connected(&socket)?,
    })
}

fn is_connected(socket: &Socket) -> io::Result<bool> {
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

impl Family {
    fn from_kernel(number: i32) -> Self {
        match number {
            IPV4 => Self::Ipv4,
            IPV6 => Self::Ipv6,
            UNIX => Self::Unix,
            other => Self::Other(other),
        }
    }
}

impl Kind {
    fn from_kernel(number: i32) -> Self {
        match number {
            STREAM => Self::Stream,
            DATAGRAM => Self::Datagram,
            SEQUENCED_PACKET => Self::SequencedPacket,
            other => Self::Other(other),
        }
    }
}

impl Protocol {
    fn from_kernel(number: i32) -> Self {
        match number {
            0 => Self::Own,
            6 => Self::Tcp,
            17 => Self::Udp,
            136 => Self::UdpLite,
            262 => Self::Mptcp,
            other => Self::Other(other),
        }
    }
}

const DOMAIN: SocketOption = SocketOption::new(linux!(SOL_SOCKET), linux!(SO_DOMAIN));
const TYPE: SocketOption = SocketOption::new(linux!(SOL_SOCKET), linux!(SO_TYPE));
const PROTOCOL: SocketOption = SocketOption::new(linux!(SOL_SOCKET), linux!(SO_PROTOCOL));
const ACCEPTS: SocketOption = SocketOption::new(linux!(SOL_SOCKET), linux!(SO_ACCEPTCONN));
// As Linux numbers them.
const UNIX: i32 = 1;
const IPV4: i32 = 2;
const IPV6: i32 = 10;
const STREAM: i32 = 1;
const DATAGRAM: i32 = 2;
const SEQUENCED_PACKET: i32 = 5;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_systems() {
        assert_eq!([UNIX, IPV4, IPV6], [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6]);
        assert_eq!([STREAM, DATAGRAM, SEQUENCED_PACKET], [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET]);
        assert_eq!([6, 17, 136], [libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_UDPLITE]);
        assert_eq!(262, libc::IPPROTO_MPTCP);
    }
}
