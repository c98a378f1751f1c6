//! What a descriptor is.

use std::os::fd::OwnedFd;

use socket2::{Domain, SockRef, Type};

use crate::adopt::AdoptError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
    #[cfg(target_os = "linux")]
    Seqpacket,
}

impl Kind {
    /// The feature that brings the kind.
    pub(crate) fn feature(self) -> &'static str {
        if self == Self::Tcp { "tcp" } else { "unix" }
    }
}

/// Finds out.
pub(crate) fn of(descriptor: &OwnedFd) -> Result<Kind, AdoptError> {
    let socket = SockRef::from(descriptor);
    // What is no socket has no type.
    let kind = socket.r#type().map_err(|_| AdoptError::NotASocket)?;
    let domain = socket.local_addr()?.domain();
    match (domain, kind) {
        (Domain::IPV4 | Domain::IPV6, Type::STREAM) => Ok(Kind::Tcp),
        (Domain::UNIX, Type::STREAM) => Ok(Kind::Unix),
        #[cfg(target_os = "linux")]
        (Domain::UNIX, Type::SEQPACKET) => Ok(Kind::Seqpacket),
        _ => Err(AdoptError::Kind),
    }
}

/// Whether it listens; `None` where the system does not tell.
pub(crate) fn is_listening(descriptor: &OwnedFd) -> Option<bool> {
    #[cfg(target_os = "linux")]
    return SockRef::from(descriptor).is_listener().ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = descriptor;
        None
    }
}
