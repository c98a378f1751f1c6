//! What becomes of messages that are sent, one by one and together.

use std::time::Duration;

use postroad_client as client;
use postroad_client::types::{ErrorCondition, Fields, PeerError};
use postroad_client::{BlockingError, Outcome};

use crate::resolve::unsupported;
use crate::{ContentError, LinkError};

/// Why a message was not sent, was not accepted, or why it is not known what became of it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The broker found the message invalid, or has no way to keep it.
    #[doc(alias = "MessageRejected")]
    #[error("rejected{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Rejected(Option<PeerError>),
    /// The broker has no room for the message now.
    #[error("no room at the target: {0}")]
    TargetCapacityExceeded(PeerError),
    /// The broker gave the message back: it may be sent again.
    #[error("released")]
    Released,
    /// The broker gave the message back and wants it changed before it is sent again.
    #[error("given back to be changed")]
    Modified {
        /// Counts as a failed delivery.
        delivery_failed: bool,
        /// Not to be sent here again.
        undeliverable_here: bool,
        /// Annotations to merge into those of the message.
        annotations: Option<Fields>,
    },
    /// The link ended before the broker answered: the message may have arrived.
    #[error("in doubt: {0}")]
    InDoubt(#[source] LinkError),
    /// The link ended before the message was handed over: it was not sent.
    #[error("not sent: {0}")]
    NotSent(#[source] LinkError),
    /// The message is larger than the broker takes: it was not sent.
    #[error("the broker takes messages of {limit} bytes at most")]
    TooLarge {
        /// The largest message, in bytes.
        limit: u64,
    },
    /// The broker settled the message and did not say what became of it.
    #[error("settled by the broker without an outcome")]
    NoOutcome,
    /// The content of the message is not what its content type stands for: it was not sent.
    #[doc(alias = "EncodeError")]
    #[error("{0}")]
    Content(#[from] ContentError),
    /// The capacity is 0, or there was no room and nothing to wait for: the message was not sent.
    #[doc(alias = "OutOfCapacity")]
    #[error("no capacity to send")]
    InsufficientCapacity,
}

impl SendError {
    pub(crate) fn from_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Rejected(Some(error)) if error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED => {
                Self::TargetCapacityExceeded(error)
            }
            Outcome::Rejected(error) => Self::Rejected(error),
            Outcome::Released => Self::Released,
            Outcome::Modified { delivery_failed, undeliverable_here, annotations } => {
                Self::Modified { delivery_failed, undeliverable_here, annotations }
            }
            _ => Self::NoOutcome,
        }
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InDoubt(error) | Self::NotSent(error) => error.hint(),
            Self::TargetCapacityExceeded(_) => Some("receive what waits there, or raise the limit of the queue".into()),
            Self::Content(error) => Some(error.hint().into()),
            Self::InsufficientCapacity => Some("raise the sender's capacity, or wait for what is under way".into()),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Rejected(Some(error)) | Self::TargetCapacityExceeded(error) => Some(&error.condition),
            Self::InDoubt(error) | Self::NotSent(error) => error.condition(),
            _ => None,
        }
    }
}

impl From<client::SendError> for SendError {
    fn from(error: client::SendError) -> Self {
        match error {
            client::SendError::NotSent(error) => Self::NotSent(error.into()),
            client::SendError::InDoubt(error) => Self::InDoubt(error.into()),
            client::SendError::TooLarge(limit) => Self::TooLarge { limit },
            client::SendError::NoCredit => Self::InsufficientCapacity,
            client::SendError::AtMostOnce => Self::NotSent(LinkError::Address(unsupported(
                "link.reliability",
                "nobody would learn whether what is sent at most once can be committed",
                "leave it out, or send on a session without transactions",
            ))),
            _ => Self::NoOutcome,
        }
    }
}

/// Messages sent without waiting that were not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The broker did not accept some of them.
    #[error("{count} messages were not accepted, the first was {first}")]
    NotAccepted {
        /// How many since the last sync.
        count: usize,
        /// What became of the first.
        #[source]
        first: Box<SendError>,
    },
    /// The link ended before the broker answered for all.
    #[error("{count} messages in doubt: {error}")]
    InDoubt {
        /// How many have no answer.
        count: usize,
        /// Why the link ended.
        #[source]
        error: LinkError,
    },
    /// The broker did not answer for all in this time. It may still do so: the next sync tells.
    #[error("the broker did not answer for every message within {0:?}")]
    Timeout(Duration),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl SyncError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAccepted { first, .. } => first.hint(),
            Self::InDoubt { error, .. } => error.hint(),
            Self::Timeout(_) => None,
            Self::Blocking(error) => Some(error.hint().into()),
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::NotAccepted { first, .. } => first.condition(),
            Self::InDoubt { error, .. } => error.condition(),
            Self::Timeout(_) | Self::Blocking(_) => None,
        }
    }
}

impl From<client::SyncError> for SyncError {
    fn from(error: client::SyncError) -> Self {
        match error {
            client::SyncError::NotAccepted { count, first } => Self::NotAccepted {
                count,
                first: Box::new(first.map_or(SendError::NoOutcome, SendError::from_outcome)),
            },
            client::SyncError::Link { in_doubt, error } => Self::InDoubt { count: in_doubt, error: error.into() },
            client::SyncError::Timeout(timeout) => Self::Timeout(timeout),
            client::SyncError::Blocking(error) => Self::Blocking(error),
            _ => Self::NotAccepted { count: 1, first: Box::new(SendError::NoOutcome) },
        }
    }
}

/// Why a sender that is used as a sink went no further.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// A message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The broker did not accept all, or what became of some is not known.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The link could not be closed.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl SinkError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Send(error) => error.hint(),
            Self::Sync(error) => error.hint(),
            Self::Link(error) => error.hint(),
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Send(error) => error.condition(),
            Self::Sync(error) => error.condition(),
            Self::Link(error) => error.condition(),
        }
    }
}
