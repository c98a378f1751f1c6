//! An end of a stream of bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::{End, Half};
use crate::properties::ConnectionProperties;
use crate::stream::StreamTransport;

#[derive(Debug)]
pub(super) struct StreamEnd(End);

impl StreamEnd {
    pub(super) fn new(end: End) -> Self {
        Self(end)
    }
}

/// How much of what has arrived a read may see, 0 at the end; pending while there is nothing.
fn poll_readable(half: &Half) -> Poll<io::Result<usize>> {
    let readable = before(half.before_stall(), half.bytes.len());
    if readable > 0 {
        return Poll::Ready(Ok(readable));
    }
    match half.outcome() {
        Some(outcome) if half.before_stall() > 0 => Poll::Ready(outcome.map(|()| 0)),
        _ => Poll::Pending,
    }
}

/// How much a write may put in.
fn poll_writable(half: &mut Half) -> Poll<io::Result<usize>> {
    half.check_write()?;
    if half.before_cut() == 0 {
        half.broken = true;
        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
    }
    match half.faults.capacity.saturating_sub(half.bytes.len()) {
        0 => Poll::Pending,
        room => Poll::Ready(Ok(before(half.before_cut(), room))),
    }
}

fn before(limit: u64, length: usize) -> usize {
    usize::try_from(limit).map_or(length, |limit| limit.min(length))
}

impl StreamTransport for StreamEnd {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_in(cx, |half| poll_readable(half).map_ok(drop))
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_out(cx, |half| poll_writable(half).map_ok(drop))
    }

    fn apply(&mut self, _: &ConnectionProperties, _: &ConnectionProperties) -> io::Result<()> {
        Ok(())
    }

    fn abort(&mut self) {
        self.0.abort();
    }
}

impl AsyncRead for StreamEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.0.poll_in(cx, |half| {
            poll_readable(half).map_ok(|readable| {
                let length = readable.min(buf.remaining()).min(half.faults.read_size(half.reads));
                buf.put_slice(&half.bytes[..length]);
                half.bytes.advance(length);
                half.reads += 1;
                half.read += length as u64;
            })
        })
    }
}

impl AsyncWrite for StreamEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let written = self.0.poll_out(cx, |half| {
            poll_writable(half).map_ok(|room| {
                let mut room = room.min(half.faults.write_size(half.writes));
                let before = half.bytes.len();
                for buf in bufs {
                    let part = &buf[..buf.len().min(room)];
                    half.bytes.extend_from_slice(part);
                    room -= part.len();
                }
                let written = half.bytes.len() - before;
                half.writes += 1;
                half.written += written as u64;
                if half.faults.end_after.is_some_and(|limit| half.written >= limit) {
                    half.end();
                } else if half.before_cut() == 0 {
                    half.broken = true;
                }
                written
            })
        });
        if let Poll::Ready(Ok(written)) = written {
            self.0.count(written, false);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.shut_down();
        Poll::Ready(Ok(()))
    }
}
