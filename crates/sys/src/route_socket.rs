//! The netlink socket on which the kernel tells of links, addresses and routes.

use std::io;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::netlink::{self, DONE, DUMP, ERROR, INTERRUPTED, NOTHING};
use crate::option::SocketOption;
use crate::receive::{self, CONTROL_ROOM};

/// Opens a socket, nonblocking and closed when another program is run.
pub(crate) fn open() -> io::Result<Socket> {
    crate::open(Domain::from(libc::AF_NETLINK), Type::RAW, libc::NETLINK_ROUTE)
}

/// Lets the socket hear what the kernel tells the groups.
pub(crate) fn join(socket: &Socket, groups: &[i32]) -> io::Result<()> {
    let membership = SocketOption::new(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP);
    for group in groups {
        membership.set_int(socket, *group)?;
    }
    // Whoever has no port is left out. The kernel gives one with the first message that is sent, be it empty, and this
    // spares an address that no safe function makes.
    socket.send(&netlink::write(NOTHING, 0, 0, &[])).map(drop)
}

/// Receives messages into `buffer`, and returns how long they are; `None` where some of them were lost, in the kernel
/// or for want of room.
///
/// Whoever may change the network may also send to the socket, and nobody else.
pub(crate) fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match receive::receive_initialised(socket, buffer, &mut [0; CONTROL_ROOM], 0) {
        Ok(arrived) => Ok((!arrived.truncated).then_some(arrived.len)),
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks for everything of a `kind`, and returns what `parse` makes of each answer of the kind `answer`.
pub(crate) fn dump<T>(kind: u16, body: &[u8], answer: u16, parse: impl Fn(&[u8]) -> Option<T>) -> io::Result<Vec<T>> {
    let socket = open()?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for sequence in 1..=ATTEMPTS {
        socket.send(&netlink::write(kind, DUMP, sequence, body))?;
        if let Some(all) = answers(&socket, sequence, answer, &parse)? {
            return Ok(all);
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// Reads to the end of an answer; `None` where something has changed meanwhile, so that it may contradict itself.
fn answers<T>(
    socket: &Socket,
    sequence: u32,
    answer: u16,
    parse: &impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<Vec<T>>> {
    let mut buffer = vec![0; BUFFER];
    let (mut all, mut whole) = (Vec::new(), true);
    loop {
        let len = match receive(socket, &mut buffer) {
            Ok(Some(len)) => len,
            Ok(None) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is too long")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        };
        for message in netlink::messages(&buffer[..len]) {
            let message = message.map_err(|_| io::ErrorKind::InvalidData)?;
            if message.sequence != sequence {
                continue;
            }
            whole &= message.flags & INTERRUPTED == 0;
            match (message.kind, message.errno()) {
                (ERROR | DONE, Some(errno)) if errno != 0 => return Err(io::Error::from_raw_os_error(errno)),
                (DONE, _) => return Ok(whole.then_some(all)),
                (kind, _) if kind == answer => all.extend(parse(message.body)),
                _ => {}
            }
        }
    }
}

/// The kernel sends 32 KiB at most in answer to a request for everything.
pub(crate) const BUFFER: usize = 32 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 10;
