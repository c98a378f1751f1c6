//! What an address becomes on AMQP 1.0: a terminus and the terms of a link.

use std::time::Duration;

use postroad_address::{Address, FilterDescriptor, Mode, NodeType, OptionMap, OptionValue, Options, Reliability, Role};
use postroad_client::types::{ErrorCondition, Fields, Map, Symbol, Value};
use postroad_client::{AttachError, Expiry, Guarantee, LinkOptions, Node};
use uuid::Uuid;

use crate::{AddressError, LinkError};

/// An address, and what it asks of the client.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) address: Address,
    pub(crate) node: Node,
    pub(crate) link: LinkOptions,
    node_type: Option<NodeType>,
}

/// The capability by which a link asks for its node to be made under the name that it gives.
const CREATE_ON_DEMAND: &str = "create-on-demand";

/// The filters that Qpid's brokers know, by their descriptors (the `apache.org` filters registered with OASIS):
/// `apache.org:legacy-amqp-direct-binding:string`, `apache.org:legacy-amqp-topic-binding:string` and
/// `apache.org:selector-filter:string`.
const DIRECT_BINDING: u64 = 0x0000_468C_0000_0000;
const TOPIC_BINDING: u64 = 0x0000_468C_0000_0001;
const SELECTOR_FILTER: u64 = 0x0000_468C_0000_0004;
const SELECTOR_FILTER_SYMBOL: &str = "apache.org:selector-filter:string";

const SUBJECT: Symbol = Symbol::from_static("subject-filter");
const SELECTOR: Symbol = Symbol::from_static("selector");

impl Resolved {
    /// Reads an address for one end of a link.
    pub(crate) fn new(text: &str, role: Role) -> Result<Self, AddressError> {
        let address = Address::parse(text)?;
        let options = address.validate_for(role)?;
        refuse_unsupported(&options, role)?;
        let mut node = node_at(&address, &options, role);
        if role == Role::Receiver {
            node.browse = options.mode == Some(Mode::Browse);
            node.filters = filters(&address, &options);
        }
        node.durable = options.link.durable == Some(true);
        node.expiry = match options.link.timeout {
            Some(timeout) => Some(Expiry::LinkDetach(timeout)),
            None => node.durable.then_some(Expiry::Never),
        };
        let mut link = LinkOptions::default();
        link.name.clone_from(&options.link.name);
        link.own_address.clone_from(match role {
            Role::Sender => &options.link.source,
            Role::Receiver => &options.link.target,
        });
        link.guarantee = guarantee(&options, role);
        link.prefetch = 0;
        Ok(Self { node_type: options.node.node_type, address, node, link })
    }

    /// What the broker's refusal says of the address.
    pub(crate) fn refused(&self, error: AttachError) -> LinkError {
        let Some(report) = error.peer_error().cloned().map(Box::new) else { return error.into() };
        let name = self.address.name.clone();
        if report.condition == ErrorCondition::NOT_FOUND {
            let node_type = self.node_type.map(NodeType::as_str);
            LinkError::Address(AddressError::NotFound { name, node_type, report })
        } else if report.condition == ErrorCondition::UNAUTHORIZED_ACCESS {
            LinkError::Address(AddressError::Unauthorized { name, report })
        } else {
            error.into()
        }
    }

    /// Compares what the broker attached with what changes which messages come. A filter that it does not apply is left
    /// out of its answer (AMQP 1.0 part 3, 3.5.3); a receiver would take messages that it was not meant to take.
    pub(crate) fn check(&self, remote: Option<&Node>) -> Result<(), AddressError> {
        let asked = self.node.filters.iter().any(|(name, _)| *name == SELECTOR);
        if asked && !remote.is_some_and(|remote| remote.filters.iter().any(|(_, filter)| is_selector(filter))) {
            return Err(unsupported(
                "link.selector",
                "the broker does not apply it",
                "leave the selector out and choose among the messages in the program",
            ));
        }
        Ok(())
    }
}

