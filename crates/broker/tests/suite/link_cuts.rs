//! Clients that are cut off after any number of bytes, in either direction, and attach their link again: every message
//! is taken exactly once.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use postroad_amqp::v1_0::{Config, Connection, Event, LinkId, LinkState, LinkTerms, Message, Transmit};
use postroad_broker::Broker;
use postroad_codec::v1_0::{DeliveryState, DeliveryTag, Message as Content, Role, TerminusExpiryPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, numbered, text};
use crate::resuming::{receives, sends, source, target};
use crate::{eventually, start};

/// Messages of one conversation.
const COUNT: usize = 3;

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that takes so many bytes and gives so many, and then is gone.
struct Cut {
    stream: TcpStream,
    writes: usize,
    reads: usize,
}

impl Cut {
    async fn connect(broker: &Broker, writes: usize, reads: usize) -> Self {
        let stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, writes, reads }
    }

    /// Writes what the engine has, and waits for an answer.
    async fn exchange(&mut self, engine: &mut Connection) -> io::Result<()> {
        let mut output = Transmit::default();
        engine.poll_transmit(Instant::now(), &mut output);
        let length = output.remaining();
        let mut bytes = output.copy_to_bytes(length);
        let cut = bytes.len() > self.writes;
        bytes.truncate(self.writes);
        self.writes -= bytes.len();
        self.stream.write_all(&bytes).await?;
        if cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut input = BytesMut::zeroed(self.reads.min(4096));
        let read = self.stream.read(&mut input);
        let read = tokio::time::timeout(PATIENCE, read).await.expect("the broker answers")?;
        self.reads -= read;
        input.truncate(read);
        let _ = engine.handle_input(Instant::now(), &mut input);
        if read == 0 || self.reads == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// What a client remembers from one connection to the next.
struct App {
    role: Role,
    queue: String,
    state: Option<LinkState>,
    /// Messages that were handed over, and outcomes that have come.
    sent: usize,
    outcomes: Vec<u64>,
    /// Messages that have come, and of how many it is known that the broker has settled them.
    received: Vec<String>,
    settled: usize,
}

impl App {
    fn new(role: Role, queue: &str) -> Self {
        let (outcomes, received) = (Vec::new(), Vec::new());
        Self { role, queue: queue.to_owned(), state: None, sent: 0, outcomes, received, settled: 0 }
    }

    fn terms(&self) -> LinkTerms {
        let policy = TerminusExpiryPolicy::CONNECTION_CLOSE;
        match self.role {
            Role::Sender => sends(target(&self.queue, policy, 300)),
            Role::Receiver => receives(source(&self.queue, policy, 300)),
        }
    }

    fn is_done(&self) -> bool {
        match self.role {
            Role::Sender => self.outcomes.len() == COUNT,
            Role::Receiver => self.settled == COUNT,
        }
    }

    fn handle(&mut self, engine: &mut Connection, link: LinkId, event: &Event) {
        match event {
            Event::LinkAttached(_) if self.role == Role::Receiver => engine.receiver(link).set_credit(10),
            Event::Update(update) if update.settled => {
                assert_eq!(update.state, Some(DeliveryState::Accepted));
                self.outcomes.push(update.token);
            }
            Event::Readable(_) => {
                while let Some(delivery) = engine.receiver(link).take() {
                    self.received.push(text(&delivery));
                    engine.receiver(link).dispose(delivery.number, Some(DeliveryState::Accepted), false);
                }
            }
            Event::Reassociated { delivery: None, .. } | Event::SettledBySender { .. } => self.settled += 1,
            Event::Reassociated { delivery: Some(_), .. } => panic!("its outcome was told in the map"),
            Event::LinkDetached { error: Some(error), .. } => panic!("{error}"),
            _ => {}
        }
        while self.role == Role::Sender && self.sent < COUNT && engine.sender(link).capacity() > 0 {
            let payload = Content::from(&*format!("m{}", self.sent)).to_bytes();
            let (tag, token) = (DeliveryTag::from(self.sent as u64), self.sent as u64);
            engine.sender(link).send(&Message::shared(&payload, tag, token)).unwrap();
            self.sent += 1;
        }
    }

    /// Goes on until everything is known of every message and the link is closed, or until the connection is gone. `true`:
    /// it was not.
    async fn converse(&mut self, container: &str, mut cut: Cut) -> bool {
        let mut engine = Connection::client(Config::new(container), None, Instant::now());
        let mut opened = Ok(());
        while engine.remote_open().is_none() && opened.is_ok() {
            opened = cut.exchange(&mut engine).await;
        }
        if opened.is_err() {
            return false;
        }
        let session = engine.begin().unwrap();
        let terms = self.terms();
        let link = match &mut self.state {
            Some(state) => engine.resume(session, state, terms).unwrap(),
            None => engine.attach(session, "a", self.role, terms).unwrap(),
        };
        let mut detaching = false;
        let over = loop {
            let mut detached = false;
            while let Some(event) = engine.poll_event() {
                detached |= matches!(event, Event::LinkDetached { .. });
                self.handle(&mut engine, link, &event);
            }
            if detached {
                break true;
            }
            if self.is_done() && !detaching {
                engine.detach(link, true, None);
                detaching = true;
            }
            if cut.exchange(&mut engine).await.is_err() {
                break false;
            }
        };
        drop(cut);
        engine.handle_eof();
        while let Some(event) = engine.poll_event() {
            self.handle(&mut engine, link, &event);
        }
        self.state = engine.release(link);
        over
    }
}

/// Where a conversation is cut.
#[derive(Debug, Clone, Copy)]
enum Direction {
    Writes,
    Reads,
}

async fn cut_everywhere(role: Role, direction: Direction) {
    let broker = start(Broker::builder()).await;
    let mut helper = Client::connect(&broker).await;
    for bytes in 1.. {
        let queue = format!("q{bytes}");
        broker.declare_queue(&queue).unwrap();
        if role == Role::Receiver {
            let sender = helper.sender(&queue).await.unwrap();
            helper.send_all(sender, numbered(0..COUNT)).await;
            helper.detach(sender).await;
        }
        let mut app = App::new(role, &queue);
        let limits = |bytes: usize| match direction {
            Direction::Writes => (bytes, usize::MAX),
            Direction::Reads => (usize::MAX, bytes),
        };
        // The second time it is cut somewhere else, in the other direction.
        let (writes, reads) = limits(bytes);
        let whole = app.converse(&queue, Cut::connect(&broker, writes, reads).await).await;
        let (reads, writes) = limits(1 + bytes * 31 % 400);
        if !app.is_done() {
            app.converse(&queue, Cut::connect(&broker, writes, reads).await).await;
        }
        if !app.is_done() {
            assert!(app.converse(&queue, Cut::connect(&broker, usize::MAX, usize::MAX).await).await, "{bytes} bytes");
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        eventually("its connections are gone", || broker.connections() == 1).await;
        // Whoever was cut off behind the last outcome has not closed its link.
        assert!(broker.forget_suspended_links() <= 1);
        let stats = broker.queue_stats(&queue).unwrap();
        assert_eq!((stats.unsettled, stats.consumers, stats.producers), (0, 0, 0), "{bytes} bytes: {stats:?}");
        let expected: Vec<String> = numbered(0..COUNT).collect();
        if role == Role::Sender {
            app.outcomes.sort_unstable();
            assert_eq!(app.outcomes, [0, 1, 2], "{bytes} bytes");
            assert_eq!((stats.enqueued, stats.ready), (3, 3), "{bytes} bytes");
            let receiver = helper.receiver(&queue, 10).await.unwrap();
            for _ in 0..COUNT {
                app.received.push(helper.receive_text(receiver).await);
            }
            helper.detach(receiver).await;
        } else {
            assert_eq!((stats.ready, stats.settled), (0, 3), "{bytes} bytes");
        }
        assert_eq!(app.received, expected, "{bytes} bytes");
        assert!(broker.delete_queue(&queue));
        if whole {
            assert!(bytes > 150);
            return;
        }
    }
}

#[tokio::test]
async fn a_sender_that_is_cut_off_in_its_words_sends_exactly_once() {
    cut_everywhere(Role::Sender, Direction::Writes).await;
}

#[tokio::test]
async fn a_sender_that_is_cut_off_in_the_brokers_words_sends_exactly_once() {
    cut_everywhere(Role::Sender, Direction::Reads).await;
}

#[tokio::test]
async fn a_receiver_that_is_cut_off_in_its_words_receives_exactly_once() {
    cut_everywhere(Role::Receiver, Direction::Writes).await;
}

#[tokio::test]
async fn a_receiver_that_is_cut_off_in_the_brokers_words_receives_exactly_once() {
    cut_everywhere(Role::Receiver, Direction::Reads).await;
}
