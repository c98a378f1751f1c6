//! The futures of sending.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep};

use super::core::{Number, Sent};
use super::queue::Ticket;
use super::{BatchError, Inner, SendError};
use crate::message::Message;

/// Sends one message, or one part of one.
#[derive(Debug)]
#[must_use]
pub(super) struct SendOne<'a> {
    inner: &'a Inner,
    /// Until it is handed over.
    message: Option<Message>,
    /// Which part of which message it is, where that is decided already.
    number: Option<Number>,
    /// While it waits for the outcome.
    ticket: Option<Ticket>,
    lifetime: Option<Pin<Box<Sleep>>>,
}

impl<'a> SendOne<'a> {
    pub(super) fn new(inner: &'a Inner, message: Message) -> Self {
        Self::with_number(inner, message, None)
    }

    pub(super) fn part(inner: &'a Inner, message: Message, number: Number) -> Self {
        Self::with_number(inner, message, Some(number))
    }

    fn with_number(inner: &'a Inner, message: Message, number: Option<Number>) -> Self {
        Self { inner, message: Some(message), number, ticket: None, lifetime: None }
    }
}

impl Future for SendOne<'_> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut core = this.inner.core();
        if let Some(message) = this.message.take() {
            let number = this.number.unwrap_or_else(|| core.number_of(&message));
            this.lifetime = core.lifetime_of(&message).map(|lifetime| Box::pin(sleep(lifetime)));
            match core.submit(message, number, cx)? {
                Sent::Now => return Poll::Ready(Ok(())),
                Sent::Later(ticket) => this.ticket = Some(ticket),
            }
        }
        let Some(ticket) = this.ticket else { return Poll::Ready(Err(SendError::Closed)) };
        if let Some(lifetime) = &mut this.lifetime
            && lifetime.as_mut().poll(cx).is_ready()
        {
            this.lifetime = None;
            core.expire(ticket);
        }
        let outcome = ready!(core.poll_sent(ticket, cx));
        core.forget(ticket);
        this.ticket = None;
        Poll::Ready(outcome)
    }
}

impl Drop for SendOne<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.inner.core().forget(ticket);
        }
    }
}

/// Sends a batch.
#[derive(Debug)]
#[must_use]
pub(super) struct SendAll<'a> {
    inner: &'a Inner,
    messages: Option<Vec<Message>>,
    waits: Vec<(usize, Ticket)>,
    failed: Vec<(usize, SendError)>,
}

impl<'a> SendAll<'a> {
    pub(super) fn new(inner: &'a Inner, messages: Vec<Message>) -> Self {
        Self { inner, messages: Some(messages), waits: Vec::new(), failed: Vec::new() }
    }
}

impl Future for SendAll<'_> {
    type Output = Result<(), BatchError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut core = this.inner.core();
        if let Some(messages) = this.messages.take() {
            core.submit_all(messages, &mut this.waits, &mut this.failed);
        }
        while let Some(&(index, ticket)) = this.waits.last() {
            let outcome = ready!(core.poll_sent(ticket, cx));
            core.forget(ticket);
            this.waits.pop();
            if let Err(error) = outcome {
                this.failed.push((index, error));
            }
        }
        if this.failed.is_empty() {
            return Poll::Ready(Ok(()));
        }
        this.failed.sort_by_key(|(index, _)| *index);
        Poll::Ready(Err(BatchError { failed: std::mem::take(&mut this.failed) }))
    }
}

impl Drop for SendAll<'_> {
    fn drop(&mut self) {
        if !self.waits.is_empty() {
            let mut core = self.inner.core();
            for (_, ticket) in self.waits.drain(..) {
                core.forget(ticket);
            }
        }
    }
}

/// A place among those who wait to send, for one who waits for everything to be sent.
#[derive(Debug)]
pub(super) struct Draining<'a> {
    inner: &'a Inner,
    ticket: Ticket,
}

impl<'a> Draining<'a> {
    pub(super) fn new(inner: &'a Inner) -> Self {
        Self { inner, ticket: inner.core().wait() }
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.ticket
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.inner.core().forget(self.ticket);
    }
}
