//! The nodes of a link, which are known beyond its end: what has come is handled behind it.

use std::sync::{Mutex, PoisonError};

use postroad_client::Node;

/// As both ends have told them last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    pub(crate) source: Option<Node>,
    pub(crate) target: Option<Node>,
    pub(crate) remote_source: Option<Node>,
    pub(crate) remote_target: Option<Node>,
}

#[derive(Debug, Default)]
pub(crate) struct Ends(Mutex<Option<Box<Nodes>>>);

impl Ends {
    /// Remembers those of a link that is attached.
    pub(crate) fn remember(&self, nodes: Nodes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(nodes));
    }

    /// What is remembered of one of them.
    pub(crate) fn get(&self, node: impl FnOnce(&Nodes) -> &Option<Node>) -> Option<Node> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.as_deref().and_then(|nodes| node(nodes).clone())
    }
}
