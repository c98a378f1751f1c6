//! Messages that wait for their turn, and who waits for them.
//!
//! A message waits only when it cannot leave at once: while the connection is being established, behind others, or
//! for its turn in a group. Nothing here does input or output, and no clock is read.

use std::collections::BTreeMap;
use std::task::{Context, Waker};

use slab::Slab;

use super::SendError;
use crate::group::Ticket as Turn;
use crate::message::Message;

/// The place of a message among those that wait: smaller goes first. A final message goes last whatever its priority
/// (RFC 9622 9.1.3.5), the others by priority and then as they came (9.1.3.2), the parts of one behind each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    last: bool,
    priority: u32,
    message: u64,
    part: u64,
}

impl Place {
    pub(super) fn new(last: bool, priority: u32, message: u64, part: u64) -> Self {
        Self { last, priority, message, part }
    }
}

/// Who waits for a message, by its slot.
pub(super) type Ticket = usize;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: Message,
    pub(super) ticket: Ticket,
    /// Its place in the group, when there is one.
    pub(super) turn: Option<Turn>,
}

/// Messages in the order in which they leave.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    waiting: BTreeMap<Place, Queued>,
    /// The message of which a part has left and the end has not: nothing else may leave before its end.
    open: Option<u64>,
}

impl SendQueue {
    pub(super) fn push(&mut self, place: Place, queued: Queued) {
        self.waiting.insert(place, queued);
    }

    /// Takes a message back, before anything of it has left.
    pub(super) fn remove(&mut self, place: Place) -> Option<Queued> {
        self.waiting.remove(&place)
    }

    /// The message that leaves next; none when the next part of an open one has not been handed over.
    pub(super) fn peek(&self) -> Option<(Place, &Queued)> {
        let (place, queued) = match self.open {
            None => self.waiting.first_key_value()?,
            Some(open) => self.waiting.iter().find(|(place, _)| place.message == open)?,
        };
        Some((*place, queued))
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let (place, queued) = self.peek()?;
        self.open = (!queued.message.end_of_message).then_some(place.message);
        self.waiting.remove(&place)
    }

    /// Notes that a message left at once, or that the rest of an open one never will.
    pub(super) fn set_open(&mut self, open: Option<u64>) {
        self.open = open;
    }

    pub(super) fn open(&self) -> Option<u64> {
        self.open
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Queued)> {
        self.waiting.iter().map(|(place, queued)| (*place, queued))
    }

    /// Takes every message back; gives who waits for them.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Queued> + use<> {
        self.open = None;
        std::mem::take(&mut self.waiting).into_values()
    }
}

/// What has become of a message that somebody waits for.
#[derive(Debug)]
pub(super) enum Fate {
    /// It waits at this place.
    Queued(Place),
    /// It is on its way out: it cannot be taken back.
    Leaving,
    /// It has left, or never will.
    Decided(Result<(), SendError>),
}

#[derive(Debug)]
struct Slot {
    fate: Fate,
    /// The number of the message; 0 for who waits for none.
    number: u64,
    waker: Option<Waker>,
}

/// Who waits. One of them has given its waker to the transport, and is woken when it can go on: when that one goes, it
/// hands the baton to another.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    slots: Slab<Slot>,
    holder: Option<Ticket>,
}

impl Waiting {
    pub(super) fn insert(&mut self, fate: Fate, number: u64) -> Ticket {
        self.slots.insert(Slot { fate, number, waker: None })
    }

    /// The number of the message that somebody waits for, unless its fate is decided.
    pub(super) fn undecided(&self, ticket: Ticket) -> Option<u64> {
        let slot = self.slots.get(ticket)?;
        (slot.number != 0 && !matches!(slot.fate, Fate::Decided(_))).then_some(slot.number)
    }

    pub(super) fn fate(&mut self, ticket: Ticket) -> Option<&mut Fate> {
        self.slots.get_mut(ticket).map(|slot| &mut slot.fate)
    }

    pub(super) fn set_leaving(&mut self, ticket: Ticket) {
        if let Some(slot) = self.slots.get_mut(ticket) {
            slot.fate = Fate::Leaving;
        }
    }

    /// Decides, and wakes who waits. Nobody may wait any more.
    pub(super) fn decide(&mut self, ticket: Ticket, outcome: Result<(), SendError>) {
        if let Some(slot) = self.slots.get_mut(ticket) {
            slot.fate = Fate::Decided(outcome);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    /// Keeps the waker of who waits, and notes that the transport has the same one when it is `holding`.
    pub(super) fn park(&mut self, ticket: Ticket, cx: &Context<'_>, holding: bool) {
        if let Some(slot) = self.slots.get_mut(ticket) {
            keep(&mut slot.waker, cx);
        }
        if holding {
            self.holder = Some(ticket);
        }
    }

    /// Somebody waits no more. Returns whether the baton has nobody now.
    pub(super) fn remove(&mut self, ticket: Ticket) -> bool {
        self.slots.try_remove(ticket);
        if self.holder == Some(ticket) {
            self.holder = None;
            return !self.wake_one();
        }
        false
    }

    /// Lets one of those who wait go on; false when nobody does.
    pub(super) fn wake_one(&mut self) -> bool {
        let waiting = self.slots.iter_mut().find_map(|(_, slot)| slot.waker.take());
        waiting.map(Waker::wake).is_some()
    }

    pub(super) fn wake_all(&mut self) {
        self.holder = None;
        for (_, slot) in &mut self.slots {
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Everybody who waits.
    pub(super) fn tickets(&self) -> Vec<Ticket> {
        self.slots.iter().filter(|(_, slot)| !matches!(slot.fate, Fate::Decided(_))).map(|(ticket, _)| ticket).collect()
    }
}

/// Keeps the waker of who waits, without a clone when it is the same again.
pub(super) fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(message: Message, ticket: Ticket) -> Queued {
        Queued { message, ticket, turn: None }
    }

    fn queued(entries: &[(bool, u32)]) -> Vec<u64> {
        let mut queue = SendQueue::default();
        for (number, &(last, priority)) in entries.iter().enumerate() {
            let number = number as u64;
            queue.push(Place::new(last, priority, number, 0), waiting(Message::new("x"), number as usize));
        }
        std::iter::from_fn(|| queue.pop()).map(|queued| queued.ticket as u64).collect()
    }

    #[test]
    fn lower_numbers_go_first_and_equals_as_they_came() {
        assert_eq!(queued(&[(false, 10), (false, 1), (false, 5), (false, 1)]), [1, 3, 2, 0]);
    }

    #[test]
    fn the_final_message_goes_last_whatever_its_priority() {
        assert_eq!(queued(&[(true, 0), (false, 9)]), [1, 0]);
    }

    #[test]
    fn nothing_comes_between_the_parts_of_a_message() {
        let mut queue = SendQueue::default();
        let part = |end| {
            let mut part = Message::new("x");
            part.end_of_message = end;
            part
        };
        queue.push(Place::new(false, 9, 1, 1), waiting(part(false), 1));
        assert_eq!(queue.pop().unwrap().ticket, 1);
        queue.push(Place::new(false, 0, 2, 1), waiting(part(true), 2));
        assert!(queue.pop().is_none(), "the rest of the first has not come");
        queue.push(Place::new(false, 9, 1, 2), waiting(part(true), 3));
        assert_eq!((queue.pop().unwrap().ticket, queue.pop().unwrap().ticket), (3, 2));
    }
}
