//! The room in a queue, and the producers that share it.

use super::{Demand, Full, Producer, Queue};

impl<W: Clone> Queue<W> {
    pub(crate) fn add_producer(&mut self, wake: W) -> usize {
        self.producers.insert(Producer { wake, starving: false, resting: false, credit: 0 })
    }

    /// Has a producer woken in another way from now on. It has no credit meanwhile, and wants none. One that rests has no
    /// share of the room: the others get it.
    pub(crate) fn wake_producer_by(&mut self, id: usize, wake: W, rests: bool) {
        self.note_credit(id, 0);
        self.set_starving(id, false);
        if let Some(producer) = self.producers.get_mut(id) {
            producer.wake = wake;
            self.resting = self.resting + usize::from(rests) - usize::from(producer.resting);
            producer.resting = rests;
        }
    }

    pub(crate) fn remove_producer(&mut self, id: usize) {
        if let Some(producer) = self.producers.try_remove(id) {
            self.starving -= usize::from(producer.starving);
            self.resting -= usize::from(producer.resting);
            self.promised -= producer.credit;
        }
    }

    /// Notes the credit that a producer has: others do not get the room for it.
    pub(crate) fn note_credit(&mut self, id: usize, credit: usize) {
        if let Some(producer) = self.producers.get_mut(id) {
            self.promised = self.promised + credit - producer.credit;
            producer.credit = credit;
        }
    }

    /// How many messages a producer may send from now on, `wish` at most: its share of the room. One
    /// that gets less is woken when there is room again.
    pub(crate) fn grant(&mut self, id: usize, wish: usize) -> usize {
        if !self.producers.contains(id) {
            return 0;
        }
        let mut share = self.allot(id, self.room_in_messages());
        if let Some(lease) = self.lease.as_ref().filter(|_| share < wish) {
            lease.want();
            share = self.allot(id, self.room_in_messages());
        }
        self.set_starving(id, share < wish);
        share.min(wish)
    }

    /// What a producer gets of a room for so many messages: a fair share, and no more than half of what is not promised
    /// to others, so that those who come later get something too. But one message as long as there is room for any, or
    /// they could wait for ever for those that send nothing.
    pub(crate) fn allot(&self, id: usize, room: usize) -> usize {
        if room == 0 {
            return 0;
        }
        let own = self.producers.get(id).map_or(0, |producer| producer.credit);
        let free = room.saturating_sub(self.promised - own);
        let sharers = self.producers.len() - self.resting;
        (room / sharers.max(1)).min(free.div_ceil(2)).max(1)
    }

    /// The room, in messages like those that are here.
    pub(crate) fn room_in_messages(&self) -> usize {
        let Demand { messages, bytes } =
            if self.holds_back() { self.room() } else { Demand { messages: usize::MAX, bytes: self.broker_room() } };
        let size = self.bytes.checked_div(self.messages).unwrap_or(0).max(1);
        let messages = if self.special { messages.min(self.flow_room()) } else { messages };
        messages.min(bytes / size)
    }

    /// Notes whether a producer got less credit than it could use.
    pub(crate) fn set_starving(&mut self, id: usize, starving: bool) {
        if let Some(producer) = self.producers.get_mut(id) {
            self.starving = self.starving + usize::from(starving) - usize::from(producer.starving);
            producer.starving = starving;
        }
    }

    /// Lists the producers that got less credit than they could use.
    pub(crate) fn feed(&mut self, woken: &mut Vec<W>) {
        if self.starving == 0 {
            return;
        }
        self.starving = 0;
        for (_, producer) in &mut self.producers {
            if std::mem::take(&mut producer.starving) {
                woken.push(producer.wake.clone());
            }
        }
    }

    /// What fits in before the limits are met, or before a message does that is too large for them.
    pub(crate) fn room(&self) -> Demand {
        if self.is_ring() {
            return Demand { messages: usize::MAX, bytes: self.limits.bytes.min(self.broker_room()) };
        }
        Demand {
            messages: self.limits.messages.saturating_sub(self.messages),
            bytes: self.limits.bytes.saturating_sub(self.bytes).min(self.broker_room()),
        }
    }

    /// Sees to it that a message of so many bytes fits in, and that the broker has room for it.
    pub(super) fn make_room(&mut self, size: usize) -> Result<(), Full> {
        if !self.fits(size) || !self.cover(size) {
            self.sweep();
            if !self.fits(size) {
                return Err(Full::Queue);
            }
            if !self.cover(size) {
                return Err(Full::Broker);
            }
        }
        Ok(())
    }

    pub(super) fn fits(&self, size: usize) -> bool {
        // A ring is about what waits: what a consumer has does not go round any more, and what may come does not yet.
        let (messages, bytes) = if self.is_ring() {
            (self.store.len(), self.bytes.saturating_sub(self.reserved_bytes))
        } else {
            (self.messages, self.bytes)
        };
        messages < self.limits.messages && bytes.saturating_add(size) <= self.limits.bytes
    }

    pub(super) fn has_room(&self) -> bool {
        let fits = self.messages < self.limits.messages && self.bytes < self.limits.bytes || !self.holds_back();
        fits && self.broker_room() > 0 && (!self.special || self.flow_room() > 0)
    }

    fn broker_room(&self) -> usize {
        self.lease.as_ref().map_or(usize::MAX, |lease| lease.room(self.bytes))
    }

    /// Whether the broker has room for a message more in this queue, which is then the queue's.
    pub(super) fn cover(&mut self, size: usize) -> bool {
        self.lease.as_mut().is_none_or(|lease| lease.cover(self.bytes + size))
    }

    /// Gives back to the broker what the queue no longer needs.
    pub(super) fn trim(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.trim(self.bytes);
        }
    }
}
