//! Every type and every size through a queue.

use postroad_broker::Broker;
use postroad_tests::ours::run;
use postroad_tests::{corpus, typed};
use serde_json::{Value as Json, json};

use super::{broker, expect_empty, receive, send_all, start, url};

/// The corpus as messages with properties, annotations and application properties around each value.
fn messages() -> Vec<Json> {
    let message = |(number, (name, value)): (usize, (&str, _))| {
        json!({"sections": [
            {"s": "header", "v": {"durable": {"t": "boolean", "v": false}, "priority": {"t": "ubyte", "v": 7}}},
            {"s": "message-annotations", "v": {"t": "map", "v": [[{"t": "symbol", "v": "x-opt-value"}, typed::value_to_json(&value)]]}},
            {"s": "properties", "v": {"message-id": {"t": "ulong", "v": number}, "subject": {"t": "string", "v": name}}},
            {"s": "application-properties", "v": {"t": "map", "v": [[{"t": "string", "v": "n"}, {"t": "uint", "v": number}]]}},
            {"s": "amqp-value", "v": typed::value_to_json(&value)},
            {"s": "footer", "v": {"t": "map", "v": [[{"t": "symbol", "v": "x-f"}, {"t": "null"}]]}},
        ]})
    };
    corpus::values().into_iter().enumerate().map(message).collect()
}

#[test]
fn every_value_passes_a_queue_as_it_was() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        let messages = messages();
        // In Proton's encoding.
        send_all(&proton, url(&broker), "values", &messages);
        let got = receive(&proton, url(&broker), "values", messages.len(), &[]);
        for (got, (sent, (name, _))) in got.named("message").zip(messages.iter().zip(corpus::values())) {
            assert_eq!(got["sections"], sent["sections"], "{name}");
        }
        expect_empty(&broker, "values").await;
    });
}

#[test]
fn a_message_passes_a_queue_byte_for_byte() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        let raw: Vec<String> =
            messages().iter().map(|message| typed::hex(&typed::message_from_json(message).unwrap())).collect();
        // Encodings that we would not write: the widest forms of a list and of a descriptor.
        let wide = "0080000000000000007745000000".replace("45000000", "d00000000400000000");
        let mut sent: Vec<Json> = raw.iter().map(|raw| json!({"raw": raw})).collect();
        sent.push(json!({"raw": wide}));
        send_all(&proton, url(&broker), "bytes", &sent);
        let got = receive(&proton, url(&broker), "bytes", sent.len(), &["--raw"]);
        for (index, (got, sent)) in got.named("message").zip(&sent).enumerate() {
            assert_eq!(got["raw"], sent["raw"], "message {index}");
        }
    });
}

#[test]
fn the_bare_message_stays_as_it_was_when_it_comes_again() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        let message = messages().swap_remove(20);
        let bare = |json: &Json| {
            let sections: Vec<_> = json["sections"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|section| !["header", "message-annotations"].contains(&section["s"].as_str().unwrap()))
                .cloned()
                .collect();
            typed::hex(&typed::message_from_json(&json!({"sections": sections})).unwrap())
        };
        let raw = typed::hex(&typed::message_from_json(&message).unwrap());
        send_all(&proton, url(&broker), "again", &[json!({"raw": raw})]);
        let annotations =
            json!({"t": "map", "v": [[{"t": "symbol", "v": "x-opt-new"}, {"t": "uint", "v": 1}]]}).to_string();
        let modify = json!({"outcome": "modify", "failed": true, "annotations": annotations}).to_string();
        receive(&proton, url(&broker), "again", 1, &["--outcome", &modify]);
        let got = receive(&proton, url(&broker), "again", 1, &["--raw"]);
        let again = got.named("message").next().unwrap();
        assert_eq!(again["sections"][0]["v"]["delivery-count"], json!({"t": "uint", "v": 1}));
        assert!(again["raw"].as_str().unwrap().ends_with(&bare(&message)), "{again}");
    });
}

#[test]
fn sizes_at_frames_small_one_way_and_large_the_other() {
    let proton = proton!();
    for (ours, theirs) in [(512, 65_536), (65_536, 512)] {
        run(async {
            let broker =
                start(Broker::builder().auto_create(true).with_limits(|limits| limits.frame_size = ours)).await;
            let messages: Vec<Json> = [1, 100, 64 * 1024, 1024 * 1024]
                .map(|size: u32| {
                    let body: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
                    json!({"sections": [{"s": "data", "v": {"t": "binary", "v": typed::hex(&body)}}]})
                })
                .into();
            let frame = theirs.to_string();
            let sent = proton.send(url(&broker), "sizes", &messages, &["--max-frame-size", &frame]).unwrap();
            assert_eq!(sent.code, Some(0), "{}", sent.stderr);
            assert_eq!(sent.named("open").next().unwrap()["max_frame_size"], ours);
            let got = receive(&proton, url(&broker), "sizes", messages.len(), &["--max-frame-size", &frame]);
            for (got, sent) in got.named("message").zip(&messages) {
                assert!(got["sections"] == sent["sections"], "{} bytes at {ours}/{theirs}", sent.to_string().len() / 2);
            }
        });
    }
}

#[test]
fn settled_and_unsettled_messages_pass() {
    let proton = proton!();
    run(async {
        let broker = broker().await;
        let messages: Vec<Json> = (0..500).map(super::numbered).collect();
        for mode in ["settled", "mixed", "unsettled"] {
            let sent = proton.send(url(&broker), mode, &messages, &["--settle-mode", mode]).unwrap();
            assert_eq!(sent.code, Some(0), "{}", sent.stderr);
            let presettled = sent.named("outcome").filter(|outcome| outcome["presettled"] == true).count();
            assert_eq!(presettled, if mode == "settled" { 500 } else { 0 }, "{mode}");
            let got = receive(&proton, url(&broker), mode, 500, &["--credit", "7"]);
            assert_eq!(super::numbers(&got), (0..500).collect::<Vec<_>>(), "{mode}");
            expect_empty(&broker, mode).await;
        }
    });
}
