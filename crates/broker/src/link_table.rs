//! The links of a broker by name: who has them attached, and what is left of those that nobody has (AMQP 1.0 part 2,
//! 2.6.1).
//!
//! ```text
//!  claim ──▶ attached ──suspend──▶ suspended ──claim──▶ attached
//!               │ ▲                    └──expire, forget──▶ gone
//!               │ │                    (one that fails puts it back, with the time it had)
//!               │ └ claim by another: the holder is told to yield, and suspends or releases
//!               └──release──▶ gone
//! ```
//! A ticket tells one stay of a link in the table from the next: what comes with an older ticket is about the past.
//!
//! The table's lock may be held when that of a node is taken, and never the other way round.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use postroad_amqp::v1_0::SessionId;
use postroad_codec::v1_0::{ByteString, Role};
use tokio::sync::Notify;

use crate::link_expiry::Timer;
use crate::mailbox::Mailbox;

mod stay;
#[cfg(test)]
mod tests;
mod timing;

pub(crate) use stay::Stay;

/// All links that are attached, and all that are suspended, of which `S` is left.
#[derive(Debug)]
pub(crate) struct LinkTable<S> {
    inner: Mutex<Inner<S>>,
    limits: TableLimits,
    connections: AtomicU64,
    /// Told when the first deadline may have changed.
    pub(crate) changed: Notify,
}

/// What two links have in common that are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LinkKey {
    /// `None` for clients that are nobody.
    pub(crate) user: Option<ByteString>,
    pub(crate) container: ByteString,
    pub(crate) name: ByteString,
    /// Our end of it.
    pub(crate) role: Role,
}

/// Links with longer names, in bytes, are not kept, nor are those of containers with such: a name may be as long as a frame.
const MAX_NAME: usize = 1024;

/// How many links may be kept when they are detached, those that are attached included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableLimits {
    pub(crate) all: usize,
    pub(crate) per_user: usize,
    /// Those of clients that are nobody: they may call themselves by any number of names.
    pub(crate) of_nobody: usize,
}

/// What whoever attaches a link finds.
#[derive(Debug)]
pub(crate) enum Claim<S> {
    /// Nobody has it. It is the claimant's, under this ticket.
    New(u64),
    /// It was suspended. It is the claimant's, with what was left of it.
    Suspended(u64, S),
    /// It is attached, and whoever has it was told to yield it: the claimant's mailbox is told when to try again.
    Wait,
}

#[derive(Debug)]
struct Inner<S> {
    map: HashMap<Arc<LinkKey>, Entry<S>>,
    next_ticket: u64,
    /// Links that are or may be suspended, in all and of each user.
    resumable: usize,
    users: HashMap<ByteString, usize>,
    of_nobody: usize,
    suspended: usize,
    /// Suspended links by the time at which they expire.
    due: BTreeMap<(Instant, u64), Arc<LinkKey>>,
    /// Links whose time begins with the end of a session, or of the connection itself, by connection.
    waiting: HashMap<u64, HashMap<Option<SessionId>, HashSet<Arc<LinkKey>>>>,
    /// Nothing is kept any more.
    closed: bool,
}

#[derive(Debug)]
struct Entry<S> {
    ticket: u64,
    /// Whether it has a place among those that may be suspended.
    resumable: bool,
    place: Place<S>,
}

#[derive(Debug)]
enum Place<S> {
    Attached {
        mailbox: Arc<Mailbox>,
        slot: u32,
        /// Those who wait for it.
        claimants: Vec<Arc<Mailbox>>,
        /// When it was to expire, until it is known whether the claimant attaches it.
        before: Option<Timer>,
    },
    Suspended {
        left: S,
        timer: Timer,
    },
}

impl<S> LinkTable<S> {
    pub(crate) fn new(limits: TableLimits) -> Self {
        let inner = Inner {
            map: HashMap::new(),
            next_ticket: 0,
            resumable: 0,
            users: HashMap::new(),
            of_nobody: 0,
            suspended: 0,
            due: BTreeMap::new(),
            waiting: HashMap::new(),
            closed: false,
        };
        Self { inner: Mutex::new(inner), limits, connections: AtomicU64::new(0), changed: Notify::new() }
    }

