//! TLS over TCP: configuration, what a handshake found out, and why one failed.

mod algorithms;
mod builder;
mod certificate;
pub(crate) mod config;
mod early;
mod error;
mod found;
mod identity;
mod info;
mod pem;
mod security;
mod sessions;
mod sides;
mod stream;
mod trust;
mod upgrade;
mod verify;

pub use builder::TlsConfigBuilder;
#[cfg(feature = "quic")]
pub(crate) use config::QuicClient;
pub use config::{ClientCertificates, TlsConfig};
pub use error::{TlsConfigError, TlsError};
pub use identity::{IdentitySigner, IdentityUnavailable};
pub use info::{TlsInfo, TlsVersion};
pub use rustls::crypto::CryptoProvider;
pub use rustls::{CipherSuite, NamedGroup, SignatureScheme};
pub use security::Security;
pub(crate) use sides::{ClientSide, ServerSide};
pub use trust::Untrusted;
pub use upgrade::FirstWords;
