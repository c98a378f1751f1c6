//! Why TLS could not be configured, and why a handshake or a session failed.

use std::io;
use std::path::PathBuf;

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

fn names(presented: &[String]) -> String {
    if presented.is_empty() { String::new() } else { format!(", but for {}", presented.join(", ")) }
}
