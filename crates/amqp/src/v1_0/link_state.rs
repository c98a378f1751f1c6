//! What of a link outlives its connection.

use bytes::Bytes;
use postroad_codec::v1_0::{
    AttachTarget, ByteString, DeliveryNumber, DeliveryState, DeliveryTag, MessageFormat, Position, ReceiverSettleMode,
    Role, SenderSettleMode, SequenceNo, Source,
};

/// A link as a value (AMQP 1.0 part 2, 2.6.1): a dead engine gives it back, a new one takes it
/// ([`Connection::resume`](super::Connection::resume),
/// [`Connection::accept_resumed`](super::Connection::accept_resumed)).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LinkState {
    /// The link's name.
    pub name: ByteString,
    /// Our end of it.
    pub role: Role,
    /// Where messages come from, as the peer said last, or we did.
    pub source: Option<Source>,
    /// Where messages go, as the peer said last, or we did.
    pub target: Option<AttachTarget>,
    /// When the sender settles.
    pub snd_settle_mode: SenderSettleMode,
    /// When the receiver settles.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// Whether our end receives messages in parts.
    pub in_parts: bool,
    /// The number of deliveries so far.
    pub delivery_count: SequenceNo,
    /// Whether our end began without a state and no answer has come. The peer may still have deliveries of before, and
    /// would take an empty map for the word that they never came, so the next attach tells no map either.
    pub anew: bool,
    /// Some of the deliveries that the peer told where our end answered that it has no state, until something shows that
    /// the peer has heard that. As long as it still tells one of them, it is answered so again.
    pub unheard: Vec<DeliveryTag>,
    /// Deliveries that are not settled at our end, oldest first.
    pub unsettled: Vec<Unsettled>,
}

/// A delivery that is not settled at our end.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Unsettled {
    /// Its tag.
    pub tag: DeliveryTag,
    /// The format of its message.
    pub message_format: MessageFormat,
    /// Its number on the session that is gone.
    pub delivery: DeliveryNumber,
    /// What the owner gave when it was sent.
    pub token: u64,
    /// Its state at our end.
    pub local_state: Option<DeliveryState>,
    /// Its state at the peer, as far as we heard.
    pub remote_state: Option<DeliveryState>,
    /// How much of the message has come, where our end receives. None when the owner had not taken it yet: then it
    /// comes again.
    pub received: Option<Position>,
    /// The message, where our end sent it and kept it. Where our end receives, and more of the message was to follow,
    /// what has come of it; nothing of it on a link that gives messages in parts.
    pub message: Option<Bytes>,
}

impl Unsettled {
    /// Whether our end has received the message as a whole, and the owner has taken it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.received.is_some() && self.message.is_none()
    }
}
