//! Sources and targets (AMQP 1.0 part 3, 3.5).

use bytestring::ByteString;

use super::{Decode, DecodeError, Encode, Fields, Map, Multiple, Outcome, Reader, Seconds, Symbol, Typed};

composite! {
    /// Where the messages of a link come from (3.5.3).
    pub struct Source = "source", "amqp:source:list", 0x28;
    /// The address of the node.
    address: Option<Address> => "address" optional;
    /// What of the terminus survives.
    durable: TerminusDurability => "durable" default(TerminusDurability::NONE, "none");
    /// When the expiry timer starts.
    expiry_policy: TerminusExpiryPolicy => "expiry-policy" default(TerminusExpiryPolicy::SESSION_END, "session-end");
    /// How long the terminus lives after that.
    timeout: Seconds => "timeout" default(Seconds(0), "0");
    /// Asks for a node to be created.
    dynamic: bool => "dynamic" default(false, "false");
    /// Properties of that node.
    dynamic_node_properties: Option<NodeProperties> => "dynamic-node-properties" optional;
    /// Whether receiving takes messages from the node.
    distribution_mode: Option<DistributionMode> => "distribution-mode" optional;
    /// Predicates that messages must satisfy.
    filter: Option<FilterSet> => "filter" optional;
    /// The outcome of deliveries that end without one.
    default_outcome: Option<Outcome> => "default-outcome" optional;
    /// Descriptors of the outcomes that may be used.
    outcomes: Multiple<Symbol> => "outcomes" multiple;
    /// Extensions that the node supports or is asked for.
    capabilities: Multiple<Symbol> => "capabilities" multiple;
}
composite! {
    /// Where the messages of a link go (3.5.4).
    pub struct Target = "target", "amqp:target:list", 0x29;
    /// The address of the node.
    address: Option<Address> => "address" optional;
    /// What of the terminus survives.
    durable: TerminusDurability => "durable" default(TerminusDurability::NONE, "none");
    /// When the expiry timer starts.
    expiry_policy: TerminusExpiryPolicy => "expiry-policy" default(TerminusExpiryPolicy::SESSION_END, "session-end");
    /// How long the terminus lives after that.
    timeout: Seconds => "timeout" default(Seconds(0), "0");
    /// Asks for a node to be created.
    dynamic: bool => "dynamic" default(false, "false");
    /// Properties of that node.
    dynamic_node_properties: Option<NodeProperties> => "dynamic-node-properties" optional;
    /// Extensions that the node supports or is asked for.
    capabilities: Multiple<Symbol> => "capabilities" multiple;
}

impl Typed for Source {
    const TYPE: &'static str = "*";
    const REQUIRES: Option<&'static str> = Some("source");
}

impl Source {
    /// A source with an address and nothing else.
    #[must_use]
    pub fn at(address: impl Into<ByteString>) -> Self {
        Self { address: Some(Address(address.into())), ..Self::default() }
    }
}

impl Target {
    /// A target with an address and nothing else.
    #[must_use]
    pub fn at(address: impl Into<ByteString>) -> Self {
        Self { address: Some(Address(address.into())), ..Self::default() }
    }
}

/// The address of a node (part 3, 3.2.4): the standard defines strings only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Address(pub ByteString);

impl Address {
    pub(crate) const SCHEMA: &'static super::schema::Restricted =
        &super::schema::Restricted { name: "address-string", source: "string", descriptor: None, choices: &[] };
}

impl std::ops::Deref for Address {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Into<ByteString>> From<T> for Address {
    fn from(address: T) -> Self {
        Self(address.into())
    }
}

impl Encode for Address {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
}

impl Decode for Address {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        ByteString::decode_as(code, reader).map(Self)
    }
}

impl Typed for Address {
    const TYPE: &'static str = "*";
    const REQUIRES: Option<&'static str> = Some("address");
}

open_enum! {
    /// What of a terminus survives the loss of its container (3.5.5).
    pub numeric TerminusDurability(u32) = "terminus-durability", "uint" {
        /// Nothing.
        NONE = "none", 0;
        /// Its existence and configuration.
        CONFIGURATION = "configuration", 1;
        /// Its unsettled deliveries too.
        UNSETTLED_STATE = "unsettled-state", 2;
    }
}

open_enum! {
    /// When the expiry timer of a terminus starts (3.5.6).
    pub symbolic TerminusExpiryPolicy = "terminus-expiry-policy" {
        /// When the link is detached.
        LINK_DETACH = "link-detach", "link-detach";
        /// When its last session has ended.
        SESSION_END = "session-end", "session-end";
        /// When its last connection has closed.
        CONNECTION_CLOSE = "connection-close", "connection-close";
        /// Never.
        NEVER = "never", "never";
    }
}

open_enum! {
    /// Whether a link takes messages from the node or reads them (3.5.7).
    pub symbolic DistributionMode = "std-dist-mode", type "symbol" requires "distribution-mode" {
        /// Receiving takes the message.
        MOVE = "move", "move";
        /// Receiving leaves the message for others.
        COPY = "copy", "copy";
    }
}

restricted! {
    /// Filters by name (3.5.8); each value is a described type.
    pub struct FilterSet(Map) = "filter-set", "map";
}
restricted! {
    /// Properties of a node that is created on demand (3.5.9).
    pub struct NodeProperties(Fields) = "node-properties", "fields";
}

composite! {
    /// The node lives as long as the link that created it (3.5.10).
    pub struct DeleteOnClose = "delete-on-close", "amqp:delete-on-close:list", 0x2b;
}
composite! {
    /// The node lives as long as any link to or from it (3.5.11).
    pub struct DeleteOnNoLinks = "delete-on-no-links", "amqp:delete-on-no-links:list", 0x2c;
}
composite! {
    /// The node lives until the link that created it is gone and it is empty (3.5.12).
    pub struct DeleteOnNoMessages = "delete-on-no-messages", "amqp:delete-on-no-messages:list", 0x2d;
}
composite! {
    /// The node lives until no link to or from it is left and it is empty (3.5.13).
    pub struct DeleteOnNoLinksOrMessages =
        "delete-on-no-links-or-messages", "amqp:delete-on-no-links-or-messages:list", 0x2e;
}
