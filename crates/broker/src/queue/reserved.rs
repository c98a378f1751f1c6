//! Room for messages that may come later: those that were posted in a transaction and are not committed.

use super::{Full, Queue};
use crate::message::Held;

impl<W: Clone> Queue<W> {
    /// Takes the room for a message of so many bytes. It counts as if the message were here, so that it cannot fail to fit
    /// in when it comes by [`Queue::add_reserved`].
    pub(crate) fn reserve(&mut self, size: usize) -> Result<(), Full> {
        // The oldest of all priorities make room, since nobody knows which one comes.
        if self.is_ring() {
            if !self.clear_for(size, u8::MAX)? {
                return Err(Full::Queue);
            }
        } else {
            self.make_room(size)?;
        }
        self.messages += 1;
        self.bytes += size;
        self.reserved += 1;
        Ok(())
    }

    /// Adds a message at the end for which there is room. [`Queue::dispatch`] after the last one of a batch.
    pub(crate) fn add_reserved(&mut self, mut message: Held) {
        self.reserved = self.reserved.saturating_sub(1);
        if self.special {
            if !self.admits(&message) {
                return self.count_out(&message);
            }
            self.prepare(&mut message);
        }
        self.place(message);
    }

    /// Gives back the room for messages that do not come, and lists the producers that can go on.
    pub(crate) fn unreserve(&mut self, messages: usize, bytes: usize, woken: &mut Vec<W>) {
        self.reserved = self.reserved.saturating_sub(messages);
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.special {
            self.update_flow();
        }
        self.trim();
        if self.has_room() {
            self.feed(woken);
        }
    }
}
