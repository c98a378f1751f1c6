//! What a transaction posts to one node, with the room for it.

use std::sync::Arc;
use std::time::Instant;

use postroad_codec::v1_0::{Error, ErrorCondition};

use crate::mailbox::{Wake, wake_all};
use crate::message::Held;
use crate::node::{Kind, Node, NodeState, Nodes};
use crate::queue::{Dead, Full};
use crate::topic;

/// Messages for one node, and the room for them in it.
#[derive(Debug)]
pub(super) struct Batch {
    node: Arc<Node>,
    nodes: Arc<Nodes>,
    messages: Vec<Held>,
    bytes: usize,
}

/// Why a message was not taken into a transaction.
#[derive(Debug)]
pub(crate) enum Post {
    Full(Full),
    Deleted,
    Failed(Error),
}

impl Batch {
    pub(super) fn new(node: &Arc<Node>, nodes: &Arc<Nodes>) -> Self {
        Self { node: Arc::clone(node), nodes: Arc::clone(nodes), messages: Vec::new(), bytes: 0 }
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Adds a message, for which there is room from then on.
    pub(super) fn add(&mut self, mut held: Held) -> Result<(), Post> {
        let mut state = self.node.lock();
        if state.deleted {
            return Err(Post::Deleted);
        }
        let size = held.payload.len();
        match self.node.kind {
            Kind::Queue => state.queue.reserve(size).map_err(Post::Full)?,
            // Who subscribes is known with the commit; until then the broker holds the body.
            Kind::Topic => {
                held.payload = self.nodes.budget.charge(held.payload).ok_or(Post::Full(Full::Broker))?;
            }
        }
        drop(state);
        self.bytes += size;
        self.messages.push(held);
        Ok(())
    }

    /// Whether all of it can be enqueued. Queues have the room.
    pub(super) fn check(&self, state: &NodeState, now: Instant) -> Result<(), Error> {
        let name = &*self.node.name;
        let failed = |text| Error::new(ErrorCondition::TRANSACTION_ROLLBACK, text);
        if state.deleted {
            return Err(failed(format!("node {name:?} was deleted")));
        }
        if self.node.kind == Kind::Topic {
            let mut room = topic::room(&self.node, state, &self.nodes.budget, now);
            let fits = self.messages.iter().try_for_each(|held| room.take_charged(held.payload.len()));
            fits.map_err(|_| failed(format!("a subscription of topic {name:?} is full")))?;
        }
        Ok(())
    }

    /// Puts all of it into the node, whose lock is held, and answers what died there meanwhile.
    pub(super) fn enqueue(&mut self, state: &mut NodeState, now: Instant, woken: &mut Vec<Wake>) -> Vec<Dead> {
        self.bytes = 0;
        let messages = std::mem::take(&mut self.messages);
        if messages.iter().any(|held| held.expires.is_some()) {
            self.nodes.janitor.call();
        }
        if self.node.kind == Kind::Topic {
            return topic::publish(&self.node, state, &messages, now, woken);
        }
        state.queue.tick(now);
        for held in messages {
            state.queue.add_reserved(held);
        }
        state.queue.dispatch(woken);
        state.queue.take_dead()
    }

    /// Moves what died to the dead-letter node of its own. Call it without holding a lock.
    pub(super) fn bury(&self, dead: Vec<Dead>) {
        self.nodes.bury(&self.node, dead);
    }
}

/// What was not enqueued gives its room back.
impl Drop for Batch {
    fn drop(&mut self) {
        if self.messages.is_empty() || self.node.kind == Kind::Topic {
            return;
        }
        let mut woken = Vec::new();
        let mut state = self.node.lock();
        state.queue.unreserve(self.messages.len(), self.bytes, &mut woken);
        drop(state);
        wake_all(&mut woken);
        self.nodes.reap(&self.node);
    }
}
