//! A connection to a broker.

use std::sync::Arc;

use postroad_client as client;

use crate::{ConnectError, ConnectionBuilder, ConnectionError, Session, SessionError, Settings};

/// An open connection to a broker. Clones are handles of the same connection; with the last handle, and the last session
/// and link on it, it is closed.
#[doc(alias = "qpid.messaging")]
#[derive(Debug, Clone)]
pub struct Connection {
    inner: client::Connection,
    settings: Arc<Settings>,
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
        Self { inner, settings: Arc::new(settings) }
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
        Ok(Session::new(self.clone(), self.inner.session().await?))
    }

    /// Closes the connection and everything on it: what was handed over goes out first.
    ///
    /// Answers that are still to come are not waited for: [`Sender::sync`](crate::Sender::sync) does that.
    ///
    /// # Errors
    /// When the broker closed it with an error before, or does not answer in the close timeout.
    ///
    /// # Cancel safety
    /// Once polled, the close goes its way whether the future lives or not.
    #[doc(alias = "detach")]
    pub async fn close(&self) -> Result<(), ConnectionError> {
        Ok(self.inner.close().await?)
    }

    /// Tells whether the connection is open.
    #[doc(alias = "opened")]
    #[doc(alias = "attached")]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.inner.error().is_none()
    }

    /// Returns why the connection is over; `None` while it is not.
    #[doc(alias = "get_error")]
    #[must_use]
    pub fn error(&self) -> Option<ConnectionError> {
        self.inner.error().map(Into::into)
    }

    /// Returns the connection below, for what this face has no name for.
    #[must_use]
    pub fn client(&self) -> &client::Connection {
        &self.inner
    }
}
