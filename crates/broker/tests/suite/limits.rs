//! What is too much.

use std::time::Duration;

use postroad_amqp::sasl::{Credentials, UserFile};
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    Attach, Begin, DeliveryNumber, DeliveryState, DeliveryTag, ErrorCondition, Flow, Frame, Handle, Message, Open,
    Performative, ProtocolHeader, Role, SequenceNo, Source, Target, Transfer, TransferNumber,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, assert_refused, numbered, text};
use crate::{broker, eventually, start};

#[tokio::test]
async fn a_full_queue_withholds_credit_and_goes_on_when_it_empties() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.queue_messages = 10)).await;
    let mut producer = Client::connect(&broker).await;
    let sender = producer.sender("q0").await.unwrap();
    producer.send_all(sender, numbered(0..10)).await;
    assert_eq!(producer.engine.sender(sender).capacity(), 0);
    let waited = tokio::time::timeout(Duration::from_millis(100), producer.step()).await;
    assert!(waited.is_err(), "no credit comes while the queue is full");

    let mut consumer = Client::connect(&broker).await;
    let receiver = consumer.receiver("q0", 10).await.unwrap();
    let first = consumer.receive(receiver).await;
    assert_eq!(producer.engine.sender(sender).capacity(), 0, "what is not settled counts");
    consumer.accept(receiver, first.number);
    consumer.flush().await;
    producer.send_all(sender, numbered(10..11)).await;
    for expected in numbered(1..10) {
        assert_eq!(consumer.receive_text(receiver).await, expected);
    }
    consumer.flush().await;
    producer.send_all(sender, numbered(11..15)).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!(stats.enqueued, 15);
}

