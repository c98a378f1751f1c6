//! Private keys that are elsewhere, and keys that sign in certain ways only (RFC 9622 6.3.8).

use std::fmt::Debug;
use std::sync::Arc;

use rustls::sign::{Signer, SigningKey};
use rustls::{OtherError, SignatureAlgorithm, SignatureScheme};

/// Makes signatures with a private key that this process does not hold, such as one in a hardware module: the identity
/// challenge callback of RFC 9622 6.3.8.
///
/// It is called in the middle of a handshake by the task that establishes the connection, and that task's thread waits
/// for it: one that takes long wants a runtime with several threads.
pub trait IdentitySigner: Debug + Send + Sync {
    /// The ways in which the key can sign, the preferred one first; all for one kind of key.
    fn schemes(&self) -> &[SignatureScheme];

    /// Signs a message, which is not hashed yet, in one of these ways.
    ///
    /// # Errors
    /// The key cannot be used; the handshake fails with [`TlsError::Failed`](super::TlsError::Failed).
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, IdentityUnavailable>;
}

/// Why an [`IdentitySigner`] did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot be used: {0}")]
pub struct IdentityUnavailable(pub String);

/// A key behind an [`IdentitySigner`].
#[derive(Debug)]
pub(super) struct Elsewhere(pub(super) Arc<dyn IdentitySigner>);

impl SigningKey for Elsewhere {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *self.0.schemes().iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(Challenge { signer: Arc::clone(&self.0), scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        use SignatureScheme as Scheme;
        match self.0.schemes().first() {
            Some(Scheme::ED25519) => SignatureAlgorithm::ED25519,
            Some(Scheme::ED448) => SignatureAlgorithm::ED448,
            Some(
                Scheme::ECDSA_NISTP256_SHA256
                | Scheme::ECDSA_NISTP384_SHA384
                | Scheme::ECDSA_NISTP521_SHA512
                | Scheme::ECDSA_SHA1_Legacy,
            ) => SignatureAlgorithm::ECDSA,
            Some(_) => SignatureAlgorithm::RSA,
            None => SignatureAlgorithm::Anonymous,
        }
    }
}

#[derive(Debug)]
struct Challenge {
    signer: Arc<dyn IdentitySigner>,
    scheme: SignatureScheme,
}

impl Signer for Challenge {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signer.sign(self.scheme, message).map_err(|error| OtherError(Arc::new(error)).into())
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// A key that signs in these ways only.
#[derive(Debug)]
pub(super) struct Restrained {
    pub(super) key: Arc<dyn SigningKey>,
    pub(super) schemes: Vec<SignatureScheme>,
}

impl SigningKey for Restrained {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let both: Vec<_> = offered.iter().copied().filter(|scheme| self.schemes.contains(scheme)).collect();
        self.key.choose_scheme(&both)
    }

    fn public_key(&self) -> Option<rustls::pki_types::SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}
