//! Transports that somebody else has opened: descriptors that were inherited, passed on or made as a pair.

#[cfg(feature = "tcp")]
mod tcp;
#[cfg(all(unix, feature = "unix"))]
mod unix;

use std::io;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Connection, Opened, Origin};
#[cfg(unix)]
use crate::error::ListenError;
use crate::error::{Attempt, ConfigurationError, EstablishmentError, EstablishmentErrorKind as Kind};
use crate::listener::Listener;
use crate::preconnection::Preconnection;
use crate::stack::Acceptor;
#[cfg(unix)]
use crate::stack::kind;
use crate::stream::ByteStream;
use crate::transport::Established;

/// A descriptor that cannot be taken over. It is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// It is no socket.
    #[error("the descriptor is no socket")]
    NotASocket,
    /// A socket that nobody is at the other end of.
    #[error("the socket is not connected")]
    NotConnected,
    /// A socket that does not listen where one that does was wanted.
    #[error("the socket does not listen")]
    NotListening,
    /// A socket of a kind that cannot be taken over: TCP and Unix sockets can.
    #[error("the socket is of another kind than TCP or Unix")]
    Kind,
    /// A socket of a kind that this build does not have.
    #[error("the kind of the socket is not built in: feature `{feature}`")]
    NotBuilt {
        /// The feature of this crate that brings it.
        feature: &'static str,
    },
    /// The system refused.
    #[error("the descriptor cannot be used: {0}")]
    System(io::ErrorKind),
}

impl From<io::Error> for AdoptError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotConnected => Self::NotConnected,
            kind => Self::System(kind),
        }
    }
}

/// Taking over what was opened elsewhere.
///
/// A stream reads from its socket what it is asked for, and nothing ahead: what was not read when the descriptor is
/// handed on, [`into_owned_fd`](Self::into_owned_fd), is still in the socket for whoever has it next. All of this needs
/// the runtime: call it inside.
impl ByteStream {
    /// Takes over a connected socket, whichever kind it is of: TCP, or a Unix socket that is a stream or, on Linux, one
    /// of sequenced packets (each write is a packet then).
    ///
    /// # Errors
    /// What the descriptor is instead.
    #[cfg(unix)]
    pub fn from_owned_fd(descriptor: OwnedFd) -> Result<Self, AdoptError> {
        match kind::of(&descriptor)? {
            #[cfg(feature = "tcp")]
            kind::Kind::Tcp => Self::from_tcp(descriptor.into()),
            #[cfg(feature = "unix")]
            kind::Kind::Unix => Self::from_unix(descriptor.into()),
            #[cfg(all(target_os = "linux", feature = "unix"))]
            kind::Kind::Seqpacket => Self::from_seqpacket(descriptor.into()),
            #[allow(unreachable_patterns, reason = "there is none where all of them are built in")]
            kind => {
                drop(descriptor);
                Err(AdoptError::NotBuilt { feature: kind.feature() })
            }
        }
    }

    /// Hands the socket on, with what was not read; it does not block. `None` when something is between the stream and
    /// its socket, such as TLS: the stream is closed then.
    #[cfg(unix)]
    #[must_use]
    pub fn into_owned_fd(self) -> Option<OwnedFd> {
        self.into_socket()
    }
}

impl Preconnection {
    /// Makes a connection of an established stream, with the framers and properties of this preconnection; its
    /// endpoints are not asked. A socket of packets keeps its messages apart only as a stream of bytes does: by framers.
    ///
    /// # Errors
    /// Security is on and the stream is in clear text: protect it first, with
    /// [`initiate_tls`](ByteStream::initiate_tls) or [`accept_tls`](ByteStream::accept_tls), or switch security off. A
    /// framer that could not start.
    ///
    /// # Cancel safety
    /// Dropping the future closes the stream.
    pub async fn adopt(&self, stream: ByteStream) -> Result<Connection, EstablishmentError> {
        if self.security.config().is_some() && stream.tls_info().is_none() {
            return Err(Kind::from(ConfigurationError::Unprotected).into());
        }
        let (stack, address, started) = (stream.about().stack, stream.remote_endpoint().clone(), Instant::now());
        let opened = Opened::start(Established::stream(stream), Origin::new(&self.framers, None), None).await;
        let failed = |error| {
            let (started_after, elapsed) = (Duration::ZERO, started.elapsed());
            let attempt = Attempt { stack, address, started_after, elapsed, error };
            EstablishmentError::new(Kind::EstablishmentFailed, vec![attempt])
        };
        Ok(Connection::new(opened.map_err(failed)?, &self.properties))
    }

    /// Listens with a socket that listens already, whichever kind it is of: TCP, or a Unix stream socket.
    ///
    /// # Errors
    /// As for [`listen_on_tcp`](Self::listen_on_tcp) and [`listen_on_unix`](Self::listen_on_unix).
    #[cfg(unix)]
    pub fn listen_on_owned_fd(&self, descriptor: OwnedFd) -> Result<Listener, ListenError> {
        let kind = kind::of(&descriptor)?;
        if kind::is_listening(&descriptor) == Some(false) {
            return Err(AdoptError::NotListening.into());
        }
        match kind {
            #[cfg(feature = "tcp")]
            kind::Kind::Tcp => self.listen_on_tcp(descriptor.into()),
            #[cfg(feature = "unix")]
            kind::Kind::Unix => self.listen_on_unix(descriptor.into()),
            #[cfg(target_os = "linux")]
            kind::Kind::Seqpacket => Err(AdoptError::Kind.into()),
            #[allow(unreachable_patterns, reason = "there is none where all of them are built in")]
            kind => {
                drop(descriptor);
                Err(AdoptError::NotBuilt { feature: kind.feature() }.into())
            }
        }
    }

    fn listener_over(&self, acceptor: Box<dyn Acceptor>) -> Listener {
        Listener::over(vec![acceptor], self)
    }
}
