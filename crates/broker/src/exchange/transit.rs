//! Messages on their way through an exchange.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Exchange, Routed};
use crate::budget::Budget;
use crate::mailbox::{Wake, wake_all};
use crate::message::Held;
use crate::node::{Node, NodeState, Nodes};
use crate::options::Overflow;
use crate::queue::{Dead, Demand, Full, Queue};

/// A batch of messages for an exchange whose lock is held. Each is taken if all queues that get it have room, and all
/// are handed over together.
#[derive(Debug)]
pub(crate) struct Transit {
    now: Instant,
    overflow: Overflow,
    budget: Arc<Budget>,
    /// Whether every queue gets every message.
    plain: bool,
    /// What the fullest subscription takes, where all get everything; otherwise by target.
    least: Demand,
    rooms: HashMap<u32, Demand>,
    /// The queues with a name among the targets that get everything.
    named: Vec<u32>,
    has_subscriptions: bool,
    /// Whether they have got theirs.
    is_split: bool,
    messages: Vec<Passing>,
    /// The targets of all messages, one message after the other, and where those of each end.
    routes: Vec<u32>,
    ends: Vec<usize>,
    unroutable: Vec<Held>,
}

/// A message that was taken. Queues with a name account for it themselves.
#[derive(Debug)]
struct Passing {
    held: Held,
    /// Its body as subscriptions get it: charged for once, until the last of them is done with it.
    charged: Option<Bytes>,
}

/// What is left to do when the lock of the exchange has been given back.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Aftermath {
    /// What died meanwhile, by its queue.
    pub(crate) dead: Vec<(Arc<Node>, Vec<Dead>)>,
    /// What queues got that have just been deleted.
    pub(crate) left: Vec<(Arc<Node>, Vec<Held>)>,
    /// What no queue gets.
    pub(crate) unroutable: Vec<Held>,
    /// How many copies were handed over.
    pub(crate) copies: usize,
}

/// Room without an end.
const ENDLESS: Demand = Demand { messages: usize::MAX, bytes: usize::MAX };

impl Transit {
    pub(crate) fn new(node: &Node, state: &NodeState, nodes: &Nodes, now: Instant) -> Self {
        let mut transit = Self {
            now,
            overflow: node.options.overflow,
            budget: Arc::clone(&nodes.budget),
            plain: true,
            least: ENDLESS,
            rooms: HashMap::new(),
            named: Vec::new(),
            has_subscriptions: false,
            is_split: false,
            messages: Vec::new(),
            routes: Vec::new(),
            ends: Vec::new(),
            unroutable: Vec::new(),
        };
        let Some(exchange) = state.exchange.as_deref() else { return transit };
        transit.plain = exchange.index.is_plain();
        if transit.plain {
            for (at, target) in &exchange.targets {
                if target.subscription.is_none() {
                    transit.named.push(at as u32);
                } else {
                    transit.has_subscriptions = true;
                    if transit.overflow == Overflow::HoldBack {
                        let left = room(&target.queue, now);
                        transit.least.messages = transit.least.messages.min(left.messages);
                        transit.least.bytes = transit.least.bytes.min(left.bytes);
                    }
                }
            }
        }
        transit
    }

    /// Takes a message, if all that get it have room. A body that subscriptions get is charged for once, however many
    /// there are, unless it is `charged` for already.
    pub(crate) fn take(
        &mut self,
        state: &mut NodeState,
        held: Held,
        charged: Option<Bytes>,
        woken: &mut Vec<Wake>,
    ) -> Result<(), Full> {
        let Some(exchange) = state.exchange.as_deref_mut() else { return Ok(()) };
        let size = held.payload.len();
        if self.plain {
            if !has(self.least, size) {
                return Err(Full::Queue);
            }
            let charged = self.make_room(exchange, &self.named, &held, charged, self.has_subscriptions, woken)?;
            self.least = self.least.less(size);
            if exchange.targets.is_empty() {
                self.unroutable.push(held);
            } else {
                self.messages.push(Passing { held, charged });
            }
            return Ok(());
        }
        self.take_routed(exchange, held, charged, woken)
    }

