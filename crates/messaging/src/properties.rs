//! The properties of a node: what an address asks for, and what the broker tells of it.

use postroad_address::{NodeOptions, NodeType, OptionKey, OptionMap, OptionValue};
use postroad_client::types::{Fields, Map, Symbol, Value};

use crate::AddressError;
use crate::resolve::unsupported;

pub(crate) const LIFETIME: &str = "lifetime-policy";
const DIST_MODES: &str = "supported-dist-modes";
const AUTO_DELETE: &str = "auto-delete";
pub(crate) const DELETE_ON_CLOSE: u64 = 0x2b;
pub(crate) const DELETE_ON_NO_LINKS: u64 = 0x2c;

/// The node properties of the standard (part 3, 3.5.9), and those that Qpid's broker reads beside them.
pub(crate) fn node_properties(options: &NodeOptions) -> Fields {
    let mut properties = Map::default();
    if let Some(node_type) = options.node_type {
        let mode = match node_type {
            NodeType::Queue => "move",
            NodeType::Topic => "copy",
        };
        put(&mut properties, DIST_MODES, Value::Symbol(Symbol::from_static(mode)));
    }
    if let Some(durable) = options.durable {
        put(&mut properties, "durable", durable.into());
    }
    for (key, value) in options.properties.iter().chain(&options.x_declare) {
        declare(key, value, &mut properties);
    }
    Fields(properties)
}

/// The properties of a queue that is declared for a subscription, with what `x-declare` says.
pub(crate) fn queue_properties(given: &OptionMap, mut properties: Map) -> Fields {
    for (key, value) in given {
        declare(key, value, &mut properties);
    }
    Fields(properties)
}

/// Adds what one key of a declaration says.
fn declare(key: &OptionKey, value: &OptionValue, properties: &mut Map) {
    // The fields of the declaration may have underscores; what is the broker's own has its name.
    let plain = |key: &str| if key.contains('.') { key.to_owned() } else { key.replace('_', "-") };
    let Some(key) = key.as_str().map(plain) else { return };
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
        (LIFETIME, OptionValue::String(name)) => {
            let policy = match name.as_str() {
                "delete-on-close" => lifetime(DELETE_ON_CLOSE),
                "delete-if-unused" => lifetime(DELETE_ON_NO_LINKS),
                "delete-if-empty" => lifetime(0x2d),
                "delete-if-unused-and-empty" => lifetime(0x2e),
                other => other.into(),
            };
            put(properties, LIFETIME, policy);
        }
        (AUTO_DELETE, value) => {
            put(properties, AUTO_DELETE, to_value(value));
            // The standard's word for it, which other brokers know too.
            if value.as_bool() == Some(true) && properties.get_str(LIFETIME).is_none() {
                put(properties, LIFETIME, lifetime(DELETE_ON_NO_LINKS));
            }
        }
        (key, value) => put(properties, key, to_value(value)),
    }
}

/// Compares what an address says of a node with what the broker tells.
pub(crate) fn assert_properties(asked: &Fields, told: Option<&Fields>) -> Result<(), AddressError> {
    let also = |key: &Value| key.as_str() == Some(LIFETIME) && asked.0.get_str(AUTO_DELETE).is_some();
    // How an auto-delete node lives is told by one word or the other.
    for (key, wanted) in asked.0.iter().filter(|(key, _)| !also(key)) {
        let Some(told) = told else {
            return Err(unsupported(
                "assert",
                "the broker does not tell what the node is like",
                "assert no more than that the node is there",
            ));
        };
        let found = told.0.get(key);
        // Qpid's broker leaves out what is not so.
        if found.is_none() && as_bool(wanted) == Some(false) {
            continue;
        }
        if !found.is_some_and(|found| holds(key.as_str().unwrap_or_default(), wanted, found)) {
            let show = |value: Option<&Value>| match value {
                Some(value) => format!("{}: {}", key.as_str().unwrap_or_default(), shown(value)),
                None => format!("nothing of {}", key.as_str().unwrap_or_default()),
            };
            return Err(AddressError::AssertionFailed { expected: show(Some(wanted)), found: show(found) });
        }
    }
    Ok(())
}

/// Whether what is in force is what was wanted, however it is written.
fn holds(key: &str, wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (wanted, Value::List(several)) if key == DIST_MODES => several.iter().any(|found| same(wanted, found)),
        // Lifetimes are empty lists that differ by their descriptors alone.
        (Value::Described(wanted), Value::Described(found)) => {
            lifetime_code(&wanted.descriptor) == lifetime_code(&found.descriptor)
        }
        _ => same(wanted, found),
    }
}

fn same(wanted: &Value, found: &Value) -> bool {
    // Qpid's broker tells numbers as text.
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    if let (Some(wanted), Some(found)) = (number(wanted), number(found)) {
        return wanted == found;
    }
    match (as_bool(wanted), as_bool(found), wanted.as_str(), found.as_str()) {
        (Some(wanted), Some(found), ..) => wanted == found,
        // A string or a symbol.
        (.., Some(wanted), Some(found)) => wanted == found,
        _ => wanted == found,
    }
}

