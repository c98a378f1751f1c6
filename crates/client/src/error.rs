//! What can go wrong, by level: the connection, a link, one message.

use std::time::Duration;

use postroad_amqp::v1_0 as amqp;
use postroad_codec::v1_0::DecodeError;
use postroad_taps::{BlockingError, EstablishmentError, TlsError};

use crate::types::{DeliveryTag, ErrorCondition, PeerError};
use crate::{CbsError, Guarantee, Outcome, RedirectError};

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The transport was not established.
    #[error(transparent)]
    Transport(#[from] EstablishmentError),
    /// The peer was reached, and the connection did not come about.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The time was over.
    #[error("the peer did not open the connection within {0:?}")]
    Timeout(Duration),
    /// None of several brokers could be reached: what was tried, by address without the password, and why it failed.
    #[error("no broker could be reached: {}", .0.iter().map(|(broker, error)| format!("{broker}: {error}")).collect::<Vec<_>>().join("; "))]
    Brokers(Vec<(String, Self)>),
    /// What protects the connection is weaker than it must be; nothing was said on it.
    #[error("the connection is protected by {found} bits, and {wanted} at least are wanted")]
    Strength {
        /// The least strength, in bits.
        wanted: u16,
        /// That of the connection; 0 where it is not known.
        found: u16,
    },
    /// The connection was open again, and a token that had been put before was not taken ([`Cbs`](crate::Cbs)).
    #[error("a token was not put again: {0}")]
    Cbs(Box<CbsError>),
    /// Our own parameters cannot be used.
    #[error("{0}")]
    Options(String),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl ConnectError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            // The transport's other errors carry their hint in their text.
            #[cfg(feature = "websocket")]
            Self::Transport(error) => websocket_hint(error).map(Into::into),
            #[cfg(not(feature = "websocket"))]
            Self::Transport(_) => None,
            Self::Connection(ConnectionError::Protocol(amqp::ConnectionError::Lost)) => {
                Some("the peer hung up without a word: does it want TLS (amqps), or a SASL exchange?".into())
            }
            Self::Connection(error) => error.hint().map(Into::into),
            Self::Timeout(_) => Some("the peer accepts connections and says nothing: is this an AMQP port?".into()),
            Self::Brokers(attempts) => attempts.iter().find_map(|(_, error)| error.hint()),
            Self::Strength { .. } => Some("ask for less, or allow ciphers with longer keys only".into()),
            Self::Cbs(error) => error.hint().map(Into::into),
            Self::Options(_) => None,
            Self::Blocking(error) => Some(error.hint().into()),
        }
    }

    /// Whether the credentials were refused, or none of the mechanisms would do.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::Connection(ConnectionError::Protocol(
                amqp::ConnectionError::Sasl(_) | amqp::ConnectionError::SaslOutcome(_),
            )) => true,
            Self::Brokers(attempts) => attempts.iter().any(|(_, error)| error.is_authentication()),
            _ => false,
        }
    }

    /// Whether another attempt at the same broker would fail in the same way.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Options(_) | Self::Blocking(_) | Self::Strength { .. } => true,
            Self::Connection(error) => self.is_authentication() || !error.is_passing(),
            Self::Transport(_) | Self::Timeout(_) | Self::Brokers(_) | Self::Cbs(_) => false,
        }
    }

    /// Whether who answered does not speak AMQP 1.0.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        use amqp::ConnectionError as Error;
        matches!(self, Self::Connection(ConnectionError::Protocol(Error::ForeignProtocol(_))))
    }

    /// The TLS failure, where it was one.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsError> {
        match self {
            Self::Transport(error) => error.tls(),
            Self::Connection(ConnectionError::Tls(error)) => Some(error),
            _ => None,
        }
    }
}

