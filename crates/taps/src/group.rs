//! Connection groups: connections to one peer that share properties and, where the protocol has that, a transport
//! (RFC 9622 7.4).

mod queue;
mod rate;
mod scheduler;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::connection::Inner;

#[allow(unused_imports, reason = "for the connections of a group")]
pub(crate) use {
    queue::Entry,
    rate::RateLimit,
    scheduler::{GroupScheduler, MemberId, Ticket},
};

/// The members of a group, the oldest first. A connection that is gone is no member any more.
#[derive(Debug, Default)]
pub(crate) struct Group {
    members: Mutex<Vec<Weak<Inner>>>,
}

impl Group {
    /// Adds a connection, once.
    pub(crate) fn join(&self, connection: &Arc<Inner>) {
        let mut members = self.members();
        members.retain(|member| member.strong_count() > 0);
        if !members.iter().any(|member| member.as_ptr() == Arc::as_ptr(connection)) {
            members.push(Arc::downgrade(connection));
        }
    }

    /// The connections of the group.
    pub(crate) fn connections(&self) -> Vec<Arc<Inner>> {
        self.members().iter().filter_map(Weak::upgrade).collect()
    }

    fn members(&self) -> MutexGuard<'_, Vec<Weak<Inner>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
