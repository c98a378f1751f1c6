//! A session: the order of messages, and which of them wait to be acknowledged.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postroad_address::Role;
use postroad_client as client;
use postroad_client::{Message, Origin, Outcome};

use crate::linking::Linking;
use crate::resolve::Resolved;
use crate::undo::Undos;
use crate::{Connection, LinkError, Receiver, Sender, SessionError};

/// A session. Clones are handles of the same session; with the last handle, and the last link on it, it ends.
#[derive(Debug, Clone)]
pub struct Session {
    connection: Connection,
    inner: client::Session,
    unacked: Unacked,
    undos: Undos,
}

/// Messages that were fetched on a session and have no outcome yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unacked(Arc<Mutex<HashSet<Origin>>>);

impl Session {
    pub(crate) fn new(connection: Connection, inner: client::Session) -> Self {
        Self { connection, inner, unacked: Unacked::default(), undos: Undos::default() }
    }

    /// The connection of the session.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Makes a sender to the node at an address such as `orders; {create: always}`. The subject of the address is set on
    /// messages that have none.
    ///
    /// # Errors
    /// [`LinkError::Address`] when the address is malformed, asks for something that cannot be had, or names nothing.
    ///
    /// # Cancel safety
    /// A dropped future detaches the link again.
    pub async fn sender(&self, address: &str) -> Result<Sender, LinkError> {
        let mut resolved = Resolved::new(address, Role::Sender)?;
        let (link, undo) = self.linking(&mut resolved).sender().await?;
        Ok(Sender::new(self.clone(), link, resolved, undo))
    }

    /// Makes a receiver from the node at an address such as `orders; {mode: browse}`. It takes no message ahead of
    /// [`Receiver::fetch`] until [`Receiver::set_capacity`] says so.
    ///
    /// # Errors
    /// As [`Session::sender`], and [`AddressError::Unsupported`](crate::AddressError::Unsupported) when the broker does not apply the selector.
    ///
    /// # Cancel safety
    /// A dropped future detaches the link again.
    pub async fn receiver(&self, address: &str) -> Result<Receiver, LinkError> {
        let mut resolved = Resolved::new(address, Role::Receiver)?;
        let (link, undo) = self.linking(&mut resolved).receiver().await?;
        Ok(Receiver::new(self.clone(), link, resolved, undo))
    }

    fn linking<'a>(&'a self, resolved: &'a mut Resolved) -> Linking<'a> {
        Linking { session: &self.inner, types: self.connection.types(), resolved }
    }

    /// What the links leave to be done.
    pub(crate) fn undos(&self) -> &Undos {
        &self.undos
    }

    pub(crate) fn inner(&self) -> &client::Session {
        &self.inner
    }

    /// Tells the broker that a message was processed.
    ///
    /// # Errors
    /// When the message's link is over: the broker will deliver the message again.
    ///
    /// # Cancel safety
    /// Once polled, the acknowledgment goes its way whether the future lives or not.
    pub async fn acknowledge(&self, message: &Message) -> Result<(), LinkError> {
        self.acknowledge_with(message, Outcome::Accepted).await
    }

    /// Tells the broker what became of a message.
    ///
    /// # Errors
    /// As [`Session::acknowledge`].
    ///
    /// # Cancel safety
    /// As [`Session::acknowledge`].
    #[doc(alias = "disposition")]
    pub async fn acknowledge_with(&self, message: &Message, disposition: Outcome) -> Result<(), LinkError> {
        self.settle(message, disposition)
    }

    /// Tells the broker that every message that was fetched on this session and has no outcome yet was processed.
    ///
    /// # Errors
    /// When the link of one of them is over; the others are acknowledged all the same.
    ///
    /// # Cancel safety
    /// As [`Session::acknowledge`].
    pub async fn acknowledge_all(&self) -> Result<(), LinkError> {
        Ok(self.inner.settle_origins(self.unacked.take(), &Outcome::Accepted)?)
    }

    /// Messages that were fetched on this session and have no outcome yet.
    #[doc(alias = "unacked")]
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.unacked.lock().len()
    }

    /// Ends the session and its links. What was fetched and not acknowledged goes back to the broker.
    ///
    /// Answers that are still to come are not waited for: [`Sender::sync`] does that.
    ///
    /// # Errors
    /// When the broker ended it with an error before, or does not answer in the close timeout.
    ///
    /// # Cancel safety
    /// Once polled, the end goes its way whether the future lives or not.
    pub async fn close(&self) -> Result<(), SessionError> {
        self.unacked.take();
        self.inner.close().await?;
        if self.undos.is_empty() {
            return Ok(());
        }
        let after = self.connection.client().session().await?;
        let undone = self.undos.run_rest(&after).await;
        after.close().await?;
        undone.map_err(|error| SessionError::Undo(Box::new(error)))
    }

    pub(crate) fn settle(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError> {
        if let Some(origin) = message.origin() {
            self.unacked.lock().remove(&origin);
        }
        Ok(self.inner.settle(message, outcome)?)
    }

    pub(crate) fn unacked(&self) -> &Unacked {
        &self.unacked
    }
}

impl Unacked {
    pub(crate) fn add(&self, message: &Message) {
        if let Some(origin) = message.origin().filter(|_| !message.is_settled()) {
            self.lock().insert(origin);
        }
    }

    fn take(&self) -> HashSet<Origin> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Origin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
