//! The deliveries of a sending link that are part of transactions: acquired in one, or with an outcome that waits for its
//! commit (AMQP 1.0 part 4, 4.4.2 to 4.4.4).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use postroad_amqp::v1_0::{Connection, Update};
use postroad_codec::v1_0::{DeliveryNumber, DeliveryState, Outcome, TransactionId, TransactionalState};

use crate::message::{Held, Return};
use crate::outgoing::Outgoing;
use crate::transaction::{Orphan, TxnKey};

/// What a link knows of them.
#[derive(Debug, Default)]
pub(crate) struct Provisional {
    /// By the key of the message among those that are not settled.
    deliveries: HashMap<usize, Part>,
    /// The same messages by transaction: a discharge looks at no other's.
    transactions: HashMap<TxnKey, HashSet<usize>>,
    /// Messages that were sent settled in a transaction: settled for good with its commit.
    presettled: HashMap<TxnKey, Vec<Held>>,
    /// The transaction in which messages are acquired from now on.
    acquires: Option<(TxnKey, DeliveryState)>,
}

/// One delivery's part in a transaction.
#[derive(Debug)]
struct Part {
    key: TxnKey,
    delivery: DeliveryNumber,
    /// Whether the acquisition is part of it, and not the outcome alone.
    acquired: bool,
    /// What a commit applies.
    outcome: Option<Outcome>,
    /// Whether the consumer has settled it.
    settled: bool,
}

/// What a consumer asks to become of a delivery with a commit.
#[derive(Debug)]
pub(crate) struct Retirement {
    message: usize,
    delivery: DeliveryNumber,
    pub(crate) id: TransactionId,
    outcome: Option<Outcome>,
    pub(crate) settled: bool,
}

/// The delivery is part of another transaction that is open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere;

impl Retirement {
    #[cold]
    pub(crate) fn new(message: usize, delivery: DeliveryNumber, state: TransactionalState, settled: bool) -> Self {
        Self { message, delivery, id: state.txn_id, outcome: state.outcome, settled }
    }

    /// What an update tells of a delivery that stays unsettled.
    #[cold]
    pub(crate) fn of(update: Update, message: usize) -> Option<Self> {
        match update.state {
            Some(DeliveryState::Transactional(state)) => Some(Self::new(message, update.delivery, *state, false)),
            _ => None,
        }
    }
}

impl Provisional {
    /// Whether no delivery is part of a transaction.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Forgets a delivery that has an outcome outside any transaction.
    #[cold]
    pub(crate) fn forget(&mut self, message: usize) {
        let Some(part) = self.deliveries.remove(&message) else { return };
        if let Entry::Occupied(mut messages) = self.transactions.entry(part.key) {
            messages.get_mut().remove(&message);
            if messages.get().is_empty() {
                messages.remove();
            }
        }
    }

    /// The part of a delivery, in this transaction where it has none yet.
    fn part(&mut self, message: usize, key: TxnKey, delivery: DeliveryNumber) -> &mut Part {
        self.deliveries.entry(message).or_insert_with(|| {
            self.transactions.entry(key).or_default().insert(message);
            Part { key, delivery, acquired: false, outcome: None, settled: false }
        })
    }

    /// The state of what is sent now.
    #[inline]
    pub(crate) fn state(&self) -> Option<DeliveryState> {
        self.acquires.as_ref().map(|(_, state)| state.clone())
    }

    /// Has messages acquired in a transaction from now on, or in none.
    pub(crate) fn acquire_in(&mut self, key: Option<TxnKey>) {
        self.acquires = key.map(|key| {
            let state = TransactionalState { txn_id: key.id(), outcome: None };
            (key, DeliveryState::Transactional(Box::new(state)))
        });
    }

    /// Notes a message that was acquired in the transaction that [`Provisional::state`] told.
    #[cold]
    pub(crate) fn acquired(&mut self, message: usize, delivery: DeliveryNumber) {
        if let Some((key, _)) = self.acquires {
            self.part(message, key, delivery).acquired = true;
        }
    }

    /// As [`Provisional::acquired`], for one that was sent settled.
    #[cold]
    pub(crate) fn acquired_settled(&mut self, held: Held) {
        if let Some((key, _)) = self.acquires {
            self.presettled.entry(key).or_default().push(held);
        }
    }