fn node_at(address: &Address, options: &Options, role: Role) -> Node {
    let mut node = Node::default();
    let mut create = options.create.applies_to(role);
    let mut properties = Map::default();
    match address.name.as_str() {
        "#" => node.dynamic = true,
        // A name of its own for each link, and a node that goes with it.
        name if address.is_temporary() => {
            node.address = Some(format!("{}{name}", Uuid::new_v4()));
            create = true;
        }
        name => node.address = Some(name.to_owned()),
    }
    node.capabilities.extend(create.then_some(CREATE_ON_DEMAND.to_owned()));
    node.capabilities.extend(options.node.node_type.map(|node_type| node_type.as_str().to_owned()));
    node.capabilities.extend(options.node.capabilities.iter().cloned());
    if create || node.dynamic {
        node_properties(options, &mut properties);
        if address.is_temporary() && properties.get_str(LIFETIME).is_none() {
            put(&mut properties, LIFETIME, lifetime(DELETE_ON_CLOSE));
        }
    }
    node.properties = (!properties.is_empty()).then_some(Fields(properties));
    node
}

const LIFETIME: &str = "lifetime-policy";
const DELETE_ON_CLOSE: u64 = 0x2b;
const DELETE_ON_NO_LINKS: u64 = 0x2c;

/// The node properties of the standard (part 3, 3.5.9), and those that Qpid's broker reads beside them.
fn node_properties(options: &Options, properties: &mut Map) {
    if let Some(node_type) = options.node.node_type {
        let mode = match node_type {
            NodeType::Queue => "move",
            NodeType::Topic => "copy",
        };
        put(properties, "supported-dist-modes", Value::Symbol(Symbol::from_static(mode)));
    }
    if options.node.durable == Some(true) {
        put(properties, "durable", true.into());
    }
    for (key, value) in options.node.properties.iter().chain(&options.node.x_declare) {
        let Some(key) = key.as_str().map(|key| key.replace('_', "-")) else { continue };
        match (key.as_str(), value) {
            // The 0-10 declaration keeps what is the broker's own in a map of its own.
            ("arguments", OptionValue::Map(arguments)) => {
                for (key, value) in arguments {
                    if let Some(key) = key.as_str() {
                        put(properties, key, to_value(value));
                    }
                }
            }
            ("type", value) => put(properties, "exchange-type", to_value(value)),
            ("lifetime-policy", OptionValue::String(name)) => {
                let policy = match name.as_str() {
                    "delete-on-close" => lifetime(DELETE_ON_CLOSE),
                    "delete-if-unused" => lifetime(DELETE_ON_NO_LINKS),
                    "delete-if-empty" => lifetime(0x2d),
                    "delete-if-unused-and-empty" => lifetime(0x2e),
                    other => other.into(),
                };
                put(properties, LIFETIME, policy);
            }
            ("auto-delete", value) => {
                put(properties, "auto-delete", to_value(value));
                // The standard's word for it, which other brokers know too.
                if value.as_bool() == Some(true) && properties.get_str(LIFETIME).is_none() {
                    put(properties, LIFETIME, lifetime(DELETE_ON_NO_LINKS));
                }
            }
            (key, value) => put(properties, key, to_value(value)),
        }
    }
}

fn lifetime(code: u64) -> Value {
    Value::described(code, Value::List(Vec::new()))
}

fn put(map: &mut Map, key: &str, value: Value) {
    let key = match Symbol::new(key.to_owned()) {
        Some(symbol) => Value::Symbol(symbol),
        None => Value::from(key),
    };
    match map.0.iter_mut().find(|(there, _)| *there == key) {
        Some((_, old)) => *old = value,
        None => map.0.push((key, value)),
    }
}

