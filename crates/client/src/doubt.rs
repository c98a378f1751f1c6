//! Messages in doubt: they were handed over, the connection was lost before the receiver told an outcome, and nothing can
//! be found out by resuming the link.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::event::ConnectionEvent;
use crate::protocol::{Doubt, LinkId, Suspended};
use crate::state::{State, UNTRACKED};
use crate::types::{DecodeError, DeliveryTag};
use crate::{LinkError, Message, SendError, Sender};

/// A message that may have arrived or not. To send it again may be to send it twice.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct InDoubt {
    /// The tag under which it was sent.
    pub tag: DeliveryTag,
    /// The message as it was encoded, where it was kept: not one that was sent in parts, nor on a connection that is not
    /// made anew.
    pub encoded: Option<Bytes>,
    /// Why it is in doubt.
    pub error: LinkError,
}

impl InDoubt {
    /// The message, where it was kept.
    ///
    /// # Errors
    /// When it is of another format than the standard's.
    pub fn message(&self) -> Option<Result<Message, DecodeError>> {
        self.encoded.as_ref().map(Message::decode)
    }
}

/// The messages of a sender that are in doubt.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    messages: VecDeque<InDoubt>,
    bytes: usize,
}

/// What a sender keeps of them at most. Beyond it the oldest go; their outcomes have told of them all the same.
const KEPT: usize = 16_384;
const KEPT_BYTES: usize = 64 * 1024 * 1024;

impl InDoubt {
    fn size(&self) -> usize {
        self.encoded.as_ref().map_or(0, Bytes::len)
    }
}

impl Doubts {
    fn push(&mut self, doubt: InDoubt) {
        self.bytes += doubt.size();
        self.messages.push_back(doubt);
        while self.messages.len() > KEPT || (self.bytes > KEPT_BYTES && self.messages.len() > 1) {
            let Some(oldest) = self.messages.pop_front() else { return };
            self.bytes -= oldest.size();
        }
    }

    fn take(&mut self) -> Vec<InDoubt> {
        self.bytes = 0;
        std::mem::take(&mut self.messages).into()
    }
}

impl Sender {
    /// Takes the messages that are in doubt, oldest first. Each has also been told as [`SendError::InDoubt`] to whoever
    /// waits for its outcome, or been counted by [`sync`](Self::sync).
    ///
    /// Up to 16 384 are kept, and up to 64 MiB of them: the newest ones.
    #[must_use = "they are not kept any longer"]
    pub fn take_in_doubt(&self) -> Vec<InDoubt> {
        self.link.with(|state| state.links[self.link.key].in_doubt.take())
    }
}

impl State {
    /// A delivery is in doubt, while its link goes on.
    pub(crate) fn in_doubt(&mut self, link: LinkId, doubt: Doubt) {
        let Some(key) = self.key_of(link) else { return };
        let error = self.lost_error();
        let Self { links, wakes, .. } = self;
        let entry = &mut links[key];
        let sends = &mut entry.sends;
        sends.in_flight = sends.in_flight.saturating_sub(1);
        if doubt.token == UNTRACKED {
            sends.untracked = sends.untracked.saturating_sub(1);
            sends.doubts += 1;
            if sends.untracked == 0 {
                sends.sync_waiters.wake(wakes);
            }
        } else {
            sends.finish(doubt.token as usize, Err(SendError::InDoubt(error.clone())), false, wakes);
        }
        entry.waiters.wake(wakes);
        self.keep_doubt(key, doubt, error);
    }

    /// Keeps what a link had not settled as messages in doubt.
    pub(crate) fn keep_doubts(&mut self, key: usize, mut suspended: Suspended, error: &LinkError) {
        for doubt in suspended.take_doubts() {
            self.keep_doubt(key, doubt, error.clone());
        }
    }

    /// As [`State::keep_doubts`], on a link that goes on: whoever waits for the outcomes is told.
    pub(crate) fn doubt_all(&mut self, key: usize, suspended: &mut Suspended, error: &LinkError) {
        for doubt in suspended.take_doubts() {
            self.keep_doubt(key, doubt, error.clone());
        }
        let Self { links, wakes, .. } = self;
        let sends = &mut links[key].sends;
        sends.doubts += std::mem::take(&mut sends.untracked);
        sends.in_flight = 0;
        sends.fail(error, wakes);
    }

    pub(crate) fn keep_doubt(&mut self, key: usize, doubt: Doubt, error: LinkError) {
        let entry = &mut self.links[key];
        entry.in_doubt.push(InDoubt { tag: doubt.tag, encoded: doubt.message, error });
        entry.sends.untold += 1;
        if entry.sends.untold == 1 {
            self.doubted.push(key);
        }
    }

    /// Tells those who watch the connection of messages in doubt.
    pub(crate) fn tell_of_doubts(&mut self) {
        for key in std::mem::take(&mut self.doubted) {
            let Some(entry) = self.links.get_mut(key) else { continue };
            let messages = std::mem::take(&mut entry.sends.untold);
            if messages > 0 {
                let link = entry.name();
                self.tell(ConnectionEvent::InDoubt { link, messages });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_number_and_in_bytes() {
        let doubt = |number: u64, size: usize| InDoubt {
            tag: number.into(),
            encoded: Some(vec![0; size].into()),
            error: LinkError::Closed,
        };
        let mut doubts = Doubts::default();
        for number in 0..KEPT as u64 + 5 {
            doubts.push(doubt(number, 1));
        }
        let kept = doubts.take();
        assert_eq!((kept.len(), kept[0].tag, doubts.bytes), (KEPT, 5.into(), 0));
        for number in 0..4 {
            doubts.push(doubt(number, KEPT_BYTES / 3 + 1));
        }
        assert_eq!(doubts.take().iter().map(|doubt| doubt.tag).collect::<Vec<_>>(), [2.into(), 3.into()]);
        // One is kept however large it is.
        doubts.push(doubt(9, KEPT_BYTES + 1));
        assert_eq!(doubts.take().len(), 1);
    }
}
