//! The bytes under a connection, for engines that do their own framing.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::endpoint::canonical;
use crate::tls::TlsInfo;

/// An established transport as a stream of bytes: TCP, or TLS over TCP.
///
/// Writes to TLS may stay in the session until [`poll_flush`](AsyncWrite::poll_flush) is ready: only then are
/// the bytes on the socket. Shutting down a TLS stream sends the session's closing alert first. A read that
/// ends in [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) met a peer that closed without that alert, so what was
/// received may be cut short; an engine whose protocol has an ending of its own may disregard it.
///
/// Dropping a stream closes the socket.
#[derive(Debug)]
pub struct ByteStream {
    io: Io,
    local: SocketAddr,
    peer: SocketAddr,
    tls: Option<TlsInfo>,
    /// A socket that was just accepted is taken for readable before anybody has looked.
    fresh: bool,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    /// In a box: a session is a hundred times the size of a socket.
    Tls(Box<TlsStream<TcpStream>>),
}

impl ByteStream {
    pub(crate) fn tcp(stream: TcpStream) -> io::Result<Self> {
        let (local, peer) = (canonical(stream.local_addr()?), canonical(stream.peer_addr()?));
        Ok(Self { io: Io::Tcp(stream), local, peer, tls: None, fresh: true })
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>, info: TlsInfo) -> io::Result<Self> {
        let socket = stream.get_ref().0;
        let (local, peer) = (canonical(socket.local_addr()?), canonical(socket.peer_addr()?));
        Ok(Self { io: Io::Tls(Box::new(stream)), local, peer, tls: Some(info), fresh: false })
    }

    /// Waits until a read has something to do, so that a driver needs a buffer only then: ready when bytes can be
    /// read, when the peer has closed, or when the next read fails. For TLS that means plaintext: a record that
    /// was decrypted and not read yet counts, half a record does not.
    ///
    /// A read after it may still be pending, though rarely; try again then. One task at a time may poll reads.
    ///
    /// # Errors
    /// The transport failed; the next read would say the same.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(stream) if std::mem::take(&mut self.fresh) => {
                ready!(stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])))?;
                Poll::Ready(Ok(()))
            }
            Io::Tcp(stream) => stream.poll_read_ready(cx),
            Io::Tls(stream) => {
                ready!(Pin::new(&mut **stream).poll_fill_buf(cx))?;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// What the TLS handshake found out; `None` for clear text.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// The address of this end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address of the other end.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The socket, unless TLS is over it.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        match self.io {
            Io::Tcp(stream) => Some(stream),
            Io::Tls(_) => None,
        }
    }

    /// Makes the coming drop reset the connection instead of closing it in order.
    pub(crate) fn reset_on_drop(&self) {
        let socket = match &self.io {
            Io::Tcp(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        };
        // Fails only on a socket that is dead already.
        let _ = socket.set_zero_linger();
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