#[cfg(feature = "websocket")]
fn websocket_hint(error: &EstablishmentError) -> Option<&'static str> {
    use postroad_taps::{AttemptError, WebSocketError};
    error.attempts().iter().find_map(|attempt| match &attempt.error {
        AttemptError::WebSocket(WebSocketError::Refused { status: 404 }) => {
            Some("name the resource that the server has, as in amqpws://localhost?websocket_resource=/amqp")
        }
        AttemptError::WebSocket(WebSocketError::NoSubprotocol { .. } | WebSocketError::Handshake(_)) => {
            Some("is AMQP spoken over WebSocket there? The server has to choose the subprotocol `amqp`")
        }
        _ => None,
    })
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The protocol ended it: the variants tell who did.
    #[error(transparent)]
    Protocol(#[from] amqp::ConnectionError),
    /// The transport failed.
    #[error("the transport failed: {0}")]
    Transport(std::io::ErrorKind),
    /// The TLS session failed. With TLS 1.3 a client learns only here that the server refused its certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The WebSocket failed, or the peer closed it for a reason that is no orderly end.
    #[cfg(feature = "websocket")]
    #[error(transparent)]
    WebSocket(#[from] postroad_taps::WebSocketError),
    /// The peer took a link of it for that of an earlier connection of ours, which it had not read to its end.
    #[error("a link was taken over by what is left of an earlier connection")]
    Stolen,
    /// We closed it.
    #[error("the connection is closed")]
    Closed,
    /// We detached it: it goes on when it is attached again.
    #[error("the connection is detached")]
    Detached,
    /// The peer did not answer our close in this time.
    #[error("the peer did not answer the close within {0:?}")]
    CloseTimeout(Duration),
    /// The runtime that drove the connection is gone.
    #[error("the runtime that drove the connection has ended")]
    Runtime,
    /// The peer sends us elsewhere, and that is not followed although redirects are
    /// ([`ConnectOptions::max_redirects`](crate::ConnectOptions::max_redirects)).
    #[error("redirected by the peer ({error}), which is not followed: {why}")]
    Redirect {
        /// What the peer told.
        error: Box<PeerError>,
        /// Why it is not followed.
        why: Box<RedirectError>,
    },
    /// The connection was lost, and could not be made anew within the limits of
    /// [`Reconnect`](crate::Reconnect).
    #[error("lost ({lost}) and not made anew in {attempts} attempts{}", .last.as_ref().map(|last| format!(", the last: {last}")).unwrap_or_default())]
    GaveUp {
        /// Why it was lost.
        lost: Box<Self>,
        /// How often it was tried.
        attempts: u32,
        /// Why the last attempt failed.
        last: Option<Box<ConnectError>>,
    },
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl ConnectionError {
    /// Why a stream of bytes has failed.
    pub(crate) fn of_stream(error: &std::io::Error) -> Self {
        #[cfg(feature = "websocket")]
        if let Some(error) = postroad_taps::WebSocketError::from_io(error) {
            return Self::WebSocket(error);
        }
        TlsError::from_io(error).map_or_else(|| Self::Transport(error.kind()), Self::Tls)
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Protocol(error) => error.hint(),
            Self::Blocking(error) => Some(error.hint()),
            Self::Redirect { why, .. } => why.hint(),
            _ => None,
        }
    }

    /// Whether the peer was silent for longer than the idle timeout allows.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Protocol(amqp::ConnectionError::Idle))
    }

    /// The error that the peer closed the connection with.
    #[must_use]
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Protocol(amqp::ConnectionError::Remote(error)) => Some(error),
            Self::Redirect { error, .. } => Some(error),
            Self::GaveUp { lost, .. } => lost.peer_error(),
            _ => None,
        }
    }

    /// Whether somebody closed it on purpose and without an error.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::Closed | Self::Protocol(amqp::ConnectionError::RemoteClosed))
    }

    /// Whether another connection may fare better: what was wrong is wrong with the way, or with the moment.
    pub(crate) fn is_passing(&self) -> bool {
        use amqp::ConnectionError as Error;
        match self {
            Self::Transport(_) | Self::Tls(_) | Self::Stolen => true,
            #[cfg(feature = "websocket")]
            Self::WebSocket(_) => true,
            // What comes garbled may come whole the next time.
            Self::Protocol(Error::Frame(_) | Error::Violation(_) | Error::Idle | Error::Handshake | Error::Lost) => {
                true
            }
            Self::Protocol(Error::Remote(error)) => PASSING.contains(&error.condition),
            _ => false,
        }
    }
}

