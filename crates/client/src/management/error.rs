//! Why a request about nodes came to nothing.

use std::time::Duration;

use postroad_taps::BlockingError;

use crate::types::{ErrorCondition, PeerError};
use crate::{AttachError, LinkError, Outcome, ReceiveError, RequestError, SendError};

/// Why a request about nodes came to nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ManagementError {
    /// The peer takes no such requests, or none that are known here.
    #[error("the broker takes no requests about its nodes")]
    Unavailable,
    /// The broker refused it.
    #[error("{0}")]
    Refused(PeerError),
    /// The request itself was not accepted.
    #[error("the broker did not take the request: {0:?}")]
    Outcome(Outcome),
    /// The broker did not answer in this time: what was asked for may have happened.
    #[error("the broker did not answer the request within {0:?}")]
    Timeout(Duration),
    /// The answer means nothing.
    #[error("the broker's answer to the request has no {0}")]
    Answer(&'static str),
    /// The peer made a node for the answers, and did not tell what it is called.
    #[error("the broker gave the node for its answers no address")]
    NoReplyTo,
    /// The links for requests were refused.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The request was not sent, or it is not known whether it was taken.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The answer did not come.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The link is over.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl From<RequestError> for ManagementError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Attach(error) => Self::Attach(error),
            RequestError::Link(error) | RequestError::InDoubt(error) => Self::Link(error),
            RequestError::Send(error) => Self::Send(error),
            RequestError::NotAccepted(outcome) => Self::Outcome(outcome),
            RequestError::Timeout { after, .. } => Self::Timeout(after),
            RequestError::Receive(error) => Self::Receive(error),
            RequestError::NoReplyTo => Self::NoReplyTo,
            RequestError::Blocking(error) => Self::Blocking(error),
        }
    }
}

impl ManagementError {
    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Refused(error) | Self::Outcome(Outcome::Rejected(Some(error))) => Some(error),
            Self::Attach(error) => error.peer_error(),
            Self::Link(error) => error.peer_error(),
            _ => None,
        }
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable => Some("make queues, exchanges and bindings with the broker's own tools"),
            _ => None,
        }
    }

    /// Whether there is no such node.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(error) if error.condition == ErrorCondition::NOT_FOUND)
    }
}
