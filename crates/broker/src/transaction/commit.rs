//! The commit of what was posted in a transaction.
//!
//! Locks are taken in one order by everybody who holds several: those of exchanges first, then those of queues, each in
//! the order of their places in memory, and those of subscriptions last.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use postroad_codec::v1_0::Error;

use super::batch::Batch;
use crate::exchange::{Aftermath, Transit};
use crate::mailbox::Wake;
use crate::message::Held;
use crate::node::{Kind, Node, NodeState};

/// Enqueues what was posted, or nothing of it; batches come in the order of their nodes. Answers what is left to do, node by
/// node, when all locks are given back.
pub(super) fn commit(
    batches: Vec<Batch>,
    now: Instant,
    woken: &mut Vec<Wake>,
) -> Result<Vec<(Batch, Aftermath)>, Error> {
    let (mut through, mut into): (Vec<Batch>, Vec<Batch>) =
        batches.into_iter().partition(|batch| batch.node().kind == Kind::Exchange);
    // Whoever deletes a queue from here on deletes what is committed now.
    into.iter().try_for_each(|batch| batch.check(&batch.node().lock()))?;

    let exchanges: Vec<Arc<Node>> = through.iter().map(|batch| Arc::clone(batch.node())).collect();
    let mut states: Vec<MutexGuard<'_, NodeState>> = exchanges.iter().map(|node| node.lock()).collect();
    let mut transits: Vec<Transit> = Vec::new();
    for (index, batch) in through.iter_mut().enumerate() {
        match batch.send_through(&mut states[index], now, woken) {
            Ok(transit) => transits.push(transit),
            Err(error) => {
                for (transit, state) in transits.into_iter().zip(&mut states) {
                    transit.abandon(state, woken);
                }
                return Err(error);
            }
        }
    }
    // Nothing can fail any more.
    let mut queues: BTreeMap<usize, (Arc<Node>, Vec<Held>)> = BTreeMap::new();
    let mut add = |queue: &Arc<Node>, mut messages: Vec<Held>| {
        let entry = queues.entry(Arc::as_ptr(queue) as usize);
        entry.or_insert_with(|| (Arc::clone(queue), Vec::new())).1.append(&mut messages);
    };
    for batch in &mut into {
        let messages = batch.take();
        add(batch.node(), messages);
    }
    for (transit, state) in transits.iter_mut().zip(&states) {
        for (queue, messages) in transit.split(state) {
            add(&queue, messages);
        }
    }
    let queues: Vec<(Arc<Node>, Vec<Held>)> = queues.into_values().collect();
    let (nodes, messages): (Vec<_>, Vec<_>) = queues.into_iter().unzip();
    let copies = messages.iter().map(Vec::len).sum();
    let (mut dead, mut behind) = (Vec::new(), Vec::new());
    {
        let mut states: Vec<MutexGuard<'_, NodeState>> = nodes.iter().map(|node: &Arc<Node>| node.lock()).collect();
        for ((state, node), messages) in states.iter_mut().zip(&nodes).zip(messages) {
            state.queue.tick(now);
            for held in messages {
                state.queue.add_reserved(held);
            }
            state.queue.dispatch(woken);
            let died = state.queue.take_dead();
            if state.deleted {
                behind.push((Arc::clone(node), state.queue.drain()));
            }
            if !died.is_empty() {
                dead.push((Arc::clone(node), died));
            }
        }
    }
    let mut left: Vec<(Batch, Aftermath)> = Vec::new();
    for ((transit, state), batch) in transits.into_iter().zip(&mut states).zip(through) {
        left.push((batch, transit.publish(state, woken)));
    }
    drop(states);
    if let Some(batch) = into.into_iter().next() {
        left.push((batch, Aftermath { dead, left: behind, copies, ..Aftermath::default() }));
    } else if let Some((_, aftermath)) = left.first_mut() {
        aftermath.dead.append(&mut dead);
        aftermath.left.append(&mut behind);
        aftermath.copies += copies;
    }
    Ok(left)
}
