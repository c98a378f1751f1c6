//! A stream of bytes over a transport of messages: every write is a message, and reads do not see where one ends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::StreamTransport;
use crate::framer::outbox::Outbox;
use crate::message::MessageContext;
use crate::properties::ConnectionProperties;
use crate::transport::{Arrived, MessageTransport};

#[derive(Debug)]
pub(super) struct MessageStream {
    transport: Box<dyn MessageTransport>,
    /// What has arrived and was not read.
    rest: Bytes,
    ended: bool,
    /// The message that is being sent.
    out: Outbox,
}

impl MessageStream {
    pub(super) fn new(transport: Box<dyn MessageTransport>) -> Self {
        Self { transport, rest: Bytes::new(), ended: false, out: Outbox::of_messages() }
    }

    /// Hands what was written to the transport.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(message) = self.out.next_message() {
            ready!(self.transport.poll_send(cx, &message))?;
            self.out.pop_message();
        }
        Poll::Ready(Ok(()))
    }

    /// How much one write may take.
    fn largest(&self) -> usize {
        self.transport.longest().unwrap_or(usize::MAX)
    }
}

impl StreamTransport for MessageStream {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() && !self.ended {
            match ready!(self.transport.poll_receive(cx))? {
                Arrived::Message(data, _) => self.rest = data,
                Arrived::SoftError(_) => {}
                Arrived::End => self.ended = true,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        self.transport.apply(from, to)
    }

    fn round_trip(&self) -> Option<Duration> {
        self.transport.round_trip()
    }

    fn abort(&mut self) {
        self.transport.abort();
    }
}

impl AsyncRead for MessageStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_read_ready(cx))?;
        let length = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MessageStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_out(cx))?;
        // The slices of one write are one message, unless it would be too long: the rest is for the next write then.
        let mut room = self.largest();
        for buf in bufs {
            let part = &buf[..buf.len().min(room)];
            self.out.push_slice(part);
            room -= part.len();
        }
        let taken = self.out.open_len();
        self.out.end_message(MessageContext::default());
        // What the transport does not take now it gets before the next message.
        match self.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        self.transport.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.transport.poll_shutdown(cx)
    }
}
