//! Which messages a consumer wants, and what it is told of that.

use std::hash::{DefaultHasher, Hash, Hasher};

use postroad_codec::v1_0::{Described, Error, ErrorCondition, FilterSet, Map, Symbol, Value};

use crate::declaration::Owner;
use crate::message::Held;
use crate::selector::Selector;

/// A condition on messages, of one consumer or of a subscription.
#[derive(Debug, PartialEq, Default)]
pub(crate) struct Filter {
    selector: Option<Selector>,
    /// Messages of this origin are not wanted.
    not_from: Option<Origin>,
}

/// Whose link brought a message: a container of a user. It is a number, so that a message carries it at no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Origin(u64);

/// What a source asks for of what is known here, and how it is told back.
#[derive(Debug, PartialEq, Default)]
pub(crate) struct Asked {
    pub(crate) filter: Option<Filter>,
    /// Entries for the filter set of the answer, as they came.
    pub(crate) told: Map,
}

/// A filter by code, by symbol, and by the name that it has in a filter set where its value says nothing.
struct Known {
    code: u64,
    symbol: &'static str,
    name: &'static str,
}

/// A condition as JMS writes it.
const SELECTOR: Known =
    Known { code: 0x0000_468c_0000_0004, symbol: "apache.org:selector-filter:string", name: "jms-selector" };

/// Nothing that this container has sent.
const NO_LOCAL: Known =
    Known { code: 0x0000_468c_0000_0003, symbol: "apache.org:no-local-filter:list", name: "no-local" };

