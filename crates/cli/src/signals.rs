//! Ctrl-C and SIGTERM: the first asks to finish, the second ends the process.

use tokio::sync::watch;

use crate::exit::{Exit, Failure};

/// Tells that somebody asked to finish.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<u32>);

impl Stop {
    /// Takes over the signals. Each is counted.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(Exit::Unavailable, "cannot watch for signals", error);
        let (count, stop) = watch::channel(0);
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
            tokio::spawn(async move {
                loop {
                    let one = tokio::select! {
                        one = interrupt.recv() => one,
                        one = terminate.recv() => one,
                    };
                    if one.is_none() {
                        return;
                    }
                    count.send_modify(|count| *count += 1);
                }
            });
        }
        #[cfg(not(unix))]
        {
            tokio::spawn(async move {
                while tokio::signal::ctrl_c().await.map_err(failed).is_ok() {
                    count.send_modify(|count| *count += 1);
                }
            });
        }
        Ok(Self(stop))
    }

    /// Whether somebody asked to finish.
    pub(crate) fn asked(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits for the first signal.
    pub(crate) async fn first(&self) {
        self.nth(1).await;
    }

    /// Waits for the second signal: the person does not want to wait.
    pub(crate) async fn second(&self) {
        self.nth(2).await;
    }

    async fn nth(&self, n: u32) {
        // Without the task that counts there is no signal any more.
        if self.0.clone().wait_for(|count| *count >= n).await.is_err() {
            std::future::pending().await
        }
    }
}
