//! What is asked for a node that is to be made, under keys that all protocols share: the node properties of AMQP 1.0
//! (part 3, 3.5.9), the fields of a declare in AMQP 0-10, and the arguments of Apache Qpid.

use std::sync::Arc;

use postroad_codec::v1_0::{ByteString, Fields, Map, NodeProperties, Symbol, Value};

use crate::exchange::ExchangeKind;
use crate::node::{Kind, Lifetime, Node};
use crate::node_error::{Fault, NodeError};
use crate::settings::QueueSettings;

/// Everything that is asked for, each of the right type.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Declaration {
    /// Of an exchange.
    pub(crate) exchange_kind: Option<ExchangeKind>,
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) auto_delete: bool,
    /// Of a queue.
    pub(crate) exclusive: bool,
    pub(crate) alternate_exchange: Option<ByteString>,
    /// Of a queue.
    pub(crate) settings: QueueSettings,
    /// The keys that were given, each once.
    asked: Vec<Key>,
    /// Why no node can be made so: something is asked for that the broker does not have.
    refusal: Option<NodeError>,
}

/// A key, and what it was called where its name is not all that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Modes,
    Durable,
    Lifetime,
    AutoDelete,
    Exclusive,
    AlternateExchange,
    ExchangeType,
    Setting(Box<str>),
}

/// The lifetime policies with their descriptors (3.5.10 to 3.5.13).
const LIFETIMES: [(u64, &str, Lifetime); 4] = [
    (0x2b, "amqp:delete-on-close:list", Lifetime::Close),
    (0x2c, "amqp:delete-on-no-links:list", Lifetime::NoLinks),
    (0x2d, "amqp:delete-on-no-messages:list", Lifetime::NoMessages),
    (0x2e, "amqp:delete-on-no-links-or-messages:list", Lifetime::NoLinksOrMessages),
];

const MODES: &str = "supported-dist-modes";

/// Keys that begin so are for others than the broker.
const NOT_OURS: &str = "x-";

impl Declaration {
    /// One that asks for nothing.
    pub(crate) fn of_exchange(kind: ExchangeKind) -> Self {
        Self { exchange_kind: Some(kind), ..Self::default() }
    }

    /// Whether it says that the node is not to be deleted by itself.
    pub(crate) fn stays(&self) -> bool {
        self.asked.contains(&Key::AutoDelete) && !self.auto_delete
    }

    /// Refuses what no node can be. One that is there already is what it is.
    pub(crate) fn check(&self) -> Result<(), NodeError> {
        self.refusal.clone().map_or(Ok(()), Err)?;
        Ok(self.settings.validate()?)
    }

    /// Reads what is asked for a node of a kind. A null asks for nothing.
    ///
    /// What is well-formed and cannot be had is refused by [`Declaration::check`]. Of an exchange `exclusive` means
    /// nothing, of a queue `exchange-type`; both are left out of account, as clients give them to either.
    pub(crate) fn read(properties: &Map, kind: Kind) -> Result<Self, NodeError> {
        let mut read = Self::default();
        for (key, value) in properties {
            let Some(name) = key.as_str() else {
                return Err(NodeError::invalid(format!("the key {key:?} of a property is no symbol")));
            };
            if *value != Value::Null {
                read.set(name, value, kind)?;
            }
        }
        if kind == Kind::Exchange {
            read.exchange_kind = read.exchange_kind.or(Some(ExchangeKind::Topic));
        }
        Ok(read)
    }

