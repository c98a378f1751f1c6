//! Proton Python with itself: what our own suites may expect of it, and the rows of
//! docs/protocol/peers.md about it.

use std::time::Duration;

use postroad_tests::peers::Peer;
use postroad_tests::{corpus, typed};
use serde_json::{Value as Json, json};

const ANONYMOUS: [&str; 2] = ["--mechs", "ANONYMOUS"];

fn corpus_messages() -> Vec<Json> {
    corpus::values().iter().map(|(_, value)| typed::value_message(value)).collect()
}

/// Sends and expects that every message was accepted.
fn send_all(proton: &Peer, url: &str, messages: &[Json], options: &[&str]) {
    let sent = proton.send(url, "q", messages, options).unwrap();
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    let states: Vec<&Json> = sent.named("outcome").map(|event| &event["state"]).collect();
    assert_eq!(states.len(), messages.len());
    assert!(states.iter().all(|state| *state == "accepted"), "{states:?}");
}

#[test]
fn every_value_arrives_and_comes_back_as_it_was() {
    let proton = proton!();
    assert!(proton.version().starts_with("0.40."), "{}", proton.version());
    let mut listener = proton.listen(&[]).unwrap();
    let messages = corpus_messages();
    send_all(&proton, &listener.url(), &messages, &ANONYMOUS);
    let names = corpus::values();
    for (message, (sent, (name, _))) in
        listener.messages(messages.len()).unwrap().iter().zip(messages.iter().zip(&names))
    {
        assert_eq!(message["sections"], sent["sections"], "{name}");
    }
    // As they came, and once more through Proton's encoder.
    for source in ["echo", "echo/data"] {
        let back = proton.receive(&listener.url(), source, messages.len(), &ANONYMOUS).unwrap();
        assert_eq!(back.code, Some(0), "{}", back.stderr);
        assert_eq!(back.named("message").count(), messages.len());
        for (message, (sent, (name, _))) in back.named("message").zip(messages.iter().zip(&names)) {
            assert_eq!(message["sections"], sent["sections"], "{name} from {source}");
        }
    }
}

#[test]
fn our_bytes_are_read_by_proton_and_its_bytes_by_us() {
    let proton = proton!();
    let mut listener = proton.listen(&["--raw"]).unwrap();
    let messages = corpus_messages();
    let ours: Vec<Json> = messages
        .iter()
        .map(|message| json!({"raw": typed::hex(&typed::message_from_json(message).unwrap())}))
        .collect();
    for bytes_of in [&ours, &messages] {
        send_all(&proton, &listener.url(), bytes_of, &ANONYMOUS);
        for (got, (sent, (name, _))) in
            listener.messages(messages.len()).unwrap().iter().zip(messages.iter().zip(corpus::values()))
        {
            assert_eq!(got["sections"], sent["sections"], "{name}, read by Proton");
            let raw = typed::unhex(got["raw"].as_str().unwrap()).unwrap();
            assert_eq!(typed::message_to_json(&raw).unwrap(), *sent, "{name}, read by us");
        }
    }
}

#[test]
fn what_proton_message_shows_differs_in_known_ways() {
    let proton = proton!();
    let mut listener = proton.listen(&["--message-view"]).unwrap();
    let messages = corpus_messages();
    send_all(&proton, &listener.url(), &messages, &ANONYMOUS);
    let mut different = Vec::new();
    for (message, (sent, (name, _))) in
        listener.messages(messages.len()).unwrap().iter().zip(messages.iter().zip(corpus::values()))
    {
        let (shown, meant) = (&message["message"]["body"], &sent["sections"][0]["v"]);
        if shown != meant {
            different.push((name, shown.clone()));
        }
    }
    // peers.md, Proton Python: a body is a dict, so keys that Python holds equal fall together.
    let merged = json!({"t": "map", "v": [
        [{"t": "ubyte", "v": 1}, {"t": "string", "v": "long"}],
        [{"t": "symbol", "v": "k"}, {"t": "string", "v": "string"}],
        [{"t": "uuid", "v": "00000000-0000-0000-0000-000000000000"}, {"t": "string", "v": "uuid"}],
    ]});
    // peers.md, Proton Python: a described value whose value is described is lost.
    assert_eq!(different, [("map with keys of each kind", merged), ("described described", json!({"t": "null"}))]);
}

#[test]
fn proton_message_writes_empty_sections_and_no_null_body() {
    let proton = proton!();
    let mut listener = proton.listen(&[]).unwrap();
    let messages = [typed::value_message(&7u32.into()), json!({"sections": [{"s": "amqp-value", "v": {"t": "null"}}]})];
    send_all(&proton, &listener.url(), &messages, &["--mechs", "ANONYMOUS", "--via", "message"]);
    let got = listener.messages(2).unwrap();
    let empty = json!([{"s": "header", "v": {}}, {"s": "properties", "v": {}}]);
    assert_eq!(got[1]["sections"], empty);
    let mut with_body = empty;
    with_body.as_array_mut().unwrap().push(messages[0]["sections"][0].clone());
    assert_eq!(got[0]["sections"], with_body);
}

#[test]
fn proton_message_shows_one_data_section_and_untyped_ids() {
    let proton = proton!();
    let mut listener = proton.listen(&["--message-view"]).unwrap();
    let message = json!({"sections": [
        {"s": "properties", "v": {"message-id": {"t": "ulong", "v": u64::MAX}}},
        {"s": "data", "v": {"t": "binary", "v": "01"}},
        {"s": "data", "v": {"t": "binary", "v": "02"}},
    ]});
    send_all(&proton, &listener.url(), std::slice::from_ref(&message), &ANONYMOUS);
    let got = listener.event("message").unwrap();
    assert_eq!(got["sections"], message["sections"]);
    let view = &got["message"];
    assert_eq!(view["body"], json!({"t": "binary", "v": "02"}));
    assert_eq!(view["id"], json!({"t": "long", "v": u64::MAX}));
    // An absent content-type is the symbol "None".
    assert_eq!(view["content_type"], json!({"t": "symbol", "v": "None"}));
}

