//! A message that is handed over part by part, by whoever does not wait: parts are bytes of the encoded message.

use bytes::Bytes;

use crate::protocol::{DeliveryNumber, MessageFormat, Refusal};
use crate::sender::{Handover, Put};
use crate::state::State;
use crate::types::DeliveryTag;
use crate::{LinkError, SendError, Sender};

/// A message of which parts have been handed over ([`Sender::try_begin_told`]). While it is open, other messages of the sender
/// wait.
#[doc(alias = "Delivery")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenDelivery {
    tag: DeliveryTag,
    number: DeliveryNumber,
    token: u64,
    /// The engine that it was begun on.
    epoch: u32,
}

impl OpenDelivery {
    /// The tag of the delivery.
    #[must_use]
    pub fn tag(&self) -> DeliveryTag {
        self.tag
    }
}

impl Sender {
    /// Hands over the first part of a message, at once or not at all, as [`Sender::try_submit_told`] does a whole one.
    ///
    /// # Errors
    /// As there.
    pub fn try_begin_told(&self, tag: Option<DeliveryTag>, first: &Bytes) -> Result<OpenDelivery, SendError> {
        self.link.with(|state| {
            let tag = self.free_tag(state, tag)?;
            let how = Handover { tag: Some(tag), told: true, more: true, ..Handover::tracked(MessageFormat(0)) };
            let Put { token, delivery: number, epoch } = self.put(state, &[], Some(first), how)?;
            Ok(OpenDelivery { tag, number, token, epoch })
        })
    }

    /// Hands over the next part, at once or not at all, and the end of the message where no more follows.
    ///
    /// # Errors
    /// [`SendError::NoCredit`] when it cannot be handed over now: [`Sender::poll_news`] tells when it can. When the message
    /// grows larger than the receiver takes, or the link or the connection is over: then it is not sent as a whole.
    pub fn try_append(&self, open: &OpenDelivery, part: &Bytes, more: bool) -> Result<(), SendError> {
        let append = |state: &mut State| self.append_to(state, (open.number, open.epoch), part, more);
        self.link.with(append).unwrap_or(Err(SendError::NoCredit))
    }

    /// Whether the next part can be handed over now.
    #[must_use]
    pub fn can_append(&self, open: &OpenDelivery) -> bool {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            let here = entry.over.is_none() && state.down.is_none() && state.epoch == open.epoch;
            here && state.engine.can_append(entry.id)
        })
    }

    /// Gives a message up of which parts were handed over: the receiver throws them away, and nothing is told of it.
    pub fn abort_delivery(&self, open: &OpenDelivery) {
        let _slot = self.link.with(|state| self.give_up(state, (open.number, open.epoch), Some(open.token)));
    }

    /// Hands over a part of a message that was begun on this engine; nothing where it has to wait.
    pub(crate) fn append_to(
        &self,
        state: &mut State,
        (number, epoch): (DeliveryNumber, u32),
        part: &Bytes,
        more: bool,
    ) -> Option<Result<(), SendError>> {
        let entry = &state.links[self.link.key];
        if let Some(error) = &entry.over {
            return Some(Err(SendError::InDoubt(error.clone())));
        }
        if state.down.is_some() || state.epoch != epoch {
            return Some(Err(SendError::NotSent(state.lost_error())));
        }
        match state.engine.append(entry.id, number, part, more) {
            Ok(()) => Some(Ok(())),
            Err(Refusal::Blocked) => None,
            Err(Refusal::TooLarge(limit)) => Some(Err(SendError::TooLarge(limit))),
            // The detach is on its way to the news.
            Err(Refusal::Detached) => Some(Err(SendError::InDoubt(LinkError::Closed))),
        }
    }

    /// Gives up a message that was begun, and its slot, whose waker goes outside the lock.
    pub(crate) fn give_up(
        &self,
        state: &mut State,
        (number, epoch): (DeliveryNumber, u32),
        token: Option<u64>,
    ) -> Option<crate::state::Slot> {
        let entry = &state.links[self.link.key];
        if entry.over.is_none() && state.down.is_none() && state.epoch == epoch {
            state.engine.abort(entry.id, number);
        }
        token.and_then(|token| state.withdraw(self.link.key, token))
    }
}
