//! The opening handshake (RFC 6455 4), over a stream that is established.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BytesMut};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::error::WebSocketError;
use crate::endpoint::WebSocketResource;
use crate::error::AttemptError;
use crate::stack::http::{Authority, Head, HeadError, MAX_HEAD};
use crate::stream::ByteStream;

/// What the accept value is made with (RFC 6455 1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the two sides have agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) subprotocol: Option<String>,
    /// What came behind the handshake.
    pub(super) rest: BytesMut,
}

/// Asks a server for the resource.
pub(super) async fn initiate(
    stream: &mut ByteStream,
    resource: &WebSocketResource,
    authority: &Authority<'_>,
) -> Result<Agreed, AttemptError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|_| AttemptError::Transport(io::ErrorKind::Other))?;
    let key = STANDARD.encode(nonce);
    let mut request = format!(
        "GET {} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
        resource.path
    );
    if !resource.subprotocols.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(request, "Sec-WebSocket-Protocol: {}\r\n", resource.subprotocols.join(", "));
    }
    request.push_str("\r\n");
    send(stream, request.as_bytes()).await?;
    let (head, rest) = receive(stream).await?;
    let subprotocol = judge(&head, &key, &resource.subprotocols)?;
    Ok(Agreed { subprotocol, rest })
}

/// What a client checks (RFC 6455 4.1): the subprotocol that the server has chosen.
fn judge(head: &Head, key: &str, offered: &[String]) -> Result<Option<String>, WebSocketError> {
    let wrong = |reason| Err(WebSocketError::Handshake(reason));
    match head.status() {
        Some(101) => {}
        // A client that is told to go elsewhere, or to log in, does neither.
        Some(status) => return Err(WebSocketError::Refused { status }),
        None => return wrong("the answer is not HTTP"),
    }
    if !head.lists("Upgrade", "websocket") || !head.lists("Connection", "upgrade") {
        return wrong("the server does not upgrade to a WebSocket");
    }
    if head.only("Sec-WebSocket-Accept") != Some(&accept_value(key)) {
        return wrong("the server's accept value does not match the key");
    }
    if head.list("Sec-WebSocket-Extensions").next().is_some() {
        return wrong("the server uses an extension that was not offered");
    }
    let mut chosen = head.list("Sec-WebSocket-Protocol");
    match (chosen.next(), chosen.next()) {
        (None, _) if offered.is_empty() => Ok(None),
        // Names are compared as they are (RFC 6455 11.5).
        (Some(name), None) if offered.iter().any(|known| known == name) => Ok(Some(name.to_owned())),
        (Some(_), None) => wrong("the server chooses a subprotocol that was not offered"),
        (Some(_), Some(_)) => wrong("the server chooses more than one subprotocol"),
        (None, _) => Err(WebSocketError::NoSubprotocol { offered: offered.join(", ") }),
    }
}

/// Lets a client in, or tells it why not. Without a resource, any is as good.
pub(super) async fn accept(
    stream: &mut ByteStream,
    resource: Option<&WebSocketResource>,
) -> Result<Agreed, AttemptError> {
    let refused = |error: WebSocketError, status: &'static str| (error, status);
    let (head, rest) = match receive(stream).await {
        Ok(received) => received,
        Err(error) => {
            let status = match &error {
                AttemptError::WebSocket(WebSocketError::HeadTooLong) => "431 Request Header Fields Too Large",
                AttemptError::WebSocket(_) => "400 Bad Request",
                _ => return Err(error),
            };
            return Err(refuse(stream, error, status).await);
        }
    };
    let choice = match examine(&head) {
        Ok((_, target)) if resource.is_some_and(|resource| resource.path != target) => {
            Err(refused(WebSocketError::Handshake("the client asks for another resource"), "404 Not Found"))
        }
        Ok((key, _)) => choose(&head, resource.map_or(&[], |resource| &resource.subprotocols[..]))
            .map(|subprotocol| (key, subprotocol))
            .map_err(|error| refused(error, "400 Bad Request")),
        Err(refusal) => Err(refusal),
    };
    let (key, subprotocol) = match choice {
        Ok(choice) => choice,
        Err((error, status)) => return Err(refuse(stream, error.into(), status).await),
    };
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        accept_value(key)
    );
    if let Some(name) = &subprotocol {
        // Writing to a string cannot fail.
        let _ = write!(answer, "Sec-WebSocket-Protocol: {name}\r\n");
    }
    answer.push_str("\r\n");
    send(stream, answer.as_bytes()).await?;
    Ok(Agreed { subprotocol, rest })
}

