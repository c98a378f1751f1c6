//! Credit of a receiver: what it grants by itself, what its owner grants, and how it is asked back.

use std::time::Duration;

use super::Receiver;
use crate::LinkError;
use crate::link::Link;
use crate::protocol::MOST_CREDIT;
use crate::state::State;
use crate::wait::Place;

/// How long a peer may take to answer a drain. Some never do.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a peer that must not be drained gets, at least, to send what it has.
const UNASKED: Duration = Duration::from_millis(250);

impl Receiver {
    /// Messages that are taken ahead of being asked for; 0 grants one when one is asked for.
    #[must_use]
    pub fn prefetch(&self) -> u32 {
        self.prefetch
    }

    /// Sets at how few messages, here or on their way, more are asked for; at half of the prefetch by default. The more, the
    /// sooner, and the more often credit is granted.
    pub fn set_refill(&mut self, refill: Option<u32>) {
        self.refill = refill;
        self.top_up_when_due(self.prefetch);
    }

    pub(super) fn top_up_when_due(&mut self, target: u32) {
        if self.outstanding <= self.refill.unwrap_or(self.prefetch / 2) {
            self.top_up(target);
        }
    }

    /// Changes how many messages are taken ahead, and takes credit back from the caller. With fewer than before, credit is
    /// taken back from the sender; what was on its way comes all the same. Of 2^31 and more, 2^31 - 1 count.
    pub fn set_prefetch(&mut self, prefetch: u32) {
        let prefetch = prefetch.min(MOST_CREDIT);
        self.prefetch = prefetch;
        if self.manual {
            // A drain that nobody waits for any more is called off.
            self.grant(|credit| credit);
            self.manual = false;
            self.recount();
        }
        if self.quirks.overdraws {
            // Never more than what was allowed before: what is buffered stays bounded.
            self.link.with(|state| state.set_overdraft(self.link.key, prefetch));
        }
        if prefetch < self.outstanding {
            let here = u32::try_from(self.available()).unwrap_or(u32::MAX);
            self.grant(|_| prefetch.saturating_sub(here));
            self.recount();
        }
        self.top_up(prefetch);
    }

