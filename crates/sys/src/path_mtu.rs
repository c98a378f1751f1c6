//! How long a packet the path takes, and whether what is longer is fragmented.

use std::io;

use socket2::SockRef;

use crate::option::{SocketOption, is_ipv6, linux};

/// What happens to a message that is longer than the path takes.
///
/// The setting is the socket's. A sender that wants a single message whole (RFC 9622 9.1.3.9) sets it for that.
#[doc(alias = "IP_MTU_DISCOVER")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathMtuDiscovery {
    /// It is fragmented, by this host or, with IPv4, on the way.
    Never,
    /// It is fragmented by this host, to what is known of the path; nobody else may do it. What sockets begin with.
    Want,
    /// It is refused with `EMSGSIZE`. Nobody may fragment, and the kernel learns from ICMP how long a packet may be.
    Always,
    /// As `Always`, but only the interface's own limit counts: what ICMP says is not believed. For those who probe.
    Probe,
    /// Never fragmented on the way, and nothing is learned: what is longer than the interface takes is refused.
    Interface,
    /// As `Interface`, but what is longer than the interface takes is fragmented by this host.
    Omit,
}

/// Sets what happens to messages that are longer than the path takes.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a socket that is not of IP, or what `setsockopt` says.
pub fn set_discovery<'s>(socket: impl Into<SockRef<'s>>, discovery: PathMtuDiscovery) -> io::Result<()> {
    let socket = socket.into();
    let value = discovery as i32;
    if is_ipv6(&socket)? {
        DISCOVER_V6.set_int(&socket, value)?;
    }
    // A socket for both families has the option of IPv4 for what goes by that.
    DISCOVER_V4.set_int(&socket, value)
}

/// Returns what happens to messages that are longer than the path takes.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a socket that is not of IP, or what `getsockopt` says.
pub fn discovery<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<PathMtuDiscovery> {
    let socket = socket.into();
    let option = if is_ipv6(&socket)? { DISCOVER_V6 } else { DISCOVER_V4 };
    let value = option.int(&socket)?;
    ALL.into_iter().find(|discovery| *discovery as i32 == value).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Returns the longest packet that the path of a connected socket is known to take, in bytes with all headers.
///
/// # Errors
///
/// [`NotConnected`](io::ErrorKind::NotConnected), or as those of [`discovery`].
#[doc(alias = "IP_MTU")]
pub fn path_mtu<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<u32> {
    let socket = socket.into();
    let option = if is_ipv6(&socket)? { MTU_V6 } else { MTU_V4 };
    u32::try_from(option.int(&socket)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

// IP_PMTUDISC_DONT to IP_PMTUDISC_OMIT are 0 to 5, as are those of IPv6.
const ALL: [PathMtuDiscovery; 6] = [
    PathMtuDiscovery::Never,
    PathMtuDiscovery::Want,
    PathMtuDiscovery::Always,
    PathMtuDiscovery::Probe,
    PathMtuDiscovery::Interface,
    PathMtuDiscovery::Omit,
];
const DISCOVER_V4: SocketOption = SocketOption::new(linux!(IPPROTO_IP), linux!(IP_MTU_DISCOVER));
const DISCOVER_V6: SocketOption = SocketOption::new(linux!(IPPROTO_IPV6), linux!(IPV6_MTU_DISCOVER));
const MTU_V4: SocketOption = SocketOption::new(linux!(IPPROTO_IP), linux!(IP_MTU));
const MTU_V6: SocketOption = SocketOption::new(linux!(IPPROTO_IPV6), linux!(IPV6_MTU));
