//! What has to be done in queues though nobody comes by: messages that expire are removed, and senders hear of room that
//! other queues have made, and links that nobody has attached again in time are given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::mailbox::wake_all;
use crate::node::{Kind, Node, Nodes};
use crate::suspended::Links;

/// Whether there is something to do. One task waits for it; no message has a timer of its own.
#[derive(Debug, Default)]
pub(crate) struct Janitor {
    called: AtomicBool,
    notify: Notify,
}

/// How often queues are looked through while there are messages that expire. Such a message counts in the bounds of its
/// queue until it is removed; it is delivered to nobody in any case.
const EVERY: Duration = Duration::from_secs(1);

/// How long senders rest at least that have filled the broker.
const REST: Duration = Duration::from_millis(10);

impl Janitor {
    /// Has all queues looked through from now on.
    pub(crate) fn call(&self) {
        if !self.called.load(Ordering::Relaxed) && !self.called.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }
}

/// Looks through the queues while there is a reason to, and through the suspended links as each one's time is over.
pub(crate) async fn run(nodes: Arc<Nodes>, links: Arc<Links>) {
    tokio::join!(sweep(&nodes), feed(&nodes), expire(&links));
}

/// Gives up the links whose time is over.
async fn expire(links: &Links) {
    loop {
        // Whoever changes the table while it is looked at is heard all the same.
        let changed = links.changed.notified();
        match links.next_due() {
            Some(due) => {
                let _ = tokio::time::timeout_at(due.into(), changed).await;
            }
            None => changed.await,
        }
        for link in links.expire(Instant::now()) {
            drop(link);
            tokio::task::yield_now().await;
        }
    }
}

/// Removes what has expired.
async fn sweep(nodes: &Nodes) {
    loop {
        nodes.janitor.notify.notified().await;
        loop {
            tokio::time::sleep(EVERY).await;
            // Whoever calls while it looks is heard in the next round.
            nodes.janitor.called.store(false, Ordering::Release);
            let mut left = false;
            for node in nodes.all() {
                left |= clean(nodes, &node);
                // A round through many nodes is nobody's only work.
                tokio::task::yield_now().await;
            }
            if left {
                nodes.janitor.called.store(true, Ordering::Release);
            } else if !nodes.janitor.called.load(Ordering::Acquire) {
                break;
            }
        }
    }
}

/// Wakes senders that got no credit for want of room in the broker, when others have made some.
async fn feed(nodes: &Nodes) {
    loop {
        nodes.budget.eased.notified().await;
        for node in nodes.all() {
            let mut woken = Vec::new();
            node.lock().queue.feed(&mut woken);
            wake_all(&mut woken);
        }
        tokio::time::sleep(REST).await;
    }
}

/// `true`: there are messages whose time will be over.
fn clean(nodes: &Nodes, node: &Arc<Node>) -> bool {
    if node.kind == Kind::Exchange {
        let mut left = node.lock().queue.has_ttl();
        for queue in subscriptions(node) {
            left |= clean(nodes, &queue);
        }
        return left;
    }
    let mut woken = Vec::new();
    let mut state = node.lock();
    let before = state.queue.is_empty();
    state.queue.tick(Instant::now());
    // Where every message expires, more of them are to be expected.
    let left = state.queue.sweep() | state.queue.has_ttl();
    state.queue.dispatch(&mut woken);
    let dead = state.queue.take_dead();
    let emptied = !before && state.queue.is_empty();
    let lingers = state.over_since.is_some();
    drop(state);
    wake_all(&mut woken);
    nodes.bury(node, dead);
    if emptied || lingers {
        nodes.reap(node);
    }
    left || lingers
}

/// The queues behind the subscriptions of an exchange.
fn subscriptions(exchange: &Node) -> Vec<Arc<Node>> {
    let state = exchange.lock();
    state.exchange.iter().flat_map(|exchange| exchange.subscriptions()).map(|(queue, _)| Arc::clone(queue)).collect()
}

#[cfg(test)]
mod tests {
    use postroad_codec::v1_0::MessageFormat;

    use super::*;
    use crate::declaration::Declaration;
    use crate::message::Held;
    use crate::node::NodeLimits;
    use crate::options::Policies;
    use crate::queue::QueueLimits;

    #[test]
    fn where_every_message_expires_it_comes_again() {
        let queue = QueueLimits { messages: 10, bytes: 1000 };
        let limits = NodeLimits { nodes: 4, subscriptions: 1, bindings: 4, queue, subscription: queue, bytes: 10_000 };
        let nodes = Nodes::new(limits, Policies::default());
        let mut mortal = Declaration::default();
        mortal.settings.ttl = Some(Duration::from_millis(1));
        for (name, declaration, again) in [("plain", Declaration::default(), false), ("mortal", mortal, true)] {
            let (node, _) = nodes.declare_queue(name, &declaration, None).unwrap();
            assert_eq!(clean(&nodes, &node), again, "{name} is empty");
            let mut state = node.lock();
            state.queue.tick(Instant::now());
            state.queue.push(Held::new(b"x".as_slice().into(), MessageFormat(0))).unwrap();
            drop(state);
            std::thread::sleep(Duration::from_millis(2));
            clean(&nodes, &node);
            assert_eq!(node.lock().queue.is_empty(), again, "{name}");
        }
    }
}