    /// The messages that the sender may still send, besides those that are here.
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            if entry.over.is_some() { 0 } else { state.granted(self.link.key) }
        })
    }

    /// Allows the sender this many messages from now on, whatever it was allowed before, and leaves credit to the
    /// caller: nothing is granted by itself any more, until [`Receiver::set_prefetch`] is called. Of 2^31 and
    /// more, 2^31 - 1 count.
    ///
    /// Messages that were on their way when the credit was lowered, be it to 0, are taken all the same.
    pub fn set_credit(&mut self, credit: u32) {
        self.manual = true;
        self.grant(|_| credit);
    }

    /// Allows the sender this many messages more, and leaves credit to the caller as [`Receiver::set_credit`] does.
    #[doc(alias = "flow")]
    pub fn add_credit(&mut self, credit: u32) {
        self.manual = true;
        self.grant(|granted| granted.saturating_add(credit));
    }

    /// Asks the sender to use its credit or give it up, and waits until it has: then every message that it could send is
    /// here, and there is no credit. It leaves credit to the caller as [`Receiver::set_credit`] does.
    ///
    /// Without credit it is over at once: what credit that was taken back may still bring is not waited for.
    ///
    /// A peer that is known to break when it is asked (old RabbitMQ) has a quarter of a second to send what it has, and
    /// its credit is taken back then.
    ///
    /// # Errors
    /// When the link is over, or the peer does not answer in the link's timeout.
    ///
    /// # Cancel safety
    /// Dropped once it was polled, the sender is asked all the same: messages wait here as they come, and
    /// [`Receiver::is_draining`] tells whether it has answered. Credit that is granted meanwhile calls the drain off;
    /// of it, what the sender has given up already is gone.
    #[doc(alias = "drained")]
    pub async fn drain(&mut self) -> Result<(), LinkError> {
        self.ask_to_drain();
        let drained = self.link.session.shared().wait(Place::Link(self.link.key), |state| {
            let entry = &state.links[self.link.key];
            match &entry.over {
                Some(error) => Some(Err(error.clone())),
                None => entry.drained.then_some(Ok(())),
            }
        });
        let timeout = self.link.timeout;
        tokio::time::timeout(timeout, drained).await.unwrap_or(Err(LinkError::Timeout(timeout)))
    }

    pub(crate) fn ask_to_drain(&mut self) {
        self.manual = true;
        if self.quirks.breaks_on_drain {
            self.link.with(|state| state.withdraw_after(self.link.key, UNASKED));
        } else {
            self.start_drain();
        }
    }

    /// Whether the sender has been asked for its credit and has not answered.
    #[doc(alias = "draining")]
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            entry.over.is_none() && (entry.withdrawn_at.is_some() || state.engine.is_draining(entry.id))
        })
    }

    /// Messages that wait at the sender, as far as it told with its last flow.
    #[must_use]
    pub fn remote_available(&self) -> u32 {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            if entry.over.is_some() { 0 } else { state.engine.available(entry.id) }
        })
    }

    /// Grants credit so that `target` messages are here or on their way.
    fn top_up(&mut self, target: u32) {
        if self.manual || target <= self.outstanding {
            return;
        }
        let Self { link, batch, outstanding, .. } = self;
        link.with(|state| {
            let entry = &state.links[link.key];
            if entry.over.is_some() {
                return;
            }
            let here = u32::try_from(batch.len() + state.engine.queued(entry.id)).unwrap_or(u32::MAX);
            state.grant(link.key, target.saturating_sub(here));
            *outstanding = outstanding_of(state, link.key, batch.len());
        });
    }

    /// Counts credit anew: what a drain gives up comes back as no message, and its answer may come long after whoever
    /// asked has gone.
    pub(super) fn recount(&mut self) {
        let Self { link, batch, outstanding, .. } = self;
        link.with(|state| {
            let entry = &mut state.links[link.key];
            if entry.over.is_none() {
                (entry.drained, entry.aborted) = (false, false);
                *outstanding = outstanding_of(state, link.key, batch.len());
            }
        });
    }

    /// Grants credit as the owner says, from what there is.
    fn grant(&self, credit: impl FnOnce(u32) -> u32) {
        let (link, overdraws) = (&self.link, self.quirks.overdraws);
        link.with(|state| {
            let entry = &state.links[link.key];
            if entry.over.is_some() {
                return;
            }
            let id = entry.id;
            state.links[link.key].withdrawn_at = None;
            let granted = state.granted(link.key);
            let credit = credit(granted);
            if overdraws {
                state.set_overdraft(link.key, credit.max(granted));
            }
            state.engine.stop_draining(id);
            state.grant(link.key, credit);
        });
    }

    fn start_drain(&self) {
        let link = &self.link;
        link.session.shared().turn(|state| {
            let entry = &mut state.links[link.key];
            if entry.over.is_none() {
                entry.drained = false;
                let id = entry.id;
                state.engine.drain(id);
                state.take_news();
            }
        });
    }

    /// Asks the peer for what it has: afterwards every message that it could send is here.
    pub(super) async fn ask(&mut self) -> Result<(), LinkError> {
        self.begin_to_ask();
        answer_to_drain(&self.link).await?;
        self.end_of_asking();
        Ok(())
    }

    pub(crate) fn begin_to_ask(&mut self) {
        self.recount();
        self.top_up(self.prefetch.max(1));
        self.start_drain();
    }

    /// The credit that was given up is granted again, but for a receiver that takes nothing ahead.
    pub(crate) fn end_of_asking(&mut self) {
        self.recount();
        self.top_up(self.prefetch);
    }

    /// How long a fetch waits for messages that nobody was asked for, and whether the sender may be asked then.
    pub(crate) fn patience(&self, timeout: Duration) -> (Duration, bool) {
        let drainable = !self.quirks.breaks_on_drain;
        (if drainable { timeout } else { timeout.max(UNASKED) }, drainable && !self.manual)
    }

    /// Takes credit back, until [`Receiver::go_on`]; `true` where messages may be on their way.
    pub(crate) fn stop(&mut self) -> bool {
        let granted = self.credit();
        self.manual = true;
        self.grant(|_| 0);
        granted > 0
    }

    /// Grants credit again as before [`Receiver::stop`], and has whoever waits for a message do so as well.
    pub(crate) fn go_on(&mut self) {
        self.set_prefetch(self.prefetch);
        let link = &self.link;
        link.with(|state| {
            let State { links, wakes, .. } = state;
            let entry = &mut links[link.key];
            entry.aborted = true;
            entry.waiters.wake(wakes);
        });
    }
}

/// Waits for the answer to a drain, or for what comes before it; not for ever.
pub(crate) async fn answer_to_drain(link: &Link) -> Result<(), LinkError> {
    let drained = link.session.shared().wait(Place::Link(link.key), |state| {
        let entry = &mut state.links[link.key];
        if !entry.left.is_empty() {
            return Some(Ok(()));
        }
        if let Some(error) = &entry.over {
            return Some(Err(error.clone()));
        }
        if state.down.is_some() || !entry.is_usable() {
            return None;
        }
        (entry.drained || state.engine.queued(entry.id) > 0).then_some(Ok(()))
    });
    tokio::time::timeout(DRAIN, drained).await.unwrap_or(Ok(()))
}

/// Messages of a link that are here, `taken` of them outside the engine, or may still come.
pub(super) fn outstanding_of(state: &mut State, key: usize, taken: usize) -> u32 {
    let here = taken.saturating_add(state.engine.queued(state.links[key].id));
    u32::try_from(here).unwrap_or(u32::MAX).saturating_add(state.granted(key))
}
