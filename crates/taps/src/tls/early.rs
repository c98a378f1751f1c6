//! Data that leaves before the handshake is over, at either end (RFC 8446 2.3, RFC 9622 6.2.5).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::TlsInfo;
use crate::stream::StreamTransport;

/// The session of a client that goes on with an earlier one and sends at once.
///
/// A flush, or a read, finishes the handshake; what the server has rejected of the early data is sent again behind it, once.
#[derive(Debug)]
pub(super) struct EarlySender {
    stream: client::TlsStream<TcpStream>,
    info: TlsInfo,
    over: bool,
}

impl EarlySender {
    /// `info` is completed when the handshake is over.
    pub(super) fn new(stream: client::TlsStream<TcpStream>, info: TlsInfo) -> Self {
        Self { stream, info, over: false }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.over {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.info.end_of(self.stream.get_ref().1);
            self.over = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for EarlySender {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_handshake(cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for EarlySender {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_handshake(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_handshake(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl StreamTransport for EarlySender {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_handshake(cx))?;
        Pin::new(&mut self.stream).poll_fill_buf(cx).map_ok(drop)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.get_ref().0.poll_write_ready(cx)
    }

    fn tcp_socket(&self) -> Option<&TcpStream> {
        Some(self.stream.get_ref().0)
    }
}

/// The session of a server whose client has sent at once.
#[derive(Debug)]
pub(super) struct EarlyReceiver {
    stream: server::TlsStream<TcpStream>,
    early: Vec<u8>,
    read: usize,
}

impl EarlyReceiver {
    /// `early` is what came before the handshake was over.
    pub(super) fn new(stream: server::TlsStream<TcpStream>, early: Vec<u8>) -> Self {
        Self { stream, early, read: 0 }
    }
}

impl AsyncRead for EarlyReceiver {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = &this.early[this.read..];
        if left.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let length = left.len().min(buf.remaining());
        buf.put_slice(&left[..length]);
        this.read += length;
        if this.read == this.early.len() {
            // The connection may last for long.
            (this.early, this.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for EarlyReceiver {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl StreamTransport for EarlyReceiver {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_early_data() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_fill_buf(cx).map_ok(drop)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.get_ref().0.poll_write_ready(cx)
    }

    fn is_early_data(&self) -> bool {
        self.read < self.early.len()
    }

    fn tcp_socket(&self) -> Option<&TcpStream> {
        Some(self.stream.get_ref().0)
    }
}
