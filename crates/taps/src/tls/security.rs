//! Whether a connection is protected, and how.

use super::TlsConfig;

/// Whether a connection is protected from its first byte (RFC 9622 6.3). Nothing falls back to clear text: a connection that asks
/// for TLS gets TLS or fails, and nothing of the application's data leaves before the peer is verified (RFC 9621 3.3).
///
/// The default is TLS with the system's roots: clear text must be asked for. In a build without the feature `tls` that is
/// so too, and all but [`Disabled`](Self::Disabled) is refused before anything is opened
/// ([`Rejection::NotBuilt`](crate::Rejection::NotBuilt)).
#[doc(alias = "security_needed")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Security {
    /// Clear text.
    #[doc(alias = "NewDisabledSecurityParameters")]
    Disabled,
    /// Encryption without authentication: TLS, with whatever certificate the server shows. It keeps out who only listens,
    /// not who sits on the path. A server that speaks no TLS is not reached: who can do without wants
    /// [`Disabled`](Self::Disabled) for a second connection. A listener needs a certificate, and so
    /// [`Tls`](Self::Tls), with which these clients are served too.
    #[doc(alias = "NewOpportunisticSecurityParameters")]
    Opportunistic,
    /// TLS over TCP.
    Tls(TlsConfig),
}

impl Security {
    /// The configuration of TLS, where there is TLS.
    pub(crate) fn config(&self) -> Option<&TlsConfig> {
        match self {
            Self::Disabled => None,
            Self::Opportunistic => Some(TlsConfig::opportunistic()),
            Self::Tls(config) => Some(config),
        }
    }
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
