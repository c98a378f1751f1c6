//! Every type and every size through a queue.

use std::time::Duration;

use postroad_amqp::v1_0 as amqp;
use postroad_client::types::{Annotations, Bytes, Map, Symbol, Value, ValueType};
use postroad_client::{ConnectionError, LinkError, Message, SendError};
use postroad_tests::ours::{connect, message, run, soon, take, typed_form};
use postroad_tests::peers::RabbitMq;
use postroad_tests::{corpus, typed};
use serde_json::{Value as Json, json};

/// Arrays in the forms that we write, the smallest ones, of which RabbitMQ reads only the widest: smalluint and array8
/// elements. Written by Proton, in wide forms, the same values pass.
const SMALL_FORMS: [&str; 3] = ["array of uint, small", "array of arrays", "array empty"];

/// Whether a body of this value ends the connection (peers.md, RabbitMQ): a list with elements, and an array of what
/// RabbitMQ cannot write or read.
pub(super) fn is_fatal(name: &str, value: &Value) -> bool {
    match value {
        Value::List(elements) => !elements.is_empty(),
        Value::Array(array) => {
            let passing = [
                ValueType::Boolean,
                ValueType::Ubyte,
                ValueType::Ushort,
                ValueType::Uint,
                ValueType::Ulong,
                ValueType::Byte,
                ValueType::Short,
                ValueType::Int,
                ValueType::Long,
                ValueType::String,
                ValueType::Symbol,
            ];
            !passing.contains(&array.element_type()) || SMALL_FORMS.contains(&name)
        }
        _ => false,
    }
}

/// Puts messages through a queue of their own.
async fn through(rabbitmq: &RabbitMq, queue: &str, messages: &[Message]) -> Vec<Message> {
    let connection = connect(&rabbitmq.url()).await.unwrap();
    let session = connection.session().await.unwrap();
    let address = format!("/queue/{queue}");
    let sender = soon(session.sender(&*address)).await.unwrap();
    for message in messages {
        soon(sender.submit(message)).await.unwrap();
    }
    soon(sender.sync()).await.unwrap();
    let mut receiver = soon(session.receiver(&*address)).await.unwrap();
    let got = take(&mut receiver, messages.len()).await;
    soon(connection.close()).await.unwrap();
    got
}

#[test]
fn values_that_end_the_connection_as_bodies() {
    let rabbitmq = rabbitmq!();
    run(async {
        let fatal: Vec<_> = corpus::values().into_iter().filter(|(name, value)| is_fatal(name, value)).collect();
        assert_eq!(fatal.len(), 18 + SMALL_FORMS.len());
        let mut annotated = Message::from(Bytes::from_static(b"\x01"));
        annotated.set_instructions(Annotations(Map(vec![(Symbol::from_static("x-a").into(), 1u32.into())])));
        let mut messages: Vec<_> = fatal.into_iter().map(|(name, value)| (name, Message::from(value))).collect();
        messages.push(("delivery-annotations", annotated));
        // Together, for each takes its seconds: nothing comes but the end of the stream, and that with a reset where
        // RabbitMQ has left bytes of ours unread.
        let lost = [
            ConnectionError::Protocol(amqp::ConnectionError::Lost),
            ConnectionError::Transport(std::io::ErrorKind::ConnectionReset),
        ]
        .map(|error| Err(SendError::InDoubt(LinkError::Connection(error))));
        let url = rabbitmq.url();
        let tasks: Vec<_> = messages
            .into_iter()
            .map(|(name, message)| {
                let url = url.clone();
                tokio::spawn(async move {
                    let session = connect(&url).await.unwrap().session().await.unwrap();
                    let sender = soon(session.sender("/queue/ours-fatal")).await.unwrap();
                    (name, soon(sender.send(&message)).await)
                })
            })
            .collect();
        for task in tasks {
            let (name, outcome) = task.await.unwrap();
            assert!(lost.contains(&outcome), "{name}: {outcome:?}");
        }
    });
}

