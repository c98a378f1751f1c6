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
    let mut woken = Vec::new();
    let mut state = node.lock();
    if node.kind == Kind::Exchange {
        let mut transit = nodes.transit(node, &state, now);
        let taken = transit.take(&mut state, held, false, &mut woken).is_ok();
        let aftermath = transit.publish(&mut state, &mut woken);
        drop(state);
        wake_all(&mut woken);
        nodes.attend(node, aftermath);
        if !taken {
            debug!("a management answer was dropped: exchange {:?} leads to a full queue", &*node.name);
        }
        return;
    }
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
