//! Messages whose time runs out.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    DeliveryState, DistributionMode, Fields, Header, Message, Milliseconds, NodeProperties, Properties, Sections,
    Source, Timestamp, Value,
};

use crate::client::{Client, numbered, text};
use crate::{broker, eventually, start};

fn living(text: &str, ttl: u32) -> Bytes {
    let header = Header { ttl: Some(Milliseconds(ttl)), ..Header::default() };
    Message { header: Some(header), ..Message::from(text) }.to_bytes()
}

#[tokio::test]
async fn an_expired_message_is_delivered_to_nobody() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let past =
        Properties { absolute_expiry_time: Some(Timestamp(epoch.as_millis() as i64 - 1)), ..Properties::default() };
    let past = Message { properties: Some(Box::new(past)), ..Message::from("too late") }.to_bytes();
    for payload in [living("short", 1), past, living("long", 3_600_000), Message::from("for ever").to_bytes()] {
        let token = client.send_with(sender, &payload, false).await;
        assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Accepted));
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let browse = Source { distribution_mode: Some(DistributionMode::COPY), ..Source::at("q0") };
    let browser = client.attach_source(browse, 10).await.unwrap();
    let receiver = client.receiver("q0", 10).await.unwrap();
    for link in [browser, receiver] {
        assert_eq!(client.receive_text(link).await, "long");
        assert_eq!(client.receive_text(link).await, "for ever");
        client.expect_nothing(link).await;
    }
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.enqueued, stats.expired), (4, 2));
}

#[tokio::test]
async fn what_is_left_of_the_ttl_is_told() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let payload = living("x", 3_600_000);
    client.send_with(sender, &payload, false).await;
    client.flush().await;
    eventually("it has come", || broker.queue_stats("q0").unwrap().enqueued == 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    let delivery = client.receive(receiver).await;
    let (sent, came) = (Sections::find(payload).unwrap(), Sections::find(delivery.payload).unwrap());
    let ttl = came.header().unwrap().unwrap().ttl.unwrap().0;
    assert!((3_000_000..=3_600_000 - 19).contains(&ttl), "{ttl}");
    assert_eq!(came.bare(), sent.bare());
}

#[tokio::test]
async fn what_expires_unseen_is_removed_and_lets_senders_go_on() {
    let limited = Broker::builder().queue("q0").topic("t").with_limits(|limits| {
        limits.queue_messages = 10;
        limits.subscription_messages = 10;
    });
    let broker = start(limited).await;
    let mut client = Client::connect(&broker).await;
    client.receiver("t", 0).await.unwrap();
    for node in ["q0", "t"] {
        let sender = client.sender(node).await.unwrap();
        for _ in 0..10 {
            let token = client.send_with(sender, &living("x", 50), false).await;
            assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Accepted));
        }
        // No receiver comes by: credit comes because they have expired.
        client.send_all(sender, numbered(0..1)).await;
    }
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.expired, stats.ready), (10, 1));
    let stats = broker.topic_stats("t").unwrap();
    assert_eq!((stats.expired, stats.ready), (10, 1));
}

#[tokio::test]
async fn a_node_goes_with_its_last_message_that_expires() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let mut fields = Fields::default();
    let policy = Value::described(Value::Ulong(0x2e), Value::List(Vec::new()));
    fields.0.insert(Value::Symbol("lifetime-policy".into()), policy);
    let source = Source { dynamic: true, dynamic_node_properties: Some(NodeProperties(fields)), ..Source::default() };
    let receiver = client.attach_source(source, 0).await.unwrap();
    let name = client.engine.remote_attach(receiver).unwrap().source.clone().unwrap().address.unwrap().to_string();
    let sender = client.sender(&name).await.unwrap();
    client.send_with(sender, &living("x", 200), false).await;
    client.flush().await;
    eventually("it has come", || broker.queue_stats(&name).unwrap().enqueued == 1).await;
    client.close().await;
    eventually("it is gone", || broker.queue_stats(&name).is_none()).await;
}

#[tokio::test]
async fn what_is_released_too_late_does_not_come_again() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_with(sender, &living("x", 300), false).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    // A slow machine may have lost it already.
    if let Some(delivery) = client.receive_within(receiver, Duration::from_millis(300)).await {
        assert_eq!(text(&delivery), "x");
        tokio::time::sleep(Duration::from_millis(310)).await;
        assert_eq!(broker.queue_stats("q0").unwrap().unsettled, 1, "its consumer may still settle it");
        client.settle(receiver, delivery.number, DeliveryState::Released);
        client.engine.receiver(receiver).set_credit(1);
    }
    client.expect_nothing(receiver).await;
    eventually("it is gone", || broker.queue_stats("q0").unwrap().expired == 1).await;
}
