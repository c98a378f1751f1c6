//! What blocking calls add to the errors of the async ones.

use postroad_client::BlockingError;
use postroad_client::blocking::TimedOut;

use crate::{ConnectError, ConnectionError, FetchError, LinkError, SendError, SessionError, SyncError};

impl From<BlockingError> for SendError {
    fn from(error: BlockingError) -> Self {
        Self::NotSent(error.into())
    }
}

impl From<BlockingError> for FetchError {
    fn from(error: BlockingError) -> Self {
        Self::Link(error.into())
    }
}

impl From<TimedOut> for ConnectionError {
    fn from(TimedOut(timeout): TimedOut) -> Self {
        Self::CloseTimeout(timeout)
    }
}

impl From<TimedOut> for ConnectError {
    fn from(TimedOut(timeout): TimedOut) -> Self {
        Self::Timeout(timeout)
    }
}

impl From<TimedOut> for SessionError {
    fn from(TimedOut(timeout): TimedOut) -> Self {
        Self::Timeout(timeout)
    }
}

impl From<TimedOut> for LinkError {
    fn from(TimedOut(timeout): TimedOut) -> Self {
        Self::Timeout(timeout)
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
