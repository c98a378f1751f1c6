//! What a queue does with its messages beyond keeping them in order.

use std::time::Duration;

use postroad_codec::v1_0::Value;

use crate::node_error::{Fault, NodeError};
use crate::queue::QueueLimits;

mod arguments;

/// How a queue keeps messages.
///
/// Clients that make a queue say the same by the arguments of the C++ broker; each field names its own.
///
/// ```
/// use postroad_broker::{Broker, LimitPolicy, NodeOptions, QueueSettings};
/// let latest = QueueSettings::default().max_messages(100).limit_policy(LimitPolicy::Ring);
/// let builder = Broker::builder().queue_with("quotes", NodeOptions::default().queue(latest));
/// # drop(builder);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueueSettings {
    /// The most messages that it holds, those included that consumers have and have not settled; no more than the broker
    /// allows for any queue. `qpid.max_count`, where 0 is as without.
    pub max_messages: Option<u64>,
    /// As [`max_messages`](Self::max_messages), in bytes. `qpid.max_size`.
    pub max_bytes: Option<u64>,
    /// What happens when it is full. `qpid.policy_type`.
    pub limit_policy: LimitPolicy,
    /// Senders get no credit once there are more messages than this, until there are fewer than
    /// [`flow_resume_messages`](Self::flow_resume_messages). `qpid.flow_stop_count`.
    pub flow_stop_messages: Option<u64>,
    /// Senders get credit again when there are fewer messages than this; without it as many as
    /// [`flow_stop_messages`](Self::flow_stop_messages). `qpid.flow_resume_count`.
    pub flow_resume_messages: Option<u64>,
    /// As [`flow_stop_messages`](Self::flow_stop_messages), in bytes. `qpid.flow_stop_size`.
    pub flow_stop_bytes: Option<u64>,
    /// As [`flow_resume_messages`](Self::flow_resume_messages), in bytes. `qpid.flow_resume_size`.
    pub flow_resume_bytes: Option<u64>,
    /// Levels of priority: messages of a higher one go first. Up to 10 levels are told apart; 0 and 1 are none.
    /// `qpid.priorities`.
    pub priorities: u64,
    /// The application property by which messages replace each other: of those that wait, only the last with each value is
    /// kept, behind the others. Those without the property have one value in common. `qpid.subject` is the subject. A queue
    /// that is full takes what replaces another, so that it never holds senders back. `qpid.last_value_queue_key`.
    pub last_value_key: Option<String>,
    /// Messages get an annotation of this name with their number in the queue, from 1 on. `qpid.queue_msg_sequence`.
    pub sequence_key: Option<String>,
    /// How long messages may be in the queue; those that say less expire sooner. `qpid.ttl`, in milliseconds.
    pub ttl: Option<Duration>,
    /// Whether links only look at messages, and take none. `qpid.browse-only`.
    pub browse_only: bool,
    /// A selector: messages of which it is not true are accepted, and gone. `qpid.filter`.
    pub filter: Option<String>,
    /// Whether messages of the owner of an exclusive queue are accepted, and gone. `no-local`.
    pub no_local: bool,
    /// How long the queue outlives what kept it. `qpid.auto_delete_timeout`, in seconds.
    pub auto_delete_timeout: Option<Duration>,
    /// Thresholds of alerts, which are told back and have no effect.
    alerts: Vec<(&'static str, u64)>,
}

/// What happens when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LimitPolicy {
    /// Senders get no credit until there is room again, and what comes all the same is rejected.
    #[default]
    HoldBack,
    /// Senders do not wait: what does not fit is rejected. `reject`.
    Reject,
    /// The oldest messages that wait make room, those of a lower priority first, and go to the dead-letter node where there
    /// is one. A message that only higher ones could make room for is dropped itself, as is one when consumers hold all the
    /// others. `ring`.
    Ring,
}

