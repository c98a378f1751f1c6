//! What goes wrong, and how it is told.

use super::relay::Relay;
use super::*;
use crate::connection::ConnectionError;
use crate::tls::{ClientCertificates, TlsError, Untrusted};

async fn attempt(address: SocketAddr, tls: &TlsConfig) -> AttemptError {
    let leaf = leaf(ProtocolStack::QuicStream, address);
    soon(connect(&leaf, &setting(TransportProperties::new(), tls, false).await)).await.unwrap_err()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let tls = Authority::new().client().build().unwrap();
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let begin = std::time::Instant::now();
        assert_eq!(attempt(address, &tls).await, AttemptError::Refused);
        shortest = shortest.min(begin.elapsed());
    }
    // Before the first packet would be sent again, after a second (RFC 9002 6.2.2).
    assert!(shortest < Duration::from_millis(900), "{shortest:?}");
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_named() {
    let authority = Authority::new();
    let elsewhere = authority.server_for("elsewhere.example").build().unwrap();
    let acceptor = listening(TransportProperties::new(), &elsewhere);
    let address = acceptor.local().ip().unwrap();
    match attempt(address, &authority.client().build().unwrap()).await {
        AttemptError::Tls(TlsError::WrongName { expected, presented }) => {
            assert_eq!(expected, authority.name);
            assert!(presented.iter().any(|name| name.contains("elsewhere.example")), "{presented:?}");
        }
        other => panic!("{other:?}"),
    }
    let stranger = Authority::new().client().server_name("elsewhere.example").build().unwrap();
    assert_eq!(attempt(address, &stranger).await, AttemptError::Tls(TlsError::Untrusted));
    // The listener learns of it.
    let arrival = soon(acceptor.accept()).await.unwrap();
    let error = soon(arrival.establish).await.unwrap_err();
    assert!(matches!(error, AttemptError::Tls(TlsError::CertificateRefused(_))), "{error:?}");
}

#[tokio::test]
async fn what_the_configuration_asks_for_holds_over_quic() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let address = acceptor.local().ip().unwrap();
    // A pin of another certificate, and an application that says no.
    let (other, _) = authority.pair(&authority.name);
    let pinned = authority.client().pinned_certificate_pem(other).build().unwrap();
    assert!(matches!(attempt(address, &pinned).await, AttemptError::Tls(_)));
    let distrustful =
        authority.client().trust_verification(|_| async { Err(Untrusted("a stranger".to_owned())) }).build().unwrap();
    assert!(matches!(attempt(address, &distrustful).await, AttemptError::Tls(_)));
    // There is no QUIC with an older TLS.
    let old = authority.client().security_protocols([TlsVersion::V1_2]).build().unwrap();
    assert!(matches!(attempt(address, &old).await, AttemptError::Tls(_)));
    // A listener that distrusts its clients hands none over.
    let server = authority
        .server_for(&authority.name)
        .trust_verification(|_| async { Err(Untrusted("a stranger".to_owned())) })
        .build()
        .unwrap();
    let acceptor = listening(TransportProperties::new(), &server);
    let tls = authority.client().build().unwrap();
    let client = connected(&*acceptor, TransportProperties::new(), &tls).await;
    let error = soon(soon(acceptor.accept()).await.unwrap().establish).await.unwrap_err();
    assert!(matches!(error, AttemptError::Tls(_)), "{error:?}");
    if let Ok(client) = client {
        soon(stream(client).read(&mut [0; 1])).await.unwrap_err();
    }
}

#[tokio::test]
async fn no_common_application_protocol_is_named() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let other = authority.client().alpn(["other/2"]).build().unwrap();
    let error = attempt(acceptor.local().ip().unwrap(), &other).await;
    assert_eq!(error, AttemptError::Tls(TlsError::NoApplicationProtocol));
    let error = soon(soon(acceptor.accept()).await.unwrap().establish).await.unwrap_err();
    assert_eq!(error, AttemptError::Tls(TlsError::NoApplicationProtocol));
}

