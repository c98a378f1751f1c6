//! The state of a connection, and its input and output as polls.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::connection::{ConnectionError, ConnectionState, IntoByteStreamError, ReceiveError, SendError};
use crate::error::AttemptError;
use crate::framer::stack::Stack;
use crate::message::{Message, Receive};
use crate::stream::ByteStream;

/// How much room a read gets.
const READ: usize = 64 * 1024;

/// How much room a read gets at most, when a framer has declared that more will come. A declared length alone must
/// not decide how much memory is taken.
const READ_AHEAD: usize = 1024 * 1024;

/// How many slices one write takes: small messages share one, so this many are large.
const SLICES: usize = 16;

/// How many reads of unwanted bytes a close takes.
const LAST_READS: usize = 64;

/// A stage of the way out of a connection:
///
/// ```text
/// Open --last message--> Ending --all sent--> Ended
///   \--close--> Closing --all sent--> (closed)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Messages can be sent.
    Open,
    /// The last message has been framed; the end of the stream follows it.
    Ending,
    /// The end of the stream is sent.
    Ended,
}

#[derive(Debug)]
pub(super) struct Core {
    /// `None` once the connection is closed.
    stream: Option<ByteStream>,
    pub(super) stack: Stack,
    sending: Sending,
    closing: bool,
    /// Whether something was written since the last flush.
    unflushed: bool,
    /// Why nothing more is received; kept, so that each receive says it.
    received_all: Option<ReceiveError>,
    failure: Option<ConnectionError>,
    /// Who waits to write and to read, to be told of an abort.
    writer: Option<Waker>,
    reader: Option<Waker>,
}

impl Core {
    pub(super) fn new(stream: ByteStream, stack: Stack) -> Self {
        Self {
            stream: Some(stream),
            stack,
            sending: Sending::Open,
            closing: false,
            unflushed: false,
            received_all: None,
            failure: None,
            writer: None,
            reader: None,
        }
    }

    /// Runs the framers' start, with what they have to say to their peers.
    pub(super) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AttemptError>> {
        let transport = |error: &io::Error| AttemptError::from_io(error);
        loop {
            let ready = self.stack.start()?;
            let drained = self.poll_write_out(cx).map_err(|error| transport(&error))?;
            if ready {
                return drained.map(Ok);
            }
            if ready!(self.poll_fill(cx)).map_err(|error| transport(&error))? == 0 {
                return Poll::Ready(Err(AttemptError::Transport(io::ErrorKind::UnexpectedEof)));
            }
        }
    }

