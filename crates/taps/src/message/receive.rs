//! How much an application wants to receive at once (RFC 9622 9.3.1).

/// What one call to [`receive_with`](crate::Connection::receive_with) is content with (RFC 9622 9.3.1).
///
/// ```
/// use postroad_taps::Receive;
///
/// let some = Receive::min_incomplete(1).max(1000);   // whatever is there, up to 1000 bytes
/// let whole = Receive::complete().max(1_000_000);    // a whole message, or the first million bytes of it
/// # let _ = (some, whole);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Receive {
    min_incomplete: Option<usize>,
    max: usize,
}

impl Receive {
    /// What a [`receive`](crate::Connection::receive) holds in memory at most: a longer message comes in parts.
    pub const DEFAULT_MAX: usize = 16 * 1024 * 1024;

    /// A whole message.
    pub const fn complete() -> Self {
        Self { min_incomplete: None, max: Self::DEFAULT_MAX }
    }

    /// A part of a message too, once it has this many bytes; less when the message ends before.
    #[doc(alias = "min_incomplete_length")]
    pub const fn min_incomplete(bytes: usize) -> Self {
        Self { min_incomplete: Some(bytes), max: Self::DEFAULT_MAX }
    }

    /// At most this many bytes at once, 1 or more: a longer message comes in parts.
    #[doc(alias = "max_length")]
    pub const fn max(mut self, bytes: usize) -> Self {
        self.max = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// How many bytes of an unfinished message are enough.
    pub(crate) fn enough(&self) -> usize {
        self.min_incomplete.map_or(self.max, |min| min.clamp(1, self.max))
    }

    pub(crate) fn limit(&self) -> usize {
        self.max
    }
}

impl Default for Receive {
    fn default() -> Self {
        Self::complete()
    }
}
