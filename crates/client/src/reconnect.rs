//! When a connection that was lost is tried again, and where: the policy, without clock and without randomness.

use std::time::{Duration, Instant};

/// How a connection that was lost comes back.
///
/// The brokers of the list ([`ConnectOptions::url`](crate::ConnectOptions::url), then
/// [`failover`](crate::ConnectOptions::failover)) are tried in turn, that one first to which the connection was lost.
/// Within a round nothing is waited for; before the next round passes `interval`, which grows from round to round. The
/// first round begins at once, unless the connection had lived shorter than the pause that is due: a broker that takes
/// connections and drops them is not hammered.
///
/// ```
/// use std::time::Duration;
/// use postroad_client::{ConnectOptions, Reconnect};
///
/// let mut options = ConnectOptions::new("amqp://localhost".parse()?);
/// options.failover.push("amqp://standby".parse()?);
/// let mut reconnect = Reconnect::default();
/// reconnect.interval = Duration::from_millis(20);
/// reconnect.timeout = Some(Duration::from_secs(30));
/// options.reconnect = Some(reconnect);
/// # Ok::<(), postroad_address::UrlError>(())
/// ```
#[doc(alias = "Backoff")]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reconnect {
    /// The pause after the first round that failed. By default 100 ms; less than a millisecond counts as one.
    #[doc(alias = "reconnect_interval_min")]
    pub interval: Duration,
    /// The longest pause. By default 10 s.
    #[doc(alias = "reconnect_interval_max")]
    pub max_interval: Duration,
    /// By how much a pause is longer than the one before, 1 at least. By default 2.
    pub factor: f64,
    /// Up to which part of a pause is left out at random, from 0 to 1, so that not all clients of a broker come back at one
    /// moment. By default 0.3.
    pub jitter: f64,
    /// So many attempts are made for one loss, over all brokers; there is no limit by default.
    #[doc(alias = "reconnect_limit")]
    pub attempts: Option<u32>,
    /// How long is tried for one loss. By default two minutes; without it for ever.
    #[doc(alias = "reconnect_timeout")]
    pub timeout: Option<Duration>,
    /// Whether the first connection is tried again as well, within the same limits; otherwise each broker of the list is
    /// tried once. Not by default.
    pub initially: bool,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            max_interval: Duration::from_secs(10),
            factor: 2.0,
            jitter: 0.3,
            attempts: None,
            timeout: Some(Duration::from_secs(120)),
            initially: false,
        }
    }
}

/// The attempts for one loss.
#[derive(Debug)]
pub(crate) struct Schedule {
    policy: Reconnect,
    brokers: usize,
    /// The broker that comes first in each round.
    first: usize,
    began: Instant,
    /// Attempts so far, and those after which a round begins.
    attempts: u32,
    in_round: usize,
    rounds: u32,
    /// No attempt of this round begins before.
    round_at: Instant,
    /// Brokers that will not take us, whatever we do: those are left out.
    hopeless: Vec<usize>,
}

/// No pause is longer.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// An attempt at this broker of the list, at this time.
    Try { broker: usize, at: Instant },
    /// Nothing: the limits are reached.
    GiveUp,
}

impl Schedule {
    /// The attempts after a connection to the broker `last` of the list was lost, or before the first one.
    ///
    /// `lately` tells how many connections before this one were lost soon after they had opened.
    pub(crate) fn new(policy: Reconnect, brokers: usize, last: usize, lately: u32, now: Instant, random: f64) -> Self {
        let mut schedule = Self {
            policy,
            brokers: brokers.max(1),
            first: last,
            began: now,
            attempts: 0,
            in_round: 0,
            rounds: 0,
            round_at: now,
            hopeless: Vec::new(),
        };
        if lately > 0 {
            schedule.rounds = lately - 1;
            schedule.round_at = now + schedule.pause(random);
            schedule.rounds = lately;
        }
        schedule
    }

    /// The next attempt. `random` is drawn from 0 to 1.
    pub(crate) fn next(&mut self, now: Instant, random: f64) -> Next {
        let policy = &self.policy;
        let out_of_attempts = policy.attempts.is_some_and(|most| self.attempts >= most);
        if out_of_attempts || self.hopeless.len() >= self.brokers {
            return Next::GiveUp;
        }
        loop {
            if self.in_round == self.brokers {
                self.in_round = 0;
                self.round_at = now + self.pause(random);
                self.rounds = self.rounds.saturating_add(1);
            }
            let broker = (self.first + self.in_round) % self.brokers;
            self.in_round += 1;
            if self.hopeless.contains(&broker) {
                continue;
            }
            let at = self.round_at.max(now);
            if self.deadline().is_some_and(|deadline| at >= deadline) {
                return Next::GiveUp;
            }
            self.attempts += 1;
            return Next::Try { broker, at };
        }
    }

    /// Whether the attempt that [`next`](Self::next) gave may still begin; one for which no time is left is none.
    pub(crate) fn still(&mut self, now: Instant) -> bool {
        let still = self.deadline().is_none_or(|deadline| now < deadline);
        self.attempts -= u32::from(!still);
        still
    }

    /// Leaves a broker out from now on.
    pub(crate) fn leave_out(&mut self, broker: usize) {
        if !self.hopeless.contains(&broker) {
            self.hopeless.push(broker);
        }
    }

    /// Goes on with the time of an earlier loss.
    pub(crate) fn began_at(&mut self, began: Instant) {
        self.began = began;
    }

    /// Counts an attempt beside those at the brokers of the list; `false` where none may be made.
    pub(crate) fn beside(&mut self, now: Instant) -> bool {
        let may = self.policy.attempts.is_none_or(|most| self.attempts < most)
            && self.deadline().is_none_or(|deadline| now < deadline);
        self.attempts += u32::from(may);
        may
    }

