//! The race between candidate addresses: staggered starts, the first ready one wins (RFC 9623 4.3.2, RFC 8305 5).
//!
//! [`Schedule`] decides when the next attempt may start, given the time and the failures; it holds no clock and
//! no socket. [`run`] drives it over futures. Dropping [`run`] drops every attempt.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long an attempt runs alone before the next one starts beside it (RFC 8305 8).
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of one name are tried; a resolver's answer must not decide how many sockets we open
/// (RFC 9623 12.2).
pub(crate) const MAX_CANDIDATES: usize = 16;

/// When the next attempt starts.
#[derive(Debug)]
pub(crate) struct Schedule {
    candidates: usize,
    started: usize,
    failed: usize,
    delay: Duration,
    next_start: Duration,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Start this candidate, then ask again.
    Start(usize),
    /// Ask again at this time since the start of the race, or after a failure.
    WaitUntil(Duration),
    /// Everything has started; wait for an attempt to end.
    Wait,
    /// Every candidate has failed.
    Exhausted,
}

impl Schedule {
    pub(crate) fn new(candidates: usize, delay: Duration) -> Self {
        Self { candidates, started: 0, failed: 0, delay, next_start: Duration::ZERO }
    }

    /// Returns what to do at `now`, the time since the start of the race.
    pub(crate) fn poll(&mut self, now: Duration) -> Step {
        if self.failed == self.candidates {
            Step::Exhausted
        } else if self.started == self.candidates {
            Step::Wait
        } else if now >= self.next_start {
            self.started += 1;
            self.next_start = now + self.delay;
            Step::Start(self.started - 1)
        } else {
            Step::WaitUntil(self.next_start)
        }
    }

    /// Notes that one started attempt has failed: the next starts at once, earlier ones keep running.
    pub(crate) fn handle_failure(&mut self) {
        self.failed += 1;
        self.next_start = Duration::ZERO;
    }
}

/// Races `candidates` attempts made by `start`; returns the first success, or `None` when all have failed.
/// `failed` hears of each failure as it happens.
pub(crate) async fn run<F, T, E>(
    candidates: usize,
    delay: Duration,
    mut start: impl FnMut(usize) -> F,
    mut failed: impl FnMut(usize, E),
) -> Option<T>
where
    F: Future<Output = Result<T, E>>,
{
    let begin = Instant::now();
    let mut schedule = Schedule::new(candidates, delay);
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::with_capacity(candidates.min(2));
    let mut timer = pin!(sleep_until(begin));
    poll_fn(|cx| {
        loop {
            let mut index = 0;
            while index < running.len() {
                match running[index].1.as_mut().poll(cx) {
                    Poll::Ready(Ok(winner)) => return Poll::Ready(Some(winner)),
                    Poll::Ready(Err(error)) => {
                        let (candidate, _) = running.swap_remove(index);
                        failed(candidate, error);
                        schedule.handle_failure();
                    }
                    Poll::Pending => index += 1,
                }
            }
            match schedule.poll(begin.elapsed()) {
                Step::Start(candidate) => running.push((candidate, Box::pin(start(candidate)))),
                Step::WaitUntil(time) => {
                    timer.as_mut().reset(begin + time);
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Step::Wait => return Poll::Pending,
                Step::Exhausted => return Poll::Ready(None),
            }
        }
    })
    .await
}

/// Orders addresses for the race: the resolver's order within a family, the families alternating, the resolver's
/// first choice first (RFC 8305 4, with a first address family count of one).
pub(crate) fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut families = [Vec::new(), Vec::new()];
    let mut first = None;
    for address in addresses {
        let v6 = address.is_ipv6();
        let family = &mut families[usize::from(v6 != *first.get_or_insert(v6))];
        if family.len() < MAX_CANDIDATES && !family.contains(&address) {
            family.push(address);
        }
    }
    let [one, two] = families;
    let longest = one.len().max(two.len());
    (0..longest).flat_map(|index| [one.get(index), two.get(index)]).flatten().copied().take(MAX_CANDIDATES).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::sleep;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Runs attempts that end after a time, well or badly; tells the winner, when each started, and when it ended.
    async fn race(attempts: &[(u64, bool)]) -> (Option<usize>, Vec<u64>, u64) {
        let begin = Instant::now();
        let starts = RefCell::new(Vec::new());
        let winner = run(
            attempts.len(),
            ATTEMPT_DELAY,
            |index| {
                starts.borrow_mut().push(u64::try_from(begin.elapsed().as_millis()).unwrap());
                let (time, good) = attempts[index];
                async move {
                    sleep(MS(time)).await;
                    if good { Ok(index) } else { Err(()) }
                }
            },
            |_, ()| {},
        )
        .await;
        (winner, starts.into_inner(), u64::try_from(begin.elapsed().as_millis()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_black_hole_delays_by_one_stagger() {
        assert_eq!(race(&[(60_000, false), (5, true)]).await, (Some(1), vec![0, 250], 255));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_at_once() {
        assert_eq!(race(&[(3, false), (5, true)]).await, (Some(1), vec![0, 3], 8));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_attempt_keeps_running() {
        assert_eq!(race(&[(300, true), (350, true)]).await, (Some(0), vec![0, 250], 300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_failure_does_not_wait_for_the_stagger() {
        // The second starts at 250, the first fails at 260: the third need not wait until 500.
        assert_eq!(race(&[(260, false), (9_000, false), (10, true)]).await, (Some(2), vec![0, 250, 260], 270));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_starts_after_success() {
        assert_eq!(race(&[(250, true), (1, true), (1, true)]).await, (Some(0), vec![0], 250));
    }

    #[tokio::test(start_paused = true)]
    async fn all_failing_ends_the_race() {
        assert_eq!(race(&[(1, false), (2, false)]).await, (None, vec![0, 1], 3));
        assert_eq!(race(&[]).await, (None, vec![], 0));
    }

    #[test]
    fn the_schedule_needs_no_clock() {
        let mut schedule = Schedule::new(2, MS(250));
        assert_eq!(schedule.poll(MS(0)), Step::Start(0));
        assert_eq!(schedule.poll(MS(0)), Step::WaitUntil(MS(250)));
        assert_eq!(schedule.poll(MS(249)), Step::WaitUntil(MS(250)));
        assert_eq!(schedule.poll(MS(250)), Step::Start(1));
        assert_eq!(schedule.poll(MS(250)), Step::Wait);
        schedule.handle_failure();
        assert_eq!(schedule.poll(MS(251)), Step::Wait);
        schedule.handle_failure();
        assert_eq!(schedule.poll(MS(252)), Step::Exhausted);
    }

    #[test]
    fn families_alternate_from_the_first_choice() {
        let parse = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let resolved = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1", "[::1]:1", "127.0.0.2:1"]);
        assert_eq!(interleave(resolved), parse(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "[::3]:1"]));
    }

    #[test]
    fn a_thousand_addresses_are_sixteen_candidates() {
        let many = (0..1000u16).map(|n| SocketAddr::new([127, 0, (n >> 8) as u8, n as u8].into(), 1));
        assert_eq!(interleave(many).len(), MAX_CANDIDATES);
    }
}