    fn set(&mut self, name: &str, value: &Value, kind: Kind) -> Result<(), NodeError> {
        let key = match name {
            MODES => {
                modes(value)?;
                Key::Modes
            }
            "durable" => {
                if boolean(name, value)? {
                    self.refuse("nothing durable: the broker has no store configured");
                }
                Key::Durable
            }
            "lifetime-policy" => {
                self.lifetime = Some(lifetime(value)?);
                Key::Lifetime
            }
            "auto-delete" => {
                self.auto_delete = boolean(name, value)?;
                Key::AutoDelete
            }
            "exclusive" => {
                let exclusive = boolean(name, value)?;
                if kind == Kind::Exchange {
                    return Ok(());
                }
                self.exclusive = exclusive;
                Key::Exclusive
            }
            "alternate-exchange" => {
                let alternate = text(name, value)?;
                self.alternate_exchange = (!alternate.is_empty()).then(|| alternate.into());
                Key::AlternateExchange
            }
            "exchange-type" => {
                let asked = text(name, value)?;
                if kind == Kind::Queue {
                    return Ok(());
                }
                let known = ExchangeKind::of_name(asked);
                self.exchange_kind = Some(known.ok_or_else(|| {
                    NodeError::invalid(format!("{name} {asked:?}: direct, topic, fanout and headers are known"))
                })?);
                Key::ExchangeType
            }
            name if kind == Kind::Queue && self.set_setting(name, value)? => Key::Setting(name.into()),
            name if name.starts_with(NOT_OURS) => return Ok(()),
            name => {
                let what = if kind == Kind::Queue { "a queue" } else { "an exchange" };
                self.refuse(format!("{name:?} is not known for {what}"));
                return Ok(());
            }
        };
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        Ok(())
    }

    /// Sets what queues have settings for; `false`: there is none of this name.
    fn set_setting(&mut self, name: &str, value: &Value) -> Result<bool, NodeError> {
        match self.settings.set(name, value).map_err(NodeError::from) {
            Err(error) if error.fault == Fault::NotImplemented => {
                self.refusal.get_or_insert(error);
                Ok(true)
            }
            set => set,
        }
    }

    fn refuse(&mut self, text: impl Into<String>) {
        self.refusal.get_or_insert_with(|| NodeError::new(Fault::NotImplemented, text));
    }

    /// What is in force at a node for the keys that were given, and for those that an answer has in any case.
    pub(crate) fn in_force(&self, node: &Node) -> NodeProperties {
        let mut fields = Fields::default();
        let mut asked = self.asked.clone();
        for key in [Key::Modes, Key::Lifetime] {
            if !asked.contains(&key) {
                asked.push(key);
            }
        }
        for key in asked {
            if let (Some(name), Some(value)) = (Symbol::new(key.name()), key.in_force(node)) {
                fields.0.insert(Value::Symbol(name), value);
            }
        }
        NodeProperties(fields)
    }

    /// Says which key of those that were given a node does not have as it was asked for.
    pub(crate) fn difference(&self, node: &Node) -> Option<String> {
        let declared = &node.declared;
        let differs = |key: &&Key| match key {
            // What a node can do is no matter of choice.
            Key::Modes | Key::Durable => false,
            Key::Lifetime => declared.lifetime != self.lifetime,
            Key::AutoDelete => declared.auto_delete != self.auto_delete,
            Key::Exclusive => declared.owner.is_some() != self.exclusive,
            Key::AlternateExchange => declared.alternate_name() != self.alternate_exchange.as_deref(),
            Key::ExchangeType => node.exchange_kind != self.exchange_kind,
            Key::Setting(name) => node.options.queue.get(name) != self.settings.get(name),
        };
        let key = self.asked.iter().find(differs)?;
        Some(match key.in_force(node) {
            Some(Value::Described(_)) | None => format!("{} is otherwise", key.name()),
            Some(value) => format!("{} is {}", key.name(), plain(&value)),
        })
    }
}

/// Everything that is in force at a node, by key.
pub(crate) fn describe(node: &Node) -> Map {
    let own = match node.kind {
        Kind::Queue => Key::Exclusive,
        Kind::Exchange => Key::ExchangeType,
    };
    let keys = [Key::Modes, Key::Durable, Key::AutoDelete, Key::Lifetime, own, Key::AlternateExchange];
    let mut map = Map::default();
    map.insert("name", node.name.clone());
    for key in keys {
        if let Some(value) = key.in_force(node) {
            map.insert(key.name(), value);
        }
    }
    if node.kind == Kind::Queue {
        for (key, value) in node.options.queue.all() {
            map.insert(key, value);
        }
    }
    map
}

/// What a node was declared as, and is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declared {
    pub(crate) lifetime: Option<Lifetime>,
    /// A queue goes with its last consumer, an exchange with its last binding.
    pub(crate) auto_delete: bool,
    /// Whose the queue is, and nobody else's.
    pub(crate) owner: Option<Owner>,
    /// Where messages go that are rejected or left here, or that no binding is for.
    pub(crate) alternate: Option<Arc<Node>>,
    /// How many exchanges follow each other from here, each the alternate exchange of the one before.
    pub(crate) detours: usize,
}