    /// Attempts so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When the connection must be there.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        // A time beyond the clock's range is no deadline.
        self.policy.timeout.and_then(|timeout| self.began.checked_add(timeout))
    }

    /// The pause before the next round.
    fn pause(&self, random: f64) -> Duration {
        let Reconnect { interval, max_interval, factor, jitter, .. } = self.policy;
        let shortest = interval.clamp(Duration::from_millis(1), DAY);
        let longest = max_interval.clamp(shortest, DAY).as_secs_f64();
        let grown = shortest.as_secs_f64() * factor.max(1.0).powf(f64::from(self.rounds));
        // Also where it has grown beyond every number, or is none.
        let pause = if grown < longest { grown } else { longest };
        let left_out = jitter.clamp(0.0, 1.0) * random;
        let kept = if left_out > 0.0 { 1.0 - left_out.min(1.0) } else { 1.0 };
        Duration::from_secs_f64(pause * kept).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn policy() -> Reconnect {
        Reconnect { interval: 10 * MS, max_interval: 50 * MS, jitter: 0.0, timeout: None, ..Reconnect::default() }
    }

    /// The attempts of a schedule, each failing at once: broker, and milliseconds since the loss.
    fn attempts(mut schedule: Schedule, start: Instant, random: f64, most: usize) -> Vec<(usize, u128)> {
        let (mut now, mut made) = (start, Vec::new());
        while let Next::Try { broker, at } = schedule.next(now, random) {
            now = now.max(at);
            made.push((broker, now.duration_since(start).as_millis()));
            if made.len() == most {
                break;
            }
        }
        made
    }

    #[test]
    fn rounds_go_over_all_brokers_and_pauses_grow() {
        let now = Instant::now();
        let made = attempts(Schedule::new(policy(), 2, 1, 0, now, 0.0), now, 0.0, 10);
        let expected = [(1, 0), (0, 0), (1, 10), (0, 10), (1, 30), (0, 30), (1, 70), (0, 70), (1, 120), (0, 120)];
        assert_eq!(made, expected);
    }

    #[test]
    fn jitter_only_shortens() {
        let now = Instant::now();
        let policy = Reconnect { jitter: 0.5, ..policy() };
        let made = attempts(Schedule::new(policy, 1, 0, 0, now, 1.0), now, 1.0, 4);
        assert_eq!(made, [(0, 0), (0, 5), (0, 15), (0, 35)]);
    }

    #[test]
    fn limits_end_it() {
        let now = Instant::now();
        let counted = Reconnect { attempts: Some(3), ..policy() };
        assert_eq!(attempts(Schedule::new(counted, 2, 0, 0, now, 0.0), now, 0.0, 99).len(), 3);
        let none = Reconnect { attempts: Some(0), ..policy() };
        assert_eq!(Schedule::new(none, 1, 0, 0, now, 0.0).next(now, 0.0), Next::GiveUp);
        let timed = Reconnect { timeout: Some(31 * MS), ..policy() };
        assert_eq!(attempts(Schedule::new(timed, 1, 0, 0, now, 0.0), now, 0.0, 99), [(0, 0), (0, 10), (0, 30)]);
    }

    #[test]
    fn an_attempt_that_is_late_is_none() {
        let now = Instant::now();
        let policy = Reconnect { timeout: Some(31 * MS), ..policy() };
        let mut schedule = Schedule::new(policy, 1, 0, 0, now, 0.0);
        schedule.next(now, 0.0);
        assert_eq!(schedule.next(now, 0.0), Next::Try { broker: 0, at: now + 10 * MS });
        assert!(schedule.still(now + 30 * MS));
        assert_eq!(schedule.attempts(), 2);
        assert!(!schedule.still(now + 31 * MS));
        assert_eq!(schedule.attempts(), 1);
    }

    #[test]
    fn a_hopeless_broker_is_left_out_and_the_last_one_ends_it() {
        let now = Instant::now();
        let mut schedule = Schedule::new(policy(), 2, 0, 0, now, 0.0);
        assert_eq!(schedule.next(now, 0.0), Next::Try { broker: 0, at: now });
        schedule.leave_out(0);
        schedule.leave_out(0);
        assert_eq!(schedule.next(now, 0.0), Next::Try { broker: 1, at: now });
        assert_eq!(schedule.next(now, 0.0), Next::Try { broker: 1, at: now + 10 * MS });
        schedule.leave_out(1);
        assert_eq!(schedule.next(now, 0.0), Next::GiveUp);
        assert_eq!(schedule.attempts(), 3);
    }

    #[test]
    fn connections_that_do_not_last_are_paused_for() {
        let now = Instant::now();
        let first = |lately| attempts(Schedule::new(policy(), 1, 0, lately, now, 0.0), now, 0.0, 2);
        assert_eq!(first(1), [(0, 10), (0, 30)]);
        assert_eq!(first(2), [(0, 20), (0, 60)]);
        assert_eq!(first(100), [(0, 50), (0, 100)]);
    }

    #[test]
    fn no_number_makes_a_pause_of_nothing_or_of_for_ever() {
        let now = Instant::now();
        for factor in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            for interval in [Duration::ZERO, Duration::MAX] {
                for jitter in [f64::NAN, -1.0, 2.0] {
                    let policy = Reconnect { factor, interval, max_interval: Duration::ZERO, jitter, ..policy() };
                    let pause = Schedule::new(policy, 1, 0, u32::MAX, now, 2.0).pause(f64::NAN);
                    assert!(pause >= MS && pause <= DAY, "{factor} {interval:?} {jitter}: {pause:?}");
                }
            }
        }
    }
}
