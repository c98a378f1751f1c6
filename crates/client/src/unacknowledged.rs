//! Messages of shared receivers that were taken from the connection and have no outcome yet.
//!
//! They are noted a batch at a time and struck off where their outcome is told, both under the lock that is held there anyway:
//! a message costs no lock of its own.

use std::collections::{HashSet, VecDeque};

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
    /// The last that was noted.
    last: Option<(u32, DeliveryNumber)>,
    /// Those that their sender has settled before they were noted: no more than wait in the engine, which credit bounds.
    settled: HashSet<(u32, DeliveryNumber)>,
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
            if self.settled.is_empty() || !self.settled.contains(&(epoch, delivery.number)) {
                self.push(link, epoch, delivery.number, delivery.tag);
            }
        }
        self.settled.clear();
    }

    /// Strikes a message off that its sender has settled: it needs no outcome any more.
    pub(crate) fn settled_by_sender(&mut self, epoch: u32, number: DeliveryNumber) {
        let behind = self.last.filter(|(noted, _)| *noted == epoch).map(|(_, last)| last.0.wrapping_sub(number.0));
        match behind {
            Some(behind) if behind < 1 << 31 => self.strike(epoch, number),
            _ => drop(self.settled.insert((epoch, number))),
        }
    }

    fn push(&mut self, link: LinkId, epoch: u32, number: DeliveryNumber, tag: DeliveryTag) {
        self.list.push_back(Entry { epoch, number, link, tag, waits: true });
        self.last = Some((epoch, number));
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
        // Epochs and numbers wrap (part 2, 2.8.10), so both are counted from the oldest: that of all, and that of the epoch. One
        // that is kept may lie as far behind as the numbers reach.
        let oldest = self.list.front()?.epoch;
        let age = |entry: &Entry| entry.epoch.wrapping_sub(oldest);
        let sought = epoch.wrapping_sub(oldest);
        let base = self.list.get(self.list.partition_point(|entry| age(entry) < sought))?.number.0;
        let place =
            |entry: &Entry| (age(entry), if age(entry) == sought { entry.number.0.wrapping_sub(base) } else { 0 });
        self.list.binary_search_by_key(&(sought, number.0.wrapping_sub(base)), place).ok()
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
    /// Messages that those shared receivers of this session have handed out that note it
    /// ([`SharedReceiver::note_unacknowledged`]), and that have no outcome yet; one that is to be told with a commit is an
    /// outcome.
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
    pub fn acknowledge_origins(&self, origins: &[Origin], outcome: &Outcome) -> Result<(), LinkError> {
        let mut waiting = origins.to_vec();
        self.shared().with(|state| waiting.retain(|origin| state.is_unacknowledged(origin)));
        self.settle_origins(waiting, outcome)
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
    fn one_that_is_kept_may_lie_as_far_behind_as_numbers_reach() {
        let mut noted = noted(0, &[7, 1 << 31, 3_000_000_000, u32::MAX, 0, 6]);
        for (strike, left) in [
            (3_000_000_000, vec![7, 1 << 31, u32::MAX, 0, 6]),
            (6, vec![7, 1 << 31, u32::MAX, 0]),
            (1 << 31, vec![7, u32::MAX, 0]),
            (0, vec![7, u32::MAX]),
            (u32::MAX, vec![7]),
        ] {
            noted.strike(0, DeliveryNumber(strike));
            assert_eq!(waiting(&noted), left, "{strike}");
        }
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
    fn what_its_sender_settles_first_is_not_noted() {
        let mut noted = noted(0, &[u32::MAX - 1]);
        // One that is noted, one that is yet to come, and the same of the next engine.
        noted.settled_by_sender(0, DeliveryNumber(u32::MAX - 1));
        noted.settled_by_sender(0, DeliveryNumber(1));
        noted.settled_by_sender(1, DeliveryNumber(0));
        assert_eq!((waiting(&noted), noted.settled.len()), (vec![], 2));
        push(&mut noted, 0, &[0]);
        noted.add(LINK, 0, &VecDeque::new());
        assert_eq!((waiting(&noted), noted.settled.len()), (vec![0], 0));
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
