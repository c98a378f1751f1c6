//! `$management`: requests, answers, and what is refused.

use postroad_amqp::v1_0::{LinkId, LinkTerms};
use postroad_broker::{Broker, ExchangeKind};
use postroad_codec::v1_0::{
    Address, ApplicationProperties, Body, DeliveryState, ErrorCondition, Map, Message, MessageId, Properties, Role,
    Source, Symbol, Target, Value,
};

use crate::client::{Client, assert_refused, numbered};
use crate::{broker, start};

pub(crate) const QUEUE: &str = "org.apache.qpid.Queue";
pub(crate) const EXCHANGE: &str = "org.apache.qpid.Exchange";

/// A client that manages: its link to `$management`, and the one that brings answers.
pub(crate) struct Manager {
    pub(crate) client: Client,
    requests: LinkId,
    answers: LinkId,
    reply_to: String,
    next: u64,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i64,
    pub(crate) description: String,
    pub(crate) body: Value,
}

impl Manager {
    /// With answers over a dynamic node.
    pub(crate) async fn connect(broker: &Broker) -> Self {
        Self::over(Client::connect(broker).await).await
    }

    pub(crate) async fn over(mut client: Client) -> Self {
        let dynamic = Source { dynamic: true, ..Source::default() };
        let answers = client.attach_source(dynamic, 10).await.unwrap();
        let source = client.engine.remote_attach(answers).unwrap().source.clone().unwrap();
        let reply_to = source.address.unwrap().to_string();
        let requests = client.sender("$management").await.unwrap();
        Self { client, requests, answers, reply_to, next: 0 }
    }

    fn request(&mut self, operation: &str, entity: &str, name: &str, body: Body) -> Message {
        let mut application = ApplicationProperties::default();
        for (key, value) in [("operation", operation), ("type", entity), ("name", name)] {
            application.0.insert(key, value);
        }
        self.next += 1;
        let properties = Properties {
            reply_to: Some(Address(self.reply_to.as_str().into())),
            message_id: Some(MessageId::Ulong(self.next)),
            ..Properties::default()
        };
        Message {
            properties: Some(Box::new(properties)),
            application_properties: Some(application),
            body,
            ..Message::default()
        }
    }

