//! What the tasks of a run tell each other, and whoever watches them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often somebody looks who waits for a number.
const LOOK: Duration = Duration::from_millis(1);
/// Events that are kept.
const KEPT: usize = 60;

/// Numbers that tasks raise and others wait for.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Messages that were handed over.
    pub(super) sent: AtomicU64,
    /// Messages that have come, repeated ones too.
    pub(super) came: AtomicU64,
    /// Cuts of each end's connections.
    pub(super) cuts: [AtomicU64; 2],
    /// Connections that were made again.
    pub(super) reconnects: AtomicU64,
    /// Cuts that found no place of their own in time.
    pub(super) late: AtomicU64,
    /// Whether there are no faults any more.
    pub(super) calm: AtomicBool,
    /// Whether everything was sent and settled.
    pub(super) settled: AtomicBool,
    /// Whether nothing moves any more: whoever waits says what it sees, and waits on.
    pub(super) stuck: AtomicBool,
    /// What each end does.
    doing: [Mutex<&'static str>; 2],
    events: Mutex<VecDeque<String>>,
}

impl Board {
    /// Says what an end does now.
    pub(super) fn doing(&self, end: usize, what: &'static str) {
        *self.doing[end].lock().expect("no holder panics") = what;
    }

    /// What an end does.
    pub(super) fn does(&self, end: usize) -> &'static str {
        *self.doing[end].lock().expect("no holder panics")
    }

    /// Notes something that happened.
    pub(super) fn tell(&self, event: String) {
        let mut events = self.events.lock().expect("no holder panics");
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// The newest events, oldest first.
    pub(super) fn events(&self) -> Vec<String> {
        self.events.lock().expect("no holder panics").iter().cloned().collect()
    }

    /// Cuts of both ends.
    pub(super) fn all_cuts(&self) -> u64 {
        self.cuts.iter().map(|cuts| cuts.load(Ordering::Relaxed)).sum()
    }

    /// What changes as long as anything moves.
    pub(super) fn movement(&self) -> (u64, u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.came.load(Ordering::Relaxed), self.all_cuts())
    }

    /// Waits for something that ends; where everything is stuck, `see` says what there is to be seen.
    pub(super) async fn or_stuck<T>(&self, ends: impl Future<Output = T>, see: impl FnOnce() -> String) -> T {
        tokio::select! {
            biased;
            result = ends => result,
            () = self.until(|board| board.stuck.load(Ordering::Relaxed)) => {
                self.tell(see());
                std::future::pending().await
            }
        }
    }

    /// Waits until something is so.
    pub(super) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The same, for so long; whether it is so.
    pub(super) async fn until_or(&self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        tokio::time::timeout(limit, self.until(holds)).await.is_ok()
    }
}
