//! The options as written: a tree of plain values that keeps the order of its maps.

use std::{cmp::Ordering, collections::BTreeMap, fmt, slice, vec};

/// Holds one value of the options map.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionValue {
    /// `None`
    Null,
    /// `True`, `true`, `False` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a decimal point.
    Float(Float),
    /// A quoted string or a single word.
    String(String),
    /// `[..]`
    List(Vec<Self>),
    /// `{..}`
    Map(OptionMap),
}

impl OptionValue {
    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value of a boolean; a number or the string `'True'` is none.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the value of a whole number.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the entries of a map.
    pub fn as_map(&self) -> Option<&OptionMap> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the items of a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Tells whether this is `None`, which every option treats as not given.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Names an entry of an [`OptionMap`]: any value that is not a list or map.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionKey {
    /// `None`
    Null,
    /// `True`, `true`, `False` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a decimal point.
    Float(Float),
    /// A quoted string or a single word: the usual key.
    String(String),
}

impl OptionKey {
    /// Returns the text of a string key.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// What decides whether two keys are one: Python holds `True`, `1` and `1.0` for equal.
    fn identity(&self) -> Identity<'_> {
        match self {
            Self::Null => Identity::Null,
            Self::Bool(value) => Identity::Int(i64::from(*value)),
            Self::Int(value) => Identity::Int(*value),
            Self::Float(value) => match value.as_int() {
                Some(int) => Identity::Int(int),
                None => Identity::Fraction(*value),
            },
            Self::String(text) => Identity::Text(text),
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identity<'a> {
    Null,
    Int(i64),
    Fraction(Float),
    Text(&'a str),
}

/// A finite 64-bit floating-point number, so that values compare and print without exceptions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Float(f64);

impl Float {
    /// Takes any number that an address can spell: not an infinity, not NaN.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// Returns the number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The same number as an `i64`, when it is one exactly.
    fn as_int(self) -> Option<i64> {
        // Both bounds are powers of two, so they are exact; the upper one is the first value too large.
        const FIRST: f64 = -9_223_372_036_854_775_808.0;
        const PAST: f64 = 9_223_372_036_854_775_808.0;
        (self.0.fract() == 0.0 && (FIRST..PAST).contains(&self.0)).then_some(self.0 as i64)
    }
}

impl Eq for Float {} // never NaN

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Float {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `{}` never writes an exponent, which no dialect reads; a whole number needs its point to stay a float.
        let point = if self.0.fract() == 0.0 { ".0" } else { "" };
        write!(f, "{}{point}", self.0)
    }
}

/// A map in the order in which its keys were first written.
///
/// Keys are unique the way Python's are: `True`, `1` and `1.0` are one key, the first spelling stays and the last value
/// wins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptionMap {
    entries: Vec<(OptionKey, OptionValue)>,
}

impl OptionMap {
    /// Makes an empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the value under a string key; a key written `1` or `None` is not one.
    pub fn get(&self, key: &str) -> Option<&OptionValue> {
        self.entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// Returns the value under a string key that may have dashes or underscores, as the keys of `x-declare` may.
    pub fn get_dashed(&self, key: &str) -> Option<&OptionValue> {
        let plain = |key: &str| key.replace('_', "-");
        let wanted = plain(key);
        self.entries
            .iter()
            .find(|(name, _)| name.as_str().is_some_and(|name| plain(name) == wanted))
            .map(|(_, value)| value)
    }

    /// Sets a value and returns the one it replaces; a new key goes to the end. Searches the whole map.
    pub fn insert(&mut self, key: impl Into<OptionKey>, value: impl Into<OptionValue>) -> Option<OptionValue> {
        let (key, value) = (key.into(), value.into());
        let identity = key.identity();
        match self.entries.iter_mut().find(|(name, _)| name.identity() == identity) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.entries.push((key, value));
                None
            }
        }
    }

    /// Takes the value under a string key out of the map.
    pub fn remove(&mut self, key: &str) -> Option<OptionValue> {
        let at = self.entries.iter().position(|(name, _)| name.as_str() == Some(key))?;
        Some(self.entries.remove(at).1)
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Visits the entries in order.
    pub fn iter(&self) -> slice::Iter<'_, (OptionKey, OptionValue)> {
        self.entries.iter()
    }
}