/// The key and the target of a request that a server can take (RFC 6455 4.2.1), or why not.
fn examine(head: &Head) -> Result<(&str, &str), (WebSocketError, &'static str)> {
    let wrong = |reason| Err((WebSocketError::Handshake(reason), "400 Bad Request"));
    let Some((method, target)) = head.request() else { return wrong("the client does not speak HTTP/1.1") };
    if method != "GET" {
        return Err((
            WebSocketError::Handshake("the client does not send GET"),
            "405 Method Not Allowed\r\nAllow: GET",
        ));
    }
    if head.only("Host").is_none() {
        return wrong("the client names no host, or several");
    }
    let upgrade = "426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    if !head.lists("Upgrade", "websocket") || !head.lists("Connection", "upgrade") {
        return Err((WebSocketError::Handshake("the client does not ask for a WebSocket"), upgrade));
    }
    if head.only("Sec-WebSocket-Version") != Some("13") {
        return Err((WebSocketError::Handshake("the client speaks another version than 13"), upgrade));
    }
    match head.only("Sec-WebSocket-Key") {
        Some(key) if STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) => Ok((key, target)),
        _ => wrong("the client's key is no 16 bytes in base64"),
    }
}

/// The first of the client's subprotocols, which stand in its order of preference, that the server speaks
/// (RFC 6455 4.2.2). A server that speaks none takes any client, which then knows that none was chosen.
fn choose(head: &Head, spoken: &[String]) -> Result<Option<String>, WebSocketError> {
    if spoken.is_empty() {
        return Ok(None);
    }
    let chosen = head.list("Sec-WebSocket-Protocol").find(|name| spoken.iter().any(|known| known == name));
    chosen.map(|name| Some(name.to_owned())).ok_or_else(|| {
        let offered: String = head.list("Sec-WebSocket-Protocol").collect::<Vec<_>>().join(", ");
        let offered = if offered.is_empty() { "none".to_owned() } else { offered.chars().take(200).collect() };
        WebSocketError::NoSubprotocol { offered }
    })
}

fn accept_value(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(MAGIC).finalize())
}

/// Answers with a status; what is wrong stays what it was, whether or not the client hears of it.
async fn refuse(stream: &mut ByteStream, error: AttemptError, status: &str) -> AttemptError {
    let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    if send(stream, answer.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        discard(stream).await;
    }
    error
}

/// Reads what is there: a socket that is closed over unread bytes takes its answer back.
async fn discard(stream: &mut ByteStream) {
    let mut sink = [0; 1024];
    for _ in 0..MAX_HEAD / sink.len() {
        let mut buffer = ReadBuf::new(&mut sink);
        let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer))).await;
        if !matches!(read, Poll::Ready(Ok(()))) || buffer.filled().is_empty() {
            return;
        }
    }
}

async fn send(stream: &mut ByteStream, bytes: &[u8]) -> Result<(), AttemptError> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    sent.await.map_err(|error| AttemptError::from_io(&error))
}

