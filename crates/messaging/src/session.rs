//! A session: the order of messages, and which of them wait to be acknowledged.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use postroad_address::Role;
use postroad_client as client;
use postroad_client::{Message, Outcome, Transacted, TransactionState};

use crate::linking::Linking;
use crate::resolve::{Resolved, unsupported};
use crate::undo::Undos;
use crate::{
    Connection, FetchError, LinkError, Receiver, ReceiverOptions, Sender, SenderOptions, SessionError, SyncError,
    TransactionError, UNLIMITED, receiver, sender,
};

/// A session. Clones are handles of the same session; with the last handle, and the last link on it, it ends.
#[derive(Debug, Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    connection: Connection,
    session: client::Session,
    name: String,
    transacted: Option<Transacted>,
    ack_capacity: AtomicU32,
    undos: Undos,
    made_senders: AtomicU64,
    made_receivers: AtomicU64,
    senders: Mutex<Vec<Weak<sender::Inner>>>,
    receivers: Mutex<Vec<Weak<receiver::Inner>>>,
}

impl Session {
    pub(crate) fn new(
        connection: Connection,
        session: client::Session,
        name: String,
        transacted: Option<Transacted>,
    ) -> Self {
        let inner = Inner {
            connection,
            session,
            name,
            transacted,
            ack_capacity: AtomicU32::new(UNLIMITED),
            undos: Undos::default(),
            made_senders: AtomicU64::new(0),
            made_receivers: AtomicU64::new(0),
            senders: Mutex::default(),
            receivers: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn upgrade(session: &Weak<Inner>) -> Option<Self> {
        session.upgrade().map(|inner| Self { inner })
    }

    /// The connection of the session.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    /// The name of the session: that of the connection's container, and its own or a number.
    #[doc(alias = "log_id")]
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether both are handles of one session.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The senders of the session that are not gone, in the order in which they were made.
    #[must_use]
    pub fn senders(&self) -> Vec<Sender> {
        lock(&self.inner.senders).iter().filter_map(Sender::upgrade).collect()
    }

    /// The receivers of the session that are not gone, in the order in which they were made.
    #[must_use]
    pub fn receivers(&self) -> Vec<Receiver> {
        lock(&self.inner.receivers).iter().filter_map(Receiver::upgrade).collect()
    }

    /// Makes a sender to the node at an address such as `orders; {create: always}`. The subject of the address is set on
    /// messages that have none.
    ///
    /// # Errors
    /// [`LinkError::Address`] when the address is malformed, asks for something that cannot be had, or names nothing.
    ///
    /// # Cancel safety
    /// A dropped future detaches the link again. Nodes and bindings that were made by then stay.
    pub async fn sender(&self, address: &str) -> Result<Sender, LinkError> {
        self.sender_with(address, SenderOptions::default()).await
    }

    /// As [`Session::sender`], with options.
    ///
    /// # Errors
    /// As [`Session::sender`].
    ///
    /// # Cancel safety
    /// As [`Session::sender`].
    #[doc(alias = "sender")]
    pub async fn sender_with(&self, address: &str, options: SenderOptions) -> Result<Sender, LinkError> {
        let mut resolved = Resolved::new(address, Role::Sender)?;
        let id = self.inner.made_senders.fetch_add(1, Ordering::Relaxed);
        let (link, undo) = self.linking(&mut resolved).sender().await?;
        let target = resolved.reusable(address);
        let sender = Sender::new(self.clone(), id, link, resolved, target, options, undo);
        add(&self.inner.senders, sender.downgrade());
        Ok(sender)
    }

    /// Makes a receiver from the node at an address such as `orders; {mode: browse}`. It takes no message ahead of
    /// [`Receiver::fetch`] until [`Receiver::set_capacity`] says so.
    ///
    /// # Errors
    /// As [`Session::sender`], and [`AddressError::Unsupported`](crate::AddressError::Unsupported) when the broker does not
    /// apply the selector.
    ///
    /// # Cancel safety
    /// As [`Session::sender`].
    pub async fn receiver(&self, address: &str) -> Result<Receiver, LinkError> {
        self.receiver_with(address, ReceiverOptions::default()).await
    }

    /// As [`Session::receiver`], with options.
    ///
    /// # Errors
    /// As [`Session::receiver`].
    ///
    /// # Cancel safety
    /// As [`Session::receiver`].
    #[doc(alias = "receiver")]
    pub async fn receiver_with(&self, address: &str, options: ReceiverOptions) -> Result<Receiver, LinkError> {
        let mut resolved = Resolved::new(address, Role::Receiver)?;
        let id = self.inner.made_receivers.fetch_add(1, Ordering::Relaxed);
        let (link, undo) = self.linking(&mut resolved).receiver().await?;
        let source = resolved.reusable(address);
        let receiver = Receiver::new(self.clone(), id, link.into_shared(), source, options, undo);
        add(&self.inner.receivers, receiver.downgrade());
        Ok(receiver)
    }

    fn linking<'a>(&'a self, resolved: &'a mut Resolved) -> Linking<'a> {
        Linking { session: &self.inner.session, types: self.inner.connection.types(), resolved }
    }

    /// What the links leave to be done.
    pub(crate) fn undos(&self) -> &Undos {
        &self.inner.undos
    }

    pub(crate) fn client(&self) -> &client::Session {
        &self.inner.session
    }

    /// Tells the broker that a message was processed, and does not wait for it to hear of that, as
    /// [`Session::acknowledge_sync`] does. For a message that came before the connection was lost or detached nothing is told: it
    /// comes again.
    ///
    /// # Errors
    /// When the message's link is over: the broker will deliver the message again. [`LinkError::InsufficientCapacity`] when
    /// the [`ack_capacity`](Self::ack_capacity) is 0.
    ///
    /// # Cancel safety
    /// Once polled, the acknowledgment goes its way whether the future lives or not, unless it waits for capacity.
    pub async fn acknowledge(&self, message: &Message) -> Result<(), LinkError> {
        if self.is_bounded() {
            self.capacity_to_acknowledge().await?;
        }
        self.settle(message, Outcome::Accepted)
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
        if self.is_bounded() {
            self.capacity_to_acknowledge().await?;
        }
        self.settle(message, disposition)
    }

    /// Tells the broker that every message that was fetched on this session and has no outcome yet was processed.
    ///
    /// # Errors
    /// When the link of one of them is over; the others are acknowledged all the same. As [`Session::acknowledge`].
    ///
    /// # Cancel safety
    /// As [`Session::acknowledge`].
    pub async fn acknowledge_all(&self) -> Result<(), LinkError> {
        self.acknowledge_all_with(Outcome::Accepted).await
    }

    /// Tells the broker what became of every message that was fetched on this session and has no outcome yet.
    ///
    /// # Errors
    /// As [`Session::acknowledge_all`].
    ///
    /// # Cancel safety
    /// As [`Session::acknowledge`].
    #[doc(alias = "disposition")]
    pub async fn acknowledge_all_with(&self, disposition: Outcome) -> Result<(), LinkError> {
        if let Some(transacted) = &self.inner.transacted {
            for origin in self.inner.session.unacknowledged_origins() {
                transacted.settle_origin(origin, disposition.clone());
            }
            return Ok(());
        }
        let mut result = Ok(());
        let origins = self.inner.session.unacknowledged_origins();
        let mut rest = &origins[..];
        while !rest.is_empty() {
            let room = self.capacity_to_acknowledge().await?;
            let (some, others) = rest.split_at(room.min(rest.len()));
            rest = others;
            let settled = taken_back(self.inner.session.acknowledge_origins(some, &disposition));
            result = result.and(settled);
        }
        result
    }

    /// As [`Session::acknowledge`], and waits until the broker has heard it.
    ///
    /// With the reliability exactly-once the broker settles the message then. Otherwise it is asked whether it has heard what
    /// it was told, and a broker that does not answer within two seconds is not waited for. In a transaction there is
    /// nothing to wait for before the commit.
    ///
    /// # Errors
    /// As [`Session::acknowledge`].
    ///
    /// # Cancel safety
    /// As [`Session::acknowledge`].
    #[doc(alias = "acknowledge")]
    pub async fn acknowledge_sync(&self, message: &Message) -> Result<(), LinkError> {
        self.acknowledge(message).await?;
        self.confirmed().await
    }

    /// As [`Session::acknowledge_all`], and waits as [`Session::acknowledge_sync`] does.
    ///
    /// # Errors
    /// As [`Session::acknowledge_all`].
    ///
    /// # Cancel safety
    /// As [`Session::acknowledge`].
    #[doc(alias = "acknowledge")]
    pub async fn acknowledge_all_sync(&self) -> Result<(), LinkError> {
        self.acknowledge_all().await?;
        self.confirmed().await
    }

    /// Waits until the broker has answered every message that was sent on the session, as [`Sender::sync`] does, and has
    /// heard every acknowledgment.
    ///
    /// # Errors
    /// As [`Sender::sync`], the first of them; [`SyncError::InDoubt`] of no message when the link of one that was acknowledged is
    /// over.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn sync(&self) -> Result<(), SyncError> {
        let mut result = Ok(());
        for sender in self.senders() {
            result = result.and(sender.sync().await);
        }
        result?;
        self.confirmed().await.map_err(|error| SyncError::InDoubt { count: 0, error })
    }

    async fn confirmed(&self) -> Result<(), LinkError> {
        let mut result = Ok(());
        for receiver in self.receivers() {
            result = result.and(receiver.link().confirmed().await.map_err(LinkError::from));
        }
        result
    }

    /// Whether acknowledgments may have to wait: mostly they need not.
    fn is_bounded(&self) -> bool {
        self.ack_capacity() != UNLIMITED
    }

    /// Waits until there is room for one more acknowledgment, and tells for how many.
    async fn capacity_to_acknowledge(&self) -> Result<usize, LinkError> {
        let capacity = self.ack_capacity();
        if capacity == UNLIMITED {
            return Ok(usize::MAX);
        }
        if capacity == 0 {
            return Err(LinkError::InsufficientCapacity);
        }
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        if self.inner.transacted.is_none() && self.acked() >= capacity {
            // What is over takes no room.
            let _ = self.confirmed().await;
        }
        Ok(capacity.saturating_sub(self.acked()).max(1))
    }

    /// The bound on messages that are acknowledged and of which it is not known that the broker has heard it;
    /// [`UNLIMITED`] by default.
    #[must_use]
    pub fn ack_capacity(&self) -> u32 {
        self.inner.ack_capacity.load(Ordering::Relaxed)
    }

    /// Bounds the acknowledgments that are under way: [`Session::acknowledge`] and its kin wait for the broker when there are
    /// so many. With 0 nothing can be acknowledged. Transactions have no such bound.
    pub fn set_ack_capacity(&self, capacity: u32) {
        self.inner.ack_capacity.store(capacity, Ordering::Relaxed);
    }

    /// Messages that were acknowledged on this session and of which it is not known that the broker has heard it: in a
    /// transaction those that wait for the commit, otherwise the sum of [`Receiver::unsettled`].
    #[must_use]
    pub fn acked(&self) -> usize {
        match &self.inner.transacted {
            Some(transacted) => transacted.acked(),
            None => self.receivers().iter().map(Receiver::unsettled).sum(),
        }
    }

    /// Messages that were fetched on this session and have no outcome yet.
    #[doc(alias = "unacked")]
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.inner.session.unacknowledged()
    }

