//! Proton Python through RabbitMQ 3.10: what our own client may expect of that broker, and the rows of
//! docs/protocol/peers.md about it.

use postroad_codec::v1_0::Value;
use postroad_tests::peers::{self, Peer, RabbitMq};
use postroad_tests::process::Finished;
use postroad_tests::{corpus, typed};
use serde_json::{Value as Json, json};

/// Both peers, or a named skip.
macro_rules! peers {
    () => {
        match (peers::proton_python(), peers::rabbitmq()) {
            (Ok(proton), Ok(rabbitmq)) => (proton, rabbitmq),
            (Err(skipped), _) | (_, Err(skipped)) => return skipped.report(),
        }
    };
}

/// Values that end RabbitMQ's session when they are the body (peers.md, RabbitMQ).
const FATAL_BODIES: [&str; 18] = [
    "list of each kind",
    "list with null after non-null",
    "list of nulls",
    "list 255 elements",
    "list 256 elements",
    "list of lists",
    "array of float",
    "array of double",
    "array of decimal32",
    "array of decimal64",
    "array of decimal128",
    "array of char",
    "array of timestamp",
    "array of uuid",
    "array of binary",
    "array of list",
    "array of map",
    "array of null",
];

fn data(hex: &str) -> Json {
    json!({"s": "data", "v": {"t": "binary", "v": hex}})
}

fn message(sections: &[Json]) -> Json {
    json!({"sections": sections})
}

fn states(finished: &Finished) -> Vec<&str> {
    finished.named("outcome").map(|event| event["state"].as_str().unwrap_or("none")).collect()
}

/// Puts messages through a queue, and expects them accepted.
fn through(proton: &Peer, rabbitmq: &RabbitMq, queue: &str, messages: &[Json]) -> Vec<Json> {
    let address = format!("/queue/{queue}");
    let sent = proton.send(&rabbitmq.url(), &address, messages, &[]).unwrap();
    assert_eq!(states(&sent), vec!["accepted"; messages.len()], "{queue}: {:?}", sent.events);
    let got = proton.receive(&rabbitmq.url(), &address, messages.len(), &[]).unwrap();
    assert_eq!(got.code, Some(0), "{queue}: {:?} {}", got.events, got.stderr);
    got.named("message").map(|event| event["sections"].clone()).collect()
}

/// The sections but header and properties, to which RabbitMQ adds.
fn bare(sections: &Json) -> Vec<Json> {
    let all = sections.as_array().unwrap();
    all.iter().filter(|section| section["s"] != "header" && section["s"] != "properties").cloned().collect()
}

#[test]
fn values_as_bodies_pass_unchanged() {
    let (proton, rabbitmq) = peers!();
    let passing: Vec<_> = corpus::values().into_iter().filter(|(name, _)| !FATAL_BODIES.contains(name)).collect();
    let messages: Vec<Json> = passing.iter().map(|(_, value)| typed::value_message(value)).collect();
    let got = through(&proton, rabbitmq, "values", &messages);
    for ((name, _), (got, sent)) in passing.iter().zip(got.iter().zip(&messages)) {
        assert_eq!(bare(got), *sent["sections"].as_array().unwrap(), "{name}");
    }
}

#[test]
fn values_that_end_the_session_as_bodies() {
    let (proton, rabbitmq) = peers!();
    let fatal: Vec<_> = corpus::values().into_iter().filter(|(name, _)| FATAL_BODIES.contains(name)).collect();
    assert_eq!(fatal.len(), FATAL_BODIES.len());
    let check = |name: &str, value: &Value| {
        let sent = proton.send(&rabbitmq.url(), "/queue/fatal", &[typed::value_message(value)], &[]).unwrap();
        assert_eq!(states(&sent), Vec::<&str>::new(), "{name}");
        // The connection just ends, some seconds later: no end, no close.
        assert_eq!(sent.named("end").chain(sent.named("close")).count(), 0, "{name}: {:?}", sent.events);
    };
    // Together, for each takes its seconds.
    std::thread::scope(|scope| {
        for chunk in fatal.chunks(3) {
            scope.spawn(|| chunk.iter().for_each(|(name, value)| check(name, value)));
        }
    });
    let annotations = json!({"s": "delivery-annotations", "v": {"t": "map", "v": [[{"t": "symbol", "v": "x-a"}, {"t": "uint", "v": 1}]]}});
    let sent = proton.send(&rabbitmq.url(), "/queue/fatal", &[message(&[annotations, data("01")])], &[]).unwrap();
    assert_eq!(states(&sent), Vec::<&str>::new());
}

