//! Messages: what an application sends and receives (RFC 9622 9.1).

use bytes::Bytes;

/// A message, or a part of one that was received in parts.
///
/// ```
/// use postroad_taps::Message;
///
/// let message = Message::new("good bye").last();
/// assert_eq!(&message.data[..], b"good bye");
/// assert!(message.context.last && message.end_of_message);
/// ```
#[doc(alias = "MessageDataObject")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The bytes of the message, without what framers add.
    #[doc(alias = "message_data")]
    #[doc(alias = "length")]
    pub data: Bytes,
    /// What is known about the message besides its bytes.
    #[doc(alias = "message_context")]
    pub context: MessageContext,
    /// Whether the message ends with this part.
    #[doc(alias = "is_end_of_message")]
    pub end_of_message: bool,
}

impl Message {
    /// A whole message. `Bytes`, `Vec<u8>` and `String` are taken as they are, slices are copied.
    pub fn new(data: impl IntoData) -> Self {
        Self { data: data.into_data(), context: MessageContext::default(), end_of_message: true }
    }

    /// Marks the message as the last one that this end sends: the peer sees the end of the stream after it, and
    /// can still send (RFC 9622 9.1.3.5).
    #[doc(alias = "final")]
    #[must_use]
    pub fn last(mut self) -> Self {
        self.context.last = true;
        self
    }

    pub(crate) fn part(data: Bytes, context: MessageContext, end_of_message: bool) -> Self {
        Self { data, context, end_of_message }
    }
}

impl<D: IntoData> From<D> for Message {
    fn from(data: D) -> Self {
        Self::new(data)
    }
}

/// What is known about a message besides its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageContext {
    /// On a message to send: nothing follows it. On a received one: the peer has ended the stream with it.
    #[doc(alias = "FINAL")]
    #[doc(alias = "final")]
    pub last: bool,
}

/// What can be the bytes of a message.
pub trait IntoData {
    /// Turns it into bytes.
    fn into_data(self) -> Bytes;
}

impl IntoData for Bytes {
    fn into_data(self) -> Bytes {
        self
    }
}

impl IntoData for Vec<u8> {
    fn into_data(self) -> Bytes {
        self.into()
    }
}

impl IntoData for String {
    fn into_data(self) -> Bytes {
        self.into()
    }
}

impl IntoData for &[u8] {
    fn into_data(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl<const N: usize> IntoData for &[u8; N] {
    fn into_data(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl IntoData for &str {
    fn into_data(self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }
}

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
