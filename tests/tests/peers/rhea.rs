//! rhea 3.0.

use std::time::Duration;

use postroad_broker::{Broker, TlsConfig};
use postroad_client::types::{Bytes, Value};
use postroad_client::{Connection, ConnectionEvent, Message, Outcome};
use postroad_tests::ours::{SOON, connect, options, run, soon};
use postroad_tests::peers::Peer;
use postroad_tests::{peers, typed};
use serde_json::{Value as Json, json};

use super::{Known, broker, broker_links, cuts, dissect, numbered, numbers, peer_receives, peer_sends, url};

/// docs/protocol/peers.md, rhea.
const RHEA: Known = Known {
    reads,
    writes,
    returns,
    property_reads: reads,
    property_returns: returns,
    most_at_512: 900_000,
    tls_conditions: ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "ERR_TLS_CERT_ALTNAME_INVALID"],
    ..Known::NOTHING
};

fn reads(name: &str, value: &Value) -> Option<Json> {
    Some(match (name, value) {
        // JavaScript's numbers have 53 bits; larger ones are kept as octets, but not this one.
        ("ulong 2^53 + 1", _) => json!({"t": "ulong", "v": 1_u64 << 53}),
        ("long 2^53 + 1", _) => json!({"t": "long", "v": 1_u64 << 53}),
        // A Date ends at 8.64e15 milliseconds.
        ("timestamp min" | "timestamp max", _) => json!({"t": "timestamp", "v": null}),
        // Of several descriptors, here with the section's own, the first is kept.
        (_, Value::Described(described)) => innermost(&described.value),
        _ => typed::value_to_json(value),
    })
}

fn innermost(value: &Value) -> Json {
    match value {
        Value::Described(described) => innermost(&described.value),
        value => typed::value_to_json(value),
    }
}

fn writes(name: &str, value: &Value) -> Option<Json> {
    let cannot = name == "array of arrays" || matches!(value, Value::Described(_));
    (!cannot).then(|| typed::value_to_json(value))
}

fn returns(name: &str, value: &Value) -> Option<Json> {
    let cannot = matches!(name, "array of arrays" | "timestamp min" | "timestamp max");
    if cannot { None } else { reads(name, value) }
}

/// The peer, or a named skip.
macro_rules! rhea {
    () => {
        match peers::rhea() {
            Ok(rhea) => rhea,
            Err(skipped) => return skipped.report(),
        }
    };
}

#[test]
fn two_outcomes_given_at_once_become_the_first() {
    let rhea = rhea!();
    run(async {
        let broker = broker().await;
        peer_sends(&rhea, url(&broker), "two", &[numbered(0), numbered(1)], &[]);
        let at_once = ["--together", "2", "--outcome", "release", "--outcome", "accept"];
        peer_receives(&rhea, url(&broker), "two", 2, &at_once);
        // The second was accepted, and has come back.
        let again = peer_receives(&rhea, url(&broker), "two", 2, &[]);
        assert_eq!(numbers(again.named("message")), [0, 1]);
    });
}

#[test]
fn the_info_of_a_rejection_has_strings_for_keys() {
    let rhea = rhea!();
    run(async {
        let listener = rhea.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let mut message = Message::from("what do you think?");
        for (name, value) in [("outcome", "reject"), ("condition", "x:bad")] {
            message.set_property(name, value);
        }
        message.set_property("info", super::details().to_string());
        let Ok(Outcome::Rejected(Some(error))) = soon(sender.send(&message)).await else { panic!("not rejected") };
        let keys: Vec<_> = error.info.unwrap().0.0.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [Value::from("x-opt-count"), Value::from("x-opt-text")]);
    });
}

#[test]
fn a_message_of_more_frames_than_its_window_waits_for_something_else() {
    let rhea = rhea!();
    run(async {
        let mut listener = rhea.listen(&["--max-frame-size", "512"]).unwrap();
        let session = soon(Connection::open(options(&listener.url()))).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let large = Message::from(Bytes::from(vec![7; 1024 * 1024]));
        let settlement = soon(sender.submit_tracked(&large)).await.unwrap();
        assert!(listener.process().event("message", Duration::from_secs(1)).is_err());
        // Anything that makes rhea write brings the window with it.
        let other = soon(session.sender("other")).await.unwrap();
        assert_eq!(soon(settlement).await, Ok(Outcome::Accepted));
        listener.process().event("message", SOON).unwrap();
        drop(other);
    });
}

