//! UDP-Lite (RFC 3828): datagrams whose checksum covers only their beginning.
//!
//! A datagram that is damaged behind the part that is covered still arrives. The coverage belongs to the socket, so a
//! sender whose messages differ in it sets it before each of them. The kernel counts the header of 8 bytes in; the
//! functions here do not.

use std::io;

use socket2::{Domain, SockRef, Socket};

use crate::option::{SocketOption, linux};

/// How much of a datagram the checksum covers, apart from the header, which it always covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// All of it.
    Full,
    /// So many bytes at the beginning of the payload, 0 to 65527. The checksum of a datagram that is shorter covers all
    /// of it.
    Bytes(u16),
}

/// Opens a UDP-Lite socket, nonblocking and closed when another program is run.
///
/// # Errors
///
/// What `socket` says; [`Unsupported`](io::ErrorKind::Unsupported) where the system has no UDP-Lite.
pub fn socket(domain: Domain) -> io::Result<Socket> {
    crate::open(domain, socket2::Type::DGRAM, linux!(IPPROTO_UDPLITE))
}

/// Sets what the checksum of the datagrams covers that are sent from now on.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a coverage beyond 65527, or what `setsockopt` says: `ENOPROTOOPT`
/// where the socket is not of UDP-Lite.
pub fn set_send_coverage<'s>(socket: impl Into<SockRef<'s>>, coverage: Coverage) -> io::Result<()> {
    SEND_COVERAGE.set_int(&socket.into(), coverage.to_kernel()?)
}

/// Returns what the checksum of the datagrams covers that are sent.
///
/// # Errors
///
/// What `getsockopt` says.
pub fn send_coverage<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<Coverage> {
    SEND_COVERAGE.int(&socket.into()).map(Coverage::from_kernel)
}

/// Sets what the checksum of a datagram must cover at least. The kernel drops one with less in silence.
///
/// A socket on which this was never set takes every coverage; [`Coverage::Bytes`] with 0 does that again.
///
/// # Errors
///
/// As those of [`set_send_coverage`].
pub fn set_receive_coverage<'s>(socket: impl Into<SockRef<'s>>, least: Coverage) -> io::Result<()> {
    RECEIVE_COVERAGE.set_int(&socket.into(), least.to_kernel()?)
}

/// Returns what the checksum of a datagram must cover at least.
///
/// # Errors
///
/// What `getsockopt` says.
pub fn receive_coverage<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<Coverage> {
    RECEIVE_COVERAGE.int(&socket.into()).map(Coverage::from_kernel)
}

impl Coverage {
    /// RFC 3828 3.1: 0 is the whole datagram, and 1 to 7 are illegal.
    fn to_kernel(self) -> io::Result<i32> {
        match self {
            Self::Full => Ok(0),
            Self::Bytes(bytes @ 0..=MOST) => Ok(HEADER + i32::from(bytes)),
            Self::Bytes(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "checksum coverage is beyond 65527")),
        }
    }

    fn from_kernel(value: i32) -> Self {
        match u16::try_from(value.saturating_sub(HEADER)) {
            Ok(bytes) => Self::Bytes(bytes),
            Err(_) => Self::Full,
        }
    }
}

const HEADER: i32 = 8;
const MOST: u16 = u16::MAX - 8;
// UDPLITE_SEND_CSCOV and UDPLITE_RECV_CSCOV, which libc lacks.
const SEND_COVERAGE: SocketOption = SocketOption::new(linux!(IPPROTO_UDPLITE), 10);
const RECEIVE_COVERAGE: SocketOption = SocketOption::new(linux!(IPPROTO_UDPLITE), 11);
