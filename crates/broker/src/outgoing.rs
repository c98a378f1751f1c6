//! The sending end of a link: a consumer of a queue.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use postroad_amqp::v1_0::{LinkId, LinkState, SessionId, Update};
use postroad_codec::v1_0::{DeliveryState, Error, ErrorCondition, FilterSet, Modified, Symbol};
use slab::Slab;

use crate::filter::{self, Filter, Origin};
use crate::mailbox::{Wake, wake_all};
use crate::management::Replies;
use crate::message::{Held, Return};
use crate::node::Hold;
use crate::provisional::{Provisional, Retirement};
use crate::queue::{Demand, Locked, Place, Subscriber};
use crate::transaction::{Orphan, TxnKey};

mod looking;

/// A link through which a queue sends.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: LinkId,
    pub(crate) session: SessionId,
    slot: u32,
    hold: Hold,
    consumer: usize,
    browse: bool,
    /// The annotation by which messages are numbered.
    number: Option<Symbol>,
    /// What the client has asked for; of a topic, the subscription sees to it.
    filter: Option<Arc<Filter>>,
    presettled: bool,
    /// Whether it is kept when it is detached.
    resumable: bool,
    /// What the consumer has and has not settled. The key is half of the delivery's token.
    unsettled: Slab<Held>,
    /// What it has settled and the queue has not heard of.
    settled: Demand,
    returned: Vec<(Held, Return)>,
    /// Deliveries that are part of transactions.
    pub(crate) provisional: Provisional,
    /// What a browser has not settled: the engine remembers it.
    looked_at: usize,
    /// Where a browser reads on that was handed more than it could send.
    missed: Vec<Place>,
    /// Whether the last batch had messages that are too large for the consumer.
    passed_over: bool,
    next_tag: u64,
}

/// How a link receives.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) subscriber: Subscriber,
    /// What the client has asked for, whether or not it is the consumer's to choose.
    pub(crate) filter: Option<Arc<Filter>>,
}

/// Buffers that all links of a connection share.
#[derive(Debug)]
pub(crate) struct Scratch {
    held: VecDeque<Held>,
    pub(crate) woken: Vec<Wake>,
    /// Transactions in which something went wrong, which are to be rolled back.
    pub(crate) failed: Vec<(TxnKey, Error)>,
    /// The links of the connection that get answers to requests.
    pub(crate) replies: Replies,
    /// The time of the round of work.
    pub(crate) now: Instant,
    /// Whose connection it is.
    pub(crate) origin: Origin,
}

impl Scratch {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            held: VecDeque::new(),
            woken: Vec::new(),
            failed: Vec::new(),
            replies: Replies::default(),
            now,
            origin: Origin::default(),
        }
    }
}

/// How a look at a link ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It waits for messages, credit or the socket.
    Waits,
    /// It has had its share and wants another look.
    More,
    /// Its node is gone.
    Deleted,
}

/// The slot of a link is the upper part of its tokens.
const SLOT_SHIFT: u32 = 32;

/// The token of deliveries that nobody waits for.
const NO_KEY: u64 = u32::MAX as u64;

impl Outgoing {
    pub(crate) fn new(
        id: LinkId,
        session: SessionId,
        slot: u32,
        wake: Wake,
        hold: Hold,
        subscription: Subscription,
        presettled: bool,
    ) -> Result<Self, Error> {
        let Subscription { subscriber, filter } = subscription;
        let browse = subscriber.browse;
        let added = hold.node.lock().queue.add_consumer(subscriber, wake);
        let consumer = added.map_err(|Locked| {
            let text = format!("queue {:?} has a consumer that is, or wants to be, the only one", &*hold.node.name);
            Error::new(ErrorCondition::RESOURCE_LOCKED, text)
        })?;
        let number = hold.node.options.queue.sequence_key.clone().and_then(Symbol::new);
        Ok(Self {
            id,
            session,
            slot,
            hold,
            consumer,
            browse,
            number,
            filter,
            presettled,
            resumable: false,
            unsettled: Slab::new(),
            settled: Demand::default(),
            returned: Vec::new(),
            provisional: Provisional::default(),
            looked_at: 0,
            missed: Vec::new(),
            passed_over: false,
            next_tag: 0,
        })
    }

