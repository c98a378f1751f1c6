//! Addresses of Unix domain sockets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The address of a Unix domain socket. Cloning copies no text.
///
/// ```
/// use postroad_taps::UnixAddress;
///
/// assert_eq!(UnixAddress::path("/run/postroad.sock").to_string(), "unix:/run/postroad.sock");
/// assert_eq!(UnixAddress::abstract_name("postroad").to_string(), "unix:@postroad");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnixAddress {
    /// A path in the file system.
    Path(Arc<Path>),
    /// A name in the abstract namespace of Linux, without the leading zero byte.
    Abstract(Arc<[u8]>),
    /// A socket without a name: the client's end of most connections, and both ends of a pair.
    Unnamed,
}

impl UnixAddress {
    /// The longest path or abstract name in bytes; the system's structure has room for 108 with a zero byte.
    pub const MAX_LEN: usize = 107;

    /// A path in the file system.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::Path(path.into().into())
    }

    /// A name in the abstract namespace of Linux, without the leading zero byte.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Self::Abstract(name.as_ref().into())
    }

    /// The path, when it is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Abstract(_) | Self::Unnamed => None,
        }
    }
}

#[cfg(unix)]
impl From<std::os::unix::net::SocketAddr> for UnixAddress {
    fn from(address: std::os::unix::net::SocketAddr) -> Self {
        #[cfg(target_os = "linux")]
        if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(&address) {
            return Self::abstract_name(name);
        }
        address.as_pathname().map_or(Self::Unnamed, Self::path)
    }
}

/// Fails for an unnamed address, and for an abstract one where the system has none.
#[cfg(unix)]
impl TryFrom<&UnixAddress> for std::os::unix::net::SocketAddr {
    type Error = std::io::Error;

    fn try_from(address: &UnixAddress) -> Result<Self, Self::Error> {
        match address {
            UnixAddress::Path(path) => Self::from_pathname(path),
            #[cfg(target_os = "linux")]
            UnixAddress::Abstract(name) => <Self as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
            #[cfg(not(target_os = "linux"))]
            UnixAddress::Abstract(_) => Err(std::io::ErrorKind::Unsupported.into()),
            UnixAddress::Unnamed => Err(std::io::ErrorKind::AddrNotAvailable.into()),
        }
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
            Self::Unnamed => f.write_str("unix:(unnamed)"),
        }
    }
}

impl fmt::Debug for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixAddress({self})")
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    #[track_caller]
    fn survives(address: &UnixAddress) {
        let system = SocketAddr::try_from(address).unwrap();
        assert_eq!(&UnixAddress::from(system), address);
    }

    #[test]
    fn addresses_survive_the_system() {
        survives(&UnixAddress::path("/run/postroad.sock"));
        survives(&UnixAddress::path("relative"));
        #[cfg(target_os = "linux")]
        survives(&UnixAddress::abstract_name(b"post\0road\xff"));
        let unnamed = UnixDatagram::unbound().unwrap().local_addr().unwrap();
        assert_eq!(UnixAddress::from(unnamed), UnixAddress::Unnamed);
    }

    #[test]
    fn the_longest_name_is_the_systems() {
        let at = |len| SocketAddr::try_from(&UnixAddress::path("x".repeat(len)));
        assert!(at(UnixAddress::MAX_LEN).is_ok());
        #[cfg(target_os = "linux")]
        assert!(at(UnixAddress::MAX_LEN + 1).is_err());
    }
}
