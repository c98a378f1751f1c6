//! The security parameters of RFC 9622 6.3 on loopback: conformance cases 16 and 17.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Authority, Identity, PATIENCE, listen, meet, tls_error, to};
use postroad_taps::{
    AttemptError, CipherSuite, ClientCertificates, Connection, ConnectionState, EstablishmentError,
    EstablishmentErrorKind, IdentitySigner, IdentityUnavailable, ListenError, LocalEndpoint, NamedGroup, Preconnection,
    Security, SignatureScheme, TlsConfig, TlsConfigBuilder, TlsConfigError, TlsError, TlsVersion, Untrusted,
};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

fn server(identity: &Identity) -> TlsConfigBuilder {
    TlsConfig::builder().server_certificate_pem(&identity.chain, &identity.key)
}

fn client(authority: &Authority) -> TlsConfigBuilder {
    TlsConfig::builder().roots_pem(&authority.pem)
}

fn version(result: Result<Connection, EstablishmentError>) -> TlsVersion {
    result.unwrap().tls_info().unwrap().version()
}

/// Case 16, RFC 9621 3.3: a server that speaks in clear text gets no byte of the application's, whatever TLS was asked for.
#[tokio::test]
async fn nothing_of_the_application_s_leaves_in_clear_text() {
    for security in [Security::Tls(Authority::new().trusted()), Security::Opportunistic] {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = to(server.local_addr().unwrap().port(), security).initiate_now();
        let (sent, seen) = tokio::join!(connection.send("the secret"), async {
            let (mut stream, _) = server.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 welcome to clear text\r\n").await.unwrap();
            let mut seen = Vec::new();
            let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut seen)).await.expect("the client hangs on");
            seen
        });
        sent.unwrap_err();
        assert_eq!(seen[0], 22, "a handshake");
        assert!(!seen.windows(6).any(|window| window == b"secret"));
        assert!(matches!(connection.ready().await, Err(error) if error.to_string().contains("speaks no TLS")));
    }
}

/// Cases 16 and 17, RFC 9622 6.3.1: `allowedSecurityProtocols`.
#[tokio::test]
async fn only_allowed_versions_are_spoken() {
    let authority = Authority::new();
    let identity = authority.server();
    let old = || server(&identity).security_protocols([TlsVersion::V1_2]).build().unwrap();
    let (_, refused) = meet(old(), client(&authority).security_protocols([TlsVersion::V1_3]).build().unwrap()).await;
    assert!(matches!(tls_error(refused), TlsError::NothingInCommon(_)));

    let (_, both) = meet(old(), client(&authority).build().unwrap()).await;
    assert_eq!(version(both), TlsVersion::V1_2);
    let any = server(&identity).build().unwrap();
    let (_, newest) = meet(any.clone(), client(&authority).build().unwrap()).await;
    assert_eq!(version(newest), TlsVersion::V1_3);
    let (_, oldest) = meet(any, client(&authority).security_protocols([TlsVersion::V1_2]).build().unwrap()).await;
    assert_eq!(version(oldest), TlsVersion::V1_2);
    let none = TlsConfig::builder().security_protocols([]).build().unwrap_err();
    assert_eq!(none, TlsConfigError::NothingAllowed { what: "version of TLS" });
}

/// RFC 9622 6.3: security that is opportunistic is encrypted, by whoever answers.
#[tokio::test]
async fn opportunistic_security_encrypts_without_asking_who_it_is() {
    let (server, client) = meet(Authority::new().expired().serve(), Security::Opportunistic).await;
    assert_eq!(version(client), TlsVersion::V1_3);
    server.unwrap();
    let listener = Preconnection::new().security(Security::Opportunistic).local(LocalEndpoint::host("127.0.0.1"));
    let error = listener.listen().await.unwrap_err();
    assert_eq!(error, ListenError::InvalidConfiguration(TlsConfigError::NoServerCertificate.into()));
}

