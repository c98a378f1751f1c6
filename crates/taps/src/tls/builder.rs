//! The builder of a configuration of TLS.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ClientConfig, NamedGroup, RootCertStore, SignatureScheme};

use super::algorithms::Algorithms;
use super::config::{Inner, Roots, default_provider, parse_name, system_roots, unusable_provider};
use super::identity::{Elsewhere, IdentitySigner, Restrained};
use super::pem::{Pem, read_identity};
use super::sessions::SessionLimits;
use super::trust::{TrustCallback, Untrusted};
use super::verify::Pins;
use super::{ClientCertificates, TlsConfig, TlsConfigError, TlsInfo, TlsVersion};

/// Builds a [`TlsConfig`]. Files are read by [`build`](Self::build).
#[derive(Default)]
#[must_use]
pub struct TlsConfigBuilder {
    roots: Vec<Pem>,
    system_roots: bool,
    accept_any: bool,
    any_name: bool,
    client_identity: Option<Identity>,
    server_identity: Option<Identity>,
    client_certificates: ClientCertificates,
    pinned_certificates: Vec<Pem>,
    pinned_keys: Vec<Pem>,
    alpn: Vec<Vec<u8>>,
    server_name: Option<String>,
    provider: Option<Arc<CryptoProvider>>,
    algorithms: Algorithms,
    sessions: SessionLimits,
    trust: Option<TrustCallback>,
}