#[test]
fn every_outcome_is_seen_by_the_sender() {
    let proton = proton!();
    let listener = proton.listen(&[]).unwrap();
    let asking = |wish: Json| {
        let entries: Vec<Json> = wish
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| {
                let t = if value.is_boolean() { "boolean" } else { "string" };
                json!([{"t": "string", "v": key}, {"t": t, "v": value}])
            })
            .collect();
        json!({"sections": [
            {"s": "application-properties", "v": {"t": "map", "v": entries}},
            {"s": "data", "v": {"t": "binary", "v": "01"}},
        ]})
    };
    let annotations = json!({"t": "map", "v": [[{"t": "symbol", "v": "x-opt-why"}, {"t": "uint", "v": 5}]]});
    let messages = [
        asking(json!({"outcome": "accept"})),
        asking(json!({"outcome": "reject", "condition": "x:bad", "description": "not this one"})),
        asking(json!({"outcome": "release"})),
        asking(json!({"outcome": "modify"})),
        asking(
            json!({"outcome": "modify", "failed": true, "undeliverable": true, "annotations": annotations.to_string()}),
        ),
    ];
    let sent = proton.send(&listener.url(), "q", &messages, &ANONYMOUS).unwrap();
    // Proton gathers dispositions by state, so they come in another order than the messages.
    let mut outcomes: Vec<Json> = sent.named("outcome").cloned().collect();
    outcomes.sort_by_key(|outcome| outcome["index"].as_u64());
    for outcome in &mut outcomes {
        outcome.as_object_mut().unwrap().remove("event");
    }
    let error = json!({"condition": "x:bad", "description": "not this one", "info": null});
    assert_eq!(
        outcomes,
        [
            json!({"index": 0, "state": "accepted", "settled": true}),
            json!({"index": 1, "state": "rejected", "settled": true, "error": error}),
            json!({"index": 2, "state": "released", "settled": true}),
            json!({"index": 3, "state": "modified", "settled": true, "failed": false, "undeliverable": false, "annotations": null}),
            json!({"index": 4, "state": "modified", "settled": true, "failed": true, "undeliverable": true, "annotations": annotations}),
        ]
    );
}

#[test]
fn bodies_from_1_byte_to_1_mib_at_the_smallest_frames() {
    let proton = proton!();
    let mut listener = proton.listen(&["--max-frame-size", "512"]).unwrap();
    let messages = [1, 511, 512, 70_000, 1 << 20]
        .map(|size| json!({"sections": [{"s": "data", "v": {"t": "binary", "v": "5a".repeat(size)}}]}));
    send_all(&proton, &listener.url(), &messages, &ANONYMOUS);
    for (got, sent) in listener.messages(messages.len()).unwrap().iter().zip(&messages) {
        assert!(got["sections"] == sent["sections"], "{} bytes differ", sent.to_string().len() / 2);
    }
}

#[test]
fn receiver_settle_mode_second_waits_for_the_sender() {
    let proton = proton!();
    let mut listener = proton.listen(&[]).unwrap();
    let sent = proton
        .send(&listener.url(), "q", &[typed::value_message(&1u8.into())], &["--mechs", "ANONYMOUS", "--second"])
        .unwrap();
    assert_eq!(sent.named("outcome").next().unwrap()["settled"], false);
    assert_eq!(listener.event("attach").unwrap()["rcv_settle_mode"], "second");
    assert_eq!(listener.event("settled").unwrap()["tag"], listener.event("message").unwrap()["tag"]);
}

#[test]
fn links_end_as_the_address_asks() {
    let proton = proton!();
    let listener = proton.listen(&[]).unwrap();
    let message = [typed::value_message(&1u8.into())];
    for (address, event, condition) in [
        ("refuse/amqp:not-found", "detach", "amqp:not-found"),
        ("detach/0/amqp:link:detach-forced", "detach", "amqp:link:detach-forced"),
        ("end/0/amqp:internal-error", "end", "amqp:internal-error"),
        ("close/0/amqp:connection:forced", "close", "amqp:connection:forced"),
    ] {
        let sent = proton.send(&listener.url(), address, &message, &ANONYMOUS).unwrap();
        assert_eq!(sent.code, Some(1), "{address}: {:?}", sent.events);
        let seen = sent.named(event).next().unwrap_or_else(|| panic!("{address}: {:?}", sent.events));
        assert_eq!(seen["error"]["condition"], condition, "{address}");
    }
    let dropped = proton.send(&listener.url(), "drop/0", &message, &ANONYMOUS).unwrap();
    assert_eq!((dropped.code, dropped.named("close").count()), (Some(1), 0));
}

#[test]
fn a_listening_wheel_knows_no_plain() {
    let proton = proton!();
    // peers.md, Proton Python: without TLS the listening side offers no PLAIN, with Cyrus SASL or without.
    let listener = proton.listen(&["--mechs", "PLAIN ANONYMOUS"]).unwrap();
    let url = format!("amqp://user:secret@127.0.0.1:{}", listener.port());
    let refused = proton.send(&url, "q", &[], &["--mechs", "PLAIN"]).unwrap();
    let error = refused.named("transport-error").next().unwrap();
    assert_eq!(error["condition"], "amqp:unauthorized-access");
    let mut idle = proton.receiver(&listener.url(), "q", 1, &ANONYMOUS).unwrap();
    assert_eq!(idle.event("open", Duration::from_secs(20)).unwrap()["mechanism"], "ANONYMOUS");
}