/// Why settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The value is not what the argument needs.
    #[error("{key} is {wanted}")]
    Value {
        /// The argument.
        key: String,
        /// What it is to be.
        wanted: String,
    },
    /// The C++ broker has it, and this one has not. Leave it out.
    #[error("{key} is not implemented: {hint}")]
    Missing {
        /// The argument.
        key: String,
        /// What can be asked for in its place.
        hint: String,
    },
    /// It does not go together with others.
    #[error("{key}: {reason}")]
    Apart {
        /// The argument.
        key: String,
        /// Why not.
        reason: String,
    },
}

impl From<SettingsError> for NodeError {
    fn from(error: SettingsError) -> Self {
        let fault = match error {
            SettingsError::Value { .. } | SettingsError::Apart { .. } => Fault::Invalid,
            SettingsError::Missing { .. } => Fault::NotImplemented,
        };
        Self::new(fault, error.to_string())
    }
}

impl QueueSettings {
    /// Sets the most messages that the queue holds.
    #[must_use]
    pub fn max_messages(mut self, messages: u64) -> Self {
        self.max_messages = Some(messages);
        self
    }

    /// Sets the most bytes that the queue holds.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets what happens when the queue is full.
    #[must_use]
    pub fn limit_policy(mut self, policy: LimitPolicy) -> Self {
        self.limit_policy = policy;
        self
    }

    /// Sets from how many messages on senders get no credit, and below how many they get it again.
    #[must_use]
    pub fn flow_messages(mut self, stop: u64, resume: u64) -> Self {
        (self.flow_stop_messages, self.flow_resume_messages) = (Some(stop), Some(resume));
        self
    }

    /// As [`flow_messages`](Self::flow_messages), in bytes.
    #[must_use]
    pub fn flow_bytes(mut self, stop: u64, resume: u64) -> Self {
        (self.flow_stop_bytes, self.flow_resume_bytes) = (Some(stop), Some(resume));
        self
    }

    /// Sets how many levels of priority there are, 10 at most.
    #[must_use]
    pub fn priorities(mut self, levels: u64) -> Self {
        self.priorities = levels;
        self
    }

    /// Sets the property by which messages replace each other.
    #[must_use]
    pub fn last_value_key(mut self, property: impl Into<String>) -> Self {
        self.last_value_key = Some(property.into());
        self
    }

    /// Sets the annotation by which messages are numbered.
    #[must_use]
    pub fn sequence_key(mut self, annotation: impl Into<String>) -> Self {
        self.sequence_key = Some(annotation.into());
        self
    }

    /// Sets how long messages may be in the queue.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets whether links only look at messages.
    #[must_use]
    pub fn browse_only(mut self, browse_only: bool) -> Self {
        self.browse_only = browse_only;
        self
    }

    /// Sets whether messages of the owner of an exclusive queue are accepted, and gone.
    #[must_use]
    pub fn no_local(mut self, no_local: bool) -> Self {
        self.no_local = no_local;
        self
    }

    /// The settings within what the broker allows, and how much the queue takes.
    pub(crate) fn within(mut self, limits: QueueLimits) -> (Self, QueueLimits) {
        let least = |asked: &mut Option<u64>, limit: usize| {
            let Some(asked) = asked else { return limit };
            *asked = (*asked).min(limit as u64);
            usize::try_from(*asked).unwrap_or(limit)
        };
        let messages = least(&mut self.max_messages, limits.messages);
        let bytes = least(&mut self.max_bytes, limits.bytes);
        (self, QueueLimits { messages, bytes })
    }

    /// Sets an argument as clients give it. `false`: there is none of this name. [`validate`](Self::validate) after the
    /// last one.
    ///
    /// # Errors
    /// When its value has the wrong type, or asks for what is not there. The error names the argument.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<bool, SettingsError> {
        arguments::set(self, key, value)
    }

    /// The value of an argument that is in force; `None` where nothing is, or there is no argument of this name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        arguments::get(self, key)
    }

    /// All arguments that are in force, each by its own name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Value)> {
        arguments::names().filter_map(|key| Some((key, self.get(key)?)))
    }

    /// Whether the settings go together.
    ///
    /// # Errors
    /// [`SettingsError::Apart`], naming one of those that do not.
    pub fn validate(&self) -> Result<(), SettingsError> {
        arguments::validate(self)
    }
}
