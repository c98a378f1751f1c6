//! Frames that the peer takes: what is left out of one that would be too large (part 2, 2.3.1 and 2.7.1).
//!
//! Where leaving something out would change what is meant, the caller gets an error instead: attaches, flow properties,
//! states of messages. What is shortened here explains something and decides nothing: the reason of an error, properties of
//! an open, annotations for a message that comes back.

use postroad_codec::v1_0::{
    ByteString, Close, DeliveryState, Detach, Disposition, Encode, End, Error, ErrorCondition, FrameHeader, Open,
    Outcome,
};

use super::Connection;

/// A performative that can do with less.
pub(crate) trait Shrink: Encode {
    /// Leaves out what matters least, some `excess` bytes where it can choose. `false`: there is nothing more to leave out.
    fn shrink(&mut self, excess: usize) -> bool;
}

impl Connection {
    /// The largest frame that the peer takes, in bytes; 512 before it has told (2.4.1).
    pub(crate) fn frame_limit(&self) -> usize {
        self.remote_max_frame as usize
    }

    /// Makes a performative fit into a frame, as far as that can be done.
    pub(crate) fn fitting<P: Shrink>(&self, mut performative: P) -> P {
        fit(&mut performative, self.frame_limit());
        performative
    }
}

pub(crate) fn fit(performative: &mut impl Shrink, limit: usize) {
    loop {
        let excess = (FrameHeader::LENGTH + performative.encoded_len()).saturating_sub(limit);
        if excess == 0 || !performative.shrink(excess) {
            return;
        }
    }
}

/// Whether a delivery state may be longer than any frame: the usual ones have a few bytes.
#[inline]
pub(crate) fn may_be_long(state: Option<&DeliveryState>) -> bool {
    !matches!(state, None | Some(DeliveryState::Accepted | DeliveryState::Released | DeliveryState::Received(_)))
}

/// Whether a transfer with this state has room for something beside it.
pub(crate) fn state_fits(state: &DeliveryState, limit: usize) -> bool {
    state.encoded_len() + TRANSFER <= limit
}

/// What a transfer takes at most, but for its state and payload.
const TRANSFER: usize = 128;

impl Shrink for Open {
    fn shrink(&mut self, _: usize) -> bool {
        let all = [&mut self.offered_capabilities, &mut self.desired_capabilities];
        self.properties.take().is_some() || all.into_iter().any(|capabilities| !std::mem::take(capabilities).is_empty())
    }
}

impl Shrink for Close {
    fn shrink(&mut self, excess: usize) -> bool {
        self.error.as_deref_mut().is_some_and(|error| shrink_error(error, excess))
    }
}

impl Shrink for End {
    fn shrink(&mut self, excess: usize) -> bool {
        self.error.as_deref_mut().is_some_and(|error| shrink_error(error, excess))
    }
}

impl Shrink for Detach {
    fn shrink(&mut self, excess: usize) -> bool {
        self.error.as_deref_mut().is_some_and(|error| shrink_error(error, excess))
    }
}

impl Shrink for Disposition {
    fn shrink(&mut self, excess: usize) -> bool {
        self.state.take_if(|state| matches!(state, DeliveryState::Other(_))).is_some()
            || self.state.as_mut().is_some_and(|state| shrink_state(state, excess))
    }
}

fn shrink_state(state: &mut DeliveryState, excess: usize) -> bool {
    match state {
        DeliveryState::Rejected(rejected) => rejected.error.as_mut().is_some_and(|error| shrink_error(error, excess)),
        DeliveryState::Modified(modified) => modified.message_annotations.take().is_some(),
        DeliveryState::Transactional(state) => match &mut state.outcome {
            Some(Outcome::Rejected(rejected)) => {
                rejected.error.as_mut().is_some_and(|error| shrink_error(error, excess))
            }
            Some(Outcome::Modified(modified)) => modified.message_annotations.take().is_some(),
            _ => false,
        },
        _ => false,
    }
}

/// First what a program may read, then the end of what a person reads, last the condition itself.
fn shrink_error(error: &mut Error, excess: usize) -> bool {
    if error.info.take().is_some() {
        return true;
    }
    if let Some(text) = error.description.take() {
        error.description = clip(&text, text.len().saturating_sub(excess));
        return true;
    }
    let unknown = error.condition.0.as_str().len() > LONGEST_CONDITION;
    if unknown {
        error.condition = ErrorCondition::INTERNAL_ERROR;
    }
    unknown
}

/// The standard's conditions are shorter.
const LONGEST_CONDITION: usize = 64;

/// The start of a text, within so many bytes; none where that says nothing.
fn clip(text: &ByteString, room: usize) -> Option<ByteString> {
    const MARK: &str = "...";
    let end = (0..=room.checked_sub(MARK.len())?).rev().find(|end| text.is_char_boundary(*end))?;
    (end > 0).then(|| format!("{}{MARK}", &text[..end]).into())
}
