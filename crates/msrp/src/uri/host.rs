//! The host of a URI.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{UriError, UriErrorKind, check, is_sub_delim, is_unreserved};

/// The host of a URI: an address, or a name. Names are equal without regard to case and to needless percent-encoding.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, as it was written. [`Host::name`] makes one.
    #[non_exhaustive]
    Name(Box<str>),
}

impl Host {
    /// A name.
    ///
    /// # Errors
    /// A character that no name has in a URI, or none at all.
    pub fn name(name: &str) -> Result<Self, UriError> {
        check(name, 0, |byte| is_unreserved(byte) || is_sub_delim(byte) || byte == b'%', UriErrorKind::Host)?;
        check_escapes(name).map_err(|place| UriError::new(UriErrorKind::Host, place))?;
        Ok(Self::Name(name.into()))
    }

    /// The address, where it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Name(_) => None,
        }
    }

    /// Whether it is a name that stands for no host, as `x.invalid` of a client that nobody can connect to
    /// (RFC 7977 5.2.2).
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        match self {
            Self::Ip(_) => false,
            Self::Name(name) => {
                let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
                last.eq_ignore_ascii_case("invalid")
            }
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<Ipv4Addr> for Host {
    fn from(address: Ipv4Addr) -> Self {
        Self::Ip(address.into())
    }
}

impl From<Ipv6Addr> for Host {
    fn from(address: Ipv6Addr) -> Self {
        Self::Ip(address.into())
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ip(one), Self::Ip(other)) => one == other,
            (Self::Name(one), Self::Name(other)) => {
                one.eq_ignore_ascii_case(other)
                    || ((one.contains('%') || other.contains('%')) && normal(one) == normal(other))
            }
            _ => false,
        }
    }
}

impl Eq for Host {}

impl Hash for Host {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Ip(address) => address.hash(state),
            Self::Name(name) => normal(name).hash(state),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A name in lower case, without the escapes that it does not need (RFC 4975 6.1).
fn normal(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|byte| byte == b'%' || byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once('%') {
        text.push_str(before);
        // A name has whole escapes only.
        let (digits, behind) = behind.split_at(2);
        match u8::from_str_radix(digits, 16) {
            Ok(byte) if is_unreserved(byte) => text.push(byte.into()),
            _ => {
                text.push('%');
                text.push_str(digits);
            }
        }
        rest = behind;
    }
    text.push_str(rest);
    text.make_ascii_lowercase();
    Cow::Owned(text)
}

/// The place of a percent sign that is not followed by two hexadecimal digits.
pub(super) fn check_escapes(text: &str) -> Result<(), usize> {
    let bytes = text.as_bytes();
    let mut signs = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    let whole = |place: usize| bytes.get(place + 1..place + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    signs.find(|(place, _)| !whole(*place)).map_or(Ok(()), |(place, _)| Err(place))
}
