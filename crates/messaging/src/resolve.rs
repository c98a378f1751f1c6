//! What an address becomes on AMQP 1.0: a terminus and the terms of a link.

use std::time::Duration;

use postroad_address::{Address, Mode, NodeType, Options, Reliability, Role};
use postroad_client::types::{ErrorCondition, Fields, Map, PeerError, Symbol};
use postroad_client::{AttachError, Binding, Distribution, Expiry, Guarantee, LinkOptions, Node};
use uuid::Uuid;

use crate::filters::{SUBJECT, filters};
use crate::properties::{DELETE_ON_CLOSE, LIFETIME, lifetime, node_properties, put, queue_properties, to_map};
use crate::{AddressError, LinkError};

/// What a sender or receiver at an address asks of a broker on AMQP 1.0, as [`resolve`] tells it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Resolution {
    /// The node: the target of a sender, the source of a receiver.
    pub node: Node,
    /// The terms of the link.
    pub link: LinkOptions,
}

/// Tells what a sender or receiver at this address asks of a broker on AMQP 1.0, without asking anyone. A name that begins
/// with `#` and goes on gets another unique part each time.
///
/// ```
/// use postroad_messaging::{address::Role, resolve};
///
/// let resolution = resolve("prices; {create: always, node: {type: topic}}", Role::Receiver)?;
/// assert_eq!(resolution.node.address.as_deref(), Some("prices"));
/// assert_eq!(resolution.node.capabilities, ["create-on-demand", "topic"]);
/// # Ok::<(), postroad_messaging::AddressError>(())
/// ```
///
/// # Errors
/// A text that is no address, and options that do not fit or that nobody can carry out.
pub fn resolve(address: &str, role: Role) -> Result<Resolution, AddressError> {
    let Resolved { node, link, .. } = Resolved::new(address, role)?;
    Ok(Resolution { node, link })
}

/// An address, and what it asks of the client.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) address: Address,
    pub(crate) options: Options,
    pub(crate) role: Role,
    /// What the address says that the node is like.
    pub(crate) properties: Fields,
    /// The kind of the node, as the address says it or as it was learned.
    pub(crate) node_type: Option<NodeType>,
    pub(crate) node: Node,
    pub(crate) link: LinkOptions,
}

/// The capability by which a link asks for its node to be made under the name that it gives.
pub(crate) const CREATE_ON_DEMAND: &str = "create-on-demand";

/// How long the subscription of a link that may lose nothing outlives its connection; the original's C++ client has the
/// same.
const SUBSCRIPTION_TIME: Duration = Duration::from_secs(120);

impl Resolved {
    /// Reads an address for one end of a link.
    pub(crate) fn new(text: &str, role: Role) -> Result<Self, AddressError> {
        Self::of(Address::parse(text)?, role)
    }

    pub(crate) fn of(address: Address, role: Role) -> Result<Self, AddressError> {
        let options = address.validate_for(role)?;
        refuse_unsupported(&options, role)?;
        let mut node = Node::default();
        match address.name.as_str() {
            "#" => node.dynamic = true,
            // A name of its own for each link, and a node that goes with it.
            name if address.is_temporary() => node.address = Some(format!("{}{name}", Uuid::new_v4())),
            name => node.address = Some(name.to_owned()),
        }
        node.durable = options.link.durable == Some(true);
        let mut link = LinkOptions::default();
        link.name.clone_from(&options.link.name);
        link.own_address.clone_from(match role {
            Role::Sender => &options.link.source,
            Role::Receiver => &options.link.target,
        });
        link.prefetch = 0;
        if wants_exclusive(&options) {
            link.properties = Some(Fields(Map::from_iter([(EXCLUSIVE, true)])));
        }
        let (node_type, properties) = (options.node.node_type, node_properties(&options.node));
        let mut resolved = Self { address, options, role, properties, node_type, node, link };
        resolved.apply_type();
        Ok(resolved)
    }

    /// Takes in what kind of node it is, where the address does not say it. `true`: the terms are others now.
    pub(crate) fn learn(&mut self, found: NodeType) -> bool {
        if self.options.node.node_type.is_some() {
            return false;
        }
        let before = (self.node.filters.clone(), self.node.expiry, self.link.guarantee);
        self.node_type = Some(found);
        self.apply_type();
        before != (self.node.filters.clone(), self.node.expiry, self.link.guarantee)
    }

