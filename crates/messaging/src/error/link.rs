//! Why a link does not come about, and why it is over.

use std::time::Duration;

use postroad_client as client;
use postroad_client::BlockingError;
use postroad_client::types::{ErrorCondition, PeerError};

use crate::{AddressError, SessionError};

/// Why a sender or receiver could not be made, or is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The address cannot be used.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// We closed it.
    #[doc(alias = "LinkClosed")]
    #[error("the link is closed")]
    Closed,
    /// The broker detached it.
    #[error("detached by the broker{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Detached(Option<PeerError>),
    /// The broker did not answer in this time.
    #[error("the broker did not answer within {0:?}")]
    Timeout(Duration),
    /// The session takes no acknowledgment: its `ack_capacity` is 0.
    #[error("no capacity to acknowledge")]
    InsufficientCapacity,
    /// There are as many links as the broker takes, or one of this name is there already.
    #[error("{0}")]
    Limit(String),
    /// The session or the connection is over.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl LinkError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Address(error) => error.hint(),
            Self::Session(error) => error.hint(),
            Self::Blocking(error) => Some(error.hint().into()),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Address(error) => error.condition(),
            Self::Detached(Some(error)) => Some(&error.condition),
            Self::Session(error) => error.condition(),
            _ => None,
        }
    }
}

impl From<client::LinkError> for LinkError {
    fn from(error: client::LinkError) -> Self {
        match error {
            client::LinkError::Detached(report) => Self::Detached(Some(report)),
            client::LinkError::DetachedByPeer => Self::Detached(None),
            client::LinkError::Timeout(timeout) => Self::Timeout(timeout),
            client::LinkError::Blocking(error) => Self::Blocking(error),
            client::LinkError::Limit(error) => Self::Limit(error.to_string()),
            client::LinkError::Terms(error) => (*error).into(),
            client::LinkError::SessionEnded(_)
            | client::LinkError::Connection(_)
            | client::LinkError::Interrupted(_)
            | client::LinkError::Unattached
            | client::LinkError::Transaction(_)
            | client::LinkError::TransactionAborted(_)
            | client::LinkError::TransactionUnknown(_) => Self::Session(error.into()),
            _ => Self::Closed,
        }
    }
}

impl From<client::AttachError> for LinkError {
    fn from(error: client::AttachError) -> Self {
        match error {
            client::AttachError::Link(error) => error.into(),
            client::AttachError::GuaranteeUnavailable { asked, missing } => {
                Self::Address(AddressError::GuaranteeUnavailable { asked: asked.to_string(), missing })
            }
            client::AttachError::OtherNode { asked, offered } => {
                Self::Address(AddressError::AssertionFailed { expected: asked, found: offered })
            }
            error => Self::Limit(error.to_string()),
        }
    }
}
