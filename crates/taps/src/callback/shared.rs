//! What the handles of one connection and its operations share: its stage, its handlers, who waits.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use super::connection::{Connection, SentHandler};
use super::event_loop::spawn;
use super::{listener, parts};
use crate::connection::ConnectionError;
use crate::message::Message;
use crate::properties::{Property, PropertyValue, TransportProperties};

/// What has been told of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Nothing.
    Establishing,
    /// That it is ready.
    Open,
    /// As before, but its end is known: it is told when everything else has been.
    Ending,
    /// The last event.
    Over,
}

pub(super) type Handler = Box<dyn FnOnce(&Connection)>;

#[derive(Default)]
pub(super) struct Handlers {
    pub(super) ready: Option<Handler>,
    pub(super) closed: Option<Handler>,
    pub(super) connection_error: Option<Handler>,
}

pub(super) struct Shared {
    /// Empty while a clone is being made, and when it was not.
    inner: OnceCell<crate::Connection>,
    asked: RefCell<TransportProperties>,
    /// What was set before there was a connection to set it on.
    set: RefCell<Vec<(Property, PropertyValue)>>,
    pub(super) handlers: RefCell<Handlers>,
    stage: Cell<Stage>,
    pub(super) error: RefCell<Option<ConnectionError>>,
    pub(super) handles: Cell<usize>,
    /// How many operations have not been told of.
    operations: Cell<usize>,
    closing: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
    /// Who watches for the end: after each operation it looks again, for the operation had the transport's attention.
    watcher: RefCell<Option<Waker>>,
    /// Whether a message goes with the establishment that has not been told of: the others wait for it.
    pub(super) first_waits: Cell<bool>,
    /// What is being sent: the priority, a number in the order of the calls, and who waits to tell of it.
    sending: RefCell<BTreeMap<(u32, u64), Option<Waker>>>,
    sends: Cell<u64>,
    pub(super) batch: RefCell<Option<Vec<(Message, SentHandler)>>>,
    pub(super) parts: RefCell<Vec<Rc<parts::Parts>>>,
    /// Whether the last message received was a part that others follow.
    pub(super) inside_message: Cell<bool>,
    pub(super) receive_failed: Cell<bool>,
    pub(super) listener: Weak<listener::Shared>,
}

impl Shared {
    pub(super) fn new(
        inner: Option<crate::Connection>,
        asked: TransportProperties,
        listener: Weak<listener::Shared>,
    ) -> Rc<Self> {
        Rc::new(Self {
            inner: inner.map_or_else(OnceCell::new, OnceCell::from),
            asked: RefCell::new(asked),
            set: RefCell::default(),
            handlers: RefCell::default(),
            stage: Cell::new(Stage::Establishing),
            error: RefCell::default(),
            handles: Cell::new(0),
            operations: Cell::new(0),
            closing: Cell::new(false),
            waiting: RefCell::default(),
            watcher: RefCell::default(),
            first_waits: Cell::new(false),
            sending: RefCell::default(),
            sends: Cell::new(0),
            batch: RefCell::default(),
            parts: RefCell::default(),
            inside_message: Cell::new(false),
            receive_failed: Cell::new(false),
            listener,
        })
    }

    /// The connection, where there is one already.
    pub(super) fn now(&self) -> Option<&crate::Connection> {
        self.inner.get()
    }

    /// The connection, once there is one; none when it was not cloned.
    pub(super) async fn connection(&self) -> Option<&crate::Connection> {
        self.until(|| self.inner.get().is_some() || self.stage.get() >= Stage::Ending).await;
        self.inner.get()
    }

    /// As [`connection`](Self::connection), once another message can be handed over.
    pub(super) async fn sender(&self) -> Option<&crate::Connection> {
        self.until(|| !self.first_waits.get()).await;
        self.connection().await
    }

    /// The connection has been made of another.
    pub(super) fn cloned(&self, connection: crate::Connection) {
        for (property, value) in self.set.take() {
            // One that was taken when it was set, and that the transport does not have, keeps its value.
            let _ = connection.set_property(property.name(), value);
        }
        // There is one clone.
        let _ = self.inner.set(connection);
        self.wake();
    }

    pub(super) fn asked(&self) -> TransportProperties {
        self.asked.borrow().clone()
    }

