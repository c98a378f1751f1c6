//! A session: links share its windows and its order.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::again::{Again, Terms};
use crate::link::Link;
use crate::options::random_uuid;
use crate::protocol::{How, LimitError, Role, SessionId, To};
use crate::shared_receiver::{self, SharedReceiver};
use crate::state::{Shared, State};
use crate::types::ErrorCondition;
use crate::wait::Place;
use crate::{AttachError, Connection, Guarantee, LinkError, LinkOptions, Node, Receiver, Sender, StreamingReceiver};

/// A session. Clones are handles of the same session; when the last one is gone, and the last link on
/// it, the session ends.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) connection: Connection,
    pub(crate) key: usize,
    /// Receivers of the session that several may use.
    receivers: Mutex<Vec<Weak<shared_receiver::Inner>>>,
}

impl Session {
    pub(crate) fn new(connection: Connection, key: usize) -> Self {
        Self { inner: Arc::new(Inner { connection, key, receivers: Mutex::default() }) }
    }

    /// A handle of a session of the peer's, of which there may be others: all of them are the same.
    pub(crate) fn of_peer(connection: &Connection, key: usize) -> Self {
        let session = Self::new(connection.clone(), key);
        session.shared().with(|state| state.sessions[key].handle = Arc::downgrade(&session.inner));
        session
    }

