//! What a client shows to a server.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A text that is wiped on drop, printed as `[redacted]` and compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text over; the caller's other copies stay the caller's.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
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

/// Who a client is and how it can show it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// Nobody in particular: `ANONYMOUS`.
    Anonymous {
        /// Who runs the client, for the server's log: an address or a word, at most 255 characters.
        trace: Option<String>,
    },
    /// A user with a password: SCRAM or `PLAIN`.
    #[doc(alias = "PLAIN")]
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
        /// Whom to act as, if not as the user itself.
        authorization: Option<String>,
    },
    /// Whoever a token was issued to (RFC 6750): `OAUTHBEARER` or `XOAUTH2`.
    Bearer {
        /// The token, as it was issued.
        token: Secret,
        /// Whom to act as: `XOAUTH2` needs it, with `OAUTHBEARER` the token alone may say enough.
        user: Option<String>,
    },
    /// Whoever the layer below says, such as the name in a TLS certificate: `EXTERNAL`.
    External {
        /// Whom to act as, if not as the identity of the layer below.
        authorization: Option<String>,
    },
}

impl Credentials {
    /// An anonymous client without a trace.
    pub const fn anonymous() -> Self {
        Self::Anonymous { trace: None }
    }

    /// A user with a password who acts as itself.
    pub fn password(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Password { user: user.into(), password: password.into(), authorization: None }
    }

    /// Whoever the token was issued to.
    pub fn bearer(token: impl Into<Secret>) -> Self {
        Self::Bearer { token: token.into(), user: None }
    }

    /// A client that the layer below vouches for.
    pub const fn external() -> Self {
        Self::External { authorization: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print_and_compare_by_content() {
        let credentials = Credentials::password("alice", "wonderland");
        let printed = format!("{credentials:?}");
        assert!(printed.contains("alice") && !printed.contains("wonderland"), "{printed}");
        assert!(!format!("{:?}", Credentials::bearer("s3cr3t")).contains("s3cr3t"));
        assert_eq!(Secret::from("a"), Secret::new("a"));
        assert_ne!(Secret::from("a"), Secret::from("b"));
        assert_ne!(Secret::from("a"), Secret::from("aa"));
    }
}
