//! The file of a Unix socket: taken from one who is gone, and gone with its own.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::endpoint::UnixAddress;

/// Which file it is, whatever its name.
type Identity = (u64, u64);

/// The file of a socket that listens. Dropping it removes the file, unless somebody else has put theirs there.
#[derive(Debug)]
pub(super) struct SocketFile {
    /// `None` for an address that is no path.
    file: Option<(PathBuf, Identity)>,
}

/// An address in the system's form.
pub(super) fn system_address(address: &UnixAddress) -> io::Result<SockAddr> {
    match address {
        UnixAddress::Path(path) => SockAddr::unix(path),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        UnixAddress::Abstract(name) => {
            use std::os::unix::ffi::OsStringExt as _;
            SockAddr::unix(std::ffi::OsString::from_vec([&[0], &name[..]].concat()))
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        UnixAddress::Abstract(_) => Err(io::ErrorKind::Unsupported.into()),
        UnixAddress::Unnamed => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

/// An address in the form of this crate.
#[cfg(target_os = "linux")]
pub(super) fn our_address(address: &SockAddr) -> UnixAddress {
    let name = || address.as_abstract_namespace().map(UnixAddress::abstract_name);
    address.as_pathname().map(UnixAddress::path).or_else(name).unwrap_or(UnixAddress::Unnamed)
}

/// A new nonblocking socket of this kind, bound to the address. A file that a process has left behind is replaced: one
/// is, when it is a socket and nobody listens on it.
///
/// # Errors
/// `AddrInUse` for one that somebody listens on, `AlreadyExists` for what is no socket.
pub(super) fn bind(address: &UnixAddress, kind: Type) -> io::Result<(Socket, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    let system = system_address(address)?;
    match (socket.bind(&system), address.as_path()) {
        (Err(error), Some(path)) if error.kind() == io::ErrorKind::AddrInUse => {
            let Some(stale) = socket_at(path) else { return Err(io::ErrorKind::AlreadyExists.into()) };
            if !is_deserted(&system, kind) || socket_at(path) != Some(stale) {
                return Err(error);
            }
            fs::remove_file(path)?;
            socket.bind(&system)?;
        }
        (bound, _) => bound?,
    }
    let file = address.as_path().and_then(|path| Some((path.to_owned(), socket_at(path)?)));
    Ok((socket, SocketFile { file }))
}

/// Which socket lies there, when it is one. A link to one is not.
fn socket_at(path: &Path) -> Option<Identity> {
    let metadata = fs::symlink_metadata(path).ok()?;
    metadata.file_type().is_socket().then(|| (metadata.dev(), metadata.ino()))
}

/// Whether nobody listens there: the system refuses a client then, and takes one or has it wait otherwise. A listener
/// of another kind answers otherwise too.
fn is_deserted(address: &SockAddr, kind: Type) -> bool {
    let knocked = || {
        let socket = Socket::new(Domain::UNIX, kind, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(address)
    };
    matches!(knocked(), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some((path, identity)) = &self.file
            && socket_at(path) == Some(*identity)
        {
            // Somebody may have been faster.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let address = UnixAddress::path(&path);
        let (socket, file) = bind(&address, Type::STREAM).unwrap();
        socket.listen(1).unwrap();
        for kind in [Type::STREAM, Type::DGRAM] {
            assert_eq!(bind(&address, kind).unwrap_err().kind(), io::ErrorKind::AddrInUse, "{kind:?}");
        }
        // As after a crash: nobody listens, and the file is still there.
        std::mem::forget(file);
        drop(socket);
        assert!(path.exists());
        let (socket, file) = bind(&address, Type::STREAM).unwrap();
        drop(file);
        assert!(!path.exists());
        drop(socket);
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        fs::write(&path, "precious").unwrap();
        let address = UnixAddress::path(&path);
        assert_eq!(bind(&address, Type::STREAM).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn the_file_of_a_successor_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (_first, file) = bind(&UnixAddress::path(&path), Type::STREAM).unwrap();
        fs::remove_file(&path).unwrap();
        let (_second, _kept) = bind(&UnixAddress::path(&path), Type::STREAM).unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn abstract_addresses_survive_the_system() {
        for address in [UnixAddress::abstract_name(b"post\0road\xff"), UnixAddress::path("/run/a")] {
            assert_eq!(our_address(&system_address(&address).unwrap()), address);
        }
    }
}
