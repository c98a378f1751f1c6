//! Work on messages that happens together or not at all (AMQP 1.0 part 4).

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use postroad_client as client;
use postroad_client::{LinkError, Outcome, SendError, ToSend};

use crate::container::Command;
use crate::{Delivery, Sender, Session};

/// A transaction that was asked for ([`Session::declare_transaction`]). Messages can be sent and settled in it once
/// [`Handler::on_transaction_declared`](crate::Handler::on_transaction_declared) has told of it. Clones are handles of the same
/// transaction, which is aborted by [`Transaction::abort`], and with its connection.
#[derive(Debug, Clone)]
pub struct Transaction {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    session: Session,
    /// What there is between the declaration and the discharge.
    pub(crate) client: Mutex<Option<Arc<client::Transaction>>>,
    /// How it is to be discharged.
    discharging: OnceLock<bool>,
}

impl Transaction {
    pub(crate) fn new(session: Session) -> Self {
        let (client, discharging) = (Mutex::new(None), OnceLock::new());
        Self { inner: Arc::new(Inner { session, client, discharging }) }
    }

    /// The session of the transaction.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.inner.session
    }

    /// Sends a message in the transaction: it is there once that is committed. No event tells of it; where the peer does not
    /// accept it, the commit fails.
    ///
    /// # Errors
    /// [`SendError::NoCredit`] when it cannot be sent now, [`SendError::NotSent`] when the transaction has not been declared or
    /// is being discharged, or its link is over; [`SendError::AtMostOnce`] for a sender that settles as it sends.
    pub fn send<'a>(&self, sender: &Sender, message: impl Into<ToSend<'a>>) -> Result<(), SendError> {
        let client = self.client().ok_or(SendError::NotSent(LinkError::TransactionEnded))?;
        let link = sender.inner.client.get().ok_or(SendError::NoCredit)?;
        let message = message.into();
        let handing = pin!(client.submit(link, message.message()));
        match handing.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            // Given up, it is not sent.
            Poll::Pending => Err(SendError::NoCredit),
        }
    }

    /// Accepts a message in the transaction: it is settled once that is committed.
    ///
    /// # Errors
    /// [`LinkError::TransactionEnded`] when it has not been declared or is being discharged; when the link of the message is
    /// over.
    pub fn accept(&self, delivery: &Delivery) -> Result<(), LinkError> {
        self.settle(delivery, Outcome::Accepted)
    }

    /// As [`Transaction::accept`], with another outcome.
    ///
    /// # Errors
    /// As there.
    #[doc(alias = "update")]
    pub fn settle(&self, delivery: &Delivery, outcome: Outcome) -> Result<(), LinkError> {
        let client = self.client().ok_or(LinkError::TransactionEnded)?;
        delivery.origin().map_or(Ok(()), |origin| client.settle_origin(origin, outcome))
    }

    /// Commits: [`Handler::on_transaction_committed`](crate::Handler::on_transaction_committed) or
    /// [`on_transaction_commit_failed`](crate::Handler::on_transaction_commit_failed) follows.
    pub fn commit(&self) {
        self.discharge(true);
    }

    /// Takes back everything: [`Handler::on_transaction_aborted`](crate::Handler::on_transaction_aborted) follows.
    #[doc(alias = "rollback")]
    pub fn abort(&self) {
        self.discharge(false);
    }

    fn discharge(&self, commit: bool) {
        if self.inner.discharging.set(commit).is_ok() {
            self.inner.session.connection().container().command(Command::Discharge(self.clone()));
        }
    }

    fn client(&self) -> Option<Arc<client::Transaction>> {
        if self.is_discharging().is_some() {
            return None;
        }
        self.slot().clone()
    }

    /// Whether it is to be committed, or to be aborted.
    pub(crate) fn is_discharging(&self) -> Option<bool> {
        self.inner.discharging.get().copied()
    }

    pub(crate) fn slot(&self) -> MutexGuard<'_, Option<Arc<client::Transaction>>> {
        self.inner.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Transaction {}