/// A client as the model knows it: a container of a user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) user: ByteString,
    pub(crate) container: ByteString,
}

impl Declared {
    fn alternate_name(&self) -> Option<&str> {
        self.alternate.as_ref().map(|node| &*node.name)
    }
}

impl Key {
    fn name(&self) -> &str {
        match self {
            Self::Modes => MODES,
            Self::Durable => "durable",
            Self::Lifetime => "lifetime-policy",
            Self::AutoDelete => "auto-delete",
            Self::Exclusive => "exclusive",
            Self::AlternateExchange => "alternate-exchange",
            Self::ExchangeType => "exchange-type",
            Self::Setting(name) => name,
        }
    }

    /// Its value at a node; `None` where there is none.
    fn in_force(&self, node: &Node) -> Option<Value> {
        let declared = &node.declared;
        match self {
            Self::Modes => {
                let modes: &[&'static str] = match node.kind {
                    Kind::Queue => &["move", "copy"],
                    Kind::Exchange => &["copy"],
                };
                let modes = modes.iter().map(|mode| Value::Symbol(Symbol::from_static(mode)));
                Some(Value::List(modes.collect()))
            }
            Self::Durable => Some(Value::Boolean(false)),
            Self::Lifetime => {
                let (code, _, _) = LIFETIMES.iter().find(|(_, _, known)| Some(*known) == declared.lifetime)?;
                Some(Value::described(Value::Ulong(*code), Value::List(Vec::new())))
            }
            Self::AutoDelete => Some(Value::Boolean(declared.auto_delete)),
            Self::Exclusive => Some(Value::Boolean(declared.owner.is_some())),
            Self::AlternateExchange => declared.alternate_name().map(Value::from),
            Self::ExchangeType => node.exchange_kind.map(|kind| Value::from(kind.name())),
            Self::Setting(name) => node.options.queue.get(name),
        }
    }
}

/// The one mode that is asked for, where it is one.
pub(crate) fn only_mode(properties: &Map) -> Option<&str> {
    match several(properties.get_str(MODES)?) {
        [mode] => mode.as_str(),
        _ => None,
    }
}

/// The values of a list or an array; any other is one.
fn several(value: &Value) -> &[Value] {
    match value {
        Value::List(values) => values,
        Value::Array(array) => array.elements(),
        one => std::slice::from_ref(one),
    }
}

fn modes(value: &Value) -> Result<(), NodeError> {
    let good = several(value).iter().all(|mode| matches!(mode.as_str(), Some("move" | "copy")));
    if good { Ok(()) } else { Err(NodeError::invalid(format!("{MODES}: move and copy are known"))) }
}

