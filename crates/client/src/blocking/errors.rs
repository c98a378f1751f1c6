//! What blocking calls add to the errors of the async ones.

use super::{BlockingError, TimedOut};
use crate::{AttachError, LinkError, ReceiveError, SendError, SyncError, TransactionError};

impl From<BlockingError> for AttachError {
    fn from(error: BlockingError) -> Self {
        Self::Link(error.into())
    }
}

impl From<BlockingError> for SendError {
    fn from(error: BlockingError) -> Self {
        Self::NotSent(error.into())
    }
}

impl From<BlockingError> for ReceiveError {
    fn from(error: BlockingError) -> Self {
        Self::Link(error.into())
    }
}

impl From<BlockingError> for TransactionError {
    /// Nothing of it was done: the call was not made.
    fn from(error: BlockingError) -> Self {
        Self::Link(error.into())
    }
}

impl From<TimedOut> for LinkError {
    fn from(TimedOut(timeout): TimedOut) -> Self {
        Self::Timeout(timeout)
    }
}

impl From<TimedOut> for AttachError {
    fn from(timeout: TimedOut) -> Self {
        Self::Link(timeout.into())
    }
}

impl From<TimedOut> for SendError {
    /// A message that waits to be handed over has not been sent.
    fn from(timeout: TimedOut) -> Self {
        Self::NotSent(timeout.into())
    }
}

impl From<TimedOut> for SyncError {
    fn from(TimedOut(timeout): TimedOut) -> Self {
        Self::Timeout(timeout)
    }
}

impl From<TimedOut> for ReceiveError {
    fn from(timeout: TimedOut) -> Self {
        Self::Link(timeout.into())
    }
}

impl From<TimedOut> for TransactionError {
    /// What comes of a declare, or was done in a transaction, is rolled back.
    fn from(timeout: TimedOut) -> Self {
        Self::Link(timeout.into())
    }
}
