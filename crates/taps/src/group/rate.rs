//! The bounds on the rate of a connection: `maxSendRate` and `maxRecvRate` (RFC 9622 8.1.8).

use std::time::{Duration, Instant};

/// A rate that is not exceeded: a bucket that fills with time and is emptied by what is sent or received.
///
/// Not more than the rate's bits pass in any second (RFC 9622 8.1.8), as long as no message is longer than
/// [`burst`](Self::burst): the bucket holds a fiftieth of a second, and fills at the rate less what it holds. A longer
/// message passes when the bucket is full, and is made up for afterwards.
#[derive(Debug, Clone)]
pub(crate) struct RateLimit {
    /// In bits per second, at least 1.
    fill: u64,
    /// What the bucket holds, in units of a bit in a nanosecond at a bit per second.
    capacity: i128,
    /// What is in it; below zero when a long message has to be made up for.
    level: i128,
    at: Instant,
}

impl RateLimit {
    /// A limit in bits per second; 0 is taken as 1. The bucket is full at first.
    pub(crate) fn new(bits_per_second: u64, now: Instant) -> Self {
        let rate = bits_per_second.max(1);
        let burst = (rate / SHARE).max(1);
        let capacity = i128::from(burst) * NANOS;
        Self { fill: (rate - burst).max(1), capacity, level: capacity, at: now }
    }

    /// Changes the limit from now on.
    pub(crate) fn set_rate(&mut self, bits_per_second: u64, now: Instant) {
        self.refill(now);
        // What was sent before is not forgotten, and what was saved fits the new bucket.
        let level = self.level;
        *self = Self::new(bits_per_second, now);
        self.level = level.min(self.capacity);
    }

    /// The bytes that pass at once after a rest, at least 1: to send in pieces of this size keeps the limit exactly.
    pub(crate) fn burst(&self) -> usize {
        usize::try_from(self.capacity / (NANOS * 8)).unwrap_or(usize::MAX).max(1)
    }

    /// Lets this many bytes pass, or says how long to wait before asking again.
    pub(crate) fn take(&mut self, now: Instant, bytes: usize) -> Result<(), Duration> {
        self.refill(now);
        let cost = i128::from(u64::try_from(bytes).unwrap_or(u64::MAX)) * 8 * NANOS;
        let missing = cost.min(self.capacity) - self.level;
        if missing <= 0 {
            self.level -= cost;
            return Ok(());
        }
        let nanos = u128::try_from(missing).unwrap_or_default().div_ceil(self.fill.into());
        Err(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Counts bytes that have passed: more than there was room for are made up for afterwards.
    pub(crate) fn charge(&mut self, now: Instant, bytes: usize) {
        self.refill(now);
        self.level -= i128::from(u64::try_from(bytes).unwrap_or(u64::MAX)) * 8 * NANOS;
    }

    fn refill(&mut self, now: Instant) {
        let passed = i128::try_from(now.saturating_duration_since(self.at).as_nanos()).unwrap_or(i128::MAX);
        self.level = self.level.saturating_add(passed.saturating_mul(self.fill.into())).min(self.capacity);
        self.at = self.at.max(now);
    }
}

const NANOS: i128 = 1_000_000_000;

/// The part of a second that the bucket holds: a burst of 20 ms goes unnoticed, and timers are that exact everywhere.
const SHARE: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends pieces of a size as soon as they may pass; when each passed, from the start on.
    fn run(limit: &mut RateLimit, start: Instant, sizes: impl IntoIterator<Item = usize>) -> Vec<(Duration, usize)> {
        let mut now = start;
        let sent = sizes.into_iter().map(|size| {
            while let Err(wait) = limit.take(now, size) {
                assert!(wait > Duration::ZERO);
                now += wait;
            }
            (now - start, size)
        });
        sent.collect()
    }

    #[test]
    fn two_megabytes_at_eight_megabits_take_two_seconds() {
        let start = Instant::now();
        let mut limit = RateLimit::new(8_000_000, start);
        let sent = run(&mut limit, start, [10_000; 200]);
        let took = sent.last().unwrap().0;
        assert!((1_900..2_100).contains(&took.as_millis()), "{took:?}");
    }

    #[test]
    fn no_second_has_more_than_the_rate() {
        let start = Instant::now();
        for rate in [8, 1_000, 999_983, 8_000_000] {
            let mut limit = RateLimit::new(rate, start);
            let burst = limit.burst();
            let sizes = (0..500).map(|n| 1 + (n * 7919) % burst);
            let sent = run(&mut limit, start, sizes);
            for (index, (begin, _)) in sent.iter().enumerate() {
                let second = sent[index..].iter().take_while(|(at, _)| *at < *begin + Duration::from_secs(1));
                let bits: usize = second.map(|(_, size)| size * 8).sum();
                assert!(u64::try_from(bits).unwrap() <= rate.max(8), "{bits} of {rate}");
            }
        }
    }

    #[test]
    fn the_rate_is_used() {
        let start = Instant::now();
        let mut limit = RateLimit::new(1_000_000, start);
        let sent = run(&mut limit, start, [1_000; 1_000]);
        let rate = 8_000_000.0 / sent.last().unwrap().0.as_secs_f64();
        assert!((970_000.0..1_000_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn a_message_longer_than_the_burst_passes_and_is_made_up_for() {
        let start = Instant::now();
        let mut limit = RateLimit::new(8_000, start);
        assert_eq!(limit.take(start, 10_000), Ok(()));
        let wait = limit.take(start, 1).unwrap_err();
        assert!((9.5..11.0).contains(&wait.as_secs_f64()), "{wait:?}");
        assert_eq!(limit.take(start + wait, 1), Ok(()));
    }

    #[test]
    fn waiting_as_told_is_enough() {
        let start = Instant::now();
        for rate in [1, 3, 7_777, u64::MAX] {
            let mut limit = RateLimit::new(rate, start);
            let mut now = start;
            for size in [1, 2, 1, 3] {
                if let Err(wait) = limit.take(now, size) {
                    now += wait;
                    assert_eq!(limit.take(now, size), Ok(()), "{rate}");
                }
            }
        }
    }

    #[test]
    fn a_change_neither_forgets_nor_gives() {
        let start = Instant::now();
        let mut limit = RateLimit::new(8_000_000, start);
        limit.take(start, 20_000).unwrap();
        limit.set_rate(80_000_000, start);
        assert!(limit.take(start, 1).is_err());
        let later = start + Duration::from_secs(60);
        limit.set_rate(8_000, later);
        limit.take(later, limit.burst()).unwrap();
        assert!(limit.take(later, 1).is_err());
    }

    #[test]
    fn a_clock_that_stands_or_steps_back_gives_nothing() {
        let start = Instant::now() + Duration::from_secs(1);
        let mut limit = RateLimit::new(8_000, start);
        limit.take(start, limit.burst()).unwrap();
        assert!(limit.take(start - Duration::from_secs(1), 1).is_err());
        assert!(limit.take(start, 1).is_err());
        assert_eq!(limit.take(start, 0), Ok(()));
        assert!(limit.take(start, usize::MAX).is_err());
    }
}
