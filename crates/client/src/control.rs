//! The control link of transactions, as the driver sees it: declares that are answered, and transactions that nobody has
//! any more.

use crate::LinkError;
use crate::protocol::{LinkId, MessageFormat, Outgoing, TransactionId};
use crate::state::{Slot, State, UNTRACKED};

/// What a control link has beside any other that sends.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Transactions that were given up, to be rolled back as soon as there is credit.
    abandoned: Vec<TransactionId>,
}

impl State {
    /// Notes that the link of a key controls transactions.
    pub(crate) fn make_control(&mut self, key: usize) {
        self.links[key].control = Some(Box::default());
    }

    /// The connection is lost, and every transaction with it: whoever waits for the coordinator is told.
    pub(crate) fn undo_control(&mut self, key: usize, lost: &LinkError) {
        let Self { links, wakes, .. } = self;
        let entry = &mut links[key];
        entry.sends.fail(lost, wakes);
        (entry.sends.untracked, entry.sends.in_flight) = (0, 0);
        if let Some(control) = &mut entry.control {
            control.abandoned.clear();
        }
    }

    /// Takes note of a transaction. Where nobody waits for it any more it is rolled back.
    pub(crate) fn declared(&mut self, link: LinkId, token: u64, id: TransactionId) {
        let Some(entry) = self.entry(link) else { return };
        if entry.control.is_none() {
            // A peer that declares where nobody asked has given no outcome.
            return self.settled(link, token, None, true);
        }
        let sends = &mut entry.sends;
        sends.in_flight = sends.in_flight.saturating_sub(1);
        match sends.slots.get_mut(token as usize) {
            Some(slot @ Slot::Waiting(_)) => {
                if let Slot::Waiting(Some(waker)) = std::mem::replace(slot, Slot::Declared(id)) {
                    self.wakes.push(waker);
                }
            }
            Some(Slot::Abandoned) => {
                sends.slots.remove(token as usize);
                self.abandon(link, id);
            }
            Some(Slot::Done(_) | Slot::Declared(_) | Slot::Told { .. }) | None => {}
        }
    }

    /// Rolls a transaction back, and has nobody wait for that. The end of its link does the same.
    pub(crate) fn abandon(&mut self, link: LinkId, id: TransactionId) {
        if let Some(control) = self.entry(link).and_then(|entry| entry.control.as_mut()) {
            control.abandoned.push(id);
            self.roll_back_abandoned(link);
        }
    }

    /// Sends the discharges that wait for credit, as far as there is any.
    pub(crate) fn roll_back_abandoned(&mut self, link: LinkId) {
        loop {
            if self.down.is_some() {
                return;
            }
            let Some(entry) = self.entry(link).filter(|entry| entry.over.is_none()) else { return };
            let Some(id) = entry.control.as_mut().and_then(|control| control.abandoned.pop()) else { return };
            let tag = entry.sends.next_tag.into();
            let encoded = self.engine.discharge(&id, true);
            let message = Outgoing {
                encoded: &encoded,
                content: None,
                format: MessageFormat(0),
                tag,
                settled: false,
                token: UNTRACKED,
                more: false,
                transaction: None,
            };
            self.engine.flush();
            let sent = self.engine.send(link, &message).is_ok();
            let Some(entry) = self.entry(link) else { return };
            if sent {
                entry.sends.next_tag += 1;
                entry.sends.in_flight += 1;
                entry.sends.untracked += 1;
            } else {
                // News follows when there is credit.
                if let Some(control) = &mut entry.control {
                    control.abandoned.push(id);
                }
                return;
            }
        }
    }
}
