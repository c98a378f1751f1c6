//! A connection to a broker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use postroad_client as client;

use crate::node_types::NodeTypes;
use crate::{
    ConnectError, ConnectionBuilder, ConnectionError, Session, SessionError, Settings, TransactionError, session,
};

/// An open connection to a broker. Clones are handles of the same connection; with the last handle, and the last session
/// and link on it, it is closed.
#[doc(alias = "qpid.messaging")]
#[derive(Debug, Clone)]
pub struct Connection {
    inner: client::Connection,
    settings: Arc<Settings>,
    types: NodeTypes,
    sessions: Arc<Mutex<Sessions>>,
}

/// The sessions of a connection by their names, as long as there are handles of them.
#[derive(Debug, Default)]
struct Sessions {
    begun: Vec<(String, Weak<session::Inner>)>,
    /// How many were begun without a name.
    anonymous: u64,
}

impl Connection {
    /// Begins a connection to the broker at a URL such as `amqps://user@host:5671`. [`ConnectionBuilder::open`] opens it.
    ///
    /// # Errors
    /// [`ConnectError::Url`] when the text is no URL.
    #[expect(clippy::new_ret_no_self, reason = "the original's constructor makes a connection that is not open")]
    pub fn new(url: &str) -> Result<ConnectionBuilder, ConnectError> {
        Ok(ConnectionBuilder::new(url.parse()?))
    }

