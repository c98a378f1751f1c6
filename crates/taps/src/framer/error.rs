//! Why a framer, or a stack of them, could not go on.

/// Why a framer could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramerError {
    /// A message is longer than the framer allows.
    #[error("a message of {size} bytes is over the limit of {limit}")]
    MessageTooLarge {
        /// The length that was given or declared, in bytes; at least, where more would have followed.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A message does not have the one length that the framer has.
    #[error("a message of {size} bytes where all have {expected}")]
    WrongLength {
        /// The length of the message, in bytes.
        size: u64,
        /// The length of all messages, in bytes.
        expected: u64,
    },
    /// A message contains what would end it on the other side, and there is no way to escape it.
    #[error("the message contains the delimiter at byte {offset}")]
    ContainsDelimiter {
        /// Where in the message, in bytes.
        offset: u64,
    },
    /// A value that the application gave to the framer with a message is of no use to it.
    #[error("the value of {key} is of the wrong type or out of range")]
    InvalidMetadata {
        /// The key of the value.
        key: String,
    },
    /// A framer was made with values with which it cannot work.
    #[error("the framer cannot work so: {0}")]
    InvalidConfiguration(String),
    /// What arrived ended in the middle of a message.
    #[error("the data ended in the middle of a message")]
    Truncated,
    /// What arrived breaks the framer's rules.
    #[error("malformed data: {0}")]
    Malformed(String),
    /// A part of another message was sent before this one: end it first.
    #[error("another message was begun and has not ended")]
    Interleaved,
    /// A part of a message was sent of which an earlier part was refused: none of it is sent.
    #[error("an earlier part of the message was refused")]
    PartRefused,
    /// The framer has used nothing of what arrived, and more than it may hold has arrived.
    #[error("the framer makes no use of the {held} bytes that have arrived")]
    NoProgress {
        /// How many bytes wait for it.
        held: u64,
    },
    /// A framer can be put above another only before that one is ready.
    #[error("the framer is ready: nothing can be put above it any more")]
    AlreadyReady,
    /// More framers stand on each other than a connection takes.
    #[error("more than {limit} framers")]
    TooManyFramers {
        /// How many there may be.
        limit: usize,
    },
    /// The framer has given the connection up.
    #[error("the framer gave up: {0}")]
    Failed(String),
    /// The framer has panicked; the connection is of no use any more.
    #[error("the framer panicked")]
    Panicked,
}
