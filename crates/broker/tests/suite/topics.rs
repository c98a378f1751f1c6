//! Topics: copies for everybody, and what a slow subscriber costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postroad_amqp::v1_0::{LinkId, LinkTerms};
use postroad_broker::{Broker, NodeOptions, Overflow};
use postroad_codec::v1_0::{
    DeliveryState, DistributionMode, ErrorCondition, Fields, Message, NodeProperties, Properties, Role, Source, Symbol,
    Target, Value,
};

use crate::client::{Client, assert_refused, numbered, text};
use crate::{eventually, start};

fn source(capabilities: &[&'static str]) -> Source {
    let capabilities: Vec<_> = capabilities.iter().map(|name| Symbol::from_static(name)).collect();
    Source { capabilities: capabilities.into(), ..Source::at("t") }
}

/// A subscriber whose link has this name.
async fn subscribe(client: &mut Client, name: &str, source: Source) -> LinkId {
    let terms = LinkTerms { source: Some(source), target: Some(Target::default().into()), ..LinkTerms::default() };
    let link = client.attach_as(name, Role::Receiver, terms).await.unwrap();
    client.engine.receiver(link).set_credit(100);
    client.flush().await;
    link
}

#[tokio::test]
async fn every_subscriber_gets_what_is_sent_while_it_is_there() {
    let broker = start(Broker::builder().topic("t")).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("t").await.unwrap();
    client.send_all(sender, ["to nobody".to_owned()]).await;

    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = Client::connect(&broker).await;
        let link = other.receiver("t", 100).await.unwrap();
        others.push((other, link));
    }
    client.send_all(sender, numbered(0..50)).await;
    for (other, link) in &mut others {
        for expected in numbered(0..50) {
            assert_eq!(other.receive_text(*link).await, expected);
        }
        other.expect_nothing(*link).await;
    }
    let (mut gone, link) = others.remove(0);
    gone.detach(link).await;
    eventually("its subscription is gone", || broker.topic_stats("t").unwrap().subscriptions == 2).await;
    let stats = broker.topic_stats("t").unwrap();
    assert_eq!((stats.published, stats.producers, stats.dropped), (51, 1, 0));
    assert_eq!(broker.topics(), ["t"]);
    assert!(broker.queues().is_empty() && broker.queue_stats("t").is_none());
}

#[tokio::test]
async fn a_copy_goes_back_to_its_own_subscription() {
    let broker = start(Broker::builder().topic("t")).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("t").await.unwrap();
    let (one, two) = (client.receiver("t", 1).await.unwrap(), client.receiver("t", 1).await.unwrap());
    client.send_all(sender, numbered(0..1)).await;
    let first = client.receive(one).await;
    client.settle(one, first.number, DeliveryState::Released);
    client.engine.receiver(one).set_credit(1);
    assert_eq!(client.receive_text(one).await, "m0");
    assert_eq!(client.receive_text(two).await, "m0");
    client.expect_nothing(two).await;
}

#[tokio::test]
async fn a_slow_subscriber_holds_the_senders_back() {
    let limited = Broker::builder().topic("t").with_limits(|limits| limits.subscription_messages = 10);
    let broker = start(limited).await;
    let mut slow = Client::connect(&broker).await;
    let slow_link = slow.receiver("t", 0).await.unwrap();
    let mut quick = Client::connect(&broker).await;
    let quick_link = quick.receiver("t", 100).await.unwrap();
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("t").await.unwrap();
    client.send_all(sender, numbered(0..10)).await;
    assert_eq!(client.engine.sender(sender).capacity(), 0);
    let waited = tokio::time::timeout(Duration::from_millis(100), client.step()).await;
    assert!(waited.is_err(), "no credit comes while a subscription is full");
    for expected in numbered(0..10) {
        assert_eq!(quick.receive_text(quick_link).await, expected);
    }
    quick.flush().await;
    // It reads on, and so does the sender.
    slow.engine.receiver(slow_link).set_credit(5);
    for expected in numbered(0..5) {
        assert_eq!(slow.receive_text(slow_link).await, expected);
    }
    slow.flush().await;
    client.send_all(sender, numbered(10..13)).await;
    // Without it nobody waits.
    slow.detach(slow_link).await;
    for start in (13..40).step_by(3) {
        client.send_all(sender, numbered(start..start + 3)).await;
        for expected in numbered(start - 3..start) {
            assert_eq!(quick.receive_text(quick_link).await, expected);
        }
        quick.flush().await;
    }
}

