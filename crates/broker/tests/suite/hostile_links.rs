//! Clients that tell nonsense of links which they attach again: the smallest scope is lost, and nothing leaks.

use std::time::Duration;

use postroad_amqp::sasl::{Credentials, UserFile};
use postroad_amqp::v1_0::Config;
use postroad_broker::{Broker, QueueStats};
use postroad_codec::v1_0::{
    Attach, DeliveryState, Encode as _, ErrorCondition, Map, Message, Performative, Reader, ReceiverSettleMode, Role,
    TerminusExpiryPolicy, Value,
};
use postroad_testkit::{attach_receiver, attach_sender, detach, flow, transfer};
use tokio::net::TcpStream;

use crate::client::{Client, numbered};
use crate::resuming::{receiver, receives, sends, source, target};
use crate::wire::Raw;
use crate::{broker, eventually, start};

fn stats(broker: &Broker) -> QueueStats {
    broker.queue_stats("q0").unwrap()
}

/// The attach of a receiver named `a` that asks to be kept, with a map.
fn attach(handle: u32, map: Option<Map>) -> Vec<u8> {
    let attach = attach_receiver("a").handle(handle).with(|attach| {
        attach.source = Some(Box::new(source("q0", TerminusExpiryPolicy::CONNECTION_CLOSE, 300)));
        attach.rcv_settle_mode = ReceiverSettleMode::SECOND;
        attach.unsettled = map;
    });
    attach.to_bytes()
}

fn tag(tag: impl AsRef<[u8]>) -> Value {
    Value::Binary(tag.as_ref().to_vec().into())
}

fn accepted() -> Value {
    use postroad_codec::v1_0::Decode as _;
    let mut bytes = Vec::new();
    DeliveryState::Accepted.encode(&mut bytes);
    Value::decode(&mut Reader::from_slice(&bytes)).unwrap()
}

async fn answer(raw: &mut Raw) -> Box<Attach> {
    match raw.until(|frame| matches!(frame, Performative::Attach(_))).await {
        Performative::Attach(attach) => attach,
        other => panic!("{other:?}"),
    }
}

/// A broker with three messages, of which two were sent over the link `a` of the test's container.
async fn with_two_unsettled() -> (Broker, Raw) {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..3)).await;
    client.close().await;
    let mut raw = Raw::begun(&broker).await;
    raw.write(&attach(0, None)).await;
    raw.write(&flow().handle(0).link_credit(2).to_bytes()).await;
    for _ in 0..2 {
        raw.until(|frame| matches!(frame, Performative::Transfer(_))).await;
    }
    raw.write(&detach().handle(0).to_bytes()).await;
    raw.until(|frame| matches!(frame, Performative::Detach(_))).await;
    assert_eq!(broker.suspended_links(), 1);
    (broker, raw)
}

#[tokio::test]
async fn a_map_that_is_none_leaves_the_link_where_it_was() {
    let (broker, mut raw) = with_two_unsettled().await;
    let maps = [
        Map(vec![(Value::Uint(1), Value::Null)]),
        Map(vec![(tag([0; 40]), Value::Null)]),
        Map(vec![(tag([0]), Value::String("accepted".into()))]),
    ];
    for (handle, map) in maps.into_iter().enumerate() {
        raw.write(&attach(handle as u32, Some(map))).await;
        assert_eq!(raw.ended_by().await, ("link", ErrorCondition::INVALID_FIELD));
        raw.write(&detach().handle(handle as u32).to_bytes()).await;
        eventually("it is suspended again", || broker.suspended_links() == 1).await;
        assert_eq!((stats(&broker).unsettled, stats(&broker).ready), (2, 1));
    }
    raw.write(&attach(7, Some(Map(vec![(tag([0]), accepted()), (tag([1]), accepted())])))).await;
    raw.write(&flow().handle(7).delivery_count(2).link_credit(10).to_bytes()).await;
    eventually("both are settled", || stats(&broker).settled == 2).await;
}

#[tokio::test]
async fn deliveries_that_never_were_settle_nothing() {
    let (broker, mut raw) = with_two_unsettled().await;
    let map = Map(vec![
        (tag(b"never"), accepted()),
        (tag([0]), Value::Null),
        (tag([1]), Value::Null),
        (tag([9]), accepted()),
    ]);
    raw.write(&attach(0, Some(map))).await;
    assert_eq!(answer(&mut raw).await.unsettled.unwrap().len(), 2);
    raw.write(&flow().handle(0).delivery_count(2).link_credit(10).to_bytes()).await;
    // The two once more, and the third.
    for _ in 0..3 {
        raw.until(|frame| matches!(frame, Performative::Transfer(_))).await;
    }
    assert_eq!((stats(&broker).settled, stats(&broker).unsettled, stats(&broker).ready), (0, 3, 0));
}

