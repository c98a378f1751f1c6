//! A link that sends.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use postroad_client as client;
use postroad_client::{Message, Outcome, ToSend};

use crate::resolve::Resolved;
use crate::sink::Outgoing;
use crate::threshold::Threshold;
use crate::undo::Undo;
use crate::{LinkError, SendError, SenderOptions, Session, SyncError, UNLIMITED, content};

/// A sender. Every method takes `&self`: tasks can share one. Clones are handles of the same sender.
///
/// With the last handle the link is closed; what was handed over is on its way before the close.
///
/// It is a sink for messages as well: flushed is what [`Sender::sync`] has waited for.
#[derive(Debug, Clone)]
pub struct Sender {
    pub(crate) inner: Arc<Inner>,
    /// What this handle waits for as a sink.
    pub(crate) outgoing: Outgoing,
}

#[derive(Debug)]
pub(crate) struct Inner {
    session: Session,
    link: client::Sender,
    id: u64,
    target: String,
    subject: Option<String>,
    options: SenderOptions,
    capacity: AtomicU32,
    threshold: Threshold,
    /// 0 is no, 1 yes; anything else says nothing.
    durable: AtomicU8,
    /// How many messages had been handed over at the last sync.
    synced: AtomicU64,
    undo: Option<u64>,
}

const UNSAID: u8 = 2;

/// The answer to one message, to come.
#[derive(Debug)]
pub(crate) enum Answer {
    Settlement(client::Settlement),
    Provisional(client::Provisional),
}

impl Sender {
    pub(crate) fn new(
        session: Session,
        id: u64,
        link: client::Sender,
        resolved: Resolved,
        target: String,
        options: SenderOptions,
        undo: Undo,
    ) -> Self {
        let undo = session.undos().add(undo);
        let inner = Inner {
            session,
            link,
            id,
            target,
            subject: resolved.address.subject,
            options,
            capacity: AtomicU32::new(UNLIMITED),
            threshold: Threshold::default(),
            durable: AtomicU8::new(options.durable.map_or(UNSAID, u8::from)),
            synced: AtomicU64::new(0),
            undo,
        };
        let sender = Self::of(Arc::new(inner));
        if let Some(capacity) = options.capacity {
            sender.set_capacity(capacity);
        }
        sender
    }

    fn of(inner: Arc<Inner>) -> Self {
        Self { inner, outgoing: Outgoing::default() }
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn upgrade(sender: &Weak<Inner>) -> Option<Self> {
        sender.upgrade().map(Self::of)
    }

    /// Whether both are handles of one sender.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
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
    pub async fn send<'a>(&self, message: impl Into<ToSend<'a>>) -> Result<(), SendError> {
        Self::answered(self.submit(message).await?.await)
    }

