//! Exchanges: they keep no message, and give a copy of each to the queues that are bound to them.
//!
//! ```text
//!  senders ─▶ exchange ─┬─ binding ─▶ queue
//!                       ├─ binding ─▶ subscription (a queue without a name) ─▶ its link
//!                       └─ binding ─▶ subscription ─┬─▶ link
//!                                                   └─▶ link that shares it by name
//! ```
//!
//! The exchange's lock is taken before those of its queues, and only whoever holds it adds messages to its subscriptions:
//! what has room in all of them when it is looked at still has it when it is added. Other queues get messages from
//! elsewhere too: there the room is reserved.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use postroad_codec::v1_0::{ByteString, Decode as _, Encode as _, Map, Reader, Value};
use slab::Slab;

use crate::mailbox::Wake;
use crate::node::{Node, NodeState};
use crate::node_error::{Fault, NodeError};
use crate::subscription::Share;

mod headers;
mod index;
mod kind;
mod patterns;
mod routed;
mod transit;

use index::Index;
pub use kind::ExchangeKind;
pub(crate) use routed::Routed;
pub(crate) use transit::{Aftermath, Transit, grant, send_through};

/// What an exchange knows beside the links that send to it.
#[derive(Debug)]
pub(crate) struct Exchange {
    index: Index,
    targets: Slab<Target>,
    /// Targets by the place of their queue in memory.
    by_queue: HashMap<usize, u32>,
    bindings: usize,
    was_bound: bool,
    /// Nodes whose alternate exchange it is.
    pub(crate) alternate_of: usize,
    published: u64,
    unroutable: u64,
    /// Messages that subscriptions which are gone had dropped, and that had expired there.
    dropped: u64,
    expired: u64,
}

/// A queue that is bound.
#[derive(Debug)]
struct Target {
    queue: Arc<Node>,
    /// What is known of it where it is a subscription of this exchange.
    subscription: Option<Subscribed>,
    /// Its bindings by key: the arguments of each, and its place in the index.
    bindings: BTreeMap<ByteString, Vec<(Map, usize)>>,
}

#[derive(Debug)]
struct Subscribed {
    /// By this links share it, and what it was bound by.
    share: Option<Share>,
    /// The exchange among those that send to the queue: it is told of room.
    producer: usize,
}

/// What an exchange holds, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ExchangeStats {
    /// Subscriptions; one that links share counts once.
    pub subscriptions: usize,
    /// Queues that are bound, subscriptions aside.
    pub queues: usize,
    /// Bindings, those of subscriptions included.
    pub bindings: usize,
    /// Links that send to the exchange.
    pub producers: usize,
    /// Messages that have ever come.
    pub published: u64,
    /// Messages among them that no binding was for.
    pub unroutable: u64,
    /// Copies that were dropped because a subscription was full.
    pub dropped: u64,
    /// Copies that have ever expired in subscriptions.
    pub expired: u64,
    /// Copies that wait for a subscriber.
    pub ready: usize,
    /// Copies that were sent to subscribers and are not settled.
    pub unsettled: usize,
    /// Bytes of all these copies. The copies of one message have one body in memory.
    pub bytes: usize,
}

/// The longest key of a binding, in bytes, as in AMQP 0-10. A longer subject matches only what matches everything.
pub(crate) const MAX_KEY: usize = 255;

/// The arguments of a binding may take so many bytes, encoded.
const MAX_ARGUMENTS: usize = 4096;

impl Exchange {
    pub(crate) fn new(kind: ExchangeKind) -> Self {
        Self {
            index: Index::new(kind),
            targets: Slab::new(),
            by_queue: HashMap::new(),
            bindings: 0,
            was_bound: false,
            alternate_of: 0,
            published: 0,
            unroutable: 0,
            dropped: 0,
            expired: 0,
        }
    }

    /// Adds a subscription, which is to be bound next.
    pub(crate) fn add_subscription(&mut self, queue: Arc<Node>, share: Option<Share>, producer: usize) {
        self.target(queue, Some(Subscribed { share, producer }));
    }

