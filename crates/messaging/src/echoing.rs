//! Brokers whose answer to an attach says nothing: they tell back what they were asked for and take no notice of it.
//!
//! By the standard the answer has what holds (AMQP 1.0 part 3, 3.5.3 and 3.5.4), and what an address asks for is checked there.
//! Where that matters, a capability is asked for that there is not. Whoever has it has everything.

use postroad_client::{Connection, Node};

use crate::AddressError;
use crate::filters;
use crate::resolve::{Resolved, unsupported};

/// The capability that no node has.
const NOBODY_HAS_IT: &str = "postroad:nobody-has-it";

/// The node to ask for: with the question, where the answer matters.
pub(crate) fn asking(resolved: &Resolved) -> Node {
    let mut node = resolved.node.clone();
    if depends_on_answer(resolved) {
        node.capabilities.push(NOBODY_HAS_IT.to_owned());
    }
    node
}

fn depends_on_answer(resolved: &Resolved) -> bool {
    let node = &resolved.node;
    let described = resolved.creates() && resolved.describes();
    !node.filters.is_empty() || node.is_browsed() || node.durable || resolved.asserts() || described
}

/// Whether a broker answers with whatever it was asked for.
pub(crate) fn tells_back_anything(answer: Option<&Node>, peer: &Connection) -> bool {
    is_known(peer) || answer.is_some_and(|node| node.capabilities.iter().any(|name| name == NOBODY_HAS_IT))
}

/// As they were seen to do (docs/protocol/peers.md).
fn is_known(peer: &Connection) -> bool {
    let told = |name: &str| peer.remote_property(name).and_then(|value| value.as_str().map(ToOwned::to_owned));
    match told("product").as_deref() {
        // The filters for streams came with 4.1; none of them is ours.
        Some("RabbitMQ") => {
            told("version").is_none_or(|version| version.starts_with("3.") || version.starts_with("4.0"))
        }
        Some("skupper-router" | "qpid-dispatch-router") => true,
        _ => false,
    }
}

/// Refuses what a broker does not do that is known for its answers, before anything is asked of it.
pub(crate) fn refuse_known(resolved: &Resolved, peer: &Connection) -> Result<(), AddressError> {
    if !is_known(peer) {
        return Ok(());
    }
    refuse(resolved)?;
    filters::check(&resolved.node.filters, None, false)
}

/// Refuses what cannot be believed of such a broker. Filters are checked by themselves.
pub(crate) fn refuse(resolved: &Resolved) -> Result<(), AddressError> {
    const REASON: &str = "the broker says yes to anything, and does not do it";
    let cases = [
        (resolved.node.is_browsed(), "mode", "a receiver that consumes may release what is to stay"),
        (
            resolved.node.durable,
            "link.durable",
            "have the messages kept by a queue that is declared with the broker's own tools",
        ),
        (
            resolved.asserts() && !resolved.properties.0.is_empty(),
            "assert",
            "assert no more than that the node is there",
        ),
        (
            resolved.creates() && resolved.describes(),
            "create",
            "declare the node with the broker's own tools, or leave its description out",
        ),
    ];
    match cases.into_iter().find(|(given, _, _)| *given) {
        Some((_, option, hint)) => Err(unsupported(option, REASON, hint)),
        None => Ok(()),
    }
}
