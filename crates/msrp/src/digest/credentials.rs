//! Whom a client is to be known as.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{DigestError, DigestErrorKind, params};

/// A user of a relay, and the password.
#[doc(alias = "MSRPRelaySettings")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    username: String,
    password: Secret,
}

impl Credentials {
    /// A user and a password, as the relay knows them: nothing is prepared or normalised.
    ///
    /// # Errors
    /// A name that is empty, is longer than [`MAX_VALUE`](super::MAX_VALUE) or has a control character, which would break the
    /// line that it is written into. Passwords are only hashed and may be any.
    pub fn new(username: impl Into<String>, password: impl Into<Secret>) -> Result<Self, DigestError> {
        let username = username.into();
        params::check(&username)?;
        if username.is_empty() {
            return Err(DigestError::new(DigestErrorKind::Invalid("username"), 0));
        }
        Ok(Self { username, password: password.into() })
    }

    /// The user.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    pub(super) fn password(&self) -> &str {
        self.password.expose()
    }
}

/// A text that is wiped on drop, printed as `[redacted]` and compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text over; the caller's other copies stay the caller's.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r64_passwords_are_not_shown() {
        let credentials = Credentials::new("alice", "wonderland").unwrap();
        let printed = format!("{credentials:?}");
        assert!(printed.contains("alice") && !printed.contains("wonderland"), "{printed}");
        assert_eq!(credentials, Credentials::new("alice", String::from("wonderland")).unwrap());
        assert_ne!(credentials, Credentials::new("alice", "wonderlane").unwrap());
    }

    #[test]
    fn r62_names_that_would_break_a_line() {
        let refused = |name: &str| Credentials::new(name, "\r\n").map_err(|error| (error.kind(), error.offset()));
        assert_eq!(refused("al\r\nice"), Err((DigestErrorKind::Control, 2)));
        assert_eq!(refused("alice\n"), Err((DigestErrorKind::Control, 5)));
        assert_eq!(refused("\0"), Err((DigestErrorKind::Control, 0)));
        assert_eq!(refused("\x7f"), Err((DigestErrorKind::Control, 0)));
        assert_eq!(refused(""), Err((DigestErrorKind::Invalid("username"), 0)));
        assert_eq!(refused(&"a".repeat(1025)), Err((DigestErrorKind::Length, 1024)));
        assert!(refused(&"a".repeat(1024)).is_ok());
        assert!(refused("Älice \"x\" \\ @example.com").is_ok());
    }
}
