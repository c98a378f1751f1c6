//! Setting and reading transport properties by name, or by a property that is not known when the program is written.

use super::TransportProperties;
use super::error::PropertyError;
use super::interface;
use super::kind::{self, Enumerated, Flag, Kind, Named};
use super::message::MessageProperty;
use super::multipath::Multipath;
use super::names::{Property, is_vendor};
use super::preference::Preference;
use super::selection::{Direction, SelectionProperty};
use super::value::PropertyValue;

impl TransportProperties {
    /// Sets the property of this name, in RFC 9622's words or the original's, compared without case.
    ///
    /// A name of a vendor's, such as `_unix.path`, is kept with its value for the transports that know it.
    ///
    /// # Errors
    /// There is no such property, it is read-only, or the value is not one of it. Nothing has changed then.
    #[doc(alias = "TransportProperties.Set")]
    pub fn set(&mut self, name: &str, value: impl Into<PropertyValue>) -> Result<&mut Self, PropertyError> {
        if is_vendor(name) {
            let value = value.into();
            match self.vendor.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some(known) => known.1 = value,
                None => self.vendor.push((name.to_owned(), value)),
            }
            return Ok(self);
        }
        self.set_property(name.parse::<Property>()?, value)
    }

    /// The value of the property of this name, as set or by default.
    ///
    /// A read-only property of a connection has none before there is a connection: it is `Not applicable`.
    ///
    /// # Errors
    /// There is no such property, or it is a vendor's that was not set.
    pub fn get(&self, name: &str) -> Result<PropertyValue, PropertyError> {
        if let Some((_, value)) = self.vendor.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Ok(value.clone());
        }
        Ok(self.property(name.parse::<Property>()?))
    }

    /// Adds a property, over its previous value.
    ///
    /// ```
    /// use postroad_taps::{ConnectionProperty, Preference, SelectionProperty, TransportProperties};
    ///
    /// let properties = TransportProperties::new()
    ///     .add(SelectionProperty::Reliability, Preference::Prefer)?
    ///     .add(ConnectionProperty::ConnPriority, 10)?;
    /// # Ok::<_, postroad_taps::PropertyError>(())
    /// ```
    ///
    /// # Errors
    /// The property is read-only, or the value is not one of it.
    pub fn add(
        mut self,
        property: impl Into<Property>,
        value: impl Into<PropertyValue>,
    ) -> Result<Self, PropertyError> {
        self.set_property(property, value)?;
        Ok(self)
    }

    /// Sets a property.
    ///
    /// # Errors
    /// The property is read-only, or the value is not one of it. Nothing has changed then.
    pub fn set_property(
        &mut self,
        property: impl Into<Property>,
        value: impl Into<PropertyValue>,
    ) -> Result<&mut Self, PropertyError> {
        let (property, value) = (property.into(), value.into());
        let wrong = |expected| PropertyError::value(property.name(), &value, expected);
        match property {
            Property::Selection(selection) => {
                let preference = preference(selection, &value).ok_or_else(|| wrong(Preference::EXPECTED))?;
                self.selection.set(selection, Some(preference));
            }
            Property::Interface => {
                self.selection.interfaces = interface::read(&value).ok_or_else(|| wrong(interface::EXPECTED))?;
            }
            Property::Pvd => {
                self.selection.pvds = interface::read(&value).ok_or_else(|| wrong(interface::EXPECTED))?;
            }
            Property::Multipath => {
                let multipath = multipath(&value).ok_or_else(|| wrong(Multipath::EXPECTED))?;
                self.selection.multipath = Some(multipath);
            }
            Property::AdvertisesAltaddr => {
                self.selection.advertises_altaddr = Flag::read(&value).ok_or_else(|| wrong(Flag::EXPECTED))?;
            }
            Property::Direction => {
                self.selection.direction =
                    Named::<Direction>::read(&value).ok_or_else(|| wrong(Direction::EXPECTED))?;
            }
            Property::Connection(property) => self.connection.set(property, value)?,
            Property::Message(property) => self.message.set(property, value)?,
        }
        Ok(self)
    }

    /// The value of a property, as set or by default; see [`get`](Self::get).
    #[must_use]
    pub fn property(&self, property: impl Into<Property>) -> PropertyValue {
        let at_first = |property| self.preference(property) >= Preference::Prefer;
        let value = match property.into() {
            Property::Selection(property) => Some(PropertyValue::Preference(self.preference(property))),
            Property::Interface => Some(interface::show(self.interfaces())),
            Property::Pvd => Some(interface::show(self.pvds())),
            Property::Multipath => Some(Named::show(self.multipath().unwrap_or(Multipath::Disabled))),
            Property::AdvertisesAltaddr => Some(self.advertises_altaddr().into()),
            Property::Direction => Some(Named::show(self.direction())),
            Property::Connection(property) => self.connection.get(property),
            // What the connection will have is not known yet; what was asked for is.
            Property::Message(property) => self.message.get(property).or_else(|| match property {
                MessageProperty::Ordered => Some(at_first(SelectionProperty::PreserveOrder).into()),
                MessageProperty::Reliable => Some(at_first(SelectionProperty::Reliability).into()),
                MessageProperty::CapacityProfile => Some(Named::show(self.connection.capacity_profile)),
                _ => None,
            }),
        };
        value.unwrap_or_else(|| PropertyValue::word("Not applicable"))
    }

    /// The value of a vendor's property, such as `_unix.path`, if it was set.
    #[must_use]
    pub fn vendor(&self, name: &str) -> Option<&PropertyValue> {
        self.vendor.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn preference(property: SelectionProperty, value: &PropertyValue) -> Option<Preference> {
    match value {
        PropertyValue::Preference(preference) => Some(*preference),
        // RFC 9622 6.2 reads true and false as Require and Prohibit.
        PropertyValue::Boolean(true) => Some(Preference::Require),
        PropertyValue::Boolean(false) => Some(Preference::Prohibit),
        _ => kind::enumerated(value).or_else(|| match value.text()? {
            text if property != SelectionProperty::UseTemporaryLocalAddress => flag(text),
            // The enumeration of the drafts.
            text if text.eq_ignore_ascii_case("temporary") => Some(Preference::Prefer),
            text if text.eq_ignore_ascii_case("stable") => Some(Preference::Avoid),
            text => flag(text),
        }),
    }
}

fn flag(text: &str) -> Option<Preference> {
    Flag::read(&text.into()).map(|yes| if yes { Preference::Require } else { Preference::Prohibit })
}

/// A word of RFC 9622's, or a preference of the drafts'.
fn multipath(value: &PropertyValue) -> Option<Multipath> {
    match value {
        PropertyValue::Preference(preference) => Some((*preference).into()),
        _ => kind::enumerated::<Multipath>(value).or_else(|| kind::enumerated::<Preference>(value).map(Into::into)),
    }
}

/// Values of the types that properties have.
macro_rules! values {
    ($($type:ty as $kind:ty;)*) => {$(
        impl From<$type> for PropertyValue {
            fn from(value: $type) -> Self {
                <$kind>::show(value)
            }
        }
    )*};
}

values! {
    Multipath as Named<Multipath>;
    Direction as Named<Direction>;
    super::Scheduler as Named<super::Scheduler>;
    super::MultipathPolicy as Named<super::MultipathPolicy>;
    super::CapacityProfile as Named<super::CapacityProfile>;
    super::ChecksumCoverage as kind::Coverage;
}

impl From<Preference> for PropertyValue {
    fn from(preference: Preference) -> Self {
        Self::Preference(preference)
    }
}
