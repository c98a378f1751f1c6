//! The node `$management`: requests in messages, answers to their reply-to.
//!
//! ```text
//!  message ─▶ Request ─▶ operation of the node model ─▶ Answer ─┬─▶ link of this connection from `$management`
//!                                                               └─▶ the node that the reply-to names
//! ```
//! `docs/protocol/management.md` says what can be asked.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use postroad_codec::v1_0::{Error, MessageFormat};
use tracing::debug;

use crate::declaration::Owner;
use crate::exchange;
use crate::mailbox::wake_all;
use crate::message::Held;
use crate::node::{Kind, Node, Nodes};

mod answer;
mod operations;
mod replies;
mod request;

use answer::Answer;
pub(crate) use replies::Replies;
use request::Request;

/// Requests may be so large, in bytes.
pub(crate) const MAX_REQUEST: u64 = 64 * 1024;

/// Requests that a client may have under way on a link.
pub(crate) const MAX_REQUESTS: u32 = 16;

/// Does what a message asks for, and answers. An error is for the message: there is nobody to answer.
pub(crate) fn handle(
    payload: Bytes,
    format: MessageFormat,
    nodes: &Nodes,
    owner: &Owner,
    replies: &Replies,
    now: Instant,
) -> Result<(), Error> {
    let (envelope, request) = Request::read(payload, format)?;
    let answer = match request.and_then(|request| operations::perform(&request, nodes, owner)) {
        Ok(answer) => answer,
        Err(error) => Answer::of_error(&error),
    };
    debug!(status = answer.status, "management request answered");
    let held = Held::new(answer.message(&envelope).to_bytes(), MessageFormat(0));
    match replies.find(&envelope.reply_to).or_else(|| nodes.find(&envelope.reply_to)) {
        Some(node) => deliver(nodes, &node, held, now),
        None => debug!("a management answer has nowhere to go: there is no node {:?}", &*envelope.reply_to),
    }
    Ok(())
}

/// Hands an answer over. Where there is no room for it nobody reads answers, and it is dropped.
fn deliver(nodes: &Nodes, node: &Arc<Node>, held: Held, now: Instant) {
    if node.kind == Kind::Exchange {
        let (lost, aftermath) = exchange::send_through(nodes, node, [held], now);
        nodes.attend(node, aftermath);
        if lost > 0 {
            debug!("a management answer was dropped: exchange {:?} leads to a full queue", &*node.name);
        }
        return;
    }
    let mut woken = Vec::new();
    let mut state = node.lock();
    state.queue.tick(now);
    let taken = !state.deleted && state.queue.push(held).is_ok();
    state.queue.dispatch(&mut woken);
    let dead = state.queue.take_dead();
    drop(state);
    wake_all(&mut woken);
    nodes.bury(node, dead);
    if !taken {
        debug!("a management answer was dropped: {:?} is full", &*node.name);
    }
}

#[cfg(test)]
mod tests {
    use postroad_codec::v1_0::{Address, ApplicationProperties, Body, Map, Message, Properties, Value};
    use proptest::prelude::*;

    use super::*;
    use crate::declaration::Declaration;
    use crate::node::NodeLimits;
    use crate::options::Policies;
    use crate::queue::QueueLimits;

    fn request(operation: &str, entity: &str) -> Vec<u8> {
        let mut application = ApplicationProperties::default();
        for (key, value) in [("operation", operation), ("type", entity), ("name", "amq.topic")] {
            application.0.insert(key, value);
        }
        let arguments: Map = [("x-match", Value::from("any")), ("a", Value::Int(1))].into_iter().collect();
        let body: Map = [
            ("destination", Value::from("q")),
            ("bindingKey", "a.#".into()),
            ("arguments", Value::Map(arguments)),
            ("exclusive", true.into()),
        ]
        .into_iter()
        .collect();
        let properties = Properties { reply_to: Some(Address("q".into())), ..Properties::default() };
        let message = Message {
            properties: Some(Box::new(properties)),
            application_properties: Some(application),
            body: Body::Value(Value::Map(body)),
            ..Message::default()
        };
        message.to_bytes().to_vec()
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(
            operation in prop::sample::select(vec!["CREATE", "READ", "DELETE", "bind", "unbind", "isBound", "x"]),
            entity in prop::sample::select(vec!["org.apache.qpid.Queue", "org.apache.qpid.Exchange", "x"]),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            length in any::<prop::sample::Index>(),
            cut in any::<bool>(),
        ) {
            let queue = QueueLimits { messages: 4, bytes: 10_000 };
            let limits =
                NodeLimits { nodes: 4, subscriptions: 1, bindings: 4, queue, subscription: queue, bytes: 100_000 };
            let nodes = Nodes::new(limits, Policies::default());
            nodes.declare_queue("q", &Declaration::default(), None).unwrap();
            let mut bytes = request(operation, entity);
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            if cut {
                bytes.truncate(length.index(bytes.len()));
            }
            let owner = Owner { user: "".into(), container: "c".into() };
            for _ in 0..6 {
                let _ = handle(
                    bytes.clone().into(),
                    MessageFormat(0),
                    &nodes,
                    &owner,
                    &Replies::default(),
                    Instant::now(),
                );
            }
        }
    }
}
