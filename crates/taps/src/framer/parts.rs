//! Messages that are handed down in parts.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::framer::FramerError;
use crate::message::{Message, MessageContext};

/// How many bytes of other messages wait for the end of one that is on its way in parts, and how many messages. It
/// is framers that send them, to answer to what the peer sends, so the peer must not make it grow.
const HELD_BYTES: usize = 64 * 1024;
const HELD_MESSAGES: usize = 64;

/// What one layer knows of the messages that go into it. Parts of one are never mixed with another.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    open: Open,
    /// Messages that wait for the end of the open one.
    held: VecDeque<Message>,
}

/// The message whose end has not come.
#[derive(Debug, Default)]
enum Open {
    #[default]
    None,
    /// Its parts are collected; the layer has seen nothing of it.
    Collecting { context: MessageContext, data: BytesMut },
    /// The layer has seen each part.
    Passing { id: u64 },
}

impl Parts {
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.open, Open::None)
    }

    /// Takes a message or a part; gives what the layer is to see of it now. A layer that `collects` sees messages as a
    /// whole, of at most `limit` bytes.
    pub(crate) fn admit(
        &mut self,
        message: Message,
        collects: bool,
        limit: usize,
    ) -> Result<Option<Message>, FramerError> {
        match &mut self.open {
            Open::None if message.end_of_message => Ok(Some(message)),
            Open::None if collects => {
                check(message.data.len(), limit)?;
                self.open = Open::Collecting { context: message.context, data: BytesMut::from(&message.data[..]) };
                Ok(None)
            }
            Open::None => {
                self.open = Open::Passing { id: message.context.id() };
                Ok(Some(message))
            }
            Open::Collecting { context, data } if context.id() == message.context.id() => {
                check(data.len() + message.data.len(), limit)?;
                data.extend_from_slice(&message.data);
                context.last |= message.context.last;
                if !message.end_of_message {
                    return Ok(None);
                }
                let Open::Collecting { context, data } = std::mem::take(&mut self.open) else { return Ok(None) };
                Ok(Some(Message::part(data.freeze(), context, true)))
            }
            // The layer has seen nothing of the other message yet, so this one may go first.
            Open::Collecting { .. } if message.end_of_message => Ok(Some(message)),
            Open::Passing { id } if *id == message.context.id() => {
                if message.end_of_message {
                    self.open = Open::None;
                }
                Ok(Some(message))
            }
            Open::Passing { .. } if message.end_of_message => {
                let held: usize = self.held.iter().map(|held| held.data.len()).sum();
                if self.held.len() >= HELD_MESSAGES || held + message.data.len() > HELD_BYTES {
                    return Err(FramerError::Interleaved);
                }
                self.held.push_back(message);
                Ok(None)
            }
            Open::Collecting { .. } | Open::Passing { .. } => Err(FramerError::Interleaved),
        }
    }

    /// A message that had to wait and need not any more.
    pub(crate) fn pop_held(&mut self) -> Option<Message> {
        if self.is_idle() { self.held.pop_front() } else { None }
    }

    /// What the layer has not seen and never will, for the layer below.
    pub(crate) fn into_rest(self) -> impl Iterator<Item = Message> {
        let open = match self.open {
            Open::Collecting { context, data } => Some(Message::part(data.freeze(), context, false)),
            Open::None | Open::Passing { .. } => None,
        };
        open.into_iter().chain(self.held)
    }

    /// Forgets the open message.
    pub(crate) fn give_up(&mut self) {
        self.open = Open::None;
    }
}

fn check(size: usize, limit: usize) -> Result<(), FramerError> {
    if size > limit {
        return Err(FramerError::MessageTooLarge { size: size as u64, limit: limit as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn part(context: &MessageContext, data: &'static str, end: bool) -> Message {
        Message::part(Bytes::from_static(data.as_bytes()), context.clone(), end)
    }

    fn seen(admitted: Result<Option<Message>, FramerError>) -> Option<(Vec<u8>, bool)> {
        admitted.unwrap().map(|message| (message.data.to_vec(), message.end_of_message))
    }

    #[test]
    fn a_collecting_layer_sees_whole_messages_and_others_may_go_first() {
        let (one, two) = (MessageContext::new(), MessageContext::new());
        let mut parts = Parts::default();
        assert_eq!(seen(parts.admit(part(&one, "hel", false), true, 5)), None);
        assert_eq!(seen(parts.admit(part(&two, "first", true), true, 5)), Some((b"first".to_vec(), true)));
        assert_eq!(parts.admit(part(&two, "x", false), true, 5), Err(FramerError::Interleaved));
        let too_large = FramerError::MessageTooLarge { size: 6, limit: 5 };
        assert_eq!(parts.admit(part(&one, "lo!", true), true, 5), Err(too_large));
        assert_eq!(seen(parts.admit(part(&one, "lo", true), true, 5)), Some((b"hello".to_vec(), true)));
        assert!(parts.is_idle());
    }

    #[test]
    fn a_passing_layer_holds_other_messages_until_the_end_and_not_too_many() {
        let (one, two) = (MessageContext::new(), MessageContext::new());
        let mut parts = Parts::default();
        assert_eq!(seen(parts.admit(part(&one, "hel", false), false, 0)), Some((b"hel".to_vec(), false)));
        for _ in 0..HELD_MESSAGES {
            assert_eq!(seen(parts.admit(part(&two, "pong", true), false, 0)), None);
        }
        assert_eq!(parts.admit(part(&two, "pong", true), false, 0), Err(FramerError::Interleaved));
        assert_eq!(parts.pop_held(), None);
        assert_eq!(seen(parts.admit(part(&one, "lo", true), false, 0)), Some((b"lo".to_vec(), true)));
        assert_eq!(parts.pop_held().unwrap().data, &b"pong"[..]);
    }
}
