//! What arrives: a datagram with what the system knows about it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};
use tokio::net::UdpSocket;

use crate::message::{Ecn, MessageContext};

/// Room for every datagram there is.
const ROOM: usize = 65_536;

/// Room for several, where they are long.
const MUCH_ROOM: usize = 4 * ROOM;

/// What is shorter is copied out of the room. Split off, it would keep all of the room for as long as the application
/// keeps it.
const COPY_BELOW: usize = 16 * 1024;

/// A room to receive in. Short datagrams are copied out of it, each into memory of its own; long ones are split off.
#[derive(Debug, Default)]
pub(super) struct Inlet {
    room: BytesMut,
    long: bool,
}

/// A datagram.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) data: Bytes,
    pub(super) context: MessageContext,
    /// Who sent it, as the socket tells.
    pub(super) from: SocketAddr,
    /// The address that it was sent to, if the socket was asked to tell.
    pub(super) to: Option<IpAddr>,
}

/// The same apart from its payload.
struct Head {
    from: Option<SocketAddr>,
    /// With the index of the interface.
    to: Option<(IpAddr, u32)>,
    traffic_class: Option<u8>,
    truncated: bool,
}

impl Inlet {
    /// Receives one datagram.
    ///
    /// # Errors
    /// `WouldBlock` when there is none. Others are about messages that were sent before, each told once.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<Datagram> {
        if self.room.capacity() < ROOM {
            self.room.reserve(if self.long { MUCH_ROOM } else { ROOM });
        }
        let head = receive(socket, &mut self.room)?;
        let data = self.take();
        let (Some(from), false) = (head.from, head.truncated) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut context = MessageContext::default();
        if let Some(octet) = head.traffic_class {
            context.set_ecn(Ecn::from_octet(octet));
            context.set_dscp(octet >> 2);
        }
        if let Some((_, interface)) = head.to {
            context.set_interface(interface);
        }
        Ok(Datagram { data, context, from, to: head.to.map(|(address, _)| address) })
    }

    fn take(&mut self) -> Bytes {
        self.long = self.room.len() >= COPY_BELOW;
        if self.long {
            return self.room.split().freeze();
        }
        let data = Bytes::copy_from_slice(&self.room);
        self.room.clear();
        data
    }
}

#[cfg(target_os = "linux")]
fn receive(socket: &UdpSocket, room: &mut BytesMut) -> io::Result<Head> {
    use postroad_sys::message;
    use tokio::io::Interest;

    let received = socket.try_io(Interest::READABLE, || message::receive_into(socket, room))?;
    Ok(Head {
        from: received.from,
        to: received.destination.map(|to| (to.address, to.interface)),
        traffic_class: received.traffic_class,
        truncated: received.truncated,
    })
}

#[cfg(not(target_os = "linux"))]
fn receive(socket: &UdpSocket, room: &mut BytesMut) -> io::Result<Head> {
    let (_, from) = socket.try_recv_buf_from(room)?;
    Ok(Head { from: Some(from), to: None, traffic_class: None, truncated: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_datagram_keeps_no_more_than_itself_and_a_long_one_is_not_copied() {
        let mut inlet = Inlet::default();
        inlet.room.reserve(ROOM);
        let start = inlet.room.as_ptr();
        inlet.room.extend_from_slice(b"short");
        let short = inlet.take();
        assert_eq!(&short[..], b"short");
        assert_ne!(short.as_ptr(), start);
        inlet.room.extend_from_slice(&[7; COPY_BELOW]);
        let long = inlet.take();
        assert_eq!((long.len(), long.as_ptr()), (COPY_BELOW, start));
    }
}
