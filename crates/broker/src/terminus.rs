//! What a client asks of a terminus, and what it gets (AMQP 1.0 part 3, 3.5).

use std::sync::Arc;

use postroad_codec::v1_0::{
    Address, Attach, AttachTarget, DistributionMode, Error, ErrorCondition, FilterSet, Map, Multiple, NodeProperties,
    Outcome, Source, Symbol, Target, TerminusDurability, TerminusExpiryPolicy, Value,
};

use crate::binding_filter::Binds;
use crate::declaration::{Declaration, Owner, only_mode};
use crate::filter::{self, Asked, Origin};
use crate::node::{Hold, Kind, Lifetime, Nodes};
use crate::node_error::NodeError;
use crate::outgoing::Subscription;
use crate::queue::Subscriber;
use crate::subscription::{self, Share};

/// A source that was asked for and can be had.
#[derive(Debug)]
pub(crate) struct GrantedSource {
    pub(crate) hold: Hold,
    /// What is really there, for the answer.
    pub(crate) source: Source,
    pub(crate) subscription: Subscription,
}

/// A target that was asked for and can be had.
#[derive(Debug)]
pub(crate) struct GrantedTarget {
    /// The node; `None` is the anonymous terminus.
    pub(crate) hold: Option<Hold>,
    pub(crate) target: Target,
}

/// The capability by which a terminus asks for its node to be made.
pub(crate) const CREATE_ON_DEMAND: &str = "create-on-demand";

/// Finds or makes the source of a link.
///
/// `owner` tells who asks: within it a subscription is shared that is not global, and an exclusive queue is its own.
pub(crate) fn grant_source(
    nodes: &Arc<Nodes>,
    auto_create: bool,
    attach: &Attach,
    owner: impl Fn() -> Owner,
    origin: Origin,
) -> Result<GrantedSource, Error> {
    let Some(asked) = attach.source.as_deref() else {
        return Err(Error::new(ErrorCondition::INVALID_FIELD, "a link that receives needs a source"));
    };
    let browse = match &asked.distribution_mode {
        None => false,
        Some(mode) if *mode == DistributionMode::MOVE => false,
        Some(mode) if *mode == DistributionMode::COPY => true,
        Some(mode) => {
            let text = format!("distribution mode {:?} is neither move nor copy", &*mode.0);
            return Err(Error::new(ErrorCondition::NOT_IMPLEMENTED, text));
        }
    };
    let wanted = Wanted::of_source(asked);
    if wanted.address.is_none() && !wanted.dynamic {
        return Err(Error::new(ErrorCondition::INVALID_FIELD, "the source has no address"));
    }
    let Asked { filter, told } = filter::asked(asked.filter.as_ref(), origin)?;
    let filter = filter.map(Arc::new);
    let (mut browses, mut bound) = (browse, Map::default());
    let hold = wanted.find(nodes, auto_create, &owner, |hold| {
        if hold.node.kind == Kind::Exchange {
            let binds = binds(asked, &hold)?;
            let share = wanted.share(&attach.name, &owner);
            bound = binds.told;
            return Ok(subscription::subscribe(hold, nodes, share, &binds.bindings, filter.clone())?);
        }
        // Whoever is refused was no consumer, by whose end the queue might go.
        hold.node.check_owner(&owner)?;
        browses = browse || browses_only(&hold, asked)?;
        Ok(hold.consuming())
    })?;
    let subscribes = hold.addressed().kind == Kind::Exchange;
    // Whoever reads a subscription takes its copies away, and no other's.
    let browse = browses && !subscribes;
    let mut source = wanted.answered_source(&hold, browse, bound);
    Asked::tell(told, &mut source.filter);
    // A subscription has only what all of its consumers want.
    let chosen = filter.clone().filter(|_| !subscribes);
    let subscriber = Subscriber { browse, exclusive: wants_exclusive(attach), filter: chosen };
    Ok(GrantedSource { hold, source, subscription: Subscription { subscriber, filter } })
}

