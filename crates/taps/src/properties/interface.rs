//! Which interfaces and provisioning domains a preference is about (RFC 9622 6.2.11 and 6.2.12).

use super::preference::Preference;

/// One interface, or all of a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InterfaceSelector {
    /// The interface of this name, such as `eth0`.
    Name(String),
    /// All interfaces of this type.
    Type(InterfaceType),
}

/// A type of interface.
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

/// One provisioning domain, or all of a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PvdSelector {
    /// The domain of this name (RFC 8801).
    Name(String),
    /// All domains of this type.
    Type(String),
}

impl From<&str> for InterfaceSelector {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<InterfaceType> for InterfaceSelector {
    fn from(interface: InterfaceType) -> Self {
        Self::Type(interface)
    }
}

impl From<&str> for PvdSelector {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

/// Setting a property overrides its previous value (RFC 9622 6.2).
pub(super) fn put<S: PartialEq>(set: &mut Vec<(S, Preference)>, selector: S, preference: Preference) {
    match set.iter_mut().find(|(known, _)| *known == selector) {
        Some(known) => known.1 = preference,
        None => set.push((selector, preference)),
    }
}
