//! Unix datagram sockets (unix(7)): messages without a connection, of which the system loses none and which it keeps in
//! order: while nobody takes what was sent, it makes the sender wait. Linux.
//!
//! A connection that was initiated has a socket of its own, with a name that answers can be sent to, connected by the
//! system: nobody but the peer is heard then. Those that a listener has taken in share its socket, see [`hub`].
//!
//! What a connection does not read waits in this process, and that is bounded. A listener that was asked for reliability
//! then stops to read from its socket, for everybody. One that was not asked for it drops what is newest.
//!
//! Nothing tells a peer that an end is gone: a sender finds out.

mod accepted;
mod connected;
mod hub;

use std::io;

use bytes::{Bytes, BytesMut};
use socket2::{SockAddr, SockRef};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::file::{SocketFile, our_address};
use super::seqpacket::{MAX_MESSAGE, MSG_PEEK, MSG_TRUNC, OVERHEAD};
use crate::endpoint::EndpointAddress;
use crate::framer::outbox::Leaving;
use crate::transport::NotSent;

pub(crate) use connected::connect;
pub(crate) use hub::listen;

/// In how many pieces a message may be without being copied.
const SLICES: usize = 16;

const ENOBUFS: i32 = 105;
const EMSGSIZE: i32 = 90;

/// A socket, and the file that it has made.
#[derive(Debug)]
struct Socket {
    socket: UnixDatagram,
    /// The longest message, in bytes.
    largest: usize,
    _file: Option<SocketFile>,
}

/// What arrives.
struct Datagram {
    data: Bytes,
    /// An address without a name when the sender's socket has none.
    from: SockAddr,
}

impl Socket {
    fn new(socket: socket2::Socket, file: Option<SocketFile>) -> io::Result<Self> {
        let largest = socket.send_buffer_size()?.saturating_sub(OVERHEAD);
        Ok(Self { socket: UnixDatagram::from_std(socket.into())?, largest, _file: file })
    }

    /// Receives one datagram.
    ///
    /// # Errors
    /// `WouldBlock` when there is none. `InvalidData` for one that is too long; it is gone.
    fn receive(&self) -> io::Result<Datagram> {
        // Its length decides how much memory it gets.
        let peek = || SockRef::from(&self.socket).recv_from_with_flags(&mut [], MSG_PEEK | MSG_TRUNC);
        let (length, from) = self.socket.try_io(Interest::READABLE, peek)?;
        if length > MAX_MESSAGE {
            self.socket.try_recv(&mut [])?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of more than 16 MiB"));
        }
        let mut data = BytesMut::with_capacity(length);
        self.socket.try_recv_buf(&mut data)?;
        Ok(Datagram { data: data.freeze(), from })
    }

    /// Sends one message, to whom the socket is connected unless said.
    fn send(&self, message: &Leaving<'_>, to: Option<&SockAddr>) -> io::Result<()> {
        if message.len() > self.largest {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut slices = [io::IoSlice::new(&[]); SLICES];
        let whole;
        let parts = match message.slices(&mut slices) {
            Some(count) => &slices[..count],
            None => {
                whole = message.to_bytes();
                &[io::IoSlice::new(&whole)][..]
            }
        };
        let socket = SockRef::from(&self.socket);
        // A message is sent whole or not at all.
        let sent = match to {
            Some(to) => socket.send_to_vectored(parts, to),
            None => socket.send_vectored(parts),
        };
        sent.map(drop)
    }
}

/// An error of sending: whether it is about the one message, or about the peer.
fn sorted(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(EMSGSIZE) => io::ErrorKind::InvalidInput.into(),
        Some(ENOBUFS) => NotSent::error(&error),
        _ => match error.kind() {
            io::ErrorKind::OutOfMemory => NotSent::error(&error),
            // Nobody is there any more, or not under that name.
            io::ErrorKind::NotFound | io::ErrorKind::NotConnected => io::ErrorKind::ConnectionRefused.into(),
            _ => error,
        },
    }
}

fn endpoint(address: &SockAddr) -> EndpointAddress {
    EndpointAddress::Unix(our_address(address))
}
