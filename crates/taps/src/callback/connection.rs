//! Connections whose events are told to handlers.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;

use super::event_loop::{self, spawn};
use super::parts::Parts;
use super::reason::SendErrorReason;
use super::shared::{Handler, Operation, Shared, Stage};
use crate::connection::{ConnectionError, ConnectionState, Event, EventStream, ReceiveError, SendError};
use crate::message::{IntoData, Message, MessageContext, Receive};
use crate::properties::{EstablishedProperties, Property, PropertyError, PropertyValue, TransportProperties};

pub(super) type SentHandler = Box<dyn FnOnce(&Connection, Option<SendErrorReason>)>;

/// A handle of a connection; a clone of it is another handle of the same. The connection is closed when the last one
/// is dropped and nothing is under way.
pub struct Connection {
    shared: Rc<Shared>,
}

/// What was received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MessageDataObject {
    /// The bytes.
    pub data: Bytes,
    /// How many there are.
    pub length: usize,
}

impl MessageDataObject {
    /// These bytes.
    #[must_use]
    pub fn new(data: impl IntoData) -> Self {
        let data = data.into_data();
        Self { length: data.len(), data }
    }
}

/// What a connection is like.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Where it is in its life.
    pub state: ConnectionState,
    /// Whether a message can be sent.
    pub send: bool,
    /// Whether a message can be received.
    pub receive: bool,
    /// The transport properties.
    pub props: Properties,
}

/// The transport properties of a connection, which differ with its state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Properties {
    /// Those that were asked for, while it is being established.
    Asked(Box<TransportProperties>),
    /// Those of the protocols that were selected.
    Selected(Box<EstablishedProperties>),
}

impl Connection {
    /// A handle of it.
    pub(super) fn of(shared: &Rc<Shared>) -> Self {
        shared.handles.set(shared.handles.get() + 1);
        Self { shared: Rc::clone(shared) }
    }

    pub(super) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Sets what is called when the connection is ready, once; after [`handle_connection_received`] for one that a
    /// listener has taken in.
    ///
    /// [`handle_connection_received`]: super::Listener::handle_connection_received
    #[doc(alias = "HANDLE_STATE_READY")]
    pub fn handle_state_ready(&self, handler: impl FnOnce(&Self) + 'static) {
        self.set_handler(Box::new(handler), |handlers| &mut handlers.ready);
    }

    /// Sets what is called when the connection is closed in order; nothing is called after it.
    #[doc(alias = "HANDLE_STATE_CLOSED")]
    pub fn handle_state_closed(&self, handler: impl FnOnce(&Self) + 'static) {
        self.set_handler(Box::new(handler), |handlers| &mut handlers.closed);
    }

    /// Sets what is called when the connection was not established or has failed; nothing is called after it.
    /// [`error`](Self::error) tells why.
    #[doc(alias = "HANDLE_STATE_CONNECTION_ERROR")]
    pub fn handle_state_connection_error(&self, handler: impl FnOnce(&Self) + 'static) {
        self.set_handler(Box::new(handler), |handlers| &mut handlers.connection_error);
    }

    fn set_handler(&self, handler: Handler, slot: fn(&mut super::shared::Handlers) -> &mut Option<Handler>) {
        // A handler that would never be called could only keep things.
        if self.shared().stage() < Stage::Over {
            let before = slot(&mut self.shared().handlers.borrow_mut()).replace(handler);
            drop(before);
        }
    }

