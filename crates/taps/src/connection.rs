//! An established connection.

use std::net::SocketAddr;

use crate::error::AttemptError;
use crate::framer::FramerFactory;
use crate::properties::TransportProperties;
use crate::stream::ByteStream;
use crate::tls::TlsInfo;

/// An established connection (RFC 9622 7).
#[derive(Debug)]
pub struct Connection {
    stream: ByteStream,
    framers: usize,
}

/// A connection with framers carries messages, and its bytes are theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection has framers: only one without can be used as a stream of bytes")]
pub struct HasFramers;

impl Connection {
    pub(crate) async fn open(
        stream: ByteStream,
        framers: &[FramerFactory],
        _properties: &TransportProperties,
    ) -> Result<Self, AttemptError> {
        Ok(Self { stream, framers: framers.len() })
    }

    /// Hands over the bytes of a connection that has no framers, for an engine that frames by itself. It costs
    /// nothing per byte.
    ///
    /// # Errors
    /// The connection has framers.
    pub fn into_byte_stream(self) -> Result<ByteStream, HasFramers> {
        if self.framers == 0 { Ok(self.stream) } else { Err(HasFramers) }
    }

    /// The address of this end.
    #[must_use]
    pub fn local_endpoint(&self) -> SocketAddr {
        self.stream.local_addr()
    }

    /// The address of the other end.
    #[must_use]
    pub fn remote_endpoint(&self) -> SocketAddr {
        self.stream.peer_addr()
    }

    /// What the TLS handshake found out; `None` for clear text.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.stream.tls_info()
    }
}
