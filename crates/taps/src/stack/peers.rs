//! The peers of a socket that a listener and its connections share: who waits for whom.
//!
//! One task reads from the socket and puts here what arrives; acceptors and connections take it from here.

mod table;

use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::Notify;

use crate::connection::SoftError;
use crate::transport::Arrived;
use table::{Fate, Table};

pub(super) use table::{Overflow, PeerId};

/// A table of peers, and those who wait for it to change.
#[derive(Debug)]
pub(super) struct Peers<K> {
    table: Mutex<Table<K>>,
    overflow: Overflow,
    /// Told of each new peer.
    arrivals: Notify,
    /// Told when the table is no longer full.
    room: Notify,
}

impl<K: Clone + Eq + Hash> Peers<K> {
    pub(super) fn new(overflow: Overflow) -> Self {
        Self { table: Mutex::new(Table::new(overflow)), overflow, arrivals: Notify::new(), room: Notify::new() }
    }

    /// Waits for somebody who is not known. A dropped future loses nobody.
    pub(super) async fn next(&self) -> (PeerId, K) {
        loop {
            let (taken, more) = self.change(|table| (table.take_new(), table.has_new()));
            if let Some(taken) = taken {
                if more {
                    // One note may stand for several who came while nobody waited.
                    self.arrivals.notify_one();
                }
                return taken;
            }
            self.arrivals.notified().await;
        }
    }

    /// Hears nobody any more who is not known.
    pub(super) fn stop(&self) {
        self.change(Table::stop);
    }

    /// Forgets a connection.
    pub(super) fn remove(&self, id: PeerId) {
        self.change(|table| table.remove(id));
    }

    pub(super) fn poll_receive(&self, id: PeerId, cx: &Context<'_>) -> Poll<Arrived> {
        self.change(|table| table.receive(id, cx.waker())).map_or(Poll::Pending, Poll::Ready)
    }

    /// Puts what has arrived where it belongs, and tells whether it is the first of a peer.
    pub(super) fn deliver(&self, key: K, arrived: Arrived) -> bool {
        let fate = self.table().deliver(key, arrived);
        match fate {
            Fate::Waits(Some(waker)) => waker.wake(),
            Fate::IsFirst => {
                self.arrivals.notify_one();
                return true;
            }
            Fate::Waits(None) | Fate::Dropped => {}
        }
        false
    }

    /// Tells a peer of an error, if it is known.
    #[cfg_attr(
        not(any(feature = "udp", feature = "udp-lite")),
        allow(dead_code, reason = "for stacks that are not built in")
    )]
    pub(super) fn deliver_error(&self, key: K, error: SoftError) {
        let waker = self.table().deliver_error(key, error);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether more may be put in: always, where it may be lost.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "for a stack that is not built in"))]
    pub(super) fn has_room(&self) -> bool {
        self.overflow == Overflow::Drop || !self.table().is_full()
    }

    /// Waits until more may be put in. One task may wait.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "for a stack that is not built in"))]
    pub(super) async fn room(&self) {
        while !self.has_room() {
            self.room.notified().await;
        }
    }

    /// Does something that may make room.
    fn change<T>(&self, change: impl FnOnce(&mut Table<K>) -> T) -> T {
        let mut table = self.table();
        if self.overflow == Overflow::Drop {
            return change(&mut table);
        }
        let was_full = table.is_full();
        let changed = change(&mut table);
        if was_full && !table.is_full() {
            self.room.notify_one();
        }
        changed
    }

    fn table(&self) -> MutexGuard<'_, Table<K>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
