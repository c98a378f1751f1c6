//! Subscriptions: queues of their own, behind links that receive from an exchange.

use std::sync::Arc;

use postroad_codec::v1_0::{ByteString, Map};

use crate::declaration::Owner;
use crate::filter::Filter;
use crate::mailbox::{Wake, wake_all};
use crate::node::{Hold, Node, Nodes};
use crate::node_error::{Fault, NodeError};

/// What two links must have in common to share a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    /// Within a container of a user, unless it is global.
    pub(crate) scope: Option<Owner>,
    pub(crate) name: ByteString,
}

/// Adds a subscription to an exchange that is held, bound by these keys and arguments and with these messages alone, or
/// finds the one that is shared. `None`: the exchange has just gone, perhaps with its last binding.
pub(crate) fn subscribe(
    exchange: Hold,
    nodes: &Arc<Nodes>,
    share: Option<Share>,
    bindings: &[(ByteString, Map)],
    filter: Option<Arc<Filter>>,
) -> Result<Option<Hold>, NodeError> {
    let mut state = exchange.node.lock();
    let name = &*exchange.node.name;
    if state.deleted {
        return Ok(None);
    }
    let Some(exchange_state) = state.exchange.as_deref_mut() else {
        return Err(NodeError::not_found(format!("no exchange {name:?}")));
    };
    let shared = exchange_state.subscriptions().filter(|(_, known)| share.is_some() && *known == share.as_ref());
    // One that is about to go with its last link takes no other.
    let found = shared.filter_map(|(queue, _)| Hold::new(Arc::clone(queue), nodes, false)).next();
    if let Some(hold) = found {
        let same_filters = exchange_state.is_bound_by(&hold.node, bindings);
        let same_selector = hold.node.lock().queue.admits_only(filter.as_deref());
        drop(state);
        let hold = hold.within(exchange);
        if !same_filters || !same_selector {
            let other = if same_filters { "another selector" } else { "other filters" };
            let text = format!("the subscription is shared by links with {other}");
            return Err(NodeError::new(Fault::Conflict, text));
        }
        return Ok(Some(hold));
    }
    if exchange_state.subscriptions().count() >= nodes.max_subscriptions() {
        let text = format!("exchange {name:?} has {} subscriptions", nodes.max_subscriptions());
        return Err(NodeError::new(Fault::Limit, text));
    }
    let queue = nodes.subscription(&exchange.node);
    let producer = {
        let mut state = queue.lock();
        state.queue.admit_only(filter);
        state.queue.add_producer(Wake::Exchange(Arc::downgrade(&exchange.node)))
    };
    let hold = Hold::new(Arc::clone(&queue), nodes, true).expect("nobody else knows it");
    exchange_state.add_subscription(Arc::clone(&queue), share, producer);
    for (key, arguments) in bindings {
        let bound = nodes.take_binding().and_then(|()| match exchange_state.bind(&queue, key, arguments) {
            Ok(true) => Ok(()),
            other => {
                nodes.give_bindings(1);
                other.map(|_| ())
            }
        });
        if let Err(error) = bound {
            nodes.give_bindings(exchange_state.remove(&queue));
            drop(state);
            nodes.reap(&exchange.node);
            return Err(error);
        }
    }
    drop(state);
    Ok(Some(hold.within(exchange)))
}

/// Removes a subscription that no link uses any more.
pub(crate) fn unsubscribe(exchange: &Arc<Node>, queue: &Arc<Node>, nodes: &Nodes) {
    let mut woken = Vec::new();
    let mut state = exchange.lock();
    let Some(exchange_state) = state.exchange.as_deref_mut().filter(|exchange| exchange.has(queue)) else { return };
    let bindings = {
        let mut gone = queue.lock();
        // Another link may have come to share it.
        if gone.links > 0 {
            return;
        }
        gone.deleted = true;
        gone.queue.clear();
        exchange_state.remove_subscription(queue, &gone)
    };
    // It may have been what held the senders back.
    state.queue.feed(&mut woken);
    drop(state);
    nodes.give_bindings(bindings);
    wake_all(&mut woken);
    nodes.reap(exchange);
}