/// Conditions of a peer's close that another connection need not meet: the peer goes down, is overloaded, or did not
/// understand bytes that were garbled on their way.
const PASSING: [ErrorCondition; 5] = [
    ErrorCondition::CONNECTION_FORCED,
    ErrorCondition::FRAMING_ERROR,
    ErrorCondition::DECODE_ERROR,
    ErrorCondition::INTERNAL_ERROR,
    ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
];

/// Why a session or a link is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer detached the link with an error.
    #[error("detached by the peer: {0}")]
    Detached(PeerError),
    /// The peer detached the link.
    #[error("detached by the peer")]
    DetachedByPeer,
    /// The peer ended the session.
    #[error("session ended by the peer{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    SessionEnded(Option<PeerError>),
    /// The connection is over.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The connection was lost in the middle of it. It is made anew, and so is the link.
    #[error("the connection was lost: {0}")]
    Interrupted(ConnectionError),
    /// The connection is detached: nothing is sent before it is attached again.
    #[error("the connection is detached")]
    Unattached,
    /// The message to settle came over another connection.
    #[error("the message came over another connection")]
    ForeignMessage,
    /// The transaction was declared over another connection.
    #[error("the transaction belongs to another connection")]
    ForeignTransaction,
    /// The transaction is being discharged, or was: the message that was to be a part of it waited too long for that.
    #[error("the transaction has ended")]
    TransactionEnded,
    /// The session could not begin a transaction.
    #[error(transparent)]
    Transaction(Box<TransactionError>),
    /// The connection was lost, and with it the session with its transaction, which is rolled back.
    #[error("rolled back, for the connection was lost: {0}")]
    TransactionAborted(ConnectionError),
    /// The connection was lost in the middle of a commit, and with it the session.
    #[error("the connection was lost in the middle of a commit: {0}")]
    TransactionUnknown(ConnectionError),
    /// The message came before the connection was lost, and its sender has taken it back: it comes again.
    #[error("the message came before the connection was lost, and comes again")]
    Stale,
    /// The link could not be attached to another broker, or again: every handle is in use, or its attach is too large.
    #[error("not attached again: {0}")]
    Limit(amqp::LimitError),
    /// The link was attached again on terms that do not keep what was asked for.
    #[error("not attached again: {0}")]
    Terms(Box<AttachError>),
    /// We closed the link or its session.
    #[error("the link is closed")]
    Closed,
    /// The peer did not answer in this time.
    #[error("the peer did not answer within {0:?}")]
    Timeout(Duration),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl LinkError {
    /// Why a link that was attached again is of no use.
    pub(crate) fn from_attach(error: AttachError) -> Self {
        match error {
            AttachError::Link(error) => error,
            error => Self::Terms(Box::new(error)),
        }
    }

    /// Whether somebody ended it on purpose and without an error.
    pub(crate) fn is_orderly(&self) -> bool {
        match self {
            Self::Closed | Self::DetachedByPeer | Self::SessionEnded(None) => true,
            Self::Connection(error) => error.is_orderly(),
            _ => false,
        }
    }

    /// The peer's own report, where it gave one.
    #[must_use]
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Detached(error) | Self::SessionEnded(Some(error)) => Some(error),
            Self::Connection(error) | Self::Interrupted(error) => error.peer_error(),
            _ => None,
        }
    }
}

/// Why a link could not be attached.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The peer refused it, or the session or connection ended first.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Every channel or handle is in use, or the name is.
    #[error(transparent)]
    Limit(#[from] amqp::LimitError),
    /// The peer does not keep its side of the guarantee that was asked for: the link was closed again, or the peer refused it
    /// as not implemented. Where the peer has ended the session over it, as RabbitMQ 3 does, the session's next call tells so.
    #[error("{asked} is not available: {missing}")]
    GuaranteeUnavailable {
        /// What was asked for.
        asked: Guarantee,
        /// What the peer's answer lacks.
        missing: String,
    },
    /// The peer attached the link to a node of another address: the link was closed again.
    #[error("asked for {asked:?}, and the peer attached the link to {offered:?}")]
    OtherNode {
        /// The address that was asked for.
        asked: String,
        /// The one that the peer told.
        offered: String,
    },
    /// The peer has attached the other end of the link than the one that was asked for, or no coordinator.
    #[error("asked for {asked}, and the peer offers {offered}")]
    OtherEnd {
        /// What was asked for.
        asked: &'static str,
        /// What the peer offers.
        offered: String,
    },
    /// The peer asks for a node that is made for it, and the answer has no address of one.
    #[error("the peer asks for a dynamic node, and the answer gives it no address")]
    NoAddress,
}

