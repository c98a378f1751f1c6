//! One stay of a link in the table, for whoever has attached it.

use std::sync::Arc;

use super::{LinkKey, LinkTable};

/// A link that is attached, or about to be. When it is dropped, the table forgets the link, unless that is suspended: so
/// it does however the task ends that has it.
#[derive(Debug)]
pub(crate) struct Stay<S> {
    table: Arc<LinkTable<S>>,
    pub(crate) key: Arc<LinkKey>,
    pub(crate) ticket: u64,
}

impl<S> Stay<S> {
    /// That of a link that was claimed under this ticket.
    pub(crate) fn new(table: &Arc<LinkTable<S>>, key: Arc<LinkKey>, ticket: u64) -> Self {
        Self { table: Arc::clone(table), key, ticket }
    }

    /// Asks for a place among those that may be suspended. Answers whether it has one.
    pub(crate) fn reserve(&self) -> bool {
        self.table.set_resumable(&self.key, self.ticket, true)
    }

    /// Notes that the link is attached, and whether it keeps its place.
    pub(crate) fn confirm(&self, resumable: bool) {
        self.table.confirm(&self.key, self.ticket);
        if !resumable {
            self.table.set_resumable(&self.key, self.ticket, false);
        }
    }
}

impl<S> Drop for Stay<S> {
    fn drop(&mut self) {
        self.table.release(&self.key, self.ticket);
    }
}
