//! A QUIC connection, and the connections of ours that it carries: its members.
//!
//! It is closed when its last member goes: in order, with what was sent acknowledged, or as an abort when the last member
//! was aborted.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, WriteError};
use tokio::runtime::Handle;

use super::datagram::Datagrams;
use super::error::{self, ABORTED, DONE};
use super::loose::Loose;
use super::parameters::{accepted_streams, priority};
use super::patience::Patience;
use super::socket::Socket;
use super::stream::QuicStream;
use crate::error::AttemptError;
use crate::group::Group;
use crate::properties::{CapacityProfile, ConnectionProperties};
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::transport::{About, BoxFuture, Established, Streams, Transport};

/// How long a clone waits for the peer to allow another stream.
const OPEN_PATIENCE: Duration = Duration::from_secs(2);

/// Which of the two directions a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ways {
    Both,
    /// Only this end sends.
    Out,
    /// Only the peer sends.
    In,
}

/// The two directions of a stream, the second when the peer may send.
pub(super) type Halves = (SendStream, Option<RecvStream>);

/// A QUIC connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: Connection,
    socket: Arc<Socket>,
    about: About,
    group: Arc<Group>,
    members: AtomicUsize,
    patience: Patience,
    runtime: Handle,
    /// Whether the socket is its own.
    is_client: bool,
    /// The peer's address when packets to it were marked, at a server: a client may move on.
    marked: Mutex<Option<(SocketAddr, CapacityProfile)>>,
    is_marked: AtomicBool,
    /// Whether what a client sends may come from before the handshake was over.
    handshaking: AtomicBool,
    /// Where messages go that may be lost, when this end takes them beside the streams.
    loose: Option<Loose>,
}

impl Link {
    pub(super) fn new(
        connection: Connection,
        socket: Arc<Socket>,
        about: About,
        is_client: bool,
        properties: &ConnectionProperties,
    ) -> Self {
        let link = Self {
            patience: Patience::new(connection.clone()),
            connection,
            socket,
            about,
            group: Arc::default(),
            members: AtomicUsize::new(0),
            runtime: Handle::current(),
            is_client,
            marked: Mutex::default(),
            is_marked: AtomicBool::new(false),
            handshaking: AtomicBool::new(false),
            loose: None,
        };
        link.patience.set(properties.abort_after(), &link.runtime);
        link
    }

    /// Says whether messages that may be lost go beside the streams.
    pub(super) fn with_loose(mut self, loose: bool) -> Self {
        self.loose = loose.then(Loose::default);
        self
    }

    pub(super) fn loose(&self) -> Option<&Loose> {
        self.loose.as_ref()
    }

    pub(super) fn is_client(&self) -> bool {
        self.is_client
    }

    /// Sets whether the handshake of a server is still going on.
    pub(super) fn set_handshaking(&self, handshaking: bool) {
        self.handshaking.store(handshaking, Ordering::Release);
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.handshaking.load(Ordering::Acquire)
    }

    /// Closes it, since the peer does not answer.
    pub(super) fn give_up(&self) {
        self.patience.end();
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.patience.is_over()
    }

    /// One more member.
    pub(super) fn join(self: &Arc<Self>) -> Member {
        self.members.fetch_add(1, Ordering::Relaxed);
        Member { link: Arc::clone(self), aborted: false }
    }

    /// A member over a stream.
    pub(super) fn established(
        self: &Arc<Self>,
        send: Option<SendStream>,
        receive: Option<RecvStream>,
        properties: &ConnectionProperties,
    ) -> Established {
        self.established_stream(QuicStream::new(self.join(), send, receive), properties)
    }

    pub(super) fn established_stream(self: &Arc<Self>, stream: QuicStream, to: &ConnectionProperties) -> Established {
        stream.set_priority(priority(to));
        let mut about = self.about.clone();
        about.stack = ProtocolStack::QuicStream;
        (about.can_send, about.can_receive) = (stream.can_send(), stream.can_receive());
        about.zero_rtt = stream.is_early();
        let transport = Transport::Stream(ByteStream::other(Box::new(stream), about.clone()));
        Established { transport, about, streams: Some(self.as_streams()), group: Some(Arc::clone(&self.group)) }
    }

    /// The one member over datagrams.
    pub(super) fn established_datagrams(self: &Arc<Self>, datagrams: Datagrams, early: bool) -> Established {
        let about = About { stack: ProtocolStack::QuicDatagram, zero_rtt: early, ..self.about.clone() };
        let transport = Transport::Message(Box::new(datagrams));
        Established { transport, about, streams: None, group: Some(Arc::clone(&self.group)) }
    }

    fn as_streams(self: &Arc<Self>) -> Arc<dyn Streams> {
        Arc::new(Opener { link: Arc::downgrade(self) })
    }

