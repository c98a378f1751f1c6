//! What can go wrong, and who is to blame.

use std::fmt;

use postroad_codec::v1_0::{DecodeError, Error, ErrorCondition, ForeignProtocol, FrameError, ProtocolHeader, SaslCode};

use crate::sasl::SaslError;

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer does not speak AMQP 1.0.
    ForeignProtocol(ForeignProtocol),
    /// The peer answered with the header of another layer than ours.
    ProtocolHeader {
        /// The layer that we asked for.
        expected: ProtocolHeader,
        /// The one that it wants.
        found: ProtocolHeader,
    },
    /// The peer sent bytes that are no frame.
    Frame(FrameError),
    /// The peer broke a rule of the standard.
    Violation(Error),
    /// The SASL exchange failed.
    Sasl(SaslError),
    /// The server could not run the SASL exchange.
    SaslOutcome(SaslCode),
    /// The peer closed the connection with an error.
    Remote(Error),
    /// The peer closed the connection.
    RemoteClosed,
    /// Nothing came from the peer for as long as the idle timeout.
    Idle,
    /// Headers, SASL and `open` took longer than the handshake timeout.
    Handshake,
    /// The transport ended without a `close`.
    Lost,
    /// We closed the connection.
    Closed,
}

impl ConnectionError {
    /// A violation of the peer's.
    pub(crate) fn violation(condition: ErrorCondition, description: impl Into<String>) -> Self {
        Self::Violation(Error::new(condition, description.into()))
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ForeignProtocol(foreign) => Some(foreign.hint()),
            Self::ProtocolHeader { expected, .. } if *expected == ProtocolHeader::TLS => {
                Some("the peer does no TLS on this port: use its TLS port with amqps, or give the peer a certificate")
            }
            Self::ProtocolHeader { found, .. } if *found == ProtocolHeader::SASL => {
                Some("the peer wants a SASL exchange: enable SASL")
            }
            Self::ProtocolHeader { found, .. } if *found == ProtocolHeader::TLS => {
                Some("the peer wants TLS: use amqps, or ask for TLS by AMQP's header on this port")
            }
            Self::ProtocolHeader { .. } => Some("the peer wants no SASL exchange: disable SASL"),
            Self::Sasl(error) => error.hint(),
            Self::SaslOutcome(SaslCode::SYS_PERM) => Some(
                "the server's operator has to do something, or it offers this connection nothing: does it want TLS?",
            ),
            _ => None,
        }
    }

    /// The standard's error that tells the peer.
    #[must_use]
    pub fn to_error(&self) -> Option<Error> {
        match self {
            Self::Frame(FrameError::Body(error)) => Some(decode_error(error)),
            Self::Frame(error) => Some(Error::new(ErrorCondition::FRAMING_ERROR, error.to_string())),
            Self::Violation(error) => Some(error.clone()),
            // The standard names this condition for it (part 2, 2.4.5).
            Self::Idle => Some(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, "idle timeout expired")),
            _ => None,
        }
    }
}

pub(crate) fn decode_error(error: &DecodeError) -> Error {
    Error::new(ErrorCondition::DECODE_ERROR, error.to_string())
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignProtocol(foreign) => write!(f, "the peer speaks {foreign}, not AMQP 1.0"),
            Self::ProtocolHeader { expected, found } => {
                write!(f, "asked the peer for {:?}, it wants {:?}", expected.id, found.id)
            }
            Self::Frame(error) => write!(f, "malformed input from the peer: {error}"),
            Self::Violation(error) => write!(f, "protocol violation by the peer: {error}"),
            Self::Sasl(error) => error.fmt(f),
            Self::SaslOutcome(code) => write!(f, "the server could not authenticate us: {code}"),
            Self::Remote(error) => write!(f, "closed by the peer: {error}"),
            Self::RemoteClosed => f.write_str("closed by the peer"),
            Self::Idle => f.write_str("nothing came from the peer within the idle timeout"),
            Self::Handshake => f.write_str("the handshake took too long"),
            Self::Lost => f.write_str("the connection was lost"),
            Self::Closed => f.write_str("closed"),
        }
    }
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Frame(error) => Some(error),
            Self::Sasl(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a message could not be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no credit, or the output is full: [`Event::Credit`](super::Event::Credit) follows.
    Blocked,
    /// The link is not attached.
    Detached,
    /// The message is larger than the peer takes, in bytes.
    TooLarge(u64),
    /// The state of the message is larger than the frames that the peer takes.
    State,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked => f.write_str("no credit"),
            Self::Detached => f.write_str("the link is not attached"),
            Self::TooLarge(limit) => write!(f, "the peer takes messages of {limit} bytes at most"),
            Self::State => f.write_str("the state does not fit into the frames that the peer takes"),
        }
    }
}

impl std::error::Error for SendError {}

/// Why a session could not begin or a link could not be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// Every channel or handle that the peer takes is in use.
    NoneFree,
    /// The connection or session is over.
    Ended,
    /// A link with this name and role is there already.
    NameInUse,
    /// The attach is larger than the frames that the peer takes: it needs shorter properties or filters.
    FrameSize,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoneFree => "every channel or handle is in use",
            Self::Ended => "the connection or session is over",
            Self::FrameSize => "the attach does not fit into the frames that the peer takes",
            Self::NameInUse => "a link of this name and role is attached already",
        })
    }
}

impl std::error::Error for LimitError {}
