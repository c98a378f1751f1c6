//! The one answer of CRAM-MD5 (RFC 2195), for brokers that know nothing better.
//!
//! The password is not shown. But one fast hash stands between it and whoever reads along, the server does not show
//! that it knows it, and the server has to keep it as it is: SCRAM stands before it, and TLS has to carry it unless it is
//! asked for without.

use std::fmt::Write;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use md5::Md5;

use super::{SaslError, Secret};

/// A user who can answer a challenge.
pub(super) struct CramMd5 {
    user: String,
    password: Secret,
}

impl CramMd5 {
    /// Names and passwords are sent and hashed as they are: the mechanism is older than SASLprep.
    pub(super) fn new(user: String, password: Secret) -> Result<Self, SaslError> {
        if user.is_empty() || user.contains(char::is_control) {
            return Err(SaslError::Prep("user name"));
        }
        if password.expose().is_empty() {
            return Err(SaslError::Prep("password"));
        }
        SaslError::check_length(user.as_bytes())?;
        Ok(Self { user, password })
    }

    /// User name, space, and the keyed hash of the challenge in lower-case hexadecimal (RFC 2195 2). The base64 there is
    /// that of the text protocols around it.
    ///
    /// # Errors
    /// A challenge that is empty or too long. Its form does not matter: a hash is made of it as it is.
    pub(super) fn respond(&self, challenge: &[u8]) -> Result<Bytes, SaslError> {
        SaslError::check_length(challenge)?;
        if challenge.is_empty() {
            // The answer to it would be the same for ever.
            return Err(SaslError::Malformed("CRAM-MD5: an empty challenge"));
        }
        let mut mac = Hmac::<Md5>::new_from_slice(self.password.expose().as_bytes()).expect("a key of any length");
        mac.update(challenge);
        let mut response = format!("{} ", self.user);
        for byte in mac.finalize().into_bytes() {
            write!(response, "{byte:02x}").expect("a string takes everything");
        }
        Ok(Bytes::from(response))
    }
}

#[cfg(test)]
mod tests {
    use super::super::MAX_MESSAGE;
    use super::*;

    fn respond(user: &str, password: &str, challenge: &[u8]) -> Result<Bytes, SaslError> {
        CramMd5::new(user.to_owned(), password.into())?.respond(challenge)
    }

    /// The example of RFC 2195 2.
    #[test]
    fn answers_as_the_standard_says() {
        let answer = respond("tim", "tanstaaftanstaaf", b"<1896.697170952@postoffice.reston.mci.net>").unwrap();
        assert_eq!(answer, &b"tim b913a602c7eda7a495b4e6e7334d3890"[..]);
    }

    /// Test case 2 of RFC 2202 2.
    #[test]
    fn a_name_may_hold_a_space() {
        let answer = respond("a b", "Jefe", b"what do ya want for nothing?").unwrap();
        assert_eq!(answer, &b"a b 750c783e6ab0b503eaa86e310a5db738"[..]);
    }

    #[test]
    fn refuses_what_it_cannot_carry() {
        assert_eq!(respond("", "x", b"<1@a>"), Err(SaslError::Prep("user name")));
        assert_eq!(respond("a\0b", "x", b"<1@a>"), Err(SaslError::Prep("user name")));
        assert_eq!(respond("a", "", b"<1@a>"), Err(SaslError::Prep("password")));
        assert!(matches!(respond("a", "x", b""), Err(SaslError::Malformed(_))));
        let too_long = Err(SaslError::TooLong { limit: MAX_MESSAGE });
        assert_eq!(respond("a", "x", &[b'<'; MAX_MESSAGE + 1]), too_long);
        assert_eq!(respond(&"a".repeat(MAX_MESSAGE + 1), "x", b"<1@a>"), too_long);
        assert!(respond("a", "x", &[b'<'; MAX_MESSAGE]).is_ok());
    }
}
