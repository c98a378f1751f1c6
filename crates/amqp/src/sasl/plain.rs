//! The one message of PLAIN (RFC 4616).

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{MAX_PLAIN_MESSAGE, SaslError};

const WHAT: &str = "PLAIN: not authorization identity, user name and password, each after a NUL";

/// What a client said, as it was sent.
pub(super) struct Plain<'a> {
    pub(super) authorization: Option<&'a str>,
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

impl<'a> Plain<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslError> {
        SaslError::check_length(message)?;
        let text = str::from_utf8(message).map_err(|_| SaslError::Malformed("PLAIN: not UTF-8"))?;
        let mut parts = text.split('\0');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(authorization), Some(user), Some(password), None) if !user.is_empty() && !password.is_empty() => {
                Ok(Self { authorization: Some(authorization).filter(|text| !text.is_empty()), user, password })
            }
            _ => Err(SaslError::Malformed(WHAT)),
        }
    }

    /// The message, in a buffer that is wiped when the last holder lets go.
    ///
    /// The server prepares the strings, not the client (RFC 4616 2): they are sent as they are.
    pub(super) fn encode(&self) -> Result<Bytes, SaslError> {
        let authorization = self.authorization.unwrap_or_default();
        for (text, what) in
            [(self.user, "user name"), (self.password, "password"), (authorization, "authorization identity")]
        {
            if text.contains('\0') || (text.is_empty() && what != "authorization identity") {
                return Err(SaslError::Prep(what));
            }
        }
        let length = authorization.len() + self.user.len() + self.password.len() + 2;
        if length > MAX_PLAIN_MESSAGE {
            return Err(SaslError::TooLong { limit: MAX_PLAIN_MESSAGE });
        }
        let mut message = Zeroizing::new(Vec::with_capacity(length));
        message.extend_from_slice(authorization.as_bytes());
        message.push(0);
        message.extend_from_slice(self.user.as_bytes());
        message.push(0);
        message.extend_from_slice(self.password.as_bytes());
        Ok(Bytes::from_owner(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(authorization: Option<&str>, user: &str, password: &str) -> Result<Bytes, SaslError> {
        Plain { authorization, user, password }.encode()
    }

    /// The examples of RFC 4616 4.
    #[test]
    fn encodes_the_standards_examples() {
        assert_eq!(encode(None, "tim", "tanstaaftanstaaf").unwrap(), &b"\0tim\0tanstaaftanstaaf"[..]);
        assert_eq!(encode(Some("Ursel"), "Kurt", "xipj3plmq").unwrap(), &b"Ursel\0Kurt\0xipj3plmq"[..]);
    }

    #[test]
    fn refuses_what_cannot_be_told_apart() {
        assert_eq!(encode(None, "a\0b", "c"), Err(SaslError::Prep("user name")));
        assert_eq!(encode(None, "a", "b\0c"), Err(SaslError::Prep("password")));
        assert_eq!(encode(None, "a", ""), Err(SaslError::Prep("password")));
        assert_eq!(encode(None, "", "b"), Err(SaslError::Prep("user name")));
        assert_eq!(encode(Some("\0"), "a", "b"), Err(SaslError::Prep("authorization identity")));
        let long = "x".repeat(MAX_PLAIN_MESSAGE - 3);
        assert_eq!(encode(None, "a", &long).unwrap().len(), MAX_PLAIN_MESSAGE);
        assert_eq!(encode(None, "aa", &long), Err(SaslError::TooLong { limit: MAX_PLAIN_MESSAGE }));
    }

    #[test]
    fn parses_three_parts_only() {
        let plain = Plain::parse(b"Ursel\0Kurt\0xipj3plmq").unwrap();
        assert_eq!((plain.authorization, plain.user, plain.password), (Some("Ursel"), "Kurt", "xipj3plmq"));
        for bad in [&b""[..], b"a", b"\0a", b"\0\0b", b"\0a\0", b"\0a\0b\0", b"\0a\0b\0c", b"\0a\0\xff"] {
            assert!(matches!(Plain::parse(bad).err(), Some(SaslError::Malformed(_))), "{bad:?}");
        }
    }
}