    pub(super) fn about(&self) -> &About {
        &self.about
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Opens a stream, when the peer allows another one now.
    pub(super) fn open_now(&self, ways: Ways) -> io::Result<Halves> {
        // Nobody waits here, so nobody is to be woken.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let opened = match ways {
            Ways::Out => pin!(self.connection.open_uni()).poll(&mut cx).map_ok(|send| (send, None)),
            Ways::Both | Ways::In => {
                pin!(self.connection.open_bi()).poll(&mut cx).map_ok(|(send, receive)| (send, Some(receive)))
            }
        };
        match opened {
            Poll::Ready(opened) => opened.map_err(|error| self.lost(&error)),
            Poll::Pending => Err(io::ErrorKind::QuotaExceeded.into()),
        }
    }

    /// Opens a stream, when the peer allows another one within some time.
    pub(super) async fn open(&self, ways: Ways) -> Result<Halves, AttemptError> {
        let open = async {
            match ways {
                Ways::Out => Ok((self.connection.open_uni().await?, None)),
                Ways::Both | Ways::In => {
                    let (send, receive) = self.connection.open_bi().await?;
                    Ok((send, Some(receive)))
                }
            }
        };
        match tokio::time::timeout(OPEN_PATIENCE, open).await {
            Ok(opened) => opened.map_err(|error: ConnectionError| AttemptError::from_io(&self.lost(&error))),
            Err(_) => Err(AttemptError::Transport(io::ErrorKind::QuotaExceeded)),
        }
    }

    /// What a packet takes to the peer and back; `None` before the peer has acknowledged one.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        (self.connection.stats().frame_rx.acks > 0).then(|| self.connection.rtt())
    }

    /// As [`error::lost`], where a peer that does not answer is the reason for closing.
    pub(super) fn lost(&self, error: &ConnectionError) -> io::Error {
        if *error == ConnectionError::LocallyClosed && self.patience.is_over() {
            return io::ErrorKind::TimedOut.into();
        }
        error::lost(error)
    }

    pub(super) fn failed_read(&self, error: &ReadError) -> io::Error {
        match error {
            ReadError::ConnectionLost(error) => self.lost(error),
            error => error::read(error),
        }
    }

    pub(super) fn failed_write(&self, error: &WriteError) -> io::Error {
        match error {
            WriteError::ConnectionLost(error) => self.lost(error),
            error => error::write(error),
        }
    }

    /// Brings the connection from some properties to others. The members share them (RFC 9622 7.4), so the second member
    /// to ask changes nothing.
    pub(super) fn apply(&self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        if from.keep_alive_period() != to.keep_alive_period() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a QUIC connection has the keep-alive timeout that it was established with",
            ));
        }
        if from.abort_after() != to.abort_after() {
            self.patience.set(to.abort_after(), &self.runtime);
        }
        if from.capacity_profile != to.capacity_profile {
            if self.is_client {
                self.socket.mark_all(to.capacity_profile);
            } else {
                self.mark(Some(to.capacity_profile));
            }
        }
        if from.group_conn_limit != to.group_conn_limit && !self.is_client {
            self.connection.set_max_concurrent_bi_streams(accepted_streams(to).into());
            self.connection.set_max_concurrent_uni_streams(accepted_streams(to).into());
        }
        Ok(())
    }

    fn leave(&self, aborted: bool) {
        if self.members.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.connection.close(if aborted { ABORTED } else { DONE }, b"");
            self.mark(None);
        }
    }

    /// Marks what a server sends to this client; `None` is as for everybody.
    fn mark(&self, profile: Option<CapacityProfile>) {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, _)) = marked.take() {
            self.socket.mark(before, None);
        }
        if let Some(profile) = profile {
            let peer = self.connection.remote_address();
            self.socket.mark(peer, Some(profile));
            *marked = Some((peer, profile));
        }
        self.is_marked.store(marked.is_some(), Ordering::Relaxed);
    }

    /// Goes on marking what a server sends when its client has moved on (RFC 9000 9). quinn does not tell of that, so whoever
    /// sends or receives looks; who has not set a profile of his own pays nothing for it.
    pub(super) fn follow(&self) {
        if !self.is_marked.load(Ordering::Relaxed) {
            return;
        }
        let marked = *self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((peer, profile)) = marked
            && peer != self.connection.remote_address()
        {
            self.mark(Some(profile));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // One without a member, whose peer never sent anything.
        self.connection.close(DONE, b"");
    }
}

/// A source of further streams that does not keep the connection open.
struct Opener {
    link: Weak<Link>,
}

impl Streams for Opener {
    fn open(&self, properties: &ConnectionProperties) -> BoxFuture<'static, Result<Established, AttemptError>> {
        // As a member from now on, so that the connection is not closed under it.
        let member = self.link.upgrade().filter(|link| link.connection.close_reason().is_none());
        let member = member.map(|link| link.join());
        let properties = properties.clone();
        Box::pin(async move {
            let member = member.ok_or(AttemptError::Transport(io::ErrorKind::NotConnected))?;
            let link = Arc::clone(&member.link);
            let (send, receive) = link.open(Ways::Both).await?;
            Ok(link.established_stream(QuicStream::new(member, Some(send), receive), &properties))
        })
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

/// A place in a QUIC connection.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) link: Arc<Link>,
    pub(super) aborted: bool,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.link.leave(self.aborted);
    }
}
