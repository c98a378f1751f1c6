//! The receiving end of a link.

use std::collections::VecDeque;

use postroad_codec::v1_0::{DeliveryNumber, DeliveryState, Role};

use super::arena::Key;
use super::{Connection, Delivery};

/// The receiving end of a link, borrowed from its connection.
#[derive(Debug)]
pub struct ReceiverMut<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) key: Key,
}

impl ReceiverMut<'_> {
    /// Allows the sender this many messages more from now on, whatever it was allowed before. Messages
    /// that were on their way when the credit was lowered are taken all the same (2.6.7).
    pub fn set_credit(&mut self, credit: u32) {
        let Some(link) = self.connection.links.get_mut(self.key) else { return };
        if link.credit != credit {
            link.credit = credit;
            self.connection.mark_flow(self.key);
        }
    }

    /// Takes this many messages beyond the credit all the same, counted anew each time that credit is told: for a
    /// sender that is known to count late. Without it the first such message closes the link.
    pub fn set_overdraft(&mut self, messages: u32) {
        if let Some(link) = self.connection.links.get_mut(self.key) {
            link.overdraft = messages;
        }
    }

    /// The messages that the sender may still send.
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.connection.links.get(self.key).map_or(0, |link| link.credit)
    }

    /// Asks the sender to use its credit now or give it up. [`Event::Drained`](super::Event::Drained)
    /// follows, at once where there is no credit; none when the link or the connection is gone by then.
    pub fn drain(&mut self) {
        let Some(link) = self.connection.links.get_mut(self.key).filter(|_| self.connection.over.is_none()) else {
            return;
        };
        if link.credit == 0 {
            let id = link.id;
            self.connection.events.push_back(super::Event::Drained(id));
            return;
        }
        link.drain = true;
        self.connection.mark_flow(self.key);
    }

    /// Calls a drain off: the credit that the sender has not given up by the time it hears of this stays.
    pub fn stop_draining(&mut self) {
        if let Some(link) = self.connection.links.get_mut(self.key).filter(|link| link.drain) {
            link.drain = false;
            self.connection.mark_flow(self.key);
        }
    }

    /// Whether a drain has been asked for and not answered.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.connection.links.get(self.key).is_some_and(|link| link.drain)
    }

    /// Messages that wait at the sender, as far as it told.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.connection.links.get(self.key).map_or(0, |link| link.available)
    }

    /// Deliveries that wait here.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.connection.links.get(self.key).map_or(0, |link| link.queue.len())
    }

    /// Takes the oldest delivery that waits.
    pub fn take(&mut self) -> Option<Delivery> {
        let link = self.connection.links.get_mut(self.key)?;
        let (delivery, session) = (link.queue.pop_front()?, link.session);
        if link.terms.in_parts {
            self.note_read(&delivery);
        }
        self.taken(session, delivery.weight());
        Some(delivery)
    }

    /// Takes every delivery that waits, behind what `deliveries` holds.
    pub fn take_all(&mut self, deliveries: &mut VecDeque<Delivery>) {
        let Some(link) = self.connection.links.get_mut(self.key) else { return };
        if link.queue.is_empty() {
            return;
        }
        if link.terms.in_parts {
            while let Some(part) = self.take() {
                deliveries.push_back(part);
            }
            return;
        }
        let (bytes, session) = (link.queue.iter().map(Delivery::weight).sum(), link.session);
        if deliveries.is_empty() {
            std::mem::swap(deliveries, &mut link.queue);
        } else {
            deliveries.append(&mut link.queue);
        }
        self.taken(session, bytes);
    }

    /// Tells the state of a delivery, and settles it when `settled`. Neighbours that are told the same
    /// leave as one range. Of a link that is detached nothing can be told: the state is kept for
    /// [`LinkState`](super::LinkState).
    #[inline]
    pub fn dispose(&mut self, delivery: DeliveryNumber, state: Option<DeliveryState>, settled: bool) {
        let Some(link) = self.connection.links.get(self.key) else { return };
        let (key, attached) = (link.session, link.phase == super::link::Phase::Attached);
        let leaving = link.leaving.is_some();
        let Some(session) = self.connection.sessions.get_mut(key) else { return };
        match session.incoming.get_mut(delivery) {
            Some(incoming) if incoming.link.0 == self.key => {
                if settled {
                    session.incoming.discard(delivery);
                } else {
                    incoming.local_state.clone_from(&state);
                }
            }
            _ => return,
        }
        if attached {
            session.dispose(Role::Receiver, delivery, state, settled);
            self.connection.mark(key);
        }
        if leaving {
            self.connection.answer_where_nothing_is_owed(self.key);
        }
    }

    /// Notes how much the owner has of a message that comes in parts.
    fn note_read(&mut self, part: &Delivery) {
        let Some(link) = self.connection.links.get_mut(self.key) else { return };
        if let Some(received) = link.note_read(part)
            && let Some(session) = self.connection.sessions.get_mut(link.session)
            && let Some(incoming) = session.incoming.get_mut(part.number)
        {
            incoming.received = received;
        }
    }

    fn taken(&mut self, key: Key, bytes: usize) {
        let connection = &mut *self.connection;
        if let Some(session) = connection.sessions.get_mut(key) {
            session.queued_bytes = session.queued_bytes.saturating_sub(bytes);
            session.reopen(&connection.config);
        }
        connection.mark_if_flow_due(key);
    }
}
