//! A connection with a socket of its own.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use socket2::{Domain, SockAddr, SockRef, Type};
use tokio::io::Interest;

use super::{Datagram, Socket, endpoint, sorted};
use crate::endpoint::UnixAddress;
use crate::error::AttemptError;
use crate::framer::outbox::Leaving;
use crate::message::MessageContext;
use crate::properties::ConnectionProperties;
use crate::protocol::ProtocolStack;
use crate::stack::Leaf;
use crate::stack::unix::file::{SocketFile, bind, system_address};
use crate::stack::unix::seqpacket::MAX_MESSAGE;
use crate::transport::{About, Arrived, Established, Limits, MessageTransport};

/// How many names are tried.
const TRIES: usize = 16;

/// Takes a name and the peer's: it is ready at once, and the peer hears nothing.
pub(crate) async fn connect(leaf: &Leaf) -> Result<Established, AttemptError> {
    let invalid = || AttemptError::Transport(io::ErrorKind::InvalidInput);
    let remote = leaf.remote.unix().ok_or_else(invalid)?;
    let local = leaf.local.as_ref().map(|local| local.unix().ok_or_else(invalid)).transpose()?;
    let named = match local {
        Some(local) => bind(local, Type::DGRAM).map(|(socket, file)| (socket, Some(file))),
        None => unique().map(|socket| (socket, None)),
    };
    let (socket, file) = named.map_err(|error| AttemptError::LocalEndpoint(error.kind()))?;
    let connected = open(socket, file, remote).map_err(|error| AttemptError::from_io(&error))?;
    let local = SockRef::from(&connected.socket.socket).local_addr().map_err(|error| AttemptError::from_io(&error))?;
    let about = About::new(ProtocolStack::UnixDatagram, endpoint(&local), leaf.remote.clone());
    Ok(Established::messages(Box::new(connected), about))
}

fn open(socket: socket2::Socket, file: Option<SocketFile>, remote: &UnixAddress) -> io::Result<Connected> {
    socket.connect(&system_address(remote)?)?;
    // The name that it has taken itself, which may be another path to the same file.
    let peer = socket.peer_addr()?;
    Ok(Connected { socket: Socket::new(socket, file)?, peer })
}

/// A new socket with an abstract name that nobody had before. Those that the system picks have five digits, and come
/// again: a listener may still take the next who has one for the last.
fn unique() -> io::Result<socket2::Socket> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let socket = socket2::Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    let mut tries = 0;
    loop {
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let random = RandomState::new().build_hasher().finish();
        let name = UnixAddress::abstract_name(format!("postroad-{process}-{count}-{random:016x}"));
        match socket.bind(&system_address(&name)?) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => tries += 1,
            bound => return bound.map(|()| socket),
        }
    }
}

#[derive(Debug)]
struct Connected {
    socket: Socket,
    peer: SockAddr,
}

impl MessageTransport for Connected {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Leaving<'_>) -> Poll<io::Result<()>> {
        let socket = &self.socket.socket;
        loop {
            // The system wakes a socket that is connected when its peer's queue has a place.
            ready!(socket.poll_send_ready(cx))?;
            match socket.try_io(Interest::WRITABLE, || self.socket.send(message, None)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent.map_err(sorted)),
            }
        }
    }

    /// The peer is told nothing: there is no end in a datagram.
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        loop {
            ready!(self.socket.socket.poll_recv_ready(cx))?;
            match self.socket.receive() {
                Ok(Datagram { data, from }) if from == self.peer => {
                    return Poll::Ready(Ok(Arrived::Message(data, MessageContext::default())));
                }
                // It came between the binding of the socket and its connecting.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits { send: Some(self.socket.largest), receive: Some(MAX_MESSAGE), singular: None }
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        crate::stack::unix::apply(from, to)
    }
}
