//! Socket options by number: how every module here talks to the kernel about a socket.
//!
//! Values are copied as bytes in native order. No pointer and no structure of C leaves this file.

use std::io;

use socket2::Socket;

/// A number that libc has on Linux; 0 elsewhere, where no call is made with it.
macro_rules! linux {
    ($name:ident) => {{
        #[cfg(target_os = "linux")]
        {
            libc::$name
        }
        #[cfg(not(target_os = "linux"))]
        {
            0
        }
    }};
}
pub(crate) use linux;

/// An option of sockets that Linux knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketOption {
    level: i32,
    name: i32,
}

impl SocketOption {
    pub(crate) const fn new(level: i32, name: i32) -> Self {
        Self { level, name }
    }

    /// Sets the option to an integer of C.
    pub(crate) fn set_int(self, socket: &Socket, value: i32) -> io::Result<()> {
        self.set_bytes(socket, &value.to_ne_bytes())
    }

    /// Returns the integer of C that the option is set to.
    pub(crate) fn int(self, socket: &Socket) -> io::Result<i32> {
        let mut value = [0; 4];
        // Some options are a single byte where the caller has room for no more; four were offered.
        match self.read_bytes(socket, &mut value)? {
            4 => Ok(i32::from_ne_bytes(value)),
            1 => Ok(value[0].into()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Sets the option to a structure that is laid out in `value`.
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code, reason = "no safe crate sets an option by its number")]
    pub(crate) fn set_bytes(self, socket: &Socket, value: &[u8]) -> io::Result<()> {
        use std::os::fd::AsRawFd;

        let len = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the descriptor is open while `socket` is borrowed. `value` is readable for `len` bytes, and the
        // kernel reads no more than that and keeps no pointer to it: of the options that this crate sets, none has a
        // value with a pointer in it.
        let done = unsafe { libc::setsockopt(socket.as_raw_fd(), self.level, self.name, value.as_ptr().cast(), len) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Reads the option into the beginning of `value`, and returns how many bytes the kernel wrote: fewer than there is
    /// room for where it is older than this crate.
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code, reason = "no safe crate reads an option by its number")]
    pub(crate) fn read_bytes(self, socket: &Socket, value: &mut [u8]) -> io::Result<usize> {
        use std::os::fd::AsRawFd;

        let mut len = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the descriptor is open while `socket` is borrowed. `value` is writable for `len` bytes, and the
        // kernel writes no more than that; any bytes are valid as `u8`. `len` is a live integer that nothing else
        // refers to. Both pointers are used only during the call.
        let done = unsafe {
            libc::getsockopt(socket.as_raw_fd(), self.level, self.name, value.as_mut_ptr().cast(), &raw mut len)
        };
        if done == 0 { Ok(value.len().min(len as usize)) } else { Err(io::Error::last_os_error()) }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn set_bytes(self, _: &Socket, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn read_bytes(self, _: &Socket, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Whether a socket is of IPv6, which may mean of both.
///
/// # Errors
///
/// `InvalidInput` for a socket of neither family.
pub(crate) fn is_ipv6(socket: &Socket) -> io::Result<bool> {
    match SocketOption::new(linux!(SOL_SOCKET), linux!(SO_DOMAIN)).int(socket)? {
        family if family == linux!(AF_INET) => Ok(false),
        family if family == linux!(AF_INET6) => Ok(true),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is not of IPv4 or IPv6")),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    const REUSE: SocketOption = SocketOption::new(libc::SOL_SOCKET, libc::SO_REUSEADDR);

    #[test]
    fn what_is_set_is_read_back() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert_eq!(REUSE.int(&socket).unwrap(), 0);
        REUSE.set_int(&socket, 1).unwrap();
        assert_eq!(REUSE.int(&socket).unwrap(), 1);
    }

    #[test]
    fn kernel_writes_no_more_than_there_is_room_for() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let info = SocketOption::new(libc::IPPROTO_TCP, libc::TCP_INFO);
        let mut value = [0xAA; 12];
        assert_eq!(info.read_bytes(&socket, &mut value[..8]).unwrap(), 8);
        assert_eq!(value[8..], [0xAA; 4]);
        let mut large = [0xAA; 1024];
        let len = info.read_bytes(&socket, &mut large).unwrap();
        assert!((104..1024).contains(&len), "{len}");
        assert!(large[len..].iter().all(|byte| *byte == 0xAA));
    }

    #[test]
    fn unknown_option_is_an_error() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let unknown = SocketOption::new(libc::SOL_SOCKET, 0x7FFF);
        assert_eq!(unknown.int(&socket).unwrap_err().raw_os_error(), Some(libc::ENOPROTOOPT));
        assert_eq!(unknown.set_int(&socket, 1).unwrap_err().raw_os_error(), Some(libc::ENOPROTOOPT));
    }
}
