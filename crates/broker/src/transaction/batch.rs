//! What a transaction posts to one node, with the room for it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use postroad_codec::v1_0::{Error, ErrorCondition};

use crate::exchange::{Aftermath, Transit};
use crate::mailbox::{Wake, wake_all};
use crate::message::Held;
use crate::node::{Kind, Node, NodeState, Nodes};
use crate::queue::Full;

/// Messages for one node, and the room for them in it.
#[derive(Debug)]
pub(super) struct Batch {
    node: Arc<Node>,
    nodes: Arc<Nodes>,
    messages: Vec<Held>,
    /// Of an exchange: the bodies, each charged for.
    charged: Vec<Bytes>,
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
        Self { node: Arc::clone(node), nodes: Arc::clone(nodes), messages: Vec::new(), charged: Vec::new(), bytes: 0 }
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Adds a message, for which there is room from then on.
    pub(super) fn add(&mut self, held: Held) -> Result<(), Post> {
        let mut state = self.node.lock();
        if state.deleted {
            return Err(Post::Deleted);
        }
        let size = held.payload.len();
        match self.node.kind {
            Kind::Queue => state.queue.reserve(&held).map_err(Post::Full)?,
            // Which queues get it is known with the commit; until then the broker holds the body.
            Kind::Exchange => {
                let charged = self.nodes.budget.charge(held.payload.clone());
                self.charged.push(charged.ok_or(Post::Full(Full::Broker))?);
            }
        }
        drop(state);
        self.bytes += size;
        self.messages.push(held);
        Ok(())
    }

    /// The error of a transaction whose node is gone.
    pub(super) fn check(&self, state: &NodeState) -> Result<(), Error> {
        if state.deleted {
            return Err(self.failed(format!("node {:?} was deleted", &*self.node.name)));
        }
        Ok(())
    }

    /// Sends all of it on its way through the exchange, whose lock is held. Where it does not fit in, nothing of it is sent.
    pub(super) fn send_through(
        &mut self,
        state: &mut NodeState,
        now: Instant,
        woken: &mut Vec<Wake>,
    ) -> Result<Transit, Error> {
        self.check(state)?;
        let mut transit = self.nodes.transit(&self.node, state, now);
        let charged = std::mem::take(&mut self.charged);
        for (held, charged) in self.take().into_iter().zip(charged) {
            if transit.take(state, held, Some(charged), woken).is_err() {
                transit.abandon(state, woken);
                let text = format!("a queue that is bound to exchange {:?} for a message is full", &*self.node.name);
                return Err(self.failed(text));
            }
        }
        Ok(transit)
    }

    /// Takes out the messages, for which there is room.
    pub(super) fn take(&mut self) -> Vec<Held> {
        self.bytes = 0;
        let messages = std::mem::take(&mut self.messages);
        if messages.iter().any(|held| held.expires.is_some()) {
            self.nodes.janitor.call();
        }
        messages
    }

    fn failed(&self, text: String) -> Error {
        Error::new(ErrorCondition::TRANSACTION_ROLLBACK, text)
    }

    /// Does what is left when the messages have gone through the node. Call it without holding a lock.
    pub(super) fn attend(&self, aftermath: Aftermath) {
        self.nodes.attend(&self.node, aftermath);
    }
}

/// What was not enqueued gives its room back.
impl Drop for Batch {
    fn drop(&mut self) {
        if self.messages.is_empty() || self.node.kind == Kind::Exchange {
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
