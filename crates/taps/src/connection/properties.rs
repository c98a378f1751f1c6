//! The properties of a running connection (RFC 9622 8).

use std::io;
use std::sync::Arc;

use super::{Connection, Inner};
use crate::properties::{
    ConnectionProperties, ConnectionProperty, EstablishedProperties, Preference, Property, PropertyError,
    PropertyValue, SelectionProperty, TransportProperties,
};
use crate::selection::{Support, support};
use crate::transport::About;

impl Connection {
    /// The properties as they are now. What was a preference tells whether the protocol or the path has the property,
    /// once the connection is established (RFC 9622 6.2); before that, it has none.
    #[doc(alias = "get_properties")]
    #[must_use]
    pub fn properties(&self) -> EstablishedProperties {
        self.inner.core().established_properties()
    }

    /// The properties that were asked for, with the changes since.
    #[must_use]
    pub fn transport_properties(&self) -> TransportProperties {
        self.inner.core().properties().clone()
    }

    /// Sets a property by its name. One that is shared by a group is set on all of its connections (RFC 9622 7.4).
    ///
    /// ```no_run
    /// # fn set(connection: &postroad_taps::Connection) -> Result<(), postroad_taps::PropertyError> {
    /// connection.set_property("connTimeout", 30)?;
    /// connection.set_property("connPriority", 0)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// There is no such property, it is a selection property or read-only, the value is not one of it, or the
    /// transport does not have it. Nothing has changed then, and the connection lives on.
    #[doc(alias = "connection_property")]
    #[doc(alias = "SetProperty")]
    pub fn set_property(&self, name: &str, value: impl Into<PropertyValue>) -> Result<(), PropertyError> {
        let mut properties = self.inner.core().established_properties();
        let property = properties.set(name, value)?;
        self.inner.take_over(properties.transport(), property)
    }

    /// Sets connection properties by their types, as [`set_property`](Self::set_property).
    ///
    /// # Errors
    /// The transport does not have one of them; nothing has changed then.
    pub fn set_connection_properties(
        &self,
        change: impl FnOnce(&mut ConnectionProperties),
    ) -> Result<(), PropertyError> {
        let mut properties = self.inner.core().properties().clone();
        let before = properties.connection.clone();
        change(&mut properties.connection);
        let differs = |property: &ConnectionProperty| before.get(*property) != properties.connection.get(*property);
        let changed: Vec<_> = ConnectionProperty::ALL.into_iter().filter(differs).collect();
        // One that the group shares stands for the others.
        let shared = changed.iter().find(|property| **property != ConnectionProperty::ConnPriority);
        let Some(changed) = shared.or_else(|| changed.first()) else { return Ok(()) };
        self.inner.take_over(&properties, (*changed).into())
    }
}

impl Inner {
    /// Brings the connection to these properties, of which `changed` is another than before, and its group after it.
    fn take_over(self: &Arc<Self>, properties: &TransportProperties, changed: Property) -> Result<(), PropertyError> {
        self.core().apply(properties).map_err(|error| refused(changed, &error))?;
        if !changed.is_entangled() {
            return Ok(());
        }
        for member in self.group().map(|group| group.connections()).unwrap_or_default() {
            if !Arc::ptr_eq(&member, self) {
                member.entangle(properties);
            }
        }
        Ok(())
    }

    /// Takes over what another connection of the group has been set to. All of them have the same transport, so what
    /// that one takes this one does.
    fn entangle(&self, with: &TransportProperties) {
        let mut core = self.core();
        let mut own = core.properties().clone();
        own.connection.entangle(&with.connection);
        let _ = core.apply(&own);
    }
}

/// Whether an established transport has a property; where its protocol may have it, whether it was switched on.
pub(super) fn has(about: &About, wanted: &TransportProperties, property: SelectionProperty) -> bool {
    let asked_for = wanted.preference(property) >= Preference::Prefer;
    match support(about.stack, property) {
        Support::Always => true,
        Support::Never => false,
        Support::Optional => match property {
            SelectionProperty::ZeroRttMsg => about.zero_rtt,
            SelectionProperty::KeepAlive => asked_for || wanted.connection.keep_alive_period().is_some(),
            // A datagram is covered in full unless somebody asked for less.
            SelectionProperty::FullChecksumSend | SelectionProperty::FullChecksumRecv => {
                wanted.preference(property) >= Preference::Ignore
            }
            _ => asked_for,
        },
    }
}

fn refused(property: Property, error: &io::Error) -> PropertyError {
    match error.kind() {
        io::ErrorKind::Unsupported => PropertyError::Unsupported { name: property.name() },
        kind => PropertyError::Refused { name: property.name(), kind },
    }
}
