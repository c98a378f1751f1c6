//! One stream of a QUIC connection as the bytes under a connection of ours.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, StoppedError, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::arrivals::Arrivals;
use super::early::Early;
use super::error::{self, ABORTED};
use super::link::{Link, Member};
use super::loose::{self, Quarter};
use super::parameters::priority;
use crate::framer::outbox::Leaving;
use crate::properties::ConnectionProperties;
use crate::stream::StreamTransport;

/// How much is read ahead to find out whether there is anything.
const PEEK: usize = 64 * 1024;

/// How long the end of a stream is waited for to be acknowledged. After it the rest goes on without anybody waiting.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// How many datagrams of other streams one poll sorts: a peer that floods a stream which nobody reads must not keep the task of
/// another one.
const SORTED: usize = 64;

/// How long the peer has to acknowledge what was sent on a stream that was dropped: for all that can wait, at 280 kbit/s.
pub(super) const LINGER: Duration = Duration::from_secs(300);

/// A stream, or half of one.
pub(super) struct QuicStream {
    member: Option<Member>,
    send: Option<SendStream>,
    receive: Receiving,
    /// What was read ahead.
    peeked: Bytes,
    /// While data leaves before the handshake is over.
    early: Option<Box<Early>>,
    /// Whether bytes that are read may be early data of the peer.
    received_early: bool,
    ending: Option<Ending>,
    aborted: bool,
    beside: Option<Beside>,
}

/// The messages that go beside the stream.
struct Beside {
    stream: Quarter,
    arrivals: Arrivals,
    /// Whether the peer knows the stream, or will when it has what was sent.
    known: bool,
    /// Whether nothing more arrives.
    over: bool,
}

enum Receiving {
    Stream(RecvStream),
    /// The peer opens it with its first bytes.
    Awaited(Pin<Box<dyn Future<Output = Result<RecvStream, ConnectionError>> + Send>>),
    /// This end only sends.
    Never,
}

/// The end of the stream is on its way.
struct Ending {
    acknowledged: Pin<Box<dyn Future<Output = Result<(), StoppedError>> + Send>>,
    patience: Pin<Box<Sleep>>,
    done: bool,
}

impl QuicStream {
    pub(super) fn new(member: Member, send: Option<SendStream>, receive: Option<RecvStream>) -> Self {
        let beside = send.as_ref().zip(receive.as_ref()).and_then(|(send, _)| Beside::new(&member.link, send));
        let receive = receive.map_or(Receiving::Never, Receiving::Stream);
        Self {
            member: Some(member),
            send,
            receive,
            peeked: Bytes::new(),
            early: None,
            received_early: false,
            ending: None,
            aborted: false,
            beside,
        }
    }

    /// A stream on which the peer alone sends, and which it has not opened.
    pub(super) fn awaited(member: Member) -> Self {
        let connection = member.link.connection.clone();
        let mut stream = Self::new(member, None, None);
        stream.receive = Receiving::Awaited(Box::pin(async move { connection.accept_uni().await }));
        stream
    }

    /// What is written leaves before the handshake is over.
    pub(super) fn sending_early(mut self, early: Early) -> Self {
        self.early = Some(Box::new(early));
        self
    }

    /// What is read may have come before the handshake was over, and be a copy.
    pub(super) fn receiving_early(mut self) -> Self {
        self.received_early = true;
        self
    }

    pub(super) fn can_send(&self) -> bool {
        self.send.is_some()
    }

    pub(super) fn can_receive(&self) -> bool {
        !matches!(self.receive, Receiving::Never)
    }

    pub(super) fn is_early(&self) -> bool {
        self.early.is_some()
    }

    pub(super) fn set_priority(&self, priority: i32) {
        if let Some(send) = &self.send {
            // A stream that is over has no use for one.
            let _ = send.set_priority(priority);
        }
    }

    fn member(&self) -> &Member {
        self.member.as_ref().expect("a stream is a member until it is dropped")
    }

