//! What is wrong with a property.

use super::value::PropertyValue;

/// A property that could not be set or read; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// There is no such property.
    #[error("no property `{name}`{}", did_you_mean(*.suggestion))]
    Unknown {
        /// The name, as far as the first 64 characters.
        name: String,
        /// A name that is much like it.
        suggestion: Option<&'static str>,
    },
    /// The name is in a namespace of neither the standard nor a vendor (RFC 9622 4.1).
    #[error("no property `{name}`: a namespace outside of the standard starts with an underscore, as in `_{name}`")]
    Namespace {
        /// The name, as far as the first 64 characters.
        name: String,
    },
    /// Only the transport sets it.
    #[error("`{name}` is read-only")]
    ReadOnly {
        /// The name of the property.
        name: &'static str,
    },
    /// It is for choosing protocols and paths, and they have been chosen (RFC 9622 6.2).
    #[error("`{name}` cannot be changed once the connection is established")]
    Established {
        /// The name of the property.
        name: &'static str,
    },
    /// The transport that was selected does not have it.
    #[error("the transport does not have `{name}`")]
    Unsupported {
        /// The name of the property.
        name: &'static str,
    },
    /// The system refuses the value.
    #[error("the system refuses this value of `{name}`: {kind}")]
    Refused {
        /// The name of the property.
        name: &'static str,
        /// What it says.
        kind: std::io::ErrorKind,
    },
    /// The property does not take the value.
    #[error("`{value}` is no value of `{name}`: expected {expected}")]
    Value {
        /// The name of the property.
        name: &'static str,
        /// The value, as far as the first 64 characters of its text.
        value: String,
        /// What would do.
        expected: &'static str,
    },
}

impl PropertyError {
    pub(super) fn value(name: &'static str, value: &PropertyValue, expected: &'static str) -> Self {
        Self::Value { name, value: short(&value.to_string()), expected }
    }
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

/// What came from outside is not repeated at any length.
pub(super) fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
