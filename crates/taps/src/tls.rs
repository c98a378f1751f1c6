//! TLS over TCP: configuration, what a handshake found out, and why one failed.

mod certificate;
pub(crate) mod config;
mod error;
mod info;
mod sides;
mod upgrade;

#[cfg(feature = "quic")]
pub(crate) use config::QuicClient;
pub use config::{ClientCertificates, TlsConfig, TlsConfigBuilder};
pub use error::{TlsConfigError, TlsError};
pub use info::{TlsInfo, TlsVersion};
pub use rustls::crypto::CryptoProvider;
pub(crate) use sides::{ClientSide, ServerSide};
pub use upgrade::FirstWords;

/// Whether a connection is protected from its first byte (RFC 9622 6.3). There is no third way: a connection that asks for TLS gets
/// TLS or fails, and nothing of the application's data leaves before the peer is verified (RFC 9621 3.3).
///
/// The default is TLS with the system's roots: clear text must be asked for.
#[doc(alias = "security_needed")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Security {
    /// Clear text over TCP.
    Disabled,
    /// TLS over TCP.
    Tls(TlsConfig),
}

impl Default for Security {
    fn default() -> Self {
        Self::Tls(TlsConfig::default())
    }
}

impl From<TlsConfig> for Security {
    fn from(config: TlsConfig) -> Self {
        Self::Tls(config)
    }
}
