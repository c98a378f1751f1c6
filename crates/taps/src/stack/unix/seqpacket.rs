//! Unix sockets of sequenced packets (unix(7)): a connection that keeps messages apart, and loses none. Linux.

use std::io::{self, IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use socket2::{Domain, MsgHdrMut, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

use super::file::{SocketFile, bind, our_address, system_address};
use super::{BACKLOG, REST, credentials_of};
use crate::endpoint::{EndpointAddress, UnixAddress};
use crate::error::AttemptError;
use crate::framer::outbox::Leaving;
use crate::message::MessageContext;
use crate::properties::ConnectionProperties;
use crate::protocol::ProtocolStack;
use crate::stack::{Acceptor, Arrival, Leaf, Stand};
use crate::transport::{About, Arrived, BoxFuture, Established, Limits, MessageTransport};

/// How long a message may be that is received, in bytes. The sender's system holds it in memory already, and no more
/// than its administrator allows.
pub(super) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// What the system keeps of a socket's buffer for itself.
pub(super) const OVERHEAD: usize = 32;

const SLICES: usize = 16;

pub(super) const MSG_PEEK: i32 = 0x02;
pub(super) const MSG_TRUNC: i32 = 0x20;

/// Connects. On this machine that takes no time, unless the listener's queue is full.
pub(crate) async fn connect(leaf: &Leaf) -> Result<Established, AttemptError> {
    let remote = leaf.remote.unix().ok_or(AttemptError::Transport(io::ErrorKind::InvalidInput))?;
    let opened = async {
        let address = system_address(remote)?;
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.set_nonblocking(true)?;
        loop {
            match socket.connect(&address) {
                // The system does not tell when there is a place.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(REST).await,
                connected => break connected?,
            }
        }
        established(UnixStream::from_std(socket.into())?, Some(leaf.remote.clone()))
    };
    opened.await.map_err(|error| AttemptError::from_io(&error))
}

/// Makes a transport of a connected socket of this kind.
pub(crate) fn established(stream: UnixStream, remote: Option<EndpointAddress>) -> io::Result<Established> {
    let socket = SockRef::from(&stream);
    // Each message then shows that it is one, even when it is empty; the end of the stream does not.
    socket.set_passcred(true)?;
    let end = |address: io::Result<socket2::SockAddr>| {
        EndpointAddress::Unix(address.map_or(UnixAddress::Unnamed, |address| our_address(&address)))
    };
    let remote = remote.unwrap_or_else(|| end(socket.peer_addr()));
    let mut about = About::new(ProtocolStack::UnixSeqpacket, end(socket.local_addr()), remote);
    about.credentials = credentials_of(&stream);
    let largest = socket.send_buffer_size()?.saturating_sub(OVERHEAD);
    Ok(Established::messages(Box::new(Seqpacket { stream, largest }), about))
}

/// The descriptor is in the care of what tokio has for streams: that waits and wakes for any kind, and reads and
/// writes nothing here.
#[derive(Debug)]
struct Seqpacket {
    stream: UnixStream,
    largest: usize,
}

impl Seqpacket {
    fn poll_write<T>(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&Socket) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_io(Interest::WRITABLE, || write(&SockRef::from(&self.stream))) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

/// Receives a message, or `None` at the end.
fn receive(socket: &Socket) -> io::Result<Option<BytesMut>> {
    // Room for the sender's credentials, and for nothing else that it may send along.
    let mut control = [MaybeUninit::uninit(); 32];
    let (length, is_message) = {
        let mut header = MsgHdrMut::new().with_control(&mut control);
        let length = socket.recvmsg(&mut header, MSG_PEEK | MSG_TRUNC)?;
        (length, header.control_len() > 0)
    };
    if length == 0 && !is_message {
        return Ok(None);
    }
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of more than 16 MiB"));
    }
    let mut data = BytesMut::zeroed(length);
    let received = (&mut &*socket).read(&mut data)?;
    data.truncate(received);
    Ok(Some(data))
}

impl MessageTransport for Seqpacket {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Leaving<'_>) -> Poll<io::Result<()>> {
        if message.len() > self.largest {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let sent = match message.slices(&mut slices) {
            Some(count) => ready!(self.poll_write(cx, |socket| socket.send_vectored(&slices[..count]))),
            None => {
                let data = message.to_bytes();
                ready!(self.poll_write(cx, |socket| socket.send(&data)))
            }
        };
        // A message is sent whole or not at all.
        Poll::Ready(sent.map(drop))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.stream).shutdown(Shutdown::Write) {
            // The peer is gone already.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_io(Interest::READABLE, || receive(&SockRef::from(&self.stream))) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(None) => return Poll::Ready(Ok(Arrived::End)),
                Ok(Some(data)) => {
                    return Poll::Ready(Ok(Arrived::Message(data.freeze(), MessageContext::default())));
                }
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits { send: Some(self.largest), receive: Some(MAX_MESSAGE), singular: None }
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        super::apply(from, to)
    }
}

/// A socket that listens; its file goes when it does.
#[derive(Debug)]
struct SeqpacketAcceptor {
    socket: UnixListener,
    local: EndpointAddress,
    _file: SocketFile,
}

pub(crate) fn listen(stand: &Stand) -> io::Result<Box<dyn Acceptor>> {
    let address = stand.local.unix().ok_or(io::ErrorKind::InvalidInput)?;
    let (socket, file) = bind(address, Type::SEQPACKET)?;
    socket.listen(BACKLOG)?;
    let socket = UnixListener::from_std(socket.into())?;
    Ok(Box::new(SeqpacketAcceptor { socket, local: stand.local.clone(), _file: file }))
}

impl Acceptor for SeqpacketAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let (stream, peer) = self.socket.accept().await?;
            let peer = EndpointAddress::Unix(std::os::unix::net::SocketAddr::from(peer).into());
            let remote = peer.clone();
            let establish =
                Box::pin(
                    async move { established(stream, Some(remote)).map_err(|error| AttemptError::from_io(&error)) },
                );
            Ok(Arrival { peer, establish })
        })
    }

    fn stack(&self) -> ProtocolStack {
        ProtocolStack::UnixSeqpacket
    }

    fn local(&self) -> &EndpointAddress {
        &self.local
    }
}
