//! What is left of TLS where it is not built in: its names, so that security can be asked for, and is refused.
//!
//! Selection rejects every stack with TLS inside, so that nothing here is ever reached with a socket; what would protect
//! one fails all the same.

mod certificate;
mod error;
mod info;
mod security;

use std::io;

use tokio::net::TcpStream;

use crate::error::AttemptError;
use crate::selection::Context;
use crate::stream::ByteStream;
use crate::transport::About;

pub use error::{TlsConfigError, TlsError};
pub use info::{TlsInfo, TlsVersion};
pub use security::Security;

/// How a connection would use TLS, which this build does not have: the feature `tls` brings it, and the builder of
/// configurations with it. What is to be protected by this one is refused before anything is opened.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TlsConfig {}

impl TlsConfig {
    pub(crate) fn has_application_protocol(&self) -> bool {
        false
    }

    fn opportunistic() -> &'static Self {
        &Self {}
    }
}

impl TlsError {
    /// Returns the TLS failure that an error of a [`ByteStream`] carries: none, in a build without TLS.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<Self> {
        let _ = error;
        None
    }
}

/// What a client would need.
#[derive(Debug, Clone)]
pub(crate) struct ClientSide(());

impl ClientSide {
    pub(crate) async fn prepare(_: &TlsConfig, _: &str) -> Result<Self, TlsConfigError> {
        Ok(Self(()))
    }

    #[must_use]
    pub(crate) fn with_sessions(self, _: &Context) -> Self {
        self
    }

    pub(crate) async fn protect(&self, _: TcpStream, _: About) -> Result<ByteStream, AttemptError> {
        Err(AttemptError::Transport(io::ErrorKind::Unsupported))
    }

    pub(crate) async fn protect_early(&self, tcp: TcpStream, about: About) -> Result<ByteStream, AttemptError> {
        self.protect(tcp, about).await
    }

    pub(crate) async fn protect_for(&self, _: &[u8], tcp: TcpStream, about: About) -> Result<ByteStream, AttemptError> {
        self.protect(tcp, about).await
    }
}

/// What a server would need.
#[derive(Debug, Clone)]
pub(crate) struct ServerSide(());

impl ServerSide {
    pub(crate) fn prepare(_: &TlsConfig) -> Result<Self, TlsConfigError> {
        Ok(Self(()))
    }

    pub(crate) fn for_protocol(self, _: &[u8]) -> Self {
        self
    }

    pub(crate) fn taking_early_data(self) -> Self {
        self
    }

    pub(crate) async fn protect(&self, _: TcpStream, _: About) -> Result<ByteStream, AttemptError> {
        Err(AttemptError::Transport(io::ErrorKind::Unsupported))
    }
}
