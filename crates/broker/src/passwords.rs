//! Passwords are checked beside the connections: deriving keys takes milliseconds of a processor, and whoever sends wrong
//! passwords on many connections would hold up every other client of the thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use postroad_amqp::sasl::{PasswordAnswer, PasswordCheck};
use tokio::sync::Semaphore;

/// Where passwords are checked: on threads that may block, and on half of the processors at most. The others wait in
/// their order, as far as the client's time for the handshake goes.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new((processors / 2).max(1))) }
    }
}

impl Passwords {
    /// Begins to check a password. Dropped, a check that waits for its turn is not made.
    pub(crate) fn check(&self, check: PasswordCheck) -> Checking {
        let turns = Arc::clone(&self.turns);
        Checking(Box::pin(async move {
            let Ok(turn) = turns.acquire_owned().await else { return PasswordAnswer::REFUSED };
            let run = move || {
                // Held to the end, whether the connection lives or not.
                let _turn = turn;
                check.run()
            };
            // One that panics lets nobody in.
            tokio::task::spawn_blocking(run).await.unwrap_or(PasswordAnswer::REFUSED)
        }))
    }
}

/// A check that is being made.
pub(crate) struct Checking(Pin<Box<dyn Future<Output = PasswordAnswer> + Send>>);

impl Checking {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<PasswordAnswer> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Checking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checking").finish_non_exhaustive()
    }
}
