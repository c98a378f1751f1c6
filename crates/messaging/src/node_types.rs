//! What was learned of names: whether they are queues or topics. It is believed for the `address_ttl`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use postroad_address::NodeType;

/// Names with their kinds, and when they were learned.
#[derive(Debug, Clone)]
pub(crate) struct NodeTypes {
    ttl: Duration,
    known: Arc<Mutex<HashMap<String, (NodeType, Instant)>>>,
}

/// So many names are remembered; then all are forgotten.
const MOST: usize = 1000;

impl NodeTypes {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, known: Arc::default() }
    }

    pub(crate) fn get(&self, name: &str, now: Instant) -> Option<NodeType> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (node_type, learned) = known.get(name)?;
        (now.saturating_duration_since(*learned) < self.ttl).then_some(*node_type)
    }

    pub(crate) fn put(&self, name: &str, node_type: NodeType, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST && !known.contains_key(name) {
            known.clear();
        }
        known.insert(name.to_owned(), (node_type, now));
    }

    pub(crate) fn forget(&self, name: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_believed_for_a_while() {
        let types = NodeTypes::new(Duration::from_secs(60));
        let now = Instant::now();
        types.put("a", NodeType::Topic, now);
        assert_eq!(types.get("a", now + Duration::from_secs(59)), Some(NodeType::Topic));
        assert_eq!(types.get("a", now + Duration::from_secs(60)), None);
        types.forget("a");
        assert_eq!(types.get("a", now), None);
        for number in 0..MOST {
            types.put(&number.to_string(), NodeType::Queue, now);
        }
        // What is known takes no more room.
        types.put("1", NodeType::Topic, now);
        assert_eq!(types.get("0", now), Some(NodeType::Queue));
        for number in 0..=MOST {
            types.put(&number.to_string(), NodeType::Queue, now);
        }
        assert_eq!(types.get("0", now), None);
        assert_eq!(types.get(&MOST.to_string(), now), Some(NodeType::Queue));
    }
}
