//! Percent-encoding (RFC 3986 2.1).

use std::fmt::{self, Write};

use crate::url_error::{UrlError, UrlPart};

/// Decodes one part of a URL.
pub(crate) fn decode(text: &str, part: UrlPart) -> Result<String, UrlError> {
    let bad = UrlError::BadPercent { part };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        match (rest.next().and_then(nibble), rest.next().and_then(nibble)) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(bad),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad)
}

/// Encodes what would end or change the part, and whatever RFC 3986 does not allow in it.
pub(crate) fn encode(text: &str, part: UrlPart, out: &mut impl Write) -> fmt::Result {
    // `@` is encoded in paths too: the form `user/password@host` would take it for its own. A comma parts lists of URLs.
    let extra = match part {
        UrlPart::User | UrlPart::Password => "!$'()*;",
        UrlPart::Socket => "",
        UrlPart::Path => "!$&'()*+;=:/",
        UrlPart::Query => "!$'()*;:/@",
    };
    for byte in text.bytes() {
        let character = char::from(byte);
        if character.is_ascii_alphanumeric() || "-._~".contains(character) || extra.contains(character) {
            out.write_char(character)?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_needs_two_digits_and_utf8() {
        assert_eq!(decode("a%20%c3%A9%2F", UrlPart::Path).as_deref(), Ok("a é/"));
        for text in ["%", "%4", "%4g", "%%41", "%ff", "a%"] {
            assert_eq!(decode(text, UrlPart::Path), Err(UrlError::BadPercent { part: UrlPart::Path }), "{text}");
        }
    }

    #[test]
    fn every_part_encodes_what_would_end_it() {
        let mut out = String::new();
        encode("a:b/c@d?e#f%", UrlPart::Password, &mut out).unwrap();
        encode("a/b?c@d", UrlPart::Path, &mut out).unwrap();
        encode("a&b=c+d", UrlPart::Query, &mut out).unwrap();
        assert_eq!(out, "a%3Ab%2Fc%40d%3Fe%23f%25a/b%3Fc%40da%26b%3Dc%2Bd");
    }
}
