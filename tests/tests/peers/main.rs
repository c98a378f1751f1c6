//! The same cases against each peer: our client with the peer listening (`client_*`), and the peer as client of our broker
//! (`broker_*`). What a peer is known to do otherwise is its [`Known`], row by row as in docs/protocol/peers.md.

/// Makes a test of each case for one peer; without the peer, a named skip.
macro_rules! suite {
    ($find:path, $known:expr, $($module:ident::{$($case:ident),+ $(,)?}),+ $(,)?) => {
        $($(
            #[test]
            fn $case() {
                match $find() {
                    Ok(peer) => crate::$module::$case(&peer, &$known),
                    Err(skipped) => skipped.report(),
                }
            }
        )+)+
    };
}

mod broker_access;
mod broker_links;
mod broker_values;
mod client_access;
mod client_links;
mod client_values;
mod container;
mod coverage;
mod cuts;
mod dissect;
mod example_broker;
mod fe2o3;
mod headers;
mod kamailio;
mod messaging;
mod proton_cpp;
mod proton_python;
mod rabbitmq;
mod rhea;
mod through;
mod transport;

use postroad_broker::{Broker, Builder};
use postroad_client::types::{Value, ValueType};
use postroad_tests::ours::SOON;
use postroad_tests::peers::Peer;
use postroad_tests::process::Finished;
use postroad_tests::{corpus, typed};
use serde_json::{Value as Json, json};

/// What a value of the corpus becomes, in the typed form; `None` where the peer has no way to say it.
type Becomes = fn(&str, &Value) -> Option<Json>;

/// What is known of a peer.
struct Known {
    /// What the peer reads of a value in a body that we have sent.
    reads: Becomes,
    /// What we read of a value in a body that the peer was told to send.
    writes: Becomes,
    /// What comes back of a value in a body that the peer gives back as it has it.
    echoes: Becomes,
    /// What comes back of a value in a body that the peer has read and written again.
    returns: Becomes,
    /// What the peer reads of an application property that we have sent.
    property_reads: Becomes,
    /// What we read of an application property that the peer was told to send.
    property_writes: Becomes,
    /// What comes back of an application property that the peer has read and written again.
    property_returns: Becomes,
    /// What becomes, on its way through the peer, of a message of these sections.
    sections: fn(Json) -> Json,
    /// Whether the peer gives and tells the states of deliveries without what goes with them: errors, flags, annotations.
    states_alone: bool,
    /// The largest body, in octets, that the peer receives in frames of 512.
    most_at_512: u32,
    /// Whether a listening peer tells what we have opened with.
    tells_open: bool,
    /// Whether a listening peer that gives us up closes with an error, or is gone.
    tells_idle: bool,
    /// Whether a broker takes messages with delivery annotations.
    delivery_annotations: bool,
    /// Whether a broker settles what it sends to a receiver that asks for that.
    sends_settled: bool,
    /// Whether a broker gives to others what a receiver had not settled when its connection was lost.
    gives_back: bool,
    /// Whether a broker gives up a client that says nothing for some seconds.
    has_idle_timeout: bool,
    /// Whether the listening peer knows users and passwords.
    listens_with_plain: bool,
    /// The conditions that the peer's client tells of a certificate that it does not trust, and of one for another name.
    tls_conditions: [&'static str; 2],
}

impl Known {
    /// A peer that does as the standard says.
    const NOTHING: Self = Self {
        reads: same,
        writes: same,
        echoes: same,
        returns: same,
        property_reads: same,
        property_writes: same,
        property_returns: same,
        sections: |sections| sections,
        states_alone: false,
        most_at_512: u32::MAX,
        tells_open: true,
        tells_idle: true,
        delivery_annotations: true,
        sends_settled: true,
        gives_back: true,
        has_idle_timeout: true,
        listens_with_plain: true,
        tls_conditions: [""; 2],
    };
}

fn same(_: &str, value: &Value) -> Option<Json> {
    Some(typed::value_to_json(value))
}

/// The part of the corpus that may stand in application properties (AMQP 1.0 part 3, 3.2.5).
fn simple_values() -> Vec<(&'static str, Value)> {
    let simple =
        |value: &Value| !matches!(value.value_type(), None | Some(ValueType::List | ValueType::Map | ValueType::Array));
    let simple: Vec<_> = corpus::values().into_iter().filter(|(_, value)| simple(value)).collect();
    assert!(simple.len() > 70, "{}", simple.len());
    simple
}

/// A message with one application property.
fn property_message(value: &Value) -> Json {
    json!({"sections": [
        {"s": "application-properties", "v": {"t": "map", "v": [[{"t": "string", "v": "p"}, typed::value_to_json(value)]]}},
        {"s": "data", "v": {"t": "binary", "v": "2e"}},
    ]})
}

/// What an event or message has in the place of a section, or `None`.
fn section<'a>(message: &'a Json, name: &str) -> Option<&'a Json> {
    Some(&message["sections"].as_array()?.iter().find(|section| section["s"] == name)?["v"])
}

/// The value of the body of a message; null where there is none, and `None` for a message that the peer could not read. One that
/// we could not read is [`MALFORMED`] as a whole.
fn body(message: &Json) -> Option<Json> {
    if message == MALFORMED {
        return Some(MALFORMED.into());
    }
    message["sections"].as_array()?;
    Some(section(message, "amqp-value").cloned().unwrap_or(Json::Null))
}

/// A message that came to us and is none.
const MALFORMED: &str = "malformed";

/// The application property of a [`property_message`].
fn property(message: &Json) -> Option<Json> {
    Some(section(message, "application-properties")?["v"][0][1].clone())
}

