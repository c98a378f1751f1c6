//! TLS inside of QUIC (RFC 9001): version 1.3 only, with sessions of its own, and with certificates that are refused for a
//! reason that can be read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, ServerConfig, SignatureScheme};

use super::{Context, Inner, ServerSessions, SessionLimits, TlsConfig, TlsConfigError, unusable_provider};
use crate::protocol::ProtocolStack;

/// How many sessions a server keeps for resumption: each is used once, so early data cannot be replayed
/// (RFC 8446 8.1).
const SESSIONS: usize = 1024;

/// How many refused certificates are remembered until somebody asks.
const VERDICTS: usize = 16;

/// The configurations for QUIC, made once.
#[derive(Default)]
pub(in crate::tls) struct Quic {
    client: OnceLock<Result<QuicClient, TlsConfigError>>,
    server: OnceLock<Result<Server, TlsConfigError>>,
}

/// What a client needs for its handshakes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct QuicClient {
    base: Arc<ClientConfig>,
    late: Arc<QuicClientConfig>,
    early: Arc<QuicClientConfig>,
    verifier: Arc<Verifier>,
}

#[derive(Clone)]
struct Server {
    late: Arc<QuicServerConfig>,
    early: Arc<QuicServerConfig>,
}

impl TlsConfig {
    /// The configuration of a client of QUIC.
    pub(crate) fn quic_client(&self) -> Result<QuicClient, TlsConfigError> {
        self.inner.quic.client.get_or_init(|| self.inner.make_quic_client()).clone()
    }

    /// The configuration of a server of QUIC, with early data or without.
    ///
    /// Data that arrives before the client has shown its certificate comes from nobody in particular, so a server that
    /// asks for certificates takes none.
    pub(crate) fn quic_server(&self, early: bool) -> Result<Arc<QuicServerConfig>, TlsConfigError> {
        let server = self.inner.quic.server.get_or_init(|| self.inner.make_quic_server(self.server()?)).clone()?;
        let early = early && !self.asks_for_clients();
        Ok(if early { server.early } else { server.late })
    }
}

impl QuicClient {
    /// The configuration for a connection that may send early data, where a session is known that allows it.
    pub(crate) fn config(&self, early: bool) -> Arc<QuicClientConfig> {
        Arc::clone(if early { &self.early } else { &self.late })
    }

    /// The same for a connection whose sessions are kept apart (RFC 9622 8.1.10).
    pub(crate) fn isolated(&self, context: &Context, early: bool) -> Result<Arc<QuicClientConfig>, TlsConfigError> {
        let mut config = ClientConfig::clone(&self.base);
        config.resumption = Resumption::store(context.sessions(ProtocolStack::QuicStream));
        config.enable_early_data = early;
        client(config)
    }

    /// Why the certificate of this server was refused just now.
    pub(crate) fn verdict(&self, name: &ServerName<'_>) -> Option<rustls::Error> {
        let mut verdicts = self.verifier.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let position = verdicts.iter().rposition(|(refused, _)| refused == name)?;
        verdicts.remove(position).map(|(_, error)| error)
    }
}

impl Inner {
    fn make_quic_client(&self) -> Result<QuicClient, TlsConfigError> {
        self.check_quic()?;
        let provider = self.provider();
        let verifier =
            Arc::new(Verifier { inner: self.server_verifier(Arc::clone(&provider))?, verdicts: Mutex::default() });
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.algorithms.versions())
            .map_err(|error| unusable_provider(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Verifier>::clone(&verifier));
        let base = self.finish_client(builder, ProtocolStack::QuicStream);
        let late = client(base.clone())?;
        // The sessions are the same in both.
        let mut early = base.clone();
        early.enable_early_data = true;
        Ok(QuicClient { base: Arc::new(base), late, early: client(early)?, verifier })
    }

    fn make_quic_server(&self, base: Arc<ServerConfig>) -> Result<Server, TlsConfigError> {
        self.check_quic()?;
        let mut config = ServerConfig::clone(&base);
        drop(base);
        // A session over TCP is of no use here, nor the other way round.
        let most = self.sessions.most.unwrap_or(SESSIONS);
        config.session_storage = Arc::new(ServerSessions::new(SessionLimits { most: Some(most), ..self.sessions }));
        let late = server(config.clone())?;
        // QUIC says how much by its flow control: RFC 9001 4.6.1.
        config.max_early_data_size = u32::MAX;
        Ok(Server { late, early: server(config)? })
    }

    /// Versions that were chosen may be too old for QUIC (RFC 9001 4.2).
    fn check_quic(&self) -> Result<(), TlsConfigError> {
        let fits = self.algorithms.versions().iter().any(|version| version.version == ProtocolVersion::TLSv1_3);
        let unusable = || TlsConfigError::Unusable {
            origin: "the versions of TLS".to_owned(),
            reason: "QUIC needs TLS 1.3".to_owned(),
        };
        if fits { Ok(()) } else { Err(unusable()) }
    }
}

fn client(config: ClientConfig) -> Result<Arc<QuicClientConfig>, TlsConfigError> {
    config.try_into().map(Arc::new).map_err(|_| no_initial_suite())
}

fn server(config: ServerConfig) -> Result<Arc<QuicServerConfig>, TlsConfigError> {
    config.try_into().map(Arc::new).map_err(|_| no_initial_suite())
}

/// The first packets of QUIC are always in this suite (RFC 9001 5.2).
fn no_initial_suite() -> TlsConfigError {
    TlsConfigError::Unusable {
        origin: "the crypto provider".to_owned(),
        reason: "QUIC needs TLS13_AES_128_GCM_SHA256".to_owned(),
    }
}

/// Verifies as another does, and remembers why a certificate was refused: QUIC reports the alert alone.
#[derive(Debug)]
struct Verifier {
    inner: Arc<dyn ServerCertVerifier>,
    verdicts: Mutex<VecDeque<(ServerName<'static>, rustls::Error)>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.inspect_err(|error| {
            let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            if verdicts.len() == VERDICTS {
                verdicts.pop_front();
            }
            verdicts.push_back((server_name.to_owned(), error.clone()));
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
