//! The configuration of TLS, checked when it is built.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use zeroize::Zeroizing;

use super::TlsConfigError;
use crate::protocol::ProtocolStack;
use crate::selection::Context;

#[cfg(feature = "quic")]
mod quic;

#[cfg(feature = "quic")]
pub(crate) use quic::QuicClient;

/// How a connection uses TLS. Cheap to clone; a listener and the connections of a client share sessions through
/// their clones.
///
/// The default verifies the peer against the system's roots and the remote endpoint's host name.
///
/// ```no_run
/// use postroad_taps::TlsConfig;
///
/// let config = TlsConfig::builder()
///     .roots_file("authority.pem")
///     .client_certificate_files("me.pem", "me.key")
///     .build()?;
/// # Ok::<(), postroad_taps::TlsConfigError>(())
/// ```
#[doc(alias = "SSLDomain")]
#[derive(Clone)]
pub struct TlsConfig {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    roots: Roots,
    accept_any: bool,
    client_identity: Option<Arc<CertifiedKey>>,
    server_identity: Option<Arc<CertifiedKey>>,
    client_certificates: ClientCertificates,
    alpn: Vec<Vec<u8>>,
    server_name: Option<ServerName<'static>>,
    provider: Option<Arc<CryptoProvider>>,
    system_roots: OnceLock<Result<Arc<RootCertStore>, TlsConfigError>>,
    client: OnceLock<Result<Arc<ClientConfig>, TlsConfigError>>,
    server: OnceLock<Result<Arc<ServerConfig>, TlsConfigError>>,
    #[cfg(feature = "quic")]
    quic: quic::Quic,
}

#[derive(Default)]
enum Roots {
    #[default]
    System,
    Given(Arc<RootCertStore>),
}

/// What a listener does about its clients' certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// Asks for none.
    #[default]
    Ignored,
    /// Asks for one and verifies it against the roots; a client without one is let in.
    Accepted,
    /// Asks for one, verifies it against the roots, and refuses a client without.
    Required,
}

impl TlsConfig {
    /// Starts a configuration from the defaults.
    pub fn builder() -> TlsConfigBuilder {
        TlsConfigBuilder::default()
    }

    /// Finds out whether a server could use it, as a listener does at its start.
    ///
    /// # Errors
    /// There is no server certificate, or the roots for the clients' certificates cannot be used.
    pub fn check_server(&self) -> Result<(), TlsConfigError> {
        self.server().map(drop)
    }

    /// The configuration of a client, made once. The first call may read the system's certificate store.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, TlsConfigError> {
        self.inner.client.get_or_init(|| self.inner.make_client().map(Arc::new)).clone()
    }

    /// The configuration of a server, made once.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, TlsConfigError> {
        self.inner.server.get_or_init(|| self.inner.make_server().map(Arc::new)).clone()
    }

    /// Whether the application protocol is named (ALPN), without which there is no QUIC.
    pub(crate) fn has_application_protocol(&self) -> bool {
        !self.inner.alpn.is_empty()
    }

    /// Whether [`client`](Self::client) would have to read the system's certificate store.
    pub(crate) fn client_blocks(&self) -> bool {
        matches!(self.inner.roots, Roots::System) && !self.inner.accept_any && self.inner.client.get().is_none()
    }

    /// The name that the peer's certificate must carry, given the host that was asked for.
    pub(crate) fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsConfigError> {
        match &self.inner.server_name {
            Some(name) => Ok(name.clone()),
            None => parse_name(host),
        }
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Inner::default().into()
    }
}

/// Keys never show.
impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = match &self.inner.roots {
            Roots::System => "system".to_owned(),
            Roots::Given(store) => format!("{} given", store.len()),
        };
        let roots = if self.inner.accept_any { "NONE: ANY SERVER IS ACCEPTED".to_owned() } else { roots };
        let shown = |identity: &Option<_>| {
            if identity.is_some() { "<redacted>" } else { "none" }
        };
        f.debug_struct("TlsConfig")
            .field("roots", &roots)
            .field("client_identity", &shown(&self.inner.client_identity))
            .field("server_identity", &shown(&self.inner.server_identity))
            .field("client_certificates", &self.inner.client_certificates)
            .field("alpn", &self.inner.alpn.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>())
            .field("server_name", &self.inner.server_name)
            .finish_non_exhaustive()
    }
}

