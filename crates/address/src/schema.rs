//! Checking options against the schema: one pass reads the values and gathers every fault.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use crate::{
    display::write_quoted,
    options::Role,
    suggest::nearest,
    value::{OptionKey, OptionMap, OptionValue},
};

/// Says which options do not fit the schema; prints the original's text for them.
///
/// The original puts `error in options: ` in front when it raises `InvalidOption`; whoever raises ours may do so too.
///
/// ```
/// use postroad_address::{Address, Role};
///
/// let address = Address::parse("orders; {create: asdf, node: {durable: [], color: red}}").unwrap();
/// let error = address.validate_for(Role::Sender).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "create: asdf not in ('always', 'sender', 'receiver', 'never'), \
///      node: durable: [] is not a bool, color: illegal key"
/// );
/// assert_eq!(error.faults()[1].path, ["node", "durable"]);
/// ```
#[doc(alias = "InvalidOption")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionsError {
    faults: Vec<OptionFault>,
}

/// One option that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionFault {
    /// The keys that lead to the option, outermost first.
    pub path: Vec<String>,
    /// What is wrong with it.
    pub problem: OptionProblem,
}

/// What is wrong with an option.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionProblem {
    /// There is no such option here.
    IllegalKey {
        /// The options there are.
        known: Vec<&'static str>,
    },
    /// The value is none of those allowed.
    NotIn {
        /// The value as Python prints it.
        value: String,
        /// The values there are.
        allowed: &'static [&'static str],
    },
    /// The value has the wrong type.
    NotA {
        /// The value as Python prints it.
        value: String,
        /// The type wanted, by Python's name for it.
        wanted: &'static str,
    },
}

impl OptionsError {
    /// Returns every fault, in the order of the text.
    pub fn faults(&self) -> &[OptionFault] {
        &self.faults
    }

    /// Tells what to write instead, for the first fault where that can be guessed.
    pub fn hint(&self) -> Option<String> {
        self.faults.iter().find_map(OptionFault::hint)
    }
}

impl OptionFault {
    /// Tells what to write instead, where that can be guessed.
    pub fn hint(&self) -> Option<String> {
        let key = self.path.last().map(String::as_str).unwrap_or_default();
        Some(match &self.problem {
            OptionProblem::IllegalKey { .. } if self.path == ["mode"] => "mode is an option of receivers".to_owned(),
            OptionProblem::IllegalKey { known } => {
                format!("{} {}", choice(key, known, "known here:"), known.join(", "))
            }
            OptionProblem::NotIn { value, allowed } => {
                format!("{} {}", choice(value, allowed, "write one of"), allowed.join(", "))
            }
            OptionProblem::NotA { wanted: "bool", value } if value.eq_ignore_ascii_case("true") => {
                format!("write {key}: True without quotes")
            }
            OptionProblem::NotA { wanted: "bool", value } if value.eq_ignore_ascii_case("false") => {
                format!("write {key}: False without quotes")
            }
            OptionProblem::NotA { wanted: "bool", .. } => {
                format!("write {key}: True or {key}: False")
            }
            OptionProblem::NotA { wanted: "str", value } => format!("put it in quotes, as in {key}: '{value}'"),
            OptionProblem::NotA { wanted: "map", .. } => format!("write {key}: {{ .. }}"),
            OptionProblem::NotA { wanted: "list", .. } => format!("write {key}: [ .. ]"),
            OptionProblem::NotA { .. } => format!("write {key}: 30 for thirty seconds"),
        })
    }
}

/// A misspelled word is named; otherwise all are.
fn choice(written: &str, known: &[&str], otherwise: &str) -> String {
    match nearest(written, known.iter().copied()) {
        Some(word) => format!("did you mean {word}? {otherwise}"),
        None => otherwise.to_owned(),
    }
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut open: &[String] = &[];
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            // The original joins the faults of one map before it puts the map's own key in front of them all.
            let parents = &fault.path[..fault.path.len().saturating_sub(1)];
            let shared = open.iter().zip(parents).take_while(|(a, b)| a == b).count();
            for key in &fault.path[shared..] {
                write!(f, "{key}: ")?;
            }
            write!(f, "{}", fault.problem)?;
            open = parents;
        }
        Ok(())
    }
}

impl std::error::Error for OptionsError {}

impl fmt::Display for OptionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IllegalKey { .. } => f.write_str("illegal key"),
            Self::NotIn { value, allowed } => {
                write!(f, "{value} not in ('{}')", allowed.join("', '"))
            }
            Self::NotA { value, wanted } => write!(f, "{value} is not a {wanted}"),
        }
    }
}

/// Reads `map` with `read`, unless a key or value in it does not fit.
pub(crate) fn check<T>(map: &OptionMap, role: Role, read: fn(&mut Place<'_, '_>) -> T) -> Result<T, OptionsError> {
    let mut checker = Checker::default();
    let value = checker.read(map, role, read);
    if checker.faults.is_empty() { Ok(value) } else { Err(OptionsError { faults: checker.faults }) }
}

/// Gathers the faults of one pass.
#[derive(Default)]
struct Checker {
    faults: Vec<OptionFault>,
    path: Vec<&'static str>,
}

impl Checker {
    fn read<T>(&mut self, map: &OptionMap, role: Role, read: fn(&mut Place<'_, '_>) -> T) -> T {
        let mut place = Place { checker: self, map, role, known: Vec::new() };
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
    role: Role,
    known: Vec<&'static str>,
}

impl<'m> Place<'_, 'm> {
    pub(crate) fn word(&mut self, key: &'static str, allowed: &'static [&'static str]) -> Option<&'m str> {
        let value = self.get(key)?;
        match value.as_str() {
            Some(word) if allowed.contains(&word) => Some(word),
            _ => self.refuse(key, OptionProblem::NotIn { value: python_str(value), allowed }),
        }
    }

    /// As [`word`](Self::word), for an option that a sender does not have.
    pub(crate) fn receiver_word(&mut self, key: &'static str, allowed: &'static [&'static str]) -> Option<&'m str> {
        match self.role {
            Role::Sender => None,
            Role::Receiver => self.word(key, allowed),
        }
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        value.as_bool().or_else(|| self.not_a(key, value, "bool"))
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Option<String> {
        let value = self.get(key)?;
        value.as_str().map(str::to_owned).or_else(|| self.not_a(key, value, "str"))
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
        let before = self.checker.faults.len();
        let mut records = Vec::new();
        for item in items.unwrap_or_default() {
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
        self.known.push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn within<T>(&mut self, key: &'static str, map: &OptionMap, read: fn(&mut Place<'_, '_>) -> T) -> T {
        self.checker.path.push(key);
        let value = self.checker.read(map, self.role, read);
        self.checker.path.pop();
        value
    }

    /// Once all keys of the schema are read, the others are illegal.
    fn refuse_other_keys(self) {
        for (key, _) in self.map {
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
