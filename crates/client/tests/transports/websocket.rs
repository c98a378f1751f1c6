//! WebSockets, in clear text and under TLS (AMQP WebSocket Binding 1.0).

use std::net::SocketAddr;

use postroad_broker::StartError;
use postroad_client::{AcceptOptions, ConnectionError};
use postroad_taps::{AttemptError, LocalEndpoint, Preconnection, Security, WebSocketError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const PLAIN: &str = "amqpws://127.0.0.1:0";

#[tokio::test]
async fn a_client_reaches_a_broker() {
    let (broker, options) = broker(Broker::builder(), PLAIN).await;
    let port = broker.addr().unwrap().port();
    assert_eq!(broker.urls(), [format!("amqpws://127.0.0.1:{port}")]);
    let connection = Connection::open(options).await.unwrap();
    assert_eq!(connection.hostname().as_deref(), Some("127.0.0.1"));
    exchange(&connection, &[0, 1, 100, 70_000, 3_000_000]).await;
    connection.close().await.unwrap();
    assert_eq!(broker.shutdown(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_client_reaches_a_broker_under_tls() {
    let (server, client) = tls();
    let (broker, mut options) = broker(Broker::builder().tls(server), "amqpwss://localhost:0").await;
    let untrusting = Connection::open(options.clone()).await.unwrap_err();
    assert!(untrusting.tls().is_some(), "{untrusting:?}");
    options.tls = client;
    let connection = Connection::open(options).await.unwrap();
    exchange(&connection, &[100, 500_000]).await;
    connection.close().await.unwrap();
    assert_eq!(broker.shutdown(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_certificate_shows_who_the_client_is() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let signed = |name: &str, common: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let ((chain, key), (client_chain, client_key)) = (signed("localhost", "broker"), signed("alice.example", "alice"));
    let server = TlsConfig::builder()
        .server_certificate_pem(&chain, &key)
        .client_certificates(postroad_broker::ClientCertificates::Accepted)
        .roots_pem(&authority)
        .build()
        .unwrap();
    let (_broker, mut options) =
        broker(Broker::builder().tls(server).certificates(true), "amqpwss://localhost:0").await;
    let tls = TlsConfig::builder().roots_pem(&authority).client_certificate_pem(&client_chain, &client_key);
    options.tls = tls.build().unwrap();
    options.sasl_mechanisms = vec!["EXTERNAL".to_owned()];
    let connection = Connection::open(options).await.unwrap();
    exchange(&connection, &[1]).await;
}

#[test]
fn a_blocking_client_reaches_a_blocking_broker() {
    block_over(PLAIN);
}

#[tokio::test]
async fn two_peers_talk_without_a_broker() {
    for subprotocols in [&[][..], &["amqp"], &["other"]] {
        let local = LocalEndpoint::host("127.0.0.1").websocket("/peer");
        let local = subprotocols.iter().fold(local, |local, name| local.subprotocol(*name));
        let acceptor = Acceptor::listen(AcceptOptions::new(local)).await.unwrap();
        let mut options = ConnectOptions::new(format!("ws://{}", acceptor.local_endpoint()).parse().unwrap());
        options.websocket_resource = Some("/peer".to_owned());
        say_hello(&acceptor, options).await;
    }
}

#[tokio::test]
async fn a_frame_may_be_longer_than_a_message_of_the_websocket() {
    const FRAME: u32 = 40 << 20;
    let large = Broker::builder().with_limits(|limits| {
        limits.frame_size = FRAME;
        limits.message_size = u64::from(FRAME);
    });
    let (_broker, mut options) = broker(large, PLAIN).await;
    options.max_frame_size = FRAME;
    let connection = Connection::open(options).await.unwrap();
    // A message of the WebSocket has 16 MiB at most.
    exchange(&connection, &[33 << 20]).await;
    connection.close().await.unwrap();
}

#[tokio::test]
async fn the_resource_is_an_option_and_not_the_node() {
    let url = "amqpws://127.0.0.1:0?websocket_resource=/amqp";
    let (broker, options) = broker(Broker::builder(), url).await;
    let port = broker.addr().unwrap().port();
    assert_eq!(broker.urls(), [format!("amqpws://127.0.0.1:{port}?websocket_resource=/amqp")]);
    exchange(&Connection::open(options).await.unwrap(), &[10]).await;

    let at = |url: String| ConnectOptions::new(url.parse().unwrap());
    let mut other = at(format!("amqpws://127.0.0.1:{port}/q"));
    let error = Connection::open(other.clone()).await.unwrap_err();
    let ConnectError::Transport(transport) = &error else { panic!("{error:?}") };
    let refused = AttemptError::WebSocket(WebSocketError::Refused { status: 404 });
    assert_eq!(transport.attempts()[0].error, refused);
    assert!(error.hint().unwrap().contains("websocket_resource"), "{error:?}");
    other.websocket_resource = Some("/amqp".to_owned());
    exchange(&Connection::open(other).await.unwrap(), &[10]).await;
    // What the option says counts before the URL.
    let mut both = at(format!("amqpws://127.0.0.1:{port}?websocket_resource=/x"));
    both.websocket_resource = Some("/amqp".to_owned());
    exchange(&Connection::open(both).await.unwrap(), &[10]).await;
    let mut bad = at(format!("amqpws://127.0.0.1:{port}"));
    bad.websocket_resource = Some("no resource".to_owned());
    let error = Connection::open(bad).await.unwrap_err();
    assert!(error.to_string().contains("no resource of a WebSocket"), "{error}");
}

#[tokio::test]
async fn a_peer_that_chooses_another_subprotocol_is_refused() {
    let local = LocalEndpoint::host("127.0.0.1").websocket("/").subprotocol("mqtt");
    let listener = Preconnection::new().local(local).security(Security::Disabled).listen().await.unwrap();
    let options = ConnectOptions::new(format!("amqpws://{}", listener.local_endpoint()).parse().unwrap());
    let (client, server) = tokio::join!(Connection::open(options), listener.accept());
    server.unwrap_err();
    let error = client.unwrap_err();
    assert!(matches!(&error, ConnectError::Transport(_)), "{error:?}");

    // One that speaks `amqp` too, by its own account, and answers otherwise.
    for (line, found) in [
        ("Sec-WebSocket-Protocol: mqtt\r\n", "not offered"),
        ("Sec-WebSocket-Protocol: AMQP\r\n", "not offered"),
        ("", "no common subprotocol"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = ConnectOptions::new(format!("amqpws://{}", listener.local_addr().unwrap()).parse().unwrap());
        let answering = async {
            let mut stream = answer(&listener, line).await;
            // The client hangs up.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let (client, ()) = tokio::join!(Connection::open(options), answering);
        let error = client.unwrap_err();
        let ConnectError::Transport(transport) = &error else { panic!("{error:?}") };
        assert!(matches!(transport.attempts()[0].error, AttemptError::WebSocket(_)), "{error:?}");
        assert!(error.to_string().contains(found), "{error}");
        assert!(error.hint().unwrap().contains("`amqp`"), "{error:?}");
    }
}

/// RFC 6455 1.3.
fn accept_value(key: &str) -> String {
    use base64::Engine as _;
    use sha1::Digest as _;
    let digest = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// Answers the handshake of a client, with `line` in it.
async fn answer(listener: &TcpListener, line: &str) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("GET / HTTP/1.1\r\n") && head.contains("Sec-WebSocket-Protocol: amqp\r\n"), "{head}");
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = accept_value(key);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{line}\r\n"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_broker_refuses_clients_that_do_not_speak_amqp_there() {
    let (broker, options) = broker(Broker::builder(), PLAIN).await;
    let request = |line: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{line}\r\n"
        )
    };
    for words in ["AMQP\0\x01\0\0".to_owned(), request(""), request("Sec-WebSocket-Protocol: mqtt\r\n")] {
        let mut stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset ends it too.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it ends");
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{words:?}: {:?}", String::from_utf8_lossy(&answer));
    }
    exchange(&Connection::open(options).await.unwrap(), &[1]).await;
}

#[tokio::test]
async fn an_address_has_its_limit_here_too() {
    let limited = Broker::builder().with_limits(|limits| limits.connections_per_address = 1);
    let (_broker, options) = broker(limited, PLAIN).await;
    let _first = Connection::open(options.clone()).await.unwrap();
    let refused = match Connection::open(options).await {
        Ok(connection) => connection.session().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(refused.contains("from this address"), "{refused}");
}

#[tokio::test]
async fn what_a_broker_cannot_listen_on_is_told() {
    let without = Broker::builder().listen("amqpwss://127.0.0.1:0").start().await.unwrap_err();
    assert!(matches!(without, StartError::NoCertificate { .. }), "{without:?}");
    for url in ["amqpws://127.0.0.1:0/q", "amqpws://127.0.0.1:0?x=y", "amqp://127.0.0.1:0?websocket_resource=/"] {
        assert!(matches!(Broker::builder().listen(url).start().await, Err(StartError::UrlParts { .. })), "{url}");
    }
    let bad = Broker::builder().listen("amqpws://127.0.0.1:0?websocket_resource=amqp").start().await.unwrap_err();
    assert!(matches!(bad, StartError::Listen { .. }), "{bad:?}");
    let mut options = ConnectOptions::new("amqpws://127.0.0.1".parse().unwrap());
    options.tls_mode = TlsMode::Header;
    assert!(matches!(Connection::open(options).await, Err(ConnectError::Options(_))));
}

/// Passes `limit` bytes on from the broker to the client, and cuts both off behind them. Tells whether there were more.
async fn cut_after(limit: usize, listener: &TcpListener, broker: SocketAddr) -> bool {
    let (client, _) = listener.accept().await.unwrap();
    let broker = TcpStream::connect(broker).await.unwrap();
    let ((mut from_client, mut to_client), (mut from_broker, mut to_broker)) =
        (client.into_split(), broker.into_split());
    let forth = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_broker).await });
    let (mut left, mut buffer) = (limit, [0; 64]);
    while left > 0 {
        let room = left.min(buffer.len());
        let count = from_broker.read(&mut buffer[..room]).await.unwrap_or(0);
        if count == 0 || to_client.write_all(&buffer[..count]).await.is_err() {
            break;
        }
        left -= count;
    }
    forth.abort();
    left == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_off_anywhere_ends_in_an_error() {
    let (broker, _) = broker(Broker::builder(), PLAIN).await;
    let (mut limit, mut cuts) = (0, 0);
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = ConnectOptions::new(format!("amqpws://{}", listener.local_addr().unwrap()).parse().unwrap());
        options.connect_timeout = PATIENCE;
        options.close_timeout = PATIENCE;
        options.reconnect = None;
        let address = broker.addr().unwrap();
        let middle = tokio::spawn(async move { cut_after(limit, &listener, address).await });
        let life = async {
            let connection = Connection::open(options).await.map_err(|error| error.to_string())?;
            let session = connection.session().await.map_err(|error| error.to_string())?;
            let sender = session.sender("q").await.map_err(|error| error.to_string())?;
            sender.send(&Message::from("x")).await.map_err(|error| error.to_string())?;
            connection.close().await.map_err(|error| error.to_string())
        };
        let result = tokio::time::timeout(PATIENCE, life).await.unwrap_or_else(|_| panic!("it hangs, cut at {limit}"));
        if !middle.await.unwrap() {
            // Everything has passed: an ordinary life.
            assert_eq!(result, Ok(()));
            break;
        }
        cuts += usize::from(result.is_err());
        // Every byte of the frames that open the connection, and fewer of the rest.
        limit += if (100..300).contains(&limit) { 3 } else { 11 };
    }
    assert!(cuts > 50, "{cuts}");
    assert_eq!(broker.shutdown(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_websocket_that_ends_without_a_word_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ConnectOptions::new(format!("amqpws://{}", listener.local_addr().unwrap()).parse().unwrap());
    let hanging_up = async {
        let mut stream = answer(&listener, "Sec-WebSocket-Protocol: amqp\r\n").await;
        // The first words of the client, and no close frame.
        stream.read_exact(&mut [0; 8]).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let (client, ()) = tokio::join!(Connection::open(options), hanging_up);
    let error = client.unwrap_err();
    assert_eq!(error, ConnectError::Connection(ConnectionError::WebSocket(WebSocketError::Truncated)));
}
