//! The way of deliveries into nodes: each batch under one lock, and each delivery settled with its outcome.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use postroad_amqp::v1_0::{Connection, Delivery, LinkId};
use postroad_codec::v1_0::{DecodeError, DeliveryState, Error, ErrorCondition, MessageFormat, Outcome, Sections};

use crate::declaration::{Declaration, Owner};
use crate::error::clip;
use crate::expiry::expiry;
use crate::mailbox::wake_all;
use crate::management;
use crate::message::Held;
use crate::node::{Kind, Node, Nodes};
use crate::outgoing::Scratch;
use crate::posting::Posting;
use crate::queue::Full;
use crate::shared::READ;
use crate::transaction::Transactions;

/// What it takes to put the deliveries of one link into nodes.
#[derive(Debug)]
pub(crate) struct Doors<'a> {
    pub(crate) engine: &'a mut Connection,
    pub(crate) link: LinkId,
    pub(crate) settles_first: bool,
    /// The first delivery that could be refused in no other way than by the end of the link.
    pub(crate) lost: &'a mut Option<Error>,
    pub(crate) scratch: &'a mut Scratch,
}

impl Doors<'_> {
    /// Puts a batch into a node under one lock, and settles it.
    pub(crate) fn put(
        &mut self,
        nodes: &Arc<Nodes>,
        node: &Arc<Node>,
        batch: impl IntoIterator<Item = Delivery>,
        transactions: &mut Transactions,
    ) {
        let Self { engine, link, settles_first, scratch, .. } = self;
        let (mut refused, mut posted) = (Vec::new(), Vec::new());
        let (dead, aftermath) = {
            let mut state = node.lock();
            state.queue.tick(scratch.now);
            let mut transit = (node.kind == Kind::Exchange).then(|| nodes.transit(node, &state, scratch.now));
            for mut delivery in batch {
                if is_transactional(&delivery) {
                    posted.push(delivery);
                    continue;
                }
                if state.deleted {
                    refused.push((delivery, None));
                    continue;
                }
                let (number, settled) = (delivery.number, delivery.settled);
                let mut held = kept(engine, &mut delivery, scratch.now);
                held.origin = scratch.origin;
                if held.expires.is_some() {
                    nodes.janitor.call();
                }
                let taken = match &mut transit {
                    None => state.queue.push(held),
                    Some(transit) => transit.take(&mut state, held, None, &mut scratch.woken),
                };
                match taken {
                    Ok(()) if settled => {}
                    Ok(()) => {
                        engine.receiver(*link).dispose(number, Some(DeliveryState::Accepted), *settles_first);
                    }
                    Err(full) => refused.push((delivery, Some(full))),
                }
            }
            match transit {
                None => {
                    state.queue.dispatch(&mut scratch.woken);
                    (state.queue.take_dead(), None)
                }
                Some(transit) => (Vec::new(), Some(transit.publish(&mut state, &mut scratch.woken))),
            }
        };
        wake_all(&mut scratch.woken);
        nodes.bury(node, dead);
        if let Some(aftermath) = aftermath {
            nodes.attend(node, aftermath);
        }
        for (delivery, which) in refused {
            let error = which.map_or_else(|| gone(node), |which| full(which, node, nodes));
            refuse(self.engine, self.link, self.settles_first, &delivery, error, self.lost);
        }
        if !posted.is_empty() {
            self.posting(transactions).post(nodes, node, posted);
        }
    }

    /// Does what a request asks for, and settles it. The answer says how that went.
    pub(crate) fn manage(
        &mut self,
        nodes: &Nodes,
        owner: &Owner,
        mut delivery: Delivery,
        transactions: &mut Transactions,
    ) {
        if is_transactional(&delivery) {
            let text = "requests are not part of transactions";
            return self.refuse(&delivery, Error::new(ErrorCondition::NOT_IMPLEMENTED, text), transactions);
        }
        let payload = std::mem::take(&mut delivery.payload);
        let (now, replies) = (self.scratch.now, &self.scratch.replies);
        match management::handle(payload, delivery.message_format, nodes, owner, replies, now) {
            Ok(()) if delivery.settled => {}
            Ok(()) => {
                let accepted = Some(DeliveryState::Accepted);
                self.engine.receiver(self.link).dispose(delivery.number, accepted, self.settles_first);
            }
            Err(error) => self.refuse(&delivery, error, transactions),
        }
    }

    /// Refuses a delivery that goes to no node.
    pub(crate) fn refuse(&mut self, delivery: &Delivery, error: Error, transactions: &mut Transactions) {
        if is_transactional(delivery) {
            self.posting(transactions).refuse(delivery, error);
        } else {
            refuse(self.engine, self.link, self.settles_first, delivery, error, self.lost);
        }
    }

    fn posting<'a>(&'a mut self, transactions: &'a mut Transactions) -> Posting<'a> {
        let (link, settles_first) = (self.link, self.settles_first);
        Posting { engine: self.engine, link, settles_first, transactions, scratch: self.scratch, lost: self.lost }
    }
}

