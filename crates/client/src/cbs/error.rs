//! Why a token was not put.

use std::time::Duration;

use postroad_taps::BlockingError;

use super::TokenError;
use crate::types::PeerError;
use crate::{AttachError, RequestError};

/// Why a token was not put, or not taken back.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CbsError {
    /// The peer has no node that takes tokens.
    #[error("the peer takes no tokens: {0}")]
    Unavailable(Box<AttachError>),
    /// The links to the node were not attached.
    #[error(transparent)]
    Attach(Box<AttachError>),
    /// The token is not good for the audience, or for anything (status 401 or 403). What the peer says of it follows.
    #[error("the token is not good for the audience: {0}")]
    Unauthorized(String),
    /// The peer knows no such audience (status 404).
    #[error("no such audience: {0}")]
    NotFound(String),
    /// The peer refused for another reason.
    #[error("refused with status {status}: {description}")]
    Refused {
        /// The status, as HTTP has it.
        status: i64,
        /// What the peer says of it.
        description: String,
    },
    /// The peer's answer means nothing: it lacks this.
    #[error("the answer about the token has no {0}")]
    Answer(&'static str),
    /// There was no answer in this time. The token may have been taken.
    #[error("the token was not taken within {0:?}")]
    Timeout(Duration),
    /// There was no answer for another reason.
    #[error(transparent)]
    Request(Box<RequestError>),
    /// No token was made.
    #[error("no token: {0}")]
    Provider(TokenError),
    /// The token has expired already.
    #[error("the token has expired")]
    Expired,
    /// The connection has no TLS: whoever listens would see the token.
    #[error("a token may not be shown without TLS")]
    Insecure,
    /// The connection is to a host that a redirect named.
    #[error("a token may not be shown to a host that a redirect named")]
    Redirected,
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl CbsError {
    pub(super) fn of_attach(error: AttachError) -> Self {
        use crate::types::ErrorCondition as Condition;
        let missing = [Condition::NOT_FOUND, Condition::NOT_IMPLEMENTED, Condition::NOT_ALLOWED];
        match error.peer_error() {
            Some(told) if missing.contains(&told.condition) => Self::Unavailable(Box::new(error)),
            _ => Self::Attach(Box::new(error)),
        }
    }

    pub(super) fn of_status(status: i64, description: String) -> Self {
        match status {
            401 | 403 => Self::Unauthorized(description),
            404 => Self::NotFound(description),
            status => Self::Refused { status, description },
        }
    }

    /// The peer's own report, where it gave one by an error of AMQP.
    #[must_use]
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Unavailable(error) | Self::Attach(error) => error.peer_error(),
            Self::Request(error) => error.peer_error(),
            _ => None,
        }
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable(_) => Some("show who you are by SASL: a user and password, or a bearer token (`token`)"),
            Self::Unauthorized(_) => {
                Some("is the audience written as the peer wants it, and the key or claim one for it?")
            }
            Self::Expired => Some("does the clock go right?"),
            Self::Insecure => Some("use amqps, or allow it (`allow_insecure_mechs`)"),
            Self::Redirected => {
                Some("allow it (`redirect_credentials`) if every host may have tokens that the peer names")
            }
            Self::Request(error) => error.hint(),
            Self::Blocking(error) => Some(error.hint()),
            _ => None,
        }
    }
}

impl From<RequestError> for CbsError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Timeout { after, .. } => Self::Timeout(after),
            RequestError::Blocking(error) => Self::Blocking(error),
            error => Self::Request(Box::new(error)),
        }
    }
}
