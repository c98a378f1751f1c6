//! Where certificates and keys come from: PEM text, in a file or in memory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::TlsConfigError;

/// Where PEM text comes from. The text may hold a key, so it is wiped and never shown.
pub(super) enum Pem {
    File(PathBuf),
    Bytes { what: &'static str, text: Zeroizing<Vec<u8>> },
}

impl Pem {
    pub(super) fn bytes(what: &'static str, text: impl AsRef<[u8]>) -> Self {
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

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let text = self.text()?;
        let certificates = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsConfigError::BadPem { origin: self.origin(), reason: error.to_string() })?;
        if certificates.is_empty() {
            return Err(TlsConfigError::NoCertificate { origin: self.origin() });
        }
        Ok(certificates)
    }

    pub(super) fn public_keys(&self) -> Result<Vec<Vec<u8>>, TlsConfigError> {
        let text = self.text()?;
        let keys = SubjectPublicKeyInfoDer::pem_slice_iter(&text)
            .map(|key| key.map(|key| key.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsConfigError::BadPem { origin: self.origin(), reason: error.to_string() })?;
        if keys.is_empty() { Err(TlsConfigError::NoPublicKey { origin: self.origin() }) } else { Ok(keys) }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        let text = self.text()?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => TlsConfigError::NoPrivateKey { origin: self.origin() },
            // The reason of a syntax error may quote a line of the file.
            _ => TlsConfigError::BadPem { origin: self.origin(), reason: "malformed section".to_owned() },
        })
    }

    pub(super) fn unusable(&self, error: &rustls::Error) -> TlsConfigError {
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

pub(super) fn read_identity(
    chain: &Pem,
    key: &Pem,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsConfigError> {
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
