//! TLS on loopback: who is let in, who is not, and what the error says.

mod common;

use common::{Authority, PATIENCE, listen, meet, pair, tls_error, to};
use postroad_taps::{
    AcceptError, AttemptError, ByteStream, ClientCertificates, EstablishmentErrorKind, ListenError, LocalEndpoint,
    Preconnection, RemoteEndpoint, Security, TlsConfig, TlsConfigError, TlsError, TlsVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_right_authority_carries_bytes() {
    let authority = Authority::new();
    let (server, client) = meet(authority.server().serve(), authority.trusted()).await;
    let mut server = server.unwrap().into_byte_stream().unwrap();
    let mut client = client.unwrap().into_byte_stream().unwrap();
    client.write_all(b"over").await.unwrap();
    client.flush().await.unwrap();
    let mut there = [0; 4];
    server.read_exact(&mut there).await.unwrap();
    assert_eq!(&there, b"over");

    let info = server.tls_info().unwrap();
    assert_eq!(info.version(), TlsVersion::V1_3);
    assert_eq!(info.server_name(), Some("localhost"));
    assert_eq!(info.peer_certificates().len(), 0);
    assert_eq!(info.peer_common_name(), None);
    assert_eq!(client.tls_info().unwrap().peer_certificates().len(), 1);
    assert_eq!(client.remote_endpoint(), server.local_endpoint());
    assert_eq!(client.local_endpoint(), server.remote_endpoint());
}

#[tokio::test]
async fn an_address_is_verified_as_an_address() {
    let authority = Authority::new();
    let server = Preconnection::new().security(authority.server().serve());
    let (server, _client) = pair(server, Preconnection::new().security(authority.trusted())).await;
    assert_eq!(server.tls_info().unwrap().server_name(), None);
}

#[tokio::test]
async fn an_untrusted_authority_is_refused() {
    let (server, client) = meet(Authority::new().server().serve(), Authority::new().trusted()).await;
    let error = client.expect_err("untrusted");
    assert_eq!(error.kind(), &EstablishmentErrorKind::EstablishmentFailed);
    assert_eq!(error.tls(), Some(&TlsError::Untrusted));
    assert!(error.to_string().contains("trusted authority"), "{error}");
    assert!(matches!(tls_error(server), TlsError::CertificateRefused(_)));
}

#[tokio::test]
async fn an_impostor_of_the_same_name_is_refused() {
    let (server, client) = meet(Authority::named("One").server().serve(), Authority::named("One").trusted()).await;
    assert_eq!(tls_error(client), TlsError::Untrusted);
    assert!(matches!(tls_error(server), TlsError::CertificateRefused(_)));
}

#[tokio::test]
async fn the_system_store_does_not_trust_a_stranger() {
    let (_, client) = meet(Authority::new().server().serve(), TlsConfig::default()).await;
    let error = client.expect_err("untrusted");
    // A machine without any root says so instead.
    let no_roots = EstablishmentErrorKind::InvalidConfiguration(TlsConfigError::NoSystemRoots.into());
    assert!(error.tls() == Some(&TlsError::Untrusted) || error.kind() == &no_roots, "{error:?}");
}

#[tokio::test]
async fn a_wrong_name_is_refused_and_named() {
    let authority = Authority::new();
    let (_, client) = meet(authority.sign(&["elsewhere.test"], |_| {}).serve(), authority.trusted()).await;
    let TlsError::WrongName { expected, presented } = tls_error(client) else { panic!("no wrong name") };
    assert_eq!(expected, "localhost");
    assert_eq!(presented.len(), 1);
    assert!(presented[0].contains("elsewhere.test"), "{presented:?}");
}

#[tokio::test]
async fn a_server_name_overrides_the_host() {
    let authority = Authority::new();
    let client = TlsConfig::builder().roots_pem(&authority.pem).server_name("elsewhere.test").build().unwrap();
    let (server, client) = meet(authority.sign(&["elsewhere.test"], |_| {}).serve(), client).await;
    client.unwrap();
    assert_eq!(server.unwrap().tls_info().unwrap().server_name(), Some("elsewhere.test"));
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let (_, client) = meet(authority.expired().serve(), authority.trusted()).await;
    assert_eq!(tls_error(client), TlsError::Expired);
}

#[tokio::test]
async fn any_certificate_is_accepted_only_when_asked_for_loudly() {
    let client = TlsConfig::builder().danger_accept_any_certificate().build().unwrap();
    assert!(format!("{client:?}").contains("ANY SERVER IS ACCEPTED"));
    let (server, client) = meet(Authority::new().expired().serve(), client).await;
    server.unwrap();
    client.unwrap();
}

#[tokio::test]
async fn a_certificate_of_any_name_must_still_lead_to_a_root() {
    let authority = Authority::new();
    let any_name =
        || TlsConfig::builder().roots_pem(&authority.pem).danger_accept_any_name().build().expect("a configuration");
    assert!(format!("{:?}", any_name()).contains("any name"));
    let (_, client) = meet(authority.sign(&["elsewhere.test"], |_| {}).serve(), any_name()).await;
    assert!(matches!(client.unwrap().tls_info().unwrap().strength(), Some(128 | 256)));
    let (_, client) = meet(Authority::new().sign(&["elsewhere.test"], |_| {}).serve(), any_name()).await;
    assert_eq!(tls_error(client), TlsError::Untrusted);
    let (_, client) = meet(authority.expired().serve(), any_name()).await;
    assert_eq!(tls_error(client), TlsError::Expired);
}

#[tokio::test]
async fn a_client_certificate_names_its_holder() {
    let authority = Authority::new();
    let rider = authority.client("rider 7");
    let client = TlsConfig::builder()
        .roots_pem(&authority.pem)
        .client_certificate_pem(&rider.chain, &rider.key)
        .build()
        .unwrap();
    let server = authority.server().serve_with_clients(&authority, ClientCertificates::Required);
    let (server, client) = meet(server, client).await;
    client.unwrap();
    let server = server.unwrap();
    let info = server.tls_info().unwrap();
    assert_eq!(info.peer_common_name().as_deref(), Some("rider 7"));
    assert_eq!(info.peer_certificates().len(), 1);
}

#[tokio::test]
async fn a_missing_client_certificate_is_named_on_both_sides() {
    let authority = Authority::new();
    let server = authority.server().serve_with_clients(&authority, ClientCertificates::Required);
    let (server, client) = meet(server, authority.trusted()).await;
    assert_eq!(tls_error(server), TlsError::ClientCertificateRequired);
    // With TLS 1.3 the client's own handshake is over before the server has looked: its first read tells.
    let mut client = client.unwrap().into_byte_stream().unwrap();
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(TlsError::from_io(&error), Some(TlsError::ClientCertificateRequired));
}

#[tokio::test]
async fn a_client_certificate_from_a_stranger_is_refused() {
    let authority = Authority::new();
    let rider = Authority::new().client("rider");
    let client = TlsConfig::builder()
        .roots_pem(&authority.pem)
        .client_certificate_pem(&rider.chain, &rider.key)
        .build()
        .unwrap();
    let server = authority.server().serve_with_clients(&authority, ClientCertificates::Accepted);
    let (server, client) = meet(server, client).await;
    assert_eq!(tls_error(server), TlsError::Untrusted);
    let mut client = client.unwrap().into_byte_stream().unwrap();
    let error = client.read_u8().await.unwrap_err();
    assert!(matches!(TlsError::from_io(&error), Some(TlsError::CertificateRefused(_))), "{error}");
}

#[tokio::test]
async fn an_optional_client_certificate_may_be_missing() {
    let authority = Authority::new();
    let server = authority.server().serve_with_clients(&authority, ClientCertificates::Accepted);
    let (server, client) = meet(server, authority.trusted()).await;
    client.unwrap();
    assert_eq!(server.unwrap().tls_info().unwrap().peer_certificates().len(), 0);
}

#[tokio::test]
async fn application_protocols_are_agreed_on_or_fail() {
    let authority = Authority::new();
    let identity = authority.server();
    let server = |names: &[&str]| {
        TlsConfig::builder().server_certificate_pem(&identity.chain, &identity.key).alpn(names).build().unwrap()
    };
    let client = TlsConfig::builder().roots_pem(&authority.pem).alpn(["two", "one"]).build().unwrap();
    let (accepted, initiated) = meet(server(&["one"]), client.clone()).await;
    assert_eq!(accepted.unwrap().tls_info().unwrap().alpn(), Some(&b"one"[..]));
    assert_eq!(initiated.unwrap().tls_info().unwrap().alpn(), Some(&b"one"[..]));
    let (accepted, initiated) = meet(server(&["three"]), client).await;
    assert_eq!(tls_error(accepted), TlsError::NoApplicationProtocol);
    assert_eq!(tls_error(initiated), TlsError::NoApplicationProtocol);
}

#[tokio::test]
async fn a_clear_text_client_is_told_apart_by_a_tls_listener() {
    let listener = listen(Authority::new().server().serve()).await;
    let mut client = tokio::net::TcpStream::connect(listener.local_endpoint().ip().unwrap()).await.unwrap();
    client.write_all(b"HELLO THERE").await.unwrap();
    let error = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap_err();
    let AcceptError::Establishment(error) = error else { panic!("{error}") };
    assert_eq!(error.tls(), Some(&TlsError::NotTls));
    // What comes back is an alert (RFC 8446 5.1: content type 21), and nothing that the application said.
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
}

#[tokio::test]
async fn a_clear_text_server_gets_no_application_byte() {
    for answer in [&b"HELLO THERE"[..], b""] {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let seen = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut seen = vec![0; 65536];
            let first = stream.read(&mut seen).await.unwrap();
            seen.truncate(first);
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            let _ = stream.read_to_end(&mut seen).await;
            seen
        });
        let error = to(port, Authority::new().trusted()).initiate().timeout(PATIENCE).await.unwrap_err();
        let expected = if answer.is_empty() { TlsError::ClosedDuringHandshake } else { TlsError::NotTls };
        // `localhost` may also have tried ::1, where nobody listens.
        assert_eq!(error.tls(), Some(&expected), "{error:?}");
        assert!(error.to_string().contains('?'), "the error has a hint: {error}");
        assert_only_records(&seen.await.unwrap());
    }
}

