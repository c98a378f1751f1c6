//! Writing an address so that the Python dialect reads the same one back, and for the C++ dialect, where it can.

use std::fmt::{self, Write};

use crate::{
    address::{Address, Dialect},
    cpp::{RESERVED, is_blank, variant},
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

impl Address {
    /// Writes the address so that a dialect reads the same one back; in [`Dialect::Python`] it is what `Display` writes.
    ///
    /// The C++ dialect has no escapes, no `None` and no keys but texts: `None` when the address needs what it does not have,
    /// such as a text with quotes of both kinds.
    ///
    /// ```
    /// use postroad_address::{Address, Dialect};
    ///
    /// let address = Address::new("it's \\ here").with_subject("a");
    /// assert_eq!(address.to_string(), r#""it's \\ here"/a"#);
    /// assert_eq!(address.text_in(Dialect::Cpp).as_deref(), Some(r#""it's \ here"/a"#));
    /// ```
    pub fn text_in(&self, dialect: Dialect) -> Option<String> {
        if dialect == Dialect::Python {
            return Some(self.to_string());
        }
        let mut out = String::new();
        write_cpp_text(&self.name, "/;", &mut out)?;
        if let Some(subject) = &self.subject {
            out.push('/');
            write_cpp_text(subject, ";", &mut out)?;
        }
        if let Some(options) = &self.options {
            out.push_str("; ");
            write_cpp_map(options, &mut out)?;
        }
        Some(out)
    }
}

/// A name or subject: bare where both dialects read it so, in the quotes that it does not have, or bare because nothing else is
/// left.
fn write_cpp_text(text: &str, stops: &str, out: &mut String) -> Option<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.#*%@$^!+-:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        out.push_str(text);
        return Some(());
    }
    if quote_cpp(text, out).is_some() {
        return Some(());
    }
    let ends_it = |c: char| is_blank(c) || stops.contains(c);
    if text.starts_with(['\'', '"']) || text.contains(ends_it) {
        return None;
    }
    out.push_str(text);
    Some(())
}

fn quote_cpp(text: &str, out: &mut String) -> Option<()> {
    let quote = ['\'', '"'].into_iter().find(|quote| !text.contains(*quote))?;
    out.extend([quote]);
    out.push_str(text);
    out.push(quote);
    Some(())
}

fn write_cpp_map(map: &OptionMap, out: &mut String) -> Option<()> {
    out.push('{');
    for (at, (key, value)) in map.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        let key = key.as_str()?;
        // A word is a key whatever it says.
        if key.is_empty() || key.contains(|c: char| is_blank(c) || RESERVED.contains(c)) {
            quote_cpp(key, out)?;
        } else {
            out.push_str(key);
        }
        out.push_str(": ");
        write_cpp_value(value, out)?;
    }
    out.push('}');
    Some(())
}

fn write_cpp_value(value: &OptionValue, out: &mut String) -> Option<()> {
    match value {
        OptionValue::Null => return None,
        OptionValue::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
        OptionValue::Int(value) => out.push_str(&value.to_string()),
        OptionValue::Float(value) => out.push_str(&value.to_string()),
        OptionValue::String(text) => {
            let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
                && matches!(variant(text), OptionValue::String(_));
            if word { out.push_str(text) } else { quote_cpp(text, out)? }
        }
        OptionValue::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_cpp_value(item, out)?;
            }
            out.push(']');
        }
        OptionValue::Map(map) => write_cpp_map(map, out)?,
    }
    Some(())
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
