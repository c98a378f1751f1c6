//! The network interfaces of this host and their addresses.
//!
//! What the safe crates list lacks whether an IPv6 address is temporary (RFC 8981) or deprecated (RFC 4862 5.5.4), which
//! RFC 9622 6.2.13 asks for.

use std::io;
use std::net::IpAddr;

use crate::netlink::{Address, Link};

/// A network interface of this host, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// What the system knows it by, from 1.
    pub index: u32,
    /// What people know it by.
    pub name: String,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it can carry something: it is up, and has a carrier where it needs one.
    pub running: bool,
    /// Whether it leads only to this host.
    pub loopback: bool,
    /// Whether it leads to one other host only.
    pub point_to_point: bool,
    /// Whether it says that it can multicast. The loopback does not, and can.
    pub multicast: bool,
    /// The longest packet that it takes, in bytes.
    pub mtu: u32,
    /// Its addresses, in the system's order.
    pub addresses: Vec<InterfaceAddress>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// How many bits of it all hosts on the link share, 0 to 32 or 128.
    pub prefix_len: u8,
    /// Whether it was made up for a while, so that nobody can tell who this is by it (RFC 8981). IPv6 only.
    #[doc(alias = "IFA_F_TEMPORARY")]
    pub temporary: bool,
    /// Whether it is no longer meant for what is new (RFC 4862 5.5.4).
    pub deprecated: bool,
    /// Whether it cannot be used: not yet known to be unique, or known not to be (RFC 4862 5.4).
    pub tentative: bool,
}

/// Lists the interfaces with their addresses.
///
/// Blocks for as long as the kernel needs to answer, which is well below a millisecond where there are few.
///
/// # Errors
///
/// What the system says; [`TimedOut`](io::ErrorKind::TimedOut) where it says nothing for five seconds;
/// [`Interrupted`](io::ErrorKind::Interrupted) where it changes faster than it can be listed;
/// [`Unsupported`](io::ErrorKind::Unsupported) on other systems than Linux.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    list()
}

/// Returns the index of the interface with a name.
///
/// # Errors
///
/// [`NotFound`](io::ErrorKind::NotFound) where there is none, and those of [`interfaces`].
#[doc(alias = "if_nametoindex")]
pub fn index(name: &str) -> io::Result<u32> {
    let found = interfaces()?.into_iter().find(|interface| interface.name == name);
    found.map(|interface| interface.index).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("there is no network interface `{}`", name.escape_debug()))
    })
}

impl Interface {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "other systems list nothing"))]
    fn new(link: Link) -> Self {
        let has = |flag| link.flags & flag != 0;
        Self {
            index: link.index,
            up: has(UP),
            running: is_running(link.flags),
            loopback: has(LOOPBACK),
            point_to_point: has(POINT_TO_POINT),
            multicast: has(MULTICAST),
            mtu: link.mtu,
            name: link.name,
            addresses: Vec::new(),
        }
    }
}

impl InterfaceAddress {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "other systems list nothing"))]
    pub(crate) fn new(address: &Address) -> Self {
        let has = |flag| address.flags & flag != 0;
        Self {
            address: address.address,
            prefix_len: address.prefix_len,
            // With IPv4 the bit means that it is not the first of its network.
            temporary: has(TEMPORARY) && address.address.is_ipv6(),
            deprecated: has(DEPRECATED),
            tentative: has(TENTATIVE) || has(DUPLICATE),
        }
    }
}

/// Whether a link with these flags is up and can carry something.
pub(crate) fn is_running(flags: u32) -> bool {
    flags & (UP | RUNNING) == UP | RUNNING
}

#[cfg(target_os = "linux")]
fn list() -> io::Result<Vec<Interface>> {
    use crate::netlink::{GET_ADDRESS, GET_LINK, NEW_ADDRESS, NEW_LINK};
    use crate::route_socket::dump;

    // Of any family: `struct ifinfomsg` and `struct ifaddrmsg` of zeros.
    let mut interfaces: Vec<Interface> =
        dump(GET_LINK, &[0; 16], NEW_LINK, Link::parse)?.into_iter().map(Interface::new).collect();
    for address in dump(GET_ADDRESS, &[0; 8], NEW_ADDRESS, Address::parse)? {
        // An interface that has come since is for the next list.
        if let Some(interface) = interfaces.iter_mut().find(|interface| interface.index == address.interface) {
            interface.addresses.push(InterfaceAddress::new(&address));
        }
    }
    Ok(interfaces)
}

#[cfg(not(target_os = "linux"))]
fn list() -> io::Result<Vec<Interface>> {
    Err(io::ErrorKind::Unsupported.into())
}

// IFF_UP and its kin.
const UP: u32 = 0x01;
const LOOPBACK: u32 = 0x08;
const POINT_TO_POINT: u32 = 0x10;
const RUNNING: u32 = 0x40;
const MULTICAST: u32 = 0x1000;
// IFA_F_TEMPORARY and its kin.
const TEMPORARY: u32 = 0x01;
const DUPLICATE: u32 = 0x08;
const DEPRECATED: u32 = 0x20;
const TENTATIVE: u32 = 0x40;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn flags_of_an_address_have_meaning() {
        let of = |address: IpAddr, flags| {
            let address = InterfaceAddress::new(&Address { interface: 1, address, prefix_len: 64, flags });
            (address.temporary, address.deprecated, address.tentative)
        };
        let (ipv4, ipv6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        assert_eq!(of(ipv6, 0x80), (false, false, false));
        assert_eq!(of(ipv6, 0x301), (true, false, false));
        assert_eq!(of(ipv6, 0x21), (true, true, false));
        assert_eq!(of(ipv6, 0x40), (false, false, true));
        assert_eq!(of(ipv6, 0x88), (false, false, true));
        assert_eq!(of(ipv4, 0x81), (false, false, false));
    }

    #[test]
    fn link_runs_when_it_is_up_and_has_a_carrier() {
        let running = [0, UP, RUNNING, UP | RUNNING].map(is_running);
        assert_eq!(running, [false, false, false, true]);
    }
}
