//! The opening handshake (RFC 6455 4), over a stream that is established.
//!
//! The library does it, on a stream that it borrows: whatever it says, the stream is still there to be answered on. It
//! gets a head when that is whole, since it takes one that comes in many small pieces for an attack, and nothing of
//! what comes behind the head.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::tungstenite::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response, write_response};
use tokio_tungstenite::tungstenite::http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio_tungstenite::tungstenite::http::{StatusCode, Uri};

use super::error::WebSocketError;
use super::transport;
use crate::endpoint::WebSocketResource;
use crate::error::AttemptError;
use crate::stack::http::{Authority, Head, MAX_HEAD};
use crate::stream::ByteStream;

/// What the two sides have agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) subprotocol: Option<String>,
    /// What came behind the handshake.
    pub(super) rest: Vec<u8>,
}

/// Asks a server for the resource.
pub(super) async fn initiate(
    stream: &mut ByteStream,
    resource: &WebSocketResource,
    authority: &Authority<'_>,
) -> Result<Agreed, AttemptError> {
    // TLS, where there is some, is below already.
    let uri: Uri = format!("ws://{authority}{}", resource.path)
        .parse()
        .map_err(|_| WebSocketError::Handshake("the host or the resource cannot stand in a request"))?;
    let offered = &resource.subprotocols;
    let request = offered.iter().fold(ClientRequestBuilder::new(uri), ClientRequestBuilder::with_sub_protocol);
    let mut head = HeadFirst::new(stream, may_answer);
    let answered = tokio_tungstenite::client_async_with_config(request, &mut head, Some(transport::config())).await;
    let response = match answered {
        Ok((_, response)) => response,
        Err(Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol))) => {
            return Err(WebSocketError::NoSubprotocol { offered: offered.join(", ") }.into());
        }
        Err(error) => return Err(failure(error)),
    };
    let subprotocol = judge(response.headers())?;
    Ok(Agreed { subprotocol, rest: head.into_rest() })
}

/// What the library leaves to be checked of an answer (RFC 6455 4.1, 11.3): the subprotocol that the server has chosen.
fn judge(answer: &HeaderMap) -> Result<Option<String>, WebSocketError> {
    // A client that is told of one cannot read what follows.
    if answer.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err(WebSocketError::Handshake("the server uses an extension that was not offered"));
    }
    if count(answer, &SEC_WEBSOCKET_ACCEPT) != 1 || count(answer, &SEC_WEBSOCKET_PROTOCOL) > 1 {
        return Err(WebSocketError::Handshake("the server repeats what it may say once"));
    }
    Ok(answer.get(SEC_WEBSOCKET_PROTOCOL).and_then(|name| name.to_str().ok()).map(str::to_owned))
}

/// Lets a client in, or tells it why not. Without a resource, any is as good.
pub(super) async fn accept(
    stream: &mut ByteStream,
    resource: Option<&WebSocketResource>,
) -> Result<Agreed, AttemptError> {
    let mut verdict = Ok(None);
    #[allow(clippy::result_large_err, reason = "the library asks for this type")]
    let answer = |request: &Request, mut response: Response| match examine(request, resource) {
        Ok(chosen) => {
            if let Some(name) = &chosen {
                response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name.clone());
            }
            verdict = Ok(chosen);
            Ok(response)
        }
        Err((error, status)) => {
            verdict = Err(error);
            Err(refusal(status))
        }
    };
    let mut head = HeadFirst::new(stream, may_ask);
    let config = Some(transport::config());
    let done = tokio_tungstenite::accept_hdr_async_with_config(&mut head, answer, config).await.map(drop);
    let rest = head.into_rest();
    match (done, verdict) {
        (Ok(()), Ok(chosen)) => {
            let subprotocol = chosen.as_ref().and_then(|name| name.to_str().ok()).map(str::to_owned);
            Ok(Agreed { subprotocol, rest })
        }
        // The library has told the client, or could not.
        (_, Err(error)) => {
            leave(stream).await;
            Err(error.into())
        }
        (Err(error), Ok(_)) => {
            let status = match &error {
                Error::Io(error) if WebSocketError::from_io(error) == Some(NOT_HTTP) => StatusCode::BAD_REQUEST,
                error => status_of(error),
            };
            let error = failure(error);
            if matches!(error, AttemptError::WebSocket(_)) && tell(stream, &refusal(status)).await.is_ok() {
                leave(stream).await;
            }
            Err(error)
        }
    }
}

/// What the library leaves to be checked of a request: the subprotocol that was chosen, or why there is no WebSocket.
fn examine(
    request: &Request,
    resource: Option<&WebSocketResource>,
) -> Result<Option<HeaderValue>, (WebSocketError, StatusCode)> {
    // RFC 9112 3.2; RFC 6455 11.3.1 and 11.3.5.
    if [HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION].iter().any(|field| count(request.headers(), field) != 1) {
        let wrong = WebSocketError::Handshake("the client leaves out or repeats what it must say once");
        return Err((wrong, StatusCode::BAD_REQUEST));
    }
    let target = request.uri().path_and_query().map(|target| target.as_str());
    if resource.is_some_and(|resource| target != Some(&resource.path)) {
        return Err((WebSocketError::Handshake("the client asks for another resource"), StatusCode::NOT_FOUND));
    }
    let spoken = resource.map_or(&[][..], |resource| &resource.subprotocols);
    choose(request.headers(), spoken).map_err(|error| (error, StatusCode::BAD_REQUEST))
}

