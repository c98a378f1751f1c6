//! What queues do beyond keeping messages in order, as clients see it.

use std::time::Duration;

use postroad_amqp::v1_0::LinkId;
use postroad_broker::{Broker, LimitPolicy, NodeOptions, QueueSettings};
use postroad_codec::v1_0::{
    ApplicationProperties, DeliveryState, DistributionMode, ErrorCondition, Fields, Header, Map, Message,
    NodeProperties, Source, Symbol, Target, Value,
};

use crate::client::{Client, assert_refused, text};
use crate::{eventually, start};

async fn with(settings: QueueSettings) -> (Broker, Client) {
    settings.validate().expect("they go together");
    let broker = start(Broker::builder().queue_with("q", NodeOptions::default().queue(settings))).await;
    let client = Client::connect(&broker).await;
    (broker, client)
}

fn settings() -> QueueSettings {
    QueueSettings::default()
}

fn message(text: &str, priority: Option<u8>, key: &str) -> Message {
    Message {
        header: priority.map(|priority| Header { priority: Some(priority), ..Header::default() }),
        application_properties: Some(ApplicationProperties(Map::from_iter([("key", key)]))),
        ..Message::from(text)
    }
}

/// Sends messages, and answers what became of each.
async fn send(client: &mut Client, link: LinkId, messages: impl IntoIterator<Item = Message>) -> Vec<DeliveryState> {
    let mut states = Vec::new();
    for message in messages {
        let token = client.send_with(link, &message.to_bytes(), false).await;
        states.push(client.outcome(link, token).await.state.expect("it has an outcome"));
    }
    states
}

async fn expect(client: &mut Client, link: LinkId, texts: &[&str]) {
    for expected in texts {
        assert_eq!(client.receive_text(link).await, *expected);
    }
    client.expect_nothing(link).await;
}

fn browsing() -> Source {
    Source { distribution_mode: Some(DistributionMode::COPY), ..Source::at("q") }
}

#[tokio::test]
async fn priorities_go_first() {
    let (_broker, mut client) = with(settings().priorities(10)).await;
    let sender = client.sender("q").await.unwrap();
    let sent = [("low", Some(1)), ("high", Some(9)), ("none", None), ("higher", Some(9)), ("five", Some(5))];
    send(&mut client, sender, sent.map(|(text, priority)| message(text, priority, ""))).await;
    let browser = client.attach_source(browsing(), 10).await.unwrap();
    expect(&mut client, browser, &["high", "higher", "five", "none", "low"]).await;
    let receiver = client.receiver("q", 1).await.unwrap();
    let first = client.receive(receiver).await;
    send(&mut client, sender, [message("late", Some(9), "")]).await;
    client.settle(receiver, first.number, DeliveryState::Released);
    client.engine.receiver(receiver).set_credit(10);
    expect(&mut client, receiver, &["high", "higher", "late", "five", "none", "low"]).await;
}

#[tokio::test]
async fn only_the_last_value_is_kept() {
    let (broker, mut client) = with(settings().last_value_key("key").max_messages(2)).await;
    let sender = client.sender("q").await.unwrap();
    let browser = client.attach_source(browsing(), 10).await.unwrap();
    for (text, key) in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a")] {
        send(&mut client, sender, [message(text, None, key)]).await;
        assert_eq!(client.receive_text(browser).await, text);
    }
    let stats = broker.queue_stats("q").unwrap();
    assert_eq!((stats.ready, stats.replaced, stats.enqueued), (2, 2, 4));
    let receiver = client.receiver("q", 10).await.unwrap();
    expect(&mut client, receiver, &["b1", "a3"]).await;
}

#[tokio::test]
async fn a_ring_keeps_the_newest() {
    let ring = settings().max_messages(3).limit_policy(LimitPolicy::Ring);
    let options = NodeOptions::default().queue(ring).dead_letter("lost");
    let broker = start(Broker::builder().queue_with("q", options)).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q").await.unwrap();
    let texts: Vec<String> = (0..10).map(|number| format!("m{number}")).collect();
    let states = send(&mut client, sender, texts.iter().map(|text| message(text, None, ""))).await;
    assert!(states.iter().all(|state| *state == DeliveryState::Accepted));
    assert_eq!(broker.queue_stats("q").unwrap().dropped, 7);
    let receiver = client.receiver("q", 10).await.unwrap();
    expect(&mut client, receiver, &["m7", "m8", "m9"]).await;
    let lost = client.receiver("lost", 1).await.unwrap();
    let letter = client.receive(lost).await;
    let annotations = Message::from_bytes(&letter.payload).unwrap().message_annotations.unwrap();
    assert_eq!(text(&letter), "m0");
    assert_eq!(annotations.0.0.get_str("x-opt-dead-letter-reason"), Some(&Value::Symbol("overflow".into())));
}

