//! A connection to a peer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::{self as amqp, LimitError};
use postroad_taps::ByteStream;

use crate::driver::Driver;
use crate::state::{Shared, State};
use crate::tls_header::ask_for_tls;
use crate::types::PeerError;
use crate::v1_0::Engine;
use crate::wait::Place;
use crate::{AttachError, ConnectError, ConnectOptions, ConnectionError, LinkError, Session, TlsMode};

/// An open connection. Clones are handles of the same connection; when the last one is gone, and the
/// last session and link on it, the connection is closed.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) close_timeout: Duration,
}

impl Connection {
    /// Connects, authenticates and opens. A task on the current runtime drives the connection.
    ///
    /// # Errors
    /// When the transport is not established, the peer does not open the connection, or the time is over.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    pub async fn open(options: ConnectOptions) -> Result<Self, ConnectError> {
        let timeout = options.connect_timeout;
        let opening = Self::establish(&options);
        match tokio::time::timeout(timeout, opening).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout(timeout)),
        }
    }

    async fn establish(options: &ConnectOptions) -> Result<Self, ConnectError> {
        let (config, sasl) = (options.config()?, options.sasl()?);
        let transport = options.preconnection()?.initiate().timeout(options.connect_timeout).await?;
        let mut stream = transport.into_byte_stream().map_err(|error| ConnectError::Options(error.to_string()))?;
        if options.tls_mode == TlsMode::Header {
            stream = ask_for_tls(stream, options).await?;
        }
        let engine = amqp::Connection::client(config, sasl, Instant::now());
        Ok(Self::drive(engine, stream, options.close_timeout).await?)
    }

    /// Starts the task that drives an engine over a stream, and waits until the peer has opened.
    pub(crate) async fn drive(
        engine: amqp::Connection,
        stream: ByteStream,
        close_timeout: Duration,
    ) -> Result<Self, ConnectionError> {
        let shared = Shared::new(Engine(engine));
        Self::start(Driver::new(shared.clone(), stream), shared, close_timeout).await
    }

    /// As [`Connection::drive`], for an end that takes links of the peer's, and from whose stream `first` was read already.
    pub(crate) async fn drive_server(
        engine: amqp::Connection,
        stream: ByteStream,
        first: &[u8],
        close_timeout: Duration,
    ) -> Result<Self, ConnectionError> {
        let shared = Shared::new(Engine(engine));
        shared.with(|state| state.incoming = Some(VecDeque::new()));
        Self::start(Driver::new(shared.clone(), stream).behind(first), shared, close_timeout).await
    }

    async fn start(driver: Driver, shared: Arc<Shared>, close_timeout: Duration) -> Result<Self, ConnectionError> {
        tokio::spawn(driver);
        let connection = Self { inner: Arc::new(Inner { shared, close_timeout }) };
        connection.opened().await?;
        Ok(connection)
    }

    async fn opened(&self) -> Result<(), ConnectionError> {
        let opened = |state: &mut State| match &state.over {
            Some(error) => Some(Err(error.clone())),
            None => state.opened.then_some(Ok(())),
        };
        self.inner.shared.wait(Place::Connection, opened).await
    }

    /// Begins a session.
    ///
    /// # Errors
    /// When the connection is over or has no free channel.
    ///
    /// # Cancel safety
    /// A dropped future ends the session again.
    pub async fn session(&self) -> Result<Session, AttachError> {
        let shared = &self.inner.shared;
        let key = shared.with(|state| {
            if let Some(error) = state.closed() {
                return Err(AttachError::Link(LinkError::Connection(error)));
            }
            let id = state.engine.begin().map_err(|error| match error {
                LimitError::Ended => AttachError::Link(LinkError::Connection(ConnectionError::Closed)),
                error => AttachError::Limit(error),
            })?;
            Ok(state.add_session(id, true))
        })?;
        let session = Session::new(self.clone(), key);
        session.begun().await?;
        Ok(session)
    }

    /// Closes the connection: what was handed over goes out first. A client ends every session before it closes, so
    /// that the peer has heard all of it; a peer that does not end them within a second is closed all the same.
    /// Outcomes that come until then still count.
    ///
    /// # Errors
    /// When the peer closed it with an error before, or does not answer in the close timeout.
    ///
    /// # Cancel safety
    /// Once polled, the close goes its way whether the future lives or not.
    pub async fn close(&self) -> Result<(), ConnectionError> {
        self.inner.shared.with(|state| state.close(None, self.inner.close_timeout));
        match self.inner.shared.wait(Place::Connection, |state| state.over.clone()).await {
            ConnectionError::Closed | ConnectionError::Protocol(amqp::ConnectionError::RemoteClosed) => Ok(()),
            error => Err(error),
        }
    }

    /// Why the connection is over; `None` while it is not.
    #[must_use]
    pub fn error(&self) -> Option<ConnectionError> {
        self.inner.shared.with(|state| state.over.clone())
    }

    /// The id of the peer's container.
    #[must_use]
    pub fn remote_container(&self) -> Option<String> {
        self.inner.shared.with(|state| state.engine.open().map(|open| open.container_id.to_string()))
    }

    /// A property that the peer told of itself, such as `product` or `version`.
    #[doc(alias = "remote_properties")]
    #[must_use]
    pub fn remote_property(&self, name: &str) -> Option<crate::types::Value> {
        self.inner.shared.with(|state| state.engine.open()?.properties.as_ref()?.get_str(name).cloned())
    }

    /// The extensions that the peer offers.
    #[must_use]
    pub fn remote_offered_capabilities(&self) -> Vec<String> {
        self.inner.shared.with(|state| {
            let open = state.engine.open();
            open.map(|open| open.offered_capabilities.iter().map(ToString::to_string).collect()).unwrap_or_default()
        })
    }

    /// Closes the connection with an error, and does not wait for the answer.
    pub fn abort(&self, error: PeerError) {
        self.inner.shared.with(|state| state.close(Some(error), self.inner.close_timeout));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.with(|state| state.close(None, self.close_timeout));
    }
}
