//! What nodes are declared as: what is told of it, and what follows from it.

use postroad_broker::{Broker, ExchangeKind};
use postroad_codec::v1_0::{
    DeliveryState, Error, ErrorCondition, Fields, Message, NodeProperties, Outcome, Properties, Seconds, Source,
    Symbol, Target, TerminusExpiryPolicy, Value,
};

use crate::client::{Client, assert_refused, numbered};
use crate::management::{EXCHANGE, Manager, QUEUE};
use crate::{eventually, start};

fn properties(entries: &[(&'static str, Value)]) -> Option<NodeProperties> {
    let mut fields = Fields::default();
    for (key, value) in entries {
        fields.0.insert(Value::Symbol((*key).into()), value.clone());
    }
    Some(NodeProperties(fields))
}

/// A source that makes its node where it is missing.
fn made(name: &str, capability: &'static str, entries: &[(&'static str, Value)]) -> Source {
    let capabilities = ["create-on-demand", capability].map(Symbol::from_static).to_vec();
    Source { capabilities: capabilities.into(), dynamic_node_properties: properties(entries), ..Source::at(name) }
}

fn target(name: &str, capability: &'static str, entries: &[(&'static str, Value)]) -> Target {
    let Source { address, capabilities, dynamic_node_properties, .. } = made(name, capability, entries);
    Target { address, capabilities, dynamic_node_properties, ..Target::default() }
}

fn told(client: &Client, link: postroad_amqp::v1_0::LinkId, key: &str) -> Option<Value> {
    let source = client.engine.remote_attach(link).unwrap().source.clone().unwrap();
    source.dynamic_node_properties?.0.0.get_str(key).cloned()
}

fn with_subject(subject: &str) -> Message {
    let properties = Properties { subject: Some(subject.into()), ..Properties::default() };
    Message { properties: Some(Box::new(properties)), ..Message::from(subject) }
}

#[tokio::test]
async fn what_is_in_force_is_told_for_each_key_that_was_asked() {
    let broker = start(Broker::builder().queue("plain")).await;
    let mut client = Client::connect(&broker).await;
    let asked = [
        ("exclusive", Value::from("True")),
        ("auto-delete", true.into()),
        ("alternate-exchange", "amq.fanout".into()),
        ("qpid.max_count", Value::Int(7)),
        ("durable", false.into()),
        ("x-mine", Value::Int(1)),
        ("exchange-type", "direct".into()),
    ];
    let link = client.attach_source(made("q", "queue", &asked), 1).await.unwrap();
    for (key, value) in [
        ("exclusive", Some(Value::Boolean(true))),
        ("auto-delete", Some(Value::Boolean(true))),
        ("alternate-exchange", Some("amq.fanout".into())),
        ("qpid.max_count", Some(Value::Ulong(7))),
        ("durable", Some(Value::Boolean(false))),
        ("x-mine", None),
        ("exchange-type", None),
        ("qpid.max_size", None),
    ] {
        assert_eq!(told(&client, link, key), value, "{key}");
    }
    // What is there already is as it is, whatever was asked.
    let other = [
        ("exclusive", true.into()),
        ("durable", true.into()),
        ("alternate-exchange", "nowhere".into()),
        ("qpid.max_count", Value::Int(8)),
        ("qpid.unheard_of", Value::Int(8)),
    ];
    let link = client.attach_source(made("plain", "queue", &other), 1).await.unwrap();
    for (key, value) in [
        ("exclusive", Some(Value::Boolean(false))),
        ("durable", Some(Value::Boolean(false))),
        ("alternate-exchange", None),
        ("qpid.max_count", None),
        ("qpid.unheard_of", None),
        ("auto-delete", None),
    ] {
        assert_eq!(told(&client, link, key), value, "{key}");
    }
    // Without properties nothing is told, and with them an exchange tells its own.
    let link = client.receiver("plain", 1).await.unwrap();
    let source = client.engine.remote_attach(link).unwrap().source.clone().unwrap();
    assert_eq!(source.dynamic_node_properties, None);
    let typed = [("exchange-type", Value::from("headers")), ("exclusive", true.into())];
    let link = client.attach_source(made("e", "topic", &typed), 1).await.unwrap();
    assert_eq!(told(&client, link, "exchange-type"), Some("headers".into()));
    assert_eq!(told(&client, link, "exclusive"), None);
    let link = client.attach_source(made("e", "topic", &[("exchange-type", "topic".into())]), 1).await.unwrap();
    assert_eq!(told(&client, link, "exchange-type"), Some("headers".into()));
}

