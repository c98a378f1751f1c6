//! An end of a transport of messages.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::faults::MessageFate;
use super::wire::{End, Half};
use crate::framer::outbox::Leaving;
use crate::message::MessageContext;
use crate::properties::ConnectionProperties;
use crate::transport::{Arrived, Limits, MessageTransport};

#[derive(Debug)]
pub(super) struct MessageEnd(End);

impl MessageEnd {
    pub(super) fn new(end: End) -> Self {
        Self(end)
    }
}

/// Puts a message on its way, as its fate wants.
fn send(half: &mut Half, message: Bytes) {
    let fate = half.faults.fate(half.writes);
    half.writes += 1;
    half.written += message.len() as u64;
    // Those that were delayed before are overtaken by this one, whatever becomes of it.
    for (remaining, _) in &mut half.delayed {
        *remaining = remaining.saturating_sub(1);
    }
    match fate {
        MessageFate::Deliver | MessageFate::Delay(0) => half.push_message(message),
        MessageFate::Drop => {}
        MessageFate::Duplicate => {
            half.push_message(message.clone());
            half.push_message(message);
        }
        MessageFate::Delay(others) => half.delayed.push((others, message)),
    }
    let due = |entry: &mut (usize, Bytes)| entry.0 == 0;
    let late: Vec<Bytes> = half.delayed.extract_if(.., due).map(|(_, message)| message).collect();
    late.into_iter().for_each(|message| half.push_message(message));
}

impl MessageTransport for MessageEnd {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Leaving<'_>) -> Poll<io::Result<()>> {
        let length = message.len();
        let sent = self.0.poll_out(cx, |half| {
            half.check_write()?;
            if length as u64 > half.before_cut() {
                if half.faults.end_after.is_some() {
                    half.end();
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                half.broken = true;
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if !half.has_room_for(length) {
                return Poll::Pending;
            }
            send(half, message.to_bytes());
            Poll::Ready(Ok(()))
        });
        if let Poll::Ready(Ok(())) = sent {
            self.0.count(length, true);
        }
        sent
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.shut_down();
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        self.0.poll_in(cx, |half| {
            if half.messages.front().is_some_and(|message| message.len() as u64 > half.before_stall()) {
                return Poll::Pending;
            }
            if let Some(message) = half.pop_message() {
                half.read += message.len() as u64;
                return Poll::Ready(Ok(Arrived::Message(message, MessageContext::default())));
            }
            match half.outcome() {
                Some(outcome) if half.before_stall() > 0 => Poll::Ready(outcome.map(|()| Arrived::End)),
                _ => Poll::Pending,
            }
        })
    }

    fn abort(&mut self) {
        self.0.abort();
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn apply(&mut self, _: &ConnectionProperties, _: &ConnectionProperties) -> io::Result<()> {
        Ok(())
    }
}
