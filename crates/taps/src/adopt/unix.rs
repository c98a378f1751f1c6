//! Unix sockets that somebody else has opened.

use super::AdoptError;
use crate::endpoint::EndpointAddress;
use crate::error::{ConfigurationError, ListenError};
use crate::listener::Listener;
use crate::preconnection::Preconnection;
use crate::protocol::ProtocolStack;
use crate::stack::unix;
use crate::stream::ByteStream;
use crate::transport::{About, Established, Transport};

impl ByteStream {
    /// Takes over a Unix stream socket, one of a pair included.
    ///
    /// # Errors
    /// It is not connected, or the system refuses it.
    pub fn from_unix(stream: std::os::unix::net::UnixStream) -> Result<Self, AdoptError> {
        stream.set_nonblocking(true)?;
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        let unix = tokio::net::UnixStream::from_std(stream)?;
        let (local, remote) = (EndpointAddress::Unix(local.into()), EndpointAddress::Unix(remote.into()));
        let about = About::new(ProtocolStack::UnixStream, local, remote);
        Ok(stream_of(unix::established(unix, about)))
    }

    /// Both ends of a new connection inside the process: a pair of Unix sockets.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn pair() -> Result<(Self, Self), AdoptError> {
        let (first, second) = std::os::unix::net::UnixStream::pair()?;
        Ok((Self::from_unix(first)?, Self::from_unix(second)?))
    }

    /// Takes over a socket of sequenced packets.
    #[cfg(target_os = "linux")]
    pub(super) fn from_seqpacket(stream: std::os::unix::net::UnixStream) -> Result<Self, AdoptError> {
        stream.peer_addr()?;
        stream.set_nonblocking(true)?;
        let stream = tokio::net::UnixStream::from_std(stream)?;
        Ok(stream_of(unix::seqpacket::established(stream, None)?))
    }
}

fn stream_of(established: Established) -> ByteStream {
    match established.transport {
        Transport::Stream(stream) => stream,
        Transport::Message(transport) => ByteStream::over_messages(transport, established.about),
    }
}

impl Preconnection {
    /// Listens with a Unix stream socket that listens already. Its file is not removed when the listener stops.
    ///
    /// # Errors
    /// [`ListenError::Adopt`], and [`ConfigurationError::Unprotected`]: there is no TLS over Unix sockets.
    pub fn listen_on_unix(&self, socket: std::os::unix::net::UnixListener) -> Result<Listener, ListenError> {
        if self.security.config().is_some() {
            return Err(ConfigurationError::Unprotected.into());
        }
        socket.set_nonblocking(true).map_err(AdoptError::from)?;
        let socket = tokio::net::UnixListener::from_std(socket).map_err(AdoptError::from)?;
        Ok(self.listener_over(unix::listen_on(socket).map_err(AdoptError::from)?))
    }
}
