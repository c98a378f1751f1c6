//! How one connection tells another that there is something to do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Instant;

use crate::node::Node;
use crate::topic;

/// The one part of a connection that others reach: which of its links to look at, and the task to
/// wake. It is locked for a few instructions, never across a wait.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    links: Vec<u32>,
    order: Option<Order>,
    waker: Option<Waker>,
}

/// What the broker tells a connection to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Take nothing new, wait for what is unsettled until then, and close.
    Close { settle_by: Instant },
}

impl Mailbox {
    /// Asks the connection to look at one of its links. A link that is gone is looked for in vain.
    pub(crate) fn look_at(&self, slot: u32) {
        let mut inner = self.lock();
        inner.links.push(slot);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn order(&self, order: Order) {
        let mut inner = self.lock();
        inner.order = Some(order);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes what came, and leaves the task's waker for what comes next.
    pub(crate) fn poll(&self, links: &mut Vec<u32>, cx: &Context<'_>) -> Option<Order> {
        let mut inner = self.lock();
        links.append(&mut inner.links);
        match &mut inner.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        inner.order.take()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is told that a queue has messages or room.
#[derive(Debug, Clone)]
pub(crate) enum Wake {
    /// A link of a connection.
    Link { mailbox: Arc<Mailbox>, slot: u32 },
    /// The topic whose subscription the queue is, for its senders.
    Topic(Weak<Node>),
}

impl Wake {
    pub(crate) fn wake(&self) {
        match self {
            Self::Link { mailbox, slot } => mailbox.look_at(*slot),
            Self::Topic(node) => {
                if let Some(node) = node.upgrade() {
                    topic::feed(&node);
                }
            }
        }
    }
}

/// Wakes all of them. Call it without holding a lock.
pub(crate) fn wake_all(woken: &mut Vec<Wake>) {
    for wake in woken.drain(..) {
        wake.wake();
    }
}
