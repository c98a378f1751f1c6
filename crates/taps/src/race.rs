//! The race between candidates: staggered starts, the first ready one wins (RFC 9623 4.3.2, RFC 8305 5).
//!
//! [`Schedule`] decides when the next attempt may start, given the time and the failures; it holds no clock and
//! no socket. [`drive`] runs it over futures. Dropping the race drops every attempt.

mod schedule;
mod tree;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

pub(crate) use self::schedule::{NodeId, Schedule, Step};
pub(crate) use self::tree::{Arrival, run_tree};

/// How long an attempt runs alone before the next one starts beside it (RFC 8305 8).
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

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
