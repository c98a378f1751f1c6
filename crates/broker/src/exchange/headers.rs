//! The bindings of a headers exchange, and what they are matched against.

use std::collections::HashMap;

use postroad_codec::v1_0::{Map, Value, ValueRef};

use super::Routed;
use crate::node_error::NodeError;
use crate::properties;

/// What the arguments of a binding ask of a message's application properties.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeaderMatch {
    any: bool,
    /// Without a value the property has to be there, whatever it is.
    wants: Vec<(Box<str>, Option<Value>)>,
}

/// `all` (the default) or `any`.
const X_MATCH: &str = "x-match";

/// Stands for the message's subject where the application properties have none of that name.
const SUBJECT: &str = "qpid.subject";

impl HeaderMatch {
    /// Reads the arguments of a binding. Keys that begin with `x-` name no property.
    pub(super) fn read(arguments: &Map) -> Result<Self, NodeError> {
        let any = match arguments.get_str(X_MATCH) {
            None => false,
            Some(mode) => match mode.as_str() {
                Some("all") => false,
                Some("any") => true,
                _ => return Err(NodeError::invalid(format!("x-match is {mode:?}: all and any are known"))),
            },
        };
        let mut wants = Vec::new();
        for (key, value) in arguments {
            let Some(name) = key.as_str() else {
                return Err(NodeError::invalid(format!("the key {key:?} of an argument is no string")));
            };
            if name.starts_with("x-") {
                continue;
            }
            let value = match value {
                Value::Null => None,
                Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_) => {
                    return Err(NodeError::invalid(format!("the argument {name:?} is no simple value")));
                }
                value => Some(value.clone()),
            };
            wants.push((name.into(), value));
        }
        Ok(Self { any, wants })
    }

    /// How many properties it asks for.
    pub(super) fn len(&self) -> usize {
        self.wants.len()
    }

    /// Whether every message matches.
    pub(super) fn takes_all(&self) -> bool {
        !self.any && self.wants.is_empty()
    }

    pub(super) fn matches(&self, headers: &Headers<'_>) -> bool {
        let mut matches = self.wants.iter().map(|(name, want)| {
            headers.get(name).is_some_and(|has| want.as_ref().is_none_or(|want| is_same(want, &has)))
        });
        if self.any { matches.any(|yes| yes) } else { matches.all(|yes| yes) }
    }
}

/// The application properties of a message, by name.
#[derive(Debug)]
pub(super) struct Headers<'a> {
    by_name: HashMap<&'a str, ValueRef<'a>>,
    subject: Option<&'a str>,
}

impl<'a> Headers<'a> {
    /// What cannot be read has none.
    pub(super) fn of(routed: &'a Routed) -> Self {
        let mut by_name = HashMap::new();
        for (name, value) in properties::entries(routed.headers()) {
            by_name.entry(name).or_insert(value);
        }
        Self { by_name, subject: routed.subject() }
    }

    fn get(&self, name: &str) -> Option<ValueRef<'a>> {
        let found = self.by_name.get(name).copied();
        found.or_else(|| if name == SUBJECT { self.subject.map(ValueRef::String) } else { None })
    }
}

/// Whether two values are the same, however wide their numbers are, and whether text is a string or a symbol.
fn is_same(want: &Value, has: &ValueRef<'_>) -> bool {
    if let (Some(want), Some(has)) = (want.as_str(), has.as_str()) {
        return want == has;
    }
    let has = match (want, has) {
        (Value::Binary(want), ValueRef::Binary(has)) => return *want == *has,
        // No argument is one of these, and nobody reads or copies what may be large.
        (_, ValueRef::Binary(_) | ValueRef::String(_) | ValueRef::Symbol(_) | ValueRef::Encoded(_)) => return false,
        (_, has) => has.to_value(),
    };
    let Ok(has) = has else { return false };
    match (number(want), number(&has)) {
        (Some(want), Some(has)) => want == has,
        _ => *want == has,
    }
}

/// A number, whole or not.
#[derive(Debug, PartialEq)]
enum Number {
    Whole(i128),
    Real(f64),
}

