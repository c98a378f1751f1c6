//! A queue: messages in order, and consumers that take turns.
//!
//! This is the model alone: it knows no lock, no connection and no clock. Whoever calls it holds the
//! lock, hands whole batches over, and afterwards wakes whom it was told to wake.
//!
//! ```text
//!  push ─▶ ready ─────┐                  ┌─ settle ─▶ gone
//!                     ├─ turns ▶ inbox ▶ consumer
//!  returned (by seq) ─┘                  └─ give back ─▶ returned
//! ```

use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use crate::budget::Lease;
use crate::filter::Filter;
use crate::message::Held;

mod admission;
mod consumers;
mod cursor;
mod dead;
mod features;
mod last_value;
mod reserved;
mod room;
mod store;
#[cfg(test)]
mod tests;
mod turns;

use consumers::Consumer;
pub(crate) use consumers::{Locked, Subscriber};
use cursor::Floors;
pub(crate) use cursor::Place;
pub(crate) use dead::{Dead, Reason, Rules};
use features::Features;
use store::Store;
use turns::Rotation;

/// A queue whose consumers and producers are woken through `W`.
#[derive(Debug)]
pub(crate) struct Queue<W> {
    limits: QueueLimits,
    rules: Rules,
    /// What it has of the broker's bytes; the copies of a topic are charged for by themselves.
    lease: Option<Lease>,
    next_seq: u64,
    /// Messages that wait.
    store: Store,
    floors: Floors,
    /// Whether some came, or came back, since everyone who wants messages was looked after.
    news: bool,
    features: Features,
    /// Whether there is more to a message that comes than to put it behind the others.
    special: bool,
    /// The messages that are taken for its consumers, where not all are.
    admission: Option<Arc<Filter>>,
    consumers: Slab<Consumer<W>>,
    next_uid: u64,
    browsers: usize,
    /// Consumers that choose among the messages, browsers aside.
    choosers: usize,
    /// Whether the only consumer, browsers aside, is to stay the only one.
    exclusive: bool,
    /// Consumers that want messages, in the order of their turns.
    rotation: Rotation,
    producers: Slab<Producer<W>>,
    starving: usize,
    /// Those whose links are suspended.
    resting: usize,
    /// The credit of all producers.
    promised: usize,
    /// Messages and bytes that the queue answers for: everything that is not settled.
    messages: usize,
    bytes: usize,
    /// Messages among these for which there is room and that have not come.
    reserved: usize,
    reserved_bytes: usize,
    /// Messages in inboxes.
    assigned: usize,
    /// Whether messages came since browsers were told.
    fresh: bool,
    enqueued: u64,
    settled: u64,
    /// Messages that made room for later ones.
    dropped: u64,
    /// Messages that later ones have replaced.
    replaced: u64,
    /// The time that the caller has told.
    now: Option<Instant>,
    /// No message that waits expires before that.
    earliest: Option<Instant>,
    expired: u64,
    /// Whether messages died since producers were told.
    buried: bool,
    /// Messages for the dead-letter node, which the caller takes.
    dead: Vec<Dead>,
    dead_lettered: u64,
}

/// How much a queue takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// How much a consumer wants. Of the bytes, the last message may take more than is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Demand {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// What a queue holds, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueueStats {
    /// Messages that wait for a consumer.
    pub ready: usize,
    /// Messages that were sent to consumers and are not settled, those of suspended links included.
    pub unsettled: usize,
    /// Messages that were posted in a transaction that is not committed.
    pub uncommitted: usize,
    /// Bytes of all these messages.
    pub bytes: usize,
    /// Links that receive from the queue, those included that browse, and those that are suspended.
    pub consumers: usize,
    /// Links that send to the queue, those that are suspended included.
    pub producers: usize,
    /// Messages that have ever come.
    pub enqueued: u64,
    /// Messages that have been settled for good.
    pub settled: u64,
    /// Messages that have ever expired.
    pub expired: u64,
    /// Messages that were moved to the dead-letter node, for whatever reason.
    pub dead_lettered: u64,
    /// Messages that were lost to a limit: dead letters for which there was no room here, and those that made room for
    /// others.
    pub dropped: u64,
    /// Messages in whose place a later one with the same key has come.
    pub replaced: u64,
}

/// A message would exceed a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Of its queue.
    Queue,
    /// Of the broker.
    Broker,
}

#[derive(Debug)]
struct Producer<W> {
    wake: W,
    /// Whether it got less credit than it could use.
    starving: bool,
    /// Whether its link is suspended.
    resting: bool,
    /// The messages that it may send.
    credit: usize,
}

impl<W: Clone> Queue<W> {
    pub(crate) fn new(limits: QueueLimits, rules: Rules, lease: Option<Lease>) -> Self {
        Self {
            limits,
            rules,
            lease,
            next_seq: 0,
            store: Store::new(1, None),
            floors: Floors::default(),
            news: false,
            features: Features::default(),
            special: false,
            admission: None,
            consumers: Slab::new(),
            next_uid: 0,
            browsers: 0,
            choosers: 0,
            exclusive: false,
            rotation: Rotation::default(),
            producers: Slab::new(),
            starving: 0,
            resting: 0,
            promised: 0,
            messages: 0,
            bytes: 0,
            reserved: 0,
            reserved_bytes: 0,
            assigned: 0,
            fresh: false,
            enqueued: 0,
            settled: 0,
            dropped: 0,
            replaced: 0,
            now: None,
            earliest: None,
            expired: 0,
            buried: false,
            dead: Vec::new(),
            dead_lettered: 0,
        }
    }

