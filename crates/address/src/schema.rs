//! Checking options against the schema: one pass reads the values and gathers every fault.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use crate::{
    address::Dialect,
    display::write_quoted,
    options::Role,
    options_error::{OptionFault, OptionProblem, OptionsError},
    value::{OptionKey, OptionMap, OptionValue},
};

/// How strictly a map is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Whether there is a `mode`.
    mode: bool,
    /// Whether a value of another type counts when it says the same.
    lenient: bool,
}

impl Rules {
    pub(crate) const LENIENT: Self = Self { mode: false, lenient: true };

    pub(crate) fn of(dialect: Dialect, role: Role) -> Self {
        let lenient = dialect == Dialect::Cpp;
        Self { mode: lenient || role == Role::Receiver, lenient }
    }
}

/// Reads `map`, which stands under the keys of `path`, with `read`, unless a key or value in it does not fit.
pub(crate) fn check_at<T>(
    path: &[&'static str],
    map: &OptionMap,
    rules: Rules,
    read: fn(&mut Place<'_, '_>) -> T,
) -> Result<T, OptionsError> {
    let mut checker = Checker { faults: Vec::new(), path: path.to_vec() };
    let value = checker.read(map, rules, read);
    if checker.faults.is_empty() { Ok(value) } else { Err(OptionsError { faults: checker.faults }) }
}

/// Gathers the faults of one pass.
struct Checker {
    faults: Vec<OptionFault>,
    path: Vec<&'static str>,
}

impl Checker {
    fn read<T>(&mut self, map: &OptionMap, rules: Rules, read: fn(&mut Place<'_, '_>) -> T) -> T {
        let mut place = Place { checker: self, map, rules, known: Vec::new(), open: false };
        let value = read(&mut place);
        place.refuse_other_keys();
        value
    }

    fn fault(&mut self, key: &str, problem: OptionProblem) {
        let path = self.path.iter().copied().chain([key]).map(str::to_owned).collect();
        self.faults.push(OptionFault { path, problem });
    }
}

/// One map being read; each method reads one key, and the keys that none of them asked for are illegal.
pub(crate) struct Place<'c, 'm> {
    checker: &'c mut Checker,
    map: &'m OptionMap,
    rules: Rules,
    known: Vec<&'static str>,
    /// Whether other keys are fine.
    open: bool,
}

impl<'m> Place<'_, 'm> {
    pub(crate) fn word(&mut self, key: &'static str, allowed: &'static [&'static str]) -> Option<&'m str> {
        let value = self.get(key)?;
        match value.as_str() {
            Some(word) if allowed.contains(&word) => Some(word),
            _ => self.refuse(key, OptionProblem::NotIn { value: python_str(value), allowed }),
        }
    }

    /// As [`word`](Self::word), for the option that a sender may not have.
    pub(crate) fn mode(&mut self, key: &'static str, allowed: &'static [&'static str]) -> Option<&'m str> {
        if self.rules.mode { self.word(key, allowed) } else { None }
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        let meant = || match value {
            OptionValue::Int(number) => Some(*number != 0),
            OptionValue::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            OptionValue::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        let read = value.as_bool().or_else(|| self.rules.lenient.then(meant).flatten());
        read.or_else(|| self.not_a(key, value, "bool"))
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Option<String> {
        let value = self.get(key)?;
        match value {
            OptionValue::String(text) => Some(text.clone()),
            OptionValue::Int(_) | OptionValue::Float(_) if self.rules.lenient => Some(value.to_string()),
            _ => self.not_a(key, value, "str"),
        }
    }

    /// Text of the characters that AMQP 1.0 has in symbols.
    pub(crate) fn symbol(&mut self, key: &'static str) -> Option<String> {
        let value = self.get(key)?;
        let symbol = value.as_str().filter(|text| text.is_ascii() && !text.is_empty());
        symbol.map(str::to_owned).or_else(|| self.not_a(key, value, "text in ASCII"))
    }

    /// A number, or its digits in a text, when it is one.
    pub(crate) fn integer(&mut self, key: &'static str) -> Option<u64> {
        match self.get(key)? {
            OptionValue::Int(number) => u64::try_from(*number).ok(),
            OptionValue::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A value of any kind, `None` among them.
    pub(crate) fn any(&mut self, key: &'static str) -> Option<OptionValue> {
        self.known.push(key);
        self.map.get(key).cloned()
    }

    /// Says which of these keys is missing, the first one, as the original does.
    pub(crate) fn need(&mut self, keys: &[&'static str]) {
        if let Some(key) = keys.iter().find(|key| self.map.get(key).is_none()) {
            let path = self.checker.path.iter().copied().map(str::to_owned).collect();
            self.checker.faults.push(OptionFault { path, problem: OptionProblem::Missing { key } });
        }
    }

    /// All that was not read, which is fine then.
    pub(crate) fn others(&mut self) -> OptionMap {
        self.open = true;
        let known = |key: &OptionKey| key.as_str().is_some_and(|key| self.known.contains(&key));
        self.map.iter().filter(|(key, _)| !known(key)).cloned().collect()
    }

    /// A list of texts; the first that is none ends it.
    pub(crate) fn strings(&mut self, key: &'static str) -> Vec<String> {
        let items = self.get(key).and_then(|value| value.as_list().or_else(|| self.not_a(key, value, "list")));
        let mut texts = Vec::new();
        for item in items.unwrap_or_default() {
            match item.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => {
                    self.not_a::<()>(key, item, "str");
                    break;
                }
            }
        }
        texts
    }

    /// A number of seconds, not negative.
    pub(crate) fn seconds(&mut self, key: &'static str) -> Option<Duration> {
        let value = self.get(key)?;
        seconds(value).or_else(|| self.not_a(key, value, "number of seconds"))
    }

    pub(crate) fn any_map(&mut self, key: &'static str) -> OptionMap {
        let map = self.get(key).and_then(|value| value.as_map().or_else(|| self.not_a(key, value, "map")));
        map.cloned().unwrap_or_default()
    }

    pub(crate) fn record<T: Default>(&mut self, key: &'static str, read: fn(&mut Place<'_, '_>) -> T) -> T {
        let map = self.get(key).and_then(|value| value.as_map().or_else(|| self.not_a(key, value, "map")));
        map.map(|map| self.within(key, map, read)).unwrap_or_default()
    }

    /// A list of maps; the first bad one ends it, as in the original.
    pub(crate) fn records<T>(&mut self, key: &'static str, read: fn(&mut Place<'_, '_>) -> T) -> Vec<T> {
        let items = self.get(key).and_then(|value| value.as_list().or_else(|| self.not_a(key, value, "list")));
        self.each(key, items.unwrap_or_default(), read)
    }

    /// A list of maps, or one map.
    pub(crate) fn record_or_records<T>(&mut self, key: &'static str, read: fn(&mut Place<'_, '_>) -> T) -> Vec<T> {
        match self.get(key) {
            None => Vec::new(),
            Some(OptionValue::List(items)) => self.each(key, items, read),
            Some(one @ OptionValue::Map(_)) => self.each(key, std::slice::from_ref(one), read),
            Some(value) => self.not_a(key, value, "map or list of maps").unwrap_or_default(),
        }
    }

    fn each<T>(&mut self, key: &'static str, items: &[OptionValue], read: fn(&mut Place<'_, '_>) -> T) -> Vec<T> {
        let before = self.checker.faults.len();
        let mut records = Vec::new();
        for item in items {
            if self.checker.faults.len() > before {
                break;
            }
            let map = item.as_map().or_else(|| self.not_a(key, item, "map"));
            records.extend(map.map(|map| self.within(key, map, read)));
        }
        records
    }

    /// The value under a key of the schema; `None` in the text is no value.
    fn get(&mut self, key: &'static str) -> Option<&'m OptionValue> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn within<T>(&mut self, key: &'static str, map: &OptionMap, read: fn(&mut Place<'_, '_>) -> T) -> T {
        self.checker.path.push(key);
        let value = self.checker.read(map, self.rules, read);
        self.checker.path.pop();
        value
    }

    /// Once all keys of the schema are read, the others are illegal.
    fn refuse_other_keys(self) {
        for (key, _) in self.map.iter().filter(|_| !self.open) {
            if !key.as_str().is_some_and(|key| self.known.contains(&key)) {
                let key = python_str(&key.clone().into());
                self.checker.fault(&key, OptionProblem::IllegalKey { known: self.known.clone() });
            }
        }
    }

    fn not_a<T>(&mut self, key: &'static str, value: &OptionValue, wanted: &'static str) -> Option<T> {
        self.refuse(key, OptionProblem::NotA { value: python_str(value), wanted })
    }

    fn refuse<T>(&mut self, key: &'static str, problem: OptionProblem) -> Option<T> {
        self.checker.fault(key, problem);
        None
    }
}

/// A number of seconds, whole or not.
pub(crate) fn seconds(value: &OptionValue) -> Option<Duration> {
    match value {
        OptionValue::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        OptionValue::Float(seconds) => Duration::try_from_secs_f64(seconds.get()).ok(),
        _ => None,
    }
}

/// What Python's `str` makes of a value: the bare text of a string, quoted inside lists and maps.
pub(crate) fn python_str(value: &OptionValue) -> String {
    let mut out = String::new();
    match value {
        OptionValue::String(text) => out.push_str(text),
        _ => python_repr(value, &mut out).expect("a String takes any text"),
    }
    out
}

fn python_repr(value: &OptionValue, out: &mut String) -> fmt::Result {
    match value {
        OptionValue::String(text) => write_quoted(text, out),
        OptionValue::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                python_repr(item, out)?;
            }
            out.push(']');
            Ok(())
        }
        OptionValue::Map(map) => {
            out.push('{');
            for (at, (key, value)) in map.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                match key {
                    OptionKey::String(text) => write_quoted(text, out)?,
                    _ => write!(out, "{key}")?,
                }
                out.push_str(": ");
                python_repr(value, out)?;
            }
            out.push('}');
            Ok(())
        }
        _ => write!(out, "{value}"),
    }
}