impl From<Inner> for TlsConfig {
    fn from(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn make_client(&self) -> Result<ClientConfig, TlsConfigError> {
        let provider = self.provider.clone().unwrap_or_else(default_provider);
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable_provider(&error))?;
        let builder = if self.accept_any {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny { provider }))
        } else {
            builder.with_root_certificates(self.root_store()?)
        };
        Ok(self.finish_client(builder))
    }

    fn finish_client(&self, builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
        let mut config = match &self.client_identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config.resumption = Resumption::store(Context::global().sessions(ProtocolStack::Tls));
        config
    }

    fn make_server(&self) -> Result<ServerConfig, TlsConfigError> {
        let identity = self.server_identity.as_ref().ok_or(TlsConfigError::NoServerCertificate)?;
        let provider = self.provider.clone().unwrap_or_else(default_provider);
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable_provider(&error))?;
        let builder = match self.client_certificates {
            ClientCertificates::Ignored => builder.with_no_client_auth(),
            wanted => {
                let mut verifier = WebPkiClientVerifier::builder_with_provider(self.root_store()?, provider);
                if wanted == ClientCertificates::Accepted {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|error| TlsConfigError::Unusable {
                    origin: "the roots for client certificates".to_owned(),
                    reason: error.to_string(),
                })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity))));
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(config)
    }

    fn root_store(&self) -> Result<Arc<RootCertStore>, TlsConfigError> {
        match &self.roots {
            Roots::Given(store) => Ok(Arc::clone(store)),
            Roots::System => self.system_roots.get_or_init(|| system_roots().map(Arc::new)).clone(),
        }
    }
}

/// Builds a [`TlsConfig`]. Files are read by [`build`](Self::build).
#[derive(Default)]
#[must_use]
pub struct TlsConfigBuilder {
    roots: Vec<Pem>,
    system_roots: bool,
    accept_any: bool,
    client_identity: Option<(Pem, Pem)>,
    server_identity: Option<(Pem, Pem)>,
    client_certificates: ClientCertificates,
    alpn: Vec<Vec<u8>>,
    server_name: Option<String>,
    provider: Option<Arc<CryptoProvider>>,
}

impl TlsConfigBuilder {
    /// Trusts the certificates of a PEM file. Roots that are given replace the system's.
    pub fn roots_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots.push(Pem::File(path.into()));
        self
    }

    /// Trusts the certificates in this PEM text. Roots that are given replace the system's.
    pub fn roots_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.push(Pem::bytes("the PEM text of the roots", pem));
        self
    }

    /// Trusts the system's roots besides those that are given.
    pub fn system_roots(mut self) -> Self {
        self.system_roots = true;
        self
    }

    /// Shows this certificate chain to a server that asks, from two PEM files.
    pub fn client_certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_identity = Some((Pem::File(chain.into()), Pem::File(key.into())));
        self
    }

    /// Shows this certificate chain to a server that asks, from PEM text.
    pub fn client_certificate_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.client_identity = Some((Pem::bytes("the client certificate", chain), Pem::bytes("the client key", key)));
        self
    }

    /// Shows this certificate chain to the clients of a listener, from two PEM files.
    pub fn server_certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.server_identity = Some((Pem::File(chain.into()), Pem::File(key.into())));
        self
    }

    /// Shows this certificate chain to the clients of a listener, from PEM text.
    pub fn server_certificate_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.server_identity = Some((Pem::bytes("the server certificate", chain), Pem::bytes("the server key", key)));
        self
    }

    /// Sets what a listener does about its clients' certificates; they are verified against the roots.
    pub fn client_certificates(mut self, wanted: ClientCertificates) -> Self {
        self.client_certificates = wanted;
        self
    }

    /// Offers, or as a server accepts, these application protocols, the preferred one first (RFC 7301).
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(|name| name.as_ref().to_vec()).collect();
        self
    }

    /// Asks for this host name, and verifies it, instead of the remote endpoint's.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Takes ciphers, key exchange, signatures and random numbers from this provider of rustls; that on `ring` is the
    /// default. The provider that the process has installed, if any, does not count.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use postroad_taps::{CryptoProvider, TlsConfig};
    ///
    /// # fn provider() -> CryptoProvider { rustls::crypto::ring::default_provider() }
    /// let config = TlsConfig::builder().crypto_provider(Arc::new(provider())).build()?;
    /// # Ok::<(), postroad_taps::TlsConfigError>(())
    /// ```
    pub fn crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Accepts ANY server certificate: whoever sits on the path can read and change everything. Only for trying
    /// things out. What a listener does about its clients' certificates stays as it is.
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.accept_any = true;
        self
    }

    /// Reads the files and checks everything that can be checked without a peer.
    ///
    /// # Errors
    /// A file that is missing or unreadable, PEM that is malformed or holds nothing of its kind, a key that is
    /// not the certificate's, a server name that is none, a crypto provider without a cipher suite for TLS 1.2 or 1.3.
    pub fn build(self) -> Result<TlsConfig, TlsConfigError> {
        let roots = self.given_roots()?.map_or(Roots::System, |store| Roots::Given(Arc::new(store)));
        let provider = self.provider.unwrap_or_else(default_provider);
        let checked = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        checked.map_err(|error| unusable_provider(&error))?;
        let identity =
            |pair: Option<(Pem, Pem)>| pair.map(|(chain, key)| read_identity(&chain, &key, &provider)).transpose();
        let inner = Inner {
            roots,
            accept_any: self.accept_any,
            client_identity: identity(self.client_identity)?,
            server_identity: identity(self.server_identity)?,
            client_certificates: self.client_certificates,
            alpn: self.alpn,
            server_name: self.server_name.as_deref().map(parse_name).transpose()?,
            provider: Some(provider),
            ..Inner::default()
        };
        Ok(inner.into())
    }

    fn given_roots(&self) -> Result<Option<RootCertStore>, TlsConfigError> {
        if self.roots.is_empty() {
            return Ok(None);
        }
        let mut store = if self.system_roots { system_roots()? } else { RootCertStore::empty() };
        for pem in &self.roots {
            for certificate in pem.certificates()? {
                store.add(certificate).map_err(|error| pem.unusable(&error))?;
            }
        }
        Ok(Some(store))
    }
}

