//! Messages under a tag of the caller's (part 2, 2.6.12).

use crate::sender::{Encoded, Handover, Put};
use crate::state::State;
use crate::types::DeliveryTag;
use crate::wait::Place;
use crate::{Message, Outcome, SendError, Sender, Settlement};

impl Sender {
    /// As [`Sender::send`], under a tag of the caller's: the receiver sees it, and it names the delivery for as long as
    /// it is not settled.
    ///
    /// # Errors
    /// As [`Sender::send`]; [`SendError::TagInUse`] when a message of this tag is not settled on the link.
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    #[doc(alias = "tag")]
    pub async fn send_tagged(&self, message: &Message, tag: DeliveryTag) -> Result<Outcome, SendError> {
        self.submit_tagged(message, tag).await?.await
    }

    /// As [`Sender::submit_tracked`], under a tag of the caller's.
    ///
    /// # Errors
    /// As [`Sender::submit_tracked`]; [`SendError::TagInUse`] when a message of this tag is not settled on the link.
    ///
    /// # Cancel safety
    /// A dropped future has handed over nothing.
    pub async fn submit_tagged(&self, message: &Message, tag: DeliveryTag) -> Result<Settlement, SendError> {
        let encoded = Encoded::whole(message.encode());
        let how = Handover { tag: Some(tag), ..Handover::tracked(message.message_format()) };
        let put = |state: &mut State| {
            let entry = &state.links[self.link.key];
            if entry.over.is_none() && entry.is_usable() && state.engine.has_unsettled(entry.id, &tag) {
                return Some(Err(SendError::TagInUse(tag)));
            }
            match self.put(state, &encoded.front, encoded.content(), how) {
                Err(SendError::NoCredit) => None,
                result => Some(result),
            }
        };
        let Put { token, .. } = self.link.session.shared().wait(Place::Link(self.link.key), put).await?;
        let at = (!self.settled).then(|| (self.link.session.shared().clone(), self.link.key, token));
        Ok(Settlement { at })
    }
}

/// The number to count on from for tags of our own, behind a tag that was chosen: ours are numbers, and one that looks like
/// theirs must not come up while it is not settled.
pub(crate) fn behind(chosen: &DeliveryTag, next: u64) -> u64 {
    let bytes = chosen.as_bytes();
    let number = bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    if bytes.len() > 8 || DeliveryTag::from(number) != *chosen { next } else { next.max(number.wrapping_add(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_tags_go_on_behind_what_was_chosen() {
        for (chosen, next, expected) in [
            (&b""[..], 7, 7),
            (b"\x00", 0, 1),
            (b"\x07", 7, 8),
            (b"\x07", 8, 8),
            (b"\x00\x07", 7, 7),
            (b"\x01\x00", 7, 257),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", 7, 7),
            (b"more than eight bytes", 7, 7),
        ] {
            let chosen = DeliveryTag::new(chosen).unwrap();
            assert_eq!(behind(&chosen, next), expected, "{chosen:?} before {next}");
        }
    }
}
