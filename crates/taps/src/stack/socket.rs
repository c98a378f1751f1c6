//! What sockets of every protocol of the network have: an interface, and marks on their packets.

use std::io;

use socket2::{SockRef, Socket};

use crate::properties::CapacityProfile;

/// Leaves and enters by one interface only.
pub(crate) fn bind_interface(socket: &Socket, interface: &str) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return socket.bind_device(Some(interface.as_bytes()));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (socket, interface);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Marks the packets of a socket with the code point of a profile: the upper six bits of the octet (RFC 2474 3).
#[cfg(unix)]
pub(crate) fn mark(socket: &SockRef<'_>, profile: CapacityProfile) -> io::Result<()> {
    use std::net::SocketAddr;

    use crate::endpoint::canonical;

    let octet = u32::from(profile.dscp()) << 2;
    // An IPv4 client of a socket for both families gets IPv4 packets.
    match socket.local_addr()?.as_socket().map(canonical) {
        Some(SocketAddr::V4(_)) => socket.set_tos_v4(octet),
        Some(SocketAddr::V6(_)) => socket.set_tclass_v6(octet),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
pub(crate) fn mark(_: &SockRef<'_>, _: CapacityProfile) -> io::Result<()> {
    Ok(())
}
