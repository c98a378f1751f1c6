//! Every type in every place, and every size of a body.

use postroad_client::types::{Annotations, Bytes, Map, MessageId, Symbol, Timestamp, Uuid, Value, ValueType};
use postroad_client::{LinkOptions, Message, Sender};
use postroad_tests::ours::{connect, message, options, run, soon, take, typed_form};
use postroad_tests::peers::Listener;
use postroad_tests::{corpus, typed};
use serde_json::{Value as Json, json};

/// Sends without waiting, then waits until all are accepted.
async fn send_all(sender: &Sender, messages: &[Message]) {
    for message in messages {
        soon(sender.submit(message)).await.unwrap();
    }
    soon(sender.sync()).await.unwrap();
}

/// Sends messages, expects that Proton has read them as they were meant, and that they come back equal.
async fn there_and_back(listener: &mut Listener, messages: &[(String, Message, Json)]) {
    let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    send_all(&sender, &messages.iter().map(|(_, message, _)| message.clone()).collect::<Vec<_>>()).await;
    for (got, (name, _, meant)) in listener.messages(messages.len()).unwrap().iter().zip(messages) {
        assert_eq!(got["sections"], meant["sections"], "{name}, as Proton read it");
    }
    // As the bytes came, and once more through Proton's encoder.
    for source in ["echo", "echo/data"] {
        let mut receiver = session.receiver(source).await.unwrap();
        for (got, (name, _, meant)) in take(&mut receiver, messages.len()).await.iter().zip(messages) {
            assert_eq!(typed_form(got), *meant, "{name}, back from {source}");
        }
    }
}

fn is_simple(value: &Value) -> bool {
    !matches!(value.value_type(), None | Some(ValueType::List | ValueType::Map | ValueType::Array))
}

fn annotations(values: impl Iterator<Item = (&'static str, Value)>) -> Annotations {
    let entry = |(name, value): (&str, Value)| (Symbol::new(format!("x-opt-{name}")).unwrap().into(), value);
    Annotations(Map(values.map(entry).collect()))
}

#[test]
fn every_value_as_body_arrives_and_comes_back() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let messages: Vec<_> = corpus::values()
            .into_iter()
            .map(|(name, value)| {
                let meant = typed::value_message(&value);
                (name.to_owned(), Message::from(value), meant)
            })
            .collect();
        there_and_back(&mut listener, &messages).await;
    });
}

#[test]
fn every_simple_value_as_application_property_arrives_and_comes_back() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let simple: Vec<_> = corpus::values().into_iter().filter(|(_, value)| is_simple(value)).collect();
        assert!(simple.len() > 70, "{}", simple.len());
        let mut message = Message::from(Bytes::from_static(b"."));
        for (name, value) in &simple {
            message.set_property(*name, value.clone());
        }
        let entries: Vec<Json> = simple
            .iter()
            .map(|(name, value)| json!([{"t": "string", "v": name}, typed::value_to_json(value)]))
            .collect();
        let meant = json!({"sections": [
            {"s": "application-properties", "v": {"t": "map", "v": entries}},
            {"s": "data", "v": {"t": "binary", "v": "2e"}},
        ]});
        there_and_back(&mut listener, &[("properties".to_owned(), message, meant)]).await;
    });
}

#[test]
fn every_value_as_annotation_arrives_and_comes_back() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let all = annotations(corpus::values().into_iter());
        let entries: Vec<Json> = all
            .0
            .0
            .iter()
            .map(|(key, value)| json!([typed::value_to_json(key), typed::value_to_json(value)]))
            .collect();
        let map = json!({"t": "map", "v": entries});
        let mut message = Message::from("body");
        message.set_instructions(all.clone());
        message.set_annotations(all.clone());
        message.set_footer(all);
        let meant = json!({"sections": [
            {"s": "delivery-annotations", "v": map},
            {"s": "message-annotations", "v": map},
            {"s": "amqp-value", "v": {"t": "string", "v": "body"}},
            {"s": "footer", "v": map},
        ]});
        there_and_back(&mut listener, &[("annotations".to_owned(), message, meant)]).await;
    });
}

