//! The bytes under a connection, for engines that do their own framing.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::credentials::PeerCredentials;
use crate::endpoint::EndpointAddress;
use crate::framer::outbox::Leaving;
use crate::properties::ConnectionProperties;
use crate::tls::TlsInfo;
use crate::transport::{About, MessageTransport};

mod messages;

/// An established transport as a stream of bytes.
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
    about: About,
    /// A socket that was just accepted is taken for readable before anybody has looked.
    fresh: bool,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// In a box: a session of TLS is a hundred times the size of a socket.
    Other(Box<dyn StreamTransport>),
}

/// A stream that is not a socket of the system, or has something over one.
pub(crate) trait StreamTransport: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {
    /// As [`ByteStream::poll_read_ready`].
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when a write would take something.
    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// As [`MessageTransport::apply`]. Not asked where there is a [`tcp_socket`](Self::tcp_socket), which has the
    /// properties.
    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        let _ = (from, to);
        Ok(())
    }

    /// Whether what is read now may have been sent before the handshake was over, and so be a copy
    /// (RFC 9622 9.3.3.2).
    fn is_early_data(&self) -> bool {
        false
    }

    /// Whether messages can go beside the stream, each by itself, which may be lost.
    fn takes_loose(&self) -> bool {
        false
    }

    /// Sends a message beside the stream; false when it does not go there now.
    fn send_loose(&mut self, message: &Leaving<'_>) -> bool {
        let _ = message;
        false
    }

    /// Receives a message that came beside the stream. It keeps a waker of its own; that nothing more comes, the stream
    /// says.
    fn poll_loose(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let _ = cx;
        Poll::Pending
    }

    /// The TCP socket at the bottom, where it is all that there is to abort and to set properties of.
    fn tcp_socket(&self) -> Option<&TcpStream> {
        None
    }

    /// As [`ByteStream::round_trip`]. Not asked where there is a [`tcp_socket`](Self::tcp_socket).
    fn round_trip(&self) -> Option<Duration> {
        None
    }

    /// Makes the coming drop an abort instead of an orderly end.
    fn abort(&mut self) {}
}

impl ByteStream {
    /// A TCP socket, or one of Multipath TCP.
    pub(crate) fn tcp(stream: TcpStream, about: About) -> Self {
        Self { io: Io::Tcp(stream), about, fresh: true }
    }

    #[cfg(unix)]
    pub(crate) fn unix(stream: UnixStream, about: About) -> Self {
        Self { io: Io::Unix(stream), about, fresh: true }
    }

    pub(crate) fn other(stream: Box<dyn StreamTransport>, about: About) -> Self {
        Self { io: Io::Other(stream), about, fresh: false }
    }

    /// The bytes of messages that arrive in full and in order; each write is a message.
    pub(crate) fn over_messages(transport: Box<dyn MessageTransport>, about: About) -> Self {
        Self::other(Box::new(messages::MessageStream::new(transport)), about)
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
            #[cfg(unix)]
            Io::Unix(stream) => stream.poll_read_ready(cx),
            Io::Other(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when the transport would take a byte now.
    pub(crate) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(stream) => stream.poll_write_ready(cx),
            #[cfg(unix)]
            Io::Unix(stream) => stream.poll_write_ready(cx),
            Io::Other(stream) => stream.poll_write_ready(cx),
        }
    }

