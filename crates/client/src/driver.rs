//! What drives a connection over its socket, and the only one to touch that.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::BytesMut;
use postroad_taps::ByteStream;
use tokio::io::AsyncWrite;
use tokio::time::Sleep;
use tokio_util::io::{poll_read_buf, poll_write_buf};

use crate::ConnectionError;
use crate::passwords::Checks;
use crate::protocol::Transmit;
use crate::state::Shared;
use crate::trace::Trace;

/// How much is read at once, at first and where reads keep filling the buffer: what is left of a frame at the end of a read
/// is moved to the start of the next.
const READ: usize = 64 * 1024;
const READ_MORE: usize = 256 * 1024;

/// How long the last words to a peer may take once the connection is over.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

/// Rounds of reading and writing before other tasks get their turn.
const ROUNDS: usize = 32;

/// Reads, writes and keeps time for one connection until it is over.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    stream: ByteStream,
    input: BytesMut,
    /// How much is to be read at once.
    appetite: usize,
    output: Transmit,
    unflushed: bool,
    sleep: Pin<Box<Sleep>>,
    /// Whether the connection is over, and only what is left of the output goes out.
    ending: bool,
    done: bool,
    /// Boxed, and nothing unless somebody asks: a driver is moved and kept for every connection.
    trace: Option<Box<Trace>>,
    /// The client's password, where this end is connected to.
    checks: Option<Box<Checks>>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, stream: ByteStream) -> Self {
        let sleep = Box::pin(tokio::time::sleep_until(tokio::time::Instant::now()));
        let (input, output) = (BytesMut::new(), Transmit::default());
        let trace = Trace::start(Arc::as_ptr(&shared) as usize);
        Self {
            shared,
            stream,
            input,
            appetite: READ,
            output,
            unflushed: false,
            sleep,
            ending: false,
            done: false,
            trace,
            checks: None,
        }
    }

    /// Has passwords checked.
    pub(crate) fn checking(mut self, checks: Checks) -> Self {
        self.checks = Some(Box::new(checks));
        self
    }

    /// Takes in what was read from the stream already.
    pub(crate) fn behind(mut self, first: &[u8]) -> Self {
        if !first.is_empty() {
            if let Some(trace) = &mut self.trace {
                trace.read(first);
            }
            self.input.extend_from_slice(first);
            let mut state = self.shared.lock();
            state.engine.handle_input(Instant::now(), &mut self.input);
            state.take_news();
            drop(state);
        }
        self
    }

    /// Writes what there is; `true` when all of it is with the transport.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while !self.output.is_empty() {
            match poll_write_buf(Pin::new(&mut self.stream), cx, &mut self.output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(_)) => self.unflushed = true,
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
        if self.input.is_empty() && self.input.capacity() == 0 {
            match self.stream.poll_read_ready(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => return Ok(None),
            }
        }
        self.input.reserve(self.appetite);
        match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input) {
            Poll::Ready(Ok(count)) => {
                self.appetite = if count >= READ { READ_MORE } else { READ };
                if let Some(trace) = &mut self.trace {
                    trace.read(&self.input[self.input.len() - count..]);
                }
                Ok(Some(count))
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => {
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                Ok(None)
            }
        }
    }

    /// Takes in what has come before the transport failed: the peer may have said why.
    fn read_out(&mut self, cx: &mut Context<'_>) {
        for _ in 0..ROUNDS {
            let Ok(Some(1..)) = self.read(cx) else { return };
            let mut state = self.shared.lock();
            state.engine.handle_input(Instant::now(), &mut self.input);
            state.take_news();
            if state.engine.is_over() {
                return;
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.shared.turn(|state| {
            state.lose(ConnectionError::of_stream(error));
            state.engine.handle_eof();
        });
    }

    /// Runs until the peer has opened its end.
    pub(crate) async fn opened(&mut self) -> Result<(), ConnectionError> {
        poll_fn(|cx| {
            let over = Pin::new(&mut *self).poll(cx).is_ready();
            let state = self.shared.lock();
            match &state.over {
                Some(error) => Poll::Ready(Err(error.clone())),
                None if over => Poll::Ready(Err(ConnectionError::Closed)),
                None if state.opened => Poll::Ready(Ok(())),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Runs until the connection is over at this end: last words may still have to be written, which
    /// [`linger`](Self::linger) does.
    pub(crate) async fn over(&mut self) {
        poll_fn(|cx| match Pin::new(&mut *self).poll(cx) {
            Poll::Pending if self.ending => Poll::Ready(()),
            polled => polled,
        })
        .await;
    }

    /// Writes the last words, where there are any.
    pub(crate) fn linger(self) -> Option<impl Future<Output = ()> + Send + 'static> {
        (self.ending && !self.done).then_some(self)
    }

    /// Goes on for a connection that was made anew.
    pub(crate) fn drive_for(&mut self, shared: Arc<Shared>) {
        self.shared = shared;
    }

    /// One round: writes, reads, lets the engine work. `Ready`: the connection is over.
    fn round(&mut self, cx: &mut Context<'_>) -> Poll<Round> {
        let written = match self.write(cx) {
            Ok(written) => written,
            // What the connection was, is somebody else's by now.
            Err(_) if self.ending => return Poll::Ready(Round::Over),
            Err(error) => {
                self.read_out(cx);
                self.fail(&error);
                return Poll::Ready(Round::Over);
            }
        };
        if self.ending {
            // A peer that does not read keeps neither task nor socket.
            let over = written || self.sleep.as_mut().poll(cx).is_ready();
            return if over { Poll::Ready(Round::Over) } else { Poll::Pending };
        }
        let checked = self.checks.as_mut().and_then(|checks| checks.poll(cx));
        let waits = self.checks.as_ref().is_some_and(|checks| checks.is_running());
        let read = if waits { Ok(None) } else { self.read(cx) };
        let now = Instant::now();
        let mut state = self.shared.lock();
        state.driver_runs();
        if let Some(answer) = checked {
            state.engine.password_checked(answer);
            // What the client had sent behind the password.
            state.engine.handle_input(now, &mut self.input);
        }
        match &read {
            Ok(Some(0)) => state.engine.handle_eof(),
            Ok(Some(_)) => state.engine.handle_input(now, &mut self.input),
            Ok(None) => {}
            Err(error) => {
                state.lose(ConnectionError::of_stream(error));
                state.engine.handle_eof();
            }
        }
        let gave_up = state.close_by.filter(|(deadline, _)| *deadline <= now);
        if let Some((_, waited)) = gave_up {
            let attaching = state.attaching;
            match &mut state.detached {
                Some(detached) => detached.late = Some(waited),
                None if attaching => {}
                None => state.end_connection(ConnectionError::CloseTimeout(waited)),
            }
            state.engine.handle_eof();
        }
        if state.engine.poll_timeout().is_some_and(|deadline| deadline <= now) {
            state.engine.handle_timeout(now);
        }
        state.take_news();
        let check = self.checks.as_mut().zip(state.engine.password_check());
        let begun = check.map(|(checks, check)| checks.begin(check)).is_some();
        let drains = state.answer_drains(now);
        let leaving = state.answer_leaving(now);
        let ends = state.tear_down(now);
        let withdrawals = state.withdraw_due(now);
        let joins = state.expire_joins(now);
        let told = self.output.len();
        if written {
            state.engine.poll_transmit(now, &mut self.output);
            state.take_news();
        }
        self.ending = state.engine.is_over();
        if self.ending {
            // What the engine still wants to say, such as a close, leaves behind what is under way.
            state.engine.poll_transmit(now, &mut self.output);
            self.sleep.as_mut().reset(tokio::time::Instant::from_std(now) + LINGER);
        }
        let progress = matches!(read, Ok(Some(_)))
            || (written && !self.output.is_empty())
            || self.ending
            || begun
            || checked.is_some();
        let closed = state.close_by.map(|(deadline, _)| deadline);
        let deadlines = [state.engine.poll_timeout(), closed, drains, leaving, withdrawals, ends, joins];
        let deadline = deadlines.into_iter().flatten().min();
        if !progress {
            state.driver_sleeps(cx);
        }
        let wakes = state.take_wakes();
        self.shared.publish(&state);
        drop(state);
        if let Some(trace) = &mut self.trace {
            trace.write(&self.output, told);
        }
        wakes.into_iter().for_each(Waker::wake);
        if gave_up.is_some() || read.is_err() {
            return Poll::Ready(Round::Over);
        }
        if progress {
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
                    if let Some(trace) = &mut self.trace {
                        trace.end();
                    }
                    // The peer may have reset the connection; there is nobody left to tell.
                    let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                    self.done = true;
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