    /// A number that no other connection has.
    pub(crate) fn connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks for a link, which will have this slot at the connection of the mailbox.
    pub(crate) fn claim(&self, key: &Arc<LinkKey>, mailbox: &Arc<Mailbox>, slot: u32) -> Claim<S> {
        let mut inner = self.lock();
        let ticket = inner.ticket();
        let mut attached = Place::Attached { mailbox: Arc::clone(mailbox), slot, claimants: Vec::new(), before: None };
        let Some(entry) = inner.map.get_mut(key) else {
            inner.map.insert(Arc::clone(key), Entry { ticket, resumable: false, place: attached });
            return Claim::New(ticket);
        };
        match &mut entry.place {
            Place::Attached { mailbox: holder, slot, claimants, .. } => {
                if !claimants.iter().any(|claimant| Arc::ptr_eq(claimant, mailbox)) {
                    claimants.push(Arc::clone(mailbox));
                }
                let (holder, slot, ticket) = (Arc::clone(holder), *slot, entry.ticket);
                drop(inner);
                holder.yield_link(slot, ticket);
                Claim::Wait
            }
            Place::Suspended { timer, .. } => {
                let (timer, old) = (*timer, std::mem::replace(&mut entry.ticket, ticket));
                if let Place::Attached { before, .. } = &mut attached {
                    *before = Some(timer);
                }
                let place = std::mem::replace(&mut entry.place, attached);
                let Place::Suspended { left, .. } = place else { unreachable!("just matched") };
                inner.suspended -= 1;
                // What it waits for may happen before it is known whether it goes back.
                if let Timer::At(at) = timer {
                    inner.due.remove(&(at, old));
                }
                Claim::Suspended(ticket, left)
            }
        }
    }

    /// Notes that the claimant has attached a link that was suspended: it does not go back.
    pub(crate) fn confirm(&self, key: &LinkKey, ticket: u64) {
        let mut inner = self.lock();
        let Some(entry) = inner.map.get_mut(key).filter(|entry| entry.ticket == ticket) else { return };
        if let Place::Attached { before, .. } = &mut entry.place
            && let Some(before) = before.take()
        {
            inner.stop_timer(key, before, ticket);
        }
    }

    /// Gives a link that is attached a place among those that may be suspended, or takes it away. Answers whether it has
    /// one.
    pub(crate) fn set_resumable(&self, key: &LinkKey, ticket: u64, wanted: bool) -> bool {
        let (mut inner, limits) = (self.lock(), self.limits);
        let inner = &mut *inner;
        let Some(entry) = inner.map.get_mut(key).filter(|entry| entry.ticket == ticket) else { return false };
        if entry.resumable == wanted {
            return wanted;
        }
        let has_room = match &key.user {
            Some(user) => inner.users.get(user).is_none_or(|count| *count < limits.per_user),
            None => inner.of_nobody < limits.of_nobody,
        };
        if wanted && (inner.closed || !has_room || inner.resumable >= limits.all || !key.is_short()) {
            return false;
        }
        entry.resumable = wanted;
        inner.count(key, wanted);
        wanted
    }

