//! The options that the schema knows, as types.
//!
//! The schema is the Python client's, with what only the C++ client has: of the node `properties` and `capabilities`, of
//! the link `timeout`, `selector`, `filter`, `sender-source` and `receiver-target`.

use std::time::Duration;

use crate::{
    address::Dialect,
    filter::Filter,
    options_error::OptionsError,
    schema::{Place, Rules, check_at},
    value::{Float, OptionMap, OptionValue},
};

/// What the options of an address ask for; what they do not mention has its default.
///
/// [`Address::validate_for`](crate::Address::validate_for) makes one from the options of an address, and
/// [`Address::with_options`](crate::Address::with_options) writes one into an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Options {
    /// Who makes the node when there is none.
    pub create: Policy,
    /// Who deletes the node when the link closes.
    pub delete: Policy,
    /// Who checks that the node is as described here.
    pub assert: Policy,
    /// Whether a receiver takes messages away. A sender must not give it, but in the C++ dialect, where it means nothing there.
    /// `None` means [`Mode::Consume`].
    pub mode: Option<Mode>,
    /// What the node is, for creating and asserting.
    pub node: NodeOptions,
    /// What the link to it is like.
    pub link: LinkOptions,
}

/// Describes the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NodeOptions {
    /// What kind of node; a node of unknown kind is asked for, and made as a queue.
    #[doc(alias = "type")]
    pub node_type: Option<NodeType>,
    /// Whether it outlives the broker process.
    pub durable: Option<bool>,
    /// `x-declare`: what the protocol's own declaration takes, unchecked.
    #[doc(alias = "x-declare")]
    pub x_declare: OptionMap,
    /// `x-bindings`: bindings to make along with the node.
    #[doc(alias = "x-bindings")]
    pub x_bindings: Vec<Binding>,
    /// `properties`: node properties as AMQP 1.0 has them, unchecked. From the C++ client.
    pub properties: OptionMap,
    /// `capabilities`: what the node must be able to do. From the C++ client.
    pub capabilities: Vec<String>,
}

/// Describes the link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkOptions {
    /// The name of the link, and of its subscription queue where it has one.
    pub name: Option<String>,
    /// Whether the subscription outlives the connection.
    pub durable: Option<bool>,
    /// What is promised about each message; the default depends on the kind of node.
    pub reliability: Option<Reliability>,
    /// How long a subscription lasts after its link is gone: `timeout`, in seconds, a fraction allowed. From the C++ client.
    pub timeout: Option<Duration>,
    /// A filter expression over properties (`selector`). From the C++ client.
    pub selector: Option<String>,
    /// `filter`: one filter or a list of them. From the C++ client.
    #[doc(alias = "filter")]
    pub filters: Vec<Filter>,
    /// `sender-source`: the address of the source that a sender tells. From the C++ client.
    #[doc(alias = "sender-source")]
    pub source: Option<String>,
    /// `receiver-target`: the address of the target that a receiver tells. From the C++ client.
    #[doc(alias = "receiver-target")]
    pub target: Option<String>,
    /// `x-declare`: what the protocol's own declaration of the subscription queue takes, unchecked.
    #[doc(alias = "x-declare")]
    pub x_declare: OptionMap,
    /// `x-bindings`: bindings to make along with the link.
    #[doc(alias = "x-bindings")]
    pub x_bindings: Vec<Binding>,
    /// `x-subscribe`: what the protocol's own subscription takes, unchecked.
    #[doc(alias = "x-subscribe")]
    pub x_subscribe: OptionMap,
}

/// One entry of `x-bindings`; what it leaves out is taken from the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Binding {
    /// The exchange to bind to.
    pub exchange: Option<String>,
    /// The queue to bind.
    pub queue: Option<String>,
    /// The binding key.
    pub key: Option<String>,
    /// Arguments of the binding, unchecked.
    pub arguments: OptionMap,
}

/// The end of a link that an address is used at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The address is a target.
    Sender,
    /// The address is a source.
    Receiver,
}

