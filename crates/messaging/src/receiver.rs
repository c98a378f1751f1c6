//! A link that receives.

use std::sync::{Arc, Weak};
use std::time::Duration;

use postroad_client as client;
use postroad_client::types::{Fields, PeerError};
use postroad_client::{Message, Outcome};

use crate::stream::Next;
use crate::threshold::Threshold;
use crate::undo::Undo;
use crate::{FetchError, LinkError, ReceiverOptions, Session, UNLIMITED};

/// A receiver. It takes no message ahead of [`Receiver::fetch`] unless it is given a capacity.
///
/// Every method takes `&self`: tasks can share one, and each message goes to one of them. Clones are handles of the same
/// receiver; with the last one the link is closed, and what was not acknowledged goes back to the broker.
///
/// It is a stream of messages as well, which ends with the link.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub(crate) inner: Arc<Inner>,
    /// What this handle waits for as a stream.
    pub(crate) next: Next,
}

#[derive(Debug)]
pub(crate) struct Inner {
    session: Session,
    pub(crate) link: client::SharedReceiver,
    id: u64,
    source: String,
    options: ReceiverOptions,
    threshold: Threshold,
    undo: Option<u64>,
}

/// The most that a link takes ahead (AMQP 1.0 part 2, 2.6.7), which any capacity beyond it comes to.
const MOST_CREDIT: u32 = i32::MAX as u32;

impl Receiver {
    pub(crate) fn new(
        session: Session,
        id: u64,
        link: client::SharedReceiver,
        source: String,
        options: ReceiverOptions,
        undo: Undo,
    ) -> Self {
        let undo = session.undos().add(undo);
        link.note_unacknowledged();
        let threshold = Threshold::default();
        let receiver = Self::of(Arc::new(Inner { session, link, id, source, options, threshold, undo }));
        if let Some(capacity) = options.capacity {
            receiver.set_capacity(capacity);
        }
        receiver
    }

