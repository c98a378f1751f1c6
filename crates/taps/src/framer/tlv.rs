//! Type, length, value: messages of several types.

use crate::framer::{Framer, FramerCx, FramerError};
use crate::message::{Message, MessageContext};

/// Puts a type of two bytes and a length of four before each message, the most significant byte first.
///
/// The type stands in the message context, as the value of [`Tlv::TYPE`] in the scope [`Tlv::SCOPE`]: the application
/// sets it on what it sends, and finds it on what it receives (RFC 9622 9.1.2.2). It is 0 unless set.
///
/// ```
/// use postroad_taps::{Message, Preconnection, Tlv};
///
/// let framed = Preconnection::new().framer(Tlv::new);
/// let mut message = Message::new("hello");
/// message.context.add(Tlv::TYPE, 7, Tlv::SCOPE);
/// # let _ = framed;
/// ```
#[derive(Debug, Clone)]
pub struct Tlv {
    limit: u32,
}

const HEADER: usize = 6;

impl Tlv {
    /// The scope of what this framer has to say about a message.
    pub const SCOPE: &'static str = "tlv";

    /// The key of the type: a whole number from 0 to 65 535.
    pub const TYPE: &'static str = "type";

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

impl Default for Tlv {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer for Tlv {
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        let kind = match message.context.get(Self::TYPE, Self::SCOPE) {
            None => Some(0),
            Some(value) => value.as_integer().and_then(|kind| u16::try_from(kind).ok()),
        };
        let kind = kind.ok_or_else(|| FramerError::InvalidMetadata { key: Self::TYPE.to_owned() })?;
        let length = self.check(message.data.len() as u64)?;
        cx.send_slice(&kind.to_be_bytes());
        cx.send_slice(&length.to_be_bytes());
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let Some(header) = cx.parse(HEADER, HEADER) else { return Ok(()) };
        let [type_1, type_0, length @ ..] = header.data else { return Ok(()) };
        let kind = u16::from_be_bytes([*type_1, *type_0]);
        let declared = length.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let length = self.check(declared)?;
        let mut context = MessageContext::default();
        context.add(Self::TYPE, kind, Self::SCOPE);
        cx.advance_receive_cursor(HEADER);
        cx.deliver_and_advance_receive_cursor(context, length as usize, true);
        Ok(())
    }

    fn max_message_len(&self) -> usize {
        self.limit as usize
    }
}
