//! Work on messages that happens together or not at all.

use std::time::{Duration, Instant};

use super::{ConnectionGuard, Guard as _, Sender, Session, mirror};
use crate::types::{Fields, PeerError};
use crate::{LinkError, Message, Origin, Outcome, SendError, TransactionError};

mirror! {
    /// The link to a peer's coordinator, over which transactions are declared and discharged. Threads can share one, and
    /// clones are handles of one link; when the last is gone, and the last [`Transaction`], the link is closed.
    /// [`Session::transaction_controller`] attaches one.
    ///
    /// ```
    /// use postroad_client::blocking::Connection;
    /// use postroad_client::{ConnectOptions, Message};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = postroad_broker::blocking::Broker::builder().queue("orders").queue("invoices").listen("amqp://127.0.0.1:0").start()?;
    /// # let url = &broker.urls()[0];
    /// let session = Connection::open(ConnectOptions::new(url.parse()?))?.session()?;
    /// session.sender("orders")?.send(&Message::from("two pens"))?;
    ///
    /// // An order becomes an invoice: both happen, or neither.
    /// let mut orders = session.receiver("orders")?;
    /// let invoices = session.sender("invoices")?;
    /// let controller = session.transaction_controller()?;
    /// let order = orders.receive()?;
    /// let transaction = controller.declare()?;
    /// transaction.send(&invoices, &Message::from("two pens: 3.20"))?;
    /// transaction.accept(&order)?;
    /// transaction.commit()?;
    ///
    /// assert_eq!(session.receiver("invoices")?.receive()?.text(), Some("two pens: 3.20"));
    /// # Ok(()) }
    /// ```
    #[derive(Debug, Clone)]
    pub struct TransactionController of crate::TransactionController, under ConnectionGuard;

    wait fn declare(&self) -> Result<Transaction, TransactionError>;
    /// A transaction that is there later is rolled back.
    soon fn declare_timeout(&self) = declare -> Result<Transaction, TransactionError>;
    pass fn capabilities(&self) -> Vec<String>;
    pass fn error(&self) -> Option<LinkError>;
    pass fn session(&self) -> Session;
}

impl TransactionController {
    /// As [`TransactionController::closed`](crate::TransactionController::closed): blocks until the link is over, and tells
    /// why. Inside an async runtime that is [`LinkError::Blocking`].
    #[must_use]
    pub fn closed(&self) -> LinkError {
        self.guard.runtime().run(self.inner.closed()).unwrap_or_else(LinkError::Blocking)
    }

    /// As [`closed`](Self::closed), for at most `timeout`: `None` when the link is not over by then.
    #[must_use]
    pub fn closed_timeout(&self, timeout: Duration) -> Option<LinkError> {
        let closed = self.guard.runtime().run_for(self.inner.closed(), timeout);
        closed.unwrap_or_else(|error| Some(LinkError::Blocking(error)))
    }
}

mirror! {
    /// A transaction that is open. Threads can share it. Dropping it rolls it back, without waiting for that; so does a
    /// commit that is called inside an async runtime.
    #[derive(Debug)]
    #[must_use = "a transaction that is dropped is rolled back"]
    pub struct Transaction of crate::Transaction, under ConnectionGuard;

    wait fn send(&self, sender: &Sender => inner, message: &Message) -> Result<Outcome, SendError>;
    wait fn submit(&self, sender: &Sender => inner, message: &Message) -> Result<(), SendError>;
    soon fn submit_timeout(&self, sender: &Sender => inner, message: &Message) = submit -> Result<(), SendError>;
    pass fn accept(&self, message: &Message) -> Result<(), LinkError>;
    pass fn reject(&self, message: &Message, error: Option<PeerError>) -> Result<(), LinkError>;
    pass fn release(&self, message: &Message) -> Result<(), LinkError>;
    pass fn modify(&self, message: &Message, delivery_failed: bool, undeliverable_here: bool, annotations: Option<Fields>) -> Result<(), LinkError>;
    pass fn settle(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError>;
    pass fn settle_origin(&self, origin: Origin, outcome: Outcome) -> Result<(), LinkError>;
    wait fn commit(self) -> Result<(), TransactionError>;
    wait fn rollback(self) -> Result<(), TransactionError>;
    /// It is rolled back though the time is over.
    soon fn rollback_timeout(self) = rollback -> Result<(), TransactionError>;
}

impl Transaction {
    /// As [`send`](Self::send), for at most `timeout`.
    ///
    /// # Errors
    /// As there. When the time is over, [`SendError::NotSent`] with [`LinkError::Timeout`] says that the message was not
    /// handed over, and [`SendError::InDoubt`] that it was: then it is a part of the transaction, and the commit waits for
    /// its outcome.
    pub fn send_timeout(&self, sender: &Sender, message: &Message, timeout: Duration) -> Result<Outcome, SendError> {
        let (begin, runtime) = (Instant::now(), self.guard.runtime());
        let handed_over = runtime.run_for(self.inner.hand_over(&sender.inner, message), timeout)?;
        let settlement = handed_over.unwrap_or(Err(SendError::NotSent(LinkError::Timeout(timeout))))?;
        let outcome = self.inner.provisional(settlement);
        let outcome = runtime.run_for(outcome, timeout.saturating_sub(begin.elapsed()))?;
        outcome.unwrap_or(Err(SendError::InDoubt(LinkError::Timeout(timeout))))
    }

    /// As [`commit`](Self::commit), for at most `timeout`.
    ///
    /// # Errors
    /// As there. When the time is over, [`TransactionError::InDoubt`] with [`LinkError::Timeout`] says that the commit was
    /// handed over, and [`TransactionError::Link`] that it was not, and the transaction is rolled back.
    pub fn commit_timeout(self, timeout: Duration) -> Result<(), TransactionError> {
        let Self { inner, guard } = self;
        let committed = guard.runtime().run_for(inner.end_by_commit(), timeout)?;
        committed.unwrap_or_else(|| {
            let over = LinkError::Timeout(timeout);
            Err(if inner.may_commit() { TransactionError::InDoubt(over) } else { TransactionError::Link(over) })
        })
    }
}
