//! Topics: every message goes to every subscription, each a queue of its own.
//!
//! ```text
//!  senders ─▶ topic ─┬─▶ subscription (a queue) ─▶ its link
//!                    └─▶ subscription ─┬─▶ link
//!                                      └─▶ link that shares it by name
//! ```
//!
//! The topic's lock is taken before those of its subscriptions, and only whoever holds it adds messages to them: what
//! has room in all of them when it is looked at still has it when it is added.

use std::sync::Arc;
use std::time::Instant;

use postroad_codec::v1_0::{ByteString, Error, ErrorCondition};

use crate::budget::Budget;
use crate::mailbox::{Wake, wake_all};
use crate::message::Held;
use crate::node::{Hold, Kind, Node, NodeState, Nodes};
use crate::options::Overflow;
use crate::queue::{Dead, Demand, Full, Queue};

/// What a topic knows beside the links that send to it.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    bindings: Vec<Binding>,
    published: u64,
    /// Messages that subscriptions which are gone had dropped, and that had expired there.
    dropped: u64,
    expired: u64,
}

/// A queue that gets a copy of every message.
#[derive(Debug)]
struct Binding {
    queue: Arc<Node>,
    /// By this name links share it.
    share: Option<Share>,
    /// The topic among those that send to the queue.
    producer: usize,
}

/// What two links must have in common to share a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    /// Within a container of a user, unless it is global.
    pub(crate) scope: Option<(ByteString, ByteString)>,
    pub(crate) name: ByteString,
}

/// What a topic holds, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TopicStats {
    /// Subscriptions; one that links share counts once.
    pub subscriptions: usize,
    /// Links that send to the topic.
    pub producers: usize,
    /// Messages that have ever come.
    pub published: u64,
    /// Copies that were dropped because a subscription was full.
    pub dropped: u64,
    /// Copies that have ever expired.
    pub expired: u64,
    /// Copies that wait for a subscriber.
    pub ready: usize,
    /// Copies that were sent to subscribers and are not settled.
    pub unsettled: usize,
    /// Bytes of all these copies. The copies of one message have one body in memory.
    pub bytes: usize,
}

