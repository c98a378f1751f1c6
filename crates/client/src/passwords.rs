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

/// Where the passwords of an acceptor's clients are checked: on threads that may block, and on half of the processors at
/// most. The others wait in their order, as far as the client's time for the handshake goes.
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
    fn check(&self, check: PasswordCheck) -> Pin<Box<dyn Future<Output = PasswordAnswer> + Send>> {
        let turns = Arc::clone(&self.turns);
        Box::pin(async move {
            let Ok(turn) = turns.acquire_owned().await else { return PasswordAnswer::REFUSED };
            let run = move || {
                // Held to the end, whether the connection lives or not.
                let _turn = turn;
                check.run()
            };
            // One that panics lets nobody in.
            tokio::task::spawn_blocking(run).await.unwrap_or(PasswordAnswer::REFUSED)
        })
    }
}

/// The checks of one connection.
pub(crate) struct Checks {
    passwords: Arc<Passwords>,
    running: Option<Pin<Box<dyn Future<Output = PasswordAnswer> + Send>>>,
}

impl Checks {
    pub(crate) fn new(passwords: Arc<Passwords>) -> Self {
        Self { passwords, running: None }
    }

    pub(crate) fn begin(&mut self, check: PasswordCheck) {
        self.running = Some(self.passwords.check(check));
    }

    /// Whether the client waits for an answer: nothing is read meanwhile, so what it sends before it is let in is not kept.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<PasswordAnswer> {
        let Poll::Ready(answer) = self.running.as_mut()?.as_mut().poll(cx) else { return None };
        self.running = None;
        Some(answer)
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks").field("running", &self.is_running()).finish_non_exhaustive()
    }
}
