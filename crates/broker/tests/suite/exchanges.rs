//! Exchanges: who gets what by which binding or filter, and what a binding costs whom.

use std::time::Duration;

use postroad_amqp::v1_0::LinkTerms;
use postroad_broker::{Broker, ExchangeKind};
use postroad_codec::v1_0::{
    ApplicationProperties, Body, DeliveryState, ErrorCondition, FilterSet, Map, Message, Outcome, Properties, Role,
    Seconds, Source, Symbol, Target, TerminusExpiryPolicy, Value,
};

use crate::client::{Client, assert_refused};
use crate::{eventually, start};

const DIRECT: u64 = 0x0000_468c_0000_0000;
const TOPIC: u64 = 0x0000_468c_0000_0001;
const HEADERS: u64 = 0x0000_468c_0000_0002;

fn filters(filters: &[(&'static str, u64, Value)]) -> Option<FilterSet> {
    let described = |(name, code, value): &(&'static str, u64, Value)| {
        (Value::Symbol((*name).into()), Value::described(Value::Ulong(*code), value.clone()))
    };
    Some(FilterSet(filters.iter().map(described).collect()))
}

fn filtered(exchange: &str, code: u64, value: impl Into<Value>) -> Source {
    Source { filter: filters(&[("f", code, value.into())]), ..Source::at(exchange) }
}

fn with_subject(subject: &str) -> Message {
    let properties = Properties { subject: Some(subject.into()), ..Properties::default() };
    Message { properties: Some(Box::new(properties)), ..Message::from(subject) }
}

/// Sends messages named by their subjects, and waits until all are accepted.
async fn publish(client: &mut Client, exchange: &str, subjects: &[&str]) {
    let sender = client.sender(exchange).await.unwrap();
    let mut tokens = Vec::new();
    for subject in subjects {
        tokens.push(client.send_with(sender, &with_subject(subject).to_bytes(), false).await);
    }
    for token in tokens {
        assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Accepted));
    }
    client.detach(sender).await;
}

fn told(client: &Client, link: postroad_amqp::v1_0::LinkId) -> Option<FilterSet> {
    client.engine.remote_attach(link).unwrap().source.clone().unwrap().filter
}

#[tokio::test]
async fn every_broker_has_the_four_exchanges() {
    let broker = start(Broker::builder().exchange("mine", ExchangeKind::Fanout)).await;
    let mut exchanges = broker.exchanges();
    exchanges.sort();
    assert_eq!(exchanges, ["amq.direct", "amq.fanout", "amq.match", "amq.topic", "mine"]);
    assert!(broker.topics().is_empty());
    let mut client = Client::connect(&broker).await;
    for name in &exchanges {
        client.receiver(name, 1).await.unwrap();
    }
    assert!(!broker.delete_exchange("amq.topic") && broker.exchange_stats("amq.topic").is_some());
    assert!(broker.declare_exchange("amq.other", ExchangeKind::Topic).is_err());
    assert!(broker.declare_exchange("amq.topic", ExchangeKind::Direct).is_err());
    assert!(!broker.declare_exchange("amq.topic", ExchangeKind::Topic).unwrap());
    let capabilities = vec![Symbol::from_static("create-on-demand")];
    let target = Target { capabilities: capabilities.into(), ..Target::at("amq.new") };
    assert_refused(client.attach_target(target).await, &ErrorCondition::NOT_ALLOWED);
}

#[tokio::test]
async fn queues_that_are_bound_get_what_their_keys_say() {
    let broker = start(Broker::builder().queue("a").queue("b")).await;
    assert!(broker.bind("amq.topic", "a", "x.#").unwrap() && broker.bind("amq.topic", "a", "*.y").unwrap());
    assert!(broker.bind("amq.topic", "b", "*.y").unwrap() && !broker.bind("amq.topic", "b", "*.y").unwrap());
    let mut client = Client::connect(&broker).await;
    publish(&mut client, "amq.topic", &["x.y", "x", "z.y", "z", ""]).await;
    let receiver = client.receiver("a", 10).await.unwrap();
    for expected in ["x.y", "x", "z.y"] {
        assert_eq!(client.receive_text(receiver).await, expected);
    }
    client.expect_nothing(receiver).await;
    assert_eq!(broker.queue_stats("b").unwrap().ready, 2);
    let stats = broker.exchange_stats("amq.topic").unwrap();
    assert_eq!((stats.queues, stats.bindings, stats.subscriptions), (2, 3, 0));
    assert_eq!((stats.published, stats.unroutable), (5, 2));
    broker.unbind("amq.topic", "b", "*.y").unwrap();
    assert!(broker.unbind("amq.topic", "b", "*.y").is_err());
    assert!(broker.bind("amq.topic", "nowhere", "k").unwrap_err().to_string().contains("nowhere"));
    assert!(broker.bind("nowhere", "a", "k").is_err());
    assert!(broker.delete_queue("a"));
    assert_eq!(broker.exchange_stats("amq.topic").unwrap().bindings, 0);
}