#[tokio::test]
async fn what_cannot_be_makes_no_node() {
    let broker = start(Broker::builder().queue("there")).await;
    let mut client = Client::connect(&broker).await;
    for (capability, key, value, condition) in [
        ("queue", "exclusive", Value::Int(1), ErrorCondition::INVALID_FIELD),
        ("queue", "auto-delete", "maybe".into(), ErrorCondition::INVALID_FIELD),
        ("queue", "alternate-exchange", true.into(), ErrorCondition::INVALID_FIELD),
        ("queue", "supported-dist-modes", "fly".into(), ErrorCondition::INVALID_FIELD),
        ("queue", "lifetime-policy", Value::Ulong(1), ErrorCondition::INVALID_FIELD),
        ("queue", "qpid.max_size", Value::Long(-5), ErrorCondition::INVALID_FIELD),
        ("topic", "exchange-type", "xml".into(), ErrorCondition::INVALID_FIELD),
        ("queue", "durable", true.into(), ErrorCondition::NOT_IMPLEMENTED),
        ("queue", "qpid.unheard_of", Value::Int(1), ErrorCondition::NOT_IMPLEMENTED),
        ("topic", "qpid.max_size", Value::Int(1), ErrorCondition::NOT_IMPLEMENTED),
        ("queue", "alternate-exchange", "nowhere".into(), ErrorCondition::NOT_FOUND),
    ] {
        let error = client.attach_target(target("new", capability, &[(key, value.clone())])).await.unwrap_err();
        assert_eq!(error.condition, condition, "{key}");
        let text = error.description.unwrap();
        let named = if condition == ErrorCondition::NOT_FOUND { "nowhere" } else { key };
        assert!(text.contains(named) || key == "durable", "{text}");
        if condition == ErrorCondition::INVALID_FIELD && capability == "queue" {
            // Types are looked at even where nothing is made.
            assert_refused(client.attach_source(made("there", "queue", &[(key, value)]), 1).await, &condition);
        }
    }
    assert_eq!((broker.queues(), broker.exchanges().len()), (vec!["there".to_owned()], 4));
    assert!(broker.topics().is_empty());
}

#[tokio::test]
async fn an_exclusive_queue_is_for_its_container_alone() {
    let broker = start(Broker::builder()).await;
    let mut owner = Client::connect_as(&broker, "owner").await;
    owner.attach_target(target("q", "queue", &[("exclusive", true.into())])).await.unwrap();
    let mut other = Manager::connect(&broker).await;
    assert_refused(other.client.receiver("q", 1).await, &ErrorCondition::RESOURCE_LOCKED);
    for (operation, entity, name, body) in [
        ("DELETE", QUEUE, "q", &[][..]),
        ("CREATE", QUEUE, "q", &[("exclusive", Value::from(true))]),
        ("bind", EXCHANGE, "amq.topic", &[("destination", "q".into())]),
        ("unbind", EXCHANGE, "amq.topic", &[("destination", "q".into())]),
    ] {
        other.expect(423, operation, entity, name, body).await;
    }
    // Anybody may send to it, and its owner comes back over another connection.
    let sender = other.client.sender("q").await.unwrap();
    other.client.send_all(sender, numbered(0..1)).await;
    owner.close().await;
    let mut manager = Manager::over(Client::connect_as(&broker, "owner").await).await;
    let receiver = manager.client.receiver("q", 1).await.unwrap();
    assert_eq!(manager.client.receive_text(receiver).await, "m0");
    manager.expect(200, "CREATE", QUEUE, "q", &[("exclusive", true.into())]).await;
    manager.expect(200, "bind", EXCHANGE, "amq.topic", &[("destination", "q".into())]).await;
    manager.expect(204, "DELETE", QUEUE, "q", &[]).await;
}

