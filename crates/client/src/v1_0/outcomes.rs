//! Outcomes as delivery states, and back.

use postroad_codec::v1_0::{self as codec, DeliveryState};

use crate::Outcome;

pub(super) fn outcome(state: &DeliveryState) -> Option<Outcome> {
    Some(match state.outcome()? {
        codec::Outcome::Accepted => Outcome::Accepted,
        codec::Outcome::Rejected(rejected) => Outcome::Rejected(rejected.error),
        codec::Outcome::Released => Outcome::Released,
        codec::Outcome::Modified(modified) => Outcome::Modified {
            delivery_failed: modified.delivery_failed.unwrap_or(false),
            undeliverable_here: modified.undeliverable_here.unwrap_or(false),
            annotations: modified.message_annotations,
        },
        _ => return None,
    })
}

pub(super) fn state(outcome: Outcome) -> DeliveryState {
    codec_outcome(outcome).into()
}

pub(super) fn codec_outcome(outcome: Outcome) -> codec::Outcome {
    match outcome {
        Outcome::Accepted => codec::Outcome::Accepted,
        Outcome::Rejected(error) => codec::Outcome::rejected(error),
        Outcome::Released => codec::Outcome::Released,
        Outcome::Modified { delivery_failed, undeliverable_here, annotations } => {
            codec::Outcome::modified(delivery_failed, undeliverable_here, annotations)
        }
    }
}
