//! What happens to a connection, told to whoever wants to know.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::ReusableBoxFuture;

use crate::protocol::Role;
use crate::state::State;
use crate::{CbsError, ConnectError, Connection, ConnectionError, LinkError, Redirect};

/// Something that happened to a connection or to one of its links without anybody having asked for it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// The connection was lost. [`ConnectOptions::reconnect`](crate::ConnectOptions::reconnect) says what is done about
    /// it; with nothing left to do, [`ConnectionEvent::Over`] follows.
    #[doc(alias = "on_disconnected")]
    Lost(ConnectionError),
    /// A broker is tried.
    #[doc(alias = "reconnect_log")]
    Trying {
        /// The broker's address, without the password.
        broker: String,
        /// The number of the attempt since the loss, from 1 on.
        attempt: u32,
    },
    /// The peer sends the connection elsewhere, and it goes there
    /// ([`ConnectOptions::max_redirects`](crate::ConnectOptions::max_redirects)).
    Redirected(Redirect),
    /// An attempt has failed.
    Failed {
        /// The broker's address, without the password.
        broker: String,
        /// The number of the attempt since the loss, from 1 on.
        attempt: u32,
        /// Why.
        error: ConnectError,
    },
    /// The connection is open again; its links are being attached.
    Reopened {
        /// The broker's address, without the password.
        broker: String,
        /// Whether it is the container to which the connection was lost. Where not, what was not settled is in doubt.
        same_container: bool,
        /// How long there was no connection.
        after: Duration,
    },
    /// A link is attached again.
    LinkAttached {
        /// The link's name.
        link: String,
        /// Our end of it: a sender and a receiver may have one name.
        role: Role,
        /// Whether the peer knew the link, and what was not settled on it. Where not it is a new link: what was sent and
        /// not settled was sent again or is in doubt, what was received and not settled comes again.
        resumed: bool,
    },
    /// The node of a link that asked for a dynamic one is another now: whoever was told its address has to be told the
    /// new one.
    NodeRenewed {
        /// The link's name.
        link: String,
        /// The address until now, where it was known.
        previous: Option<String>,
        /// The address from now on.
        address: String,
    },
    /// Messages of a sender are in doubt: they may have arrived or not, and are not sent again.
    /// [`Sender::take_in_doubt`](crate::Sender::take_in_doubt) gives them back.
    InDoubt {
        /// The link's name.
        link: String,
        /// How many messages.
        messages: usize,
    },
    /// The token of an audience was renewed ([`Cbs::keep_token`](crate::Cbs::keep_token)).
    TokenRenewed {
        /// What it is for.
        audience: String,
    },
    /// The token of an audience was not renewed.
    TokenFailed {
        /// What it is for.
        audience: String,
        /// Why.
        error: CbsError,
        /// Whether it is tried again. Where not, the peer lets go of what it was for once the token expires.
        again: bool,
    },
    /// A link is over.
    LinkLost {
        /// The link's name.
        link: String,
        /// Why.
        error: LinkError,
    },
    /// The connection is over, and every link with it.
    Over(ConnectionError),
    /// So many events were missed, because they were not taken in time.
    Missed(u64),
}

/// The events of a connection from the moment on at which somebody asked for them: a [`Stream`] that ends behind
/// [`ConnectionEvent::Over`].
///
/// It keeps no connection open. Up to 256 events wait; whoever takes them too late is told how many were
/// [`Missed`](ConnectionEvent::Missed).
#[derive(Debug)]
pub struct ConnectionEvents {
    next: ReusableBoxFuture<'static, (Result<ConnectionEvent, RecvError>, broadcast::Receiver<ConnectionEvent>)>,
}

/// Events that wait for those who take them.
const WAITING: usize = 256;

impl ConnectionEvents {
    fn new(receiver: broadcast::Receiver<ConnectionEvent>) -> Self {
        Self { next: ReusableBoxFuture::new(take(receiver)) }
    }

    /// The next event; `None` when the connection is over.
    ///
    /// # Cancel safety
    /// A dropped future has taken no event.
    pub async fn next(&mut self) -> Option<ConnectionEvent> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

async fn take(
    mut receiver: broadcast::Receiver<ConnectionEvent>,
) -> (Result<ConnectionEvent, RecvError>, broadcast::Receiver<ConnectionEvent>) {
    let event = receiver.recv().await;
    (event, receiver)
}

impl Stream for ConnectionEvents {
    type Item = ConnectionEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        let (event, receiver) = ready!(self.next.poll(cx));
        self.next.set(take(receiver));
        Poll::Ready(match event {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(events)) => Some(ConnectionEvent::Missed(events)),
            Err(RecvError::Closed) => None,
        })
    }
}

impl Connection {
    /// What happens to the connection from now on. Anybody may ask, any number of times.
    #[must_use]
    pub fn events(&self) -> ConnectionEvents {
        self.inner.shared.with(|state| {
            if state.over.is_some() {
                // It ends at once.
                return ConnectionEvents::new(broadcast::channel(1).1);
            }
            let events = state.events.get_or_insert_with(|| broadcast::channel(WAITING).0);
            ConnectionEvents::new(events.subscribe())
        })
    }
}

impl State {
    /// Tells an event to those who take them, and to the log.
    pub(crate) fn tell(&mut self, event: ConnectionEvent) {
        match &event {
            ConnectionEvent::Lost(_)
            | ConnectionEvent::Redirected(_)
            | ConnectionEvent::Trying { .. }
            | ConnectionEvent::Failed { .. }
            | ConnectionEvent::Reopened { .. }
                if self.quiet => {}
            ConnectionEvent::Lost(error) => tracing::warn!(%error, "connection lost"),
            ConnectionEvent::Redirected(redirect) => tracing::info!(%redirect, "redirected"),
            ConnectionEvent::Trying { broker, attempt } => tracing::debug!(broker, attempt, "trying"),
            ConnectionEvent::Failed { broker, attempt, error } => {
                tracing::info!(broker, attempt, %error, "attempt failed")
            }
            ConnectionEvent::Reopened { broker, same_container, after } => {
                tracing::info!(broker, same_container, ?after, "connection open again");
            }
            ConnectionEvent::LinkAttached { link, role, resumed } => {
                tracing::debug!(link, ?role, resumed, "link attached again");
            }
            ConnectionEvent::NodeRenewed { link, previous, address } => {
                tracing::info!(link, previous, address, "dynamic node made anew");
            }
            ConnectionEvent::InDoubt { link, messages } => tracing::warn!(link, messages, "messages in doubt"),
            ConnectionEvent::TokenRenewed { audience } => tracing::debug!(audience, "token renewed"),
            ConnectionEvent::TokenFailed { audience, error, again } => {
                tracing::warn!(audience, %error, again, "token not renewed");
            }
            ConnectionEvent::LinkLost { link, error } => tracing::info!(link, %error, "link over"),
            ConnectionEvent::Over(error) => tracing::debug!(%error, "connection over"),
            ConnectionEvent::Missed(_) => {}
        }
        let over = matches!(event, ConnectionEvent::Over(_));
        if let Some(events) = &self.events {
            // Nobody may be there to take it.
            let _ = events.send(event);
        }
        if over {
            self.events = None;
        }
    }
}
