//! Opening connections: who is let in, whom we trust, and what is wrong with the options.

use postroad_amqp::sasl::UserFile;
use postroad_messaging::address::{BrokerUrl, Scheme};
use postroad_messaging::{ConnectError, ConnectionBuilder, ConnectionError, TlsConfig, TlsMode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;

fn guarded() -> Builder {
    let users = UserFile::parse("alice:wonderland", [3; 32]).unwrap();
    Broker::builder().queue("q").users(users)
}

/// An authority's certificate, and a chain and key that it signed for localhost.
fn identity() -> (String, String, String) {
    identity_for(&["localhost", "127.0.0.1"])
}

/// The same for hosts of these names.
pub(super) fn identity_for(names: &[&str]) -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let chain = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap().pem();
    (authority, chain, key.serialize_pem())
}

#[tokio::test]
async fn a_user_is_let_in_and_a_wrong_password_is_not() {
    let broker = guarded().listen("amqp://127.0.0.1:0").start().await.unwrap();
    let url = &broker.urls()[0];
    let open = |user: &str, password: &str| Connection::new(url).unwrap().user(user).password(password).open();
    let connection = open("alice", "wonderland").await.unwrap();
    connection.session().await.unwrap().sender("q").await.unwrap().send("a").await.unwrap();
    for (user, password) in [("alice", "wrong"), ("eve", "wonderland")] {
        let error = open(user, password).await.unwrap_err();
        assert!(matches!(error, ConnectError::Authentication(_)), "{error:?}");
        assert_eq!(error.hint().unwrap(), "check user name and password");
        assert!(!format!("{error:?} {error}").contains(password));
    }
    let error = Connection::establish(url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Authentication(_)), "{error:?}");

    let with_user = url.replace("amqp://", "amqp://alice:wonderland@");
    Connection::establish(&with_user).await.unwrap();
    let connection = Connection::new(&with_user).unwrap().sasl_mechanisms(["SCRAM-SHA-256"]).open().await.unwrap();
    connection.close().await.unwrap();
    let error = Connection::new(&with_user).unwrap().sasl_mechanisms(["PLAIN"]).open().await.unwrap_err();
    assert!(matches!(error, ConnectError::Authentication(_)), "{error:?}");
}

#[tokio::test]
async fn tls_trusts_only_whom_it_is_told_to() {
    let (authority, chain, key) = identity();
    let server = TlsConfig::builder().server_certificate_pem(chain, key).build().unwrap();
    let broker = guarded().tls(server).listen("amqps://127.0.0.1:0").start().await.unwrap();
    let url = format!("amqps://alice:wonderland@localhost:{}", broker.addr().unwrap().port());
    let trusting = |pem: &str| TlsConfig::builder().roots_pem(pem).build().unwrap();
    let connection = Connection::new(&url).unwrap().tls(trusting(&authority)).open().await.unwrap();
    connection.session().await.unwrap().sender("q").await.unwrap().send("a").await.unwrap();

    let (stranger, _, _) = identity();
    let error = Connection::new(&url).unwrap().tls(trusting(&stranger)).open().await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error:?}");
    let plain = url.replace("amqps", "amqp");
    let error = Connection::new(&plain).unwrap().connect_timeout(PATIENCE).open().await.unwrap_err();
    assert!(matches!(error, ConnectError::Version(_)), "{error:?}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_times_out() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}", silent.local_addr().unwrap());
    let timeout = Duration::from_millis(200);
    let error = Connection::new(&url).unwrap().connect_timeout(timeout).open().await.unwrap_err();
    assert_eq!(error, ConnectError::Timeout(timeout));
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn options_that_cannot_be_used_are_refused() {
    let error = Connection::establish("http://localhost").await.unwrap_err();
    assert!(matches!(error, ConnectError::Url(_)) && error.hint().is_some(), "{error:?}");
    let option = |error: ConnectError| match error {
        ConnectError::Option { option, .. } => option,
        other => panic!("{other:?}"),
    };
    let builder = || Connection::new("amqp://127.0.0.1:1").unwrap();
    assert_eq!(option(builder().max_frame_size(511).open().await.unwrap_err()), "max_frame_size");
    assert_eq!(option(builder().heartbeat(Duration::ZERO).open().await.unwrap_err()), "heartbeat");
    assert_eq!(option(builder().property("größe", 1).open().await.unwrap_err()), "größe");
    assert_eq!(option(Connection::establish("amqp://127.0.0.1:1?heartbeat=3").await.unwrap_err()), "heartbeat");
}

#[tokio::test]
async fn the_peer_is_told_the_options() {
    let world = world().await;
    let connection = Connection::new(&world.broker.urls()[0])
        .unwrap()
        .container_id("me")
        .virtual_host("shop")
        .max_frame_size(512)
        .heartbeat(Duration::from_millis(800))
        .property("colour", "red")
        .open()
        .await
        .unwrap();
    let session = connection.session().await.unwrap();
    // Longer than two intervals: both sides keep the connection alive. Not much shorter ones: a busy machine stands still
    // for a moment.
    tokio::time::sleep(Duration::from_millis(2000)).await;
    session.sender("q").await.unwrap().send(vec![7_u8; 5000]).await.unwrap();
    let message = session.receiver("q").await.unwrap().fetch().await.unwrap();
    assert_eq!(message.bytes().map(|bytes| bytes.len()), Some(5000));
}

