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

impl Nodes {
    /// Does what is left when messages have gone through an exchange. Call it without holding a lock.
    pub(crate) fn attend(&self, exchange: &Node, aftermath: Aftermath) {
        for (queue, dead) in aftermath.dead {
            self.bury(&queue, dead);
        }
        for (queue, left) in aftermath.left {
            self.leave_behind(&queue, left);
        }
        if let Some(alternate) = &exchange.declared.alternate {
            self.divert(&exchange.name, alternate, aftermath.unroutable);
        }
    }

    /// Sends what was left in a queue that is deleted to its alternate exchange, where it has one. Call it without holding
    /// a lock.
    pub(crate) fn leave_behind(&self, queue: &Node, left: Vec<Held>) {
        if let Some(alternate) = &queue.declared.alternate {
            self.divert(&queue.name, alternate, left);
        }
    }

    /// Sends messages of a node through its alternate exchange, and what that has no binding for through its own. That ends:
    /// whoever has an alternate exchange was made after it.
    pub(crate) fn divert(&self, source: &str, alternate: &Arc<Node>, messages: Vec<Held>) {
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
                self.bury(&queue, dead);
            }
            for (queue, left) in left {
                self.leave_behind(&queue, left);
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
