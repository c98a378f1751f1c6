//! Messages of senders, until their outcomes have been taken.

use std::task::Waker;

use slab::Slab;

use super::State;
use crate::protocol::{LinkId, TransactionId};
use crate::types::DeliveryTag;
use crate::wait::Waiters;
use crate::{LinkError, Outcome, SendError, Told};

/// Messages of a sender that have no outcome yet.
#[derive(Debug, Default)]
pub(crate) struct Sends {
    pub(crate) slots: Slab<Slot>,
    /// Messages that were handed over, ever.
    pub(crate) sent: u64,
    /// Messages whose outcome nobody waits for by name.
    pub(crate) untracked: usize,
    /// Messages under way, whether anybody waits for them or not, and the most there may be.
    pub(crate) in_flight: usize,
    pub(crate) max_in_flight: Option<usize>,
    /// The most bytes that may be kept of them; 0 is no bound.
    pub(crate) max_bytes: usize,
    /// Of these, what is left at least.
    pub(crate) room: usize,
    /// Whether somebody waits for either.
    pub(crate) held_back: bool,
    /// Of those that nobody waits for by name, the ones that are in doubt since the last sync, and those that nobody was
    /// told of by an event.
    pub(crate) doubts: usize,
    pub(crate) untold: usize,
    pub(crate) not_accepted: usize,
    pub(crate) first_not_accepted: Option<Option<Outcome>>,
    pub(crate) next_tag: u64,
    /// Outcomes that wait to be taken.
    pub(crate) told: Vec<Told>,
    pub(crate) sync_waiters: Waiters,
}

/// The outcome of one message, on its way to whoever waits for it.
#[derive(Debug)]
pub(crate) enum Slot {
    Waiting(Option<Waker>),
    Done(Result<Outcome, SendError>),
    /// It was a declare, and this is the transaction.
    Declared(TransactionId),
    /// Nobody waits any more.
    Abandoned,
    /// Its outcome is told with those of others, by its tag.
    Told {
        tag: DeliveryTag,
        /// Whether it was told already, and the message is still to be settled.
        before: bool,
    },
}

/// The token of a message without a slot.
pub(crate) const UNTRACKED: u64 = u64::MAX;

impl Sends {
    #[inline]
    pub(crate) fn finish(
        &mut self,
        key: usize,
        result: Result<Outcome, SendError>,
        by_peer: bool,
        wakes: &mut Vec<Waker>,
    ) {
        match self.slots.get_mut(key) {
            Some(slot @ Slot::Waiting(_)) => {
                if let Slot::Waiting(Some(waker)) = std::mem::replace(slot, Slot::Done(result))
                    && !wakes.last().is_some_and(|last| last.will_wake(&waker))
                {
                    wakes.push(waker);
                }
            }
            Some(Slot::Abandoned) => {
                self.slots.remove(key);
            }
            Some(&mut Slot::Told { tag, before }) => {
                self.slots.remove(key);
                self.told.push(Told { tag, result, before, settled: true, by_peer });
            }
            Some(Slot::Done(_) | Slot::Declared(_)) | None => {}
        }
    }

    pub(crate) fn fail(&mut self, error: &LinkError, wakes: &mut Vec<Waker>) {
        let waiting: Vec<usize> = self.slots.iter().map(|(key, _)| key).collect();
        for key in waiting {
            self.finish(key, Err(SendError::InDoubt(error.clone())), false, wakes);
        }
        self.sync_waiters.wake(wakes);
    }

    /// The link is kept, and another sender goes on with it: that one tells outcomes by tag.
    pub(crate) fn part(&mut self, error: &LinkError, wakes: &mut Vec<Waker>) {
        self.slots.retain(|_, slot| !matches!(slot, Slot::Told { .. }));
        self.fail(error, wakes);
    }
}

impl State {
    #[inline]
    pub(crate) fn settled(&mut self, link: LinkId, token: u64, outcome: Option<Outcome>, by_peer: bool) {
        let Self { links, by_engine, wakes, .. } = self;
        let key = by_engine.get(link.index()).copied().flatten();
        let Some(entry) = key.and_then(|key| links.get_mut(key)).filter(|entry| entry.id == link) else { return };
        let sends = &mut entry.sends;
        if std::mem::take(&mut sends.held_back) {
            entry.waiters.wake(wakes);
        }
        sends.in_flight = sends.in_flight.saturating_sub(1);
        if token == UNTRACKED {
            sends.untracked -= 1;
            if !outcome.as_ref().is_some_and(Outcome::is_accepted) {
                sends.not_accepted += 1;
                sends.first_not_accepted.get_or_insert(outcome);
            }
            if sends.untracked == 0 {
                sends.sync_waiters.wake(wakes);
            }
            return;
        }
        sends.finish(token as usize, outcome.ok_or(SendError::NoOutcome), by_peer, wakes);
        if !sends.told.is_empty() {
            entry.waiters.wake(wakes);
        }
    }

    /// A message has an outcome and is settled by hand.
    pub(crate) fn decided(&mut self, link: LinkId, token: u64, outcome: Outcome) {
        let Some(entry) = self.entry(link) else { return };
        let Some(Slot::Told { tag, before }) = entry.sends.slots.get_mut(token as usize) else { return };
        let told = Told { tag: *tag, result: Ok(outcome), before: *before, settled: false, by_peer: false };
        *before = true;
        entry.sends.told.push(told);
        self.wake_link(link);
    }

    /// Settles a message by hand; `false` where it is settled.
    pub(crate) fn settle_sent(&mut self, key: usize, tag: &DeliveryTag) -> bool {
        let Some(id) = self.links.get(key).map(|entry| entry.id) else { return false };
        let Some(token) = self.engine.settle_sent(id, tag) else { return false };
        let entry = &mut self.links[key];
        if let Some(Slot::Told { .. }) = entry.sends.slots.get(token as usize) {
            entry.sends.slots.remove(token as usize);
        }
        entry.sends.in_flight = entry.sends.in_flight.saturating_sub(1);
        if std::mem::take(&mut entry.sends.held_back) {
            entry.waiters.wake(&mut self.wakes);
        }
        self.wake_driver();
        true
    }

    /// Bounds the messages under way on a link; whoever waits may fit now.
    pub(crate) fn set_max_in_flight(&mut self, key: usize, max: Option<usize>) {
        let entry = &mut self.links[key];
        entry.sends.max_in_flight = max;
        entry.waiters.wake(&mut self.wakes);
    }

    /// Forgets a message that was given up; gives its slot back, whose waker goes outside the lock.
    pub(crate) fn withdraw(&mut self, key: usize, token: u64) -> Option<Slot> {
        let sends = &mut self.links.get_mut(key)?.sends;
        let slot = sends.slots.try_remove(token as usize)?;
        if !matches!(slot, Slot::Done(_) | Slot::Declared(_)) {
            sends.in_flight = sends.in_flight.saturating_sub(1);
        }
        self.tidy_link(key);
        Some(slot)
    }
}
