//! The cryptography that is allowed: cipher suites, groups and signatures (RFC 9622 6.3.5).

use std::fmt::Debug;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, NamedGroup, SignatureScheme, SupportedProtocolVersion};

use super::{TlsConfigError, TlsVersion};

/// What a configuration allows of what its provider has; everything where a list is absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Algorithms {
    pub(super) versions: Option<Vec<TlsVersion>>,
    pub(super) suites: Option<Vec<CipherSuite>>,
    pub(super) groups: Option<Vec<NamedGroup>>,
    pub(super) schemes: Option<Vec<SignatureScheme>>,
}

impl Algorithms {
    /// A provider that has nothing else, in the order in which it is wanted.
    pub(super) fn restrict(&self, provider: Arc<CryptoProvider>) -> Result<Arc<CryptoProvider>, TlsConfigError> {
        if let Some(schemes) = &self.schemes {
            let supported = provider.signature_verification_algorithms.supported_schemes();
            select("signature algorithm", schemes, &supported, |&scheme| scheme)?;
        }
        if self.suites.is_none() && self.groups.is_none() {
            return Ok(provider);
        }
        let mut provider = CryptoProvider::clone(&provider);
        if let Some(suites) = &self.suites {
            provider.cipher_suites = select("cipher suite", suites, &provider.cipher_suites, |suite| suite.suite())?;
        }
        if let Some(groups) = &self.groups {
            provider.kx_groups = select("group", groups, &provider.kx_groups, |group| group.name())?;
        }
        Ok(Arc::new(provider))
    }

    /// The versions of TLS that are allowed.
    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let allowed = |version| self.versions.as_ref().is_none_or(|versions| versions.contains(&version));
        let known = [(TlsVersion::V1_3, &rustls::version::TLS13), (TlsVersion::V1_2, &rustls::version::TLS12)];
        known.into_iter().filter(|(version, _)| allowed(*version)).map(|(_, version)| version).collect()
    }

    /// The signatures that count; any when empty.
    pub(super) fn schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone().unwrap_or_default()
    }
}

fn select<N: PartialEq + Debug, T: Clone>(
    what: &'static str,
    wanted: &[N],
    supported: &[T],
    name: impl Fn(&T) -> N,
) -> Result<Vec<T>, TlsConfigError> {
    let named = |wanted: &N| {
        supported.iter().find(|entry| name(entry) == *wanted).cloned().ok_or_else(|| TlsConfigError::NotSupported {
            what,
            name: format!("{wanted:?}"),
            supported: supported.iter().map(|entry| format!("{:?}", name(entry))).collect(),
        })
    };
    if wanted.is_empty() {
        return Err(TlsConfigError::NothingAllowed { what });
    }
    wanted.iter().map(named).collect()
}
