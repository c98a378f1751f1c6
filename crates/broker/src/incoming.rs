//! The receiving end of a link: a producer for a node, or for any by the address in each message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use postroad_amqp::v1_0::{Connection, Delivery, LinkId, SessionId};
use postroad_codec::v1_0::{
    DecodeError, DeliveryNumber, DeliveryState, Error, ErrorCondition, MessageFormat, Outcome, ReceiverSettleMode,
    Sections,
};

use crate::declaration::{Declaration, Owner};
use crate::error::clip;
use crate::exchange;
use crate::expiry::expiry;
use crate::mailbox::{Wake, wake_all};
use crate::management;
use crate::message::Held;
use crate::node::{Hold, Kind, Node, Nodes};
use crate::outgoing::{Look, Scratch, deleted};
use crate::posting::Posting;
use crate::queue::Full;
use crate::shared::READ;
use crate::transaction::Transactions;

/// A link that brings messages.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) id: LinkId,
    pub(crate) session: SessionId,
    to: To,
    /// Whether deliveries are settled with their outcome, or only once the sender has settled them.
    settles_first: bool,
    /// Messages that the sender may have under way; it grows from little.
    window: u32,
    /// What a message weighs, in bytes, by those that came lately.
    weight: usize,
    /// Deliveries with an outcome that the sender has not settled.
    unsettled: usize,
    deliveries: VecDeque<Delivery>,
}

#[derive(Debug)]
enum To {
    Node {
        hold: Hold,
        producer: usize,
    },
    /// The management of the broker: each message is a request.
    Management {
        nodes: Arc<Nodes>,
        owner: Owner,
    },
    /// The anonymous terminus: each message says where it goes. The last node is remembered.
    Relay {
        nodes: Arc<Nodes>,
        auto_create: bool,
        last: Option<Arc<Node>>,
    },
}

/// How deliveries are taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Unsettled ones are released: the broker is going down.
    pub(crate) closing: bool,
    /// No outcome can be told now, but it can when the link is attached again: none is forgotten before.
    pub(crate) tell_later: bool,
}

/// A sender's first window, in messages, and its largest.
const FIRST_WINDOW: u32 = 64;
const LARGEST_WINDOW: u32 = 1024;

/// A window holds about this many bytes at most, once the size of messages is known.
const WINDOW_BYTES: usize = 16 * 1024 * 1024;

/// A sender that leaves so many deliveries unsettled gets no credit before it settles some.
const MAX_UNSETTLED: usize = 4096;

impl Incoming {
    pub(crate) fn to_node(id: LinkId, session: SessionId, wake: Wake, hold: Hold, mode: ReceiverSettleMode) -> Self {
        let producer = hold.node.lock().queue.add_producer(wake);
        Self::new(id, session, To::Node { hold, producer }, mode)
    }

    pub(crate) fn relay(
        id: LinkId,
        session: SessionId,
        nodes: Arc<Nodes>,
        auto_create: bool,
        mode: ReceiverSettleMode,
    ) -> Self {
        Self::new(id, session, To::Relay { nodes, auto_create, last: None }, mode)
    }

    pub(crate) fn management(
        id: LinkId,
        session: SessionId,
        nodes: Arc<Nodes>,
        owner: Owner,
        mode: ReceiverSettleMode,
    ) -> Self {
        Self::new(id, session, To::Management { nodes, owner }, mode)
    }

    fn new(id: LinkId, session: SessionId, to: To, mode: ReceiverSettleMode) -> Self {
        let settles_first = mode != ReceiverSettleMode::SECOND;
        let deliveries = VecDeque::new();
        Self { id, session, to, settles_first, window: FIRST_WINDOW, weight: 1, unsettled: 0, deliveries }
    }

    /// Goes on with another link.
    pub(crate) fn resume(&mut self, id: LinkId, session: SessionId, wake: Wake, mode: ReceiverSettleMode) {
        (self.id, self.session) = (id, session);
        self.settles_first = mode != ReceiverSettleMode::SECOND;
        self.wake_by(wake);
    }

    /// Readies itself for a time without a link, with so many deliveries that have an outcome.
    pub(crate) fn suspend(&mut self, unsettled: usize) {
        self.unsettled = unsettled;
        self.deliveries = VecDeque::new();
    }

    /// Has the queue wake it in another way from now on. It has no credit meanwhile, and no room as long as it is suspended.
    pub(crate) fn wake_by(&self, wake: Wake) {
        if let To::Node { hold, producer } = &self.to {
            let rests = matches!(wake, Wake::Suspended(_));
            hold.node.lock().queue.wake_producer_by(*producer, wake, rests);
        }
    }

    /// Forgets the deliveries that have an outcome: their sender has.
    pub(crate) fn start_over(&mut self) {
        self.unsettled = 0;
    }

    /// Takes note of what the sender makes of a delivery that it resumes, which may be nothing.
    pub(crate) fn resumed(&mut self, delivery: Option<DeliveryNumber>, engine: &mut Connection) {
        if let Some(number) = delivery {
            if !self.settles_first {
                return;
            }
            let mut receiver = engine.receiver(self.id);
            let outcome = receiver.states(number).and_then(|states| states.local.cloned());
            receiver.dispose(number, outcome, true);
        }
        self.settled_by_sender();
    }

    /// The node; none where each message says where it goes.
    pub(crate) fn hold(&self) -> Option<&Hold> {
        match &self.to {
            To::Node { hold, .. } => Some(hold),
            To::Management { .. } | To::Relay { .. } => None,
        }
    }