/// Every byte belongs to a handshake record (22) or an alert (21); none is application data (23) or no TLS at all.
fn assert_only_records(mut bytes: &[u8]) {
    assert!(!bytes.is_empty());
    while !bytes.is_empty() {
        assert!(matches!(bytes[0], 21 | 22), "record type {}", bytes[0]);
        let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        bytes = &bytes[5 + length..];
    }
}

#[tokio::test]
async fn files_and_texts_that_cannot_work_are_named_at_build() {
    let authority = Authority::new();
    let (one, two) = (authority.server(), authority.server());
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pem");
    assert_eq!(
        TlsConfig::builder().roots_file(&missing).build().unwrap_err(),
        TlsConfigError::MissingFile { path: missing }
    );
    let junk = folder.path().join("junk.pem");
    std::fs::write(&junk, "no certificate here").unwrap();
    let origin = junk.display().to_string();
    assert_eq!(
        TlsConfig::builder().roots_file(&junk).build().unwrap_err(),
        TlsConfigError::NoCertificate { origin: origin.clone() }
    );
    std::fs::write(&junk, "-----BEGIN CERTIFICATE-----\nAAAA").unwrap();
    let error = TlsConfig::builder().roots_file(&junk).build().unwrap_err();
    assert!(matches!(&error, TlsConfigError::BadPem { origin: found, .. } if *found == origin), "{error:?}");
    let error = TlsConfig::builder().server_certificate_pem(&one.chain, &one.chain).build().unwrap_err();
    assert!(matches!(error, TlsConfigError::NoPrivateKey { .. }), "{error:?}");
    let error = TlsConfig::builder().client_certificate_pem(&one.chain, &two.key).build().unwrap_err();
    assert!(matches!(error, TlsConfigError::KeyMismatch { .. }), "{error:?}");
    let error = TlsConfig::builder().server_name("no name").build().unwrap_err();
    assert_eq!(error, TlsConfigError::BadServerName { name: "no name".to_owned() });
}

