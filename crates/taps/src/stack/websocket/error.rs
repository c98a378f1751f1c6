//! What can be wrong with a WebSocket.

use std::io;

/// A WebSocket that was not established, or that has failed (RFC 6455).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The server has answered with another status than 101: it has no WebSocket there, or does not let one in.
    #[error("the server has no WebSocket there: it answered with the HTTP status {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// The peer does not do the opening handshake as it should: something else may be listening there.
    #[error("no WebSocket handshake: {0}")]
    Handshake(&'static str),
    /// The head of the peer's opening handshake is longer than 16 KiB or has more than 100 fields.
    #[error("the head of the handshake is too long: 16 KiB and 100 fields are allowed")]
    HeadTooLong,
    /// No subprotocol that one side offers is spoken by the other.
    #[error("no common subprotocol: the client offers {offered}")]
    NoSubprotocol {
        /// What the client offers.
        offered: String,
    },
    /// The peer breaks the protocol; the connection was closed with this code.
    #[error("the peer breaks the WebSocket protocol (code {code}): {reason}")]
    Violation {
        /// The code that the peer was told (RFC 6455 7.4.1).
        code: u16,
        /// What it did.
        reason: &'static str,
    },
    /// The peer has sent a message that is longer than this end takes; the connection was closed with code 1009.
    #[error("the peer sends a message of more than {limit} bytes")]
    MessageTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The peer has closed the connection for a reason that is no orderly end.
    #[error("closed by the peer with code {code}: {reason}")]
    Closed {
        /// The code (RFC 6455 7.4).
        code: u16,
        /// The peer's words; they are to be read by people, if at all.
        reason: String,
    },
    /// The transport has ended without the closing handshake: what was received may be cut short (code 1006).
    #[error("closed by the peer without the closing handshake: the data may be cut short")]
    Truncated,
}

impl WebSocketError {
    /// The WebSocket's failure inside an error of a [`ByteStream`](crate::ByteStream).
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().cloned()
    }
}

impl From<WebSocketError> for io::Error {
    fn from(error: WebSocketError) -> Self {
        let kind = match error {
            WebSocketError::Truncated => io::ErrorKind::UnexpectedEof,
            WebSocketError::Closed { .. } => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
