//! TLS over a stream that began in clear text.

mod common;

use common::{Authority, PATIENCE, pair};
use postroad_taps::{
    ByteStream, ConfigurationError, EstablishmentError, EstablishmentErrorKind, Preconnection, Security, TlsConfig,
    TlsConfigError, TlsError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Both ends of a connection in clear text.
async fn clear() -> (ByteStream, ByteStream) {
    let clear = || Preconnection::new().security(Security::Disabled);
    let (server, client) = pair(clear(), clear()).await;
    (server.into_byte_stream().unwrap(), client.into_byte_stream().unwrap())
}

async fn say(stream: &mut ByteStream, words: &[u8]) {
    stream.write_all(words).await.unwrap();
    stream.flush().await.unwrap();
}

async fn hear<const N: usize>(stream: &mut ByteStream) -> [u8; N] {
    let mut words = [0; N];
    stream.read_exact(&mut words).await.unwrap();
    words
}

type Ends = (Result<ByteStream, EstablishmentError>, Result<ByteStream, EstablishmentError>);

async fn upgrade(server: ByteStream, identity: &TlsConfig, client: ByteStream, roots: &TlsConfig, host: &str) -> Ends {
    let both = async { tokio::join!(server.accept_tls(identity), client.initiate_tls(roots, host)) };
    tokio::time::timeout(PATIENCE, both).await.expect("the handshake ends")
}

#[tokio::test]
async fn a_stream_goes_on_under_tls() {
    let authority = Authority::new();
    let (mut server, mut client) = clear().await;
    say(&mut client, b"protect?").await;
    assert_eq!(&hear::<8>(&mut server).await, b"protect?");
    say(&mut server, b"protect!").await;
    assert_eq!(&hear::<8>(&mut client).await, b"protect!");
    assert!(server.tls_info().is_none());

    let (server, client) =
        upgrade(server, &authority.server().serve(), client, &authority.trusted(), "localhost").await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    assert_eq!(server.tls_info().unwrap().server_name(), Some("localhost"));
    assert_eq!(client.tls_info().unwrap().peer_certificates().len(), 1);
    assert_eq!(client.remote_endpoint(), server.local_endpoint());
    say(&mut client, b"over").await;
    assert_eq!(&hear::<4>(&mut server).await, b"over");
    say(&mut server, b"back").await;
    assert_eq!(&hear::<4>(&mut client).await, b"back");
}

#[tokio::test]
async fn an_impostor_is_refused_in_mid_stream() {
    let authority = Authority::new();
    for (roots, host) in [(Authority::new().trusted(), "localhost"), (authority.trusted(), "elsewhere.example")] {
        let (server, client) = clear().await;
        let (server, client) = upgrade(server, &authority.server().serve(), client, &roots, host).await;
        let error = client.unwrap_err();
        assert!(matches!(error.tls(), Some(TlsError::Untrusted | TlsError::WrongName { .. })), "{error:?}");
        assert!(matches!(server.unwrap_err().tls(), Some(TlsError::CertificateRefused(_))));
    }
}

/// What somebody in between puts behind the last words in clear text is never read as if it had come under TLS.
#[tokio::test]
async fn clear_text_behind_the_agreement_ends_the_connection() {
    let authority = Authority::new();
    let (mut server, mut client) = clear().await;
    say(&mut client, b"protect?login").await;
    assert_eq!(&hear::<8>(&mut server).await, b"protect?");
    let (server, client) =
        upgrade(server, &authority.server().serve(), client, &authority.trusted(), "localhost").await;
    assert_eq!(server.unwrap_err().tls(), Some(&TlsError::NotTls));
    assert!(client.is_err());

    let (mut server, mut client) = clear().await;
    say(&mut server, b"protect!welcome").await;
    assert_eq!(&hear::<8>(&mut client).await, b"protect!");
    let (server, client) =
        upgrade(server, &authority.server().serve(), client, &authority.trusted(), "localhost").await;
    assert_eq!(client.unwrap_err().tls(), Some(&TlsError::NotTls));
    assert!(server.is_err());
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_is_told() {
    let authority = Authority::new();
    let invalid = |error: EstablishmentError| match error.kind() {
        EstablishmentErrorKind::InvalidConfiguration(error) => error.clone(),
        other => panic!("{other:?}"),
    };
    let (server, client) = clear().await;
    let none = ConfigurationError::Tls(TlsConfigError::NoServerCertificate);
    assert_eq!(invalid(server.accept_tls(&authority.trusted()).await.unwrap_err()), none);
    assert_eq!(authority.trusted().check_server(), Err(TlsConfigError::NoServerCertificate));
    assert_eq!(authority.server().serve().check_server(), Ok(()));
    let error = client.initiate_tls(&authority.trusted(), "no name").await.unwrap_err();
    assert!(matches!(invalid(error), ConfigurationError::Tls(TlsConfigError::BadServerName { .. })));

    let (server, client) = pair(
        Preconnection::new().security(authority.server().serve()),
        Preconnection::new().security(authority.trusted()),
    )
    .await;
    let client = client.into_byte_stream().unwrap().initiate_tls(&authority.trusted(), "localhost").await;
    assert_eq!(invalid(client.unwrap_err()), ConfigurationError::Protected);
    let server = server.into_byte_stream().unwrap().accept_tls(&authority.server().serve()).await;
    assert_eq!(invalid(server.unwrap_err()), ConfigurationError::Protected);
}