#[tokio::test]
async fn receivers_say_by_filters_what_they_want() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect(&broker).await;
    let by_topic = client.attach_source(filtered("amq.topic", TOPIC, "a.*"), 10).await.unwrap();
    assert_eq!(told(&client, by_topic), filters(&[("f", TOPIC, "a.*".into())]));
    let all = client.receiver("amq.topic", 10).await.unwrap();
    assert_eq!(told(&client, all), None);
    publish(&mut client, "amq.topic", &["a.b", "b", "a.c"]).await;
    for expected in ["a.b", "a.c"] {
        assert_eq!(client.receive_text(by_topic).await, expected);
    }
    for expected in ["a.b", "b", "a.c"] {
        assert_eq!(client.receive_text(all).await, expected);
    }

    let by_key = client.attach_source(filtered("amq.direct", DIRECT, "k"), 10).await.unwrap();
    publish(&mut client, "amq.direct", &["k.k", "", "k"]).await;
    assert_eq!(client.receive_text(by_key).await, "k");

    // Who says what cannot be is not told that it was.
    let everything = client.attach_source(filtered("amq.fanout", TOPIC, "a.*"), 10).await.unwrap();
    assert_eq!(told(&client, everything), None);
    publish(&mut client, "amq.fanout", &["b"]).await;
    assert_eq!(client.receive_text(everything).await, "b");
    for receiver in [by_topic, all, by_key, everything] {
        client.expect_nothing(receiver).await;
    }
}

#[tokio::test]
async fn several_filters_each_bind_and_give_one_copy() {
    let broker = start(Broker::builder().topic("t")).await;
    let mut client = Client::connect(&broker).await;
    let both = filters(&[("one", TOPIC, "a.#".into()), ("two", TOPIC, "#.z".into())]);
    let receiver = client.attach_source(Source { filter: both.clone(), ..Source::at("t") }, 10).await.unwrap();
    assert_eq!(told(&client, receiver), both);
    assert_eq!(broker.exchange_stats("t").unwrap().bindings, 2);
    publish(&mut client, "t", &["a.z", "z", "b", "a"]).await;
    for expected in ["a.z", "z", "a"] {
        assert_eq!(client.receive_text(receiver).await, expected);
    }
    client.expect_nothing(receiver).await;
    client.detach(receiver).await;
    eventually("its bindings are gone", || broker.exchange_stats("t").unwrap().bindings == 0).await;
}

#[tokio::test]
async fn headers_are_matched() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect(&broker).await;
    let arguments = |mode: &str| -> Map {
        [("x-match", Value::from(mode)), ("colour", "red".into()), ("size", Value::Long(3))].into_iter().collect()
    };
    let all = client.attach_source(filtered("amq.match", HEADERS, arguments("all")), 10).await.unwrap();
    let any = client.attach_source(filtered("amq.match", HEADERS, arguments("any")), 10).await.unwrap();
    let everything = client.receiver("amq.match", 10).await.unwrap();
    let sender = client.sender("amq.match").await.unwrap();
    for (text, headers) in [
        ("both", &[("colour", Value::from("red")), ("size", Value::Int(3))][..]),
        ("one", &[("colour", Value::from("red")), ("size", Value::Int(4))]),
        ("none", &[("colour", Value::from("blue"))]),
        ("bare", &[]),
    ] {
        let mut properties = ApplicationProperties::default();
        for (key, value) in headers {
            properties.0.insert(*key, value.clone());
        }
        let message = Message { application_properties: Some(properties), ..Message::from(text) };
        let token = client.send_with(sender, &message.to_bytes(), false).await;
        assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Accepted));
    }
    for (receiver, texts) in
        [(all, &["both"][..]), (any, &["both", "one"]), (everything, &["both", "one", "none", "bare"])]
    {
        for expected in texts {
            assert_eq!(client.receive_text(receiver).await, *expected);
        }
        client.expect_nothing(receiver).await;
    }
    let odd: Map = [("x-match", "sometimes")].into_iter().collect();
    assert_refused(client.attach_source(filtered("amq.match", HEADERS, odd), 1).await, &ErrorCondition::INVALID_FIELD);
    assert_eq!(broker.exchange_stats("amq.match").unwrap().subscriptions, 3, "nothing is left of it");
}