/// What is there of a source that is attached again.
pub(crate) fn source_again(asked: &Source, hold: &Hold, origin: Origin) -> Result<Source, Error> {
    let wanted = Wanted::of_source(asked);
    wanted.refuse_what_is_missing()?;
    let mut source = wanted.answered_source(hold, false, binds(asked, hold)?.told);
    Asked::tell(filter::asked(asked.filter.as_ref(), origin)?.told, &mut source.filter);
    Ok(source)
}

/// What the filters of a source come to where it is an exchange.
pub(crate) fn binds(asked: &Source, hold: &Hold) -> Result<Binds, Error> {
    let kind = hold.addressed().exchange_kind;
    Ok(kind.map(|kind| Binds::of(asked.filter.as_ref(), kind)).transpose()?.unwrap_or_default())
}

/// Whether a queue is there to look at: a link that would take messages is refused.
fn browses_only(hold: &Hold, asked: &Source) -> Result<bool, Error> {
    let browses = hold.node.options.queue.browse_only;
    if browses && asked.distribution_mode.as_ref() == Some(&DistributionMode::MOVE) {
        let text = format!("queue {:?} is for browsing only", &*hold.node.name);
        return Err(Error::new(ErrorCondition::NOT_ALLOWED, text));
    }
    Ok(browses)
}

/// Whether a link is to be the only one that takes messages, as its property `exclusive` says.
pub(crate) fn wants_exclusive(attach: &Attach) -> bool {
    let property = attach.properties.as_ref().and_then(|properties| properties.0.get_str("exclusive"));
    property == Some(&Value::Boolean(true))
}

/// Finds or makes the target of a link.
pub(crate) fn grant_target(
    nodes: &Arc<Nodes>,
    auto_create: bool,
    attach: &Attach,
    owner: impl Fn() -> Owner,
) -> Result<GrantedTarget, Error> {
    let asked = match attach.target.as_deref() {
        Some(AttachTarget::Target(target)) => target,
        None => return Err(Error::new(ErrorCondition::INVALID_FIELD, "a link that sends needs a target")),
        Some(_) => return Err(Error::new(ErrorCondition::NOT_IMPLEMENTED, "this kind of target is not implemented")),
    };
    let wanted = Wanted::of_target(asked);
    wanted.refuse_what_is_missing()?;
    let anonymous = !asked.dynamic && asked.address.as_ref().is_none_or(|address| address.is_empty());
    let hold = if anonymous { None } else { Some(wanted.find(nodes, auto_create, owner, |hold| Ok(Some(hold)))?) };
    let target = wanted.answered_target(hold.as_ref());
    Ok(GrantedTarget { hold, target })
}

/// What is there of a target that is attached again.
pub(crate) fn target_again(asked: &Target, hold: Option<&Hold>) -> Result<Target, Error> {
    let wanted = Wanted::of_target(asked);
    wanted.refuse_what_is_missing()?;
    Ok(wanted.answered_target(hold))
}

/// What sources and targets have in common.
struct Wanted<'a> {
    address: Option<&'a Address>,
    durable: TerminusDurability,
    dynamic: bool,
    properties: Option<&'a NodeProperties>,
    capabilities: &'a Multiple<Symbol>,
}

impl<'a> Wanted<'a> {
    fn of_source(source: &'a Source) -> Self {
        Self {
            address: source.address.as_ref(),
            durable: source.durable,
            dynamic: source.dynamic,
            properties: source.dynamic_node_properties.as_ref(),
            capabilities: &source.capabilities,
        }
    }

    fn of_target(target: &'a Target) -> Self {
        Self {
            address: target.address.as_ref(),
            durable: target.durable,
            dynamic: target.dynamic,
            properties: target.dynamic_node_properties.as_ref(),
            capabilities: &target.capabilities,
        }
    }

