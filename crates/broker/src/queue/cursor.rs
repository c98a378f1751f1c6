//! How far a consumer has looked through what waits, and what makes it look again.

use std::collections::VecDeque;

/// Levels of priority that a queue may have (AMQP 1.0 part 3, 3.2.1: priorities are 0 to 9 in JMS, and of use here).
pub(crate) const LEVELS: usize = 10;

/// Where a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) level: u8,
    pub(crate) seq: u64,
}

/// For each level: no message below this seq is one that the consumer may have.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    pub(super) levels: [u64; LEVELS],
    /// What was given back until then is taken into account.
    epoch: u64,
}

/// The lowest seqs that were given back, by when. A consumer that was away hears of the lowest since then, and whoever
/// gives back tells nobody: it would be all consumers each time.
#[derive(Debug, Default)]
pub(super) struct Floors {
    epoch: u64,
    /// Rising in both; the seq is the lowest of this epoch and all later ones.
    lows: VecDeque<(u64, u64)>,
}

/// So many are told apart; older ones merge, and whoever asks so late looks at more than it had to.
const KEEP: usize = 32;

impl Cursor {
    /// Goes back to what was given back meanwhile.
    pub(super) fn follow(&mut self, floors: &Floors) {
        if self.epoch == floors.epoch {
            return;
        }
        if let Some(low) = floors.since(self.epoch) {
            self.lower(low);
        }
        self.epoch = floors.epoch;
    }

    /// Goes back to a message.
    pub(super) fn lower_to(&mut self, place: Place) {
        let level = &mut self.levels[usize::from(place.level).min(LEVELS - 1)];
        *level = place.seq.min(*level);
    }

    /// Goes back to this seq on each level.
    pub(super) fn lower(&mut self, seq: u64) {
        for level in &mut self.levels {
            *level = seq.min(*level);
        }
    }
}

impl Floors {
    /// Notes that a message of this seq waits again.
    pub(super) fn note(&mut self, seq: u64) {
        self.epoch += 1;
        while self.lows.back().is_some_and(|(_, low)| *low >= seq) {
            self.lows.pop_back();
        }
        self.lows.push_back((self.epoch, seq));
        if self.lows.len() > KEEP
            && let Some((_, lowest)) = self.lows.pop_front()
            && let Some((_, low)) = self.lows.front_mut()
        {
            *low = lowest;
        }
    }

    fn since(&self, epoch: u64) -> Option<u64> {
        let at = self.lows.partition_point(|(noted, _)| *noted <= epoch);
        self.lows.get(at).map(|(_, low)| *low)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_low_is_missed(steps in prop::collection::vec((0..200_u64, 0..8_usize), 1..300)) {
            let mut floors = Floors::default();
            // What each of them should be at, at most, and never above what it was.
            let mut cursors: Vec<(Cursor, u64)> = (0..8).map(|_| (Cursor::default(), 0)).collect();
            for (seq, who) in steps {
                floors.note(seq);
                for (_, low) in &mut cursors {
                    *low = seq.min(*low);
                }
                let (cursor, low) = &mut cursors[who];
                cursor.follow(&floors);
                prop_assert!(cursor.levels.iter().all(|level| *level <= *low));
                // It has looked through everything.
                cursor.levels = [1000; LEVELS];
                *low = 1000;
            }
        }
    }

    #[test]
    fn a_consumer_goes_back_no_further_than_it_must() {
        let mut floors = Floors::default();
        let mut cursor = Cursor { levels: [100; LEVELS], epoch: 0 };
        floors.note(10);
        cursor.follow(&floors);
        assert_eq!(cursor.levels[0], 10);
        cursor.levels = [100; LEVELS];
        cursor.follow(&floors);
        assert_eq!(cursor.levels[0], 100, "nothing was given back since");
        floors.note(50);
        floors.note(70);
        cursor.follow(&floors);
        assert_eq!(cursor.levels[3], 50);
    }
}