    /// What was sent settled in transactions that are open.
    pub(crate) fn drain_presettled(&mut self) -> impl Iterator<Item = Held> {
        self.presettled.drain().flat_map(|(_, held)| held)
    }

    /// Takes everything out of its transaction. Answers the messages that are not the consumer's any more, since they were
    /// acquired there, and how they come back.
    pub(crate) fn undo(&mut self) -> Vec<(usize, Return)> {
        self.acquires = None;
        self.transactions.clear();
        let parts = std::mem::take(&mut self.deliveries);
        parts.into_iter().filter(|(_, part)| part.acquired).map(|(message, _)| (message, Return::Failed)).collect()
    }

    fn take(&mut self, key: TxnKey) -> Vec<(usize, Part)> {
        let messages = self.transactions.remove(&key).unwrap_or_default();
        let taken = messages.into_iter().filter_map(|message| Some((message, self.deliveries.remove(&message)?)));
        let mut taken: Vec<(usize, Part)> = taken.collect();
        // Neighbours are settled as one range.
        taken.sort_unstable_by_key(|(_, part)| part.delivery.0);
        taken
    }
}

impl Outgoing {
    /// Takes note of an outcome that waits for a commit.
    pub(crate) fn retire(&mut self, key: TxnKey, retirement: Retirement) -> Result<(), Elsewhere> {
        let Retirement { message, delivery, outcome, settled, .. } = retirement;
        if !self.has(message) {
            return Ok(());
        }
        let part = self.provisional.part(message, key, delivery);
        if part.key != key {
            return Err(Elsewhere);
        }
        part.outcome = outcome.or_else(|| part.outcome.take());
        part.settled |= settled;
        Ok(())
    }

    /// Gives a delivery back that was settled in a transaction of which nothing is left: the default outcome holds (4.4.4).
    pub(crate) fn retire_in_vain(&mut self, retirement: &Retirement) {
        if retirement.settled {
            self.provisional.forget(retirement.message);
            self.conclude(retirement.message, Some(Return::Failed));
        }
    }

    /// Ends a transaction for the deliveries of this link. The queue hears of it at the next look.
    pub(crate) fn discharge(&mut self, key: TxnKey, commit: bool, engine: &mut Connection) {
        // The engine may have given it up, while more is to be heard of its deliveries before it is suspended.
        let attached = engine.role_of(self.id).is_some();
        if self.provisional.acquires.as_ref().is_some_and(|(other, _)| *other == key) {
            self.provisional.acquire_in(None);
        }
        for held in self.provisional.presettled.remove(&key).unwrap_or_default() {
            self.give(held, if commit { None } else { Some(Return::Released) });
        }
        for (message, part) in self.provisional.take(key) {
            let Part { delivery, acquired, outcome, settled, .. } = part;
            let state = match (commit, outcome) {
                (true, Some(outcome)) => Some(DeliveryState::from(outcome)),
                // Acquired for good, and still the consumer's to settle.
                (true, None) if !settled => continue,
                // Settled without an outcome: the default one.
                (true, None) => None,
                (false, _) if acquired => Some(DeliveryState::Released),
                (false, _) if settled => None,
                // Live again, as before the consumer told its outcome.
                (false, _) => {
                    if attached {
                        engine.sender(self.id).revert(delivery);
                    }
                    continue;
                }
            };
            if attached
                && !settled
                && let Some(state) = &state
            {
                engine.sender(self.id).settle_as(delivery, state.clone());
            }
            let how = self.how(state);
            self.conclude(message, how);
        }
    }

    /// What is left in transactions when the link ends: retired messages wait for their commit all the same.
    pub(crate) fn orphans(&mut self) -> Vec<(TxnKey, Orphan)> {
        let mut orphans = Vec::new();
        let is_retired = |part: &Part| part.outcome.is_some() || part.settled;
        let retired: Vec<(usize, Part)> = self.provisional.deliveries.extract_if(|_, part| is_retired(part)).collect();
        for (message, part) in retired {
            let how = self.how(part.outcome.map(DeliveryState::from));
            orphans.extend(self.orphan(message, how).map(|orphan| (part.key, orphan)));
        }
        self.provisional.transactions.clear();
        for (key, held) in std::mem::take(&mut self.provisional.presettled) {
            orphans.extend(held.into_iter().map(|held| (key, self.orphan_of(held, None))));
        }
        orphans
    }
}