    /// Forgets what was learned.
    pub(crate) fn unlearn(&mut self) {
        self.node_type = self.options.node.node_type;
        self.apply_type();
    }

    /// Sets what depends on the kind of the node.
    fn apply_type(&mut self) {
        let options = &self.options;
        let capabilities = self.creates().then(|| CREATE_ON_DEMAND.to_owned()).into_iter();
        let capabilities = capabilities.chain(self.node_type.map(|node_type| node_type.as_str().to_owned()));
        self.node.capabilities = capabilities.chain(options.node.capabilities.iter().cloned()).collect();
        let mut properties = Map::default();
        if self.creates() || self.node.dynamic || self.asserts() {
            properties.clone_from(&self.properties.0);
        }
        if self.address.is_temporary() && properties.get_str(LIFETIME).is_none() {
            put(&mut properties, LIFETIME, lifetime(DELETE_ON_CLOSE));
        }
        self.node.properties = (!properties.is_empty()).then_some(Fields(properties));
        self.link.guarantee = guarantee(options, self.role, self.node_type);
        let receives = self.role == Role::Receiver;
        if receives {
            self.node.distribution = (options.mode == Some(Mode::Browse)).then_some(Distribution::Copy);
            self.node.filters = filters(&self.address, options, self.node_type);
        }
        let subscribes = receives && self.node_type == Some(NodeType::Topic);
        self.node.expiry = match options.link.timeout {
            Some(timeout) => Some(Expiry::LinkDetach(timeout)),
            None if self.node.durable => Some(Expiry::Never),
            // Messages that come while there is no connection are not to be missed.
            None if subscribes && self.link.guarantee == Guarantee::AtLeastOnce => {
                Some(Expiry::LinkDetach(SUBSCRIPTION_TIME))
            }
            None => None,
        };
    }

    /// Whether this end makes the node.
    pub(crate) fn creates(&self) -> bool {
        self.options.create.applies_to(self.role) || (self.address.is_temporary() && !self.node.dynamic)
    }

    /// Whether this end checks the node.
    pub(crate) fn asserts(&self) -> bool {
        self.options.assert.applies_to(self.role)
    }

    /// Whether this end deletes the node when the link closes.
    pub(crate) fn deletes(&self) -> bool {
        self.options.delete.applies_to(self.role)
    }

    /// Whether this end makes bindings.
    pub(crate) fn binds(&self) -> bool {
        !self.options.node.x_bindings.is_empty() || !self.options.link.x_bindings.is_empty()
    }

    /// Whether the address describes the node that is to be made beyond its kind.
    pub(crate) fn describes(&self) -> bool {
        let node = &self.options.node;
        node.durable == Some(true) || !node.x_declare.is_empty() || !node.properties.is_empty()
    }

    /// The name of the node; that of a dynamic one is not known before the broker tells it.
    pub(crate) fn name(&self) -> &str {
        self.node.address.as_deref().unwrap_or(&self.address.name)
    }

    /// The address by which another link can be made to the same node: that of the link, but for a `#name`, which is another
    /// node each time.
    pub(crate) fn reusable(&self, text: &str) -> String {
        match &self.node.address {
            Some(name) if self.address.is_temporary() => Address::new(name.as_str()).to_string(),
            _ => text.to_owned(),
        }
    }

    /// Whether the address says something of the queue that a subscription of an exchange has.
    pub(crate) fn describes_subscription(&self) -> bool {
        let link = &self.options.link;
        link.name.is_some() || !link.x_declare.is_empty() || !link.x_bindings.is_empty()
    }

    /// What the queue of a subscription is to be like.
    pub(crate) fn subscription_properties(&self) -> Fields {
        let link = &self.options.link;
        let mut properties = Map::default();
        put(&mut properties, "exclusive", true.into());
        if link.durable == Some(true) {
            put(&mut properties, "durable", true.into());
        } else {
            put(&mut properties, "auto-delete", true.into());
            if self.link.guarantee != Guarantee::AtMostOnce {
                let seconds = link.timeout.unwrap_or(SUBSCRIPTION_TIME).as_secs();
                put(&mut properties, "qpid.auto_delete_timeout", i64::try_from(seconds).unwrap_or(i64::MAX).into());
            }
        }
        queue_properties(&link.x_declare, properties)
    }

