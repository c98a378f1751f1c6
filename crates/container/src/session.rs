//! A session: links share its windows and its order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postroad_client as client;
use postroad_client::types::PeerError;
use postroad_client::{AttachError, LinkError, Node, TransactionController, TransactionError};
use tokio::sync::OnceCell;

use crate::closing::Closing;
use crate::container::Command;
use crate::{Connection, EventError, LinkOptions, Receiver, Sender, Transaction};

/// A session. Clones are handles of the same session, which goes on until it is closed.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    connection: Connection,
    pub(crate) client: OnceCell<client::Session>,
    controller: OnceCell<TransactionController>,
    begun: AtomicBool,
    pub(crate) closing: Closing,
}

impl Session {
    pub(crate) fn new(connection: Connection) -> Self {
        Self::over(connection, OnceCell::new())
    }

    /// One that the peer has begun.
    pub(crate) fn incoming(connection: Connection, client: client::Session) -> Self {
        let session = Self::over(connection, OnceCell::new_with(Some(client)));
        session.inner.begun.store(true, Ordering::Relaxed);
        session
    }

    fn over(connection: Connection, client: OnceCell<client::Session>) -> Self {
        let (controller, begun, closing) = (OnceCell::new(), AtomicBool::new(false), Closing::default());
        Self { inner: Arc::new(Inner { connection, client, controller, begun, closing }) }
    }

    /// The connection of the session.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.inner.connection
    }

    /// A sender to a node, on this session.
    pub fn create_sender(&self, target: impl Into<Node>) -> Sender {
        self.create_sender_with(LinkOptions::new().target(target))
    }

    /// A sender on this session.
    #[doc(alias = "create_sender")]
    pub fn create_sender_with(&self, mut options: LinkOptions) -> Sender {
        self.begin();
        let (source, target) = options.take_nodes(true);
        let sender = Sender::new(self.clone(), source, target, options.terms, options.tags);
        self.inner.connection.container().command(Command::AttachSender(sender.clone(), options.handler));
        sender
    }

    /// A receiver from a node, on this session.
    pub fn create_receiver(&self, source: impl Into<Node>) -> Receiver {
        self.create_receiver_with(LinkOptions::new().source(source))
    }

    /// A receiver on this session.
    #[doc(alias = "create_receiver")]
    pub fn create_receiver_with(&self, mut options: LinkOptions) -> Receiver {
        self.begin();
        let (source, target) = options.take_nodes(false);
        let receiver = Receiver::new(self.clone(), source, target, options.terms);
        self.inner.connection.container().command(Command::AttachReceiver(receiver.clone(), options.handler));
        receiver
    }

    /// Asks for a transaction. [`Handler::on_transaction_declared`](crate::Handler::on_transaction_declared) follows, or
    /// [`on_transaction_declare_failed`](crate::Handler::on_transaction_declare_failed). Links of this session can be a part of
    /// it; those of other sessions of the connection where the peer allows that.
    #[doc(alias = "Container.declare_transaction")]
    pub fn declare_transaction(&self) -> Transaction {
        self.begin();
        let transaction = Transaction::new(self.clone());
        self.inner.connection.container().command(Command::Declare(transaction.clone()));
        transaction
    }

    /// Ends the session and its links.
    #[doc(alias = "end")]
    pub fn close(&self) {
        self.begin_to_close(None);
    }

    /// Ends the session with an error.
    #[doc(alias = "condition")]
    pub fn close_with(&self, error: PeerError) {
        self.begin_to_close(Some(error));
    }

    fn begin_to_close(&self, error: Option<PeerError>) {
        if self.inner.closing.begin(error) {
            self.inner.connection.container().command(Command::End(self.clone()));
        }
    }

    /// Whether nothing can be made on it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.inner.closing.has_begun() || self.inner.client.get().is_some_and(|client| client.error().is_some())
    }

    /// Whether somebody is to hear why it has not begun, or why a link on it was not attached. A session or connection that is over
    /// tells that itself, and what our end closes is no error.
    pub(crate) fn is_to_hear(&self, error: &EventError) -> bool {
        let told = matches!(
            error,
            EventError::Attach(AttachError::Link(LinkError::Connection(_) | LinkError::SessionEnded(_)))
        );
        let connection = &self.inner.connection;
        let closing = self.inner.closing.has_begun() || connection.inner.closing.has_begun();
        connection.is_open() && !told && (!closing || error.peer_error().is_some())
    }

    /// Has it begin as soon as there is a connection.
    pub(crate) fn begin(&self) {
        if !self.inner.begun.swap(true, Ordering::Relaxed) {
            self.inner.connection.container().command(Command::Begin(self.clone()));
        }
    }

    /// The session, once it has begun.
    pub(crate) async fn client(&self) -> Result<&client::Session, AttachError> {
        let begin = async || match self.inner.connection.opened().await {
            Some(connection) => connection.session().await,
            None => Err(AttachError::Link(LinkError::Closed)),
        };
        self.inner.client.get_or_try_init(begin).await
    }

    /// What declares its transactions.
    pub(crate) async fn controller(&self) -> Result<&TransactionController, TransactionError> {
        let attach = async || {
            let session = self.client().await.map_err(TransactionError::Attach)?;
            session.transaction_controller().await
        };
        self.inner.controller.get_or_try_init(attach).await
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Session {}
