//! `x-declare`, read as the declaration of AMQP 0-10 that it stands for.

use crate::{
    options::{LinkOptions, NodeOptions},
    options_error::OptionsError,
    schema::{Place, Rules, check_at},
    value::{OptionKey, OptionMap},
};

/// The fields of AMQP 0-10's `queue.declare` and `exchange.declare` that an `x-declare` gives.
///
/// Keys may have dashes or underscores. Booleans may be words in quotes or numbers, as the originals take them.
///
/// ```
/// use postroad_address::{Address, Role};
///
/// let address = Address::parse("t; {node: {x-declare: {type: fanout, auto_delete: True, arguments: {'qpid.ttl': 5}}}}").unwrap();
/// let declaration = address.validate_for(Role::Sender)?.node.declaration()?;
/// assert_eq!((declaration.exchange_type.as_deref(), declaration.auto_delete), (Some("fanout"), Some(true)));
/// assert_eq!(declaration.arguments.get("qpid.ttl").and_then(|ttl| ttl.as_int()), Some(5));
/// # Ok::<(), postroad_address::OptionsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Declaration {
    /// `type`: which exchange to make, such as `direct`.
    pub exchange_type: Option<String>,
    /// `alternate-exchange`: where messages go that are rejected, or are left when the node goes.
    pub alternate_exchange: Option<String>,
    /// `passive`: whether the node is looked for and not made.
    pub passive: Option<bool>,
    /// `durable`: whether it outlives the broker process.
    pub durable: Option<bool>,
    /// `auto-delete`: whether it goes with its last user.
    pub auto_delete: Option<bool>,
    /// `exclusive`: whether nobody else may use it.
    pub exclusive: Option<bool>,
    /// `arguments`: what is the broker's own.
    pub arguments: OptionMap,
    /// All other keys, with dashes, and their values.
    pub others: OptionMap,
}

impl NodeOptions {
    /// Reads [`x_declare`](Self::x_declare).
    ///
    /// # Errors
    /// The values that do not fit their keys.
    pub fn declaration(&self) -> Result<Declaration, OptionsError> {
        read(&["node", "x-declare"], &self.x_declare)
    }
}

impl LinkOptions {
    /// Reads [`x_declare`](Self::x_declare).
    ///
    /// # Errors
    /// The values that do not fit their keys.
    pub fn declaration(&self) -> Result<Declaration, OptionsError> {
        read(&["link", "x-declare"], &self.x_declare)
    }
}

fn read(path: &[&'static str], x_declare: &OptionMap) -> Result<Declaration, OptionsError> {
    let dashed = x_declare.iter().map(|(key, value)| {
        let key = key.as_str().map_or_else(|| key.clone(), |key| OptionKey::from(key.replace('_', "-")));
        (key, value.clone())
    });
    check_at(path, &dashed.collect(), Rules::LENIENT, Declaration::read)
}

impl Declaration {
    fn read(place: &mut Place<'_, '_>) -> Self {
        Self {
            exchange_type: place.string("type"),
            alternate_exchange: place.string("alternate-exchange"),
            passive: place.boolean("passive"),
            durable: place.boolean("durable"),
            auto_delete: place.boolean("auto-delete"),
            exclusive: place.boolean("exclusive"),
            arguments: place.any_map("arguments"),
            others: place.others(),
        }
    }
}
