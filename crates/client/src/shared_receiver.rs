//! A receiver that several tasks use.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::consume_budget;

use crate::link::Link;
use crate::protocol::DeliveryNumber;
use crate::receiver::{Taken, answer_to_drain};
use crate::state::State;
use crate::wait::{Place, Wait};
use crate::{LinkError, Message, Node, ReceiveError, Receiver, Session, Ticket};

/// A receiver that several tasks use at once: each message goes to one of them. Clones are handles of the same receiver;
/// with the last one the link is closed, and what was not settled goes back to the node.
#[derive(Debug, Clone)]
pub struct SharedReceiver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    /// Never held across an await.
    receiver: Mutex<Receiver>,
    link: Arc<Link>,
}

impl Receiver {
    /// Makes this receiver one that several tasks can use.
    #[must_use]
    pub fn into_shared(self) -> SharedReceiver {
        let link = self.link.clone();
        let inner = Arc::new(Inner { receiver: Mutex::new(self), link });
        inner.link.session.add_receiver(&inner);
        SharedReceiver { inner }
    }
}

impl SharedReceiver {
    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// As [`Receiver::receive`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// A dropped future has taken no message.
    pub async fn receive(&self) -> Result<Message, ReceiveError> {
        let taken = self.take().await?;
        self.inner.link.open(taken)
    }

    /// The first half of [`SharedReceiver::receive`]: takes the next message, as it came.
    ///
    /// # Errors
    /// When the link is over.
    ///
    /// # Cancel safety
    /// A dropped future has taken no message.
    pub async fn take(&self) -> Result<Taken, LinkError> {
        consume_budget().await;
        let here = self.lock().take();
        if let Some(taken) = here {
            return Ok(taken);
        }
        let link = &self.inner.link;
        let mut wait = Wait::at(link.session.shared(), Place::Link(link.key));
        poll_fn(|cx| self.lock().poll_take(&mut wait.ticket, cx)).await
    }

    /// As [`SharedReceiver::take`], for a task that keeps its ticket from one call to the next.
    ///
    /// # Errors
    /// As there.
    pub fn poll_take(&self, ticket: &mut Ticket, cx: &Context<'_>) -> Poll<Result<Taken, LinkError>> {
        self.lock().poll_take(&mut ticket.waits, cx)
    }

    /// As [`SharedReceiver::take`], where a message is here.
    #[must_use]
    pub fn try_take(&self) -> Option<Taken> {
        self.lock().take()
    }

    /// The second half: reads a message of this receiver, where it is to stay. It is large to be handed through.
    ///
    /// # Errors
    /// [`ReceiveError::Malformed`] when it cannot be read: it is rejected, and of `message` nothing is to be used.
    #[inline]
    pub fn read(&self, taken: Taken, message: &mut Message) -> Result<(), ReceiveError> {
        self.inner.link.read(taken, message)
    }

