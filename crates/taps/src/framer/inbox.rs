//! What has arrived for one layer and was not used yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::framer::Parsed;
use crate::message::{Message, MessageContext, Receive};

/// Bytes from the layer below, in one piece, and where its messages end.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) bytes: BytesMut,
    /// Where messages of the layer below end, counted from the first byte that ever arrived.
    ends: VecDeque<u64>,
    /// How many bytes have been used.
    cursor: u64,
    /// What was promised to the layer above and has not arrived in full.
    pub(crate) earmark: Option<Earmark>,
}

/// A delivery that is under way.
#[derive(Debug)]
pub(crate) struct Earmark {
    pub(crate) context: MessageContext,
    pub(crate) remaining: usize,
    pub(crate) end_of_message: bool,
    /// Whether a part has gone up already.
    pub(crate) started: bool,
}

impl Inbox {
    /// The whole of a stream as one message that never ends: what an application without framers sees.
    pub(crate) fn stream() -> Self {
        let context = MessageContext::default();
        let earmark = Earmark { context, remaining: usize::MAX, end_of_message: true, started: false };
        Self { earmark: Some(earmark), ..Self::default() }
    }

    /// Adds what the layer below delivered.
    pub(crate) fn push(&mut self, data: Bytes, end_of_message: bool) {
        if self.bytes.is_empty() {
            // Taken over without a copy when nobody else holds the bytes.
            self.bytes = data.try_into_mut().unwrap_or_else(|data| BytesMut::from(&data[..]));
        } else {
            self.bytes.extend_from_slice(&data);
        }
        if end_of_message {
            self.ends.push_back(self.cursor + self.bytes.len() as u64);
        }
    }

    /// How many bytes have arrived of the first message.
    pub(crate) fn front_len(&self) -> usize {
        // An end is at most as far from the cursor as there are bytes.
        self.ends.front().map_or(self.bytes.len(), |end| (end - self.cursor) as usize)
    }

    /// Whether the first message has arrived in full.
    pub(crate) fn front_is_complete(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.ends.is_empty()
    }

    pub(crate) fn parse(&self, min: usize, max: usize) -> Option<Parsed<'_>> {
        let available = self.front_len();
        if available < min || self.is_empty() {
            return None;
        }
        let length = available.min(max);
        let end_of_message = self.front_is_complete() && length == available;
        Some(Parsed { data: &self.bytes[..length], end_of_message })
    }

    /// Drops bytes at the cursor, within the first message.
    pub(crate) fn advance(&mut self, length: usize) {
        let length = length.min(self.front_len());
        self.bytes.advance(length);
        self.passed(length);
    }

    /// Takes bytes at the cursor, within the first message.
    pub(crate) fn take(&mut self, length: usize) -> Bytes {
        let length = length.min(self.front_len());
        let data = if length == self.bytes.len() { self.bytes.split() } else { self.bytes.split_to(length) };
        self.passed(length);
        data.freeze()
    }

    fn passed(&mut self, length: usize) {
        self.cursor += length as u64;
        if self.ends.front() == Some(&self.cursor) {
            self.ends.pop_front();
        }
    }

    /// Takes what has arrived of the earmarked delivery: a part and whether the delivery is over with it.
    pub(crate) fn take_earmarked(&mut self, max: usize) -> Option<(Bytes, MessageContext, bool)> {
        let available = self.front_len().min(max);
        let earmark = self.earmark.as_mut()?;
        let length = available.min(earmark.remaining);
        earmark.remaining -= length;
        earmark.started = true;
        let done = earmark.remaining == 0;
        let (context, end_of_message) = (earmark.context.clone(), done && earmark.end_of_message);
        if done {
            self.earmark = None;
        }
        Some((self.take(length), context, end_of_message))
    }

    /// Gives the application its part of the earmarked delivery, when enough has arrived of it.
    pub(crate) fn receive_earmarked(&mut self, want: &Receive) -> Option<Message> {
        let earmark = self.earmark.as_ref()?;
        let available = self.front_len();
        if available < earmark.remaining && available < want.enough() {
            return None;
        }
        let (data, context, end_of_message) = self.take_earmarked(want.limit())?;
        Some(Message::part(data, context, end_of_message))
    }
}
