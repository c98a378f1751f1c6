//! Why a connection does not come about, and why it is over.

use std::time::Duration;

use postroad_address::{ConnectionOptionsError, UrlError};
use postroad_client as client;
use postroad_client::types::{ErrorCondition, PeerError};
use postroad_client::{BlockingError, TlsConfigError};

use crate::AddressError;

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is no URL.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// An option is unknown, or its value does not fit.
    #[doc(alias = "InvalidOptionString")]
    #[error("{0}")]
    Options(#[from] ConnectionOptionsError),
    /// An option of ours cannot be used.
    #[error("{option}: {problem}")]
    Option {
        /// The option.
        option: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The files for TLS cannot be used.
    #[error("{0}")]
    TlsFiles(#[from] TlsConfigError),
    /// The broker refused the credentials, or offers no mechanism that would do.
    #[doc(alias = "AuthenticationFailure")]
    #[error("authentication failure: {0}")]
    Authentication(#[source] client::ConnectError),
    /// TLS was not established: mostly a certificate that nobody we trust has signed, or for another host.
    #[error("{0}")]
    Tls(#[source] client::ConnectError),
    /// Who answered speaks another protocol, or another version of ours.
    #[doc(alias = "VersionError")]
    #[doc(alias = "ProtocolVersionError")]
    #[error("{0}")]
    Version(#[source] client::ConnectError),
    /// The broker was not reached, or closed the connection at once.
    #[doc(alias = "TransportFailure")]
    #[error("{0}")]
    Connection(#[source] client::ConnectError),
    /// It took too long.
    #[error("the broker did not open the connection within {0:?}")]
    Timeout(Duration),
    /// No broker of the list let us in, for as long as it was to be tried: the last error.
    #[doc(alias = "Timeout")]
    #[error("no connection within {0:?}: {1}")]
    GaveUp(Duration, #[source] client::ConnectError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl ConnectError {
    pub(crate) fn option(option: &str, problem: &'static str) -> Self {
        Self::Option { option: option.to_owned(), problem }
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Url(error) => error.hint().map(Into::into),
            Self::Options(error) => Some(error.hint()),
            Self::Authentication(error) | Self::Tls(error) | Self::Version(error) | Self::Connection(error) => error.hint(),
            Self::GaveUp(_, error) => error.hint().or_else(|| {
                Some("start a broker there, or name others by `reconnect_urls`, or give it longer by `reconnect_timeout`".into())
            }),
            Self::Timeout(timeout) => client::ConnectError::Timeout(*timeout).hint(),
            Self::Option { .. } | Self::TlsFiles(_) => None,
            Self::Blocking(error) => Some(error.hint().into()),
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Authentication(error) | Self::Tls(error) | Self::Connection(error) | Self::GaveUp(_, error) => {
                match error {
                    client::ConnectError::Connection(error) => error.peer_error().map(|error| &error.condition),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl From<client::ConnectError> for ConnectError {
    fn from(error: client::ConnectError) -> Self {
        match error {
            client::ConnectError::Timeout(timeout) => Self::Timeout(timeout),
            client::ConnectError::Blocking(error) => Self::Blocking(error),
            error if error.is_authentication() => Self::Authentication(error),
            error if error.tls().is_some() => Self::Tls(error),
            error if error.is_foreign() => Self::Version(error),
            error => Self::Connection(error),
        }
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// We closed it.
    #[doc(alias = "ConnectionClosed")]
    #[error("the connection is closed")]
    Closed,
    /// We detached it: it can be attached again.
    #[error("the connection is detached")]
    Detached,
    /// The broker closed it with an error.
    #[error("closed by the broker: {0}")]
    Remote(PeerError),
    /// The broker did not answer our close in this time.
    #[error("the broker did not answer the close within {0:?}")]
    CloseTimeout(Duration),
    /// Nothing came from the broker in two heartbeats.
    #[doc(alias = "HeartbeatTimeout")]
    #[error("heartbeat timeout: {0}")]
    Heartbeat(#[source] client::ConnectionError),
    /// It is closed, and what its links leave to be done was not done.
    #[error("{0}")]
    Undo(#[source] Box<AddressError>),
    /// The transport or the protocol ended it.
    #[doc(alias = "InternalError")]
    #[doc(alias = "TransportFailure")]
    #[error("{0}")]
    Failed(#[source] client::ConnectionError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl ConnectionError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Failed(error) | Self::Heartbeat(error) => error.hint().map(Into::into),
            Self::Undo(error) => error.hint(),
            Self::Blocking(error) => Some(error.hint().into()),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Remote(error) => Some(&error.condition),
            Self::Undo(error) => error.condition(),
            _ => None,
        }
    }
}

impl From<client::ConnectionError> for ConnectionError {
    fn from(error: client::ConnectionError) -> Self {
        match error {
            client::ConnectionError::Closed => Self::Closed,
            client::ConnectionError::Detached => Self::Detached,
            client::ConnectionError::CloseTimeout(timeout) => Self::CloseTimeout(timeout),
            client::ConnectionError::Blocking(error) => Self::Blocking(error),
            error if error.is_idle() => Self::Heartbeat(error),
            error => match error.peer_error() {
                Some(report) => Self::Remote(report.clone()),
                None => Self::Failed(error),
            },
        }
    }
}
