//! What has arrived for one layer and was not used yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::framer::Parsed;
use crate::message::MessageContext;

/// Bytes from the layer below, in one piece, and where its messages end.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) bytes: BytesMut,
    /// The messages of the layer below that these bytes belong to; none over a stream, whose bytes are one message
    /// without an end.
    below: VecDeque<Below>,
    /// How many bytes have been used.
    cursor: u64,
    /// Whether something was used since the last call of [`leave_finished`](Self::leave_finished).
    touched: bool,
    /// What was promised to the layer above and has not arrived in full.
    pub(crate) earmark: Option<Earmark>,
}

/// A message of the layer below.
#[derive(Debug)]
struct Below {
    context: MessageContext,
    /// Where it ends, counted from the first byte that ever arrived; `None` until that is known.
    end: Option<u64>,
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
        let mut inbox = Self::default();
        inbox.earmark_all();
        inbox
    }

    /// Promises everything that is here and that will come.
    pub(crate) fn earmark_all(&mut self) {
        let context = MessageContext::NONE;
        self.below.clear();
        self.earmark = Some(Earmark { context, remaining: usize::MAX, end_of_message: true, started: false });
    }

    /// Adds what the layer below delivered.
    pub(crate) fn push(&mut self, data: Bytes, context: MessageContext, end_of_message: bool) {
        if self.bytes.is_empty() {
            // Taken over without a copy when nobody else holds the bytes.
            self.bytes = data.try_into_mut().unwrap_or_else(|data| BytesMut::from(&data[..]));
        } else {
            self.bytes.extend_from_slice(&data);
        }
        match self.below.back_mut().filter(|below| below.end.is_none()) {
            Some(below) => {
                below.context.last |= context.last;
                below.context.inherit(&context);
            }
            None => self.below.push_back(Below { context, end: None }),
        }
        if end_of_message {
            self.end_message();
        }
    }

    /// Notes that the message under way ends with the last byte here.
    pub(crate) fn end_message(&mut self) {
        let end = Some(self.cursor + self.bytes.len() as u64);
        match self.below.back_mut().filter(|below| below.end.is_none()) {
            Some(below) => below.end = end,
            None => self.below.push_back(Below { context: MessageContext::NONE, end }),
        }
    }

    /// Adds what another one holds, whose layer is gone.
    pub(crate) fn append(&mut self, mut other: Self) {
        let shift = self.cursor + self.bytes.len() as u64;
        self.bytes.unsplit(other.bytes);
        let moved = |end: Option<u64>| end.map(|end| end - other.cursor + shift);
        let bounded = !self.below.is_empty();
        match self.below.back_mut().filter(|below| below.end.is_none()) {
            // The message that was under way here goes on with what is there.
            Some(open) => open.end = other.below.pop_front().and_then(|first| moved(first.end)),
            // What comes next belongs to the stream below, not to the last message here.
            None if other.below.is_empty() && bounded => {
                self.below.push_back(Below { context: MessageContext::NONE, end: None });
            }
            None => {}
        }
        for Below { context, end } in other.below {
            self.below.push_back(Below { context, end: moved(end) });
        }
    }

    /// How many bytes have arrived of the first message.
    pub(crate) fn front_len(&self) -> usize {
        let end = self.below.front().and_then(|below| below.end);
        // An end is at most as far from the cursor as there are bytes.
        end.map_or(self.bytes.len(), |end| (end - self.cursor) as usize)
    }

    /// Whether the first message has arrived in full.
    pub(crate) fn front_is_complete(&self) -> bool {
        self.below.front().is_some_and(|below| below.end.is_some())
    }

    /// Adds what is known about the first message: over a stream, nothing.
    pub(crate) fn inform(&self, context: &mut MessageContext) {
        if let Some(below) = self.below.front() {
            context.inherit(&below.context);
        }
    }

    /// What is known about the first message.
    pub(crate) fn context(&self) -> &MessageContext {
        static NONE: MessageContext = MessageContext::NONE;
        self.below.front().map_or(&NONE, |below| &below.context)
    }

    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.front_is_complete()
    }

    pub(crate) fn parse(&self, min: usize, max: usize) -> Option<Parsed<'_>> {
        let available = self.front_len();
        if available < min || self.is_empty() {
            return None;
        }
        let length = available.min(max);
        let end_of_message = self.front_is_complete() && length == available;
        Some(Parsed { data: &self.bytes[..length], context: self.context(), end_of_message })
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
        self.touched = true;
    }

    /// Goes on to the next message when the first one was used up. Until then its end stays in sight, so that no call
    /// of a framer sees two.
    pub(crate) fn leave_finished(&mut self) -> bool {
        if std::mem::take(&mut self.touched)
            && self.earmark.is_none()
            && self.below.front().is_some_and(|below| below.end == Some(self.cursor))
        {
            self.below.pop_front();
            return true;
        }
        false
    }

    /// Drops what is left of the first message, and what was promised of it.
    pub(crate) fn drop_front(&mut self) {
        self.earmark = None;
        self.advance(usize::MAX);
        self.leave_finished();
    }

    /// Drops the last message when its end has not come.
    pub(crate) fn drop_open(&mut self) {
        if self.below.back().is_some_and(|below| below.end.is_none()) {
            self.below.pop_back();
            let start = self.below.back().and_then(|below| below.end).unwrap_or(self.cursor);
            self.bytes.truncate((start - self.cursor) as usize);
        }
    }

    /// Drops everything that is here.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.below.clear();
    }

    /// Takes the first message as it is: what has arrived of it, and whether that is all.
    pub(crate) fn take_front(&mut self) -> Option<(Bytes, MessageContext, bool)> {
        if self.is_empty() {
            return None;
        }
        let (context, end_of_message) = (self.context().clone(), self.front_is_complete());
        let data = self.take(usize::MAX);
        self.leave_finished();
        Some((data, context, end_of_message))
    }

    /// How many bytes have been used since the first.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// How many bytes have been used, and how many have arrived since.
    pub(crate) fn position(&self) -> (u64, usize) {
        (self.cursor, self.bytes.len())
    }

    /// Takes what has arrived of the earmarked delivery: a part and whether the delivery is over with it.
    pub(crate) fn take_earmarked(&mut self, max: usize) -> Option<(Bytes, MessageContext, bool)> {
        let available = self.front_len().min(max);
        let earmark = self.earmark.as_mut()?;
        let length = available.min(earmark.remaining);
        if earmark.remaining != usize::MAX {
            earmark.remaining -= length;
        }
        earmark.started = true;
        let done = earmark.remaining == 0;
        let (context, end_of_message) = (earmark.context.clone(), done && earmark.end_of_message);
        if done {
            self.earmark = None;
        }
        let data = self.take(length);
        self.leave_finished();
        Some((data, context, end_of_message))
    }
}