#[tokio::test]
async fn a_tls_listener_without_a_certificate_opens_nothing() {
    let error = Preconnection::new().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap_err();
    assert_eq!(error, ListenError::from(TlsConfigError::NoServerCertificate));
}

#[test]
fn keys_never_show() {
    let authority = Authority::new();
    let identity = authority.server();
    let secret = identity.key.lines().nth(1).unwrap();
    let builder = TlsConfig::builder().server_certificate_pem(&identity.chain, &identity.key);
    let shown = format!("{builder:?}");
    assert!(!shown.contains(secret) && shown.contains("<redacted>"), "{shown}");
    let built = builder.build().unwrap();
    let shown = format!("{:?}", Preconnection::new().security(built));
    assert!(!shown.contains(secret) && shown.contains("<redacted>"), "{shown}");
}

#[tokio::test]
async fn a_slow_handshake_holds_up_nobody_else() {
    let authority = Authority::new();
    let listener = listen(authority.server().serve()).await;
    let silent = tokio::net::TcpStream::connect(listener.local_endpoint().ip().unwrap()).await.unwrap();
    let first = listener.incoming().await.unwrap().unwrap();
    assert_eq!(first.remote_endpoint(), &silent.local_addr().unwrap());
    let slow = tokio::spawn(async move { first.establish().timeout(std::time::Duration::from_millis(300)).await });
    let client = to(listener.local_endpoint().ip().unwrap().port(), authority.trusted());
    let (second, client) =
        tokio::join!(async { listener.incoming().await.unwrap().unwrap().establish().await }, async {
            client.initiate().timeout(PATIENCE).await
        });
    second.unwrap();
    client.unwrap();
    assert!(!slow.is_finished(), "the silent client is still being waited for");
    let error = slow.await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), EstablishmentErrorKind::Timeout(_)));
    assert_eq!(error.attempts()[0].error, AttemptError::Unfinished);
}