    /// Opens a connection with the default options.
    ///
    /// # Errors
    /// As [`Connection::new`] and [`ConnectionBuilder::open`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    pub async fn establish(url: &str) -> Result<Self, ConnectError> {
        Self::new(url)?.open().await
    }

    pub(crate) fn new_open(inner: client::Connection, settings: Settings) -> Self {
        let types = NodeTypes::new(settings.address_ttl);
        Self { inner, settings: Arc::new(settings), types, sessions: Arc::default() }
    }

    /// What was learned of names on this connection.
    pub(crate) fn types(&self) -> &NodeTypes {
        &self.types
    }

    /// The options that it was opened with.
    #[doc(alias = "options")]
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whom the broker knows us as: the user who was authenticated; nobody's name where none was given.
    #[must_use]
    pub fn auth_username(&self) -> Option<&str> {
        self.settings.username().filter(|_| self.settings.options.sasl_enabled)
    }

    /// Begins a session.
    ///
    /// # Errors
    /// When the connection is over, or the broker has no room for one more.
    ///
    /// # Cancel safety
    /// A dropped future ends the session again.
    pub async fn session(&self) -> Result<Session, SessionError> {
        self.begin(None, false).await
    }

    /// Gives the session of a name, which is begun where there is none.
    ///
    /// # Errors
    /// As [`Connection::session`].
    ///
    /// # Cancel safety
    /// As [`Connection::session`].
    #[doc(alias = "session")]
    pub async fn session_named(&self, name: &str) -> Result<Session, SessionError> {
        self.begin(Some(name), false).await
    }

    /// Begins a session whose work happens in transactions: what is sent and acknowledged on it holds with
    /// [`Session::commit`], or not at all with [`Session::rollback`] or the end of the session. Each transaction begins by
    /// itself.
    ///
    /// It ends with the connection also where that is made anew ([`ConnectionBuilder::reconnect`]): then what is done on
    /// it fails with [`TransactionError::Aborted`](crate::TransactionError::Aborted), or with
    /// [`TransactionError::Unknown`](crate::TransactionError::Unknown) where a commit was under way.
    ///
    /// # Errors
    /// As [`Connection::session`], and [`TransactionError::Unsupported`](crate::TransactionError::Unsupported) when the broker
    /// has no transactions.
    ///
    /// # Cancel safety
    /// As [`Connection::session`].
    #[doc(alias = "session")]
    pub async fn transactional_session(&self) -> Result<Session, SessionError> {
        self.begin(None, true).await
    }

    /// As [`Connection::session_named`], with transactions where the session is begun.
    ///
    /// # Errors
    /// As [`Connection::transactional_session`].
    ///
    /// # Cancel safety
    /// As [`Connection::session`].
    #[doc(alias = "session")]
    pub async fn transactional_session_named(&self, name: &str) -> Result<Session, SessionError> {
        self.begin(Some(name), true).await
    }

    /// The sessions that are not over and not gone, in the order in which they were begun.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        let sessions: Vec<_> = self.lock().begun.iter().filter_map(|(_, session)| Session::upgrade(session)).collect();
        sessions.into_iter().filter(|session| session.error().is_none()).collect()
    }

    /// The id of the connection's container at the broker.
    #[must_use]
    pub fn id(&self) -> String {
        self.inner.container_id()
    }

    async fn begin(&self, name: Option<&str>, transactional: bool) -> Result<Session, SessionError> {
        let id = self.id();
        let name = match name {
            Some(name) => format!("{id}:{name}"),
            None => {
                let mut sessions = self.lock();
                sessions.anonymous += 1;
                format!("{id}:{}", sessions.anonymous - 1)
            }
        };
        if let Some(session) = self.find(&name) {
            return Ok(session);
        }
        let session = self.inner.session().await?;
        let transacted = if transactional { Some(session.transacted().await.map_err(unsupported)?) } else { None };
        let session = Session::new(self.clone(), session, name.clone(), transacted);
        // Somebody may have been quicker. The last handle of that one may go here, which ends it: not under the lock.
        let known;
        let mut sessions = self.lock();
        sessions.begun.retain(|(_, session)| session.strong_count() > 0);
        known = sessions.begun.iter().find(|(known, _)| *known == name).and_then(|(_, known)| Session::upgrade(known));
        if let Some(known) = known.as_ref().filter(|known| known.error().is_none()) {
            return Ok(known.clone());
        }
        sessions.begun.retain(|(known, _)| *known != name);
        sessions.begun.push((name, session.downgrade()));
        drop(sessions);
        Ok(session)
    }

    fn find(&self, name: &str) -> Option<Session> {
        // The last handle may go here, which ends the session: not under the lock.
        let known = self.lock().begun.iter().find(|(known, _)| known == name).map(|(_, session)| session.clone())?;
        Session::upgrade(&known).filter(|session| session.error().is_none())
    }

    /// Lets the name of a session be used again.
    pub(crate) fn forget(&self, session: &Session) {
        self.lock().begun.retain(|(name, _)| name != session.name());
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection and everything on it: what was handed over goes out first. Nodes that go with their links, and
    /// bindings that were made for them, are undone before.
    ///
    /// Answers that are still to come are not waited for: [`Sender::sync`](crate::Sender::sync) does that.
    ///
    /// # Errors
    /// When the broker closed it with an error before, or does not answer in the close timeout.
    ///
    /// # Cancel safety
    /// Once polled, the close goes its way whether the future lives or not, unless something is to be undone before: then a
    /// dropped future leaves the connection open, with the sessions that were not closed yet.
    pub async fn close(&self) -> Result<(), ConnectionError> {
        let mut undone = Ok(());
        for session in self.sessions().into_iter().filter(|session| !session.undos().is_empty()) {
            match session.close().await {
                Err(SessionError::Undo(error)) => undone = Err(ConnectionError::Undo(error)),
                // Nothing is heard from this broker any more.
                Err(SessionError::Timeout(_)) => break,
                _ => {}
            }
        }
        self.inner.close().await?;
        undone
    }

    /// Closes the connection to the broker and keeps its sessions and links for [`Connection::attach`]. Meanwhile sending
    /// fails with [`SessionError::Detached`], whoever waits for a message goes on waiting, and links that are made are attached
    /// with the connection. Transactional sessions are over.
    ///
    /// What was sent and not answered is in doubt, unless the connection is one that reconnects, which sends it again. What was
    /// fetched and not acknowledged comes again, and an acknowledgment of it is ignored.
    ///
    /// # Errors
    /// When the connection is over, or the broker does not answer in the close timeout: it is detached all the same then.
    ///
    /// # Cancel safety
    /// Once polled, the connection is detached whether the future lives or not.
    pub async fn detach(&self) -> Result<(), ConnectionError> {
        Ok(self.inner.detach().await?)
    }

    /// Connects to the broker again after [`Connection::detach`], with the same sessions and links, and waits until these are
    /// attached. A link that the broker does not attach any more is over, and says why itself.
    ///
    /// # Errors
    /// As [`ConnectionBuilder::open`]: then the connection stays detached, and can be attached later. When it is over.
    ///
    /// # Cancel safety
    /// Once polled, it goes on whether the future lives or not.
    pub async fn attach(&self) -> Result<(), ConnectError> {
        Ok(self.inner.attach().await?)
    }

    /// Tells whether the connection is open: it is not closed, and not lost for good. A detached one is open.
    #[doc(alias = "opened")]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.inner.error().is_none()
    }

    /// Tells whether the connection is open and not detached. One that is lost and made anew by itself is attached.
    #[doc(alias = "attached")]
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.is_open() && !self.inner.is_detached()
    }

    /// Returns why the connection is over; `None` while it is not.
    #[doc(alias = "get_error")]
    #[must_use]
    pub fn error(&self) -> Option<ConnectionError> {
        self.inner.error().map(Into::into)
    }

    /// Has `handler` called with the error of this connection when it fails, and only then: not when it is closed at this end,
    /// and not for what is on it. It is called once, by a task of the runtime that drives the connection and outside every
    /// lock, so that it may use this connection; it should not block. Calls that come later fail with the error as well.
    #[doc(alias = "set_async_exception_notify_handler")]
    pub fn on_error(&self, handler: impl Fn(&ConnectionError) + Send + Sync + 'static) {
        self.inner.when_over(move |error| {
            let error = ConnectionError::from(error);
            if error != ConnectionError::Closed {
                handler(&error);
            }
        });
    }

    /// Fails with the error that this connection has failed with; closing it at this end is none.
    ///
    /// # Errors
    /// As [`error`](Self::error).
    pub fn check_error(&self) -> Result<(), ConnectionError> {
        self.error().filter(|error| *error != ConnectionError::Closed).map_or(Ok(()), Err)
    }

    /// Fails when this connection is over, for whatever reason.
    ///
    /// # Errors
    /// As [`error`](Self::error).
    pub fn check_closed(&self) -> Result<(), ConnectionError> {
        self.error().map_or(Ok(()), Err)
    }

    /// Returns the connection below, for what this face has no name for.
    #[must_use]
    pub fn client(&self) -> &client::Connection {
        &self.inner
    }
}

/// Why a session has no transactions.
fn unsupported(error: client::TransactionError) -> SessionError {
    match error {
        client::TransactionError::Link(error) => error.into(),
        client::TransactionError::Attach(client::AttachError::Link(error)) if error.peer_error().is_none() => {
            error.into()
        }
        error => TransactionError::Unsupported(Box::new(error)).into(),
    }
}
