//! A message that is given away or lent.

use crate::Message;

/// A message to send: one that is given away, or one that is lent and can be sent again.
///
/// ```
/// use postroad_client::{Message, ToSend};
///
/// let message = Message::from("hello");
/// assert_eq!(ToSend::from(&message).message(), ToSend::from("hello").message());
/// ```
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives for one call, and a box would cost each message one")]
pub enum ToSend<'a> {
    /// Given away.
    Given(Message),
    /// Lent. It is copied only where something has to be set on it.
    Lent(&'a Message),
}

impl ToSend<'_> {
    /// The message.
    #[inline]
    #[must_use]
    pub fn message(&self) -> &Message {
        match self {
            Self::Given(message) => message,
            Self::Lent(message) => message,
        }
    }

    /// The message, to set something on it: a copy where it is lent.
    pub fn to_mut(&mut self) -> &mut Message {
        if let Self::Lent(message) = self {
            *self = Self::Given(message.clone());
        }
        match self {
            Self::Given(message) => message,
            Self::Lent(_) => unreachable!("it was just copied"),
        }
    }

    /// The message, a copy where it is lent.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            Self::Given(message) => message,
            Self::Lent(message) => message.clone(),
        }
    }
}

impl<T: Into<Message>> From<T> for ToSend<'_> {
    #[inline]
    fn from(message: T) -> Self {
        Self::Given(message.into())
    }
}

impl<'a> From<&'a Message> for ToSend<'a> {
    #[inline]
    fn from(message: &'a Message) -> Self {
        Self::Lent(message)
    }
}
