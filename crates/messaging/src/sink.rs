//! A sender as a sink.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use postroad_client::Message;

use crate::{SendError, Sender, SinkError};

/// What a handle waits for as a sink: other handles of the same sender wait for themselves.
#[derive(Default)]
pub(crate) struct Outgoing(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Idle,
    /// A message waits for credit or capacity.
    Sending(Waiting),
    Flushing(Waiting),
    Closing(Waiting),
}

type Waiting = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send>>;

/// Messages handed over as by [`Sender::send_async`]: ready means that the one before is handed over, flushed that the broker
/// has answered all ([`Sender::sync`]), closed what [`Sender::close`] means.
///
/// # Cancel safety
/// A message that was taken is on its way, unless there was neither credit nor capacity: then the next call hands it over, and a
/// handle that is dropped before has not sent it.
impl Sink<Message> for Sender {
    type Error = SinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let state = self.get_mut().state();
        if let State::Sending(waiting) = state {
            let result = ready!(waiting.as_mut().poll(cx));
            *state = State::Idle;
            result?;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SinkError> {
        let sender = self.get_mut();
        if matches!(sender.state(), State::Sending(_)) {
            return Err(SendError::InsufficientCapacity.into());
        }
        let mut to_send = message.into();
        sender.prepare(&mut to_send)?;
        match sender.try_hand_over(to_send.message()) {
            Err(SendError::InsufficientCapacity) => {
                let (handle, message) = (sender.clone(), to_send.into_message());
                *sender.state() = State::Sending(Box::pin(async move { Ok(handle.hand_over(&message).await?) }));
                Ok(())
            }
            result => Ok(result?),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        ready!(self.as_mut().poll_ready(cx))?;
        let sender = self.get_mut();
        if !matches!(sender.state(), State::Flushing(_)) {
            let handle = sender.clone();
            *sender.state() = State::Flushing(Box::pin(async move { Ok(handle.sync().await?) }));
        }
        sender.poll_state(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if !matches!(self.state(), State::Closing(_)) {
            ready!(self.as_mut().poll_flush(cx))?;
            let handle = self.clone();
            *self.state() = State::Closing(Box::pin(async move { Ok(handle.close().await?) }));
        }
        self.get_mut().poll_state(cx)
    }
}

impl Sender {
    fn state(&mut self) -> &mut State {
        self.outgoing.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let state = self.state();
        let (State::Sending(waiting) | State::Flushing(waiting) | State::Closing(waiting)) = state else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(waiting.as_mut().poll(cx));
        *state = State::Idle;
        Poll::Ready(result)
    }
}

impl Clone for Outgoing {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}
