//! One stay of a link in the table, for whoever has attached it.

use std::sync::Arc;
use std::time::Duration;

use super::{Entry, Left, LinkKey, LinkTable, Place, Until};

/// A link that is attached. Dropped, the table forgets it unless it is suspended.
#[derive(Debug)]
pub(crate) struct Stay {
    pub(super) table: Arc<LinkTable>,
    pub(super) key: Arc<LinkKey>,
    pub(crate) ticket: u64,
}

impl Stay {
    pub(crate) fn longest(&self) -> Duration {
        self.table.limits.longest
    }

    pub(crate) fn table(&self) -> Arc<LinkTable> {
        Arc::clone(&self.table)
    }

    pub(crate) fn key(&self) -> Arc<LinkKey> {
        Arc::clone(&self.key)
    }

    /// Asks for a place among those that may be suspended. Answers whether it has one.
    pub(crate) fn reserve(&self) -> bool {
        let limits = &self.table.limits;
        let mut guard = self.table.lock();
        let inner = &mut *guard;
        let Some(entry) = inner.links.get_mut(&self.key).filter(|entry| entry.ticket == self.ticket) else {
            return false;
        };
        let users = inner.users.get(&self.key.user).copied().unwrap_or(0);
        if !entry.kept && inner.kept < limits.links && users < limits.links_per_user {
            entry.kept = true;
            inner.kept += 1;
            inner.users.insert(self.key.user.clone(), users + 1);
        }
        entry.kept
    }

    /// Gives the place back.
    pub(crate) fn unreserve(&self) {
        let mut guard = self.table.lock();
        let inner = &mut *guard;
        if let Some(entry) = inner.links.get_mut(&self.key).filter(|entry| entry.ticket == self.ticket)
            && std::mem::take(&mut entry.kept)
        {
            inner.one_less(&self.key.user);
        }
    }

    /// Keeps what is left of the link. It comes back where there is no room for it.
    pub(crate) fn suspend(self, left: Box<Left>, until: Until) -> Result<(), Box<Left>> {
        let bytes = left.bytes();
        let mut guard = self.table.lock();
        let inner = &mut *guard;
        match inner.links.get_mut(&self.key) {
            Some(entry)
                if entry.ticket == self.ticket
                    && entry.kept
                    && bytes <= self.table.limits.bytes.saturating_sub(inner.bytes) =>
            {
                entry.place = Place::Suspended { left, until, bytes };
                inner.bytes += bytes;
            }
            _ => return Err(left),
        }
        inner.start(&self.key, until, self.ticket);
        if matches!(until, Until::At(_)) {
            self.table.watch(inner);
        }
        drop(guard);
        Ok(())
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut inner = self.table.lock();
        let attached = |entry: &&Entry| entry.ticket == self.ticket && matches!(entry.place, Place::Attached(_));
        if inner.links.get(&self.key).filter(attached).is_some() {
            inner.remove(&self.key);
        }
    }
}
