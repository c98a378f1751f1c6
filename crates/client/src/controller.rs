//! The controller's end of a link to a coordinator (AMQP 1.0 part 4, 4.2).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::protocol::{MessageFormat, TransactionId};
use crate::sender::{Encoded, Handover, Put};
use crate::state::{Slot, State};
use crate::{AttachError, Guarantee, LinkError, Outcome, Sender, Session, Transaction, TransactionError};

/// The link to a peer's coordinator, over which transactions are declared and discharged: the controller's end of it.
///
/// Several transactions may be open at once, and each may span links of the session; those of other sessions of the
/// connection too, where the peer offers `amqp:multi-ssns-per-txn` ([`capabilities`](Self::capabilities)). Clones are
/// handles of one link; when the last is gone, and the last [`Transaction`], the link is closed.
///
/// ```
/// use std::time::Duration;
/// use postroad_client::{Connection, ConnectOptions, Message};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = postroad_broker::Broker::builder().queue("orders").queue("invoices").listen("amqp://127.0.0.1:0").start().await?;
/// # let url = &broker.urls()[0];
/// let connection = Connection::open(ConnectOptions::new(url.parse()?)).await?;
/// let session = connection.session().await?;
/// let sender = session.sender("orders").await?;
/// sender.send(&Message::from("two pens")).await?;
///
/// // An order becomes an invoice: both happen, or neither.
/// let mut orders = session.receiver("orders").await?;
/// let invoices = session.sender("invoices").await?;
/// let controller = session.transaction_controller().await?;
/// let order = orders.receive().await?;
/// let transaction = controller.declare().await?;
/// transaction.send(&invoices, &Message::from("two pens: 3.20")).await?;
/// transaction.accept(&order)?;
/// transaction.commit().await?;
///
/// let mut invoices = session.receiver("invoices").await?;
/// assert_eq!(invoices.receive().await?.text(), Some("two pens: 3.20"));
/// assert!(orders.fetch(Duration::ZERO).await?.is_none());
/// connection.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct TransactionController {
    control: Arc<Sender>,
}

impl Session {
    /// Attaches a link to the peer's coordinator of transactions.
    ///
    /// # Errors
    /// [`TransactionError::Unsupported`] when the peer has no coordinator, [`TransactionError::Attach`] when the link does
    /// not come about for another reason. Some peers end the session to say so.
    ///
    /// # Cancel safety
    /// A dropped future detaches the link again.
    #[doc(alias = "declare_transaction")]
    pub async fn transaction_controller(&self) -> Result<TransactionController, TransactionError> {
        let link = self.attach_coordinator().await.map_err(TransactionError::of_attach)?;
        let control = Sender::new(link, Guarantee::AtLeastOnce);
        if !control.link.wait(|_, remote| Some(remote.coordinates)).await? {
            // An answer that names a node, or nothing, is none of a coordinator.
            let offered = "another target, or none".to_owned();
            let asked = "a coordinator of transactions";
            return Err(TransactionError::Unsupported(AttachError::OtherEnd { asked, offered }));
        }
        Ok(TransactionController { control: Arc::new(control) })
    }
}

impl TransactionController {
    /// Declares a transaction, as soon as the coordinator gives credit.
    ///
    /// # Errors
    /// [`TransactionError::Refused`] when the coordinator takes no more, [`TransactionError::Link`] when the link ends
    /// first.
    ///
    /// # Cancel safety
    /// A transaction whose future is dropped is rolled back as soon as it is there.
    pub async fn declare(&self) -> Result<Transaction, TransactionError> {
        let how = Handover::tracked(MessageFormat(0));
        let command = self.control.link.with(|state| state.engine.declare());
        let put = self.control.put_when_credited(&Encoded::whole(command), how).await;
        let Put { token, epoch, .. } = put.map_err(|error| TransactionError::of_command(error, false))?;
        let mut declaring = Declaring { control: Arc::clone(&self.control), token: Some(token as usize) };
        let id = poll_fn(|cx| declaring.poll(cx)).await?;
        Ok(Transaction::new(&self.control, id, epoch))
    }

    /// What the coordinator can do, such as `amqp:multi-txns-per-ssn`: several transactions at once on a session. Some
    /// tell less than they can.
    #[must_use]
    pub fn capabilities(&self) -> Vec<String> {
        self.control.link.with(|state| {
            let entry = &state.links[self.control.link.key];
            state.engine.remote(entry.id).and_then(|remote| remote.coordinator).unwrap_or_default()
        })
    }

    /// Why the link is over, and with it every transaction that it declared; `None` while it is not.
    #[must_use]
    pub fn error(&self) -> Option<LinkError> {
        self.control.error()
    }

    /// Waits until the link is over, and tells why.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn closed(&self) -> LinkError {
        self.control.closed().await
    }

    /// The session of the link.
    #[must_use]
    pub fn session(&self) -> &Session {
        self.control.session()
    }
}

/// A declare that was handed over.
struct Declaring {
    control: Arc<Sender>,
    /// Its slot, until it is answered.
    token: Option<usize>,
}

impl Declaring {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<TransactionId, TransactionError>> {
        let Some(token) = self.token else { return Poll::Ready(Err(TransactionError::Refused(None))) };
        let link = &self.control.link;
        // A waker of an earlier poll goes outside the lock: what it owns may use the connection.
        let (answered, _earlier) = link.with(|state| answer(state, link.key, token, cx));
        match answered {
            Some(result) => {
                self.token = None;
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Declaring {
    fn drop(&mut self) {
        let Some(token) = self.token.take() else { return };
        let link = &self.control.link;
        // The slot, with the waker in it, goes outside the lock.
        let _slot = link.with(|state| {
            let entry = &mut state.links[link.key];
            let id = entry.id;
            match entry.sends.slots.get_mut(token)? {
                slot @ Slot::Waiting(_) => Some(std::mem::replace(slot, Slot::Abandoned)),
                Slot::Abandoned | Slot::Told { .. } => None,
                Slot::Done(_) | Slot::Declared(_) => {
                    let slot = entry.sends.slots.remove(token);
                    if let Slot::Declared(transaction) = &slot {
                        state.abandon(id, transaction.clone());
                    }
                    Some(slot)
                }
            }
        });
    }
}

type Answer = Option<Result<TransactionId, TransactionError>>;

fn answer(state: &mut State, key: usize, token: usize, cx: &Context<'_>) -> (Answer, Option<Waker>) {
    let slots = &mut state.links[key].sends.slots;
    match slots.get_mut(token) {
        Some(Slot::Waiting(Some(waker))) if waker.will_wake(cx.waker()) => (None, None),
        Some(Slot::Waiting(waker)) => (None, waker.replace(cx.waker().clone())),
        Some(Slot::Done(_) | Slot::Declared(_)) => {
            let answer = match slots.remove(token) {
                Slot::Declared(id) => Ok(id),
                Slot::Done(Ok(Outcome::Rejected(error))) => Err(TransactionError::of_rejection(error)),
                Slot::Done(Err(error)) => Err(TransactionError::of_command(error, false)),
                _ => Err(TransactionError::Refused(None)),
            };
            (Some(answer), None)
        }
        Some(Slot::Abandoned | Slot::Told { .. }) | None => (Some(Err(TransactionError::Refused(None))), None),
    }
}
