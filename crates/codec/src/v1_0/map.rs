//! Maps that keep the order of their entries.

use super::compound::{PROMISED, compound, compound_head, finish_compound};
use super::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Typed, Value, code};

/// A map that keeps the order of its entries.
///
/// The standard calls a map with two equal keys invalid, yet peers send them: both entries are kept,
/// so that what is passed on is unchanged, and [`Map::get`] answers with the first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map(pub Vec<(Value, Value)>);

impl Map {
    /// The value of the first entry whose key is `key`.
    #[must_use]
    pub fn get(&self, key: &Value) -> Option<&Value> {
        self.0.iter().find(|(candidate, _)| candidate == key).map(|(_, value)| value)
    }

    /// The value of the first entry whose key is a string or symbol with this text.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(candidate, _)| candidate.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// Sets the value of `key`: replaces the first entry that has it, or appends one.
    pub fn insert(&mut self, key: impl Into<Value>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(candidate, _)| *candidate == key) {
            Some(entry) => entry.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// Takes out the first entry whose key is `key`.
    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        let index = self.0.iter().position(|(candidate, _)| candidate == key)?;
        Some(self.0.remove(index).1)
    }

    /// The entries in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Value, Value)> {
        self.0.iter()
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn content_len(&self) -> usize {
        self.0.iter().map(|(key, value)| key.encoded_len() + value.encoded_len()).sum()
    }

    pub(super) fn encode_entries(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.0 {
            key.encode(out);
            value.encode(out);
        }
    }
}

impl Encode for Map {
    fn encode(&self, out: &mut Vec<u8>) {
        let head = compound_head(code::MAP8, out);
        self.encode_entries(out);
        finish_compound(head, self.0.len() * 2, code::MAP32, out);
    }

    fn encoded_len(&self) -> usize {
        let content = self.content_len();
        content + if content < 255 && self.0.len() <= 127 { 3 } else { 9 }
    }
}

impl Decode for Map {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut scope, count) = compound(code, code::MAP8, code::MAP32, "map", reader)?;
        if count % 2 != 0 {
            return Err(scope.error("map", DecodeErrorKind::OddMap(count)));
        }
        scope.enter("map")?;
        let mut left = count as usize / 2;
        let mut entries = Vec::new();
        while left > 0 {
            let read = entries.len();
            entries.resize_with(read + left.min(PROMISED / 2), Default::default);
            left -= entries.len() - read;
            for (key, value) in &mut entries[read..] {
                Value::read_next(key, &mut scope)?;
                Value::read_next(value, &mut scope)?;
            }
        }
        scope.finish("map")?;
        reader.rejoin(&scope);
        Ok(Self(entries))
    }
}

impl Typed for Map {
    const TYPE: &'static str = "map";
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a (Value, Value);
    type IntoIter = std::slice::Iter<'a, (Value, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Map {
    type Item = (Value, Value);
    type IntoIter = std::vec::IntoIter<(Value, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
