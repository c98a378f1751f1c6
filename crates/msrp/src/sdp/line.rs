//! The lines of a session description, and the values that several of them have.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::error::wrong;
use super::{MAX_FILE_TEXT, MAX_LINE, SdpError, SdpErrorKind, Token};
use crate::Host;

/// An attribute that this crate has no meaning for, kept as it is: `a=name` or `a=name:value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attribute {
    name: Token,
    value: Option<Box<str>>,
}

/// A line that this crate has no meaning for, kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    letter: char,
    value: Box<str>,
}

/// Where media go to, as the `c=` line has it: an address or a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    host: Host,
    is_ip6: bool,
}

/// Characters of ASCII without spaces and quotes, as a Content-ID has them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Word(Box<str>);

impl Attribute {
    /// An attribute.
    ///
    /// # Errors
    /// A name that is no token; a value with a line end or a NUL, or that is too long for a line.
    pub fn new(name: &str, value: Option<&str>) -> Result<Self, SdpError> {
        Ok(Self { name: name.parse()?, value: value.map(|value| text(value, name.len() + 1)).transpose()? })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// What stands behind the colon.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl Line {
    /// A line.
    ///
    /// # Errors
    /// A letter that is none; a value with a line end or a NUL, or that is too long.
    pub fn new(letter: char, value: &str) -> Result<Self, SdpError> {
        if !letter.is_ascii_lowercase() {
            return Err(wrong(SdpErrorKind::Line));
        }
        Ok(Self { letter, value: text(value, 0)? })
    }

    /// The letter before the equals sign.
    #[must_use]
    pub fn letter(&self) -> char {
        self.letter
    }

    /// What stands behind it.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl Connection {
    /// The address, or the name.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }
}

impl Word {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Host> for Connection {
    fn from(host: Host) -> Self {
        let is_ip6 = host.ip().is_some_and(|address| address.is_ipv6());
        Self { host, is_ip6 }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}:{value}", self.name),
            None => self.name.fmt(f),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.letter, self.value)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Word {
    type Err = SdpError;

    fn from_str(word: &str) -> Result<Self, SdpError> {
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        match is_word {
            true if word.len() <= MAX_FILE_TEXT => Ok(Self(word.into())),
            true => Err(wrong(SdpErrorKind::Long)),
            false => Err(wrong(SdpErrorKind::Token)),
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IN IP{} ", if self.is_ip6 { 6 } else { 4 })?;
        // Brackets are of URIs only.
        match self.host.ip() {
            Some(address) => address.fmt(f),
            None => self.host.fmt(f),
        }
    }
}

impl FromStr for Connection {
    type Err = SdpError;

    fn from_str(value: &str) -> Result<Self, SdpError> {
        let mut words = value.split_ascii_whitespace();
        let (Some("IN"), Some(kind @ ("IP4" | "IP6")), Some(place), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong(SdpErrorKind::Connection));
        };
        // What follows a slash is of multicast, which MSRP has nothing to do with.
        let place = place.split('/').next().unwrap_or_default();
        if let Ok(address) = place.parse::<IpAddr>() {
            return Ok(Host::Ip(address).into());
        }
        let host = Host::name(place).map_err(|_| wrong(SdpErrorKind::Connection))?;
        Ok(Self { host, is_ip6: kind == "IP6" })
    }
}

/// A value that fits into a line (`extra` octets are taken) and breaks none.
pub(super) fn text(value: &str, extra: usize) -> Result<Box<str>, SdpError> {
    if let Some(place) = value.bytes().position(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(SdpError::new(SdpErrorKind::Character, place));
    }
    // Two for the letter and the equals sign, two for `a=` of an attribute.
    if value.len() + extra + 2 > MAX_LINE { Err(wrong(SdpErrorKind::Long)) } else { Ok(value.into()) }
}
