//! Messages that are handed out in parts, as they come.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::Receiver;
use crate::protocol::Delivery;
use crate::{LinkError, Origin, ReceiveError, SharedReceiver, Ticket};

/// A part of a message, on a receiver that gives them so ([`LinkOptions::in_parts`](crate::LinkOptions::in_parts)). The parts of
/// one message follow each other.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Part {
    /// Where the message came from: it is settled by this.
    pub origin: Origin,
    /// What has come of the encoded message.
    pub payload: Bytes,
    /// The format of the message; 0 is that of the standard.
    pub message_format: u32,
    /// Whether more of it is to come.
    pub more: bool,
    /// Whether the message was given up by its sender, or comes again from its start after the connection was lost: what has
    /// come of it is to be thrown away.
    pub aborted: bool,
}

impl Receiver {
    /// The next part that is here, on a link that gives parts.
    fn take_part(&mut self) -> Option<Result<Delivery, ReceiveError>> {
        let part = self.next();
        if std::mem::take(&mut self.interrupted) {
            // Of a message that comes again from its start.
            self.batch.extend(part);
            self.batch.rotate_right(usize::from(self.batch.len() > 1));
            return Some(Err(ReceiveError::Aborted));
        }
        part.map(Ok)
    }

    /// Waits for the next part of a message, on a link that gives parts.
    pub(crate) async fn next_part(&mut self) -> Result<Delivery, ReceiveError> {
        loop {
            match self.take_part() {
                Some(part) => return part,
                None => self.arrival().await?,
            }
        }
    }

    fn part(&self, delivery: Delivery) -> Part {
        Part {
            origin: self.origin(&delivery),
            payload: delivery.payload,
            message_format: delivery.message_format.0,
            more: delivery.more,
            aborted: delivery.aborted,
        }
    }
}

impl SharedReceiver {
    /// The next part of a message, for a task that keeps its ticket from one call to the next.
    ///
    /// # Errors
    /// [`ReceiveError::Aborted`] where the message comes again from its start; when the link is over.
    pub fn poll_part(&self, ticket: &mut Ticket, cx: &Context<'_>) -> Poll<Result<Part, ReceiveError>> {
        self.with(|receiver| {
            let taken: Poll<Result<_, LinkError>> = receiver.poll_for(&mut ticket.waits, cx, Receiver::take_part);
            taken.map(|taken| taken?.map(|delivery| receiver.part(delivery)))
        })
    }
}