    /// The binding of a subscription by the address's subject, at an exchange of this kind.
    pub(crate) fn subject_binding(&self, queue: &str, exchange_type: &str) -> Binding {
        let (exchange, subject) = (self.name(), self.address.subject.as_deref());
        let binding = Binding::new(exchange, queue);
        match exchange_type {
            // Everything comes; the key tells bindings apart.
            "fanout" => binding.key(queue),
            "headers" => binding.key(subject.unwrap_or("match-all")).argument("x-match", "all"),
            "direct" => binding.key(subject.unwrap_or_default()),
            _ => binding.key(subject.unwrap_or("#")),
        }
    }

    /// A binding that the address gives; what it leaves out is taken from here.
    pub(crate) fn binding(&self, given: &postroad_address::Binding, exchange: &str, queue: &str) -> Binding {
        let or = |given: &Option<String>, otherwise: &str| given.clone().unwrap_or_else(|| otherwise.to_owned());
        let mut binding = Binding::new(or(&given.exchange, exchange), or(&given.queue, queue));
        binding.key = given.key.clone().or_else(|| self.address.subject.clone());
        binding.arguments = to_map(&given.arguments);
        binding
    }

    /// The source that the queue of a subscription is. The subject has become the key of its binding; what else filters does so
    /// at the queue.
    pub(crate) fn subscription_node(&self, queue: &str) -> Node {
        let filters = self.node.filters.iter().filter(|(name, _)| *name != SUBJECT).cloned().collect();
        let capabilities = vec![NodeType::Queue.as_str().to_owned()];
        Node { filters, capabilities, distribution: self.node.distribution, ..Node::at(queue) }
    }

    /// What the broker's refusal says of the address.
    pub(crate) fn refused(&self, error: AttachError) -> LinkError {
        let Some(report) = error.peer_error().cloned().map(Box::new) else { return error.into() };
        let name = self.name().to_owned();
        if report.condition == ErrorCondition::NOT_FOUND {
            let node_type = self.node_type.map(NodeType::as_str);
            LinkError::Address(AddressError::NotFound { name, node_type, report })
        } else if report.condition == ErrorCondition::UNAUTHORIZED_ACCESS {
            LinkError::Address(AddressError::Unauthorized { name, report })
        } else {
            error.into()
        }
    }

    /// There is no such node, as the broker's manager says.
    pub(crate) fn not_found(&self) -> AddressError {
        let node_type = self.node_type.map(NodeType::as_str);
        let report = PeerError::new(ErrorCondition::NOT_FOUND, format!("no {:?}", self.name()));
        AddressError::NotFound { name: self.name().to_owned(), node_type, report: Box::new(report) }
    }
}

/// The property of a link that is to be the only one to take messages.
pub(crate) const EXCLUSIVE: Symbol = Symbol::from_static("exclusive");

/// Whether a receiver is to be the only one of its node.
pub(crate) fn wants_exclusive(options: &Options) -> bool {
    let value = options.link.x_subscribe.get("exclusive");
    value.is_some_and(|value| {
        value.as_bool() == Some(true) || value.as_str().is_some_and(|word| word.eq_ignore_ascii_case("true"))
    })
}

/// A receiver of a topic, and one that only looks, is unreliable unless it says otherwise, as in the originals.
fn guarantee(options: &Options, role: Role, node_type: Option<NodeType>) -> Guarantee {
    let unreliable =
        role == Role::Receiver && (node_type == Some(NodeType::Topic) || options.mode == Some(Mode::Browse));
    match options.link.reliability {
        Some(Reliability::Unreliable | Reliability::AtMostOnce) => Guarantee::AtMostOnce,
        Some(Reliability::ExactlyOnce) => Guarantee::ExactlyOnce,
        None if unreliable => Guarantee::AtMostOnce,
        _ => Guarantee::AtLeastOnce,
    }
}