    /// Readies itself for a time without a link, and has `state` tell the same of what is not settled. What only one of
    /// them knows is over: it was part of a transaction. The queue hears of everything that was settled, and counts the
    /// rest.
    pub(crate) fn suspend(&mut self, state: &mut LinkState, scratch: &mut Scratch) {
        for (message, how) in self.provisional.undo() {
            self.conclude(message, Some(how));
        }
        self.returned.extend(self.provisional.drain_presettled().map(|held| (held, Return::Released)));
        state.unsettled.retain(|unsettled| self.has(Self::message_of(unsettled.token)));
        self.keep_only(state.unsettled.iter().map(|unsettled| Self::message_of(unsettled.token)));
        self.flush(true, scratch);
        self.unsettled.shrink_to_fit();
        self.returned.shrink_to_fit();
    }

    /// Has the queue wake it in another way from now on.
    pub(crate) fn wake_by(&self, wake: Wake) {
        self.hold.node.lock().queue.wake_consumer_by(self.consumer, wake);
    }

    /// Gives back what is not among these messages.
    fn keep_only(&mut self, messages: impl Iterator<Item = usize>) {
        let known: HashSet<usize> = messages.collect();
        let unknown: Vec<usize> =
            self.unsettled.iter().map(|(key, _)| key).filter(|key| !known.contains(key)).collect();
        for message in unknown {
            self.conclude(message, Some(Return::Failed));
        }
    }

    /// Goes on with another link.
    pub(crate) fn resume(&mut self, id: LinkId, session: SessionId, slot: u32, wake: Wake, presettled: bool) {
        (self.id, self.session, self.slot, self.presettled) = (id, session, slot, presettled);
        self.wake_by(wake);
    }

    /// Notes whether it is kept when it is detached.
    pub(crate) fn set_resumable(&mut self, resumable: bool) {
        self.resumable = resumable;
    }

    /// Gives back everything that is not settled: its client has forgotten it.
    pub(crate) fn start_over(&mut self) {
        self.keep_only(std::iter::empty());
    }

    /// Names the deliveries of a link anew that gets another slot.
    pub(crate) fn rename(state: &mut LinkState, slot: u32) {
        for unsettled in &mut state.unsettled {
            unsettled.token = token(slot, unsettled.token & NO_KEY);
        }
    }