    /// What is really there. How long it is kept beyond the link is the caller's to add.
    fn answered_source(&self, hold: &Hold, browse: bool, filters: Map) -> Source {
        let copies = browse || hold.addressed().kind == Kind::Exchange;
        Source {
            address: Some(Address(hold.node.name.clone())),
            durable: TerminusDurability::NONE,
            expiry_policy: TerminusExpiryPolicy::LINK_DETACH,
            dynamic: self.dynamic,
            dynamic_node_properties: self.answered_properties(hold),
            distribution_mode: Some(if copies { DistributionMode::COPY } else { DistributionMode::MOVE }),
            // As far as they are applied.
            filter: (!filters.is_empty()).then_some(FilterSet(filters)),
            // A delivery that is settled without an outcome counts as a failed one.
            default_outcome: Some(Outcome::modified(true, false, None)),
            outcomes: ["amqp:accepted:list", "amqp:rejected:list", "amqp:released:list", "amqp:modified:list"]
                .into_iter()
                .map(Symbol::from_static)
                .collect(),
            capabilities: self.answered_capabilities(hold),
            ..Source::default()
        }
    }

    /// As [`Wanted::answered_source`]; without a node it is the anonymous terminus.
    fn answered_target(&self, hold: Option<&Hold>) -> Target {
        Target {
            address: hold.map(|hold| Address(hold.node.name.clone())),
            durable: TerminusDurability::NONE,
            expiry_policy: TerminusExpiryPolicy::LINK_DETACH,
            dynamic: self.dynamic,
            dynamic_node_properties: hold.and_then(|hold| self.answered_properties(hold)),
            capabilities: hold.map_or_else(Multiple::default, |hold| self.answered_capabilities(hold)),
            ..Target::default()
        }
    }

    /// Refuses what would need something that is not there.
    fn refuse_what_is_missing(&self) -> Result<(), Error> {
        if self.durable != TerminusDurability::NONE {
            let text = "nothing durable: the broker has no store configured";
            return Err(Error::new(ErrorCondition::NOT_IMPLEMENTED, text));
        }
        Ok(())
    }

    /// The kind of node that is asked for: by capability, or by the distribution modes that it must know.
    fn kind(&self) -> Option<Kind> {
        match (self.has("queue"), self.has("topic")) {
            (true, false) => return Some(Kind::Queue),
            (false, true) => return Some(Kind::Exchange),
            _ => {}
        }
        match only_mode(&self.properties?.0.0)? {
            "move" => Some(Kind::Queue),
            "copy" => Some(Kind::Exchange),
            _ => None,
        }
    }

    /// By what other links share the subscription, where that is asked for.
    fn share(&self, link: &str, owner: impl FnOnce() -> Owner) -> Option<Share> {
        // What is behind the bar tells apart the links of one subscription, by the convention of JMS clients.
        let name = link.split('|').next().unwrap_or(link).into();
        let shared = self.has("shared");
        shared.then(|| Share { scope: (!self.has("global")).then(owner), name })
    }

