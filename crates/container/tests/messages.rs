//! Messages of every kind arrive as they were sent, from one container at another.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Log, both, once, script};
use postroad_codec::v1_0::{Annotations, Map};
use postroad_container::Message;
use postroad_container::types::{
    Body, Bytes, Decimal32, Decimal64, Decimal128, Described, MessageId, Symbol, Timestamp, Uuid, Value,
};

/// Sends these, over frames of so many bytes, and compares what comes.
async fn pass(messages: Vec<Message>, frame: u32) {
    let count = messages.len();
    let expected = messages.clone();
    let came = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&came);
    let server = script(&Log::default(), move |method, event| {
        if method == "on_message" {
            theirs.lock().unwrap().push(event.take_message().unwrap());
            assert_eq!(event.message().unwrap().body(), &Body::Empty, "it was taken");
        }
    });
    let log = Log::default();
    let noted = log.clone();
    both(server, |url| {
        let mut options = once(&url);
        options.max_frame_size = frame;
        let mut sent = 0;
        script(&log, move |method, event| match method {
            "on_start" => drop(event.container().connect_with(options.clone()).create_sender("q")),
            "on_sendable" => {
                while sent < messages.len() && event.sender().unwrap().credit() > 0 {
                    event.sender().unwrap().send(&messages[sent]).unwrap();
                    sent += 1;
                }
            }
            "on_accepted" if noted.count(method) == count => event.connection().unwrap().close(),
            _ => {}
        })
    })
    .await;
    let came = came.lock().unwrap();
    assert_eq!(came.len(), expected.len());
    for (came, expected) in came.iter().zip(&expected) {
        assert_eq!(came.encode(), expected.encode());
    }
}

fn uuid() -> Uuid {
    Uuid::from_bytes([7; 16])
}

/// A value of every type.
fn values() -> Vec<Value> {
    let symbol = |text| Value::from(Symbol::from_static(text));
    let map = Map(vec![
        (Value::from("a"), Value::from(1_u64)),
        (Value::from(2_i32), Value::Null),
        (Value::Uuid(uuid()), symbol("key")),
        (Value::List(vec![1_u8.into()]), Value::Map(Map::default())),
    ]);
    vec![
        Value::Null,
        true.into(),
        false.into(),
        u8::MAX.into(),
        u16::MAX.into(),
        0_u32.into(),
        200_u32.into(),
        u32::MAX.into(),
        u64::MAX.into(),
        9_007_199_254_740_992_u64.into(),
        i8::MIN.into(),
        i16::MIN.into(),
        i32::MIN.into(),
        (-1_i32).into(),
        i64::MIN.into(),
        (-1_234_567_898_765_i64).into(),
        0.25_f32.into(),
        f64::MAX.into(),
        4.734_f64.into(),
        Value::Decimal32(Decimal32([1, 2, 3, 4])),
        Value::Decimal64(Decimal64([5; 8])),
        Value::Decimal128(Decimal128([6; 16])),
        Value::Char('☃'),
        Value::Timestamp(Timestamp(-1)),
        Value::Uuid(uuid()),
        Value::Binary(Bytes::from_static(b"\x00\xff")),
        "".into(),
        "größer ☃".into(),
        symbol("symbol"),
        Value::List(vec![]),
        Value::List(vec![1_u8.into(), "two".into(), Value::List(vec![Value::Null])]),
        Value::Map(map),
        Value::Described(Box::new(Described { descriptor: 5_u64.into(), value: "described".into() })),
        Value::Described(Box::new(Described { descriptor: symbol("a:b"), value: Value::List(vec![]) })),
    ]
}

#[tokio::test]
async fn a_body_of_any_type_arrives_as_it_was() {
    pass(values().into_iter().map(|value| Message::from(Body::Value(value))).collect(), 65_536).await;
}

#[tokio::test]
async fn a_body_of_any_number_of_sections_arrives_as_it_was() {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let bodies = [
        Body::Empty,
        Body::Data(bytes("hello world!")),
        Body::Data(Bytes::new()),
        Body::DataSections(vec![bytes("hello"), bytes("world!")]),
        Body::DataSections(vec![bytes("farewell"), bytes("cruel"), bytes("world")]),
        Body::Sequence(vec!["hello".into(), 1_i32.into(), "world!".into()]),
        Body::Sequences(vec![vec!["hello".into(), 1_i32.into()], vec![], vec![Value::Null]]),
        Body::from("{\"id\":null,\"value\":\"Bestel de \\u00c9\"}"),
    ];
    pass(bodies.into_iter().map(Message::from).collect(), 65_536).await;
}

#[tokio::test]
async fn all_sections_and_fields_arrive_as_they_were() {
    let annotations = |name| Annotations(Map(vec![(Value::from(Symbol::from_static(name)), 5_i32.into())]));
    let mut all = Message::from("body")
        .with_durable(true)
        .with_priority(9)
        .with_ttl(Duration::from_millis(1234))
        .with_id(MessageId::Uuid(uuid()))
        .with_address("address")
        .with_subject("subject")
        .with_reply_to("reply to")
        .with_correlation_id(MessageId::Binary(Bytes::from_static(b"\x01")))
        .with_content_type("text/plain")
        .with_property("colour", "red")
        .with_property("age", 101_i32);
    all.set_content_encoding("identity");
    all.set_group_sequence(7);
    all.set_instructions(annotations("x-instruction"));
    all.set_annotations(annotations("x-annotation"));
    all.set_footer(annotations("x-footer"));
    for (number, value) in values().into_iter().enumerate() {
        // The properties of a program have simple values (part 3, 3.2.5).
        if !matches!(value, Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_)) {
            all.set_property(format!("property {number}"), value);
        }
    }
    let mut messages = vec![all, Message::default()];
    for id in [MessageId::from(5_u64), MessageId::from("five"), MessageId::Uuid(uuid())] {
        messages.push(Message::from("it").with_id(id.clone()).with_correlation_id(id));
    }
    pass(messages, 65_536).await;
}

#[tokio::test]
async fn messages_of_any_size_arrive_whole() {
    let sizes = [0, 1, 1023, 1024, 5 * 1024, 16_384, 32_768, 65_536, 1_048_576, 5 * 1_048_576];
    let messages = || sizes.iter().map(|size| Message::from(vec![b'x'; *size])).collect();
    pass(messages(), 65_536).await;
    pass(messages(), 1_048_576).await;
    // In the smallest frames that there are.
    pass(sizes[..8].iter().map(|size| Message::from(vec![b'y'; *size])).collect(), 512).await;
}

#[tokio::test]
async fn many_large_messages_arrive_in_their_order() {
    for (count, size) in [(100, 16_384), (50, 32_768), (10, 65_536)] {
        let message = |number| Message::from(vec![b'x'; size]).with_id(number);
        pass((0..count).map(message).collect(), 16_384).await;
    }
}
