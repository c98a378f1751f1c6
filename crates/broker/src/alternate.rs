//! Alternate exchanges: where messages go that are rejected, that are left in a queue when it is deleted, and that an
//! exchange has no binding for. They go as their consumers have left them, and not as dead letters.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};

use crate::exchange::{self, Aftermath};
use crate::message::Held;
use crate::node::{Node, Nodes};

/// The nodes that messages had to leave, each because others came from the one before. Bindings may lead back from an
/// alternate exchange to a queue whose it is: where every message that comes drives another one out, that would go on
/// for ever.
#[derive(Debug)]
pub(crate) struct Trail<'a> {
    node: Option<&'a Node>,
    before: Option<&'a Self>,
    length: usize,
    /// Copies that may still be made of what was driven out. Where every queue leads to all others, the ways multiply.
    copies: &'a Cell<usize>,
}

/// Messages drive others out of so many nodes at most, one after the other.
const MAX_TRAIL: usize = 16;

/// Of what was driven out so many copies are made, or more where as many came: that many for each of them.
const MAX_COPIES: usize = 262_144;
const COPIES_FOR_ONE: usize = 16;

impl<'a> Trail<'a> {
    /// The trail on from a node; `None` where it has been there, or is too long.
    fn on_from(&'a self, node: &'a Node) -> Option<Self> {
        let mut passed = std::iter::successors(Some(self), |trail| trail.before).filter_map(|trail| trail.node);
        (self.length < MAX_TRAIL && passed.all(|passed| !std::ptr::eq(passed, node))).then_some(Self {
            node: Some(node),
            before: Some(self),
            length: self.length + 1,
            copies: self.copies,
        })
    }

    /// Whether messages may be copied. Those that no others have driven out may always.
    fn may_copy(&self) -> bool {
        self.length <= 1 || self.copies.get() > 0
    }

    fn count(&self, copies: usize) {
        if self.length > 1 {
            self.copies.set(self.copies.get().saturating_sub(copies));
        }
    }
}

/// Begins a trail with so many messages, which no other has driven out, or with so many copies that were made.
pub(crate) fn follow(came: usize, driven: bool, go: impl FnOnce(&Trail<'_>)) {
    let copies = Cell::new(came.saturating_mul(COPIES_FOR_ONE).max(MAX_COPIES));
    go(&Trail { node: None, before: None, length: driven.into(), copies: &copies });
}

impl Nodes {
    /// Does what is left when messages have gone through an exchange. Call it without holding a lock.
    pub(crate) fn attend(&self, exchange: &Node, aftermath: Aftermath) {
        follow(aftermath.copies, true, |trail| self.attend_behind(exchange, aftermath, trail));
    }

    /// As [`Nodes::attend`], where the messages had to leave other nodes.
    pub(crate) fn attend_behind(&self, exchange: &Node, aftermath: Aftermath, trail: &Trail<'_>) {
        for (queue, dead) in aftermath.dead {
            self.bury_behind(&queue, dead, trail);
        }
        for (queue, left) in aftermath.left {
            self.move_on(&queue, left, trail);
        }
        if let Some(alternate) = &exchange.declared.alternate {
            self.divert(&exchange.name, alternate, aftermath.unroutable, trail);
        }
    }

    /// Sends what was left in a queue that is deleted to its alternate exchange, where it has one. Call it without holding
    /// a lock.
    pub(crate) fn leave_behind(&self, queue: &Node, left: Vec<Held>) {
        follow(left.len(), false, |trail| self.move_on(queue, left, trail));
    }

    /// Sends messages that have to leave a queue to its alternate exchange, where it has one.
    pub(crate) fn move_on(&self, queue: &Node, messages: Vec<Held>, trail: &Trail<'_>) {
        let Some(alternate) = queue.declared.alternate.as_ref().filter(|_| !messages.is_empty()) else { return };
        match trail.on_from(queue) {
            Some(trail) => self.divert(&queue.name, alternate, messages, &trail),
            None => warn!("{} messages of {:?} were dropped: they go in circles", messages.len(), &*queue.name),
        }
    }

    /// Sends messages of a node through its alternate exchange, and what that has no binding for through its own. That
    /// ends: whoever has an alternate exchange was made after it.
    fn divert(&self, source: &str, alternate: &Arc<Node>, messages: Vec<Held>, trail: &Trail<'_>) {
        let now = Instant::now();
        let messages: Vec<Held> = messages.into_iter().map(|held| held.anew(now)).collect();
        let mut next = Some((Arc::clone(alternate), messages));
        while let Some((way, messages)) = next.take().filter(|(_, messages)| !messages.is_empty()) {
            if !trail.may_copy() {
                return warn!("{} messages of {source:?} were dropped: they drive out too many others", messages.len());
            }
            debug!("{} messages of {source:?} go to exchange {:?}", messages.len(), &*way.name);
            if messages.iter().any(|held| held.expires.is_some()) {
                self.janitor.call();
            }
            let (lost, aftermath) = exchange::send_through(self, &way, messages, now);
            let Aftermath { dead, left, unroutable, copies } = aftermath;
            trail.count(copies);
            if lost > 0 {
                warn!("{lost} messages of {source:?} were dropped: what {:?} leads to is full", &*way.name);
            }
            for (queue, dead) in dead {
                self.bury_behind(&queue, dead, trail);
            }
            for (queue, left) in left {
                self.move_on(&queue, left, trail);
            }
            next = way.declared.alternate.clone().map(|alternate| (alternate, unroutable));
        }
    }
}
