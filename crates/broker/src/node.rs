//! Nodes: what an address names, and how long it lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use postroad_codec::v1_0::ByteString;

use crate::budget::Lease;
use crate::exchange::{Exchange, ExchangeKind};
use crate::mailbox::Wake;
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
    pub(crate) lifetime: Option<Lifetime>,
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
    creator_gone: bool,
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
        lifetime: Option<Lifetime>,
        limits: QueueLimits,
        lease: Option<Lease>,
    ) -> Arc<Self> {
        let (settings, limits) = options.queue.clone().within(limits);
        let state = NodeState {
            queue: Queue::new(limits, options.rules(&name), lease).configured(&settings),
            exchange: exchange_kind.map(|kind| Box::new(Exchange::new(kind))),
            bound: Vec::new(),
            deleted: false,
            links: 0,
            creator_gone: false,
        };
        let kind = if exchange_kind.is_some() { Kind::Exchange } else { Kind::Queue };
        Arc::new(Self { name, kind, exchange_kind, options, lifetime, state: Mutex::new(state) })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeState {
    /// Whether a node with this lifetime has reached its end.
    pub(crate) fn is_over(&self, lifetime: Lifetime) -> bool {
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
        Some(Self { node, nodes: Arc::clone(nodes), creator, exchange: None })
    }

    /// As a hold on a subscription of an exchange that is held.
    pub(crate) fn within(mut self, exchange: Self) -> Self {
        self.exchange = Some(Box::new(exchange));
        self
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
        drop(state);
        match &self.exchange {
            Some(exchange) if last => subscription::unsubscribe(&exchange.node, &self.node, &self.nodes),
            Some(_) => {}
            None => self.nodes.reap(&self.node),
        }
    }
}
