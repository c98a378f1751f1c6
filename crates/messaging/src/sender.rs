//! A link that sends.

use std::sync::atomic::{AtomicU32, Ordering};

use postroad_client as client;
use postroad_client::{Message, Outcome};

use crate::{LinkError, SendError, Session, SyncError, UNLIMITED, content};

/// A sender. Every method takes `&self`: tasks can share one.
///
/// Dropping it closes the link; what was handed over is on its way before the close.
#[derive(Debug)]
pub struct Sender {
    session: Session,
    inner: client::Sender,
    subject: Option<String>,
    capacity: AtomicU32,
}

impl Sender {
    pub(crate) fn new(session: Session, inner: client::Sender, subject: Option<String>) -> Self {
        Self { session, inner, subject, capacity: AtomicU32::new(UNLIMITED) }
    }

    /// Sends a message and waits until the broker has accepted it. With the reliability `unreliable` or `at-most-once`
    /// there is no answer: it is done when the message is handed over.
    ///
    /// # Errors
    /// When the broker does not accept the message, or what became of it is not known.
    ///
    /// # Cancel safety
    /// Dropped before the message is handed over, it is not sent; afterwards it is on its way, and its outcome is not
    /// learned.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        Self::answered(self.submit(message).await?.await)
    }

    /// The first half of [`Sender::send`]: hands the message over.
    pub(crate) async fn submit(&self, message: impl Into<Message>) -> Result<client::Settlement, SendError> {
        let message = self.prepare(message)?;
        Ok(self.inner.submit_tracked(&message).await?)
    }

    /// The second half: what the broker's answer means.
    pub(crate) fn answered(answer: Result<Outcome, client::SendError>) -> Result<(), SendError> {
        match answer? {
            Outcome::Accepted => Ok(()),
            outcome => Err(SendError::from_outcome(outcome)),
        }
    }

    /// Hands a message over as soon as there is credit and capacity, and does not wait for the broker's answer.
    /// [`Sender::sync`] tells what became of all such messages.
    ///
    /// # Errors
    /// When the link ends first, or the message is too large: it was not sent then.
    ///
    /// # Cancel safety
    /// A dropped future has handed over nothing.
    #[doc(alias = "send")]
    pub async fn send_async(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = self.prepare(message)?;
        Ok(self.inner.submit(&message).await?)
    }

    /// As [`Sender::send_async`], at once or not at all.
    ///
    /// # Errors
    /// [`SendError::InsufficientCapacity`] when it cannot be handed over now.
    pub fn try_send_async(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = self.prepare(message)?;
        Ok(self.inner.try_submit(&message)?)
    }

    /// Waits until the broker has answered every message that was handed over by [`Sender::send_async`].
    ///
    /// # Errors
    /// When one of them was not accepted since the last call, or the link ended before all were answered.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn sync(&self) -> Result<(), SyncError> {
        Ok(self.inner.sync().await?)
    }

    /// Messages that were handed over and that the broker has not answered yet.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.inner.unsettled()
    }

    /// The bound on [`Sender::unsettled`]; [`UNLIMITED`] by default.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Bounds the messages that are under way: sending waits until there are fewer. With 0 nothing can be sent.
    pub fn set_capacity(&self, capacity: u32) {
        self.capacity.store(capacity, Ordering::Relaxed);
        self.inner.set_max_unsettled((capacity != UNLIMITED).then_some(capacity as usize));
    }

    /// Messages that fit below the capacity now.
    #[must_use]
    pub fn available(&self) -> u32 {
        let unsettled = u32::try_from(self.unsettled()).unwrap_or(UNLIMITED);
        match self.capacity() {
            UNLIMITED => UNLIMITED,
            capacity => capacity.saturating_sub(unsettled),
        }
    }

    /// The address that the broker attached the link to: for an address that begins with `#`, the name of the node that
    /// was made.
    #[doc(alias = "target")]
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.inner.address()
    }

    /// The session of the link.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Why the link is over; `None` while it is not.
    #[doc(alias = "get_error")]
    #[must_use]
    pub fn error(&self) -> Option<LinkError> {
        self.inner.error().map(Into::into)
    }

    /// Waits as [`Sender::sync`] does, then closes the link.
    ///
    /// # Errors
    /// When the broker detached the link with an error before, or does not answer. What [`Sender::sync`] would tell of
    /// single messages is not told here.
    ///
    /// # Cancel safety
    /// A dropped future closes the link without waiting.
    pub async fn close(self) -> Result<(), LinkError> {
        let _ = self.inner.sync().await;
        Ok(self.inner.close().await?)
    }

    fn prepare(&self, message: impl Into<Message>) -> Result<Message, SendError> {
        if self.capacity() == 0 {
            return Err(SendError::InsufficientCapacity);
        }
        let mut message = message.into();
        if let Some(subject) = self.subject.as_ref().filter(|_| message.subject().is_none()) {
            message.set_subject(subject.as_str());
        }
        content::prepare(&mut message)?;
        Ok(message)
    }
}