/// A certificate chain and its key.
#[derive(Debug)]
enum Identity {
    Pem(Pem, Pem),
    Elsewhere(Pem, Arc<dyn IdentitySigner>),
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
        self.client_identity = Some(Identity::Pem(Pem::File(chain.into()), Pem::File(key.into())));
        self
    }

    /// Shows this certificate chain to a server that asks, from PEM text.
    pub fn client_certificate_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.client_identity =
            Some(Identity::Pem(Pem::bytes("the client certificate", chain), Pem::bytes("the client key", key)));
        self
    }

    /// Shows this certificate chain to the clients of a listener, from two PEM files.
    pub fn server_certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.server_identity = Some(Identity::Pem(Pem::File(chain.into()), Pem::File(key.into())));
        self
    }

    /// Shows this certificate chain to the clients of a listener, from PEM text.
    pub fn server_certificate_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.server_identity =
            Some(Identity::Pem(Pem::bytes("the server certificate", chain), Pem::bytes("the server key", key)));
        self
    }

    /// Shows this certificate chain, PEM text, to a server that asks; the signer has its key.
    pub fn client_certificate_signer(mut self, chain: impl AsRef<[u8]>, signer: Arc<dyn IdentitySigner>) -> Self {
        self.client_identity = Some(Identity::Elsewhere(Pem::bytes("the client certificate", chain), signer));
        self
    }

    /// Shows this certificate chain, PEM text, to the clients of a listener; the signer has its key.
    pub fn server_certificate_signer(mut self, chain: impl AsRef<[u8]>, signer: Arc<dyn IdentitySigner>) -> Self {
        self.server_identity = Some(Identity::Elsewhere(Pem::bytes("the server certificate", chain), signer));
        self
    }

    /// Sets what a listener does about its clients' certificates; they are verified against the roots.
    pub fn client_certificates(mut self, wanted: ClientCertificates) -> Self {
        self.client_certificates = wanted;
        self
    }

    /// Wants the server's own certificate to be one of those in this PEM text or of the other pins (RFC 9622 6.3.3).
    /// The chain and the name are verified all the same.
    #[doc(alias = "pinnedServerCertificate")]
    pub fn pinned_certificate_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.pinned_certificates.push(Pem::bytes("the pinned certificate", pem));
        self
    }

    /// Wants the server's own certificate to be one of those in this PEM file or of the other pins.
    pub fn pinned_certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pinned_certificates.push(Pem::File(path.into()));
        self
    }

    /// Wants the server's own certificate to be one of the pins or to be for one of the public keys in this PEM text,
    /// sections `BEGIN PUBLIC KEY`: a certificate may be renewed then and keep its key.
    pub fn pinned_public_key_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.pinned_keys.push(Pem::bytes("the pinned public key", pem));
        self
    }

    /// Allows these versions of TLS and no others (RFC 9622 6.3.1). By default those that the library holds to be safe:
    /// 1.2 and 1.3.
    #[doc(alias = "allowedSecurityProtocols")]
    pub fn security_protocols(mut self, versions: impl IntoIterator<Item = TlsVersion>) -> Self {
        self.algorithms.versions = Some(versions.into_iter().collect());
        self
    }

    /// Allows these cipher suites and no others, the preferred one first (RFC 9622 6.3.5).
    #[doc(alias = "ciphersuite")]
    pub fn cipher_suites(mut self, suites: impl IntoIterator<Item = CipherSuite>) -> Self {
        self.algorithms.suites = Some(suites.into_iter().collect());
        self
    }

    /// Allows these groups for the exchange of keys and no others, the preferred one first (RFC 9622 6.3.5).
    #[doc(alias = "supportedGroup")]
    pub fn groups(mut self, groups: impl IntoIterator<Item = NamedGroup>) -> Self {
        self.algorithms.groups = Some(groups.into_iter().collect());
        self
    }

    /// Allows these signatures in handshakes and no others, the peer's as well as those of this end, the preferred one
    /// first (RFC 9622 6.3.5). Those inside of certificates are asked for, not enforced.
    #[doc(alias = "signatureAlgorithm")]
    pub fn signature_algorithms(mut self, schemes: impl IntoIterator<Item = SignatureScheme>) -> Self {
        self.algorithms.schemes = Some(schemes.into_iter().collect());
        self
    }

    /// Keeps at most so many sessions to resume, in a cache of this configuration's own: a client those of so many
    /// servers, a server as many in all. 0 resumes none (RFC 9622 6.3.6).
    #[doc(alias = "maxCachedSessions")]
    pub fn max_cached_sessions(mut self, sessions: usize) -> Self {
        self.sessions.most = Some(sessions);
        self
    }

    /// Resumes no session that is older, in a cache of this configuration's own (RFC 9622 6.3.6). Without it a ticket
    /// lives as long as its server says, seven days at most.
    #[doc(alias = "cachedSessionLifetimeSeconds")]
    pub fn cached_session_lifetime(mut self, lifetime: Duration) -> Self {
        self.sessions.lifetime = Some(lifetime);
        self
    }

    /// Asks this function whether to trust the peer, once its certificate has passed what is configured beside it: its
    /// answer is waited for, and the connection is not established where it is no (RFC 9622 6.3.8). It is asked at each
    /// handshake, those that resume a session too.
    ///
    /// ```
    /// use postroad_taps::{TlsConfig, Untrusted};
    ///
    /// let config = TlsConfig::builder()
    ///     .trust_verification(|peer| async move {
    ///         match peer.peer_common_name().as_deref() {
    ///             Some("post office") => Ok(()),
    ///             _ => Err(Untrusted("not the post office".to_owned())),
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), postroad_taps::TlsConfigError>(())
    /// ```
    #[doc(alias = "SetTrustVerificationCallback")]
    pub fn trust_verification<F>(mut self, verify: impl Fn(TlsInfo) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Untrusted>> + Send + 'static,
    {
        self.trust = Some(TrustCallback::new(verify));
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

    /// Accepts a server certificate of any name, as long as it leads to a root: whoever holds one for a host of their own
    /// can pose as this one. For servers that are reached under a name that their certificate lacks; better is
    /// [`server_name`](Self::server_name) with one that it has.
    pub fn danger_accept_any_name(mut self) -> Self {
        self.any_name = true;
        self
    }

    /// Reads the files and checks everything that can be checked without a peer.
    ///
    /// # Errors
    /// A file that is missing or unreadable, PEM that is malformed or holds nothing of its kind, a key that is
    /// not the certificate's, a server name that is none, a version or an algorithm that the crypto provider does not have.
    pub fn build(self) -> Result<TlsConfig, TlsConfigError> {
        let roots = self.given_roots()?.map_or(Roots::System, |store| Roots::Given(Arc::new(store)));
        let provider = self.algorithms.restrict(self.provider.clone().unwrap_or_else(default_provider))?;
        let versions = self.algorithms.versions();
        if versions.is_empty() {
            return Err(TlsConfigError::NothingAllowed { what: "version of TLS" });
        }
        let checked = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions);
        checked.map_err(|error| unusable_provider(&error))?;
        let schemes = self.algorithms.schemes.as_deref();
        let identity = |given: Option<Identity>| given.map(|given| given.read(&provider, schemes)).transpose();
        let mut pins = Pins::default();
        for pem in &self.pinned_certificates {
            pins.certificates.extend(pem.certificates()?);
        }
        for pem in &self.pinned_keys {
            pins.keys.extend(pem.public_keys()?);
        }
        let inner = Inner {
            roots,
            accept_any: self.accept_any,
            any_name: self.any_name,
            client_identity: identity(self.client_identity)?,
            server_identity: identity(self.server_identity)?,
            client_certificates: self.client_certificates,
            pins,
            alpn: self.alpn,
            server_name: self.server_name.as_deref().map(parse_name).transpose()?,
            provider: Some(provider),
            algorithms: self.algorithms,
            sessions: self.sessions,
            trust: self.trust,
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
            .field("any_name", &self.any_name)
            .field("client_identity", &self.client_identity)
            .field("server_identity", &self.server_identity)
            .field("client_certificates", &self.client_certificates)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl Identity {
    fn read(
        self,
        provider: &CryptoProvider,
        schemes: Option<&[SignatureScheme]>,
    ) -> Result<Arc<CertifiedKey>, TlsConfigError> {
        let identity = match self {
            Self::Pem(chain, key) => read_identity(&chain, &key, provider)?,
            Self::Elsewhere(chain, signer) => {
                Arc::new(CertifiedKey::new(chain.certificates()?, Arc::new(Elsewhere(signer))))
            }
        };
        let Some(schemes) = schemes else { return Ok(identity) };
        let (key, schemes) = (Arc::clone(&identity.key), schemes.to_vec());
        Ok(Arc::new(CertifiedKey::new(identity.cert.clone(), Arc::new(Restrained { key, schemes }))))
    }
}