/// The first of the client's subprotocols, which stand in its order of preference, that the server speaks
/// (RFC 6455 4.2.2). A server that speaks none takes any client, which then knows that none was chosen.
fn choose(request: &HeaderMap, spoken: &[String]) -> Result<Option<HeaderValue>, WebSocketError> {
    if spoken.is_empty() {
        return Ok(None);
    }
    let lines = request.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    let names = lines.flat_map(|line| line.split(',')).map(|name| name.trim_matches([' ', '\t']));
    let offered: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    // Names are compared as they are (RFC 6455 11.5).
    let chosen = offered.iter().find(|name| spoken.iter().any(|known| known == *name));
    chosen.and_then(|name| HeaderValue::from_str(name).ok()).map(Some).ok_or_else(|| {
        let all = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
        WebSocketError::NoSubprotocol { offered: all.chars().take(200).collect() }
    })
}

fn count(fields: &HeaderMap, name: &HeaderName) -> usize {
    fields.get_all(name).iter().count()
}

fn failure(error: Error) -> AttemptError {
    match error {
        Error::Io(error) => match WebSocketError::from_io(&error) {
            Some(error) => error.into(),
            None => AttemptError::from_io(&error),
        },
        error => WebSocketError::of_handshake(&error).into(),
    }
}

/// What a client is told that the library does not answer.
fn status_of(error: &Error) -> StatusCode {
    use ProtocolError as P;
    match error {
        Error::Protocol(P::WrongHttpMethod) => StatusCode::METHOD_NOT_ALLOWED,
        Error::Protocol(
            P::MissingConnectionUpgradeHeader | P::MissingUpgradeWebSocketHeader | P::MissingSecWebSocketVersionHeader,
        ) => StatusCode::UPGRADE_REQUIRED,
        // Of all that can be wrong with a stream, the length of the head alone is told.
        Error::Io(_) | Error::Capacity(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    let mut add = |name, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
    add(CONNECTION, "close");
    add(CONTENT_LENGTH, "0");
    match status {
        StatusCode::METHOD_NOT_ALLOWED => drop(add(ALLOW, "GET")),
        StatusCode::UPGRADE_REQUIRED => {
            add(UPGRADE, "websocket");
            add(SEC_WEBSOCKET_VERSION, "13");
        }
        _ => {}
    }
    response
}

async fn tell(stream: &mut ByteStream, response: &ErrorResponse) -> io::Result<()> {
    let mut bytes = Vec::new();
    write_response(&mut bytes, response).map_err(io::Error::other)?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Ends a stream on which the client was told something, and reads what is there: a socket that is closed over unread
/// bytes takes its answer back.
async fn leave(stream: &mut ByteStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut sink = [0; 1024];
    for _ in 0..MAX_HEAD / sink.len() {
        let mut buffer = ReadBuf::new(&mut sink);
        let read = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer))).await;
        if !matches!(read, Poll::Ready(Ok(()))) || buffer.filled().is_empty() {
            return;
        }
    }
}

/// Whether a response may begin so (RFC 9112 4).
fn may_answer(bytes: &[u8]) -> bool {
    let known = bytes.len().min(VERSION.len());
    bytes[..known] == VERSION[..known]
}

/// Whether a request may begin so: no control character stands in its first line (RFC 9112 3).
fn may_ask(bytes: &[u8]) -> bool {
    let mut line = bytes.iter().skip_while(|byte| matches!(byte, b'\r' | b'\n')).take_while(|byte| **byte != b'\n');
    line.all(|byte| !byte.is_ascii_control() || *byte == b'\r')
}

/// What every response of a server for WebSockets begins with.
const VERSION: &[u8] = b"HTTP/1.";

/// In how many bytes what is not HTTP shows that it is not.
const FIRST: usize = 64;

/// The peer speaks something else, and waits for an answer that it understands.
const NOT_HTTP: WebSocketError = WebSocketError::Handshake("the peer does not speak HTTP/1.1");

/// A stream that gives the head of an HTTP message when that is whole, and then nothing more.
#[derive(Debug)]
struct HeadFirst<'a> {
    stream: &'a mut ByteStream,
    bytes: BytesMut,
    /// Whether the head may begin so.
    may_begin: fn(&[u8]) -> bool,
    /// How many bytes were searched in vain.
    seen: usize,
    /// How much of the head is to be given.
    left: Option<usize>,
}

impl<'a> HeadFirst<'a> {
    fn new(stream: &'a mut ByteStream, may_begin: fn(&[u8]) -> bool) -> Self {
        Self { stream, bytes: BytesMut::new(), may_begin, seen: 0, left: None }
    }

    /// What came behind the head.
    fn into_rest(self) -> Vec<u8> {
        self.bytes[self.left.unwrap_or(0)..].to_vec()
    }
}

impl AsyncRead for HeadFirst<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let left = loop {
            if let Some(left) = &mut this.left {
                break left;
            }
            if let Some(end) = Head::end(&this.bytes, this.seen).map_err(|_| WebSocketError::HeadTooLong)? {
                break this.left.insert(end);
            }
            let first = &this.bytes[..this.bytes.len().min(FIRST)];
            if this.seen < FIRST && !(this.may_begin)(first) {
                return Poll::Ready(Err(NOT_HTTP.into()));
            }
            this.seen = this.bytes.len();
            this.bytes.reserve(1024);
            if ready!(pin!(this.stream.read_buf(&mut this.bytes)).poll(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        };
        let length = out.remaining().min(*left);
        out.put_slice(&this.bytes[..length]);
        this.bytes.advance(length);
        *left -= length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HeadFirst<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut *self.get_mut().stream).poll_write(cx, data))? {
            // The library takes for granted that this does not happen.
            0 if !data.is_empty() => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => Poll::Ready(Ok(written)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