    /// Finds or makes the node. Without a word about its kind an address means the queue of that name, or else the
    /// exchange. `enter` makes it the link's, unless it has gone meanwhile.
    fn find(
        &self,
        nodes: &Arc<Nodes>,
        auto_create: bool,
        owner: impl Fn() -> Owner,
        mut enter: impl FnMut(Hold) -> Result<Option<Hold>, Error>,
    ) -> Result<Hold, Error> {
        self.refuse_what_is_missing()?;
        let kind = self.kind();
        let declare = |name: &str| {
            let made = kind.unwrap_or(Kind::Queue);
            let mut declaration = self.declaration(made)?;
            if self.dynamic && !declaration.stays() {
                // A dynamic node without a policy goes with its link (3.5.3).
                declaration.lifetime = declaration.lifetime.or(Some(Lifetime::Close));
            }
            match made {
                Kind::Exchange => nodes.declare_exchange(name, &declaration),
                Kind::Queue => nodes.declare_queue(name, &declaration, Some(owner())),
            }
        };
        let address = self.address.map_or("", |address| &**address);
        // The node may be deleted between finding and holding it.
        for _ in 0..8 {
            let (node, created) = if self.dynamic {
                declare(&unique_name()?)?
            } else if let Some(node) = kind.map_or_else(|| nodes.find(address), |kind| nodes.find_kind(address, kind)) {
                self.declaration(node.kind)?;
                (node, false)
            } else if auto_create || self.has(CREATE_ON_DEMAND) {
                declare(address)?
            } else {
                return Err(Error::new(ErrorCondition::NOT_FOUND, missing(nodes, address, kind)));
            };
            let Some(hold) = Hold::new(Arc::clone(&node), nodes, created) else {
                nodes.forget(&node);
                continue;
            };
            if let Some(hold) = enter(hold)? {
                return Ok(hold);
            }
        }
        Err(Error::new(ErrorCondition::RESOURCE_DELETED, format!("node {address:?} was deleted")))
    }

    fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|symbol| symbol.as_str() == capability)
    }

    /// What the node properties ask for.
    fn declaration(&self, kind: Kind) -> Result<Declaration, NodeError> {
        let properties = self.properties.map(|properties| Declaration::read(&properties.0.0, kind));
        properties.unwrap_or_else(|| Ok(Declaration::default()))
    }

    /// The node properties that are in force, where the client asked for some or for a dynamic node.
    fn answered_properties(&self, hold: &Hold) -> Option<NodeProperties> {
        if !self.dynamic && self.properties.is_none() {
            return None;
        }
        let node = hold.addressed();
        // They were read without an error as the link was granted.
        Some(self.declaration(node.kind).unwrap_or_default().in_force(node))
    }

    /// What was asked for and holds, and in any case whether the node is a queue or a topic, as all exchanges are called.
    fn answered_capabilities(&self, hold: &Hold) -> Multiple<Symbol> {
        let (own, known): (&'static str, &[&'static str]) = match hold.addressed().kind {
            Kind::Queue => ("queue", &[CREATE_ON_DEMAND, "queue"]),
            // A target has no subscription to share.
            Kind::Exchange if hold.node.kind == Kind::Exchange => ("topic", &[CREATE_ON_DEMAND, "topic"]),
            Kind::Exchange if self.has("shared") => ("topic", &[CREATE_ON_DEMAND, "topic", "shared", "global"]),
            Kind::Exchange => ("topic", &[CREATE_ON_DEMAND, "topic"]),
        };
        let mut answered: Vec<Symbol> = Vec::new();
        for asked in self.capabilities.iter() {
            // Once each, and not as they came: the answer is kept as long as the link.
            let name = known.iter().find(|name| asked == *name).filter(|name| !answered.iter().any(|one| one == *name));
            answered.extend(name.map(|name| Symbol::from_static(name)));
        }
        if !answered.iter().any(|one| *one == own) {
            answered.push(Symbol::from_static(own));
        }
        answered.into()
    }
}

/// Says that there is no node, and whether one of the other kind has the name.
fn missing(nodes: &Nodes, address: &str, kind: Option<Kind>) -> String {
    match kind {
        None => format!("no node {address:?}"),
        Some(Kind::Queue) if nodes.find(address).is_some() => format!("no queue {address:?}: it is a topic"),
        Some(Kind::Queue) => format!("no queue {address:?}"),
        Some(Kind::Exchange) if nodes.find(address).is_some() => format!("no topic {address:?}: it is a queue"),
        Some(Kind::Exchange) => format!("no topic {address:?}"),
    }
}

/// A name for a dynamic node that nobody can guess.
fn unique_name() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::new(ErrorCondition::INTERNAL_ERROR, error.to_string()))?;
    Ok(format!("dynamic-{:032x}", u128::from_be_bytes(random)))
}
