//! A message that is sent in parts (RFC 9622 9.2.3).

use super::core::Number;
use super::send::SendOne;
use super::{Inner, SendError};
use crate::message::{IntoData, Message, MessageContext};

/// A message of which the end is not known yet: [`Connection::start_message`](super::Connection::start_message) makes
/// it.
///
/// On a stream nothing else leaves between its parts. Dropped before it is finished, it ends where it is: a framer
/// that needs the length first has sent nothing of it then, and one that does not, cannot tell the peer any more; the
/// connection is aborted in that case.
#[derive(Debug)]
#[must_use = "a message that is not finished never arrives"]
pub struct PartialMessage<'a> {
    inner: &'a Inner,
    context: MessageContext,
    number: Option<Number>,
}

impl<'a> PartialMessage<'a> {
    pub(super) fn new(inner: &'a Inner, mut context: MessageContext) -> Self {
        // Framers know the parts of one message by this.
        context.identify();
        Self { inner, context, number: None }
    }

    /// Sends a part; more follow.
    ///
    /// # Errors
    /// See [`SendError`].
    ///
    /// # Cancel safety
    /// As [`Connection::send`](super::Connection::send): a part is sent whole or not at all.
    pub async fn send(&mut self, data: impl IntoData + Send) -> Result<(), SendError> {
        self.part(data.into_data(), false).await
    }

    /// Sends the last part, which may be empty.
    ///
    /// # Errors
    /// See [`SendError`].
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn finish(mut self, data: impl IntoData + Send) -> Result<(), SendError> {
        self.part(data.into_data(), true).await
    }

    async fn part(&mut self, data: bytes::Bytes, end_of_message: bool) -> Result<(), SendError> {
        let number = self.number.unwrap_or_else(|| self.inner.core().number());
        self.number = Some(Number { part: number.part + 1, ..number });
        let message = Message::part(data, self.context.clone(), end_of_message);
        let sent = SendOne::part(self.inner, message, number).await;
        if end_of_message {
            self.number = None;
        }
        sent
    }
}

impl Drop for PartialMessage<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.inner.core().abandon(number);
        }
    }
}