/// Reads a head, and perhaps what follows it.
async fn receive(stream: &mut ByteStream) -> Result<(Head, BytesMut), AttemptError> {
    let failed = |error| match error {
        HeadError::TooLong => WebSocketError::HeadTooLong,
        HeadError::Malformed => WebSocketError::Handshake("the peer does not speak HTTP"),
    };
    let (mut bytes, mut seen) = (BytesMut::with_capacity(1024), 0);
    loop {
        if let Some(end) = Head::end(&bytes, seen).map_err(failed)? {
            let head = Head::parse(&bytes[..end]).map_err(failed)?;
            bytes.advance(end);
            return Ok((head, bytes));
        }
        seen = bytes.len();
        bytes.reserve(1024.min(MAX_HEAD));
        if stream.read_buf(&mut bytes).await.map_err(|error| AttemptError::from_io(&error))? == 0 {
            return Err(WebSocketError::Handshake("the peer has hung up before the end of its handshake").into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::parse(format!("{}\r\n\r\n", text.replace('\n', "\r\n")).as_bytes()).unwrap()
    }

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\nUpgrade: WebSocket\nConnection: keep-alive, upgrade\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn offered(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_accept_value_is_the_one_of_the_standard() {
        // RFC 6455 1.3.
        assert_eq!(accept_value(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_client_takes_a_correct_answer_only() {
        assert_eq!(judge(&head(ANSWER), KEY, &[]), Ok(None));
        let with = |line: &str| head(&format!("{ANSWER}\n{line}"));
        let names = offered(&["a", "b"]);
        assert_eq!(judge(&with("Sec-WebSocket-Protocol: b"), KEY, &names), Ok(Some("b".to_owned())));
        let none = WebSocketError::NoSubprotocol { offered: "a, b".to_owned() };
        assert_eq!(judge(&head(ANSWER), KEY, &names), Err(none));
        let refused = |head: &Head, names: &[String]| match judge(head, KEY, names) {
            Err(WebSocketError::Handshake(reason)) => reason,
            other => panic!("{other:?}"),
        };
        for name in ["c", "A", "a, b"] {
            refused(&with(&format!("Sec-WebSocket-Protocol: {name}")), &names);
        }
        refused(&with("Sec-WebSocket-Protocol: a"), &[]);
        refused(&with("Sec-WebSocket-Extensions: permessage-deflate"), &[]);
        refused(&with("Sec-WebSocket-Accept: twice"), &[]);
        refused(&head(&ANSWER.replace("s3p", "S3p")), &[]);
        refused(&head(&ANSWER.replace("WebSocket\n", "h2c\n")), &[]);
        refused(&head(&ANSWER.replace("upgrade\n", "close\n")), &[]);
        refused(&head("220 ready"), &[]);
        let moved = head("HTTP/1.1 302 Found\nLocation: ws://elsewhere/");
        assert_eq!(judge(&moved, KEY, &[]), Err(WebSocketError::Refused { status: 302 }));
    }

    const REQUEST: &str = "GET /chat HTTP/1.1\nHost: a\nUpgrade: websocket\nConnection: Upgrade\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13";

    #[test]
    fn a_server_takes_a_correct_request_only() {
        assert_eq!(examine(&head(REQUEST)), Ok((KEY, "/chat")));
        let refused = |from: &str, to: &str| examine(&head(&REQUEST.replace(from, to))).unwrap_err().1[..3].to_owned();
        assert_eq!(refused("GET", "POST"), "405");
        assert_eq!(refused("HTTP/1.1", "HTTP/1.0"), "400");
        assert_eq!(refused("Host", "Hostess"), "400");
        assert_eq!(refused("websocket\n", "h2c\n"), "426");
        assert_eq!(refused("Connection: Upgrade", "Connection: close"), "426");
        assert_eq!(refused("Version: 13", "Version: 8"), "426");
        assert_eq!(refused("Sec-WebSocket-Version: 13", "X: y"), "426");
        assert_eq!(refused("dGhl", "dGh"), "400");
        assert_eq!(refused("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), "400");
        assert_eq!(refused("Sec-WebSocket-Key", "X"), "400");
    }

    #[test]
    fn the_clients_order_decides_among_subprotocols() {
        let asking = head(&format!("{REQUEST}\nSec-WebSocket-Protocol: x, b\nSec-WebSocket-Protocol: a"));
        assert_eq!(choose(&asking, &offered(&["a", "b"])), Ok(Some("b".to_owned())));
        assert_eq!(choose(&asking, &offered(&["a"])), Ok(Some("a".to_owned())));
        assert_eq!(choose(&asking, &[]), Ok(None));
        let none = |offered: &str| Err(WebSocketError::NoSubprotocol { offered: offered.to_owned() });
        assert_eq!(choose(&asking, &offered(&["c"])), none("x, b, a"));
        assert_eq!(choose(&head(REQUEST), &offered(&["c"])), none("none"));
    }
}
