//! Messages there and back.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use postroad_amqp::v1_0::{LinkTerms, Message as Part, SendError};
use postroad_codec::v1_0::{
    Body, DeliveryState, DeliveryTag, Fields, Header, Message, MessageAnnotations, Outcome, Properties,
    ReceiverSettleMode, Role, Sections, SenderSettleMode, Source, Target, Value,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::client::{Client, numbered, text};
use crate::{broker, eventually};

#[tokio::test]
async fn messages_come_in_order_and_are_gone_when_accepted() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1000)).await;
    assert_eq!(broker.queue_stats("q0").unwrap().ready, 1000);

    let receiver = client.receiver("q0", 100).await.unwrap();
    for expected in numbered(0..1000) {
        assert_eq!(client.receive_text(receiver).await, expected);
        client.engine.receiver(receiver).set_credit(100);
    }
    client.flush().await;
    eventually("the queue is empty", || {
        let stats = broker.queue_stats("q0").unwrap();
        (stats.ready, stats.unsettled, stats.bytes, stats.settled) == (0, 0, 0, 1000)
    })
    .await;
    client.close().await;
    eventually("nobody is left", || broker.connections() == 0).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.consumers, stats.producers), (0, 0));
}

#[tokio::test]
async fn messages_that_are_given_up_cost_a_producer_nothing() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let mut given_up = 0;
    // More than any window.
    while given_up < 20_000 {
        let part = Part { more: true, ..Part::new(b"part", DeliveryTag::from(1), 1) };
        match client.engine.sender(sender).send(&part) {
            Ok(delivery) => {
                client.engine.sender(sender).abort(delivery);
                given_up += 1;
            }
            Err(SendError::Blocked) => {
                tokio::time::timeout(Duration::from_secs(20), client.step()).await.expect("credit comes again");
            }
            Err(error) => panic!("{error}"),
        }
    }
    client.send_all(sender, ["whole".to_owned()]).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.unsettled), (1, 0));
}

#[tokio::test]
async fn a_stream_that_is_no_socket_is_served() {
    let broker = postroad_broker::Broker::builder().queue("q0").start().await.unwrap();
    assert_eq!(broker.addr(), None);
    let (near, far) = tokio::io::duplex(4096);
    let served = tokio::spawn(broker.serve(far));
    let mut client = Client::open(near, None).await.unwrap();
    let sender = client.sender("q0").await.unwrap();
    let receiver = client.receiver("q0", 10).await.unwrap();
    client.send_all(sender, ["hello".to_owned()]).await;
    assert_eq!(client.receive_text(receiver).await, "hello");
    client.close().await;
    served.await.unwrap();
}

#[tokio::test]
async fn the_broker_tells_who_it_is() {
    let broker = broker().await;
    let client = Client::connect(&broker).await;
    let open = client.engine.remote_open().unwrap();
    assert!(open.offered_capabilities.iter().any(|symbol| symbol.as_str() == "ANONYMOUS-RELAY"));
    let properties = open.properties.as_ref().unwrap();
    assert_eq!(properties.0.get_str("product").and_then(Value::as_str), Some("postroad"));
    assert!(open.container_id.starts_with("postroad-"));
}

#[tokio::test]
async fn every_section_leaves_as_it_came() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let receiver = client.receiver("q0", 10).await.unwrap();
    let mut annotations = MessageAnnotations::default();
    annotations.0.0.insert(Value::Symbol("x-opt-a".into()), Value::Int(1));
    let message = Message {
        header: Some(Header { durable: Some(true), priority: Some(7), ..Header::default() }),
        message_annotations: Some(annotations),
        properties: Some(Box::new(Properties { subject: Some("s".into()), ..Properties::default() })),
        body: Body::Data(Bytes::from(vec![9; 300])),
        ..Message::default()
    };
    let sent = message.to_bytes();
    client.send_with(sender, &sent, false).await;
    let delivery = client.receive(receiver).await;
    assert_eq!(delivery.payload, sent);
    client.accept(receiver, delivery.number);
    client.flush().await;
}

#[tokio::test]
async fn a_mebibyte_comes_through_small_frames() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let receiver = client.receiver("q0", 10).await.unwrap();
    for size in [1, 4095, 4096, 65_536, 1024 * 1024] {
        let body: Vec<u8> = (0..size).map(|index: u32| (index * 7 % 251) as u8).collect();
        let payload = Message::from(body).to_bytes();
        let token = client.send_with(sender, &payload, false).await;
        assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Accepted));
        let delivery = client.receive(receiver).await;
        assert_eq!(delivery.payload, payload, "{size}");
        client.accept(receiver, delivery.number);
    }
}