/// Declares an enum whose variants each have one spelling in an address.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            pub(crate) const WORDS: &'static [&'static str] = &[$($word),+];

            /// Returns the spelling in an address.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Says which ends of a link carry out an action.
    #[derive(Default)]
    pub enum Policy {
        /// Either end.
        Always = "always",
        /// Only a sender.
        Sender = "sender",
        /// Only a receiver.
        Receiver = "receiver",
        /// Neither end.
        #[default]
        Never = "never",
    }
}

words! {
    /// Says what a receiver does to the messages it gets.
    pub enum Mode {
        /// Looks at them and leaves them.
        Browse = "browse",
        /// Takes them.
        Consume = "consume",
    }
}

words! {
    /// Says what kind of node is meant.
    pub enum NodeType {
        /// Keeps each message for one receiver.
        Queue = "queue",
        /// Gives each message to every subscriber.
        Topic = "topic",
    }
}

words! {
    /// Says what is promised about each message.
    pub enum Reliability {
        /// Nothing: messages may get lost.
        Unreliable = "unreliable",
        /// No message comes twice.
        AtMostOnce = "at-most-once",
        /// No message gets lost.
        AtLeastOnce = "at-least-once",
        /// No message gets lost and none comes twice.
        ExactlyOnce = "exactly-once",
    }
}

pub(crate) use words;

impl Policy {
    /// Tells whether this end carries out the action.
    ///
    /// ```
    /// use postroad_address::{Policy, Role};
    ///
    /// assert!(Policy::Always.applies_to(Role::Receiver));
    /// assert!(!Policy::Sender.applies_to(Role::Receiver));
    /// ```
    pub const fn applies_to(self, role: Role) -> bool {
        match self {
            Self::Always => true,
            Self::Sender => matches!(role, Role::Sender),
            Self::Receiver => matches!(role, Role::Receiver),
            Self::Never => false,
        }
    }
}

impl Options {
    /// Reads options for one end of a link.
    ///
    /// # Errors
    /// Every option that the schema does not have or whose value does not fit, in the original's order.
    pub fn from_map(map: &OptionMap, role: Role) -> Result<Self, OptionsError> {
        Self::from_map_with(Dialect::Python, map, role)
    }

    /// Reads options by the rules of a dialect. The C++ client lets a sender have a `mode`, and takes a number where a text is
    /// wanted and a number or the quoted word where a boolean is.
    ///
    /// # Errors
    /// As [`from_map`](Self::from_map), in the same words; the original of [`Dialect::Cpp`] tells the first unknown key and
    /// drops most values that do not fit.
    pub fn from_map_with(dialect: Dialect, map: &OptionMap, role: Role) -> Result<Self, OptionsError> {
        check_at(&[], map, Rules::of(dialect, role), Self::read)
    }

    /// Writes the options that differ from the defaults.
    pub fn to_map(&self) -> OptionMap {
        let mut map = OptionMap::new();
        for (key, policy) in [("create", self.create), ("delete", self.delete), ("assert", self.assert)] {
            put(&mut map, key, (policy != Policy::Never).then(|| policy.as_str().into()));
        }
        put(&mut map, "mode", self.mode.map(|mode| mode.as_str().into()));
        put_map(&mut map, "node", self.node.to_map());
        put_map(&mut map, "link", self.link.to_map());
        map
    }

    /// The order of the calls is the order of the errors.
    fn read(place: &mut Place<'_, '_>) -> Self {
        let policy = |word: Option<&str>| word.and_then(Policy::from_word).unwrap_or_default();
        Self {
            create: policy(place.word("create", Policy::WORDS)),
            delete: policy(place.word("delete", Policy::WORDS)),
            assert: policy(place.word("assert", Policy::WORDS)),
            node: place.record("node", NodeOptions::read),
            link: place.record("link", LinkOptions::read),
            mode: place.mode("mode", Mode::WORDS).and_then(Mode::from_word),
        }
    }
}

impl NodeOptions {
    fn read(place: &mut Place<'_, '_>) -> Self {
        Self {
            node_type: place.word("type", NodeType::WORDS).and_then(NodeType::from_word),
            durable: place.boolean("durable"),
            x_declare: place.any_map("x-declare"),
            x_bindings: place.records("x-bindings", Binding::read),
            properties: place.any_map("properties"),
            capabilities: place.strings("capabilities"),
        }
    }