pub(crate) fn to_value(value: &OptionValue) -> Value {
    match value {
        OptionValue::Bool(value) => (*value).into(),
        OptionValue::Int(value) => (*value).into(),
        OptionValue::Float(value) => value.get().into(),
        OptionValue::String(text) => text.as_str().into(),
        OptionValue::List(items) => Value::List(items.iter().map(to_value).collect()),
        OptionValue::Map(map) => to_map(map).into(),
        _ => Value::Null,
    }
}

fn to_map(map: &OptionMap) -> Map {
    let entries = map.iter().map(|(key, value)| (to_value(&key.clone().into()), to_value(value)));
    Map(entries.collect())
}

fn filters(address: &Address, options: &Options) -> Vec<(Symbol, Value)> {
    let mut filters = Vec::new();
    if let Some(selector) = &options.link.selector {
        filters.push((SELECTOR, Value::described(SELECTOR_FILTER, selector.as_str())));
    }
    filters.extend(options.link.filters.iter().filter_map(|filter| {
        let descriptor = match &filter.descriptor {
            FilterDescriptor::Code(code) => Value::Ulong(*code),
            FilterDescriptor::Symbol(symbol) => Value::Symbol(Symbol::new(symbol.clone())?),
            _ => return None,
        };
        Some((Symbol::new(filter.name.clone())?, Value::described(descriptor, to_value(&filter.value))))
    }));
    // Subjects choose among the messages of a topic. With those of a queue the original does not filter.
    let subject = address.subject.as_deref().filter(|subject| !subject.is_empty());
    if let Some(subject) = subject.filter(|_| options.node.node_type != Some(NodeType::Queue)) {
        let binding = if subject.contains(['*', '#']) { TOPIC_BINDING } else { DIRECT_BINDING };
        filters.push((SUBJECT, Value::described(binding, subject)));
    }
    filters
}

fn is_selector(filter: &Value) -> bool {
    let Value::Described(described) = filter else { return false };
    match &described.descriptor {
        Value::Ulong(code) => *code == SELECTOR_FILTER,
        descriptor => descriptor.as_str() == Some(SELECTOR_FILTER_SYMBOL),
    }
}

/// A receiver of a topic, and one that only looks, is unreliable unless it says otherwise, as in the originals.
fn guarantee(options: &Options, role: Role) -> Guarantee {
    let unreliable = role == Role::Receiver
        && (options.node.node_type == Some(NodeType::Topic) || options.mode == Some(Mode::Browse));
    match options.link.reliability {
        Some(Reliability::Unreliable | Reliability::AtMostOnce) => Guarantee::AtMostOnce,
        Some(Reliability::ExactlyOnce) => Guarantee::ExactlyOnce,
        None if unreliable => Guarantee::AtMostOnce,
        _ => Guarantee::AtLeastOnce,
    }
}

/// Refuses what would otherwise be dropped without a word.
fn refuse_unsupported(options: &Options, role: Role) -> Result<(), AddressError> {
    const NO_SUCH_THING: &str = "AMQP 1.0 has nothing for it";
    const BIND: &str = "make the binding at the broker";
    let link = &options.link;
    let cases = [
        (
            options.delete.applies_to(role),
            "delete",
            "a node that lives as long as its links goes by itself: node: {x-declare: {auto-delete: True}}",
        ),
        (options.assert.applies_to(role), "assert", "leave it out; a link to a node that is not there fails anyway"),
        (!options.node.x_bindings.is_empty(), "node.x-bindings", BIND),
        (!link.x_bindings.is_empty(), "link.x-bindings", BIND),
        (!link.x_declare.is_empty(), "link.x-declare", "declare the queue at the broker, or use node: {x-declare: ..}"),
        (!link.x_subscribe.is_empty(), "link.x-subscribe", "leave it out"),
        (link.selector.is_some() && role == Role::Sender, "link.selector", "a selector is for receivers"),
        (!link.filters.is_empty() && role == Role::Sender, "link.filter", "a filter is for receivers"),
        (link.timeout.is_some_and(|timeout| timeout > MAX_TIMEOUT), "link.timeout", "give at most 4294967295 seconds"),
    ];
    match cases.into_iter().find(|(given, _, _)| *given) {
        Some((_, option, hint)) => Err(unsupported(option, NO_SUCH_THING, hint)),
        None => Ok(()),
    }
}

