//! The words that attributes are made of.

use std::fmt;
use std::str::FromStr;

use super::error::wrong;
use super::{MAX_FILE_TEXT, MAX_TYPES, SdpError, SdpErrorKind};
use crate::uri::is_token;

/// A token, as the id of a file transfer and the features of a chat room are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token(Box<str>);

/// A media type that an end takes: `text/plain`, `image/*`, `*`, with parameters or without (RFC 4975 8.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FormatEntry(Box<str>);

impl Token {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FormatEntry {
    /// The text, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type without its parameters, which count for nothing when types are compared (RFC 4975 8.6).
    #[must_use]
    pub fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default()
    }
}

impl FromStr for Token {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        if text.is_empty() || !text.bytes().all(is_token) {
            return Err(wrong(SdpErrorKind::Token));
        }
        if text.len() > MAX_FILE_TEXT { Err(wrong(SdpErrorKind::Long)) } else { Ok(Self(text.into())) }
    }
}

impl FromStr for FormatEntry {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_FILE_TEXT {
            return Err(wrong(SdpErrorKind::Long));
        }
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_token);
        let mut parts = pieces(text, b';');
        let mut is_entry = match parts.next() {
            Some("*") => true,
            Some(essence) => essence.split_once('/').is_some_and(|(top, sub)| is_word(top) && is_word(sub)),
            None => false,
        };
        for parameter in parts {
            is_entry &= parameter.split_once('=').is_some_and(|(name, value)| {
                let quoted = value.len() > 1 && value.starts_with('"') && quote_end(value) == Some(value.len());
                is_word(name) && (is_word(value) || quoted)
            });
        }
        if is_entry { Ok(Self(text.into())) } else { Err(wrong(SdpErrorKind::Type)) }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FormatEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A list with a space between its words, which may be quoted in part.
pub(super) fn list<T: FromStr<Err = SdpError>>(text: &str) -> Result<Vec<T>, SdpError> {
    let words = pieces(text, b' ').filter(|word| !word.is_empty());
    let words = words.take(MAX_TYPES + 1).map(str::parse).collect::<Result<Vec<T>, _>>()?;
    if words.len() > MAX_TYPES { Err(wrong(SdpErrorKind::Long)) } else { Ok(words) }
}

/// What stands between the separators that are not quoted.
fn pieces(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        let mut place = 0;
        while let Some(byte) = here.as_bytes().get(place) {
            match byte {
                b'"' => place += quote_end(&here[place..]).unwrap_or(here.len() - place),
                byte if *byte == separator => {
                    rest = Some(&here[place + 1..]);
                    return Some(&here[..place]);
                }
                _ => place += 1,
            }
        }
        rest = None;
        Some(here)
    })
}

/// The length of the quoted string at the beginning.
fn quote_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut place = 1;
    loop {
        match bytes.get(place)? {
            b'"' => return Some(place + 1),
            b'\\' => place += 2,
            byte if *byte < b' ' && *byte != b'\t' => return None,
            _ => place += 1,
        }
    }
}
