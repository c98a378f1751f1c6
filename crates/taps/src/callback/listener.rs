//! Listeners whose events are told to handlers.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::connection::Connection;
use super::event_loop::spawn;
use super::reason::ListenErrorReasons;
use super::shared;
use crate::endpoint::EndpointAddress;
use crate::error::ListenError;
use crate::listener::Incoming;
use crate::properties::TransportProperties;

/// A handle of a listener; a clone of it is another handle of the same. It listens until it is stopped, whether
/// somebody has a handle or not.
#[derive(Clone)]
pub struct Listener {
    shared: Rc<Shared>,
}

pub(super) struct Shared {
    inner: OnceCell<crate::Listener>,
    handlers: RefCell<Handlers>,
    limit: Cell<Option<usize>>,
    stopping: Cell<bool>,
    /// Whether the last event has been told, or is about to be.
    over: Cell<bool>,
    error: RefCell<Option<ListenError>>,
    /// Clients whose connections are being established.
    arriving: Cell<usize>,
    waiting: RefCell<Option<Waker>>,
}

type Handler = Box<dyn FnOnce(&Listener)>;
type ErrorHandler = Box<dyn FnOnce(&Listener, ListenErrorReasons)>;
type ConnectionHandler = Box<dyn FnMut(&Connection)>;

#[derive(Default)]
struct Handlers {
    listening: Option<Handler>,
    listen_error: Option<ErrorHandler>,
    stopped: Option<Handler>,
    connection_received: Option<ConnectionHandler>,
}

impl Listener {
    pub(super) fn new() -> Self {
        Self {
            shared: Rc::new(Shared {
                inner: OnceCell::new(),
                handlers: RefCell::default(),
                limit: Cell::new(None),
                stopping: Cell::new(false),
                over: Cell::new(false),
                error: RefCell::default(),
                arriving: Cell::new(0),
                waiting: RefCell::default(),
            }),
        }
    }

    /// Sets what is called when it listens, once.
    #[doc(alias = "HANDLE_STATE_LISTENING")]
    pub fn handle_state_listening(&self, handler: impl FnOnce(&Self) + 'static) {
        self.set_handler(|handlers| handlers.listening.replace(Box::new(handler)));
    }

    /// Sets what is called when it cannot listen; nothing is called after it. [`error`](Self::error) tells more.
    #[doc(alias = "HANDLE_STATE_LISTEN_ERROR")]
    pub fn handle_state_listen_error(&self, handler: impl FnOnce(&Self, ListenErrorReasons) + 'static) {
        self.set_handler(|handlers| handlers.listen_error.replace(Box::new(handler)));
    }

    /// Sets what is called when it has been stopped, and the last connection was taken in; nothing is called after it.
    #[doc(alias = "HANDLE_STATE_STOPPED")]
    pub fn handle_state_stopped(&self, handler: impl FnOnce(&Self) + 'static) {
        self.set_handler(|handlers| handlers.stopped.replace(Box::new(handler)));
    }

    /// Sets what is called for each connection that comes in. Without it, connections are closed as they come.
    #[doc(alias = "HANDLE_CONNECTION_RECEIVED")]
    pub fn handle_connection_received(&self, handler: impl FnMut(&Connection) + 'static) {
        self.set_handler(|handlers| handlers.connection_received.replace(Box::new(handler)));
    }

    fn set_handler<H>(&self, replace: impl FnOnce(&mut Handlers) -> Option<H>) {
        // A handler that would never be called could only keep things.
        if !self.shared.over.get() {
            let before = replace(&mut self.shared.handlers.borrow_mut());
            drop(before);
        }
    }

    /// Stops listening; the connections live on.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Lets this many connections come from now on; the clients after them wait.
    pub fn set_new_connection_limit(&self, connections: usize) {
        self.shared.limit.set(Some(connections));
        if let Some(listener) = self.shared.inner.get() {
            listener.set_new_connection_limit(connections);
        }
    }

    /// Lets any number of connections come.
    pub fn reset_connection_limit(&self) {
        self.shared.limit.set(None);
        if let Some(listener) = self.shared.inner.get() {
            listener.reset_connection_limit();
        }
    }

    /// Where it listens, with the port that the system picked when none was asked for; none before it does.
    #[must_use]
    pub fn local_endpoint(&self) -> Option<EndpointAddress> {
        self.shared.inner.get().map(|listener| listener.local_endpoint().clone())
    }

    /// Why it cannot listen.
    #[must_use]
    pub fn error(&self) -> Option<ListenError> {
        self.shared.error.borrow().clone()
    }

    /// The life of a listener, told.
    pub(super) async fn serve(self, preconnection: crate::Preconnection, unfulfilled: Rc<RefCell<dyn FnMut()>>) {
        let shared = &self.shared;
        let listener = match preconnection.listen().await {
            Ok(listener) => shared.inner.get_or_init(|| listener),
            Err(error) => {
                let reason = ListenErrorReasons::from(&error);
                *shared.error.borrow_mut() = Some(error);
                if reason == ListenErrorReasons::UnfulfilledProperties {
                    (unfulfilled.borrow_mut())();
                }
                let handlers = shared.end();
                if let Some(handler) = handlers.listen_error {
                    handler(&self, reason);
                }
                return;
            }
        };
        if let Some(limit) = shared.limit.get() {
            listener.set_new_connection_limit(limit);
        }
        let listening = shared.handlers.borrow_mut().listening.take();
        if let Some(listening) = listening {
            listening(&self);
        }
        if shared.stopping.get() {
            listener.stop();
        }
        loop {
            match listener.incoming().await {
                Ok(Some(incoming)) => {
                    shared.arriving.set(shared.arriving.get() + 1);
                    spawn(Rc::clone(shared).take_in(incoming, preconnection.properties.clone()));
                }
                Ok(None) => break,
                // It has rested, and goes on.
                Err(_) => {}
            }
        }
        poll_fn(|cx| {
            if shared.arriving.get() == 0 {
                return Poll::Ready(());
            }
            *shared.waiting.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        let handlers = shared.end();
        if let Some(stopped) = handlers.stopped {
            stopped(&self);
        }
    }
}

impl Shared {
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        if let Some(listener) = self.inner.get() {
            listener.stop();
        }
    }

    /// Gives the handlers for the last event.
    fn end(&self) -> Handlers {
        self.over.set(true);
        self.handlers.take()
    }

    /// Establishes the connection of a client, and tells of it.
    async fn take_in(self: Rc<Self>, incoming: Incoming, properties: TransportProperties) {
        // A client that does not get that far is none.
        if let Ok(connection) = incoming.establish().await {
            let shared = shared::Shared::new(Some(connection), properties, Rc::downgrade(&self));
            let connection = Connection::of(&shared);
            let handler = self.handlers.borrow_mut().connection_received.take();
            if let Some(mut handler) = handler {
                handler(&connection);
                // It may have set another one.
                self.handlers.borrow_mut().connection_received.get_or_insert(handler);
            }
            shared::Shared::watch(connection, None);
        }
        self.arriving.set(self.arriving.get() - 1);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("listener", &self.shared.inner.get()).finish_non_exhaustive()
    }
}
