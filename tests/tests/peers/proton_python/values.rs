//! Every type in every place, and every size of a body.

use postroad_client::types::{Annotations, Bytes, Map, Symbol, Value};
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

fn annotations(values: impl Iterator<Item = (&'static str, Value)>) -> Annotations {
    let entry = |(name, value): (&str, Value)| (Symbol::new(format!("x-opt-{name}")).unwrap().into(), value);
    Annotations(Map(values.map(entry).collect()))
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
fn bodies_at_frames_small_one_way_and_large_the_other() {
    let proton = proton!();
    let bodies =
        [1, 100, 64 * 1024, 1024 * 1024].map(|size: u32| (0..size).map(|n| (n % 251) as u8).collect::<Bytes>());
    for (ours, theirs) in [(512, 65_536), (65_536, 512)] {
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