#[tokio::test]
async fn at_most_once_is_settled_on_its_way() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    for text in numbered(0..10) {
        client.send_with(sender, &Message::from(text).to_bytes(), true).await;
    }
    let terms = LinkTerms {
        source: Some(Source::at("q0")),
        target: Some(Target::default().into()),
        snd_settle_mode: SenderSettleMode::SETTLED,
        ..LinkTerms::default()
    };
    let receiver = client.attach(Role::Receiver, terms).await.unwrap();
    let answer = client.engine.remote_attach(receiver).unwrap();
    assert_eq!(answer.snd_settle_mode, SenderSettleMode::SETTLED);
    client.engine.receiver(receiver).set_credit(100);
    for expected in numbered(0..10) {
        let delivery = client.receive(receiver).await;
        assert!(delivery.settled);
        assert_eq!(text(&delivery), expected);
    }
    eventually("all are settled", || broker.queue_stats("q0").unwrap().settled == 10).await;
}

#[tokio::test]
async fn the_second_receiver_mode_settles_behind_the_sender() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let terms = |role| LinkTerms {
        source: Some(if role == Role::Receiver { Source::at("q0") } else { Source::default() }),
        target: Some(if role == Role::Sender { Target::at("q0").into() } else { Target::default().into() }),
        rcv_settle_mode: ReceiverSettleMode::SECOND,
        auto_settle: false,
        ..LinkTerms::default()
    };
    let sender = client.attach(Role::Sender, terms(Role::Sender)).await.unwrap();
    let token = client.send(sender, "once").await;
    let update = client
        .wait("outcome", |event| match event {
            postroad_amqp::v1_0::Event::Update(update) if update.token == token => Some(update.clone()),
            _ => None,
        })
        .await;
    assert_eq!((update.state, update.settled), (Some(DeliveryState::Accepted), false));
    client.engine.sender(sender).settle(update.delivery);

    let receiver = client.attach(Role::Receiver, terms(Role::Receiver)).await.unwrap();
    assert_eq!(client.engine.remote_attach(receiver).unwrap().rcv_settle_mode, ReceiverSettleMode::SECOND);
    client.engine.receiver(receiver).set_credit(1);
    let delivery = client.receive(receiver).await;
    client.engine.receiver(receiver).dispose(delivery.number, Some(DeliveryState::Accepted), false);
    client
        .wait("settlement", |event| {
            matches!(event, postroad_amqp::v1_0::Event::SettledBySender { delivery: number, .. } if *number == delivery.number)
                .then_some(())
        })
        .await;
    eventually("it is settled", || broker.queue_stats("q0").unwrap().settled == 1).await;
}

#[tokio::test]
async fn outcomes_decide_what_comes_again() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..5)).await;
    let receiver = client.receiver("q0", 5).await.unwrap();
    let mut numbers = Vec::new();
    for _ in 0..5 {
        numbers.push(client.receive(receiver).await.number);
    }
    let mut annotations = Fields::default();
    annotations.0.insert(Value::Symbol("x-opt-why".into()), Value::from("later"));
    client.settle(receiver, numbers[0], DeliveryState::Released);
    client.settle(receiver, numbers[1], Outcome::modified(true, false, Some(annotations)));
    client.settle(receiver, numbers[2], Outcome::rejected(None));
    client.settle(receiver, numbers[3], Outcome::modified(false, false, None));
    client.accept(receiver, numbers[4]);
    client.flush().await;
    eventually("what is done is gone", || broker.queue_stats("q0").unwrap().settled == 2).await;

    client.engine.receiver(receiver).set_credit(10);
    let counts = [("m0", None), ("m1", Some(1)), ("m3", None)];
    for (expected, count) in counts {
        let delivery = client.receive(receiver).await;
        assert_eq!(text(&delivery), expected);
        let sections = Sections::find(delivery.payload.clone()).unwrap();
        let header = sections.header().unwrap().unwrap_or_default();
        assert_eq!(header.delivery_count, count, "{expected}");
        let why = sections.message_annotations().unwrap().and_then(|a| a.0.0.get_str("x-opt-why").cloned());
        assert_eq!(why.as_ref().and_then(Value::as_str), (expected == "m1").then_some("later"));
        assert_eq!(sections.bare(), Message::from(expected).to_bytes());
    }
    client.expect_nothing(receiver).await;
}

