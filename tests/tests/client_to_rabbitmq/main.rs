//! Our client against RabbitMQ 3.10 as broker, and the rows of docs/protocol/peers.md about it as our users meet
//! them: a deviation that vanishes fails its test.

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
mod outcomes;
mod values;

use postroad_client::Message;
use serde_json::Value as Json;

/// The sections of a message but header and properties, to which RabbitMQ adds.
fn bare(message: &Message) -> Vec<Json> {
    let form = postroad_tests::ours::typed_form(message);
    let all = form["sections"].as_array().expect("a message has sections");
    all.iter().filter(|section| section["s"] != "header" && section["s"] != "properties").cloned().collect()
}
