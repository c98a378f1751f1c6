//! Why the options of an address do not fit the schema.

use std::fmt;

use crate::suggest::nearest;

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
    pub(crate) faults: Vec<OptionFault>,
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
    /// A filter lacks one of its three parts.
    Missing {
        /// The key that is missing.
        key: &'static str,
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
            OptionProblem::Missing { .. } => {
                format!("write {key}: {{name: .., descriptor: .., value: ..}}")
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
            OptionProblem::NotA { wanted: "number of seconds", .. } => format!("write {key}: 30 for thirty seconds"),
            OptionProblem::NotA { wanted, .. } => format!("write a {wanted} for {key}"),
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
            Self::Missing { key } => write!(f, "Filter entry must specify {key}"),
            Self::NotA { value, wanted } => write!(f, "{value} is not a {wanted}"),
        }
    }
}