/// A boolean, or the text of one: clients write that too.
fn boolean(name: &str, value: &Value) -> Result<bool, NodeError> {
    match (value, value.as_str()) {
        (Value::Boolean(yes), _) => Ok(*yes),
        (_, Some("true" | "True")) => Ok(true),
        (_, Some("false" | "False")) => Ok(false),
        _ => Err(NodeError::invalid(format!("{name}: a boolean is due"))),
    }
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, NodeError> {
    value.as_str().ok_or_else(|| NodeError::invalid(format!("{name}: a string is due")))
}

fn lifetime(value: &Value) -> Result<Lifetime, NodeError> {
    let descriptor = match value {
        Value::Described(described) => &described.descriptor,
        other => other,
    };
    let found = LIFETIMES.iter().find(|(code, symbol, _)| match descriptor {
        Value::Ulong(asked) => asked == code,
        other => other.as_str() == Some(symbol),
    });
    let found = found.ok_or_else(|| NodeError::invalid("lifetime-policy: none of the standard's"))?;
    Ok(found.2)
}

fn plain(value: &Value) -> String {
    match (value, value.as_str(), value.as_i64()) {
        (Value::Boolean(yes), _, _) => yes.to_string(),
        (_, Some(text), _) => format!("{text:?}"),
        (_, _, Some(number)) => number.to_string(),
        (value, _, _) => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use postroad_codec::v1_0::{Array, ValueType};

    use super::*;

    fn properties(entries: &[(&'static str, Value)]) -> Map {
        entries.iter().map(|(key, value)| (Value::Symbol((*key).into()), value.clone())).collect()
    }

    fn modes_in_an_array(modes: &[&'static str]) -> Value {
        let modes = modes.iter().map(|mode| Value::Symbol((*mode).into())).collect();
        Value::Array(Box::new(Array::new(ValueType::Symbol, modes).unwrap()))
    }

    #[test]
    fn one_mode_says_what_is_meant() {
        for (modes, only) in [
            (Value::from("copy"), Some("copy")),
            (Value::List(vec!["move".into()]), Some("move")),
            (modes_in_an_array(&["copy"]), Some("copy")),
            (modes_in_an_array(&["move", "copy"]), None),
            (Value::List(vec![]), None),
        ] {
            assert_eq!(only_mode(&properties(&[("supported-dist-modes", modes)])), only);
        }
    }

    #[test]
    fn every_key_has_its_type() {
        for (key, good, wrong) in [
            ("supported-dist-modes", Value::from("move"), Value::from("fly")),
            ("supported-dist-modes", Value::List(vec!["copy".into()]), Value::List(vec![Value::Int(1)])),
            ("supported-dist-modes", modes_in_an_array(&["move", "copy"]), modes_in_an_array(&["fly"])),
            ("durable", false.into(), Value::Int(0)),
            ("auto-delete", "True".into(), "yes".into()),
            ("exclusive", "false".into(), Value::List(vec![])),
            ("alternate-exchange", "amq.fanout".into(), Value::Boolean(true)),
            ("lifetime-policy", Value::described(0x2bu64, Value::List(vec![])), Value::Ulong(1)),
            ("lifetime-policy", Value::Symbol("amqp:delete-on-no-links:list".into()), "soon".into()),
            ("qpid.max_count", Value::Int(7), Value::Int(-1)),
            ("qpid.max_size", "7".into(), "many".into()),
            ("exchange-type", "fanout".into(), Value::Int(1)),
        ] {
            Declaration::read(&properties(&[(key, good)]), Kind::Queue).unwrap();
            Declaration::read(&properties(&[(key, Value::Null)]), Kind::Queue).unwrap();
            let error = Declaration::read(&properties(&[(key, wrong)]), Kind::Queue).unwrap_err();
            assert_eq!(error.fault, Fault::Invalid, "{key}");
            assert!(error.text.contains(key), "{}", error.text);
        }
        let not_text: Map = [(Value::Int(1), Value::Null)].into_iter().collect();
        assert_eq!(Declaration::read(&not_text, Kind::Queue).unwrap_err().fault, Fault::Invalid);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (key, kind) in [
            ("qpid.priorities.of_what", Kind::Queue),
            ("anything", Kind::Queue),
            ("qpid.max_count", Kind::Exchange),
            ("qpid.msg_sequence", Kind::Exchange),
        ] {
            let error = Declaration::read(&properties(&[(key, Value::Int(1))]), kind).unwrap().check().unwrap_err();
            assert_eq!(error.fault, Fault::NotImplemented);
            assert!(error.text.contains(key));
        }
        let durable = Declaration::read(&properties(&[("durable", true.into())]), Kind::Queue);
        assert_eq!(durable.unwrap().check().unwrap_err().fault, Fault::NotImplemented);
        Declaration::read(&properties(&[("x-mine", Value::Int(1))]), Kind::Queue).unwrap();
    }

    #[test]
    fn the_type_of_an_exchange_is_known_or_topic() {
        let kind = |value: Value| Declaration::read(&properties(&[("exchange-type", value)]), Kind::Exchange);
        assert_eq!(kind("headers".into()).unwrap().exchange_kind, Some(ExchangeKind::Headers));
        assert_eq!(kind(Value::Null).unwrap().exchange_kind, Some(ExchangeKind::Topic));
        assert_eq!(kind("xml".into()).unwrap_err().fault, Fault::Invalid);
        let exclusive = properties(&[("exclusive", true.into())]);
        assert!(!Declaration::read(&exclusive, Kind::Exchange).unwrap().exclusive);
        assert!(Declaration::read(&exclusive, Kind::Queue).unwrap().exclusive);
    }
}
