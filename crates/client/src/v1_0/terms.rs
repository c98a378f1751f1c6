//! Nodes and options as the terms of a link.

use postroad_amqp::v1_0::LinkTerms;
use postroad_codec::v1_0::{
    self as codec, Attach, AttachTarget, Coordinator, DistributionMode, FilterSet, Map, Multiple, NodeProperties,
    ReceiverSettleMode, Role, Seconds, SenderSettleMode, Source, Symbol, Target, TerminusDurability,
    TerminusExpiryPolicy, TxnCapability,
};

use crate::protocol::Answer;
use crate::{Distribution, Expiry, Guarantee, LinkOptions, Node};

/// The outcomes that our ends of links use.
const OUTCOMES: [&str; 4] = ["amqp:accepted:list", "amqp:rejected:list", "amqp:released:list", "amqp:modified:list"];

fn outcomes() -> Multiple<Symbol> {
    OUTCOMES.iter().map(|name| Symbol::from_static(name)).collect()
}

pub(super) fn terms(role: Role, node: &Node, options: &LinkOptions) -> LinkTerms {
    let own_address = options.own_address.clone().map(Into::into);
    let exactly_once = options.guarantee == Guarantee::ExactlyOnce;
    let (mut source, mut target) = match role {
        Role::Sender => (Source { address: own_address, outcomes: outcomes(), ..Source::default() }, target(node)),
        Role::Receiver => (source(node), Target { address: own_address, ..Target::default() }),
    };
    if exactly_once {
        // Both ends have to remember the link while there is no connection.
        let timeout = seconds(options.resume_timeout).max(Seconds(1));
        let of_node = node.expiry.is_some();
        if role == Role::Sender || !of_node {
            (source.expiry_policy, source.timeout) = (TerminusExpiryPolicy::CONNECTION_CLOSE, timeout);
        }
        if role == Role::Receiver || !of_node {
            (target.expiry_policy, target.timeout) = (TerminusExpiryPolicy::CONNECTION_CLOSE, timeout);
        }
    }
    LinkTerms {
        source: Some(source),
        target: Some(AttachTarget::Target(target)),
        snd_settle_mode: match options.guarantee {
            Guarantee::AtMostOnce => SenderSettleMode::SETTLED,
            Guarantee::AtLeastOnce | Guarantee::ExactlyOnce => SenderSettleMode::UNSETTLED,
        },
        // 2.6.12: the receiver keeps its record until it knows that the sender has the outcome.
        rcv_settle_mode: if exactly_once { ReceiverSettleMode::SECOND } else { ReceiverSettleMode::FIRST },
        keep: options.keep,
        auto_settle: options.auto_settle,
        resend_lost: !exactly_once,
        max_message_size: options.max_message_size,
        properties: options.properties.clone(),
        offered_capabilities: symbols(&options.offered_capabilities),
        desired_capabilities: symbols(&options.desired_capabilities),
        in_parts: options.in_parts,
        ..LinkTerms::default()
    }
}

fn source(node: &Node) -> Source {
    let (expiry_policy, timeout) = expiry(node);
    let filters: Map = node.filters.iter().cloned().collect();
    Source {
        address: node.address.clone().map(Into::into),
        durable: durability(node),
        expiry_policy,
        timeout,
        dynamic: node.dynamic,
        dynamic_node_properties: node.properties.clone().map(NodeProperties),
        distribution_mode: node.distribution.map(|distribution| match distribution {
            Distribution::Move => DistributionMode::MOVE,
            Distribution::Copy => DistributionMode::COPY,
        }),
        filter: (!filters.is_empty()).then_some(FilterSet(filters)),
        default_outcome: Some(codec::Outcome::modified(true, false, None)),
        outcomes: outcomes(),
        capabilities: capabilities(node),
    }
}

fn target(node: &Node) -> Target {
    let (expiry_policy, timeout) = expiry(node);
    Target {
        address: node.address.clone().map(Into::into),
        durable: durability(node),
        expiry_policy,
        timeout,
        dynamic: node.dynamic,
        dynamic_node_properties: node.properties.clone().map(NodeProperties),
        capabilities: capabilities(node),
    }
}

fn durability(node: &Node) -> TerminusDurability {
    if node.durable { TerminusDurability::UNSETTLED_STATE } else { TerminusDurability::NONE }
}

fn expiry(node: &Node) -> (TerminusExpiryPolicy, Seconds) {
    match node.expiry {
        None => (TerminusExpiryPolicy::SESSION_END, Seconds(0)),
        Some(Expiry::LinkDetach(after)) => (TerminusExpiryPolicy::LINK_DETACH, seconds(after)),
        Some(Expiry::SessionEnd(after)) => (TerminusExpiryPolicy::SESSION_END, seconds(after)),
        Some(Expiry::ConnectionClose(after)) => (TerminusExpiryPolicy::CONNECTION_CLOSE, seconds(after)),
        Some(Expiry::Never) => (TerminusExpiryPolicy::NEVER, Seconds(0)),
    }
}

