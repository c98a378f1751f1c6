//! What the owner of a broker says about single nodes.

use std::collections::HashMap;
use std::sync::Arc;

/// What a node does beyond keeping messages.
///
/// ```
/// use postroad_broker::{Broker, NodeOptions, Overflow};
/// let builder = Broker::builder().topic_with("prices", NodeOptions::default().overflow(Overflow::DropOldest));
/// # drop(builder);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NodeOptions {
    /// What a topic does when a subscription is full.
    pub overflow: Overflow,
}

/// What a topic does when a subscription is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Senders get no credit until there is room again, and what comes all the same is rejected: no subscriber
    /// misses a message, and the slowest sets the pace.
    #[default]
    HoldBack,
    /// The subscription drops its oldest messages: the slow subscriber misses them, and nobody waits for it.
    DropOldest,
}

impl NodeOptions {
    /// Sets what a topic does when a subscription is full.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }
}

/// The options of nodes by name, and of all others.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    pub(crate) others: Arc<NodeOptions>,
    pub(crate) named: HashMap<String, Arc<NodeOptions>>,
}

impl Policies {
    pub(crate) fn of(&self, name: &str) -> &Arc<NodeOptions> {
        self.named.get(name).unwrap_or(&self.others)
    }
}