    /// Sends a message, or a part of one where `end_of_message` is false: all calls with the same context, up to the
    /// one where it is true, are one message. A context that is equal to that of the first part is the same, and so is
    /// none where the first part had none. The handler is told `None` when it was sent.
    ///
    /// Returns whether it was taken. It is not once the end of the connection is known; the handler is not called then.
    #[doc(alias = "message_data")]
    #[doc(alias = "sent_handler")]
    pub fn send(
        &self,
        message_data: impl IntoData,
        sent_handler: impl FnOnce(&Self, Option<SendErrorReason>) + 'static,
        message_context: Option<MessageContext>,
        end_of_message: bool,
    ) -> bool {
        let shared = self.shared();
        if shared.stage() >= Stage::Ending {
            return false;
        }
        let (data, context) = (message_data.into_data(), message_context.unwrap_or_default());
        let sent_handler: SentHandler = Box::new(sent_handler);
        let known = shared.parts.borrow().iter().position(|parts| parts.is_of(&context));
        if !end_of_message || known.is_some() {
            self.send_part(known, data, context, sent_handler, end_of_message);
            return true;
        }
        let message = Message::new(data).in_context(context);
        if let Some(batch) = shared.batch.borrow_mut().as_mut() {
            batch.push((message, sent_handler));
            return true;
        }
        self.send_whole(message, sent_handler);
        true
    }

    fn send_whole(&self, message: Message, sent_handler: SentHandler) {
        let (this, operation) = (self.clone(), Operation::new(self.shared()));
        let place = self.shared().place(message.context.priority());
        spawn(async move {
            let sent = match this.shared().sender().await {
                Some(connection) => connection.send(message).await,
                None => Err(SendError::Closed),
            };
            this.shared().may_tell().await;
            if sent.is_ok() {
                place.comes().await;
            }
            sent_handler(&this, sent.err().as_ref().map(SendErrorReason::from));
            drop((place, operation));
        });
    }

    /// Tells what has become of the message that goes with the establishment; nothing when that fails (RFC 9622 9.2.5).
    pub(super) fn tell_first(&self, sent_handler: SentHandler) {
        self.shared().first_waits.set(true);
        let events = self.shared().now().map(crate::Connection::events);
        let (this, operation) = (self.clone(), Operation::new(self.shared()));
        spawn(async move {
            let flushed = match this.shared().connection().await {
                Some(connection) => connection.flush().await,
                None => Err(SendError::Closed),
            };
            let told = match events {
                Some(events) => first_outcome(events).await,
                None => None,
            };
            this.shared().may_tell().await;
            let not_established =
                |error: &SendError| matches!(error, SendError::ProtocolFailed(ConnectionError::NotEstablished(_)));
            match told.or_else(|| flushed.err()) {
                Some(error) if not_established(&error) => {}
                error => sent_handler(&this, error.as_ref().map(SendErrorReason::from)),
            }
            this.shared().first_waits.set(false);
            this.shared().wake();
            drop(operation);
        });
    }

    fn send_part(
        &self,
        known: Option<usize>,
        data: Bytes,
        context: MessageContext,
        sent_handler: SentHandler,
        end_of_message: bool,
    ) {
        let shared = self.shared();
        let parts = match known {
            Some(known) => Rc::clone(&shared.parts.borrow()[known]),
            None => {
                let parts = Rc::new(Parts::new(context));
                shared.parts.borrow_mut().push(Rc::clone(&parts));
                spawn(Rc::clone(&parts).carry(Rc::clone(shared)));
                parts
            }
        };
        parts.push(self, data, sent_handler, end_of_message);
        if end_of_message {
            shared.parts.borrow_mut().retain(|open| !Rc::ptr_eq(open, &parts));
        }
    }