#[tokio::test]
async fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect(&broker).await;
    let sender = client.attach_target(target("q", "queue", &[("auto-delete", true.into())])).await.unwrap();
    client.send_all(sender, numbered(0..2)).await;
    client.detach(sender).await;
    // It had none yet.
    assert_eq!(broker.queue_stats("q").unwrap().ready, 2);
    let first = client.receiver("q", 1).await.unwrap();
    let second = client.receiver("q", 0).await.unwrap();
    let sender = client.sender("q").await.unwrap();
    client.detach(first).await;
    assert!(broker.queue_stats("q").is_some());
    client.detach(second).await;
    assert_eq!(client.detached(sender).await.unwrap().condition, ErrorCondition::RESOURCE_DELETED);
    assert!(broker.queue_stats("q").is_none());
}

#[tokio::test]
async fn an_auto_delete_queue_waits_for_a_consumer_that_may_come_back() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect_as(&broker, "c").await;
    let source = Source {
        expiry_policy: TerminusExpiryPolicy::NEVER,
        timeout: Seconds(60),
        ..made("q", "queue", &[("auto-delete", true.into())])
    };
    let link = client.attach_source(source, 1).await.unwrap();
    client.leave(link).await;
    eventually("it is suspended", || broker.suspended_links() == 1).await;
    assert!(broker.queue_stats("q").is_some());
    assert_eq!(broker.forget_suspended_links(), 1);
    eventually("it is gone", || broker.queue_stats("q").is_none()).await;
}

#[tokio::test]
async fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let broker = start(Broker::builder().queue("a").queue("b")).await;
    let mut client = Client::connect(&broker).await;
    let exchange = |name: &str| target(name, "topic", &[("auto-delete", true.into())]);
    for name in ["by-unbind", "by-queue", "by-subscription"] {
        let sender = client.attach_target(exchange(name)).await.unwrap();
        client.detach(sender).await;
        assert!(broker.exchange_stats(name).is_some(), "nothing was bound yet");
    }
    broker.bind("by-unbind", "a", "1").unwrap();
    broker.bind("by-unbind", "a", "2").unwrap();
    broker.unbind("by-unbind", "a", "1").unwrap();
    assert!(broker.exchange_stats("by-unbind").is_some());
    broker.unbind("by-unbind", "a", "2").unwrap();
    assert!(broker.exchange_stats("by-unbind").is_none());
    broker.bind("by-queue", "b", "1").unwrap();
    broker.delete_queue("b");
    assert!(broker.exchange_stats("by-queue").is_none());
    let link = client.receiver("by-subscription", 1).await.unwrap();
    client.detach(link).await;
    eventually("it is gone", || broker.exchange_stats("by-subscription").is_none()).await;
}

#[tokio::test]
async fn a_dynamic_node_may_stay() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect(&broker).await;
    let stays = Source {
        dynamic: true,
        dynamic_node_properties: properties(&[("auto-delete", false.into())]),
        ..Source::default()
    };
    let link = client.attach_source(stays, 1).await.unwrap();
    assert_eq!(told(&client, link, "lifetime-policy"), None);
    client.detach(link).await;
    assert_eq!(broker.queues().len(), 1);
}

#[tokio::test]
async fn limits_of_a_queue_are_its_own_within_those_of_the_broker() {
    let broker = start(Broker::builder().with_limits(|limits| limits.queue_messages = 100)).await;
    let mut manager = Manager::connect(&broker).await;
    let answer = manager.expect(201, "CREATE", QUEUE, "wide", &[("qpid.max_count", Value::Int(1000))]).await;
    let Value::Map(map) = answer.body else { panic!("{answer:?}") };
    assert_eq!(map.get_str("qpid.max_count"), Some(&Value::Ulong(100)));
    manager.expect(201, "CREATE", QUEUE, "narrow", &[("qpid.max_count", Value::Int(2))]).await;
    let client = &mut manager.client;
    let sender = client.sender("narrow").await.unwrap();
    client.send_all(sender, numbered(0..2)).await;
    assert_eq!(client.engine.sender(sender).capacity(), 0);
}

