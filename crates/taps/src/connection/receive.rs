//! The future of receiving, and whose turn it is.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::queue::keep;
use super::{Inner, ReceiveError};
use crate::message::{Message, Receive};

/// Receives one message, or a part of one.
#[derive(Debug)]
#[must_use]
pub(super) struct ReceiveOne<'a> {
    inner: &'a Inner,
    want: Receive,
    /// Its place among those who wait, once it does.
    turn: Option<Turn>,
}

impl<'a> ReceiveOne<'a> {
    pub(super) fn new(inner: &'a Inner, want: Receive) -> Self {
        Self { inner, want, turn: None }
    }
}

impl Future for ReceiveOne<'_> {
    type Output = Result<Message, ReceiveError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let core = &mut *this.inner.core();
        if !core.receivers.is_turn(this.turn) {
            this.turn = Some(core.receivers.wait(this.turn, cx));
            return Poll::Pending;
        }
        let received = core.poll_receive(&this.want, cx);
        core.answer(cx);
        if received.is_pending() {
            this.turn = Some(core.receivers.begin(this.turn));
        } else if let Some(turn) = this.turn.take() {
            core.receivers.leave(turn);
        }
        received
    }
}

impl Drop for ReceiveOne<'_> {
    fn drop(&mut self) {
        if let Some(turn) = self.turn {
            let mut core = self.inner.core();
            core.receivers.leave(turn);
            // The transport wakes only who has read last: when that one goes, the others take over.
            core.wake_readers();
        }
    }
}

/// A place among those who wait to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u64);

/// Those who wait to receive, in the order of their calls.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    /// Whose turn it is. Its waker is with the connection, which wakes it when there may be something.
    first: Option<Turn>,
    /// Those behind it.
    waiting: VecDeque<(Turn, Option<Waker>)>,
    turns: u64,
}

impl Receivers {
    /// Whether it is the turn of who has this place, or has none yet.
    fn is_turn(&self, turn: Option<Turn>) -> bool {
        self.first.is_none() || self.first == turn
    }

    /// Whose turn it is begins to wait for a message.
    fn begin(&mut self, turn: Option<Turn>) -> Turn {
        let turn = turn.unwrap_or_else(|| self.next());
        self.first = Some(turn);
        turn
    }

    /// Keeps the place of who waits for its turn, or gives one, and its waker.
    fn wait(&mut self, turn: Option<Turn>, cx: &Context<'_>) -> Turn {
        let turn = turn.unwrap_or_else(|| {
            let turn = self.next();
            self.waiting.push_back((turn, None));
            turn
        });
        if let Some((_, waker)) = self.waiting.iter_mut().find(|(place, _)| *place == turn) {
            keep(waker, cx);
        }
        turn
    }

    /// Somebody waits no more: the turn passes on when it was its.
    fn leave(&mut self, turn: Turn) {
        if self.first != Some(turn) {
            return self.waiting.retain(|(place, _)| *place != turn);
        }
        let next = self.waiting.pop_front();
        self.first = next.as_ref().map(|(place, _)| *place);
        if let Some((_, Some(waker))) = next {
            waker.wake();
        }
    }

    fn next(&mut self) -> Turn {
        self.turns += 1;
        Turn(self.turns)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn turns_go_by_the_order_of_the_calls_and_pass_on_when_one_leaves() {
        let mut receivers = Receivers::default();
        assert!(receivers.is_turn(None), "nobody waits");
        let woken: [Arc<Woken>; 3] = Default::default();
        let wakers = woken.clone().map(Waker::from);
        let first = receivers.begin(None);
        let [second, third, fourth] = wakers.each_ref().map(|waker| receivers.wait(None, &Context::from_waker(waker)));
        let count = || woken.each_ref().map(|woken| woken.0.load(Ordering::Relaxed));
        assert!(receivers.is_turn(Some(first)) && !receivers.is_turn(Some(second)) && !receivers.is_turn(None));
        receivers.leave(second);
        assert_eq!(count(), [0, 0, 0], "it was not its turn");
        receivers.leave(first);
        assert_eq!(count(), [0, 1, 0]);
        assert!(receivers.is_turn(Some(third)) && !receivers.is_turn(Some(fourth)));
        assert_eq!(receivers.begin(Some(third)), third);
        receivers.leave(third);
        assert_eq!(count(), [0, 1, 1]);
        receivers.leave(fourth);
        assert!(receivers.is_turn(None) && receivers.waiting.is_empty());
    }
}