#[test]
fn bodies_from_1_byte_to_1_mib() {
    let (proton, rabbitmq) = peers!();
    let messages = [1, 70_000, 1 << 20].map(|size| message(&[data(&"5a".repeat(size))]));
    let got = through(&proton, rabbitmq, "sizes", &messages);
    for (got, sent) in got.iter().zip(&messages) {
        assert!(bare(got) == *sent["sections"].as_array().unwrap(), "{} bytes differ", sent.to_string().len() / 2);
    }
}

#[test]
fn what_each_outcome_does_to_the_message() {
    let (proton, rabbitmq) = peers!();
    let again = |outcome: &str| {
        let address = format!("/queue/outcome-{}", outcome.len());
        let sent = proton.send(&rabbitmq.url(), &address, &[message(&[data("01")])], &[]).unwrap();
        assert_eq!(states(&sent), ["accepted"]);
        let first = proton.receive(&rabbitmq.url(), &address, 1, &["--outcome", outcome]).unwrap();
        assert_eq!(first.code, Some(0), "{outcome}");
        let again = proton.receive(&rabbitmq.url(), &address, 1, &["--wait", "2", "--outcome", "accept"]).unwrap();
        again.named("message").next().map(|message| message["sections"][0]["v"].clone())
    };
    // Gone: accepted, and rejected without a dead-letter exchange.
    assert_eq!(again("accept"), None);
    assert_eq!(again(r#"{"outcome":"reject"}"#), None);
    // Back in the queue, without a delivery-count; first-acquirer is what tells.
    let back = json!({"durable": {"t": "boolean", "v": false}, "first-acquirer": {"t": "boolean", "v": false}});
    assert_eq!(again("release"), Some(back));
}

#[test]
fn what_rabbitmq_changes_in_a_message() {
    let (proton, rabbitmq) = peers!();
    let boolean = |v| json!({"t": "boolean", "v": v});
    let footer = json!({"s": "footer", "v": {"t": "map", "v": [[{"t": "symbol", "v": "x-f"}, {"t": "uint", "v": 1}]]}});
    let list = |n: u32| json!({"s": "amqp-sequence", "v": {"t": "list", "v": [{"t": "uint", "v": n}]}});
    let counted = json!({"s": "header", "v": {
        "durable": boolean(true), "priority": {"t": "ubyte", "v": 9}, "ttl": {"t": "uint", "v": 60_000},
        "delivery-count": {"t": "uint", "v": 3},
    }});
    let only_id = json!({"s": "properties", "v": {"message-id": {"t": "string", "v": "m"}}});
    let sent = [
        message(&[data("01"), data("02"), data("03"), footer.clone()]),
        message(&[list(1), list(2)]),
        message(&[counted, data("01")]),
        message(std::slice::from_ref(&only_id)),
    ];
    let got = through(&proton, rabbitmq, "changes", &sent);
    let header = json!({"s": "header", "v": {"durable": boolean(false), "first-acquirer": boolean(true)}});
    // No properties: the routing key becomes the subject.
    let subject = json!({"s": "properties", "v": {"subject": {"t": "string", "v": "changes"}}});
    // Several sections of a body come in reverse.
    assert_eq!(got[0], json!([header, subject, data("03"), data("02"), data("01"), footer]));
    assert_eq!(got[1], json!([header, subject, list(2), list(1)]));
    // The delivery-count is lost.
    let passed = json!({"s": "header", "v": {
        "durable": boolean(true), "priority": {"t": "ubyte", "v": 9}, "ttl": {"t": "uint", "v": 60_000},
        "first-acquirer": boolean(true),
    }});
    assert_eq!(got[2], json!([passed, subject, data("01")]));
    // No body becomes an empty one; properties that are there stay as they are.
    assert_eq!(got[3], json!([header, only_id, data("")]));
}

#[test]
fn what_rabbitmq_refuses_ends_the_session() {
    let (proton, rabbitmq) = peers!();
    let url = rabbitmq.url();
    let condition = |finished: &Finished| {
        let end = finished.named("end").next().unwrap_or_else(|| panic!("no end: {:?}", finished.events));
        end["error"]["condition"].as_str().unwrap().to_owned()
    };
    let one = [message(&[data("01")])];
    assert_eq!(condition(&proton.send(&url, "/nowhere", &one, &[]).unwrap()), "amqp:invalid-field");
    assert_eq!(condition(&proton.send(&url, "/exchange/nope/key", &one, &[]).unwrap()), "amqp:not-found");
    let second = proton.receive(&url, "/queue/second", 1, &["--second"]).unwrap();
    assert_eq!(condition(&second), "amqp:not-implemented");
    let dynamic = proton.receive(&url, "", 1, &["--dynamic"]).unwrap();
    assert_eq!(condition(&dynamic), "amqp:not-implemented");
}

#[test]
fn a_description_may_not_be_utf_8() {
    let (proton, rabbitmq) = peers!();
    // A message without any section is an "unexpected frame"; the text quotes the delivery tag in Latin-1.
    let empty = json!({"sections": [], "tag": "e4e4e4e4"});
    let sent = proton.send(&rabbitmq.url(), "/queue/empty", &[empty], &[]).unwrap();
    let error = &sent.named("end").next().unwrap()["error"];
    assert_eq!(error["condition"], "amqp:internal-error");
    assert!(error["description"].as_str().unwrap().contains("\u{fffd}\u{fffd}\u{fffd}\u{fffd}"), "{error}");
}

#[test]
fn users_and_passwords() {
    let (proton, rabbitmq) = peers!();
    let one = [message(&[data("01")])];
    let url = |user: &str| format!("amqp://{user}127.0.0.1:{}", rabbitmq.port());
    let open = |finished: &Finished| finished.named("open").next().map(|open| open["mechanism"].clone());
    let anonymous = proton.send(&url(""), "/queue/users", &one, &["--mechs", "ANONYMOUS"]).unwrap();
    assert_eq!((open(&anonymous), states(&anonymous)), (Some("ANONYMOUS".into()), vec!["accepted"]));
    let plain = proton.send(&url("guest:guest@"), "/queue/users", &one, &["--mechs", "PLAIN"]).unwrap();
    assert_eq!((open(&plain), states(&plain)), (Some("PLAIN".into()), vec!["accepted"]));
    let wrong = proton.send(&url("guest:wrong@"), "/queue/users", &one, &["--mechs", "PLAIN"]).unwrap();
    assert_eq!(wrong.named("transport-error").next().unwrap()["condition"], "amqp:unauthorized-access");
}

#[test]
fn copy_consumes() {
    let (proton, rabbitmq) = peers!();
    let two = [message(&[data("01")]), message(&[data("02")])];
    let sent = proton.send(&rabbitmq.url(), "/queue/copy", &two, &[]).unwrap();
    assert_eq!(states(&sent), ["accepted"; 2]);
    let browsed = proton.receive(&rabbitmq.url(), "/queue/copy", 1, &["--browse"]).unwrap();
    assert_eq!(browsed.named("message").count(), 1);
    let left = proton.receive(&rabbitmq.url(), "/queue/copy", 2, &["--wait", "2"]).unwrap();
    assert_eq!(left.named("message").count(), 1, "{:?}", left.events);
}

#[test]
fn a_drain_ends_the_session() {
    let (proton, rabbitmq) = peers!();
    let drained = proton.receive(&rabbitmq.url(), "/queue/drained", 5, &["--drain"]).unwrap();
    let error = &drained.named("end").next().unwrap_or_else(|| panic!("no end: {:?}", drained.events))["error"];
    assert_eq!(error["condition"], "amqp:internal-error");
    assert!(error["description"].as_str().unwrap().contains("send_drained"), "{error}");
}
