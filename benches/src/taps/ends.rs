//! The two ends of a connection: ours, and the bare transport with the little that a message needs on it.

use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postroad_taps::Connection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::Error;

/// A stream of bytes of whatever kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One end of a connection.
pub enum End {
    /// Ours: with a framer over streams, without over datagrams.
    Taps(Connection),
    /// A stream, with a length of four bytes before each message.
    Stream(Framed),
    /// A connected socket for datagrams.
    Datagrams(Datagrams),
    /// The datagrams of a QUIC connection.
    QuicDatagrams(quinn::Connection),
}

/// The framing that one would write by hand: one `writev` for a message, one buffer to read into.
pub struct Framed {
    stream: Box<dyn Stream>,
    received: BytesMut,
}

/// A socket and the buffer that its datagrams are cut from.
pub struct Datagrams {
    socket: UdpSocket,
    received: BytesMut,
}

/// How much room a read has, and a datagram at most.
const ROOM: usize = 64 * 1024;

impl End {
    /// An end over a stream.
    #[must_use]
    pub fn stream(stream: impl Stream + 'static) -> Self {
        Self::Stream(Framed { stream: Box::new(stream), received: BytesMut::new() })
    }

    /// An end over a connected socket for datagrams.
    #[must_use]
    pub fn datagrams(socket: UdpSocket) -> Self {
        Self::Datagrams(Datagrams { socket, received: BytesMut::new() })
    }

    /// Whether messages are dropped when the receiver is slow.
    #[must_use]
    pub fn may_drop(&self) -> bool {
        match self {
            Self::Taps(connection) => !connection.properties().has(postroad_taps::SelectionProperty::Reliability),
            Self::Stream(_) => false,
            Self::Datagrams(_) | Self::QuicDatagrams(_) => true,
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The transport failed.
    pub async fn send(&mut self, body: Bytes) -> Result<(), Error> {
        match self {
            Self::Taps(connection) => Ok(connection.send(body).await?),
            Self::Stream(framed) => framed.send(&body).await,
            Self::Datagrams(datagrams) => {
                datagrams.socket.send(&body).await?;
                Ok(())
            }
            Self::QuicDatagrams(connection) => Ok(connection.send_datagram(body)?),
        }
    }

    /// Receives a message.
    ///
    /// # Errors
    /// The transport failed or has ended.
    pub async fn receive(&mut self) -> Result<Bytes, Error> {
        match self {
            Self::Taps(connection) => Ok(connection.receive().await?.data),
            Self::Stream(framed) => framed.receive().await,
            Self::Datagrams(datagrams) => {
                datagrams.received.reserve(ROOM);
                datagrams.socket.recv_buf(&mut datagrams.received).await?;
                Ok(datagrams.received.split().freeze())
            }
            Self::QuicDatagrams(connection) => Ok(connection.read_datagram().await?),
        }
    }
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Taps(_) => "Taps",
            Self::Stream(_) => "Stream",
            Self::Datagrams(_) => "Datagrams",
            Self::QuicDatagrams(_) => "QuicDatagrams",
        })
    }
}

impl std::fmt::Debug for Framed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Framed").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datagrams").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Framed {
    async fn send(&mut self, body: &[u8]) -> Result<(), Error> {
        let header = u32::try_from(body.len())?.to_be_bytes();
        let (mut header, mut body) = (&header[..], body);
        while header.has_remaining() || body.has_remaining() {
            let written = self.stream.write_vectored(&[IoSlice::new(header), IoSlice::new(body)]).await?;
            let of_header = written.min(header.len());
            header.advance(of_header);
            body.advance(written - of_header);
        }
        // TLS keeps what it was given until it is flushed.
        Ok(self.stream.flush().await?)
    }

    async fn receive(&mut self) -> Result<Bytes, Error> {
        while self.received.len() < 4 {
            self.fill().await?;
        }
        let length = self.received.get_u32() as usize;
        while self.received.len() < length {
            self.fill().await?;
        }
        Ok(self.received.split_to(length).freeze())
    }

    async fn fill(&mut self) -> Result<(), Error> {
        if self.received.capacity() - self.received.len() < ROOM / 8 {
            self.received.reserve(ROOM);
        }
        if self.stream.read_buf(&mut self.received).await? == 0 {
            return Err("the stream has ended".into());
        }
        debug_assert!(self.received.has_remaining_mut());
        Ok(())
    }
}