pub(crate) fn as_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(yes) => Some(*yes),
        // The original writes booleans as words now and then.
        Value::String(word) if word.eq_ignore_ascii_case("true") => Some(true),
        Value::String(word) if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn lifetime_code(descriptor: &Value) -> Option<u64> {
    const SYMBOLS: [(&str, u64); 4] = [
        ("amqp:delete-on-close:list", DELETE_ON_CLOSE),
        ("amqp:delete-on-no-links:list", DELETE_ON_NO_LINKS),
        ("amqp:delete-on-no-messages:list", 0x2d),
        ("amqp:delete-on-no-links-or-messages:list", 0x2e),
    ];
    match descriptor {
        Value::Ulong(code) => Some(*code),
        other => SYMBOLS.iter().find(|(symbol, _)| other.as_str() == Some(symbol)).map(|(_, code)| *code),
    }
}

fn shown(value: &Value) -> String {
    match (as_bool(value), value.as_str(), value.as_i64()) {
        (Some(yes), ..) => (if yes { "True" } else { "False" }).to_owned(),
        (_, Some(text), _) => text.to_owned(),
        (.., Some(number)) => number.to_string(),
        _ => format!("{value:?}"),
    }
}

pub(crate) fn lifetime(code: u64) -> Value {
    Value::described(code, Value::List(Vec::new()))
}

pub(crate) fn put(map: &mut Map, key: &str, value: Value) {
    let key = match Symbol::new(key.to_owned()) {
        Some(symbol) => Value::Symbol(symbol),
        None => Value::from(key),
    };
    map.insert(key, value);
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

pub(crate) fn to_map(map: &OptionMap) -> Map {
    let entries = map.iter().map(|(key, value)| (to_value(&key.clone().into()), to_value(value)));
    Map(entries.collect())
}

#[cfg(test)]
mod tests {
    use postroad_address::{Address, Role};

    use super::*;

    fn properties(text: &str) -> Fields {
        node_properties(&Address::parse(text).unwrap().validate_for(Role::Sender).unwrap().node)
    }

    fn told(entries: &[(&'static str, Value)]) -> Fields {
        Fields(entries.iter().map(|(key, value)| (Symbol::from_static(key), value.clone())).collect())
    }

    #[test]
    fn x_declare_becomes_node_properties() {
        let all = properties(
            "x; {create: always, node: {x-declare: {type: fanout, auto_delete: True, alternate-exchange: 'amq.fanout', \
             arguments: {'qpid.max_size': 1000, list: [1, a]}}}}",
        );
        let property = |name: &str| all.0.get_str(name);
        assert_eq!(property("exchange-type"), Some(&Value::from("fanout")));
        assert_eq!(property("auto-delete"), Some(&Value::Boolean(true)));
        assert_eq!(property(LIFETIME), Some(&lifetime(DELETE_ON_NO_LINKS)));
        assert_eq!(property("alternate-exchange"), Some(&Value::from("amq.fanout")));
        assert_eq!(property("qpid.max_size"), Some(&Value::Long(1000)));
        assert_eq!(property("list"), Some(&Value::List(vec![Value::Long(1), Value::from("a")])));
        let all = properties("x; {create: always, node: {x-declare: {'qpid.max_count': 5}}}");
        assert_eq!(all.0.get_str("qpid.max_count"), Some(&Value::Long(5)));
        let all = properties("x; {create: always, node: {x-declare: {lifetime-policy: delete-if-empty}}}");
        assert_eq!(all.0.get_str(LIFETIME), Some(&lifetime(0x2d)));
        // What is given counts before what follows.
        let all =
            properties("x; {node: {properties: {lifetime-policy: delete-on-close}, x-declare: {auto-delete: True}}}");
        assert_eq!(all.0.get_str(LIFETIME), Some(&lifetime(DELETE_ON_CLOSE)));
    }

    #[test]
    fn what_is_in_force_is_compared_however_it_is_written() {
        let asked =
            properties("x; {node: {type: queue, durable: False, x-declare: {arguments: {'qpid.max_count': 5}}}}");
        let modes = Value::List(vec![Value::Symbol("move".into()), Value::Symbol("copy".into())]);
        let full = told(&[
            ("supported-dist-modes", modes.clone()),
            ("durable", Value::Boolean(false)),
            ("qpid.max_count", Value::Uint(5)),
            ("more", Value::from(1)),
        ]);
        assert_eq!(assert_properties(&asked, Some(&full)), Ok(()));
        let durable = told(&[("supported-dist-modes", modes.clone()), ("durable", Value::Boolean(true))]);
        let error = assert_properties(&asked, Some(&durable)).unwrap_err();
        assert_eq!(error.to_string(), "expected durable: False, got durable: True");
        let silent = told(&[("supported-dist-modes", modes), ("durable", Value::Boolean(false))]);
        let error = assert_properties(&asked, Some(&silent)).unwrap_err();
        assert_eq!(error.to_string(), "expected qpid.max_count: 5, got nothing of qpid.max_count");
        assert!(matches!(assert_properties(&asked, None), Err(AddressError::Unsupported { option: "assert", .. })));
        assert_eq!(assert_properties(&properties("x"), None), Ok(()));

        let asked = properties("x; {node: {x-declare: {auto-delete: True}}}");
        assert_eq!(assert_properties(&asked, Some(&told(&[("auto-delete", Value::from("true"))]))), Ok(()));
        let asked = properties("x; {node: {x-declare: {lifetime-policy: delete-on-close}}}");
        let symbol = Value::described(Symbol::from_static("amqp:delete-on-close:list"), Value::List(Vec::new()));
        assert_eq!(assert_properties(&asked, Some(&told(&[(LIFETIME, symbol)]))), Ok(()));
        assert!(assert_properties(&asked, Some(&told(&[(LIFETIME, lifetime(DELETE_ON_NO_LINKS))]))).is_err());
    }
}