    fn of(inner: Arc<Inner>) -> Self {
        Self { inner, next: Next::default() }
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn upgrade(receiver: &Weak<Inner>) -> Option<Self> {
        receiver.upgrade().map(Self::of)
    }

    pub(crate) fn is_of(&self, link: &client::SharedReceiver) -> bool {
        self.inner.link.is_same(link)
    }

    /// Whether both are handles of one receiver.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Fetches the next message, when there is one.
    ///
    /// # Errors
    /// When the link is over, or the message cannot be read: it is rejected then, and the next call goes on behind it.
    ///
    /// # Cancel safety
    /// A dropped future has taken no message.
    pub async fn fetch(&self) -> Result<Message, FetchError> {
        let taken = self.inner.link.take().await.map_err(client::ReceiveError::Link)?;
        let mut message = Message::default();
        self.inner.link.read(taken, &mut message)?;
        Ok(message)
    }

    /// Fetches the next message if one comes in time. When none has, the broker is asked for what it has, so a timeout
    /// of zero means "if there is one".
    ///
    /// # Errors
    /// [`FetchError::Empty`] when there is none; otherwise as [`Receiver::fetch`].
    ///
    /// # Cancel safety
    /// A dropped future has taken no message.
    #[doc(alias = "fetch")]
    pub async fn fetch_timeout(&self, timeout: Duration) -> Result<Message, FetchError> {
        self.inner.link.fetch(timeout).await?.ok_or(FetchError::Empty)
    }

    /// Tells the broker that a message was processed.
    ///
    /// # Errors
    /// When the message's link is over: the broker will deliver the message again.
    pub fn accept(&self, message: &Message) -> Result<(), LinkError> {
        self.inner.session.settle(message, Outcome::Accepted)
    }

    /// Tells the broker that a message is invalid, and why.
    ///
    /// # Errors
    /// As [`Receiver::accept`].
    #[doc(alias = "REJECTED")]
    pub fn reject(&self, message: &Message, error: Option<PeerError>) -> Result<(), LinkError> {
        self.inner.session.settle(message, Outcome::Rejected(error))
    }

    /// Gives a message back as if it had not been delivered.
    ///
    /// # Errors
    /// As [`Receiver::accept`].
    #[doc(alias = "RELEASED")]
    pub fn release(&self, message: &Message) -> Result<(), LinkError> {
        self.inner.session.settle(message, Outcome::Released)
    }

    /// Gives a message back changed: counted as a failed delivery, not to come here again, or with annotations.
    ///
    /// # Errors
    /// As [`Receiver::accept`].
    pub fn modify(
        &self,
        message: &Message,
        delivery_failed: bool,
        undeliverable_here: bool,
        annotations: Option<Fields>,
    ) -> Result<(), LinkError> {
        self.inner.session.settle(message, Outcome::Modified { delivery_failed, undeliverable_here, annotations })
    }

    /// Messages that are taken ahead of [`Receiver::fetch`]; 0 by default.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        match self.inner.link.prefetch() {
            MOST_CREDIT => UNLIMITED,
            capacity => capacity,
        }
    }

    /// Sets how many messages are taken ahead. What is beyond it is asked back from the broker, as far as it has not come yet.
    pub fn set_capacity(&self, capacity: u32) {
        self.inner.link.set_prefetch(capacity);
        self.apply_threshold();
    }

    /// The part of the capacity at which more messages are asked for; a half by default.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.inner.threshold.get()
    }

    /// Sets at which part of the capacity, from 0 to 1, more messages are asked for: with 1 after each that is fetched.
    pub fn set_threshold(&self, threshold: f64) {
        self.inner.threshold.set(threshold);
        self.apply_threshold();
    }

    fn apply_threshold(&self) {
        let capacity = self.capacity();
        let refill = self.inner.threshold.of(capacity);
        // One by one there is nothing to take ahead, and without a bound nothing to be sparing with.
        self.inner.link.set_refill((capacity != 0 && capacity != UNLIMITED).then_some(refill));
    }

    /// Messages of this receiver that were acknowledged and of which it is not known that the broker has heard it. It is
    /// asked, so that it is known soon. Those of a transaction wait for its commit, and do not count here.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.inner.link.unconfirmed()
    }

    pub(crate) fn link(&self) -> &client::SharedReceiver {
        &self.inner.link
    }

    /// Messages that are here and have not been fetched.
    #[must_use]
    pub fn available(&self) -> usize {
        self.inner.link.available()
    }

    /// The number of this receiver among those of its session, from 0 in the order in which they were made.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// The name of the link.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.link.name()
    }

    /// The address that it was made with, by which another link can be made to the same node.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// What it was made with, beside the address.
    #[must_use]
    pub fn options(&self) -> &ReceiverOptions {
        &self.inner.options
    }

    /// Messages that have been fetched, those among them that could not be read.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.inner.link.received()
    }

    /// Messages that have come.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.returned() + self.available() as u64
    }

    /// Messages that have come or may come by the credit that the broker has.
    #[doc(alias = "impending")]
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.received() + u64::from(self.inner.link.credit())
    }

    /// Whether the broker is being asked for what it has.
    #[doc(alias = "draining")]
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.link.is_draining()
    }

    /// Whether the link is attached.
    #[doc(alias = "linked")]
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.error().is_none() && self.inner.link.remote().is_some()
    }

    /// Whether the link is over, or about to be.
    #[doc(alias = "closed")]
    #[doc(alias = "closing")]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.error().is_some()
    }

    /// The address that the broker attached the link to: for an address that begins with `#`, the name of the node that
    /// was made. It can be the reply-to of a message.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.inner.link.address()
    }

    /// The session of the link.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.inner.session
    }

    /// Why the link is over; `None` while it is not.
    #[doc(alias = "get_error")]
    #[must_use]
    pub fn error(&self) -> Option<LinkError> {
        self.inner.link.error().map(Into::into)
    }

    /// Has `handler` called with the error of this receiver when it fails, and only then: not when it is closed at this end,
    /// and not for what its session or its connection fails with. It is called once, by a task of the runtime that drives the
    /// connection and outside every lock, so that it may use this receiver; it should not block. Calls that come later fail
    /// with the error as well.
    #[doc(alias = "set_async_exception_notify_handler")]
    pub fn on_error(&self, handler: impl Fn(&LinkError) + Send + Sync + 'static) {
        self.inner.link.when_over(move |error| {
            let error = LinkError::from(error);
            if !matches!(error, LinkError::Closed | LinkError::Session(_)) {
                handler(&error);
            }
        });
    }

    /// Fails with the error that this receiver has failed with; closing it at this end is none.
    ///
    /// # Errors
    /// As [`error`](Self::error).
    pub fn check_error(&self) -> Result<(), LinkError> {
        self.error().filter(|error| *error != LinkError::Closed).map_or(Ok(()), Err)
    }

    /// Fails when this receiver is over, for whatever reason.
    ///
    /// # Errors
    /// As [`error`](Self::error).
    pub fn check_closed(&self) -> Result<(), LinkError> {
        self.error().map_or(Ok(()), Err)
    }

    /// Closes the link, for every handle. What was fetched and not acknowledged goes back to the broker; whoever waits for a
    /// message is told.
    ///
    /// # Errors
    /// When the broker detached the link with an error before, or does not answer in the link's timeout.
    ///
    /// # Cancel safety
    /// Once polled, the close goes its way whether the future lives or not.
    pub async fn close(&self) -> Result<(), LinkError> {
        self.inner.link.close().await?;
        let session = self.session();
        Ok(session.undos().run(self.inner.undo, session.client()).await?)
    }
}
