//! One engine, and a test that plays its peer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use postroad_amqp::v1_0::{ClientSasl, Config, Connection, ConnectionError, Event, ServerSasl, Transmit};
use postroad_codec::v1_0::{Encode, Frame, FrameHeader, ProtocolHeader};

use crate::frames::{Body, Builder, begin, open};

/// The peer of an engine, played by a test: it expects frames and sends frames.
///
/// What the engine is told and does in between is up to the test, through [`engine`](Self::engine).
#[derive(Debug)]
pub struct ScriptedPeer {
    /// The engine.
    pub engine: Connection,
    /// The time, which stands still unless [`advance`](Self::advance) moves it.
    pub now: Instant,
    /// What the engine has written and the test has not read.
    written: BytesMut,
    /// What the test has written and the engine has not read.
    unread: BytesMut,
    result: Result<(), ConnectionError>,
    seen: VecDeque<Event>,
}

impl ScriptedPeer {
    /// The peer of `engine`, which was made at `now`.
    #[must_use]
    pub fn new(engine: Connection, now: Instant) -> Self {
        let (written, unread) = (BytesMut::new(), BytesMut::new());
        Self { engine, now, written, unread, result: Ok(()), seen: VecDeque::new() }
    }

    /// A server, for an engine that connects without SASL.
    #[must_use]
    pub fn of_client(config: Config) -> Self {
        Self::of_client_with(config, None)
    }

    /// A server, for an engine that connects.
    #[must_use]
    pub fn of_client_with(config: Config, sasl: Option<ClientSasl>) -> Self {
        let now = Instant::now();
        Self::new(Connection::client(config, sasl, now), now)
    }

    /// A client, for an engine that is connected to without SASL.
    #[must_use]
    pub fn of_server(config: Config) -> Self {
        Self::of_server_with(config, None)
    }

    /// A client, for an engine that is connected to.
    #[must_use]
    pub fn of_server_with(config: Config, sasl: Option<ServerSasl>) -> Self {
        let now = Instant::now();
        Self::new(Connection::server(config, sasl, now), now)
    }

    /// The peer of an engine that serves, where headers, opens and one session that the peer has begun
    /// are behind us.
    #[must_use]
    pub fn with_session(config: Config) -> Self {
        let mut peer = Self::of_server(config);
        peer.send_header(ProtocolHeader::AMQP).send(open()).send(begin());
        peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin().remote_channel(0));
        peer.events();
        peer
    }

    /// Reads a protocol header.
    ///
    /// # Panics
    /// When the engine has written another, or none.
    #[track_caller]
    pub fn expect_header(&mut self, header: ProtocolHeader) -> &mut Self {
        self.pull();
        assert!(self.written.len() >= ProtocolHeader::LENGTH, "no header was written");
        let found = self.written.split_to(ProtocolHeader::LENGTH);
        assert_eq!(found[..].escape_ascii().to_string(), header.to_bytes().escape_ascii().to_string());
        self
    }

    /// Reads a frame.
    ///
    /// # Panics
    /// When the engine has written another, or none.
    #[track_caller]
    pub fn expect<B: Body>(&mut self, frame: Builder<B>) -> &mut Self {
        self.take(frame);
        self
    }

    /// Reads a frame, and gives its body and payload.
    ///
    /// # Panics
    /// When the engine has written another, or none.
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "as for expect: a test writes take(flow())")]
    pub fn take<B: Body>(&mut self, frame: Builder<B>) -> (B, Bytes) {
        match self.next_frame() {
            Some(found) => frame.check(found),
            None => panic!("expected {frame:?}, found nothing"),
        }
    }

    /// Reads a SASL frame and compares it.
    ///
    /// # Panics
    /// When the engine has written another, or none.
    #[track_caller]
    pub fn expect_sasl(&mut self, expected: &impl Encode) -> &mut Self {
        let mut bytes = Vec::new();
        Frame::put_sasl(expected, &mut bytes);
        let expected = Frame::decode(&bytes.into()).expect("the codec reads what it writes");
        assert_eq!(self.next_frame(), Some(expected));
        self
    }

    /// Reads an empty frame: a heartbeat.
    ///
    /// # Panics
    /// When the engine has written another, or none.
    #[track_caller]
    pub fn expect_empty(&mut self) -> &mut Self {
        assert_eq!(self.next_frame(), Some(Frame::Empty { channel: 0 }));
        self
    }

    /// Makes sure that the engine has written nothing more.
    ///
    /// # Panics
    /// When it has.
    #[track_caller]
    pub fn expect_nothing(&mut self) -> &mut Self {
        let next = self.next_frame();
        assert!(next.is_none(), "expected nothing, found {}", next.expect("it is not none"));
        self
    }

    /// Reads the next frame, where there is one.
    ///
    /// # Panics
    /// When the engine has written something that is no frame.
    #[track_caller]
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.pull();
        let size = FrameHeader::frame_size(&self.written, u32::MAX).expect("the engine writes frames")?;
        assert!(size <= self.written.len(), "half a frame was written");
        Some(Frame::decode(&self.written.split_to(size).freeze()).expect("the engine writes frames"))
    }

    /// Reads everything that the engine has written, as bytes.
    pub fn take_bytes(&mut self) -> Bytes {
        self.pull();
        self.written.split().freeze()
    }

    /// Sends a frame.
    #[allow(clippy::needless_pass_by_value, reason = "a test writes send(flow())")]
    pub fn send<B: Body>(&mut self, frame: Builder<B>) -> &mut Self {
        self.send_bytes(&frame.to_bytes())
    }

    /// Sends a protocol header.
    pub fn send_header(&mut self, header: ProtocolHeader) -> &mut Self {
        self.send_bytes(&header.to_bytes())
    }

    /// Sends a SASL frame.
    pub fn send_sasl(&mut self, body: &impl Encode) -> &mut Self {
        let mut bytes = Vec::new();
        Frame::put_sasl(body, &mut bytes);
        self.send_bytes(&bytes)
    }

    /// Sends any bytes. What the engine says to them is in [`result`](Self::result).
    pub fn send_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.unread.extend_from_slice(bytes);
        self.result = self.engine.handle_input(self.now, &mut self.unread);
        self
    }

    /// What the engine answered to the bytes that were sent last.
    ///
    /// # Errors
    /// When it gave the connection up.
    pub fn result(&self) -> Result<(), ConnectionError> {
        self.result.clone()
    }

    /// Moves the time, and wakes the engine whenever it asked for it.
    ///
    /// # Panics
    /// When the engine asks to be woken over and over at one time.
    pub fn advance(&mut self, duration: Duration) -> &mut Self {
        let end = self.now + duration;
        let mut wakes = 0;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            wakes = if at > self.now { 0 } else { wakes + 1 };
            assert!(wakes < 10, "the engine is never content");
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
            self.pull();
        }
        self.now = end;
        self
    }

    /// Every event that has not been seen.
    pub fn events(&mut self) -> Vec<Event> {
        let mut events: Vec<_> = self.seen.drain(..).collect();
        events.extend(std::iter::from_fn(|| self.engine.poll_event()));
        events
    }

    /// The next event.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        let event = self.seen.pop_front().or_else(|| self.engine.poll_event());
        event.expect("there is no event")
    }

    fn pull(&mut self) {
        let mut transmit = Transmit::default();
        self.engine.poll_transmit(self.now, &mut transmit);
        self.written.extend_from_slice(&transmit.to_vec());
    }
}
