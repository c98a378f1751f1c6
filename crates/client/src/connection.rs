//! A connection to a peer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use postroad_amqp::v1_0 as amqp;
use postroad_taps::ByteStream;

use crate::acceptor::Origin;
use crate::driver::Driver;
use crate::keeping::Keeper;
use crate::link_table::LinkTable;
use crate::passwords::{Checks, Passwords};
use crate::protocol::{LimitError, Protocol};
use crate::state::{Shared, State};
use crate::supervisor::{self, Ends, Supervisor};
use crate::types::PeerError;
use crate::wait::Place;
use crate::{AttachError, ConnectError, ConnectOptions, ConnectionError, LinkError, Session};

/// An open connection, which is made anew when it is lost ([`ConnectOptions::reconnect`]): calls that wait go on waiting,
/// and [`events`](Self::events) tells of it. Clones are handles of the same connection; when the last one is gone, and the
/// last session and link on it, the connection is closed.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) close_timeout: Duration,
    /// Where an accepted connection has come from.
    pub(crate) origin: Option<Origin>,
}

/// A transport that was accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: ByteStream,
    /// What was read of it already.
    pub(crate) first: Vec<u8>,
    pub(crate) origin: Origin,
    pub(crate) passwords: Arc<Passwords>,
    /// Where links are kept that outlive it.
    pub(crate) table: Option<Arc<LinkTable>>,
    /// How long closing waits for the client.
    pub(crate) timeout: Duration,
}

impl Connection {
    /// Connects, authenticates and opens. A task on the current runtime drives the connection.
    ///
    /// # Errors
    /// When the transport is not established, the peer does not open the connection, or the time is over: for each broker
    /// of the list, which are tried in turn.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    pub async fn open(options: ConnectOptions) -> Result<Self, ConnectError> {
        let close_timeout = options.close_timeout;
        let (supervisor, driver) = Supervisor::open(options).await?;
        let shared = supervisor.shared().clone();
        tokio::spawn(supervisor.run(driver));
        Ok(Self { inner: Arc::new(Inner { shared, close_timeout, origin: None }) })
    }

    /// Takes an engine that serves, and waits until its client has opened.
    pub(crate) async fn serve(engine: Box<dyn Protocol>, accepted: Accepted) -> Result<Self, ConnectionError> {
        let Accepted { stream, first, origin, passwords, table, timeout } = accepted;
        let shared = Shared::new(engine);
        shared.with(|state| {
            (state.accepted, state.incoming) = (true, Some(VecDeque::new()));
            state.keeper = table.map(|table| Box::new(Keeper { table, number: shared.number() }));
        });
        let mut driver = Driver::new(shared.clone(), stream).checking(Checks::new(passwords)).behind(&first);
        driver.opened().await?;
        tokio::spawn(supervisor::drive(Ends(shared.clone()), driver));
        Ok(Self { inner: Arc::new(Inner { shared, close_timeout: timeout, origin: Some(origin) }) })
    }

    /// Begins a session.
    ///
    /// # Errors
    /// When the connection is over or has no free channel.
    ///
    /// # Cancel safety
    /// A dropped future ends the session again.
    pub async fn session(&self) -> Result<Session, AttachError> {
        let begin = |state: &mut State| {
            if let Some(error) = state.closed() {
                return Some(Err(AttachError::Link(LinkError::Connection(error))));
            }
            if state.detached.is_some() {
                let id = state.unborn_session();
                return Some(Ok(state.add_session(id, true)));
            }
            if state.down.is_some() {
                return None;
            }
            let begun = state.engine.begin().map_err(|error| match error {
                LimitError::Ended => AttachError::Link(LinkError::Connection(ConnectionError::Closed)),
                error => AttachError::Limit(error),
            });
            Some(begun.map(|id| state.add_session(id, true)))
        };
        let key = self.inner.shared.wait(Place::Connection, begin).await?;
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
        self.inner.shared.with(|state| state.engine.peer().map(|peer| peer.container))
    }

    /// A property that the peer told of itself, such as `product` or `version`.
    #[doc(alias = "remote_properties")]
    #[must_use]
    pub fn remote_property(&self, name: &str) -> Option<crate::types::Value> {
        let peer = self.inner.shared.with(|state| state.engine.peer())?;
        peer.properties.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The extensions that the peer offers.
    #[must_use]
    pub fn remote_offered_capabilities(&self) -> Vec<String> {
        self.inner.shared.with(|state| state.engine.peer().unwrap_or_default().offers)
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
