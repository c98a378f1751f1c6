//! Soft errors: what the network or the kernel said about messages that were sent, without an end to anything
//! (RFC 9622 8.3.1).
//!
//! Without the queue such an error is told once, by whatever call comes next, and nobody knows to which message it
//! belongs. With tokio, a socket is ready for `Interest::ERROR` when something is in its queue:
//!
//! ```
//! # #[cfg(target_os = "linux")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use postroad_sys::soft_error::{self, Origin};
//! use tokio::io::Interest;
//! use tokio::net::UdpSocket;
//!
//! let socket = UdpSocket::bind("127.0.0.1:0").await?;
//! soft_error::set_queue(&socket, true)?;
//! # // Nobody else can open the port, and its socket hears nobody but itself.
//! # let held = UdpSocket::bind("127.0.0.1:0").await?;
//! # let closed = held.local_addr()?;
//! # held.connect(closed).await?;
//! socket.send_to(b"hello", closed).await?;
//! let error = socket
//!     .async_io(Interest::ERROR, || soft_error::take(&socket)?.ok_or_else(|| std::io::ErrorKind::WouldBlock.into()))
//!     .await?;
//! // Port unreachable, and nothing is closed.
//! assert_eq!((error.origin, error.kind, error.code), (Origin::Icmp, 3, 3));
//! assert_eq!((error.destination, &error.payload[..]), (Some(closed), &b"hello"[..]));
//! # Ok(()) }
//! # #[cfg(not(target_os = "linux"))]
//! # fn main() {}
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;

use crate::control::{self, ControlMessage, Kind};
use crate::native::{array, i32_at, ip, u16_at, u32_at};
use crate::option::{SocketOption, is_ipv6, linux};
use crate::receive::{self, CONTROL_ROOM};

/// An error about a message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SoftError {
    /// Who said it.
    pub origin: Origin,
    /// The type of the ICMP message, or 0: 3 is destination unreachable (RFC 792), which ICMPv6 has as 1 (RFC 4443).
    #[doc(alias = "type")]
    pub kind: u8,
    /// The code of the ICMP message, or 0: with type 3, 3 is port unreachable, which ICMPv6 has as 4 with type 1.
    pub code: u8,
    /// The error as the system numbers it; [`io_error`](Self::io_error) makes words of it.
    pub errno: i32,
    /// How long a packet the path takes, in bytes, where the error is that it was longer.
    pub path_mtu: Option<u32>,
    /// The host on the way, or at its end, that said it.
    pub offender: Option<IpAddr>,
    /// Whom the message was sent to.
    pub destination: Option<SocketAddr>,
    /// What came back of the message's payload, 2048 bytes at most. It says to which message the error belongs; a host on
    /// the way may have made it up.
    pub payload: Vec<u8>,
}

/// Who said that there is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The kernel of this host.
    Local,
    /// A message of ICMP.
    Icmp,
    /// A message of ICMPv6.
    Icmpv6,
    /// Something that is no error, such as a time stamp that somebody has asked for.
    #[doc(alias = "ee_origin")]
    Other(u8),
}

/// Sets whether errors about messages are queued.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a socket that is not for messages of IP, or what `setsockopt` says. A
/// TCP socket has no such queue, and the option of the same name makes an end of errors that TCP would get over.
#[doc(alias = "IP_RECVERR")]
pub fn set_queue<'s>(socket: impl Into<SockRef<'s>>, queue: bool) -> io::Result<()> {
    let socket = socket.into();
    if TYPE.int(&socket)? == linux!(SOCK_STREAM) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "streams have no queue of errors"));
    }
    if is_ipv6(&socket)? {
        RECVERR_V6.set_int(&socket, queue.into())?;
    }
    // A socket for both families has the option of IPv4 for what goes by that.
    RECVERR_V4.set_int(&socket, queue.into())
}

