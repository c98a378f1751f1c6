//! The bytes of messages that a whole broker holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

/// What all queues together may hold, in bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    used: AtomicUsize,
    /// Whether somebody wanted more than there was.
    short: AtomicBool,
    /// Tells that there is some again.
    pub(crate) eased: Notify,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, used: AtomicUsize::new(0), short: AtomicBool::new(false), eased: Notify::new() })
    }

    /// Takes bytes, all or none.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        // Once more after having said so: what is given back in between tells nobody.
        self.try_take(bytes) || {
            self.want();
            self.try_take(bytes)
        }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.max);
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Gives bytes back.
    pub(crate) fn give(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        if self.short.load(Ordering::SeqCst) && self.short.swap(false, Ordering::SeqCst) {
            self.eased.notify_one();
        }
    }

    /// How many are left.
    pub(crate) fn room(&self) -> usize {
        self.max.saturating_sub(self.used())
    }

    /// Has whoever waits for room hear of it. Look at the room again afterwards.
    pub(crate) fn want(&self) {
        self.short.store(true, Ordering::SeqCst);
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Charges for a body that several queues hold, as long as one of them does. `None`: there is no room.
    pub(crate) fn charge(self: &Arc<Self>, payload: Bytes) -> Option<Bytes> {
        let size = payload.len();
        self.take(size).then(|| Bytes::from_owner(Charged { payload, budget: Arc::clone(self), size }))
    }
}

struct Charged {
    payload: Bytes,
    budget: Arc<Budget>,
    size: usize,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.payload
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.budget.give(self.size);
    }
}

/// What one queue has of a budget. It takes a little more than it needs and gives back a little late, so that queues do
/// not meet at the budget for every message.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Arc<Budget>,
    bytes: usize,
}

/// A lease is at most this much larger than what is needed.
const MAX_SLACK: usize = 64 * 1024;

impl Lease {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// Makes the lease cover this many bytes, if there is room.
    pub(crate) fn cover(&mut self, bytes: usize) -> bool {
        let Some(missing) = bytes.checked_sub(self.bytes).filter(|missing| *missing > 0) else { return true };
        for ask in [missing + slack(bytes), missing] {
            if self.budget.take(ask) {
                self.bytes += ask;
                return true;
            }
        }
        false
    }

    /// Gives back what is far beyond the need.
    pub(crate) fn trim(&mut self, bytes: usize) {
        let slack = slack(bytes);
        if self.bytes > bytes + 2 * slack {
            let beyond = self.bytes - bytes - slack;
            self.bytes -= beyond;
            self.budget.give(beyond);
        }
    }

    /// How many bytes fit in beyond those that are held.
    pub(crate) fn room(&self, held: usize) -> usize {
        self.budget.room().saturating_add(self.bytes).saturating_sub(held)
    }

    /// Has the broker tell the queue's producers when there is room again. Look at the room again afterwards.
    pub(crate) fn want(&self) {
        self.budget.want();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

fn slack(bytes: usize) -> usize {
    (bytes / 8).min(MAX_SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_share_what_there_is() {
        let budget = Budget::new(1000);
        let (mut one, mut two) = (Lease::new(&budget), Lease::new(&budget));
        assert!(one.cover(400));
        assert_eq!(budget.used(), 450);
        assert!(one.cover(440), "it was covered already");
        assert_eq!(budget.used(), 450);
        assert!(two.cover(540), "without any slack");
        assert!(!two.cover(560) && !one.cover(600));
        assert_eq!((two.room(540), one.room(400)), (10, 60));
        one.trim(0);
        assert_eq!(budget.used(), 540);
        drop(two);
        assert_eq!(budget.used(), 0);
        one.trim(0);
    }

    #[test]
    fn a_shared_body_is_charged_once_and_until_the_last_is_gone() {
        let budget = Budget::new(100);
        let body = budget.charge(Bytes::from_static(&[7; 80])).unwrap();
        let copies = [body.clone(), body.slice(1..2)];
        assert_eq!(budget.charge(Bytes::from_static(&[7; 30])), None);
        drop(body);
        assert_eq!((budget.used(), &copies[0][..3]), (80, &[7, 7, 7][..]));
        drop(copies);
        assert_eq!(budget.used(), 0);
    }
}
