//! One client of the broker on its socket: a future that reads, works and writes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postroad_amqp::v1_0::{Connection, Transmit};
use postroad_taps::ByteStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use tokio_util::io::{poll_read_buf, poll_write_buf};
use tracing::debug;

use crate::mailbox::Post;
use crate::passwords::Checking;
use crate::peer::Peer;
use crate::shared::{READ, Registered};
use crate::trace::Trace;

/// A stream of bytes that may tell when a read has something to do.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Transport for ByteStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

/// A stream that cannot tell: it always has a read buffer.
#[derive(Debug)]
pub(crate) struct Blind<T>(pub(crate) T);

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for Blind<T> {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Blind<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Blind<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The future of one connection. It owns socket and engine; others reach it through its mailbox only.
#[derive(Debug)]
pub(crate) struct Driver<T> {
    // Before the registration: links give their messages back while the connection still counts.
    peer: Peer,
    transport: T,
    registered: Registered,
    input: Option<BytesMut>,
    output: Transmit,
    unflushed: bool,
    post: Post,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    ending: Ending,
    /// The client's password, while it is checked.
    checking: Option<Checking>,
    /// Nothing unless somebody asks.
    trace: Option<Box<Trace>>,
}

/// The end of a connection, once the engine is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Running,
    /// What is left goes out, and then the end of our stream.
    Writing,
    /// What the peer still sends is read and dropped, since a socket that is closed with unread input
    /// takes back what was written last.
    Reading,
}

/// Rounds of reading, working and writing before other tasks have their turn.
const ROUNDS: usize = 16;

/// How long a peer has to close its end.
const LINGER: Duration = Duration::from_secs(2);

