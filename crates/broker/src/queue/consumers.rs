//! Consumers: those that take messages, and those that look at copies.

use std::collections::VecDeque;
use std::sync::Arc;

use super::cursor::Place;
use super::store::Seeker;
use super::turns::Turn;
use super::{Demand, Queue};
use crate::filter::Filter;
use crate::message::{Held, Return};

/// Someone who wants to be a consumer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subscriber {
    /// Whether it looks at copies and takes nothing.
    pub(crate) browse: bool,
    /// Whether nobody else may take messages as long as it is there.
    pub(crate) exclusive: bool,
    /// What it wants of the messages, where that is not everything.
    pub(crate) filter: Option<Arc<Filter>>,
}

/// The queue has an exclusive consumer, or others than the one that wants to be exclusive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Locked;

#[derive(Debug)]
pub(super) struct Consumer<W> {
    pub(super) wake: W,
    /// Whether it was woken and has not come yet.
    pub(super) told: bool,
    pub(super) mode: Mode,
}

#[derive(Debug)]
pub(super) enum Mode {
    Take(Taker),
    /// The flag tells that it has read everything.
    Browse {
        seeker: Seeker,
        hungry: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct Taker {
    pub(super) seeker: Seeker,
    pub(super) inbox: VecDeque<Held>,
    pub(super) demand: Demand,
    pub(super) rotating: bool,
    /// Whether it was stopped before it had looked at everything that it may want.
    pub(super) searching: bool,
    exclusive: bool,
}

/// Consumers that choose look at so many messages at once, or fewer where a look takes long, and others have their
/// turn: the lock is held meanwhile.
pub(super) const LOOKS: usize = 1000;

impl<W: Clone> Queue<W> {
    /// Adds a consumer.
    pub(crate) fn add_consumer(&mut self, subscriber: Subscriber, wake: W) -> Result<usize, Locked> {
        let Subscriber { browse, exclusive, filter } = subscriber;
        let takers = self.consumers.len() - self.browsers;
        if !browse && (self.exclusive || exclusive && takers > 0) {
            return Err(Locked);
        }
        let chooses = filter.is_some();
        let seeker = Seeker { uid: self.next_uid, filter, ..Seeker::default() };
        self.next_uid += 1;
        let mode = if browse {
            self.browsers += 1;
            Mode::Browse { seeker, hungry: false }
        } else {
            self.exclusive = exclusive;
            if chooses {
                self.choosers += 1;
                if let Some(lowest) = self.store.index() {
                    self.floors.note(lowest);
                }
            }
            Mode::Take(Taker { seeker, exclusive, ..Taker::default() })
        };
        Ok(self.consumers.insert(Consumer { wake, told: false, mode }))
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
            Some(Mode::Take(taker)) => {
                self.exclusive &= !taker.exclusive;
                if taker.rotating {
                    let consumers = &self.consumers;
                    self.rotation
                        .leave(|turn| consumers.get(turn.id).is_none_or(|consumer| consumer.seeker().uid != turn.uid));
                }
                if taker.seeker.filter.is_some() {
                    self.choosers -= 1;
                    if self.choosers == 0 {
                        self.store.line_up();
                    }
                }
            }
            None => {}
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
        if missing.is_some() {
            let Some((taker, _)) = self.taker(id) else { return };
            taker.demand = missing;
            if !std::mem::replace(&mut taker.rotating, true) {
                let turn = Turn { id, uid: taker.seeker.uid };
                self.rotation.push(turn);
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

    /// Whether a consumer chooses among the messages, and has not looked at all that are here: it is to come again.
    pub(crate) fn is_searching(&self, id: usize) -> bool {
        match self.consumers.get(id).map(|consumer| &consumer.mode) {
            Some(Mode::Take(taker)) => taker.searching,
            _ => false,
        }
    }

    /// Takes back what was assigned to a consumer that cannot have it now, and assigns it nothing more.
    /// [`Queue::dispatch`] afterwards.
    pub(crate) fn withdraw(&mut self, id: usize) {
        match self.consumers.get_mut(id).map(|consumer| &mut consumer.mode) {
            Some(Mode::Take(taker)) => {
                taker.demand = Demand::default();
                taker.searching = false;
                let inbox = std::mem::take(&mut taker.inbox);
                self.assigned -= inbox.len();
                self.give_back(id, inbox.into_iter().map(|held| (held, Return::Unsent)));
            }
            Some(Mode::Browse { hungry, .. }) => *hungry = false,
            None => {}
        }
    }

    /// Copies what a browsing consumer has not seen, `want` at most. It is woken when more comes. `true`: it has looked at
    /// so many that others are to have their turn, and is to come again.
    pub(crate) fn browse(&mut self, id: usize, want: Demand, out: &mut VecDeque<Held>) -> bool {
        let Some(consumer) = self.consumers.get_mut(id) else { return false };
        consumer.told = false;
        let Mode::Browse { seeker, hungry } = &mut consumer.mode else { return false };
        *hungry = false;
        let (mut left, mut looks) = (want, LOOKS);
        if !left.is_some() {
            return false;
        }
        let (now, filter) = (self.now, seeker.filter.as_deref());
        *hungry = self.store.visit(&mut seeker.cursor, |held| {
            if now.is_some_and(|now| held.is_expired(now)) {
                return true;
            }
            if let Some(filter) = filter {
                looks = looks.saturating_sub(filter.effort(held));
                if !filter.admits(held) {
                    return looks > 0;
                }
            }
            left = left.less(held.payload.len());
            out.push_back(held.clone());
            left.is_some() && looks > 0
        });
        !*hungry && looks == 0
    }

    /// Lets a browsing consumer look once more at a message that it could not have.
    pub(crate) fn browse_from(&mut self, id: usize, place: Place) {
        if let Some(Mode::Browse { seeker, .. }) = self.consumers.get_mut(id).map(|consumer| &mut consumer.mode) {
            seeker.cursor.lower_to(place);
        }
    }

    /// Takes back messages that a consumer had. [`Queue::dispatch`] afterwards.
    pub(crate) fn give_back(&mut self, id: usize, messages: impl IntoIterator<Item = (Held, Return)>) {
        let uid = self.consumers.get(id).map_or(u64::MAX, |consumer| consumer.seeker().uid);
        let mut lowest = u64::MAX;
        for (mut held, how) in messages {
            let consumers = &self.consumers;
            let (before, room) = (held.size(), self.limits.bytes.saturating_sub(self.bytes));
            let reason = self.rules.verdict(&how);
            held.mark(how, uid, room, |known| consumers.iter().any(|(_, consumer)| consumer.seeker().uid == known));
            self.bytes = (self.bytes + held.size()).saturating_sub(before);
            if let Some(reason) = reason.or_else(|| self.is_over(&held)) {
                self.bury(held, reason);
                continue;
            }
            self.note_expiry(&held);
            let seq = held.seq;
            match self.store.put_back(held) {
                Ok(()) => lowest = lowest.min(seq),
                Err(outdated) => self.replace(&outdated),
            }
        }
        // They may have grown, as far as the queue's own limit allows.
        self.cover(0);
        if lowest < u64::MAX {
            (self.fresh, self.news) = (true, true);
            self.floors.note(lowest);
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

    pub(super) fn taker(&mut self, id: usize) -> Option<(&mut Taker, &mut bool)> {
        match self.consumers.get_mut(id) {
            Some(Consumer { mode: Mode::Take(taker), told, .. }) => Some((taker, told)),
            _ => None,
        }
    }
}

impl<W: Clone> Consumer<W> {
    pub(super) fn seeker(&self) -> &Seeker {
        match &self.mode {
            Mode::Take(taker) => &taker.seeker,
            Mode::Browse { seeker, .. } => seeker,
        }
    }

    /// Wakes one that has looked at everything, as there is more.
    pub(super) fn tell_browser(&mut self, woken: &mut Vec<W>) {
        if matches!(self.mode, Mode::Browse { hungry: true, .. }) && !self.told {
            self.told = true;
            woken.push(self.wake.clone());
        }
    }
}
