//! What has to be made anew after an error.

use crate::{
    AttachError, ConnectError, ConnectionError, LinkError, ReceiveError, SendError, SyncError, TransactionError,
};

/// What has to be made anew after an error, so that work goes on. A connection that is made anew by itself
/// ([`ConnectOptions::reconnect`](crate::ConnectOptions::reconnect)) needs none of it: what is said here is said once
/// that has been given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Recovery {
    /// Nothing: what was asked for did not happen, or is not known to have happened, and everything else goes on.
    Nothing,
    /// The link: another one can be attached on its session.
    Link,
    /// The session, and its links.
    Session,
    /// The connection, with everything on it.
    Connection,
}

impl LinkError {
    /// What has to be made anew.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::ForeignMessage
            | Self::ForeignTransaction
            | Self::TransactionEnded
            | Self::Unattached
            | Self::Stale
            | Self::Interrupted(_)
            | Self::Blocking(_) => Recovery::Nothing,
            Self::Detached(_)
            | Self::DetachedByPeer
            | Self::Limit(_)
            | Self::Terms(_)
            | Self::Closed
            | Self::Timeout(_) => Recovery::Link,
            Self::SessionEnded(_) | Self::TransactionAborted(_) | Self::TransactionUnknown(_) => Recovery::Session,
            Self::Connection(error) => error.recovery(),
            Self::Transaction(error) => error.recovery(),
        }
    }
}

impl ConnectionError {
    /// What has to be made anew.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Blocking(_) => Recovery::Nothing,
            _ => Recovery::Connection,
        }
    }
}

impl ConnectError {
    /// What has to be made anew.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Blocking(_) => Recovery::Nothing,
            _ => Recovery::Connection,
        }
    }
}

impl AttachError {
    /// What has to be made anew before another attempt: nothing beside the link that did not come about, mostly.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Link(error) => error.recovery(),
            Self::Limit(_)
            | Self::GuaranteeUnavailable { .. }
            | Self::OtherNode { .. }
            | Self::OtherEnd { .. }
            | Self::NoAddress => Recovery::Link,
        }
    }
}

impl SendError {
    /// What has to be made anew.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::NotSent(error) | Self::InDoubt(error) => error.recovery(),
            Self::TooLarge(_)
            | Self::NoOutcome
            | Self::NoCredit
            | Self::TagInUse(_)
            | Self::AtMostOnce
            | Self::Length => Recovery::Nothing,
        }
    }
}

impl SyncError {
    /// What has to be made anew.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Link { error, .. } => error.recovery(),
            Self::NotAccepted { .. } | Self::Timeout(_) | Self::Blocking(_) => Recovery::Nothing,
        }
    }
}

impl ReceiveError {
    /// What has to be made anew.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Link(error) => error.recovery(),
            Self::Malformed(_) | Self::Aborted => Recovery::Nothing,
        }
    }
}

impl TransactionError {
    /// What has to be made anew, beside the transaction.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Unsupported(error) | Self::Attach(error) => error.recovery(),
            Self::Send(error) => error.recovery(),
            Self::Link(error) | Self::InDoubt(error) => error.recovery(),
            Self::UnknownId(_)
            | Self::RolledBack(_)
            | Self::TimedOut(_)
            | Self::Refused(_)
            | Self::NotAccepted { .. } => Recovery::Nothing,
        }
    }
}