    /// As [`Receiver::fetch`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn fetch(&self, timeout: Duration) -> Result<Option<Message>, ReceiveError> {
        if let Some(message) = self.try_receive()? {
            consume_budget().await;
            return Ok(Some(message));
        }
        let (timeout, may_ask) = self.lock().patience(timeout);
        if !timeout.is_zero()
            && let Ok(result) = tokio::time::timeout(timeout, self.receive()).await
        {
            return result.map(Some);
        }
        if may_ask {
            self.lock().begin_to_ask();
            answer_to_drain(&self.inner.link).await?;
            self.lock().end_of_asking();
        }
        self.try_receive()
    }

    /// As [`Receiver::try_receive`].
    ///
    /// # Errors
    /// As there.
    pub fn try_receive(&self) -> Result<Option<Message>, ReceiveError> {
        // Read outside the lock: other tasks take the next ones meanwhile.
        let taken = self.lock().take();
        match taken {
            Some(taken) => self.inner.link.open(taken).map(Some),
            None => Ok(None),
        }
    }

    /// Messages that were received, those among them that could not be read.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.lock().taken
    }

    /// Notes from now on which messages have no outcome, for [`Session::unacknowledged`] and its kin.
    pub fn note_unacknowledged(&self) {
        self.lock().note_unacknowledged();
    }

    /// As [`Receiver::prefetch`].
    #[must_use]
    pub fn prefetch(&self) -> u32 {
        self.lock().prefetch()
    }

    /// As [`Receiver::set_prefetch`].
    pub fn set_prefetch(&self, prefetch: u32) {
        self.lock().set_prefetch(prefetch);
    }

    /// As [`Receiver::set_refill`].
    pub fn set_refill(&self, refill: Option<u32>) {
        self.lock().set_refill(refill);
    }

    /// As [`Receiver::set_credit`].
    pub fn set_credit(&self, credit: u32) {
        self.lock().set_credit(credit);
    }

    /// As [`Receiver::add_credit`].
    pub fn add_credit(&self, credit: u32) {
        self.lock().add_credit(credit);
    }

    /// Asks the sender to use its credit or give it up, as [`Receiver::drain`] does, and waits for nothing:
    /// [`is_draining`](Self::is_draining) tells whether it has answered.
    pub fn ask_to_drain(&self) {
        self.lock().ask_to_drain();
    }

    /// As [`Receiver::credit`].
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.lock().credit()
    }

    /// As [`Receiver::is_draining`].
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.lock().is_draining()
    }

    /// As [`Receiver::available`].
    #[must_use]
    pub fn available(&self) -> usize {
        self.lock().available()
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.link.name
    }

    /// As [`Receiver::remote`].
    #[must_use]
    pub fn remote(&self) -> Option<Node> {
        self.inner.link.remote()
    }

    /// As [`Receiver::address`].
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.inner.link.remote_address()
    }

    /// Why the link is over; `None` while it is not.
    #[must_use]
    pub fn error(&self) -> Option<LinkError> {
        self.inner.link.error()
    }

    /// As [`Receiver::closed`].
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn closed(&self) -> LinkError {
        self.inner.link.closed().await
    }

    /// The session of the link.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.inner.link.session
    }

    /// Whether both are handles of one receiver.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Closes the link and waits for the peer to do the same. Whoever waits for a message on it is told.
    ///
    /// # Errors
    /// As [`Receiver::close`].
    ///
    /// # Cancel safety
    /// Once polled, the close goes its way whether the future lives or not.
    pub async fn close(&self) -> Result<(), LinkError> {
        self.inner.link.close().await
    }

    /// Begins to close the link, and waits for nothing.
    pub fn shut(&self) {
        self.inner.link.shut();
    }

    pub(crate) fn link(&self) -> &Link {
        &self.inner.link
    }

    pub(crate) fn head(&self) -> Option<(u32, DeliveryNumber)> {
        self.lock().head()
    }

    /// Takes credit back; `true` where messages may be on their way.
    pub(crate) fn stop(&self) -> bool {
        self.lock().stop()
    }

    /// Waits, not for ever, for messages that were on their way when credit was taken back.
    pub(crate) async fn stopped(&self) {
        self.inner.link.answer().await;
    }

    /// Waits until the sender has taken in every outcome that it was told, as far as that can be known: on an exactly-once
    /// link it settles then, on any other it answers whether it has heard. One that does not answer within two seconds is
    /// not waited for.
    ///
    /// # Errors
    /// When the link is over.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn confirmed(&self) -> Result<(), LinkError> {
        self.inner.link.confirmed().await
    }

    /// Outcomes that were told and of which it is not known that the sender has taken them in. It is asked, so that it is
    /// known soon.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.inner.link.unconfirmed()
    }

    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Receiver) -> R) -> R {
        act(&mut self.lock())
    }

    pub(crate) fn give_back(&self) {
        self.lock().give_back();
    }

    pub(crate) fn go_on(&self) {
        self.lock().go_on();
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Receiver> {
        self.inner.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Waits for the shared receiver of this session whose next message came first of all that are here: what has come
    /// is taken in order over all of them. Only what was asked for ahead comes ([`SharedReceiver::set_prefetch`]).
    ///
    /// # Errors
    /// When the session is over.
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    pub async fn next_receiver(&self) -> Result<SharedReceiver, LinkError> {
        self.wait_for_first().await
    }

    /// As [`Session::next_receiver`], or `None` when nothing has come within `timeout`.
    ///
    /// # Errors
    /// When the session is over.
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    pub async fn next_receiver_timeout(&self, timeout: Duration) -> Result<Option<SharedReceiver>, LinkError> {
        tokio::time::timeout(timeout, self.wait_for_first()).await.ok().transpose()
    }

    async fn wait_for_first(&self) -> Result<SharedReceiver, LinkError> {
        let mut wait = Wait::at(self.shared(), Place::Session(self.inner.key));
        poll_fn(|cx| {
            let over = |state: &mut State| state.sessions[self.inner.key].over.clone();
            // Registered before anything is looked at: what comes meanwhile wakes it.
            let over = self.shared().poll_at(Place::Session(self.inner.key), &mut wait.ticket, cx, over);
            match self.first() {
                Some(receiver) => Poll::Ready(Ok(receiver)),
                None => over.map(Err),
            }
        })
        .await
    }

    fn first(&self) -> Option<SharedReceiver> {
        let receivers = self.shared_receivers().into_iter();
        let heads = receivers.filter_map(|receiver| Some((receiver.head()?, receiver)));
        let first = heads.reduce(|first, next| {
            let ((epoch, number), (other_epoch, other)) = (first.0, next.0);
            // Numbers are the session's, and wrap (AMQP 1.0 part 2, 2.6.12 and 2.8.10).
            let earlier = epoch < other_epoch || (epoch == other_epoch && other.0.wrapping_sub(number.0) < 1 << 31);
            if earlier { first } else { next }
        });
        first.map(|(_, receiver)| receiver)
    }
}