/// Compares what came with what was to come, all values at once, so that one run tells every difference.
fn expect(what: &str, got: &[(String, Option<Json>)], becomes: Becomes, values: &[(&'static str, Value)]) {
    let mut wrong = Vec::new();
    assert_eq!(got.len(), values.len(), "{what}");
    for ((name, got), (_, value)) in got.iter().zip(values) {
        let expected = becomes(name, value);
        if *got != expected {
            let short = |json: &Option<Json>| json.as_ref().map_or_else(|| "nothing".to_owned(), brief);
            wrong.push(format!("{name}: {} and not {}", short(got), short(&expected)));
        }
    }
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

fn brief(json: &Json) -> String {
    let text = json.to_string();
    text.chars().take(200).collect()
}

/// A message with a body of `size` octets, no two neighbours of 251 alike.
fn octets(size: u32) -> Json {
    let body: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    json!({"sections": [{"s": "data", "v": {"t": "binary", "v": typed::hex(&body)}}]})
}

const KIB: u32 = 1024;

/// Sizes of bodies at a frame size, for one connection each; a peer may have a limit at the smallest frames.
fn sizes(known: &Known) -> [(u32, Vec<u32>); 3] {
    let all = [0, 1, 100, 64 * KIB, KIB * KIB];
    [(512, all.map(|size| size.min(known.most_at_512)).into()), (65_536, all.into()), (65_536, vec![10 * KIB * KIB])]
}

/// Messages with all fields of header and properties, and each type of an id alone.
fn field_messages() -> Vec<Json> {
    let typed = |ty: &str, v: Json| json!({"t": ty, "v": v});
    let mut messages = vec![json!({"sections": [
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
            "content-type": typed("symbol", "text/plain".into()), "content-encoding": typed("symbol", "gzip".into()),
            "absolute-expiry-time": typed("timestamp", 4_102_444_800_000_u64.into()),
            "creation-time": typed("timestamp", (-1).into()), "group-id": typed("string", "group".into()),
            "group-sequence": typed("uint", u32::MAX.into()), "reply-to-group-id": typed("string", "reply group".into()),
        }},
        {"s": "data", "v": {"t": "binary", "v": "2e"}},
    ]})];
    for (ty, v) in [
        ("ulong", json!(1)),
        ("uuid", json!("00000000-0000-0000-0000-000000000001")),
        ("binary", json!("00")),
        ("string", json!("id")),
    ] {
        for field in ["message-id", "correlation-id"] {
            messages.push(json!({"sections": [
                {"s": "properties", "v": {field: typed(ty, v.clone())}},
                {"s": "data", "v": {"t": "binary", "v": "2e"}},
            ]}));
        }
    }
    messages
}

/// A message whose body is a number.
fn numbered(number: usize) -> Json {
    json!({"sections": [{"s": "amqp-value", "v": {"t": "uint", "v": number}}]})
}

fn numbers<'a>(messages: impl IntoIterator<Item = &'a Json>) -> Vec<u64> {
    let number = |message| body(message).and_then(|body| body["v"].as_u64()).expect("a number as body");
    messages.into_iter().map(number).collect()
}

/// The map that goes with outcomes, as `info` of an error and as annotations of `modified`.
fn details() -> Json {
    json!({"t": "map", "v": [
        [{"t": "symbol", "v": "x-opt-count"}, {"t": "uint", "v": 5}],
        [{"t": "symbol", "v": "x-opt-text"}, {"t": "string", "v": "why"}],
    ]})
}

/// A broker on a port of its own that makes the queues that are asked for.
async fn broker() -> Broker {
    start(Broker::builder().auto_create(true)).await
}

async fn start(builder: Builder) -> Broker {
    builder.listen("amqp://127.0.0.1:0").start().await.expect("the broker starts")
}

fn url(broker: &Broker) -> &str {
    &broker.urls()[0]
}

/// The peer sends, and all that it could say is accepted. Gives the indices of what it could not.
fn peer_sends(peer: &Peer, url: &str, queue: &str, messages: &[Json], options: &[&str]) -> Vec<usize> {
    let sent = peer.send(url, queue, messages, options).unwrap();
    assert_eq!(sent.code, Some(0), "{:?} {}", sent.events, sent.stderr);
    let unsaid = sent.named("send-error").map(|event| event["index"].as_u64().expect("an index") as usize);
    let unsaid: Vec<usize> = unsaid.collect();
    let states: Vec<_> = sent.named("outcome").map(|event| event["state"].as_str().unwrap_or("none")).collect();
    assert_eq!(states, vec!["accepted"; messages.len() - unsaid.len()]);
    unsaid
}

/// The peer receives `count` messages.
fn peer_receives(peer: &Peer, url: &str, queue: &str, count: usize, options: &[&str]) -> Finished {
    let received = peer.receive(url, queue, count, options).unwrap();
    assert_eq!(received.code, Some(0), "{:?} {}", received.events, received.stderr);
    assert_eq!(received.named("message").count(), count);
    received
}

/// Expects that a queue holds nothing, settled or not.
async fn expect_empty(broker: &Broker, queue: &str) {
    // What a client tells as it closes is taken in behind its last event.
    let started = std::time::Instant::now();
    loop {
        let stats = broker.queue_stats(queue).expect("the queue is there");
        if (stats.ready, stats.unsettled, stats.consumers) == (0, 0, 0) {
            return;
        }
        assert!(started.elapsed() < SOON, "{queue}: {stats:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// The condition that an event tells.
fn condition(finished: &Finished, event: &str) -> String {
    let event = finished.named(event).next().unwrap_or_else(|| panic!("no {event}: {:?}", finished.events));
    let condition = event["error"]["condition"].as_str().or_else(|| event["condition"].as_str());
    condition.unwrap_or_else(|| panic!("{event}")).to_owned()
}
