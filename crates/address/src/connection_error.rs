//! Why a text or value is no option of a connection.

use crate::{
    MAX_ADDRESS_LEN, UrlError,
    error::{CppFault, ParseError, ParseErrorKind},
};

/// Says which option of a connection is wrong, and why; never shows a password, nor the text of the options, which may have
/// one.
#[doc(alias = "InvalidOptionString")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionOptionsError {
    /// The text is no map in the notation of the C++ client.
    #[error("Invalid option string: {fault}, character {offset}")]
    Syntax {
        /// What is wrong, in the original's words.
        fault: &'static str,
        /// The place, in bytes from the start of the text.
        offset: usize,
        /// What to write instead.
        hint: &'static str,
    },
    /// The text is longer than [`MAX_ADDRESS_LEN`].
    #[error("options of {len} bytes, {MAX_ADDRESS_LEN} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// There is no such option.
    #[error("Unknown connection option {name}")]
    Unknown {
        /// The name as written; `tls.` or `sasl.` and the key, in one of these maps.
        name: String,
        /// The name that may have been meant.
        suggestion: Option<&'static str>,
    },
    /// The value has the wrong type, or is a number out of range.
    #[error("{name}: {value} is not a {wanted}")]
    NotA {
        /// The name as written.
        name: String,
        /// The value as Python prints it; `***` where it may hold a password.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The value is none of those allowed.
    #[error("{name}: {value} not in ('{}')", allowed.join("', '"))]
    NotIn {
        /// The name as written.
        name: String,
        /// The value as Python prints it.
        value: String,
        /// The values there are.
        allowed: &'static [&'static str],
    },
    /// A URL among the value is none.
    #[error("{name}: {error}")]
    Url {
        /// The name as written.
        name: String,
        /// What is wrong with it.
        #[source]
        error: UrlError,
    },
}

impl ConnectionOptionsError {
    /// Tells what to write instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Syntax { hint, .. } => (*hint).to_owned(),
            Self::TooLong { .. } => "set the options in code".to_owned(),
            Self::Unknown { suggestion: Some(meant), .. } => format!("did you mean {meant}?"),
            Self::Unknown { .. } => "leave it out: no option has a name like it".to_owned(),
            Self::NotA { name, wanted: "bool", .. } => format!("write {name}: true or {name}: false"),
            Self::NotA { name, wanted: "str", .. } => format!("put the value of {name} in quotes"),
            Self::NotA { name, wanted: "map", .. } => format!("write {name}: {{ .. }}"),
            Self::NotA { name, wanted: "number of seconds", .. } => format!("write {name}: 30 for thirty seconds"),
            Self::NotA { name, wanted, .. } => format!("write a {wanted} for {name}"),
            Self::NotIn { allowed, .. } => format!("write one of {}", allowed.join(", ")),
            Self::Url { error, .. } => error.hint().unwrap_or("write a url as in amqp://localhost:5672").to_owned(),
        }
    }

    pub(crate) fn no_map(text: &str) -> Self {
        let offset = text.len() - text.trim_start().len();
        Self::Syntax { fault: "expected '{'", offset, hint: "options are a map: write {reconnect: true}" }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a function for `map_err`")]
    pub(crate) fn syntax(error: ParseError) -> Self {
        let offset = error.offset();
        let (fault, hint) = match error.kind() {
            ParseErrorKind::Cpp(CppFault::Trailing) => (CppFault::Trailing.text(), "nothing may follow the options"),
            ParseErrorKind::Cpp(fault) => (fault.text(), fault.hint()),
            _ => ("options nest too deep", error.hint()),
        };
        Self::Syntax { fault, offset, hint }
    }
}
