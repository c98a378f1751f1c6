//! Which kind of address a socket sends from where none is bound: what RFC 9622 6.2.13 asks for.

use std::io;

use socket2::SockRef;

use crate::option::{SocketOption, linux};

/// Whether IPv6 sends from a temporary address (RFC 8981) where a socket is not bound to one.
///
/// It is a preference: where there is no such address, another is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemporaryAddress {
    /// As the system is set.
    System,
    /// Rather than a stable one.
    #[doc(alias = "IPV6_PREFER_SRC_TMP")]
    Prefer,
    /// Rather a stable one.
    #[doc(alias = "IPV6_PREFER_SRC_PUBLIC")]
    Avoid,
}

/// Sets whether a socket sends from a temporary address (RFC 5014). It counts when the socket is connected or sends, so it
/// is set before.
///
/// # Errors
///
/// What `setsockopt` says: `ENOPROTOOPT` or `EOPNOTSUPP` for a socket that is not of IPv6, which alone has such addresses.
#[doc(alias = "IPV6_ADDR_PREFERENCES")]
pub fn set_temporary<'s>(socket: impl Into<SockRef<'s>>, temporary: TemporaryAddress) -> io::Result<()> {
    let value = match temporary {
        TemporaryAddress::System => DEFAULT,
        TemporaryAddress::Prefer => TEMPORARY,
        TemporaryAddress::Avoid => PUBLIC,
    };
    PREFERENCES.set_int(&socket.into(), value)
}

/// Returns whether a socket sends from a temporary address.
///
/// # Errors
///
/// As those of [`set_temporary`].
pub fn temporary<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<TemporaryAddress> {
    let value = PREFERENCES.int(&socket.into())?;
    Ok(if value & TEMPORARY != 0 {
        TemporaryAddress::Prefer
    } else if value & PUBLIC != 0 {
        TemporaryAddress::Avoid
    } else {
        TemporaryAddress::System
    })
}

// IPV6_ADDR_PREFERENCES and its values, which libc lacks on some systems.
const PREFERENCES: SocketOption = SocketOption::new(linux!(IPPROTO_IPV6), 72);
const TEMPORARY: i32 = 0x01;
const PUBLIC: i32 = 0x02;
const DEFAULT: i32 = 0x100;