    /// Binds a queue, and tells whether the binding is new: the same one twice is one.
    pub(crate) fn bind(&mut self, queue: &Arc<Node>, key: &str, arguments: &Map) -> Result<bool, NodeError> {
        if key.len() > MAX_KEY {
            let text = format!("a binding key of {} bytes: {MAX_KEY} are allowed", key.len());
            return Err(NodeError::invalid(text));
        }
        let (key, arguments) = (self.index.key(key), own(arguments)?);
        let known = self.by_queue.get(&place(queue)).and_then(|at| self.targets[*at as usize].bindings.get(key));
        if known.is_some_and(|known| known.iter().any(|(has, _)| !self.index.has_arguments() || *has == arguments)) {
            return Ok(false);
        }
        let key = ByteString::from(key);
        let fresh = !self.by_queue.contains_key(&place(queue));
        let at = self.target(Arc::clone(queue), None);
        match self.index.add(at, &key, &arguments) {
            Ok(place) => self.targets[at as usize].bindings.entry(key).or_default().push((arguments, place)),
            Err(error) => {
                if fresh {
                    self.remove(queue);
                }
                return Err(error);
            }
        }
        self.bindings += 1;
        self.was_bound = true;
        Ok(true)
    }

    /// Removes the bindings of a queue by this key, those with these arguments alone where some are given. Answers how
    /// many there were. A queue that has none left is not bound any more.
    pub(crate) fn unbind(&mut self, queue: &Arc<Node>, key: &str, arguments: Option<&Map>) -> usize {
        let key = self.index.key(key);
        let arguments = self.wanted(arguments);
        let Some(&at) = self.by_queue.get(&place(queue)) else { return 0 };
        let target = &mut self.targets[at as usize];
        let Some(bound) = target.bindings.get_mut(key) else { return 0 };
        let before = bound.len();
        bound.retain(|(has, place)| {
            let goes = arguments.as_ref().is_none_or(|arguments| arguments == has);
            if goes {
                self.index.remove(at, key, *place);
            }
            !goes
        });
        let gone = before - bound.len();
        if bound.is_empty() {
            target.bindings.remove(key);
        }
        self.bindings -= gone;
        if target.bindings.is_empty() {
            self.remove(queue);
        }
        gone
    }

    /// Whether a queue is bound by these keys and arguments and by no others.
    pub(crate) fn is_bound_by(&self, queue: &Arc<Node>, bindings: &[(ByteString, Map)]) -> bool {
        let Some(at) = self.by_queue.get(&place(queue)) else { return false };
        let has: usize = self.targets[*at as usize].bindings.values().map(Vec::len).sum();
        let wanted = bindings.iter().filter_map(|(key, arguments)| Some((key, own(arguments).ok()?)));
        let wanted: Vec<(&ByteString, Map)> = wanted.collect();
        // One that is there twice is one.
        let distinct = (0..wanted.len()).filter(|at| !wanted[..*at].contains(&wanted[*at])).count();
        distinct == has && wanted.iter().all(|(key, arguments)| self.is_bound(Some(queue), Some(key), Some(arguments)))
    }

    /// Whether there is such a binding; whatever is left out may be anything.
    pub(crate) fn is_bound(&self, queue: Option<&Arc<Node>>, key: Option<&str>, arguments: Option<&Map>) -> bool {
        let (key, arguments) = (key.map(|key| self.index.key(key)), self.wanted(arguments));
        let has = |target: &Target| {
            let fits = |bound: &Vec<(Map, usize)>| {
                arguments.as_ref().is_none_or(|arguments| bound.iter().any(|(has, _)| has == arguments))
            };
            match key {
                Some(key) => target.bindings.get(key).is_some_and(fits),
                None => target.bindings.values().any(fits),
            }
        };
        match queue {
            Some(queue) => self.by_queue.get(&place(queue)).is_some_and(|at| has(&self.targets[*at as usize])),
            None => self.targets.iter().any(|(_, target)| has(target)),
        }
    }

    /// The arguments that a binding must have, as they are kept. Where they choose nothing it may have any.
    fn wanted(&self, arguments: Option<&Map>) -> Option<Map> {
        arguments.filter(|_| self.index.has_arguments()).map(|arguments| sorted(arguments.clone()))
    }

    /// Forgets a queue, and answers with how many bindings it had.
    pub(crate) fn remove(&mut self, queue: &Arc<Node>) -> usize {
        let Some(at) = self.by_queue.remove(&place(queue)) else { return 0 };
        let target = self.targets.remove(at as usize);
        let mut gone = 0;
        for (key, bound) in &target.bindings {
            for (_, place) in bound {
                self.index.remove(at, key, *place);
                gone += 1;
            }
        }
        self.bindings -= gone;
        gone
    }

