//! What becomes of messages that are rejected, expire or fail too often.

use bytes::Bytes;
use postroad_amqp::v1_0::{Delivery, LinkId};
use postroad_broker::{Broker, NodeOptions};
use postroad_codec::v1_0::{
    DeliveryState, Error, ErrorCondition, Header, Message, MessageAnnotations, Milliseconds, Outcome, Sections, Value,
};

use crate::client::{Client, numbered, text};
use crate::{eventually, start};

fn dead_letter(node: &str) -> NodeOptions {
    NodeOptions::default().dead_letter(node)
}

fn annotation(delivery: &Delivery, key: &str) -> Option<Value> {
    let MessageAnnotations(annotations) =
        Sections::find(delivery.payload.clone()).unwrap().message_annotations().unwrap()?;
    annotations.0.get_str(key).cloned()
}

fn reason(delivery: &Delivery) -> (String, String) {
    let get = |key| annotation(delivery, key).unwrap().as_str().unwrap().to_owned();
    (get("x-opt-dead-letter-reason"), get("x-opt-dead-letter-source"))
}

/// Fails a delivery, and takes the message again.
async fn fail(client: &mut Client, link: LinkId, delivery: &Delivery) {
    client.settle(link, delivery.number, Outcome::modified(true, false, None));
    client.engine.receiver(link).set_credit(1);
    client.flush().await;
}

#[tokio::test]
async fn a_rejected_message_says_why_and_where_from() {
    let broker = start(Broker::builder().queue_with("q0", dead_letter("dead"))).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let mut message = Message::from("x");
    message.header = Some(Header { durable: Some(true), ttl: Some(Milliseconds(3_600_000)), ..Header::default() });
    let sent = message.to_bytes();
    client.send_with(sender, &sent, false).await;
    client.send_all(sender, ["y".to_owned()]).await;
    let receiver = client.receiver("q0", 2).await.unwrap();
    let first = client.receive(receiver).await;
    let why = Error::new(ErrorCondition::DECODE_ERROR, "no such colour");
    client.settle(receiver, first.number, Outcome::rejected(Some(why)));
    let second = client.receive(receiver).await;
    client.settle(receiver, second.number, Outcome::rejected(None));

    let dead = client.receiver("dead", 10).await.unwrap();
    let letter = client.receive(dead).await;
    assert_eq!(reason(&letter), ("rejected".into(), "q0".into()));
    let condition = annotation(&letter, "x-opt-dead-letter-condition");
    assert_eq!(condition, Some(Value::Symbol("amqp:decode-error".into())));
    let description = annotation(&letter, "x-opt-dead-letter-description");
    assert_eq!(description, Some(Value::String("no such colour".into())));
    let sections = Sections::find(letter.payload.clone()).unwrap();
    assert_eq!(sections.bare(), Sections::find(sent).unwrap().bare());
    // It expires no more.
    assert_eq!(sections.header().unwrap(), Some(Header { durable: Some(true), ..Header::default() }));
    client.accept(dead, letter.number);
    let letter = client.receive(dead).await;
    assert_eq!((text(&letter).as_str(), annotation(&letter, "x-opt-dead-letter-condition")), ("y", None));
    client.accept(dead, letter.number);
    client.flush().await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.dead_lettered, stats.ready + stats.unsettled, stats.bytes), (2, 0, 0));
    eventually("both are settled", || broker.queue_stats("dead").unwrap().settled == 2).await;
}

#[tokio::test]
async fn what_fails_too_often_goes_to_nobody_else() {
    let options = dead_letter("dead").max_deliveries(3);
    let broker = start(Broker::builder().queue("q0").node_defaults(options)).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    for _ in 0..2 {
        let delivery = client.receive(receiver).await;
        fail(&mut client, receiver, &delivery).await;
    }
    // A release is no failure.
    let delivery = client.receive(receiver).await;
    client.settle(receiver, delivery.number, DeliveryState::Released);
    client.engine.receiver(receiver).set_credit(1);
    // A link that is gone is one.
    client.receive(receiver).await;
    client.close().await;
    let mut client = Client::connect(&broker).await;
    let dead = client.receiver("dead", 1).await.unwrap();
    for count in 3..6 {
        // There it has as many deliveries again; its own dead letters would come back to it, and are dropped.
        let letter = client.receive(dead).await;
        assert_eq!(reason(&letter), ("delivery-limit".into(), "q0".into()));
        let header = Sections::find(letter.payload.clone()).unwrap().header().unwrap().unwrap();
        assert_eq!(header.delivery_count, Some(count));
        fail(&mut client, dead, &letter).await;
    }
    client.expect_nothing(dead).await;
    assert_eq!(broker.queue_stats("q0").unwrap().ready, 0);
}

