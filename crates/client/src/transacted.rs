//! A session whose work happens in transactions, one after another (AMQP 1.0 part 4).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::sender::Settlement;
use crate::shared_receiver::SharedReceiver;
use crate::{
    LinkError, Message, Origin, Outcome, SendError, Sender, Session, Transaction, TransactionController,
    TransactionError,
};

/// The transactions of a session: each begins by itself with the first message that is sent or outcome that is to be told,
/// and ends with [`commit`](Self::commit) or [`rollback`](Self::rollback). Clones are handles of the same.
///
/// The session ends with its connection, also where that is made anew: what was done in the open transaction is not.
/// Then it is over with [`LinkError::TransactionAborted`], or, in the middle of a commit, with
/// [`LinkError::TransactionUnknown`].
#[derive(Debug, Clone)]
pub struct Transacted {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    controller: TransactionController,
    /// Whoever begins or ends a transaction.
    turn: tokio::sync::Mutex<()>,
    work: Mutex<Work>,
}

#[derive(Debug, Default)]
struct Work {
    current: Option<Arc<Transaction>>,
    /// Outcomes that leave with the commit.
    acked: Vec<(Origin, Outcome)>,
    /// Messages whose outcomes cannot leave, because the link of one is over.
    untold: Vec<Origin>,
    state: TransactionState,
}

/// How far the transactions of a session have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TransactionState {
    /// Work is being done, or none has been so far.
    #[default]
    Active,
    /// A commit is under way.
    #[doc(alias = "committing")]
    Committing,
    /// The last one was committed.
    #[doc(alias = "committed")]
    Committed,
    /// A rollback is under way.
    #[doc(alias = "aborting")]
    Aborting,
    /// The last one was rolled back.
    #[doc(alias = "aborted")]
    Aborted,
}

impl Session {
    /// Has the work of this session happen in transactions.
    ///
    /// # Errors
    /// As [`Session::transaction_controller`].
    ///
    /// # Cancel safety
    /// A dropped future leaves the session as it was.
    pub async fn transacted(&self) -> Result<Transacted, TransactionError> {
        let controller = self.transaction_controller().await?;
        self.end_with_connection();
        Ok(Transacted {
            inner: Arc::new(Inner { controller, turn: tokio::sync::Mutex::default(), work: Mutex::default() }),
        })
    }
}

impl Transacted {
    /// How far they have come.
    #[must_use]
    pub fn state(&self) -> TransactionState {
        self.work().state
    }

    /// Hands a message over in the open transaction, and gives its provisional outcome, to come. One that is given up
    /// counts at the commit.
    ///
    /// # Errors
    /// As [`Transaction::submit`], and when no transaction could be begun: [`SendError::NotSent`].
    ///
    /// # Cancel safety
    /// A dropped future has handed over nothing.
    pub async fn submit_tracked(&self, sender: &Sender, message: &Message) -> Result<Provisional, SendError> {
        loop {
            let transaction = self.begun().await.map_err(not_sent)?;
            match transaction.hand_over(sender, message).await {
                // It was to be a part of one that has been ended: it is one of the next.
                Err(SendError::NotSent(LinkError::TransactionEnded)) => {}
                Err(error) => return Err(error),
                Ok(settlement) => return Ok(Provisional { transaction, settlement: Some(settlement) }),
            }
        }
    }

    /// Hands a message over in the open transaction. [`Transacted::commit`] waits for its outcome, and rolls back where
    /// it is not accepted.
    ///
    /// # Errors
    /// As [`Transacted::submit_tracked`].
    ///
    /// # Cancel safety
    /// A dropped future has handed over nothing.
    pub async fn submit(&self, sender: &Sender, message: &Message) -> Result<(), SendError> {
        self.submit_tracked(sender, message).await.map(drop)
    }