/// A peer that opens and then says no more; gives its URL.
fn silent_peer() -> (String, std::thread::JoinHandle<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://{}", listener.local_addr().unwrap());
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut header = [0; 8];
        stream.read_exact(&mut header).unwrap();
        // The header, and an `open` of the container `x`.
        stream.write_all(b"AMQP\0\x01\0\0\0\0\0\x11\x02\0\0\0\0\x53\x10\xc0\x04\x01\xa1\x01x").unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    (url, peer)
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_dead_after_two_heartbeats() {
    let (url, peer) = silent_peer();
    let builder = Connection::new(&url).unwrap().sasl_enabled(false).heartbeat(Duration::from_millis(100));
    let connection = builder.open().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(connection.is_open());
    eventually("the silence is noticed", || !connection.is_open()).await;
    let error = connection.error().unwrap();
    assert!(matches!(error, ConnectionError::Heartbeat(_)), "{error:?}");
    peer.join().unwrap();
}

#[tokio::test]
async fn closing_does_not_wait_longer_than_it_should() {
    let (url, peer) = silent_peer();
    let timeout = Duration::from_millis(200);
    let connection = Connection::new(&url).unwrap().sasl_enabled(false).close_timeout(timeout).open().await.unwrap();
    let closed = tokio::time::timeout(PATIENCE, connection.close()).await.unwrap();
    assert_eq!(closed, Err(ConnectionError::CloseTimeout(timeout)));
    drop(connection);
    peer.join().unwrap();
}

#[tokio::test]
async fn a_builder_takes_a_url_that_was_made_in_code() {
    let world = world().await;
    let port = world.broker.addr().unwrap().port();
    let url = BrokerUrl::new(Scheme::Amqp, "127.0.0.1").unwrap().with_port(port);
    let connection = ConnectionBuilder::new(url).open().await.unwrap();
    connection.session().await.unwrap().sender("q").await.unwrap().send("a").await.unwrap();
    assert_eq!(world.ready(), 1);
}

#[test]
fn secrets_do_not_show() {
    let builder = Connection::new("amqp://u:hidden@localhost").unwrap().password("secret");
    let shown = format!("{builder:?}");
    assert!(!shown.contains("secret") && !shown.contains("hidden"), "{shown}");
}

#[tokio::test]
async fn tls_may_begin_behind_a_header() {
    let (authority, chain, key) = identity();
    let server = TlsConfig::builder().server_certificate_pem(chain, key).build().unwrap();
    let broker = guarded().tls(server).listen("amqp://127.0.0.1:0").start().await.unwrap();
    let trusting = |pem: &str| TlsConfig::builder().roots_pem(pem).build().unwrap();
    let open = |url: &str, pem: &str| {
        let builder = Connection::new(url).unwrap().user("alice").password("wonderland").connect_timeout(PATIENCE);
        // PLAIN goes over TLS alone, at both ends.
        builder.sasl_mechanisms(["PLAIN"]).tls_mode(TlsMode::Header).tls(trusting(pem)).open()
    };
    let connection = open(&broker.urls()[0], &authority).await.unwrap();
    let session = connection.session().await.unwrap();
    session.sender("q").await.unwrap().send("a").await.unwrap();
    assert_eq!(session.receiver("q").await.unwrap().fetch().await.unwrap().text(), Some("a"));
    connection.close().await.unwrap();

    let (stranger, _, _) = identity();
    let error = open(&broker.urls()[0], &stranger).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error:?}");
    let without = guarded().listen("amqp://127.0.0.1:0").start().await.unwrap();
    let error = open(&without.urls()[0], &authority).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connection(_)), "{error:?}");
    assert!(error.hint().unwrap().contains("certificate"), "{error:?}");
}

#[tokio::test]
async fn the_resource_of_a_websocket_is_the_only_option_of_a_url() {
    let url = "amqpws://127.0.0.1:0?websocket_resource=/amqp";
    let broker = Broker::builder().queue("q").listen(url).start().await.unwrap();
    let connection = Connection::establish(&broker.urls()[0]).await.unwrap();
    let session = connection.session().await.unwrap();
    session.sender("q").await.unwrap().send("over a WebSocket").await.unwrap();
    connection.close().await.unwrap();

    let place = broker.urls()[0].split('?').next().unwrap().to_owned();
    let elsewhere = Connection::establish(&place).await.unwrap_err();
    assert!(elsewhere.hint().unwrap().contains("websocket_resource"), "{elsewhere:?}");
    let connection = Connection::new(&place).unwrap().websocket_resource("/amqp").open().await.unwrap();
    let receiver = connection.session().await.unwrap().receiver("q").await.unwrap();
    assert_eq!(receiver.fetch().await.unwrap().text(), Some("over a WebSocket"));
    connection.close().await.unwrap();

    for url in [format!("{place}?x=y"), place.replace("amqpws", "amqp") + "?websocket_resource=/amqp"] {
        assert!(matches!(Connection::establish(&url).await, Err(ConnectError::Option { .. })), "{url}");
    }
}