    /// The first half of [`Sender::send`]: hands the message over.
    pub(crate) async fn submit<'a>(&self, message: impl Into<ToSend<'a>>) -> Result<Answer, SendError> {
        let mut to_send = message.into();
        self.prepare(&mut to_send)?;
        let message = to_send.message();
        let link = &self.inner.link;
        let answer = match self.inner.session.transactions() {
            Some(transactions) => Answer::Provisional(transactions.submit_tracked(link, message).await?),
            None => Answer::Settlement(link.submit_tracked(message).await?),
        };
        Ok(answer)
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
    pub fn send_async<'a>(&self, message: impl Into<ToSend<'a>>) -> impl Future<Output = Result<(), SendError>> + Send {
        // It is moved once, into the future: messages are large.
        let mut to_send = message.into();
        async move {
            self.prepare(&mut to_send)?;
            self.hand_over(to_send.message()).await
        }
    }

    pub(crate) async fn hand_over(&self, message: &Message) -> Result<(), SendError> {
        if let Some(transactions) = self.inner.session.transactions() {
            return Ok(transactions.submit(&self.inner.link, message).await?);
        }
        match self.inner.link.submit_boxed(message).await {
            Ok(()) => Ok(()),
            Err(error) => Err(SendError::from(*error)),
        }
    }

    /// As [`Sender::send_async`], at once or not at all.
    ///
    /// # Errors
    /// [`SendError::InsufficientCapacity`] when it cannot be handed over now. On a transactional session it never can: a
    /// transaction may have to be begun first.
    pub fn try_send_async<'a>(&self, message: impl Into<ToSend<'a>>) -> Result<(), SendError> {
        let mut to_send = message.into();
        self.prepare(&mut to_send)?;
        self.try_hand_over(to_send.message())
    }

    pub(crate) fn try_hand_over(&self, message: &Message) -> Result<(), SendError> {
        if self.inner.session.is_transactional() {
            return Err(SendError::InsufficientCapacity);
        }
        self.inner.link.try_submit(message)?;
        Ok(())
    }

    /// Waits until the broker has answered every message that was handed over by [`Sender::send_async`]. On a transactional
    /// session what it answers is told by [`Session::commit`].
    ///
    /// # Errors
    /// When one of them was not accepted since the last call, or the link ended before all were answered.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn sync(&self) -> Result<(), SyncError> {
        self.inner.synced.fetch_max(self.queued(), Ordering::Relaxed);
        if let Some(transactions) = self.inner.session.transactions() {
            transactions.sync().await;
        }
        Ok(self.inner.link.sync().await?)
    }

    /// Messages that were handed over and that the broker has not answered yet.
    #[doc(alias = "outgoing")]
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.inner.link.unsettled()
    }

    /// The bound on [`Sender::unsettled`]; [`UNLIMITED`] by default.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.inner.capacity.load(Ordering::Relaxed)
    }

    /// Bounds the messages that are under way: sending waits until there are fewer. With 0 nothing can be sent.
    pub fn set_capacity(&self, capacity: u32) {
        self.inner.capacity.store(capacity, Ordering::Relaxed);
        self.inner.link.set_max_unsettled((capacity != UNLIMITED).then_some(capacity as usize));
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

    /// The part of the capacity at which the original asks the broker for answers. AMQP 1.0 brokers answer by themselves, so
    /// it changes nothing here.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.inner.threshold.get()
    }

    /// Sets [`Sender::threshold`], from 0 to 1.
    pub fn set_threshold(&self, threshold: f64) {
        self.inner.threshold.set(threshold);
    }

    /// Whether messages are sent as durable that do not say it.
    #[must_use]
    pub fn durable(&self) -> Option<bool> {
        match self.inner.durable.load(Ordering::Relaxed) {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Sets [`Sender::durable`].
    pub fn set_durable(&self, durable: Option<bool>) {
        self.inner.durable.store(durable.map_or(UNSAID, u8::from), Ordering::Relaxed);
    }

    /// Messages that were handed over.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.inner.link.sent()
    }

    /// Messages that had been handed over when [`Sender::sync`] was called last.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.inner.synced.load(Ordering::Relaxed)
    }

    /// Messages that the broker has answered.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.queued().saturating_sub(self.unsettled() as u64)
    }

    /// The number of this sender among those of its session, from 0 in the order in which they were made.
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
    pub fn target(&self) -> &str {
        &self.inner.target
    }

    /// What it was made with, beside the address.
    #[must_use]
    pub fn options(&self) -> &SenderOptions {
        &self.inner.options
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
    /// was made.
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

    /// Has `handler` called with the error of this sender when it fails, and only then: not when it is closed at this end,
    /// and not for what its session or its connection fails with. It is called once, by a task of the runtime that drives the
    /// connection and outside every lock, so that it may use this sender; it should not block. Calls that come later fail
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

    /// Fails with the error that this sender has failed with; closing it at this end is none.
    ///
    /// # Errors
    /// As [`error`](Self::error).
    pub fn check_error(&self) -> Result<(), LinkError> {
        self.error().filter(|error| *error != LinkError::Closed).map_or(Ok(()), Err)
    }

    /// Fails when this sender is over, for whatever reason.
    ///
    /// # Errors
    /// As [`error`](Self::error).
    pub fn check_closed(&self) -> Result<(), LinkError> {
        self.error().map_or(Ok(()), Err)
    }

    /// Waits as [`Sender::sync`] does, then closes the link, for every handle.
    ///
    /// # Errors
    /// When the broker detached the link with an error before, or does not answer. What [`Sender::sync`] would tell of
    /// single messages is not told here.
    ///
    /// # Cancel safety
    /// A dropped future closes the link without waiting.
    pub async fn close(&self) -> Result<(), LinkError> {
        let shut = Shut(&self.inner.link);
        let _ = self.sync().await;
        drop(shut);
        self.inner.link.close_shared().await?;
        let session = self.session();
        Ok(session.undos().run(self.inner.undo, session.client()).await?)
    }

    /// Sets what the sender has for messages that do not say it. They are large, and stay where they are.
    pub(crate) fn prepare(&self, to_send: &mut ToSend<'_>) -> Result<(), SendError> {
        if self.capacity() == 0 {
            return Err(SendError::InsufficientCapacity);
        }
        if let Some(subject) = self.inner.subject.as_ref().filter(|_| to_send.message().subject().is_none()) {
            to_send.to_mut().set_subject(subject.as_str());
        }
        if let Some(durable) = self.durable().filter(|_| to_send.message().explicit_durable().is_none()) {
            to_send.to_mut().set_durable(durable);
        }
        content::prepare(to_send)?;
        Ok(())
    }
}

/// Closes a link when it goes.
struct Shut<'a>(&'a client::Sender);

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.0.shut();
    }
}

impl Future for Answer {
    type Output = Result<Outcome, client::SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Settlement(answer) => Pin::new(answer).poll(cx),
            Self::Provisional(answer) => Pin::new(answer).poll(cx),
        }
    }
}
