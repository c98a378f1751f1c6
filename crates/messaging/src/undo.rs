//! What is to be undone when a link closes: bindings that were made for it, nodes that go with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postroad_client as client;
use postroad_client::{Binding, NodeKind};

use crate::AddressError;

/// What is left to do when a link has closed.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    pub(crate) unbind: Vec<Binding>,
    /// The queue of a subscription.
    pub(crate) subscription: Option<String>,
    /// The node that the address says is to be deleted.
    pub(crate) delete: Option<(NodeKind, String)>,
}

/// What the links of a session leave to be done, by the order in which they were made. What a link that was dropped leaves is
/// done when its session closes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Undos(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
struct Left {
    next: u64,
    by_link: BTreeMap<u64, Undo>,
}

impl Undo {
    fn is_empty(&self) -> bool {
        self.unbind.is_empty() && self.subscription.is_none() && self.delete.is_none()
    }

    /// Does it. What is not there any more needs nothing; what fails does not keep the rest from being done.
    async fn run(self, management: &mut client::Management) -> Result<(), AddressError> {
        let mut results = Vec::new();
        for binding in &self.unbind {
            results.push(management.unbind(binding).await.map_err(AddressError::managing("unbind", &binding.queue)));
        }
        let subscription = self.subscription.map(|name| (NodeKind::Queue, name));
        for (kind, name) in subscription.into_iter().chain(self.delete) {
            let deleted = management.delete(kind, &name).await;
            results.push(deleted.map(drop).map_err(AddressError::managing("delete", &name)));
        }
        results.into_iter().collect()
    }
}

impl Undos {
    /// Notes what a link leaves, and answers with its number.
    pub(crate) fn add(&self, undo: Undo) -> Option<u64> {
        if undo.is_empty() {
            return None;
        }
        let mut left = self.lock();
        let number = left.next;
        left.next += 1;
        left.by_link.insert(number, undo);
        Some(number)
    }

    /// Does what a link leaves, once.
    pub(crate) async fn run(&self, number: Option<u64>, session: &client::Session) -> Result<(), AddressError> {
        if session.connection().is_detached() {
            // There is nobody to ask: it is left to the session.
            return Ok(());
        }
        let undo = number.and_then(|number| self.lock().by_link.remove(&number));
        run_all(undo, session).await
    }

    /// Does what all links leave, the last one's first.
    pub(crate) async fn run_rest(&self, session: &client::Session) -> Result<(), AddressError> {
        let undos = std::mem::take(&mut self.lock().by_link);
        run_all(undos.into_values().rev(), session).await
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().by_link.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run_all(undos: impl IntoIterator<Item = Undo>, session: &client::Session) -> Result<(), AddressError> {
    let mut undos = undos.into_iter().peekable();
    if undos.peek().is_none() {
        return Ok(());
    }
    let mut management = session.management().await.map_err(AddressError::managing("manage", ""))?;
    let mut result = Ok(());
    for undo in undos {
        result = result.and(undo.run(&mut management).await);
    }
    result
}
