//! When links expire, and what they wait for before their time begins.

use std::sync::Arc;
use std::time::Instant;

use super::{Inner, LinkKey, Place, Until};

impl Inner {
    /// Notes when a link expires that is suspended under this ticket.
    pub(super) fn start(&mut self, key: &Arc<LinkKey>, until: Until, ticket: u64) {
        match until {
            Until::At(at) => drop(self.due.insert((at, ticket), Arc::clone(key))),
            Until::Session(connection, ..) | Until::Connection(connection, _) => {
                self.waiting.entry(connection).or_default().insert(Arc::clone(key));
            }
            Until::Never => {}
        }
    }

    pub(super) fn stop(&mut self, key: &LinkKey, until: Until, ticket: u64) {
        match until {
            Until::At(at) => drop(self.due.remove(&(at, ticket))),
            Until::Session(connection, ..) | Until::Connection(connection, _) => {
                let Some(keys) = self.waiting.get_mut(&connection) else { return };
                keys.remove(key);
                if keys.is_empty() {
                    self.waiting.remove(&connection);
                }
            }
            Until::Never => {}
        }
    }

    /// Starts the time of links that have waited for the end of a session of this connection, or of all of it. Answers
    /// whether there were any.
    pub(super) fn start_those(&mut self, connection: u64, session: Option<u64>, now: Instant) -> bool {
        let Some(keys) = self.waiting.remove(&connection) else { return false };
        let mut started = false;
        for key in keys {
            let Some(entry) = self.links.get_mut(&key) else { continue };
            let ticket = entry.ticket;
            let Place::Suspended { until, .. } = &mut entry.place else { continue };
            started |= until.start(connection, session, now);
            let until = *until;
            self.start(&key, until, ticket);
        }
        started
    }
}
