//! Addresses of senders and recipients: `Alice <im:alice@example.com>` (RFC 3862 4.1).

use std::fmt;
use std::str::FromStr;

use super::escape::{escape, line_end, quoted_end, unescape};
use super::header::is_name;
use super::{CpimError, CpimErrorKind};

/// A URI with the name of whom it leads to, if that is said.
///
/// ```
/// use postroad_msrp::content::Address;
///
/// let alice = Address::new("im:alice@example.com")?.with_name("Alice, the great")?;
/// assert_eq!(alice.to_string(), "\"Alice, the great\" <im:alice@example.com>");
/// assert_eq!(alice.to_string().parse(), Ok(alice));
/// # Ok::<_, postroad_msrp::content::CpimError>(())
/// ```
#[doc(alias = "ChatIdentity")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    name: Option<Box<str>>,
    uri: Box<str>,
}

impl Address {
    /// An address without a name.
    ///
    /// # Errors
    /// What is no URI with a scheme.
    pub fn new(uri: &str) -> Result<Self, CpimError> {
        match check_uri(uri) {
            Ok(()) => Ok(Self { name: None, uri: uri.into() }),
            Err(offset) => Err(CpimError::new(CpimErrorKind::Address, offset)),
        }
    }

    /// With the name of a person; an empty one stands for none.
    ///
    /// # Errors
    /// CR, LF or NUL in it.
    pub fn with_name(self, name: &str) -> Result<Self, CpimError> {
        match line_end(name) {
            Some(offset) => Err(CpimError::new(CpimErrorKind::Head(super::HeadErrorKind::Control), offset)),
            None => Ok(Self { name: Some(name).filter(|name| !name.is_empty()).map(Into::into), ..self }),
        }
    }

    /// The name of a person, without quotes and escapes. What a peer sent may stand for any character.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The URI, such as `im:alice@example.com`.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Reads the value of a header.
    pub(in crate::content) fn read(raw: &str) -> Option<Self> {
        let raw = raw.trim_matches(' ');
        let (name, rest) = match raw.strip_prefix('"') {
            Some(inside) => {
                let end = quoted_end(inside)?;
                (&inside[..end], inside[end + 1..].trim_start_matches(' '))
            }
            None => {
                let (name, rest) = raw.split_at(raw.find('<')?);
                (name.trim_end_matches(' '), rest)
            }
        };
        let uri = rest.strip_prefix('<')?.strip_suffix('>')?;
        check_uri(uri).ok()?;
        let name = unescape(name);
        Some(Self { name: Some(name).filter(|name| !name.is_empty()).map(Into::into), uri: uri.into() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            if name.split(' ').all(is_formal_token) {
                write!(f, "{name} ")?;
            } else {
                write!(f, "{} ", write_quoted(name))?;
            }
        }
        write!(f, "<{}>", self.uri)
    }
}

impl FromStr for Address {
    type Err = CpimError;

    fn from_str(text: &str) -> Result<Self, CpimError> {
        if let Some(offset) = text.bytes().position(|byte| byte.is_ascii_control()) {
            return Err(CpimError::new(CpimErrorKind::Head(super::HeadErrorKind::Control), offset));
        }
        Self::read(text).ok_or_else(|| CpimError::new(CpimErrorKind::Address, 0))
    }
}

/// `String` of RFC 3862 3.6.
pub(in crate::content) fn write_quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    escape(text, true, &mut quoted);
    quoted.push('"');
    quoted
}

/// The offset at which a text is no `absolute-URI`.
pub(in crate::content) fn check_uri(uri: &str) -> Result<(), usize> {
    if let Some(place) = uri.bytes().position(|byte| !byte.is_ascii_graphic() || b"<>\"\\".contains(&byte)) {
        return Err(place);
    }
    let (scheme, rest) = uri.split_once(':').ok_or(uri.len())?;
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(0);
    }
    match scheme.bytes().position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(&byte)) {
        Some(place) => Err(place),
        None if rest.is_empty() => Err(uri.len()),
        None => Ok(()),
    }
}

/// `Token` of RFC 3862 3.6.
pub(in crate::content) fn is_formal_token(text: &str) -> bool {
    let is_high = |character: char| !character.is_ascii() && !character.is_control();
    !text.is_empty() && text.chars().all(|character| is_name(character) || character == '.' || is_high(character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r45_addresses_are_read() {
        for (text, name, uri) in [
            ("Winnie the Pooh <im:pooh@100akerwood.com>", Some("Winnie the Pooh"), "im:pooh@100akerwood.com"),
            ("<im:tigger@100akerwood.com>", None, "im:tigger@100akerwood.com"),
            (r#""a \"<b>\" \u00e9" <sip:x>"#, Some("a \"<b>\" \u{e9}"), "sip:x"),
            ("\" a \"<sip:x>", Some(" a "), "sip:x"),
            ("  <sip:x> ", None, "sip:x"),
            ("\"\" <sip:x>", None, "sip:x"),
            ("\u{e9} <tel:+1>", Some("\u{e9}"), "tel:+1"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.name(), address.uri()), (name, uri), "{text}");
        }
        for text in [
            "",
            "im:a@b",
            "<im:a@b",
            "im:a@b>",
            "<>",
            "<im:>",
            "<:a>",
            "<1m:a>",
            "<im:a b>",
            "<im:a>x",
            "<im:\u{e9}>",
            "\"a <im:b>",
            "<<im:a>>",
            "\"a\" b <im:c>",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(*error.kind(), CpimErrorKind::Address, "{text}");
        }
    }

    #[test]
    fn r62_an_address_ends_no_line() {
        let control = CpimErrorKind::Head(super::super::HeadErrorKind::Control);
        for (name, offset) in [("a\r\nb", 1), ("\n", 0), ("ab\0", 2)] {
            let error = Address::new("im:a@b").unwrap().with_name(name).unwrap_err();
            assert_eq!(error, CpimError::new(control.clone(), offset));
        }
        assert_eq!(Address::new("im:a\r\nb"), Err(CpimError::new(CpimErrorKind::Address, 4)));
        assert_eq!("\"a\r\" <im:b>".parse::<Address>(), Err(CpimError::new(control, 2)));
        let sent: Address = r#""a\r\nb" <im:c>"#.parse().unwrap();
        assert_eq!((sent.name(), sent.to_string().as_str()), (Some("a\r\nb"), r#""a\r\nb" <im:c>"#));
    }

    proptest! {
        #[test]
        fn r45_round_trip(name in "[^\r\n\0]{0,8}", uri in "[a-z]:[!-;=?-\\[\\]-~&&[^\"]]{1,9}") {
            let address = Address::new(&uri).unwrap().with_name(&name).unwrap();
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
