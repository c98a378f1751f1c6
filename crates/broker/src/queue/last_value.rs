//! Which of the messages that wait is the last one with its key.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use postroad_codec::v1_0::{MessageFormat, SectionsRef, ValueRef};

use crate::message::Held;
use crate::properties;

/// The messages that wait, by the value of a property.
///
/// Values are kept as hashes that nobody outside can work out: long ones take no memory.
#[derive(Debug)]
pub(super) struct LastValues {
    property: Box<str>,
    hasher: RandomState,
    seqs: HashMap<u64, u64>,
    keys: HashMap<u64, u64>,
}

/// By this property name a message's subject counts, as it travels in AMQP 0-10.
const SUBJECT: &str = "qpid.subject";

impl LastValues {
    pub(super) fn new(property: &str) -> Self {
        let hasher = RandomState::new();
        Self { property: property.into(), hasher, seqs: HashMap::new(), keys: HashMap::new() }
    }

    /// The seq of the message that waits and has the same key.
    pub(super) fn waiting(&self, held: &Held) -> Option<u64> {
        self.seqs.get(&self.key(held)).copied()
    }

    /// Notes a message that waits now.
    pub(super) fn note(&mut self, held: &Held) {
        let key = self.key(held);
        self.seqs.insert(key, held.seq);
        self.keys.insert(held.seq, key);
    }

    /// Forgets a message that waits no more.
    pub(super) fn forget(&mut self, seq: u64) {
        // Of those that wait, one has each key.
        if let Some(key) = self.keys.remove(&seq) {
            self.seqs.remove(&key);
        }
    }

    pub(super) fn clear(&mut self) {
        self.seqs.clear();
        self.keys.clear();
    }

    /// The key of a message as text; those without the property have one in common, which is empty.
    fn key(&self, held: &Held) -> u64 {
        let sections = (held.format == MessageFormat(0)).then(|| SectionsRef::find(&held.payload).ok()).flatten();
        let map = sections.and_then(|sections| sections.application_properties().ok().flatten());
        let value = properties::find(map, &self.property);
        let text = match value {
            None if *self.property == *SUBJECT => {
                let properties = sections.and_then(|sections| sections.properties().ok().flatten());
                return self.hash(properties.and_then(|properties| properties.subject).unwrap_or_default());
            }
            None | Some(ValueRef::Null) => return self.hash(""),
            Some(ValueRef::String(text) | ValueRef::Symbol(text)) => return self.hash(text),
            Some(ValueRef::Boolean(value)) => value.to_string(),
            Some(ValueRef::Ulong(value)) => value.to_string(),
            Some(ValueRef::Float(value)) => value.to_string(),
            Some(ValueRef::Double(value)) => value.to_string(),
            Some(ValueRef::Uuid(value)) => value.to_string(),
            Some(ValueRef::Binary(octets)) => String::from_utf8_lossy(octets).into_owned(),
            Some(other) => other.as_i64().map(|value| value.to_string()).unwrap_or_default(),
        };
        self.hash(&text)
    }

    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }
}
