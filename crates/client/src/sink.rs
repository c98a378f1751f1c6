//! A sender as a sink.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use tokio::time::Sleep;

use crate::protocol::MessageFormat;
use crate::sender::{Encoded, Handover, Held};
use crate::state::State;
use crate::wait::Place;
use crate::{LinkError, Message, SendError, Sender, SinkError};

/// What a sender keeps between the calls of its sink.
#[derive(Debug, Default)]
pub(crate) struct SinkState {
    /// A message that met no credit, because another task had used it.
    held: Option<(Encoded, MessageFormat)>,
    /// The tickets of the task, for the link and for the outcomes.
    link: Option<u64>,
    outcomes: Option<u64>,
    /// Runs once the link is being closed.
    closing: Option<Pin<Box<Sleep>>>,
}

/// Messages handed over as by [`Sender::submit`]: ready means that there is credit, flushed that every message has an
/// outcome ([`Sender::sync`], with the messages of other tasks), closed that the peer has detached the link too. Whoever
/// flushes is woken once, by the last outcome.
///
/// # Cancel safety
/// A message that was taken is on its way, unless another task used its credit: then the next call hands it over, and a
/// sender that is dropped before has not sent it.
impl Sink<Message> for Sender {
    type Error = SinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let sender = self.get_mut();
        ready!(sender.poll_held(cx))?;
        sender.poll_link(cx, |sender, state| sender.has_room(state).transpose()).map_err(SinkError::Send)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SinkError> {
        let sender = self.get_mut();
        if sender.sink.held.is_some() {
            return Err(SendError::NoCredit.into());
        }
        match sender.try_hand_over(&message, false, None).map_err(|held| *held) {
            Ok(_) => {}
            Err(Held::Back(encoded)) => sender.sink.held = Some((encoded, message.message_format())),
            Err(Held::Refused(error)) => return Err(error.into()),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let sender = self.get_mut();
        ready!(sender.poll_held(cx))?;
        let mut ticket = sender.sink.outcomes.take();
        let shared = sender.link.session.shared();
        let result = shared.poll_at(Place::Outcomes(sender.link.key), &mut ticket, cx, |state| sender.synced(state));
        sender.sink.outcomes = ticket;
        result.map_err(SinkError::Sync)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if self.sink.closing.is_none() {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        let sender = self.get_mut();
        let timeout = sender.link.timeout;
        sender.sink.closing.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        let over = sender.poll_link(cx, |sender, state| {
            let entry = &state.links[sender.link.key];
            if entry.over.is_none() {
                let id = entry.id;
                state.detach(id, timeout);
                return None;
            }
            entry.over.clone()
        });
        match over {
            Poll::Ready(error) if error.is_orderly() => Poll::Ready(Ok(())),
            Poll::Ready(error) => Poll::Ready(Err(error.into())),
            Poll::Pending => {
                let timer = sender.sink.closing.as_mut().expect("just made");
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Err(LinkError::Timeout(timeout).into()))
            }
        }
    }
}

impl Sender {
    /// Hands over the message that waits.
    fn poll_held(&mut self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
        let Some((encoded, format)) = self.sink.held.take() else { return Poll::Ready(Ok(())) };
        let how = Handover { tracked: false, ..Handover::tracked(format) };
        let result =
            self.poll_link(cx, |sender, state| match sender.put(state, &encoded.front, encoded.content(), how) {
                Err(SendError::NoCredit) => None,
                result => Some(result.map(drop)),
            });
        if result.is_pending() {
            self.sink.held = Some((encoded, format));
        }
        result
    }

    fn poll_link<R>(&mut self, cx: &Context<'_>, ready: impl FnOnce(&Self, &mut State) -> Option<R>) -> Poll<R> {
        let mut ticket = self.sink.link.take();
        let shared = self.link.session.shared();
        let result = shared.poll_at(Place::Link(self.link.key), &mut ticket, cx, |state| ready(self, state));
        self.sink.link = ticket;
        result
    }
}
