//! Nodes that are managed by messages, at the embedded broker.

use postroad_broker::Broker;
use postroad_client::types::{ErrorCondition, Fields, Symbol, Value};
use postroad_client::{
    AcceptOptions, Acceptor, Binding, ConnectOptions, Connection, Management, ManagementError, Message, NodeKind,
    Session,
};
use postroad_taps::LocalEndpoint;

async fn managed() -> (Broker, Session, Management) {
    let broker = Broker::builder().listen("amqp://127.0.0.1:0").start().await.unwrap();
    let connection = Connection::open(ConnectOptions::new(broker.urls()[0].parse().unwrap())).await.unwrap();
    assert!(connection.is_managed());
    let session = connection.session().await.unwrap();
    let management = session.management().await.unwrap();
    (broker, session, management)
}

fn fields(entries: &[(&'static str, Value)]) -> Fields {
    Fields(entries.iter().map(|(key, value)| (Symbol::from_static(key), value.clone())).collect())
}

fn condition<T: std::fmt::Debug>(result: Result<T, ManagementError>) -> ErrorCondition {
    match result {
        Err(ManagementError::Refused(error)) => error.condition,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nodes_are_made_told_and_deleted() {
    let (broker, _session, mut management) = managed().await;
    let properties = fields(&[("qpid.max_count", 5_i64.into()), ("alternate-exchange", "amq.fanout".into())]);
    assert_eq!(management.declare(NodeKind::Queue, "q", properties.clone()).await, Ok(true));
    assert_eq!(management.declare(NodeKind::Queue, "q", properties).await, Ok(false));
    let other = fields(&[("qpid.max_count", 6_i64.into())]);
    assert_eq!(condition(management.declare(NodeKind::Queue, "q", other).await), ErrorCondition::PRECONDITION_FAILED);
    let told = management.describe(NodeKind::Queue, "q").await.unwrap().unwrap();
    assert_eq!(told.0.get_str("qpid.max_count").and_then(Value::as_i64), Some(5));
    assert_eq!(told.0.get_str("alternate-exchange").and_then(Value::as_str), Some("amq.fanout"));
    // The name spaces are apart.
    assert_eq!(management.describe(NodeKind::Exchange, "q").await, Ok(None));
    assert_eq!(management.delete(NodeKind::Exchange, "q").await, Ok(false));
    assert!(broker.queues().iter().any(|name| name == "q"));
    assert_eq!(management.delete(NodeKind::Queue, "q").await, Ok(true));
    assert_eq!(management.delete(NodeKind::Queue, "q").await, Ok(false));
    assert_eq!(condition(management.delete(NodeKind::Exchange, "amq.topic").await), ErrorCondition::NOT_ALLOWED);
    let nonsense = fields(&[("exclusive", "perhaps".into())]);
    assert_eq!(condition(management.declare(NodeKind::Queue, "x", nonsense).await), ErrorCondition::INVALID_FIELD);
}

#[tokio::test]
async fn bindings_are_made_looked_for_and_ended() {
    let (_broker, session, mut management) = managed().await;
    management.declare(NodeKind::Queue, "q", Fields::default()).await.unwrap();
    let binding = Binding::new("amq.topic", "q").key("news.#");
    assert_eq!(management.is_bound(&binding).await, Ok(false));
    for _ in 0..2 {
        management.bind(&binding).await.unwrap();
    }
    assert_eq!(management.is_bound(&binding).await, Ok(true));
    let sender = session.sender("amq.topic").await.unwrap();
    sender.send(&Message::from("sport").with_subject("sport")).await.unwrap();
    sender.send(&Message::from("news").with_subject("news.today")).await.unwrap();
    let mut receiver = session.receiver("q").await.unwrap();
    assert_eq!(receiver.receive().await.unwrap().text(), Some("news"));
    for _ in 0..2 {
        management.unbind(&binding).await.unwrap();
    }
    assert_eq!(management.is_bound(&binding).await, Ok(false));
    let headers = Binding::new("amq.match", "q").key("k").argument("x-match", "any").argument("a", 1_i64);
    management.bind(&headers).await.unwrap();
    assert_eq!(condition(management.bind(&Binding::new("none", "q")).await), ErrorCondition::NOT_FOUND);
    assert_eq!(condition(management.bind(&Binding::new("amq.topic", "none")).await), ErrorCondition::NOT_FOUND);
}

#[tokio::test]
async fn several_ask_at_once_and_each_has_its_own_answers() {
    let (_broker, session, _management) = managed().await;
    let asking = (0..8i64).map(|number| {
        let session = session.clone();
        tokio::spawn(async move {
            let mut management = session.management().await.unwrap();
            let name = format!("q{number}");
            for count in 1..4 {
                let properties = fields(&[("qpid.max_count", (10 * number + count).into())]);
                assert_eq!(management.declare(NodeKind::Queue, &name, properties).await, Ok(true));
                let told = management.describe(NodeKind::Queue, &name).await.unwrap().unwrap();
                let told = told.0.get_str("qpid.max_count").and_then(Value::as_i64);
                assert_eq!(told, Some(10 * number + count));
                assert_eq!(management.delete(NodeKind::Queue, &name).await, Ok(true));
            }
        })
    });
    for asking in asking.collect::<Vec<_>>() {
        asking.await.unwrap();
    }
}

#[tokio::test]
async fn a_peer_that_takes_no_requests_says_so() {
    let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))).await.unwrap();
    let url = format!("amqp://{}", acceptor.local_endpoint());
    let options = ConnectOptions::new(url.parse().unwrap());
    let (connection, _theirs) = tokio::join!(Connection::open(options), acceptor.accept());
    let connection = connection.unwrap();
    assert!(!connection.is_managed());
    let error = connection.session().await.unwrap().management().await.unwrap_err();
    assert_eq!(error, ManagementError::Unavailable);
    assert!(error.hint().is_some());
}
