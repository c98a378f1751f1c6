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

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use slab::Slab;

use crate::budget::Lease;
use crate::message::{Held, Return};

mod dead;
mod reserved;
mod room;
#[cfg(test)]
mod tests;

pub(crate) use dead::{Dead, Reason, Rules};

/// A queue whose consumers and producers are woken through `W`.
#[derive(Debug)]
pub(crate) struct Queue<W> {
    limits: QueueLimits,
    rules: Rules,
    /// What it has of the broker's bytes; the copies of a topic are charged for by themselves.
    lease: Option<Lease>,
    next_seq: u64,
    /// Messages that nobody has had yet, by rising seq.
    ready: VecDeque<Held>,
    /// Messages that were given back.
    returned: BTreeMap<u64, Held>,
    consumers: Slab<Consumer<W>>,
    next_uid: u64,
    browsers: usize,
    /// Consumers that want messages, in the order of their turns.
    rotation: VecDeque<usize>,
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
    /// Messages in inboxes.
    assigned: usize,
    /// Whether messages came since browsers were told.
    fresh: bool,
    enqueued: u64,
    settled: u64,
    /// Messages that made room for later ones.
    dropped: u64,
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
    /// Messages that were lost to a limit: dead letters for which there was no room here.
    pub dropped: u64,
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
struct Consumer<W> {
    uid: u64,
    wake: W,
    /// Whether it was woken and has not come yet.
    told: bool,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Take(Taker),
    /// Reads on from this seq; the flag tells that it has read everything.
    Browse {
        next: u64,
        hungry: bool,
    },
}

#[derive(Debug, Default)]
struct Taker {
    inbox: VecDeque<Held>,
    demand: Demand,
    rotating: bool,
    /// No message below this seq was given back that this consumer may have.
    cursor: u64,
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

/// A consumer gets at most this many messages in its turn.
const QUANTUM: usize = 64;

impl<W: Clone> Queue<W> {
    pub(crate) fn new(limits: QueueLimits, rules: Rules, lease: Option<Lease>) -> Self {
        Self {
            limits,
            rules,
            lease,
            next_seq: 0,
            ready: VecDeque::new(),
            returned: BTreeMap::new(),
            consumers: Slab::new(),
            next_uid: 0,
            browsers: 0,
            rotation: VecDeque::new(),
            producers: Slab::new(),
            starving: 0,
            resting: 0,
            promised: 0,
            messages: 0,
            bytes: 0,
            reserved: 0,
            assigned: 0,
            fresh: false,
            enqueued: 0,
            settled: 0,
            dropped: 0,
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
        self.make_room(message.payload.len())?;
        self.add(message);
        Ok(())
    }

    /// Adds a message at the end, and drops the oldest of those that wait to make room for it. Where that is not
    /// enough, since consumers hold the rest, it is dropped itself.
    pub(crate) fn push_over(&mut self, message: Held) {
        let size = message.payload.len();
        while !self.fits(size) {
            let fits_alone = size <= self.limits.bytes;
            let oldest = fits_alone.then(|| next_for(&mut self.ready, &mut self.returned, u64::MAX, &mut 0));
            let Some(oldest) = oldest.flatten() else {
                self.dropped += 1;
                return;
            };
            self.messages -= 1;
            self.bytes = self.bytes.saturating_sub(oldest.size());
            self.dropped += 1;
        }
        self.add(message);
    }

    /// Adds a message at the end, whether or not there is room: its caller has seen that there is.
    pub(crate) fn add(&mut self, message: Held) {
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
        self.note_expiry(&message);
        self.ready.push_back(message);
    }

    /// Assigns what waits to the consumers that want it, turn by turn, and lists whom to wake.
    pub(crate) fn dispatch(&mut self, woken: &mut Vec<W>) {
        self.assign(None, woken);
        self.tell_of_room(woken);
        if std::mem::take(&mut self.fresh) && self.browsers > 0 {
            for (_, consumer) in &mut self.consumers {
                if matches!(consumer.mode, Mode::Browse { hungry: true, .. }) && !consumer.told {
                    consumer.told = true;
                    woken.push(consumer.wake.clone());
                }
            }
        }
    }

    /// Gives a consumer what was assigned to it and what it can have beyond that, `want` in all. What it
    /// wants and does not get is assigned to it later when it is `standing`.
    pub(crate) fn take(
        &mut self,
        id: usize,
        want: Demand,
        standing: bool,
        out: &mut VecDeque<Held>,
        woken: &mut Vec<W>,
    ) {
        let before = out.len();
        let missing = self.empty_inbox(id, want, out);
        if missing.messages > 0 && missing.bytes > 0 {
            let Some((taker, _)) = self.taker(id) else { return };
            taker.demand = missing;
            if !std::mem::replace(&mut taker.rotating, true) {
                self.rotation.push_back(id);
            }
            if self.available() > 0 {
                self.assign(Some(id), woken);
                let left = self.taker(id).map(|(taker, _)| taker.demand).unwrap_or_default();
                self.empty_inbox(id, want, out);
                if let Some((taker, _)) = self.taker(id) {
                    taker.demand = left;
                }
            }
        }
        self.tell_of_room(woken);
        if let Some((taker, told)) = self.taker(id) {
            *told = false;
            if !standing {
                taker.demand = Demand::default();
            }
        }
        debug_assert!(out.len() >= before);
    }

    /// Takes back what was assigned to a consumer that cannot have it now, and assigns it nothing more.
    /// [`Queue::dispatch`] afterwards.
    pub(crate) fn withdraw(&mut self, id: usize) {
        match self.consumers.get_mut(id).map(|consumer| &mut consumer.mode) {
            Some(Mode::Take(taker)) => {
                taker.demand = Demand::default();
                let inbox = std::mem::take(&mut taker.inbox);
                self.assigned -= inbox.len();
                self.give_back(id, inbox.into_iter().map(|held| (held, Return::Unsent)));
            }
            Some(Mode::Browse { hungry, .. }) => *hungry = false,
            None => {}
        }
    }

    /// Copies what a browsing consumer has not seen, `want` at most. It is woken when more comes.
    pub(crate) fn browse(&mut self, id: usize, want: Demand, out: &mut VecDeque<Held>) {
        let Some(consumer) = self.consumers.get_mut(id) else { return };
        consumer.told = false;
        let Mode::Browse { next, hungry } = &mut consumer.mode else { return };
        let mut left = want;
        let start = self.ready.partition_point(|held| held.seq < *next);
        let mut ready = self.ready.range(start..).peekable();
        let mut returned = self.returned.range(*next..).map(|(_, held)| held).peekable();
        *hungry = false;
        while left.messages > 0 && left.bytes > 0 {
            let from_returned = match (ready.peek(), returned.peek()) {
                (Some(ready), Some(returned)) => returned.seq < ready.seq,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (None, None) => {
                    *hungry = true;
                    return;
                }
            };
            let held = if from_returned { returned.next() } else { ready.next() };
            let held = held.expect("peeked at it");
            *next = held.seq + 1;
            if self.now.is_some_and(|now| held.is_expired(now)) {
                continue;
            }
            left = left.less(held.payload.len());
            out.push_back(held.clone());
        }
    }

    /// Lets a browsing consumer read on from a message that it could not have.
    pub(crate) fn browse_from(&mut self, id: usize, seq: u64) {
        if let Some(Mode::Browse { next, .. }) = self.consumers.get_mut(id).map(|consumer| &mut consumer.mode) {
            *next = seq.min(*next);
        }
    }

    /// Takes back messages that a consumer had. [`Queue::dispatch`] afterwards.
    pub(crate) fn give_back(&mut self, id: usize, messages: impl IntoIterator<Item = (Held, Return)>) {
        let uid = self.consumers.get(id).map_or(u64::MAX, |consumer| consumer.uid);
        let mut lowest = u64::MAX;
        for (mut held, how) in messages {
            let consumers = &self.consumers;
            let (before, room) = (held.size(), self.limits.bytes.saturating_sub(self.bytes));
            let reason = self.rules.verdict(&how);
            held.mark(how, uid, room, |known| consumers.iter().any(|(_, consumer)| consumer.uid == known));
            self.bytes = (self.bytes + held.size()).saturating_sub(before);
            if let Some(reason) = reason.or_else(|| self.is_over(&held)) {
                self.bury(held, reason);
                continue;
            }
            self.note_expiry(&held);
            lowest = lowest.min(held.seq);
            self.returned.insert(held.seq, held);
        }
        // They may have grown, as far as the queue's own limit allows.
        self.cover(0);
        if lowest == u64::MAX {
            return;
        }
        self.fresh = true;
        for (_, consumer) in &mut self.consumers {
            if let Mode::Take(taker) = &mut consumer.mode {
                taker.cursor = taker.cursor.min(lowest);
            }
        }
    }

    /// Forgets messages that are settled for good, and lists the producers that can go on.
    pub(crate) fn settle(&mut self, messages: usize, bytes: usize, woken: &mut Vec<W>) {
        self.messages = self.messages.saturating_sub(messages);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.settled += messages as u64;
        self.trim();
        if self.has_room() {
            self.feed(woken);
        }
    }

    pub(crate) fn add_consumer(&mut self, browse: bool, wake: W) -> usize {
        let uid = self.next_uid;
        self.next_uid += 1;
        self.browsers += usize::from(browse);
        let mode = if browse { Mode::Browse { next: 0, hungry: false } } else { Mode::Take(Taker::default()) };
        self.consumers.insert(Consumer { uid, wake, told: false, mode })
    }

    /// Has a consumer woken in another way from now on.
    pub(crate) fn wake_consumer_by(&mut self, id: usize, wake: W) {
        if let Some(consumer) = self.consumers.get_mut(id) {
            (consumer.wake, consumer.told) = (wake, false);
        }
    }

    /// Removes a consumer; what was assigned to it is free again. [`Queue::dispatch`] afterwards.
    pub(crate) fn remove_consumer(&mut self, id: usize) {
        self.withdraw(id);
        match self.consumers.try_remove(id).map(|consumer| consumer.mode) {
            Some(Mode::Browse { .. }) => self.browsers -= 1,
            Some(Mode::Take(taker)) if taker.rotating => self.rotation.retain(|rotating| *rotating != id),
            Some(Mode::Take(_)) | None => {}
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
        let returned = std::mem::take(&mut self.returned).into_values();
        let mut waiting: Vec<Held> = returned.chain(std::mem::take(&mut self.ready)).collect();
        waiting.sort_unstable_by_key(|held| held.seq);
        self.messages = self.messages.saturating_sub(waiting.len());
        self.bytes = self.bytes.saturating_sub(waiting.iter().map(Held::size).sum());
        self.trim();
        waiting
    }

    /// Messages that wait for any consumer.
    pub(crate) fn available(&self) -> usize {
        self.ready.len() + self.returned.len()
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
        }
    }

    /// Gives turns until nothing waits or nobody wants more. In each round a turn is worth an equal share of
    /// what waits, so that ten messages for ten consumers go to all ten, and a thousand go in few turns.
    fn assign(&mut self, caller: Option<usize>, woken: &mut Vec<W>) {
        let mut passed = Vec::new();
        let (mut turns, mut share) = (0, 0);
        let mut expired = Vec::new();
        while self.available() > 0 {
            if turns == 0 {
                turns = self.rotation.len();
                share = self.available().checked_div(turns).unwrap_or(0).clamp(1, QUANTUM);
            }
            let Some(id) = self.rotation.pop_front() else { break };
            turns -= 1;
            let consumer = &mut self.consumers[id];
            let Mode::Take(taker) = &mut consumer.mode else { continue };
            let mut got = 0;
            while got < share && taker.demand.messages > 0 && taker.demand.bytes > 0 {
                let next = next_for(&mut self.ready, &mut self.returned, consumer.uid, &mut taker.cursor);
                let Some(held) = next else { break };
                if self.now.is_some_and(|now| held.is_expired(now)) {
                    expired.push(held);
                    continue;
                }
                taker.demand = taker.demand.less(held.payload.len());
                taker.inbox.push_back(held);
                got += 1;
            }
            self.assigned += got;
            let wants = taker.demand.messages > 0 && taker.demand.bytes > 0;
            taker.rotating = wants;
            match (wants, got) {
                (true, 0) => passed.push(id),
                (true, _) => self.rotation.push_back(id),
                (false, _) => {}
            }
            if got > 0 && !consumer.told && caller != Some(id) {
                consumer.told = true;
                woken.push(consumer.wake.clone());
            }
        }
        // What waits is not for these; their turn stays.
        for id in passed.into_iter().rev() {
            self.rotation.push_front(id);
        }
        for held in expired {
            self.bury(held, Reason::Expired);
        }
    }

    fn empty_inbox(&mut self, id: usize, want: Demand, out: &mut VecDeque<Held>) -> Demand {
        self.expire_inbox(id);
        let Some((taker, _)) = self.taker(id) else { return Demand::default() };
        let missing = taker.inbox.iter().fold(want, |left, held| left.less(held.payload.len()));
        let taken = taker.inbox.len();
        if out.is_empty() {
            std::mem::swap(out, &mut taker.inbox);
        } else {
            out.append(&mut taker.inbox);
        }
        taker.demand = Demand::default();
        self.assigned -= taken;
        missing
    }

    fn taker(&mut self, id: usize) -> Option<(&mut Taker, &mut bool)> {
        match self.consumers.get_mut(id) {
            Some(Consumer { mode: Mode::Take(taker), told, .. }) => Some((taker, told)),
            _ => None,
        }
    }
}

impl Demand {
    pub(crate) fn less(self, bytes: usize) -> Self {
        Self { messages: self.messages.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }
}

/// The first message in order that a consumer may have. Only one that was given back can be one that it
/// may not.
fn next_for(
    ready: &mut VecDeque<Held>,
    returned: &mut BTreeMap<u64, Held>,
    uid: u64,
    cursor: &mut u64,
) -> Option<Held> {
    if !returned.is_empty() {
        let found = returned.range(*cursor..).find(|(_, held)| held.is_for(uid)).map(|(seq, _)| *seq);
        *cursor = found.unwrap_or(u64::MAX);
        if let Some(seq) = found
            && ready.front().is_none_or(|front| seq < front.seq)
        {
            *cursor = seq + 1;
            return returned.remove(&seq);
        }
    }
    ready.pop_front()
}
