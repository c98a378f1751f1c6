//! The way in: what is read, and what of it makes a message (RFC 9622 9.3).

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncReadExt;

use super::{Carrier, Core, wake};
use crate::connection::ReceiveError;
use crate::connection::event::Event;
use crate::connection::queue::keep;
use crate::message::{Message, MessageContext, Receive};
use crate::transport::{Arrived, Transport};

/// How much room a read gets.
const READ: usize = 64 * 1024;

/// How much room a read gets at most, when a framer has declared that more will come. A declared length alone must
/// not decide how much memory is taken.
const READ_AHEAD: usize = 1024 * 1024;

/// How many reads of unwanted bytes a close takes.
const LAST_READS: usize = 64;

impl Core {
    pub(in crate::connection) fn poll_receive(
        &mut self,
        want: &Receive,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Message, ReceiveError>> {
        let received = self.poll_next(want, cx);
        let Poll::Ready(received) = received else {
            keep(&mut self.reader, cx);
            return Poll::Pending;
        };
        // Who waits for the end has to read on.
        wake(&mut self.watcher);
        if self.events.is_watched() {
            self.events.tell(match &received {
                Ok(message) if message.end_of_message && message.context.id() == 0 => {
                    Event::Received { length: message.data.len() }
                }
                Ok(Message { data, end_of_message, .. }) => {
                    Event::ReceivedPartial { length: data.len(), end_of_message: *end_of_message }
                }
                Err(error) => Event::ReceiveError(error.clone()),
            });
        }
        Poll::Ready(received)
    }

    fn poll_next(&mut self, want: &Receive, cx: &mut Context<'_>) -> Poll<Result<Message, ReceiveError>> {
        // What is here already needs no waker, no clock and no framer.
        if matches!(self.carrier, Carrier::Transport(_))
            && !self.closing
            && self.received_all.is_none()
            && let Some(message) = self.stack.take(want)
        {
            self.receives_part = !message.end_of_message;
            return Poll::Ready(Ok(message));
        }
        ready!(self.poll_open(cx));
        if self.facts.get().is_some_and(|facts| !facts.about.can_receive) {
            return Poll::Ready(Err(ReceiveError::SendOnly));
        }
        loop {
            if let Some(error) = &self.received_all {
                return Poll::Ready(Err(error.clone()));
            }
            if self.closing || matches!(self.carrier, Carrier::Gone) {
                let error = self.failure.clone().map_or(ReceiveError::Closed, ReceiveError::from);
                return Poll::Ready(Err(error));
            }
            self.poll_wakeups(cx);
            if let Some(received) = self.receive_loose(want, cx) {
                return Poll::Ready(received);
            }
            match self.stack.advance(want) {
                Ok(Some(message)) => {
                    self.receives_part = !message.end_of_message;
                    return Poll::Ready(Ok(message));
                }
                Ok(None) if self.stack.is_ended() => {
                    // A socket that has failed reads as one that has ended, once somebody was told of the failure.
                    let failure = self.failure.clone();
                    self.received_all = Some(failure.map_or(ReceiveError::Closed, ReceiveError::from));
                }
                Ok(None) => match ready!(self.poll_fill(cx)) {
                    Ok(_) => {}
                    Err(error) => self.received_all = Some(self.fail(&error).into()),
                },
                // One bad datagram is not the end of the others.
                Err(error) if self.stack.out.keeps_boundaries() && self.stack.failure().is_none() => {
                    return Poll::Ready(Err(error.into()));
                }
                Err(error) => self.received_all = Some(error.into()),
            }
        }
    }

    /// What has come beside the stream, when no message of the stream has been received in part.
    fn receive_loose(&mut self, want: &Receive, cx: &mut Context<'_>) -> Option<Result<Message, ReceiveError>> {
        let beside = self.stack.beside.as_mut().filter(|_| !self.receives_part)?;
        let Carrier::Transport(Transport::Stream(stream)) = &mut self.carrier else { return None };
        loop {
            match beside.receive(want) {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => {}
                // One bad message is not the end of the others.
                Err(error) if beside.failure().is_none() => return Some(Err(error.into())),
                // The stream goes on without them.
                Err(_) => {
                    self.stack.beside = None;
                    return None;
                }
            }
            let Poll::Ready(data) = stream.poll_loose(cx) else { return None };
            if let Some(pace) = &mut self.receive_pace {
                pace.passed(data.len());
            }
            let mut context = MessageContext::default();
            if stream.is_early_data() {
                context.set_early_data();
            }
            beside.push_message(data, context);
        }
    }

    /// Sends what framers have answered to what they received, without waiting for it.
    pub(in crate::connection) fn answer(&mut self, cx: &mut Context<'_>) {
        if self.stack.out.is_empty() {
            return;
        }
        if self.waiting.is_empty() {
            // A failure to write shows in the next send; what can be received still is.
            if self.poll_write_out(cx).map(|written| written.is_ok()) == Poll::Ready(true) {
                self.settle_leaving(&Ok(()));
            }
        } else {
            // Somebody waits to write, and the transport has room for one waker.
            self.waiting.wake_one();
        }
    }

    /// Reads once; false at the end of what the peer sends, which the framers then know.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if let Some(pace) = &mut self.receive_pace {
            ready!(pace.poll_ready(cx));
        }
        let more = match &mut self.carrier {
            Carrier::Transport(Transport::Stream(stream)) => {
                self.stack.set_early(stream.is_early_data());
                let room = self.stack.lacking().clamp(READ, READ_AHEAD);
                let buffer = self.stack.received();
                if buffer.capacity() - buffer.len() < READ / 8 {
                    buffer.reserve(room);
                }
                let read = ready!(Future::poll(pin!(stream.read_buf(buffer)), cx))?;
                if let Some(pace) = &mut self.receive_pace {
                    pace.passed(read);
                }
                read > 0
            }
            Carrier::Transport(Transport::Message(transport)) => match ready!(transport.poll_receive(cx))? {
                Arrived::Message(data, context) => {
                    if let Some(pace) = &mut self.receive_pace {
                        pace.passed(data.len());
                    }
                    self.stack.push_message(data, context);
                    true
                }
                Arrived::SoftError(error) => {
                    self.events.tell(Event::SoftError(error));
                    true
                }
                Arrived::End => false,
            },
            Carrier::Opening(_) | Carrier::Gone => false,
        };
        if !more {
            self.stack.handle_end();
        }
        Poll::Ready(Ok(more))
    }

    pub(super) fn discard_received(&mut self, cx: &mut Context<'_>) {
        // A peer that never stops sending is cut off after a while.
        for _ in 0..LAST_READS {
            self.stack.discard_received();
            if !matches!(self.poll_fill(cx), Poll::Ready(Ok(true))) {
                return;
            }
        }
    }
}
