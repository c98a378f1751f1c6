//! Why no message comes.

use postroad_client as client;
use postroad_client::types::{DecodeError, ErrorCondition};

use crate::LinkError;

/// Why no message was fetched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is none now.
    #[doc(alias = "NoMessageAvailable")]
    #[error("no message")]
    Empty,
    /// A message came that cannot be read. It was rejected; the next fetch goes on behind it.
    #[doc(alias = "ContentError")]
    #[doc(alias = "DecodeError")]
    #[error("a message that cannot be read: {0}")]
    Malformed(#[source] DecodeError),
    /// The link is over.
    #[error("{0}")]
    Link(#[from] LinkError),
}

impl FetchError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Link(error) => error.hint(),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Link(error) => error.condition(),
            _ => None,
        }
    }
}

impl From<client::ReceiveError> for FetchError {
    fn from(error: client::ReceiveError) -> Self {
        match error {
            client::ReceiveError::Link(error) => Self::Link(error.into()),
            client::ReceiveError::Malformed(error) => Self::Malformed(error),
            _ => Self::Link(LinkError::Closed),
        }
    }
}