    fn to_map(&self) -> OptionMap {
        let mut map = OptionMap::new();
        put(&mut map, "type", self.node_type.map(|node_type| node_type.as_str().into()));
        put(&mut map, "durable", self.durable.map(Into::into));
        put_map(&mut map, "x-declare", self.x_declare.clone());
        put_bindings(&mut map, &self.x_bindings);
        put_map(&mut map, "properties", self.properties.clone());
        let capabilities = || self.capabilities.iter().map(|name| name.as_str().into()).collect::<Vec<OptionValue>>();
        put(&mut map, "capabilities", (!self.capabilities.is_empty()).then(|| capabilities().into()));
        map
    }
}

impl LinkOptions {
    fn read(place: &mut Place<'_, '_>) -> Self {
        Self {
            name: place.string("name"),
            durable: place.boolean("durable"),
            reliability: place.word("reliability", Reliability::WORDS).and_then(Reliability::from_word),
            x_declare: place.any_map("x-declare"),
            x_bindings: place.records("x-bindings", Binding::read),
            x_subscribe: place.any_map("x-subscribe"),
            timeout: place.seconds("timeout"),
            selector: place.string("selector"),
            filters: place.record_or_records("filter", Filter::read).into_iter().flatten().collect(),
            source: place.string("sender-source"),
            target: place.string("receiver-target"),
        }
    }

    fn to_map(&self) -> OptionMap {
        let mut map = OptionMap::new();
        put(&mut map, "name", self.name.as_deref().map(Into::into));
        put(&mut map, "durable", self.durable.map(Into::into));
        put(&mut map, "reliability", self.reliability.map(|reliability| reliability.as_str().into()));
        put(&mut map, "timeout", self.timeout.and_then(seconds));
        put(&mut map, "selector", self.selector.as_deref().map(Into::into));
        let filters = || self.filters.iter().map(|filter| filter.to_map().into()).collect::<Vec<OptionValue>>();
        put(&mut map, "filter", (!self.filters.is_empty()).then(|| filters().into()));
        put(&mut map, "sender-source", self.source.as_deref().map(Into::into));
        put(&mut map, "receiver-target", self.target.as_deref().map(Into::into));
        put_map(&mut map, "x-declare", self.x_declare.clone());
        put_bindings(&mut map, &self.x_bindings);
        put_map(&mut map, "x-subscribe", self.x_subscribe.clone());
        map
    }
}

impl Binding {
    fn read(place: &mut Place<'_, '_>) -> Self {
        Self {
            exchange: place.string("exchange"),
            queue: place.string("queue"),
            key: place.string("key"),
            arguments: place.any_map("arguments"),
        }
    }

    fn to_map(&self) -> OptionMap {
        let mut map = OptionMap::new();
        put(&mut map, "exchange", self.exchange.as_deref().map(Into::into));
        put(&mut map, "queue", self.queue.as_deref().map(Into::into));
        put(&mut map, "key", self.key.as_deref().map(Into::into));
        put_map(&mut map, "arguments", self.arguments.clone());
        map
    }
}

fn put(map: &mut OptionMap, key: &str, value: Option<OptionValue>) {
    if let Some(value) = value {
        map.insert(key, value);
    }
}

fn put_map(map: &mut OptionMap, key: &str, value: OptionMap) {
    put(map, key, (!value.is_empty()).then(|| value.into()));
}

fn put_bindings(map: &mut OptionMap, bindings: &[Binding]) {
    let list = || bindings.iter().map(|binding| binding.to_map().into()).collect::<Vec<OptionValue>>();
    put(map, "x-bindings", (!bindings.is_empty()).then(|| list().into()));
}

/// Whole seconds as a whole number, as the C++ client wants them; a fraction keeps what a float holds.
fn seconds(duration: Duration) -> Option<OptionValue> {
    match i64::try_from(duration.as_secs()) {
        Ok(whole) if duration.subsec_nanos() == 0 => Some(whole.into()),
        _ => Float::new(duration.as_secs_f64()).map(Into::into),
    }
}
