//! The room in a queue, and the producers that share it.

use super::{Demand, Producer, Queue};

impl<W: Clone> Queue<W> {
    pub(crate) fn add_producer(&mut self, wake: W) -> usize {
        self.producers.insert(Producer { wake, starving: false })
    }

    pub(crate) fn remove_producer(&mut self, id: usize) {
        if let Some(producer) = self.producers.try_remove(id) {
            self.starving -= usize::from(producer.starving);
        }
    }

    /// How many messages a producer may send from now on, `wish` at most: its share of the room. One
    /// that gets less is woken when there is room again.
    pub(crate) fn grant(&mut self, id: usize, wish: usize) -> usize {
        let producers = self.producers.len().max(1);
        if !self.producers.contains(id) {
            return 0;
        }
        let mut share = self.share(producers);
        if let Some(lease) = self.lease.as_ref().filter(|_| share < wish) {
            lease.want();
            share = self.share(producers);
        }
        self.set_starving(id, share < wish);
        share.min(wish)
    }

    /// The part of the room that each of several has, in messages like those that are here.
    fn share(&self, producers: usize) -> usize {
        let Demand { messages, bytes } = self.room();
        let size = self.bytes.checked_div(self.messages).unwrap_or(0).max(1);
        let room = messages.min(bytes / size);
        if room == 0 { 0 } else { (room / producers).max(1) }
    }

    /// Notes whether a producer got less credit than it could use.
    pub(crate) fn set_starving(&mut self, id: usize, starving: bool) {
        if let Some(producer) = self.producers.get_mut(id) {
            self.starving = self.starving + usize::from(starving) - usize::from(producer.starving);
            producer.starving = starving;
        }
    }

    /// How many links send to the queue.
    pub(crate) fn producers(&self) -> usize {
        self.producers.len()
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

    /// What fits in before the limits are met.
    pub(crate) fn room(&self) -> Demand {
        Demand {
            messages: self.limits.messages.saturating_sub(self.messages),
            bytes: self.limits.bytes.saturating_sub(self.bytes).min(self.broker_room()),
        }
    }

    pub(super) fn fits(&self, size: usize) -> bool {
        self.messages < self.limits.messages && self.bytes.saturating_add(size) <= self.limits.bytes
    }

    pub(super) fn has_room(&self) -> bool {
        self.messages < self.limits.messages && self.bytes < self.limits.bytes && self.broker_room() > 0
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