#[tokio::test]
async fn readiness_counts_plaintext_that_is_decrypted_already() {
    let authority = Authority::new();
    let (server, client) = meet(authority.server().serve(), authority.trusted()).await;
    let mut server: ByteStream = server.unwrap().into_byte_stream().unwrap();
    let mut client = client.unwrap().into_byte_stream().unwrap();
    let early = std::future::poll_fn(|cx| std::task::Poll::Ready(server.poll_read_ready(cx).is_ready())).await;
    assert!(!early, "nothing was sent yet");
    client.write_all(b"both").await.unwrap();
    client.flush().await.unwrap();
    for byte in b"both" {
        // The socket has nothing left after the first byte: the rest of the record is in the session.
        std::future::poll_fn(|cx| server.poll_read_ready(cx)).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), *byte);
    }
    let more = std::future::poll_fn(|cx| std::task::Poll::Ready(server.poll_read_ready(cx).is_ready())).await;
    assert!(!more);
    client.shutdown().await.unwrap();
    std::future::poll_fn(|cx| server.poll_read_ready(cx)).await.unwrap();
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_close_without_the_closing_alert_is_no_orderly_end() {
    let authority = Authority::new();
    let (server, client) = meet(authority.server().serve(), authority.trusted()).await;
    let mut server = server.unwrap().into_byte_stream().unwrap();
    let mut client = client.unwrap().into_byte_stream().unwrap();
    // What the client has not read, the session tickets too, would make the system reset the connection.
    server.write_all(b"!").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'!');
    drop(client);
    let error = server.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn half_a_connection_still_sends() {
    let authority = Authority::new();
    for security in [None, Some(authority.server().serve())] {
        let client = security.as_ref().map_or(Security::Disabled, |_| authority.trusted().into());
        let server = Preconnection::new().security(security.map_or(Security::Disabled, Security::from));
        let (server, client) = pair(server, Preconnection::new().security(client)).await;
        let (mut server, mut client) = (server.into_byte_stream().unwrap(), client.into_byte_stream().unwrap());
        assert!(server.write_all(b"x").await.is_ok() && tokio::io::AsyncWrite::is_write_vectored(&server));
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "xanswer");
    }
}

#[tokio::test]
async fn a_bad_host_name_fails_before_anything_is_opened() {
    let error = Preconnection::new()
        .remote(RemoteEndpoint::host("no name").port(1))
        .security(Authority::new().trusted())
        .initiate()
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), EstablishmentErrorKind::InvalidConfiguration(_)), "{error:?}");
    assert!(error.attempts().is_empty());
}