    /// Ready when the handshake is over, and what was sent before it has been accepted, or sent anew.
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(early) = &mut self.early else { return Poll::Ready(Ok(())) };
        let link = &self.member.as_ref().expect("a stream is a member until it is dropped").link;
        if let Some((send, receive)) = ready!(early.poll_verdict(cx, link))? {
            if let Some(receive) = receive {
                leave_beside(&mut self.beside, link);
                self.beside = Beside::new(link, &send);
                self.receive = Receiving::Stream(receive);
            }
            self.send = Some(send);
        }
        if let Some(send) = &mut self.send {
            ready!(early.poll_resend(cx, send)).map_err(|error| link.failed_write(&error))?;
        }
        self.early = None;
        Poll::Ready(Ok(()))
    }

    /// The stream to read from; none when the peer never sends.
    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<&mut RecvStream>>> {
        if let Receiving::Awaited(opened) = &mut self.receive {
            match ready!(opened.as_mut().poll(cx)) {
                Ok(stream) => self.receive = Receiving::Stream(stream),
                Err(error) if error::in_order(&error) => self.receive = Receiving::Never,
                Err(error) => return Poll::Ready(Err(self.member().link.lost(&error))),
            }
        }
        Poll::Ready(Ok(match &mut self.receive {
            Receiving::Stream(stream) => Some(stream),
            Receiving::Awaited(_) | Receiving::Never => None,
        }))
    }

    /// Calls `read` on the stream, again when what was sent early has been rejected.
    fn poll_receive<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&mut RecvStream, &mut Context<'_>) -> Poll<Result<T, ReadError>>,
    ) -> Poll<io::Result<Option<T>>> {
        loop {
            let Some(stream) = ready!(self.poll_opened(cx))? else { return Poll::Ready(Ok(None)) };
            match read(stream, cx) {
                Poll::Ready(Ok(value)) => {
                    self.member().link.follow();
                    return Poll::Ready(Ok(Some(value)));
                }
                Poll::Ready(Err(ReadError::ZeroRttRejected)) if self.early.is_some() => {
                    ready!(self.poll_handshake(cx))?;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.member().link.failed_read(&error))),
                Poll::Pending => {
                    // Everything that had come by now is read, and the handshake may be over.
                    self.received_early &= self.member().link.is_handshaking();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Tells the peer that nothing more comes, and begins to wait for it to say that it knows.
    fn begin_end(&mut self) {
        let Some(send) = &mut self.send else { return };
        // It is over already where the peer has stopped it.
        let _ = send.finish();
        let stopped = send.stopped();
        self.ending = Some(Ending {
            acknowledged: Box::pin(async move { stopped.await.map(drop) }),
            patience: Box::pin(sleep(END_PATIENCE)),
            done: false,
        });
    }
}

impl Beside {
    fn new(link: &Link, stream: &SendStream) -> Option<Self> {
        let (loose, stream) = (link.loose()?, Quarter::of(stream.id())?);
        loose.open(stream);
        // The client's first bytes make a stream for the server.
        Some(Self { stream, arrivals: Arrivals::default(), known: !link.is_client(), over: false })
    }
}

/// Takes no more of what comes beside a stream.
fn leave_beside(beside: &mut Option<Beside>, link: &Link) {
    if let (Some(beside), Some(loose)) = (beside.take(), link.loose()) {
        loose.close(beside.stream);
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.peeked.is_empty() {
            ready!(self.poll_receive(cx, |stream, cx| stream.poll_read_buf(cx, buf)))?;
        } else {
            let length = self.peeked.len().min(buf.remaining());
            buf.put_slice(&self.peeked[..length]);
            self.peeked.advance(length);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.member().link.follow();
        loop {
            let full = self.early.as_ref().is_some_and(|early| !early.has_room(buf.len()));
            if full {
                ready!(self.poll_handshake(cx))?;
            }
            let this = &mut *self;
            let Some(send) = &mut this.send else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
            match ready!(Pin::new(send).poll_write(cx, buf)) {
                Ok(count) => {
                    if let Some(early) = &mut this.early {
                        early.keep(&buf[..count]);
                    }
                    if let Some(beside) = &mut this.beside {
                        beside.known |= count > 0;
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(WriteError::ZeroRttRejected) if this.early.is_some() => ready!(self.poll_handshake(cx))?,
                Err(error) => return Poll::Ready(Err(this.member().link.failed_write(&error))),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut written = 0;
        for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
            match self.as_mut().poll_write(cx, buf) {
                Poll::Ready(Ok(count)) => written += count,
                // The next write says it again.
                Poll::Ready(Err(_)) | Poll::Pending if written > 0 => break,
                other => return other,
            }
            if written > 0 && self.early.is_some() {
                break;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_handshake(cx)
    }

    /// Ready when the peer has acknowledged everything, or after a while: what leaves this process later than its
    /// connection is lost when the process ends.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_handshake(cx))?;
        if self.ending.is_none() {
            self.begin_end();
        }
        let Some(ending) = &mut self.ending else { return Poll::Ready(Ok(())) };
        if ending.done {
            return Poll::Ready(Ok(()));
        }
        let acknowledged = match ending.acknowledged.as_mut().poll(cx) {
            Poll::Ready(acknowledged) => {
                ending.done = true;
                acknowledged
            }
            Poll::Pending => return ending.patience.as_mut().poll(cx).map(Ok),
        };
        Poll::Ready(match acknowledged {
            Err(StoppedError::ConnectionLost(error)) if !error::in_order(&error) => {
                Err(self.member().link.lost(&error))
            }
            _ => Ok(()),
        })
    }
}

impl StreamTransport for QuicStream {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.peeked.is_empty() {
            let read = |stream: &mut RecvStream, cx: &mut Context<'_>| pin!(stream.read_chunk(PEEK, true)).poll(cx);
            if let Some(Some(chunk)) = ready!(self.poll_receive(cx, read))? {
                self.peeked = chunk.bytes;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        if from.conn_priority != to.conn_priority {
            self.set_priority(priority(to));
        }
        self.member().link.apply(from, to)
    }

    fn is_early_data(&self) -> bool {
        self.received_early
    }

    fn round_trip(&self) -> Option<Duration> {
        self.member().link.round_trip()
    }

    fn takes_loose(&self) -> bool {
        self.beside.is_some()
    }

    fn send_loose(&mut self, message: &Leaving<'_>) -> bool {
        // What is sent early and rejected is sent again, and datagrams would be lost.
        let goes = self.early.is_none() && self.ending.is_none();
        let beside = self.beside.as_ref().filter(|beside| goes && beside.known);
        beside.is_some_and(|beside| loose::send(&self.member().link.connection, beside.stream, message))
    }

    fn poll_loose(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let link = &self.member.as_ref().expect("a stream is a member until it is dropped").link;
        let (Some(beside), Some(loose)) = (&mut self.beside, link.loose()) else { return Poll::Pending };
        for _ in 0..SORTED {
            if let Some(message) = loose.take(beside.stream, cx.waker()) {
                return Poll::Ready(message);
            }
            if beside.over {
                return Poll::Pending;
            }
            match ready!(beside.arrivals.poll(&link.connection, cx)) {
                Ok(datagram) => {
                    if let Some(message) = loose.sort(datagram, beside.stream) {
                        return Poll::Ready(message);
                    }
                }
                // Why, the stream says.
                Err(_) => beside.over = true,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn abort(&mut self) {
        self.aborted = true;
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        let Some(mut member) = self.member.take() else { return };
        leave_beside(&mut self.beside, &member.link);
        if self.aborted {
            // Both fail only on a stream that is over.
            if let Some(send) = &mut self.send {
                let _ = send.reset(ABORTED);
            }
            if let Receiving::Stream(receive) = &mut self.receive {
                let _ = receive.stop(ABORTED);
            }
            member.aborted = true;
            return;
        }
        if self.ending.is_none() {
            let runtime = member.link.runtime().clone();
            // The clock of the wait is the runtime's.
            let _inside = runtime.enter();
            self.begin_end();
        }
        // The connection stays until the peer has everything, or is lost; a peer that takes nothing does not keep it forever.
        if let Some(ending) = self.ending.take().filter(|ending| !ending.done) {
            let (link, mut send) = (member.link.clone(), self.send.take());
            link.runtime().spawn(async move {
                if tokio::time::timeout(LINGER, ending.acknowledged).await.is_err() {
                    if let Some(send) = &mut send {
                        // Fails only on a stream that is over.
                        let _ = send.reset(ABORTED);
                    }
                    member.aborted = true;
                }
                drop(member);
            });
        }
    }
}

impl fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicStream").field("send", &self.send).finish_non_exhaustive()
    }
}
