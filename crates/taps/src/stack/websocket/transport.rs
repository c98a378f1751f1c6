//! An open WebSocket: messages over frames over a stream.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::io::AsyncWrite as _;
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::error::{NORMAL, WebSocketError};
use crate::framer::outbox::Leaving;
use crate::message::MessageContext;
use crate::properties::ConnectionProperties;
use crate::stream::ByteStream;
use crate::transport::{Arrived, Limits, MessageTransport};

/// The name space of what is told about a message: `text` is true for a message of text, received or to send.
pub(super) const SCOPE: &str = "websocket";
pub(super) const TEXT: &str = "text";

/// How long a message may be, in bytes, whether it comes in one frame or in many.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// How much is read at once.
const READ: usize = 16 * 1024;

/// What may wait to be written behind a message of the greatest length: its head, and control frames.
const BESIDE_MESSAGE: usize = 16 * 1024;

/// How long an end that has said good-bye waits for the peer to say so too.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many bytes of messages are kept that come while this end waits for the peer's good-bye.
const KEPT: usize = 64 * 1024;

/// What a message counts for there beside its bytes, so that empty ones are bounded too.
const KEPT_BESIDE: usize = 64;

/// Who waits for the one, and who for the other direction of the stream below.
const MAIN: usize = 0;
const GUEST: usize = 1;

/// Every limit that the library has. It makes room for a frame when it has seen how long that will be, so the limit of
/// a frame is the memory that a peer can claim by a word.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_MESSAGE + BESIDE_MESSAGE)
}

#[derive(Debug)]
pub(super) struct WebSocket {
    socket: WebSocketStream<ByteStream>,
    /// How what the peer sends is over.
    ended: Option<Ended>,
    /// What has come while this end was closing.
    kept: VecDeque<(Bytes, bool)>,
    kept_len: usize,
    closing: Closing,
    /// The one who receives, and the one who closes and waits for the peer's answer.
    readers: Arc<Crowd>,
    /// The one who sends, and the one who receives and tells the peer what was wrong.
    writers: Arc<Crowd>,
    patience: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Ended {
    Orderly,
    Failed(WebSocketError),
    /// The stream below has failed, which was told once.
    Lost(io::ErrorKind),
}

/// Where this end's good-bye is:
///
/// ```text
/// Open --shut down, or the peer's fault--> Due --nothing waits to be written any more--> Said
/// Open, Due --the peer's good-bye, which the library answers, or its end without one--> Said
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    Due(u16),
    Said,
}

impl WebSocket {
    /// Frames on a stream behind the handshake; `rest` is what came behind that.
    pub(super) async fn new(stream: ByteStream, role: Role, rest: Vec<u8>) -> Self {
        Self {
            socket: WebSocketStream::from_partially_read(stream, rest, role, Some(config())).await,
            ended: None,
            kept: VecDeque::new(),
            kept_len: 0,
            closing: Closing::Open,
            readers: Arc::default(),
            writers: Arc::default(),
            patience: None,
        }
    }

    /// Writes what waits, control frames included. `who` polls: both are woken when more can be written.
    fn poll_write_out(&mut self, who: usize, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let waker = self.writers.join(who, cx);
        let cx = &mut Context::from_waker(&waker);
        loop {
            ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(broken)?;
            let Closing::Due(code) = self.closing else { break };
            // Only here there is room for it, and the library drops what it has no room for.
            let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::from_static("") };
            self.closing = Closing::Said;
            Pin::new(&mut self.socket).start_send(Message::Close(Some(frame))).map_err(broken)?;
        }
        if self.closing == Closing::Open {
            return Poll::Ready(Ok(()));
        }
        // A server's library is done when its answer to a good-bye is written, and does not flush any more.
        Pin::new(self.socket.get_mut()).poll_flush(cx)
    }

    fn say_good_bye(&mut self, code: u16) {
        if self.closing == Closing::Open {
            self.closing = Closing::Due(code);
        }
    }

    /// Reads until a message is there; `None` is the end. `who` polls: both are woken when more can be read.
    fn poll_incoming(&mut self, who: usize, cx: &Context<'_>) -> Poll<io::Result<Option<(Bytes, bool)>>> {
        loop {
            if let Some(ended) = &self.ended {
                let result = ended.result();
                // The answer to a good-bye, or the word on what was wrong, leaves if it can. A failure to write shows
                // where somebody sends.
                let _ = self.poll_write_out(GUEST, cx);
                return Poll::Ready(result.map(|()| None));
            }
            let waker = self.readers.join(who, cx);
            match ready!(Pin::new(&mut self.socket).poll_next(&mut Context::from_waker(&waker))) {
                Some(Ok(Message::Binary(data))) => return Poll::Ready(Ok(Some((data, false)))),
                Some(Ok(Message::Text(text))) => return Poll::Ready(Ok(Some((text.into(), true)))),
                Some(Ok(Message::Close(frame))) => {
                    self.closing = Closing::Said;
                    self.ended = Some(Ended::of(frame));
                }
                // The library answers a ping when it is polled again.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                // A peer that was told good-bye may be gone rudely.
                Some(Err(Error::Io(error))) if self.closing != Closing::Said => {
                    self.ended = Some(Ended::Lost(error.kind()));
                    return Poll::Ready(Err(error));
                }
                Some(Err(Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => {
                    // There is nobody to say it to.
                    self.closing = Closing::Said;
                    self.ended = Some(Ended::Failed(WebSocketError::Truncated));
                }
                Some(Err(error)) => {
                    let error = WebSocketError::of_frames(&error);
                    self.say_good_bye(error.code());
                    self.ended = Some(Ended::Failed(error));
                }
            }
        }
    }

    /// Waits for the peer's good-bye, within reason.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.ended.is_none() && self.kept_len < KEPT {
            let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
            if patience.as_mut().poll(cx).is_ready() {
                break;
            }
            match ready!(self.poll_incoming(GUEST, cx)) {
                Ok(Some((data, text))) => {
                    self.kept_len += data.len() + KEPT_BESIDE;
                    self.kept.push_back((data, text));
                    self.readers.wake_by_ref();
                }
                Ok(None) | Err(_) => break,
            }
        }
        self.readers.wake_by_ref();
        Poll::Ready(())
    }
}

