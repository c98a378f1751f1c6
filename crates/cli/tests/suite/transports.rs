//! Brokers on Unix sockets and behind WebSockets.

use serde_json::Value as Json;

use crate::secure::certified;
use crate::support::{Broker, closed_port, run, wait};

/// Sends, receives and measures over a broker's first URL.
fn use_all_of(broker: &Broker, options: &[&str]) {
    broker.send(&[&["q", "hello"], options].concat()).expect(0);
    assert_eq!(broker.receive(&[&["q", "-c", "1"], options].concat()).expect(0), "hello\n");
    // The URL with a node as its path says both.
    let (place, resource) = broker.url.split_once('?').map_or((&*broker.url, ""), |(place, key)| (place, key));
    let node = format!("{place}/q?{resource}");
    run(&[&["send", &node, "again"], options].concat()).expect(0);
    assert_eq!(run(&[&["receive", &node, "-c", "1"], options].concat()).expect(0), "again\n");
    let bench = ["bench", "-b", &broker.url, "b", "-c", "500", "--output-format", "json"];
    let ran = run(&[&bench, options].concat());
    let object: Json = serde_json::from_str(ran.expect(0)).unwrap();
    assert_eq!((&object["received"], &object["lost"]), (&500.into(), &0.into()), "{object}");
}

#[cfg(unix)]
#[test]
fn a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broker.sock");
    let url = format!("amqp+unix://{}", path.to_str().unwrap().replace('/', "%2F"));
    let mut broker = Broker::listen(&url, &[]);
    assert_eq!(broker.url, url);
    use_all_of(&broker, &[]);
    crate::support::run(&["broker", "-l", &url]).expect_failure(69, &["in use", "remove it"]);
    broker.send(&["q", "x", "--tls-header"]).expect_failure(64, &["--tls-header", "no TLS in amqp+unix://"]);
    crate::support::signal(&broker.child, rustix::process::Signal::TERM);
    assert!(wait(&mut broker.child) && !path.exists());

    run(&["send", "-b", &url, "q", "x"]).expect_failure(69, &[&url, "postroad broker"]);
    run(&["send", "-b", "amqp+unix:///run/broker.sock", "q", "x"]).expect_failure(64, &["%2F"]);
}

#[test]
fn a_websocket() {
    let broker = Broker::listen("amqpws://127.0.0.1:0?websocket_resource=/amqp", &[]);
    assert!(broker.url.starts_with("amqpws://127.0.0.1:") && broker.url.ends_with("?websocket_resource=/amqp"));
    use_all_of(&broker, &[]);
    let (elsewhere, _) = broker.url.split_once('?').unwrap();
    run(&["send", "-b", elsewhere, "q", "x"]).expect_failure(69, &["404", "websocket_resource"]);
    run(&["send", "-b", &format!("{elsewhere}?x=y"), "q", "x"]).expect_failure(64, &["x: "]);
    let plain = Broker::start(&[]);
    let mistaken = plain.url.replacen("amqp://", "amqpws://", 1);
    run(&["send", "-b", &mistaken, "q", "x"]).expect_failure(76, &["WebSocket", "`amqp`"]);
    let nobody = closed_port().replacen("amqp://", "amqpws://", 1);
    run(&["send", "-b", &nobody, "q", "x"]).expect_failure(69, &["postroad broker"]);
}

#[test]
fn a_websocket_under_tls() {
    let dir = tempfile::tempdir().unwrap();
    let certified = certified(dir.path());
    let broker = Broker::listen("amqpwss://127.0.0.1:0", &["--cert", &certified.chain, "--key", &certified.key]);
    use_all_of(&broker, &["--ca", &certified.authority]);
    broker.send(&["q", "x"]).expect_failure(77, &["trusted"]);
    run(&["broker", "-l", "amqpwss://127.0.0.1:0"]).expect_failure(64, &["certificate", "--cert"]);
}