    /// Waits for the provisional outcomes of messages that were submitted, of which [`Transacted::commit`] tells.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn sync(&self) {
        let current = self.work().current.clone();
        if let Some(transaction) = current {
            let _ = transaction.outcomes().await;
        }
    }

    /// Settles a message with an outcome, if the transaction is committed.
    pub fn settle_origin(&self, origin: Origin, outcome: Outcome) {
        if !origin.is_settled() {
            let shared = self.session().shared();
            if origin.connection == shared.number() {
                shared.with(|state| state.acknowledged(&origin));
            }
            self.work().acked.push((origin, outcome));
        }
    }

    /// Messages that have an outcome which the commit is to tell.
    #[must_use]
    pub fn acked(&self) -> usize {
        self.work().acked.len()
    }

    /// Commits what was done since the last commit or rollback. Without anything done, there is nothing to wait for.
    ///
    /// # Errors
    /// With [`TransactionError::InDoubt`] it is not known what became of it, and the session is ended. With every other
    /// error the transaction was rolled back; messages that were settled in it have gone back to their nodes.
    ///
    /// # Cancel safety
    /// Once polled it goes its way: when the future is dropped, whatever is done next goes on with it, but for a
    /// rollback that comes before it was handed over.
    pub async fn commit(&self) -> Result<(), TransactionError> {
        let _turn = self.inner.turn.lock().await;
        self.work().state = TransactionState::Committing;
        self.finish_commit().await
    }

    /// Rolls back what was done since the last commit or rollback. What has come on the session, and was not settled in
    /// a transaction that was committed, goes back to its nodes and comes again: as delivered before where it is
    /// `unsettled`, what was handed out and has no outcome, or was settled in the transaction; and as if nothing had
    /// happened where nobody has seen it.
    ///
    /// # Errors
    /// When the session is over: that rolls back as well.
    ///
    /// # Cancel safety
    /// Dropped before it is done, messages may stay where they are: another call gives them back.
    pub async fn rollback(&self, unsettled: impl FnOnce() -> Vec<Origin>) -> Result<(), TransactionError> {
        let _turn = self.inner.turn.lock().await;
        self.work().state = TransactionState::Aborting;
        // What comes while things are given back would come before them.
        let stopped = Stopped::new(self.session());
        stopped.quiet().await;
        let current = self.work().current.clone();
        let result = match current {
            // A commit that nobody waited for: what it has not taken along is given back.
            Some(transaction) if transaction.may_commit() => self.finish_commit().await,
            Some(transaction) => transaction.end_by_rollback().await,
            None => Ok(()),
        };
        if let Some(error) = self.controller().error() {
            return Err(TransactionError::Link(error));
        }
        if let Err(error @ TransactionError::InDoubt(_)) = result {
            return Err(error);
        }
        // Whatever else the coordinator says, the transaction is no more.
        self.give_back(self.take_undone().into_iter().chain(unsettled()));
        stopped.give_back().await;
        self.work().state = TransactionState::Aborted;
        Ok(())
    }

    /// The transaction that is open, or another one.
    async fn begun(&self) -> Result<Arc<Transaction>, TransactionError> {
        if let Some(transaction) = self.work().current.clone().filter(|transaction| !transaction.has_ended()) {
            return Ok(transaction);
        }
        let _turn = self.inner.turn.lock().await;
        self.begun_in_turn().await
    }

    async fn begun_in_turn(&self) -> Result<Arc<Transaction>, TransactionError> {
        let current = self.work().current.clone();
        match current {
            Some(transaction) if !transaction.has_ended() => return Ok(transaction),
            // What nobody waited for.
            Some(transaction) if transaction.is_undone() => self.finish_rollback(&transaction).await,
            Some(_) => self.finish_commit().await?,
            None => {}
        }
        let transaction = Arc::new(self.controller().declare().await?);
        let mut work = self.work();
        work.current = Some(transaction.clone());
        work.state = TransactionState::Active;
        Ok(transaction)
    }

    /// Goes on with a rollback that nobody waited for.
    async fn finish_rollback(&self, transaction: &Transaction) {
        // Whatever the coordinator says, the transaction is no more.
        let _ = transaction.end_by_rollback().await;
        self.give_back(self.take_undone());
    }

    /// What was settled in the transaction that is open, which is no more, and what was to be.
    fn take_undone(&self) -> Vec<Origin> {
        let mut work = self.work();
        let mut undone = work.current.take().map(|transaction| transaction.take_retired()).unwrap_or_default();
        undone.append(&mut work.untold);
        undone.extend(std::mem::take(&mut work.acked).into_iter().map(|(origin, _)| origin));
        undone
    }

    /// Commits the transaction that is open, or goes on with that.
    async fn finish_commit(&self) -> Result<(), TransactionError> {
        let mut current = self.work().current.clone();
        if let Some(transaction) = current.take_if(|transaction| transaction.is_undone()) {
            self.finish_rollback(&transaction).await;
        }
        let transaction = match current {
            Some(transaction) => transaction,
            None if self.acked() == 0 => {
                self.work().state = TransactionState::Committed;
                return self.controller().error().map_or(Ok(()), |error| Err(TransactionError::Link(error)));
            }
            None => {
                let transaction = Arc::new(self.controller().declare().await?);
                self.work().current = Some(transaction.clone());
                transaction
            }
        };
        let result = match self.tell_outcomes(&transaction) {
            Ok(()) => transaction.end_by_commit().await,
            Err(error) => {
                let _ = transaction.end_by_rollback().await;
                Err(TransactionError::Link(error))
            }
        };
        let mut retired = transaction.take_retired();
        let mut work = self.work();
        work.current = None;
        work.state = if result.is_ok() { TransactionState::Committed } else { TransactionState::Aborted };
        retired.extend(std::mem::take(&mut work.untold));
        drop(work);
        match &result {
            Ok(()) => {}
            // Nobody knows any more what is whose.
            Err(TransactionError::InDoubt(_)) => self.session().end(),
            Err(_) => self.give_back(retired),
        }
        result
    }

    /// Tells the outcomes that wait for the commit.
    fn tell_outcomes(&self, transaction: &Transaction) -> Result<(), LinkError> {
        if transaction.has_ended() {
            return Ok(());
        }
        let mut acked = std::mem::take(&mut self.work().acked);
        // As few ranges as they make.
        acked.sort_by_key(|(origin, _)| (origin.link, origin.number.0));
        let told = acked.iter().try_for_each(|(origin, outcome)| transaction.settle_origin(*origin, outcome.clone()));
        if told.is_err() {
            self.work().untold = acked.into_iter().map(|(origin, _)| origin).collect();
        }
        told
    }

    /// Gives messages back as delivered before.
    fn give_back(&self, origins: impl IntoIterator<Item = Origin>) {
        let outcome = Outcome::Modified { delivery_failed: true, undeliverable_here: false, annotations: None };
        // One whose link is over goes back by itself.
        let _ = self.session().settle_origins(origins, &outcome);
    }

    fn controller(&self) -> &TransactionController {
        &self.inner.controller
    }

    fn session(&self) -> &Session {
        self.inner.controller.session()
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.inner.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The provisional outcome of a message that was sent in a transaction, to come.
///
/// # Cancel safety
/// Dropped before it is there, the outcome counts at the commit.
#[derive(Debug)]
#[must_use = "one that is not awaited tells nothing"]
pub struct Provisional {
    transaction: Arc<Transaction>,
    settlement: Option<Settlement>,
}

impl Future for Provisional {
    type Output = Result<Outcome, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(settlement) = &mut self.settlement else {
            return Poll::Ready(Err(SendError::InDoubt(LinkError::TransactionEnded)));
        };
        let polled = Pin::new(settlement).poll(cx);
        if polled.is_ready() {
            self.settlement = None;
        }
        polled
    }
}

