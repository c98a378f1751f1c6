//! Messages that end with a delimiter, as lines do.

use bytes::Bytes;

use crate::framer::{Framer, FramerCx, FramerError, Start};
use crate::message::{IntoData, Message, MessageContext};

/// Puts a delimiter behind each message.
///
/// There is no way to escape it: a message that contains the delimiter, alone or together with the one behind it, is
/// refused with [`FramerError::ContainsDelimiter`]. Parts of a message leave as they are sent.
///
/// ```
/// use postroad_taps::{Delimiter, Preconnection};
///
/// let lines = Preconnection::new().framer(|| Delimiter::new("\r\n").limit(1000));
/// # let _ = lines;
/// ```
#[derive(Debug, Clone)]
pub struct Delimiter {
    delimiter: Bytes,
    limit: usize,
    /// How many bytes from the cursor on contain no start of a delimiter that would be new.
    searched: usize,
    /// How many bytes of the message under way were sent.
    sent: usize,
    /// The last of them, where a delimiter could begin.
    tail: Vec<u8>,
}

impl Delimiter {
    /// The limit on a message unless another is given, in bytes: 64 KiB.
    pub const DEFAULT_LIMIT: usize = 64 * 1024;

    /// A framer with this delimiter, of one byte or more, and the default limit.
    #[must_use]
    pub fn new(delimiter: impl IntoData) -> Self {
        let delimiter = delimiter.into_data();
        Self { delimiter, limit: Self::DEFAULT_LIMIT, searched: 0, sent: 0, tail: Vec::new() }
    }

    /// Sends and takes messages of at most this many bytes, without the delimiter.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    fn find(&self, data: &[u8]) -> Option<usize> {
        match &self.delimiter[..] {
            [single] => data.iter().position(|byte| byte == single),
            delimiter => data.windows(delimiter.len()).position(|window| window == delimiter),
        }
    }

    /// Looks for a delimiter where parts of a message meet, or the message and its own delimiter.
    fn find_at_seams(&self, part: &[u8], end: bool) -> Option<usize> {
        let length = self.delimiter.len();
        let behind = if end { &self.delimiter[..length - 1] } else { &[] };
        let (tail, seam) = (self.tail.len(), self.tail.len() + part.len());
        let byte = |at: usize| match at {
            at if at < tail => self.tail[at],
            at if at < seam => part[at - tail],
            at => behind[at - seam],
        };
        let last = tail.max((seam + 1).saturating_sub(length));
        let found = (0..tail).chain(last..seam).find(|start| {
            start + length <= seam + behind.len() && (0..length).all(|at| byte(start + at) == self.delimiter[at])
        });
        found.map(|start| self.sent - tail + start)
    }
}

impl Framer for Delimiter {
    fn start(&mut self, _: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        if self.delimiter.is_empty() {
            return Err(FramerError::InvalidConfiguration("a delimiter of no bytes".to_owned()));
        }
        Ok(Start::Ready)
    }

    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        let Message { data, end_of_message: end, .. } = message;
        let size = self.sent + data.len();
        if size > self.limit {
            return Err(FramerError::MessageTooLarge { size: size as u64, limit: self.limit as u64 });
        }
        let found = self.find(&data).map(|at| self.sent + at).or_else(|| self.find_at_seams(&data, end));
        if let Some(offset) = found {
            return Err(FramerError::ContainsDelimiter { offset: offset as u64 });
        }
        if end {
            self.sent = 0;
            self.tail.clear();
        } else {
            self.sent = size;
            let keep = self.delimiter.len() - 1;
            self.tail.extend_from_slice(&data[data.len().saturating_sub(keep)..]);
            self.tail.drain(..self.tail.len().saturating_sub(keep));
        }
        cx.send(data);
        if end {
            cx.send_slice(&self.delimiter);
        }
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let most = self.limit.saturating_add(self.delimiter.len());
        let Some(parsed) = cx.parse(self.searched, most) else { return Ok(()) };
        // A delimiter may have begun in what was searched before.
        let from = self.searched.saturating_sub(self.delimiter.len() - 1);
        if let Some(at) = self.find(&parsed.data[from..]) {
            self.searched = 0;
            cx.deliver_and_advance_receive_cursor(MessageContext::default(), from + at, true);
            cx.advance_receive_cursor(self.delimiter.len());
            return Ok(());
        }
        let (searched, limit) = (parsed.data.len(), self.limit as u64);
        // An error may be about one message of the layer below only, so the next search begins anew.
        self.searched = 0;
        if searched == most {
            return Err(FramerError::MessageTooLarge { size: limit + 1, limit });
        }
        if parsed.end_of_message {
            return Err(FramerError::Truncated);
        }
        self.searched = searched;
        Ok(())
    }

    fn takes_parts(&self) -> bool {
        true
    }

    fn max_message_len(&self) -> usize {
        self.limit
    }
}
