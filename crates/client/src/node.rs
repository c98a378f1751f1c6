//! The far end of a link: which node, on which terms.

use std::time::Duration;

use postroad_codec::v1_0::{Fields, Symbol, Value};

/// A node that messages come from or go to.
#[doc(alias = "Terminus")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// Its address; none for the anonymous relay and for a dynamic node.
    pub address: Option<String>,
    /// Whether the peer is to make a node and tell its address.
    pub dynamic: bool,
    /// Properties of a node that the peer makes.
    pub properties: Option<Fields>,
    /// Extensions asked of the node, such as `queue`, `topic`, `shared`.
    pub capabilities: Vec<String>,
    /// Filters by name, each with its descriptor and value.
    #[doc(alias = "filter")]
    pub filters: Vec<(Symbol, Value)>,
    /// Whether receiving leaves messages for others; as the node has it where nothing is said.
    #[doc(alias = "distribution_mode")]
    pub distribution: Option<Distribution>,
    /// What of the terminus survives the connection.
    #[doc(alias = "durability")]
    pub durable: bool,
    /// When the terminus expires.
    #[doc(alias = "expiry_policy")]
    #[doc(alias = "timeout")]
    pub expiry: Option<Expiry>,
}

/// What becomes of messages at a source that are received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// They leave it.
    Move,
    /// They stay, for others.
    Copy,
}

/// When a terminus expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// This long after its link is detached.
    LinkDetach(Duration),
    /// This long after its session has ended.
    SessionEnd(Duration),
    /// This long after its connection has closed.
    ConnectionClose(Duration),
    /// Never.
    Never,
}

/// How often a message may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Guarantee {
    /// Once or not at all: messages are settled as they are sent.
    #[doc(alias = "at-most-once")]
    AtMostOnce,
    /// Once or more: messages are settled when the receiver has processed them.
    #[doc(alias = "at-least-once")]
    #[default]
    AtLeastOnce,
    /// Once: the receiver keeps its record of a message until it knows that the sender has the outcome, and both ends
    /// remember the link while there is no connection ([`LinkOptions::resume_timeout`]). A peer that does not keep its
    /// side of that is told by [`AttachError::GuaranteeUnavailable`](crate::AttachError::GuaranteeUnavailable).
    ///
    /// It holds from the sender of a link to its receiver, over any number of connections of one
    /// [`Connection`](crate::Connection); not beyond the end of the process, which forgets what it has not settled, nor
    /// beyond that of a broker without a store. What cannot be known any more is told as in doubt and never sent again
    /// by itself.
    #[doc(alias = "exactly-once")]
    ExactlyOnce,
}

impl std::fmt::Display for Guarantee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AtMostOnce => "at-most-once",
            Self::AtLeastOnce => "at-least-once",
            Self::ExactlyOnce => "exactly-once",
        })
    }
}

/// The terms of a link.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LinkOptions {
    /// The link's name; a unique one when there is none.
    pub name: Option<String>,
    /// How often a message may arrive.
    pub guarantee: Guarantee,
    /// Messages that a receiver takes ahead; 0 fetches one by one, and of 2^31 and more 2^31 - 1 count.
    pub prefetch: u32,
    /// The largest message that a receiver takes, in bytes.
    pub max_message_size: u64,
    /// The address of our own end, where the peer cares.
    pub own_address: Option<String>,
    /// Properties of the link.
    pub properties: Option<Fields>,
    /// The extensions that our end of the link offers.
    pub offered_capabilities: Vec<String>,
    /// The extensions that our end of the link would use.
    pub desired_capabilities: Vec<String>,
    /// How long to wait for the peer to attach or detach.
    pub timeout: Duration,
    /// With [`Guarantee::ExactlyOnce`]: how long the peer is asked to remember the link while there is no connection, in
    /// whole seconds, one at least. It may grant less. Where the node says how it expires ([`Node::expiry`]), that
    /// counts. By default ten minutes.
    pub resume_timeout: Duration,
    /// With [`Guarantee::AtLeastOnce`]: whether what is not settled when the connection is lost is sent again on a broker
    /// of another container id, which may have it already. Otherwise it is told as in doubt, as it always is with
    /// [`Guarantee::ExactlyOnce`].
    pub resend_elsewhere: bool,
    /// Messages of a sender that may be under way, handed over and without an outcome: at the bound, handing over waits.
    /// By default 10 000; `None` is no bound.
    pub max_unsettled: Option<usize>,
    /// Bytes of those messages that a sender keeps until they are settled, so that they can be sent again: at the bound,
    /// which the last message may exceed, handing over waits. By default 64 MiB.
    pub max_unsettled_bytes: usize,
    /// Whether a sender settles a message as soon as its receiver has told the outcome; it does by default. Otherwise that is
    /// left to [`Sender::settle`](crate::Sender::settle), for messages that were handed over with
    /// [`Sender::try_submit_told`](crate::Sender::try_submit_told).
    pub auto_settle: bool,
    /// Whether the owner of a sender will poll for news ([`Sender::poll_news`](crate::Sender::poll_news)). A receiver that asks
    /// for its credit back before the first poll then waits for that; otherwise it is answered at once. Not by default.
    pub polls_news: bool,
    /// Whether a receiver whose link the peer attaches has a sender that detaches it wait for its answer until everything that
    /// has come has its outcome, ten seconds at most: behind the answer none can be told, and the sender would be in doubt.
    /// Until then the link is not over. By default it is answered at once.
    pub answers_last: bool,
    /// Whether the peer may attach the link to a node of another address than the one that was asked for. Otherwise that
    /// is [`AttachError::OtherNode`](crate::AttachError::OtherNode).
    pub any_node: bool,
    /// Whether a receiver gives messages in parts ([`SharedReceiver::poll_part`](crate::SharedReceiver::poll_part)).
    /// [`Session::streaming_receiver`](crate::Session::streaming_receiver) sets it by itself.
    pub in_parts: bool,
    /// Whether a sender keeps what is not settled, to send it again.
    pub(crate) keep: bool,
    /// Whether what a sender has not settled may be sent again by itself, where the guarantee allows it.
    pub(crate) resends: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            name: None,
            guarantee: Guarantee::default(),
            prefetch: 100,
            max_message_size: 100 * 1024 * 1024,
            own_address: None,
            properties: None,
            offered_capabilities: Vec::new(),
            desired_capabilities: Vec::new(),
            timeout: Duration::from_secs(30),
            resume_timeout: Duration::from_secs(600),
            resend_elsewhere: false,
            max_unsettled: Some(10_000),
            max_unsettled_bytes: 64 * 1024 * 1024,
            auto_settle: true,
            answers_last: false,
            polls_news: false,
            any_node: false,
            keep: false,
            resends: true,
            in_parts: false,
        }
    }
}

impl Node {
    /// The node at an address.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }

    /// A node that the peer makes.
    #[must_use]
    pub fn dynamic() -> Self {
        Self { dynamic: true, ..Self::default() }
    }

    /// Whether receiving leaves messages for others.
    #[must_use]
    pub fn is_browsed(&self) -> bool {
        self.distribution == Some(Distribution::Copy)
    }

    /// The anonymous relay: each message says where it goes.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }
}

impl From<&str> for Node {
    fn from(address: &str) -> Self {
        Self::at(address)
    }
}
