//! The defaults of TLS, and what replaces them: the system's roots, the crypto provider.

mod common;

use std::process::Command;
use std::sync::Arc;

use common::{Authority, PATIENCE, listen, to};
use postroad_taps::{CryptoProvider, TlsConfig, TlsConfigBuilder, TlsConfigError};
use rustls::crypto::{KeyProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{CipherSuite, SupportedCipherSuite};

/// A provider with these cipher suites alone.
fn only(suites: &[CipherSuite]) -> Arc<CryptoProvider> {
    let kept = |suite: &SupportedCipherSuite| suites.contains(&suite.suite());
    let cipher_suites = ring::default_provider().cipher_suites.into_iter().filter(kept).collect();
    Arc::new(CryptoProvider { cipher_suites, ..ring::default_provider() })
}

/// Whether a server and a client of these providers come together.
async fn meet(authority: &Authority, server: Arc<CryptoProvider>, client: Arc<CryptoProvider>) -> bool {
    let identity = authority.server();
    let server = TlsConfig::builder().server_certificate_pem(&identity.chain, &identity.key).crypto_provider(server);
    let client = TlsConfig::builder().roots_pem(&authority.pem).crypto_provider(client);
    let listener = listen(server.build().unwrap()).await;
    let client = to(listener.local_endpoint().ip().unwrap().port(), client.build().unwrap());
    let (accepted, initiated) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
    assert_eq!(accepted.is_ok(), initiated.is_ok());
    initiated.is_ok()
}

#[tokio::test]
async fn each_end_uses_the_provider_it_is_given() {
    let authority = Authority::new();
    let chacha = only(&[CipherSuite::TLS13_CHACHA20_POLY1305_SHA256]);
    let aes = only(&[CipherSuite::TLS13_AES_256_GCM_SHA384]);
    assert!(meet(&authority, chacha.clone(), chacha.clone()).await);
    assert!(!meet(&authority, chacha.clone(), aes.clone()).await, "no suite in common");
    assert!(!meet(&authority, aes.clone(), chacha).await, "no suite in common");
    assert!(meet(&authority, Arc::new(ring::default_provider()), aes).await);
}

/// Takes no key.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("the token is not plugged in".to_owned()))
    }
}

#[test]
fn a_provider_that_will_not_do_is_an_error() {
    let reason_of = |builder: TlsConfigBuilder| match builder.build() {
        Err(TlsConfigError::Unusable { origin, reason }) => (origin, reason),
        other => panic!("{other:?}"),
    };
    let (origin, _) = reason_of(TlsConfig::builder().crypto_provider(only(&[])));
    assert_eq!(origin, "the crypto provider");
    let identity = Authority::new().server();
    let provider = CryptoProvider { key_provider: &NoKeys, ..ring::default_provider() };
    let builder = TlsConfig::builder().server_certificate_pem(&identity.chain, &identity.key);
    let (origin, reason) = reason_of(builder.crypto_provider(Arc::new(provider)));
    assert_eq!(origin, "the server key");
    assert!(reason.contains("not plugged in"), "{reason}");
}

/// Tells the child, which is this test again, where to connect.
const PORT: &str = "POSTROAD_TEST_PORT";

#[tokio::test]
async fn the_system_s_roots_are_trusted_unless_others_are_given() {
    if let Ok(port) = std::env::var(PORT) {
        let client = to(port.parse().unwrap(), TlsConfig::default());
        client.initiate().timeout(PATIENCE).await.unwrap();
        return;
    }
    let [trusted, stranger] = [Authority::new(), Authority::new()];
    let listener = listen(trusted.server().serve()).await;
    let port = listener.local_endpoint().ip().unwrap().port().to_string();
    for (authority, welcome) in [(&trusted, true), (&stranger, false)] {
        let store = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(store.path(), &authority.pem).unwrap();
        // The variable is read by what reads the store of the system; a process of its own sees it from its start.
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "the_system_s_roots_are_trusted_unless_others_are_given"]);
        child.env(PORT, &port).env("SSL_CERT_FILE", store.path()).env_remove("SSL_CERT_DIR");
        let child = tokio::task::spawn_blocking(move || child.output().unwrap());
        let (accepted, output) = tokio::join!(listener.accept(), child);
        let output = output.unwrap();
        assert_eq!(output.status.success(), welcome, "{output:?}");
        // A client that is content and gone may reset the connection before the server has written its last words.
        assert!(welcome || accepted.is_err());
    }
}
