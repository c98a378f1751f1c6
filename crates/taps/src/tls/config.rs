//! The configuration of TLS, checked when it is built.

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};

use super::algorithms::Algorithms;
use super::sessions::{ServerSessions, SessionLimits};
use super::trust::TrustCallback;
use super::verify::{AcceptAny, Pins, StrictClients, StrictServers};
use super::{TlsConfigBuilder, TlsConfigError, TlsError, TlsInfo};
use crate::protocol::ProtocolStack;
use crate::selection::{Context, Tickets};

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
    /// The name to ask for in place of that which it was built with.
    name: Option<ServerName<'static>>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) roots: Roots,
    pub(super) accept_any: bool,
    pub(super) any_name: bool,
    pub(super) client_identity: Option<Arc<CertifiedKey>>,
    pub(super) server_identity: Option<Arc<CertifiedKey>>,
    pub(super) client_certificates: ClientCertificates,
    pub(super) pins: Pins,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) server_name: Option<ServerName<'static>>,
    pub(super) provider: Option<Arc<CryptoProvider>>,
    pub(super) algorithms: Algorithms,
    pub(super) sessions: SessionLimits,
    pub(super) trust: Option<TrustCallback>,
    pub(super) system_roots: OnceLock<Result<Arc<RootCertStore>, TlsConfigError>>,
    pub(super) client: OnceLock<Result<Arc<ClientConfig>, TlsConfigError>>,
    pub(super) server: OnceLock<Result<Arc<ServerConfig>, TlsConfigError>>,
    #[cfg(feature = "quic")]
    pub(super) quic: quic::Quic,
}

#[derive(Default)]
pub(super) enum Roots {
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

    /// The same configuration, with which a client asks for another host name, and verifies it. It goes on with the same
    /// sessions.
    ///
    /// # Errors
    /// [`TlsConfigError::BadServerName`] when it is no name that a certificate could have.
    pub fn with_server_name(&self, name: &str) -> Result<Self, TlsConfigError> {
        Ok(Self { inner: self.inner.clone(), name: Some(parse_name(name)?) })
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

    /// Encryption without authentication: any certificate will do. Its connections share their sessions.
    pub(super) fn opportunistic() -> &'static Self {
        static CONFIG: LazyLock<TlsConfig> = LazyLock::new(|| Inner { accept_any: true, ..Inner::default() }.into());
        &CONFIG
    }

    /// Whether its sessions are in a cache of its own, whatever others there are.
    pub(crate) fn keeps_sessions(&self) -> bool {
        !self.inner.sessions.are_default()
    }

    /// Whether the application wants to be asked about each peer.
    pub(crate) fn asks_for_trust(&self) -> bool {
        self.inner.trust.is_some()
    }

    /// Whether clients are asked for certificates, or the application about clients.
    pub(crate) fn asks_for_clients(&self) -> bool {
        self.inner.client_certificates != ClientCertificates::Ignored || self.asks_for_trust()
    }

    /// Lets the application have its say about a peer, behind the handshake and before anything else (RFC 9622 6.3.8).
    pub(crate) async fn check_trust(&self, info: &TlsInfo) -> Result<(), TlsError> {
        match &self.inner.trust {
            Some(trust) => trust.ask(info).await,
            None => Ok(()),
        }
    }

    /// The name that the peer's certificate must carry, given the host that was asked for.
    pub(crate) fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsConfigError> {
        match self.name.as_ref().or(self.inner.server_name.as_ref()) {
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
        let roots = if self.inner.any_name { format!("{roots}, for any name") } else { roots };
        let shown = |identity: &Option<_>| {
            if identity.is_some() { "<redacted>" } else { "none" }
        };
        f.debug_struct("TlsConfig")
            .field("roots", &roots)
            .field("client_identity", &shown(&self.inner.client_identity))
            .field("server_identity", &shown(&self.inner.server_identity))
            .field("client_certificates", &self.inner.client_certificates)
            .field("alpn", &self.inner.alpn.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>())
            .field("server_name", &self.name.as_ref().or(self.inner.server_name.as_ref()))
            .field("pins", &(self.inner.pins.certificates.len() + self.inner.pins.keys.len()))
            .field("algorithms", &self.inner.algorithms)
            .field("sessions", &self.inner.sessions)
            .field("trust_verification", &self.inner.trust)
            .finish_non_exhaustive()
    }
}

impl From<Inner> for TlsConfig {
    fn from(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), name: None }
    }
}

