//! Connections that are detached on purpose, and attached again when that is wanted: a loss that is not made good before.

use std::time::{Duration, Instant};

use crate::again::Joining;
use crate::protocol::{LinkId, SessionId};
use crate::state::State;
use crate::wait::Place;
use crate::{ConnectError, Connection, ConnectionError};

/// A connection that we have detached.
#[derive(Debug, Default)]
pub(crate) struct Detached {
    /// Whether the transport is gone.
    pub(crate) gone: bool,
    /// Set where the peer did not answer our close in this time.
    pub(crate) late: Option<Duration>,
}

/// The index of a link or session that no engine knows: it was made while there was no connection, or was over before this
/// one was made.
const UNBORN: u32 = u32::MAX;

/// Whether an id is one of an engine.
#[inline]
pub(crate) fn is_of_engine(id: LinkId) -> bool {
    id.index() != UNBORN as usize
}

impl Connection {
    /// Closes the connection to the peer and keeps its sessions and links, until [`Connection::attach`] makes another one
    /// for them. Meanwhile messages that are to be sent are refused ([`LinkError::Unattached`](crate::LinkError::Unattached)),
    /// and links that are made wait to be attached; whoever waits for a message goes on waiting.
    ///
    /// What was sent and has no outcome is treated as when the connection is lost: with
    /// [`ConnectOptions::reconnect`](crate::ConnectOptions::reconnect) it was kept and is sent again, otherwise it is in
    /// doubt. What has come and was not settled comes again. A connection that an acceptor took is closed for good.
    ///
    /// # Errors
    /// When the connection is over, or the peer does not answer in the close timeout: it is detached all the same then.
    ///
    /// # Cancel safety
    /// Once polled, the connection is detached whether the future lives or not.
    pub async fn detach(&self) -> Result<(), ConnectionError> {
        let timeout = self.inner.close_timeout;
        if self.inner.shared.with(|state| state.accepted) {
            return self.close().await;
        }
        self.inner.shared.with(|state| state.detach_connection(timeout))?;
        let gone = |state: &mut State| match (&state.over, &state.detached) {
            (Some(error), _) => Some(Err(error.clone())),
            (None, Some(Detached { gone: true, late })) => {
                Some(late.map_or(Ok(()), |timeout| Err(ConnectionError::CloseTimeout(timeout))))
            }
            (None, Some(_)) => None,
            // Somebody attaches it again.
            (None, None) => Some(Ok(())),
        };
        self.inner.shared.wait(Place::Connection, gone).await
    }

    /// Makes the connection anew after [`Connection::detach`], and waits until its links are attached. A link that the peer
    /// does not attach is over, which its own calls tell. A connection that is attached needs nothing.
    ///
    /// # Errors
    /// When no peer is reached, within the limits of [`ConnectOptions::reconnect`](crate::ConnectOptions::reconnect) or else
    /// with one attempt at each: then it stays detached, and can be attached later. When the connection is over.
    ///
    /// # Cancel safety
    /// Once polled it goes on whether the future lives or not.
    pub async fn attach(&self) -> Result<(), ConnectError> {
        self.inner.shared.with(State::attach_connection);
        let attached = |state: &mut State| {
            if let Some(error) = &state.over {
                return Some(Err(error.clone().into()));
            }
            if state.detached.is_some() {
                let failed = state.attach_failed.clone();
                return Some(Err(failed.unwrap_or(ConnectError::Connection(ConnectionError::Detached))));
            }
            let there = state.down.is_none()
                && state.links.iter().all(|(_, link)| {
                    let joined = link.attached && matches!(link.joining, Joining::Not | Joining::Partly);
                    joined || link.over.is_some() || link.detaching || link.again.is_none()
                });
            there.then_some(Ok(()))
        };
        self.inner.shared.wait(Place::Connection, attached).await
    }

    /// Whether the connection is detached ([`Connection::detach`]).
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.inner.shared.with(|state| state.detached.is_some())
    }
}

impl State {
    fn detach_connection(&mut self, timeout: Duration) -> Result<(), ConnectionError> {
        if let Some(error) = self.closed() {
            return Err(error);
        }
        if self.detached.is_some() {
            return Ok(());
        }
        self.detached = Some(Detached::default());
        if self.down.is_none() {
            self.go_down(ConnectionError::Detached);
            // Behind what was handed over.
            self.engine.close(None);
            self.close_by = Instant::now().checked_add(timeout).map(|deadline| (deadline, timeout));
            self.wake_driver();
        }
        // Nobody is to make it anew, and whoever waits to send is told.
        for (_, entry) in &mut self.links {
            entry.waiters.wake(&mut self.wakes);
        }
        self.waiters.wake(&mut self.wakes);
        Ok(())
    }

    fn attach_connection(&mut self) {
        if self.over.is_none() && self.detached.take().is_some() {
            (self.attaching, self.attach_failed) = (true, None);
            self.waiters.wake(&mut self.wakes);
        }
    }

    /// Notes that a connection that was to be attached could not be: it stays detached.
    pub(crate) fn fail_to_attach(&mut self, error: ConnectError) {
        (self.attaching, self.attach_failed) = (false, Some(error));
        self.detached = Some(Detached { gone: true, late: None });
        self.waiters.wake(&mut self.wakes);
    }

    /// The id of a link that no engine knows yet.
    pub(crate) fn unborn_link(&mut self) -> LinkId {
        LinkId::new(UNBORN, self.next_serial() as u32)
    }

    /// As [`State::unborn_link`], of a session.
    pub(crate) fn unborn_session(&mut self) -> SessionId {
        SessionId::new(UNBORN, self.next_serial() as u32)
    }
}
