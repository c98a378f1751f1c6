//! What the sender of a link has heard: a flow that wants an answer (AMQP 1.0 part 2, 2.7.4, echo) goes out behind what was
//! told, and is answered when that was taken in.

use std::time::Duration;

use crate::LinkError;
use crate::link::Link;
use crate::state::State;
use crate::wait::Place;

/// Outcomes that were told on a link, and flows that want an answer.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Outcomes that were told, and those of which it is known that they were taken in.
    told: u64,
    confirmed: u64,
    /// Flows that wanted an answer, one at a time, and answers; and what had been told before the last one.
    asked: u64,
    answers: u64,
    told_before: u64,
    /// The peer does not answer flows: what it was told counts as heard.
    silent: bool,
}

/// How long a peer may take to answer a flow. Some never do.
const PATIENCE: Duration = Duration::from_secs(2);

impl Heard {
    #[inline]
    pub(crate) fn tell(&mut self) {
        self.told += 1;
        self.confirmed += u64::from(self.silent);
    }

    pub(crate) fn answered(&mut self) {
        self.answers = self.asked;
        self.confirmed = self.confirmed.max(self.told_before);
    }

    /// The sender has settled a delivery, where it does so when it has heard the outcome.
    pub(crate) fn settled(&mut self) {
        self.confirmed = self.told.min(self.confirmed + 1);
    }

    /// No answer has come in time, and none is waited for any more.
    fn give_up(&mut self) {
        (self.silent, self.answers, self.confirmed) = (true, self.asked, self.told);
    }

    /// The connection was lost: what was told has arrived, or its message comes again.
    pub(crate) fn lost(&mut self) {
        (self.answers, self.confirmed) = (self.asked, self.told);
    }

    fn unconfirmed(&self) -> u64 {
        self.told - self.confirmed
    }
}

impl State {
    /// Has the sender of a link answer behind all that it was told, unless it is asked already.
    fn ask_what_was_heard(&mut self, key: usize) {
        let Self { links, engine, down, .. } = self;
        let entry = &mut links[key];
        if entry.over.is_none() && down.is_none() && entry.attached && entry.heard.answers == entry.heard.asked {
            entry.heard.asked += 1;
            entry.heard.told_before = entry.heard.told;
            engine.flush();
            engine.ask_flow(entry.id);
        }
    }
}

impl Link {
    /// Waits until the sender has answered what it hears now: what it had sent before is here. Not for ever.
    pub(crate) async fn answer(&self) {
        let mut target = None;
        let answered = self.session.shared().wait(Place::Link(self.key), |state| {
            let heard = &state.links[self.key].heard;
            let target = *target.get_or_insert(heard.asked + 1);
            if heard.answers >= target || heard.silent {
                return Some(());
            }
            state.ask_what_was_heard(self.key);
            (state.links[self.key].over.is_some() || state.down.is_some()).then_some(())
        });
        if tokio::time::timeout(PATIENCE, answered).await.is_err() {
            self.with(|state| state.links[self.key].heard.give_up());
        }
    }

    /// Waits until the sender has taken in every outcome that it was told, as far as that can be known: one that settles when
    /// it has heard the outcome has settled, another one has answered. One that does not answer at all is not waited for.
    pub(crate) async fn confirmed(&self) -> Result<(), LinkError> {
        let mut target = None;
        let confirmed = self.session.shared().wait(Place::Link(self.key), |state| {
            let entry = &state.links[self.key];
            let (told, second) = (entry.heard.told, entry.second);
            let target = *target.get_or_insert(told);
            if entry.heard.confirmed >= target {
                return Some(Ok(()));
            }
            if let Some(error) = &entry.over {
                return Some(Err(error.clone()));
            }
            if !second {
                state.ask_what_was_heard(self.key);
            }
            None
        });
        if self.with(|state| state.links[self.key].second) {
            return confirmed.await;
        }
        tokio::time::timeout(PATIENCE, confirmed).await.unwrap_or_else(|_| {
            self.with(|state| state.links[self.key].heard.give_up());
            Ok(())
        })
    }

    /// Outcomes of which it is not known that the sender has taken them in. It is asked, so that it is known soon.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.with(|state| {
            let entry = &state.links[self.key];
            let unconfirmed = entry.heard.unconfirmed();
            if entry.over.is_some() {
                return 0;
            }
            if unconfirmed > 0 && !entry.second {
                state.ask_what_was_heard(self.key);
            }
            usize::try_from(unconfirmed).unwrap_or(usize::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_does_not_answer_is_waited_for_once() {
        let mut heard = Heard::default();
        heard.tell();
        heard.tell();
        assert_eq!(heard.unconfirmed(), 2);
        (heard.asked, heard.told_before) = (1, 2);
        heard.answered();
        assert_eq!(heard.unconfirmed(), 0);
        heard.tell();
        assert_eq!(heard.unconfirmed(), 1);
        heard.give_up();
        heard.tell();
        assert_eq!(heard.unconfirmed(), 0);
    }
}
