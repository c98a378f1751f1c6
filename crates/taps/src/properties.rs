//! Transport properties: what the application asks of the transport (RFC 9622 4, 6.2, 8.1, 8.2 and 9.1.3).

mod capacity;
mod connection;
mod interface;
mod message;
mod preference;
mod profile;
mod selection;
mod socket;
mod user_timeout;

pub use self::capacity::CapacityProfile;
pub use self::connection::{ChecksumCoverage, ConnectionProperties, MultipathPolicy, Scheduler};
pub use self::interface::{InterfaceSelector, InterfaceType, PvdSelector};
pub use self::message::MessageProperties;
pub use self::preference::Preference;
pub use self::profile::Profile;
pub use self::selection::{Direction, Multipath, Role, SelectionProperty};
pub use self::user_timeout::UserTimeout;

use std::time::Duration;

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
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct TransportProperties {
    selection: selection::Selection,
    /// The initial connection properties.
    #[doc(alias = "connection_properties")]
    pub connection: ConnectionProperties,
    /// The properties of messages that set none.
    #[doc(alias = "message_properties")]
    pub message: MessageProperties,
}

impl TransportProperties {
    /// All properties at their defaults.
    #[must_use]
    pub fn new() -> Self {
        <Self as Default>::default()
    }

    /// The preference of a selection property, as set or by default.
    #[must_use]
    pub fn preference(&self, property: SelectionProperty) -> Preference {
        self.selection.preference(property)
    }

    /// The preference of a selection property where its default differs by role (RFC 9622 6.2.13).
    #[must_use]
    pub fn preference_in(&self, property: SelectionProperty, role: Role) -> Preference {
        self.selection.preference_in(property, role)
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
        self.message.safely_replayable
    }

    /// Sets whether messages may arrive more than once.
    #[must_use]
    pub fn with_safely_replayable(mut self, safely_replayable: bool) -> Self {
        self.message.safely_replayable = safely_replayable;
        self
    }

    /// Sends keep-alive probes after this idle time (whole seconds, at least one).
    #[must_use]
    pub fn keep_alive_timeout(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.connection.keep_alive_timeout = idle.into();
        self
    }

    /// Fails the connection when sent data stays unacknowledged this long (whole milliseconds, at least one).
    #[must_use]
    pub fn conn_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.connection.conn_timeout = timeout.into();
        self
    }

    /// Sets the capacity profile.
    #[must_use]
    pub fn capacity_profile(mut self, profile: CapacityProfile) -> Self {
        self.connection.capacity_profile = profile;
        self
    }
}
