//! Transport properties: what the application asks of the transport (RFC 9622 4, 6.2, 8.1, 8.2 and 9.1.3).

mod access;
mod capacity;
mod connection;
mod error;
mod established;
mod interface;
mod kind;
mod message;
mod multipath;
mod names;
mod preference;
mod profile;
mod scheduler;
mod selection;
mod table;
mod user_timeout;
mod validate;
mod value;

pub use self::capacity::CapacityProfile;
pub use self::connection::{ChecksumCoverage, ConnectionProperties, ConnectionProperty, ConnectionStatus};
pub use self::error::PropertyError;
pub use self::established::{EstablishedProperties, MessagePropertyError};
pub use self::interface::{InterfaceSelector, InterfaceType, PvdSelector};
pub use self::message::{MessageProperties, MessageProperty};
pub use self::multipath::{Multipath, MultipathPolicy};
pub use self::names::Property;
pub use self::preference::Preference;
pub use self::profile::Profile;
pub use self::scheduler::Scheduler;
pub use self::selection::{Direction, Role, SelectionProperty};
pub use self::user_timeout::UserTimeout;
pub use self::validate::{PropertyConflict, PropertyConflicts};
pub use self::value::PropertyValue;

use self::selection::Defaults;

/// What the application asks of the transport: properties for selecting protocols and paths, and the initial values of
/// the properties of a connection and of its messages.
///
/// ```
/// use std::time::Duration;
/// use postroad_taps::{CapacityProfile, Preference, SelectionProperty, TransportProperties};
///
/// let properties = TransportProperties::new()
///     .require(SelectionProperty::KeepAlive)
///     .keep_alive_timeout(Duration::from_secs(30))
///     .capacity_profile(CapacityProfile::LowLatencyInteractive);
/// assert_eq!(properties.preference(SelectionProperty::KeepAlive), Preference::Require);
/// assert_eq!(properties.connection.conn_timeout, None);
/// assert_eq!(properties.connection.capacity_profile.dscp(), 36);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportProperties {
    selection: selection::Selection,
    vendor: Vec<(String, PropertyValue)>,
    /// The initial connection properties.
    #[doc(alias = "connection_properties")]
    pub connection: ConnectionProperties,
    /// The properties of messages that set none.
    #[doc(alias = "message_properties")]
    pub message: MessageProperties,
}

impl TransportProperties {
    /// All properties at their defaults. Where the original interface and RFC 9622 differ, it is the original's:
    /// `preserveMsgBoundaries` is preferred, and the user timeout of TCP is 300 seconds, once it is enabled.
    #[must_use]
    pub fn new() -> Self {
        <Self as Default>::default()
    }

    /// All properties at the defaults that RFC 9622 suggests.
    #[must_use]
    pub fn rfc9622() -> Self {
        let mut properties = Self::new();
        properties.selection.defaults = Defaults::Rfc9622;
        properties.connection.user_timeout.value = None;
        properties
    }

    /// The preference of a selection property, as set or by default.
    #[must_use]
    pub fn preference(&self, property: SelectionProperty) -> Preference {
        self.selection.preference(property, Role::Initiate)
    }

    /// The preference of a selection property where its default differs by role (RFC 9622 6.2.13).
    #[must_use]
    pub fn preference_in(&self, property: SelectionProperty, role: Role) -> Preference {
        self.selection.preference(property, role)
    }

    /// Whether the application has set the property itself.
    #[must_use]
    pub fn is_explicit(&self, property: SelectionProperty) -> bool {
        self.selection.is_explicit(property)
    }

    /// Sets the preference of a selection property.
    pub fn set_preference(&mut self, property: SelectionProperty, preference: Preference) -> &mut Self {
        self.selection.set(property, Some(preference));
        self
    }

    /// Selects only what has the property.
    #[must_use]
    pub fn require(mut self, property: SelectionProperty) -> Self {
        self.selection.set(property, Some(Preference::Require));
        self
    }

    /// Prefers what has the property.
    #[must_use]
    pub fn prefer(mut self, property: SelectionProperty) -> Self {
        self.selection.set(property, Some(Preference::Prefer));
        self
    }

    /// Has no preference about the property.
    #[doc(alias = "NoPreference")]
    #[must_use]
    pub fn ignore(mut self, property: SelectionProperty) -> Self {
        self.selection.set(property, Some(Preference::Ignore));
        self
    }

    /// Prefers what does not have the property.
    #[must_use]
    pub fn avoid(mut self, property: SelectionProperty) -> Self {
        self.selection.set(property, Some(Preference::Avoid));
        self
    }

    /// Selects only what does not have the property.
    #[must_use]
    pub fn prohibit(mut self, property: SelectionProperty) -> Self {
        self.selection.set(property, Some(Preference::Prohibit));
        self
    }

    /// Sets the property back to its default.
    #[must_use]
    pub fn default(mut self, property: SelectionProperty) -> Self {
        self.selection.set(property, None);
        self
    }

    /// The preferences on interfaces, in the order in which they were set.
    #[must_use]
    pub fn interfaces(&self) -> &[(InterfaceSelector, Preference)] {
        &self.selection.interfaces
    }

    /// Adds or replaces the preference on an interface.
    #[must_use]
    pub fn interface(mut self, interface: impl Into<InterfaceSelector>, preference: Preference) -> Self {
        interface::put(&mut self.selection.interfaces, interface.into(), preference);
        self
    }

    /// The preferences on provisioning domains, in the order in which they were set.
    #[must_use]
    pub fn pvds(&self) -> &[(PvdSelector, Preference)] {
        &self.selection.pvds
    }

    /// Adds or replaces the preference on a provisioning domain.
    #[must_use]
    pub fn pvd(mut self, pvd: impl Into<PvdSelector>, preference: Preference) -> Self {
        interface::put(&mut self.selection.pvds, pvd.into(), preference);
        self
    }

    /// The use of several paths, as set; `None` is the default of the role, see [`multipath_in`](Self::multipath_in).
    #[must_use]
    pub fn multipath(&self) -> Option<Multipath> {
        self.selection.multipath
    }

    /// The use of several paths in a role (RFC 9622 6.2.14).
    #[must_use]
    pub fn multipath_in(&self, role: Role) -> Multipath {
        self.selection.multipath.unwrap_or_else(|| role.multipath())
    }

    /// Sets the use of several paths; `None` sets it back to the default.
    #[must_use]
    pub fn with_multipath(mut self, multipath: impl Into<Option<Multipath>>) -> Self {
        self.selection.multipath = multipath.into();
        self
    }

    /// The direction of the communication.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.selection.direction
    }

    /// Sets the direction of the communication.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.selection.direction = direction;
        self
    }

    /// Whether alternative addresses are advertised to the peer.
    #[must_use]
    pub fn advertises_altaddr(&self) -> bool {
        self.selection.advertises_altaddr
    }

    /// Sets whether alternative addresses are advertised to the peer.
    #[must_use]
    pub fn with_advertises_altaddr(mut self, advertises: bool) -> Self {
        self.selection.advertises_altaddr = advertises;
        self
    }

    /// Whether messages may arrive more than once: without it, no protocol that may duplicate them is selected
    /// (RFC 9622 9.1.3.4).
    #[must_use]
    pub fn safely_replayable(&self) -> bool {
        self.message.safely_replayable()
    }

    /// Sets whether messages may arrive more than once.
    #[must_use]
    pub fn with_safely_replayable(mut self, safely_replayable: bool) -> Self {
        self.message.set_safely_replayable(safely_replayable);
        self
    }
}