#[tokio::test]
async fn filters_that_cannot_be_are_refused() {
    let limited = Broker::builder().topic("t").with_limits(|limits| limits.bindings = 2);
    let broker = start(limited).await;
    let mut client = Client::connect(&broker).await;
    for (exchange, code, value) in [
        ("t", TOPIC, Value::Int(1)),
        ("t", TOPIC, "k".repeat(256).into()),
        ("amq.direct", DIRECT, Value::Null),
        ("amq.match", HEADERS, "k".into()),
    ] {
        assert_refused(client.attach_source(filtered(exchange, code, value), 1).await, &ErrorCondition::INVALID_FIELD);
    }
    let three = filters(&[("1", TOPIC, "a".into()), ("2", TOPIC, "b".into()), ("3", TOPIC, "c".into())]);
    let flood = Source { filter: three, ..Source::at("t") };
    assert_refused(client.attach_source(flood, 1).await, &ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    // What was refused took nothing.
    assert_eq!(broker.exchange_stats("t").unwrap().subscriptions, 0);
    client.receiver("t", 1).await.unwrap();
    client.receiver("t", 1).await.unwrap();
    assert_refused(client.receiver("t", 1).await, &ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
}

fn shared(exchange: &str, pattern: &str) -> LinkTerms {
    let capabilities = ["shared", "global"].map(Symbol::from_static).to_vec();
    let source = Source { capabilities: capabilities.into(), ..filtered(exchange, TOPIC, pattern) };
    LinkTerms { source: Some(source), target: Some(Target::default().into()), ..LinkTerms::default() }
}

#[tokio::test]
async fn a_shared_subscription_has_the_same_filters_for_all() {
    let broker = start(Broker::builder().topic("t")).await;
    let (mut one, mut two) = (Client::connect(&broker).await, Client::connect(&broker).await);
    let first = one.attach_as("s|1", Role::Receiver, shared("t", "a.*")).await.unwrap();
    two.attach_as("s|2", Role::Receiver, shared("t", "a.*")).await.unwrap();
    let other = two.attach_as("s|3", Role::Receiver, shared("t", "b.*")).await;
    assert_refused(other, &ErrorCondition::PRECONDITION_FAILED);
    assert_eq!(broker.exchange_stats("t").unwrap().subscriptions, 1);
    // With the last link it is gone, and may be another one.
    one.detach(first).await;
    two.close().await;
    eventually("it is gone", || broker.exchange_stats("t").unwrap().subscriptions == 0).await;
    one.attach_as("s|1", Role::Receiver, shared("t", "b.*")).await.unwrap();
}

#[tokio::test]
async fn a_subscription_that_waits_keeps_its_filters() {
    let broker = start(Broker::builder().topic("t")).await;
    let durable = |pattern: &str| {
        let source = Source {
            expiry_policy: TerminusExpiryPolicy::NEVER,
            timeout: Seconds(60),
            ..filtered("t", TOPIC, pattern)
        };
        LinkTerms { source: Some(source), target: Some(Target::default().into()), ..LinkTerms::default() }
    };
    let mut client = Client::connect_as(&broker, "c").await;
    let link = client.attach_as("s", Role::Receiver, durable("a.*")).await.unwrap();
    client.leave(link).await;
    let mut other = Client::connect(&broker).await;
    publish(&mut other, "t", &["a.1", "b.1"]).await;
    let link = client.attach_as("s", Role::Receiver, durable("a.*")).await.unwrap();
    assert_eq!(told(&client, link), filters(&[("f", TOPIC, "a.*".into())]));
    client.engine.receiver(link).set_credit(10);
    assert_eq!(client.receive_text(link).await, "a.1");
    client.expect_nothing(link).await;
    client.leave(link).await;
    publish(&mut other, "t", &["a.2", "b.2"]).await;
    // With other filters it is another subscription.
    let link = client.attach_as("s", Role::Receiver, durable("b.*")).await.unwrap();
    client.engine.receiver(link).set_credit(10);
    publish(&mut other, "t", &["a.3", "b.3"]).await;
    assert_eq!(client.receive_text(link).await, "b.3");
    assert_eq!(broker.exchange_stats("t").unwrap().subscriptions, 1);
}

#[tokio::test]
async fn a_full_queue_costs_the_messages_that_are_for_it() {
    let limited = Broker::builder().queue("a").queue("b").with_limits(|limits| limits.queue_messages = 2);
    let broker = start(limited).await;
    for (queue, key) in [("a", "a.*"), ("b", "b.*"), ("b", "a.both")] {
        broker.bind("amq.topic", queue, key).unwrap();
    }
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("amq.topic").await.unwrap();
    let mut outcomes = Vec::new();
    for subject in ["a.1", "a.2", "a.3", "a.both", "b.1", "b.2", "c"] {
        let token = client.send_with(sender, &with_subject(subject).to_bytes(), false).await;
        outcomes.push(match client.outcome(sender, token).await.state {
            Some(DeliveryState::Accepted) => true,
            Some(DeliveryState::Rejected(rejected)) => {
                let error = rejected.error.unwrap();
                assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
                assert!(error.description.unwrap().contains("amq.topic"));
                false
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(outcomes, [true, true, false, false, true, true, true]);
    assert_eq!(broker.queue_stats("a").unwrap().uncommitted, 0);
}

#[tokio::test]
async fn a_commit_goes_through_exchanges_into_queues_at_once() {
    use crate::transactions::{control, declare, discharge, hand_over, within};
    let limited = Broker::builder().queue("a").queue("b").with_limits(|limits| limits.queue_messages = 3);
    let broker = start(limited).await;
    broker.bind("amq.direct", "a", "both").unwrap();
    broker.bind("amq.direct", "b", "both").unwrap();
    broker.bind("amq.fanout", "a", "").unwrap();
    let mut client = Client::connect(&broker).await;
    let control = control(&mut client).await;
    let links = [
        client.sender("a").await.unwrap(),
        client.sender("amq.direct").await.unwrap(),
        client.sender("amq.fanout").await.unwrap(),
    ];
    let id = declare(&mut client, control).await;
    let payload = with_subject("both").to_bytes();
    for link in links {
        let token = hand_over(&mut client, link, &id, &payload, false).await;
        let state = client.outcome(link, token).await.state;
        assert_eq!(state, Some(within(&id, Some(Outcome::Accepted))));
    }
    assert_eq!(broker.queue_stats("b").unwrap().ready, 0);
    discharge(&mut client, control, &id, false).await.unwrap();
    let ready = |queue: &str| broker.queue_stats(queue).map(|stats| (stats.ready, stats.uncommitted)).unwrap();
    assert_eq!((ready("a"), ready("b")), ((3, 0), (1, 0)));

    // All or nothing: there is room in one of them.
    let id = declare(&mut client, control).await;
    let token = hand_over(&mut client, links[1], &id, &payload, false).await;
    client.outcome(links[1], token).await;
    discharge(&mut client, control, &id, false).await.unwrap_err();
    assert_eq!((ready("a"), ready("b")), ((3, 0), (1, 0)));
}

/// Two ways into the same queues, from many sides: nobody waits for anybody for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_ways_into_a_queue_do_not_stand_in_each_others_way() {
    let broker = start(Broker::builder().queue("a").queue("b")).await;
    for exchange in ["amq.fanout", "amq.direct", "amq.topic"] {
        for queue in ["a", "b"] {
            broker.bind(exchange, queue, "k").unwrap();
        }
    }
    let mut tasks = Vec::new();
    for to in ["amq.fanout", "amq.direct", "amq.topic", "a", "b"] {
        let mut client = Client::connect(&broker).await;
        tasks.push(tokio::spawn(async move {
            publish(&mut client, to, &["k"; 50]).await;
        }));
    }
    for task in tasks {
        tokio::time::timeout(Duration::from_secs(20), task).await.expect("nobody waits").unwrap();
    }
    for queue in ["a", "b"] {
        let mut client = Client::connect(&broker).await;
        let receiver = client.receiver(queue, 1000).await.unwrap();
        for _ in 0..200 {
            let delivery = client.receive(receiver).await;
            let message = Message::from_bytes(&delivery.payload).unwrap();
            assert_eq!(message.body, Body::Value("k".into()));
        }
        client.expect_nothing(receiver).await;
    }
}
