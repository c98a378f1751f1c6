//! What the owner of a broker says about single nodes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::queue::Rules;
use crate::settings::QueueSettings;

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
    /// Where messages go that are rejected, expire or fail too often. Without it they are dropped.
    pub dead_letter: Option<String>,
    /// After so many failed deliveries a message goes to no other consumer; 0 counts as 1. Without it there is no
    /// limit.
    pub max_deliveries: Option<u32>,
    /// How a queue keeps its messages, or each subscription of a topic.
    pub queue: QueueSettings,
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

impl NodeOptions {
    /// Sets the node to which messages go that are rejected, expire, or fail as often as
    /// [`max_deliveries`](Self::max_deliveries) says. It is made as a queue where there is none of the name.
    ///
    /// They get the annotations `x-opt-dead-letter-reason` (`rejected`, `expired`, `overflow` or `delivery-limit`) and
    /// `x-opt-dead-letter-source`, and for rejected ones with a reason `x-opt-dead-letter-condition` and
    /// `x-opt-dead-letter-description`. They expire no more. A message that would come back to where it died, or for
    /// which there is no room, is dropped.
    #[must_use]
    pub fn dead_letter(mut self, node: impl Into<String>) -> Self {
        self.dead_letter = Some(node.into());
        self
    }

    /// Sets how many deliveries may fail before a message goes to no other consumer. What its consumer releases does not
    /// count; what is not settled when its link ends does.
    #[must_use]
    pub fn max_deliveries(mut self, deliveries: u32) -> Self {
        self.max_deliveries = Some(deliveries);
        self
    }

    /// Sets how a queue keeps its messages, or each subscription of a topic. Settings that do not go together have no
    /// effect on each other; [`QueueSettings::validate`] tells.
    #[must_use]
    pub fn queue(mut self, settings: QueueSettings) -> Self {
        self.queue = settings;
        self
    }

    /// How these options apply to the messages of a node.
    pub(crate) fn rules(&self, name: &str) -> Rules {
        let keeps_dead = self.dead_letter.as_ref().is_some_and(|node| node != name);
        Rules { max_deliveries: self.max_deliveries.unwrap_or(u32::MAX).max(1), keeps_dead, keeps_rejected: keeps_dead }
    }
}

/// The options of nodes by name, and of all others.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    pub(crate) others: Arc<NodeOptions>,
    pub(crate) named: HashMap<String, Arc<NodeOptions>>,
}

impl Policies {
    /// The dead-letter nodes that they name.
    pub(crate) fn dead_letter_nodes(&self) -> impl Iterator<Item = &str> {
        let all = std::iter::once(&self.others).chain(self.named.values());
        all.filter_map(|options| options.dead_letter.as_deref())
    }

    pub(crate) fn of(&self, name: &str) -> &Arc<NodeOptions> {
        self.named.get(name).unwrap_or(&self.others)
    }
}