#[tokio::test]
async fn a_full_queue_rejects_where_that_is_its_policy() {
    let (broker, mut client) = with(settings().max_messages(2).limit_policy(LimitPolicy::Reject)).await;
    let sender = client.sender("q").await.unwrap();
    let states = send(&mut client, sender, ["a", "b", "c"].map(|text| message(text, None, ""))).await;
    assert_eq!(states[..2], [DeliveryState::Accepted, DeliveryState::Accepted]);
    let DeliveryState::Rejected(rejected) = &states[2] else { panic!("{:?}", states[2]) };
    assert_eq!(rejected.error.as_ref().unwrap().condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert_eq!(broker.queue_stats("q").unwrap().ready, 2);
}

#[tokio::test]
async fn senders_wait_while_flow_is_stopped() {
    let (_broker, mut client) = with(settings().flow_messages(3, 2)).await;
    let sender = client.sender("q").await.unwrap();
    let mut accepted = 0;
    for number in 0..4 {
        accepted += send(&mut client, sender, [message(&format!("m{number}"), None, "")]).await.len();
    }
    assert_eq!(accepted, 4);
    let waited = tokio::time::timeout(Duration::from_millis(200), client.send(sender, "m4")).await;
    assert!(waited.is_err(), "no credit comes while there is so much");
    let receiver = client.receiver("q", 10).await.unwrap();
    for _ in 0..4 {
        client.receive_text(receiver).await;
    }
    // They come again once there are few enough.
    send(&mut client, sender, [message("m4", None, "")]).await;
    assert_eq!(client.receive_text(receiver).await, "m4");
}

#[tokio::test]
async fn messages_are_numbered() {
    let (_broker, mut client) = with(settings().sequence_key("number")).await;
    let sender = client.sender("q").await.unwrap();
    send(&mut client, sender, ["a", "b"].map(|text| message(text, None, "k"))).await;
    let receiver = client.receiver("q", 10).await.unwrap();
    for (expected, number) in [("a", 1), ("b", 2)] {
        let delivery = client.receive(receiver).await;
        let came = Message::from_bytes(&delivery.payload).unwrap();
        assert_eq!(text(&delivery), expected);
        assert_eq!(came.message_annotations.unwrap().0.0.get_str("number"), Some(&Value::Uint(number)));
        assert_eq!(came.application_properties, message("a", None, "k").application_properties);
    }
}

#[tokio::test]
async fn messages_expire_with_the_time_of_their_queue() {
    let (broker, mut client) = with(settings().ttl(Duration::from_millis(300))).await;
    let sender = client.sender("q").await.unwrap();
    send(&mut client, sender, [message("a", None, "")]).await;
    eventually("it is gone though nobody comes by", || broker.queue_stats("q").unwrap().expired == 1).await;
    let receiver = client.receiver("q", 1).await.unwrap();
    send(&mut client, sender, [message("b", None, "")]).await;
    let came = Message::from_bytes(&client.receive(receiver).await.payload).unwrap();
    assert_eq!(came.header.and_then(|header| header.ttl), None, "it is the queue's time, not the message's");
}

#[tokio::test]
async fn a_queue_that_is_for_browsing_gives_nothing_away() {
    let (broker, mut client) = with(settings().browse_only(true)).await;
    let sender = client.sender("q").await.unwrap();
    send(&mut client, sender, ["a", "b"].map(|text| message(text, None, ""))).await;
    for _ in 0..2 {
        let link = client.receiver("q", 10).await.unwrap();
        let source = client.engine.remote_attach(link).unwrap().source.clone().unwrap();
        assert_eq!(source.distribution_mode, Some(DistributionMode::COPY));
        expect(&mut client, link, &["a", "b"]).await;
    }
    assert_eq!(broker.queue_stats("q").unwrap().ready, 2);
    let moving = Source { distribution_mode: Some(DistributionMode::MOVE), ..Source::at("q") };
    assert_refused(client.attach_source(moving, 1).await, &ErrorCondition::NOT_ALLOWED);
}

#[tokio::test]
async fn subscriptions_have_the_settings_of_their_topic() {
    let ring = settings().max_messages(2).limit_policy(LimitPolicy::Ring).priorities(10);
    let broker = start(Broker::builder().topic_with("t", NodeOptions::default().queue(ring))).await;
    let mut client = Client::connect(&broker).await;
    let receiver = client.receiver("t", 0).await.unwrap();
    let sender = client.sender("t").await.unwrap();
    let sent = [("a", 4), ("b", 2), ("c", 9)].map(|(text, priority)| message(text, Some(priority), ""));
    send(&mut client, sender, sent).await;
    client.engine.receiver(receiver).set_credit(10);
    expect(&mut client, receiver, &["c", "a"]).await;
}

#[tokio::test]
async fn clients_ask_for_settings_and_are_told_what_is_in_force() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect(&broker).await;
    let asked = [
        ("qpid.priorities", Value::Int(10)),
        ("qpid.queue_msg_sequence", Value::from("number")),
        ("qpid.max_count", Value::Uint(2)),
        ("qpid.policy_type", Value::from("ring")),
        ("alternate-exchange", Value::from("amq.fanout")),
    ];
    let fields: Map = asked.into_iter().map(|(key, value)| (Value::Symbol(key.into()), value)).collect();
    let target = Target {
        capabilities: vec![Symbol::from_static("create-on-demand"), Symbol::from_static("queue")].into(),
        dynamic_node_properties: Some(NodeProperties(Fields(fields))),
        ..Target::at("made")
    };
    let sender = client.attach_target(target).await.unwrap();
    let answer = client.engine.remote_attach(sender).unwrap().target.clone().unwrap();
    let told = answer.as_target().unwrap().dynamic_node_properties.clone().unwrap();
    assert_eq!(told.0.0.get_str("qpid.priorities"), Some(&Value::Ulong(10)));
    assert_eq!(told.0.0.get_str("qpid.max_count"), Some(&Value::Ulong(2)));
    assert_eq!(told.0.0.get_str("qpid.policy_type"), Some(&Value::from("ring")));

    let displaced = client.receiver("amq.fanout", 10).await.unwrap();
    let sent = [("a", 4), ("b", 2), ("c", 9)].map(|(text, priority)| message(text, Some(priority), ""));
    send(&mut client, sender, sent).await;
    expect(&mut client, displaced, &["b"]).await;
    let receiver = client.receiver("made", 10).await.unwrap();
    for (expected, number) in [("c", 3), ("a", 1)] {
        let delivery = client.receive(receiver).await;
        let annotations = Message::from_bytes(&delivery.payload).unwrap().message_annotations.unwrap();
        assert_eq!(text(&delivery), expected);
        assert_eq!(annotations.0.0.get_str("number"), Some(&Value::Uint(number)));
    }
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_by_name() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect(&broker).await;
    for (settings, condition, named) in [
        (vec![("qpid.max_count", Value::from("many"))], ErrorCondition::INVALID_FIELD, "qpid.max_count"),
        (vec![("qpid.policy_type", Value::from("flow_to_disk"))], ErrorCondition::NOT_IMPLEMENTED, "flow_to_disk"),
        (vec![("qpid.shared_msg_group", Value::Int(1))], ErrorCondition::NOT_IMPLEMENTED, "qpid.shared_msg_group"),
        (
            vec![("qpid.priorities", Value::Int(5)), ("qpid.last_value_queue_key", Value::from("key"))],
            ErrorCondition::INVALID_FIELD,
            "qpid.last_value_queue_key",
        ),
    ] {
        let fields: Map = settings.into_iter().map(|(key, value)| (Value::Symbol(key.into()), value)).collect();
        let target = Target {
            capabilities: vec![Symbol::from_static("create-on-demand")].into(),
            dynamic_node_properties: Some(NodeProperties(Fields(fields))),
            ..Target::at("made")
        };
        let error = client.attach_target(target).await.unwrap_err();
        assert_eq!(error.condition, condition, "{named}");
        assert!(error.description.unwrap().contains(named), "{named}");
        assert_eq!(broker.queue_stats("made"), None);
    }
}