#[tokio::test]
async fn several_senders_never_fill_a_subscription_over_its_limit() {
    let limited = Broker::builder().topic("t").with_limits(|limits| limits.subscription_messages = 7);
    let broker = start(limited).await;
    let mut reader = Client::connect(&broker).await;
    let link = reader.receiver("t", 3).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&broker).await;
        tasks.push(tokio::spawn(async move {
            let sender = client.sender("t").await.unwrap();
            let mut accepted = 0;
            for name in numbered(0..100) {
                let token = client.send(sender, &name).await;
                match client.outcome(sender, token).await.state {
                    Some(DeliveryState::Accepted) => accepted += 1,
                    Some(DeliveryState::Rejected(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            accepted
        }));
    }
    let due = Arc::new(AtomicUsize::new(usize::MAX));
    let all = Arc::clone(&due);
    let reading = tokio::spawn(async move {
        let mut came = 0;
        while came < all.load(Ordering::Relaxed) {
            let Some(delivery) = reader.receive_within(link, Duration::from_millis(50)).await else { continue };
            reader.accept(link, delivery.number);
            reader.engine.receiver(link).set_credit(3);
            reader.flush().await;
            came += 1;
        }
        reader.expect_nothing(link).await;
        came
    });
    let mut accepted = 0;
    for task in tasks {
        accepted += task.await.unwrap();
        let stats = broker.topic_stats("t").unwrap();
        assert!(stats.ready + stats.unsettled <= 7, "{stats:?}");
    }
    due.store(accepted, Ordering::Relaxed);
    let came = tokio::time::timeout(Duration::from_secs(10), reading).await;
    assert_eq!(came.expect("what was accepted arrives").unwrap(), accepted);
}

#[tokio::test]
async fn a_topic_may_drop_the_oldest_instead() {
    let options = NodeOptions::default().overflow(Overflow::DropOldest);
    let limited = Broker::builder().topic_with("t", options).with_limits(|limits| limits.subscription_messages = 10);
    let broker = start(limited).await;
    let mut slow = Client::connect(&broker).await;
    let link = slow.receiver("t", 2).await.unwrap();
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("t").await.unwrap();
    client.send_all(sender, numbered(0..2)).await;
    let (first, second) = (slow.receive(link).await, slow.receive(link).await);
    client.send_all(sender, numbered(2..100)).await;
    let stats = broker.topic_stats("t").unwrap();
    assert_eq!((stats.dropped, stats.ready, stats.unsettled), (90, 8, 2));
    for (delivery, expected) in [(first, "m0"), (second, "m1")] {
        assert_eq!(text(&delivery), expected);
        slow.accept(link, delivery.number);
    }
    slow.engine.receiver(link).set_credit(100);
    for expected in numbered(92..100) {
        assert_eq!(slow.receive_text(link).await, expected);
    }
    slow.detach(link).await;
    eventually("what it dropped is remembered", || {
        let stats = broker.topic_stats("t").unwrap();
        (stats.subscriptions, stats.dropped) == (0, 90)
    })
    .await;
}

#[tokio::test]
async fn links_share_a_subscription_by_name() {
    let broker = start(Broker::builder().topic("t")).await;
    let mut one = Client::connect(&broker).await;
    let mut two = Client::connect(&broker).await;
    let mut alone = Client::connect(&broker).await;
    let first = subscribe(&mut one, "jobs|1", source(&["shared", "global", "topic"])).await;
    let second = subscribe(&mut two, "jobs|2", source(&["shared", "global", "topic"])).await;
    let alone_link = subscribe(&mut alone, "jobs", source(&["topic"])).await;
    let answer = one.engine.remote_attach(first).unwrap().source.clone().unwrap();
    assert_eq!(answer.capabilities.as_slice(), ["shared", "global", "topic"].map(Symbol::from_static));
    assert_eq!(broker.topic_stats("t").unwrap().subscriptions, 2);
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("t").await.unwrap();
    client.send_all(sender, numbered(0..10)).await;
    let mut shared = Vec::new();
    for _ in 0..5 {
        shared.push(one.receive_text(first).await);
        shared.push(two.receive_text(second).await);
    }
    shared.sort();
    assert_eq!(shared, numbered(0..10).collect::<Vec<_>>());
    for expected in numbered(0..10) {
        assert_eq!(alone.receive_text(alone_link).await, expected);
    }
    // What one leaves the other gets, and the last one takes the subscription along.
    client.send_all(sender, numbered(10..11)).await;
    one.close().await;
    eventually("only the second is left", || broker.connections() == 3).await;
    assert_eq!(two.receive_text(second).await, "m10");
    two.close().await;
    eventually("it is gone", || broker.topic_stats("t").unwrap().subscriptions == 1).await;
}

#[tokio::test]
async fn a_share_that_is_not_global_is_within_a_container() {
    use postroad_amqp::v1_0::Config;
    let broker = start(Broker::builder().topic("t")).await;
    let stream = tokio::net::TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    let mut other = Client::open_with(stream, None, Config::new("another")).await.unwrap();
    let mut client = Client::connect(&broker).await;
    subscribe(&mut client, "jobs|1", source(&["shared"])).await;
    subscribe(&mut client, "jobs|2", source(&["shared"])).await;
    assert_eq!(broker.topic_stats("t").unwrap().subscriptions, 1);
    subscribe(&mut other, "jobs|1", source(&["shared"])).await;
    assert_eq!(broker.topic_stats("t").unwrap().subscriptions, 2);
}

#[tokio::test]
async fn a_topic_is_made_on_demand() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect(&broker).await;
    let capable = |name: &str| {
        let capabilities = ["create-on-demand", "topic"].map(Symbol::from_static).to_vec();
        Target { capabilities: capabilities.into(), ..Target::at(name) }
    };
    let sender = client.attach_target(capable("by-capability")).await.unwrap();
    let answer = client.engine.remote_attach(sender).unwrap().target.clone().unwrap();
    let capabilities = answer.as_target().unwrap().capabilities.clone();
    assert_eq!(capabilities.as_slice(), ["create-on-demand", "topic"].map(Symbol::from_static));

    let mut fields = Fields::default();
    fields.0.insert(Value::Symbol("supported-dist-modes".into()), Value::Symbol("copy".into()));
    let source = Source { dynamic: true, dynamic_node_properties: Some(NodeProperties(fields)), ..Source::default() };
    let receiver = client.attach_source(source, 10).await.unwrap();
    let answer = client.engine.remote_attach(receiver).unwrap().source.clone().unwrap();
    assert_eq!(answer.distribution_mode, Some(DistributionMode::COPY));
    let modes = answer.dynamic_node_properties.unwrap().0.0.get_str("supported-dist-modes").cloned();
    assert_eq!(modes, Some(Value::List(vec![Value::Symbol("copy".into())])));
    let address = answer.address.unwrap().to_string();
    let mut topics = broker.topics();
    topics.sort();
    assert_eq!(topics, ["by-capability", &*address]);

    // It goes with the link that made it.
    let sender = client.sender(&address).await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    assert_eq!(client.receive_text(receiver).await, "m0");
    client.detach(receiver).await;
    assert_eq!(client.detached(sender).await.unwrap().condition, ErrorCondition::RESOURCE_DELETED);
    assert_eq!(broker.topics(), ["by-capability"]);
}

#[tokio::test]
async fn a_queue_is_no_topic_and_may_have_its_name() {
    let broker = start(Broker::builder().queue("q").topic("t")).await;
    let mut client = Client::connect(&broker).await;
    assert_refused(client.attach_source(source_at("q", &["topic"]), 1).await, &ErrorCondition::NOT_FOUND);
    assert_refused(client.attach_source(source_at("t", &["queue"]), 1).await, &ErrorCondition::NOT_FOUND);
    client.attach_source(source_at("q", &["queue"]), 1).await.unwrap();
    client.attach_source(source_at("t", &["queue", "create-on-demand"]), 1).await.unwrap();
    assert!(!broker.declare_queue("t").unwrap() && !broker.declare_topic("t").unwrap());
    assert!(broker.declare_topic("q").unwrap());
    // Both are reached by capability, and the queue without one.
    for (capabilities, consumers) in [(&["topic"][..], 1), (&["queue"], 2), (&[], 3)] {
        let receiver = client.attach_source(source_at("q", capabilities), 1).await.unwrap();
        assert_eq!(broker.queue_stats("q").unwrap().consumers, consumers);
        let answer = client.engine.remote_attach(receiver).unwrap().source.clone().unwrap();
        let own = if capabilities == ["topic"] { "topic" } else { "queue" };
        assert_eq!(answer.capabilities.as_slice(), [Symbol::from_static(own)]);
    }
    assert!(broker.delete_queue("t") && broker.delete_topic("t") && !broker.delete_topic("t"));
}

fn source_at(name: &str, capabilities: &[&'static str]) -> Source {
    Source { address: Source::at(name).address, ..source(capabilities) }
}

#[tokio::test]
async fn a_deleted_topic_detaches_both_sides() {
    let broker = start(Broker::builder().topic("t")).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("t").await.unwrap();
    let receiver = client.receiver("t", 1).await.unwrap();
    client.send_all(sender, numbered(0..2)).await;
    assert!(broker.delete_topic("t"));
    assert_eq!(client.detached(receiver).await.unwrap().condition, ErrorCondition::RESOURCE_DELETED);
    assert_eq!(client.detached(sender).await.unwrap().condition, ErrorCondition::RESOURCE_DELETED);
}

#[tokio::test]
async fn subscriptions_are_bounded_and_end_with_their_link() {
    let limited = Broker::builder().topic("t").with_limits(|limits| limits.subscriptions_per_topic = 2);
    let broker = start(limited).await;
    let mut client = Client::connect(&broker).await;
    let first = client.receiver("t", 1).await.unwrap();
    client.receiver("t", 1).await.unwrap();
    assert_refused(client.receiver("t", 1).await, &ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    client.detach(first).await;
    client.receiver("t", 1).await.unwrap();
}

#[tokio::test]
async fn the_anonymous_terminus_leads_to_topics_too() {
    let broker = start(Broker::builder().topic("t").queue("q")).await;
    let mut client = Client::connect(&broker).await;
    let receiver = client.receiver("t", 10).await.unwrap();
    let relay = client.attach_target(Target::default()).await.unwrap();
    for to in ["t", "q", "t"] {
        let properties = Properties { to: Some(to.into()), ..Properties::default() };
        let message = Message { properties: Some(Box::new(properties)), ..Message::from(to) };
        let token = client.send_with(relay, &message.to_bytes(), false).await;
        assert_eq!(client.outcome(relay, token).await.state, Some(DeliveryState::Accepted));
    }
    for _ in 0..2 {
        assert_eq!(client.receive_text(receiver).await, "t");
    }
    assert_eq!(broker.queue_stats("q").unwrap().ready, 1);
}
