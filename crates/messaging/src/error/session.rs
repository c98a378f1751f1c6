//! Why a session does not begin, and why it is over.

use std::time::Duration;

use postroad_client as client;
use postroad_client::BlockingError;
use postroad_client::types::{ErrorCondition, PeerError};

use crate::{AddressError, ConnectionError, TransactionError};

/// Why a session could not begin, or is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// We closed it.
    #[doc(alias = "SessionClosed")]
    #[error("the session is closed")]
    Closed,
    /// The broker ended it.
    #[error("session ended by the broker{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Ended(Option<PeerError>),
    /// The broker ended it, because the user may not do what was asked for.
    #[doc(alias = "UnauthorizedAccess")]
    #[error("access refused: {0}")]
    Unauthorized(PeerError),
    /// The broker ended it, because something went wrong in there.
    #[doc(alias = "ServerError")]
    #[error("the broker failed: {0}")]
    Server(PeerError),
    /// The broker did not answer in this time.
    #[error("the broker did not answer within {0:?}")]
    Timeout(Duration),
    /// There are as many sessions as the broker takes.
    #[error("{0}")]
    Limit(String),
    /// The connection is detached: it can be attached again.
    #[error("the connection is detached")]
    Detached,
    /// It is closed, and what its links leave to be done was not done.
    #[error("{0}")]
    Undo(#[source] Box<AddressError>),
    /// The session has no transactions that could be committed or rolled back.
    #[doc(alias = "NontransactionalSession")]
    #[error("the session is not transactional")]
    Nontransactional,
    /// A transaction of the session came to nothing, or the broker has none.
    #[error("{0}")]
    Transaction(#[from] TransactionError),
    /// The connection is over.
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl SessionError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connection(error) => error.hint(),
            Self::Detached => Some("attach the connection by `attach`".into()),
            Self::Undo(error) => error.hint(),
            Self::Nontransactional => Some("begin the session by `transactional_session`".into()),
            Self::Transaction(error) => error.hint(),
            Self::Blocking(error) => Some(error.hint().into()),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Ended(Some(error)) | Self::Unauthorized(error) | Self::Server(error) => Some(&error.condition),
            Self::Undo(error) => error.condition(),
            Self::Transaction(error) => error.condition(),
            Self::Connection(error) => error.condition(),
            _ => None,
        }
    }
}

impl From<client::LinkError> for SessionError {
    fn from(error: client::LinkError) -> Self {
        match error {
            client::LinkError::SessionEnded(Some(report))
                if report.condition == ErrorCondition::UNAUTHORIZED_ACCESS =>
            {
                Self::Unauthorized(report)
            }
            client::LinkError::SessionEnded(Some(report)) if report.condition == ErrorCondition::INTERNAL_ERROR => {
                Self::Server(report)
            }
            client::LinkError::SessionEnded(report) => Self::Ended(report),
            client::LinkError::Connection(error) | client::LinkError::Interrupted(error) => {
                Self::Connection(error.into())
            }
            client::LinkError::Timeout(timeout) => Self::Timeout(timeout),
            client::LinkError::Blocking(error) => Self::Blocking(error),
            client::LinkError::Unattached => Self::Detached,
            error @ client::LinkError::TransactionAborted(_) => {
                Self::Transaction(TransactionError::Aborted(Box::new(client::TransactionError::Link(error))))
            }
            error @ client::LinkError::TransactionUnknown(_) => {
                Self::Transaction(TransactionError::Unknown(Box::new(client::TransactionError::InDoubt(error))))
            }
            client::LinkError::Transaction(error) => Self::Transaction(TransactionError::Aborted(error)),
            _ => Self::Closed,
        }
    }
}

impl From<client::AttachError> for SessionError {
    fn from(error: client::AttachError) -> Self {
        match error {
            client::AttachError::Link(error) => error.into(),
            error => Self::Limit(error.to_string()),
        }
    }
}
