//! Bindings: what leads messages from an exchange to a queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use postroad_codec::v1_0::Map;

use super::Nodes;
use crate::node::{Kind, Node};
use crate::node_error::{Fault, NodeError};

impl Nodes {
    /// Binds a queue to an exchange, and tells whether the binding is new.
    pub(crate) fn bind(&self, exchange: &str, queue: &str, key: &str, arguments: &Map) -> Result<bool, NodeError> {
        let (exchange, queue) = (self.exchange(exchange)?, self.queue(queue)?);
        self.take_binding()?;
        let bound = bind(&exchange, &queue, key, arguments);
        if !matches!(bound, Ok(true)) {
            self.give_bindings(1);
        }
        bound
    }

    /// Removes the bindings of a queue by a key, those with these arguments alone where some are given.
    pub(crate) fn unbind(
        &self,
        exchange: &str,
        queue: &str,
        key: &str,
        arguments: Option<&Map>,
    ) -> Result<(), NodeError> {
        let (exchange, queue) = (self.exchange(exchange)?, self.queue(queue)?);
        let mut state = exchange.lock();
        let Some(bindings) = state.exchange.as_deref_mut() else { return Ok(()) };
        let gone = bindings.unbind(&queue, key, arguments);
        if gone == 0 {
            let text = format!("queue {:?} is not bound to exchange {:?} by {key:?}", &*queue.name, &*exchange.name);
            return Err(NodeError::not_found(text));
        }
        if !bindings.has(&queue) {
            leave(&queue, &exchange);
        }
        drop(state);
        self.give_bindings(gone);
        self.reap(&exchange);
        Ok(())
    }

    /// Whether there is such a binding; whatever is left out may be anything.
    pub(crate) fn is_bound(
        &self,
        exchange: &str,
        queue: Option<&str>,
        key: Option<&str>,
        arguments: Option<&Map>,
    ) -> Result<bool, NodeError> {
        let exchange = self.exchange(exchange)?;
        let queue = queue.map(|queue| self.queue(queue)).transpose()?;
        let state = exchange.lock();
        Ok(state.exchange.as_deref().is_some_and(|bindings| bindings.is_bound(queue.as_ref(), key, arguments)))
    }

    /// Takes the place for a binding.
    pub(crate) fn take_binding(&self) -> Result<(), NodeError> {
        let max = self.limits.bindings;
        let more = |bindings: usize| (bindings < max).then_some(bindings + 1);
        match self.bindings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(_) => Err(NodeError::new(Fault::Limit, format!("the broker has {max} bindings and takes no more"))),
        }
    }

    pub(crate) fn give_bindings(&self, bindings: usize) {
        self.bindings.fetch_sub(bindings, Ordering::Relaxed);
    }

    fn exchange(&self, name: &str) -> Result<Arc<Node>, NodeError> {
        let found = self.find_kind(name, Kind::Exchange);
        found.ok_or_else(|| NodeError::not_found(format!("no exchange {name:?}")))
    }

    fn queue(&self, name: &str) -> Result<Arc<Node>, NodeError> {
        let found = self.find_kind(name, Kind::Queue);
        found.ok_or_else(|| NodeError::not_found(format!("no queue {name:?}")))
    }
}

fn bind(exchange: &Arc<Node>, queue: &Arc<Node>, key: &str, arguments: &Map) -> Result<bool, NodeError> {
    let deleted = |node: &Node| NodeError::new(Fault::Deleted, format!("node {:?} was deleted", &*node.name));
    let mut state = exchange.lock();
    if state.deleted {
        return Err(deleted(exchange));
    }
    let Some(bindings) = state.exchange.as_deref_mut() else { return Ok(false) };
    let had = bindings.has(queue);
    let mut bound = queue.lock();
    if bound.deleted {
        return Err(deleted(queue));
    }
    let fresh = bindings.bind(queue, key, arguments)?;
    if !had {
        bound.bound.push(Arc::downgrade(exchange));
    }
    Ok(fresh)
}

/// Has a queue forget an exchange that it is not bound to any more.
pub(super) fn leave(queue: &Node, exchange: &Arc<Node>) {
    let exchange = Arc::downgrade(exchange);
    queue.lock().bound.retain(|bound| !bound.ptr_eq(&exchange));
}