/// Refuses what would otherwise be dropped without a word, whatever the broker is.
fn refuse_unsupported(options: &Options, role: Role) -> Result<(), AddressError> {
    const NO_SUCH_THING: &str = "AMQP 1.0 has nothing for it";
    let (link, sends) = (&options.link, role == Role::Sender);
    let subscribe = link.x_subscribe.iter();
    let cases = [
        (!link.x_declare.is_empty() && sends, "link.x-declare", "a sender has no queue; use node: {x-declare: ..}"),
        (
            subscribe.clone().any(|(key, _)| key.as_str() != Some("exclusive"))
                || (sends && !link.x_subscribe.is_empty()),
            "link.x-subscribe",
            "of a receiver's, `exclusive` can be had; leave the rest out",
        ),
        (link.selector.is_some() && sends, "link.selector", "a selector is for receivers"),
        (!link.filters.is_empty() && sends, "link.filter", "a filter is for receivers"),
        (link.timeout.is_some_and(|timeout| timeout > MAX_TIMEOUT), "link.timeout", "give at most 4294967295 seconds"),
    ];
    match cases.into_iter().find(|(given, _, _)| *given) {
        Some((_, option, hint)) => Err(unsupported(option, NO_SUCH_THING, hint)),
        None => Ok(()),
    }
}

/// The standard counts seconds in 32 bits.
const MAX_TIMEOUT: Duration = Duration::from_secs(u32::MAX as u64);

pub(crate) fn unsupported(option: &'static str, reason: &'static str, hint: &'static str) -> AddressError {
    AddressError::Unsupported { option, reason, hint }
}

#[cfg(test)]
mod tests {
    use postroad_client::types::Value;

    use super::*;
    use crate::filters::SELECTOR;

    fn receiver(text: &str) -> Resolved {
        Resolved::new(text, Role::Receiver).unwrap()
    }

    fn sender(text: &str) -> Resolved {
        Resolved::new(text, Role::Sender).unwrap()
    }