    /// Keeps what is left of a link that was attached under this ticket. It comes back where it is not to be kept. Without
    /// a timer it is one that was claimed in vain, and expires when it was to expire before: whoever fails to attach a link
    /// neither ends it nor has it kept for longer.
    pub(crate) fn suspend(&self, key: &Arc<LinkKey>, ticket: u64, left: S, timer: Option<Timer>) -> Option<S> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let Some(entry) = inner.map.get_mut(key).filter(|entry| entry.ticket == ticket) else { return Some(left) };
        let Place::Attached { before, .. } = &entry.place else { return Some(left) };
        let before = *before;
        let Some(timer) = timer.or(before).filter(|_| entry.resumable && !inner.closed) else {
            drop(guard);
            self.release(key, ticket);
            return Some(left);
        };
        let place = std::mem::replace(&mut entry.place, Place::Suspended { left, timer });
        inner.suspended += 1;
        if let Some(before) = before {
            inner.stop_timer(key, before, ticket);
        }
        let first = inner.start(key, timer, ticket);
        drop(guard);
        if first {
            self.changed.notify_one();
        }
        place.tell_claimants();
        None
    }

    /// Forgets a link that is attached under this ticket.
    pub(crate) fn release(&self, key: &LinkKey, ticket: u64) {
        let mut inner = self.lock();
        let attached = |entry: &&Entry<S>| entry.ticket == ticket && matches!(entry.place, Place::Attached { .. });
        if inner.map.get(key).filter(attached).is_none() {
            return;
        }
        let place = inner.remove(key);
        drop(inner);
        if let Some(place) = place {
            place.tell_claimants();
        }
    }

    /// Takes out a link that is suspended under this ticket, where `is` holds of it.
    pub(crate) fn take_if(&self, key: &LinkKey, ticket: u64, is: impl FnOnce(&S) -> bool) -> Option<S> {
        let mut inner = self.lock();
        match inner.map.get(key) {
            Some(Entry { ticket: known, place: Place::Suspended { left, .. }, .. }) if *known == ticket && is(left) => {
            }
            _ => return None,
        }
        inner.remove(key).and_then(Place::left)
    }

    /// Starts the time of the links that a session has left behind.
    pub(crate) fn session_ended(&self, connection: u64, session: SessionId, now: Instant) {
        let mut inner = self.lock();
        let Some(of_connection) = inner.waiting.get_mut(&connection) else { return };
        let keys = of_connection.remove(&Some(session)).unwrap_or_default();
        if of_connection.is_empty() {
            inner.waiting.remove(&connection);
        }
        let first = inner.start_those(keys, now);
        drop(inner);
        if first {
            self.changed.notify_one();
        }
    }

    /// Starts the time of all links that a connection has left behind.
    pub(crate) fn connection_ended(&self, connection: u64, now: Instant) {
        let mut inner = self.lock();
        let keys = inner.waiting.remove(&connection).unwrap_or_default();
        let first = inner.start_those(keys.into_values().flatten(), now);
        drop(inner);
        if first {
            self.changed.notify_one();
        }
    }

    /// When the next link expires.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.lock().due.first_key_value().map(|((at, _), _)| *at)
    }

    /// What was left of the links whose time is over.
    pub(crate) fn expire(&self, now: Instant) -> Vec<S> {
        let mut inner = self.lock();
        let mut over = Vec::new();
        while let Some(((at, _), key)) = inner.due.first_key_value()
            && *at <= now
        {
            let key = Arc::clone(key);
            over.extend(inner.remove(&key).and_then(Place::left));
        }
        over
    }

    /// How many links are suspended.
    pub(crate) fn suspended(&self) -> usize {
        self.lock().suspended
    }

    /// What is left of all links that are suspended.
    pub(crate) fn take_all(&self) -> Vec<S> {
        let mut inner = self.lock();
        let suspended = |entry: &Entry<S>| matches!(entry.place, Place::Suspended { .. });
        let keys: Vec<Arc<LinkKey>> =
            inner.map.iter().filter(|(_, entry)| suspended(entry)).map(|(key, _)| Arc::clone(key)).collect();
        keys.iter().filter_map(|key| inner.remove(key).and_then(Place::left)).collect()
    }

    /// Keeps nothing from now on, and gives up what it has kept.
    pub(crate) fn close(&self) -> Vec<S> {
        self.lock().closed = true;
        self.take_all()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LinkKey {
    fn is_short(&self) -> bool {
        self.name.len() <= MAX_NAME && self.container.len() <= MAX_NAME
    }
}

impl<S> Inner<S> {
    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn count(&mut self, key: &LinkKey, more: bool) {
        self.resumable = if more { self.resumable + 1 } else { self.resumable - 1 };
        let Some(user) = &key.user else {
            self.of_nobody = if more { self.of_nobody + 1 } else { self.of_nobody - 1 };
            return;
        };
        if more {
            *self.users.entry(user.clone()).or_default() += 1;
        } else if let Some(count) = self.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(user);
            }
        }
    }

    fn remove(&mut self, key: &LinkKey) -> Option<Place<S>> {
        let entry = self.map.remove(key)?;
        if entry.resumable {
            self.count(key, false);
        }
        match &entry.place {
            Place::Suspended { timer, .. } => {
                self.suspended -= 1;
                self.stop_timer(key, *timer, entry.ticket);
            }
            Place::Attached { before: Some(before), .. } => self.stop_timer(key, *before, entry.ticket),
            Place::Attached { before: None, .. } => {}
        }
        Some(entry.place)
    }
}

impl<S> Place<S> {
    /// Call it without holding the table's lock.
    fn tell_claimants(self) {
        if let Self::Attached { claimants, .. } = self {
            for claimant in claimants {
                claimant.try_again();
            }
        }
    }

    fn left(self) -> Option<S> {
        match self {
            Self::Suspended { left, .. } => Some(left),
            Self::Attached { .. } => None,
        }
    }
}
