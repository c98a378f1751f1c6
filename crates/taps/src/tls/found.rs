//! Reads what the library has found out: of a session, and of its errors.

use std::io;

use rustls::pki_types::CertificateDer;
use rustls::{
    AlertDescription, CertificateError, CipherSuite, CommonState, Error as Rustls, HandshakeKind, ProtocolVersion,
};

use super::verify::Unpinned;
use super::{TlsError, TlsInfo, TlsVersion};

impl TlsInfo {
    /// Reads an established session. `server_name` is the name that the client asked for.
    pub(crate) fn of(session: &CommonState, server_name: Option<&str>) -> Self {
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
            // The only other version that is compiled in.
            _ => TlsVersion::V1_2,
        };
        let info = Self::unfinished(version, server_name);
        info.end_of(session);
        info
    }

    /// Adds what a handshake has found out that is over now.
    pub(crate) fn end_of(&self, session: &CommonState) {
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let strength = session.negotiated_cipher_suite().and_then(|suite| strength(suite.suite()));
        self.agree(resumed, strength, session.alpn_protocol(), der(session.peer_certificates().unwrap_or_default()));
    }

    /// Adds what the handshake has found out, for this and every clone.
    #[cfg(feature = "quic")]
    pub(crate) fn finish(&self, alpn: Option<&[u8]>, peer_certificates: &[CertificateDer<'_>]) {
        self.agree(false, None, alpn, der(peer_certificates));
    }
}

/// The bits of the key of a suite's cipher.
fn strength(suite: CipherSuite) -> Option<u16> {
    Some(match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 128,
        CipherSuite::TLS13_AES_256_GCM_SHA384
        | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => 256,
        _ => return None,
    })
}

fn der(certificates: &[CertificateDer<'_>]) -> Vec<Vec<u8>> {
    certificates.iter().map(|der| der.to_vec()).collect()
}

impl TlsError {
    /// Returns the TLS failure that an error of a [`ByteStream`](crate::ByteStream) carries, if it is one.
    ///
    /// With TLS 1.3 a client learns only from its first read that the server refused its certificate, so a driver
    /// should ask this of its read errors too.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Rustls>().map(Self::from_rustls)
    }

    /// The same for an error of the handshake itself, where an early end has a meaning of its own.
    pub(crate) fn from_handshake(error: &io::Error) -> Option<Self> {
        Self::from_io(error)
            .or_else(|| (error.kind() == io::ErrorKind::UnexpectedEof).then_some(Self::ClosedDuringHandshake))
    }

    /// The same for an error of TLS itself.
    #[cfg(feature = "quic")]
    pub(crate) fn of(error: &Rustls) -> Self {
        Self::from_rustls(error)
    }

    fn from_rustls(error: &Rustls) -> Self {
        match error {
            Rustls::InvalidCertificate(certificate) => Self::from_certificate(certificate),
            Rustls::NoCertificatesPresented => Self::ClientCertificateRequired,
            // Bytes that are no record at all; a record of an unknown version or a bad handshake comes out as one
            // of the others.
            Rustls::InvalidMessage(
                rustls::InvalidMessage::InvalidContentType
                | rustls::InvalidMessage::UnknownProtocolVersion
                | rustls::InvalidMessage::MessageTooLarge
                | rustls::InvalidMessage::InvalidEmptyPayload,
            ) => Self::NotTls,
            Rustls::AlertReceived(alert) => Self::from_alert(*alert),
            Rustls::PeerIncompatible(reason) => Self::NothingInCommon(format!("{reason:?}")),
            Rustls::NoApplicationProtocol => Self::NoApplicationProtocol,
            Rustls::InvalidMessage(_)
            | Rustls::InappropriateMessage { .. }
            | Rustls::InappropriateHandshakeMessage { .. }
            | Rustls::PeerMisbehaved(_)
            | Rustls::PeerSentOversizedRecord
            | Rustls::DecryptError => Self::Violation(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }

    fn from_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Untrusted,
            CertificateError::NotValidForNameContext { expected, presented } => {
                Self::WrongName { expected: expected.to_str().into_owned(), presented: presented.clone() }
            }
            CertificateError::Other(other) if other.0.is::<Unpinned>() => Self::PinMismatch,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            other => Self::BadCertificate(other.to_string()),
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        let text = format!("alert {alert:?}");
        match alert {
            AlertDescription::CertificateRequired => Self::ClientCertificateRequired,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            // A signature that the peer could not verify (RFC 8446 6.2): its root of that name has another key.
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => Self::CertificateRefused(text),
            AlertDescription::NoApplicationProtocol => Self::NoApplicationProtocol,
            AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => Self::NothingInCommon(text),
            _ => Self::Alert(text),
        }
    }
}