    pub(crate) async fn ask(
        &mut self,
        operation: &str,
        entity: &str,
        name: &str,
        body: &[(&'static str, Value)],
    ) -> Answer {
        let body: Map = body.iter().map(|(key, value)| (Value::from(*key), value.clone())).collect();
        let request = self.request(operation, entity, name, Body::Value(Value::Map(body)));
        self.send(request).await
    }

    async fn send(&mut self, request: Message) -> Answer {
        let id = request.properties.as_ref().unwrap().message_id.clone();
        let token = self.client.send_with(self.requests, &request.to_bytes(), false).await;
        assert_eq!(self.client.outcome(self.requests, token).await.state, Some(DeliveryState::Accepted));
        let (correlation, answer) = self.answer().await;
        assert_eq!(correlation, id);
        answer
    }

    async fn answer(&mut self) -> (Option<MessageId>, Answer) {
        self.client.engine.receiver(self.answers).set_credit(10);
        let delivery = self.client.receive(self.answers).await;
        self.client.accept(self.answers, delivery.number);
        let message = Message::from_bytes(&delivery.payload).unwrap();
        let application = message.application_properties.unwrap();
        let status = application.0.get_str("statusCode").unwrap();
        assert!(matches!(status, Value::Int(_)), "{status:?}");
        let description = application.0.get_str("statusDescription").unwrap().as_str().unwrap().to_owned();
        let Body::Value(body) = message.body else { panic!("{:?} is no value", message.body) };
        let answer = Answer { status: status.as_i64().unwrap(), description, body };
        (message.properties.unwrap().correlation_id, answer)
    }

    /// As [`Manager::ask`], for an answer with this status.
    pub(crate) async fn expect(
        &mut self,
        status: i64,
        operation: &str,
        entity: &str,
        name: &str,
        body: &[(&'static str, Value)],
    ) -> Answer {
        let answer = self.ask(operation, entity, name, body).await;
        assert_eq!(answer.status, status, "{operation} {name}: {answer:?}");
        answer
    }
}

fn get<'a>(answer: &'a Answer, key: &str) -> Option<&'a Value> {
    let Value::Map(map) = &answer.body else { panic!("{answer:?} has no map") };
    map.get_str(key)
}

#[tokio::test]
async fn nodes_are_made_read_and_deleted() {
    let broker = start(Broker::builder()).await;
    let mut manager = Manager::connect(&broker).await;
    let offered = manager.client.engine.remote_open().unwrap().offered_capabilities.clone();
    assert!(offered.iter().any(|one| *one == Symbol::from_static("AMQP_MANAGEMENT_V1_0")));

    let limited = [("qpid.max_count", Value::Int(5)), ("auto-delete", false.into())];
    let answer = manager.expect(201, "CREATE", QUEUE, "q", &limited).await;
    assert_eq!(get(&answer, "qpid.max_count"), Some(&Value::Ulong(5)));
    manager.expect(200, "CREATE", QUEUE, "q", &limited).await;
    manager.expect(200, "CREATE", QUEUE, "q", &[]).await;
    let answer = manager.expect(409, "CREATE", QUEUE, "q", &[("qpid.max_count", Value::Int(6))]).await;
    assert!(answer.description.contains("qpid.max_count is 5"), "{answer:?}");
    let answer = manager.expect(200, "READ", QUEUE, "q", &[]).await;
    let read = |key| get(&answer, key).cloned();
    assert_eq!(
        [read("name"), read("exclusive"), read("durable")],
        [Some("q".into()), Some(false.into()), Some(false.into())]
    );
    assert_eq!(read("exchange-type"), None);
    assert!(broker.queues().contains(&"q".to_owned()));

    manager.expect(404, "READ", EXCHANGE, "q", &[]).await;
    let fanout = [("exchange-type", Value::from("fanout"))];
    manager.expect(201, "CREATE", EXCHANGE, "q", &fanout).await;
    manager.expect(200, "CREATE", EXCHANGE, "q", &fanout).await;
    manager.expect(409, "CREATE", EXCHANGE, "q", &[("exchange-type", "direct".into())]).await;
    for (key, value) in [
        ("exclusive", true.into()),
        ("auto-delete", true.into()),
        ("alternate-exchange", "amq.fanout".into()),
        ("lifetime-policy", "amqp:delete-on-no-links:list".into()),
    ] {
        let answer = manager.expect(409, "CREATE", QUEUE, "q", &[(key, value)]).await;
        assert!(answer.description.contains(key), "{answer:?}");
    }
    let answer = manager.expect(200, "READ", EXCHANGE, "q", &[]).await;
    assert_eq!(get(&answer, "exchange-type"), Some(&Value::from("fanout")));
    manager.expect(201, "CREATE", EXCHANGE, "t", &[]).await;
    assert_eq!(broker.topics(), ["t"]);

    for (entity, name) in [(QUEUE, "q"), (EXCHANGE, "q")] {
        assert_eq!(manager.expect(204, "DELETE", entity, name, &[]).await.body, Value::Null);
        manager.expect(404, "DELETE", entity, name, &[]).await;
        manager.expect(404, "READ", entity, name, &[]).await;
    }
}

#[tokio::test]
async fn what_is_the_brokers_stays() {
    let broker = start(Broker::builder()).await;
    let mut manager = Manager::connect(&broker).await;
    manager.expect(403, "DELETE", EXCHANGE, "amq.topic", &[]).await;
    manager.expect(403, "CREATE", EXCHANGE, "amq.mine", &[]).await;
    manager.expect(403, "CREATE", QUEUE, "amq.mine", &[]).await;
    manager.expect(403, "CREATE", QUEUE, "$management", &[]).await;
    manager.expect(200, "CREATE", EXCHANGE, "amq.match", &[("exchange-type", "headers".into())]).await;
    manager.expect(409, "CREATE", EXCHANGE, "amq.match", &[("exchange-type", "topic".into())]).await;
    assert_eq!(broker.exchanges().len(), 4);
}

#[tokio::test]
async fn queues_are_bound_and_unbound() {
    let broker = start(Broker::builder().queue("q")).await;
    let mut manager = Manager::connect(&broker).await;
    let binding = [("destination", Value::from("q")), ("bindingKey", "a.*".into())];
    manager.expect(200, "bind", EXCHANGE, "amq.topic", &binding).await;
    manager.expect(200, "bind", EXCHANGE, "amq.topic", &binding).await;
    assert_eq!(broker.exchange_stats("amq.topic").unwrap().bindings, 1);
    for (body, bound) in [
        (&binding[..], true),
        (&binding[..1], true),
        (&binding[1..], true),
        (&[], true),
        (&[("bindingKey", "b".into())], false),
    ] {
        let answer = manager.expect(200, "isBound", EXCHANGE, "amq.topic", body).await;
        assert_eq!(answer.body, Value::Boolean(bound), "{body:?}");
    }
    manager.expect(200, "unbind", EXCHANGE, "amq.topic", &binding).await;
    manager.expect(404, "unbind", EXCHANGE, "amq.topic", &binding).await;
    let answer = manager.expect(200, "isBound", EXCHANGE, "amq.topic", &[]).await;
    assert_eq!(answer.body, Value::Boolean(false));

    let arguments: Map = [("x-match", Value::from("any")), ("colour", "red".into())].into_iter().collect();
    let by_headers = [("destination", Value::from("q")), ("arguments", Value::Map(arguments))];
    manager.expect(200, "bind", EXCHANGE, "amq.match", &by_headers).await;
    let answer = manager.expect(200, "isBound", EXCHANGE, "amq.match", &by_headers[1..]).await;
    assert_eq!(answer.body, Value::Boolean(true));

    manager.expect(404, "bind", EXCHANGE, "nowhere", &binding).await;
    let lost = [("destination", Value::from("nowhere"))];
    let answer = manager.expect(404, "bind", EXCHANGE, "amq.topic", &lost).await;
    assert!(answer.description.contains("nowhere"));
    manager.expect(404, "isBound", EXCHANGE, "nowhere", &[]).await;
}

#[tokio::test]
async fn deletes_may_depend_on_use_and_messages() {
    let broker = start(Broker::builder().queue("q").exchange("e", ExchangeKind::Topic)).await;
    let mut manager = Manager::connect(&broker).await;
    broker.bind("e", "q", "k").unwrap();
    manager.expect(409, "DELETE", EXCHANGE, "e", &[("if-unused", true.into())]).await;
    let sender = manager.client.sender("q").await.unwrap();
    manager.client.send_all(sender, numbered(0..1)).await;
    manager.expect(409, "DELETE", QUEUE, "q", &[("if-empty", true.into())]).await;
    let receiver = manager.client.receiver("q", 0).await.unwrap();
    manager.expect(409, "DELETE", QUEUE, "q", &[("if-unused", true.into())]).await;
    manager.client.detach(receiver).await;
    manager.expect(204, "DELETE", QUEUE, "q", &[("if-unused", true.into())]).await;
    manager.expect(204, "DELETE", EXCHANGE, "e", &[("if-unused", true.into())]).await;
}

#[tokio::test]
async fn odd_requests_are_answered() {
    let broker = broker().await;
    let mut manager = Manager::connect(&broker).await;
    manager.expect(501, "EXPLODE", QUEUE, "q0", &[]).await;
    manager.expect(501, "QUERY", QUEUE, "q0", &[]).await;
    manager.expect(501, "bind", QUEUE, "q0", &[]).await;
    manager.expect(404, "READ", "org.example.Thing", "q0", &[]).await;
    manager.expect(400, "CREATE", QUEUE, "", &[]).await;
    manager.expect(400, "CREATE", QUEUE, &"n".repeat(1025), &[]).await;
    for (status, operation, entity, key, value) in [
        (400, "CREATE", QUEUE, "exclusive", Value::Int(1)),
        (400, "CREATE", QUEUE, "auto-delete", "perhaps".into()),
        (400, "CREATE", QUEUE, "alternate-exchange", Value::Int(1)),
        (400, "CREATE", QUEUE, "lifetime-policy", "short".into()),
        (400, "CREATE", QUEUE, "qpid.max_count", Value::Int(-1)),
        (400, "CREATE", EXCHANGE, "exchange-type", "xml".into()),
        (501, "CREATE", QUEUE, "durable", true.into()),
        (501, "CREATE", QUEUE, "qpid.what_is_this", true.into()),
        (404, "CREATE", QUEUE, "alternate-exchange", "nowhere".into()),
        (400, "DELETE", QUEUE, "if-unused", "yes".into()),
        (400, "DELETE", QUEUE, "if-happy", true.into()),
        (400, "READ", QUEUE, "anything", Value::Null),
        (400, "bind", EXCHANGE, "destination", Value::Int(1)),
        (400, "bind", EXCHANGE, "bindingKey", "k".into()),
        (400, "isBound", EXCHANGE, "arguments", "k".into()),
    ] {
        let name = if operation == "CREATE" { "new" } else { "amq.topic" };
        let answer = manager.expect(status, operation, entity, name, &[(key, value)]).await;
        assert!(operation == "bind" || answer.description.contains(key) || status == 404, "{answer:?}");
    }

    // Parts that are missing or of another type.
    for broken in ["operation", "type", "name"] {
        for value in [None, Some(Value::Int(1))] {
            let mut request = manager.request("READ", QUEUE, "q0", Body::Empty);
            let application = request.application_properties.as_mut().unwrap();
            application.0.remove(&Value::from(broken));
            application.0.0.extend(value.map(|value| (Value::from(broken), value)));
            let answer = manager.send(request).await;
            assert_eq!(answer.status, 400);
            assert!(answer.description.contains(broken));
        }
    }
    for body in [Body::Data(b"x".as_slice().into()), Body::Value("text".into())] {
        let request = manager.request("READ", QUEUE, "q0", body);
        assert_eq!(manager.send(request).await.status, 400);
    }
    // The correlation id counts before the message id.
    let mut request = manager.request("READ", QUEUE, "q0", Body::Empty);
    request.properties.as_mut().unwrap().correlation_id = Some(MessageId::String("mine".into()));
    manager.client.send_with(manager.requests, &request.to_bytes(), true).await;
    let (correlation, answer) = manager.answer().await;
    assert_eq!((correlation, answer.status), (Some(MessageId::String("mine".into())), 200));
}

/// Whatever a name is made of, it is a name; what is too long for one is none.
#[tokio::test]
async fn names_are_what_they_are_told_to_be() {
    let broker = broker().await;
    let mut manager = Manager::connect(&broker).await;
    for name in ["a\0b", "\0", " ", "q/\u{202e}\n", &"n".repeat(1024)] {
        for entity in [QUEUE, EXCHANGE] {
            manager.expect(201, "CREATE", entity, name, &[]).await;
            let answer = manager.expect(200, "READ", entity, name, &[]).await;
            assert_eq!(get(&answer, "name"), Some(&name.into()));
        }
        manager.expect(200, "bind", EXCHANGE, name, &[("destination", name.into()), ("bindingKey", "\0".into())]).await;
        for entity in [QUEUE, EXCHANGE] {
            manager.expect(204, "DELETE", entity, name, &[]).await;
        }
    }
    let long = "n".repeat(1025);
    manager.expect(400, "CREATE", EXCHANGE, &long, &[]).await;
    for operation in ["READ", "DELETE"] {
        manager.expect(404, operation, QUEUE, &long, &[]).await;
    }
    manager.expect(404, "isBound", EXCHANGE, &long, &[]).await;
    manager.expect(404, "bind", EXCHANGE, "amq.topic", &[("destination", long.as_str().into())]).await;
    manager.expect(404, "CREATE", QUEUE, "q", &[("alternate-exchange", long.as_str().into())]).await;
    let key = [("destination", "q0".into()), ("bindingKey", "k".repeat(256).into())];
    manager.expect(400, "bind", EXCHANGE, "amq.topic", &key).await;
    manager.expect(404, "unbind", EXCHANGE, "amq.topic", &key).await;
    for (name, status) in [("$management", 403), ("amq.", 403), ("$managements", 201)] {
        manager.expect(status, "CREATE", QUEUE, name, &[]).await;
    }
    // A body that is deeper than anything that is read.
    let deep = (0..200).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let answer = manager.ask("CREATE", QUEUE, "deep", &[("x-deep", deep)]).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    // What is written in an error is bounded.
    let answer = manager.ask("READ", QUEUE, &"é".repeat(20_000), &[]).await;
    assert!(answer.status == 404 && answer.description.len() < 2000, "{}", answer.description.len());
}

#[tokio::test]
async fn nothing_leads_in_circles() {
    let broker = start(Broker::builder()).await;
    let mut manager = Manager::connect(&broker).await;
    let alternate = |name: &str| ("alternate-exchange", Value::from(name));
    manager.expect(404, "CREATE", EXCHANGE, "e", &[alternate("e")]).await;
    manager.expect(201, "CREATE", EXCHANGE, "e", &[]).await;
    manager.expect(201, "CREATE", EXCHANGE, "f", &[alternate("e")]).await;
    manager.expect(409, "CREATE", EXCHANGE, "e", &[alternate("f")]).await;
    // Only queues are bound.
    for destination in ["e", "f"] {
        manager.expect(404, "bind", EXCHANGE, "e", &[("destination", destination.into())]).await;
    }
    // Queues that drive each other's messages out, and that get answers to what is asked.
    for name in ["q", "r"] {
        let ring = [alternate("e"), ("qpid.policy_type", "ring".into()), ("qpid.max_count", Value::Int(1))];
        manager.expect(201, "CREATE", QUEUE, name, &ring).await;
        manager.expect(200, "bind", EXCHANGE, "e", &[("destination", name.into()), ("bindingKey", "#".into())]).await;
    }
    let requests = manager.requests;
    for _ in 0..5 {
        let mut request = manager.request("READ", QUEUE, "q", Body::Empty);
        request.properties.as_mut().unwrap().reply_to = Some(Address("e".into()));
        let token = manager.client.send_with(requests, &request.to_bytes(), false).await;
        assert_eq!(manager.client.outcome(requests, token).await.state, Some(DeliveryState::Accepted));
    }
    assert_eq!(["q", "r"].map(|queue| broker.queue_stats(queue).unwrap().ready), [1, 1]);
    let mut request = manager.request("READ", QUEUE, "q", Body::Empty);
    request.properties.as_mut().unwrap().reply_to = Some(Address("$management".into()));
    let token = manager.client.send_with(requests, &request.to_bytes(), false).await;
    assert_eq!(manager.client.outcome(requests, token).await.state, Some(DeliveryState::Accepted), "to nobody");
    manager.expect(204, "DELETE", QUEUE, "q", &[]).await;
    manager.expect(403, "DELETE", EXCHANGE, "e", &[]).await;
    for (entity, name) in [(QUEUE, "r"), (EXCHANGE, "f"), (EXCHANGE, "e")] {
        manager.expect(204, "DELETE", entity, name, &[]).await;
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_rejected() {
    let broker = broker().await;
    let mut manager = Manager::connect(&broker).await;
    let mut request = manager.request("CREATE", QUEUE, "new", Body::Empty);
    request.properties.as_mut().unwrap().reply_to = None;
    let requests = manager.requests;
    for (payload, condition) in [
        (request.to_bytes(), ErrorCondition::INVALID_FIELD),
        (b"garbage".as_slice().into(), ErrorCondition::DECODE_ERROR),
    ] {
        let token = manager.client.send_with(requests, &payload, false).await;
        match manager.client.outcome(requests, token).await.state {
            Some(DeliveryState::Rejected(rejected)) => assert_eq!(rejected.error.unwrap().condition, condition),
            other => panic!("{other:?}"),
        }
    }
    // An answer that nobody waits for is no reason to do nothing.
    let mut request = manager.request("CREATE", QUEUE, "new", Body::Empty);
    request.properties.as_mut().unwrap().reply_to = Some(Address("nowhere".into()));
    let token = manager.client.send_with(requests, &request.to_bytes(), false).await;
    assert_eq!(manager.client.outcome(requests, token).await.state, Some(DeliveryState::Accepted));
    manager.expect(200, "READ", QUEUE, "new", &[]).await;
    // Whoever reads the attach sends nothing that is too large.
    assert_eq!(manager.client.engine.remote_attach(requests).unwrap().max_message_size, Some(64 * 1024));
}

#[tokio::test]
async fn answers_come_over_a_link_from_the_management() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let bare = client.attach_source(Source::at("$management"), 1).await;
    assert_refused(bare, &ErrorCondition::INVALID_FIELD);
    let terms = LinkTerms {
        source: Some(Source::at("$management")),
        target: Some(Target::at("my-answers").into()),
        ..LinkTerms::default()
    };
    let answers = client.attach_as("answers", Role::Receiver, terms).await.unwrap();
    let requests = client.sender("$management").await.unwrap();
    let mut manager = Manager { client, requests, answers, reply_to: "my-answers".to_owned(), next: 0 };
    manager.expect(200, "READ", QUEUE, "q0", &[]).await;
    // Another connection has no part in it.
    let mut other = Manager::connect(&broker).await;
    other.reply_to = "my-answers".to_owned();
    let request = other.request("READ", QUEUE, "q0", Body::Empty);
    other.client.send_with(other.requests, &request.to_bytes(), false).await;
    manager.client.expect_nothing(manager.answers).await;
}

#[tokio::test]
async fn answers_that_nobody_reads_are_dropped() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let terms = LinkTerms {
        source: Some(Source::at("$management")),
        target: Some(Target::at("unread").into()),
        ..LinkTerms::default()
    };
    let answers = client.attach_as("answers", Role::Receiver, terms).await.unwrap();
    let requests = client.sender("$management").await.unwrap();
    let mut manager = Manager { client, requests, answers, reply_to: "unread".to_owned(), next: 0 };
    for _ in 0..300 {
        let request = manager.request("READ", QUEUE, "q0", Body::Empty);
        let token = manager.client.send_with(requests, &request.to_bytes(), false).await;
        assert_eq!(manager.client.outcome(requests, token).await.state, Some(DeliveryState::Accepted));
    }
    manager.client.engine.receiver(answers).set_credit(1000);
    for _ in 0..256 {
        manager.client.receive(answers).await;
    }
    manager.client.expect_nothing(answers).await;
}