impl Origin {
    pub(crate) fn of(owner: &Owner) -> Self {
        let mut hasher = DefaultHasher::new();
        owner.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Filter {
    /// What a queue takes by its settings: what a selector is true of, and nothing of this origin.
    pub(crate) fn of_queue(selector: Option<&str>, not_from: Option<Origin>) -> Option<Self> {
        let selector = selector.and_then(|text| Selector::new(text).ok());
        (selector.is_some() || not_from.is_some()).then_some(Self { selector, not_from })
    }

    /// Whose messages are not wanted.
    pub(crate) fn not_from(&self) -> Option<Origin> {
        self.not_from
    }

    /// What it takes to find out whether a message is wanted, where most take 1.
    pub(crate) fn effort(&self, held: &Held) -> usize {
        self.selector.as_ref().map_or(1, |selector| 1 + selector.effort(held.candidate()))
    }

    /// Whether a message is wanted.
    pub(crate) fn admits(&self, held: &Held) -> bool {
        self.not_from.is_none_or(|origin| held.origin != origin)
            && self.selector.as_ref().is_none_or(|selector| selector.matches(held.candidate()))
    }
}

/// Reads the filters that are known here; the others are not told back, as they are not applied (AMQP 1.0 part 3, 3.5.8).
///
/// # Errors
/// `amqp:invalid-field` where a selector is malformed.
pub(crate) fn asked(filters: Option<&FilterSet>, origin: Origin) -> Result<Asked, Error> {
    let mut asked = Asked::default();
    let mut filter = Filter::default();
    for (name, value) in filters.iter().flat_map(|FilterSet(filters)| filters.iter()) {
        if filter.selector.is_none() && SELECTOR.is_meant_by(name, value) {
            let text = match value {
                Value::Described(described) => described.value.as_str(),
                other => other.as_str(),
            };
            let invalid = |text: String| Error::new(ErrorCondition::INVALID_FIELD, text);
            let text = text.ok_or_else(|| invalid("a selector is a string".into()))?;
            let selector = Selector::new(text).map_err(|error| invalid(error.to_string()))?;
            asked.told.0.push((own(name), again(value, Value::from(selector.text()))));
            filter.selector = Some(selector);
        } else if filter.not_from.is_none() && NO_LOCAL.is_meant_by(name, value) {
            asked.told.0.push((own(name), again(value, Value::List(Vec::new()))));
            filter.not_from = Some(origin);
        }
    }
    asked.filter = (filter != Filter::default()).then_some(filter);
    Ok(asked)
}

/// Whether an entry of a filter set is for [`asked`] to read.
pub(crate) fn is_choice(name: &Value, value: &Value) -> bool {
    SELECTOR.is_meant_by(name, value) || NO_LOCAL.is_meant_by(name, value)
}

impl Asked {
    /// Adds the filters that are applied to those that an answer tells already.
    pub(crate) fn tell(told: Map, answer: &mut Option<FilterSet>) {
        if !told.is_empty() {
            answer.get_or_insert_default().0.0.extend(told.0);
        }
    }
}

impl Known {
    fn is_meant_by(&self, name: &Value, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Described(described) => match &described.descriptor {
                Value::Ulong(code) => *code == self.code,
                other => other.as_str() == Some(self.symbol),
            },
            // 3.5.8 wants described values; some send plain ones by a name that says it.
            _ => matches!(name.as_str(), Some(name) if name == self.name || name == self.symbol),
        }
    }
}

/// A name that holds no more memory than its own: what has just been read does.
fn own(name: &Value) -> Value {
    let name = name.as_str().unwrap_or_default().to_owned();
    Symbol::new(name).map_or(Value::Null, Value::Symbol)
}

/// A value described as it came.
fn again(came: &Value, value: Value) -> Value {
    let Value::Described(described) = came else { return value };
    let descriptor = match &described.descriptor {
        Value::Ulong(code) => Value::Ulong(*code),
        other => own(other),
    };
    Value::Described(Box::new(Described { descriptor, value }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use postroad_codec::v1_0::{Header, Message, MessageFormat};

    use super::*;

    const HERE: Origin = Origin(7);

    fn read(entries: Vec<(&'static str, Value)>) -> Result<Asked, Error> {
        let entries = entries.into_iter().map(|(name, value)| (Value::Symbol(name.into()), value));
        asked(Some(&FilterSet(entries.collect())), HERE)
    }

    fn symbol(name: &'static str) -> Value {
        Value::Symbol(name.into())
    }

    fn held(priority: u8, origin: Origin) -> Held {
        let header = Header { priority: Some(priority), ..Header::default() };
        let message = Message { header: Some(header), ..Message::from("x") };
        let mut held = Held::new(message.to_bytes(), MessageFormat(0));
        held.origin = origin;
        held
    }

    #[test]
    fn filters_are_known_by_code_symbol_and_name() {
        for value in [
            Value::described(SELECTOR.code, Value::from("JMSPriority > 4")),
            Value::described(symbol(SELECTOR.symbol), Value::from("JMSPriority > 4")),
        ] {
            let entry = ("anything", value);
            let Asked { filter, told } = read(vec![entry.clone()]).unwrap();
            let filter = filter.unwrap();
            assert!(filter.admits(&held(5, HERE)) && !filter.admits(&held(4, HERE)));
            assert_eq!(told.0, [(symbol(entry.0), entry.1)]);
        }
        let plain = read(vec![("jms-selector", Value::from("TRUE"))]).unwrap();
        assert_eq!(plain.told.0, [(symbol("jms-selector"), Value::from("TRUE"))]);
        for list in [Value::List(Vec::new()), Value::from("")] {
            let Asked { filter, told } = read(vec![("no-local", Value::described(NO_LOCAL.code, list))]).unwrap();
            let filter = filter.unwrap();
            assert!(filter.admits(&held(4, Origin(8))) && !filter.admits(&held(4, HERE)));
            assert_eq!(told.len(), 1);
        }
    }

    #[test]
    fn what_is_not_applied_is_not_told() {
        let Asked { filter, told } = read(vec![
            ("a", Value::described(SELECTOR.code, Value::from("a = 1"))),
            ("b", Value::described(SELECTOR.code, Value::from("b = 1"))),
            ("c", Value::described(0x0000_468c_0000_0005_u64, Value::from("xquery"))),
            ("jms-selector", Value::Null),
        ])
        .unwrap();
        assert_eq!((filter.is_some(), told.len()), (true, 1));
        assert_eq!(asked(None, HERE), Ok(Asked::default()));
        assert_eq!(read(vec![("x", Value::from("y"))]), Ok(Asked::default()));
    }

    #[test]
    fn a_malformed_selector_is_refused() {
        for value in [Value::from("a ="), Value::Int(5)] {
            let error = read(vec![("s", Value::described(SELECTOR.code, value))]).unwrap_err();
            assert_eq!(error.condition, ErrorCondition::INVALID_FIELD);
        }
    }

    #[test]
    fn origins_are_users_and_containers() {
        let origin =
            |user: &str, container: &str| Origin::of(&Owner { user: user.into(), container: container.into() });
        assert_eq!(origin("a", "b"), origin("a", "b"));
        assert_ne!(origin("a", "b"), origin("ab", ""));
        assert_ne!(origin("a", "b"), Origin::default());
        let garbage = Held::new(Bytes::from_static(b"garbage"), MessageFormat(0));
        assert!(Filter { selector: None, not_from: Some(HERE) }.admits(&garbage));
    }
}