#[tokio::test]
async fn a_producer_never_outruns_a_slow_consumer() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.queue_messages = 7)).await;
    let mut consumer = Client::connect(&broker).await;
    let receiver = consumer.receiver("q0", 1).await.unwrap();
    let mut producer = Client::connect(&broker).await;
    let sending = tokio::spawn(async move {
        let sender = producer.sender("q0").await.unwrap();
        producer.send_all(sender, numbered(0..200)).await;
    });
    for expected in numbered(0..200) {
        let delivery = consumer.receive(receiver).await;
        assert_eq!(text(&delivery), expected);
        let stats = broker.queue_stats("q0").unwrap();
        assert!(stats.ready + stats.unsettled <= 7, "{stats:?}");
        consumer.accept(receiver, delivery.number);
        consumer.engine.receiver(receiver).set_credit(1);
        consumer.flush().await;
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn what_exceeds_the_bytes_of_a_queue_is_rejected() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.queue_bytes = 3000)).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let payload = Message::from(vec![0; 1000]).to_bytes();
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let token = client.send_with(sender, &payload, false).await;
        client.flush().await;
        outcomes.push(token);
    }
    let mut accepted = 0;
    for token in outcomes {
        match client.outcome(sender, token).await.state {
            Some(DeliveryState::Accepted) => accepted += 1,
            Some(DeliveryState::Rejected(rejected)) => {
                assert_eq!(rejected.error.unwrap().condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 2);

    // A message that is settled already cannot be rejected: its link ends.
    client.send_with(sender, &payload, true).await;
    let error = client.detached(sender).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
}

/// The next performative that is not a flow.
async fn next_performative(stream: &mut TcpStream) -> Performative {
    loop {
        match performative(stream).await {
            Performative::Flow(_) => {}
            other => return other,
        }
    }
}

async fn performative(stream: &mut TcpStream) -> Performative {
    let size = stream.read_u32().await.unwrap();
    let mut frame = size.to_be_bytes().to_vec();
    frame.resize(size as usize, 0);
    stream.read_exact(&mut frame[4..]).await.unwrap();
    match Frame::decode(&frame.into()).unwrap() {
        Frame::Amqp { performative, .. } => performative,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_its_link_alone() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.message_size = 100_000)).await;
    // Written by hand: our own engine respects the limit that it is told.
    let mut stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    let attach = |handle: u32| Attach {
        name: format!("link-{handle}").into(),
        handle: Handle(handle),
        role: Role::Sender,
        source: Some(Box::default()),
        target: Some(Box::new(Target::at("q0").into())),
        initial_delivery_count: Some(SequenceNo(0)),
        ..Attach::default()
    };
    let transfer = |handle: u32, delivery: u32, more: bool| Transfer {
        handle: Handle(handle),
        delivery_id: Some(DeliveryNumber(delivery)),
        delivery_tag: Some(DeliveryTag::from(u64::from(delivery))),
        more,
        ..Transfer::default()
    };
    let mut out = ProtocolHeader::AMQP.to_bytes().to_vec();
    Frame::put_amqp(0, &Open { container_id: "raw".into(), ..Open::default() }, &[], &mut out);
    let begin = Begin { incoming_window: 100, outgoing_window: 100, ..Begin::default() };
    Frame::put_amqp(0, &begin, &[], &mut out);
    Frame::put_amqp(0, &attach(0), &[], &mut out);
    Frame::put_amqp(0, &attach(1), &[], &mut out);
    stream.write_all(&out).await.unwrap();
    stream.read_exact(&mut [0; 8]).await.unwrap();
    assert!(matches!(next_performative(&mut stream).await, Performative::Open(_)));
    assert!(matches!(next_performative(&mut stream).await, Performative::Begin(_)));
    for _ in 0..2 {
        let Performative::Attach(answer) = next_performative(&mut stream).await else { panic!("no attach") };
        assert_eq!(answer.max_message_size, Some(100_000));
    }

    let mut out = Vec::new();
    Frame::put_amqp(0, &transfer(0, 0, true), &[0; 60_000], &mut out);
    Frame::put_amqp(0, &transfer(0, 0, false), &[0; 60_000], &mut out);
    Frame::put_amqp(0, &transfer(1, 1, false), &Message::from("fits").to_bytes(), &mut out);
    stream.write_all(&out).await.unwrap();
    let (mut detached, mut accepted) = (None, None);
    while detached.is_none() || accepted.is_none() {
        match next_performative(&mut stream).await {
            Performative::Detach(detach) => detached = detach.error.map(|error| error.condition),
            Performative::Disposition(disposition) => accepted = disposition.state,
            other => panic!("{other}"),
        }
    }
    assert_eq!(detached, Some(ErrorCondition::MESSAGE_SIZE_EXCEEDED));
    assert_eq!(accepted, Some(DeliveryState::Accepted));
    assert_eq!(broker.queue_stats("q0").unwrap().enqueued, 1);
}

async fn tcp(broker: &Broker) -> TcpStream {
    TcpStream::connect(broker.addr().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.connections = 2)).await;
    let first = Client::connect(&broker).await;
    let second = Client::connect(&broker).await;
    let error = Client::refused(tcp(&broker).await, None).await;
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert!(error.description.unwrap().contains("2 connections"));
    assert_eq!(broker.connections(), 2, "it never counted");
    second.close().await;
    eventually("there is room", || broker.connections() == 1).await;
    Client::connect(&broker).await.close().await;
    first.close().await;
    assert_eq!(broker.shutdown(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn one_that_does_not_answer_is_not_waited_for() {
    let broker = start(Broker::builder().with_limits(|limits| limits.connections = 0)).await;
    let mut stream = tcp(&broker).await;
    let mut out = ProtocolHeader::AMQP.to_bytes().to_vec();
    Frame::put_amqp(0, &Open { container_id: "raw".into(), ..Open::default() }, &[], &mut out);
    stream.write_all(&out).await.unwrap();
    stream.read_exact(&mut [0; 8]).await.unwrap();
    assert!(matches!(next_performative(&mut stream).await, Performative::Open(_)));
    let Performative::Close(close) = next_performative(&mut stream).await else { panic!("no close") };
    assert_eq!(close.error.unwrap().condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 8])).await;
    assert!(matches!(ended.expect("it is cut off"), Ok(0) | Err(_)));
}

#[tokio::test]
async fn too_many_connections_from_an_address() {
    let limited = Broker::builder().with_limits(|limits| limits.connections_per_address = 1);
    let broker = start(limited).await;
    let first = Client::connect(&broker).await;
    let error = Client::refused(tcp(&broker).await, None).await;
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert!(error.description.unwrap().contains("address"));
    // A stream without an address is from nowhere.
    let (ours, theirs) = tokio::io::duplex(4096);
    let serving = tokio::spawn(broker.serve(theirs));
    Client::open(ours, None).await.unwrap().close().await;
    serving.await.unwrap();
    first.close().await;
    eventually("there is room", || broker.connections() == 0).await;
    Client::connect(&broker).await;
}

#[tokio::test]
async fn too_many_connections_of_a_user() {
    let users = UserFile::parse("alice:wonderland\nbob:builder", [3; 32]).unwrap();
    let limited = Broker::builder().users(users).anonymous(true).with_limits(|limits| limits.connections_per_user = 1);
    let broker = start(limited).await;
    let credentials = |user: &str, password: &str| Some((Credentials::password(user, password), false));
    let alice = Client::open(tcp(&broker).await, credentials("alice", "wonderland")).await.unwrap();
    let error = Client::refused(tcp(&broker).await, credentials("alice", "wonderland")).await;
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert!(error.description.unwrap().contains("user"));
    let _bob = Client::open(tcp(&broker).await, credentials("bob", "builder")).await.unwrap();
    let _nobody = [Client::connect(&broker).await, Client::connect(&broker).await];
    alice.close().await;
    eventually("her place is free", || broker.connections() == 3).await;
    Client::open(tcp(&broker).await, credentials("alice", "wonderland")).await.unwrap();
}

#[tokio::test]
async fn too_many_links_and_nodes() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| {
        limits.links_per_connection = 4;
        limits.links_per_session = 3;
        limits.nodes = 2;
    }))
    .await;
    let mut client = Client::connect(&broker).await;
    for _ in 0..3 {
        client.sender("q0").await.unwrap();
    }
    // More often than there are links: whoever answers a refusal may try again.
    for _ in 0..10 {
        let error = client.sender("q0").await.unwrap_err();
        assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
        assert!(error.description.unwrap().contains("session"));
    }
    client.begin().await;
    client.sender("q0").await.unwrap();
    let error = client.sender("q0").await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert!(error.description.unwrap().contains("connection"));

    let mut client = Client::connect(&broker).await;
    let on_demand = |name: &str| {
        let capabilities = vec![postroad_codec::v1_0::Symbol::from_static("create-on-demand")];
        Target { capabilities: capabilities.into(), ..Target::at(name) }
    };
    client.attach_target(on_demand("q1")).await.unwrap();
    assert_refused(client.attach_target(on_demand("q2")).await, &ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert!(broker.declare_queue("q2").is_err());
    broker.delete_queue("q1");
    assert!(broker.declare_queue("q2").is_ok());
}

