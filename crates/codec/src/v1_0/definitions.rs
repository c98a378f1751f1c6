//! The definitions of the transport (AMQP 1.0 part 2, 2.8): roles, settle modes, ids, errors.

use bytestring::ByteString;

use super::{Decode, DecodeError, Encode, Map, Reader, Symbol, Typed, schema};

/// The IANA port of AMQP (part 2, 2.8.19).
pub const PORT: u16 = 5672;

/// The IANA port of AMQP over TLS (part 2, 2.8.20).
pub const SECURE_PORT: u16 = 5671;

/// The smallest frame size that a peer may set as its limit, in bytes (part 2, 2.8.21).
pub const MIN_MAX_FRAME_SIZE: u32 = 512;

/// Which end of a link a peer is (part 2, 2.8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// It sends messages.
    #[default]
    Sender,
    /// It receives messages.
    Receiver,
}

impl Role {
    pub(crate) const SCHEMA: &'static schema::Restricted = &schema::Restricted {
        name: "role",
        source: "boolean",
        descriptor: None,
        choices: &[("sender", "false"), ("receiver", "true")],
    };

    /// The role of the other end.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

impl Encode for Role {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        (*self == Self::Receiver).encode(out);
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        1
    }
}

impl Decode for Role {
    #[inline(always)]
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(if bool::decode_as(code, reader)? { Self::Receiver } else { Self::Sender })
    }
}

impl Typed for Role {
    const TYPE: &'static str = "role";
}

open_enum! {
    /// Whether a sender sends its deliveries settled (part 2, 2.8.2).
    pub numeric SenderSettleMode(u8) = "sender-settle-mode", "ubyte" {
        /// All deliveries are unsettled at first.
        UNSETTLED = "unsettled", 0;
        /// All deliveries are settled at first.
        SETTLED = "settled", 1;
        /// Each delivery says.
        MIXED = "mixed", 2;
    }
}

impl Default for SenderSettleMode {
    fn default() -> Self {
        Self::MIXED
    }
}

open_enum! {
    /// When a receiver settles what it has received (part 2, 2.8.3).
    pub numeric ReceiverSettleMode(u8) = "receiver-settle-mode", "ubyte" {
        /// At once, with its outcome.
        FIRST = "first", 0;
        /// After the sender has settled.
        SECOND = "second", 1;
    }
}

impl Default for ReceiverSettleMode {
    fn default() -> Self {
        Self::FIRST
    }
}

restricted! {
    /// The number of a link on a session, chosen by each end for itself (part 2, 2.8.4).
    pub number Handle(u32) = "handle", "uint";
}
restricted! {
    /// A duration in seconds (part 2, 2.8.5).
    pub number Seconds(u32) = "seconds", "uint";
}
restricted! {
    /// A duration in milliseconds (part 2, 2.8.6).
    pub number Milliseconds(u32) = "milliseconds", "uint";
}
restricted! {
    /// Format and version of a message (part 2, 2.8.11); 0 is the format of part 3.
    pub number MessageFormat(u32) = "message-format", "uint";
}

