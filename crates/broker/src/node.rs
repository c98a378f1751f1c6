//! Nodes: what an address names, and how long it lives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use postroad_codec::v1_0::{ByteString, Error, ErrorCondition};

use crate::mailbox::{Wake, wake_all};
use crate::queue::{Queue, QueueLimits};

/// Something with an address. Queues are the only kind so far.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: ByteString,
    pub(crate) lifetime: Option<Lifetime>,
    state: Mutex<NodeState>,
}

/// What is behind a node's lock.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) queue: Queue<Wake>,
    /// Nobody can reach it any more; whoever still uses it is to detach.
    pub(crate) deleted: bool,
    links: usize,
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
    max: usize,
    limits: QueueLimits,
}

/// The longest name of a node, in bytes.
const MAX_NAME: usize = 1024;

impl Nodes {
    pub(crate) fn new(max: usize, limits: QueueLimits) -> Self {
        Self { map: RwLock::default(), max, limits }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Node>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<ByteString> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Finds a queue or makes it, and tells whether it was made.
    pub(crate) fn declare(&self, name: &str, lifetime: Option<Lifetime>) -> Result<(Arc<Node>, bool), Error> {
        if name.is_empty() || name.len() > MAX_NAME {
            let text = format!("a name of {} bytes: 1 to {MAX_NAME} are allowed", name.len());
            return Err(Error::new(ErrorCondition::INVALID_FIELD, text));
        }
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = map.get(name) {
            return Ok((Arc::clone(node), false));
        }
        if map.len() >= self.max {
            let text = format!("the broker has {} nodes and takes no more", self.max);
            return Err(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        let state = NodeState { queue: Queue::new(self.limits), deleted: false, links: 0, creator_gone: false };
        let node = Arc::new(Node { name: name.into(), lifetime, state: Mutex::new(state) });
        map.insert(node.name.clone(), Arc::clone(&node));
        Ok((node, true))
    }

    /// Deletes a node; the links to and from it are detached.
    pub(crate) fn delete(&self, name: &str) -> bool {
        let Some(node) = self.find(name) else { return false };
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
    state.queue.users()
}

/// A link's hold on a node: as long as it exists, the node has this link.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) node: Arc<Node>,
    nodes: Arc<Nodes>,
    creator: bool,
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
        Some(Self { node, nodes: Arc::clone(nodes), creator })
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
        drop(state);
        self.nodes.reap(&self.node);
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
        let nodes = Nodes::new(1, QueueLimits { messages: 10, bytes: 1000 });
        let (node, _) = nodes.declare("a", None).unwrap();
        node.lock().queue.push(Held::new(Bytes::from_static(b"message"), MessageFormat(0))).unwrap();
        assert_eq!(node.lock().queue.available(), 1);
        assert!(nodes.delete("a"));
        assert_eq!(node.lock().queue.available(), 0);
    }
}