/// The message of a delivery as a node keeps it.
pub(crate) fn kept(engine: &Connection, delivery: &mut Delivery, now: Instant) -> Held {
    // Half of what a read takes in: a body that is kept alone pins no more than twice its size.
    let compact = READ.max(engine.config().max_frame_size as usize) / 2;
    let payload = std::mem::take(&mut delivery.payload);
    let payload = if payload.len() < compact { alone(payload) } else { payload };
    let mut held = Held::new(payload, delivery.message_format);
    held.expires = expiry(&held.payload, held.format, now);
    held
}

/// The error of a message for a node that was deleted.
pub(crate) fn gone(node: &Node) -> Error {
    Error::new(ErrorCondition::RESOURCE_DELETED, format!("node {:?} was deleted", &*node.name))
}

/// The error of a message for which there is no room.
pub(crate) fn full(which: Full, node: &Node, nodes: &Nodes) -> Error {
    let name = &*node.name;
    let text = match (which, node.kind) {
        (Full::Broker, _) => format!("the broker may hold {} bytes of messages", nodes.budget.max()),
        (Full::Queue, Kind::Queue) => format!("queue {name:?} is full"),
        (Full::Queue, Kind::Exchange) => format!("a queue that is bound to exchange {name:?} for the message is full"),
    };
    Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text)
}

/// A body that keeps no more memory than its own: one that came in a buffer with others is copied.
fn alone(payload: Bytes) -> Bytes {
    if payload.is_unique() { payload } else { Bytes::copy_from_slice(&payload) }
}

fn is_transactional(delivery: &Delivery) -> bool {
    matches!(delivery.state, Some(DeliveryState::Transactional(_)))
}

/// Rejects a delivery. One that came settled cannot be rejected, so its link has to hear of it.
pub(crate) fn refuse(
    engine: &mut Connection,
    link: LinkId,
    settles_first: bool,
    delivery: &Delivery,
    error: Error,
    lost: &mut Option<Error>,
) {
    if delivery.settled {
        lost.get_or_insert(error);
    } else {
        let state = Outcome::rejected(Some(clip(error))).into();
        engine.receiver(link).dispose(delivery.number, Some(state), settles_first);
    }
}

/// Finds the node that a message on the anonymous terminus is for.
pub(crate) fn route(
    nodes: &Nodes,
    auto_create: bool,
    last: Option<&Arc<Node>>,
    delivery: &Delivery,
) -> Result<Arc<Node>, Error> {
    if delivery.message_format != MessageFormat(0) {
        let text = "the anonymous terminus routes messages of format 0 only";
        return Err(Error::new(ErrorCondition::NOT_IMPLEMENTED, text));
    }
    let malformed = |error: DecodeError| Error::new(ErrorCondition::DECODE_ERROR, error.to_string());
    let sections = Sections::find(delivery.payload.clone()).map_err(malformed)?;
    let properties = sections.properties_ref().map_err(malformed)?;
    let Some(to) = properties.and_then(|properties| properties.to) else {
        let text = "a message for the anonymous terminus needs `to` among its properties";
        return Err(Error::new(ErrorCondition::INVALID_FIELD, text));
    };
    if let Some(last) = last.filter(|last| last.kind == Kind::Queue && *last.name == *to) {
        return Ok(Arc::clone(last));
    }
    match nodes.find(to) {
        Some(node) => Ok(node),
        None if auto_create => Ok(nodes.declare_queue(to, &Declaration::default(), None)?.0),
        None => Err(Error::new(ErrorCondition::NOT_FOUND, format!("no node {to:?}"))),
    }
}