impl<T: Transport> Driver<T> {
    /// Drives an engine over a transport from which `first` was read already.
    pub(crate) fn new(transport: T, first: &[u8], mut engine: Connection, registered: Registered) -> Self {
        let mut input = BytesMut::from(first);
        if !input.is_empty() {
            // Its error is told by an event as well.
            let _ = engine.handle_input(Instant::now(), &mut input);
        }
        let input = Some(input).filter(|input| !input.is_empty());
        let peer = Peer::new(engine, &registered);
        let trace = Trace::start(Arc::as_ptr(&registered.mailbox) as usize);
        Self {
            peer,
            transport,
            registered,
            input,
            output: Transmit::default(),
            unflushed: false,
            post: Post::default(),
            timer: None,
            ending: Ending::Running,
            checking: None,
            trace,
        }
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered.mailbox.poll(&mut self.post, cx);
        self.peer.deliver(&mut self.post);
        for _ in 0..ROUNDS {
            let now = Instant::now();
            if self.poll_timer(now, cx) {
                self.peer.engine.handle_timeout(now);
                if self.ending != Ending::Running {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            let mut progress = self.peer.work(now);
            match self.poll_output(now, cx) {
                Ok(more) => progress |= more,
                Err(error) => {
                    self.read_out(now, cx);
                    return Poll::Ready(Err(error));
                }
            }
            match self.ending {
                Ending::Running if self.peer.engine.error().is_some() => {
                    self.ending = Ending::Writing;
                    self.checking = None;
                    self.timer = Some((now + LINGER, Box::pin(tokio::time::sleep_until((now + LINGER).into()))));
                    continue;
                }
                Ending::Running => {}
                Ending::Writing => {
                    if !self.output.is_empty() || self.unflushed {
                        return Poll::Pending;
                    }
                    std::task::ready!(Pin::new(&mut self.transport).poll_shutdown(cx))?;
                    if let Some(trace) = &mut self.trace {
                        trace.end();
                    }
                    if self.peer.has_closed() {
                        return Poll::Ready(Ok(()));
                    }
                    self.ending = Ending::Reading;
                    continue;
                }
                Ending::Reading => {}
            }
            match self.poll_password(now, cx) {
                Some(Poll::Ready(())) => continue,
                // Nothing is read meanwhile: what a client sends before it is let in is not kept.
                Some(Poll::Pending) if progress => continue,
                Some(Poll::Pending) => return Poll::Pending,
                None => {}
            }
            match self.poll_input(now, cx)? {
                Poll::Ready(true) => progress = true,
                Poll::Ready(false) if self.ending == Ending::Reading => return Poll::Ready(Ok(())),
                Poll::Ready(false) => {
                    self.peer.engine.handle_eof();
                    progress = true;
                }
                Poll::Pending => {}
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Has the client's password checked, where it sent one; ready when the engine has the answer.
    fn poll_password(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Poll<()>> {
        if self.ending != Ending::Running {
            return None;
        }
        if let Some(check) = self.peer.engine.password_check() {
            self.checking = Some(self.registered.shared.passwords.check(check));
        }
        let Poll::Ready(answer) = self.checking.as_mut()?.poll(cx) else { return Some(Poll::Pending) };
        self.checking = None;
        self.peer.engine.password_checked(answer);
        // What the client had sent behind the password.
        if let Some(mut input) = self.input.take() {
            // Its error is told by an event as well.
            let _ = self.peer.engine.handle_input(now, &mut input);
            if input.is_empty() {
                self.registered.shared.buffers.give_back(input);
            } else {
                self.input = Some(input);
            }
        }
        Some(Poll::Ready(()))
    }

    /// Takes in what had come before the transport failed: what the peer has settled is not delivered
    /// again.
    fn read_out(&mut self, now: Instant, cx: &mut Context<'_>) {
        for _ in 0..ROUNDS {
            match self.poll_input(now, cx) {
                Ok(Poll::Ready(true)) => drop(self.peer.work(now)),
                _ => return,
            }
        }
    }

    /// Writes what the engine has, as far as the socket takes it. `true`: there may be more.
    fn poll_output(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.output.is_empty() {
            self.peer.engine.poll_transmit(now, &mut self.output);
            if let Some(trace) = &mut self.trace {
                trace.write(&self.output);
            }
        }
        let had = !self.output.is_empty();
        while !self.output.is_empty() {
            match poll_write_buf(Pin::new(&mut self.transport), cx, &mut self.output)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(_) => self.unflushed = true,
                Poll::Pending => break,
            }
        }
        if self.unflushed && self.output.is_empty() {
            self.unflushed = Pin::new(&mut self.transport).poll_flush(cx)?.is_pending();
        }
        Ok(had && self.output.is_empty())
    }

    /// Reads once, into a buffer that is held only while it is used. `false`: the peer has ended its
    /// stream.
    fn poll_input(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<Poll<bool>> {
        if self.transport.poll_readable(cx)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let mut input = self.input.take().unwrap_or_else(|| self.registered.shared.buffers.lease());
        input.reserve(READ);
        let read = poll_read_buf(Pin::new(&mut self.transport), cx, &mut input);
        if let (Some(trace), Poll::Ready(Ok(count))) = (&mut self.trace, &read) {
            trace.read(&input[input.len() - count..]);
        }
        let read = match read {
            Poll::Ready(Ok(0)) => Ok(Poll::Ready(false)),
            Poll::Ready(Ok(_)) if self.ending == Ending::Running => {
                // Its error is told by an event as well.
                let _ = self.peer.engine.handle_input(now, &mut input);
                Ok(Poll::Ready(true))
            }
            Poll::Ready(Ok(_)) => {
                input.clear();
                Ok(Poll::Ready(true))
            }
            // A TLS peer that went without its alert: AMQP has an end of its own.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Poll::Ready(false)),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(Poll::Pending),
        };
        if input.is_empty() {
            self.registered.shared.buffers.give_back(input);
        } else {
            self.input = Some(input);
        }
        read
    }

    /// Whether a deadline has passed. The timer is moved only when it fires or would fire too late.
    fn poll_timer(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let due = match self.ending {
            Ending::Running => [self.peer.engine.poll_timeout(), self.peer.deadline()].into_iter().flatten().min(),
            Ending::Writing | Ending::Reading => self.timer.as_ref().map(|(due, _)| *due),
        };
        let Some(due) = due else { return false };
        if due <= now {
            return true;
        }
        match &mut self.timer {
            Some((armed, sleep)) if *armed <= due => {
                if *armed <= now {
                    sleep.as_mut().reset(due.into());
                    *armed = due;
                }
            }
            Some((armed, sleep)) => {
                sleep.as_mut().reset(due.into());
                *armed = due;
            }
            none => *none = Some((due, Box::pin(tokio::time::sleep_until(due.into())))),
        }
        let (_, sleep) = self.timer.as_mut().expect("armed above");
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl<T: Transport> Future for Driver<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = self.get_mut();
        match driver.run(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => {
                if let Err(error) = result {
                    debug!(%error, "transport failed");
                }
                Poll::Ready(())
            }
        }
    }
}
