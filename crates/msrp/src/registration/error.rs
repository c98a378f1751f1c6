//! Why a client is not reached over a relay.

use crate::digest::{DigestError, LoginError};
use crate::engine::HeaderError;
use crate::{Code, Path, PathError, Uri};

/// Why there is no registration, or none any more, and at which relay.
#[doc(alias = "MSRPRelayAuthError")]
#[doc(alias = "MSRPAuthTimeout")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("relay {relay}: {kind}")]
pub struct RegistrationError {
    relay: Box<str>,
    kind: RegistrationErrorKind,
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationErrorKind {
    /// The relay has refused the password, is silent, or has a wrong proof.
    #[error(transparent)]
    Login(LoginError),
    /// The relay asks for what MSRP does not have: `Basic`, `MD5-sess`, `auth-int` alone, or nothing readable.
    #[error("no challenge that can be answered: {0}")]
    Challenge(DigestError),
    /// The user may not use the relay (403).
    #[error("not allowed to use the relay")]
    Forbidden,
    /// It is no relay, or does not know `AUTH` (501).
    #[error("not a relay")]
    NotRelay,
    /// No time could be agreed on: the relay's bounds, in seconds, where it tells them.
    #[error("no time that both agree on")]
    Interval {
        /// The fewest seconds.
        min: Option<u32>,
        /// The most seconds.
        max: Option<u32>,
    },
    /// Another code, and what it came with for people.
    #[error("refused with {code}")]
    Refused {
        /// The code.
        code: Code,
        /// The comment, as the relay has written it.
        comment: Option<String>,
    },
    /// The relay lets the client in and has no usable way to it.
    #[error(transparent)]
    UsePath(UsePathError),
    /// The relay was to prove that it knows the password, and did not.
    #[error("the relay has not proved that it knows the password")]
    Unproven,
    /// The relay asks for something else each time.
    #[error("more than {} requests for one login", super::MAX_REQUESTS)]
    Loop,
    /// The proof cannot be written, for what the relay has put into its challenge.
    #[error("cannot be written: {0}")]
    Header(HeaderError),
    /// The URIs have expired before the relay renewed them.
    #[error("expired")]
    Expired,
    /// The connection has ended, and the URIs with it (RFC 4976 6.3).
    #[error("the connection to the relay has ended")]
    Closed,
}

/// What is wrong with the `Use-Path` of a relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsePathError {
    /// There is none.
    #[error("no Use-Path")]
    Missing,
    /// It is no path.
    #[error("no Use-Path: {0}")]
    Text(PathError),
    /// It leaves no room for one's own URI and the peer's, of [`Path::MAX`] in all.
    #[error("a Use-Path of {0} URIs, of {max} with both ends", max = Path::MAX)]
    Long(usize),
    /// A URI has no port: nobody could be given it (RFC 4976 4.2, 8).
    #[error("URI {0} of the Use-Path has no port")]
    Port(usize),
    /// A URI has no session id: everybody could guess it (RFC 4976 6.3).
    #[error("URI {0} of the Use-Path has no session id")]
    SessionId(usize),
    /// A URI stands twice, or is the client's own: requests would go round.
    #[error("URI {0} of the Use-Path is there already")]
    Loop(usize),
    /// It does not lead on from where the relay was asked through.
    #[error("the Use-Path does not lead through the relays before")]
    Detour,
}

impl RegistrationError {
    pub(super) fn new(relay: &Uri, kind: RegistrationErrorKind) -> Self {
        Self { relay: relay.to_string().into(), kind }
    }

    /// The URI of the relay.
    #[must_use]
    pub fn relay(&self) -> &str {
        &self.relay
    }

    /// What became of it.
    #[must_use]
    pub fn kind(&self) -> &RegistrationErrorKind {
        &self.kind
    }

    /// What can be done about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match &self.kind {
            RegistrationErrorKind::Login(error) => return error.hint(),
            RegistrationErrorKind::Challenge(error) => return error.hint(),
            RegistrationErrorKind::Forbidden => "have the relay's owner let this user use it",
            RegistrationErrorKind::NotRelay => "see whether the URI is that of a relay",
            RegistrationErrorKind::Interval { .. } => "set `expires` to what the relay allows, or to nothing",
            RegistrationErrorKind::UsePath(UsePathError::Detour) => {
                "see whether the relays know of each other, and whether their order is right"
            }
            RegistrationErrorKind::UsePath(_) => "the relay does not keep to RFC 4976",
            RegistrationErrorKind::Unproven => "do not require a proof of relays that have none, and check them by TLS",
            RegistrationErrorKind::Expired | RegistrationErrorKind::Closed => {
                "begin again, and tell the peer the new path"
            }
            _ => return None,
        })
    }
}

impl RegistrationErrorKind {
    /// Whether it may be over by itself, so that asking again makes sense.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Login(error) => *error == LoginError::NoAnswer,
            Self::Refused { code, .. } => code.get() / 100 == 5,
            _ => false,
        }
    }
}

impl From<LoginError> for RegistrationErrorKind {
    fn from(error: LoginError) -> Self {
        Self::Login(error)
    }
}

impl From<UsePathError> for RegistrationErrorKind {
    fn from(error: UsePathError) -> Self {
        Self::UsePath(error)
    }
}

impl From<HeaderError> for RegistrationErrorKind {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}