/// RFC 9622 6.3.5: `ciphersuite`, `supportedGroup` and `signatureAlgorithm`.
#[tokio::test]
async fn only_allowed_algorithms_are_used() {
    let authority = Authority::new();
    let identity = authority.server();
    let one = || server(&identity).cipher_suites([CipherSuite::TLS13_AES_128_GCM_SHA256]).build().unwrap();
    let aes = client(&authority).cipher_suites([CipherSuite::TLS13_AES_128_GCM_SHA256]).build().unwrap();
    meet(one(), aes).await.1.unwrap();
    let other = client(&authority).cipher_suites([CipherSuite::TLS13_CHACHA20_POLY1305_SHA256]).build().unwrap();
    let (at_server, at_client) = meet(one(), other).await;
    assert!(matches!(tls_error(at_server), TlsError::NothingInCommon(_)));
    at_client.unwrap_err();

    let curve = || server(&identity).groups([NamedGroup::secp256r1]).build().unwrap();
    meet(curve(), client(&authority).groups([NamedGroup::secp256r1]).build().unwrap()).await.1.unwrap();
    let (at_server, _) = meet(curve(), client(&authority).groups([NamedGroup::X25519]).build().unwrap()).await;
    assert!(matches!(tls_error(at_server), TlsError::NothingInCommon(_)));

    // The server's key is for ECDSA with P-256.
    let signed = |scheme| client(&authority).signature_algorithms([scheme]).build().unwrap();
    meet(identity.serve(), signed(SignatureScheme::ECDSA_NISTP256_SHA256)).await.1.unwrap();
    meet(identity.serve(), signed(SignatureScheme::ED25519)).await.1.unwrap_err();
    let strict = server(&identity).signature_algorithms([SignatureScheme::ED25519]).build().unwrap();
    meet(strict, client(&authority).build().unwrap()).await.1.unwrap_err();
}

#[test]
fn algorithms_that_do_not_exist_here_are_refused_by_name() {
    let error = TlsConfig::builder().cipher_suites([CipherSuite::from(4)]).build().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cipher suite CipherSuite(0x4)") && text.contains("TLS13_AES_128_GCM_SHA256"), "{text}");
    let error = TlsConfig::builder().groups([NamedGroup::FFDHE8192]).build().unwrap_err();
    assert!(matches!(error, TlsConfigError::NotSupported { what: "group", .. }));
    let error = TlsConfig::builder().signature_algorithms([SignatureScheme::RSA_PKCS1_SHA1]).build().unwrap_err();
    assert!(matches!(error, TlsConfigError::NotSupported { what: "signature algorithm", .. }));
    assert!(matches!(TlsConfig::builder().groups([]).build(), Err(TlsConfigError::NothingAllowed { what: "group" })));
}

