//! When links expire, and what they wait for before their time begins.

use std::sync::Arc;
use std::time::Instant;

use super::{Inner, LinkKey, Place};
use crate::link_expiry::Timer;

impl<S> Inner<S> {
    /// Starts the time of links that have waited for it to begin.
    pub(super) fn start_those(&mut self, keys: impl IntoIterator<Item = Arc<LinkKey>>, now: Instant) -> bool {
        let mut first = false;
        for key in keys {
            let Some(entry) = self.map.get_mut(&key) else { continue };
            let suspended = matches!(entry.place, Place::Suspended { .. });
            let (Place::Suspended { timer, .. } | Place::Attached { before: Some(timer), .. }) = &mut entry.place
            else {
                continue;
            };
            let Some((.., timeout)) = timer.waits_for() else { continue };
            *timer = Timer::after(timeout, now);
            let (timer, ticket) = (*timer, entry.ticket);
            first |= suspended && self.start(&key, timer, ticket);
        }
        first
    }

    pub(super) fn stop_timer(&mut self, key: &LinkKey, timer: Timer, ticket: u64) {
        if let Timer::At(at) = timer {
            self.due.remove(&(at, ticket));
        }
        let Some((connection, session, _)) = timer.waits_for() else { return };
        let Some(of_connection) = self.waiting.get_mut(&connection) else { return };
        if let Some(keys) = of_connection.get_mut(&session) {
            keys.remove(key);
            if keys.is_empty() {
                of_connection.remove(&session);
            }
        }
        if of_connection.is_empty() {
            self.waiting.remove(&connection);
        }
    }

    /// `true`: it is the first to expire.
    pub(super) fn start(&mut self, key: &Arc<LinkKey>, timer: Timer, ticket: u64) -> bool {
        if let Timer::At(at) = timer {
            self.due.insert((at, ticket), Arc::clone(key));
            return self.due.first_key_value().is_some_and(|(first, _)| *first == (at, ticket));
        }
        if let Some((connection, session, _)) = timer.waits_for() {
            let of_connection = self.waiting.entry(connection).or_default();
            of_connection.entry(session).or_default().insert(Arc::clone(key));
        }
        false
    }
}
