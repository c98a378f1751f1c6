//! The nodes of a broker by name, and what can be done to them, whatever protocol asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use postroad_codec::v1_0::{ByteString, Map};

use crate::budget::{Budget, Lease};
use crate::exchange::{Aftermath, ExchangeKind, Transit};
use crate::janitor::Janitor;
use crate::mailbox::{Wake, wake_all};
use crate::node::{Kind, Lifetime, Node, NodeState};
use crate::node_error::{Fault, NodeError};
use crate::options::Policies;
use crate::queue::QueueLimits;

/// The nodes of a broker. Queues and exchanges have names of their own: one of each may have the same.
#[derive(Debug)]
pub(crate) struct Nodes {
    names: RwLock<Names>,
    limits: NodeLimits,
    policies: Policies,
    /// Bindings of all exchanges.
    bindings: AtomicUsize,
    pub(crate) janitor: Janitor,
    pub(crate) budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Names {
    queues: HashMap<ByteString, Arc<Node>>,
    exchanges: HashMap<ByteString, Arc<Node>>,
}

/// How many nodes there may be, and how much is in each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeLimits {
    /// Beside the exchanges that every broker has.
    pub(crate) nodes: usize,
    pub(crate) subscriptions: usize,
    /// Of all exchanges.
    pub(crate) bindings: usize,
    pub(crate) queue: QueueLimits,
    pub(crate) subscription: QueueLimits,
    /// Bytes in all of them.
    pub(crate) bytes: usize,
}

/// The longest name of a node, in bytes.
const MAX_NAME: usize = 1024;

/// Names that begin so are the broker's.
pub(crate) const RESERVED: &str = "amq.";

impl Nodes {
    /// No nodes but the exchanges that every broker has.
    pub(crate) fn new(limits: NodeLimits, policies: Policies) -> Self {
        let budget = Budget::new(limits.bytes);
        let (names, bindings, janitor) = (RwLock::default(), AtomicUsize::new(0), Janitor::default());
        let nodes = Self { names, limits, policies, bindings, janitor, budget };
        let mut names = nodes.names.write().unwrap_or_else(PoisonError::into_inner);
        for (kind, name) in ExchangeKind::ALL {
            let node = nodes.node(name, Some(kind), None);
            names.exchanges.insert(node.name.clone(), node);
        }
        drop(names);
        nodes
    }

