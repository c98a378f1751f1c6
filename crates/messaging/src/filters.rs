//! The filters of a receiver: what an address asks for, and whether the broker applies it.

use postroad_address::{Address, FilterDescriptor, NodeType, Options};
use postroad_client::Node;
use postroad_client::types::{Symbol, Value};

use crate::AddressError;
use crate::properties::to_value;
use crate::resolve::unsupported;

/// The filters that Qpid's brokers know, by their descriptors (the `apache.org` filters registered with OASIS).
const DIRECT_BINDING: u64 = 0x0000_468C_0000_0000;
const TOPIC_BINDING: u64 = 0x0000_468C_0000_0001;
const SELECTOR_FILTER: u64 = 0x0000_468C_0000_0004;
const SYMBOLS: [(u64, &str); 5] = [
    (DIRECT_BINDING, "apache.org:legacy-amqp-direct-binding:string"),
    (TOPIC_BINDING, "apache.org:legacy-amqp-topic-binding:string"),
    (0x0000_468C_0000_0002, "apache.org:legacy-amqp-headers-binding:map"),
    (0x0000_468C_0000_0003, "apache.org:no-local-filter:list"),
    (SELECTOR_FILTER, "apache.org:selector-filter:string"),
];

pub(crate) const SUBJECT: Symbol = Symbol::from_static("subject-filter");
pub(crate) const SELECTOR: Symbol = Symbol::from_static("selector");

/// The filter set for a source, with a node of this kind.
pub(crate) fn filters(address: &Address, options: &Options, node_type: Option<NodeType>) -> Vec<(Symbol, Value)> {
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
    if let Some(subject) = subject.filter(|_| node_type != Some(NodeType::Queue)) {
        let binding = if subject.contains(['*', '#']) { TOPIC_BINDING } else { DIRECT_BINDING };
        filters.push((SUBJECT, Value::described(binding, subject)));
    }
    filters
}

/// Checks that the broker applies what was asked for. A filter that it does not apply it leaves out of its answer (AMQP 1.0
/// part 3, 3.5.3), but some tell back what they take no notice of: those are not `believed`.
pub(crate) fn check(asked: &[(Symbol, Value)], remote: Option<&Node>, believed: bool) -> Result<(), AddressError> {
    for (name, filter) in asked {
        let confirmed = remote.is_some_and(|remote| remote.filters.iter().any(|(_, told)| is_same_kind(filter, told)));
        if believed && confirmed {
            continue;
        }
        let (option, hint) = match name {
            _ if *name == SELECTOR => {
                ("link.selector", "leave the selector out and choose among the messages in the program")
            }
            _ if *name == SUBJECT => (
                "subject",
                "leave the subject out, or say that it is a queue, where it does nothing: node: {type: queue}",
            ),
            _ => ("link.filter", "leave the filter out and choose among the messages in the program"),
        };
        return Err(unsupported(option, "the broker does not apply it", hint));
    }
    Ok(())
}

fn is_same_kind(asked: &Value, told: &Value) -> bool {
    let descriptor = |filter: &Value| match filter {
        Value::Described(described) => match &described.descriptor {
            Value::Ulong(code) => SYMBOLS
                .iter()
                .find(|(known, _)| known == code)
                .map_or_else(|| Value::Ulong(*code), |(_, symbol)| Value::Symbol(Symbol::from_static(symbol))),
            other => other.clone(),
        },
        other => other.clone(),
    };
    descriptor(asked) == descriptor(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_told_back_by_number_or_by_name() {
        let asked = Value::described(SELECTOR_FILTER, "a = 1");
        let symbol = |name: &'static str| Value::described(Symbol::from_static(name), "a = 1");
        assert!(is_same_kind(&asked, &Value::described(SELECTOR_FILTER, "a = 1")));
        assert!(is_same_kind(&asked, &symbol("apache.org:selector-filter:string")));
        assert!(is_same_kind(&symbol("apache.org:selector-filter:string"), &asked));
        assert!(!is_same_kind(&asked, &Value::described(TOPIC_BINDING, "a = 1")));
        assert!(!is_same_kind(&asked, &symbol("apache.org:no-local-filter:list")));
        assert!(is_same_kind(&symbol("x:y"), &symbol("x:y")));
        assert!(!is_same_kind(&asked, &Value::from("a = 1")));
    }

    #[test]
    fn a_filter_that_is_told_back_counts_where_the_answer_is_believed() {
        let asked = [(SELECTOR, Value::described(SELECTOR_FILTER, "a = 1"))];
        let answer = Node { filters: asked.to_vec(), ..Node::at("q") };
        assert_eq!(check(&asked, Some(&answer), true), Ok(()));
        for (answer, believed) in [(Some(&answer), false), (Some(&Node::at("q")), true), (None, true)] {
            let error = check(&asked, answer, believed).unwrap_err();
            assert!(matches!(error, AddressError::Unsupported { option: "link.selector", .. }), "{error:?}");
        }
    }
}