fn number(value: &Value) -> Option<Number> {
    Some(match *value {
        Value::Ubyte(number) => Number::Whole(number.into()),
        Value::Ushort(number) => Number::Whole(number.into()),
        Value::Uint(number) => Number::Whole(number.into()),
        Value::Ulong(number) => Number::Whole(number.into()),
        Value::Byte(number) => Number::Whole(number.into()),
        Value::Short(number) => Number::Whole(number.into()),
        Value::Int(number) => Number::Whole(number.into()),
        Value::Long(number) => Number::Whole(number.into()),
        Value::Float(number) => Number::Real(number.into()),
        Value::Double(number) => Number::Real(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use postroad_codec::v1_0::{ApplicationProperties, Message, MessageFormat, Properties};

    use super::*;
    use crate::message::Held;

    fn arguments(entries: &[(&'static str, Value)]) -> Map {
        entries.iter().map(|(key, value)| (Value::from(*key), value.clone())).collect()
    }

    fn matches(wants: &[(&'static str, Value)], has: &[(&'static str, Value)]) -> bool {
        let mut properties = ApplicationProperties::default();
        for (key, value) in has {
            properties.0.insert(*key, value.clone());
        }
        let subject = Properties { subject: Some("s".into()), ..Properties::default() };
        let message = Message {
            properties: Some(Box::new(subject)),
            application_properties: Some(properties),
            ..Message::from("x")
        };
        let routed = Routed::of(&Held::new(message.to_bytes(), MessageFormat(0)));
        HeaderMatch::read(&arguments(wants)).unwrap().matches(&Headers::of(&routed))
    }

    #[test]
    fn all_any_and_whatever_it_is() {
        let has = [("a", Value::Int(1)), ("b", Value::from("x"))];
        let all = Value::from("all");
        let any = Value::from("any");
        assert!(matches(&[("a", Value::Ulong(1)), ("b", Value::Symbol("x".into()))], &has));
        assert!(matches(&[("x-match", all.clone()), ("a", Value::Byte(1)), ("b", Value::Null)], &has));
        assert!(!matches(&[("x-match", all.clone()), ("a", Value::Int(1)), ("c", Value::Null)], &has));
        assert!(!matches(&[("a", Value::Int(2)), ("b", Value::from("x"))], &has));
        assert!(!matches(&[("a", Value::Double(1.0))], &has), "another type");
        assert!(matches(&[("x-match", any.clone()), ("a", Value::Int(7)), ("b", Value::from("x"))], &has));
        assert!(!matches(&[("x-match", any.clone()), ("c", Value::Null)], &has));
        assert!(!matches(&[("x-match", any)], &has), "there is nothing to match");
        assert!(matches(&[("x-match", all), ("x-odd", Value::Int(5))], &has));
        assert!(matches(&[("qpid.subject", Value::from("s"))], &has));
        assert!(!matches(&[("qpid.subject", Value::from("s"))], &[("qpid.subject", Value::from("t"))]));
    }

    #[test]
    fn what_no_argument_can_be_is_like_none() {
        let map: Map = [("deep", Value::from("x"))].into_iter().collect();
        let has = [("map", Value::Map(map)), ("octets", Value::Binary(vec![7].into())), ("time", Value::Int(5))];
        for want in [Value::Int(1), Value::from("x"), Value::Binary(vec![7].into())] {
            assert!(!matches(&[("map", want)], &has));
        }
        assert!(matches(&[("map", Value::Null)], &has), "it is there");
        assert!(matches(&[("octets", Value::Binary(vec![7].into()))], &has));
        assert!(!matches(&[("octets", Value::Binary(vec![8].into()))], &has));
        assert!(!matches(&[("octets", Value::from("\u{7}"))], &has) && !matches(&[("time", Value::from("5"))], &has));
    }

    #[test]
    fn arguments_that_mean_nothing_are_refused() {
        for (key, value) in [
            (Value::from("x-match"), Value::from("some")),
            (Value::from("x-match"), Value::Int(1)),
            (Value::Int(1), Value::Null),
            (Value::from("a"), Value::List(vec![])),
            (Value::from("a"), Value::Map(Map::default())),
            (Value::from("a"), Value::described(1u64, 1u64)),
        ] {
            let arguments: Map = [(key, value)].into_iter().collect();
            assert!(HeaderMatch::read(&arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn what_is_no_message_has_no_headers() {
        let routed = Routed::of(&Held::new(Bytes::from_static(b"garbage"), MessageFormat(0)));
        let headers = Headers::of(&routed);
        assert!(!HeaderMatch::read(&arguments(&[("a", Value::Null)])).unwrap().matches(&headers));
        assert!(HeaderMatch::read(&Map::default()).unwrap().matches(&headers));
    }
}
