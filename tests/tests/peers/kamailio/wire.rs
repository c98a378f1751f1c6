//! A connection on which frames are written and read as they are.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use postroad_tests::ours::soon;
use postroad_tests::peers::{Kamailio, Transport};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// How long nothing must come until it is said that nothing comes.
const QUIET: Duration = Duration::from_millis(500);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection to the relay or from it.
pub(super) struct Wire {
    carrier: Carrier,
    /// What has come and was not asked for yet.
    pending: String,
}

enum Carrier {
    Octets(Box<dyn Stream>),
    /// A frame is a message, and never more (RFC 7977 5.1).
    Messages(Box<WebSocketStream<Box<dyn Stream>>>),
}

/// A frame that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) tid: String,
    /// What follows the transaction id in the first line.
    pub(super) start: String,
    headers: Vec<(String, String)>,
    pub(super) body: String,
    pub(super) flag: char,
    /// All of it, as it came.
    pub(super) text: String,
}

/// A frame that is an answer.
pub(super) type Answer = Frame;

/// What can be written: text of frames or parts of them.
pub(super) trait Wrote: AsRef<[u8]> + Sync {}

impl<T: AsRef<[u8]> + Sync + ?Sized> Wrote for T {}

impl Wire {
    /// Connects to the relay.
    pub(super) async fn connect(kamailio: &Kamailio, transport: Transport) -> Self {
        let tcp = soon(TcpStream::connect(("127.0.0.1", kamailio.port(transport)))).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let stream: Box<dyn Stream> = match transport {
            Transport::Tcp | Transport::WebSocket => Box::new(tcp),
            Transport::Tls | Transport::SecureWebSocket => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(kamailio.authority_der())).unwrap();
                let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(soon(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap())
            }
        };
        match transport {
            Transport::Tcp | Transport::Tls => Self::new(Carrier::Octets(stream)),
            Transport::WebSocket | Transport::SecureWebSocket => {
                let mut request = kamailio.websocket_url(transport).into_client_request().unwrap();
                request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("msrp"));
                let (stream, response) = soon(tokio_tungstenite::client_async(request, stream)).await.unwrap();
                assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "msrp");
                Self::new(Carrier::Messages(Box::new(stream)))
            }
        }
    }

    /// A connection that the relay has made.
    pub(super) fn accepted(stream: TcpStream) -> Self {
        Self::new(Carrier::Octets(Box::new(stream)))
    }

    fn new(carrier: Carrier) -> Self {
        Self { carrier, pending: String::new() }
    }

    /// Writes a frame, or what else there is to write.
    pub(super) async fn write(&mut self, what: &(impl Wrote + ?Sized)) {
        let octets = what.as_ref();
        match &mut self.carrier {
            Carrier::Octets(stream) => soon(stream.write_all(octets)).await.unwrap(),
            Carrier::Messages(stream) => {
                let text = std::str::from_utf8(octets).unwrap().to_owned();
                soon(stream.send(Message::Text(text.into()))).await.unwrap();
            }
        }
    }

    /// The next frame, which is an answer.
    pub(super) async fn answer(&mut self) -> Answer {
        let frame = self.frame().await;
        assert!(frame.start.as_bytes()[0].is_ascii_digit(), "a request came and no answer: {frame:?}");
        frame
    }

    /// The next frame, which is a request.
    pub(super) async fn request(&mut self) -> Frame {
        let frame = self.frame().await;
        assert!(frame.start.as_bytes()[0].is_ascii_uppercase(), "an answer came and no request: {frame:?}");
        frame
    }

    /// The next frame.
    pub(super) async fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.take() {
                return frame;
            }
            assert!(soon(self.more()).await, "the connection ended; before that came {:?}", self.pending);
        }
    }

    /// Expects that nothing comes for a while.
    pub(super) async fn expect_quiet(&mut self) {
        let more = tokio::time::timeout(QUIET, self.more()).await;
        assert!(more.is_err() && self.pending.is_empty(), "{more:?}: {:?}", self.pending);
    }

    /// Expects that the relay ends the connection, and says nothing before that.
    pub(super) async fn expect_end(&mut self) {
        assert!(!soon(self.more()).await && self.pending.is_empty(), "{:?}", self.pending);
    }

    /// Reads once; whether there was something.
    async fn more(&mut self) -> bool {
        match &mut self.carrier {
            Carrier::Octets(stream) => {
                let mut octets = vec![0; 65_536];
                let count = stream.read(&mut octets).await.unwrap_or(0);
                self.pending.push_str(std::str::from_utf8(&octets[..count]).unwrap());
                count > 0
            }
            Carrier::Messages(stream) => loop {
                match stream.next().await {
                    Some(Ok(Message::Text(text))) => {
                        assert!(
                            self.pending.is_empty() && Frame::split(&text).is_some_and(|(_, rest)| rest.is_empty())
                        );
                        self.pending.push_str(&text);
                        return true;
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    None | Some(Err(_) | Ok(Message::Close(_))) => return false,
                    Some(Ok(other)) => panic!("{other:?}"),
                }
            },
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let (frame, rest) = Frame::split(&self.pending)?;
        self.pending = rest.to_owned();
        Some(frame)
    }
}

impl Frame {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The code of an answer.
    pub(super) fn code(&self) -> u16 {
        self.start[..3].parse().unwrap()
    }

    /// The frame that the text begins with, when all of it is there, and what follows it.
    fn split(text: &str) -> Option<(Self, &str)> {
        let (first, _) = text.split_once("\r\n")?;
        let (tid, start) = first.strip_prefix("MSRP ").and_then(|line| line.split_once(' ')).expect("a start line");
        let end_line = format!("\r\n-------{tid}");
        let end = text
            .match_indices(&end_line)
            .map(|(at, _)| at)
            .find(|at| text.get(at + end_line.len() + 1..).is_some_and(|rest| rest.starts_with("\r\n")))?;
        let (frame, rest) = text.split_at(end + end_line.len() + 3);
        let flag = frame[..frame.len() - 2].chars().next_back().expect("a flag");
        let (head, body) = text[..end].split_once("\r\n\r\n").unwrap_or((&text[..end], ""));
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = head.lines().skip(1).map(|line| header(line).expect("a header")).collect();
        let (tid, start, body, text) = (tid.to_owned(), start.to_owned(), body.to_owned(), frame.to_owned());
        Some((Self { tid, start, headers, body, flag, text }, rest))
    }
}
