//! The receiver's record: which messages have come, and how often.

use postroad_client::Guarantee;

/// Counts what has come by the numbers in the payloads.
#[derive(Debug)]
pub(super) struct Ledger {
    /// How often each number has come, up to 255.
    times: Vec<u8>,
    /// Numbers that have come.
    received: u64,
    /// Messages that had come before.
    repeated: u64,
    /// Messages that are none of ours, or were changed.
    foreign: u64,
}

/// What has become of the messages of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Messages that were handed over.
    pub sent: u64,
    /// Those of them that have come.
    pub received: u64,
    /// Those that have not.
    pub lost: u64,
    /// Messages that came and had come before.
    pub repeated: u64,
    /// Messages that came and were never sent like that.
    pub foreign: u64,
}

impl Ledger {
    pub(super) fn new(messages: u64) -> Self {
        Self { times: vec![0; usize::try_from(messages).unwrap_or(usize::MAX)], received: 0, repeated: 0, foreign: 0 }
    }

    /// Notes a message that has come, by its number where it has one.
    pub(super) fn note(&mut self, id: Option<u64>) {
        let times = id.and_then(|id| self.times.get_mut(usize::try_from(id).ok()?));
        match times {
            Some(times) => {
                let first = *times == 0;
                *times = times.saturating_add(1);
                *if first { &mut self.received } else { &mut self.repeated } += 1;
            }
            None => self.foreign += 1,
        }
    }

    /// What has become of the first `sent` messages.
    pub(super) fn count(&self, sent: u64) -> Count {
        let Self { received, repeated, foreign, .. } = *self;
        Count { sent, received, lost: sent.saturating_sub(received), repeated, foreign }
    }

    /// The first numbers that have not come, and the first that came more than once.
    pub(super) fn odd_ones(&self, sent: u64) -> [Vec<u64>; 2] {
        let sent = usize::try_from(sent).unwrap_or(usize::MAX);
        [|times: u8| times == 0, |times: u8| times > 1].map(|odd| {
            let all = self.times.iter().take(sent).zip(0_u64..);
            all.filter(|(times, _)| odd(**times)).map(|(_, id)| id).take(10).collect()
        })
    }
}

impl Count {
    /// What breaks the guarantee, where something does.
    #[must_use]
    pub fn breach(&self, guarantee: Guarantee) -> Option<String> {
        let (may_lose, may_repeat) = match guarantee {
            Guarantee::AtMostOnce => (true, false),
            Guarantee::AtLeastOnce => (false, true),
            _ => (false, false),
        };
        let breaches = [
            (self.lost > 0 && !may_lose, "lost messages"),
            (self.repeated > 0 && !may_repeat, "repeated messages"),
            (self.foreign > 0, "messages that nobody has sent like that"),
        ];
        let found: Vec<&str> = breaches.iter().filter(|(broken, _)| *broken).map(|(_, what)| *what).collect();
        (!found.is_empty()).then(|| found.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_counted_by_its_number() {
        let mut ledger = Ledger::new(5);
        for id in [Some(0), Some(2), Some(2), Some(2), None, Some(5), Some(4)] {
            ledger.note(id);
        }
        let count = ledger.count(5);
        assert_eq!(count, Count { sent: 5, received: 3, lost: 2, repeated: 2, foreign: 2 });
        assert_eq!(ledger.odd_ones(5), [vec![1, 3], vec![2]]);
        assert_eq!(Ledger::new(3).count(3).lost, 3);
    }

    #[test]
    fn each_guarantee_is_broken_by_what_it_excludes() {
        let right = Count { sent: 9, received: 9, lost: 0, repeated: 0, foreign: 0 };
        let (lost, repeated, foreign) =
            (Count { lost: 1, ..right }, Count { repeated: 1, ..right }, Count { foreign: 1, ..right });
        let broken =
            |guarantee: Guarantee| [right, lost, repeated, foreign].map(|count| count.breach(guarantee).is_some());
        assert_eq!(broken(Guarantee::AtMostOnce), [false, false, true, true]);
        assert_eq!(broken(Guarantee::AtLeastOnce), [false, true, false, true]);
    }
}