    /// What the TLS handshake found out; `None` for clear text.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.about.tls.as_ref()
    }

    /// Who is at the other end of a Unix socket; `None` for Unix datagrams and for other transports.
    #[must_use]
    pub fn peer_credentials(&self) -> Option<PeerCredentials> {
        self.about.credentials
    }

    /// The subprotocol of the WebSocket below, when one was agreed on (RFC 6455 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.about.subprotocol.as_deref()
    }

    /// The address of this end.
    #[must_use]
    pub fn local_endpoint(&self) -> &EndpointAddress {
        &self.about.local
    }

    /// The address of the other end.
    #[must_use]
    pub fn remote_endpoint(&self) -> &EndpointAddress {
        &self.about.remote
    }

    /// What is known about the transport.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// The socket, unless something is over it.
    pub(crate) fn into_tcp(self) -> Option<(TcpStream, About)> {
        match self.io {
            Io::Tcp(stream) => Some((stream, self.about)),
            _ => None,
        }
    }

    /// The socket, unless something is over it.
    #[cfg(unix)]
    pub(crate) fn into_socket(self) -> Option<std::os::fd::OwnedFd> {
        match self.io {
            Io::Tcp(stream) => stream.into_std().ok().map(Into::into),
            Io::Unix(stream) => stream.into_std().ok().map(Into::into),
            Io::Other(_) => None,
        }
    }

    /// The TCP socket at the bottom.
    fn tcp_socket(&self) -> Option<&TcpStream> {
        match &self.io {
            Io::Tcp(stream) => Some(stream),
            #[cfg(unix)]
            Io::Unix(_) => None,
            Io::Other(stream) => stream.tcp_socket(),
        }
    }

    /// How often in a row the oldest segment was sent again; `None` where nobody counts.
    pub(crate) fn retransmissions(&self) -> Option<u32> {
        postroad_sys::tcp::info(self.tcp_socket()?).ok().map(|info| info.retransmits.into())
    }

    /// What a packet takes to the peer and back, as the transport has measured it; `None` where it has not.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match (self.tcp_socket(), &self.io) {
            (Some(socket), _) => tcp_round_trip(socket),
            (None, Io::Other(stream)) => stream.round_trip(),
            (None, _) => None,
        }
    }

    /// Whether what is read now may have been sent before the handshake was over.
    pub(crate) fn is_early_data(&self) -> bool {
        matches!(&self.io, Io::Other(stream) if stream.is_early_data())
    }

    /// Whether messages can go beside the stream, each by itself, which may be lost.
    pub(crate) fn takes_loose(&self) -> bool {
        matches!(&self.io, Io::Other(stream) if stream.takes_loose())
    }

    /// Sends a message beside the stream; false when it does not go there now.
    pub(crate) fn send_loose(&mut self, message: &Leaving<'_>) -> bool {
        match &mut self.io {
            Io::Other(stream) => stream.send_loose(message),
            _ => false,
        }
    }

    /// Receives a message that came beside the stream.
    pub(crate) fn poll_loose(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        match &mut self.io {
            Io::Other(stream) => stream.poll_loose(cx),
            _ => Poll::Pending,
        }
    }

    /// Brings the transport from some properties to others, as [`MessageTransport::apply`].
    pub(crate) fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        #[cfg(feature = "tcp")]
        if let Some(socket) = self.tcp_socket() {
            return crate::stack::tcp::apply(socket, from, to);
        }
        match &mut self.io {
            Io::Other(stream) => stream.apply(from, to),
            // TCP is behind us, and a Unix socket has none of the properties of a network.
            _ => Ok(()),
        }
    }

    /// Makes the coming drop reset the connection instead of closing it in order.
    pub(crate) fn reset_on_drop(&mut self) {
        if let Some(socket) = self.tcp_socket() {
            // Fails only on a socket that is dead already.
            let _ = socket.set_zero_linger();
        } else if let Io::Other(stream) = &mut self.io {
            stream.abort();
        }
    }
}

/// From the handshake on; `None` where the system does not tell.
fn tcp_round_trip(tcp: &TcpStream) -> Option<Duration> {
    let info = postroad_sys::tcp::info(tcp).ok()?;
    Some(info.round_trip_time).filter(|time| *time > Duration::ZERO)
}

/// Calls one method of whatever the stream is over.
macro_rules! each {
    ($io:expr, $method:ident($($arg:expr),*)) => {
        match $io {
            Io::Tcp(stream) => Pin::new(stream).$method($($arg),*),
            #[cfg(unix)]
            Io::Unix(stream) => Pin::new(stream).$method($($arg),*),
            Io::Other(stream) => Pin::new(&mut **stream).$method($($arg),*),
        }
    };
}

impl AsyncRead for ByteStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.io, poll_read(cx, buf))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(&mut self.io, poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut self.io, poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Io::Unix(stream) => stream.is_write_vectored(),
            Io::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.io, poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.io, poll_shutdown(cx))
    }
}
