//! The progress bar of a run.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::Run;

/// A bar on stderr that is taken away when this is dropped.
#[derive(Debug)]
pub(super) struct Bar(JoinHandle<()>);

/// Shows how far a run is: in messages, or in time where that is what ends it.
pub(super) fn show(run: Arc<Run>) -> Bar {
    Bar(tokio::spawn(async move {
        let (length, style) = match run.load.duration {
            Some(time) => (time.as_millis() as u64, "{bar:40} {msg}"),
            None => (run.load.count, "{bar:40} {human_pos} of {human_len} messages, {per_sec}, {eta} to go"),
        };
        let bar = Cleared(ProgressBar::new(length));
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.0.set_style(style);
        }
        loop {
            let received = run.received.load(Ordering::Relaxed);
            if run.load.duration.is_some() {
                let elapsed = run.start.elapsed();
                let rate = received as f64 / elapsed.as_secs_f64().max(0.001);
                bar.0.set_message(format!("{received} messages, {rate:.0}/s"));
                bar.0.set_position((elapsed.as_millis() as u64).min(length));
            } else {
                bar.0.set_position(received);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }))
}

impl Bar {
    /// Takes the bar away before anything else is printed.
    pub(super) async fn clear(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
