//! What is asked of a peer's certificate and of its signatures, beyond what a chain to a root proves.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, PeerIncompatible, SignatureScheme,
};

use super::certificate;

/// The certificates and keys of which a server has to show one (RFC 9622 6.3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pins {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// In DER: a SubjectPublicKeyInfo (RFC 5280 4.1).
    pub(super) keys: Vec<Vec<u8>>,
}

/// A server shows none of the pins.
#[derive(Debug, thiserror::Error)]
#[error("none of the pins")]
pub(super) struct Unpinned;

impl Pins {
    pub(super) fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.keys.is_empty()
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let key = certificate::public_key(certificate);
        let pinned = self.is_empty()
            || self.certificates.iter().any(|pin| pin.as_ref() == certificate.as_ref())
            || key.is_some_and(|key| self.keys.iter().any(|pin| pin == key));
        if pinned { Ok(()) } else { Err(CertificateError::Other(OtherError(Arc::new(Unpinned))).into()) }
    }
}

/// The methods about signatures, which are the same in both traits: the kind has to count, and the chain says the rest.
macro_rules! signatures_that_count {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            allowed(&self.schemes, signature)?;
            self.chain.verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            allowed(&self.schemes, signature)?;
            self.chain.verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            kept(self.chain.supported_verify_schemes(), &self.schemes)
        }
    };
}

/// Asks more of a server than its chain: a pin, and signatures of certain kinds; or less: any name.
#[derive(Debug)]
pub(super) struct StrictServers {
    pub(super) chain: Arc<dyn ServerCertVerifier>,
    pub(super) any_name: bool,
    pub(super) pins: Pins,
    /// The signatures that count; any that the provider knows when empty.
    pub(super) schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for StrictServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = match self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is what is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => ServerCertVerified::assertion(),
            verified => verified?,
        };
        self.pins.check(end_entity)?;
        Ok(verified)
    }

    signatures_that_count!();
}

/// Takes signatures of certain kinds from clients only.
#[derive(Debug)]
pub(super) struct StrictClients {
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    pub(super) schemes: Vec<SignatureScheme>,
}

impl ClientCertVerifier for StrictClients {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.chain.verify_client_cert(end_entity, intermediates, now)
    }

    signatures_that_count!();
}

/// A peer may sign in a way that it was not offered.
fn allowed(schemes: &[SignatureScheme], signature: &DigitallySignedStruct) -> Result<(), rustls::Error> {
    if schemes.is_empty() || schemes.contains(&signature.scheme) {
        Ok(())
    } else {
        Err(PeerIncompatible::NoSignatureSchemesInCommon.into())
    }
}

/// Those that are wanted, in the order in which they are wanted; all where nothing is.
fn kept(supported: Vec<SignatureScheme>, wanted: &[SignatureScheme]) -> Vec<SignatureScheme> {
    if wanted.is_empty() {
        return supported;
    }
    wanted.iter().copied().filter(|scheme| supported.contains(scheme)).collect()
}

/// Accepts any certificate whose key the server holds.
#[derive(Debug)]
pub(super) struct AcceptAny {
    pub(super) provider: Arc<CryptoProvider>,
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
