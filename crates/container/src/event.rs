//! What has happened, as a handler is told.

use postroad_client::{ExpiredLink, Message, Origin, Told};

use crate::{
    Acceptor, Connection, Container, Delivery, EventError, Link, Opening, Receiver, Sender, Session, Timer,
    Transaction, Transport,
};

/// What has happened: what it happened to, and whatever goes with it. It is borrowed for the length of the call; connections,
/// links and deliveries can be cloned out of it and used later, from wherever.
#[derive(Debug)]
pub struct Event<'a> {
    pub(crate) container: &'a Container,
    pub(crate) subject: Subject<'a>,
    pub(crate) delivery: Option<Came<'a>>,
    pub(crate) message: Option<&'a mut Message>,
    pub(crate) error: Option<&'a EventError>,
    pub(crate) opening: Option<&'a mut Opening>,
    /// Whether the handler that was called leaves it to the next.
    pub(crate) passed: bool,
}

/// What something has happened to.
#[doc(alias = "context")]
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Subject<'a> {
    /// The container.
    Container,
    /// A moment that has come.
    Timer(Timer),
    /// An acceptor.
    Acceptor(&'a Acceptor),
    /// A link that an acceptor had kept.
    ExpiredLink(&'a Acceptor, &'a ExpiredLink),
    /// A connection.
    Connection(&'a Connection),
    /// A session.
    Session(&'a Session),
    /// A transaction.
    Transaction(&'a Transaction),
    /// A link.
    Link(&'a Link),
}

/// The delivery that it is about: at a receiver, or at a sender.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Came<'a> {
    In(Origin),
    Told(&'a Told),
}

impl<'a> Event<'a> {
    pub(crate) fn new(container: &'a Container, subject: Subject<'a>) -> Self {
        Self { container, subject, delivery: None, message: None, error: None, opening: None, passed: false }
    }

    pub(crate) fn on_connection(connection: &'a Connection) -> Self {
        Self::new(connection.container(), Subject::Connection(connection))
    }

    pub(crate) fn on_session(session: &'a Session) -> Self {
        Self::new(session.connection().container(), Subject::Session(session))
    }

    pub(crate) fn on_link(link: &'a Link) -> Self {
        Self::new(link.connection().container(), Subject::Link(link))
    }

    pub(crate) fn error_of(self, error: &'a EventError) -> Self {
        Self { error: Some(error), ..self }
    }

    /// The container that it happened in.
    #[doc(alias = "reactor")]
    #[must_use]
    pub fn container(&self) -> &'a Container {
        self.container
    }

    /// What it happened to.
    #[doc(alias = "context")]
    #[must_use]
    pub fn subject(&self) -> Subject<'a> {
        self.subject
    }

    /// The acceptor that it happened to, or that a connection came to.
    #[must_use]
    pub fn acceptor(&self) -> Option<&'a Acceptor> {
        match self.subject {
            Subject::Acceptor(acceptor) | Subject::ExpiredLink(acceptor, _) => Some(acceptor),
            _ => self.connection()?.acceptor(),
        }
    }

    /// The link whose time is over, and what of it is in doubt.
    #[must_use]
    pub fn expired_link(&self) -> Option<&'a ExpiredLink> {
        match self.subject {
            Subject::ExpiredLink(_, expired) => Some(expired),
            _ => None,
        }
    }

    /// The connection that it happened to, or to something on it.
    #[must_use]
    pub fn connection(&self) -> Option<&'a Connection> {
        match self.subject {
            Subject::Connection(connection) => Some(connection),
            _ => self.session().map(Session::connection),
        }
    }

    /// What carries the connection, once it is open.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        self.connection()?.transport()
    }

    /// The session that it happened to, or to something on it.
    #[must_use]
    pub fn session(&self) -> Option<&'a Session> {
        match self.subject {
            Subject::Session(session) => Some(session),
            Subject::Transaction(transaction) => Some(transaction.session()),
            Subject::Link(link) => Some(link.session()),
            _ => None,
        }
    }

    /// The transaction that it happened to.
    #[must_use]
    pub fn transaction(&self) -> Option<&'a Transaction> {
        match self.subject {
            Subject::Transaction(transaction) => Some(transaction),
            _ => None,
        }
    }

    /// The link that it happened to.
    #[must_use]
    pub fn link(&self) -> Option<&'a Link> {
        match self.subject {
            Subject::Link(link) => Some(link),
            _ => None,
        }
    }

    /// The sender that it happened to; nothing where it is a receiver.
    #[must_use]
    pub fn sender(&self) -> Option<&'a Sender> {
        self.link()?.as_sender()
    }

    /// The receiver that it happened to; nothing where it is a sender.
    #[must_use]
    pub fn receiver(&self) -> Option<&'a Receiver> {
        self.link()?.as_receiver()
    }

    /// The delivery that it is about.
    #[must_use]
    pub fn delivery(&self) -> Option<Delivery> {
        match (self.delivery?, self.link()?) {
            (Came::In(origin), Link::Receiver(receiver)) => Some(Delivery::came(receiver.clone(), origin)),
            (Came::Told(told), Link::Sender(sender)) => Some(Delivery::told(sender.clone(), told)),
            _ => None,
        }
    }

    /// The message that has come.
    #[must_use]
    pub fn message(&self) -> Option<&Message> {
        self.message.as_deref()
    }

    /// Takes the message that has come, and leaves an empty one.
    #[must_use]
    pub fn take_message(&mut self) -> Option<Message> {
        self.message.as_deref_mut().map(std::mem::take)
    }

    /// The moment that has come.
    #[must_use]
    pub fn timer(&self) -> Option<Timer> {
        match self.subject {
            Subject::Timer(timer) => Some(timer),
            _ => None,
        }
    }

    /// What went wrong, where something did.
    #[doc(alias = "condition")]
    #[must_use]
    pub fn error(&self) -> Option<&'a EventError> {
        self.error
    }

    /// What the peer opens, in the `opening` methods of a handler: to refuse it, or to say how it is answered.
    #[must_use]
    pub fn opening(&mut self) -> Option<&mut Opening> {
        self.opening.as_deref_mut()
    }

    /// Leaves it to the handler of the next wider scope, as methods that a handler does not have do.
    pub fn pass(&mut self) {
        self.passed = true;
    }
}
