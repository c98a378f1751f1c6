//! The nodes of a broker by name, and what can be done to them, whatever protocol asks.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Instant;

use postroad_codec::v1_0::ByteString;

use crate::budget::{Budget, Lease};
use crate::declaration::{Declaration, Declared, Owner};
use crate::exchange::{Exchange, ExchangeKind, Transit};
use crate::janitor::Janitor;
use crate::mailbox::{Wake, wake_all};
use crate::node::{Kind, Node, NodeState};
use crate::node_error::{Fault, NodeError};
use crate::options::{NodeOptions, Policies};
use crate::queue::QueueLimits;
use crate::settings::QueueSettings;

mod bindings;

use bindings::leave;

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

/// So many exchanges may follow each other as alternate exchanges: what nobody has a binding for goes through all of them,
/// and each is there as long as the one before.
const MAX_DETOURS: usize = 32;

/// Names that begin so are the broker's.
pub(crate) const RESERVED: &str = "amq.";

/// The node by which the broker is managed.
pub(crate) const MANAGEMENT: &str = "$management";

impl Nodes {
    /// No nodes but the exchanges that every broker has.
    pub(crate) fn new(limits: NodeLimits, policies: Policies) -> Self {
        let budget = Budget::new(limits.bytes);
        let (names, bindings, janitor) = (RwLock::default(), AtomicUsize::new(0), Janitor::default());
        let nodes = Self { names, limits, policies, bindings, janitor, budget };
        let mut names = nodes.names.write().unwrap_or_else(PoisonError::into_inner);
        for (kind, name) in ExchangeKind::ALL {
            let node = nodes.node(name, Some(kind), Declared::default(), &QueueSettings::default());
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
        Node::new(exchange.name.clone(), None, options, Declared::default(), self.limits.subscription, None)
    }

    /// Finds a queue or makes it for somebody, and tells whether it was made. One that is there may be otherwise.
    pub(crate) fn declare_queue(
        &self,
        name: &str,
        declaration: &Declaration,
        owner: Option<Owner>,
    ) -> Result<(Arc<Node>, bool), NodeError> {
        self.declare(name, None, declaration, owner.filter(|_| declaration.exclusive))
    }

    /// Finds an exchange or makes it, and tells whether it was made. One that is there may be otherwise, and of another kind.
    pub(crate) fn declare_exchange(
        &self,
        name: &str,
        declaration: &Declaration,
    ) -> Result<(Arc<Node>, bool), NodeError> {
        self.declare(name, Some(declaration.exchange_kind.unwrap_or(ExchangeKind::Topic)), declaration, None)
    }

    fn declare(
        &self,
        name: &str,
        exchange_kind: Option<ExchangeKind>,
        declaration: &Declaration,
        owner: Option<Owner>,
    ) -> Result<(Arc<Node>, bool), NodeError> {
        if name.is_empty() || name.len() > MAX_NAME {
            let text = format!("a name of {} bytes: 1 to {MAX_NAME} are allowed", name.len());
            return Err(NodeError::invalid(text));
        }
        let kind = if exchange_kind.is_some() { Kind::Exchange } else { Kind::Queue };
        if let Some(node) = self.find_kind(name, kind) {
            if !node.lock().deleted {
                return Ok((node, false));
            }
            self.forget(&node);
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = names.of(kind).get(name) {
            return Ok((Arc::clone(node), false));
        }
        if is_reserved(name) {
            let text = format!("{name:?}: names that begin with {RESERVED:?}, and {MANAGEMENT:?}, are the broker's");
            return Err(NodeError::new(Fault::NotAllowed, text));
        }
        if names.queues.len() + names.exchanges.len() >= self.limits.nodes.saturating_add(ExchangeKind::ALL.len()) {
            let text = format!("the broker has {} nodes and takes no more", self.limits.nodes);
            return Err(NodeError::new(Fault::Limit, text));
        }
        declaration.check()?;
        let alternate = declaration.alternate_exchange.as_deref();
        let alternate = alternate.map(|alternate| names.take_alternate(alternate)).transpose()?;
        let Declaration { lifetime, auto_delete, .. } = *declaration;
        let detours = alternate.as_ref().map_or(0, |alternate| alternate.declared.detours + 1);
        let declared = Declared { lifetime, auto_delete, owner, alternate, detours };
        let node = self.node(name, exchange_kind, declared, &declaration.settings);
        names.of_mut(kind).insert(node.name.clone(), Arc::clone(&node));
        Ok((node, true))
    }

    fn node(
        &self,
        name: &str,
        exchange_kind: Option<ExchangeKind>,
        declared: Declared,
        settings: &QueueSettings,
    ) -> Arc<Node> {
        let (options, lease) = (self.policies.of(name), Lease::new(&self.budget));
        let mut own = options.queue.clone();
        for (key, value) in settings.all() {
            // What is in force once can be set once more.
            let _ = own.set(key, &value);
        }
        let (own, _) = own.within(self.limits.queue);
        let same = own == options.queue;
        let options =
            if same { Arc::clone(options) } else { Arc::new(NodeOptions { queue: own, ..(**options).clone() }) };
        if options.queue.ttl.is_some() {
            self.janitor.call();
        }
        Node::new(name.into(), exchange_kind, options, declared, self.limits.queue, Some(lease))
    }

    /// Deletes a node, and tells whether there was one; the links to and from it are detached.
    pub(crate) fn delete(&self, name: &str, kind: Kind) -> Result<bool, NodeError> {
        self.delete_if(name, kind, |_| Ok(()))
    }

    /// As [`Nodes::delete`], if nothing speaks against it.
    pub(crate) fn delete_if(
        &self,
        name: &str,
        kind: Kind,
        check: impl FnOnce(&NodeState) -> Result<(), NodeError>,
    ) -> Result<bool, NodeError> {
        let Some(node) = self.find_kind(name, kind) else { return Ok(false) };
        if is_reserved(name) {
            let text = format!("{name:?} is the broker's, and stays");
            return Err(NodeError::new(Fault::NotAllowed, text));
        }
        let state = node.lock();
        if state.deleted {
            return Ok(false);
        }
        if state.is_alternate() {
            let text = format!("exchange {name:?} is the alternate exchange of others");
            return Err(NodeError::new(Fault::NotAllowed, text));
        }
        check(&state)?;
        self.bring_down(&node, state);
        Ok(true)
    }

    /// Deletes a node whose time is over.
    pub(crate) fn reap(&self, node: &Arc<Node>) {
        let declared = &node.declared;
        if declared.lifetime.is_none() && !declared.auto_delete {
            return;
        }
        let mut state = node.lock();
        if state.deleted || state.is_alternate() {
            return;
        }
        if !state.is_over(declared) {
            state.over_since = None;
            return;
        }
        if let Some(timeout) = node.options.queue.auto_delete_timeout.filter(|_| node.kind == Kind::Queue) {
            let now = Instant::now();
            let since = *state.over_since.get_or_insert(now);
            if now.saturating_duration_since(since) < timeout {
                drop(state);
                // Who comes by next is the janitor.
                return self.janitor.call();
            }
        }
        self.bring_down(node, state);
    }

    /// Deletes a node whose lock is held.
    fn bring_down(&self, node: &Arc<Node>, mut state: MutexGuard<'_, NodeState>) {
        state.deleted = true;
        // Others may hold the node for long: a link of the anonymous terminus remembers its last one.
        let left = state.queue.drain();
        let mut woken: Vec<Wake> = state.queue.users();
        let exchanges: Vec<Weak<Node>> = std::mem::take(&mut state.bound);
        let (subscriptions, queues, mut bindings) =
            state.exchange.as_deref_mut().map(Exchange::dissolve).unwrap_or_default();
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
        let exchanges: Vec<Arc<Node>> = exchanges.iter().filter_map(Weak::upgrade).collect();
        for exchange in &exchanges {
            let mut state = exchange.lock();
            bindings += state.exchange.as_deref_mut().map_or(0, |bindings| bindings.remove(node));
        }
        self.give_bindings(bindings);
        self.leave_behind(node, left);
        if let Some(alternate) = &node.declared.alternate {
            let mut state = alternate.lock();
            if let Some(exchange) = state.exchange.as_deref_mut() {
                exchange.alternate_of -= 1;
            }
            drop(state);
            self.reap(alternate);
        }
        wake_all(&mut woken);
        for exchange in &exchanges {
            self.reap(exchange);
        }
    }

    /// Forgets a node that is deleted. Whoever finds one before those who delete it have come to that does it too.
    pub(crate) fn forget(&self, node: &Arc<Node>) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let of_kind = names.of_mut(node.kind);
        if of_kind.get(&node.name).is_some_and(|found| Arc::ptr_eq(found, node)) {
            of_kind.remove(&node.name);
        }
    }

    /// The passage of messages through an exchange whose lock is held.
    pub(crate) fn transit(&self, exchange: &Node, state: &NodeState, now: Instant) -> Transit {
        Transit::new(exchange, state, self, now)
    }

    fn look<T>(&self, look: impl FnOnce(&Names) -> T) -> T {
        look(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl NodeState {
    fn is_alternate(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.alternate_of > 0)
    }
}

impl Names {
    /// Finds the exchange that is to be the alternate one of a node, which it is from then on.
    fn take_alternate(&self, name: &str) -> Result<Arc<Node>, NodeError> {
        let missing = || NodeError::not_found(format!("no exchange {name:?}, which is to be the alternate exchange"));
        let node = self.exchanges.get(name).ok_or_else(missing)?;
        if node.declared.detours >= MAX_DETOURS {
            let text = format!("exchange {name:?} is the last of {MAX_DETOURS} that have alternate exchanges in a row");
            return Err(NodeError::new(Fault::Limit, text));
        }
        let mut state = node.lock();
        if state.deleted {
            return Err(missing());
        }
        if let Some(exchange) = state.exchange.as_deref_mut() {
            exchange.alternate_of += 1;
        }
        Ok(Arc::clone(node))
    }

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

fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED) || name == MANAGEMENT
}

#[cfg(test)]
mod tests;