/// A queue whose messages go to the queue `left` in the end.
async fn with_alternate(broker: &Broker) -> Client {
    broker.declare_queue("left").unwrap();
    broker.declare_exchange("alternate", ExchangeKind::Direct).unwrap();
    broker.bind("alternate", "left", "k").unwrap();
    let mut client = Client::connect(broker).await;
    let declared = target("q", "queue", &[("alternate-exchange", "alternate".into())]);
    let sender = client.attach_target(declared).await.unwrap();
    for subject in ["k", "k", "other", "k"] {
        let token = client.send_with(sender, &with_subject(subject).to_bytes(), false).await;
        client.outcome(sender, token).await;
    }
    client.detach(sender).await;
    client
}

#[tokio::test]
async fn what_is_rejected_goes_to_the_alternate_exchange() {
    let broker = start(Broker::builder()).await;
    let mut client = with_alternate(&broker).await;
    let receiver = client.receiver("q", 4).await.unwrap();
    let outcomes: [DeliveryState; 4] = [
        Outcome::rejected(Some(Error::new(ErrorCondition::NOT_ALLOWED, "no"))).into(),
        DeliveryState::Accepted,
        Outcome::rejected(None).into(),
        Outcome::rejected(None).into(),
    ];
    for outcome in outcomes {
        let delivery = client.receive(receiver).await;
        client.settle(receiver, delivery.number, outcome);
    }
    client.flush().await;
    // The second is settled, and the third is for no binding there.
    eventually("they are there", || broker.queue_stats("left").unwrap().ready == 2).await;
    let receiver = client.receiver("left", 2).await.unwrap();
    let delivery = client.receive(receiver).await;
    assert_eq!(delivery.payload, with_subject("k").to_bytes(), "as it came");
    assert_eq!(broker.queue_stats("q").unwrap().ready, 0);
}

#[tokio::test]
async fn what_a_deleted_queue_had_goes_to_the_alternate_exchange() {
    let broker = start(Broker::builder()).await;
    let mut client = with_alternate(&broker).await;
    let receiver = client.receiver("q", 2).await.unwrap();
    client.receive(receiver).await;
    client.receive(receiver).await;
    assert!(!broker.delete_exchange("alternate"), "it is in use");
    assert!(broker.delete_queue("q"));
    client.detached(receiver).await;
    // Those that a consumer had as well.
    eventually("they are there", || broker.queue_stats("left").unwrap().ready == 3).await;
    assert!(broker.delete_exchange("alternate"));
}

#[tokio::test]
async fn what_an_exchange_cannot_route_goes_on() {
    let broker = start(Broker::builder().queue("bound").queue("left")).await;
    broker.bind("amq.fanout", "left", "").unwrap();
    let mut manager = Manager::connect(&broker).await;
    for (name, alternate) in [("second", "amq.fanout"), ("first", "second")] {
        let body = [("exchange-type", Value::from("direct")), ("alternate-exchange", alternate.into())];
        manager.expect(201, "CREATE", EXCHANGE, name, &body).await;
    }
    broker.bind("first", "bound", "k").unwrap();
    manager.expect(403, "DELETE", EXCHANGE, "second", &[]).await;
    let client = &mut manager.client;
    let sender = client.sender("first").await.unwrap();
    for subject in ["k", "x", "y"] {
        let token = client.send_with(sender, &with_subject(subject).to_bytes(), false).await;
        assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Accepted));
    }
    let ready = |queue: &str| broker.queue_stats(queue).unwrap().ready;
    eventually("they are there", || ready("left") == 2).await;
    assert_eq!(ready("bound"), 1);
    let stats = broker.exchange_stats("second").unwrap();
    assert_eq!((stats.published, stats.unroutable), (2, 2));

    // With a commit as well.
    use crate::transactions::{control, declare, discharge, hand_over};
    let control = control(client).await;
    let id = declare(client, control).await;
    let token = hand_over(client, sender, &id, &with_subject("z").to_bytes(), false).await;
    client.outcome(sender, token).await;
    discharge(client, control, &id, false).await.unwrap();
    eventually("it is there", || ready("left") == 3).await;
    manager.expect(204, "DELETE", EXCHANGE, "first", &[]).await;
    manager.expect(204, "DELETE", EXCHANGE, "second", &[]).await;
}
