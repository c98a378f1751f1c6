//! Why a broker did not start, or did not do what it was asked.

use postroad_address::UrlError;
use postroad_codec::v1_0::{ByteString, Error};
use postroad_taps::{BlockingError, ListenError, TlsConfigError};

/// Why a broker did not start. Nothing of it is left running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A URL to listen on is no URL.
    #[error("cannot listen on {url:?}: {error}")]
    Url {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it.
        error: UrlError,
    },
    /// A URL to listen on says more than scheme, host or socket, port, and the resource of a WebSocket.
    #[error(
        "cannot listen on {url:?}: only scheme, host or socket, port, and the resource of a WebSocket have a meaning here"
    )]
    UrlParts {
        /// The URL as it was given.
        url: String,
    },
    /// The broker was built without the feature `websocket`.
    #[error("cannot listen on {url}: WebSocket is not built in")]
    NoWebSocket {
        /// The URL.
        url: String,
    },
    /// TLS needs a certificate.
    #[error("cannot listen on {url}: TLS needs a certificate and its key")]
    NoCertificate {
        /// The URL.
        url: String,
    },
    /// There are no users, tokens and certificates that count, and nobody may be anonymous.
    #[error("nobody could get in: there are no users, tokens or certificates, and anonymous clients are not allowed")]
    Nobody,
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// The socket cannot be opened.
    #[error("cannot listen on {url}: {error}")]
    Listen {
        /// The URL.
        url: String,
        /// What stands in the way.
        error: ListenError,
    },
    /// A queue or topic cannot be made.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
}

impl StartError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Url { error, .. } => error.hint(),
            Self::UrlParts { .. } => Some(
                "write amqp://127.0.0.1:5672, amqp+unix://%2Frun%2Fbroker.sock or amqpws://127.0.0.1?websocket_resource=/amqp",
            ),
            Self::NoWebSocket { .. } => Some("build with the feature `websocket`"),
            Self::NoCertificate { .. } => Some("give the broker a certificate and key, or use amqp:// or amqpws://"),
            Self::Listen { error: ListenError::AddressInUse { address }, .. } if address.unix().is_some() => {
                Some("another process listens there, or has left the file of its socket: then remove it")
            }
            Self::Listen { error: ListenError::AddressInUse { .. }, .. } => {
                Some("choose another port; 0 picks a free one")
            }
            _ => None,
        }
    }
}

/// Why a queue or topic cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {name:?}: {reason}")]
pub struct QueueError {
    /// The name that was asked for.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A description is cut there, in bytes: names that clients make up go into it, and a client may take
/// frames of 512 bytes only.
const LONGEST: usize = 200;

/// An error that fits into any frame.
pub(crate) fn clip(mut error: Error) -> Error {
    error.description = error.description.as_ref().map(clip_text);
    error
}

/// The start of a text that is too long.
pub(crate) fn clip_text(text: &ByteString) -> ByteString {
    if text.len() <= LONGEST {
        return text.clone();
    }
    let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end]).into()
}