/// The standard counts seconds in 32 bits.
const MAX_TIMEOUT: Duration = Duration::from_secs(u32::MAX as u64);

fn unsupported(option: &'static str, reason: &'static str, hint: &'static str) -> AddressError {
    AddressError::Unsupported { option, reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn x_declare_becomes_node_properties() {
        let resolved = sender(
            "x; {create: always, node: {x-declare: {type: fanout, auto_delete: True, alternate-exchange: 'amq.fanout', \
             arguments: {'qpid.max_size': 1000, list: [1, a]}}}}",
        );
        assert_eq!(property(&resolved, "exchange-type"), Some(&Value::from("fanout")));
        assert_eq!(property(&resolved, "auto-delete"), Some(&Value::Boolean(true)));
        assert_eq!(property(&resolved, LIFETIME), Some(&lifetime(DELETE_ON_NO_LINKS)));
        assert_eq!(property(&resolved, "alternate-exchange"), Some(&Value::from("amq.fanout")));
        assert_eq!(property(&resolved, "qpid.max_size"), Some(&Value::Long(1000)));
        assert_eq!(property(&resolved, "list"), Some(&Value::List(vec![Value::Long(1), Value::from("a")])));
        let resolved = sender("x; {create: always, node: {x-declare: {lifetime-policy: delete-if-empty}}}");
        assert_eq!(property(&resolved, LIFETIME), Some(&lifetime(0x2d)));
    }

    #[test]
    fn subjects_and_selectors_become_filters_of_a_receiver() {
        let filter = |text: &str| receiver(text).node.filters;
        assert_eq!(filter("t/news"), [(SUBJECT, Value::described(0x468C_0000_0000_u64, "news"))]);
        assert_eq!(filter("t/news.*"), [(SUBJECT, Value::described(0x468C_0000_0001_u64, "news.*"))]);
        assert_eq!(filter("t/#"), [(SUBJECT, Value::described(0x468C_0000_0001_u64, "#"))]);
        assert_eq!(filter("q/news; {node: {type: queue}}"), []);
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
    fn a_selector_counts_as_applied_when_it_is_told_back() {
        let resolved = receiver("q; {link: {selector: 'a = 1'}}");
        let told_back = |descriptor: Value| Node {
            filters: vec![("any-name".into(), Value::described(descriptor, "a = 1"))],
            ..Node::default()
        };
        assert_eq!(resolved.check(Some(&told_back(Value::Ulong(SELECTOR_FILTER)))), Ok(()));
        assert_eq!(resolved.check(Some(&told_back(Value::Symbol(SELECTOR_FILTER_SYMBOL.into())))), Ok(()));
        assert!(resolved.check(Some(&told_back(Value::Ulong(TOPIC_BINDING)))).is_err());
        assert!(resolved.check(Some(&Node::default())).is_err());
        assert!(resolved.check(None).is_err());
        assert_eq!(receiver("q/news").check(None), Ok(()));
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
    fn what_is_refused_names_its_option() {
        for (text, wanted) in [
            ("q; {delete: always}", "delete"),
            ("q; {assert: receiver}", "assert"),
            ("q; {node: {x-bindings: [{key: a}]}}", "node.x-bindings"),
            ("q; {link: {x-bindings: [{key: a}]}}", "link.x-bindings"),
            ("q; {link: {x-declare: {a: 1}}}", "link.x-declare"),
            ("q; {link: {x-subscribe: {a: 1}}}", "link.x-subscribe"),
        ] {
            let error = Resolved::new(text, Role::Receiver).unwrap_err();
            assert!(matches!(error, AddressError::Unsupported { option, .. } if option == wanted), "{error:?}");
        }
    }
}