fn seconds(duration: std::time::Duration) -> Seconds {
    Seconds(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
}

fn capabilities(node: &Node) -> Multiple<Symbol> {
    symbols(&node.capabilities)
}

/// Those that are symbols: no other has a meaning to anybody.
fn symbols(names: &[String]) -> Multiple<Symbol> {
    names.iter().filter_map(|name| Symbol::new(name.clone())).collect()
}

/// The terms of a link to a peer's coordinator.
pub(super) fn coordinator_terms() -> LinkTerms {
    // What is desired is that which every coordinator has: the rest can be seen in its answer.
    let capabilities = [TxnCapability::LOCAL_TRANSACTIONS].into_iter().collect();
    let outcomes = outcomes().iter().cloned().chain([Symbol::from_static("amqp:declared:list")]).collect();
    LinkTerms {
        source: Some(Source { outcomes, ..Source::default() }),
        target: Some(AttachTarget::Coordinator(Coordinator { capabilities })),
        snd_settle_mode: SenderSettleMode::UNSETTLED,
        ..LinkTerms::default()
    }
}

/// Whether the terminus at the peer's end outlives its connection.
pub(super) fn remembers(attach: &Attach) -> bool {
    let expiry = match attach.role {
        Role::Sender => attach.source.as_deref().map(|source| (&source.expiry_policy, source.timeout)),
        Role::Receiver => {
            let target = attach.target.as_deref().and_then(AttachTarget::as_target);
            target.map(|target| (&target.expiry_policy, target.timeout))
        }
    };
    expiry.is_some_and(|(policy, timeout)| *policy == TerminusExpiryPolicy::NEVER || timeout.0 > 0)
}

/// The answer to an attach of the peer's: what it asked for, but for what nobody has seen to, and what the owner says.
pub(super) fn terms_of_answer(attach: &Attach, answer: &Answer<'_>) -> LinkTerms {
    let Answer { options, .. } = answer;
    let (mut asked_source, mut target) = (attach.source.as_deref().cloned(), attach.target.as_deref().cloned());
    match (attach.role.opposite(), &mut asked_source, &mut target) {
        (Role::Sender, Some(source), _) => {
            // 3.5.3: the answer has the filters that are in place, and none is. Whoever reads it believes it.
            (source.filter, source.distribution_mode) = (None, None);
            source.dynamic_node_properties = None;
            source.capabilities = without_creating(&source.capabilities);
        }
        (Role::Receiver, _, Some(AttachTarget::Target(target))) => {
            target.dynamic_node_properties = None;
            target.capabilities = without_creating(&target.capabilities);
        }
        _ => {}
    }
    let mut source = asked_source;
    if let Some(node) = answer.source {
        // Outcomes are no matter of the node.
        let (default_outcome, outcomes) =
            source.map(|asked| (asked.default_outcome, asked.outcomes)).unwrap_or_default();
        source = Some(Source { default_outcome, outcomes, ..self::source(node) });
    }
    if let Some(node) = answer.target {
        target = Some(AttachTarget::Target(self::target(node)));
    }
    match (attach.role.opposite(), &mut source, &mut target) {
        (Role::Sender, Some(source), _) => forget(&mut source.expiry_policy, &mut source.timeout, &mut source.durable),
        (Role::Receiver, _, Some(AttachTarget::Target(target))) => {
            forget(&mut target.expiry_policy, &mut target.timeout, &mut target.durable);
        }
        _ => {}
    }
    if let Some(granted) = answer.expiry {
        let (policy, timeout) = expiry(&Node { expiry: Some(granted), ..Node::default() });
        match (attach.role.opposite(), &mut source, &mut target) {
            (Role::Sender, Some(source), _) => (source.expiry_policy, source.timeout) = (policy, timeout),
            (Role::Receiver, _, Some(AttachTarget::Target(target))) => {
                (target.expiry_policy, target.timeout) = (policy, timeout);
            }
            _ => {}
        }
    }
    LinkTerms {
        source,
        target,
        keep: answer.expiry.is_some(),
        // Twice is not for those that want it once.
        resend_lost: attach.rcv_settle_mode != ReceiverSettleMode::SECOND,
        snd_settle_mode: attach.snd_settle_mode,
        rcv_settle_mode: attach.rcv_settle_mode,
        max_message_size: options.max_message_size,
        properties: options.properties.clone(),
        offered_capabilities: symbols(&options.offered_capabilities),
        desired_capabilities: symbols(&options.desired_capabilities),
        auto_settle: options.auto_settle,
        answers_last: options.answers_last,
        in_parts: options.in_parts,
        ..LinkTerms::default()
    }
}

/// Nobody makes nodes here.
fn without_creating(asked: &Multiple<Symbol>) -> Multiple<Symbol> {
    asked.iter().filter(|name| name.as_str() != "create-on-demand").cloned().collect::<Vec<_>>().into()
}

/// Has a terminus that nothing keeps say so.
fn forget(policy: &mut TerminusExpiryPolicy, timeout: &mut Seconds, durable: &mut TerminusDurability) {
    if *policy == TerminusExpiryPolicy::NEVER {
        *policy = TerminusExpiryPolicy::SESSION_END;
    }
    (*timeout, *durable) = (Seconds(0), TerminusDurability::NONE);
}