#[tokio::test]
async fn a_link_may_be_attached_and_left_any_number_of_times() {
    let (broker, mut raw) = with_two_unsettled().await;
    let whole = || Some(Map(vec![(tag([0]), Value::Null), (tag([1]), Value::Null)]));
    // Everything in one write, and no answer is waited for.
    let mut bytes = Vec::new();
    for round in 0..20_u32 {
        bytes.extend(attach(round, whole()));
        if round % 3 == 0 {
            bytes.extend(detach().handle(round).to_bytes());
        }
    }
    raw.write(&bytes).await;
    eventually("the last one is attached", || broker.suspended_links() == 0).await;
    drop(raw);
    eventually("it is suspended", || broker.suspended_links() == 1 && broker.connections() == 0).await;
    assert_eq!((stats(&broker).unsettled, stats(&broker).ready, stats(&broker).consumers), (2, 1, 1));
    assert_eq!(broker.forget_suspended_links(), 1);
    assert_eq!((stats(&broker).unsettled, stats(&broker).ready, stats(&broker).consumers), (0, 3, 0));
}

#[tokio::test]
async fn messages_before_the_attach_is_answered_cost_the_link_alone() {
    let broker = broker().await;
    // Somebody has the link who does not answer.
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let mut serving = Box::pin(broker.serve(theirs));
    let opening = async {
        // The container of the raw client.
        let mut client = Client::open_with(ours, None, Config::new("peer")).await.unwrap();
        let terms = sends(target("q0", TerminusExpiryPolicy::CONNECTION_CLOSE, 300));
        client.attach_as("a", Role::Sender, terms).await.unwrap();
        client
    };
    let _holder = tokio::select! {
        opened = opening => opened,
        () = &mut serving => panic!("it is over"),
    };
    let mut raw = Raw::begun(&broker).await;
    let address = postroad_codec::v1_0::Target::at("q0");
    raw.write(&attach_sender("a").target(address).to_bytes()).await;
    raw.write(&transfer(0).payload(Message::from("early").to_bytes()).to_bytes()).await;
    assert_eq!(raw.ended_by().await, ("link", ErrorCondition::TRANSFER_LIMIT_EXCEEDED));
    raw.attach_sender("b", 1).await;
    assert_eq!((stats(&broker).enqueued, stats(&broker).producers), (0, 2));
    drop(serving);
    eventually("the holder's is suspended", || broker.suspended_links() == 1).await;
    drop(raw);
    eventually("nothing else is left", || stats(&broker).producers == 1 && broker.connections() == 0).await;
}

#[tokio::test]
async fn nobody_gets_the_link_of_another_user() {
    let users = UserFile::parse("alice:{plain}wonderland\nbob:{plain}builder", [3; 32]).unwrap();
    let builder = Broker::builder().queue("q0").users(users).anonymous(true);
    let broker = start(builder.with_limits(|limits| limits.resumable_links_per_user = 1)).await;
    let open = async |user: &str, password: &str| {
        let stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
        let credentials = Some((Credentials::password(user, password), true));
        Client::open_with(stream, credentials, Config::new("c")).await.unwrap()
    };
    let mut alice = open("alice", "wonderland").await;
    let plain = alice.sender("q0").await.unwrap();
    alice.send_all(plain, numbered(0..1)).await;
    let link = receiver(&mut alice, "a", 1).await;
    alice.receive(link).await;
    let mut bob = open("bob", "builder").await;
    let bobs = receiver(&mut bob, "a", 1).await;
    bob.expect_nothing(bobs).await;
    let mut nobody = Client::connect_as(&broker, "c").await;
    receiver(&mut nobody, "a", 1).await;
    assert!(alice.engine.is_attached(link));

    // Each user has one, and nobody's second costs them nothing.
    let second = receiver(&mut alice, "b", 0).await;
    let granted = alice.engine.remote_attach(second).unwrap().source.clone().unwrap();
    assert_eq!(granted.timeout.0, 0);
    receiver(&mut nobody, "b", 0).await;
    let mut state = alice.lose(link);
    eventually("it is suspended", || broker.suspended_links() == 1).await;
    let mut copy = state.clone();
    let terms = || receives(source("q0", TerminusExpiryPolicy::CONNECTION_CLOSE, 300));
    bob.detach(bobs).await;
    let bobs = bob.resume(&mut copy, terms()).await;
    bob.engine.receiver(bobs).set_credit(10);
    assert!(bob.receive_within(bobs, Duration::from_millis(100)).await.is_none());
    assert_eq!((broker.suspended_links(), stats(&broker).unsettled), (1, 1));
    let mut alice = open("alice", "wonderland").await;
    let link = alice.resume(&mut state, terms()).await;
    alice.engine.receiver(link).set_credit(1);
    assert_eq!(broker.suspended_links(), 0);
}
