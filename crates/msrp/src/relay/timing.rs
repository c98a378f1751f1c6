//! When a relay's patience ends.

use std::time::Instant;

use super::Relay;
use super::event::{CloseReason, ConnectionKey, Event};
use super::link::Link;
use crate::engine::transactions::until;

impl Link {
    /// When it has something to do.
    fn next_timeout(&mut self, idle: std::time::Duration) -> Option<Instant> {
        if self.pending.is_some() {
            return self.pending;
        }
        let idle = self.sessions.is_empty().then(|| until(self.used, idle));
        let times = [self.probation, self.stalled, self.timing.frame_until(), self.transactions.next_deadline(), idle];
        times.into_iter().flatten().min()
    }
}

impl Relay {
    /// Returns the next time at which [`handle_timeout`](Self::handle_timeout) should be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let link = self.timers.first().map(|(at, _)| *at);
        [link, self.tokens.next_expiry()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(token) = self.tokens.expired(now) {
            if let Some(link) = self.links.get_mut(token.connection.slot()) {
                let session = token.uri.session_id().unwrap_or_default();
                link.sessions.retain(|its| **its != *session);
            }
            self.events.push_back(Event::Expired { connection: token.connection, user: token.user });
            self.touch(token.connection);
        }
        // Each is due once, and set again for what is due later.
        let mut due = Vec::new();
        while let Some((_, key)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.pop_first();
            due.push(key);
        }
        for key in due {
            if let Some(link) = self.links.get_mut(key.slot()) {
                link.timer = None;
                self.link_due(key, now);
                self.touch(key);
            }
        }
        self.settle(now);
    }

    fn link_due(&mut self, key: ConnectionKey, now: Instant) {
        let due = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let Some(link) = self.links.get_mut(key.slot()) else { return };
        if due(link.pending) {
            return self.close(key, CloseReason::Unreachable);
        }
        let mut late = Vec::new();
        while let Some(what) = link.overdue(now) {
            late.push(what);
        }
        let idle = link.sessions.is_empty() && until(link.used, self.config.idle_timeout) <= now;
        let reason = if due(link.probation) {
            Some(CloseReason::Probation)
        } else if due(link.stalled) {
            Some(CloseReason::Stalled)
        } else if link.timing.is_stuck(now).is_some() {
            Some(CloseReason::FrameTimeout)
        } else {
            idle.then_some(CloseReason::Idle)
        };
        for what in late {
            self.overdue(what);
        }
        if let Some(reason) = reason {
            self.close(key, reason);
        }
    }

    /// Sets the timer of a connection, unless one is set that is early enough.
    pub(super) fn arm(&mut self, key: ConnectionKey, now: Instant) {
        let Some(link) = self.links.get_mut(key.slot()) else { return };
        if link.pending.is_none() && link.unsent() > 0 {
            link.stalled = link.stalled.or_else(|| now.checked_add(self.config.stall_timeout));
        }
        let next = link.next_timeout(self.config.idle_timeout);
        let Some(next) = next.filter(|next| link.timer.is_none_or(|timer| *next < timer)) else { return };
        if let Some(timer) = link.timer.replace(next) {
            self.timers.remove(&(timer, key));
        }
        self.timers.insert((next, key));
    }
}