    /// Waits for the receiver of this session whose next message came first of all that are here, so that
    /// [`Receiver::fetch`] has it at once: what has come is fetched in its order over all receivers. Only receivers with a
    /// capacity have anything here.
    ///
    /// # Errors
    /// When the session is over.
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    #[doc(alias = "incoming")]
    pub async fn next_receiver(&self) -> Result<Receiver, FetchError> {
        loop {
            let next = self.inner.session.next_receiver().await.map_err(LinkError::from)?;
            if let Some(receiver) = self.receiver_of(&next) {
                return Ok(receiver);
            }
        }
    }

    /// As [`Session::next_receiver`], for at most `timeout`.
    ///
    /// # Errors
    /// [`FetchError::Empty`] when nothing has come in time; otherwise as [`Session::next_receiver`].
    ///
    /// # Cancel safety
    /// A dropped future has taken nothing.
    #[doc(alias = "next_receiver")]
    pub async fn next_receiver_timeout(&self, timeout: Duration) -> Result<Receiver, FetchError> {
        let next = self.inner.session.next_receiver_timeout(timeout).await.map_err(LinkError::from)?;
        next.and_then(|next| self.receiver_of(&next)).ok_or(FetchError::Empty)
    }

    /// Its handle may go at the same moment.
    fn receiver_of(&self, receiver: &client::SharedReceiver) -> Option<Receiver> {
        self.receivers().into_iter().find(|known| known.is_of(receiver))
    }