    /// Tells what time it is: from then on it is the time of whatever is done.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// Adds a message at the end. [`Queue::dispatch`] after the last one of a batch.
    pub(crate) fn push(&mut self, message: Held) -> Result<(), Full> {
        if self.special {
            return self.push_special(message);
        }
        self.make_room(message.payload.len())?;
        self.add(message);
        Ok(())
    }

    /// Adds a message at the end, and drops the oldest of those that wait to make room for it. Where that is not
    /// enough, since consumers hold the rest, it is dropped itself.
    pub(crate) fn push_over(&mut self, mut message: Held) {
        let size = message.payload.len();
        let mut outdated = None;
        if self.special {
            if !self.admits(&message) {
                return;
            }
            self.prepare(&mut message);
            outdated = self.take_outdated(&message);
        }
        while !self.fits(size) {
            let fits_alone = size <= self.limits.bytes;
            let oldest = fits_alone.then(|| self.store.pop_oldest(u8::MAX));
            self.dropped += 1;
            let Some(oldest) = oldest.flatten() else {
                outdated.into_iter().for_each(|outdated| self.keep(outdated));
                return;
            };
            self.count_out(&oldest);
        }
        self.replaced += u64::from(outdated.is_some());
        self.messages += 1;
        self.bytes += size;
        self.place(message);
    }

    /// Adds a message at the end, whether or not there is room: its caller has seen that there is.
    pub(crate) fn add(&mut self, message: Held) {
        if self.special {
            return self.add_special(message);
        }
        self.messages += 1;
        self.bytes += message.payload.len();
        self.place(message);
    }

    /// Puts a message that is counted behind the others.
    fn place(&mut self, mut message: Held) {
        message.seq = self.next_seq;
        self.next_seq += 1;
        self.enqueued += 1;
        self.fresh = true;
        self.news = true;
        self.note_expiry(&message);
        if let Some(outdated) = self.store.push(message) {
            self.replace(&outdated);
        }
        if self.special {
            self.update_flow();
        }
    }

    /// Counts a message out in whose place there is a newer one.
    fn replace(&mut self, outdated: &Held) {
        self.count_out(outdated);
        self.replaced += 1;
        self.buried = true;
        self.trim();
    }

    /// Forgets what a message took that waits no more.
    fn count_out(&mut self, held: &Held) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(held.size());
        if self.special {
            self.update_flow();
        }
    }

    /// Assigns what waits to the consumers that want it, turn by turn, and lists whom to wake.
    pub(crate) fn dispatch(&mut self, woken: &mut Vec<W>) {
        self.assign(None, woken);
        self.tell_of_room(woken);
        if std::mem::take(&mut self.fresh) && self.browsers > 0 {
            for (_, consumer) in &mut self.consumers {
                consumer.tell_browser(woken);
            }
        }
    }

    /// Forgets messages that are settled for good, and lists the producers that can go on.
    pub(crate) fn settle(&mut self, messages: usize, bytes: usize, woken: &mut Vec<W>) {
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.settled += messages as u64;
        if self.special {
            self.update_flow();
        }
        self.trim();
        if self.has_room() {
            self.feed(woken);
        }
    }

    /// Messages that made room for later ones.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Everyone who uses the queue, when it is deleted.
    pub(crate) fn users(&self) -> Vec<W> {
        let consumers = self.consumers.iter().map(|(_, consumer)| consumer.wake.clone());
        consumers.chain(self.producers.iter().map(|(_, producer)| producer.wake.clone())).collect()
    }

    /// Drops what waits: nobody can reach the queue any more.
    pub(crate) fn clear(&mut self) {
        drop(self.drain());
    }

    /// Takes out what waits, in order.
    pub(crate) fn drain(&mut self) -> Vec<Held> {
        let mut waiting = self.store.drain();
        waiting.sort_unstable_by_key(|held| held.seq);
        for held in &waiting {
            self.count_out(held);
        }
        self.trim();
        waiting
    }

    /// Messages that wait for any consumer.
    pub(crate) fn available(&self) -> usize {
        self.store.len()
    }

    /// Whether no message is left, settled ones aside.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    pub(crate) fn stats(&self) -> QueueStats {
        let ready = self.available() + self.assigned;
        QueueStats {
            ready,
            unsettled: self.messages.saturating_sub(ready + self.reserved),
            uncommitted: self.reserved,
            bytes: self.bytes,
            consumers: self.consumers.len(),
            producers: self.producers.len(),
            enqueued: self.enqueued,
            settled: self.settled,
            expired: self.expired,
            dead_lettered: self.dead_lettered,
            dropped: self.dropped,
            replaced: self.replaced,
        }
    }
}

impl Demand {
    pub(crate) fn less(self, bytes: usize) -> Self {
        Self { messages: self.messages.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }
}
