//! Clients that ask for little, leave without a word or never settle.

use std::time::Duration;

use bytes::Bytes;
use postroad_amqp::v1_0::{Config, Event, LinkTerms};
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    Attach, Begin, DistributionMode, ErrorCondition, Flow, Frame, Handle, Message, Open, Performative, ProtocolHeader,
    ReceiverSettleMode, Role, SequenceNo, Source, Target, TransferNumber,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::broker;
use crate::client::{Client, assert_refused, numbered};

async fn connect_with(broker: &Broker, change: impl FnOnce(&mut Config)) -> Client {
    let stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    let mut config = Config::new("test");
    change(&mut config);
    Client::open_with(stream, None, config).await.unwrap()
}

fn large(size: usize) -> Bytes {
    Message::from(vec![7; size]).to_bytes()
}

#[tokio::test]
async fn a_browser_with_a_small_window_misses_nothing() {
    let broker = broker().await;
    let mut producer = Client::connect(&broker).await;
    let sender = producer.sender("q0").await.unwrap();
    for _ in 0..5 {
        let token = producer.send_with(sender, &large(2000), false).await;
        producer.outcome(sender, token).await;
    }
    let mut client = connect_with(&broker, |config| {
        config.max_frame_size = 512;
        config.incoming_window = 2;
    })
    .await;
    let source = Source { distribution_mode: Some(DistributionMode::COPY), ..Source::at("q0") };
    let browser = client.attach_source(source, 10).await.unwrap();
    for number in 0..5 {
        let delivery = client.receive_within(browser, Duration::from_secs(2)).await;
        assert!(delivery.is_some(), "message {number} was left out");
    }
    client.expect_nothing(browser).await;
}

#[tokio::test]
async fn what_is_too_large_for_a_consumer_does_not_hold_up_the_rest() {
    for mode in [DistributionMode::MOVE, DistributionMode::COPY] {
        let broker = broker().await;
        let mut client = Client::connect(&broker).await;
        let sender = client.sender("q0").await.unwrap();
        for _ in 0..3 {
            // More than what may wait for the socket: each fills a batch by itself.
            let token = client.send_with(sender, &large(300_000), false).await;
            client.outcome(sender, token).await;
        }
        client.send_all(sender, numbered(0..3)).await;
        let source = Source { distribution_mode: Some(mode), ..Source::at("q0") };
        let terms = LinkTerms {
            source: Some(source),
            target: Some(Target::default().into()),
            max_message_size: 1000,
            ..LinkTerms::default()
        };
        let receiver = client.attach(Role::Receiver, terms).await.unwrap();
        client.engine.receiver(receiver).set_credit(10);
        for expected in numbered(0..3) {
            assert_eq!(client.receive_text(receiver).await, expected);
        }
        client.expect_nothing(receiver).await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_a_refusal() {
    let broker = broker().await;
    let name = "n".repeat(600);
    broker.declare_queue(&name).unwrap();
    let mut client = connect_with(&broker, |config| config.max_frame_size = 512).await;
    assert_refused(client.receiver(&name, 1).await, &ErrorCondition::FRAME_SIZE_TOO_SMALL);
    assert_refused(client.sender(&name).await, &ErrorCondition::FRAME_SIZE_TOO_SMALL);
    // What the error tells of a name fits too.
    assert_refused(client.sender(&"\u{1}".repeat(600)).await, &ErrorCondition::NOT_FOUND);
    client.sender("q0").await.unwrap();

    // Not even a refusal can name this link.
    let terms = LinkTerms { target: Some(Target::at("q0").into()), ..LinkTerms::default() };
    let session = client.session();
    client.engine.attach(session, name, Role::Sender, terms).unwrap();
    let error = client
        .wait("end", |event| match event {
            Event::SessionEnded { error, .. } => Some(error.clone()),
            _ => None,
        })
        .await;
    assert_eq!(error.unwrap().condition, ErrorCondition::FRAME_SIZE_TOO_SMALL);
}

#[tokio::test]
async fn a_sender_that_never_settles_gets_no_credit_for_ever() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let terms = LinkTerms {
        target: Some(Target::at("q0").into()),
        source: Some(Source::default()),
        rcv_settle_mode: ReceiverSettleMode::SECOND,
        auto_settle: false,
        ..LinkTerms::default()
    };
    let sender = client.attach(Role::Sender, terms).await.unwrap();
    let payload = Message::from("a").to_bytes();
    let mut sent = 0;
    while let Ok(token) = tokio::time::timeout(Duration::from_secs(1), client.send_with(sender, &payload, false)).await
    {
        sent = token + 1;
        assert!(sent < 20_000, "there is always credit");
    }
    let mut settled = 0;
    while settled < sent {
        let number = client
            .wait("outcome", |event| match event {
                Event::Update(update) => Some(update.delivery),
                _ => None,
            })
            .await;
        client.engine.sender(sender).settle(number);
        settled += 1;
    }
    client.send_with(sender, &payload, false).await;
}

#[tokio::test]
async fn an_echo_tells_how_much_is_left() {
    let broker = broker().await;
    let mut producer = Client::connect(&broker).await;
    let sender = producer.sender("q0").await.unwrap();
    producer.send_all(sender, numbered(0..10)).await;

    let mut stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    let flow = |taken: u32, credit: u32| Flow {
        next_incoming_id: Some(TransferNumber(taken)),
        incoming_window: 100,
        next_outgoing_id: TransferNumber(0),
        outgoing_window: 100,
        handle: Some(Handle(0)),
        delivery_count: Some(SequenceNo(taken)),
        link_credit: Some(credit),
        echo: credit == 0,
        ..Flow::default()
    };
    let mut out = ProtocolHeader::AMQP.to_bytes().to_vec();
    Frame::put_amqp(0, &Open { container_id: "raw".into(), ..Open::default() }, &[], &mut out);
    let begin = Begin { incoming_window: 100, outgoing_window: 100, ..Begin::default() };
    Frame::put_amqp(0, &begin, &[], &mut out);
    let attach = Attach {
        name: "a".into(),
        role: Role::Receiver,
        source: Some(Box::new(Source::at("q0"))),
        target: Some(Box::new(Target::default().into())),
        ..Attach::default()
    };
    Frame::put_amqp(0, &attach, &[], &mut out);
    Frame::put_amqp(0, &flow(0, 4), &[], &mut out);
    stream.write_all(&out).await.unwrap();
    stream.read_exact(&mut [0; 8]).await.unwrap();
    let mut taken = 0;
    loop {
        let size = stream.read_u32().await.unwrap();
        let mut frame = size.to_be_bytes().to_vec();
        frame.resize(size as usize, 0);
        stream.read_exact(&mut frame[4..]).await.unwrap();
        match Frame::decode(&frame.into()).unwrap() {
            Frame::Amqp { performative: Performative::Transfer(_), .. } => {
                taken += 1;
                if taken == 4 {
                    let mut out = Vec::new();
                    Frame::put_amqp(0, &flow(4, 0), &[], &mut out);
                    stream.write_all(&out).await.unwrap();
                }
            }
            Frame::Amqp { performative: Performative::Flow(flow), .. } if flow.handle.is_some() => {
                assert_eq!((taken, flow.available), (4, Some(6)));
                return;
            }
            _ => {}
        }
    }
}
