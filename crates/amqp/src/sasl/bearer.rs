//! Bearer tokens (RFC 6750) by OAUTHBEARER (RFC 7628), and by XOAUTH2, which came before it and has no standard.
//!
//! ```text
//! OAUTHBEARER  n,a=USER,^A auth=Bearer TOKEN ^A ^A      the user may be left out
//! XOAUTH2      user=USER ^A auth=Bearer TOKEN ^A ^A
//! ```
//!
//! A server that refuses the token says why in a challenge, a text in JSON; the client answers it so that the server
//! can end the exchange.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::mechanism::Mechanism;
use super::scram_message::escape;
use super::{MAX_TOKEN_MESSAGE, SaslError, Secret};

/// The octet between the parts of a message.
const SEPARATOR: &str = "\x01";

/// The longest report of a server that is kept, in characters.
pub(super) const MAX_REPORT: usize = 1024;

/// A token and how it is shown.
pub(super) struct Bearer {
    mechanism: Mechanism,
    token: Secret,
}

impl Bearer {
    /// The first message, in a buffer that is wiped when the last holder lets go, and what waits for the verdict.
    ///
    /// # Errors
    /// A token or a user that the message cannot carry.
    pub(super) fn start(mechanism: Mechanism, user: Option<&str>, token: Secret) -> Result<(Self, Bytes), SaslError> {
        // RFC 6750 2.1 allows fewer characters. What matters is that none ends the token early.
        if token.expose().is_empty() || !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SaslError::Token);
        }
        if user.is_some_and(|user| user.is_empty() || user.contains(char::is_control)) {
            return Err(SaslError::Prep("user name"));
        }
        let head = match (mechanism, user) {
            (Mechanism::XOAuth2, user) => format!("user={}", user.unwrap_or_default()),
            // The GS2 header (RFC 7628 3.1): no channel binding, and whom to act as.
            (_, Some(user)) => format!("n,a={},", escape(user)),
            (_, None) => "n,,".to_owned(),
        };
        let parts = [&head, SEPARATOR, "auth=Bearer ", token.expose(), SEPARATOR, SEPARATOR];
        let length = parts.iter().map(|part| part.len()).sum();
        if length > MAX_TOKEN_MESSAGE {
            return Err(SaslError::TooLong { limit: MAX_TOKEN_MESSAGE });
        }
        let mut message = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            message.extend_from_slice(part.as_bytes());
        }
        Ok((Self { mechanism, token }, Bytes::from_owner(message)))
    }

    /// The server's report on a token that it refuses, fit for a log, and the answer to it.
    ///
    /// # Errors
    /// A report beyond the limit of a message.
    pub(super) fn refused(&self, challenge: &[u8]) -> Result<(String, Bytes), SaslError> {
        SaslError::check_length(challenge)?;
        // A server may quote the token that it does not like.
        let report = String::from_utf8_lossy(challenge).replace(self.token.expose(), "[redacted]");
        let printable = |char: char| if char.is_control() { ' ' } else { char };
        let report = report.chars().take(MAX_REPORT).map(printable).collect();
        // RFC 7628 3.2.3: one octet that means nothing. XOAUTH2 answers with nothing.
        let answer = if self.mechanism == Mechanism::XOAuth2 { "" } else { SEPARATOR };
        Ok((report, Bytes::from_static(answer.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(mechanism: Mechanism, user: Option<&str>, token: &str) -> Result<Bytes, SaslError> {
        Bearer::start(mechanism, user, token.into()).map(|(_, message)| message)
    }

    /// The example of RFC 7628 4.1, less the host and port that a bearer token does not need.
    #[test]
    fn says_what_the_standard_says() {
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        let message = |mechanism, user| message(mechanism, user, token).unwrap();
        let bearer = message(Mechanism::OAuthBearer, Some("user@example.com"));
        assert_eq!(bearer, format!("n,a=user@example.com,\x01auth=Bearer {token}\x01\x01"));
        assert_eq!(message(Mechanism::OAuthBearer, None), format!("n,,\x01auth=Bearer {token}\x01\x01"));
        let escaped = message(Mechanism::OAuthBearer, Some("a=b,c"));
        assert_eq!(escaped, format!("n,a=a=3Db=2Cc,\x01auth=Bearer {token}\x01\x01"));
        let older = message(Mechanism::XOAuth2, Some("a=b,c"));
        assert_eq!(older, format!("user=a=b,c\x01auth=Bearer {token}\x01\x01"));
    }

    #[test]
    fn what_would_end_a_part_early_is_refused() {
        for token in ["", "a b", "a\x01auth=Bearer b", "a\n", "t\u{f6}ken", "a\0"] {
            assert_eq!(message(Mechanism::OAuthBearer, None, token), Err(SaslError::Token), "{token:?}");
        }
        for user in ["", "a\x01auth=Bearer b", "a\0"] {
            for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
                assert_eq!(message(mechanism, Some(user), "x"), Err(SaslError::Prep("user name")), "{user:?}");
            }
        }
        let long = "x".repeat(MAX_TOKEN_MESSAGE - 18);
        assert_eq!(message(Mechanism::OAuthBearer, None, &long).unwrap().len(), MAX_TOKEN_MESSAGE);
        let too_long = Err(SaslError::TooLong { limit: MAX_TOKEN_MESSAGE });
        assert_eq!(message(Mechanism::OAuthBearer, None, &(long + "x")), too_long);
    }

    #[test]
    fn a_report_is_fit_for_a_log() {
        let (bearer, _) = Bearer::start(Mechanism::OAuthBearer, None, "s3cr3t".into()).unwrap();
        let report = |challenge: &[u8]| bearer.refused(challenge).map(|(report, _)| report);
        let plain = r#"{"status":"invalid_token","scope":"mail"}"#;
        assert_eq!(report(plain.as_bytes()), Ok(plain.to_owned()));
        assert_eq!(report(b"\"s3cr3t\"\r\n\x1b[31m\xff"), Ok("\"[redacted]\"   [31m\u{fffd}".to_owned()));
        assert_eq!(report("\u{fc}".repeat(1025).as_bytes()), Ok("\u{fc}".repeat(1024)));
        assert_eq!(report(&[b'x'; 4097]), Err(SaslError::TooLong { limit: 4096 }));
        assert_eq!(bearer.refused(b"{}").unwrap().1, &b"\x01"[..]);
        let (older, _) = Bearer::start(Mechanism::XOAuth2, Some("a"), "s3cr3t".into()).unwrap();
        assert_eq!(older.refused(b"{}").unwrap().1, &b""[..]);
    }
}