impl AttachError {
    /// The peer's own report, where it gave one.
    #[must_use]
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Link(error) => error.peer_error(),
            _ => None,
        }
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::GuaranteeUnavailable { asked: Guarantee::ExactlyOnce, .. } => {
                Some("use at-least-once and leave out by their ids messages that come again, or another broker")
            }
            Self::NoAddress => Some("tell the address of one (`set_source` or `set_target`), or refuse the link"),
            Self::OtherNode { .. } => Some("allow it (`any_node`) where the broker writes addresses in its own way"),
            _ => None,
        }
    }
}

/// Why a message was not sent, or what became of it is not known.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The link ended before the message was handed over: it was not sent.
    #[error("not sent: {0}")]
    NotSent(LinkError),
    /// The link ended before the receiver told an outcome: the message may have arrived.
    #[error("in doubt: {0}")]
    InDoubt(LinkError),
    /// The message is larger than the peer takes, in bytes: it was not sent.
    #[error("the peer takes messages of {0} bytes at most")]
    TooLarge(u64),
    /// The receiver settled the message without an outcome.
    #[error("settled by the receiver without an outcome")]
    NoOutcome,
    /// There is no credit now: the message was not sent (only without waiting).
    #[error("no credit")]
    NoCredit,
    /// A message of this tag is not settled yet: another one was not sent.
    #[error("an unsettled message has the tag {0:?}")]
    TagInUse(DeliveryTag),
    /// The sender settles messages as it sends them (at most once): nobody would learn whether one can be committed.
    #[error("a sender that sends at most once cannot send in a transaction")]
    AtMostOnce,
    /// More or less content came than was told before, or a piece of more than 4 GiB: the message was given up.
    #[error("the content is not as long as was told")]
    Length,
}

/// Messages sent without waiting that were not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The link ended with messages in doubt.
    #[error("{in_doubt} messages in doubt: {error}")]
    Link {
        /// Messages that were sent and have no outcome.
        in_doubt: usize,
        /// Why the link ended.
        error: LinkError,
    },
    /// The receiver did not accept some of the messages.
    #[error("{count} messages were not accepted, the first was {}", .first.as_ref().map_or_else(|| "settled without outcome".to_owned(), ToString::to_string))]
    NotAccepted {
        /// How many since the last sync.
        count: usize,
        /// What became of the first.
        first: Option<Outcome>,
    },
    /// Some messages had no outcome in this time. They may still get one: the next sync tells.
    #[error("not every message was answered within {0:?}")]
    Timeout(Duration),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

/// Why something was not done in a transaction. Unless it is [`TransactionError::InDoubt`], nothing of it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The peer has no coordinator of transactions.
    #[error("the peer has no transactions: {0}")]
    Unsupported(AttachError),
    /// The link to the coordinator was not attached.
    #[error(transparent)]
    Attach(AttachError),
    /// The coordinator knows no such transaction, or no longer (`amqp:transaction:unknown-id`).
    #[error("the transaction is unknown: {0}")]
    UnknownId(PeerError),
    /// The coordinator has rolled it back (`amqp:transaction:rollback`).
    #[error("rolled back: {0}")]
    RolledBack(PeerError),
    /// It took too long, and was rolled back (`amqp:transaction:timeout`).
    #[error("rolled back, it took too long: {0}")]
    TimedOut(PeerError),
    /// The coordinator refused for another reason, perhaps without telling it.
    #[error("refused by the coordinator{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Refused(Option<PeerError>),
    /// Messages that were submitted in it were not accepted, so it was rolled back.
    #[error("rolled back: {count} messages were not accepted, the first was {first}")]
    NotAccepted {
        /// How many.
        count: usize,
        /// What became of the first.
        first: Outcome,
    },
    /// A message that was submitted in it is in doubt, so it was rolled back.
    #[error("rolled back: {0}")]
    Send(SendError),
    /// The link to the coordinator ended, and what it had declared was rolled back.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The link to the coordinator ended with the commit under way: everything was done, or nothing.
    #[error("in doubt whether it was committed: {0}")]
    InDoubt(LinkError),
}