/// Keys never show.
impl fmt::Debug for TlsConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfigBuilder")
            .field("roots", &self.roots)
            .field("accept_any", &self.accept_any)
            .field("client_identity", &self.client_identity)
            .field("server_identity", &self.server_identity)
            .field("client_certificates", &self.client_certificates)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Where PEM text comes from. The text may hold a key, so it is wiped and never shown.
enum Pem {
    File(PathBuf),
    Bytes { what: &'static str, text: Zeroizing<Vec<u8>> },
}

impl Pem {
    fn bytes(what: &'static str, text: impl AsRef<[u8]>) -> Self {
        Self::Bytes { what, text: Zeroizing::new(text.as_ref().to_vec()) }
    }

    fn origin(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes { what, .. } => (*what).to_owned(),
        }
    }

    fn text(&self) -> Result<Zeroizing<Vec<u8>>, TlsConfigError> {
        match self {
            Self::File(path) => read_file(path),
            Self::Bytes { text, .. } => Ok(text.clone()),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let text = self.text()?;
        let certificates = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsConfigError::BadPem { origin: self.origin(), reason: error.to_string() })?;
        if certificates.is_empty() {
            return Err(TlsConfigError::NoCertificate { origin: self.origin() });
        }
        Ok(certificates)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        let text = self.text()?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => TlsConfigError::NoPrivateKey { origin: self.origin() },
            // The reason of a syntax error may quote a line of the file.
            _ => TlsConfigError::BadPem { origin: self.origin(), reason: "malformed section".to_owned() },
        })
    }

    fn unusable(&self, error: &rustls::Error) -> TlsConfigError {
        TlsConfigError::Unusable { origin: self.origin(), reason: error.to_string() }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Bytes { .. } => f.write_str("<redacted>"),
        }
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsConfigError> {
    match std::fs::read(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(TlsConfigError::MissingFile { path: path.to_owned() })
        }
        Err(error) => Err(TlsConfigError::UnreadableFile { path: path.to_owned(), kind: error.kind() }),
    }
}

fn read_identity(chain: &Pem, key: &Pem, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsConfigError> {
    let certificates = chain.certificates()?;
    // A provider takes the key over; that of `ring` wipes it.
    let signer = provider.key_provider.load_private_key(key.private_key()?).map_err(|error| key.unusable(&error))?;
    let identity = CertifiedKey::new(certificates, signer);
    match identity.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(identity)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsConfigError::KeyMismatch { origin: chain.origin() }),
        Err(error) => Err(chain.unusable(&error)),
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsConfigError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsConfigError::BadServerName { name: name.to_owned() })
}

/// Reads the system's certificate store; blocks on files for some milliseconds.
fn system_roots() -> Result<RootCertStore, TlsConfigError> {
    let mut store = RootCertStore::empty();
    // A store with a few entries that nobody can parse is normal; one without a usable entry is not.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(TlsConfigError::NoSystemRoots) } else { Ok(store) }
}

fn unusable_provider(error: &rustls::Error) -> TlsConfigError {
    TlsConfigError::Unusable { origin: "the crypto provider".to_owned(), reason: error.to_string() }
}

fn default_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Accepts any certificate whose key the server holds.
#[derive(Debug)]
struct AcceptAny {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
