//! The messages of one connection that wait to be sent, in the order in which they leave.

use std::collections::BTreeMap;

/// A message that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `msgPriority`: a lower number goes first (RFC 9622 9.1.3.2).
    pub(crate) priority: u32,
    /// `final`: the last message of its connection leaves behind all others whatever their priorities
    /// (RFC 9622 9.1.3.5).
    pub(crate) last: bool,
    /// Its length in bytes.
    pub(crate) size: u64,
}

/// Where a message stands among those of its connection; lower ones leave first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    last: bool,
    pub(super) priority: u32,
    pub(super) sequence: u64,
}

/// What waits, ordered: the final message at the end, then by priority, then as it came.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    sizes: BTreeMap<Place, u64>,
}

impl SendQueue {
    /// Puts a message in its place. `sequence` counts the messages of the group, so that it is never the same twice.
    pub(super) fn push(&mut self, entry: Entry, sequence: u64) -> Place {
        let place = Place { last: entry.last, priority: entry.priority, sequence };
        self.sizes.insert(place, entry.size);
        place
    }

    /// The message that leaves next, and its size.
    pub(super) fn head(&self) -> Option<(Place, u64)> {
        self.sizes.first_key_value().map(|(place, size)| (*place, *size))
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Takes a message out; whether it was there.
    pub(super) fn remove(&mut self, place: Place) -> bool {
        self.sizes.remove(&place).is_some()
    }
}