#[test]
fn what_rabbitmq_changes_in_a_message() {
    let rabbitmq = rabbitmq!();
    run(async {
        let boolean = |v| json!({"t": "boolean", "v": v});
        let data = |hex: &str| json!({"s": "data", "v": {"t": "binary", "v": hex}});
        let list = |n: u32| json!({"s": "amqp-sequence", "v": {"t": "list", "v": [{"t": "uint", "v": n}]}});
        let header = |count: bool| {
            let mut fields = json!({"durable": boolean(true), "priority": {"t": "ubyte", "v": 9}, "ttl": {"t": "uint", "v": 60_000}});
            let (name, value) = if count {
                ("delivery-count", json!({"t": "uint", "v": 3}))
            } else {
                ("first-acquirer", boolean(true))
            };
            fields[name] = value;
            json!({"s": "header", "v": fields})
        };
        let properties = json!({"s": "properties", "v": {
            "message-id": {"t": "ulong", "v": u64::MAX}, "user-id": {"t": "binary", "v": typed::hex(b"guest")},
            "to": {"t": "string", "v": "to"}, "subject": {"t": "string", "v": "subject"},
            "correlation-id": {"t": "uuid", "v": "00010203-0405-0607-0809-0a0b0c0d0eff"},
            "content-type": {"t": "symbol", "v": "text/plain"}, "creation-time": {"t": "timestamp", "v": -1},
            "group-sequence": {"t": "uint", "v": u32::MAX}, "reply-to-group-id": {"t": "string", "v": "replies"},
        }});
        let annotations = json!({"s": "message-annotations", "v": {"t": "map", "v": [[{"t": "symbol", "v": "x-opt-a"}, {"t": "uint", "v": 1}]]}});
        let footer =
            json!({"s": "footer", "v": {"t": "map", "v": [[{"t": "symbol", "v": "x-f"}, {"t": "uint", "v": 1}]]}});
        // What is not there is made up: a header, and a subject that is the routing key.
        let made = json!({"s": "header", "v": {"durable": boolean(false), "first-acquirer": boolean(true)}});
        let subject = json!({"s": "properties", "v": {"subject": {"t": "string", "v": "ours-changes"}}});
        let cases: [(Json, Json); 5] = [
            (
                json!([header(true), annotations, properties, data("01"), footer]),
                json!([header(false), annotations, properties, data("01"), footer]),
            ),
            (json!([data("01"), data("02"), data("03")]), json!([made, subject, data("03"), data("02"), data("01")])),
            (json!([list(1), list(2)]), json!([made, subject, list(2), list(1)])),
            (json!([properties]), json!([made, properties, data("")])),
            (json!([data("")]), json!([made, subject, data("")])),
        ];
        let sent: Vec<_> = cases.iter().map(|(sections, _)| message(&json!({"sections": sections}))).collect();
        let got = through(rabbitmq, "ours-changes", &sent).await;
        for (got, (sent, expected)) in got.iter().zip(&cases) {
            assert_eq!(typed_form(got)["sections"], *expected, "{sent}");
        }
    });
}

#[test]
fn hundreds_of_messages_under_way_at_once() {
    let rabbitmq = rabbitmq!();
    run(async {
        let sent: Vec<_> = (0..500u32).map(|n| Message::from(Value::from(n))).collect();
        let got = through(rabbitmq, "ours-many", &sent).await;
        let numbers: Vec<_> = got.iter().map(|message| message.value().cloned().unwrap()).collect();
        assert_eq!(numbers, (0..500u32).map(Value::from).collect::<Vec<_>>());
        // Accepted and gone.
        let session = connect(&rabbitmq.url()).await.unwrap().session().await.unwrap();
        let mut receiver = soon(session.receiver("/queue/ours-many")).await.unwrap();
        assert!(soon(receiver.fetch(Duration::from_millis(200))).await.unwrap().is_none());
    });
}
