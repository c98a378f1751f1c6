//! A receiver as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::{Message, ReceiveError, Receiver};

/// The messages of a receiver, each as [`Receiver::receive`] would give it. When the link is over, its error is the last
/// item, unless somebody detached it, or ended its session or connection, without an error; then the stream ends.
///
/// # Cancel safety
/// The stream can be left and polled again, or the receiver used in another way: it has taken no message that it
/// has not given.
impl Stream for Receiver {
    type Item = Result<Message, ReceiveError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let receiver = self.get_mut();
        if receiver.ended {
            return Poll::Ready(None);
        }
        let mut ticket = receiver.ticket.take();
        let taken = receiver.poll_take(&mut ticket, cx);
        receiver.ticket = ticket;
        taken.map(|taken| match taken.map_err(ReceiveError::Link).and_then(|taken| receiver.link.open(taken)) {
            Err(ReceiveError::Link(error)) => {
                receiver.ended = true;
                (!error.is_orderly()).then_some(Err(ReceiveError::Link(error)))
            }
            item => Some(item),
        })
    }
}
