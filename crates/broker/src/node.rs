//! Nodes: what an address names, and how long it lives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use postroad_codec::v1_0::{ByteString, Error, ErrorCondition};

use crate::budget::{Budget, Lease};
use crate::janitor::Janitor;
use crate::mailbox::{Wake, wake_all};
use crate::options::{NodeOptions, Policies};
use crate::queue::{Dead, Queue, QueueLimits};
use crate::topic::{self, Topic};

/// Something with an address, or a subscription of it.
#[derive(Debug)]
pub(crate) struct Node {
    /// A subscription has that of its topic.
    pub(crate) name: ByteString,
    pub(crate) kind: Kind,
    pub(crate) options: Arc<NodeOptions>,
    pub(crate) lifetime: Option<Lifetime>,
    state: Mutex<NodeState>,
}

/// What a node does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It keeps it until a consumer has settled it.
    Queue,
    /// It gives a copy to each subscription and keeps none.
    Topic,
}

/// What is behind a node's lock.
#[derive(Debug)]
pub(crate) struct NodeState {
    /// A topic's own stays empty: it only knows who sends.
    pub(crate) queue: Queue<Wake>,
    pub(crate) topic: Topic,
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
    fn new(
        name: ByteString,
        kind: Kind,
        options: Arc<NodeOptions>,
        lifetime: Option<Lifetime>,
        limits: QueueLimits,
        lease: Option<Lease>,
    ) -> Arc<Self> {
        let state = NodeState {
            queue: Queue::new(limits, options.rules(&name), lease),
            topic: Topic::default(),
            deleted: false,
            links: 0,
            creator_gone: false,
        };
        Arc::new(Self { name, kind, options, lifetime, state: Mutex::new(state) })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeState {
    fn is_over(&self, lifetime: Lifetime) -> bool {
        match lifetime {
            Lifetime::Close => self.creator_gone,
            Lifetime::NoLinks => self.creator_gone && self.links == 0,
            Lifetime::NoMessages => self.creator_gone && self.queue.is_empty(),
            Lifetime::NoLinksOrMessages => self.creator_gone && self.links == 0 && self.queue.is_empty(),
        }
    }
}

/// The nodes of a broker by name.
#[derive(Debug)]
pub(crate) struct Nodes {
    map: RwLock<HashMap<ByteString, Arc<Node>>>,
    limits: NodeLimits,
    policies: Policies,
    pub(crate) janitor: Janitor,
    pub(crate) budget: Arc<Budget>,
}

/// How many nodes there may be, and how much is in each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeLimits {
    pub(crate) nodes: usize,
    pub(crate) subscriptions: usize,
    pub(crate) queue: QueueLimits,
    pub(crate) subscription: QueueLimits,
    /// Bytes in all of them.
    pub(crate) bytes: usize,
}

/// The longest name of a node, in bytes.
const MAX_NAME: usize = 1024;

impl Nodes {
    pub(crate) fn new(limits: NodeLimits, policies: Policies) -> Self {
        let budget = Budget::new(limits.bytes);
        Self { map: RwLock::default(), limits, policies, janitor: Janitor::default(), budget }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Node>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn names(&self, kind: Kind) -> Vec<ByteString> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.values().filter(|node| node.kind == kind).map(|node| node.name.clone()).collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Node>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How many subscriptions a topic may have.
    pub(crate) fn max_subscriptions(&self) -> usize {
        self.limits.subscriptions
    }

    /// Makes the queue behind a subscription, which lives as long as links use it.
    pub(crate) fn subscription(&self, topic: &Node) -> Arc<Node> {
        Node::new(topic.name.clone(), Kind::Queue, Arc::clone(&topic.options), None, self.limits.subscription, None)
    }

    /// Finds a node or makes it, and tells whether it was made. One that is there may be of another kind.
    pub(crate) fn declare(
        &self,
        name: &str,
        kind: Kind,
        lifetime: Option<Lifetime>,
    ) -> Result<(Arc<Node>, bool), Error> {
        if name.is_empty() || name.len() > MAX_NAME {
            let text = format!("a name of {} bytes: 1 to {MAX_NAME} are allowed", name.len());
            return Err(Error::new(ErrorCondition::INVALID_FIELD, text));
        }
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = map.get(name) {
            return Ok((Arc::clone(node), false));
        }
        if map.len() >= self.limits.nodes {
            let text = format!("the broker has {} nodes and takes no more", self.limits.nodes);
            return Err(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        let options = Arc::clone(self.policies.of(name));
        let node = Node::new(name.into(), kind, options, lifetime, self.limits.queue, Some(Lease::new(&self.budget)));
        map.insert(node.name.clone(), Arc::clone(&node));
        Ok((node, true))
    }

    /// Deletes a node; the links to and from it are detached.
    pub(crate) fn delete(&self, name: &str, kind: Kind) -> bool {
        let Some(node) = self.find(name).filter(|node| node.kind == kind) else { return false };
        let mut state = node.lock();
        let mut woken = mark_deleted(&mut state);
        drop(state);
        self.forget(&node);
        wake_all(&mut woken);
        true
    }

    /// Deletes a node whose time is over.
    pub(crate) fn reap(&self, node: &Arc<Node>) {
        let Some(lifetime) = node.lifetime else { return };
        let mut state = node.lock();
        if state.deleted || !state.is_over(lifetime) {
            return;
        }
        let mut woken = mark_deleted(&mut state);
        drop(state);
        self.forget(node);
        wake_all(&mut woken);
    }

    fn forget(&self, node: &Arc<Node>) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if map.get(&node.name).is_some_and(|found| Arc::ptr_eq(found, node)) {
            map.remove(&node.name);
        }
    }
}

fn mark_deleted(state: &mut NodeState) -> Vec<Wake> {
    state.deleted = true;
    // Others may hold the node for long: a link of the anonymous terminus remembers its last one.
    state.queue.clear();
    let mut woken = topic::dissolve(state);
    woken.extend(state.queue.users());
    woken
}

/// A link's hold on a node: as long as it exists, the node has this link.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) node: Arc<Node>,
    nodes: Arc<Nodes>,
    creator: bool,
    /// The topic, where the node is a subscription.
    topic: Option<Box<Self>>,
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
        Some(Self { node, nodes: Arc::clone(nodes), creator, topic: None })
    }

    /// As a hold on a subscription of a topic that is held.
    pub(crate) fn within(mut self, topic: Self) -> Self {
        self.topic = Some(Box::new(topic));
        self
    }

    pub(crate) fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// The node that has the address: of a subscription, its topic.
    pub(crate) fn addressed(&self) -> &Node {
        self.topic.as_ref().map_or(&*self.node, |topic| &*topic.node)
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
        match &self.topic {
            Some(topic) if last => topic::unsubscribe(&topic.node, &self.node),
            Some(_) => {}
            None => self.nodes.reap(&self.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use postroad_codec::v1_0::MessageFormat;

    use super::*;
    use crate::message::Held;

    #[test]
    fn a_deleted_node_holds_no_messages() {
        let queue = QueueLimits { messages: 10, bytes: 1000 };
        let limits = NodeLimits { nodes: 1, subscriptions: 1, queue, subscription: queue, bytes: 1000 };
        let nodes = Nodes::new(limits, Policies::default());
        let (node, _) = nodes.declare("a", Kind::Queue, None).unwrap();
        node.lock().queue.push(Held::new(Bytes::from_static(b"message"), MessageFormat(0))).unwrap();
        assert_eq!(node.lock().queue.available(), 1);
        assert!(nodes.delete("a", Kind::Queue));
        assert_eq!(node.lock().queue.available(), 0);
    }
}