    /// Whether what is sent and acknowledged on the session happens in transactions.
    #[doc(alias = "transactional")]
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.inner.transacted.is_some()
    }

    /// How far the transactions of the session have come; `None` where it has none.
    #[must_use]
    pub fn transaction_state(&self) -> Option<TransactionState> {
        self.inner.transacted.as_ref().map(Transacted::state)
    }

    /// Commits what was sent and acknowledged since the last commit or rollback: all of it holds from then on. The next
    /// transaction begins with the next message that is sent or acknowledged.
    ///
    /// # Errors
    /// [`SessionError::Nontransactional`] on a session without transactions. [`TransactionError::Aborted`] when nothing of
    /// it holds: what was acknowledged has gone back to the broker. [`TransactionError::Unknown`] when that cannot be found
    /// out: then the session is over.
    ///
    /// # Cancel safety
    /// Once polled it is decided. A future that is dropped, by a timeout say, leaves it to the next call that commits, rolls
    /// back or sends to wait for the answer.
    pub async fn commit(&self) -> Result<(), SessionError> {
        self.transacted()?.commit().await.map_err(|error| self.transaction_error(error))
    }

    /// Rolls back what was sent and acknowledged since the last commit or rollback. Everything that was fetched in that
    /// time goes back to the broker and comes again, as delivered before
    /// ([`Message::redelivered`](crate::Message::redelivered)), and so does what was taken ahead, which nobody has seen.
    ///
    /// # Errors
    /// [`SessionError::Nontransactional`] on a session without transactions, or when the session is over.
    ///
    /// # Cancel safety
    /// Dropped before it is done, messages may stay where they are: another call gives them back.
    pub async fn rollback(&self) -> Result<(), SessionError> {
        let result = self.transacted()?.rollback(|| self.inner.session.unacknowledged_origins()).await;
        result.map_err(|error| self.transaction_error(error))
    }

    fn transacted(&self) -> Result<&Transacted, SessionError> {
        self.inner.transacted.as_ref().ok_or(SessionError::Nontransactional)
    }

    /// A session that is over says why, unless the transaction has more to say.
    fn transaction_error(&self, error: client::TransactionError) -> SessionError {
        match (error, self.error()) {
            (error @ client::TransactionError::InDoubt(_), _) => TransactionError::Unknown(Box::new(error)).into(),
            (_, Some(over)) => over,
            (error, None) => TransactionError::Aborted(Box::new(error)).into(),
        }
    }

    /// Why the session is over; `None` while it is not.
    #[doc(alias = "get_error")]
    #[must_use]
    pub fn error(&self) -> Option<SessionError> {
        self.inner.session.error().map(Into::into)
    }

    /// Has `handler` called with the error of this session when it fails, and only then: not when it is closed at this end,
    /// and not for what its connection or its links fail with. It is called once, by a task of the runtime that drives the
    /// connection and outside every lock, so that it may use this session; it should not block. Calls that come later fail
    /// with the error as well.
    #[doc(alias = "set_async_exception_notify_handler")]
    pub fn on_error(&self, handler: impl Fn(&SessionError) + Send + Sync + 'static) {
        self.inner.session.when_over(move |error| {
            let error = SessionError::from(error);
            if !matches!(error, SessionError::Closed | SessionError::Connection(_)) {
                handler(&error);
            }
        });
    }

    /// Fails with the error that this session has failed with; closing it at this end is none.
    ///
    /// # Errors
    /// As [`error`](Self::error).
    pub fn check_error(&self) -> Result<(), SessionError> {
        self.error().filter(|error| *error != SessionError::Closed).map_or(Ok(()), Err)
    }

    /// Fails when this session is over, for whatever reason.
    ///
    /// # Errors
    /// As [`error`](Self::error).
    #[doc(alias = "closing")]
    #[doc(alias = "closed")]
    pub fn check_closed(&self) -> Result<(), SessionError> {
        self.error().map_or(Ok(()), Err)
    }

    /// Ends the session and its links. What was fetched and not acknowledged goes back to the broker, and a transaction
    /// that is open is rolled back.
    ///
    /// Answers that are still to come are not waited for: [`Sender::sync`] does that.
    ///
    /// # Errors
    /// When the broker ended it with an error before, or does not answer in the close timeout.
    ///
    /// # Cancel safety
    /// Once polled, the end goes its way whether the future lives or not.
    pub async fn close(&self) -> Result<(), SessionError> {
        self.inner.session.forget_unacknowledged();
        self.inner.connection.forget(self);
        match self.inner.session.close().await.map_err(SessionError::from) {
            // Whoever does not answer this does not answer the rest.
            Err(error @ SessionError::Timeout(_)) => Err(error),
            closed => {
                let undone = self.undo_rest().await;
                closed.and(undone)
            }
        }
    }

    /// Does what its links leave, on a session of its own.
    async fn undo_rest(&self) -> Result<(), SessionError> {
        if self.inner.undos.is_empty() || !self.inner.connection.is_open() {
            return Ok(());
        }
        if !self.inner.connection.is_attached() {
            let hint = "attach the connection before its sessions are closed";
            let error = unsupported("delete", "there is no broker to ask while the connection is detached", hint);
            return Err(SessionError::Undo(Box::new(error)));
        }
        let after = self.inner.connection.client().session().await?;
        let undone = self.inner.undos.run_rest(&after).await;
        after.close().await?;
        undone.map_err(|error| SessionError::Undo(Box::new(error)))
    }

    pub(crate) fn settle(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError> {
        if let Some(transacted) = &self.inner.transacted {
            if let Some(origin) = message.origin() {
                transacted.settle_origin(origin, outcome);
            }
            return Ok(());
        }
        taken_back(self.inner.session.settle(message, outcome))
    }

    pub(crate) fn transactions(&self) -> Option<&Transacted> {
        self.inner.transacted.as_ref()
    }
}

/// What came before the connection was lost comes again: an outcome of it is ignored.
fn taken_back(settled: Result<(), client::LinkError>) -> Result<(), LinkError> {
    match settled {
        Err(client::LinkError::Stale | client::LinkError::Interrupted(_)) => Ok(()),
        settled => Ok(settled?),
    }
}

/// Adds a link to the list of those of a session, and forgets those that are gone.
fn add<T>(links: &Mutex<Vec<Weak<T>>>, link: Weak<T>) {
    let mut links = lock(links);
    links.retain(|known| known.strong_count() > 0);
    links.push(link);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