macro_rules! serial {
    ($(#[$meta:meta])* $name:ident = $xml:literal, $source:literal) => {
        restricted! {
            $(#[$meta])*
            pub serial $name(u32) = $xml, $source;
        }

        impl $name {
            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self {
                self.plus(1)
            }

            /// The number `count` after this one.
            #[must_use]
            pub fn plus(self, count: u32) -> Self {
                Self(self.0.wrapping_add(count))
            }

            /// How far this number is past `earlier`, modulo 2^32.
            #[must_use]
            pub fn since(self, earlier: Self) -> u32 {
                self.0.wrapping_sub(earlier.0)
            }

            /// Whether this number comes before `other`: the way forward is shorter than the way back.
            #[must_use]
            pub fn precedes(self, other: Self) -> bool {
                self != other && other.since(self) < 1 << 31
            }
        }
    };
}

serial! {
    /// A number that wraps around (part 2, 2.8.10), compared by the serial arithmetic of RFC 1982.
    ///
    /// ```
    /// use postroad_codec::v1_0::SequenceNo;
    /// let last = SequenceNo(u32::MAX);
    /// assert_eq!(last.next(), SequenceNo(0));
    /// assert!(last.precedes(SequenceNo(0)));
    /// assert_eq!(SequenceNo(1).since(last), 2);
    /// ```
    SequenceNo = "sequence-no", "uint"
}
serial! {
    /// The number of a delivery on its session (part 2, 2.8.8).
    DeliveryNumber = "delivery-number", "sequence-no"
}
serial! {
    /// The number of a transfer frame on its session (part 2, 2.8.9).
    TransferNumber = "transfer-number", "sequence-no"
}

restricted! {
    /// A language tag of BCP 47 (part 2, 2.8.12).
    pub struct LanguageTag(Symbol) = "ietf-language-tag", "symbol";
}
restricted! {
    /// A map from symbols to values (part 2, 2.8.13).
    pub struct Fields(Map) = "fields", "map";
}

composite! {
    /// What went wrong (part 2, 2.8.14).
    pub struct Error = "error", "amqp:error:list", 0x1d;
    /// The symbol of the error.
    condition: ErrorCondition => "condition" mandatory;
    /// More about it, for people.
    description: Option<ByteString> => "description" lossy;
    /// More about it, for programs.
    info: Option<Fields> => "info" optional;
}

impl Error {
    /// An error with a description.
    #[must_use]
    pub fn new(condition: ErrorCondition, description: impl Into<ByteString>) -> Self {
        Self { condition, description: Some(description.into()), info: None }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.description {
            Some(description) => write!(f, "{}: {description}", self.condition.0),
            None => write!(f, "{}", self.condition.0),
        }
    }
}

impl std::error::Error for Error {}

impl Typed for Error {
    const TYPE: &'static str = "error";
}

/// The symbol of an error (part 2, 2.8.15 to 2.8.18; part 4, 4.5.8); others survive a round trip.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct ErrorCondition(pub Symbol);

macro_rules! conditions {
    ($( $const_name:ident: $xml:literal { $( $(#[$meta:meta])* $name:ident = $choice:literal, $value:literal; )* } )*) => {
        impl ErrorCondition {
            $($( $(#[$meta])* pub const $name: Self = Self(Symbol::from_static($value)); )*)*
            $(
                pub(crate) const $const_name: &'static schema::Restricted = &schema::Restricted {
                    name: $xml,
                    source: "symbol",
                    descriptor: None,
                    choices: &[$( ($choice, $value), )*],
                };
            )*
        }
    };
}

conditions! {
    AMQP_ERROR: "amqp-error" {
        /// An internal error occurred; operator intervention may be needed.
        INTERNAL_ERROR = "internal-error", "amqp:internal-error";
        /// A peer attempted to work with a remote entity that does not exist.
        NOT_FOUND = "not-found", "amqp:not-found";
        /// A peer attempted to work with something that its rights do not cover.
        UNAUTHORIZED_ACCESS = "unauthorized-access", "amqp:unauthorized-access";
        /// Data could not be decoded.
        DECODE_ERROR = "decode-error", "amqp:decode-error";
        /// A peer exceeded what it was allotted.
        RESOURCE_LIMIT_EXCEEDED = "resource-limit-exceeded", "amqp:resource-limit-exceeded";
        /// A peer tried to use a frame in a way that the semantics do not allow.
        NOT_ALLOWED = "not-allowed", "amqp:not-allowed";
        /// An invalid field was passed in a frame body.
        INVALID_FIELD = "invalid-field", "amqp:invalid-field";
        /// A peer tried to use something that is not implemented.
        NOT_IMPLEMENTED = "not-implemented", "amqp:not-implemented";
        /// Another holds the entity exclusively.
        RESOURCE_LOCKED = "resource-locked", "amqp:resource-locked";
        /// A condition that the request depends on does not hold.
        PRECONDITION_FAILED = "precondition-failed", "amqp:precondition-failed";
        /// The entity has been deleted.
        RESOURCE_DELETED = "resource-deleted", "amqp:resource-deleted";
        /// A frame is not permitted in the present state.
        ILLEGAL_STATE = "illegal-state", "amqp:illegal-state";
        /// An encoding does not fit the peer's frame size.
        FRAME_SIZE_TOO_SMALL = "frame-size-too-small", "amqp:frame-size-too-small";
    }
    CONNECTION_ERROR: "connection-error" {
        /// An operator closed the connection.
        CONNECTION_FORCED = "connection-forced", "amqp:connection:forced";
        /// The bytes are no valid frames.
        FRAMING_ERROR = "framing-error", "amqp:connection:framing-error";
        /// The container is to be reached elsewhere.
        CONNECTION_REDIRECT = "redirect", "amqp:connection:redirect";
    }
    SESSION_ERROR: "session-error" {
        /// The peer sent more than the incoming window.
        WINDOW_VIOLATION = "window-violation", "amqp:session:window-violation";
        /// Input arrived for a link that was detached with an error.
        ERRANT_LINK = "errant-link", "amqp:session:errant-link";
        /// An attach used a handle that is in use.
        HANDLE_IN_USE = "handle-in-use", "amqp:session:handle-in-use";
        /// A frame named a handle that is not attached.
        UNATTACHED_HANDLE = "unattached-handle", "amqp:session:unattached-handle";
    }
    LINK_ERROR: "link-error" {
        /// An operator detached the link.
        DETACH_FORCED = "detach-forced", "amqp:link:detach-forced";
        /// The peer sent more messages than the credit.
        TRANSFER_LIMIT_EXCEEDED = "transfer-limit-exceeded", "amqp:link:transfer-limit-exceeded";
        /// The peer sent a larger message than the link allows.
        MESSAGE_SIZE_EXCEEDED = "message-size-exceeded", "amqp:link:message-size-exceeded";
        /// The address is to be reached elsewhere.
        LINK_REDIRECT = "redirect", "amqp:link:redirect";
        /// The link was attached on another connection.
        STOLEN = "stolen", "amqp:link:stolen";
    }
    TRANSACTION_ERROR: "transaction-error" {
        /// No transaction has the id.
        TRANSACTION_UNKNOWN_ID = "unknown-id", "amqp:transaction:unknown-id";
        /// The transaction was rolled back.
        TRANSACTION_ROLLBACK = "transaction-rollback", "amqp:transaction:rollback";
        /// The work took too long.
        TRANSACTION_TIMEOUT = "transaction-timeout", "amqp:transaction:timeout";
    }
}

impl std::fmt::Display for ErrorCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for ErrorCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl Encode for ErrorCondition {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
}

impl Decode for ErrorCondition {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Symbol::decode_as(code, reader).map(Self)
    }
}

impl Typed for ErrorCondition {
    const TYPE: &'static str = "symbol";
    const REQUIRES: Option<&'static str> = Some("error-condition");
}
