//! What can go wrong, by operation, in the original's taxonomy. Each wider level is the source of the narrower one.

use std::time::Duration;

use postroad_address::{ConnectionOptionsError, OptionsError, ParseError, UrlError};
use postroad_client as client;
use postroad_client::types::{DecodeError, ErrorCondition, Fields, PeerError};
use postroad_client::{BlockingError, ManagementError, Outcome, TlsConfigError};

use crate::ContentError;

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is no URL.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// An option is unknown, or its value does not fit.
    #[doc(alias = "InvalidOptionString")]
    #[error("{0}")]
    Options(#[from] ConnectionOptionsError),
    /// An option of ours cannot be used.
    #[error("{option}: {problem}")]
    Option {
        /// The option.
        option: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The files for TLS cannot be used.
    #[error("{0}")]
    TlsFiles(#[from] TlsConfigError),
    /// The broker refused the credentials, or offers no mechanism that would do.
    #[doc(alias = "AuthenticationFailure")]
    #[error("authentication failure: {0}")]
    Authentication(#[source] client::ConnectError),
    /// TLS was not established: mostly a certificate that nobody we trust has signed, or for another host.
    #[error("{0}")]
    Tls(#[source] client::ConnectError),
    /// Who answered speaks another protocol, or another version of ours.
    #[doc(alias = "VersionError")]
    #[doc(alias = "ProtocolVersionError")]
    #[error("{0}")]
    Version(#[source] client::ConnectError),
    /// The broker was not reached, or closed the connection at once.
    #[doc(alias = "TransportFailure")]
    #[error("{0}")]
    Connection(#[source] client::ConnectError),
    /// It took too long.
    #[error("the broker did not open the connection within {0:?}")]
    Timeout(Duration),
    /// No broker of the list let us in, for as long as it was to be tried: the last error.
    #[doc(alias = "Timeout")]
    #[error("no connection within {0:?}: {1}")]
    GaveUp(Duration, #[source] client::ConnectError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl ConnectError {
    pub(crate) fn option(option: &str, problem: &'static str) -> Self {
        Self::Option { option: option.to_owned(), problem }
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Url(error) => error.hint().map(Into::into),
            Self::Options(error) => Some(error.hint()),
            Self::Authentication(error) | Self::Tls(error) | Self::Version(error) | Self::Connection(error) => error.hint(),
            Self::GaveUp(_, error) => error.hint().or_else(|| {
                Some("start a broker there, or name others by `reconnect_urls`, or give it longer by `reconnect_timeout`".into())
            }),
            Self::Timeout(timeout) => client::ConnectError::Timeout(*timeout).hint(),
            Self::Option { .. } | Self::TlsFiles(_) => None,
            Self::Blocking(error) => Some(error.hint().into()),
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Authentication(error) | Self::Tls(error) | Self::Connection(error) | Self::GaveUp(_, error) => {
                match error {
                    client::ConnectError::Connection(error) => error.peer_error().map(|error| &error.condition),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl From<client::ConnectError> for ConnectError {
    fn from(error: client::ConnectError) -> Self {
        match error {
            client::ConnectError::Timeout(timeout) => Self::Timeout(timeout),
            client::ConnectError::Blocking(error) => Self::Blocking(error),
            error if error.is_authentication() => Self::Authentication(error),
            error if error.tls().is_some() => Self::Tls(error),
            error if error.is_foreign() => Self::Version(error),
            error => Self::Connection(error),
        }
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// We closed it.
    #[doc(alias = "ConnectionClosed")]
    #[error("the connection is closed")]
    Closed,
    /// We detached it: it can be attached again.
    #[error("the connection is detached")]
    Detached,
    /// The broker closed it with an error.
    #[error("closed by the broker: {0}")]
    Remote(PeerError),
    /// The broker did not answer our close in this time.
    #[error("the broker did not answer the close within {0:?}")]
    CloseTimeout(Duration),
    /// Nothing came from the broker in two heartbeats.
    #[doc(alias = "HeartbeatTimeout")]
    #[error("heartbeat timeout: {0}")]
    Heartbeat(#[source] client::ConnectionError),
    /// It is closed, and what its links leave to be done was not done.
    #[error("{0}")]
    Undo(#[source] Box<AddressError>),
    /// The transport or the protocol ended it.
    #[doc(alias = "InternalError")]
    #[doc(alias = "TransportFailure")]
    #[error("{0}")]
    Failed(#[source] client::ConnectionError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl ConnectionError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Failed(error) | Self::Heartbeat(error) => error.hint().map(Into::into),
            Self::Blocking(error) => Some(error.hint().into()),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Remote(error) => Some(&error.condition),
            _ => None,
        }
    }
}

impl From<client::ConnectionError> for ConnectionError {
    fn from(error: client::ConnectionError) -> Self {
        match error {
            client::ConnectionError::Closed => Self::Closed,
            client::ConnectionError::Detached => Self::Detached,
            client::ConnectionError::CloseTimeout(timeout) => Self::CloseTimeout(timeout),
            client::ConnectionError::Blocking(error) => Self::Blocking(error),
            error if error.is_idle() => Self::Heartbeat(error),
            error => match error.peer_error() {
                Some(report) => Self::Remote(report.clone()),
                None => Self::Failed(error),
            },
        }
    }
}

/// Why a session could not begin, or is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// We closed it.
    #[doc(alias = "SessionClosed")]
    #[error("the session is closed")]
    Closed,
    /// The broker ended it.
    #[error("session ended by the broker{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Ended(Option<PeerError>),
    /// The broker ended it, because the user may not do what was asked for.
    #[doc(alias = "UnauthorizedAccess")]
    #[error("access refused: {0}")]
    Unauthorized(PeerError),
    /// The broker ended it, because something went wrong in there.
    #[doc(alias = "ServerError")]
    #[error("the broker failed: {0}")]
    Server(PeerError),
    /// The broker did not answer in this time.
    #[error("the broker did not answer within {0:?}")]
    Timeout(Duration),
    /// There are as many sessions as the broker takes.
    #[error("{0}")]
    Limit(String),
    /// The connection is detached: it can be attached again.
    #[error("the connection is detached")]
    Detached,
    /// It is closed, and what its links leave to be done was not done.
    #[error("{0}")]
    Undo(#[source] Box<AddressError>),
    /// The session has no transactions that could be committed or rolled back.
    #[doc(alias = "NontransactionalSession")]
    #[error("the session is not transactional")]
    Nontransactional,
    /// A transaction of the session came to nothing, or the broker has none.
    #[error("{0}")]
    Transaction(#[from] TransactionError),
    /// The connection is over.
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl SessionError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connection(error) => error.hint(),
            Self::Detached => Some("attach the connection by `attach`".into()),
            Self::Nontransactional => Some("begin the session by `transactional_session`".into()),
            Self::Transaction(error) => error.hint(),
            Self::Blocking(error) => Some(error.hint().into()),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Ended(Some(error)) | Self::Unauthorized(error) | Self::Server(error) => Some(&error.condition),
            Self::Transaction(error) => error.condition(),
            Self::Connection(error) => error.condition(),
            _ => None,
        }
    }
}

impl From<client::LinkError> for SessionError {
    fn from(error: client::LinkError) -> Self {
        match error {
            client::LinkError::SessionEnded(Some(report))
                if report.condition == ErrorCondition::UNAUTHORIZED_ACCESS =>
            {
                Self::Unauthorized(report)
            }
            client::LinkError::SessionEnded(Some(report)) if report.condition == ErrorCondition::INTERNAL_ERROR => {
                Self::Server(report)
            }
            client::LinkError::SessionEnded(report) => Self::Ended(report),
            client::LinkError::Connection(error) => Self::Connection(error.into()),
            client::LinkError::Timeout(timeout) => Self::Timeout(timeout),
            client::LinkError::Blocking(error) => Self::Blocking(error),
            client::LinkError::Unattached => Self::Detached,
            error @ client::LinkError::TransactionAborted(_) => {
                Self::Transaction(TransactionError::Aborted(Box::new(client::TransactionError::Link(error))))
            }
            error @ client::LinkError::TransactionUnknown(_) => {
                Self::Transaction(TransactionError::Unknown(Box::new(client::TransactionError::InDoubt(error))))
            }
            client::LinkError::Transaction(error) => Self::Transaction(TransactionError::Aborted(error)),
            _ => Self::Closed,
        }
    }
}

impl From<client::AttachError> for SessionError {
    fn from(error: client::AttachError) -> Self {
        match error {
            client::AttachError::Link(error) => error.into(),
            error => Self::Limit(error.to_string()),
        }
    }
}

/// What became of a transaction of a session.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// It was rolled back: nothing of it holds.
    #[doc(alias = "TransactionAborted")]
    #[error("transaction aborted: {0}")]
    Aborted(#[source] Box<client::TransactionError>),
    /// The link or the connection ended in the middle of the commit: it holds, or nothing of it does.
    #[doc(alias = "TransactionUnknown")]
    #[error("transaction outcome unknown: {0}")]
    Unknown(#[source] Box<client::TransactionError>),
    /// The broker has no transactions, or none for this user.
    #[error("no transactions: {0}")]
    Unsupported(#[source] Box<client::TransactionError>),
}

impl TransactionError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Aborted(_) => "do the work again in another transaction".into(),
            Self::Unknown(_) => "look at the nodes whether the work was done before it is done again".into(),
            Self::Unsupported(_) => "use a session without transactions, or a broker that has them".into(),
        })
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        let (Self::Aborted(error) | Self::Unknown(error) | Self::Unsupported(error)) = self;
        error.peer_error().map(|error| &error.condition)
    }
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is no address. `{:#}` of the source shows the place.
    #[doc(alias = "MalformedAddress")]
    #[error("{0}")]
    Malformed(#[from] ParseError),
    /// An option that there is not, or a value that it does not have.
    #[error("error in options: {0}")]
    InvalidOption(#[from] OptionsError),
    /// An option that the broker, or its protocol, cannot honour. Nothing was done.
    #[error("{option} is not supported: {reason}")]
    Unsupported {
        /// The option, as `link.selector`.
        option: &'static str,
        /// Why it cannot be honoured.
        reason: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// The node is not what the address says that it is.
    #[error("expected {expected}, got {found}")]
    AssertionFailed {
        /// What the address says: a kind of node, or a property with its value.
        expected: String,
        /// What the broker tells.
        found: String,
    },
    /// The broker refused to make, bind or delete a node.
    #[error("{name}: {action} refused: {report}")]
    Refused {
        /// What was asked for: `create`, `bind`, `delete`..
        action: &'static str,
        /// The name of the node.
        name: String,
        /// What the broker says.
        report: Box<PeerError>,
    },
    /// A request about a node came to nothing.
    #[error("{0}")]
    Management(#[source] ManagementError),
    /// A guarantee that the link cannot give.
    #[error("{asked} is not available here: {missing}")]
    GuaranteeUnavailable {
        /// The reliability that was asked for.
        asked: String,
        /// What the broker's answer lacks.
        missing: String,
    },
    /// There is no such node, and nobody was asked to make it.
    #[doc(alias = "ResolutionError")]
    #[error("no such {}: {name}", .node_type.unwrap_or("queue"))]
    NotFound {
        /// The name of the node.
        name: String,
        /// What the address says it is.
        node_type: Option<&'static str>,
        /// What the broker says.
        report: Box<PeerError>,
    },
    /// The user may not use the node.
    #[doc(alias = "UnauthorizedAccess")]
    #[error("access to {name} refused: {report}")]
    Unauthorized {
        /// The name of the node.
        name: String,
        /// What the broker says.
        report: Box<PeerError>,
    },
}

impl AddressError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed(error) => error.hint().to_owned(),
            Self::InvalidOption(error) => return error.hint(),
            Self::Unsupported { hint, .. } => (*hint).to_owned(),
            Self::AssertionFailed { .. } => "change the node at the broker, or what the address says of it".to_owned(),
            Self::Refused { .. } => return None,
            Self::Management(error) => return error.hint().map(Into::into),
            Self::GuaranteeUnavailable { .. } => {
                "ask for at-least-once, and let the receiver recognise what comes twice".to_owned()
            }
            Self::NotFound { name, .. } => {
                let address = postroad_address::Address::new(name.as_str());
                format!("declare it at the broker, or have it made: {address}; {{create: always}}")
            }
            Self::Unauthorized { .. } => "check the user, and the broker's rules for the node".to_owned(),
        })
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::NotFound { report, .. } | Self::Unauthorized { report, .. } | Self::Refused { report, .. } => {
                Some(&report.condition)
            }
            _ => None,
        }
    }
}

/// Why a sender or receiver could not be made, or is over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The address cannot be used.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// We closed it.
    #[doc(alias = "LinkClosed")]
    #[error("the link is closed")]
    Closed,
    /// The broker detached it.
    #[error("detached by the broker{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Detached(Option<PeerError>),
    /// The broker did not answer in this time.
    #[error("the broker did not answer within {0:?}")]
    Timeout(Duration),
    /// The session takes no acknowledgment: its `ack_capacity` is 0.
    #[error("no capacity to acknowledge")]
    InsufficientCapacity,
    /// There are as many links as the broker takes, or one of this name is there already.
    #[error("{0}")]
    Limit(String),
    /// The session or the connection is over.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl LinkError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Address(error) => error.hint(),
            Self::Session(error) => error.hint(),
            Self::Blocking(error) => Some(error.hint().into()),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Address(error) => error.condition(),
            Self::Detached(Some(error)) => Some(&error.condition),
            Self::Session(error) => error.condition(),
            _ => None,
        }
    }
}

impl From<client::LinkError> for LinkError {
    fn from(error: client::LinkError) -> Self {
        match error {
            client::LinkError::Detached(report) => Self::Detached(Some(report)),
            client::LinkError::DetachedByPeer => Self::Detached(None),
            client::LinkError::Timeout(timeout) => Self::Timeout(timeout),
            client::LinkError::Blocking(error) => Self::Blocking(error),
            client::LinkError::SessionEnded(_)
            | client::LinkError::Connection(_)
            | client::LinkError::Unattached
            | client::LinkError::Transaction(_)
            | client::LinkError::TransactionAborted(_)
            | client::LinkError::TransactionUnknown(_) => Self::Session(error.into()),
            _ => Self::Closed,
        }
    }
}

impl From<client::AttachError> for LinkError {
    fn from(error: client::AttachError) -> Self {
        match error {
            client::AttachError::Link(error) => error.into(),
            client::AttachError::GuaranteeUnavailable { asked, missing } => {
                Self::Address(AddressError::GuaranteeUnavailable { asked: asked.to_string(), missing })
            }
            error => Self::Limit(error.to_string()),
        }
    }
}

/// Why a message was not sent, was not accepted, or why it is not known what became of it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The broker found the message invalid, or has no way to keep it.
    #[doc(alias = "MessageRejected")]
    #[error("rejected{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Rejected(Option<PeerError>),
    /// The broker has no room for the message now.
    #[error("no room at the target: {0}")]
    TargetCapacityExceeded(PeerError),
    /// The broker gave the message back: it may be sent again.
    #[error("released")]
    Released,
    /// The broker gave the message back and wants it changed before it is sent again.
    #[error("given back to be changed")]
    Modified {
        /// Counts as a failed delivery.
        delivery_failed: bool,
        /// Not to be sent here again.
        undeliverable_here: bool,
        /// Annotations to merge into those of the message.
        annotations: Option<Fields>,
    },
    /// The link ended before the broker answered: the message may have arrived.
    #[error("in doubt: {0}")]
    InDoubt(#[source] LinkError),
    /// The link ended before the message was handed over: it was not sent.
    #[error("not sent: {0}")]
    NotSent(#[source] LinkError),
    /// The message is larger than the broker takes: it was not sent.
    #[error("the broker takes messages of {limit} bytes at most")]
    TooLarge {
        /// The largest message, in bytes.
        limit: u64,
    },
    /// The broker settled the message and did not say what became of it.
    #[error("settled by the broker without an outcome")]
    NoOutcome,
    /// The content of the message is not what its content type stands for: it was not sent.
    #[doc(alias = "EncodeError")]
    #[error("{0}")]
    Content(#[from] ContentError),
    /// The capacity is 0, or there was no room and nothing to wait for: the message was not sent.
    #[doc(alias = "OutOfCapacity")]
    #[error("no capacity to send")]
    InsufficientCapacity,
}

impl SendError {
    pub(crate) fn from_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Rejected(Some(error)) if error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED => {
                Self::TargetCapacityExceeded(error)
            }
            Outcome::Rejected(error) => Self::Rejected(error),
            Outcome::Released => Self::Released,
            Outcome::Modified { delivery_failed, undeliverable_here, annotations } => {
                Self::Modified { delivery_failed, undeliverable_here, annotations }
            }
            _ => Self::NoOutcome,
        }
    }

    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InDoubt(error) | Self::NotSent(error) => error.hint(),
            Self::TargetCapacityExceeded(_) => Some("receive what waits there, or raise the limit of the queue".into()),
            Self::Content(error) => Some(error.hint().into()),
            Self::InsufficientCapacity => Some("raise the sender's capacity, or wait for what is under way".into()),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Rejected(Some(error)) | Self::TargetCapacityExceeded(error) => Some(&error.condition),
            Self::InDoubt(error) | Self::NotSent(error) => error.condition(),
            _ => None,
        }
    }
}

impl From<client::SendError> for SendError {
    fn from(error: client::SendError) -> Self {
        match error {
            client::SendError::NotSent(error) => Self::NotSent(error.into()),
            client::SendError::InDoubt(error) => Self::InDoubt(error.into()),
            client::SendError::TooLarge(limit) => Self::TooLarge { limit },
            client::SendError::NoCredit => Self::InsufficientCapacity,
            _ => Self::NoOutcome,
        }
    }
}

/// Messages sent without waiting that were not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The broker did not accept some of them.
    #[error("{count} messages were not accepted, the first was {first}")]
    NotAccepted {
        /// How many since the last sync.
        count: usize,
        /// What became of the first.
        #[source]
        first: Box<SendError>,
    },
    /// The link ended before the broker answered for all.
    #[error("{count} messages in doubt: {error}")]
    InDoubt {
        /// How many have no answer.
        count: usize,
        /// Why the link ended.
        #[source]
        error: LinkError,
    },
    /// The broker did not answer for all in this time. It may still do so: the next sync tells.
    #[error("the broker did not answer for every message within {0:?}")]
    Timeout(Duration),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

impl SyncError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAccepted { first, .. } => first.hint(),
            Self::InDoubt { error, .. } => error.hint(),
            Self::Timeout(_) => None,
            Self::Blocking(error) => Some(error.hint().into()),
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::NotAccepted { first, .. } => first.condition(),
            Self::InDoubt { error, .. } => error.condition(),
            Self::Timeout(_) | Self::Blocking(_) => None,
        }
    }
}

impl From<client::SyncError> for SyncError {
    fn from(error: client::SyncError) -> Self {
        match error {
            client::SyncError::NotAccepted { count, first } => Self::NotAccepted {
                count,
                first: Box::new(first.map_or(SendError::NoOutcome, SendError::from_outcome)),
            },
            client::SyncError::Link { in_doubt, error } => Self::InDoubt { count: in_doubt, error: error.into() },
            client::SyncError::Timeout(timeout) => Self::Timeout(timeout),
            client::SyncError::Blocking(error) => Self::Blocking(error),
            _ => Self::NotAccepted { count: 1, first: Box::new(SendError::NoOutcome) },
        }
    }
}

/// Why a sender that is used as a sink went no further.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// A message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The broker did not accept all, or what became of some is not known.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The link could not be closed.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl SinkError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Send(error) => error.hint(),
            Self::Sync(error) => error.hint(),
            Self::Link(error) => error.hint(),
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Send(error) => error.condition(),
            Self::Sync(error) => error.condition(),
            Self::Link(error) => error.condition(),
        }
    }
}

/// Why no message was fetched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is none now.
    #[doc(alias = "NoMessageAvailable")]
    #[error("no message")]
    Empty,
    /// A message came that cannot be read. It was rejected; the next fetch goes on behind it.
    #[doc(alias = "ContentError")]
    #[doc(alias = "DecodeError")]
    #[error("a message that cannot be read: {0}")]
    Malformed(#[source] DecodeError),
    /// The link is over.
    #[error("{0}")]
    Link(#[from] LinkError),
}

impl FetchError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Link(error) => error.hint(),
            _ => None,
        }
    }

    /// The broker's own word for it, where it gave one.
    #[must_use]
    pub fn condition(&self) -> Option<&ErrorCondition> {
        match self {
            Self::Link(error) => error.condition(),
            _ => None,
        }
    }
}

impl From<client::ReceiveError> for FetchError {
    fn from(error: client::ReceiveError) -> Self {
        match error {
            client::ReceiveError::Link(error) => Self::Link(error.into()),
            client::ReceiveError::Malformed(error) => Self::Malformed(error),
            _ => Self::Link(LinkError::Closed),
        }
    }
}
