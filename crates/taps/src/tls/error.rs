//! Why TLS could not be configured, and why a handshake or a session failed.

use std::io;
use std::path::PathBuf;

use rustls::{AlertDescription, CertificateError, Error as Rustls};

use super::verify::Unpinned;

/// A configuration that cannot work; nothing was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A named file does not exist.
    #[error("{} does not exist", path.display())]
    MissingFile {
        /// The file as it was named.
        path: PathBuf,
    },
    /// A named file exists and could not be read.
    #[error("{} cannot be read: {kind}", path.display())]
    UnreadableFile {
        /// The file as it was named.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The text is not well-formed PEM.
    #[error("{origin} is not valid PEM: {reason}")]
    BadPem {
        /// The file, or what the bytes were given as.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The PEM text holds no certificate.
    #[error("{origin} holds no certificate (a PEM section `BEGIN CERTIFICATE`)")]
    NoCertificate {
        /// The file, or what the bytes were given as.
        origin: String,
    },
    /// The PEM text holds no private key.
    #[error("{origin} holds no private key (a PEM section `BEGIN PRIVATE KEY`; encrypted keys are not supported)")]
    NoPrivateKey {
        /// The file, or what the bytes were given as.
        origin: String,
    },
    /// The PEM text holds no public key.
    #[error("{origin} holds no public key (a PEM section `BEGIN PUBLIC KEY`)")]
    NoPublicKey {
        /// What the bytes were given as.
        origin: String,
    },
    /// A list of what is allowed is empty, so that no handshake could succeed.
    #[error("no {what} is allowed: name at least one, or leave the choice to the defaults")]
    NothingAllowed {
        /// What the list is of.
        what: &'static str,
    },
    /// The crypto provider does not have an algorithm that was named.
    #[error("the {what} {name} is not supported; these are: {}", supported.join(", "))]
    NotSupported {
        /// What it would be.
        what: &'static str,
        /// What was named.
        name: String,
        /// What there is.
        supported: Vec<String>,
    },
    /// A certificate or key is well-formed PEM and cannot be used.
    #[error("{origin} cannot be used: {reason}")]
    Unusable {
        /// The file, or what the bytes were given as.
        origin: String,
        /// Why not.
        reason: String,
    },
    /// The private key does not belong to the certificate.
    #[error("the private key of {origin} does not belong to its certificate")]
    KeyMismatch {
        /// The certificate's file, or what the bytes were given as.
        origin: String,
    },
    /// The system's certificate store is empty or unreadable, and no roots were given.
    #[error("the system has no trusted certificates: name a file of roots")]
    NoSystemRoots,
    /// The name to verify is neither a host name nor an address.
    #[error("`{name}` is no host name or address that a certificate could carry")]
    BadServerName {
        /// The name.
        name: String,
    },
    /// A listener has TLS and no certificate to show.
    #[error("a TLS listener needs a certificate and its key: give both, or disable security")]
    NoServerCertificate,
}

/// A handshake or a session that failed. No byte of the application's data was sent before a handshake succeeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate leads to none of the trusted roots.
    #[error("the peer's certificate is not signed by a trusted authority: add its authority to the roots")]
    Untrusted,
    /// The peer's certificate is for other names.
    #[error("the peer's certificate is not for `{expected}`{}", names(presented))]
    WrongName {
        /// The name that was asked for.
        expected: String,
        /// The names that the certificate carries.
        presented: Vec<String>,
    },
    /// The peer's certificate is past its time.
    #[error("the peer's certificate has expired")]
    Expired,
    /// The peer's certificate is before its time.
    #[error("the peer's certificate is not valid yet: is this machine's clock right?")]
    NotYetValid,
    /// The server's certificate is none of those that are pinned, nor for a key that is.
    #[error("the server's certificate is none of the pinned ones")]
    PinMismatch,
    /// The application does not trust the peer, for this reason.
    #[error("the application does not trust the peer: {0}")]
    RefusedByApplication(String),
    /// The peer's certificate cannot be accepted for another reason.
    #[error("the peer's certificate cannot be accepted: {0}")]
    BadCertificate(String),
    /// The client showed no certificate, and the server requires one.
    #[error("the server requires a client certificate")]
    ClientCertificateRequired,
    /// The peer refused our certificate, by this alert.
    #[error("the peer refused our certificate: {0}")]
    CertificateRefused(String),
    /// The peer's first bytes are no TLS record.
    #[error("the peer speaks no TLS: is this the port for clear text?")]
    NotTls,
    /// The peer closed the connection in the middle of the handshake.
    #[error("the peer closed the connection during the TLS handshake: does this port speak TLS?")]
    ClosedDuringHandshake,
    /// The two sides share no application protocol (RFC 7301 3.2).
    #[error("no application protocol in common with the peer (ALPN)")]
    NoApplicationProtocol,
    /// The two sides share no protocol version, cipher suite, group or signature algorithm.
    #[error("nothing in common with the peer: {0}")]
    NothingInCommon(String),
    /// The peer ended the session by this alert.
    #[error("the peer ended the TLS session: {0}")]
    Alert(String),
    /// The peer broke the protocol.
    #[error("the peer broke the TLS protocol: {0}")]
    Violation(String),
    /// The session failed here.
    #[error("the TLS session failed: {0}")]
    Failed(String),
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

fn names(presented: &[String]) -> String {
    if presented.is_empty() { String::new() } else { format!(", but for {}", presented.join(", ")) }
}
