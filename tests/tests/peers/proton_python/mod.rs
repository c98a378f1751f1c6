//! Proton Python 0.40. Beyond the cases that all peers share: `endings` to `values` are our client with it listening, `broker_*` it as
//! client of our broker, and `itself` is it alone.

/// The peer, or a named skip.
macro_rules! proton {
    () => {
        match postroad_tests::peers::proton_python() {
            Ok(proton) => proton,
            Err(skipped) => return skipped.report(),
        }
    };
}

mod broker_access;
mod broker_outcomes;
mod broker_traces;
mod broker_values;
mod endings;
mod itself;
mod links;
mod outcomes;
mod security;
mod time;
mod transactions;
mod values;

use postroad_tests::peers::{self, Peer};
use postroad_tests::process::Finished;
use serde_json::Value as Json;

use super::{Known, broker, broker_links, dissect, expect_empty, numbered, peer_receives, start, url};

/// docs/protocol/peers.md, Proton Python. Its data nodes know every type.
const PROTON_PYTHON: Known = Known {
    // Without TLS it never does.
    listens_with_plain: false,
    tls_conditions: ["amqp:connection:framing-error"; 2],
    ..Known::NOTHING
};

suite! {
    peers::proton_python, PROTON_PYTHON,
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
        broker_and_idle_peer_keep_each_other_alive, broker_gives_up_a_peer_that_says_nothing, broker_that_says_nothing_is_given_up,
        broker_lets_the_right_user_in, broker_shows_its_certificate,
    },
}

#[test]
fn tshark_reads_every_frame() {
    let cases =
        &[&dissect::CLIENT[..], &dissect::CLIENT_FLOW, &dissect::BROKER, &[broker_links::broker_answers_a_drain]];
    dissect::every_frame(peers::proton_python(), &PROTON_PYTHON, cases);
}

fn number(message: &Json) -> u64 {
    super::numbers([message])[0]
}

fn numbers(received: &Finished) -> Vec<u64> {
    super::numbers(received.named("message"))
}

/// Sends messages and expects that all are accepted.
fn send_all(proton: &Peer, url: &str, queue: &str, messages: &[Json]) {
    assert_eq!(super::peer_sends(proton, url, queue, messages, &[]), [0; 0]);
}

/// Receives `count` messages, and expects that there are as many.
fn receive(proton: &Peer, url: &str, queue: &str, count: usize, options: &[&str]) -> Finished {
    peer_receives(proton, url, queue, count, options)
}
