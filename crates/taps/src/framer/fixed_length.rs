//! Messages that all have the same length.

use crate::framer::{Framer, FramerCx, FramerError, Start};
use crate::message::{Message, MessageContext};

/// Cuts the stream into messages of one length, and adds nothing to what is sent.
///
/// A message of another length is refused with [`FramerError::WrongLength`]; nothing is padded.
///
/// ```
/// use postroad_taps::{FixedLength, Preconnection};
///
/// let records = Preconnection::new().framer(|| FixedLength::new(188));
/// # let _ = records;
/// ```
#[derive(Debug, Clone)]
pub struct FixedLength {
    length: usize,
}

impl FixedLength {
    /// A framer for messages of this many bytes, 1 or more.
    #[must_use]
    pub const fn new(length: usize) -> Self {
        Self { length }
    }
}

impl Framer for FixedLength {
    fn start(&mut self, _: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        if self.length == 0 {
            return Err(FramerError::InvalidConfiguration("messages of no bytes".to_owned()));
        }
        Ok(Start::Ready)
    }

    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        if message.data.len() != self.length {
            let (size, expected) = (message.data.len() as u64, self.length as u64);
            return Err(FramerError::WrongLength { size, expected });
        }
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        if cx.parse(1, 1).is_some() {
            cx.deliver_and_advance_receive_cursor(MessageContext::default(), self.length, true);
        }
        Ok(())
    }

    fn max_message_len(&self) -> usize {
        self.length
    }
}