#[test]
fn a_name_that_a_sender_and_a_receiver_share_ends_the_connection() {
    let rhea = rhea!();
    run(async {
        let mut listener = rhea.listen(&[]).unwrap();
        let connection = connect(&listener.url()).await.unwrap();
        let session = connection.session().await.unwrap();
        let mut named = postroad_client::LinkOptions::default();
        named.name = Some("both".to_owned());
        let sender = session.sender_with("q", named.clone()).await.unwrap();
        assert!(soon(session.receiver_with("echo", named)).await.is_err());
        assert!(sender.error().is_some());
        listener.event("disconnected").unwrap();
        // Ours are distinct by default.
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let mut receiver = session.receiver("echo").await.unwrap();
        soon(sender.send(&Message::from("apart"))).await.unwrap();
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("apart"));
    });
}

#[test]
fn an_answer_without_source_and_target_is_no_refusal() {
    let rhea = rhea!();
    run(async {
        let listener = rhea.listen(&["--no-nodes"]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = soon(session.sender("q")).await.unwrap();
        assert_eq!(sender.remote().and_then(|node| node.address), None);
        soon(sender.send(&Message::from("to nowhere that was told"))).await.unwrap();
        let mut receiver = soon(session.receiver("echo")).await.unwrap();
        assert_eq!(receiver.remote().and_then(|node| node.address), None);
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("to nowhere that was told"));
        // With a detach behind it, it is one: a refusal has no source or target either (AMQP 1.0 part 2, 2.6.3).
        assert!(soon(session.sender("refuse/amqp:not-found")).await.is_err());
    });
}

