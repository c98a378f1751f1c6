//! What waits for the application.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::framer::inbox::Inbox;
use crate::message::{Message, MessageContext, Receive};

/// Messages, or parts of messages, in the order in which they are received.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    parts: VecDeque<Message>,
    /// The identity of the message whose end has not come, 0 for none: all its parts have it (RFC 9622 9.3.2.2).
    open: u64,
}

impl Delivered {
    pub(crate) fn push(&mut self, data: Bytes, mut context: MessageContext, end_of_message: bool) {
        self.identify(&mut context, end_of_message);
        self.parts.push_back(Message::part(data, context, end_of_message));
    }

    fn identify(&mut self, context: &mut MessageContext, end_of_message: bool) {
        if self.open != 0 {
            context.set_id(self.open);
        } else if !end_of_message {
            self.open = context.identify();
        }
        if end_of_message {
            self.open = 0;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether what is here ends with the end of a message.
    pub(crate) fn is_whole(&self) -> bool {
        self.parts.back().is_none_or(|part| part.end_of_message)
    }

    pub(crate) fn clear(&mut self) {
        self.parts.clear();
    }

    /// Drops the last message when its end has not come and never will.
    pub(crate) fn drop_open(&mut self) {
        while self.parts.back().is_some_and(|part| !part.end_of_message) {
            self.parts.pop_back();
        }
        self.open = 0;
    }

    /// Gives the application what it wants, from here or from what is earmarked for it in the top inbox.
    pub(crate) fn receive(&mut self, want: &Receive, top: &mut Inbox) -> Option<Message> {
        match self.parts.front() {
            None => self.receive_earmarked(want, top),
            // Mostly a message is there as a whole.
            Some(first) if first.end_of_message && first.data.len() <= want.limit() => self.parts.pop_front(),
            Some(_) => self.take(want),
        }
    }

    fn receive_earmarked(&mut self, want: &Receive, top: &mut Inbox) -> Option<Message> {
        let earmark = top.earmark.as_ref()?;
        let available = top.front_len();
        if available < earmark.remaining && available < want.enough() {
            return None;
        }
        let (data, mut context, end_of_message) = top.take_earmarked(want.limit())?;
        self.identify(&mut context, end_of_message);
        Some(Message::part(data, context, end_of_message))
    }

    fn take(&mut self, want: &Receive) -> Option<Message> {
        let end = self.parts.iter().position(|part| part.end_of_message);
        let count = end.map_or(self.parts.len(), |last| last + 1);
        let available: usize = self.parts.iter().take(count).map(|part| part.data.len()).sum();
        if end.is_none() && available < want.enough() {
            return None;
        }
        let mut first = self.parts.pop_front()?;
        if first.data.len() > want.limit() {
            self.put_back(&mut first, want.limit());
        }
        if first.end_of_message || first.data.len() == want.limit() || count == 1 {
            return Some(first);
        }
        let mut joined = BytesMut::with_capacity(available.min(want.limit()));
        joined.extend_from_slice(&first.data);
        while !first.end_of_message && joined.len() < want.limit() {
            let Some(mut next) = self.parts.pop_front() else { break };
            let room = want.limit() - joined.len();
            if next.data.len() > room {
                self.put_back(&mut next, room);
            }
            joined.extend_from_slice(&next.data);
            first.context.last |= next.context.last;
            first.end_of_message = next.end_of_message;
        }
        first.data = joined.freeze();
        Some(first)
    }

    /// Cuts a part, and keeps the rest of it as the next one.
    fn put_back(&mut self, part: &mut Message, length: usize) {
        part.context.identify();
        let rest = part.data.split_off(length);
        self.parts.push_front(Message::part(rest, part.context.clone(), part.end_of_message));
        part.end_of_message = false;
    }
}
