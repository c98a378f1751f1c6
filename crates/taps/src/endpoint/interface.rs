//! The identifier of an interface, as endpoints and properties name one.

use std::fmt;
use std::sync::Arc;

/// A network interface by its name or by its index (RFC 9622 6.1).
///
/// Text that is a number is an index, as in the zone of an address (RFC 4007 11.2).
///
/// ```
/// use postroad_taps::InterfaceId;
///
/// assert_eq!(InterfaceId::from("lo"), InterfaceId::Name("lo".into()));
/// assert_eq!(InterfaceId::from("3"), InterfaceId::Index(3));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InterfaceId {
    /// The name that the system has for it, such as `lo`.
    Name(Arc<str>),
    /// The index that the system has for it, 1 and up.
    Index(u32),
}

impl From<&str> for InterfaceId {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.into()), Self::Index)
    }
}

impl From<String> for InterfaceId {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<u32> for InterfaceId {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

impl fmt::Display for InterfaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}