fn public_key(identity: &Identity) -> String {
    let key = KeyPair::from_pem(&identity.key).unwrap().subject_public_key_info();
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    pem.push_str(&base64(&key));
    pem.push_str("\n-----END PUBLIC KEY-----\n");
    pem
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        let digit = |at: usize| match at <= chunk.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// Case 17, RFC 9622 6.3.3: `pinnedServerCertificate`, beside the chain to a private authority.
#[tokio::test]
async fn a_server_shows_one_of_the_pins() {
    let authority = Authority::new();
    let (identity, sibling) = (authority.server(), authority.server());
    let pinned = client(&authority).pinned_certificate_pem(&identity.chain).build().unwrap();
    meet(identity.serve(), pinned.clone()).await.1.unwrap();
    let (at_server, at_client) = meet(sibling.serve(), pinned).await;
    assert_eq!(tls_error(at_client), TlsError::PinMismatch);
    assert!(matches!(tls_error(at_server), TlsError::CertificateRefused(_) | TlsError::Alert(_)));

    let either = client(&authority).pinned_certificate_pem(&identity.chain).pinned_certificate_pem(&sibling.chain);
    meet(sibling.serve(), either.build().unwrap()).await.1.unwrap();
    let keyed = client(&authority).pinned_public_key_pem(public_key(&identity)).build().unwrap();
    meet(identity.serve(), keyed.clone()).await.1.unwrap();
    assert_eq!(tls_error(meet(sibling.serve(), keyed).await.1), TlsError::PinMismatch);

    // A pin is no substitute for the chain.
    let stranger = client(&Authority::new()).pinned_certificate_pem(&identity.chain).build().unwrap();
    assert_eq!(tls_error(meet(identity.serve(), stranger).await.1), TlsError::Untrusted);
    let error = TlsConfig::builder().pinned_public_key_pem(&identity.chain).build().unwrap_err();
    assert!(matches!(error, TlsConfigError::NoPublicKey { .. }));
}

/// Case 17, RFC 9622 6.3.4: the application protocol that was chosen can be read; none in common is an error of its own.
#[tokio::test]
async fn the_application_protocol_is_agreed_on() {
    let authority = Authority::new();
    let identity = authority.server();
    let speaking = |names: &[&str]| server(&identity).alpn(names).build().unwrap();
    let (at_server, at_client) =
        meet(speaking(&["amqp", "mqtt"]), client(&authority).alpn(["mqtt", "amqp"]).build().unwrap()).await;
    assert_eq!(at_client.unwrap().tls_info().unwrap().alpn(), Some(&b"amqp"[..]), "the server prefers");
    assert_eq!(at_server.unwrap().tls_info().unwrap().alpn(), Some(&b"amqp"[..]));

    let (at_server, at_client) = meet(speaking(&["amqp"]), client(&authority).alpn(["h2"]).build().unwrap()).await;
    assert_eq!(
        (tls_error(at_server), tls_error(at_client)),
        (TlsError::NoApplicationProtocol, TlsError::NoApplicationProtocol)
    );
}

/// Meets twice; the second time a session may be resumed, once the tickets behind the first handshake are read.
async fn resumes(server: TlsConfig, client: TlsConfig) -> bool {
    let listener = listen(server).await;
    let client = to(listener.local_endpoint().ip().unwrap().port(), client);
    let mut resumed = false;
    for _ in 0..2 {
        let (accepted, initiated) =
            tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
        let (accepted, initiated) = (accepted.unwrap().unwrap(), initiated.unwrap());
        resumed = initiated.tls_info().unwrap().is_resumed();
        assert_eq!(accepted.tls_info().unwrap().is_resumed(), resumed);
        accepted.send("x").await.unwrap();
        accepted.close().await.unwrap();
        assert_eq!(&initiated.receive().await.unwrap().data[..], b"x");
    }
    resumed
}

/// RFC 9622 6.3.6: `maxCachedSessions` and `cachedSessionLifetimeSeconds`, at either end.
#[tokio::test]
async fn sessions_are_resumed_within_bounds() {
    let authority = Authority::new();
    let identity = authority.server();
    let (plain, any) = (|| server(&identity), || client(&authority));
    let build = |builder: TlsConfigBuilder| builder.build().unwrap();
    assert!(resumes(build(plain().max_cached_sessions(4)), build(any().max_cached_sessions(4))).await);
    let hour = Duration::from_secs(3600);
    assert!(resumes(build(plain().cached_session_lifetime(hour)), build(any().cached_session_lifetime(hour))).await);
    assert!(!resumes(build(plain()), build(any().max_cached_sessions(0))).await);
    assert!(!resumes(build(plain().max_cached_sessions(0)), build(any().max_cached_sessions(4))).await);
    assert!(!resumes(build(plain()), build(any().cached_session_lifetime(Duration::ZERO))).await);
    let expired = plain().cached_session_lifetime(Duration::ZERO);
    assert!(!resumes(build(expired), build(any().max_cached_sessions(4))).await);
}

/// Case 17, RFC 9622 6.3.8: the trust verification callback blocks the establishment and may refuse.
#[tokio::test]
async fn the_application_has_its_say_about_the_peer() {
    let authority = Authority::new();
    let (asked, answer) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (asking, answered) = (Arc::clone(&asked), Arc::clone(&answer));
    let waits = client(&authority).trust_verification(move |peer| {
        assert_eq!((peer.peer_certificates().len(), peer.server_name()), (1, Some("localhost")));
        asking.add_permits(1);
        let answered = Arc::clone(&answered);
        async move { answered.acquire().await.map(drop).map_err(|_| Untrusted("over".to_owned())) }
    });
    let listener = listen(authority.server().serve()).await;
    let connection = to(listener.local_endpoint().ip().unwrap().port(), waits.build().unwrap()).initiate_now();
    let accepting = tokio::spawn(async move { listener.accept().await.unwrap().unwrap() });
    tokio::select! {
        _ = connection.ready() => panic!("nobody has answered yet"),
        asked = asked.acquire() => asked.unwrap().forget(),
    }
    assert_eq!(connection.state(), ConnectionState::Establishing);
    answer.add_permits(1);
    connection.ready().await.unwrap();
    accepting.await.unwrap();

    let refuses = client(&authority).trust_verification(|_| async { Err(Untrusted("not on the list".to_owned())) });
    let (_, at_client) = meet(authority.server().serve(), refuses.build().unwrap()).await;
    assert_eq!(tls_error(at_client), TlsError::RefusedByApplication("not on the list".to_owned()));
}

/// The callback of a listener is asked about its clients; what is configured beside it counts all the same.
#[tokio::test]
async fn a_server_has_its_say_about_clients() {
    let authority = Authority::new();
    let (identity, rider) = (authority.server(), authority.client("rider 7"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let picky = server(&identity)
        .roots_pem(&authority.pem)
        .client_certificates(ClientCertificates::Required)
        .trust_verification(move |peer| {
            counted.fetch_add(1, Ordering::Relaxed);
            let name = peer.peer_common_name();
            async move { if name.as_deref() == Some("rider 8") { Ok(()) } else { Err(Untrusted("who?".to_owned())) } }
        })
        .build()
        .unwrap();
    let known = client(&authority).client_certificate_pem(&rider.chain, &rider.key).build().unwrap();
    let (at_server, _) = meet(picky.clone(), known).await;
    assert_eq!(tls_error(at_server), TlsError::RefusedByApplication("who?".to_owned()));
    let (at_server, _) = meet(picky, client(&authority).build().unwrap()).await;
    assert_eq!(tls_error(at_server), TlsError::ClientCertificateRequired);
    assert_eq!(count.load(Ordering::Relaxed), 1, "who shows no certificate is turned away before");
}

/// A key that only signs.
#[derive(Debug)]
struct Vault {
    key: Option<Arc<dyn SigningKey>>,
    schemes: [SignatureScheme; 1],
    challenges: AtomicUsize,
}

impl Vault {
    fn new(identity: &Identity, open: bool) -> Arc<Self> {
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let key = rustls::crypto::ring::default_provider().key_provider.load_private_key(key).unwrap();
        let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
        Arc::new(Self { key: open.then_some(key), schemes, challenges: AtomicUsize::new(0) })
    }
}

impl IdentitySigner for Vault {
    fn schemes(&self) -> &[SignatureScheme] {
        &self.schemes
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, IdentityUnavailable> {
        self.challenges.fetch_add(1, Ordering::Relaxed);
        let unavailable = |error: &str| IdentityUnavailable(error.to_owned());
        let key = self.key.as_ref().ok_or_else(|| unavailable("the vault is closed"))?;
        let signer = key.choose_scheme(&[scheme]).ok_or_else(|| unavailable("no such scheme"))?;
        signer.sign(message).map_err(|error| unavailable(&error.to_string()))
    }
}

/// RFC 9622 6.3.8: the identity challenge callback, for keys that this process does not hold.
#[tokio::test]
async fn a_private_key_may_be_elsewhere() {
    let authority = Authority::new();
    let (identity, rider) = (authority.server(), authority.client("rider 7"));
    let (server_vault, client_vault) = (Vault::new(&identity, true), Vault::new(&rider, true));
    let server = || TlsConfig::builder().roots_pem(&authority.pem).client_certificates(ClientCertificates::Required);
    let far = server().server_certificate_signer(&identity.chain, server_vault.clone()).build().unwrap();
    let known = client(&authority).client_certificate_signer(&rider.chain, client_vault.clone()).build().unwrap();
    let (at_server, at_client) = meet(far, known).await;
    assert_eq!(at_server.unwrap().tls_info().unwrap().peer_common_name().as_deref(), Some("rider 7"));
    at_client.unwrap();
    let challenges = |vault: &Vault| vault.challenges.load(Ordering::Relaxed);
    assert_eq!((challenges(&server_vault), challenges(&client_vault)), (1, 1));

    let closed = TlsConfig::builder().server_certificate_signer(&identity.chain, Vault::new(&identity, false));
    let (at_server, at_client) = meet(closed.build().unwrap(), client(&authority).build().unwrap()).await;
    let TlsError::Failed(reason) = tls_error(at_server) else { panic!("not failed") };
    assert!(reason.contains("the vault is closed"), "{reason}");
    let error = at_client.unwrap_err();
    assert_eq!(error.kind(), &EstablishmentErrorKind::EstablishmentFailed);
    assert!(matches!(error.attempts()[0].error, AttemptError::Tls(_) | AttemptError::Transport(_)));
}

/// A certificate that signs itself, pinned and its own root.
#[tokio::test]
async fn a_certificate_of_its_own_may_be_pinned() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let identity = Identity { chain: certificate.pem(), key: key.serialize_pem() };
    let trusting = TlsConfig::builder().roots_pem(&identity.chain).pinned_certificate_pem(&identity.chain);
    meet(identity.serve(), trusting.build().unwrap()).await.1.unwrap();
}
