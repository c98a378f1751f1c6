//! Alternate exchanges: where messages go that are rejected, that are left in a queue when it is deleted, and that an
//! exchange has no binding for. They go as they came, and not as dead letters.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};

use crate::exchange::Aftermath;
use crate::mailbox::wake_all;
use crate::message::Held;
use crate::node::{Node, Nodes};

/// The nodes that messages had to leave, each because others came from the one before. Bindings may lead back from an
/// alternate exchange to a queue whose it is: where every message that comes drives another one out, that would go on for
/// ever.
#[derive(Debug)]
pub(crate) struct Trail<'a> {
    node: &'a Node,
    before: Option<&'a Self>,
    length: usize,
}

/// Messages drive others out of so many nodes at most, one after the other.
const MAX_TRAIL: usize = 16;

impl<'a> Trail<'a> {
    /// The trail on from a node; `None` where it has been there, or is too long.
    fn from(node: &'a Node, before: Option<&'a Self>) -> Option<Self> {
        let length = before.map_or(0, |before| before.length) + 1;
        let mut passed = std::iter::successors(before, |trail| trail.before);
        (length <= MAX_TRAIL && passed.all(|trail| !std::ptr::eq(trail.node, node))).then_some(Self {
            node,
            before,
            length,
        })
    }
}

impl Nodes {
    /// Does what is left when messages have gone through an exchange. Call it without holding a lock.
    pub(crate) fn attend(&self, exchange: &Node, aftermath: Aftermath) {
        self.attend_behind(exchange, aftermath, None);
    }

    /// As [`Nodes::attend`], where the messages had to leave other nodes.
    pub(crate) fn attend_behind(&self, exchange: &Node, aftermath: Aftermath, trail: Option<&Trail<'_>>) {
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
        self.move_on(queue, left, None);
    }

    /// Sends messages that have to leave a queue to its alternate exchange, where it has one.
    pub(crate) fn move_on(&self, queue: &Node, messages: Vec<Held>, trail: Option<&Trail<'_>>) {
        let Some(alternate) = queue.declared.alternate.as_ref().filter(|_| !messages.is_empty()) else { return };
        match Trail::from(queue, trail) {
            Some(trail) => self.divert(&queue.name, alternate, messages, Some(&trail)),
            None => warn!("{} messages of {:?} were dropped: they go in circles", messages.len(), &*queue.name),
        }
    }

    /// Sends messages of a node through its alternate exchange, and what that has no binding for through its own. That ends:
    /// whoever has an alternate exchange was made after it.
    fn divert(&self, source: &str, alternate: &Arc<Node>, messages: Vec<Held>, trail: Option<&Trail<'_>>) {
        let messages: Vec<Held> = messages.into_iter().map(Held::anew).collect();
        let mut ways = VecDeque::from([(Arc::clone(alternate), messages)]);
        while let Some((exchange, messages)) = ways.pop_front() {
            if messages.is_empty() {
                continue;
            }
            debug!("{} messages of {source:?} go to exchange {:?}", messages.len(), &*exchange.name);
            let (mut lost, mut woken) = (0, Vec::new());
            let now = Instant::now();
            if messages.iter().any(|held| held.expires.is_some()) {
                self.janitor.call();
            }
            let mut state = exchange.lock();
            let mut transit = self.transit(&exchange, &state, now);
            for held in messages {
                lost += usize::from(transit.take(&mut state, held, false, &mut woken).is_err());
            }
            let Aftermath { dead, left, unroutable } = transit.publish(&mut state, &mut woken);
            drop(state);
            wake_all(&mut woken);
            if lost > 0 {
                warn!("{lost} messages of {source:?} were dropped: what {:?} leads to is full", &*exchange.name);
            }
            for (queue, dead) in dead {
                self.bury_behind(&queue, dead, trail);
            }
            for (queue, left) in left {
                self.move_on(&queue, left, trail);
            }
            if let Some(next) = &exchange.declared.alternate {
                ways.push_back((Arc::clone(next), unroutable));
            }
        }
    }
}

impl Held {
    /// The message as another queue gets it that it goes to from here.
    fn anew(self) -> Self {
        let mut fresh = Self::new(self.payload.clone(), self.format);
        (fresh.expires, fresh.origin) = (self.expires, self.origin);
        let deaths = self.deaths().to_vec();
        if deaths.is_empty() { fresh } else { fresh.with_deaths(deaths) }
    }
}
