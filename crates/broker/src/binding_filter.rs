//! The filters by which a link that receives from an exchange says what it wants, as Apache Qpid has registered them.

use postroad_codec::v1_0::{ByteString, Decode as _, Encode as _, FilterSet, Map, Reader, Symbol, Value};

use crate::exchange::ExchangeKind;
use crate::filter::is_choice;
use crate::node_error::{Fault, NodeError};

/// What the filters of a source come to at an exchange.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Binds {
    /// The keys and arguments by which the subscription is bound.
    pub(crate) bindings: Vec<(ByteString, Map)>,
    /// The filters that are applied, for the answer (AMQP 1.0 part 3, 3.5.3).
    pub(crate) told: Map,
}

/// A filter that binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    Direct,
    Topic,
    Headers,
}

/// The filters with their descriptors.
const FILTERS: [(u64, &str, Filter); 3] = [
    (0x0000_468c_0000_0000, "apache.org:legacy-amqp-direct-binding:string", Filter::Direct),
    (0x0000_468c_0000_0001, "apache.org:legacy-amqp-topic-binding:string", Filter::Topic),
    (0x0000_468c_0000_0002, "apache.org:legacy-amqp-headers-binding:map", Filter::Headers),
];

/// Filters of one source that bind: each is compared with all others where the subscription is shared.
const MAX_FILTERS: usize = 256;

impl Binds {
    /// Reads the filters that an exchange of a kind applies; others are left out. Each of them binds. Where there is none, a
    /// subscription of a topic, fanout or headers exchange gets everything, and one of a direct exchange what has no
    /// subject.
    pub(crate) fn of(filter: Option<&FilterSet>, kind: ExchangeKind) -> Result<Self, NodeError> {
        let mut binds = Self::default();
        for (name, value) in filter.into_iter().flat_map(|filter| &filter.0) {
            let (descriptor, found, content) = match value {
                Value::Described(described) => {
                    let Some(found) = find(&described.descriptor) else { continue };
                    (Some(&described.descriptor), found, &described.value)
                }
                // Without a descriptor a text is a subject.
                Value::String(_) if !is_choice(name, value) => (None, Filter::Topic, value),
                _ => continue,
            };
            let told = match (found, kind) {
                (Filter::Headers, ExchangeKind::Headers) => {
                    let Value::Map(arguments) = content else { return Err(wrong(name, "map")) };
                    binds.bindings.push((ByteString::new(), arguments.clone()));
                    value.clone()
                }
                (Filter::Direct | Filter::Topic, ExchangeKind::Topic | ExchangeKind::Direct) => {
                    let Some(key) = content.as_str() else { return Err(wrong(name, "string")) };
                    binds.bindings.push((key.into(), Map::default()));
                    // What a pattern is depends on the exchange, whatever it was called.
                    match descriptor {
                        Some(descriptor) if kind == ExchangeKind::Direct => told(descriptor, Filter::Direct, content),
                        Some(descriptor) if is_pattern(key) => told(descriptor, Filter::Topic, content),
                        _ => value.clone(),
                    }
                }
                _ => continue,
            };
            if binds.bindings.len() > MAX_FILTERS {
                let text = format!("more than {MAX_FILTERS} filters that bind");
                return Err(NodeError::new(Fault::Limit, text));
            }
            binds.told.insert(name.clone(), told);
        }
        if binds.bindings.is_empty() {
            let key = if kind == ExchangeKind::Topic { ByteString::from_static("#") } else { ByteString::new() };
            binds.bindings.push((key, Map::default()));
        }
        binds.told = own(&binds.told);
        Ok(binds)
    }
}

fn find(descriptor: &Value) -> Option<Filter> {
    let found = FILTERS.iter().find(|(code, symbol, _)| match descriptor {
        Value::Ulong(asked) => asked == code,
        other => other.as_str() == Some(symbol),
    });
    found.map(|(_, _, filter)| *filter)
}

/// A filter under the descriptor of another, by code or by symbol as it came.
fn told(came: &Value, filter: Filter, content: &Value) -> Value {
    let (code, symbol, _) = FILTERS[filter as usize];
    let descriptor = match came {
        Value::Ulong(_) => Value::Ulong(code),
        _ => Value::Symbol(Symbol::from_static(symbol)),
    };
    Value::described(descriptor, content.clone())
}

fn is_pattern(key: &str) -> bool {
    key.split('.').any(|word| matches!(word, "*" | "#"))
}

fn wrong(name: &Value, due: &str) -> NodeError {
    let name = name.as_str().unwrap_or_default();
    NodeError::invalid(format!("the value of the filter {name:?} is no {due}"))
}

