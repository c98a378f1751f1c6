//! How a connection, session or link is closed: once, and for a reason where there is one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use postroad_client::types::PeerError;

#[derive(Debug, Default)]
pub(crate) struct Closing {
    begun: AtomicBool,
    error: OnceLock<PeerError>,
    /// Whether a link stays where the peer keeps it, to be attached again.
    for_now: AtomicBool,
}

impl Closing {
    /// Begins; `false` where somebody has before.
    pub(crate) fn begin(&self, error: Option<PeerError>) -> bool {
        if self.begun.swap(true, Ordering::Relaxed) {
            return false;
        }
        if let Some(error) = error {
            let _ = self.error.set(error);
        }
        true
    }

    pub(crate) fn begin_for_now(&self) -> bool {
        let first = self.begin(None);
        if first {
            self.for_now.store(true, Ordering::Relaxed);
        }
        first
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    pub(crate) fn error(&self) -> Option<&PeerError> {
        self.error.get()
    }

    pub(crate) fn is_for_now(&self) -> bool {
        self.for_now.load(Ordering::Relaxed)
    }
}