    fn take_routed(
        &mut self,
        exchange: &mut Exchange,
        held: Held,
        charged: Option<Bytes>,
        woken: &mut Vec<Wake>,
    ) -> Result<(), Full> {
        let size = held.payload.len();
        let start = self.routes.len();
        exchange.index.find(&Routed::of(&held), &mut self.routes);
        let route = &self.routes[start..];
        if route.is_empty() {
            self.unroutable.push(held);
            return Ok(());
        }
        let (mut named, mut subscriptions) = (Vec::new(), false);
        let mut full = None;
        for &at in route {
            let target = &exchange.targets[at as usize];
            if target.subscription.is_none() {
                named.push(at);
                continue;
            }
            subscriptions = true;
            if self.overflow == Overflow::HoldBack {
                let left = *self.rooms.entry(at).or_insert_with(|| room(&target.queue, self.now));
                if !has(left, size) {
                    full = Some(Full::Queue);
                    break;
                }
            }
        }
        let room = full.map_or_else(|| self.make_room(exchange, &named, &held, charged, subscriptions, woken), Err);
        let charged = match room {
            Ok(charged) => charged,
            Err(full) => {
                self.routes.truncate(start);
                return Err(full);
            }
        };
        for at in &self.routes[start..] {
            if let Some(left) = self.rooms.get_mut(at) {
                *left = left.less(size);
            }
        }
        self.messages.push(Passing { held, charged });
        self.ends.push(self.routes.len());
        Ok(())
    }

    /// Takes the room for a message in the queues with a name that get it, and what subscriptions get is charged for.
    fn make_room(
        &self,
        exchange: &Exchange,
        named: &[u32],
        held: &Held,
        charged: Option<Bytes>,
        subscriptions: bool,
        woken: &mut Vec<Wake>,
    ) -> Result<Option<Bytes>, Full> {
        // Where only queues with a name get it, it is theirs alone to account for.
        let charged = charged.filter(|_| subscriptions);
        reserve(exchange, named, held, self.now, woken)?;
        if !subscriptions || charged.is_some() {
            return Ok(charged);
        }
        let charged = self.budget.charge(held.payload.clone());
        if charged.is_none() {
            unreserve(exchange, named, held.payload.len(), woken);
            return Err(Full::Broker);
        }
        Ok(charged)
    }

    /// Gives the room back for all that was taken.
    pub(crate) fn abandon(self, state: &mut NodeState, woken: &mut Vec<Wake>) {
        let Some(exchange) = state.exchange.as_deref_mut() else { return };
        let mut start = 0;
        for (index, message) in self.messages.iter().enumerate() {
            let size = message.held.payload.len();
            if self.plain {
                unreserve(exchange, &self.named, size, woken);
            } else {
                let end = self.ends[index];
                let named = self.routes[start..end].iter().copied();
                let named: Vec<u32> =
                    named.filter(|at| exchange.targets[*at as usize].subscription.is_none()).collect();
                unreserve(exchange, &named, size, woken);
                start = end;
            }
        }
    }

    /// Takes out what goes to queues with a name, where there is room for it that is reserved. The caller hands it over
    /// before it calls [`Transit::publish`] for the rest.
    pub(crate) fn split(&mut self, state: &NodeState) -> Vec<(Arc<Node>, Vec<Held>)> {
        let Some(exchange) = state.exchange.as_deref() else { return Vec::new() };
        let pairs = self.pairs(exchange, |exchange, at| exchange.targets[at as usize].subscription.is_none());
        let mut split: Vec<(Arc<Node>, Vec<Held>)> = Vec::new();
        let mut last = None;
        for (at, message) in pairs {
            let held = self.messages[message as usize].held.clone();
            match split.last_mut().filter(|_| last == Some(at)) {
                Some((_, messages)) => messages.push(held),
                None => split.push((Arc::clone(&exchange.targets[at as usize].queue), vec![held])),
            }
            last = Some(at);
        }
        self.is_split = true;
        if !self.plain {
            let (mut routes, mut ends) = (Vec::new(), Vec::new());
            let mut start = 0;
            for end in &self.ends {
                let kept = self.routes[start..*end].iter().copied();
                routes.extend(kept.filter(|at| exchange.targets[*at as usize].subscription.is_some()));
                ends.push(routes.len());
                start = *end;
            }
            (self.routes, self.ends) = (routes, ends);
        }
        split
    }