/// The same, without the buffer that it was read from: an answer is kept as long as its link.
fn own(map: &Map) -> Map {
    let mut encoded = Vec::with_capacity(map.encoded_len());
    map.encode(&mut encoded);
    Map::decode(&mut Reader::new(&encoded.into())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(filters: &[(&'static str, Value)]) -> FilterSet {
        FilterSet(filters.iter().map(|(name, value)| (Value::Symbol((*name).into()), value.clone())).collect())
    }

    fn described(code: u64, value: impl Into<Value>) -> Value {
        Value::described(Value::Ulong(code), value)
    }

    const DIRECT: u64 = FILTERS[0].0;
    const TOPIC: u64 = FILTERS[1].0;
    const HEADERS: u64 = FILTERS[2].0;

    fn keys(binds: &Binds) -> Vec<&str> {
        binds.bindings.iter().map(|(key, _)| &**key).collect()
    }

    #[test]
    fn without_a_filter_there_is_a_default() {
        for (kind, key) in [
            (ExchangeKind::Topic, "#"),
            (ExchangeKind::Direct, ""),
            (ExchangeKind::Fanout, ""),
            (ExchangeKind::Headers, ""),
        ] {
            let binds = Binds::of(None, kind).unwrap();
            assert_eq!((keys(&binds), binds.told.len()), (vec![key], 0), "{kind}");
        }
    }

    #[test]
    fn each_filter_binds_and_is_told() {
        let symbol = Value::described(Value::Symbol(FILTERS[1].1.into()), "c.#");
        let asked = set(&[
            ("one", described(TOPIC, "a.*")),
            ("two", described(DIRECT, "b")),
            ("three", symbol),
            ("four", "d".into()),
            ("selector", described(0x0000_468c_0000_0004, "a = 1")),
            ("headers", described(HEADERS, Map::default())),
        ]);
        let binds = Binds::of(Some(&asked), ExchangeKind::Topic).unwrap();
        assert_eq!(keys(&binds), ["a.*", "b", "c.#", "d"]);
        assert_eq!(binds.told.0, asked.0.0[..4], "as they came");
    }

    #[test]
    fn what_a_kind_does_not_apply_is_not_told() {
        let asked = set(&[("one", described(TOPIC, "a.*")), ("headers", described(HEADERS, Map::default()))]);
        let fanout = Binds::of(Some(&asked), ExchangeKind::Fanout).unwrap();
        assert!(fanout.told.is_empty() && keys(&fanout) == [""]);
        let headers = Binds::of(Some(&asked), ExchangeKind::Headers).unwrap();
        assert_eq!(headers.told.0, asked.0.0[1..]);
        // On a direct exchange it is a key like any other, and that is said.
        let direct = Binds::of(Some(&asked), ExchangeKind::Direct).unwrap();
        assert_eq!(keys(&direct), ["a.*"]);
        assert_eq!(direct.told.0, set(&[("one", described(DIRECT, "a.*"))]).0.0);
        let topic = Binds::of(Some(&set(&[("one", described(DIRECT, "#"))])), ExchangeKind::Topic).unwrap();
        assert_eq!(topic.told.0, set(&[("one", described(TOPIC, "#"))]).0.0);
    }

    #[test]
    fn filters_that_bind_are_bounded() {
        let named = |count: usize| {
            let filter = |at: usize| (Value::from(at.to_string()), described(TOPIC, at.to_string()));
            FilterSet((0..count).map(filter).collect())
        };
        assert_eq!(Binds::of(Some(&named(MAX_FILTERS)), ExchangeKind::Topic).unwrap().bindings.len(), MAX_FILTERS);
        let error = Binds::of(Some(&named(MAX_FILTERS + 1)), ExchangeKind::Topic).unwrap_err();
        assert_eq!(error.fault, Fault::Limit);
        Binds::of(Some(&named(MAX_FILTERS + 1)), ExchangeKind::Fanout).unwrap();
    }

    #[test]
    fn wrong_values_are_refused_where_they_count() {
        for (code, kind, value) in [
            (TOPIC, ExchangeKind::Topic, Value::Int(1)),
            (DIRECT, ExchangeKind::Direct, Value::Null),
            (HEADERS, ExchangeKind::Headers, Value::from("a")),
        ] {
            let asked = set(&[("f", described(code, value))]);
            assert!(Binds::of(Some(&asked), kind).unwrap_err().text.contains("\"f\""));
            Binds::of(Some(&asked), ExchangeKind::Fanout).unwrap();
        }
    }
}