    /// Frames messages behind what is on its way out. To be called when nothing is.
    pub(super) fn frame(&mut self, messages: &mut dyn Iterator<Item = Message>) -> Result<(), SendError> {
        for message in messages {
            let refused = if self.closing {
                Some(SendError::Closed)
            } else if self.sending != Sending::Open {
                Some(SendError::FinalAlreadySent)
            } else {
                let last = message.context.last;
                let framed = self.stack.send(message);
                if last && framed.is_ok() {
                    self.sending = Sending::Ending;
                }
                framed.err().map(SendError::from)
            };
            if let Some(error) = refused {
                // Nothing was on its way before, so this is what the batch has framed and nothing else.
                self.stack.out.clear();
                if self.sending == Sending::Ending {
                    self.sending = Sending::Open;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sends everything that is on its way out, and the end of the stream after the last message.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.stream.is_none() {
            return Poll::Ready(Err(self.failure.clone().map_or(SendError::Closed, SendError::from)));
        }
        match self.poll_write_out(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.fail(&error).into())),
            Poll::Pending => {
                keep(&mut self.writer, cx);
                Poll::Pending
            }
        }
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        let mut stream = Pin::new(stream);
        while !self.stack.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.stack.out.slices(&mut slices);
            let written = ready!(stream.as_mut().poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.stack.out.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            // A TLS session keeps the tail of what it was given until it is flushed.
            ready!(stream.as_mut().poll_flush(cx))?;
            self.unflushed = false;
        }
        if self.sending == Sending::Ending {
            ready!(stream.poll_shutdown(cx))?;
            self.sending = Sending::Ended;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_receive(&mut self, want: &Receive, cx: &mut Context<'_>) -> Poll<Result<Message, ReceiveError>> {
        loop {
            if let Some(error) = &self.received_all {
                return Poll::Ready(Err(error.clone()));
            }
            if self.closing || self.stream.is_none() {
                let error = self.failure.clone().map_or(ReceiveError::Closed, ReceiveError::from);
                return Poll::Ready(Err(error));
            }
            match self.stack.receive(want) {
                Ok(Some(message)) => return Poll::Ready(Ok(message)),
                Ok(None) if self.stack.is_ended() => self.received_all = Some(ReceiveError::Closed),
                Ok(None) => match self.poll_fill(cx) {
                    Poll::Ready(Ok(0)) => self.stack.handle_end(),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => self.received_all = Some(self.fail(&error).into()),
                    Poll::Pending => {
                        keep(&mut self.reader, cx);
                        return Poll::Pending;
                    }
                },
                Err(error) => self.received_all = Some(error.into()),
            }
        }
    }

    /// Reads once; 0 at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(0)) };
        let room = self.stack.lacking().clamp(READ, READ_AHEAD);
        let buffer = self.stack.received();
        if buffer.capacity() - buffer.len() < READ / 8 {
            buffer.reserve(room);
        }
        Future::poll(pin!(stream.read_buf(buffer)), cx)
    }

    /// Refuses messages from now on, and ends the wait for received ones.
    pub(super) fn begin_close(&mut self) {
        self.closing = true;
        wake(&mut self.reader);
    }

    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        if self.stream.is_some() && self.sending == Sending::Open {
            // A framer that cannot say good-bye does not keep the connection open.
            let _ = self.stack.stop();
            self.sending = Sending::Ending;
        }
        let drained = match ready!(self.poll_drain(cx)) {
            Err(SendError::ProtocolFailed(error)) => Err(error),
            _ => Ok(()),
        };
        // A socket that is closed with unread bytes resets the connection, and the peer may lose what was sent.
        if drained.is_ok() {
            self.discard_received(cx);
        }
        self.stream = None;
        wake(&mut self.reader);
        Poll::Ready(drained)
    }

    fn discard_received(&mut self, cx: &mut Context<'_>) {
        // A peer that never stops sending is cut off after a while.
        for _ in 0..LAST_READS {
            self.stack.discard_received();
            if !matches!(self.poll_fill(cx), Poll::Ready(Ok(1..))) {
                return;
            }
        }
    }

    pub(super) fn abort(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.reset_on_drop();
            self.failure = Some(ConnectionError::LocalAbort);
        }
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    /// Notes that the transport has failed to write or to read. What has arrived can still be received.
    fn fail(&mut self, error: &io::Error) -> ConnectionError {
        let error = ConnectionError::from_io(error);
        self.failure.get_or_insert_with(|| error.clone());
        error
    }

    pub(super) fn state(&self) -> ConnectionState {
        if self.stream.is_none() || self.failure.is_some() {
            ConnectionState::Closed
        } else if self.closing {
            ConnectionState::Closing
        } else {
            ConnectionState::Established
        }
    }

    pub(super) fn can_send(&self) -> bool {
        self.state() == ConnectionState::Established && self.sending == Sending::Open
    }

    pub(super) fn can_receive(&self) -> bool {
        self.stream.is_some() && !self.closing && self.received_all.is_none()
    }

    pub(super) fn into_byte_stream(self) -> Result<ByteStream, IntoByteStreamError> {
        if self.stack.has_framers() {
            return Err(IntoByteStreamError::HasFramers);
        }
        if self.closing || self.failure.is_some() || self.stack.is_ended() || self.sending != Sending::Open {
            return Err(IntoByteStreamError::Closed);
        }
        if !self.stack.out.is_empty() || self.unflushed || self.stack.holds_received() {
            return Err(IntoByteStreamError::HoldsData);
        }
        self.stream.ok_or(IntoByteStreamError::Closed)
    }
}

/// Keeps the waker of who waits, without a clone when it is the same again.
fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