    /// Forgets a subscription that is gone, but not what was lost there.
    pub(crate) fn remove_subscription(&mut self, queue: &Arc<Node>, gone: &NodeState) -> usize {
        self.dropped += gone.queue.dropped();
        self.expired += gone.queue.stats().expired;
        self.remove(queue)
    }

    /// Whether it was bound to once, and is not any more.
    pub(crate) fn is_left(&self) -> bool {
        self.was_bound && self.bindings == 0
    }

    pub(crate) fn has(&self, queue: &Arc<Node>) -> bool {
        self.by_queue.contains_key(&place(queue))
    }

    /// The queues behind the subscriptions, each with what links must tell to share it.
    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = (&Arc<Node>, Option<&Share>)> {
        self.targets.iter().filter_map(|(_, target)| {
            let subscribed = target.subscription.as_ref()?;
            Some((&target.queue, subscribed.share.as_ref()))
        })
    }

    /// Forgets all queues: the subscriptions among them, the others, and how many bindings there were.
    pub(crate) fn dissolve(&mut self) -> (Vec<Arc<Node>>, Vec<Arc<Node>>, usize) {
        let targets: Vec<Target> = self.targets.drain().collect();
        let (subscriptions, others): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| target.subscription.is_some());
        let bindings = std::mem::take(&mut self.bindings);
        self.by_queue.clear();
        self.index.clear();
        let queues = |targets: Vec<Target>| targets.into_iter().map(|target| target.queue).collect();
        (queues(subscriptions), queues(others), bindings)
    }

    fn target(&mut self, queue: Arc<Node>, subscription: Option<Subscribed>) -> u32 {
        *self
            .by_queue
            .entry(place(&queue))
            .or_insert_with(|| self.targets.insert(Target { queue, subscription, bindings: BTreeMap::new() }) as u32)
    }
}

/// What an exchange and its subscriptions hold now; `None` for another node.
pub(crate) fn stats(node: &Node) -> Option<ExchangeStats> {
    let state = node.lock();
    let exchange = state.exchange.as_deref()?;
    let subscriptions = exchange.subscriptions().count();
    let mut stats = ExchangeStats {
        subscriptions,
        queues: exchange.targets.len() - subscriptions,
        bindings: exchange.bindings,
        producers: state.queue.stats().producers,
        published: exchange.published,
        unroutable: exchange.unroutable,
        dropped: exchange.dropped,
        expired: exchange.expired,
        ..ExchangeStats::default()
    };
    for (queue, _) in exchange.subscriptions() {
        let bound = queue.lock();
        let queue = bound.queue.stats();
        stats.dropped += bound.queue.dropped();
        stats.expired += queue.expired;
        stats.ready += queue.ready;
        stats.unsettled += queue.unsettled;
        stats.bytes += queue.bytes;
    }
    Some(stats)
}

/// Wakes the senders of an exchange that wait for credit.
pub(crate) fn feed(exchange: &Node) {
    let mut woken: Vec<Wake> = Vec::new();
    exchange.lock().queue.feed(&mut woken);
    crate::mailbox::wake_all(&mut woken);
}

fn place(queue: &Arc<Node>) -> usize {
    Arc::as_ptr(queue) as usize
}

/// Arguments that hold no more memory than their own: what has just been read holds the buffer that it came in.
fn own(arguments: &Map) -> Result<Map, NodeError> {
    if arguments.is_empty() {
        return Ok(Map::default());
    }
    let size = arguments.encoded_len();
    if size > MAX_ARGUMENTS {
        let text = format!("binding arguments of {size} bytes: {MAX_ARGUMENTS} are allowed");
        return Err(NodeError::new(Fault::Limit, text));
    }
    let mut encoded = Vec::with_capacity(size);
    arguments.encode(&mut encoded);
    let owned = Map::decode(&mut Reader::new(&encoded.into()))
        .map_err(|error| NodeError::invalid(format!("binding arguments: {error}")))?;
    Ok(sorted(owned))
}

/// The same arguments in another order are the same.
fn sorted(mut arguments: Map) -> Map {
    arguments.0.sort_by(|(one, _), (other, _)| text(one).cmp(text(other)));
    arguments
}

fn text(key: &Value) -> &str {
    key.as_str().unwrap_or_default()
}
