//! Messages: what an application sends and receives (RFC 9622 9.1).

#[allow(dead_code, reason = "what only some transports know is theirs to bring")]
mod context;
mod metadata;
mod receive;

use std::time::Duration;

use bytes::Bytes;

use crate::properties::{CapacityProfile, ChecksumCoverage};

pub(crate) use context::Endpoints;
pub use context::{Ecn, MessageContext};
pub use metadata::MetadataValue;
pub use receive::Receive;

/// A message, or a part of one.
///
/// ```
/// use std::time::Duration;
/// use postroad_taps::Message;
///
/// let message = Message::new("good bye").lifetime(Duration::from_secs(1)).last();
/// assert_eq!(&message.data[..], b"good bye");
/// assert!(message.context.last && message.end_of_message);
/// ```
#[doc(alias = "MessageDataObject")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The bytes of the message, without what framers add.
    #[doc(alias = "message_data")]
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

    /// Gives the message this context. Parts of one message have the same.
    #[must_use]
    pub fn in_context(mut self, context: MessageContext) -> Self {
        self.context = context;
        self
    }

    /// Makes it a part of a message that goes on: the next part has the same context (RFC 9622 9.2.3).
    #[doc(alias = "end_of_message")]
    #[must_use]
    pub fn partial(mut self) -> Self {
        self.context.identify();
        self.end_of_message = false;
        self
    }

    /// How many bytes there are.
    #[doc(alias = "length")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Limits how long the message may wait before it is sent (RFC 9622 9.1.3.1).
    #[doc(alias = "msg-lifetime")]
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.context.set_lifetime(lifetime);
        self
    }

    /// Sets the priority, 100 unless set; a lower number goes first (RFC 9622 9.1.3.2).
    #[doc(alias = "msg-prio")]
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.context.set_priority(priority);
        self
    }

    /// Sets whether the message stays in its order (RFC 9622 9.1.3.3).
    #[doc(alias = "msg-ordered")]
    #[must_use]
    pub fn ordered(mut self, ordered: bool) -> Self {
        self.context.set_ordered(ordered);
        self
    }

    /// Sets whether the message may arrive more than once (RFC 9622 9.1.3.4).
    #[doc(alias = "idempotent")]
    #[must_use]
    pub fn safely_replayable(mut self, replayable: bool) -> Self {
        self.context.set_safely_replayable(replayable);
        self
    }

    /// Marks the message as the last one that this end sends: the peer sees the end of the stream after it, and
    /// can still send (RFC 9622 9.1.3.5).
    #[doc(alias = "final")]
    #[must_use]
    pub fn last(mut self) -> Self {
        self.context.last = true;
        self
    }

    /// Sets how much of the message a checksum must cover (RFC 9622 9.1.3.6).
    #[doc(alias = "msg-checksum-len")]
    #[must_use]
    pub fn checksum_len(mut self, coverage: ChecksumCoverage) -> Self {
        self.context.set_checksum_len(coverage);
        self
    }

    /// Sets whether the message is sent again until it has arrived (RFC 9622 9.1.3.7).
    #[doc(alias = "msg-reliable")]
    #[must_use]
    pub fn reliable(mut self, reliable: bool) -> Self {
        self.context.set_reliable(reliable);
        self
    }

    /// Sets the treatment that the network should give to the message (RFC 9622 9.1.3.8).
    #[doc(alias = "msg-capacity-profile")]
    #[must_use]
    pub fn capacity_profile(mut self, profile: CapacityProfile) -> Self {
        self.context.set_capacity_profile(profile);
        self
    }

    /// Keeps the network from fragmenting the message (RFC 9622 9.1.3.9).
    #[must_use]
    pub fn no_fragmentation(mut self) -> Self {
        self.context.set_no_fragmentation(true);
        self
    }

    /// Keeps the transport from segmenting the message (RFC 9622 9.1.3.10).
    #[must_use]
    pub fn no_segmentation(mut self) -> Self {
        self.context.set_no_segmentation(true);
        self
    }

    /// Sends the message in one packet or not at all: neither fragmented nor segmented.
    #[doc(alias = "singular-transmission")]
    #[must_use]
    pub fn singular_transmission(self) -> Self {
        self.no_fragmentation().no_segmentation()
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