#[tokio::test]
async fn what_expires_is_kept_for_whoever_looks() {
    let broker = start(Broker::builder().queue_with("q0", dead_letter("dead"))).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let header = Header { ttl: Some(Milliseconds(1)), ..Header::default() };
    let message = Message { header: Some(header), ..Message::from("x") }.to_bytes();
    client.send_with(sender, &message, false).await;
    let dead = client.receiver("dead", 1).await.unwrap();
    // Nobody reads the queue: it is found without.
    let letter = client.receive(dead).await;
    assert_eq!((text(&letter), reason(&letter)), ("x".into(), ("expired".into(), "q0".into())));
    assert_eq!(Sections::find(letter.payload).unwrap().header().unwrap(), None);
}

#[tokio::test]
async fn dead_letters_never_go_round() {
    let builder = Broker::builder()
        .queue_with("a", dead_letter("b"))
        .queue_with("b", dead_letter("c"))
        .queue_with("c", dead_letter("a"))
        .queue_with("self", dead_letter("self"));
    let broker = start(builder).await;
    let mut client = Client::connect(&broker).await;
    for (queue, last) in [("a", "c"), ("self", "self")] {
        let sender = client.sender(queue).await.unwrap();
        client.send_all(sender, numbered(0..1)).await;
        let mut node = queue.to_owned();
        loop {
            let receiver = client.receiver(&node, 1).await.unwrap();
            let delivery = client.receive(receiver).await;
            client.settle(receiver, delivery.number, Outcome::rejected(None));
            client.detach(receiver).await;
            if node == last {
                break;
            }
            node = if node == "a" { "b" } else { "c" }.to_owned();
        }
    }
    let empty = |name| {
        let stats = broker.queue_stats(name).unwrap();
        stats.ready + stats.unsettled == 0
    };
    eventually("they are gone", || ["a", "b", "c", "self"].into_iter().all(empty)).await;
    assert_eq!(broker.queue_stats("a").unwrap().enqueued, 1);
}

#[tokio::test]
async fn a_full_dead_letter_queue_costs_the_letters_alone() {
    let builder = Broker::builder().queue("q0").node_defaults(dead_letter("dead"));
    let broker = start(builder.with_limits(|limits| limits.queue_messages = 3)).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let receiver = client.receiver("q0", 10).await.unwrap();
    for name in numbered(0..5) {
        client.send_all(sender, [name]).await;
        let delivery = client.receive(receiver).await;
        client.settle(receiver, delivery.number, Outcome::rejected(None));
        client.flush().await;
    }
    eventually("two are lost", || broker.queue_stats("dead").unwrap().dropped == 2).await;
    assert_eq!(broker.queue_stats("dead").unwrap().ready, 3);
    // A dead-letter node that was deleted is made anew.
    broker.delete_queue("dead");
    client.send_all(sender, numbered(5..6)).await;
    let delivery = client.receive(receiver).await;
    client.settle(receiver, delivery.number, Outcome::rejected(None));
    client.flush().await;
    eventually("it has it", || broker.queue_stats("dead").is_some_and(|stats| stats.ready == 1)).await;
}

#[tokio::test]
async fn a_subscription_has_dead_letters_too_and_a_topic_may_take_them() {
    let broker = start(Broker::builder().topic_with("t", dead_letter("morgue")).topic("morgue")).await;
    let mut client = Client::connect(&broker).await;
    let readers = [client.receiver("morgue", 1).await.unwrap(), client.receiver("morgue", 1).await.unwrap()];
    let receiver = client.receiver("t", 1).await.unwrap();
    let sender = client.sender("t").await.unwrap();
    let garbage = Bytes::from_static(b"no message at all");
    for payload in [Message::from("x").to_bytes(), garbage.clone()] {
        client.send_with(sender, &payload, false).await;
        let delivery = client.receive(receiver).await;
        client.settle(receiver, delivery.number, Outcome::rejected(None));
        client.engine.receiver(receiver).set_credit(1);
        for reader in readers {
            let letter = client.receive(reader).await;
            client.accept(reader, letter.number);
            client.engine.receiver(reader).set_credit(1);
            if payload == garbage {
                assert_eq!(letter.payload, garbage, "what cannot be annotated goes as it came");
            } else {
                assert_eq!(reason(&letter), ("rejected".into(), "t".into()));
            }
        }
    }
}

#[tokio::test]
async fn without_a_dead_letter_node_they_are_dropped() {
    let broker = start(Broker::builder().queue_with("q0", NodeOptions::default().max_deliveries(1))).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..2)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    let delivery = client.receive(receiver).await;
    fail(&mut client, receiver, &delivery).await;
    let delivery = client.receive(receiver).await;
    assert_eq!(text(&delivery), "m1");
    client.settle(receiver, delivery.number, Outcome::rejected(None));
    client.flush().await;
    eventually("none is left", || broker.queue_stats("q0").unwrap().bytes == 0).await;
    assert_eq!(broker.queues(), ["q0"]);
}