    /// The message that a token names, among those that are not settled.
    fn message_of(token: u64) -> usize {
        (token & NO_KEY) as usize
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// The slot of the link that a token belongs to.
    pub(crate) fn slot_of(token: u64) -> usize {
        (token >> SLOT_SHIFT) as usize
    }

    /// Takes note of what became of a delivery. The queue hears of it at the next look; where it depends on a transaction,
    /// the caller sees to it.
    pub(crate) fn update(&mut self, update: Update) -> Option<Retirement> {
        if update.link != self.id {
            return None;
        }
        let message = Self::message_of(update.token);
        if !update.settled {
            return Retirement::of(update, message);
        }
        if self.browse {
            self.looked_at = self.looked_at.saturating_sub(1);
            return None;
        }
        if let Some(DeliveryState::Transactional(state)) = update.state {
            return Some(Retirement::new(message, update.delivery, *state, true));
        }
        if !self.provisional.is_empty() {
            self.provisional.forget(message);
        }
        let how = self.how(update.state);
        self.conclude(message, how);
        None
    }

    /// Takes note that nobody knows what became of a delivery.
    pub(crate) fn in_doubt(&mut self, link: LinkId, token: u64) {
        if link == self.id {
            self.conclude(Self::message_of(token), Some(Return::Failed));
        }
    }

    /// How a message comes back that is settled in this state; `None`: it is gone for good.
    pub(crate) fn how(&self, state: Option<DeliveryState>) -> Option<Return> {
        match state {
            Some(DeliveryState::Rejected(rejected)) if self.hold.node.keeps_rejected() => {
                Some(Return::Rejected(rejected.error.map(Box::new)))
            }
            Some(DeliveryState::Accepted | DeliveryState::Rejected(_)) => None,
            Some(DeliveryState::Released) => Some(Return::Released),
            Some(DeliveryState::Modified(modified)) => {
                let Modified { delivery_failed, undeliverable_here, message_annotations: annotations } = *modified;
                let failed = delivery_failed.unwrap_or(false);
                let undeliverable_here = undeliverable_here.unwrap_or(false);
                Some(Return::Modified { failed, undeliverable_here, annotations })
            }
            // Settled without an outcome: the default outcome that the source has told (3.5.3).
            _ => Some(Return::Failed),
        }
    }

    /// Whether the consumer has a message and has not settled it.
    pub(crate) fn has(&self, message: usize) -> bool {
        self.unsettled.contains(message)
    }

    /// Is done with a message that the consumer has: it comes back in that way, or is gone for good.
    pub(crate) fn conclude(&mut self, message: usize, how: Option<Return>) {
        if let Some(held) = self.unsettled.try_remove(message) {
            self.give(held, how);
        }
    }

    pub(crate) fn give(&mut self, held: Held, how: Option<Return>) {
        match how {
            Some(how) => self.returned.push((held, how)),
            None => self.settle(held.size()),
        }
    }

    /// Takes a message out whose outcome waits for a transaction that outlives the link.
    pub(crate) fn orphan(&mut self, message: usize, how: Option<Return>) -> Option<Orphan> {
        self.unsettled.try_remove(message).map(|held| self.orphan_of(held, how))
    }

    pub(crate) fn orphan_of(&self, held: Held, how: Option<Return>) -> Orphan {
        Orphan::new(&self.hold.node, self.hold.nodes(), held, how)
    }

    /// Whether an attach asks for the same of the messages as the one that made this link.
    pub(crate) fn has_filter(&self, asked: Option<&FilterSet>) -> bool {
        let origin = self.filter.as_ref().and_then(|filter| filter.not_from()).unwrap_or_default();
        filter::asked(asked, origin).is_ok_and(|asked| asked.filter.as_ref() == self.filter.as_deref())
    }

    /// Whether messages are copied, and none is acquired.
    pub(crate) fn browses(&self) -> bool {
        self.browse
    }

    fn settle(&mut self, bytes: usize) {
        self.settled.messages += 1;
        self.settled.bytes += bytes;
    }

    /// Deliveries that the consumer has not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// The error that tells a consumer that its node is gone.
    pub(crate) fn deleted(&self) -> Error {
        deleted(&self.hold)
    }
}

fn token(slot: u32, key: u64) -> u64 {
    u64::from(slot) << SLOT_SHIFT | key
}

pub(crate) fn deleted(hold: &Hold) -> Error {
    let text = format!("node {:?} was deleted", &*hold.node.name);
    Error::new(ErrorCondition::RESOURCE_DELETED, text)
}

/// However a link ends, what it has not settled goes back to the queue as deliveries that failed: whether
/// they were processed is not known (part 3, 3.4.5; 3.5.3 for the default outcome).
impl Drop for Outgoing {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        let mut state = self.hold.node.lock();
        let queue = &mut state.queue;
        queue.tick(Instant::now());
        let settled = std::mem::take(&mut self.settled);
        queue.settle(settled.messages, settled.bytes, &mut woken);
        let failed = self.unsettled.drain().map(|held| (held, Return::Failed));
        let undone = self.provisional.drain_presettled().map(|held| (held, Return::Released));
        queue.give_back(self.consumer, self.returned.drain(..).chain(failed).chain(undone));
        queue.remove_consumer(self.consumer);
        queue.dispatch(&mut woken);
        let dead = state.queue.take_dead();
        let left = if state.deleted { state.queue.drain() } else { Vec::new() };
        drop(state);
        wake_all(&mut woken);
        self.hold.bury(dead);
        self.hold.nodes().leave_behind(&self.hold.node, left);
    }
}
