//! A peer of which the test writes every frame itself.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::needless_pass_by_value, reason = "a test writes take(flow())")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use postroad_client::types::Bytes;
use postroad_client::{ConnectOptions, Connection};
use postroad_codec::v1_0::{Encode, Frame, Open, Performative, ProtocolHeader, Transfer};
use postroad_testkit::{Body, Builder, accepted, begin, close, detach, end, open};
use tokio::task::JoinHandle;

/// A script that waits longer than this waits in vain, and fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The next client of a listener.
pub(crate) fn take_client(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let started = Instant::now();
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(started.elapsed() < PATIENCE, "no client comes");
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    };
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A server for one connection, which a test plays beside the client.
pub(crate) struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Runs `script` for the first client of a listener, and connects one to it.
    pub(crate) async fn serve(script: impl FnOnce(Self) + Send + 'static) -> (Connection, JoinHandle<()>) {
        Self::serve_with(65_536, script, |_| {}).await
    }

    /// As [`Peer::serve`], with frames of `frame` bytes at most and a client with other options.
    pub(crate) async fn serve_with(
        frame: u32,
        script: impl FnOnce(Self) + Send + 'static,
        change: impl FnOnce(&mut ConnectOptions),
    ) -> (Connection, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
        options.sasl_enabled = false;
        // What is lost is over: links that go over to the next connection have tests of their own.
        options.reconnect = None;
        change(&mut options);
        let thread = tokio::task::spawn_blocking(move || {
            script(Self::accept(&listener, frame));
        });
        (Connection::open(options).await.unwrap(), thread)
    }

    /// Takes the next client of a listener, which uses no SASL, and opens.
    pub(crate) fn accept(listener: &TcpListener, frame: u32) -> Self {
        Self::accept_as("peer", listener, frame)
    }

    /// As [`Peer::accept`], as the container of another id.
    pub(crate) fn accept_as(container: &'static str, listener: &TcpListener, frame: u32) -> Self {
        Self::accept_with(listener, open().container_id(container).max_frame_size(frame))
    }

    /// As [`Peer::accept`], with any open.
    pub(crate) fn accept_with(listener: &TcpListener, ours: Builder<Open>) -> Self {
        let mut stream = take_client(listener);
        // Frames are written one by one, and none of them waits for the client to have acknowledged the one before.
        stream.set_nodelay(true).unwrap();
        take_header(&mut stream);
        let mut peer = Self { stream };
        peer.take(open());
        peer.send(ours);
        peer
    }

    /// One that has taken a client's header.
    pub(crate) fn of(stream: TcpStream) -> Self {
        Self { stream }
    }

    /// Connects to a server of ours without SASL, as the container `peer`, and begins a session.
    pub(crate) fn connect(server: std::net::SocketAddr) -> Self {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&ProtocolHeader::AMQP.to_bytes()).unwrap();
        let mut header = [0; 8];
        stream.read_exact(&mut header).unwrap();
        let mut peer = Self { stream };
        peer.send(open()).send(begin());
        peer.take(open());
        peer.take(begin().remote_channel(0));
        peer
    }

    /// Answers the client's begin.
    pub(crate) fn begin(&mut self) -> &mut Self {
        self.take(begin());
        self.send(begin().remote_channel(0))
    }

    pub(crate) fn send<B: Body>(&mut self, frame: Builder<B>) -> &mut Self {
        self.stream.write_all(&frame.to_bytes()).unwrap();
        self
    }

    /// Sends any bytes. The client may have hung up.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = self.stream.write_all(bytes);
        self
    }

    /// Sends a performative.
    pub(crate) fn put(&mut self, performative: &impl Encode) -> &mut Self {
        put(performative, &mut self.stream);
        self
    }

    /// Reads the next frame, which is this one, and gives its body and payload.
    #[track_caller]
    pub(crate) fn take<B: Body>(&mut self, frame: Builder<B>) -> (B, Bytes) {
        let found = self.next().expect("the client has hung up");
        frame.check(found)
    }

    /// The next frame; none where the client has hung up.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut bytes = vec![0; 4];
        self.stream.read_exact(&mut bytes).ok()?;
        let size = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        bytes.resize(size, 0);
        self.stream.read_exact(&mut bytes[4..]).ok()?;
        Some(Frame::decode(&bytes.into()).unwrap())
    }

    /// Reads nothing for this long.
    #[track_caller]
    pub(crate) fn hears_nothing(&mut self, time: Duration) -> &mut Self {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let heard = self.stream.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(heard, Err(ErrorKind::WouldBlock));
        self.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        self
    }

    /// Says nothing more.
    pub(crate) fn hang_up(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// As [`Peer::part`], and accepts the messages that come meanwhile.
    pub(crate) fn part_with_messages(&mut self) {
        while let Some(frame) = self.next() {
            let Frame::Amqp { channel, performative, .. } = frame else { continue };
            if let Performative::Transfer(Transfer { delivery_id: Some(number), .. }) = &performative {
                self.send(accepted(number.0));
            }
            self.answer_leave(channel, &performative);
        }
    }

    /// Answers a client that takes its leave, until it hangs up.
    pub(crate) fn part(&mut self) {
        while let Some(frame) = self.next() {
            let Frame::Amqp { channel, performative, .. } = frame else { continue };
            self.answer_leave(channel, &performative);
        }
    }

    fn answer_leave(&mut self, channel: u16, performative: &Performative) {
        match performative {
            Performative::Detach(theirs) => {
                self.send_bytes(&detach().channel(channel).handle(theirs.handle.0).closed(true).to_bytes())
            }
            Performative::End(_) => self.send_bytes(&end().channel(channel).to_bytes()),
            Performative::Close(_) => self.send_bytes(&close().to_bytes()),
            _ => self,
        };
    }
}

/// Takes the header of a client without SASL, and answers it.
pub(crate) fn take_header(stream: &mut TcpStream) {
    let mut header = [0; 8];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(header, ProtocolHeader::AMQP.to_bytes());
    stream.write_all(&header).unwrap();
}

pub(crate) fn put(performative: &impl Encode, stream: &mut TcpStream) {
    let mut out = Vec::new();
    Frame::put_amqp(0, performative, &[], &mut out);
    stream.write_all(&out).unwrap();
}

/// The code of the next performative.
pub(crate) fn next(stream: &mut TcpStream) -> u8 {
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(size) as usize - 4];
    stream.read_exact(&mut frame).unwrap();
    frame.get(6).copied().unwrap_or(0)
}
