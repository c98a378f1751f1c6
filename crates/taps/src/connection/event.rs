//! What happens to a connection, for who watches it (RFC 9622 7.5, 8.3, 9.2.2, 9.3.2 and 10).

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::paths::Paths;
use super::{ConnectionError, Inner, ReceiveError, SendError};
use crate::error::EstablishmentError;

/// How many events wait for one who watches; older ones are lost then, and told as [`Event::Missed`].
const BACKLOG: usize = 256;

/// How often who watches looks at retransmissions, where somebody wants to know: a segment is sent again after 200 ms at
/// the soonest.
const CHECK: Duration = Duration::from_millis(100);

/// Something that has happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It is established (7.1).
    #[doc(alias = "HANDLE_STATE_READY")]
    Ready,
    /// A message has left (9.2.2.1); its number counts the messages handed over to this connection, from 1.
    Sent {
        /// The number of the message.
        message: u64,
    },
    /// The lifetime of a message was over before its turn had come (9.2.2.2).
    Expired {
        /// The number of the message.
        message: u64,
    },
    /// A message was not sent (9.2.2.3).
    SendError {
        /// The number of the message.
        message: u64,
        /// Why.
        error: SendError,
    },
    /// A message was received (9.3.2.1).
    Received {
        /// Its length in bytes.
        length: usize,
    },
    /// A part of a message was received (9.3.2.2).
    ReceivedPartial {
        /// The length of the part in bytes.
        length: usize,
        /// Whether the message ends with it.
        end_of_message: bool,
    },
    /// Nothing more can be received (9.3.2.3).
    ReceiveError(ReceiveError),
    /// The network has reported something about an earlier message that ends nothing (8.3.1).
    SoftError(SoftError),
    /// A path has changed: an interface, an address or a route that the connection may use (8.3.2). Told of IP on Linux,
    /// to who waits for events, from the first time on.
    PathChange,
    /// More retransmissions in a row than the threshold of the connection, where `retransmitNotify` is preferred or
    /// required. Told of TCP on Linux, while somebody waits for events, and once until they have got through.
    ExcessiveRetransmission {
        /// How many there were.
        count: u32,
    },
    /// A property of the connection has another value, for instance since it was set on another one of the group.
    PropertyChange,
    /// It was not established (7.1).
    #[doc(alias = "unfulfilled_handler")]
    EstablishmentError(Box<EstablishmentError>),
    /// It is closed in order (10).
    #[doc(alias = "HANDLE_STATE_CLOSED")]
    Closed,
    /// It has failed (10).
    #[doc(alias = "HANDLE_STATE_CONNECTION_ERROR")]
    ConnectionError(ConnectionError),
    /// So many events were lost, since they were not fetched.
    Missed(u64),
}

/// What the network has reported about an earlier message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SoftError {
    /// What the system makes of it.
    pub kind: io::ErrorKind,
    /// The type and the code of the ICMP message, when it came as one.
    pub icmp: Option<(u8, u8)>,
}

impl Event {
    /// Whether nothing follows it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Closed | Self::ConnectionError(_) | Self::EstablishmentError(_))
    }
}

/// The events of one connection from the moment of [`Connection::events`](crate::Connection::events) on.
#[derive(Debug)]
pub struct EventStream {
    receiver: Option<broadcast::Receiver<Event>>,
    connection: Weak<Inner>,
    paths: Paths,
    /// When to look at the retransmissions again.
    check: Option<Instant>,
}

impl EventStream {
    /// Waits for the next event; `None` after the last one, or when the connection is gone.
    ///
    /// Events come of what is done on the connection: a peer that hangs up is noticed by who sends or receives, or
    /// waits for [`Connection::closed`](crate::Connection::closed). What the system tells of paths and retransmissions
    /// comes to who waits here.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            self.attend();
            let check = self.check;
            let received = tokio::select! {
                biased;
                received = self.receiver.as_mut()?.recv() => received,
                () = self.paths.changed() => return Some(Event::PathChange),
                () = at(check) => {
                    self.check = Some(Instant::now() + CHECK);
                    if let Some(connection) = self.connection.upgrade() {
                        connection.core().check_retransmissions();
                    }
                    continue;
                }
            };
            return match received {
                Ok(event) => {
                    if event.is_last() {
                        self.end();
                    }
                    Some(event)
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
                Err(broadcast::error::RecvError::Closed) => {
                    self.end();
                    None
                }
            };
        }
    }

    /// Begins to listen to what the system tells, once the connection is established.
    fn attend(&mut self) {
        if !matches!(self.paths, Paths::Unopened) && self.check.is_some() {
            return;
        }
        let Some(connection) = self.connection.upgrade() else { return };
        if let Some(facts) = connection.facts.get() {
            self.paths.open(&facts.about);
            if self.check.is_none() && connection.core().counts_retransmissions() {
                self.check = Some(Instant::now() + CHECK);
            }
        }
    }

    fn end(&mut self) {
        (self.receiver, self.paths, self.check) = (None, Paths::Silent, None);
    }
}

/// Waits for a moment, or for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Tells those who watch; costs nothing where nobody ever has.
#[derive(Debug, Default)]
pub(super) struct Events {
    sender: Option<broadcast::Sender<Event>>,
    over: Option<Event>,
}

impl Events {
    pub(super) fn watch(&mut self, connection: &Arc<Inner>) -> EventStream {
        let sender = self.sender.get_or_insert_with(|| broadcast::Sender::new(BACKLOG));
        let receiver = sender.subscribe();
        if let Some(last) = &self.over {
            // Who comes late hears how it ended.
            let _ = sender.send(last.clone());
        }
        let connection = Arc::downgrade(connection);
        EventStream { receiver: Some(receiver), connection, paths: Paths::default(), check: None }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.sender.is_some()
    }

    /// Nothing follows the last event (RFC 9622 11).
    pub(super) fn tell(&mut self, event: Event) {
        if self.over.is_some() {
            return;
        }
        if event.is_last() {
            self.over = Some(event.clone());
        }
        if let Some(sender) = &self.sender {
            // Fails only when nobody watches any more.
            let _ = sender.send(event);
        }
    }
}