impl MessageTransport for WebSocket {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Leaving<'_>) -> Poll<io::Result<()>> {
        if self.closing != Closing::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if message.len() > MAX_MESSAGE {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        ready!(self.poll_write_out(MAIN, cx))?;
        let text = message.context.get(TEXT, SCOPE).and_then(|text| text.as_bool()) == Some(true);
        let data = message.to_bytes();
        let message = if text {
            let not_utf8 = |_| io::Error::new(io::ErrorKind::Unsupported, "text that is not UTF-8");
            Message::Text(Utf8Bytes::try_from(data).map_err(not_utf8)?)
        } else {
            Message::Binary(data)
        };
        Pin::new(&mut self.socket).start_send(message).map_err(broken)?;
        match self.poll_write_out(MAIN, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_out(MAIN, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say_good_bye(NORMAL);
        ready!(self.poll_write_out(MAIN, cx))?;
        ready!(self.poll_last_words(cx));
        // Nothing is lost when the peer was faster.
        let waker = self.writers.join(MAIN, cx);
        let _ = ready!(Pin::new(self.socket.get_mut()).poll_shutdown(&mut Context::from_waker(&waker)));
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        let kept = self.kept.pop_front();
        if let Some((data, _)) = &kept {
            self.kept_len -= data.len() + KEPT_BESIDE;
        }
        let received = match kept {
            Some(message) => Some(message),
            None => ready!(self.poll_incoming(MAIN, cx))?,
        };
        let Some((data, text)) = received else { return Poll::Ready(Ok(Arrived::End)) };
        let mut context = MessageContext::default();
        if text {
            context.add(TEXT, true, SCOPE);
        }
        Poll::Ready(Ok(Arrived::Message(data, context)))
    }

    fn round_trip(&self) -> Option<Duration> {
        self.socket.get_ref().round_trip()
    }

    fn abort(&mut self) {
        self.socket.get_mut().reset_on_drop();
    }

    fn limits(&self) -> Limits {
        Limits { send: Some(MAX_MESSAGE), receive: Some(MAX_MESSAGE), singular: None }
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        self.socket.get_mut().apply(from, to)
    }
}

impl Ended {
    /// How the peer's good-bye ends it.
    fn of(frame: Option<CloseFrame>) -> Self {
        match frame {
            None | Some(CloseFrame { code: CloseCode::Normal | CloseCode::Away, .. }) => Self::Orderly,
            Some(CloseFrame { code, reason }) => {
                Self::Failed(WebSocketError::Closed { code: code.into(), reason: reason.as_str().to_owned() })
            }
        }
    }

    fn result(&self) -> io::Result<()> {
        match self {
            Self::Orderly => Ok(()),
            Self::Failed(error) => Err(error.clone().into()),
            Self::Lost(kind) => Err((*kind).into()),
        }
    }
}

/// Why nothing can be written.
fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        _ => io::ErrorKind::BrokenPipe.into(),
    }
}

/// Two that wait for the same; each may give up without the other missing anything.
#[derive(Debug, Default)]
struct Crowd(Mutex<[Option<Waker>; 2]>);

impl Crowd {
    /// Joins, and gives a waker for both.
    fn join(self: &Arc<Self>, place: usize, cx: &Context<'_>) -> Waker {
        match &mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Crowd {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