/// Takes the oldest error from the queue, or `None` where there is none. Never waits.
///
/// Until it is taken, the next call on the socket tells the same error; when it is, only the next in the queue.
///
/// # Errors
///
/// What `recvmsg` says otherwise.
#[doc(alias = "MSG_ERRQUEUE")]
pub fn take<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<Option<SoftError>> {
    let mut payload = [0; LONGEST_PAYLOAD];
    let mut control = [0; CONTROL_ROOM];
    let arrived = match receive::receive_initialised(&socket.into(), &mut payload, &mut control, FROM_QUEUE | AT_ONCE) {
        Ok(arrived) => arrived,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    let (payload, control) = (&payload[..arrived.len], &control[..arrived.control_len]);
    let error = control::messages(control).find_map(|message| SoftError::parse(message, arrived.address, payload));
    error.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

impl SoftError {
    /// Returns it as an error of the system.
    pub fn io_error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }

    /// Reads `struct sock_extended_err` and the address behind it.
    fn parse(message: ControlMessage<'_>, destination: Option<SocketAddr>, payload: &[u8]) -> Option<Self> {
        if message.kind != ERROR_V4 && message.kind != ERROR_V6 {
            return None;
        }
        let data = message.data;
        let errno = i32_at(data, 0)?;
        let [origin, kind, code, _] = array(data, 4)?;
        let too_long = errno == linux!(EMSGSIZE);
        Some(Self {
            origin: match origin {
                ORIGIN_LOCAL => Origin::Local,
                ORIGIN_ICMP => Origin::Icmp,
                ORIGIN_ICMPV6 => Origin::Icmpv6,
                other => Origin::Other(other),
            },
            kind,
            code,
            errno,
            path_mtu: u32_at(data, 8).filter(|_| too_long),
            offender: data.get(16..).and_then(socket_ip),
            destination,
            payload: payload.to_vec(),
        })
    }
}

/// Returns the address in a `struct sockaddr_in` or `sockaddr_in6`; none where the family is neither.
fn socket_ip(bytes: &[u8]) -> Option<IpAddr> {
    match i32::from(u16_at(bytes, 0)?) {
        family if family == linux!(AF_INET) => ip(bytes.get(4..8)?),
        family if family == linux!(AF_INET6) => ip(bytes.get(8..24)?),
        _ => None,
    }
}

const RECVERR_V4: SocketOption = SocketOption::new(linux!(IPPROTO_IP), linux!(IP_RECVERR));
const RECVERR_V6: SocketOption = SocketOption::new(linux!(IPPROTO_IPV6), linux!(IPV6_RECVERR));
const TYPE: SocketOption = SocketOption::new(linux!(SOL_SOCKET), linux!(SO_TYPE));
const ERROR_V4: Kind = Kind { level: linux!(IPPROTO_IP), name: linux!(IP_RECVERR) };
const ERROR_V6: Kind = Kind { level: linux!(IPPROTO_IPV6), name: linux!(IPV6_RECVERR) };
const FROM_QUEUE: i32 = linux!(MSG_ERRQUEUE);
const AT_ONCE: i32 = linux!(MSG_DONTWAIT);
// SO_EE_ORIGIN_LOCAL and its kin.
const ORIGIN_LOCAL: u8 = 1;
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMPV6: u8 = 3;
/// ICMP quotes 576 bytes and ICMPv6 1280 (RFC 1812 4.3.2.3, RFC 4443 2.4).
const LONGEST_PAYLOAD: usize = 2048;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn every_prefix_of_an_error_is_refused_or_read() {
        let mut data = [0; 32];
        data[..4].copy_from_slice(&libc::EMSGSIZE.to_ne_bytes());
        data[4..8].copy_from_slice(&[ORIGIN_ICMP, 3, 4, 0]);
        data[8..12].copy_from_slice(&1280u32.to_ne_bytes());
        data[16..18].copy_from_slice(&u16::try_from(libc::AF_INET).unwrap().to_ne_bytes());
        data[20..24].copy_from_slice(&[192, 0, 2, 1]);
        for len in 0..data.len() {
            let message = ControlMessage { kind: ERROR_V4, data: &data[..len] };
            let error = SoftError::parse(message, None, b"payload");
            assert_eq!(error.is_some(), len >= 8, "{len}");
            let Some(error) = error else { continue };
            assert_eq!((error.origin, error.kind, error.code), (Origin::Icmp, 3, 4));
            assert_eq!(error.path_mtu, (len >= 12).then_some(1280), "{len}");
            assert_eq!(error.offender, (len >= 24).then_some(Ipv4Addr::new(192, 0, 2, 1).into()), "{len}");
        }
        let other = ControlMessage { kind: Kind { level: libc::IPPROTO_IP, name: libc::IP_TOS }, data: &data };
        assert_eq!(SoftError::parse(other, None, &[]), None);
    }
}