impl TransactionError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unsupported(_) => Some("use a broker that has a coordinator, or settle messages one by one"),
            Self::TimedOut(_) => Some("do less in one transaction, or let the broker wait longer"),
            _ => None,
        }
    }

    /// The peer's own report, where it gave one.
    #[must_use]
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Unsupported(error) | Self::Attach(error) => error.peer_error(),
            Self::UnknownId(error) | Self::RolledBack(error) | Self::TimedOut(error) => Some(error),
            Self::Refused(error) => error.as_ref(),
            Self::Link(error) | Self::InDoubt(error) => error.peer_error(),
            Self::Send(_) | Self::NotAccepted { .. } => None,
        }
    }

    pub(crate) fn of_attach(error: AttachError) -> Self {
        let conditions = [ErrorCondition::NOT_IMPLEMENTED, ErrorCondition::NOT_FOUND, ErrorCondition::NOT_ALLOWED];
        match error.peer_error() {
            Some(told) if conditions.contains(&told.condition) => Self::Unsupported(error),
            _ => Self::Attach(error),
        }
    }

    /// Why the coordinator rejected a command.
    pub(crate) fn of_rejection(error: Option<PeerError>) -> Self {
        let Some(error) = error else { return Self::Refused(None) };
        Self::of_condition(error).unwrap_or_else(|error| Self::Refused(Some(error)))
    }

    /// What it means that messages were not accepted: they tell of a transaction that is over already.
    pub(crate) fn of_messages(count: usize, first: Outcome) -> Self {
        match first {
            Outcome::Rejected(Some(error)) => Self::of_condition(error)
                .unwrap_or_else(|error| Self::NotAccepted { count, first: Outcome::Rejected(Some(error)) }),
            first => Self::NotAccepted { count, first },
        }
    }

    /// What it means that a command was not answered. With a commit that was handed over it is `in_doubt`.
    pub(crate) fn of_command(error: SendError, in_doubt: bool) -> Self {
        let (link, in_doubt) = match error {
            SendError::NotSent(link) => (link, false),
            SendError::InDoubt(link) => (link, in_doubt),
            _ => return Self::Refused(None),
        };
        match link {
            // A coordinator that cannot reject detaches for the same reasons (part 4, 4.3).
            LinkError::Detached(error) => Self::of_condition(error).unwrap_or_else(|error| {
                if in_doubt {
                    Self::InDoubt(LinkError::Detached(error))
                } else {
                    Self::Link(LinkError::Detached(error))
                }
            }),
            link if in_doubt => Self::InDoubt(link),
            link => Self::Link(link),
        }
    }

    fn of_condition(error: PeerError) -> Result<Self, PeerError> {
        Ok(match &error.condition {
            condition if *condition == ErrorCondition::TRANSACTION_UNKNOWN_ID => Self::UnknownId(error),
            condition if *condition == ErrorCondition::TRANSACTION_ROLLBACK => Self::RolledBack(error),
            condition if *condition == ErrorCondition::TRANSACTION_TIMEOUT => Self::TimedOut(error),
            _ => return Err(error),
        })
    }
}

/// Why a sender cannot go on as a sink.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// A message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Messages were sent and not accepted, or are in doubt.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The link did not close as it should.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Why nothing was received.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The link is over.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A message came that is no AMQP message. It was rejected; the next call goes on behind it.
    #[error("a message that cannot be read: {0}")]
    Malformed(DecodeError),
    /// The sender gave the message up while it was being read: what was read of it is to be thrown away.
    #[error("the sender gave the message up")]
    Aborted,
}
