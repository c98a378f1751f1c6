//! What happens to a connection.

use std::time::Duration;

use super::{BlockingError, ConnectionGuard, Guard as _, Runtime, Wrap};
use crate::ConnectionEvent;

/// The events of a connection from the moment on at which somebody asked for them. It keeps no connection open.
#[derive(Debug)]
pub struct ConnectionEvents {
    inner: crate::ConnectionEvents,
    runtime: Runtime,
}

impl ConnectionEvents {
    /// As [`ConnectionEvents::next`](crate::ConnectionEvents::next).
    ///
    /// # Errors
    /// Inside an async runtime.
    #[allow(clippy::should_implement_trait, reason = "an iterator could not say that the call was not made")]
    pub fn next(&mut self) -> Result<Option<ConnectionEvent>, BlockingError> {
        self.runtime.run(self.inner.next())
    }

    /// As [`next`](Self::next), for at most `timeout`: then there is no event, and the connection need not be over.
    ///
    /// # Errors
    /// Inside an async runtime.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<ConnectionEvent>, BlockingError> {
        Ok(self.runtime.run_for(self.inner.next(), timeout)?.flatten())
    }
}

impl Wrap<crate::ConnectionEvents, ConnectionGuard> for ConnectionEvents {
    fn wrap(inner: crate::ConnectionEvents, guard: &ConnectionGuard) -> Self {
        Self { inner, runtime: guard.runtime().clone() }
    }
}