#[test]
fn every_field_of_header_and_properties_arrives_and_comes_back() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let typed = |ty: &str, v: Json| json!({"t": ty, "v": v});
        let meant = json!({"sections": [
            {"s": "header", "v": {
                "durable": typed("boolean", true.into()), "priority": typed("ubyte", 255.into()),
                "ttl": typed("uint", u32::MAX.into()), "first-acquirer": typed("boolean", true.into()),
                "delivery-count": typed("uint", 7.into()),
            }},
            {"s": "properties", "v": {
                "message-id": typed("ulong", u64::MAX.into()), "user-id": typed("binary", "00ff".into()),
                "to": typed("string", "to".into()), "subject": typed("string", "subject".into()),
                "reply-to": typed("string", "reply-to".into()),
                "correlation-id": typed("uuid", "00010203-0405-0607-0809-0a0b0c0d0eff".into()),
                "content-type": typed("symbol", "text/plain".into()),
                "content-encoding": typed("symbol", "gzip".into()),
                "absolute-expiry-time": typed("timestamp", i64::MAX.into()),
                "creation-time": typed("timestamp", (-1).into()), "group-id": typed("string", "group".into()),
                "group-sequence": typed("uint", u32::MAX.into()), "reply-to-group-id": typed("string", "reply group".into()),
            }},
            {"s": "amqp-value", "v": {"t": "null"}},
        ]});
        let whole = message(&meant);
        let mut messages = vec![("all fields".to_owned(), whole.clone(), meant)];
        // Every type of an id, and each field alone: the nulls before it stay, those behind it are left out.
        for (ty, v) in [
            ("ulong", json!(0)),
            ("uuid", json!("00000000-0000-0000-0000-000000000000")),
            ("binary", json!("")),
            ("string", json!("")),
        ] {
            for field in ["message-id", "correlation-id"] {
                let meant = json!({"sections": [{"s": "properties", "v": {field: typed(ty, v.clone())}}, {"s": "data", "v": {"t": "binary", "v": ""}}]});
                messages.push((format!("{ty} {field}"), message(&meant), meant));
            }
        }
        there_and_back(&mut listener, &messages).await;

        // The same by our names.
        assert_eq!((whole.durable(), whole.priority(), whole.first_acquirer()), (true, 255, true));
        assert_eq!((whole.delivery_count(), whole.redelivered()), (7, true));
        assert_eq!(whole.ttl().unwrap().as_millis(), u128::from(u32::MAX));
        assert_eq!(whole.id(), Some(&MessageId::Ulong(u64::MAX)));
        assert_eq!(whole.user_id(), Some(&[0, 255][..]));
        assert_eq!(
            (whole.address(), whole.subject(), whole.reply_to()),
            (Some("to"), Some("subject"), Some("reply-to"))
        );
        let uuid = Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0eff);
        assert_eq!(whole.correlation_id(), Some(&MessageId::Uuid(uuid)));
        assert_eq!((whole.content_type(), whole.content_encoding()), (Some("text/plain"), Some("gzip")));
        assert_eq!((whole.expiry_time(), whole.creation_time()), (Some(Timestamp(i64::MAX)), Some(Timestamp(-1))));
        assert_eq!((whole.group_id(), whole.group_sequence()), (Some("group"), Some(u32::MAX)));
        assert_eq!(whole.reply_to_group_id(), Some("reply group"));
    });
}

#[test]
fn bodies_of_each_kind_arrive_and_come_back() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let data = |hex: &str| json!({"s": "data", "v": {"t": "binary", "v": hex}});
        let list = |values: Json| json!({"s": "amqp-sequence", "v": {"t": "list", "v": values}});
        let messages: Vec<_> = [
            ("no body", json!([{"s": "header", "v": {"durable": {"t": "boolean", "v": false}}}])),
            ("one data", json!([data("00")])),
            ("several data", json!([data("01"), data(""), data("0203")])),
            ("one sequence", json!([list(json!([{"t": "uint", "v": 1}, {"t": "null"}]))])),
            ("several sequences", json!([list(json!([])), list(json!([{"t": "list", "v": []}]))])),
        ]
        .map(|(name, sections)| {
            let meant = json!({"sections": sections});
            (name.to_owned(), message(&meant), meant)
        })
        .into();
        there_and_back(&mut listener, &messages).await;
    });
}

#[test]
fn bodies_from_1_byte_to_1_mib_at_frames_small_and_large() {
    let proton = proton!();
    let bodies =
        [1, 100, 64 * 1024, 1024 * 1024].map(|size: u32| (0..size).map(|n| (n % 251) as u8).collect::<Bytes>());
    for (ours, theirs) in [(512, 512), (512, 65_536), (65_536, 512), (65_536, 65_536)] {
        run(async {
            let mut listener = proton.listen(&["--max-frame-size", &theirs.to_string()]).unwrap();
            let mut options = options(&listener.url());
            options.max_frame_size = ours;
            let connection = postroad_client::Connection::open(options).await.unwrap();
            assert_eq!(listener.event("open").unwrap()["max_frame_size"], ours);
            let session = connection.session().await.unwrap();
            let sender = session.sender("q").await.unwrap();
            send_all(&sender, &bodies.clone().map(Message::from)).await;
            for (got, body) in listener.messages(bodies.len()).unwrap().iter().zip(&bodies) {
                // Not assert_eq: nobody reads a megabyte.
                assert!(got["sections"][0]["v"]["v"] == typed::hex(body), "{} bytes at {ours}/{theirs}", body.len());
            }
            let options = LinkOptions::default();
            let mut receiver = session.receiver_with("echo", options).await.unwrap();
            for (got, body) in take(&mut receiver, bodies.len()).await.iter().zip(&bodies) {
                assert!(got.bytes() == Some(body), "{} bytes back at {ours}/{theirs}", body.len());
            }
            connection.close().await.unwrap();
        });
    }
}