    /// Sends what the block sends on this connection together, in as few writes as possible.
    #[doc(alias = "batch_block")]
    pub fn batch(&self, batch_block: impl FnOnce()) {
        let shared = self.shared();
        // A block within a block belongs to it.
        if shared.batch.borrow().is_some() {
            return batch_block();
        }
        shared.batch.replace(Some(Vec::new()));
        batch_block();
        let batch = shared.batch.take().unwrap_or_default();
        if batch.is_empty() {
            return;
        }
        let (messages, handlers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let (this, operation, place) =
            (self.clone(), Operation::new(shared), shared.place(MessageContext::default().priority()));
        spawn(async move {
            let failed = match this.shared().sender().await {
                Some(connection) => {
                    let sent = connection.batch(|batch| messages.into_iter().for_each(|message| batch.send(message)));
                    sent.await.err().map(|error| error.failed().to_vec()).unwrap_or_default()
                }
                None => vec![(usize::MAX, SendError::Closed)],
            };
            this.shared().may_tell().await;
            if failed.is_empty() {
                place.comes().await;
            }
            for (index, handler) in handlers.into_iter().enumerate() {
                // Where the place is not known, one entry stands for all that have none of their own.
                let of = |index| failed.iter().find(|(failed, _)| *failed == index);
                let error = of(index).or_else(|| of(usize::MAX)).map(|(_, error)| error);
                handler(&this, error.map(SendErrorReason::from));
            }
            drop((place, operation));
        });
    }

    /// Receives a message, or the next part of one; each call is told once, in the order of the calls.
    ///
    /// With `min_incomplete_length`, a part of that many bytes is enough; without, only whole messages are given, up to
    /// `max_length` bytes ([`Receive::DEFAULT_MAX`] where it is none). The handler is given the connection, the bytes,
    /// the context, `is_end_of_message`, and what went wrong, in which case there are no bytes.
    /// `is_end_of_message` is none for a whole message, and for a part, whether it is the last one.
    ///
    /// Returns whether it was taken. It is not once the connection is over; the handler is not called then.
    #[doc(alias = "min_incomplete_length")]
    #[doc(alias = "max_length")]
    pub fn receive(
        &self,
        handler: impl FnOnce(&Self, MessageDataObject, MessageContext, Option<bool>, Option<ReceiveError>) + 'static,
        min_incomplete_length: Option<usize>,
        max_length: Option<usize>,
    ) -> bool {
        let stage = self.shared().stage();
        if stage == Stage::Over || (stage == Stage::Ending && self.shared().receive_failed.get()) {
            return false;
        }
        let want = min_incomplete_length.map_or(Receive::complete(), Receive::min_incomplete);
        let want = want.max(max_length.unwrap_or(Receive::DEFAULT_MAX));
        let (this, operation) = (self.clone(), Operation::new(self.shared()));
        spawn(async move {
            let shared = this.shared();
            shared.may_tell().await;
            let received = match shared.connection().await {
                Some(connection) => connection.receive_with(want).await,
                None => Err(ReceiveError::Closed),
            };
            match received {
                Ok(Message { data, context, end_of_message, .. }) => {
                    let continued = shared.inside_message.replace(!end_of_message);
                    let is_end_of_message = (continued || !end_of_message).then_some(end_of_message);
                    handler(&this, MessageDataObject::new(data), context, is_end_of_message, None);
                }
                Err(error) => {
                    shared.receive_failed.set(true);
                    handler(&this, MessageDataObject::default(), MessageContext::default(), None, Some(error));
                }
            }
            drop(operation);
        });
        true
    }

    /// Opens another connection to the same peer, in one group with this one. It is given at once, while it is being
    /// established; the handler is called with this connection when that fails, and nothing is told on the new one
    /// then.
    #[doc(alias = "clone")]
    pub fn clone_connection(&self, clone_error_handler: impl FnOnce(&Self) + 'static) -> Self {
        let asked = self.shared().now().map_or_else(|| self.shared().asked(), crate::Connection::transport_properties);
        let shared = Shared::new(None, asked, self.shared().listener.clone());
        let clone = Self::of(&shared);
        Shared::watch(clone.clone(), None);
        let (this, operation) = (self.clone(), Operation::new(self.shared()));
        spawn(async move {
            let cloned = match this.shared().connection().await {
                Some(connection) => connection.clone_connection().await.ok(),
                None => None,
            };
            this.shared().may_tell().await;
            match cloned {
                Some(cloned) => shared.cloned(cloned),
                None => {
                    shared.settle().await;
                    clone_error_handler(&this);
                }
            }
            drop(operation);
        });
        clone
    }

    /// Closes the connection once everything that was handed over is sent. What the peer still sends is not received.
    pub fn close(&self) {
        self.shared().close();
    }

    /// Ends the connection at once: what was not sent is not.
    pub fn abort(&self) {
        match self.shared().now() {
            Some(connection) => connection.abort(),
            None => self.close(),
        }
    }

    /// Sets a property of the connection.
    ///
    /// # Errors
    /// It is read-only or no connection property, the value is not one of it, or the transport does not have it.
    /// Nothing has changed then.
    #[doc(alias = "connection_property")]
    pub fn set_property(
        &self,
        connection_property: impl Into<Property>,
        value: impl Into<PropertyValue>,
    ) -> Result<(), PropertyError> {
        let property = connection_property.into();
        match self.shared().now() {
            Some(connection) => connection.set_property(property.name(), value),
            None => self.shared().set_later(property, value.into()),
        }
    }

    /// The state of the connection and its properties.
    #[must_use]
    pub fn get_properties(&self) -> ConnectionInfo {
        let shared = self.shared();
        let state = match (shared.stage(), shared.now()) {
            (Stage::Over, _) => ConnectionState::Closed,
            (_, Some(connection)) => connection.state(),
            (_, None) => ConnectionState::Establishing,
        };
        let props = match shared.now() {
            Some(connection) if state != ConnectionState::Establishing => {
                Properties::Selected(Box::new(connection.properties()))
            }
            Some(connection) => Properties::Asked(Box::new(connection.transport_properties())),
            None => Properties::Asked(Box::new(shared.asked())),
        };
        let (send, receive) = (self.can_be_used_for_sending(), self.can_be_used_for_receiving_data());
        ConnectionInfo { state, send, receive, props }
    }

    /// Whether a message can be sent.
    #[must_use]
    pub fn can_be_used_for_sending(&self) -> bool {
        let open = self.shared().stage() < Stage::Ending;
        open && self.shared().now().is_none_or(crate::Connection::can_send)
    }

    /// Whether a message can be received.
    #[must_use]
    pub fn can_be_used_for_receiving_data(&self) -> bool {
        let open = self.shared().stage() < Stage::Over;
        open && self.shared().now().is_none_or(crate::Connection::can_receive)
    }

    /// What ended the connection out of order; none before that is told.
    #[must_use]
    pub fn error(&self) -> Option<ConnectionError> {
        self.shared().error.borrow().clone()
    }

    /// Whether the two are in one group.
    #[must_use]
    pub fn is_grouped_with(&self, other: &Self) -> bool {
        match (self.shared().now(), other.shared().now()) {
            (Some(one), Some(other)) => one.is_grouped_with(other),
            _ => Rc::ptr_eq(self.shared(), other.shared()),
        }
    }

    /// Ends the loop, as [`stop`](super::stop()) does.
    pub fn stop(&self) {
        event_loop::stop();
    }

    /// Stops the listener that has taken this connection in, if it was one.
    pub fn stop_listener(&self) {
        if let Some(listener) = self.shared().listener.upgrade() {
            listener.stop();
        }
    }
}

/// What kept the first message from being sent, by what has happened so far.
async fn first_outcome(mut events: EventStream) -> Option<SendError> {
    loop {
        let event = {
            let mut next = pin!(events.next());
            poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await
        };
        match event {
            Poll::Ready(Some(Event::SendError { message: 1, error })) => return Some(error),
            Poll::Ready(Some(Event::Expired { message: 1 })) => return Some(SendError::Expired),
            Poll::Ready(Some(Event::Sent { message: 1 }) | None) | Poll::Pending => return None,
            Poll::Ready(Some(_)) => {}
        }
    }
}

impl Clone for Connection {
    fn clone(&self) -> Self {
        Self::of(&self.shared)
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(self.shared(), other.shared())
    }
}

impl Eq for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = self.shared().now();
        f.debug_struct("Connection").field("stage", &self.shared().stage()).field("connection", &connection).finish()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let left = self.shared.handles.get() - 1;
        self.shared.handles.set(left);
        if left == 0 {
            self.shared.close();
        }
    }
}
