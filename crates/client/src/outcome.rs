//! What became of a message.

use std::fmt;

use crate::types::{Fields, PeerError};

/// What the receiver did with a message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Processed it.
    #[doc(alias = "ACCEPTED")]
    Accepted,
    /// Found it invalid, for this reason.
    #[doc(alias = "REJECTED")]
    Rejected(Option<PeerError>),
    /// Did not process it; it may be offered again.
    #[doc(alias = "RELEASED")]
    Released,
    /// Did not process it, and wants it changed before it is offered again.
    #[doc(alias = "MODIFIED")]
    Modified {
        /// Counts as a failed delivery.
        delivery_failed: bool,
        /// Not to be offered to this receiver again.
        undeliverable_here: bool,
        /// Annotations to merge into those of the message.
        annotations: Option<Fields>,
    },
}

impl Outcome {
    /// Whether the message was processed.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        *self == Self::Accepted
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::Rejected(Some(error)) => write!(f, "rejected: {error}"),
            Self::Rejected(None) => f.write_str("rejected"),
            Self::Released => f.write_str("released"),
            Self::Modified { delivery_failed, undeliverable_here, .. } => {
                f.write_str("modified")?;
                if *delivery_failed {
                    f.write_str(", delivery failed")?;
                }
                if *undeliverable_here {
                    f.write_str(", undeliverable here")?;
                }
                Ok(())
            }
        }
    }
}
