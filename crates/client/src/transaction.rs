//! Transactions (AMQP 1.0 part 4): work on messages that happens together or not at all.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::disposition::{Origin, Whereabouts};
use crate::protocol::{MessageFormat, TransactionId};
use crate::sender::{Encoded, Handover, Put, Settlement, Within};
use crate::state::State;
use crate::types::{Fields, PeerError};
use crate::{LinkError, Message, Outcome, SendError, Sender, TransactionError};

/// A transaction that is open. Dropping it rolls it back, without waiting for that.
///
/// Messages that are settled in it stay with their receiver until the discharge: after a commit their outcome holds, after
/// a rollback they are to be settled anew, in another transaction or in none.
#[derive(Debug)]
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Transaction {
    control: Arc<Sender>,
    id: TransactionId,
    /// The engine on which it was declared: it ends with the connection.
    epoch: u32,
    work: Mutex<Work>,
    /// Set under the connection's lock once it is to be discharged: nothing becomes a part of it any more.
    ending: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Discharge {
    Commit,
    Rollback,
}

/// What was done in a transaction.
#[derive(Debug, Default)]
struct Work {
    /// The outcomes, to come, of messages that were sent and whose outcome nobody has seen.
    submitted: Vec<Settlement>,
    /// Of those that were waited for, how many were not accepted and the first outcome, and the first that is in doubt.
    not_accepted: usize,
    first: Option<Outcome>,
    failed: Option<SendError>,
    retired: Vec<(Origin, Outcome)>,
    /// It is to be rolled back, whether that was handed over or not.
    undone: bool,
    /// The discharge that is on its way, and its answer, to come.
    discharged: Option<(Discharge, Option<Settlement>)>,
}

impl Transaction {
    pub(crate) fn new(control: &Arc<Sender>, id: TransactionId, epoch: u32) -> Self {
        Self { control: Arc::clone(control), id, epoch, work: Mutex::default(), ending: AtomicBool::new(false) }
    }

    /// Sends a message in this transaction and waits for its outcome, which is provisional: where it is accepted, the
    /// message is there with the commit, and with nothing before it.
    ///
    /// # Errors
    /// As [`Sender::send`], also when the link of the transaction is over; [`SendError::AtMostOnce`] for a sender that settles as it sends, and
    /// [`LinkError::ForeignTransaction`] for one of another connection.
    ///
    /// # Cancel safety
    /// Dropped before the message is handed over, it is not sent; afterwards it is a part of the transaction as after
    /// [`Transaction::submit`].
    pub async fn send(&self, sender: &Sender, message: &Message) -> Result<Outcome, SendError> {
        let settlement = self.hand_over(sender, message).await?;
        self.provisional(settlement).await
    }

    /// Hands a message over in this transaction as soon as there is credit. [`Transaction::commit`] waits for its outcome,
    /// and rolls back where it is not accepted.
    ///
    /// # Errors
    /// As [`Transaction::send`].
    ///
    /// # Cancel safety
    /// A dropped future has handed over nothing.
    pub async fn submit(&self, sender: &Sender, message: &Message) -> Result<(), SendError> {
        let settlement = self.hand_over(sender, message).await?;
        self.keep(settlement);
        Ok(())
    }

    /// Tells that a message was processed, if the transaction is committed.
    ///
    /// # Errors
    /// When the link of the message or that of the transaction is over, or the message came over another connection.
    pub fn accept(&self, message: &Message) -> Result<(), LinkError> {
        self.settle(message, Outcome::Accepted)
    }

    /// Tells that a message is invalid, and why, if the transaction is committed.
    ///
    /// # Errors
    /// As [`Transaction::accept`].
    pub fn reject(&self, message: &Message, error: Option<PeerError>) -> Result<(), LinkError> {
        self.settle(message, Outcome::Rejected(error))
    }

    /// Gives a message back as if it had not been delivered, if the transaction is committed.
    ///
    /// # Errors
    /// As [`Transaction::accept`].
    pub fn release(&self, message: &Message) -> Result<(), LinkError> {
        self.settle(message, Outcome::Released)
    }

    /// Gives a message back changed, if the transaction is committed.
    ///
    /// # Errors
    /// As [`Transaction::accept`].
    pub fn modify(
        &self,
        message: &Message,
        delivery_failed: bool,
        undeliverable_here: bool,
        annotations: Option<Fields>,
    ) -> Result<(), LinkError> {
        self.settle(message, Outcome::Modified { delivery_failed, undeliverable_here, annotations })
    }

    /// Settles a message with an outcome, if the transaction is committed. One that its sender has settled needs nothing.
    ///
    /// # Errors
    /// As [`Transaction::accept`].
    pub fn settle(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError> {
        message.origin().map_or(Ok(()), |origin| self.settle_origin(origin, outcome))
    }

    /// As [`Transaction::settle`], for a message that is known by its origin alone.
    ///
    /// # Errors
    /// As [`Transaction::accept`].
    pub fn settle_origin(&self, origin: Origin, outcome: Outcome) -> Result<(), LinkError> {
        if origin.is_settled() {
            return Ok(());
        }
        if origin.connection != self.control.link.session.shared().number() {
            return Err(LinkError::ForeignMessage);
        }
        self.control.link.with(|state| {
            self.still_open(state)?;
            state.acknowledged(&origin);
            match state.find(&origin)? {
                Whereabouts::Here(link, number) => state.engine.retire(link, number, outcome.clone(), &self.id),
                // Nothing is known of it that a transaction could change.
                Whereabouts::Waits => return Err(LinkError::Stale),
                Whereabouts::Over => {}
            }
            Ok(())
        })?;
        self.work().retired.push((origin, outcome));
        Ok(())
    }

    /// Commits: everything that was done in the transaction holds from then on, or nothing of it.
    ///
    /// It waits for the outcomes of messages that were submitted, and rolls back where one is not accepted.
    ///
    /// # Errors
    /// With every error but [`TransactionError::InDoubt`] the transaction was rolled back: messages that were sent in it
    /// are gone, those that were settled in it are to be settled anew.
    ///
    /// # Cancel safety
    /// Dropped before the outcomes of submitted messages are there, or before there is credit for the discharge, it is
    /// rolled back. Afterwards the commit goes its way, and what became of it is not learned.
    pub async fn commit(self) -> Result<(), TransactionError> {
        self.end_by_commit().await
    }

    /// Rolls back: nothing that was done in the transaction holds.
    ///
    /// # Errors
    /// When the coordinator says something else, or the link ends: that rolls back as well.
    ///
    /// # Cancel safety
    /// Once polled, it is rolled back whether the future lives or not.
    #[doc(alias = "abort")]
    pub async fn rollback(self) -> Result<(), TransactionError> {
        self.end_by_rollback().await
    }

    /// As [`Transaction::commit`]. The transaction is of no use afterwards, but to be ended again where the future was
    /// dropped: that goes on where this was.
    pub(crate) async fn end_by_commit(&self) -> Result<(), TransactionError> {
        if self.discharged().is_none() {
            self.close();
            if let Some(error) = self.outcomes().await {
                self.discharge(Discharge::Rollback).await?;
                return Err(error);
            }
        }
        let how = self.discharged().unwrap_or(Discharge::Commit);
        self.discharge(how).await?;
        if how == Discharge::Commit {
            self.settle_retired();
        }
        Ok(())
    }

    /// As [`Transaction::rollback`]; where it was handed over to be committed, what became of that.
    pub(crate) async fn end_by_rollback(&self) -> Result<(), TransactionError> {
        self.work().undone = true;
        self.close();
        self.discharge(Discharge::Rollback).await
    }

    /// Whether it is to be rolled back, and no commit was handed over before.
    pub(crate) fn is_undone(&self) -> bool {
        let work = self.work();
        work.undone && !matches!(work.discharged, Some((Discharge::Commit, _)))
    }

    /// Whether a commit was handed over, so that nothing is rolled back any more.
    pub(crate) fn may_commit(&self) -> bool {
        self.discharged() == Some(Discharge::Commit)
    }

    /// Whether it is to be discharged, or was: nothing becomes a part of it any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Leaves a message whose outcome nobody waits for any more to the commit.
    pub(crate) fn keep(&self, settlement: Settlement) {
        self.work().submitted.push(settlement);
    }

    /// The messages that were settled in it.
    pub(crate) fn take_retired(&self) -> Vec<Origin> {
        std::mem::take(&mut self.work().retired).into_iter().map(|(origin, _)| origin).collect()
    }

    fn discharged(&self) -> Option<Discharge> {
        self.work().discharged.as_ref().map(|(how, _)| *how)
    }

    /// Lets nothing become a part of it any more; whoever waits to send in it hears of that.
    fn close(&self) {
        self.control.link.with(|state| {
            self.ending.store(true, Ordering::Relaxed);
            let session = state.links[self.control.link.key].session;
            state.wake_links_of(session);
        });
    }

    /// Waits for the outcomes of messages that were submitted, and tells why it cannot be committed.
    pub(crate) async fn outcomes(&self) -> Option<TransactionError> {
        loop {
            let Some(settlement) = self.work().submitted.pop() else { break };
            let outcome = self.provisional(settlement).await;
            let mut work = self.work();
            match outcome {
                Ok(Outcome::Accepted) => {}
                Ok(outcome) => {
                    work.not_accepted += 1;
                    // They are taken from the last on.
                    work.first = Some(outcome);
                }
                Err(error) => work.failed = Some(error),
            }
        }
        let work = self.work();
        match (&work.failed, &work.first) {
            (Some(error), _) => Some(TransactionError::Send(error.clone())),
            (None, Some(first)) => Some(TransactionError::of_messages(work.not_accepted, first.clone())),
            (None, None) => None,
        }
    }

    pub(crate) async fn hand_over(&self, sender: &Sender, message: &Message) -> Result<Settlement, SendError> {
        if !Arc::ptr_eq(sender.link.session.shared(), self.control.link.session.shared()) {
            return Err(SendError::NotSent(LinkError::ForeignTransaction));
        }
        if sender.settled {
            return Err(SendError::AtMostOnce);
        }
        self.control.link.with(|state| self.still_open(state)).map_err(SendError::NotSent)?;
        let within = Within { id: &self.id, epoch: self.epoch, ending: &self.ending };
        let Put { token, .. } = sender.hand_over(message, true, Some(within)).await.map_err(|error| *error)?;
        Ok(sender.settlement(token))
    }

    /// Waits for the outcome of a message. One whose future is dropped counts at the commit, polled or not.
    pub(crate) fn provisional(&self, settlement: Settlement) -> impl Future<Output = Result<Outcome, SendError>> {
        Waits { transaction: self, settlement: Some(settlement) }.outcome()
    }

    async fn discharge(&self, how: Discharge) -> Result<(), TransactionError> {
        let fail = how == Discharge::Rollback;
        // A loss leaves it unknown from here on.
        let _committing = (!fail).then(|| Committing::new(&self.control));
        if self.discharged().is_none() {
            // The outcomes in it must not come behind it.
            let command = self.control.link.with(|state| {
                state.engine.flush();
                Encoded::whole(state.engine.discharge(&self.id, fail))
            });
            let handover = Handover { epoch: Some(self.epoch), ..Handover::tracked(MessageFormat(0)) };
            let put = self.control.put_when_credited(&command, handover).await;
            let Put { token, .. } = put.map_err(|error| TransactionError::of_command(error, false))?;
            self.work().discharged = Some((how, Some(self.control.settlement(token))));
        }
        let may_commit = self.may_commit();
        match poll_fn(|cx| self.poll_discharge(cx)).await {
            Ok(Outcome::Accepted) => Ok(()),
            Ok(Outcome::Rejected(error)) => Err(TransactionError::of_rejection(error)),
            Ok(_) => Err(TransactionError::Refused(None)),
            Err(error) => Err(TransactionError::of_command(error, may_commit)),
        }
    }

    fn poll_discharge(&self, cx: &mut Context<'_>) -> Poll<Result<Outcome, SendError>> {
        let Some(mut settlement) = self.work().discharged.as_mut().and_then(|(_, answer)| answer.take()) else {
            return Poll::Ready(Err(SendError::InDoubt(LinkError::Closed)));
        };
        let polled = Pin::new(&mut settlement).poll(cx);
        if polled.is_pending()
            && let Some((_, answer)) = self.work().discharged.as_mut()
        {
            *answer = Some(settlement);
        }
        polled
    }

    /// Settles what the peer has not settled with the commit. Of what it has, nothing is told.
    fn settle_retired(&self) {
        let mut retired = std::mem::take(&mut self.work().retired);
        retired.sort_unstable_by_key(|(origin, _)| (origin.link, origin.number.0));
        self.control.link.with(|state| {
            for (origin, outcome) in retired {
                // One that is not there any more comes again.
                if let Ok(place) = state.find(&origin) {
                    state.tell_outcome(&origin, place, outcome);
                }
            }
        });
    }

    /// Fails once the control link is over: the peer has rolled back, and would take work in the transaction for a fault.
    fn still_open(&self, state: &State) -> Result<(), LinkError> {
        if state.down.is_some() || state.epoch != self.epoch {
            return Err(state.lost_error());
        }
        state.links[self.control.link.key].over.clone().map_or(Ok(()), Err)
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.discharged().is_some() {
            return;
        }
        let (link, id, epoch) = (self.control.link.id(), self.id.clone(), self.epoch);
        self.control.link.with(|state| {
            if state.epoch == epoch && state.down.is_none() {
                state.abandon(link, id);
            }
        });
    }
}

/// A commit that is under way.
struct Committing<'a> {
    control: &'a Sender,
}

impl<'a> Committing<'a> {
    fn new(control: &'a Sender) -> Self {
        control.link.session.set_committing(true);
        Self { control }
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        self.control.link.session.set_committing(false);
    }
}

/// A message whose outcome somebody waits for: one that is given up counts at the commit.
struct Waits<'a> {
    transaction: &'a Transaction,
    settlement: Option<Settlement>,
}

impl Waits<'_> {
    async fn outcome(mut self) -> Result<Outcome, SendError> {
        let settlement = self.settlement.as_mut().expect("nobody has taken it");
        let outcome = settlement.await;
        self.settlement = None;
        outcome
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(settlement) = self.settlement.take() {
            self.transaction.keep(settlement);
        }
    }
}
