//! Messages that die in a queue: they expire, are rejected, or fail too often.

use std::collections::VecDeque;
use std::time::Instant;

use postroad_codec::v1_0::Error;

use super::Queue;
use crate::message::{Held, Return};

/// When messages die, and whether they are kept then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// A message dies with this failed delivery.
    pub(crate) max_deliveries: u32,
    /// Whether there is a dead-letter node.
    pub(crate) keeps_dead: bool,
    /// Whether there is a node for what is rejected or makes room.
    pub(crate) keeps_rejected: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { max_deliveries: u32::MAX, keeps_dead: false, keeps_rejected: false }
    }
}

impl Rules {
    /// The reason that is in how a consumer gives a message back.
    pub(super) fn verdict(self, how: &Return) -> Option<Reason> {
        match how {
            Return::Rejected(error) => Some(Reason::Rejected(error.clone())),
            _ => None,
        }
    }
}

/// A message that died.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dead {
    pub(crate) held: Held,
    pub(crate) reason: Reason,
}

/// What a message died of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reason {
    Expired,
    /// A consumer did not want it, and perhaps said why.
    Rejected(Option<Box<Error>>),
    /// It made room for a later one.
    Overflow,
    /// It was delivered as often as its queue allows, and always failed.
    DeliveryLimit,
}

impl Reason {
    /// Whether such messages go to the alternate exchange, where the queue has one.
    pub(crate) fn is_for_alternate(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Overflow)
    }
}

impl<W: Clone> Queue<W> {
    /// Removes what has expired among the messages that wait. Otherwise one is found when its turn comes. `true`:
    /// there are others whose time will be over. [`Queue::dispatch`] afterwards.
    pub(crate) fn sweep(&mut self) -> bool {
        let (Some(now), Some(earliest)) = (self.now, self.earliest) else { return self.earliest.is_some() };
        if earliest > now {
            return true;
        }
        let mut next: Option<Instant> = None;
        let mut expired = Vec::new();
        let mut keep = |held: &Held| {
            if held.is_expired(now) {
                expired.push(held.clone());
                return false;
            }
            next = [next, held.expires].into_iter().flatten().min();
            true
        };
        self.store.retain(&mut keep);
        self.earliest = next;
        for held in expired {
            self.bury(held, Reason::Expired);
        }
        next.is_some()
    }

    /// What has expired since it was assigned is not handed over.
    pub(super) fn expire_inbox(&mut self, id: usize) {
        let Some(now) = self.now else { return };
        let Some((taker, _)) = self.taker(id) else { return };
        if !taker.inbox.iter().any(|held| held.is_expired(now)) {
            return;
        }
        let (expired, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut taker.inbox).into_iter().partition(|held| held.is_expired(now));
        taker.inbox = kept;
        self.assigned -= expired.len();
        for held in expired {
            self.bury(held, Reason::Expired);
        }
    }

    pub(super) fn note_expiry(&mut self, held: &Held) {
        if let Some(at) = held.expires {
            self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
        }
    }

    /// Why a message that a consumer gave back goes to no other.
    pub(super) fn is_over(&self, held: &Held) -> Option<Reason> {
        if self.now.is_some_and(|now| held.is_expired(now)) {
            return Some(Reason::Expired);
        }
        (held.failures() >= self.rules.max_deliveries).then_some(Reason::DeliveryLimit)
    }

    /// Counts a message out that died, and keeps it for the dead-letter node where there is one.
    pub(super) fn bury(&mut self, held: Held, reason: Reason) {
        self.expired += u64::from(reason == Reason::Expired);
        self.count_out(&held);
        self.buried = true;
        self.trim();
        let keeps = if reason.is_for_alternate() { self.rules.keeps_rejected } else { self.rules.keeps_dead };
        if keeps {
            self.dead_lettered += 1;
            self.dead.push(Dead { held, reason });
        }
    }

    /// What goes to the dead-letter node. To be asked for whenever messages were handed out, given back or swept.
    pub(crate) fn take_dead(&mut self) -> Vec<Dead> {
        std::mem::take(&mut self.dead)
    }

    /// Counts a message for which there was no room and that nobody else has.
    pub(crate) fn drop_one(&mut self) {
        self.dropped += 1;
    }

    pub(super) fn tell_of_room(&mut self, woken: &mut Vec<W>) {
        if std::mem::take(&mut self.buried) && self.has_room() {
            self.feed(woken);
        }
    }
}
