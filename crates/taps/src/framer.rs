//! Framers: messages to bytes and back (RFC 9622 9.1.2, RFC 9623 6).

pub(crate) mod inbox;
pub(crate) mod outbox;
pub(crate) mod stack;
mod tlv;

use std::sync::Arc;

use bytes::Bytes;

use crate::message::{Message, MessageContext};
use inbox::{Earmark, Inbox};
use outbox::Outbox;
use stack::Above;

pub use tlv::Tlv;

/// Makes a framer for one attempt to connect.
pub(crate) type FramerFactory = Arc<dyn Fn() -> Box<dyn Framer> + Send + Sync>;

/// Turns messages into bytes and bytes into messages, without doing any input or output itself.
///
/// Each attempt to connect has a framer of its own. Several form a stack: the one added last runs first on what is
/// sent, and last on what is received; each sees what the one below delivers, message ends included. The one at
/// the bottom sees the stream of the transport, which is one message without an end.
///
/// ```
/// use postroad_taps::{Framer, FramerCx, FramerError, Message, MessageContext};
///
/// /// One message a line.
/// struct Lines;
///
/// impl Framer for Lines {
///     fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
///         cx.send(message.data);
///         cx.send_slice(b"\n");
///         Ok(())
///     }
///
///     fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
///         let Some(parsed) = cx.parse(1, 1000) else { return Ok(()) };
///         match parsed.data.iter().position(|&byte| byte == b'\n') {
///             Some(length) => {
///                 cx.deliver_and_advance_receive_cursor(MessageContext::default(), length, true);
///                 cx.advance_receive_cursor(1);
///             }
///             None if parsed.data.len() == 1000 => return Err(FramerError::MessageTooLarge { size: 1000, limit: 999 }),
///             None => {}
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Framer: Send {
    /// Runs when the layer below is ready, before the connection is. What it sends goes before every message.
    ///
    /// # Errors
    /// The attempt to connect fails with the error.
    fn start(&mut self, cx: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        let _ = cx;
        Ok(Start::Ready)
    }

    /// Turns a message into what the layer below is to carry, by [`FramerCx::send`]. Everything that one call sends
    /// is one message to the layer below.
    ///
    /// # Errors
    /// The message cannot be framed: nothing of it is sent, and the connection lives on.
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError>;

    /// Looks at what has arrived, by [`FramerCx::parse`], and delivers what is complete. It is called again as long
    /// as it advances the cursor, so one message per call is enough; a call that lacks bytes just returns.
    ///
    /// # Errors
    /// The peer's bytes make no sense: the connection receives nothing more.
    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError>;

    /// Runs when the connection is closed in order, and may send last bytes.
    fn stop(&mut self, cx: &mut FramerCx<'_>) {
        let _ = cx;
    }

    /// Whether a message arrives as the message that was sent, rather than as some bytes of a stream.
    fn preserves_boundaries(&self) -> bool {
        true
    }
}

/// Whether a framer is ready when its start is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It is.
    Ready,
    /// It has to hear from its peer first, and calls [`FramerCx::make_connection_ready`] then.
    WillMarkReady,
}

/// Why a framer could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramerError {
    /// A message is longer than the framer allows.
    #[error("a message of {size} bytes is over the limit of {limit}")]
    MessageTooLarge {
        /// The length that was given or declared, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// What arrived ended in the middle of a message.
    #[error("the data ended in the middle of a message")]
    Truncated,
    /// What arrived breaks the framer's rules.
    #[error("malformed data: {0}")]
    Malformed(String),
}

/// What a framer works on: the bytes that have arrived from below, with a cursor, the way up and the way down.
#[doc(alias = "connection")]
#[derive(Debug)]
pub struct FramerCx<'a> {
    pub(crate) inbox: &'a mut Inbox,
    pub(crate) above: Above<'a>,
    pub(crate) below: &'a mut Outbox,
    pub(crate) ready: &'a mut bool,
    pub(crate) progress: bool,
}

/// What [`FramerCx::parse`] sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The bytes from the cursor on.
    pub data: &'a [u8],
    /// Whether the message of the layer below ends with these bytes.
    pub end_of_message: bool,
}

impl FramerCx<'_> {
    /// Sends bytes down without copying large ones.
    pub fn send(&mut self, data: Bytes) {
        self.progress = true;
        self.below.push(data);
    }

    /// Sends a few bytes down by copying them, as for a header.
    pub fn send_slice(&mut self, data: &[u8]) {
        self.progress = true;
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
        self.progress = true;
        self.inbox.advance(length);
    }

    /// Delivers the next `length` bytes as a message, or as a part of one, without copying them. It may be more
    /// than has arrived: the rest is delivered as it comes, and the framer is not called before. Check the length
    /// against a limit first.
    pub fn deliver_and_advance_receive_cursor(&mut self, context: MessageContext, length: usize, end_of_message: bool) {
        self.progress = true;
        if self.inbox.front_len() >= length {
            let data = self.inbox.take(length);
            self.above.push(data, context, end_of_message);
        } else {
            self.inbox.earmark = Some(Earmark { context, remaining: length, end_of_message, started: false });
        }
    }

    /// Delivers bytes that the framer made itself as a message, or as a part of one.
    pub fn deliver(&mut self, context: MessageContext, data: Bytes, end_of_message: bool) {
        self.progress = true;
        self.above.push(data, context, end_of_message);
    }

    /// Ends the wait that [`Start::WillMarkReady`] began.
    pub fn make_connection_ready(&mut self) {
        self.progress = true;
        *self.ready = true;
    }
}