impl Inner {
    fn make_client(&self) -> Result<ClientConfig, TlsConfigError> {
        let provider = self.provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.algorithms.versions())
            .map_err(|error| unusable_provider(&error))?;
        let verifier = self.server_verifier(provider)?;
        // The verifier is the usual one, or one that asks for more, unless the application has asked for less.
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        Ok(self.finish_client(builder, ProtocolStack::Tls))
    }

    fn server_verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
        let chain: Arc<dyn ServerCertVerifier> = if self.accept_any {
            Arc::new(AcceptAny { provider })
        } else {
            WebPkiServerVerifier::builder_with_provider(self.root_store()?, provider)
                .build()
                .map_err(|error| unusable_roots("server", &error))?
        };
        if self.pins.is_empty() && self.algorithms.schemes.is_none() && !self.any_name {
            return Ok(chain);
        }
        let (pins, schemes) = (self.pins.clone(), self.algorithms.schemes());
        Ok(Arc::new(StrictServers { chain, any_name: self.any_name, pins, schemes }))
    }

    fn finish_client(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
        stack: ProtocolStack,
    ) -> ClientConfig {
        let mut config = match &self.client_identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        let SessionLimits { most, lifetime } = self.sessions;
        config.resumption = if most == Some(0) {
            Resumption::disabled()
        } else if self.sessions.are_default() {
            Resumption::store(Context::global().sessions(stack))
        } else {
            Resumption::store(Arc::new(Tickets::bounded(self.sessions.most(), lifetime)))
        };
        config
    }

    fn make_server(&self) -> Result<ServerConfig, TlsConfigError> {
        let identity = self.server_identity.as_ref().ok_or(TlsConfigError::NoServerCertificate)?;
        let provider = self.provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.algorithms.versions())
            .map_err(|error| unusable_provider(&error))?;
        let builder = match self.client_certificates {
            ClientCertificates::Ignored => builder.with_no_client_auth(),
            wanted => {
                let mut verifier = WebPkiClientVerifier::builder_with_provider(self.root_store()?, provider);
                if wanted == ClientCertificates::Accepted {
                    verifier = verifier.allow_unauthenticated();
                }
                let chain = verifier.build().map_err(|error| unusable_roots("client", &error))?;
                let verifier: Arc<dyn ClientCertVerifier> = match self.algorithms.schemes.clone() {
                    Some(schemes) => Arc::new(StrictClients { chain, schemes }),
                    None => chain,
                };
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity))));
        config.alpn_protocols.clone_from(&self.alpn);
        config.session_storage = Arc::new(ServerSessions::new(self.sessions));
        Ok(config)
    }

    fn provider(&self) -> Arc<CryptoProvider> {
        self.provider.clone().unwrap_or_else(default_provider)
    }

    fn root_store(&self) -> Result<Arc<RootCertStore>, TlsConfigError> {
        match &self.roots {
            Roots::Given(store) => Ok(Arc::clone(store)),
            Roots::System => self.system_roots.get_or_init(|| system_roots().map(Arc::new)).clone(),
        }
    }
}

pub(super) fn parse_name(name: &str) -> Result<ServerName<'static>, TlsConfigError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsConfigError::BadServerName { name: name.to_owned() })
}

/// Reads the system's certificate store; blocks on files for some milliseconds.
pub(super) fn system_roots() -> Result<RootCertStore, TlsConfigError> {
    let mut store = RootCertStore::empty();
    // A store with a few entries that nobody can parse is normal; one without a usable entry is not.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(TlsConfigError::NoSystemRoots) } else { Ok(store) }
}

pub(super) fn unusable_provider(error: &rustls::Error) -> TlsConfigError {
    TlsConfigError::Unusable { origin: "the crypto provider".to_owned(), reason: error.to_string() }
}

pub(super) fn default_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn unusable_roots(peers: &str, error: &impl fmt::Display) -> TlsConfigError {
    TlsConfigError::Unusable { origin: format!("the roots for {peers} certificates"), reason: error.to_string() }
}
