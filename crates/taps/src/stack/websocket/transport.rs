//! An open WebSocket: messages over frames over a stream.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::time::Sleep;

use super::error::WebSocketError;
use super::frame::{self, Inbound, Incoming, MAX_MESSAGE, Side};
use crate::framer::outbox::{Leaving, Outbox};
use crate::message::MessageContext;
use crate::properties::ConnectionProperties;
use crate::stream::ByteStream;
use crate::transport::{Arrived, Limits, MessageTransport};

/// The name space of what is told about a message: `text` is true for a message of text, received or to send.
pub(super) const SCOPE: &str = "websocket";
pub(super) const TEXT: &str = "text";

/// How long an end that has said good-bye waits for the peer to say so too.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many bytes of messages are kept that come while this end waits for the peer's good-bye.
const KEPT: usize = 64 * 1024;

const SLICES: usize = 8;

/// Who waits for the one, and who for the other direction of the stream below.
const MAIN: usize = 0;
const GUEST: usize = 1;

#[derive(Debug)]
pub(super) struct WebSocket {
    stream: ByteStream,
    side: Side,
    inbound: Inbound,
    /// How what the peer sends is over.
    ended: Option<Result<(), WebSocketError>>,
    /// What has come while this end was closing.
    kept: VecDeque<(Bytes, bool)>,
    kept_len: usize,
    /// At most one message and one control frame.
    out: Outbox,
    unflushed: bool,
    /// The answer to the latest ping; older ones need none (RFC 6455 5.5.3).
    pong: Option<Bytes>,
    closing: Closing,
    keys: Keys,
    /// The one who receives, and the one who closes and waits for the peer's answer.
    readers: Arc<Crowd>,
    /// The one who sends, and the one who receives and answers pings.
    writers: Arc<Crowd>,
    patience: Option<Pin<Box<Sleep>>>,
}

/// Where this end's good-bye is:
///
/// ```text
/// Open --shut down, the peer's good-bye, or its fault--> Due --written into the outbox--> Said
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    Due(u16),
    Said,
}

impl WebSocket {
    pub(super) fn new(stream: ByteStream, side: Side, rest: BytesMut) -> Self {
        Self {
            stream,
            side,
            inbound: Inbound::new(side, rest),
            ended: None,
            kept: VecDeque::new(),
            kept_len: 0,
            out: Outbox::default(),
            unflushed: false,
            pong: None,
            closing: Closing::Open,
            keys: Keys::default(),
            readers: Arc::default(),
            writers: Arc::default(),
            patience: None,
        }
    }

    fn push_frame(&mut self, opcode: u8, payload: Bytes) -> io::Result<()> {
        let key = if self.side == Side::Client { Some(self.keys.next()?) } else { None };
        let (head, size) = frame::head(opcode, payload.len(), key);
        self.out.push_slice(&head[..size]);
        match key {
            None => self.out.push(payload),
            Some(key) => {
                // Somebody else may hold the bytes.
                let mut masked = payload.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                frame::mask(&mut masked, key);
                self.out.push(masked.freeze());
            }
        }
        Ok(())
    }

    /// Writes what waits, control frames included. `who` polls: both are woken when more can be written.
    fn poll_write_out(&mut self, who: usize, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let waker = self.writers.join(who, cx);
        let cx = &mut Context::from_waker(&waker);
        loop {
            if self.out.is_empty() {
                if self.closing == Closing::Said {
                    self.pong = None;
                } else if let Some(payload) = self.pong.take() {
                    self.push_frame(frame::PONG, payload)?;
                } else if let Closing::Due(code) = self.closing {
                    let mut payload = BytesMut::with_capacity(2);
                    payload.put_u16(code);
                    self.push_frame(frame::CLOSE, payload.freeze())?;
                    self.closing = Closing::Said;
                }
            }
            if self.out.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.out.slices(&mut slices, usize::MAX);
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn say_good_bye(&mut self, code: u16) {
        if self.closing == Closing::Open {
            self.closing = Closing::Due(code);
        }
    }

    /// Reads until a message is there; `None` is the end. `who` polls: both are woken when more can be read.
    fn poll_incoming(&mut self, who: usize, cx: &Context<'_>) -> Poll<io::Result<Option<(Bytes, bool)>>> {
        loop {
            if let Some(ended) = self.ended.clone() {
                // The answer to a good-bye, or the word on what was wrong, leaves if it can.
                let _ = self.writers_turn(cx);
                return Poll::Ready(ended.map(|()| None).map_err(io::Error::from));
            }
            match self.inbound.next() {
                Ok(Some(Incoming::Message { data, text })) => return Poll::Ready(Ok(Some((data, text)))),
                Ok(Some(Incoming::Ping(payload))) => self.pong = Some(payload),
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Close { code, reason })) => {
                    let orderly = frame::is_orderly(code);
                    self.ended = Some(if orderly { Ok(()) } else { Err(WebSocketError::Closed { code, reason }) });
                    self.say_good_bye(frame::NORMAL);
                }
                Ok(None) => {
                    // A failure to write shows where somebody sends.
                    let _ = self.writers_turn(cx);
                    let waker = self.readers.join(who, cx);
                    let cx = &mut Context::from_waker(&waker);
                    let read = pin!(self.stream.read_buf(self.inbound.room())).poll(cx);
                    match ready!(read) {
                        Ok(0) => self.ended = Some(Err(WebSocketError::Truncated)),
                        Ok(_) => {}
                        // A peer that was told good-bye may be gone rudely.
                        Err(_) if self.closing == Closing::Said => self.ended = Some(Err(WebSocketError::Truncated)),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                Err(error) => {
                    self.say_good_bye(frame::code_of(&error));
                    self.ended = Some(Err(error));
                }
            }
        }
    }

    fn writers_turn(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.pong.is_none() && !matches!(self.closing, Closing::Due(_)) && !self.unflushed && self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.poll_write_out(GUEST, cx)
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
                    self.kept_len += data.len();
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
        if text && std::str::from_utf8(&data).is_err() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, "text that is not UTF-8")));
        }
        self.push_frame(if text { frame::TEXT } else { frame::BINARY }, data)?;
        match self.poll_write_out(MAIN, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_out(MAIN, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say_good_bye(frame::NORMAL);
        ready!(self.poll_write_out(MAIN, cx))?;
        ready!(self.poll_last_words(cx));
        // Nothing is lost when the peer was faster.
        let waker = self.writers.join(MAIN, cx);
        let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(&mut Context::from_waker(&waker)));
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        let kept = self.kept.pop_front();
        if let Some((data, _)) = &kept {
            self.kept_len -= data.len();
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

    fn abort(&mut self) {
        self.stream.reset_on_drop();
    }

    fn limits(&self) -> Limits {
        Limits { send: Some(MAX_MESSAGE), receive: Some(MAX_MESSAGE), singular: None }
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        self.stream.apply(from, to)
    }
}

/// Masking keys that nobody can guess (RFC 6455 5.3), many for one call to the system.
#[derive(Debug, Default)]
struct Keys {
    pool: Vec<[u8; 4]>,
}

impl Keys {
    fn next(&mut self) -> io::Result<[u8; 4]> {
        if self.pool.is_empty() {
            self.pool.resize(64, [0; 4]);
            getrandom::fill(self.pool.as_flattened_mut()).map_err(|error| io::Error::other(error.to_string()))?;
        }
        // It was just filled.
        self.pool.pop().ok_or_else(|| io::ErrorKind::Other.into())
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
