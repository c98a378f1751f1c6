//! What a framer can do.

use std::time::Duration;

use bytes::Bytes;

use crate::framer::inbox::{Earmark, Inbox};
use crate::framer::outbox::Outbox;
use crate::framer::stack::{Above, Progress, Wakeup};
use crate::framer::{Framer, FramerError};
use crate::message::MessageContext;

/// What a framer works on: the bytes that have arrived from below, with a cursor, the way up and the way down.
#[doc(alias = "connection")]
#[derive(Debug)]
pub struct FramerCx<'a> {
    pub(super) inbox: &'a mut Inbox,
    pub(super) above: Above<'a>,
    pub(super) below: &'a mut Outbox,
    pub(super) progress: &'a mut Progress,
    /// Whether it sent something in this call, be it nothing at all.
    pub(super) sent: bool,
    /// Whether it delivered something in this call.
    pub(super) delivered: bool,
    pub(super) failure: Option<FramerError>,
    pub(super) prepended: Prepended,
}

/// Framers to put above the caller.
#[derive(Default)]
pub(super) struct Prepended(pub(super) Vec<Box<dyn Framer>>);

impl std::fmt::Debug for Prepended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} framers", self.0.len())
    }
}

/// What [`FramerCx::parse`] sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The bytes from the cursor on.
    pub data: &'a [u8],
    /// What is known about the message of the layer below that they belong to.
    pub context: &'a MessageContext,
    /// Whether the message of the layer below ends with these bytes.
    pub end_of_message: bool,
}

impl FramerCx<'_> {
    /// Sends bytes down without copying large ones.
    pub fn send(&mut self, data: Bytes) {
        self.sent = true;
        self.below.push(data);
    }

    /// Sends a few bytes down by copying them, as for a header.
    pub fn send_slice(&mut self, data: &[u8]) {
        self.sent = true;
        self.below.push_slice(data);
    }

    /// Looks at the bytes from the cursor on, at most `max`; `None` when fewer than `min` have arrived. It never
    /// sees past the end of a message of the layer below.
    #[must_use]
    pub fn parse(&self, min: usize, max: usize) -> Option<Parsed<'_>> {
        self.inbox.parse(min, max)
    }

    /// Drops bytes at the cursor, at most those that have arrived.
    pub fn advance_receive_cursor(&mut self, length: usize) {
        self.inbox.advance(length);
    }

    /// Delivers the next `length` bytes as a message, or as a part of one, without copying them. It may be more
    /// than has arrived: the rest is delivered as it comes, and the framer is not called before. Check the length
    /// against a limit first.
    ///
    /// What is known about the message of the layer below is added to the context.
    pub fn deliver_and_advance_receive_cursor(
        &mut self,
        mut context: MessageContext,
        length: usize,
        end_of_message: bool,
    ) {
        self.delivered = true;
        self.inbox.inform(&mut context);
        let available = self.inbox.front_len();
        if available == length && self.inbox.front_is_complete() && end_of_message {
            context.last |= self.inbox.context().last;
        }
        if available >= length {
            let data = self.inbox.take(length);
            self.above.push(data, context, end_of_message);
        } else {
            self.inbox.earmark = Some(Earmark { context, remaining: length, end_of_message, started: false });
        }
    }

    /// Delivers bytes that the framer made itself as a message, or as a part of one.
    pub fn deliver(&mut self, mut context: MessageContext, data: Bytes, end_of_message: bool) {
        self.delivered = true;
        self.inbox.inform(&mut context);
        self.above.push(data, context, end_of_message);
    }

    /// Ends the wait that [`Start::WillMarkReady`](super::Start::WillMarkReady) began.
    pub fn make_connection_ready(&mut self) {
        self.progress.ready = true;
    }

    /// Ends the wait that [`Stop::WillMarkClosed`](super::Stop::WillMarkClosed) began.
    pub fn make_connection_closed(&mut self) {
        self.progress.closed = true;
    }

    /// Gives the connection up. Before it is ready, the attempt to connect fails, and the next candidate is tried with
    /// a framer of its own; after that, nothing more is sent or received. What this call has sent still leaves.
    pub fn fail_connection(&mut self, error: FramerError) {
        self.failure.get_or_insert(error);
    }

    /// Puts a framer above this one, under those that are there, when this call is over. It starts when this one is
    /// ready.
    ///
    /// # Errors
    /// [`FramerError::AlreadyReady`] once this framer is ready.
    pub fn prepend_framer(&mut self, framer: impl Framer + 'static) -> Result<(), FramerError> {
        if self.progress.ready {
            return Err(FramerError::AlreadyReady);
        }
        self.prepended.0.push(Box::new(framer));
        Ok(())
    }

    /// Steps aside for good when this call is over: the layers above and below meet, and what is sent and received
    /// costs nothing here. The framer is ready by that, and is not stopped.
    pub fn start_passthrough(&mut self) {
        self.progress.leaving = true;
    }

    /// Asks for a call of [`Framer::wakeup`] after this time. A framer has one such wish: the last one counts.
    pub fn schedule_wakeup(&mut self, after: Duration) {
        self.progress.wakeup = Some(Wakeup::After(after));
    }
}