#[tokio::test]
async fn settling_without_an_outcome_counts_as_failed_as_the_source_tells() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    let source = client.engine.remote_attach(receiver).unwrap().source.clone().unwrap();
    assert_eq!(source.default_outcome, Some(Outcome::modified(true, false, None)));
    let delivery = client.receive(receiver).await;
    client.engine.receiver(receiver).dispose(delivery.number, None, true);
    client.engine.receiver(receiver).set_credit(1);
    let again = client.receive(receiver).await;
    let header = Sections::find(again.payload).unwrap().header().unwrap().unwrap();
    assert_eq!(header.delivery_count, Some(1));
}

#[tokio::test]
async fn what_a_lost_connection_had_comes_again_in_order() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..20)).await;

    let mut lost = Client::connect(&broker).await;
    let receiver = lost.receiver("q0", 10).await.unwrap();
    for _ in 0..10 {
        lost.receive(receiver).await;
    }
    drop(lost);
    eventually("all are back", || broker.queue_stats("q0").unwrap().ready == 20).await;

    let receiver = client.receiver("q0", 100).await.unwrap();
    for (index, expected) in numbered(0..20).enumerate() {
        let delivery = client.receive(receiver).await;
        assert_eq!(text(&delivery), expected);
        let header = Sections::find(delivery.payload.clone()).unwrap().header().unwrap();
        assert_eq!(header.and_then(|header| header.delivery_count), (index < 10).then_some(1));
    }
}

#[tokio::test]
async fn what_a_detached_link_or_ended_session_had_comes_again() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..4)).await;
    let first = client.receiver("q0", 2).await.unwrap();
    client.receive(first).await;
    client.receive(first).await;
    client.detach(first).await;

    let mut other = Client::connect(&broker).await;
    let second = other.receiver("q0", 3).await.unwrap();
    for expected in numbered(0..3) {
        assert_eq!(text(&other.receive(second).await), expected);
    }
    let session = other.session();
    other.engine.end(session, None);
    other.wait("end", |event| matches!(event, postroad_amqp::v1_0::Event::SessionEnded { .. }).then_some(())).await;

    let third = client.receiver("q0", 10).await.unwrap();
    for expected in numbered(0..4) {
        assert_eq!(client.receive_text(third).await, expected);
    }
}

#[tokio::test]
async fn a_drain_is_answered_at_once() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..3)).await;
    let receiver = client.receiver("q0", 0).await.unwrap();
    client.engine.receiver(receiver).set_credit(10);
    client.engine.receiver(receiver).drain();
    client.wait("drain", |event| matches!(event, postroad_amqp::v1_0::Event::Drained(_)).then_some(())).await;
    for expected in numbered(0..3) {
        assert_eq!(client.receive_text(receiver).await, expected);
    }
    assert_eq!(client.engine.receiver(receiver).credit(), 0);
    // Without credit nothing comes, with credit the link goes on.
    client.send_all(sender, numbered(3..4)).await;
    assert!(client.receive_within(receiver, Duration::from_millis(50)).await.is_none());
    client.engine.receiver(receiver).set_credit(1);
    assert_eq!(client.receive_text(receiver).await, "m3");
}

/// A stream on which nothing can be written any more once it is broken; what came before can still be read.
struct Breakable<S> {
    stream: S,
    broken: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Breakable<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Breakable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn what_was_settled_before_a_write_failed_is_not_delivered_again() {
    let broker = broker().await;
    let broken = Arc::new(AtomicBool::new(false));
    let (near, far) = tokio::io::duplex(4096);
    tokio::spawn(broker.serve(Breakable { stream: far, broken: broken.clone() }));
    let mut consumer = Client::open(near, None).await.unwrap();
    let receiver = consumer.receiver("q0", 10).await.unwrap();
    let (near, far) = tokio::io::duplex(4096);
    tokio::spawn(broker.serve(far));
    let mut producer = Client::open(near, None).await.unwrap();
    let sender = producer.sender("q0").await.unwrap();
    producer.send_all(sender, ["one".to_owned()]).await;
    let one = consumer.receive(receiver).await;

    // The next message reaches the consumer's connection together with the word that the first is settled.
    broken.store(true, Ordering::Relaxed);
    consumer.accept(receiver, one.number);
    producer.send(sender, "two").await;
    producer.flush().await;
    consumer.flush().await;
    eventually("the broken connection is gone", || broker.connections() == 1).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.settled, stats.ready, stats.unsettled), (1, 1, 0));
}
