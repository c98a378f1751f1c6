//! Messages whose outcome waits for a commit after their link has ended.

use std::sync::Arc;
use std::time::Instant;

use crate::mailbox::wake_all;
use crate::message::{Held, Return};
use crate::node::{Node, Nodes};

/// A message that was retired in a transaction over a link that is gone.
#[derive(Debug)]
pub(crate) struct Orphan {
    node: Arc<Node>,
    nodes: Arc<Nodes>,
    held: Option<Held>,
    /// What a commit does with it: it is settled, or given back.
    how: Option<Return>,
}

impl Orphan {
    pub(crate) fn new(node: &Arc<Node>, nodes: &Arc<Nodes>, held: Held, how: Option<Return>) -> Self {
        Self { node: Arc::clone(node), nodes: Arc::clone(nodes), held: Some(held), how }
    }

    /// Applies the outcome.
    pub(crate) fn commit(mut self) {
        let how = self.how.take();
        self.conclude(how);
    }

    fn conclude(&mut self, how: Option<Return>) {
        let Some(held) = self.held.take() else { return };
        let mut woken = Vec::new();
        let mut state = self.node.lock();
        state.queue.tick(Instant::now());
        match how {
            None => state.queue.settle(1, held.size(), &mut woken),
            // Its consumer is gone.
            Some(how) => state.queue.give_back(usize::MAX, [(held, how)]),
        }
        state.queue.dispatch(&mut woken);
        let dead = state.queue.take_dead();
        let left = if state.deleted { state.queue.drain() } else { Vec::new() };
        drop(state);
        wake_all(&mut woken);
        self.nodes.bury(&self.node, dead);
        self.nodes.leave_behind(&self.node, left);
        self.nodes.reap(&self.node);
    }
}

/// Rolled back, the message is one that its link has not settled, or for which the default outcome holds (4.4.4).
impl Drop for Orphan {
    fn drop(&mut self) {
        self.conclude(Some(Return::Failed));
    }
}
