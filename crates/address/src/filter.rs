//! `link.filter`: filters of a receiver by their descriptors.

use crate::{
    schema::Place,
    value::{OptionMap, OptionValue},
};

/// One filter that the source of a receiver asks for (AMQP 1.0 part 3, 3.5.8). From the C++ client's AMQP 1.0.
///
/// ```
/// use postroad_address::{Address, FilterDescriptor, Role};
///
/// let address = Address::parse("q; {link: {filter: {name: f, descriptor: 'apache.org:selector-filter:string', value: 'a = 1'}}}");
/// let options = address.unwrap().validate_for(Role::Receiver)?;
/// let symbol = "apache.org:selector-filter:string".to_owned();
/// assert_eq!(options.link.filters[0].descriptor, FilterDescriptor::Symbol(symbol));
/// # Ok::<(), postroad_address::OptionsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Its name in the filter set, in ASCII.
    pub name: String,
    /// What kind of filter it is.
    pub descriptor: FilterDescriptor,
    /// What it filters by.
    pub value: OptionValue,
}

/// Names a kind of filter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterDescriptor {
    /// By its number.
    Code(u64),
    /// By its symbol, in ASCII.
    Symbol(String),
}

impl Filter {
    /// Makes a filter.
    pub fn new(name: impl Into<String>, descriptor: FilterDescriptor, value: impl Into<OptionValue>) -> Self {
        Self { name: name.into(), descriptor, value: value.into() }
    }

    /// `None` after a fault.
    pub(crate) fn read(place: &mut Place<'_, '_>) -> Option<Self> {
        place.need(&["name", "descriptor", "value"]);
        let name = place.symbol("name");
        let descriptor = match place.integer("descriptor") {
            Some(code) => Some(FilterDescriptor::Code(code)),
            None => place.symbol("descriptor").map(FilterDescriptor::Symbol),
        };
        let value = place.any("value");
        Some(Self { name: name?, descriptor: descriptor?, value: value? })
    }

    pub(crate) fn to_map(&self) -> OptionMap {
        let mut map = OptionMap::new();
        map.insert("name", self.name.as_str());
        let descriptor = match &self.descriptor {
            // Past 63 bits a number is read from its digits.
            FilterDescriptor::Code(code) => i64::try_from(*code).map_or_else(|_| code.to_string().into(), Into::into),
            FilterDescriptor::Symbol(symbol) => OptionValue::from(symbol.as_str()),
        };
        map.insert("descriptor", descriptor);
        map.insert("value", self.value.clone());
        map
    }
}
