//! Termini as nodes.

use postroad_codec::v1_0::{
    AttachTarget, DistributionMode, FilterSet, Seconds, Source, Symbol, Target, TerminusDurability,
    TerminusExpiryPolicy,
};

use crate::{Distribution, Expiry, Node};

/// A target that is no node, such as a coordinator, is none.
pub(super) fn nodes(source: Option<&Source>, target: Option<&AttachTarget>) -> (Option<Node>, Option<Node>) {
    (source.map(node_of_source), target.and_then(AttachTarget::as_target).map(node_of_target))
}

pub(super) fn node_of_source(source: &Source) -> Node {
    let filters = source.filter.iter().flat_map(|FilterSet(filters)| filters.0.iter());
    Node {
        address: source.address.as_ref().map(|address| address.to_string()),
        dynamic: source.dynamic,
        properties: source.dynamic_node_properties.as_ref().map(|properties| properties.0.clone()),
        capabilities: source.capabilities.iter().map(ToString::to_string).collect(),
        filters: filters
            .filter_map(|(name, filter)| Some((Symbol::new(name.as_str()?.to_owned())?, filter.clone())))
            .collect(),
        distribution: match &source.distribution_mode {
            Some(mode) if *mode == DistributionMode::COPY => Some(Distribution::Copy),
            Some(mode) if *mode == DistributionMode::MOVE => Some(Distribution::Move),
            // One that the standard does not know is none.
            _ => None,
        },
        durable: source.durable != TerminusDurability::NONE,
        expiry: expiry_of(&source.expiry_policy, source.timeout),
    }
}

pub(super) fn node_of_target(target: &Target) -> Node {
    Node {
        address: target.address.as_ref().map(|address| address.to_string()),
        dynamic: target.dynamic,
        properties: target.dynamic_node_properties.as_ref().map(|properties| properties.0.clone()),
        capabilities: target.capabilities.iter().map(ToString::to_string).collect(),
        durable: target.durable != TerminusDurability::NONE,
        expiry: expiry_of(&target.expiry_policy, target.timeout),
        ..Node::default()
    }
}

/// None for a policy that the standard does not know.
fn expiry_of(policy: &TerminusExpiryPolicy, timeout: Seconds) -> Option<Expiry> {
    let timeout = std::time::Duration::from_secs(timeout.0.into());
    match policy {
        policy if *policy == TerminusExpiryPolicy::LINK_DETACH => Some(Expiry::LinkDetach(timeout)),
        policy if *policy == TerminusExpiryPolicy::SESSION_END => Some(Expiry::SessionEnd(timeout)),
        policy if *policy == TerminusExpiryPolicy::CONNECTION_CLOSE => Some(Expiry::ConnectionClose(timeout)),
        policy if *policy == TerminusExpiryPolicy::NEVER => Some(Expiry::Never),
        _ => None,
    }
}
