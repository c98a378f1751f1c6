//! Transactions (AMQP 1.0 part 4): work on messages that happens together or not at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disposition::{Origin, Whereabouts};
use crate::protocol::{MessageFormat, TransactionId};
use crate::sender::{Encoded, Handover, Put, Settlement};
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
    /// The discharge that is on its way.
    discharged: Option<Discharge>,
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
    retired: Vec<(Origin, Outcome)>,
}

impl Transaction {
    pub(crate) fn new(control: &Arc<Sender>, id: TransactionId, epoch: u32) -> Self {
        Self { control: Arc::clone(control), id, epoch, work: Mutex::default(), discharged: None }
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
        self.work().submitted.push(settlement);
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
        if origin.settled {
            return Ok(());
        }
        if origin.connection != self.control.link.session.shared().number() {
            return Err(LinkError::ForeignMessage);
        }
        self.control.link.with(|state| {
            self.still_open(state)?;
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
    pub async fn commit(mut self) -> Result<(), TransactionError> {
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
    pub async fn rollback(mut self) -> Result<(), TransactionError> {
        self.discharge(Discharge::Rollback).await
    }

    /// As [`Transaction::commit`]. The transaction is of no use afterwards.
    pub(crate) async fn end_by_commit(&mut self) -> Result<(), TransactionError> {
        let submitted = std::mem::take(&mut self.work().submitted);
        let (mut count, mut first, mut failed) = (0, None, None);
        for settlement in submitted {
            match settlement.await {
                Ok(Outcome::Accepted) => {}
                Ok(outcome) => {
                    count += 1;
                    first.get_or_insert(outcome);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let error = match (failed, first) {
            (Some(error), _) => Some(TransactionError::Send(error)),
            (None, Some(first)) => Some(TransactionError::of_messages(count, first)),
            (None, None) => None,
        };
        if let Some(error) = error {
            self.discharge(Discharge::Rollback).await?;
            return Err(error);
        }
        self.discharge(Discharge::Commit).await?;
        self.settle_retired();
        Ok(())
    }

    /// Whether a commit was handed over, so that nothing is rolled back any more.
    #[cfg(feature = "blocking")]
    pub(crate) fn may_commit(&self) -> bool {
        self.discharged == Some(Discharge::Commit)
    }

    pub(crate) async fn hand_over(&self, sender: &Sender, message: &Message) -> Result<Settlement, SendError> {
        if !Arc::ptr_eq(sender.link.session.shared(), self.control.link.session.shared()) {
            return Err(SendError::NotSent(LinkError::ForeignTransaction));
        }
        if sender.settled {
            return Err(SendError::AtMostOnce);
        }
        self.control.link.with(|state| self.still_open(state)).map_err(SendError::NotSent)?;
        let Put { token, .. } = sender.hand_over(message, true, Some((&self.id, self.epoch))).await?;
        Ok(sender.settlement(token))
    }

    /// Waits for the outcome of a message. One whose future is dropped counts at the commit, polled or not.
    pub(crate) fn provisional(&self, settlement: Settlement) -> impl Future<Output = Result<Outcome, SendError>> {
        Waits { transaction: self, settlement: Some(settlement) }.outcome()
    }

    async fn discharge(&mut self, how: Discharge) -> Result<(), TransactionError> {
        // The outcomes in it must not come behind it.
        let fail = how == Discharge::Rollback;
        let command = self.control.link.with(|state| {
            state.engine.flush();
            Encoded::whole(state.engine.discharge(&self.id, fail))
        });
        let handover = Handover { epoch: Some(self.epoch), ..Handover::tracked(MessageFormat(0)) };
        let put = self.control.put_when_credited(&command, handover).await;
        let Put { token, .. } = put.map_err(|error| TransactionError::of_command(error, false))?;
        self.discharged = Some(how);
        match self.control.settlement(token).await {
            Ok(Outcome::Accepted) => Ok(()),
            Ok(Outcome::Rejected(error)) => Err(TransactionError::of_rejection(error)),
            Ok(_) => Err(TransactionError::Refused(None)),
            Err(error) => Err(TransactionError::of_command(error, !fail)),
        }
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
        if self.discharged.is_some() {
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
            self.transaction.work().submitted.push(settlement);
        }
    }
}