    /// Takes note that the sender has settled a delivery of which it knows the outcome.
    pub(crate) fn settled_by_sender(&mut self) {
        self.unsettled = self.unsettled.saturating_sub(1);
    }

    /// Takes what has come into the queue, and settles it. An error is for the link: it lost a message
    /// that cannot be refused by itself.
    pub(crate) fn receive(
        &mut self,
        engine: &mut Connection,
        scratch: &mut Scratch,
        transactions: &mut Transactions,
        Manner { closing, tell_later }: Manner,
    ) -> Result<(), Error> {
        let settles_first = self.settles_first && !tell_later;
        let mut deliveries = std::mem::take(&mut self.deliveries);
        let mut receiver = engine.receiver(self.id);
        receiver.take_all(&mut deliveries);
        if !settles_first {
            self.unsettled += deliveries.iter().filter(|delivery| !delivery.settled).count();
        }
        if closing {
            // A queue that is about to vanish takes nothing that its sender could still send elsewhere.
            deliveries.retain(|delivery| {
                if !delivery.settled {
                    receiver.dispose(delivery.number, Some(DeliveryState::Released), settles_first);
                }
                delivery.settled
            });
        }
        let heaviest = deliveries.iter().map(|delivery| delivery.payload.len()).max().unwrap_or(0);
        self.weight = heaviest.max(self.weight - self.weight / 8).max(1);
        let mut lost = None;
        let mut doors = Doors { engine, link: self.id, settles_first, lost: &mut lost, scratch };
        match &mut self.to {
            To::Node { hold, .. } => doors.put(hold.nodes(), &hold.node, deliveries.drain(..), transactions),
            To::Management { nodes, owner } => {
                for delivery in deliveries.drain(..) {
                    doors.manage(nodes, owner, delivery, transactions);
                }
            }
            To::Relay { nodes, auto_create, last } => {
                last.take_if(|last| last.lock().deleted);
                // Neighbours with one address go in together.
                let mut batch: Vec<Delivery> = Vec::new();
                for delivery in deliveries.drain(..) {
                    match route(nodes, *auto_create, last.as_ref(), &delivery) {
                        Ok(node) => {
                            if let Some(other) = last.as_ref().filter(|last| !Arc::ptr_eq(last, &node)) {
                                doors.put(nodes, other, batch.drain(..), transactions);
                            }
                            *last = Some(node);
                            batch.push(delivery);
                        }
                        Err(error) => doors.refuse(&delivery, error, transactions),
                    }
                }
                if let Some(node) = last {
                    doors.put(nodes, node, batch, transactions);
                }
            }
        }
        self.deliveries = deliveries;
        lost.map_or(Ok(()), Err)
    }

    /// Gives the sender credit when it has used half of it, as far as the queue has room.
    pub(crate) fn look(&mut self, engine: &mut Connection, closing: bool) -> Look {
        let wish = self.window.min(u32::try_from(WINDOW_BYTES / self.weight).unwrap_or(u32::MAX).max(1));
        let mut receiver = engine.receiver(self.id);
        let credit = receiver.credit();
        let takes = !closing && self.unsettled < MAX_UNSETTLED && credit <= wish / 2;
        let granted = match &self.to {
            To::Management { .. } => wish.min(management::MAX_REQUESTS),
            To::Relay { .. } => wish,
            To::Node { hold, producer } => {
                let mut state = hold.node.lock();
                if state.deleted {
                    return Look::Deleted;
                }
                state.queue.note_credit(*producer, credit as usize);
                if !takes {
                    return Look::Waits;
                }
                let granted = match hold.node.kind {
                    Kind::Queue => state.queue.grant(*producer, wish as usize),
                    Kind::Exchange => {
                        exchange::grant(&hold.node, &mut state, &hold.nodes().budget, *producer, wish as usize)
                    }
                };
                state.queue.note_credit(*producer, granted.max(credit as usize));
                granted as u32
            }
        };
        if takes && granted > credit {
            receiver.set_credit(granted);
            self.window = (self.window * 2).min(LARGEST_WINDOW);
        }
        Look::Waits
    }

    /// The error that tells a producer that its node is gone.
    pub(crate) fn deleted(&self) -> Error {
        match &self.to {
            To::Node { hold, .. } => deleted(hold),
            To::Management { .. } | To::Relay { .. } => {
                Error::new(ErrorCondition::RESOURCE_DELETED, "the node was deleted")
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let To::Node { hold, producer } = &self.to {
            hold.node.lock().queue.remove_producer(*producer);
        }
    }
}

/// What it takes to put the deliveries of one link into nodes.
struct Doors<'a> {
    engine: &'a mut Connection,
    link: LinkId,
    settles_first: bool,
    lost: &'a mut Option<Error>,
    scratch: &'a mut Scratch,
}

impl Doors<'_> {
    /// Puts a batch into a node under one lock, and settles it.
    fn put(
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
                    Some(transit) => transit.take(&mut state, held, false, &mut scratch.woken),
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
    fn manage(&mut self, nodes: &Nodes, owner: &Owner, mut delivery: Delivery, transactions: &mut Transactions) {
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
    fn refuse(&mut self, delivery: &Delivery, error: Error, transactions: &mut Transactions) {
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
fn route(nodes: &Nodes, auto_create: bool, last: Option<&Arc<Node>>, delivery: &Delivery) -> Result<Arc<Node>, Error> {
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