#[test]
fn the_credit_of_a_link_that_is_attached_anew_has_what_was_sent_before_taken_off() {
    let rhea = rhea!();
    run(async {
        let listener = rhea.listen(&["--credit", "10"]).unwrap();
        let proxy = cuts::before(listener.port()).await;
        let (connection, session) = cuts::session(&proxy, "").await;
        let sender = soon(session.sender("q")).await.unwrap();
        for _ in 0..6 {
            soon(sender.send(&Message::from("before"))).await.unwrap();
        }
        // Something that has no outcome, so that the link goes on and does not begin anew.
        soon(sender.submit(&Message::from("kept").with_property("outcome", "none"))).await.unwrap();
        let mut events = connection.events();
        proxy.cut_all();
        while !matches!(soon(events.next()).await, Some(ConnectionEvent::LinkAttached { .. })) {}
        // The flow says 10 behind a delivery-count of 0, where our initial-delivery-count was 7 (AMQP 1.0 part 2, 2.6.7): of
        // the 3 that are left, one is for what was sent before.
        for _ in 0..2 {
            soon(sender.send(&Message::from("after"))).await.unwrap();
        }
        let started = std::time::Instant::now();
        while started.elapsed() < Duration::from_millis(300) {
            assert!(sender.credit() <= 3, "{}", sender.credit());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

/// The URL of a rhea that listens behind a WebSocket.
fn behind_websocket(listener: &peers::Listener) -> String {
    listener.url().replacen("amqp://", "amqpws://", 1)
}

#[test]
fn our_client_reaches_rhea_over_a_websocket() {
    let rhea = rhea!();
    run(async {
        let listener = rhea.listen(&["--websocket", "amqp"]).unwrap();
        let connection = connect(&behind_websocket(&listener)).await.unwrap();
        let session = connection.session().await.unwrap();
        let (sender, mut receiver) = (session.sender("q").await.unwrap(), session.receiver("echo").await.unwrap());
        for length in [0, 1, 100, 65_536, 3 << 20] {
            let body: Bytes = (0..length).map(|at| (at % 251) as u8).collect();
            assert_eq!(soon(sender.send(&Message::from(body.clone()))).await, Ok(Outcome::Accepted));
            let message = soon(receiver.receive()).await.unwrap();
            assert_eq!(message.bytes(), Some(&body), "{length} bytes");
            receiver.accept(&message).unwrap();
        }
        soon(connection.close()).await.unwrap();
    });
}

#[test]
fn a_rhea_that_speaks_something_else_over_its_websocket_is_refused() {
    let rhea = rhea!();
    run(async {
        let listener = rhea.listen(&["--websocket", "mqtt"]).unwrap();
        let error = connect(&behind_websocket(&listener)).await.unwrap_err();
        let postroad_client::ConnectError::Transport(transport) = &error else { panic!("{error:?}") };
        assert!(matches!(transport.attempts()[0].error, postroad_taps::AttemptError::WebSocket(_)), "{error:?}");
        assert!(error.hint().unwrap().contains("`amqp`"), "{error:?}");
    });
}

#[test]
fn rhea_reaches_our_broker_over_a_websocket() {
    let rhea = rhea!();
    run(async {
        let broker = Broker::builder().auto_create(true).listen("amqpws://127.0.0.1:0").start().await.unwrap();
        reached(&rhea, &broker, &[]).await;
    });
}

#[test]
fn rhea_reaches_our_broker_over_a_websocket_under_tls() {
    let rhea = rhea!();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, certified.cert.pem()).unwrap();
    let tls = TlsConfig::builder();
    let tls = tls.server_certificate_pem(certified.cert.pem(), certified.signing_key.serialize_pem()).build().unwrap();
    run(async {
        let builder = Broker::builder().auto_create(true).tls(tls).listen("amqpwss://localhost:0");
        reached(&rhea, &builder.start().await.unwrap(), &["--tls-ca", authority.to_str().unwrap()]).await;
    });
}

/// Messages from rhea and back, small ones and one of many frames.
async fn reached(rhea: &Peer, broker: &Broker, options: &[&str]) {
    let mut messages: Vec<_> = (0..100).map(numbered).collect();
    messages.push(typed::message_to_json(&Message::from(Bytes::from(vec![7; 1 << 20])).encode()).unwrap());
    peer_sends(rhea, url(broker), "q", &messages, options);
    let received = peer_receives(rhea, url(broker), "q", 101, options);
    let first: Vec<_> = received.named("message").take(100).collect();
    assert_eq!(numbers(first), (0..100).collect::<Vec<_>>());
    super::expect_empty(broker, "q").await;
}

suite! {
    peers::rhea, RHEA,
    client_values::{
        client_bodies_of_every_type, client_properties_of_every_type, client_header_and_properties, client_bodies_of_every_size,
        client_sections_of_every_kind,
    },
    client_links::{
        client_learns_every_outcome_of_the_peer, client_outcomes_are_seen_by_the_peer, client_passes_messages_at_credit_1,
        client_is_told_that_nothing_is_left, client_answers_a_drain_and_goes_on, client_has_1000_links,
        client_is_told_why_a_link_is_refused,
    },
    client_access::{
        client_and_idle_peer_keep_each_other_alive, client_gives_up_a_peer_that_says_nothing, client_that_says_nothing_is_given_up,
        client_comes_in_with_the_right_password, client_checks_the_certificate,
    },
    broker_values::{
        broker_bodies_of_every_type, broker_properties_of_every_type, broker_header_and_properties, broker_bodies_of_every_size,
    },
    broker_links::{
        broker_acts_on_every_outcome_of_the_peer, broker_refuses_and_the_peer_is_told, broker_passes_messages_at_credit_1,
        broker_takes_settled_messages, broker_answers_a_drain, broker_has_1000_links_of_a_connection, broker_gives_a_dynamic_source,
    },
    broker_access::{
        broker_and_idle_peer_keep_each_other_alive, broker_gives_up_a_peer_that_says_nothing, broker_that_says_nothing_is_given_up, broker_lets_the_right_user_in,
        broker_shows_its_certificate,
    },
}

#[test]
fn tshark_reads_every_frame() {
    dissect::every_frame(
        peers::rhea(),
        &RHEA,
        &[&dissect::CLIENT[..], &dissect::CLIENT_FLOW, &dissect::BROKER, &[broker_links::broker_answers_a_drain]],
    );
}
