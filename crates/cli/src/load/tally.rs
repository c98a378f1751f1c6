//! What the receivers have counted, and the stamp by which they know a message.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use postroad::messaging::Message;

/// Bytes that each body begins with: run, number of the message, time of its sending, eight each.
pub(super) const STAMP: usize = 24;
/// The most messages: each has a bit in memory.
pub(super) const MAX_COUNT: u64 = 1_000_000_000;

/// What a message says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Tells the messages of this run from those of others.
    pub(super) run: u64,
    pub(super) number: u64,
    /// From the start of the run.
    pub(super) sent: Duration,
}

impl Stamp {
    /// A body of `size` bytes, which are enough for the stamp.
    pub(super) fn body(self, size: usize) -> Vec<u8> {
        let mut body = Vec::with_capacity(size);
        body.extend_from_slice(&self.run.to_be_bytes());
        body.extend_from_slice(&self.number.to_be_bytes());
        body.extend_from_slice(&(self.sent.as_nanos() as u64).to_be_bytes());
        body.resize(size, b'x');
        body
    }

    /// The stamp of a message, if it is one of this run.
    pub(super) fn read(message: &Message, run: u64) -> Option<Self> {
        let body = message.bytes()?;
        let word = |at: usize| Some(u64::from_be_bytes(body.get(at..at + 8)?.try_into().ok()?));
        let stamp = Self { run: word(0)?, number: word(8)?, sent: Duration::from_nanos(word(16)?) };
        (stamp.run == run && stamp.number < MAX_COUNT).then_some(stamp)
    }
}

/// What has come.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) seen: Seen,
    pub(super) duplicated: u64,
    /// In microseconds.
    pub(super) latency: Histogram<u64>,
    /// When the last message came; the start while none has.
    pub(super) last: Instant,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            seen: Seen::default(),
            duplicated: 0,
            // From a microsecond to an hour, to three digits; what takes longer counts as an hour.
            latency: Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("constant bounds are right"),
            last: Instant::now(),
        }
    }

    /// Takes down a message. Gives how many are here, unless it came before.
    pub(super) fn add(&mut self, number: u64, latency: Duration) -> Option<u64> {
        self.last = Instant::now();
        if !self.seen.insert(number) {
            self.duplicated += 1;
            return None;
        }
        self.latency.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        Some(self.seen.count)
    }
}

/// The numbers that have come, a bit each.
#[derive(Debug, Default)]
pub(super) struct Seen {
    bits: Vec<u64>,
    pub(super) count: u64,
}

impl Seen {
    /// Adds a number below [`MAX_COUNT`], and says whether it is new.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        self.count += u64::from(new);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_come_again_are_found() {
        let mut tally = Tally::new();
        let counts = [0, 63, 64, 1000].map(|number| tally.add(number, Duration::from_millis(1)));
        assert_eq!(counts, [Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(tally.add(64, Duration::from_millis(1)), None);
        assert_eq!((tally.seen.count, tally.duplicated, tally.latency.len()), (4, 1, 4));
        assert_eq!(tally.latency.max(), 1000);
    }

    #[test]
    fn a_message_of_others_has_no_stamp() {
        let stamp = |run, number| Stamp { run, number, sent: Duration::from_nanos(7) };
        assert_eq!(Stamp::read(&Message::from(stamp(1, 2).body(100)), 1), Some(stamp(1, 2)));
        assert_eq!(Stamp::read(&Message::from(stamp(1, 2).body(STAMP)), 2), None);
        assert_eq!(Stamp::read(&Message::from(stamp(1, MAX_COUNT).body(STAMP)), 1), None);
        assert_eq!(Stamp::read(&Message::from(stamp(1, 2).body(STAMP)[..23].to_vec()), 1), None);
        assert_eq!(Stamp::read(&Message::from("text"), 1), None);
    }
}