    /// Copies the messages to their queues. Their bodies stay where they are.
    pub(crate) fn publish(self, state: &mut NodeState, woken: &mut Vec<Wake>) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let Some(exchange) = state.exchange.as_deref_mut() else { return aftermath };
        exchange.published += (self.messages.len() + self.unroutable.len()) as u64;
        exchange.unroutable += self.unroutable.len() as u64;
        if self.plain {
            if !self.messages.is_empty() {
                for (_, target) in &exchange.targets {
                    if target.subscription.is_some() || !self.is_split {
                        let messages = self.messages.iter();
                        self.hand_over(&target.queue, target.subscription.is_none(), messages, woken, &mut aftermath);
                    }
                }
            }
        } else {
            let pairs = self.pairs(exchange, |_, _| true);
            for group in pairs.chunk_by(|(one, _), (other, _)| one == other) {
                let target = &exchange.targets[group[0].0 as usize];
                let messages = group.iter().map(|(_, message)| &self.messages[*message as usize]);
                self.hand_over(&target.queue, target.subscription.is_none(), messages, woken, &mut aftermath);
            }
        }
        aftermath.unroutable = self.unroutable;
        aftermath
    }

    /// Targets and the messages that they get, by target, those of each in order.
    fn pairs(&self, exchange: &Exchange, chosen: impl Fn(&Exchange, u32) -> bool) -> Vec<(u32, u32)> {
        let mut pairs = Vec::new();
        if self.plain {
            for (at, _) in &exchange.targets {
                if chosen(exchange, at as u32) {
                    pairs.extend((0..self.messages.len() as u32).map(|message| (at as u32, message)));
                }
            }
            return pairs;
        }
        let mut start = 0;
        for (message, end) in (0..).zip(&self.ends) {
            let route = self.routes[start..*end].iter();
            pairs.extend(route.filter(|at| chosen(exchange, **at)).map(|at| (*at, message)));
            start = *end;
        }
        pairs.sort_unstable();
        pairs
    }

    fn hand_over<'a>(
        &self,
        target: &Arc<Node>,
        reserved: bool,
        messages: impl Iterator<Item = &'a Passing>,
        woken: &mut Vec<Wake>,
        aftermath: &mut Aftermath,
    ) {
        let mut bound = target.lock();
        let queue: &mut Queue<Wake> = &mut bound.queue;
        queue.tick(self.now);
        for Passing { held, charged } in messages {
            aftermath.copies += 1;
            let mut held = held.clone();
            if reserved {
                queue.add_reserved(held);
                continue;
            }
            held.payload = charged.clone().unwrap_or(held.payload);
            match self.overflow {
                Overflow::HoldBack => queue.add(held),
                Overflow::DropOldest => queue.push_over(held),
            }
        }
        queue.dispatch(woken);
        let dead = queue.take_dead();
        if bound.deleted {
            // It has just gone, and will be forgotten.
            aftermath.left.push((Arc::clone(target), bound.queue.drain()));
        }
        if !dead.is_empty() {
            aftermath.dead.push((Arc::clone(target), dead));
        }
    }
}

/// Sends messages through an exchange, and answers for how many there was no room. Call it without holding a lock, and
/// [`Nodes::attend_behind`] for the rest.
pub(crate) fn send_through(
    nodes: &Nodes,
    exchange: &Node,
    messages: impl IntoIterator<Item = Held>,
    now: Instant,
) -> (usize, Aftermath) {
    let (mut lost, mut woken) = (0, Vec::new());
    let mut state = exchange.lock();
    let mut transit = nodes.transit(exchange, &state, now);
    for held in messages {
        lost += usize::from(transit.take(&mut state, held, None, &mut woken).is_err());
    }
    let aftermath = transit.publish(&mut state, &mut woken);
    drop(state);
    wake_all(&mut woken);
    (lost, aftermath)
}

/// How many messages a sender may send from now on, `wish` at most. Subscriptions hold it back, those included that its
/// messages may not be for: the slowest sets the pace. Other queues do not: perhaps nobody will ever read them.
pub(crate) fn grant(node: &Node, state: &mut NodeState, budget: &Budget, producer: usize, wish: usize) -> usize {
    let Some(exchange) = state.exchange.as_deref() else { return 0 };
    let mut share = wish;
    if !exchange.targets.is_empty() && budget.room() == 0 {
        budget.want();
        share = if budget.room() == 0 { 0 } else { wish };
    }
    if node.options.overflow == Overflow::HoldBack {
        for (_, target) in &exchange.targets {
            let Some(subscribed) = &target.subscription else { continue };
            let mut bound = target.queue.lock();
            let allotted = state.queue.allot(producer, bound.queue.room_in_messages());
            // Then the exchange is told of room.
            bound.queue.set_starving(subscribed.producer, allotted < wish);
            share = share.min(allotted);
        }
    }
    state.queue.set_starving(producer, share < wish);
    share
}

fn room(queue: &Node, now: Instant) -> Demand {
    let mut bound = queue.lock();
    bound.queue.tick(now);
    bound.queue.room()
}

fn has(left: Demand, size: usize) -> bool {
    left.messages > 0 && left.bytes >= size
}

/// Takes the room for a message in all of these queues, or in none.
fn reserve(exchange: &Exchange, named: &[u32], held: &Held, now: Instant, woken: &mut Vec<Wake>) -> Result<(), Full> {
    for (taken, at) in named.iter().enumerate() {
        let mut bound = exchange.targets[*at as usize].queue.lock();
        bound.queue.tick(now);
        if let Err(full) = bound.queue.reserve(held) {
            drop(bound);
            unreserve(exchange, &named[..taken], held.payload.len(), woken);
            return Err(full);
        }
    }
    Ok(())
}

/// Gives such room back.
fn unreserve(exchange: &Exchange, named: &[u32], size: usize, woken: &mut Vec<Wake>) {
    for at in named {
        exchange.targets[*at as usize].queue.lock().queue.unreserve(1, size, woken);
    }
}
