//! What each row of the tables of properties says besides a type: names, and what may be done with it.
//!
//! The tables stand in `selection.rs`, `connection.rs` and `message.rs`: one row a property, in the words of RFC 9622.

/// One property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    /// The name in RFC 9622, then the other names that it is found by.
    pub(super) names: &'static [&'static str],
    /// Whether only the transport sets it.
    pub(super) read_only: bool,
    /// Whether all connections of a group have the same value (RFC 9622 7.4).
    pub(super) entangled: bool,
}

impl Row {
    pub(super) const fn own(names: &'static [&'static str]) -> Self {
        Self { names, read_only: false, entangled: false }
    }

    pub(super) const fn read_only(names: &'static [&'static str]) -> Self {
        Self { names, read_only: true, entangled: false }
    }

    pub(super) const fn entangled(names: &'static [&'static str]) -> Self {
        Self { names, read_only: false, entangled: true }
    }

    /// The first name.
    pub(super) fn name(&self) -> &'static str {
        self.names[0]
    }
}