    /// The queue of that name, or else the exchange.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Node>> {
        self.look(|names| names.queues.get(name).or_else(|| names.exchanges.get(name)).cloned())
    }

    pub(crate) fn find_kind(&self, name: &str, kind: Kind) -> Option<Arc<Node>> {
        self.look(|names| names.of(kind).get(name).cloned())
    }

    pub(crate) fn names(&self, kind: Kind) -> Vec<ByteString> {
        self.look(|names| names.of(kind).keys().cloned().collect())
    }

    /// The names of the exchanges of a kind.
    pub(crate) fn exchanges(&self, kind: ExchangeKind) -> Vec<ByteString> {
        self.look(|names| {
            let of_kind = names.exchanges.values().filter(|node| node.exchange_kind == Some(kind));
            of_kind.map(|node| node.name.clone()).collect()
        })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Node>> {
        self.look(|names| names.queues.values().chain(names.exchanges.values()).cloned().collect())
    }

    /// How many subscriptions an exchange may have.
    pub(crate) fn max_subscriptions(&self) -> usize {
        self.limits.subscriptions
    }

    /// Makes the queue behind a subscription, which lives as long as links use it.
    pub(crate) fn subscription(&self, exchange: &Node) -> Arc<Node> {
        let options = Arc::clone(&exchange.options);
        Node::new(exchange.name.clone(), None, options, None, self.limits.subscription, None)
    }

    /// Finds a queue or makes it, and tells whether it was made.
    pub(crate) fn declare_queue(&self, name: &str, lifetime: Option<Lifetime>) -> Result<(Arc<Node>, bool), NodeError> {
        self.declare(name, None, lifetime)
    }

    /// Finds an exchange or makes it, and tells whether it was made. One that is there may be of another kind.
    pub(crate) fn declare_exchange(
        &self,
        name: &str,
        kind: ExchangeKind,
        lifetime: Option<Lifetime>,
    ) -> Result<(Arc<Node>, bool), NodeError> {
        self.declare(name, Some(kind), lifetime)
    }

    fn declare(
        &self,
        name: &str,
        exchange_kind: Option<ExchangeKind>,
        lifetime: Option<Lifetime>,
    ) -> Result<(Arc<Node>, bool), NodeError> {
        if name.is_empty() || name.len() > MAX_NAME {
            let text = format!("a name of {} bytes: 1 to {MAX_NAME} are allowed", name.len());
            return Err(NodeError::invalid(text));
        }
        let kind = if exchange_kind.is_some() { Kind::Exchange } else { Kind::Queue };
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = names.of(kind).get(name) {
            return Ok((Arc::clone(node), false));
        }
        if name.starts_with(RESERVED) {
            let text = format!("{name:?}: names that begin with {RESERVED:?} are the broker's");
            return Err(NodeError::new(Fault::NotAllowed, text));
        }
        if names.queues.len() + names.exchanges.len() >= self.limits.nodes.saturating_add(ExchangeKind::ALL.len()) {
            let text = format!("the broker has {} nodes and takes no more", self.limits.nodes);
            return Err(NodeError::new(Fault::Limit, text));
        }
        let node = self.node(name, exchange_kind, lifetime);
        names.of_mut(kind).insert(node.name.clone(), Arc::clone(&node));
        Ok((node, true))
    }

    fn node(&self, name: &str, exchange_kind: Option<ExchangeKind>, lifetime: Option<Lifetime>) -> Arc<Node> {
        let (options, lease) = (Arc::clone(self.policies.of(name)), Lease::new(&self.budget));
        if options.queue.ttl.is_some() {
            self.janitor.call();
        }
        Node::new(name.into(), exchange_kind, options, lifetime, self.limits.queue, Some(lease))
    }

    /// Binds a queue to an exchange, and tells whether the binding is new.
    pub(crate) fn bind(&self, exchange: &str, queue: &str, key: &str, arguments: &Map) -> Result<bool, NodeError> {
        let (exchange, queue) = (self.exchange(exchange)?, self.queue(queue)?);
        self.take_binding()?;
        let bound = bind(&exchange, &queue, key, arguments);
        if !matches!(bound, Ok(true)) {
            self.give_bindings(1);
        }
        bound
    }

    /// Removes the bindings of a queue by a key, those with these arguments alone where some are given.
    pub(crate) fn unbind(
        &self,
        exchange: &str,
        queue: &str,
        key: &str,
        arguments: Option<&Map>,
    ) -> Result<(), NodeError> {
        let (exchange, queue) = (self.exchange(exchange)?, self.queue(queue)?);
        let mut state = exchange.lock();
        let Some(bindings) = state.exchange.as_deref_mut() else { return Ok(()) };
        let gone = bindings.unbind(&queue, key, arguments);
        if gone == 0 {
            let text = format!("queue {:?} is not bound to exchange {:?} by {key:?}", &*queue.name, &*exchange.name);
            return Err(NodeError::not_found(text));
        }
        if !bindings.has(&queue) {
            leave(&queue, &exchange);
        }
        drop(state);
        self.give_bindings(gone);
        Ok(())
    }

    /// Whether there is such a binding; whatever is left out may be anything.
    pub(crate) fn is_bound(
        &self,
        exchange: &str,
        queue: Option<&str>,
        key: Option<&str>,
        arguments: Option<&Map>,
    ) -> Result<bool, NodeError> {
        let exchange = self.exchange(exchange)?;
        let queue = queue.map(|queue| self.queue(queue)).transpose()?;
        let state = exchange.lock();
        Ok(state.exchange.as_deref().is_some_and(|bindings| bindings.is_bound(queue.as_ref(), key, arguments)))
    }

    /// Takes the place for a binding.
    pub(crate) fn take_binding(&self) -> Result<(), NodeError> {
        let max = self.limits.bindings;
        let more = |bindings: usize| (bindings < max).then_some(bindings + 1);
        match self.bindings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(_) => Err(NodeError::new(Fault::Limit, format!("the broker has {max} bindings and takes no more"))),
        }
    }

    pub(crate) fn give_bindings(&self, bindings: usize) {
        self.bindings.fetch_sub(bindings, Ordering::Relaxed);
    }

    fn exchange(&self, name: &str) -> Result<Arc<Node>, NodeError> {
        let found = self.find_kind(name, Kind::Exchange);
        found.ok_or_else(|| NodeError::not_found(format!("no exchange {name:?}")))
    }

    fn queue(&self, name: &str) -> Result<Arc<Node>, NodeError> {
        let found = self.find_kind(name, Kind::Queue);
        found.ok_or_else(|| NodeError::not_found(format!("no queue {name:?}")))
    }

    /// Deletes a node, and tells whether there was one; the links to and from it are detached.
    pub(crate) fn delete(&self, name: &str, kind: Kind) -> Result<bool, NodeError> {
        let Some(node) = self.find_kind(name, kind) else { return Ok(false) };
        if name.starts_with(RESERVED) {
            let text = format!("{name:?} is the broker's, and stays");
            return Err(NodeError::new(Fault::NotAllowed, text));
        }
        let state = node.lock();
        if !state.deleted {
            self.bring_down(&node, state);
        }
        Ok(true)
    }

    /// Deletes a node whose time is over.
    pub(crate) fn reap(&self, node: &Arc<Node>) {
        let Some(lifetime) = node.lifetime else { return };
        let state = node.lock();
        if !state.deleted && state.is_over(lifetime) {
            self.bring_down(node, state);
        }
    }

    /// Deletes a node whose lock is held.
    fn bring_down(&self, node: &Arc<Node>, mut state: std::sync::MutexGuard<'_, NodeState>) {
        state.deleted = true;
        // Others may hold the node for long: a link of the anonymous terminus remembers its last one.
        state.queue.clear();
        let mut woken: Vec<Wake> = state.queue.users();
        let exchanges: Vec<Weak<Node>> = std::mem::take(&mut state.bound);
        let (subscriptions, queues, mut bindings) =
            state.exchange.as_deref_mut().map(crate::exchange::Exchange::dissolve).unwrap_or_default();
        for subscription in subscriptions {
            let mut bound = subscription.lock();
            bound.deleted = true;
            bound.queue.clear();
            woken.extend(bound.queue.users().into_iter().filter(|wake| !matches!(wake, Wake::Exchange(_))));
        }
        drop(state);
        self.forget(node);
        for queue in queues {
            leave(&queue, node);
        }
        for exchange in exchanges.iter().filter_map(Weak::upgrade) {
            let mut state = exchange.lock();
            bindings += state.exchange.as_deref_mut().map_or(0, |bindings| bindings.remove(node));
        }
        self.give_bindings(bindings);
        wake_all(&mut woken);
    }

    fn forget(&self, node: &Arc<Node>) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let of_kind = names.of_mut(node.kind);
        if of_kind.get(&node.name).is_some_and(|found| Arc::ptr_eq(found, node)) {
            of_kind.remove(&node.name);
        }
    }

    /// Does what is left when messages have gone through an exchange. Call it without holding a lock.
    pub(crate) fn attend(&self, aftermath: Aftermath) {
        for (queue, dead) in aftermath.dead {
            self.bury(&queue, dead);
        }
    }

    /// The passage of messages through an exchange whose lock is held.
    pub(crate) fn transit(&self, exchange: &Node, state: &NodeState, now: std::time::Instant) -> Transit {
        Transit::new(exchange, state, self, now)
    }

    fn look<T>(&self, look: impl FnOnce(&Names) -> T) -> T {
        look(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Names {
    fn of(&self, kind: Kind) -> &HashMap<ByteString, Arc<Node>> {
        match kind {
            Kind::Queue => &self.queues,
            Kind::Exchange => &self.exchanges,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut HashMap<ByteString, Arc<Node>> {
        match kind {
            Kind::Queue => &mut self.queues,
            Kind::Exchange => &mut self.exchanges,
        }
    }
}

fn bind(exchange: &Arc<Node>, queue: &Arc<Node>, key: &str, arguments: &Map) -> Result<bool, NodeError> {
    let deleted = |node: &Node| NodeError::new(Fault::Deleted, format!("node {:?} was deleted", &*node.name));
    let mut state = exchange.lock();
    if state.deleted {
        return Err(deleted(exchange));
    }
    let Some(bindings) = state.exchange.as_deref_mut() else { return Ok(false) };
    let had = bindings.has(queue);
    let mut bound = queue.lock();
    if bound.deleted {
        return Err(deleted(queue));
    }
    let fresh = bindings.bind(queue, key, arguments)?;
    if !had {
        bound.bound.push(Arc::downgrade(exchange));
    }
    Ok(fresh)
}

/// Has a queue forget an exchange that it is not bound to any more.
fn leave(queue: &Node, exchange: &Arc<Node>) {
    let exchange = Arc::downgrade(exchange);
    queue.lock().bound.retain(|bound| !bound.ptr_eq(&exchange));
}

#[cfg(test)]
mod tests;
