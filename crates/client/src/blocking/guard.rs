//! What every blocking handle of a connection holds beside what it wraps.

use std::sync::Arc;

use super::{Guard, Runtime};
use crate::Connection;
use crate::state::Shared;
use crate::wait::Place;

/// Goes after the handles of a connection. The last one waits until the connection that they have left is closed, so that
/// what was handed over arrives though the program ends.
#[derive(Debug, Clone)]
pub struct ConnectionGuard {
    last: Arc<Last>,
}

#[derive(Debug)]
struct Last {
    shared: Arc<Shared>,
    runtime: Runtime,
}

impl ConnectionGuard {
    /// For a connection that the runtime drives.
    #[must_use]
    pub fn new(connection: &Connection, runtime: &Runtime) -> Self {
        Self { last: Arc::new(Last { shared: connection.inner.shared.clone(), runtime: runtime.clone() }) }
    }
}

impl Guard for ConnectionGuard {
    fn runtime(&self) -> &Runtime {
        &self.last.runtime
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        // Without a deadline of its own the wait could be for ever. And a handle of the async client keeps the
        // connection open.
        let closes = self.shared.with(|state| state.over.is_none() && state.close_by.is_some());
        if closes {
            let over = self.shared.wait(Place::Connection, |state| state.over.as_ref().map(drop));
            // A task cannot wait: the connection closes behind its back.
            let _ = self.runtime.run(over);
        }
    }
}
