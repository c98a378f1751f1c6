//! The turns of consumers that want messages.

use std::collections::VecDeque;

use super::consumers::{Consumer, LOOKS, Mode};
use super::dead::Reason;
use super::store::Found;
use super::{Demand, Queue};
use crate::message::Held;

/// Consumers that want messages, in the order of their turns. Those that have left are found out when it would be theirs.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    /// Each by its place and by the name that no other gets.
    turns: VecDeque<Turn>,
    gone: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) id: usize,
    pub(super) uid: u64,
}

/// A consumer gets at most this many messages in its turn.
const QUANTUM: usize = 64;

/// Those that have left are cleared out once there are more than this, and more than of others.
const MANY: usize = 16;

/// How a turn ended.
struct Served {
    got: usize,
    wants: bool,
    /// It is to look on by itself.
    searching: bool,
}

impl Rotation {
    pub(super) fn push(&mut self, turn: Turn) {
        self.turns.push_back(turn);
    }

    /// Takes note that one that has a turn has left.
    pub(super) fn leave(&mut self, is_gone: impl Fn(Turn) -> bool) {
        self.gone += 1;
        if self.gone > MANY && self.gone > self.turns.len() / 2 {
            self.turns.retain(|turn| !is_gone(*turn));
            self.gone = 0;
        }
    }

    fn len(&self) -> usize {
        self.turns.len() - self.gone
    }

    #[cfg(test)]
    pub(super) fn ids(&self) -> impl Iterator<Item = usize> {
        self.turns.iter().map(|turn| turn.id)
    }
}

impl<W: Clone> Queue<W> {
    /// Gives turns until nothing waits or nobody wants more. In each round a turn is worth an equal share of
    /// what waits, so that ten messages for ten consumers go to all ten, and a thousand go in few turns.
    pub(super) fn assign(&mut self, caller: Option<usize>, woken: &mut Vec<W>) {
        let mut expired = Vec::new();
        if let Some(id) = caller.filter(|_| !self.news) {
            // What waits is not for the others, who have been looked after.
            let mut looks = LOOKS;
            self.serve(id, usize::MAX, &mut looks, &mut expired);
        } else {
            self.serve_all(caller, &mut expired, woken);
            self.news = false;
        }
        for held in expired {
            self.bury(held, Reason::Expired);
        }
    }

    fn serve_all(&mut self, caller: Option<usize>, expired: &mut Vec<Held>, woken: &mut Vec<W>) {
        let mut passed = Vec::new();
        let (mut turns, mut share) = (0, 0);
        // However many they are, those that choose share what may be looked at under one lock: who gets nothing of it comes
        // by itself, and has as much then.
        let (mut looks, mut own) = (LOOKS, LOOKS);
        while self.available() > 0 {
            if turns == 0 {
                turns = self.rotation.len();
                share = self.available().checked_div(turns).unwrap_or(0).clamp(1, QUANTUM);
            }
            let Some(turn) = self.rotation.turns.pop_front() else { break };
            if !self.has(turn) {
                self.rotation.gone -= 1;
                continue;
            }
            turns = turns.saturating_sub(1);
            let Served { got, wants, searching } = {
                let looks = if caller == Some(turn.id) { &mut own } else { &mut looks };
                self.serve(turn.id, share, looks, expired)
            };
            match (wants, got, searching) {
                (true, 0, _) | (true, _, true) => passed.push(turn),
                (true, _, false) => self.rotation.turns.push_back(turn),
                (false, ..) => {
                    if let Some((taker, _)) = self.taker(turn.id) {
                        taker.rotating = false;
                    }
                }
            }
            let consumer = &mut self.consumers[turn.id];
            if (got > 0 || searching) && !consumer.told && caller != Some(turn.id) {
                consumer.told = true;
                woken.push(consumer.wake.clone());
            }
        }
        // What waits is not for these; their turn stays.
        for turn in passed.into_iter().rev() {
            self.rotation.turns.push_front(turn);
        }
    }

    /// Puts up to so many messages into the inbox of a consumer. What has expired is for nobody.
    fn serve(&mut self, id: usize, share: usize, looks: &mut usize, expired: &mut Vec<Held>) -> Served {
        let none = Served { got: 0, wants: false, searching: false };
        let Some(Consumer { mode: Mode::Take(taker), .. }) = self.consumers.get_mut(id) else { return none };
        let mut got = 0;
        taker.searching = false;
        while got < share && taker.demand.is_some() {
            let held = match self.store.next_for(&mut taker.seeker, &self.floors, looks) {
                Found::Message(held) => held,
                Found::Nothing => break,
                Found::Unfinished => {
                    taker.searching = true;
                    break;
                }
            };
            if self.now.is_some_and(|now| held.is_expired(now)) {
                expired.push(held);
                continue;
            }
            taker.demand = taker.demand.less(held.payload.len());
            taker.inbox.push_back(held);
            got += 1;
        }
        self.assigned += got;
        Served { got, wants: taker.demand.is_some(), searching: taker.searching }
    }

    /// Whether the consumer whose turn it is has not left.
    pub(super) fn has(&self, turn: Turn) -> bool {
        self.consumers.get(turn.id).is_some_and(|consumer| consumer.seeker().uid == turn.uid)
    }
}

impl Demand {
    /// Whether anything is wanted.
    pub(crate) fn is_some(self) -> bool {
        self.messages > 0 && self.bytes > 0
    }
}
