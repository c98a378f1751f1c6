//! Framers: messages to bytes and back (RFC 9622 9.1.2, RFC 9623 6).

mod cx;
mod delimiter;
mod delivered;
mod error;
#[cfg(test)]
mod faults;
mod fixed_length;
pub(crate) mod inbox;
mod length_prefix;
#[allow(dead_code, reason = "transports that keep messages apart, and times, are the connection's to bring")]
pub(crate) mod outbox;
mod parts;
pub(crate) mod stack;
mod tlv;

use std::sync::Arc;

use crate::message::Message;

pub use cx::{FramerCx, Parsed};
pub use delimiter::Delimiter;
pub use error::FramerError;
pub use fixed_length::FixedLength;
pub use length_prefix::LengthPrefix;
pub use tlv::Tlv;

/// Makes a framer for one attempt to connect.
pub(crate) type FramerFactory = Arc<dyn Fn() -> Box<dyn Framer> + Send + Sync>;

/// Turns messages into bytes and bytes into messages, without doing any input or output itself.
///
/// Each attempt to connect has a framer of its own. Several form a stack: the one added last runs first on what is
/// sent, and last on what is received; each sees what the one below delivers, message ends included. The one at
/// the bottom sees what the transport brings: its messages, or its stream, which is one message without an end.
///
/// A framer sees a message that is sent in parts (RFC 9622 9.2.3) as a whole, unless it
/// [takes parts](Self::takes_parts).
///
/// A framer that panics has made its connection unusable, and nothing else.
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
    /// is one message to the layer below; what the calls for the parts of one message send is one too.
    ///
    /// # Errors
    /// The message cannot be framed: nothing of it is sent, and the connection lives on, unless parts of the message
    /// have been taken before.
    #[doc(alias = "message_data")]
    #[doc(alias = "message_context")]
    #[doc(alias = "sent_handler")]
    #[doc(alias = "is_end_of_message")]
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError>;

    /// Looks at what has arrived, by [`FramerCx::parse`], and delivers what is complete. It is called again as long
    /// as it advances the cursor, so one message per call is enough; a call that lacks bytes just returns.
    ///
    /// # Errors
    /// The peer's bytes make no sense: the connection receives nothing more.
    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError>;

    /// Runs when the connection is closed in order, and may send last bytes.
    fn stop(&mut self, cx: &mut FramerCx<'_>) -> Stop {
        let _ = cx;
        Stop::Closed
    }

    /// Runs when the time that [`FramerCx::schedule_wakeup`] was given is over.
    ///
    /// # Errors
    /// The connection fails with the error, or the attempt to connect does.
    fn wakeup(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let _ = cx;
        Ok(())
    }

    /// Whether a message arrives as the message that was sent, rather than as some bytes of a stream.
    fn preserves_boundaries(&self) -> bool {
        true
    }

    /// Whether [`new_sent_message`](Self::new_sent_message) takes a message in parts as they are sent. A framer that
    /// needs the whole message first, or its length, does not: its parts are collected for it.
    fn takes_parts(&self) -> bool {
        false
    }

    /// How many bytes are kept for the framer at most: of the parts of a message that is sent, and of what has arrived
    /// and it has made no use of. A peer or an application that goes on without an end is refused there.
    fn max_message_len(&self) -> usize {
        16 * 1024 * 1024
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

/// Whether a framer has finished when its stop is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It has.
    Closed,
    /// It has to hear from its peer first, and calls [`FramerCx::make_connection_closed`] then.
    WillMarkClosed,
}
