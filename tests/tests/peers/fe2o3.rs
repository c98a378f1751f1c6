//! fe2o3-amqp 0.18, a client of our broker.

use std::time::Duration;

use postroad_client::types::Value;
use postroad_tests::ours::{SOON, run};
use postroad_tests::{peers, typed};
use serde_json::{Value as Json, json};

use super::{Known, broker, dissect, numbered, numbers, peer_sends, url};

/// docs/protocol/peers.md, fe2o3-amqp.
const FE2O3: Known =
    Known { reads, writes, tls_conditions: ["UnknownIssuer", "NotValidForNameContext"], ..Known::NOTHING };

/// What serde_amqp neither reads nor writes.
const UNKNOWN: [&str; 6] = [
    "array of list",
    "array of map",
    "array of arrays",
    "array of null",
    "array of described",
    "described by a string",
];

fn reads(name: &str, value: &Value) -> Option<Json> {
    let cannot = UNKNOWN.contains(&name) || name == "array empty";
    (!cannot).then(|| typed::value_to_json(value))
}

fn writes(name: &str, value: &Value) -> Option<Json> {
    if name == "array empty" {
        // Written without the constructor that 1.6.24 asks for, so that its type is lost.
        return Some(json!({"t": "array", "of": "null", "v": []}));
    }
    (!UNKNOWN.contains(&name)).then(|| typed::value_to_json(value))
}

suite! {
    peers::fe2o3, FE2O3,
    broker_values::{
        broker_bodies_of_every_type, broker_properties_of_every_type, broker_header_and_properties, broker_bodies_of_every_size,
    },
    broker_links::{
        broker_acts_on_every_outcome_of_the_peer, broker_refuses_and_the_peer_is_told, broker_passes_messages_at_credit_1,
        broker_takes_settled_messages, broker_has_1000_links_of_a_connection, broker_gives_a_dynamic_source,
    },
    broker_access::{
        broker_and_idle_peer_keep_each_other_alive, broker_gives_up_a_peer_that_says_nothing, broker_that_says_nothing_is_given_up, broker_lets_the_right_user_in,
        broker_shows_its_certificate,
    },
}

#[test]
fn a_drain_takes_the_credit_and_the_program_is_not_told() {
    let fe2o3 = match peers::fe2o3() {
        Ok(fe2o3) => fe2o3,
        Err(skipped) => return skipped.report(),
    };
    run(async {
        let broker = broker().await;
        peer_sends(&fe2o3, url(&broker), "few", &(0..3).map(numbered).collect::<Vec<_>>(), &[]);
        let mut receiver = fe2o3.receiver(url(&broker), "few", 10, &["--drain", "--wait", "6"]).unwrap();
        let got: Vec<Json> = (0..3).map(|_| receiver.event("message", SOON).unwrap()).collect();
        assert_eq!(numbers(&got), [0, 1, 2]);
        // Its credit is used up: what comes later stays.
        peer_sends(&fe2o3, url(&broker), "few", &[numbered(3)], &[]);
        let rest = receiver.finish(Duration::from_secs(30)).unwrap();
        assert_eq!((rest.code, rest.named("message").count(), rest.named("drained").count()), (Some(2), 0, 0));
        assert_eq!(broker.queue_stats("few").unwrap().ready, 1);
    });
}

#[test]
fn tshark_reads_every_frame() {
    dissect::every_frame(peers::fe2o3(), &FE2O3, &[&dissect::BROKER]);
}
