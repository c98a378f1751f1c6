//! Which interfaces and provisioning domains a preference is about (RFC 9622 6.2.11 and 6.2.12).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use super::kind::{self, Enumerated};
use super::preference::Preference;
use super::value::PropertyValue;

/// One interface, or all of a type. As text, `eth0` or `type:wifi`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InterfaceSelector {
    /// The interface of this name, such as `eth0`.
    Name(String),
    /// All interfaces of this type.
    Type(InterfaceType),
}

/// A type of interface. It says nothing of the cost: that is for provisioning domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InterfaceType {
    /// Wired Ethernet.
    Wired,
    /// Wi-Fi.
    Wifi,
    /// A mobile network.
    Cellular,
    /// The machine itself.
    Loopback,
}

/// One provisioning domain, or all of a type. As text, `example.com` or `type:voip`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PvdSelector {
    /// The domain of this name (RFC 8801).
    Name(String),
    /// All domains of this type.
    Type(String),
}

impl Enumerated for InterfaceType {
    const EXPECTED: &'static str = "wired, wifi, cellular or loopback";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("wired", Self::Wired),
        ("wifi", Self::Wifi),
        ("cellular", Self::Cellular),
        ("loopback", Self::Loopback),
        ("ethernet", Self::Wired),
    ];
}

impl fmt::Display for InterfaceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Type(of) => write!(f, "type:{}", kind::word(*of)),
        }
    }
}

impl fmt::Display for PvdSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Type(of) => write!(f, "type:{of}"),
        }
    }
}

/// A type that is not known here is taken as a name, which no interface will have.
impl FromStr for InterfaceSelector {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let of_type = text.strip_prefix("type:").and_then(|word| kind::enumerated(&word.into()));
        Ok(of_type.map_or_else(|| Self::Name(text.to_owned()), Self::Type))
    }
}

impl FromStr for PvdSelector {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("type:") {
            Some(of) => Self::Type(of.to_owned()),
            None => Self::Name(text.to_owned()),
        })
    }
}

impl From<&str> for InterfaceSelector {
    fn from(text: &str) -> Self {
        let Ok(selector) = text.parse();
        selector
    }
}

impl From<InterfaceType> for InterfaceSelector {
    fn from(interface: InterfaceType) -> Self {
        Self::Type(interface)
    }
}

impl From<&str> for PvdSelector {
    fn from(text: &str) -> Self {
        let Ok(selector) = text.parse();
        selector
    }
}

/// What is expected of a set of preferences as a value.
pub(super) const EXPECTED: &str = "names with preferences, such as `eth0=require, type:cellular=prohibit`";

/// Setting a property overrides its previous value (RFC 9622 6.2).
pub(super) fn put<S: PartialEq>(set: &mut Vec<(S, Preference)>, selector: S, preference: Preference) {
    match set.iter_mut().find(|(known, _)| *known == selector) {
        Some(known) => known.1 = preference,
        None => set.push((selector, preference)),
    }
}

/// The whole set, from a value.
pub(super) fn read<S: PartialEq + for<'a> From<&'a str>>(value: &PropertyValue) -> Option<Vec<(S, Preference)>> {
    let mut set = Vec::new();
    match value {
        PropertyValue::Set(entries) => {
            for (name, preference) in entries {
                put(&mut set, name.as_str().into(), *preference);
            }
        }
        _ => {
            for entry in value.text()?.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                let (name, preference) = entry.rsplit_once('=')?;
                put(&mut set, name.trim().into(), kind::enumerated(&preference.into())?);
            }
        }
    }
    Some(set)
}

/// The set as a value.
pub(super) fn show<S: ToString>(set: &[(S, Preference)]) -> PropertyValue {
    PropertyValue::Set(set.iter().map(|(selector, preference)| (selector.to_string(), *preference)).collect())
}
