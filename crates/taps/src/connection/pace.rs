//! A bound on the rate at which bytes pass (RFC 9622 8.1.8).

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::group::RateLimit;

/// A rate limit, and the wait for it.
#[derive(Debug)]
pub(super) struct Pace {
    limit: RateLimit,
    /// In bits per second.
    rate: u64,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// Sets a bound in bits per second, or takes it away.
    pub(super) fn set(pace: &mut Option<Box<Self>>, rate: Option<u64>) {
        match (pace.as_mut(), rate) {
            (Some(pace), Some(rate)) if pace.rate == rate => {}
            (Some(pace), Some(rate)) => {
                pace.rate = rate;
                pace.limit.set_rate(rate, now());
            }
            (None, Some(rate)) => {
                *pace = Some(Box::new(Self { limit: RateLimit::new(rate, now()), rate, wait: None }));
            }
            (_, None) => *pace = None,
        }
    }

    /// Ready when bytes may pass, as many as make a burst.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(wait) = &mut self.wait {
                if wait.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.wait = None;
            }
            match self.limit.take(now(), 0) {
                Ok(()) => return Poll::Ready(()),
                Err(wait) => self.wait = Some(Box::pin(sleep(wait.max(Duration::from_millis(1))))),
            }
        }
    }

    /// Notes that so many bytes have passed.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.limit.charge(now(), bytes);
    }

    /// How many bytes may pass at once, so that they come at an even rate.
    pub(super) fn burst(&self) -> usize {
        self.limit.burst()
    }
}

/// The time of the runtime, which tests may stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
