//! Multipath TCP (RFC 8684): a TCP connection over several paths, or over one where the peer knows no other.

use std::io;

use socket2::{Domain, SockRef, Socket};

use crate::native::{array, u32_at, u64_at};
use crate::option::{SocketOption, linux};

/// What the kernel tells of a connection that is multipath.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MptcpInfo {
    /// Subflows beside the first.
    pub additional_subflows: u8,
    /// Addresses of this end that the peer was told.
    pub addresses_signalled: u8,
    /// Addresses of the peer that were taken on.
    pub addresses_accepted: u8,
    /// Subflows beside the first that may be at most.
    pub most_subflows: u8,
    /// Whether the peer's key has come: the connection is past its handshake.
    pub established: bool,
    /// What names the connection to its peer, for those who watch it from outside.
    pub token: u32,
    /// Bytes that the peer has acknowledged, over all subflows, where the kernel tells it (Linux 6.5).
    pub acknowledged_bytes: Option<u64>,
}

/// Opens an MPTCP socket for streams, nonblocking and closed when another program is run.
///
/// It connects to a peer without MPTCP as plain TCP, and accepts such peers; [`info`] tells.
///
/// # Errors
///
/// What `socket` says: `ENOPROTOOPT` where the administrator has switched MPTCP off, `EPROTONOSUPPORT` where the kernel
/// lacks it; [`Unsupported`](io::ErrorKind::Unsupported) on other systems.
pub fn socket(domain: Domain) -> io::Result<Socket> {
    crate::open(domain, socket2::Type::STREAM, linux!(IPPROTO_MPTCP))
}

/// Returns what the kernel tells of a connected socket, or `None` where it is plain TCP: because it was opened as that, or
/// because the peer, or something on the way, has no MPTCP.
///
/// # Errors
///
/// What `getsockopt` says otherwise.
#[doc(alias = "MPTCP_INFO")]
pub fn info<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<Option<MptcpInfo>> {
    let mut value = [0; LONGEST];
    match INFO.read_bytes(&socket.into(), &mut value) {
        Ok(len) => MptcpInfo::parse(&value[..len]),
        Err(error) if is_plain(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a connected socket is plain TCP: what [`info`] answers with `None`.
///
/// # Errors
///
/// As those of [`info`].
pub fn is_fallback<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<bool> {
    info(socket).map(|info| info.is_none())
}

impl MptcpInfo {
    /// Reads `struct mptcp_info`, of which newer kernels write more than older ones. A connection that has fallen back
    /// behind its handshake says so in a flag.
    fn parse(value: &[u8]) -> io::Result<Option<Self>> {
        let (Some([subflows, signalled, accepted, most]), Some(flags), Some(token)) =
            (array(value, 0), u32_at(value, 8), u32_at(value, 12))
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        Ok((flags & FALLBACK == 0).then_some(Self {
            additional_subflows: subflows,
            addresses_signalled: signalled,
            addresses_accepted: accepted,
            most_subflows: most,
            established: flags & REMOTE_KEY_RECEIVED != 0,
            token,
            acknowledged_bytes: u64_at(value, 72),
        }))
    }
}

#[cfg(target_os = "linux")]
fn is_plain(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOPROTOOPT))
}

#[cfg(not(target_os = "linux"))]
fn is_plain(_: &io::Error) -> bool {
    false
}

// SOL_MPTCP and MPTCP_INFO, which libc lacks.
const INFO: SocketOption = SocketOption::new(284, 1);
const FALLBACK: u32 = 1;
const REMOTE_KEY_RECEIVED: u32 = 2;
/// More than the structure has today.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_of_an_old_kernel_is_read() {
        let mut value = [0; 48];
        value[..4].copy_from_slice(&[1, 2, 3, 4]);
        value[8..12].copy_from_slice(&REMOTE_KEY_RECEIVED.to_ne_bytes());
        value[12..16].copy_from_slice(&77u32.to_ne_bytes());
        let info = MptcpInfo::parse(&value).unwrap().unwrap();
        assert_eq!((info.additional_subflows, info.addresses_signalled), (1, 2));
        assert_eq!((info.addresses_accepted, info.most_subflows), (3, 4));
        assert_eq!((info.established, info.token, info.acknowledged_bytes), (true, 77, None));
        value[8] |= 1;
        assert_eq!(MptcpInfo::parse(&value).unwrap(), None);
    }

    #[test]
    fn structure_that_is_cut_off_is_an_error() {
        for len in 0..16 {
            assert_eq!(MptcpInfo::parse(&[0; 16][..len]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        assert!(MptcpInfo::parse(&[0; 16]).unwrap().is_some());
    }
}
