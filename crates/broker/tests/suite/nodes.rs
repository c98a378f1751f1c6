//! Addresses: what they find, what they make, and what they are refused.

use postroad_broker::Broker;
use postroad_codec::v1_0::{
    DeliveryState, ErrorCondition, Fields, FilterSet, Map, Message, NodeProperties, Properties, Source, Symbol, Target,
    TerminusDurability, Value,
};

use crate::client::{Client, assert_refused, numbered};
use crate::{broker, eventually, start};

fn capable(capability: &'static str) -> Target {
    Target { capabilities: vec![Symbol::from_static(capability)].into(), ..Target::at("new") }
}

fn properties(key: &'static str, value: impl Into<Value>) -> Option<NodeProperties> {
    let mut fields = Fields::default();
    fields.0.insert(Value::Symbol(key.into()), value.into());
    Some(NodeProperties(fields))
}

fn lifetime(code: u64) -> Option<NodeProperties> {
    properties("lifetime-policy", Value::described(Value::Ulong(code), Value::List(Vec::new())))
}

fn dynamic(policy: Option<u64>) -> Source {
    Source { dynamic: true, dynamic_node_properties: policy.and_then(lifetime), ..Source::default() }
}

#[tokio::test]
async fn an_unknown_node_is_refused_and_the_session_goes_on() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    assert_refused(client.sender("nowhere").await, &ErrorCondition::NOT_FOUND);
    assert_refused(client.receiver("nowhere", 1).await, &ErrorCondition::NOT_FOUND);
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    assert_eq!(broker.queues(), ["q0"]);
}

#[tokio::test]
async fn a_queue_is_made_on_demand_or_for_any_name() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.attach_target(capable("create-on-demand")).await.unwrap();
    let answer = client.engine.remote_attach(sender).unwrap().target.clone().unwrap();
    let capabilities = &answer.as_target().unwrap().capabilities;
    assert_eq!(capabilities.as_slice(), ["create-on-demand", "queue"].map(Symbol::from_static));
    client.send_all(sender, numbered(0..1)).await;
    client.detach(sender).await;
    // Without a lifetime policy it stays.
    assert_eq!(broker.queue_stats("new").unwrap().ready, 1);

    let broker = start(Broker::builder().auto_create(true)).await;
    let mut client = Client::connect(&broker).await;
    client.receiver("anything", 1).await.unwrap();
    assert_eq!(broker.queues(), ["anything"]);
}

#[tokio::test]
async fn a_dynamic_node_goes_with_its_link() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let receiver = client.attach_source(dynamic(None), 10).await.unwrap();
    let source = client.engine.remote_attach(receiver).unwrap().source.clone().unwrap();
    assert!(source.dynamic);
    let address = source.address.unwrap().to_string();
    let policy = source.dynamic_node_properties.unwrap().0.0.get_str("lifetime-policy").cloned();
    assert_eq!(policy, Some(Value::described(Value::Ulong(0x2b), Value::List(Vec::new()))));

    let other = client.attach_source(dynamic(None), 1).await.unwrap();
    let other = client.engine.remote_attach(other).unwrap().source.clone().unwrap();
    assert_ne!(other.address.unwrap().to_string(), address);

    let mut peer = Client::connect(&broker).await;
    let sender = peer.sender(&address).await.unwrap();
    peer.send_all(sender, numbered(0..1)).await;
    assert_eq!(client.receive_text(receiver).await, "m0");
    client.detach(receiver).await;
    let error = peer.detached(sender).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::RESOURCE_DELETED);
    assert_refused(peer.sender(&address).await, &ErrorCondition::NOT_FOUND);
}

#[tokio::test]
async fn the_other_lifetimes_wait_for_links_and_messages() {
    let broker = broker().await;
    let address = |client: &Client, link| {
        let source = client.engine.remote_attach(link).unwrap().source.clone().unwrap();
        source.address.unwrap().to_string()
    };
    let mut other = Client::connect(&broker).await;
    // No links.
    let mut client = Client::connect(&broker).await;
    let creator = client.attach_source(dynamic(Some(0x2c)), 0).await.unwrap();
    let name = address(&client, creator);
    let sender = other.sender(&name).await.unwrap();
    client.close().await;
    other.send_all(sender, numbered(0..1)).await;
    other.detach(sender).await;
    eventually("it is gone with its last link", || broker.queue_stats(&name).is_none()).await;

    // No messages.
    let mut client = Client::connect(&broker).await;
    let creator = client.attach_source(dynamic(Some(0x2d)), 0).await.unwrap();
    let name = address(&client, creator);
    let sender = other.sender(&name).await.unwrap();
    other.send_all(sender, numbered(0..1)).await;
    client.close().await;
    let receiver = other.receiver(&name, 10).await.unwrap();
    assert_eq!(other.receive_text(receiver).await, "m0");
    let error = other.detached(receiver).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::RESOURCE_DELETED);
    assert!(broker.queue_stats(&name).is_none());

    // Neither.
    let mut client = Client::connect(&broker).await;
    let creator = client.attach_source(dynamic(Some(0x2e)), 0).await.unwrap();
    let name = address(&client, creator);
    let sender = other.sender(&name).await.unwrap();
    other.send_all(sender, numbered(0..1)).await;
    client.close().await;
    other.detach(sender).await;
    let receiver = other.receiver(&name, 10).await.unwrap();
    assert_eq!(other.receive_text(receiver).await, "m0");
    other.flush().await;
    eventually("the message is settled", || broker.queue_stats(&name).unwrap().settled == 1).await;
    other.detach(receiver).await;
    eventually("it is gone", || broker.queue_stats(&name).is_none()).await;
}