#[tokio::test]
async fn a_client_without_a_certificate_is_told_why() {
    let authority = Authority::new();
    let strict =
        authority.server_for(&authority.name).client_certificates(ClientCertificates::Required).build().unwrap();
    let acceptor = listening(TransportProperties::new(), &strict);
    // With TLS 1.3 the client is done before the server has seen its certificate, so the first read tells.
    let error = match connected(&*acceptor, TransportProperties::new(), &authority.client().build().unwrap()).await {
        Err(AttemptError::Tls(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(client) => {
            let error = soon(stream(client).read(&mut [0; 1])).await.unwrap_err();
            match ConnectionError::from_io(&error) {
                ConnectionError::Tls(error) => error,
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(error, TlsError::ClientCertificateRequired);
    let (chain, key) = authority.pair("rider");
    let known = authority.client().client_certificate_pem(chain, key).build().unwrap();
    let mut client = stream(connected(&*acceptor, TransportProperties::new(), &known).await.unwrap());
    say(&mut client, b"hello").await;
    loop {
        let arrival = soon(acceptor.accept()).await.unwrap();
        match soon(arrival.establish).await {
            Ok(server) => {
                assert_eq!(server.about.tls.unwrap().peer_certificates().len(), 1);
                break;
            }
            Err(error) => assert_eq!(error, AttemptError::Tls(TlsError::ClientCertificateRequired)),
        }
    }
}

#[tokio::test]
async fn a_peer_that_speaks_another_version_is_told_apart() {
    // One that answers to everything that it has only a version of its own (RFC 9000 17.2.1).
    let peer = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap();
    let answer = async {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
            let packet = &buffer[..length];
            let (destination, rest) = packet[6..].split_at(packet[5].into());
            let source = &rest[1..][..rest[0].into()];
            let mut answer = vec![0x80, 0, 0, 0, 0];
            for id in [source, destination] {
                answer.push(id.len() as u8);
                answer.extend_from_slice(id);
            }
            answer.extend_from_slice(&0x0a1a_2a3a_u32.to_be_bytes());
            peer.send_to(&answer, from).await.unwrap();
        }
    };
    let tls = Authority::new().client().build().unwrap();
    tokio::select! {
        () = answer => {}
        error = attempt(address, &tls) => assert_eq!(error, AttemptError::Transport(io::ErrorKind::Unsupported)),
    }
}

#[tokio::test]
async fn a_peer_that_vanishes_is_given_up_after_the_timeout_and_not_before() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let relay = Relay::to(acceptor.local().ip().unwrap()).await;
    let leaf = leaf(ProtocolStack::QuicStream, relay.address);
    let tls = authority.client().build().unwrap();
    let properties = TransportProperties::new().conn_timeout(Duration::from_millis(500));
    let mut client = stream(soon(connect(&leaf, &setting(properties, &tls, false).await)).await.unwrap());
    say(&mut client, b"1").await;
    let mut server = stream(accepted(&*acceptor).await);
    hear(&mut server, b"1").await;
    // Nobody has anything to say for longer than the timeout, and that is fine.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    say(&mut server, b"2").await;
    hear(&mut client, b"2").await;
    relay.set_silent(true);
    let begin = std::time::Instant::now();
    say(&mut client, b"3").await;
    let error = soon(client.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(ConnectionError::from_io(&error), ConnectionError::Timeout);
    assert!(begin.elapsed() >= Duration::from_millis(450), "{:?}", begin.elapsed());
    let error = soon(client.write(b"4")).await.unwrap_err();
    assert_eq!(ConnectionError::from_io(&error), ConnectionError::Timeout);
}

#[tokio::test]
async fn a_peer_that_was_restarted_resets() {
    // A server whose next incarnation knows nothing of its connections but how to say so (RFC 9000 10.3).
    let authority = Authority::new();
    let crypto = authority.server().quic_server(false).unwrap();
    let start = |address: SocketAddr| {
        let mut config = quinn::EndpointConfig::new(Arc::new(Key));
        config.cid_generator(|| Box::new(Names));
        let socket = UdpSocket::bind(address).unwrap();
        let server = Some(quinn::ServerConfig::with_crypto(crypto.clone()));
        quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime)).unwrap()
    };
    let server = start("127.0.0.1:0".parse().unwrap());
    let address = server.local_addr().unwrap();
    let relay = Relay::to(address).await;
    let leaf = leaf(ProtocolStack::QuicStream, relay.address);
    let tls = authority.client().build().unwrap();
    let (client, connection) = tokio::join!(
        async { soon(connect(&leaf, &setting(TransportProperties::new(), &tls, false).await)).await.unwrap() },
        async { soon(async { server.accept().await.unwrap().await.unwrap() }).await }
    );
    let mut client = stream(client);
    say(&mut client, b"hello").await;
    soon(connection.accept_bi()).await.unwrap();
    // The crash: what the old one says about its end does not get out.
    relay.set_silent(true);
    connection.close(0u32.into(), b"");
    drop(connection);
    soon(server.wait_idle()).await;
    drop(server);
    let again = soon(async {
        loop {
            match UdpSocket::bind(address) {
                Ok(socket) => break drop(socket),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        start(address)
    })
    .await;
    relay.set_silent(false);
    say(&mut client, &[0; 2000]).await;
    let error = soon(client.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(ConnectionError::from_io(&error), ConnectionError::PeerAbort);
    drop(again);
}

/// The same key for both incarnations.
struct Key;

impl quinn::crypto::HmacKey for Key {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        // Nobody forges anything here.
        signature.fill(0x5a);
        data.iter().enumerate().for_each(|(place, byte)| signature[place % 32] ^= byte);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        let mut expected = [0; 32];
        self.sign(data, &mut expected);
        if signature == expected { Ok(()) } else { Err(quinn::crypto::CryptoError) }
    }
}

/// Identifiers of connections that both incarnations take for their own.
#[derive(Debug)]
struct Names;

impl quinn::ConnectionIdGenerator for Names {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        quinn::ConnectionId::new(&next.to_be_bytes())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[tokio::test]
async fn a_flood_of_strangers_keeps_nobody_out() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let address = acceptor.local().ip().unwrap();
    // The first packets of many clients that never go on.
    let first = first_packet(&tls).await;
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..2000u32 {
        noise.send_to(&round.to_be_bytes().repeat(300), address).unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(&first, address).unwrap();
        if round % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut client = stream(connected(&*acceptor, TransportProperties::new(), &tls).await.unwrap());
    say(&mut client, b"let me in").await;
    hear(&mut stream(accepted(&*acceptor).await), b"let me in").await;
}
