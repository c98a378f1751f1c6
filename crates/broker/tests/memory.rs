//! What messages and links that are kept take in memory. One test at a time: each measures the process.

#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use bytes::BytesMut;
use postroad_amqp::v1_0::{Config, Connection, Event, LinkId, LinkTerms, Message, SessionId, Transmit};
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    DeliveryTag, Message as Content, Multiple, Role, Seconds, Source, Symbol, Target, TerminusExpiryPolicy,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// Bytes of the process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it tells this");
    let kib: usize = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    kib * 1024
}

/// Held while a test measures.
static ALONE: Mutex<()> = Mutex::const_new(());

struct Client {
    stream: TcpStream,
    engine: Connection,
    input: BytesMut,
}

impl Client {
    async fn step(&mut self) -> Vec<Event> {
        let mut output = Transmit::default();
        self.engine.poll_transmit(Instant::now(), &mut output);
        self.stream.write_all_buf(&mut output).await.unwrap();
        let mut events = Vec::new();
        if tokio::time::timeout(Duration::from_millis(1), self.stream.read_buf(&mut self.input)).await.is_ok() {
            self.engine.handle_input(Instant::now(), &mut self.input).unwrap();
        }
        while let Some(event) = self.engine.poll_event() {
            events.push(event);
        }
        events
    }

    async fn until(&mut self, is: impl Fn(&Event) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.step().await.iter().any(&is) {
            assert!(Instant::now() < deadline, "nothing of the kind comes");
        }
    }

    /// A client with a session.
    async fn connect(broker: &Broker) -> (Self, SessionId) {
        let stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
        let engine = Connection::client(Config::new("memory"), None, Instant::now());
        let mut client = Self { stream, engine, input: BytesMut::new() };
        client.until(|event| matches!(event, Event::Opened)).await;
        let session = client.engine.begin().unwrap();
        client.until(|event| matches!(event, Event::SessionBegun(_))).await;
        (client, session)
    }

    async fn sender(&mut self, session: SessionId, address: &str) -> LinkId {
        let terms = LinkTerms { target: Some(Target::at(address).into()), ..LinkTerms::default() };
        let link = self.engine.attach(session, address, Role::Sender, terms).unwrap();
        self.until(|event| matches!(event, Event::LinkAttached(id) if *id == link)).await;
        link
    }
}

/// A body of 5 KiB comes in a buffer with a dozen others that nobody keeps. It must not keep the buffer.
#[tokio::test]
async fn a_body_that_is_kept_keeps_no_more_than_itself() {
    const KEPT: usize = 1000;
    let _alone = ALONE.lock().await;
    let broker = Broker::builder().queue("kept").topic("void").listen("amqp://127.0.0.1:0").start().await.unwrap();
    let (mut client, session) = Client::connect(&broker).await;
    let kept = client.sender(session, "kept").await;
    let void = client.sender(session, "void").await;
    let payload = Content::from(vec![7; 5 * 1024]).to_bytes();

    let before = resident();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut sent = 0;
    while sent < KEPT * 12 {
        let link = if sent % 12 == 0 { kept } else { void };
        if client.engine.sender(link).capacity() == 0 {
            client.step().await;
            assert!(Instant::now() < deadline, "{sent} messages were sent");
            continue;
        }
        let tag = DeliveryTag::from(sent as u64);
        let message = Message { settled: true, ..Message::shared(&payload, tag, 0) };
        client.engine.sender(link).send(&message).unwrap();
        sent += 1;
    }
    while broker.queue_stats("kept").unwrap().ready < KEPT {
        client.step().await;
        assert!(Instant::now() < deadline, "{:?}", broker.queue_stats("kept"));
    }
    let grown = resident().saturating_sub(before);
    let bodies = broker.queue_stats("kept").unwrap().bytes;
    assert!((KEPT * 5 * 1024..KEPT * 6 * 1024).contains(&bodies));
    // The buffers that they came in have 64 MiB.
    assert!(grown < 4 * bodies + 8 * 1024 * 1024, "{grown} bytes for {bodies}");
}

/// What a client tells of its link comes in a buffer of 64 KiB, and may take all of it. A suspended link keeps neither.
#[tokio::test]
async fn a_link_that_is_kept_keeps_no_more_than_itself() {
    const KEPT: usize = 1000;
    let _alone = ALONE.lock().await;
    let broker = Broker::builder().queue("q").listen("amqp://127.0.0.1:0").start().await.unwrap();
    let (mut client, session) = Client::connect(&broker).await;
    let large = || Multiple::from(vec![Symbol::new("x".repeat(20 * 1024)).unwrap()]);
    let (expiry_policy, timeout) = (TerminusExpiryPolicy::LINK_DETACH, Seconds(600));
    let before = resident();
    for number in 0..KEPT {
        let source = Source { expiry_policy: expiry_policy.clone(), timeout, capabilities: large(), ..Source::at("q") };
        let target = Target { capabilities: large(), ..Target::at("here") };
        let terms = LinkTerms { source: Some(source), target: Some(target.into()), ..LinkTerms::default() };
        let link = client.engine.attach(session, number.to_string(), Role::Receiver, terms).unwrap();
        client.until(|event| matches!(event, Event::LinkAttached(id) if *id == link)).await;
        client.engine.detach(link, false, None);
        client.until(|event| matches!(event, Event::LinkDetached { link: id, .. } if *id == link)).await;
        client.engine.release(link);
    }
    assert_eq!(broker.suspended_links(), KEPT);
    let grown = resident().saturating_sub(before);
    // What they have told is 40 MiB.
    assert!(grown < 16 * 1024 * 1024, "{grown} bytes");
}
