//! Proton C++ 0.37, by our peer program.

use postroad_client::types::Value;
use postroad_tests::{peers, typed};
use serde_json::{Value as Json, json};

use super::{Known, broker_links, dissect};

/// docs/protocol/peers.md, Proton C++.
pub(crate) const PROTON_CPP: Known = Known {
    reads,
    writes,
    echoes: reads,
    returns: reads,
    sections,
    states_alone: true,
    listens_with_plain: false,
    tls_conditions: ["amqp:connection:framing-error"; 2],
    ..Known::NOTHING
};

fn reads(name: &str, value: &Value) -> Option<Json> {
    Some(match name {
        // No body at all.
        "null" => Json::Null,
        // The section is left around it.
        "described described" => {
            json!({"t": "described", "d": {"t": "ulong", "v": 0x77}, "v": typed::value_to_json(value)})
        }
        _ => typed::value_to_json(value),
    })
}

fn writes(name: &str, value: &Value) -> Option<Json> {
    if name == "null" { Some(Json::Null) } else { Some(typed::value_to_json(value)) }
}

/// Header and properties are always there, of several sections of a body the last, and no footer.
fn sections(sections: Json) -> Json {
    let Json::Array(mut sections) = sections else { return sections };
    let is = |section: &Json, name: &str| section["s"] == name;
    if !sections.iter().any(|section| is(section, "header")) {
        sections.insert(0, json!({"s": "header", "v": {}}));
    }
    if !sections.iter().any(|section| is(section, "properties")) {
        let before = ["header", "delivery-annotations", "message-annotations"];
        let at = sections.iter().filter(|section| before.iter().any(|name| is(section, name))).count();
        sections.insert(at, json!({"s": "properties", "v": {}}));
    }
    sections.retain(|section| !is(section, "footer"));
    let of_body = |section: &Json| is(section, "data") || is(section, "amqp-sequence");
    let last = sections.iter().rposition(of_body);
    let mut index = 0;
    sections.retain(|section| {
        index += 1;
        !of_body(section) || Some(index - 1) == last
    });
    Json::Array(sections)
}

suite! {
    peers::proton_cpp, PROTON_CPP,
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
        peers::proton_cpp(),
        &PROTON_CPP,
        &[&dissect::CLIENT[..], &dissect::CLIENT_FLOW, &dissect::BROKER, &[broker_links::broker_answers_a_drain]],
    );
}
