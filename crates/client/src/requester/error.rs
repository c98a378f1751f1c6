//! Why a request has no answer.

use std::time::Duration;

use postroad_taps::BlockingError;

use crate::types::PeerError;
use crate::{AttachError, LinkError, Outcome, ReceiveError, Recovery, SendError};

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The links for requests and answers were not attached.
    #[error("not asked: {0}")]
    Attach(#[from] AttachError),
    /// A link was over before it was sent.
    #[error("not asked: {0}")]
    Link(#[from] LinkError),
    /// It was not sent, or it is not known whether it was taken ([`SendError::InDoubt`]).
    #[error(transparent)]
    Send(#[from] SendError),
    /// The peer did not take it.
    #[error("the peer did not take the request, which was {0}")]
    NotAccepted(Outcome),
    /// There was no answer in this time.
    #[error("no answer within {after:?}{}", if *.sent { "" } else { ", in which the request could not be sent" })]
    Timeout {
        /// How long that was.
        after: Duration,
        /// Whether the request was sent: then what it asked for may have happened, or may still happen.
        sent: bool,
    },
    /// It was sent, and its answer cannot come any more: the connection was lost, or the peer takes no requests any
    /// more.
    #[error("in doubt whether the request was done: {0}")]
    InDoubt(LinkError),
    /// It was sent, and what came cannot be read, or the link for the answers is over.
    #[error("in doubt whether the request was done, for there is no answer: {0}")]
    Receive(ReceiveError),
    /// The peer made a node for the answers, and did not tell what it is called.
    #[error("the peer gave the node for answers no address")]
    NoReplyTo,
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl RequestError {
    /// Whether what was asked for may have happened, or may still happen. Otherwise nothing of it has.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Send(SendError::InDoubt(_) | SendError::NoOutcome) | Self::InDoubt(_) | Self::Receive(_) => true,
            Self::Timeout { sent, .. } => *sent,
            Self::Attach(_)
            | Self::Link(_)
            | Self::Send(_)
            | Self::NotAccepted(_)
            | Self::NoReplyTo
            | Self::Blocking(_) => false,
        }
    }

    /// Whether the connection was lost in the middle of it, and is made anew: it may be asked again.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        let error = match self {
            Self::Link(error) | Self::InDoubt(error) | Self::Receive(ReceiveError::Link(error)) => error,
            Self::Send(SendError::NotSent(error) | SendError::InDoubt(error)) => error,
            _ => return false,
        };
        matches!(error, LinkError::Interrupted(_))
    }

    /// The peer's own report, where it gave one.
    #[must_use]
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Attach(error) => error.peer_error(),
            Self::NotAccepted(Outcome::Rejected(error)) => error.as_ref(),
            Self::Link(error) | Self::InDoubt(error) | Self::Receive(ReceiveError::Link(error)) => error.peer_error(),
            Self::Send(SendError::NotSent(error) | SendError::InDoubt(error)) => error.peer_error(),
            _ => None,
        }
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Timeout { sent: false, .. } => Some("the service gives no credit: is it there, and has it room?"),
            Self::Timeout { sent: true, .. } => Some("does the service answer to `reply-to`, with a correlation id?"),
            Self::NoReplyTo => Some("name a node for the answers (`reply_node`)"),
            Self::Blocking(error) => Some(error.hint()),
            _ => None,
        }
    }

    /// What has to be made anew.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Attach(error) => error.recovery(),
            Self::Link(error) | Self::InDoubt(error) => error.recovery(),
            Self::Send(error) => error.recovery(),
            Self::Receive(error) => error.recovery(),
            Self::NotAccepted(_) | Self::Timeout { .. } | Self::Blocking(_) => Recovery::Nothing,
            Self::NoReplyTo => Recovery::Link,
        }
    }
}