#[tokio::test]
async fn a_session_beyond_the_limit_is_a_framing_error() {
    let broker = start(Broker::builder().with_limits(|limits| limits.sessions_per_connection = 2)).await;
    let mut client = Client::connect(&broker).await;
    assert_eq!(client.engine.remote_open().unwrap().channel_max, 1);
    client.begin().await;
    assert!(client.engine.begin().is_err(), "our own engine keeps to it");

    let mut stream = tcp(&broker).await;
    let mut out = ProtocolHeader::AMQP.to_bytes().to_vec();
    Frame::put_amqp(0, &Open { container_id: "raw".into(), ..Open::default() }, &[], &mut out);
    Frame::put_amqp(2, &Begin { incoming_window: 1, outgoing_window: 1, ..Begin::default() }, &[], &mut out);
    stream.write_all(&out).await.unwrap();
    stream.read_exact(&mut [0; 8]).await.unwrap();
    assert!(matches!(next_performative(&mut stream).await, Performative::Open(_)));
    let Performative::Close(close) = next_performative(&mut stream).await else { panic!("no close") };
    assert_eq!(close.error.unwrap().condition, ErrorCondition::FRAMING_ERROR);
}

#[tokio::test]
async fn a_client_that_answers_no_detach_is_closed() {
    let broker = start(Broker::builder().with_limits(|limits| limits.links_per_connection = 5)).await;
    let mut stream = tcp(&broker).await;
    let mut out = ProtocolHeader::AMQP.to_bytes().to_vec();
    Frame::put_amqp(0, &Open { container_id: "raw".into(), ..Open::default() }, &[], &mut out);
    for session in 0..3 {
        Frame::put_amqp(session, &Begin { incoming_window: 1, outgoing_window: 1, ..Begin::default() }, &[], &mut out);
        for handle in 0..4 {
            let attach = Attach {
                name: format!("link-{session}-{handle}").into(),
                handle: Handle(handle),
                role: Role::Sender,
                source: Some(Box::default()),
                target: Some(Box::new(Target::at("nowhere").into())),
                initial_delivery_count: Some(SequenceNo(0)),
                ..Attach::default()
            };
            Frame::put_amqp(session, &attach, &[], &mut out);
        }
    }
    stream.write_all(&out).await.unwrap();
    stream.read_exact(&mut [0; 8]).await.unwrap();
    let mut refused = 0;
    loop {
        match next_performative(&mut stream).await {
            Performative::Detach(detach) => {
                assert_eq!(detach.error.unwrap().condition, ErrorCondition::NOT_FOUND);
                refused += 1;
            }
            Performative::Close(close) => {
                assert_eq!(close.error.unwrap().condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(refused, 6);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_off() {
    let broker = start(Broker::builder().handshake_timeout(Duration::from_millis(100))).await;
    let mut silent = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), silent.read(&mut [0; 8])).await;
    assert_eq!(ended.unwrap().unwrap(), 0);
    drop(silent);
    eventually("it is forgotten", || broker.connections() == 0).await;
}

#[tokio::test]
async fn a_client_that_falls_silent_is_given_up() {
    let broker = start(Broker::builder().queue("q0").idle_timeout(Some(Duration::from_millis(200)))).await;
    let mut client = Client::connect(&broker).await;
    let told = client.engine.remote_open().unwrap().idle_time_out.unwrap();
    assert_eq!(told.0, 100);
    let error = client.closed().await;
    let postroad_amqp::v1_0::ConnectionError::Remote(error) = error else { panic!("{error:?}") };
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
}

#[tokio::test]
async fn other_protocols_are_told_what_is_spoken_here() {
    let broker = broker().await;
    for first in [&b"AMQP\x00\x00\x09\x01"[..], b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 2, 0, 1, 0, 1]] {
        let mut stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
        stream.write_all(first).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, b"AMQP\x00\x01\x00\x00", "to {first:?}");
    }
    // Noise behind a good start ends the connection, not the broker.
    let mut stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    stream.write_all(b"AMQP\x00\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"AMQP\x00\x01\x00\x00"));
    Client::connect(&broker).await;
}

#[tokio::test]
async fn a_consumer_without_credit_may_ask_what_there_is() {
    let broker = broker().await;
    let mut stream = tcp(&broker).await;
    let mut out = ProtocolHeader::AMQP.to_bytes().to_vec();
    Frame::put_amqp(0, &Open { container_id: "raw".into(), ..Open::default() }, &[], &mut out);
    let begin = Begin { incoming_window: 100, outgoing_window: 100, ..Begin::default() };
    Frame::put_amqp(0, &begin, &[], &mut out);
    let attach = Attach {
        name: "link".into(),
        handle: Handle(0),
        role: Role::Receiver,
        source: Some(Box::new(Source::at("q0"))),
        target: Some(Box::new(Target::default().into())),
        ..Attach::default()
    };
    Frame::put_amqp(0, &attach, &[], &mut out);
    stream.write_all(&out).await.unwrap();
    stream.read_exact(&mut [0; 8]).await.unwrap();
    for _ in 0..3 {
        next_performative(&mut stream).await;
    }
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    for count in 1..4 {
        client.send_all(sender, ["x".to_owned()]).await;
        let ask = Flow {
            next_incoming_id: Some(TransferNumber(0)),
            incoming_window: 100,
            next_outgoing_id: TransferNumber(0),
            outgoing_window: 100,
            handle: Some(Handle(0)),
            delivery_count: Some(SequenceNo(0)),
            link_credit: Some(0),
            echo: true,
            ..Flow::default()
        };
        let mut out = Vec::new();
        Frame::put_amqp(0, &ask, &[], &mut out);
        stream.write_all(&out).await.unwrap();
        let Performative::Flow(flow) = performative(&mut stream).await else { panic!("no flow") };
        assert_eq!(flow.available, Some(count));
    }
}

#[tokio::test]
async fn several_senders_that_keep_to_their_credit_are_not_rejected() {
    const SENDERS: usize = 4;
    const EACH: usize = 100;
    for node in ["q0", "t"] {
        let builder = Broker::builder().queue("q0").topic("t").with_limits(|limits| {
            limits.queue_messages = 40;
            limits.subscription_messages = 40;
        });
        let broker = start(builder).await;
        let mut reader = Client::connect(&broker).await;
        let receiver = reader.receiver(node, 5).await.unwrap();
        // All are there before any sends: one that comes late may be promised what is an earlier one's.
        let mut clients = Vec::new();
        for _ in 0..SENDERS {
            let mut client = Client::connect(&broker).await;
            let sender = client.sender(node).await.unwrap();
            clients.push((client, sender));
        }
        let sending: Vec<_> = clients
            .into_iter()
            .map(|(mut client, sender)| {
                tokio::spawn(async move {
                    let mut tokens = Vec::new();
                    for text in numbered(0..EACH) {
                        tokens.push(client.send(sender, &text).await);
                    }
                    let mut rejected = 0;
                    for token in tokens {
                        let state = client.outcome(sender, token).await.state;
                        rejected += usize::from(state != Some(DeliveryState::Accepted));
                    }
                    rejected
                })
            })
            .collect();
        let mut came = 0;
        while let Some(delivery) = reader.receive_within(receiver, Duration::from_secs(2)).await {
            reader.accept(receiver, delivery.number);
            reader.engine.receiver(receiver).set_credit(5);
            reader.flush().await;
            came += 1;
            if came == SENDERS * EACH {
                break;
            }
        }
        let mut rejected = 0;
        for sender in sending {
            rejected += sender.await.unwrap();
        }
        assert_eq!((came, rejected), (SENDERS * EACH, 0), "{node}");
    }
}
