//! WebSockets on loopback, with a raw peer where the bytes on the wire matter.
#![cfg(feature = "websocket")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Authority, PATIENCE};
use postroad_taps::{
    AcceptError, AttemptError, Connection, ConnectionError, EstablishmentError, Listener, LocalEndpoint, Message,
    MessageContext, Preconnection, ProtocolStack, ReceiveError, RemoteEndpoint, Security, SendError, WebSocketError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled)
}

async fn listen(preconnection: Preconnection, change: impl Fn(LocalEndpoint) -> LocalEndpoint) -> Listener {
    preconnection.local(change(LocalEndpoint::host("127.0.0.1"))).listen().await.unwrap()
}

fn address(listener: &Listener) -> SocketAddr {
    listener.local_endpoint().ip().unwrap()
}

fn chat(address: SocketAddr) -> RemoteEndpoint {
    RemoteEndpoint::from(address).websocket("/chat?room=1").subprotocol("v2").subprotocol("v1")
}

async fn meet(listener: &Listener, client: Preconnection) -> (Connection, Connection) {
    let (accepted, initiated) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
    (accepted.unwrap().unwrap(), initiated.unwrap())
}

/// Why the only attempt failed.
fn reason(error: &EstablishmentError) -> AttemptError {
    let [attempt] = error.attempts() else { panic!("{error:?}") };
    attempt.error.clone()
}

fn websocket_error(error: &EstablishmentError) -> WebSocketError {
    match reason(error) {
        AttemptError::WebSocket(error) => error,
        other => panic!("{other:?}"),
    }
}

async fn refused(listener: &Listener) -> EstablishmentError {
    match timeout(PATIENCE, listener.accept()).await.expect("the client is still waited for") {
        Err(AcceptError::Establishment(error)) => error,
        other => panic!("{other:?}"),
    }
}

async fn next(connection: &Connection) -> Result<Message, ReceiveError> {
    timeout(PATIENCE, connection.receive()).await.expect("nothing was received")
}

#[tokio::test]
async fn messages_go_to_and_fro_under_the_subprotocol_that_both_speak() {
    let listener = listen(clear(), |local| local.websocket("/chat?room=1").subprotocol("v1").subprotocol("v3")).await;
    let (server, client) = meet(&listener, clear().remote(chat(address(&listener)))).await;
    for end in [&server, &client] {
        assert_eq!(end.protocol_stack(), Some(ProtocolStack::WebSocket));
        assert_eq!(end.subprotocol(), Some("v1"));
        assert!(end.preserves_boundaries());
    }
    for length in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let body = vec![length as u8; length];
        let (sent, received) = tokio::join!(client.send(body.clone()), next(&server));
        assert_eq!((sent, received.unwrap().data), (Ok(()), body.clone().into()));
        let (sent, received) = tokio::join!(server.send(body.clone()), next(&client));
        assert_eq!((sent, received.unwrap().data), (Ok(()), body.into()));
    }
    let mut context = MessageContext::new();
    context.add("text", true, "websocket");
    client.send(Message::new("text").in_context(context)).await.unwrap();
    let text = next(&server).await.unwrap();
    assert_eq!(text.context.get("text", "websocket").and_then(|value| value.as_bool()), Some(true));
    let long = client.send(vec![0; (16 << 20) + 1]).await.unwrap_err();
    assert_eq!(long, SendError::MessageTooLarge { size: (16 << 20) + 1, limit: 16 << 20 });

    let (closed, received) = tokio::join!(client.close(), next(&server));
    assert_eq!((closed, received.unwrap_err()), (Ok(()), ReceiveError::Closed));
    server.close().await.unwrap();
}

