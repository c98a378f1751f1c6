//! Multicast from chosen sources (RFC 9622 6.1.1).
//!
//! socket2 has the rest: groups with any source, hop limits and the loop back. What it lacks is source-specific membership
//! with IPv6 or by an interface's index.
//!
//! A socket that is bound to no address also gets what others on this host have joined, until
//! [`set_multicast_all_v4`](socket2::Socket::set_multicast_all_v4) and its kin of IPv6 say otherwise; one that is bound to
//! the group gets nothing else.

use std::io;
use std::net::IpAddr;

use socket2::{SockRef, Socket};

use crate::option::{SocketOption, linux};

/// Joins a group for what one source sends to it (RFC 4607). A socket may join it for several.
///
/// `interface` is the index of the interface by which the group is heard; 0 lets the system choose.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) where group and source are not of one family or the group is none, or what
/// `setsockopt` says: `EADDRNOTAVAIL` where it is joined already, `ENODEV` where there is no such interface, `ENOBUFS` for more
/// sources or groups than the system allows.
#[doc(alias = "IP_ADD_SOURCE_MEMBERSHIP")]
#[doc(alias = "MCAST_JOIN_SOURCE_GROUP")]
pub fn join_source<'s>(
    socket: impl Into<SockRef<'s>>,
    group: IpAddr,
    source: IpAddr,
    interface: u32,
) -> io::Result<()> {
    membership(&socket.into(), group, source, interface)
}

fn membership(socket: &Socket, group: IpAddr, source: IpAddr, interface: u32) -> io::Result<()> {
    let level = match (group, source) {
        (IpAddr::V4(_), IpAddr::V4(_)) => linux!(IPPROTO_IP),
        (IpAddr::V6(_), IpAddr::V6(_)) => linux!(IPPROTO_IPV6),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "group and source are of different families")),
    };
    if !group.is_multicast() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the address of a group"));
    }
    // `struct group_source_req`: the index, and two `struct sockaddr_storage`, which begin where a pointer might.
    let mut value = [0; POINTER + 2 * STORAGE];
    value[..4].copy_from_slice(&interface.to_ne_bytes());
    write_address(&mut value[POINTER..], group);
    write_address(&mut value[POINTER + STORAGE..], source);
    SocketOption::new(level, linux!(MCAST_JOIN_SOURCE_GROUP)).set_bytes(socket, &value)
}

/// Writes a `struct sockaddr_in` or `sockaddr_in6` without a port.
fn write_address(storage: &mut [u8], address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            storage[..2].copy_from_slice(&FAMILY_V4.to_ne_bytes());
            storage[4..8].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            storage[..2].copy_from_slice(&FAMILY_V6.to_ne_bytes());
            storage[8..24].copy_from_slice(&address.octets());
        }
    }
}

const POINTER: usize = size_of::<usize>();
const STORAGE: usize = 128;
// As Linux numbers them.
const FAMILY_V4: u16 = 2;
const FAMILY_V6: u16 = 10;

/// The layout is that of the system: where it is not, this does not compile.
#[cfg(target_os = "linux")]
const _: () = {
    use std::mem::offset_of;

    assert!(STORAGE == size_of::<libc::sockaddr_storage>());
    assert!(POINTER + 2 * STORAGE == size_of::<libc::group_source_req>());
    assert!(POINTER == offset_of!(libc::group_source_req, gsr_group));
    assert!(POINTER + STORAGE == offset_of!(libc::group_source_req, gsr_source));
    assert!(FAMILY_V4 as i32 == libc::AF_INET && FAMILY_V6 as i32 == libc::AF_INET6);
    assert!(4 == offset_of!(libc::sockaddr_in, sin_addr) && 8 == offset_of!(libc::sockaddr_in6, sin6_addr));
};
