//! A receiver as a stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use postroad_client::{Message, ReceiveError};

use crate::{FetchError, LinkError, Receiver};

/// What a handle waits for as a stream: other handles of the same receiver wait for themselves.
#[derive(Default)]
pub(crate) struct Next {
    /// Never locked by two: a stream is polled by its owner alone.
    waiting: Mutex<Option<Waiting>>,
    ended: bool,
}

type Waiting = Pin<Box<dyn Future<Output = Result<Message, ReceiveError>> + Send>>;

/// The messages of a receiver, each as [`Receiver::fetch`] would give it. When the link is over, its error is the last item,
/// unless it was closed here, or detached without one; then the stream ends.
///
/// # Cancel safety
/// The stream can be left and polled again, or the receiver used in another way. A handle that waits for a message and is dropped
/// has taken none.
impl Stream for Receiver {
    type Item = Result<Message, FetchError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let receiver = self.get_mut();
        if receiver.next.ended {
            return Poll::Ready(None);
        }
        let waiting = receiver.next.waiting.get_mut().unwrap_or_else(PoisonError::into_inner);
        let result = match waiting {
            Some(waiting) => ready!(waiting.as_mut().poll(cx)),
            None => match receiver.inner.link.try_receive() {
                Ok(Some(message)) => Ok(message),
                Err(error) => Err(error),
                Ok(None) => {
                    let link = receiver.inner.link.clone();
                    let waiting = waiting.insert(Box::pin(async move { link.receive().await }));
                    ready!(waiting.as_mut().poll(cx))
                }
            },
        };
        *waiting = None;
        Poll::Ready(match result.map_err(FetchError::from) {
            Ok(message) => Some(Ok(message)),
            Err(FetchError::Link(error)) => {
                receiver.next.ended = true;
                let orderly = matches!(error, LinkError::Closed | LinkError::Detached(None));
                (!orderly).then_some(Err(FetchError::Link(error)))
            }
            Err(error) => Some(Err(error)),
        })
    }
}

impl Clone for Next {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("ended", &self.ended).finish_non_exhaustive()
    }
}