#[tokio::test]
async fn a_secure_websocket_verifies_its_server_and_says_that_it_is_http() {
    let authority = Authority::new();
    let server = Preconnection::new().security(authority.server().serve());
    let listener = listen(server, |local| local.websocket("/")).await;
    let remote = RemoteEndpoint::host("localhost").port(address(&listener).port()).websocket("/");
    let client = Preconnection::new().security(authority.trusted()).remote(remote.clone());
    let (server, client) = meet(&listener, client).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::SecureWebSocket));
    for end in [&server, &client] {
        assert_eq!(end.tls_info().unwrap().alpn(), Some(&b"http/1.1"[..]));
    }
    client.send("over TLS").await.unwrap();
    assert_eq!(next(&server).await.unwrap().data, "over TLS");
    let (first, second) = tokio::join!(client.close(), next(&server));
    assert_eq!((first, second.unwrap_err()), (Ok(()), ReceiveError::Closed));

    let stranger = Preconnection::new().security(Authority::new().trusted()).remote(remote);
    let (_, error) = tokio::join!(refused(&listener), async { stranger.initiate().await.unwrap_err() });
    assert!(error.attempts().iter().all(|attempt| matches!(attempt.error, AttemptError::Tls(_))), "{error:?}");
}

#[tokio::test]
async fn an_engine_that_frames_by_itself_gets_bytes() {
    let listener = listen(clear(), |local| local.websocket("/").subprotocol("bytes")).await;
    let remote = RemoteEndpoint::from(address(&listener)).subprotocol("bytes");
    let (server, client) = meet(&listener, clear().remote(remote)).await;
    let (mut server, mut client) = (server.into_byte_stream().unwrap(), client.into_byte_stream().unwrap());
    assert_eq!(client.subprotocol(), Some("bytes"));
    let body: Vec<u8> = (0..300_000u32).map(|index| index as u8).collect();
    let (written, read) = tokio::join!(
        async {
            for part in body.chunks(70_001) {
                client.write_all(part).await?;
            }
            client.flush().await?;
            client.shutdown().await
        },
        async {
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.map(|_| all)
        }
    );
    written.unwrap();
    assert!(read.unwrap() == body);
}

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: v1\r\n\r\n";

/// "hi", masked with zeros.
const HI: &[u8] = b"\x82\x82\0\0\0\0hi";

async fn to_chat() -> Listener {
    listen(clear(), |local| local.websocket("/chat").subprotocol("v1")).await
}

