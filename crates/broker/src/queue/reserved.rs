//! Room for messages that may come later: those that were posted in a transaction and are not committed.

use super::{Full, Queue};
use crate::message::Held;

impl<W: Clone> Queue<W> {
    /// Takes the room for a message. It counts as if the message were here, so that it cannot fail to fit in when it comes
    /// by [`Queue::add_reserved`].
    ///
    /// What goes for it when it comes stays until then: perhaps it never does.
    pub(crate) fn reserve(&mut self, message: &Held) -> Result<(), Full> {
        let size = message.payload.len();
        if self.special && (self.is_ring() || self.store.is_replaced_by(message)) {
            if size > self.limits.bytes || self.limits.messages == 0 {
                return Err(Full::Queue);
            }
            if !self.cover(size) {
                return Err(Full::Broker);
            }
        } else {
            self.make_room(size)?;
        }
        self.messages += 1;
        self.bytes += size;
        self.reserved += 1;
        self.reserved_bytes += size;
        Ok(())
    }

    /// Adds a message at the end for which there is room. [`Queue::dispatch`] after the last one of a batch.
    pub(crate) fn add_reserved(&mut self, mut message: Held) {
        let size = message.payload.len();
        let mut stays = true;
        if self.special {
            stays = self.admits(&message);
            if stays {
                self.prepare(&mut message);
                // Its own room is reserved until there is room among what waits.
                stays = self.make_way(&message);
            }
        }
        self.reserved = self.reserved.saturating_sub(1);
        self.reserved_bytes = self.reserved_bytes.saturating_sub(size);
        if stays {
            self.place(message);
        } else {
            self.count_out(&message);
            self.buried = true;
            self.trim();
        }
    }

    /// Gives back the room for messages that do not come, and lists the producers that can go on.
    pub(crate) fn unreserve(&mut self, messages: usize, bytes: usize, woken: &mut Vec<W>) {
        self.reserved = self.reserved.saturating_sub(messages);
        self.reserved_bytes = self.reserved_bytes.saturating_sub(bytes);
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
