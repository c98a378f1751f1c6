//! The links of a connection whose source is `$management`: answers go there whose reply-to is their target.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use postroad_codec::v1_0::ByteString;

use crate::budget::Lease;
use crate::declaration::Declared;
use crate::node::{Hold, Node, Nodes};
use crate::nodes::MANAGEMENT;
use crate::options::NodeOptions;
use crate::queue::QueueLimits;

/// Such links by their target address. Of two with one address the later one gets the answers.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    by_address: Mutex<HashMap<ByteString, Weak<Node>>>,
}

/// Answers that nobody reads are kept up to this.
const UNREAD: QueueLimits = QueueLimits { messages: 256, bytes: 1024 * 1024 };

impl Replies {
    /// Makes the queue of a link, which goes with it.
    pub(crate) fn add(&self, address: &str, nodes: &Arc<Nodes>) -> Hold {
        let lease = Lease::new(&nodes.budget);
        let options = Arc::new(NodeOptions::default());
        let node = Node::new(MANAGEMENT.into(), None, options, Declared::default(), UNREAD, Some(lease));
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        by_address.retain(|_, node| node.strong_count() > 0);
        by_address.insert(address.into(), Arc::downgrade(&node));
        drop(by_address);
        Hold::new(node, nodes, true).expect("nobody else knows it")
    }

    pub(super) fn find(&self, address: &str) -> Option<Arc<Node>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner).get(address)?.upgrade()
    }
}
