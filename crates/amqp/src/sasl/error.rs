//! Why an exchange failed.

use super::{MAX_ITERATIONS, MAX_MESSAGE};

/// Why an exchange failed. Holds no secret, and of the peer's words only the names of its mechanisms and its report on a
/// token, both cut short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslError {
    /// The client may use none of the mechanisms that the server offers, or asks for one that was not offered.
    #[error("no common mechanism: offered {}", if offered.is_empty() { "none".to_owned() } else { offered.join(", ") })]
    NoCommonMechanism {
        /// What the server offers, cut to 32 names of at most 64 characters.
        offered: Vec<String>,
        /// What to do about it.
        hint: &'static str,
    },
    /// Only this mechanism is left, which shows the password or token, or helps to guess it, and the connection is not encrypted.
    #[error("{0} would give the password or token away on a connection without TLS")]
    InsecureMechanism(&'static str),
    /// Unknown user or wrong password; which of the two is not told.
    #[error("authentication failed")]
    AuthenticationFailed,
    /// The server does not take the token, and says why.
    #[error("the server refuses the token: {}", if report.is_empty() { "no reason given" } else { report })]
    TokenRefused {
        /// What the server says, as JSON (RFC 7628 3.2.2): the first 1024 characters, with spaces in place of control
        /// characters.
        report: String,
    },
    /// A token that is empty or has a character that tokens do not have.
    #[error("the token is empty, or has a character that is no visible ASCII")]
    Token,
    /// The user is who it says, but may not act as the identity that it asks for.
    #[error("not authorized to act as another user")]
    NotAuthorized,
    /// A message that the mechanism's grammar does not allow.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// A message beyond the limit.
    #[error("message longer than {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The server did not show that it knows the user's password (RFC 5802 5): it may be an impostor.
    #[error("server did not prove that it knows the password")]
    ServerSignature,
    /// The other side's nonce is not the one that this exchange began with: the message belongs to another exchange.
    #[error("nonce of another exchange")]
    NonceMismatch,
    /// The server asks for too few iterations to protect the password, or for so many that they only burn time.
    #[error("{count} iterations, not between {min} and {MAX_ITERATIONS}")]
    IterationCount {
        /// What the server asks for.
        count: u32,
        /// The fewest that are taken for this mechanism.
        min: u32,
    },
    /// A message at a moment when the mechanism has none.
    #[error("unexpected step of the exchange")]
    UnexpectedStep,
    /// A text that cannot be used as what it is meant for; says which.
    #[error("{0} is empty or has characters that SASLprep refuses")]
    Prep(&'static str),
}

impl SaslError {
    /// What a person can do about it, when something can be done.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCommonMechanism { hint, .. } => Some(hint),
            Self::InsecureMechanism(_) => {
                Some("use TLS (amqps), or allow insecure mechanisms if the network is trusted")
            }
            Self::AuthenticationFailed => Some("check user name and password"),
            Self::TokenRefused { .. } => Some("get a new token: this one may have expired, or be for another service"),
            Self::Token => Some("give the token as it was issued, without `Bearer` and without a line's end"),
            Self::NotAuthorized => Some("leave out the authorization identity"),
            Self::ServerSignature => Some("check that this is the right server; do not send it a password by PLAIN"),
            Self::IterationCount { count, min } if count < min => {
                Some("store the user's keys on the server with 4096 iterations or more")
            }
            Self::IterationCount { .. } => Some("store the user's keys on the server with fewer iterations"),
            Self::Prep(_) => Some("control characters and those newer than Unicode 3.2, such as emoji, cannot be used"),
            Self::TooLong { .. } | Self::Malformed(_) | Self::NonceMismatch | Self::UnexpectedStep => None,
        }
    }

    pub(super) fn check_length(message: &[u8]) -> Result<(), Self> {
        if message.len() > MAX_MESSAGE { Err(Self::TooLong { limit: MAX_MESSAGE }) } else { Ok(()) }
    }
}
