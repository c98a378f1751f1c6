//! What a server does with a token (RFC 7628).

use std::fmt;

use super::scram_message::unescape;
use super::{MAX_TOKEN_MESSAGE, SaslError};

/// Who checks the tokens of a server's clients. Called in the middle of an exchange: answer from memory, as by the
/// signature of a token that says for itself what it grants.
pub trait Tokens: Send + Sync + fmt::Debug {
    /// The user that the token was issued to, while it is valid and meant for this server.
    ///
    /// # Errors
    /// What the client is told about a token that is not taken.
    fn check(&self, token: &str) -> Result<String, TokenRefusal>;
}

/// What a client is told about its token, so that it can get a better one (RFC 7628 3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRefusal {
    /// One of the codes of RFC 6750 3.1: `invalid_token`, `insufficient_scope`, `invalid_request`.
    pub status: &'static str,
    /// The scope that a token needs here.
    pub scope: Option<String>,
    /// The URL of the document that says where tokens are issued.
    pub openid_configuration: Option<String>,
}

impl TokenRefusal {
    /// The token is unknown, has expired, or was taken back.
    pub const INVALID: Self = Self { status: "invalid_token", scope: None, openid_configuration: None };
    /// The token is good, and does not grant enough.
    pub const INSUFFICIENT_SCOPE: Self = Self { status: "insufficient_scope", scope: None, openid_configuration: None };

    /// Says which scope a token needs here.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Says where the document is that tells where tokens are issued.
    #[must_use]
    pub fn openid_configuration(mut self, url: impl Into<String>) -> Self {
        self.openid_configuration = Some(url.into());
        self
    }

    /// The report as the mechanism has it.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::from("{");
        let fields = [
            ("status", Some(self.status)),
            ("scope", self.scope.as_deref()),
            ("openid-configuration", self.openid_configuration.as_deref()),
        ];
        for (name, value) in fields {
            let Some(value) = value else { continue };
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&format!("\"{name}\":\""));
            for char in value.chars() {
                match char {
                    '"' | '\\' => json.extend(['\\', char]),
                    char if char < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(char))),
                    char => json.push(char),
                }
            }
            json.push('"');
        }
        json.push('}');
        json
    }
}

/// What a client says first: `client-resp` of RFC 7628 3.1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BearerFirst<'a> {
    pub(super) authorization: Option<String>,
    pub(super) token: &'a str,
}

const WHAT: SaslError = SaslError::Malformed("OAUTHBEARER: not a GS2 header and pairs of key and value");
const AUTH: SaslError = SaslError::Malformed("OAUTHBEARER: not one pair `auth` with a bearer token");

impl<'a> BearerFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslError> {
        if message.len() > MAX_TOKEN_MESSAGE {
            return Err(SaslError::TooLong { limit: MAX_TOKEN_MESSAGE });
        }
        let text = str::from_utf8(message).map_err(|_| SaslError::Malformed("OAUTHBEARER: not UTF-8"))?;
        let (header, pairs) = text.split_once('\x01').ok_or(WHAT)?;
        // No channel binding is offered, and a client that could bind it says "y".
        let header = header.strip_prefix("n,").or_else(|| header.strip_prefix("y,")).ok_or(WHAT)?;
        let authorization = match header.strip_suffix(',').ok_or(WHAT)? {
            "" => None,
            name if name.contains(',') => return Err(WHAT),
            name => Some(unescape(name.strip_prefix("a=").ok_or(WHAT)?)?),
        };
        // Each pair ends with a separator, and one more ends the message.
        let pairs =
            pairs.strip_suffix('\x01').filter(|pairs| pairs.is_empty() || pairs.ends_with('\x01')).ok_or(WHAT)?;
        let mut token = None;
        for pair in pairs.split_terminator('\x01') {
            let (key, value) = pair.split_once('=').ok_or(WHAT)?;
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(WHAT);
            }
            // Host and port, and keys that come later, mean nothing here.
            if key == "auth" && token.replace(bearer(value).ok_or(AUTH)?).is_some() {
                return Err(AUTH);
            }
        }
        Ok(Self { authorization, token: token.ok_or(AUTH)? })
    }
}

/// The token of `Bearer TOKEN`; the scheme in any case (RFC 9110 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && visible).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(message: &str) -> Result<(Option<String>, &str), SaslError> {
        BearerFirst::parse(message.as_bytes()).map(|first| (first.authorization, first.token))
    }

    /// The example of RFC 7628 4.1.
    const EXAMPLE: &str = "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
        auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";

    #[test]
    fn reads_the_standards_example() {
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        assert_eq!(parse(EXAMPLE), Ok((Some("user@example.com".to_owned()), token)));
        assert_eq!(parse("n,,\x01auth=bearer  a.b-c\x01\x01"), Ok((None, "a.b-c")));
        assert_eq!(parse("y,a=a=2Cb=3Dc,\x01x=\x01auth=Bearer t\x01\x01"), Ok((Some("a,b=c".to_owned()), "t")));
    }

    #[test]
    fn every_prefix_is_refused() {
        for length in 0..EXAMPLE.len() {
            assert!(matches!(parse(&EXAMPLE[..length]), Err(SaslError::Malformed(_))), "{length}");
        }
    }

    #[test]
    fn what_the_grammar_does_not_have_is_refused() {
        for bad in [
            "\x01",
            "n,,\x01\x01",
            "n\x01auth=Bearer t\x01\x01",
            "n,\x01auth=Bearer t\x01\x01",
            "p=tls-unique,,\x01auth=Bearer t\x01\x01",
            "n,b=c,\x01auth=Bearer t\x01\x01",
            "n,a=,\x01auth=Bearer t\x01\x01",
            "n,a=b,c,\x01auth=Bearer t\x01\x01",
            "n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Bearer\x01\x01",
            "n,,\x01auth=Basic YTpi\x01\x01",
            "n,,\x01auth=Bearer a b\x01\x01",
            "n,,\x01auth=Bearer \u{fc}\x01\x01",
            "n,,\x01=x\x01auth=Bearer t\x01\x01",
            "n,,\x01a1=x\x01auth=Bearer t\x01\x01",
            "n,,\x01auth=Bearer t\x01\x01x",
        ] {
            assert!(matches!(parse(bad), Err(SaslError::Malformed(_))), "{bad:?}");
        }
        assert!(matches!(BearerFirst::parse(b"n,,\x01auth=Bearer \xff\x01\x01"), Err(SaslError::Malformed(_))));
        let long = vec![b'x'; MAX_TOKEN_MESSAGE + 1];
        assert_eq!(BearerFirst::parse(&long), Err(SaslError::TooLong { limit: MAX_TOKEN_MESSAGE }));
    }

    #[test]
    fn a_refusal_is_json() {
        assert_eq!(TokenRefusal::INVALID.to_json(), r#"{"status":"invalid_token"}"#);
        let refusal = TokenRefusal::INSUFFICIENT_SCOPE.scope("a\"b\\c\n").openid_configuration("https://id.example/");
        let json =
            r#"{"status":"insufficient_scope","scope":"a\"b\\c\u000a","openid-configuration":"https://id.example/"}"#;
        assert_eq!(refusal.to_json(), json);
    }
}
