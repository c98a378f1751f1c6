//! Writing an address so that the Python dialect reads the same one back.

use std::fmt::{self, Write};

use crate::{
    address::Address,
    literal::constant,
    value::{OptionKey, OptionMap, OptionValue},
};

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(&self.name, false, f)?;
        if let Some(subject) = &self.subject {
            f.write_char('/')?;
            write_text(subject, true, f)?;
        }
        match &self.options {
            Some(options) => write!(f, "; {options}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for OptionMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (at, (key, value)) in self.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{key}: {value}")?;
        }
        f.write_char('}')
    }
}

impl fmt::Display for OptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("None"),
            Self::Bool(value) => write_bool(*value, f),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::String(text) => write_word(text, f),
        }
    }
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("None"),
            Self::Bool(value) => write_bool(*value, f),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::String(text) => write_word(text, f),
            Self::List(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{item}")?;
                }
                f.write_char(']')
            }
            Self::Map(map) => write!(f, "{map}"),
        }
    }
}

/// Spelled as the documentation of the original does.
fn write_bool(value: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(if value { "True" } else { "False" })
}

/// A name or subject: bare when each character is a token, or part of one, that stands for itself to strict readers too.
fn write_text(text: &str, slash: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.#*%@$^!+-:,".contains(c) || (slash && c == '/');
    if !text.is_empty() && text.chars().all(plain) { f.write_str(text) } else { write_quoted(text, f) }
}

/// A string in the options: bare when it is one ID token and no constant.
fn write_word(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let id = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !text.ends_with('-');
    if id && constant(text).is_none() { f.write_str(text) } else { write_quoted(text, f) }
}

/// Quotes as Python's `repr` does: double quotes only when the text has single ones and no double ones.
pub(crate) fn write_quoted(text: &str, out: &mut impl Write) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.write_char(quote)?;
    for character in text.chars() {
        match character {
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\\' => out.write_str("\\\\")?,
            c if c == quote => write!(out, "\\{c}")?,
            c if c.is_control() => write!(out, "\\x{:02x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char(quote)
}
