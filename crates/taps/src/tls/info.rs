//! What a handshake found out.

use std::sync::{Arc, OnceLock};

use super::certificate;

/// What a TLS handshake found out about the session and the peer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TlsInfo {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    version: TlsVersion,
    server_name: Option<String>,
    /// Empty until the handshake is over: a session that sends early data is used before.
    agreed: OnceLock<Agreed>,
}

/// What both sides have agreed on.
#[derive(Debug)]
struct Agreed {
    resumed: bool,
    strength: Option<u16>,
    alpn: Option<Vec<u8>>,
    peer_certificates: Vec<Vec<u8>>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TlsInfo {
    /// A session whose handshake is not over: [`agree`](Self::agree) adds what it finds out.
    pub(crate) fn unfinished(version: TlsVersion, server_name: Option<&str>) -> Self {
        let server_name = server_name.map(str::to_owned);
        Self { inner: Arc::new(Inner { version, server_name, agreed: OnceLock::new() }) }
    }

    /// Adds what a handshake has found out that is over now, for this and every clone. The certificates are in DER.
    pub(super) fn agree(
        &self,
        resumed: bool,
        strength: Option<u16>,
        alpn: Option<&[u8]>,
        peer_certificates: Vec<Vec<u8>>,
    ) {
        // A handshake ends once.
        let _ = self.inner.agreed.set(Agreed { resumed, strength, alpn: alpn.map(<[u8]>::to_vec), peer_certificates });
    }

    /// The version of the session.
    #[must_use]
    pub fn version(&self) -> TlsVersion {
        self.inner.version
    }

    /// Whether the session goes on with an earlier one, whose certificates have been verified then. Not told of QUIC.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.inner.agreed.get().is_some_and(|agreed| agreed.resumed)
    }

    /// The length of the key that encrypts, in bits: 128 or 256. `None` while the handshake is not over, with a cipher that
    /// is not known, and of QUIC.
    #[must_use]
    pub fn strength(&self) -> Option<u16> {
        self.inner.agreed.get()?.strength
    }

    /// The application protocol that both sides agreed on (RFC 7301). While early data is on its way, `None`.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.inner.agreed.get()?.alpn.as_deref()
    }

    /// The host name that the client asked for (RFC 6066 3); `None` when it asked for an address or not at all.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.inner.server_name.as_deref()
    }

    /// The certificates that the peer showed, in DER, its own first; empty when it showed none.
    ///
    /// They have been verified, unless the configuration says to accept any.
    pub fn peer_certificates(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.certificates().iter().map(Vec::as_slice)
    }

    /// The common name in the subject of the peer's own certificate, read anew at each call.
    #[must_use]
    pub fn peer_common_name(&self) -> Option<String> {
        certificate::subject_common_name(self.certificates().first()?)
    }

    fn certificates(&self) -> &[Vec<u8>] {
        self.inner.agreed.get().map_or(&[], |agreed| &agreed.peer_certificates)
    }
}