impl Drop for Provisional {
    fn drop(&mut self) {
        if let Some(settlement) = self.settlement.take() {
            self.transaction.keep(settlement);
        }
    }
}

/// The receivers of a session without credit. They get it back when this goes.
struct Stopped(Vec<(SharedReceiver, bool)>);

impl Stopped {
    fn new(session: &Session) -> Self {
        let receivers = session.shared_receivers().into_iter();
        Self(
            receivers
                .map(|receiver| {
                    let may_come = receiver.stop();
                    (receiver, may_come)
                })
                .collect(),
        )
    }

    /// Waits for what was on its way.
    async fn quiet(&self) {
        for (receiver, _) in self.0.iter().filter(|(_, may_come)| *may_come) {
            receiver.stopped().await;
        }
    }

    /// Gives back what has come, and waits until the peer knows of that, and of the outcomes that were told.
    async fn give_back(&self) {
        for (receiver, _) in &self.0 {
            receiver.give_back();
        }
        for (receiver, _) in &self.0 {
            let _ = receiver.confirmed().await;
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for (receiver, _) in &self.0 {
            receiver.go_on();
        }
    }
}

fn not_sent(error: TransactionError) -> SendError {
    match error {
        TransactionError::Send(error) => error,
        TransactionError::Link(error) | TransactionError::InDoubt(error) => SendError::NotSent(error),
        // The coordinator's reason is the session's business.
        error => SendError::NotSent(LinkError::Transaction(Box::new(error))),
    }
}
