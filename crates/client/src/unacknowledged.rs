//! Messages of shared receivers that were taken from the connection and have no outcome yet.
//!
//! They are noted a batch at a time and struck off where their outcome is told, both under the lock that is held there anyway:
//! a message costs no lock of its own.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::disposition::{Origin, Settled};
use crate::protocol::{Delivery, DeliveryNumber, DeliveryTag, LinkId};
use crate::shared_receiver::SharedReceiver;
use crate::state::State;
use crate::{LinkError, Outcome, Session};

/// Those of one link, in the order in which they came. What has an outcome is struck off, and goes once nothing in front of it
/// waits.
#[derive(Debug, Default)]
pub(crate) struct Unacknowledged {
    list: VecDeque<Entry>,
    waiting: usize,
}

#[derive(Debug)]
struct Entry {
    epoch: u32,
    number: DeliveryNumber,
    link: LinkId,
    tag: DeliveryTag,
    waits: bool,
}

/// Entries without a message that may stay.
const SPARE: usize = 256;

impl Unacknowledged {
    /// Notes what came of a link over the engine of `epoch`.
    pub(crate) fn add(&mut self, link: LinkId, epoch: u32, deliveries: &VecDeque<Delivery>) {
        for delivery in deliveries.iter().filter(|delivery| !delivery.settled) {
            self.push(link, epoch, delivery.number, delivery.tag);
        }
    }

    fn push(&mut self, link: LinkId, epoch: u32, number: DeliveryNumber, tag: DeliveryTag) {
        self.list.push_back(Entry { epoch, number, link, tag, waits: true });
        self.waiting += 1;
    }

    /// Strikes a message off.
    #[inline]
    pub(crate) fn strike(&mut self, epoch: u32, number: DeliveryNumber) {
        // Mostly the oldest that waits.
        let oldest = self.list.front().is_some_and(|entry| entry.number == number && entry.epoch == epoch);
        let found = if oldest { Some(0) } else { self.find(epoch, number) };
        let Some(entry) = found.and_then(|at| self.list.get_mut(at)).filter(|entry| entry.waits) else { return };
        entry.waits = false;
        self.waiting -= 1;
        while self.list.front().is_some_and(|entry| !entry.waits) {
            self.list.pop_front();
        }
        // One that is kept does not keep all that come after it.
        if self.list.len() > 2 * self.waiting + SPARE {
            self.list.retain(|entry| entry.waits);
        }
    }

    fn find(&self, epoch: u32, number: DeliveryNumber) -> Option<usize> {
        let first = self.list.front()?;
        // Both wrap (part 2, 2.8.10); no two of them are half of their range apart.
        let place = |of: u32, number: DeliveryNumber| (of.wrapping_sub(first.epoch), number);
        self.list
            .binary_search_by(|entry| {
                let (entry, sought) = (place(entry.epoch, entry.number), place(epoch, number));
                entry.0.cmp(&sought.0).then_with(|| match entry.1.0.wrapping_sub(sought.1.0) {
                    0 => Ordering::Equal,
                    behind if behind < 1 << 31 => Ordering::Greater,
                    _ => Ordering::Less,
                })
            })
            .ok()
    }

    /// Forgets the last ones, which nobody has seen.
    pub(crate) fn take_back(&mut self, count: usize) {
        let waiting = self.list.drain(self.list.len().saturating_sub(count)..).filter(|entry| entry.waits).count();
        self.waiting -= waiting;
    }
}

impl State {
    /// Notes that a message has an outcome, wherever it is.
    pub(crate) fn acknowledged(&mut self, origin: &Origin) {
        if let Some(noted) = self.unacknowledged(origin) {
            noted.strike(origin.epoch, origin.number);
        }
    }

    fn is_unacknowledged(&mut self, origin: &Origin) -> bool {
        let noted = self.unacknowledged(origin);
        noted.is_some_and(|noted| {
            noted
                .find(origin.epoch, origin.number)
                .is_some_and(|at| noted.list.get(at).is_some_and(|entry| entry.waits))
        })
    }

    #[inline]
    fn unacknowledged(&mut self, origin: &Origin) -> Option<&mut Unacknowledged> {
        let key = self.key_of_serial(origin.link, origin.serial)?;
        self.links[key].unacknowledged.as_mut()
    }
}

impl SharedReceiver {
    /// Those that were handed out.
    fn unacknowledged<R>(&self, look: impl FnOnce(&Unacknowledged, usize, u64) -> R) -> Option<R> {
        self.with(|receiver| {
            let here = receiver.here_unsettled();
            receiver.link.with(|state| {
                let entry = &state.links[receiver.link.key];
                entry.unacknowledged.as_ref().map(|noted| look(noted, here, entry.serial))
            })
        })
    }
}

