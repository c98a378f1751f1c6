//! Proton Python as client of our broker.

/// The peer, or a named skip.
macro_rules! proton {
    () => {
        match postroad_tests::peers::proton_python() {
            Ok(proton) => proton,
            Err(skipped) => return skipped.report(),
        }
    };
}

mod access;
mod outcomes;
mod traces;
mod transactions;
mod values;

use postroad_broker::{Broker, Builder};
use postroad_tests::peers::Peer;
use postroad_tests::process::Finished;
use serde_json::{Value as Json, json};

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

/// A message whose body is a number.
fn numbered(number: usize) -> Json {
    json!({"sections": [{"s": "amqp-value", "v": {"t": "uint", "v": number}}]})
}

fn number(message: &Json) -> u64 {
    let sections = message["sections"].as_array().expect("a message has sections");
    let body = sections.iter().find(|section| section["s"] == "amqp-value").expect("it has a body");
    body["v"]["v"].as_u64().expect("a number")
}

fn numbers(received: &Finished) -> Vec<u64> {
    received.named("message").map(number).collect()
}

/// Sends messages and expects that all are accepted.
fn send_all(proton: &Peer, url: &str, queue: &str, messages: &[Json]) {
    let sent = proton.send(url, queue, messages, &[]).unwrap();
    assert_eq!(sent.code, Some(0), "{:?} {}", sent.events, sent.stderr);
    let states: Vec<_> = sent.named("outcome").map(|event| event["state"].as_str().unwrap_or("none")).collect();
    assert_eq!(states, vec!["accepted"; messages.len()]);
}

/// Receives `count` messages, and expects that there are as many.
fn receive(proton: &Peer, url: &str, queue: &str, count: usize, options: &[&str]) -> Finished {
    let received = proton.receive(url, queue, count, options).unwrap();
    assert_eq!(received.code, Some(0), "{:?} {}", received.events, received.stderr);
    received
}

/// Expects that a queue holds nothing, settled or not.
fn expect_empty(broker: &Broker, queue: &str) {
    // What a client tells as it closes is taken in behind its last event.
    let started = std::time::Instant::now();
    loop {
        let stats = broker.queue_stats(queue).expect("the queue is there");
        if (stats.ready, stats.unsettled, stats.consumers) == (0, 0, 0) {
            return;
        }
        assert!(started.elapsed() < postroad_tests::ours::SOON, "{queue}: {stats:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