impl FromIterator<(OptionKey, OptionValue)> for OptionMap {
    /// Collects entries in `n log n`, so that a text full of keys costs no more than it should.
    fn from_iter<I: IntoIterator<Item = (OptionKey, OptionValue)>>(entries: I) -> Self {
        let (keys, values): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let mut firsts = BTreeMap::new();
        let mut slots: Vec<Option<OptionValue>> = Vec::with_capacity(values.len());
        for (at, (key, value)) in keys.iter().zip(values).enumerate() {
            let first = *firsts.entry(key.identity()).or_insert(at);
            slots.push(None);
            slots[first] = Some(value);
        }
        drop(firsts);
        let entries = keys.into_iter().zip(slots).filter_map(|(key, value)| Some((key, value?))).collect();
        Self { entries }
    }
}

impl IntoIterator for OptionMap {
    type Item = (OptionKey, OptionValue);
    type IntoIter = vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a> IntoIterator for &'a OptionMap {
    type Item = &'a (OptionKey, OptionValue);
    type IntoIter = slice::Iter<'a, (OptionKey, OptionValue)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<OptionValue> for OptionKey {
    type Error = NotAKey;

    fn try_from(value: OptionValue) -> Result<Self, Self::Error> {
        match value {
            OptionValue::Null => Ok(Self::Null),
            OptionValue::Bool(value) => Ok(Self::Bool(value)),
            OptionValue::Int(value) => Ok(Self::Int(value)),
            OptionValue::Float(value) => Ok(Self::Float(value)),
            OptionValue::String(text) => Ok(Self::String(text)),
            OptionValue::List(_) => Err(NotAKey { container: "list" }),
            OptionValue::Map(_) => Err(NotAKey { container: "map" }),
        }
    }
}

/// A list or map stood where a key was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {container} is not a key")]
pub struct NotAKey {
    pub(crate) container: &'static str,
}

impl From<OptionKey> for OptionValue {
    fn from(key: OptionKey) -> Self {
        match key {
            OptionKey::Null => Self::Null,
            OptionKey::Bool(value) => Self::Bool(value),
            OptionKey::Int(value) => Self::Int(value),
            OptionKey::Float(value) => Self::Float(value),
            OptionKey::String(text) => Self::String(text),
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident for $($target:ident),+;)+) => {$($(
        impl From<$type> for $target {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )+)+};
}

from! {
    &str => String for OptionValue, OptionKey;
    String => String for OptionValue, OptionKey;
    bool => Bool for OptionValue, OptionKey;
    i32 => Int for OptionValue, OptionKey;
    i64 => Int for OptionValue, OptionKey;
    Float => Float for OptionValue, OptionKey;
    Vec<OptionValue> => List for OptionValue;
    OptionMap => Map for OptionValue;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_keep_the_first_spelling_and_the_last_value() {
        let float = |value| OptionKey::from(Float::new(value).unwrap());
        let entries = [
            (OptionKey::Int(1), OptionValue::Int(0)),
            (OptionKey::from("1"), OptionValue::Int(1)),
            (OptionKey::Bool(true), OptionValue::Int(2)),
            (float(1.0), OptionValue::Int(3)),
            (float(1.5), OptionValue::Int(4)),
            (float(-0.0), OptionValue::Int(5)),
            (OptionKey::Bool(false), OptionValue::Int(6)),
        ];
        let collected: OptionMap = entries.iter().cloned().collect();
        let mut inserted = OptionMap::new();
        for (key, value) in entries {
            inserted.insert(key, value);
        }
        let expected = [
            (OptionKey::Int(1), OptionValue::Int(3)),
            (OptionKey::from("1"), OptionValue::Int(1)),
            (float(1.5), OptionValue::Int(4)),
            (float(-0.0), OptionValue::Int(6)),
        ];
        assert_eq!(collected.iter().cloned().collect::<Vec<_>>(), expected);
        assert_eq!(inserted, collected);
    }

    #[test]
    fn only_numbers_an_address_can_spell() {
        assert_eq!(Float::new(f64::NAN), None);
        assert_eq!(Float::new(f64::INFINITY), None);
        assert_eq!(Float::new(1e20).unwrap().to_string(), "100000000000000000000.0");
        assert_eq!(Float::new(1e-7).unwrap().to_string(), "0.0000001");
    }

    #[test]
    fn remove_takes_one_entry() {
        let mut map: OptionMap = [("a".into(), 1.into()), ("b".into(), 2.into())].into_iter().collect();
        assert_eq!(map.remove("a"), Some(OptionValue::Int(1)));
        assert_eq!(map.remove("a"), None);
        assert_eq!((map.len(), map.get("b")), (1, Some(&OptionValue::Int(2))));
    }
}