impl Session {
    /// Messages that the shared receivers of this session have handed out and that have no outcome yet, those in a
    /// transaction's as well.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        let count = |noted: &Unacknowledged, here: usize, _| noted.waiting.saturating_sub(here);
        self.shared_receivers().iter().filter_map(|receiver| receiver.unacknowledged(count)).sum()
    }

    /// Where the messages came from that [`unacknowledged`](Self::unacknowledged) counts, in their order on each link.
    #[must_use]
    pub fn unacknowledged_origins(&self) -> Vec<Origin> {
        let connection = self.shared().number();
        let mut origins = Vec::new();
        for receiver in self.shared_receivers() {
            receiver.unacknowledged(|noted, here, serial| {
                let handed_out = noted.list.iter().take(noted.list.len().saturating_sub(here));
                origins.extend(handed_out.filter(|entry| entry.waits).map(|entry| {
                    let &Entry { epoch, number, link, tag, .. } = entry;
                    Origin { connection, epoch, serial, link, number, tag, settled: Settled::No }
                }));
            });
        }
        origins
    }

    /// As [`settle_origins`](Self::settle_origins), for those of [`unacknowledged_origins`](Self::unacknowledged_origins) that
    /// have got no outcome since.
    ///
    /// # Errors
    /// As there.
    pub fn acknowledge_origins(&self, mut origins: Vec<Origin>, outcome: &Outcome) -> Result<(), LinkError> {
        self.shared().with(|state| origins.retain(|origin| state.is_unacknowledged(origin)));
        self.settle_origins(origins, outcome)
    }

    /// Forgets which messages have no outcome: whatever becomes of them is the peer's business.
    pub fn forget_unacknowledged(&self) {
        for receiver in self.shared_receivers() {
            receiver.with(|receiver| receiver.note_unacknowledged());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId::new(0, 0);

    fn push(noted: &mut Unacknowledged, epoch: u32, numbers: &[u32]) {
        for &number in numbers {
            noted.push(LINK, epoch, DeliveryNumber(number), DeliveryTag::from(u64::from(number)));
        }
    }

    fn noted(epoch: u32, numbers: &[u32]) -> Unacknowledged {
        let mut noted = Unacknowledged::default();
        push(&mut noted, epoch, numbers);
        noted
    }

    fn waiting(noted: &Unacknowledged) -> Vec<u32> {
        let waiting = noted.list.iter().filter(|entry| entry.waits).map(|entry| entry.number.0).collect::<Vec<_>>();
        assert_eq!(waiting.len(), noted.waiting);
        waiting
    }

    #[test]
    fn messages_are_struck_off_in_any_order_once() {
        // Numbers of other links lie between them, and they wrap.
        let numbers = [u32::MAX - 4, u32::MAX - 1, u32::MAX, 0, 3];
        let mut noted = noted(u32::MAX, &numbers);
        for (strike, left) in [
            (u32::MAX, vec![u32::MAX - 4, u32::MAX - 1, 0, 3]),
            (u32::MAX, vec![u32::MAX - 4, u32::MAX - 1, 0, 3]),
            (1, vec![u32::MAX - 4, u32::MAX - 1, 0, 3]),
            (3, vec![u32::MAX - 4, u32::MAX - 1, 0]),
            (u32::MAX - 4, vec![u32::MAX - 1, 0]),
            (u32::MAX - 1, vec![0]),
            (0, vec![]),
        ] {
            noted.strike(u32::MAX, DeliveryNumber(strike));
            assert_eq!(waiting(&noted), left, "{strike}");
        }
        assert!(noted.list.is_empty());
        noted.strike(u32::MAX, DeliveryNumber(0));
    }

    #[test]
    fn engines_number_for_themselves() {
        let mut noted = noted(u32::MAX, &[5, 6]);
        push(&mut noted, 0, &[5, 6]);
        noted.strike(0, DeliveryNumber(5));
        noted.strike(u32::MAX, DeliveryNumber(6));
        noted.strike(1, DeliveryNumber(5));
        let left: Vec<_> = noted.list.iter().filter(|entry| entry.waits).map(|at| (at.epoch, at.number.0)).collect();
        assert_eq!(left, [(u32::MAX, 5), (0, 6)]);
    }

    #[test]
    fn one_that_is_kept_does_not_keep_all_that_come_after_it() {
        let mut noted = noted(0, &[0]);
        for number in 1..100_000 {
            push(&mut noted, 0, &[number]);
            noted.strike(0, DeliveryNumber(number));
            assert!(noted.list.len() <= SPARE + 2);
        }
        assert_eq!(waiting(&noted), [0]);
    }

    #[test]
    fn what_nobody_has_seen_is_taken_back() {
        let mut noted = noted(0, &[0, 1, 3, 4]);
        noted.strike(0, DeliveryNumber(0));
        noted.take_back(2);
        assert_eq!(waiting(&noted), [1]);
        noted.take_back(2);
        assert_eq!(waiting(&noted), []);
    }
}
