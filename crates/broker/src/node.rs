//! Nodes: what an address names, and how long it lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use postroad_codec::v1_0::ByteString;

use crate::budget::Lease;
use crate::declaration::{Declared, Owner};
use crate::exchange::{Exchange, ExchangeKind};
use crate::filter::Origin;
use crate::mailbox::Wake;
use crate::node_error::{Fault, NodeError};
pub(crate) use crate::nodes::{NodeLimits, Nodes};
use crate::options::NodeOptions;
use crate::queue::{Dead, Queue, QueueLimits};
use crate::subscription;

/// Something with an address, or a subscription of it.
#[derive(Debug)]
pub(crate) struct Node {
    /// A subscription has that of its exchange.
    pub(crate) name: ByteString,
    pub(crate) kind: Kind,
    /// Of an exchange.
    pub(crate) exchange_kind: Option<ExchangeKind>,
    pub(crate) options: Arc<NodeOptions>,
    pub(crate) declared: Declared,
    state: Mutex<NodeState>,
}

/// What a node does with a message. Each kind has names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It keeps it until a consumer has settled it.
    Queue,
    /// It gives a copy to each queue that is bound for it, and keeps none.
    Exchange,
}

/// What is behind a node's lock.
#[derive(Debug)]
pub(crate) struct NodeState {
    /// An exchange's own stays empty: it only knows who sends.
    pub(crate) queue: Queue<Wake>,
    /// What makes it an exchange.
    pub(crate) exchange: Option<Box<Exchange>>,
    /// The exchanges that a queue is bound to, subscriptions aside.
    pub(crate) bound: Vec<Weak<Node>>,
    /// Nobody can reach it any more; whoever still uses it is to detach.
    pub(crate) deleted: bool,
    pub(crate) links: usize,
    /// Links among these that take or read its messages.
    consumers: usize,
    creator_gone: bool,
    /// Whether the last consumer has gone.
    unconsumed: bool,
    /// Since when nothing keeps it any more, where it stays for a while all the same.
    pub(crate) over_since: Option<Instant>,
}

/// What a node that a link created does not survive (AMQP 1.0 part 3, 3.5.10 to 3.5.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Close,
    NoLinks,
    NoMessages,
    NoLinksOrMessages,
}

impl Node {
    pub(crate) fn new(
        name: ByteString,
        exchange_kind: Option<ExchangeKind>,
        options: Arc<NodeOptions>,
        declared: Declared,
        limits: QueueLimits,
        lease: Option<Lease>,
    ) -> Arc<Self> {
        let mut rules = options.rules(&name);
        rules.keeps_rejected = rules.keeps_dead || declared.alternate.is_some();
        let (settings, limits) = options.queue.clone().within(limits);
        let state = NodeState {
            queue: Queue::new(limits, rules, lease).configured(&settings, declared.owner.as_ref().map(Origin::of)),
            exchange: exchange_kind.map(|kind| Box::new(Exchange::new(kind))),
            bound: Vec::new(),
            deleted: false,
            links: 0,
            consumers: 0,
            creator_gone: false,
            unconsumed: false,
            over_since: None,
        };
        let kind = if exchange_kind.is_some() { Kind::Exchange } else { Kind::Queue };
        Arc::new(Self { name, kind, exchange_kind, options, declared, state: Mutex::new(state) })
    }

    /// Whether a message that its consumer rejects goes anywhere.
    pub(crate) fn keeps_rejected(&self) -> bool {
        self.options.dead_letter.is_some() || self.declared.alternate.is_some()
    }

    /// Refuses whoever is not the owner of an exclusive queue.
    pub(crate) fn check_owner(&self, who: impl FnOnce() -> Owner) -> Result<(), NodeError> {
        match &self.declared.owner {
            Some(owner) if *owner != who() => {
                let text = format!("queue {:?} is exclusive to another client", &*self.name);
                Err(NodeError::new(Fault::Locked, text))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeState {
    /// Whether anybody consumes from the queue, or anything is bound to the exchange.
    pub(crate) fn is_used(&self) -> bool {
        self.consumers > 0 || self.exchange.as_ref().is_some_and(|exchange| exchange.is_bound(None, None, None))
    }

    /// Whether a node that was declared so has reached its end.
    pub(crate) fn is_over(&self, declared: &Declared) -> bool {
        if declared.auto_delete {
            let over = match &self.exchange {
                None => self.unconsumed && self.consumers == 0,
                Some(exchange) => exchange.is_left(),
            };
            if over {
                return true;
            }
        }
        let Some(lifetime) = declared.lifetime else { return false };
        match lifetime {
            Lifetime::Close => self.creator_gone,
            Lifetime::NoLinks => self.creator_gone && self.links == 0,
            Lifetime::NoMessages => self.creator_gone && self.queue.is_empty(),
            Lifetime::NoLinksOrMessages => self.creator_gone && self.links == 0 && self.queue.is_empty(),
        }
    }
}

/// A link's hold on a node: as long as it exists, the node has this link.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) node: Arc<Node>,
    nodes: Arc<Nodes>,
    creator: bool,
    consumes: bool,
    /// The exchange, where the node is a subscription.
    exchange: Option<Box<Self>>,
}

impl Hold {
    /// Holds a node, unless it has just been deleted.
    pub(crate) fn new(node: Arc<Node>, nodes: &Arc<Nodes>, creator: bool) -> Option<Self> {
        let mut state = node.lock();
        if state.deleted {
            return None;
        }
        state.links += 1;
        drop(state);
        Some(Self { node, nodes: Arc::clone(nodes), creator, consumes: false, exchange: None })
    }

    /// As a hold on a subscription of an exchange that is held.
    pub(crate) fn within(mut self, exchange: Self) -> Self {
        self.exchange = Some(Box::new(exchange));
        self
    }

    /// As the hold of a link that takes or reads messages: an auto-delete queue goes with the last of them, and perhaps has
    /// just gone with another one: then there is nothing to hold.
    pub(crate) fn consuming(mut self) -> Option<Self> {
        let mut state = self.node.lock();
        if state.deleted {
            return None;
        }
        state.consumers += 1;
        state.over_since = None;
        drop(state);
        self.consumes = true;
        Some(self)
    }

    pub(crate) fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// The node that has the address: of a subscription, its exchange.
    pub(crate) fn addressed(&self) -> &Node {
        self.exchange.as_ref().map_or(&*self.node, |exchange| &*exchange.node)
    }

    /// Moves what died in the node to its dead-letter node.
    pub(crate) fn bury(&self, dead: Vec<Dead>) {
        self.nodes.bury(&self.node, dead);
    }

    /// Checks whether the node's time is over, after messages have gone.
    pub(crate) fn reap(&self) {
        self.nodes.reap(&self.node);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.node.lock();
        state.links -= 1;
        state.creator_gone |= self.creator;
        let last = state.links == 0;
        state.consumers -= usize::from(self.consumes);
        state.unconsumed |= self.consumes && state.consumers == 0;
        drop(state);
        match &self.exchange {
            Some(exchange) if last => subscription::unsubscribe(&exchange.node, &self.node, &self.nodes),
            Some(_) => {}
            None => self.nodes.reap(&self.node),
        }
    }
}
