//! How one connection tells another that there is something to do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Instant;

use crate::exchange;
use crate::node::Node;
use crate::suspended::Place;

/// The one part of a connection that others reach: which of its links to look at, and the task to
/// wake. It is locked for a few instructions, never across a wait.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    post: Post,
    waker: Option<Waker>,
}

/// What came for a connection.
#[derive(Debug, Default)]
pub(crate) struct Post {
    /// Slots of links to look at.
    pub(crate) links: Vec<u32>,
    /// Links that others attach, by slot, each with its ticket in the link table.
    pub(crate) yields: Vec<(u32, u64)>,
    /// Whether links that wait for another connection to yield them may have been yielded.
    pub(crate) try_again: bool,
    pub(crate) order: Option<Order>,
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
        self.put(|post| post.links.push(slot));
    }

    /// Has the connection give up a link that somebody else attaches.
    pub(crate) fn yield_link(&self, slot: u32, ticket: u64) {
        self.put(|post| {
            if !post.yields.contains(&(slot, ticket)) {
                post.yields.push((slot, ticket));
            }
        });
    }

    /// Tells that a link which the connection waits for may be free.
    pub(crate) fn try_again(&self) {
        self.put(|post| post.try_again = true);
    }

    pub(crate) fn order(&self, order: Order) {
        self.put(|post| post.order = Some(order));
    }

    fn put(&self, put: impl FnOnce(&mut Post)) {
        let mut inner = self.lock();
        put(&mut inner.post);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes what came, and leaves the task's waker for what comes next.
    pub(crate) fn poll(&self, post: &mut Post, cx: &Context<'_>) {
        let mut inner = self.lock();
        post.links.append(&mut inner.post.links);
        post.yields.append(&mut inner.post.yields);
        post.try_again |= std::mem::take(&mut inner.post.try_again);
        post.order = inner.post.order.take();
        match &mut inner.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
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
    /// The exchange whose subscription the queue is, for its senders.
    Exchange(Weak<Node>),
    /// A link that is suspended: it has nothing to do but to go with its node.
    Suspended(Arc<Place>),
}

impl Wake {
    pub(crate) fn wake(&self) {
        match self {
            Self::Link { mailbox, slot } => mailbox.look_at(*slot),
            Self::Exchange(node) => {
                if let Some(node) = node.upgrade() {
                    exchange::feed(&node);
                }
            }
            Self::Suspended(place) => place.drop_if_deleted(),
        }
    }
}

/// Wakes all of them. Call it without holding a lock.
pub(crate) fn wake_all(woken: &mut Vec<Wake>) {
    for wake in woken.drain(..) {
        wake.wake();
    }
}