#[tokio::test]
async fn nothing_durable_without_a_store() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    for durable in [TerminusDurability::CONFIGURATION, TerminusDurability::UNSETTLED_STATE] {
        let refused = client.attach_source(Source { durable, ..Source::at("q0") }, 1).await;
        assert_refused(refused, &ErrorCondition::NOT_IMPLEMENTED);
        let refused = client.attach_target(Target { durable, ..Target::at("q0") }).await;
        assert_refused(refused, &ErrorCondition::NOT_IMPLEMENTED);
    }
    let durable = Target { dynamic_node_properties: properties("durable", true), ..capable("create-on-demand") };
    let error = client.attach_target(durable).await.unwrap_err();
    assert_eq!(error.condition, ErrorCondition::NOT_IMPLEMENTED);
    assert!(error.description.unwrap().contains("store"));
    assert_eq!(broker.queues(), ["q0"]);
}

#[tokio::test]
async fn what_is_not_there_is_refused_or_not_told_back() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    assert_refused(client.attach_source(Source::default(), 1).await, &ErrorCondition::INVALID_FIELD);

    let mut filters = Map::default();
    let unknown = Value::described(Value::Symbol("apache.org:xquery-filter:string".into()), "true()");
    filters.insert(Value::Symbol("xquery".into()), unknown);
    let filtered = Source { filter: Some(FilterSet(filters)), ..Source::at("q0") };
    let receiver = client.attach_source(filtered, 1).await.unwrap();
    let source = client.engine.remote_attach(receiver).unwrap().source.clone().unwrap();
    assert_eq!(source.filter, None);
}

#[tokio::test]
async fn the_anonymous_terminus_routes_by_to() {
    let broker = start(Broker::builder().queue("a").queue("b")).await;
    let mut client = Client::connect(&broker).await;
    let relay = client.attach_target(Target::default()).await.unwrap();
    let message = |to: Option<&str>| {
        let properties = Properties { to: to.map(Into::into), ..Properties::default() };
        Message { properties: Some(Box::new(properties)), ..Message::from("x") }.to_bytes()
    };
    let mut tokens = Vec::new();
    for to in [Some("a"), Some("a"), Some("b"), Some("nowhere"), None, Some("a")] {
        tokens.push(client.send_with(relay, &message(to), false).await);
    }
    let mut outcomes = Vec::new();
    for token in tokens {
        outcomes.push(match client.outcome(relay, token).await.state {
            Some(DeliveryState::Accepted) => None,
            Some(DeliveryState::Rejected(rejected)) => Some(rejected.error.unwrap().condition),
            other => panic!("{other:?}"),
        });
    }
    let not_found = Some(ErrorCondition::NOT_FOUND);
    assert_eq!(outcomes, [None, None, None, not_found, Some(ErrorCondition::INVALID_FIELD), None]);
    assert_eq!(broker.queue_stats("a").unwrap().ready, 3);
    assert_eq!(broker.queue_stats("b").unwrap().ready, 1);

    // A node that comes and goes is found anew.
    broker.delete_queue("a");
    let token = client.send_with(relay, &message(Some("a")), false).await;
    let state = client.outcome(relay, token).await.state;
    assert!(matches!(state, Some(DeliveryState::Rejected(_))), "{state:?}");
    broker.declare_queue("a").unwrap();
    let token = client.send_with(relay, &message(Some("a")), false).await;
    assert_eq!(client.outcome(relay, token).await.state, Some(DeliveryState::Accepted));
}

#[tokio::test]
async fn a_deleted_queue_detaches_its_links() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..3)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    client.receive(receiver).await;
    assert!(broker.delete_queue("q0"));
    assert!(!broker.delete_queue("q0"));
    assert_eq!(client.detached(receiver).await.unwrap().condition, ErrorCondition::RESOURCE_DELETED);
    assert_eq!(client.detached(sender).await.unwrap().condition, ErrorCondition::RESOURCE_DELETED);
    assert!(broker.declare_queue("q0").unwrap());
    assert!(!broker.declare_queue("q0").unwrap());
    client.receiver("q0", 1).await.unwrap();
    assert_eq!(broker.queue_stats("q0").unwrap().enqueued, 0);
}

#[tokio::test]
async fn sender_and_receiver_may_share_a_name() {
    use postroad_amqp::v1_0::{Event, LinkTerms};
    use postroad_codec::v1_0::Role;
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let session = client.session();
    let sender =
        LinkTerms { target: Some(Target::at("q0").into()), source: Some(Source::default()), ..LinkTerms::default() };
    let receiver =
        LinkTerms { source: Some(Source::at("q0")), target: Some(Target::default().into()), ..LinkTerms::default() };
    let sender = client.engine.attach(session, "same", Role::Sender, sender).unwrap();
    let receiver = client.engine.attach(session, "same", Role::Receiver, receiver).unwrap();
    for _ in 0..2 {
        client.wait("attach", |event| matches!(event, Event::LinkAttached(_)).then_some(())).await;
    }
    client.engine.receiver(receiver).set_credit(1);
    client.send_all(sender, numbered(0..1)).await;
    assert_eq!(client.receive_text(receiver).await, "m0");
}