    fn property<'a>(resolved: &'a Resolved, name: &str) -> Option<&'a Value> {
        resolved.node.properties.as_ref()?.0.get_str(name)
    }

    #[test]
    fn a_plain_name_asks_for_nothing() {
        let resolved = receiver("orders");
        assert_eq!(resolved.node, Node::at("orders"));
        assert_eq!((resolved.link.name.as_ref(), resolved.link.prefetch), (None, 0));
        assert_eq!(resolved.link.guarantee, Guarantee::AtLeastOnce);
    }

    #[test]
    fn create_asks_for_the_node_and_describes_it() {
        let resolved = sender("t; {create: sender, node: {type: topic, durable: True}}");
        assert_eq!(resolved.node.capabilities, ["create-on-demand", "topic"]);
        assert_eq!(property(&resolved, "supported-dist-modes"), Some(&Value::Symbol("copy".into())));
        assert_eq!(property(&resolved, "durable"), Some(&Value::Boolean(true)));
        let other_end = receiver("t; {create: sender, node: {type: topic, durable: True}}");
        assert_eq!((other_end.node.capabilities, other_end.node.properties), (vec!["topic".to_owned()], None));
    }

    #[test]
    fn subjects_and_selectors_become_filters_of_a_receiver() {
        let filter = |text: &str| receiver(text).node.filters;
        assert_eq!(filter("t/news"), [(SUBJECT, Value::described(0x468C_0000_0000_u64, "news"))]);
        assert_eq!(filter("t/news.*"), [(SUBJECT, Value::described(0x468C_0000_0001_u64, "news.*"))]);
        assert_eq!(filter("t/#"), [(SUBJECT, Value::described(0x468C_0000_0001_u64, "#"))]);
        assert_eq!(filter("q/news; {node: {type: queue}}"), []);
        assert_eq!(filter("t/''"), []);
        let selector = [(SELECTOR, Value::described(0x468C_0000_0004_u64, "a = 1"))];
        assert_eq!(filter("q; {link: {selector: 'a = 1'}}"), selector);
        assert_eq!(sender("t/news").node.filters, []);
    }

    #[test]
    fn what_the_cpp_client_has_for_the_node_and_the_link() {
        let text = "q; {create: always, node: {properties: {lifetime-policy: delete-if-empty, a: 1}, capabilities: [x]}, \
                    link: {sender-source: mine, receiver-target: ours, filter: [{name: f, descriptor: 5, value: [1]}, \
                    {name: g, descriptor: 'a:b', value: c}]}}";
        let resolved = receiver(text);
        assert_eq!(property(&resolved, "a"), Some(&Value::Long(1)));
        assert_eq!(property(&resolved, LIFETIME), Some(&lifetime(0x2d)));
        assert_eq!(resolved.node.capabilities, ["create-on-demand", "x"]);
        assert_eq!(resolved.link.own_address.as_deref(), Some("ours"));
        let of = |descriptor: Value, value: Value| Value::described(descriptor, value);
        let list = Value::List(vec![Value::Long(1)]);
        let filters =
            [("f".into(), of(Value::Ulong(5), list)), ("g".into(), of(Value::Symbol("a:b".into()), Value::from("c")))];
        assert_eq!(resolved.node.filters, filters);
        let error = Resolved::new(text, Role::Sender).unwrap_err();
        assert!(matches!(error, AddressError::Unsupported { option: "link.filter", .. }));
        assert_eq!(sender("q; {link: {sender-source: mine}}").link.own_address.as_deref(), Some("mine"));
    }

    #[test]
    fn reliability_depends_on_the_node_unless_it_is_given() {
        let of = |text: &str| receiver(text).link.guarantee;
        assert_eq!(of("q"), Guarantee::AtLeastOnce);
        assert_eq!(of("q; {mode: browse}"), Guarantee::AtMostOnce);
        assert_eq!(of("t; {node: {type: topic}}"), Guarantee::AtMostOnce);
        assert_eq!(of("t; {node: {type: topic}, link: {reliability: at-least-once}}"), Guarantee::AtLeastOnce);
        assert_eq!(of("q; {link: {reliability: unreliable}}"), Guarantee::AtMostOnce);
        assert_eq!(sender("t; {node: {type: topic}}").link.guarantee, Guarantee::AtLeastOnce);
    }

    #[test]
    fn a_durable_link_expires_when_it_says() {
        let resolved = receiver("q; {link: {name: mine, durable: True}}");
        assert_eq!((resolved.node.durable, resolved.node.expiry), (true, Some(Expiry::Never)));
        assert_eq!(resolved.link.name.as_deref(), Some("mine"));
        let resolved = receiver("q; {link: {durable: True, timeout: 30}}");
        assert_eq!(resolved.node.expiry, Some(Expiry::LinkDetach(Duration::from_secs(30))));
        let error = Resolved::new("q; {link: {timeout: 4294967296}}", Role::Receiver).unwrap_err();
        assert!(matches!(error, AddressError::Unsupported { option: "link.timeout", .. }));
    }

    #[test]
    fn temporary_nodes_are_made_by_the_broker_or_under_a_name_of_ours() {
        let dynamic = receiver("#");
        assert_eq!((dynamic.node.dynamic, dynamic.node.address.as_deref()), (true, None));
        let (one, two) = (receiver("#replies"), receiver("#replies"));
        assert_ne!(one.node.address, two.node.address);
        assert!(one.node.address.as_ref().unwrap().ends_with("#replies"));
        assert_eq!(one.node.capabilities, ["create-on-demand"]);
        for resolved in [dynamic, one] {
            assert_eq!(property(&resolved, LIFETIME), Some(&lifetime(DELETE_ON_CLOSE)));
        }
    }

    #[test]
    fn what_was_learned_changes_what_depends_on_it() {
        let mut resolved = receiver("t/news");
        assert_eq!((resolved.link.guarantee, resolved.node.filters.len()), (Guarantee::AtLeastOnce, 1));
        assert!(resolved.learn(NodeType::Topic));
        assert_eq!((resolved.link.guarantee, resolved.node.filters.len()), (Guarantee::AtMostOnce, 1));
        assert_eq!((resolved.node.expiry, resolved.node.capabilities.as_slice()), (None, &["topic".to_owned()][..]));
        assert!(resolved.learn(NodeType::Queue));
        assert_eq!((resolved.link.guarantee, resolved.node.filters.len()), (Guarantee::AtLeastOnce, 0));
        resolved.unlearn();
        assert_eq!((resolved.node_type, resolved.node.filters.len()), (None, 1));
        let mut told = receiver("t; {node: {type: queue}}");
        assert!(!told.learn(NodeType::Topic));
        assert_eq!(told.node_type, Some(NodeType::Queue));
        // Nothing else follows from it.
        assert!(!receiver("q").learn(NodeType::Queue));
        let mut reliable = receiver("t; {link: {reliability: at-least-once}}");
        assert!(reliable.learn(NodeType::Topic));
        assert_eq!(reliable.node.expiry, Some(Expiry::LinkDetach(SUBSCRIPTION_TIME)));
    }

    #[test]
    fn the_queue_of_a_subscription_is_as_reliable_as_its_link() {
        let queue = |text: &str| receiver(text).subscription_properties();
        let topic = |link: &str| format!("t; {{node: {{type: topic}}, link: {{name: n, {link}}}}}");
        let unreliable = queue(&topic(""));
        assert_eq!(unreliable.0.get_str("auto-delete"), Some(&Value::Boolean(true)));
        assert_eq!(unreliable.0.get_str("exclusive"), Some(&Value::Boolean(true)));
        assert_eq!(unreliable.0.get_str("qpid.auto_delete_timeout"), None);
        let reliable = queue(&topic("reliability: at-least-once"));
        assert_eq!(reliable.0.get_str("qpid.auto_delete_timeout"), Some(&Value::Long(120)));
        let reliable = queue(&topic("reliability: at-least-once, timeout: 7"));
        assert_eq!(reliable.0.get_str("qpid.auto_delete_timeout"), Some(&Value::Long(7)));
        let durable = queue(&topic("durable: True"));
        assert_eq!(
            (durable.0.get_str("durable"), durable.0.get_str("auto-delete")),
            (Some(&Value::Boolean(true)), None)
        );
        let others = queue(&topic("x-declare: {exclusive: False, arguments: {'qpid.max_count': 5}}"));
        assert_eq!(others.0.get_str("exclusive"), Some(&Value::Boolean(false)));
        assert_eq!(others.0.get_str("qpid.max_count"), Some(&Value::Long(5)));
        let source = receiver("t/news; {mode: browse, link: {name: n, selector: 'a = 1'}}").subscription_node("n");
        assert_eq!((source.address.as_deref(), source.is_browsed()), (Some("n"), true));
        assert_eq!(source.filters, [(SELECTOR, Value::described(0x468C_0000_0004_u64, "a = 1"))]);
    }

    #[test]
    fn what_a_binding_leaves_out_is_taken_from_the_address() {
        let resolved = receiver("t/news; {link: {x-bindings: [{queue: q, key: k, arguments: {a: 1}}, {}]}}");
        let given = &resolved.options.link.x_bindings;
        assert_eq!(resolved.binding(&given[0], "t", "mine"), Binding::new("t", "q").key("k").argument("a", 1_i64));
        assert_eq!(resolved.binding(&given[1], "t", "mine"), Binding::new("t", "mine").key("news"));
        let key = |text: &str, kind: &str| receiver(text).subject_binding("q", kind).key;
        assert_eq!(key("t/a.*", "topic").as_deref(), Some("a.*"));
        assert_eq!(key("t", "topic").as_deref(), Some("#"));
        assert_eq!(key("t/a", "direct").as_deref(), Some("a"));
        assert_eq!(key("t", "direct").as_deref(), Some(""));
        assert_eq!(key("t/a", "fanout").as_deref(), Some("q"));
        assert_eq!(key("t", "headers").as_deref(), Some("match-all"));
    }

    #[test]
    fn what_is_refused_names_its_option() {
        for (text, role, wanted) in [
            ("q; {link: {x-subscribe: {a: 1}}}", Role::Receiver, "link.x-subscribe"),
            ("q; {link: {x-subscribe: {exclusive: True}}}", Role::Sender, "link.x-subscribe"),
            ("q; {link: {x-declare: {a: 1}}}", Role::Sender, "link.x-declare"),
            ("q; {link: {selector: 'a = 1'}}", Role::Sender, "link.selector"),
        ] {
            let error = Resolved::new(text, role).unwrap_err();
            assert!(matches!(error, AddressError::Unsupported { option, .. } if option == wanted), "{error:?}");
        }
    }
}