#[tokio::test]
async fn a_clients_handshake_may_come_in_any_pieces() {
    let listener = to_chat().await;
    let bytes = [REQUEST.as_bytes(), HI].concat();
    for size in [1, 2, 3, 64, bytes.len()] {
        let mut raw = TcpStream::connect(address(&listener)).await.unwrap();
        raw.set_nodelay(true).unwrap();
        let writing = async {
            for part in bytes.chunks(size) {
                raw.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (accepted, ()) = tokio::join!(listener.accept(), writing);
        let server = accepted.unwrap().unwrap();
        assert_eq!(server.subprotocol(), Some("v1"));
        assert_eq!(next(&server).await.unwrap().data, "hi");
        let mut answer = vec![0; 256];
        let length = raw.read(&mut answer).await.unwrap();
        let answer = std::str::from_utf8(&answer[..length]).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let fields = answer.to_ascii_lowercase();
        assert!(answer.contains(": s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(fields.contains("\r\nsec-websocket-accept: "), "{answer}");
        assert!(fields.contains("\r\nsec-websocket-protocol: v1\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_anywhere_costs_nothing() {
    let listener = to_chat().await;
    for length in 0..REQUEST.len() {
        let mut raw = TcpStream::connect(address(&listener)).await.unwrap();
        raw.write_all(&REQUEST.as_bytes()[..length]).await.unwrap();
        drop(raw);
        let error = refused(&listener).await;
        assert!(matches!(websocket_error(&error), WebSocketError::Handshake(_)), "after {length}: {error}");
    }
}

#[tokio::test]
async fn a_client_that_is_silent_is_given_up() {
    let listener = to_chat().await;
    let mut raw = TcpStream::connect(address(&listener)).await.unwrap();
    raw.write_all(b"GET /chat").await.unwrap();
    let incoming = listener.incoming().await.unwrap().unwrap();
    let error = timeout(PATIENCE, incoming.establish().timeout(Duration::from_millis(50))).await.unwrap().unwrap_err();
    assert_eq!(error.attempts().len(), 1, "{error:?}");
}

#[tokio::test]
async fn a_client_that_asks_wrongly_is_told() {
    let listener = to_chat().await;
    let long = format!("GET /chat HTTP/1.1\r\nX: {}", "a".repeat(16 * 1024));
    for (request, status) in [
        (REQUEST.replace("/chat", "/other"), "404"),
        (REQUEST.replace("v1", "v9"), "400"),
        (REQUEST.replace("Sec-WebSocket-Protocol: v1\r\n", ""), "400"),
        (REQUEST.replace("Version: 13", "Version: 14"), "426"),
        (REQUEST.replace("Sec-WebSocket-Version: 13\r\n", ""), "426"),
        (REQUEST.replace("websocket\r\n", "h2c\r\n"), "426"),
        (REQUEST.replace("Connection: Upgrade", "Connection: close"), "426"),
        (REQUEST.replace("GET", "POST"), "405"),
        (REQUEST.replace("HTTP/1.1", "HTTP/1.0"), "400"),
        (REQUEST.replace("Host: localhost\r\n", ""), "400"),
        (REQUEST.replace("dGhl", "dGh"), "400"),
        (REQUEST.replace("Sec-WebSocket-Key", "X"), "400"),
        (REQUEST.replace("\r\n\r\n", &format!("\r\n{}\r\n", "a: b\r\n".repeat(124))), "431"),
        (REQUEST.replace("Host: localhost", "Host : localhost"), "400"),
        ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n".to_owned(), "400"),
        (long, "431"),
    ] {
        let mut raw = TcpStream::connect(address(&listener)).await.unwrap();
        raw.write_all(request.as_bytes()).await.unwrap();
        let (error, answer) = tokio::join!(refused(&listener), async {
            let mut answer = vec![0; 512];
            let length = timeout(PATIENCE, raw.read(&mut answer)).await.unwrap().unwrap();
            String::from_utf8(answer[..length].to_vec()).unwrap()
        });
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        match (websocket_error(&error), status) {
            (WebSocketError::HeadTooLong, "431") | (WebSocketError::Handshake(_), _) => {}
            (WebSocketError::NoSubprotocol { offered }, "400") => assert!(["v9", "none"].contains(&&offered[..])),
            other => panic!("{other:?}"),
        }
    }
    // The listener goes on.
    let remote = RemoteEndpoint::from(address(&listener)).websocket("/chat").subprotocol("v1");
    meet(&listener, clear().remote(remote)).await;
}

/// A server that reads a request, answers with what `answer` makes of the key, and hangs up after that.
async fn answered(answer: impl Fn(&str) -> Vec<u8>) -> Result<Connection, EstablishmentError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let preconnection = clear().remote(RemoteEndpoint::from(listener.local_addr().unwrap()).websocket("/chat"));
    let serving = async {
        let mut raw = listener.accept().await.unwrap().0;
        raw.set_nodelay(true).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(raw.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        let host = format!("\r\nHost: {}\r\n", listener.local_addr().unwrap());
        assert!(request.starts_with("GET /chat HTTP/1.1\r\n") && request.contains(&host), "{request}");
        let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let answer = answer(key);
        // Each byte of a short answer comes by itself.
        for part in answer.chunks(answer.len().div_ceil(400).max(1)) {
            // A client that has seen enough is gone.
            if raw.write_all(part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = raw.shutdown().await;
        // What the client still sends must not turn the end into a reset; one that is content stays longer than this.
        let _ = timeout(Duration::from_millis(200), raw.read_to_end(&mut Vec::new())).await;
    };
    let connecting = async { preconnection.initiate().timeout(PATIENCE).await };
    let (connected, served) = tokio::join!(connecting, timeout(PATIENCE, serving));
    served.expect("the client leaves its server waiting");
    connected
}

fn accept_value(key: &str) -> String {
    use base64::Engine as _;
    use sha1::Digest as _;
    let digest = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    base64::engine::general_purpose::STANDARD.encode(digest)
}

fn right(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_value(key)
    )
}

#[tokio::test]
async fn a_servers_wrong_answers_are_told_apart() {
    let wrong = |result: Result<Connection, EstablishmentError>| websocket_error(&result.unwrap_err());
    let handshake = |error| matches!(error, WebSocketError::Handshake(_));
    let other_key = "dGhlIHNhbXBsZSBub25jZQ==";
    assert!(handshake(wrong(answered(|_| right(other_key).into_bytes()).await)));
    assert!(handshake(wrong(answered(|key| right(key).replace("websocket", "h2c").into_bytes()).await)));
    assert!(handshake(wrong(answered(|_| b"SSH-2.0-server\r\n\r\n".to_vec()).await)));
    let unauthorized = answered(|_| b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(wrong(unauthorized), WebSocketError::Refused { status: 401 });
    let long = answered(|_| [b"HTTP/1.1 101 OK\r\nX: ".to_vec(), vec![b'a'; 20_000]].concat()).await;
    assert_eq!(wrong(long), WebSocketError::HeadTooLong);
    let length = right(other_key).len();
    for cut in [0, 1, 20, length / 2, length - 2, length - 1] {
        let cut = answered(|key| right(key).into_bytes()[..cut].to_vec()).await;
        assert!(handshake(wrong(cut)));
    }
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_known_by_its_first_bytes() {
    let other = |error: &EstablishmentError| {
        assert_eq!(websocket_error(error), WebSocketError::Handshake("the peer does not speak HTTP/1.1"));
    };
    for greeting in
        [&b"220 mail.example.com\r\n"[..], b"AMQP\x00\x01\x00\x00", b"\x15\x03\x03\x00\x02\x02\x28", b"HTTQ"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = clear().remote(RemoteEndpoint::from(listener.local_addr().unwrap()).websocket("/chat"));
        let connecting = async { timeout(PATIENCE, async { client.initiate().await }).await };
        let (connected, _held) = tokio::join!(connecting, async {
            let mut raw = listener.accept().await.unwrap().0;
            raw.write_all(greeting).await.unwrap();
            raw
        });
        other(&connected.expect("it does not wait").unwrap_err());
    }
    let listener = to_chat().await;
    for greeting in [&b"AMQP\x00\x01\x00\x00"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET /\0"] {
        let mut raw = TcpStream::connect(address(&listener)).await.unwrap();
        raw.write_all(greeting).await.unwrap();
        other(&timeout(PATIENCE, refused(&listener)).await.expect("it does not wait"));
        let mut answer = [0; 13];
        timeout(PATIENCE, raw.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400 ");
    }
}

#[tokio::test]
async fn a_servers_first_frames_may_come_with_its_answer() {
    let frames = b"\x02\x02on\x89\x00\x80\x01e\x82\x03two\x88\x0a\x03\xf3trouble!";
    let client = answered(|key| [right(key).as_bytes(), frames].concat()).await.unwrap();
    assert_eq!(next(&client).await.unwrap().data, "one");
    assert_eq!(next(&client).await.unwrap().data, "two");
    let closed = WebSocketError::Closed { code: 1011, reason: "trouble!".to_owned() };
    let error = ReceiveError::ProtocolFailed(ConnectionError::WebSocket(closed));
    assert_eq!(next(&client).await.unwrap_err(), error);
}

#[tokio::test]
async fn an_end_without_good_bye_is_no_end() {
    let client = answered(|key| [right(key).as_bytes(), b"\x82\x03one\x82\x05tw"].concat()).await.unwrap();
    assert_eq!(next(&client).await.unwrap().data, "one");
    let error = ReceiveError::ProtocolFailed(ConnectionError::WebSocket(WebSocketError::Truncated));
    assert_eq!(next(&client).await.unwrap_err(), error);
}

#[tokio::test]
async fn an_abort_is_a_reset() {
    let listener = to_chat().await;
    let remote = RemoteEndpoint::from(address(&listener)).websocket("/chat").subprotocol("v1");
    let (server, client) = meet(&listener, clear().remote(remote)).await;
    client.abort();
    assert_eq!(next(&server).await.unwrap_err(), ReceiveError::ProtocolFailed(ConnectionError::PeerAbort));
}
