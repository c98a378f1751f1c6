//! Properties by name (RFC 9622 4.1).

use std::fmt;
use std::str::FromStr;

use super::connection::ConnectionProperty;
use super::error::{PropertyError, short};
use super::message::MessageProperty;
use super::selection::{self, SelectionProperty};
use super::table::Row;

/// Any property.
///
/// A name is compared without case. RFC 9622's names and those of the original interface both hold:
///
/// ```
/// use postroad_taps::{ConnectionProperty, Property};
///
/// let property: Property = "CONNPRIORITY".parse()?;
/// assert_eq!(property, ConnectionProperty::ConnPriority.into());
/// assert_eq!(property, "conn-prio".parse()?);
/// assert_eq!(property.name(), "connPriority");
/// # Ok::<_, postroad_taps::PropertyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Property {
    /// A preference.
    Selection(SelectionProperty),
    /// Preferences on interfaces (6.2.11).
    #[doc(alias = "INTERFACE")]
    Interface,
    /// Preferences on provisioning domains (6.2.12).
    #[doc(alias = "PVD")]
    Pvd,
    /// The use of several paths (6.2.14).
    #[doc(alias = "MULTIPATH")]
    Multipath,
    /// Whether alternative addresses are advertised to the peer (6.2.15).
    AdvertisesAltaddr,
    /// The direction of the communication (6.2.16).
    #[doc(alias = "DIRECTION")]
    Direction,
    /// A property of connections.
    Connection(ConnectionProperty),
    /// A property of messages.
    Message(MessageProperty),
}

impl Property {
    /// All properties.
    pub fn all() -> impl Iterator<Item = Self> {
        let selection = SelectionProperty::ALL.into_iter().map(Self::Selection);
        let typed = [Self::Interface, Self::Pvd, Self::Multipath, Self::AdvertisesAltaddr, Self::Direction];
        let connection = ConnectionProperty::ALL.into_iter().map(Self::Connection);
        let message = MessageProperty::ALL.into_iter().map(Self::Message);
        selection.chain(typed).chain(connection).chain(message)
    }

    /// The name in RFC 9622, or the original's name where RFC 9622 does not have the property.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name()
    }

    /// All names, [`name`](Self::name) first.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        self.row().names
    }

    /// Whether only the transport sets it.
    #[must_use]
    pub fn is_read_only(self) -> bool {
        self.row().read_only
    }

    /// Whether all connections of a group have the same value of it (RFC 9622 7.4).
    #[must_use]
    pub fn is_entangled(self) -> bool {
        self.row().entangled
    }

    /// Whether it is for choosing protocols and paths, and cannot be changed once they are chosen.
    #[must_use]
    pub fn is_selection(self) -> bool {
        !matches!(self, Self::Connection(_) | Self::Message(_))
    }

    fn row(self) -> &'static Row {
        match self {
            Self::Selection(property) => property.row(),
            Self::Interface => &selection::INTERFACE,
            Self::Pvd => &selection::PVD,
            Self::Multipath => &selection::MULTIPATH,
            Self::AdvertisesAltaddr => &selection::ADVERTISES_ALTADDR,
            Self::Direction => &selection::DIRECTION,
            Self::Connection(property) => property.row(),
            Self::Message(property) => property.row(),
        }
    }
}

impl From<SelectionProperty> for Property {
    fn from(property: SelectionProperty) -> Self {
        Self::Selection(property)
    }
}

impl From<ConnectionProperty> for Property {
    fn from(property: ConnectionProperty) -> Self {
        Self::Connection(property)
    }
}

impl From<MessageProperty> for Property {
    fn from(property: MessageProperty) -> Self {
        Self::Message(property)
    }
}

/// The first name.
impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Property {
    type Err = PropertyError;

    fn from_str(name: &str) -> Result<Self, PropertyError> {
        let is = |property: &Self| property.names().iter().any(|known| known.eq_ignore_ascii_case(name));
        Self::all().find(is).ok_or_else(|| {
            let namespace = name.split_once('.').map(|(namespace, _)| namespace);
            match namespace {
                Some(namespace) if !namespace.starts_with('_') && !namespace.eq_ignore_ascii_case("tcp") => {
                    PropertyError::Namespace { name: short(name) }
                }
                _ => PropertyError::Unknown { name: short(name), suggestion: suggestion(name) },
            }
        })
    }
}

/// Whether it is a well-formed name of a vendor's property: a namespace that starts with an underscore, and a name.
pub(super) fn is_vendor(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 64
        && name.starts_with('_')
        && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && name.split('.').all(is_part)
}

/// The known name that is most like this one, if one is like it at all.
fn suggestion(name: &str) -> Option<&'static str> {
    // Longer than any name with room for mistakes: not worth the comparison.
    if name.len() > 80 {
        return None;
    }
    let wanted = plain(name);
    let names = Property::all().flat_map(|property| property.names());
    let (distance, best) = names.map(|known| (distance(&plain(known), &wanted), *known)).min_by_key(|(far, _)| *far)?;
    (distance <= wanted.len().div_ceil(4)).then_some(best)
}

/// Snake case, kebab case and camel case of a name are alike.
fn plain(name: &str) -> Vec<u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase()).collect()
}

/// How many letters must be put in, left out or changed to make one of the other.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
