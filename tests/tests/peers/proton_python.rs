//! Proton Python 0.40: the cases that `client_to_proton` and `proton_to_broker`, which go deeper, do not have.

use postroad_tests::peers;

use super::{Known, broker_links, dissect};

/// docs/protocol/peers.md, Proton Python. Its data nodes know every type.
const PROTON_PYTHON: Known = Known {
    // The wheel offers ANONYMOUS alone.
    listens_with_plain: false,
    tls_conditions: ["amqp:connection:framing-error"; 2],
    ..Known::NOTHING
};

suite! {
    peers::proton_python, PROTON_PYTHON,
    client_values::{client_properties_of_every_type, client_bodies_of_every_size, client_sections_of_every_kind},
    client_links::{
        client_passes_messages_at_credit_1, client_is_told_that_nothing_is_left, client_answers_a_drain_and_goes_on,
        client_has_1000_links,
    },
    broker_values::{broker_properties_of_every_type, broker_header_and_properties, broker_bodies_of_every_size},
    broker_links::{
        broker_passes_messages_at_credit_1, broker_answers_a_drain, broker_has_1000_links_of_a_connection,
    },
    broker_access::{broker_that_says_nothing_is_given_up, broker_shows_its_certificate},
}

#[test]
fn tshark_reads_every_frame() {
    dissect::every_frame(
        peers::proton_python(),
        &PROTON_PYTHON,
        &[&dissect::CLIENT, &dissect::BROKER, &[broker_links::broker_answers_a_drain]],
    );
}
