//! What drives a connection over its socket, and the only one to touch that.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use postroad_taps::ByteStream;
use tokio::io::AsyncWrite;
use tokio::time::Sleep;
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::link::{LinkError, Shared};

/// How much is read at once, at first and where reads keep filling the buffer.
const READ: usize = 64 * 1024;
const READ_MORE: usize = 256 * 1024;

/// Rounds of reading and writing before other tasks get their turn.
const ROUNDS: usize = 32;

/// How long the last words to a peer may take.
const LINGER: Duration = Duration::from_secs(2);

/// Reads, writes and keeps time for one connection until it is over.
#[derive(Debug)]
pub(super) struct Driver {
    shared: Arc<Shared>,
    stream: ByteStream,
    input: BytesMut,
    /// How much is to be read at once.
    appetite: usize,
    output: Output,
    unflushed: bool,
    /// Octets that the transport has taken since the engine was told.
    taken: usize,
    sleep: Pin<Box<Sleep>>,
    /// Until when the last words must be out.
    ending: Option<Instant>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, stream: ByteStream) -> Self {
        Self {
            shared,
            stream,
            input: BytesMut::new(),
            appetite: READ,
            output: Output::default(),
            unflushed: false,
            taken: 0,
            sleep: Box::pin(tokio::time::sleep_until(tokio::time::Instant::now())),
            ending: None,
        }
    }

    /// Writes what there is; `true` when all of it is with the transport.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while self.output.has_remaining() {
            match poll_write_buf(Pin::new(&mut self.stream), cx, &mut self.output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.taken += count;
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => return Ok(false),
            }
            self.unflushed = false;
        }
        Ok(true)
    }

    /// Reads once where something is there: `Some(0)` at the end of the stream.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<Option<usize>> {
        // A buffer is taken only once there is something to read: idle connections hold none.
        match self.stream.poll_read_ready(cx) {
            Poll::Ready(result) => result?,
            Poll::Pending => return Ok(None),
        }
        self.input.reserve(self.appetite);
        match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input) {
            Poll::Ready(Ok(count)) => {
                self.appetite = if count >= READ { READ_MORE } else { READ };
                Ok(Some(count))
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(None),
        }
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Poll<Round> {
        let written = match self.write(cx) {
            Ok(written) => written,
            Err(_) if self.ending.is_some() => return Poll::Ready(Round::Over),
            Err(error) => {
                self.shared.turn(|state| state.fail(LinkError::of_stream(&error)));
                return Poll::Ready(Round::Over);
            }
        };
        if let Some(until) = self.ending {
            // A peer that does not read keeps neither task nor socket.
            let late = Instant::now() >= until || self.sleep.as_mut().poll(cx).is_ready();
            return if written || late { Poll::Ready(Round::Over) } else { Poll::Pending };
        }
        let hungry = self.shared.lock().engine.is_hungry();
        let read = if hungry { self.read(cx) } else { Ok(None) };
        let now = Instant::now();
        let mut state = self.shared.lock();
        state.engine.handle_sent(now, std::mem::take(&mut self.taken));
        match &read {
            Ok(Some(0)) => state.engine.handle_eof(),
            Ok(Some(_)) => state.engine.handle_input(now, self.input.split().freeze()),
            Ok(None) => state.engine.resume(now),
            Err(error) => state.fail(LinkError::of_stream(error)),
        }
        if state.poll_timeout().is_some_and(|deadline| deadline <= now) {
            state.handle_timeout(now);
        }
        state.route(now);
        if written {
            self.output.length += state.engine.poll_transmit(now, &mut self.output.parts);
            // What was wanted of messages that are given bit by bit.
            state.route(now);
        }
        let over = state.is_over();
        if over && !written {
            // What the engine still wants to say leaves behind what is under way.
            self.output.length += state.engine.poll_transmit(now, &mut self.output.parts);
        }
        let progress = matches!(read, Ok(Some(_))) || (written && self.output.has_remaining());
        let deadline = state.poll_timeout();
        // Reading may have become possible with what was taken just now.
        let fed = !hungry && state.engine.is_hungry();
        if !progress && !over && !fed {
            state.driver_sleeps(cx);
        }
        let wakes = state.take_wakes();
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        if over {
            // What is under way, such as the last answer, leaves first.
            self.ending = Some(now + LINGER);
            self.sleep.as_mut().reset(tokio::time::Instant::from_std(now + LINGER));
            return if read.is_err() { Poll::Ready(Round::Over) } else { Poll::Ready(Round::Progress) };
        }
        if progress || fed {
            return Poll::Ready(Round::Progress);
        }
        if let Some(deadline) = deadline {
            let deadline = tokio::time::Instant::from_std(deadline);
            if self.sleep.deadline() != deadline {
                self.sleep.as_mut().reset(deadline);
            }
            if self.sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Round::Progress);
            }
        }
        Poll::Pending
    }
}

enum Round {
    Progress,
    Over,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            match self.round(cx) {
                Poll::Ready(Round::Progress) => {}
                Poll::Ready(Round::Over) => {
                    // The peer may have reset the connection; there is nobody left to tell.
                    let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    /// A runtime that ends takes its drivers with it: who waits hears of it.
    fn drop(&mut self) {
        self.shared.turn(|state| state.fail(LinkError::Gone));
    }
}

/// What is to be written.
#[derive(Debug, Default)]
struct Output {
    parts: VecDeque<Bytes>,
    length: usize,
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let pairs = into.iter_mut().zip(&self.parts);
        pairs.map(|(slice, part)| *slice = IoSlice::new(part)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while count > 0 {
            let Some(front) = self.parts.front_mut() else { return };
            let part = count.min(front.len());
            front.advance(part);
            count -= part;
            if front.is_empty() {
                self.parts.pop_front();
            }
        }
    }
}
