//! The documentation's example framer: a length, then the message.

use crate::framer::{Framer, FramerCx, FramerError};
use crate::message::{Message, MessageContext};

/// Puts the length before each message, in four bytes, the most significant first. (The original calls it TLV, though there
/// is no type: [`Tlv`](crate::Tlv) has one.)
///
/// A peer that declares a message over the limit has sent its last one.
#[doc(alias = "ExampleFramer")]
#[derive(Debug, Clone)]
pub struct LengthPrefix {
    limit: u32,
}

const HEADER: usize = 4;

impl LengthPrefix {
    /// The limit on a message unless another is given, in bytes: 16 MiB.
    pub const DEFAULT_LIMIT: u32 = 16 * 1024 * 1024;

    /// A framer with the default limit.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_limit(Self::DEFAULT_LIMIT)
    }

    /// A framer that sends and takes messages of at most this many bytes.
    #[must_use]
    pub const fn with_limit(limit: u32) -> Self {
        Self { limit }
    }

    fn check(&self, size: u64) -> Result<u32, FramerError> {
        let limit = u64::from(self.limit);
        u32::try_from(size).ok().filter(|size| *size <= self.limit).ok_or(FramerError::MessageTooLarge { size, limit })
    }
}

impl Default for LengthPrefix {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer for LengthPrefix {
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        let length = self.check(message.data.len() as u64)?;
        cx.send_slice(&length.to_be_bytes());
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let Some(header) = cx.parse(HEADER, HEADER) else { return Ok(()) };
        let declared = header.data.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let length = self.check(declared)?;
        cx.advance_receive_cursor(HEADER);
        cx.deliver_and_advance_receive_cursor(MessageContext::default(), length as usize, true);
        Ok(())
    }

    fn max_message_len(&self) -> usize {
        self.limit as usize
    }
}