    /// Keeps a property for a connection that is still to be made.
    pub(super) fn set_later(&self, property: Property, value: PropertyValue) -> Result<(), crate::PropertyError> {
        self.asked.borrow_mut().set(property.name(), value.clone())?;
        self.set.borrow_mut().push((property, value));
        Ok(())
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Waits until it may be told what has come of an operation: not before Ready (RFC 9622 11).
    pub(super) async fn may_tell(&self) {
        self.until(|| self.stage.get() >= Stage::Open).await;
    }

    /// A place in the order of what is sent.
    pub(super) fn place(self: &Rc<Self>, priority: u32) -> Place {
        self.sends.set(self.sends.get() + 1);
        let place = (priority, self.sends.get());
        self.sending.borrow_mut().insert(place, None);
        Place { shared: Rc::clone(self), place }
    }

    pub(super) async fn until(&self, reached: impl Fn() -> bool) {
        poll_fn(|cx| {
            if reached() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Lets those who wait look again, in the order in which they came.
    pub(super) fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.wake();
    }

    /// Closes the connection in order, once.
    pub(super) fn close(self: &Rc<Self>) {
        if self.stage.get() == Stage::Over || self.closing.replace(true) {
            return;
        }
        let (shared, operation) = (Rc::clone(self), Operation::new(self));
        spawn(async move {
            if let Some(connection) = shared.connection().await {
                // The failure is told as the last event.
                let _ = connection.close().await;
            }
            drop(operation);
        });
    }

    /// Tells the life of a connection. It is kept until it is ready.
    pub(super) fn watch(handle: Connection, unfulfilled: Option<Rc<RefCell<dyn FnMut()>>>) {
        spawn(Rc::clone(handle.shared()).live(handle, unfulfilled));
    }

    async fn live(self: Rc<Self>, handle: Connection, unfulfilled: Option<Rc<RefCell<dyn FnMut()>>>) {
        // Without one, it is the clone's original that is told.
        let Some(connection) = self.connection().await else { return };
        if let Err(error) = connection.ready().await {
            if let (Some(handler), ConnectionError::NotEstablished(why)) = (unfulfilled, &error)
                && super::reason::is_unfulfilled(why.kind())
            {
                (handler.borrow_mut())();
            }
            drop(handle);
            return self.end(Err(error)).await;
        }
        let ready = self.handlers.borrow_mut().ready.take();
        if let Some(ready) = ready {
            ready(&handle);
        }
        self.enter(Stage::Open);
        drop(handle);
        let ended = {
            let mut closed = pin!(connection.closed());
            poll_fn(|cx| {
                *self.watcher.borrow_mut() = Some(cx.waker().clone());
                closed.as_mut().poll(cx)
            })
            .await
        };
        // Where both sides have ended their streams, nothing is left to wait for.
        let ended = match ended {
            Ok(()) => connection.close().await,
            failed => failed,
        };
        self.end(ended).await;
    }

    /// Tells the end, after everything else (RFC 9622 11).
    async fn end(self: &Rc<Self>, outcome: Result<(), ConnectionError>) {
        *self.error.borrow_mut() = outcome.err();
        let handlers = self.settle().await;
        let last = if self.error.borrow().is_some() { handlers.connection_error } else { handlers.closed };
        if let Some(last) = last {
            last(&Connection::of(self));
        }
    }

    /// Waits until everything has been told; nothing is after that.
    pub(super) async fn settle(&self) -> Handlers {
        self.enter(Stage::Ending);
        self.until(|| self.operations.get() == 0).await;
        self.enter(Stage::Over);
        self.handlers.take()
    }
}

/// Something that is under way on a connection, and is still to be told of.
pub(super) struct Operation {
    shared: Rc<Shared>,
}

impl Operation {
    pub(super) fn new(shared: &Rc<Shared>) -> Self {
        shared.operations.set(shared.operations.get() + 1);
        Self { shared: Rc::clone(shared) }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let left = self.shared.operations.get() - 1;
        self.shared.operations.set(left);
        if left == 0 {
            self.shared.wake();
        }
        if let Some(watcher) = self.shared.watcher.borrow().as_ref() {
            watcher.wake_by_ref();
        }
    }
}

/// Keeps the order in which it is told that messages were sent: that in which they left (RFC 9622 11), which is that of
/// the calls where the priority is the same. The loop may come to one task before another that it knew earlier.
pub(super) struct Place {
    shared: Rc<Shared>,
    place: (u32, u64),
}

impl Place {
    /// Waits until what left before has been told of.
    pub(super) async fn comes(&self) {
        let first = (self.place.0, 0);
        poll_fn(|cx| {
            let mut sending = self.shared.sending.borrow_mut();
            if sending.range(first..self.place).next().is_none() {
                return Poll::Ready(());
            }
            sending.insert(self.place, Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sending = self.shared.sending.borrow_mut();
        sending.remove(&self.place);
        let next = sending.range_mut((self.place.0, 0)..=(self.place.0, u64::MAX)).next();
        if let Some(waker) = next.and_then(|(_, waker)| waker.take()) {
            waker.wake();
        }
    }
}
