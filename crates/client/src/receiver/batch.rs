//! Messages of a receiver that have come: they are taken from the connection in one go, and wait to be handed out.

use std::task::{Context, Poll, ready};

use super::credit::outstanding_of;
use super::quirks::Quirks;
use super::{Receiver, Taken};
use crate::disposition;
use crate::protocol::{Delivery, DeliveryNumber};
use crate::state::State;
use crate::unacknowledged::Unacknowledged;
use crate::wait::Place;
use crate::{LinkError, Outcome};

impl Receiver {
    /// Messages that are here and have not been handed out.
    #[doc(alias = "queued")]
    #[must_use]
    pub fn available(&self) -> usize {
        let queued = self.link.with(|state| {
            let entry = &state.links[self.link.key];
            let left = entry.left.len();
            // What is there of a connection that was lost comes again.
            if entry.over.is_some() || state.down.is_some() { left } else { left + state.engine.queued(entry.id) }
        });
        self.batch.len() + queued
    }

    /// The next message that is here; takes a whole batch from the connection when its own is used up.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Delivery> {
        if !self.fill() {
            return None;
        }
        let delivery = self.batch.pop_front();
        if let Some(delivery) = &delivery {
            self.within = delivery.more;
        }
        self.outstanding = self.outstanding.saturating_sub(delivery.is_some().into());
        self.top_up_when_due(self.prefetch);
        delivery
    }

    /// The next message that is here, which stays: the engine that it came over, and its number there.
    pub(crate) fn head(&mut self) -> Option<(u32, DeliveryNumber)> {
        let here = self.fill();
        self.batch.front().filter(|_| here).map(|delivery| (self.epoch, delivery.number))
    }

    /// Takes a batch from the connection where nothing is here; `false` while it is not known what a loss of the
    /// connection means for what is.
    #[inline]
    fn fill(&mut self) -> bool {
        if self.link.session.shared().stamp() != self.stamp && !self.catch_up() {
            return false;
        }
        if self.batch.is_empty() {
            let Self { link, id, epoch, batch, outstanding, .. } = self;
            link.with(|state| {
                let entry = &mut state.links[link.key];
                batch.append(&mut entry.left);
                if entry.over.is_none() && state.down.is_none() {
                    (*id, *epoch) = (entry.id, state.epoch);
                    let before = batch.len();
                    state.engine.take_all(*id, batch);
                    if state.links[link.key].second {
                        let unsettled =
                            batch.iter().skip(before).filter(|delivery| !delivery.settled && !delivery.more);
                        state.links[link.key].open += unsettled.count();
                    }
                    *outstanding = outstanding_of(state, link.key, batch.len());
                }
                if let Some(noted) = &mut state.links[link.key].unacknowledged {
                    noted.add(*id, *epoch, batch);
                }
            });
        }
        true
    }

    /// Looks at what a loss of the connection means for what is here; `false` while that is not known.
    ///
    /// Messages of a link that is the same to its sender stay. Those of a link that is new to it come again, so they
    /// are thrown away unless they are settled.
    #[cold]
    fn catch_up(&mut self) -> bool {
        let Self { link, batch, epoch, .. } = self;
        let caught_up = link.with(|state| {
            let entry = &state.links[link.key];
            let stamp = state.stamp();
            if entry.over.is_some() {
                // What is kept comes again.
                return Some((stamp, entry.suspended));
            }
            if state.down.is_some() || !entry.is_usable() {
                return None;
            }
            Some((stamp, entry.since > *epoch))
        });
        let Some((stamp, stale)) = caught_up else {
            // What is settled is ours in any case.
            if batch.is_empty() {
                link.with(|state| batch.append(&mut state.links[link.key].left));
            }
            return batch.front().is_some_and(|delivery| delivery.settled);
        };
        if stale {
            let before = batch.len();
            batch.retain(|delivery| delivery.settled);
            let thrown_away = before - batch.len();
            link.with(|state| {
                if let Some(noted) = &mut state.links[link.key].unacknowledged {
                    noted.take_back(thrown_away);
                }
            });
            self.interrupted = std::mem::take(&mut self.within);
        }
        self.stamp = stamp;
        self.quirks = Quirks::of_peer(&self.link);
        self.recount();
        true
    }

    /// Waits until a message is here.
    pub(super) async fn arrival(&mut self) -> Result<(), LinkError> {
        loop {
            if self.seek() {
                return Ok(());
            }
            let (link, stamp) = (&self.link, self.stamp);
            let here = |state: &mut State| here(state, link.key, stamp);
            if link.session.shared().wait(Place::Link(link.key), here).await? {
                return Ok(());
            }
        }
    }

    /// As [`Receiver::take`], for a task that keeps its ticket.
    pub(crate) fn poll_take(&mut self, ticket: &mut Option<u64>, cx: &Context<'_>) -> Poll<Result<Taken, LinkError>> {
        self.poll_for(ticket, cx, Self::take)
    }

    /// Polls for something that is made of what has come.
    pub(super) fn poll_for<R>(
        &mut self,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
        mut take: impl FnMut(&mut Self) -> Option<R>,
    ) -> Poll<Result<R, LinkError>> {
        loop {
            if let Some(taken) = take(self) {
                return Poll::Ready(Ok(taken));
            }
            if self.seek() {
                continue;
            }
            let (link, stamp) = (&self.link, self.stamp);
            let here = |state: &mut State| here(state, link.key, stamp);
            ready!(link.session.shared().poll_at(Place::Link(link.key), ticket, cx, here))?;
        }
    }

    /// Sees to it that a message can come; `true` when one is here.
    fn seek(&mut self) -> bool {
        if self.link.session.shared().stamp() != self.stamp && self.catch_up() && !self.batch.is_empty() {
            return true;
        }
        self.recount();
        self.top_up_when_due(self.prefetch.max(1));
        false
    }

    /// Notes from now on which messages have no outcome.
    pub(crate) fn note_unacknowledged(&mut self) {
        let Self { link, id, epoch, batch, .. } = self;
        let mut noted = Unacknowledged::default();
        noted.add(*id, *epoch, batch);
        link.with(|state| state.links[link.key].unacknowledged = Some(noted));
    }

    /// Messages that are here and wait to be handed out, which will need an outcome.
    pub(crate) fn here_unsettled(&self) -> usize {
        self.batch.iter().filter(|delivery| !delivery.settled).count()
    }

    /// Gives back what has come and was not handed out.
    pub(crate) fn give_back(&mut self) {
        while self.fill()
            && let Some(delivery) = self.batch.pop_front()
        {
            let origin = self.origin(&delivery);
            if !origin.is_settled() {
                // Where the link is over it goes back by itself.
                let _ = disposition::dispose(self.link.session.shared(), &origin, Outcome::Released);
            }
        }
    }
}

/// Whether a message is here; `false` where credit is to be counted anew.
fn here(state: &mut State, key: usize, stamp: u32) -> Option<Result<bool, LinkError>> {
    let entry = &mut state.links[key];
    if !entry.left.is_empty() {
        return Some(Ok(true));
    }
    if let Some(error) = &entry.over {
        return Some(Err(error.clone()));
    }
    // What a dead engine has comes again.
    if state.down.is_some() || !entry.is_usable() {
        return None;
    }
    if state.engine.queued(entry.id) > 0 {
        return Some(Ok(true));
    }
    let entry = &state.links[key];
    (entry.drained || entry.aborted || state.stamp() != stamp).then_some(Ok(false))
}
