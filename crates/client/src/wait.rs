//! Calls that wait for news, and that leave nothing behind when they are given up.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use crate::state::{Shared, State};

/// What a call waits for news of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// That the connection opens or ends, or a link of the peer's.
    Connection,
    Session(usize),
    /// That a link attaches or detaches, has credit or messages.
    Link(usize),
    /// The outcomes of messages that nobody waits for by name.
    Outcomes(usize),
}

/// Tasks that wait at one place, each with the ticket that it got.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    wakers: Vec<(u64, Waker)>,
    tickets: u64,
}

impl Waiters {
    pub(crate) fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }

    pub(crate) fn wake(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.wakers.drain(..).map(|(_, waker)| waker));
    }

    /// Registers a task, and gives back the waker that it had here until now.
    fn register(&mut self, ticket: &mut Option<u64>, cx: &Context<'_>) -> Option<Waker> {
        let known = ticket.and_then(|ticket| self.wakers.iter_mut().find(|(at, _)| *at == ticket));
        match known {
            Some((_, waker)) if waker.will_wake(cx.waker()) => None,
            Some((_, waker)) => Some(std::mem::replace(waker, cx.waker().clone())),
            None => {
                self.tickets += 1;
                self.wakers.push((self.tickets, cx.waker().clone()));
                *ticket = Some(self.tickets);
                None
            }
        }
    }

    fn remove(&mut self, ticket: u64) -> Option<Waker> {
        let at = self.wakers.iter().position(|(at, _)| *at == ticket)?;
        Some(self.wakers.swap_remove(at).1)
    }
}

impl Shared {
    /// Waits at a place until `ready` has a result. A dropped future takes its waker along.
    pub(crate) async fn wait<R>(&self, place: Place, mut ready: impl FnMut(&mut State) -> Option<R>) -> R {
        let mut wait = Wait::at(self, place);
        poll_fn(|cx| wait.shared.poll_at(place, &mut wait.ticket, cx, &mut ready)).await
    }

    /// Asks `ready` for a result, and registers the task at the place where there is none. Whoever keeps the ticket
    /// calls again with it.
    #[inline]
    pub(crate) fn poll_at<R>(
        &self,
        place: Place,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
        ready: impl FnOnce(&mut State) -> Option<R>,
    ) -> Poll<R> {
        // A waker that goes, goes outside the lock: what it owns may use the connection.
        let (result, _earlier) = self.with(|state| match ready(state) {
            Some(result) => (Poll::Ready(result), ticket.take().and_then(|ticket| state.leave(place, ticket))),
            None => (Poll::Pending, state.waiters_at(place).and_then(|waiters| waiters.register(ticket, cx))),
        });
        result
    }
}

impl State {
    fn waiters_at(&mut self, place: Place) -> Option<&mut Waiters> {
        match place {
            Place::Connection => Some(&mut self.waiters),
            Place::Session(key) => self.sessions.get_mut(key).map(|entry| &mut entry.waiters),
            Place::Link(key) => self.links.get_mut(key).map(|entry| &mut entry.waiters),
            Place::Outcomes(key) => self.links.get_mut(key).map(|entry| &mut entry.sends.sync_waiters),
        }
    }

    fn leave(&mut self, place: Place, ticket: u64) -> Option<Waker> {
        self.waiters_at(place)?.remove(ticket)
    }
}

/// One call that waits.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    shared: &'a Shared,
    place: Place,
    pub(crate) ticket: Option<u64>,
}

impl<'a> Wait<'a> {
    pub(crate) fn at(shared: &'a Shared, place: Place) -> Self {
        Self { shared, place, ticket: None }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let _waker = self.shared.with(|state| state.leave(self.place, ticket));
        }
    }
}