    /// Whether both are handles of one session.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.connection.inner.shared
    }

    pub(crate) fn id(&self) -> SessionId {
        self.shared().with(|state| state.sessions[self.inner.key].id)
    }

    /// Why the session is over; `None` while it is not.
    #[must_use]
    pub fn error(&self) -> Option<LinkError> {
        self.shared().with(|state| state.sessions[self.inner.key].over.clone())
    }

    /// The connection of the session.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    /// Has the session end with its connection, since its transactions do.
    pub(crate) fn end_with_connection(&self) {
        self.shared().with(|state| state.sessions[self.inner.key].transacted = true);
    }

    pub(crate) fn set_committing(&self, committing: bool) {
        self.shared().with(|state| state.sessions[self.inner.key].committing = committing);
    }

    /// Ends the session and waits for nothing.
    pub(crate) fn end(&self) {
        let (id, timeout) = (self.id(), self.inner.connection.inner.close_timeout);
        self.shared().with(|state| {
            if state.sessions[self.inner.key].over.is_none() {
                state.end_in_time(id, timeout);
            }
        });
    }

    pub(crate) fn add_receiver(&self, receiver: &Arc<shared_receiver::Inner>) {
        let mut receivers = self.inner.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        receivers.retain(|known| known.strong_count() > 0);
        receivers.push(Arc::downgrade(receiver));
    }

    /// The receivers of the session that were made by [`Receiver::into_shared`] and are not gone.
    #[must_use]
    pub fn shared_receivers(&self) -> Vec<SharedReceiver> {
        let receivers = self.inner.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        receivers.iter().filter_map(Weak::upgrade).map(SharedReceiver::of).collect()
    }

    pub(crate) async fn begun(&self) -> Result<(), LinkError> {
        let begun = |state: &mut State| {
            let entry = &state.sessions[self.inner.key];
            match &entry.over {
                Some(error) => Some(Err(error.clone())),
                // One that was made meanwhile is begun when the connection is attached.
                None => (entry.begun || state.detached.is_some()).then_some(Ok(())),
            }
        };
        self.shared().wait(Place::Session(self.inner.key), begun).await
    }

    /// Attaches a sender to a node. While the connection is detached it is made at once, and attached with the connection.
    ///
    /// # Errors
    /// When the peer refuses it, does not answer in the options' time, or the connection ends.
    ///
    /// # Cancel safety
    /// A dropped future detaches the link again.
    pub async fn sender(&self, node: impl Into<Node>) -> Result<Sender, AttachError> {
        self.sender_with(node, LinkOptions::default()).await
    }

    /// As [`Session::sender`], on the given terms.
    ///
    /// # Errors
    /// As [`Session::sender`].
    pub async fn sender_with(&self, node: impl Into<Node>, options: LinkOptions) -> Result<Sender, AttachError> {
        let link = self.attach(Role::Sender, &node.into(), &options).await?;
        Ok(Sender::new(link, options.guarantee))
    }

    /// Attaches a receiver to a node.
    ///
    /// # Errors
    /// When the peer refuses it, does not answer in the options' time, or the connection ends.
    ///
    /// # Cancel safety
    /// A dropped future detaches the link again.
    pub async fn receiver(&self, node: impl Into<Node>) -> Result<Receiver, AttachError> {
        self.receiver_with(node, LinkOptions::default()).await
    }

    /// As [`Session::receiver`], on the given terms.
    ///
    /// # Errors
    /// As [`Session::receiver`].
    pub async fn receiver_with(&self, node: impl Into<Node>, options: LinkOptions) -> Result<Receiver, AttachError> {
        let link = self.attach(Role::Receiver, &node.into(), &options).await?;
        Ok(Receiver::new(link, options.prefetch))
    }

    /// Attaches a receiver that gives the content of messages as it comes.
    ///
    /// # Errors
    /// As [`Session::receiver`].
    ///
    /// # Cancel safety
    /// A dropped future detaches the link again.
    pub async fn streaming_receiver(&self, node: impl Into<Node>) -> Result<StreamingReceiver, AttachError> {
        self.streaming_receiver_with(node, LinkOptions::default()).await
    }

    /// As [`Session::streaming_receiver`], on the given terms.
    ///
    /// # Errors
    /// As [`Session::receiver`].
    pub async fn streaming_receiver_with(
        &self,
        node: impl Into<Node>,
        mut options: LinkOptions,
    ) -> Result<StreamingReceiver, AttachError> {
        options.in_parts = true;
        self.receiver_with(node, options).await.map(StreamingReceiver::new)
    }

    async fn attach(&self, role: Role, node: &Node, options: &LinkOptions) -> Result<Link, AttachError> {
        let name = own_name(options);
        let keep = options.resends && self.shared().with(|state| state.reconnects);
        let exactly_once = options.guarantee == Guarantee::ExactlyOnce;
        let was_over = self.shared().with(|state| state.sessions[self.inner.key].over.is_some());
        let options = LinkOptions {
            keep: exactly_once || (keep && options.guarantee == Guarantee::AtLeastOnce && role == Role::Sender),
            ..options.clone()
        };
        let timeout = options.timeout;
        let max_bytes = if options.keep && role == Role::Sender { options.max_unsettled_bytes.max(1) } else { 0 };
        let attaching = async {
            let link = self
                .attach_by(name.clone(), timeout, |state, session| {
                    let to = To::Node { role, node, options: &options };
                    let unborn = state.detached.is_some();
                    let id = match unborn {
                        true => state.unborn_link(),
                        false => state.engine.attach(session, &name, to, How::Anew)?,
                    };
                    let key = state.add_link(id, self.inner.key);
                    let entry = &mut state.links[key];
                    entry.unborn = unborn;
                    entry.note_polling(&options);
                    entry.second = exactly_once && role == Role::Receiver;
                    (entry.sends.max_in_flight, entry.sends.max_bytes) = (options.max_unsettled, max_bytes);
                    let terms = Terms { role, node: node.clone(), options: options.clone() };
                    entry.again = Some(Box::new(Again { name: name.clone(), terms: Some(terms) }));
                    Ok(key)
                })
                .await?;
            if !link.is_unborn() {
                link.wait(|_, remote| Some(remote.grants(node, &options))).await??;
            }
            Ok(link)
        };
        let attached = tokio::time::timeout(timeout, attaching).await;
        attached.unwrap_or(Err(LinkError::Timeout(timeout).into())).map_err(|error: AttachError| {
            match error.peer_error() {
                // RabbitMQ 3 does not attach the link with another mode, but ends the session over the one that was asked for.
                Some(told)
                    if exactly_once
                        && !was_over
                        && !node.dynamic
                        && told.condition == ErrorCondition::NOT_IMPLEMENTED =>
                {
                    let missing = format!("the peer refuses it: {told}");
                    AttachError::GuaranteeUnavailable { asked: options.guarantee, missing }
                }
                _ => error,
            }
        })
    }

    /// Attaches a link to the peer's coordinator.
    pub(crate) async fn attach_coordinator(&self) -> Result<Link, AttachError> {
        let options = LinkOptions::default();
        let (name, timeout) = (own_name(&options), options.timeout);
        if self.shared().with(|state| state.detached.is_some()) {
            return Err(LinkError::Unattached.into());
        }
        let attaching = self.attach_by(name.clone(), timeout, |state, session| {
            let id = state.engine.attach(session, &name, To::Coordinator, How::Anew)?;
            let key = state.add_link(id, self.inner.key);
            state.make_control(key);
            state.links[key].again = Some(Box::new(Again { name: name.clone(), terms: None }));
            Ok(key)
        });
        tokio::time::timeout(timeout, attaching).await.unwrap_or(Err(LinkError::Timeout(timeout).into()))
    }

    /// Attaches a link as soon as there is a connection, and waits until the peer has.
    async fn attach_by(
        &self,
        name: String,
        timeout: Duration,
        mut attach: impl FnMut(&mut State, SessionId) -> Result<usize, LimitError>,
    ) -> Result<Link, AttachError> {
        let attach = |state: &mut State| {
            let session = &state.sessions[self.inner.key];
            if let Some(error) = &session.over {
                return Some(Err(AttachError::Link(error.clone())));
            }
            if state.down.is_some() && state.detached.is_none() {
                return None;
            }
            let id = session.id;
            Some(attach(state, id).map_err(|error| match error {
                LimitError::Ended => AttachError::Link(LinkError::Closed),
                error => AttachError::Limit(error),
            }))
        };
        let key = self.shared().wait(Place::Connection, attach).await?;
        let link = Link { session: self.clone(), key, name, timeout };
        if !link.is_unborn() {
            link.attached().await?;
        }
        Ok(link)
    }

    /// Waits until the session is over, and tells why.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn ended(&self) -> LinkError {
        let over = |state: &mut State| state.sessions[self.inner.key].over.clone();
        self.shared().wait(Place::Session(self.inner.key), over).await
    }

    /// Ends the session and every link on it; what was handed over goes out first.
    ///
    /// # Errors
    /// When the peer ended it with an error before, or does not answer in the connection's close timeout: then it is over
    /// all the same, and so is every wait on its links.
    ///
    /// # Cancel safety
    /// Once polled, the end goes its way whether the future lives or not.
    pub async fn close(&self) -> Result<(), LinkError> {
        let (id, timeout) = (self.id(), self.inner.connection.inner.close_timeout);
        let over = self.shared().with(|state| {
            let over = state.sessions[self.inner.key].over.clone();
            if over.is_none() {
                state.end_in_time(id, timeout);
            }
            over
        });
        if let Some(error) = over {
            return if error.peer_error().is_some() { Err(error) } else { Ok(()) };
        }
        let place = Place::Session(self.inner.key);
        match self.shared().wait(place, |state| state.sessions[self.inner.key].over.clone()).await {
            LinkError::SessionEnded(None) | LinkError::Closed => Ok(()),
            error => Err(error),
        }
    }
}

/// Some peers key links by name alone: ours are distinct unless the user names them.
fn own_name(options: &LinkOptions) -> String {
    options.name.clone().unwrap_or_else(|| random_uuid().to_string())
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.connection.inner.shared.with(|state| state.drop_session(self.key));
    }
}
