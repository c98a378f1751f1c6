//! Why a connection could not send, receive, or go on.

use std::fmt;
use std::io;

use crate::error::EstablishmentError;
use crate::framer::FramerError;
use crate::properties::MessagePropertyError;
use crate::tls::TlsError;

/// What ended a connection out of order. The names in brackets are those of RFC 9623 appendix B.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// It was never established.
    #[error("not established: {0}")]
    NotEstablished(Box<EstablishmentError>),
    /// This end aborted it (`ConnectionAborted`).
    #[error("aborted by this end")]
    LocalAbort,
    /// The peer aborted it (`ConnectionAborted`).
    #[error("aborted by the peer")]
    PeerAbort,
    /// Data stayed unacknowledged for too long, or keep-alive probes unanswered (`Timeout`).
    #[error("the peer does not answer any more")]
    Timeout,
    /// The peer closed the transport without closing the TLS session: what was received may be cut short.
    #[error("closed by the peer without a closing alert: the data may be cut short")]
    TlsTruncated,
    /// The TLS session failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The WebSocket failed, or the peer has closed it for a reason that is no orderly end.
    #[cfg(feature = "websocket")]
    #[error(transparent)]
    WebSocket(#[from] crate::stack::websocket::WebSocketError),
    /// The transport failed otherwise (`ProtocolFailed`).
    #[error("the transport failed: {0}")]
    Transport(io::ErrorKind),
}

impl ConnectionError {
    pub(crate) fn from_io(error: &io::Error) -> Self {
        if let Some(tls) = TlsError::from_io(error) {
            return Self::Tls(tls);
        }
        #[cfg(feature = "websocket")]
        if let Some(error) = crate::stack::websocket::WebSocketError::from_io(error) {
            return Self::WebSocket(error);
        }
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Self::PeerAbort
            }
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::UnexpectedEof => Self::TlsTruncated,
            kind => Self::Transport(kind),
        }
    }
}

/// Why a message was not sent.
#[doc(alias = "SendErrorReason")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message is over a framer's limit; the connection lives on.
    #[doc(alias = "MESSAGE_TOO_LARGE")]
    #[error("a message of {size} bytes is over the limit of {limit}")]
    MessageTooLarge {
        /// The length of the message, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The lifetime of the message was over before its turn had come; nothing of it was sent.
    #[doc(alias = "MESSAGE_TIMEOUT")]
    #[error("the lifetime of the message was over before it could be sent")]
    Expired,
    /// What the message asks for contradicts itself or the connection; nothing of it was sent.
    #[doc(alias = "INCONSISTENT_PROPERTIES_PASSED")]
    #[error("the message cannot be sent on this connection: {0}")]
    InvalidMessageProperties(MessagePropertyError),
    /// The system has refused this message, for instance since there is no route at the moment; nothing of it was sent,
    /// and the connection lives on.
    #[error("the system has not sent the message: {0}")]
    Refused(io::ErrorKind),
    /// The connection only receives.
    #[error("the connection is for receiving only")]
    ReceiveOnly,
    /// A framer refused the message; the connection lives on.
    #[error(transparent)]
    Framer(FramerError),
    /// A last message was sent before.
    #[doc(alias = "FINAL_MESSAGE_PASSED")]
    #[error("a last message was sent before")]
    FinalAlreadySent,
    /// This end has closed the connection.
    #[doc(alias = "CONNECTION_CLOSING")]
    #[error("the connection is closed")]
    Closed,
    /// The connection has failed; how much of the message the peer got is unknown.
    #[doc(alias = "FAILURE_UNDERLYING_STACK")]
    #[error(transparent)]
    ProtocolFailed(#[from] ConnectionError),
}

/// What was not sent of a batch. The other messages were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchError {
    pub(super) failed: Vec<(usize, SendError)>,
}

impl BatchError {
    /// The messages that were not sent, by their place in the batch, each with the reason. The place of those that
    /// were on their way together when the connection failed is not known: then one entry stands for all, with
    /// `usize::MAX`.
    #[must_use]
    pub fn failed(&self) -> &[(usize, SendError)] {
        &self.failed
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failed.as_slice() {
            [(usize::MAX, error), ..] => write!(f, "the batch was not sent: {error}"),
            [(place, error)] => write!(f, "message {place} of the batch was not sent: {error}"),
            many => write!(f, "{} messages of the batch were not sent, the first since: {}", many.len(), many[0].1),
        }
    }
}

impl std::error::Error for BatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failed.first().map(|(_, error)| error as _)
    }
}

impl From<FramerError> for SendError {
    fn from(error: FramerError) -> Self {
        match error {
            FramerError::MessageTooLarge { size, limit } => Self::MessageTooLarge { size, limit },
            other => Self::Framer(other),
        }
    }
}

/// Why no message was received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// A framer cannot make sense of what arrived; nothing more can be received.
    #[error("deframing failed: {0}")]
    DeframingFailed(#[from] FramerError),
    /// The peer has ended its stream in order, or this end has closed the connection: there are no more messages.
    #[error("the connection is closed")]
    Closed,
    /// The connection is for sending only.
    #[error("the connection is for sending only")]
    SendOnly,
    /// The connection has failed.
    #[error(transparent)]
    ProtocolFailed(#[from] ConnectionError),
}

/// Why a connection cannot be used as a stream of bytes; it is closed by the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntoByteStreamError {
    /// It carries messages, and its bytes are its framers'.
    #[error("the connection has framers: only one without can be used as a stream of bytes")]
    HasFramers,
    /// Messages have been sent or received on it, and some bytes of them are still on their way.
    #[error("the connection holds bytes of messages: hand it over before it is used for messages")]
    HoldsData,
    /// It is closed, half or in full.
    #[error("the connection is closed")]
    Closed,
    /// It is still being established: wait until it is ready.
    #[error("the connection is still being established")]
    NotEstablished,
    /// Its transport does not carry a stream: messages may be lost or come in another order.
    #[error("the transport carries datagrams, not a stream")]
    NoStream,
}
