//! The settings of a queue that are named by keys, as clients of Apache Qpid give them.

use postroad_codec::v1_0::Value;

use crate::node_error::NodeError;
use crate::queue::QueueLimits;

/// What was asked for a queue beyond what all nodes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    max_count: Option<u64>,
    max_size: Option<u64>,
}

const MAX_COUNT: &str = "qpid.max_count";
const MAX_SIZE: &str = "qpid.max_size";

impl Settings {
    /// Sets one of them; `false`: it is not known.
    pub(crate) fn set(&mut self, key: &str, value: &Value) -> Result<bool, NodeError> {
        match key {
            MAX_COUNT => self.max_count = Some(count(key, value)?),
            MAX_SIZE => self.max_size = Some(count(key, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is in force under a key.
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        match key {
            MAX_COUNT => self.max_count.map(Value::Ulong),
            MAX_SIZE => self.max_size.map(Value::Ulong),
            _ => None,
        }
    }

    /// All that is in force.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, Value)> {
        [MAX_COUNT, MAX_SIZE].into_iter().filter_map(|key| Some((key, self.get(key)?)))
    }

    /// The settings within the limits of the broker, and the limits of the queue.
    pub(crate) fn within(mut self, limits: QueueLimits) -> (Self, QueueLimits) {
        let least = |asked: &mut Option<u64>, limit: usize| {
            let Some(asked) = asked else { return limit };
            *asked = (*asked).min(limit as u64);
            usize::try_from(*asked).unwrap_or(limit)
        };
        let messages = least(&mut self.max_count, limits.messages);
        let bytes = least(&mut self.max_size, limits.bytes);
        (self, QueueLimits { messages, bytes })
    }
}

fn count(key: &str, value: &Value) -> Result<u64, NodeError> {
    let number = match value {
        Value::Ulong(number) => Some(*number),
        value => value.as_i64().and_then(|number| u64::try_from(number).ok()),
    };
    number.ok_or_else(|| NodeError::invalid(format!("{key}: a number is due that is not negative")))
}
