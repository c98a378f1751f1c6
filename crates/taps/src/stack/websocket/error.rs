//! What can be wrong with a WebSocket.

use std::io;

use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError, SubProtocolError};

/// The codes that end a connection (RFC 6455 7.4.1).
pub(super) const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const INVALID_DATA: u16 = 1007;
const TOO_BIG: u16 = 1009;

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
    /// The head of the peer's opening handshake is longer than 16 KiB or has more than 124 fields.
    #[error("the head of the handshake is too long: 16 KiB and 124 fields are allowed")]
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

    /// What the library says of an opening handshake.
    pub(super) fn of_handshake(error: &Error) -> Self {
        use ProtocolError as P;
        let reason = match error {
            // A client that is told to go elsewhere, or to log in, does neither.
            Error::Http(response) => return Self::Refused { status: response.status().as_u16() },
            Error::Capacity(_) | Error::AttackAttempt => return Self::HeadTooLong,
            Error::Protocol(reason) => match reason {
                P::WrongHttpMethod => "the client does not send GET",
                P::MissingConnectionUpgradeHeader | P::MissingUpgradeWebSocketHeader => {
                    "the peer does not upgrade to a WebSocket"
                }
                P::MissingSecWebSocketVersionHeader => "the client speaks another version than 13",
                P::MissingSecWebSocketKey | P::InvalidSecWebSocketKey => "the client's key is no 16 bytes in base64",
                P::SecWebSocketAcceptKeyMismatch => "the server's accept value does not match the key",
                P::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol) => "the server has no subprotocol",
                P::SecWebSocketSubProtocolError(_) => "the server chooses a subprotocol that was not offered",
                P::HandshakeIncomplete => "the peer has hung up before the end of its handshake",
                _ => "the peer does not speak HTTP/1.1",
            },
            _ => "the peer does not speak HTTP/1.1",
        };
        Self::Handshake(reason)
    }

    /// What the library says of frames that have come. What failed below them is no affair of this.
    pub(super) fn of_frames(error: &Error) -> Self {
        use ProtocolError as P;
        let reason = match error {
            Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
                return Self::MessageTooLong { limit: *max_size };
            }
            Error::Utf8(_) => return Self::Violation { code: INVALID_DATA, reason: "text that is not UTF-8" },
            Error::Protocol(reason) => match reason {
                P::ResetWithoutClosingHandshake => return Self::Truncated,
                P::NonZeroReservedBits => "a reserved bit is set, and no extension was agreed on",
                P::UnmaskedFrameFromClient => "a client must mask",
                P::MaskedFrameFromServer => "a server must not mask",
                P::FragmentedControlFrame | P::ControlFrameTooBig => "a control frame is too long or in parts",
                P::UnexpectedContinueFrame => "a message goes on that has not begun",
                P::ExpectedFragment(_) => "a message begins inside of another",
                P::InvalidCloseSequence => "half a code to close with",
                P::InvalidOpcode(_) | P::UnknownControlFrameType(_) | P::UnknownDataFrameType(_) => {
                    "an opcode that does not exist"
                }
                _ => "frames that do not fit together",
            },
            _ => "frames that do not fit together",
        };
        Self::Violation { code: PROTOCOL_ERROR, reason }
    }

    /// The code that tells the peer what it has done.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Violation { code, .. } => *code,
            Self::MessageTooLong { .. } => TOO_BIG,
            _ => PROTOCOL_ERROR,
        }
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
