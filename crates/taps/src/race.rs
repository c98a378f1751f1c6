//! The race between candidates: staggered starts, the first ready one wins (RFC 9623 4.3.2, RFC 8305 5).
//!
//! [`Schedule`] decides when the next attempt may start, given the time and the failures; it holds no clock and
//! no socket. [`drive`] runs it over futures. Dropping the race drops every attempt.

// The trees come with the candidates of several paths and protocols.
#[allow(dead_code)]
mod schedule;
#[allow(dead_code)]
mod tree;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

pub(crate) use self::schedule::{NodeId, Schedule, Step};
#[allow(unused_imports)]
pub(crate) use self::tree::{Arrival, no_arrivals, run_tree};

/// How long an attempt runs alone before the next one starts beside it (RFC 8305 8).
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of one name are tried; a resolver's answer must not decide how many sockets we open
/// (RFC 9623 12.2).
pub(crate) const MAX_CANDIDATES: usize = 16;

/// What is raced: how an attempt begins, who hears of its end, and what comes later.
pub(crate) trait Attempts {
    type Connection;
    type Error;
    type Attempt: Future<Output = Result<Self::Connection, Self::Error>>;

    /// Begins the attempt of a leaf.
    fn start(&mut self, leaf: NodeId) -> Self::Attempt;

    /// Hears of a failure as it happens.
    fn failed(&mut self, leaf: NodeId, error: Self::Error);

    /// Puts into the schedule what has arrived by `now`; ready when it has changed, and pending with the waker
    /// kept, or without it when nothing more will come.
    fn poll_arrivals(&mut self, _cx: &mut Context<'_>, _schedule: &mut Schedule, _now: Duration) -> Poll<()> {
        Poll::Pending
    }
}

/// Races the leaves of a schedule; returns the first that succeeds, or `None` when all have failed.
pub(crate) async fn drive<A: Attempts>(schedule: &mut Schedule, attempts: &mut A) -> Option<(NodeId, A::Connection)> {
    let begin = Instant::now();
    let mut running: Vec<(NodeId, Pin<Box<A::Attempt>>)> = Vec::with_capacity(2);
    let mut timer = pin!(sleep_until(begin));
    poll_fn(|cx| {
        loop {
            let mut index = 0;
            while index < running.len() {
                let (leaf, attempt) = &mut running[index];
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(connection)) => return Poll::Ready(Some((*leaf, connection))),
                    Poll::Ready(Err(error)) => {
                        let (leaf, _) = running.swap_remove(index);
                        attempts.failed(leaf, error);
                        schedule.handle_failure(leaf);
                    }
                    Poll::Pending => index += 1,
                }
            }
            let now = begin.elapsed();
            if attempts.poll_arrivals(cx, schedule, now).is_ready() {
                continue;
            }
            match schedule.poll(now) {
                Step::Start(leaf) => running.push((leaf, Box::pin(attempts.start(leaf)))),
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

/// Races `candidates` attempts made by `start`; returns the first success, or `None` when all have failed.
/// `failed` hears of each failure as it happens.
pub(crate) async fn run<F, T, E>(
    candidates: usize,
    delay: Duration,
    start: impl FnMut(usize) -> F,
    failed: impl FnMut(usize, E),
) -> Option<T>
where
    F: Future<Output = Result<T, E>>,
{
    let mut schedule = Schedule::new(delay);
    let leaves = (0..candidates).map(|_| schedule.add_leaf(Schedule::ROOT)).collect();
    let mut flat = Flat { leaves, start, failed };
    drive(&mut schedule, &mut flat).await.map(|(_, connection)| connection)
}

/// One level of candidates, known by their index.
struct Flat<S, H> {
    leaves: Vec<NodeId>,
    start: S,
    failed: H,
}

impl<S, H> Flat<S, H> {
    fn index(&self, leaf: NodeId) -> usize {
        self.leaves.binary_search(&leaf).expect("the schedule starts what was added to it")
    }
}

impl<F, T, E, S, H> Attempts for Flat<S, H>
where
    F: Future<Output = Result<T, E>>,
    S: FnMut(usize) -> F,
    H: FnMut(usize, E),
{
    type Connection = T;
    type Error = E;
    type Attempt = F;

    fn start(&mut self, leaf: NodeId) -> F {
        let index = self.index(leaf);
        (self.start)(index)
    }

    fn failed(&mut self, leaf: NodeId, error: E) {
        let index = self.index(leaf);
        (self.failed)(index, error);
    }
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
