//! The address that a connection has got: an endpoint after resolution.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use crate::endpoint::UnixAddress;

/// What is connected to or bound: what is left of an endpoint when its names are resolved. Cloning copies no text.
///
/// ```
/// use std::net::SocketAddr;
/// use postroad_taps::EndpointAddress;
///
/// let address: SocketAddr = "[::1]:5672".parse().unwrap();
/// assert_eq!(EndpointAddress::from(address).ip(), Some(address));
/// assert_eq!(EndpointAddress::from(address).to_string(), "[::1]:5672");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointAddress {
    /// An address of IP and a port.
    Ip(SocketAddr),
    /// A Unix domain socket.
    Unix(UnixAddress),
    /// A named pipe of this machine, by its name behind `\\.\pipe\`.
    Pipe(Arc<str>),
    /// A name inside this process.
    Memory(Arc<str>),
}

impl EndpointAddress {
    /// The address of IP and the port, when it is one.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Pipe(_) | Self::Memory(_) => None,
        }
    }

    /// The address of a Unix socket, when it is one.
    #[must_use]
    pub fn unix(&self) -> Option<&UnixAddress> {
        match self {
            Self::Unix(address) => Some(address),
            Self::Ip(_) | Self::Pipe(_) | Self::Memory(_) => None,
        }
    }
}

impl From<SocketAddr> for EndpointAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<UnixAddress> for EndpointAddress {
    fn from(address: UnixAddress) -> Self {
        Self::Unix(address)
    }
}

impl PartialEq<SocketAddr> for EndpointAddress {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.ip() == Some(*other)
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(address) => address.fmt(f),
            Self::Pipe(name) => write!(f, "pipe:{name}"),
            Self::Memory(name) => write!(f, "memory:{name}"),
        }
    }
}

impl fmt::Debug for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointAddress({self})")
    }
}

pub(crate) fn socket_address(address: IpAddr, scope: u32, port: u16) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::new(address, port),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, scope).into(),
    }
}

/// An IPv4 peer of a dual-stack socket, in the form people know (`127.0.0.1` for `::ffff:127.0.0.1`).
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match Ipv6Addr::to_ipv4_mapped(v6.ip()) {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_reads_as_the_version_4_one() {
        assert_eq!(canonical("[::ffff:127.0.0.1]:9".parse().unwrap()), "127.0.0.1:9".parse().unwrap());
        assert_eq!(canonical("[::1]:9".parse().unwrap()), "[::1]:9".parse().unwrap());
    }
}
