//! What a sender does about a delivery, by what both ends say of it (part 2, 2.6.13).

use postroad_codec::v1_0::{DeliveryState, Received};

/// What the map of the receiving end says of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// Nothing, and the map is complete.
    Absent,
    /// Nothing, and that means nothing: the map lacks entries.
    Unknown,
    /// Nothing of the link at all: there is no map (2.7.3), or it is not asked for one.
    Forgotten,
    /// Its state; none is as good as nothing received.
    State(Option<DeliveryState>),
}

/// What a sender does about a delivery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Resolution {
    /// Nothing yet.
    Later,
    /// Sends it as a new one: the receiver has no record of it.
    Resend,
    /// Sends what the receiver has not got.
    Resume(Received),
    /// Settles it: both ends know the outcome.
    Settle(DeliveryState),
    /// Tells its own outcome once more, which the receiver's yields to.
    Restate(DeliveryState),
    /// Gives it up: it cannot be sent again, or no longer needs to be.
    Abort(Option<DeliveryState>),
    /// Says that it is over: the receiver has it, and we have no record of it.
    Disown,
    /// Nothing any more: the receiver has no record of it.
    Over(Option<DeliveryState>),
    /// Nothing any more: the receiver has no record of anything, and may have had the message all the same.
    Doubt,
}

/// Decides about a delivery by the state at the sender and what the receiver tells. The numbers are the standard's
/// examples.
pub(crate) fn resolve(local: Option<&DeliveryState>, can_resend: bool, told: &Told) -> Resolution {
    let outcome = local.filter(|state| state.is_terminal()).cloned();
    // A transaction does not outlive its connection, so what was sent in it is undone (part 4, 4.3).
    let undone = matches!(local, Some(DeliveryState::Transactional(_)));
    match (outcome, told) {
        (_, Told::Unknown) => Resolution::Later,
        // 10: the sender can only know an outcome that the receiver had reached.
        (Some(outcome), Told::Absent | Told::Forgotten) => Resolution::Over(Some(outcome)),
        // 1 and 5.
        (None, Told::Absent | Told::Forgotten) if can_resend && !undone => Resolution::Resend,
        (None, Told::Absent) => Resolution::Over(None),
        (None, Told::Forgotten) => Resolution::Doubt,
        (outcome, Told::State(Some(remote))) if remote.is_terminal() => match outcome {
            // 13.
            Some(outcome) if outcome != *remote => Resolution::Restate(outcome),
            // 3 and 8, and 12.
            _ => Resolution::Settle(remote.clone()),
        },
        // 11 and 14: the sender reached its outcome without the receiver.
        (Some(outcome), Told::State(_)) => Resolution::Abort(Some(outcome)),
        (None, Told::State(Some(DeliveryState::Transactional(_)))) => Resolution::Abort(None),
        // 2, 4 and 6.
        (None, Told::State(remote)) if can_resend && !undone => Resolution::Resume(match remote {
            Some(DeliveryState::Received(received)) => received.clone(),
            _ => Received::default(),
        }),
        // 7 and 9: what the receiver lacks cannot be sent again.
        (None, Told::State(_)) => Resolution::Abort(None),
    }
}
