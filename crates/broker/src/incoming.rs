//! The receiving end of a link: a producer for a node, or for any by the address in each message.

use std::collections::VecDeque;
use std::sync::Arc;

use postroad_amqp::v1_0::{Connection, Delivery, LinkId, SessionId};
use postroad_codec::v1_0::{DeliveryNumber, DeliveryState, Error, ErrorCondition, ReceiverSettleMode};

use crate::declaration::Owner;
use crate::doors::{Doors, route};
use crate::exchange;
use crate::mailbox::Wake;
use crate::management;
use crate::node::{Hold, Kind, Node, Nodes};
use crate::outgoing::{Look, Scratch, deleted};
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
