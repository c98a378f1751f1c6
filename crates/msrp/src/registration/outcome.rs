//! What a registration tells its owner.

use std::time::Instant;

use super::RegistrationError;
use crate::Path;

/// What has become of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The client can be reached.
    Granted {
        /// The way through the relays, in the order of `To-Path`.
        use_path: Path,
        /// When it ends, unless it is renewed.
        expires_at: Instant,
    },
    /// It still can, for another while.
    Refreshed {
        /// The way through the relays.
        use_path: Path,
        /// Whether it is another one than before: relays may give new URIs each time. The peer has to be told, before
        /// the old ones end at the time that was told for them.
        moved: bool,
        /// When it ends, unless it is renewed.
        expires_at: Instant,
    },
    /// It cannot, or not any more; nothing is tried until [`Registration::begin`](super::Registration::begin).
    Lost(RegistrationError),
}