/// Adds a subscription to a topic that is held, or finds the one that is shared.
pub(crate) fn subscribe(topic: Hold, nodes: &Arc<Nodes>, share: Option<Share>) -> Result<Hold, Error> {
    let mut state = topic.node.lock();
    if state.deleted {
        let text = format!("node {:?} was deleted", &*topic.node.name);
        return Err(Error::new(ErrorCondition::RESOURCE_DELETED, text));
    }
    let found = state.topic.bindings.iter().filter(|binding| share.is_some() && binding.share == share);
    // One that is about to go with its last link takes no other.
    let found = found.filter_map(|binding| Hold::new(Arc::clone(&binding.queue), nodes, false)).next();
    if let Some(hold) = found {
        drop(state);
        return Ok(hold.within(topic));
    }
    if state.topic.bindings.len() >= nodes.max_subscriptions() {
        let text = format!("topic {:?} has {} subscriptions", &*topic.node.name, nodes.max_subscriptions());
        return Err(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
    }
    let queue = nodes.subscription(&topic.node);
    let producer = queue.lock().queue.add_producer(Wake::Topic(Arc::downgrade(&topic.node)));
    let hold = Hold::new(Arc::clone(&queue), nodes, true).expect("nobody else knows it");
    state.topic.bindings.push(Binding { queue, share, producer });
    drop(state);
    Ok(hold.within(topic))
}

/// Removes a subscription that no link uses any more.
pub(crate) fn unsubscribe(topic: &Node, queue: &Arc<Node>) {
    let mut woken = Vec::new();
    let mut state = topic.lock();
    let Some(at) = state.topic.bindings.iter().position(|binding| Arc::ptr_eq(&binding.queue, queue)) else { return };
    {
        let mut gone = queue.lock();
        // Another link may have come to share it.
        if gone.links > 0 {
            return;
        }
        gone.deleted = true;
        gone.queue.clear();
        state.topic.dropped += gone.queue.dropped();
        state.topic.expired += gone.queue.stats().expired;
    }
    state.topic.bindings.swap_remove(at);
    // It may have been what held the senders back.
    state.queue.feed(&mut woken);
    drop(state);
    wake_all(&mut woken);
}

/// The queues behind the subscriptions of a topic.
pub(crate) fn subscriptions(topic: &Node) -> Vec<Arc<Node>> {
    topic.lock().topic.bindings.iter().map(|binding| Arc::clone(&binding.queue)).collect()
}

/// What a topic takes now.
#[derive(Debug)]
pub(crate) struct Room {
    left: Demand,
    /// The broker's, where anybody gets the messages.
    budget: Option<Arc<Budget>>,
}

impl Room {
    /// Takes the room for a message, whose body is charged for once, however many get it.
    pub(crate) fn take(&mut self, held: &mut Held) -> Result<(), Full> {
        let size = held.payload.len();
        if !self.has(size) {
            return Err(Full::Queue);
        }
        if let Some(budget) = &self.budget {
            held.payload = budget.charge(held.payload.clone()).ok_or(Full::Broker)?;
        }
        self.left = self.left.less(size);
        Ok(())
    }

    /// Takes the room for a message whose body is charged for.
    pub(crate) fn take_charged(&mut self, size: usize) -> Result<(), Full> {
        if !self.has(size) {
            return Err(Full::Queue);
        }
        self.left = self.left.less(size);
        Ok(())
    }

    fn has(&self, size: usize) -> bool {
        self.left.messages > 0 && self.left.bytes >= size
    }
}

/// The room that the fullest subscription has.
pub(crate) fn room(node: &Node, state: &NodeState, budget: &Arc<Budget>, now: Instant) -> Room {
    let mut room = Demand { messages: usize::MAX, bytes: usize::MAX };
    if node.options.overflow == Overflow::HoldBack {
        for binding in &state.topic.bindings {
            let mut bound = binding.queue.lock();
            bound.queue.tick(now);
            let left = bound.queue.room();
            room.messages = room.messages.min(left.messages);
            room.bytes = room.bytes.min(left.bytes);
        }
    }
    Room { left: room, budget: (!state.topic.bindings.is_empty()).then(|| Arc::clone(budget)) }
}

/// Copies messages that fit into every subscription. Their bodies stay where they are. Answers what died meanwhile.
pub(crate) fn publish(
    node: &Node,
    state: &mut NodeState,
    messages: &[Held],
    now: Instant,
    woken: &mut Vec<Wake>,
) -> Vec<Dead> {
    let mut dead = Vec::new();
    state.topic.published += messages.len() as u64;
    for binding in &state.topic.bindings {
        let mut bound = binding.queue.lock();
        let queue: &mut Queue<Wake> = &mut bound.queue;
        queue.tick(now);
        for held in messages {
            match node.options.overflow {
                Overflow::HoldBack => queue.add(held.clone()),
                Overflow::DropOldest => queue.push_over(held.clone()),
            }
        }
        queue.dispatch(woken);
        dead.extend(queue.take_dead());
    }
    dead
}

/// How many messages a sender may send from now on, `wish` at most.
pub(crate) fn grant(node: &Node, state: &mut NodeState, budget: &Budget, producer: usize, wish: usize) -> usize {
    let mut share = wish;
    if !state.topic.bindings.is_empty() && budget.room() == 0 {
        budget.want();
        share = if budget.room() == 0 { 0 } else { wish };
    }
    if node.options.overflow == Overflow::HoldBack {
        for binding in &state.topic.bindings {
            let mut bound = binding.queue.lock();
            let allotted = state.queue.allot(producer, bound.queue.room_in_messages());
            // Then the topic is told of room.
            bound.queue.set_starving(binding.producer, allotted < wish);
            share = share.min(allotted);
        }
    }
    state.queue.set_starving(producer, share < wish);
    share
}

/// Wakes the senders of a topic that wait for credit.
pub(crate) fn feed(topic: &Node) {
    let mut woken = Vec::new();
    topic.lock().queue.feed(&mut woken);
    wake_all(&mut woken);
}

/// Everyone who uses a topic that is deleted, and its subscriptions.
pub(crate) fn dissolve(state: &mut NodeState) -> Vec<Wake> {
    let mut woken = Vec::new();
    for binding in state.topic.bindings.drain(..) {
        let mut bound = binding.queue.lock();
        bound.deleted = true;
        bound.queue.clear();
        woken.extend(bound.queue.users().into_iter().filter(|wake| !matches!(wake, Wake::Topic(_))));
    }
    woken
}

pub(crate) fn stats(node: &Node) -> Option<TopicStats> {
    if node.kind != Kind::Topic {
        return None;
    }
    let state = node.lock();
    let mut stats = TopicStats {
        subscriptions: state.topic.bindings.len(),
        producers: state.queue.stats().producers,
        published: state.topic.published,
        dropped: state.topic.dropped,
        expired: state.topic.expired,
        ..TopicStats::default()
    };
    for binding in &state.topic.bindings {
        let bound = binding.queue.lock();
        let queue = bound.queue.stats();
        stats.dropped += bound.queue.dropped();
        stats.expired += queue.expired;
        stats.ready += queue.ready;
        stats.unsettled += queue.unsettled;
        stats.bytes += queue.bytes;
    }
    Some(stats)
}
