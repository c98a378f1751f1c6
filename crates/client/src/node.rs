//! The far end of a link: which node, on which terms.

use std::time::Duration;

use postroad_codec::v1_0::{
    AttachTarget, DistributionMode, Fields, FilterSet, Map, Multiple, NodeProperties, Outcome, Seconds, Source, Symbol,
    Target, TerminusDurability, TerminusExpiryPolicy, Value,
};

/// A node that messages come from or go to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// Its address; none for the anonymous relay and for a dynamic node.
    pub address: Option<String>,
    /// Whether the peer is to make a node and tell its address.
    pub dynamic: bool,
    /// Properties of a node that the peer makes.
    pub properties: Option<Fields>,
    /// Extensions asked of the node, such as `queue`, `topic`, `shared`.
    pub capabilities: Vec<String>,
    /// Filters by name, each with its descriptor and value.
    pub filters: Vec<(Symbol, Value)>,
    /// Whether receiving leaves messages for others.
    pub browse: bool,
    /// What of the terminus survives the connection.
    pub durable: bool,
    /// When the terminus expires.
    pub expiry: Option<Expiry>,
}

/// When a terminus expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// This long after its link is detached.
    LinkDetach(Duration),
    /// This long after its session has ended.
    SessionEnd(Duration),
    /// This long after its connection has closed.
    ConnectionClose(Duration),
    /// Never.
    Never,
}

/// How often a message may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Guarantee {
    /// Once or not at all: messages are settled as they are sent.
    AtMostOnce,
    /// Once or more: messages are settled when the receiver has processed them.
    #[default]
    AtLeastOnce,
}

/// The terms of a link.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LinkOptions {
    /// The link's name; a unique one when there is none.
    pub name: Option<String>,
    /// How often a message may arrive.
    pub guarantee: Guarantee,
    /// Messages that a receiver takes ahead; 0 fetches one by one.
    pub prefetch: u32,
    /// The largest message that a receiver takes, in bytes.
    pub max_message_size: u64,
    /// The address of our own end, where the peer cares.
    pub own_address: Option<String>,
    /// Properties of the link.
    pub properties: Option<Fields>,
    /// How long to wait for the peer to attach or detach.
    pub timeout: Duration,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            name: None,
            guarantee: Guarantee::default(),
            prefetch: 100,
            max_message_size: 100 * 1024 * 1024,
            own_address: None,
            properties: None,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Expiry {
    fn from_terminus(policy: &TerminusExpiryPolicy, timeout: Seconds) -> Option<Self> {
        let timeout = Duration::from_secs(timeout.0.into());
        match policy {
            policy if *policy == TerminusExpiryPolicy::LINK_DETACH => Some(Self::LinkDetach(timeout)),
            policy if *policy == TerminusExpiryPolicy::SESSION_END => Some(Self::SessionEnd(timeout)),
            policy if *policy == TerminusExpiryPolicy::CONNECTION_CLOSE => Some(Self::ConnectionClose(timeout)),
            policy if *policy == TerminusExpiryPolicy::NEVER => Some(Self::Never),
            _ => None,
        }
    }
}

impl Node {
    /// The node at an address.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..Self::default() }
    }

    /// A node that the peer makes.
    #[must_use]
    pub fn dynamic() -> Self {
        Self { dynamic: true, ..Self::default() }
    }

    /// The anonymous relay: each message says where it goes.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    pub(crate) fn source(&self) -> Source {
        let (expiry_policy, timeout) = self.expiry();
        let filters: Map = self.filters.iter().cloned().collect();
        Source {
            address: self.address.clone().map(Into::into),
            durable: self.durability(),
            expiry_policy,
            timeout,
            dynamic: self.dynamic,
            dynamic_node_properties: self.properties.clone().map(NodeProperties),
            distribution_mode: self.browse.then_some(DistributionMode::COPY),
            filter: (!filters.is_empty()).then_some(FilterSet(filters)),
            default_outcome: Some(Outcome::modified(true, false, None)),
            outcomes: OUTCOMES.iter().map(|name| Symbol::from_static(name)).collect(),
            capabilities: self.capability_symbols(),
        }
    }

    pub(crate) fn target(&self) -> AttachTarget {
        let (expiry_policy, timeout) = self.expiry();
        AttachTarget::Target(Target {
            address: self.address.clone().map(Into::into),
            durable: self.durability(),
            expiry_policy,
            timeout,
            dynamic: self.dynamic,
            dynamic_node_properties: self.properties.clone().map(NodeProperties),
            capabilities: self.capability_symbols(),
        })
    }

    pub(crate) fn from_source(source: &Source) -> Self {
        let filters = source.filter.iter().flat_map(|FilterSet(filters)| filters.0.iter());
        Self {
            address: source.address.as_ref().map(|address| address.to_string()),
            dynamic: source.dynamic,
            properties: source.dynamic_node_properties.as_ref().map(|properties| properties.0.clone()),
            capabilities: source.capabilities.iter().map(ToString::to_string).collect(),
            filters: filters
                .filter_map(|(name, filter)| Some((Symbol::new(name.as_str()?.to_owned())?, filter.clone())))
                .collect(),
            browse: source.distribution_mode == Some(DistributionMode::COPY),
            durable: source.durable != TerminusDurability::NONE,
            expiry: Expiry::from_terminus(&source.expiry_policy, source.timeout),
        }
    }

    pub(crate) fn from_target(target: &Target) -> Self {
        Self {
            address: target.address.as_ref().map(|address| address.to_string()),
            dynamic: target.dynamic,
            properties: target.dynamic_node_properties.as_ref().map(|properties| properties.0.clone()),
            capabilities: target.capabilities.iter().map(ToString::to_string).collect(),
            durable: target.durable != TerminusDurability::NONE,
            expiry: Expiry::from_terminus(&target.expiry_policy, target.timeout),
            ..Self::default()
        }
    }

    fn durability(&self) -> TerminusDurability {
        if self.durable { TerminusDurability::UNSETTLED_STATE } else { TerminusDurability::NONE }
    }

    fn expiry(&self) -> (TerminusExpiryPolicy, Seconds) {
        let seconds = |duration: Duration| Seconds(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX));
        match self.expiry {
            None => (TerminusExpiryPolicy::SESSION_END, Seconds(0)),
            Some(Expiry::LinkDetach(after)) => (TerminusExpiryPolicy::LINK_DETACH, seconds(after)),
            Some(Expiry::SessionEnd(after)) => (TerminusExpiryPolicy::SESSION_END, seconds(after)),
            Some(Expiry::ConnectionClose(after)) => (TerminusExpiryPolicy::CONNECTION_CLOSE, seconds(after)),
            Some(Expiry::Never) => (TerminusExpiryPolicy::NEVER, Seconds(0)),
        }
    }

    fn capability_symbols(&self) -> Multiple<Symbol> {
        self.capabilities.iter().filter_map(|name| Symbol::new(name.clone())).collect()
    }
}

/// The outcomes that our ends of links use.
pub(crate) const OUTCOMES: [&str; 4] =
    ["amqp:accepted:list", "amqp:rejected:list", "amqp:released:list", "amqp:modified:list"];

impl From<&str> for Node {
    fn from(address: &str) -> Self {
        Self::at(address)
    }
}
