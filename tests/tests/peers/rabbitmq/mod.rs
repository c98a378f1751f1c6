//! RabbitMQ 3.10. Beyond the cases that all brokers share: the rows of docs/protocol/peers.md about it as our users meet them, and in
//! `proton` as Proton Python does. A deviation that vanishes fails its test.

/// The broker, or a named skip.
macro_rules! rabbitmq {
    () => {
        match postroad_tests::peers::rabbitmq() {
            Ok(rabbitmq) => rabbitmq,
            Err(skipped) => return skipped.report(),
        }
    };
}

mod access;
mod guarantees;
mod outcomes;
mod proton;
mod values;

use postroad_client::types::Value;
use postroad_tests::peers::{self, Skipped};
use postroad_tests::typed;
use serde_json::{Value as Json, json};

use super::through::Between;
use super::{Known, dissect};

/// docs/protocol/peers.md, RabbitMQ.
const RABBITMQ: Known =
    Known { returns, sections, delivery_annotations: false, has_idle_timeout: false, ..Known::NOTHING };

fn returns(name: &str, value: &Value) -> Option<Json> {
    (!values::is_fatal(name, value)).then(|| typed::value_to_json(value))
}

/// Header and properties are always there, a delivery count is not, and the sections of a body come in reverse.
fn sections(sections: Json) -> Json {
    let Json::Array(mut sections) = sections else { return sections };
    let is = |section: &Json, name: &str| section["s"] == name;
    let boolean = |value: bool| json!({"t": "boolean", "v": value});
    if !sections.iter().any(|section| is(section, "header")) {
        sections.insert(0, json!({"s": "header", "v": {"durable": boolean(false)}}));
    }
    let header = sections[0]["v"].as_object_mut().expect("fields by name");
    header.remove("delivery-count");
    header.insert("first-acquirer".to_owned(), boolean(true));
    if !sections.iter().any(|section| is(section, "properties")) {
        let at = sections.iter().filter(|section| is(section, "header") || is(section, "message-annotations")).count();
        // The routing key, which is the queue's name.
        sections.insert(at, json!({"s": "properties", "v": {"subject": {"t": "string", "v": "sections"}}}));
    }
    let of_body = |section: &Json| is(section, "data") || is(section, "amqp-sequence");
    let first = sections.iter().position(of_body).unwrap_or(sections.len());
    let count = sections.iter().filter(|section| of_body(section)).count();
    sections[first..first + count].reverse();
    Json::Array(sections)
}

pub(crate) fn rabbitmq() -> Result<Between, Skipped> {
    let port = peers::rabbitmq()?.port();
    let address = |queue: &str| format!("/queue/{queue}");
    Ok(Between { name: "rabbitmq", port, user: "guest:guest@", address, _example: None, _relay: None })
}

suite! {
    rabbitmq, RABBITMQ,
    through::{
        through_bodies_of_every_type, through_properties_of_every_type, through_header_properties_and_sections,
        through_bodies_of_every_size, through_messages_at_credit_1, through_settled_messages, through_1000_links,
        through_an_idle_connection_both_keep_alive, through_a_broker_that_says_nothing_is_given_up,
        through_a_client_that_says_nothing_is_given_up,
    },
    cuts::{through_100_cuts_at_least_once},
}

#[test]
fn tshark_reads_every_frame() {
    dissect::every_frame_through(rabbitmq(), &RABBITMQ);
}
