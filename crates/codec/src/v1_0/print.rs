//! Values and frames as text, in the form that people know from Proton's traces.

use std::fmt::{self, Display as _, Formatter, Write as _};

use super::{Array, Decode as _, Encode, Map, Reader, Value, schema};

/// Characters of a frame's text, payload and all: what Proton prints of one.
const LINE: usize = 1023;
/// Stands where a payload is cut.
const CUT: &str = " ... (truncated)";

impl fmt::Display for Value {
    /// As Proton prints it: unsigned numbers in hexadecimal, signed ones in decimal.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Ubyte(value) => write!(f, "0x{value:x}"),
            Self::Ushort(value) => write!(f, "0x{value:x}"),
            Self::Uint(value) => write!(f, "0x{value:x}"),
            Self::Ulong(value) => write!(f, "0x{value:x}"),
            Self::Byte(value) => value.fmt(f),
            Self::Short(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Long(value) => value.fmt(f),
            Self::Float(value) => float(*value, f),
            Self::Double(value) => float(*value, f),
            Self::Decimal32(value) => hex("D32", &value.0, f),
            Self::Decimal64(value) => hex("D64", &value.0, f),
            Self::Decimal128(value) => hex("D128", &value.0, f),
            Self::Char(value) => write!(f, "{value:?}"),
            Self::Timestamp(value) => value.0.fmt(f),
            Self::Uuid(value) => write!(f, "UUID({value})"),
            Self::Binary(bytes) => quoted("b", bytes, f),
            Self::String(text) => quoted("", text.as_bytes(), f),
            Self::Symbol(symbol) => symbol_text(symbol, f),
            Self::List(values) => sequence(values, f),
            Self::Map(map) => map.fmt(f),
            Self::Array(array) => array.fmt(f),
            Self::Described(described) => composite(&described.descriptor, &described.value, f),
        }
    }
}

impl fmt::Display for Map {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (index, (key, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{key}={value}")?;
        }
        f.write_char('}')
    }
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for descriptor in self.descriptors() {
            f.write_char('@')?;
            descriptor_text(descriptor, f)?;
            f.write_char(' ')?;
        }
        write!(f, "@<{}>", self.element_type().name())?;
        sequence(self.elements(), f)
    }
}

/// Prints what `value` encodes to, with the names of the standard.
pub(crate) fn encoded(value: &impl Encode, f: &mut Formatter<'_>) -> fmt::Result {
    let mut bytes = Vec::with_capacity(value.encoded_len());
    value.encode(&mut bytes);
    match Value::decode(&mut Reader::from_slice(&bytes)) {
        Ok(value) => value.fmt(f),
        Err(error) => write!(f, "({error})"),
    }
}

/// Appends a payload to a frame's text: its size, and as much of it as the line has room for. `missing` more bytes belong
/// to it that are not here.
pub(crate) fn payload(bytes: &[u8], missing: usize, line: &mut String) {
    if bytes.is_empty() && missing == 0 {
        return;
    }
    let _ = write!(line, " ({}) ", bytes.len() + missing);
    let start = line.len();
    // Each byte takes a character at least.
    let _ = escape(&bytes[..bytes.len().min(LINE)], line);
    if line.len() > LINE || bytes.len() > LINE || missing > 0 {
        // The line is ASCII from `start` on. A performative that fills it leaves no room.
        line.truncate(LINE.saturating_sub(CUT.len()).max(start));
        line.push_str(CUT);
    }
}

/// Stands where a secret would.
pub(crate) const REDACTED: &str = "[redacted]";

fn composite(descriptor: &Value, value: &Value, f: &mut Formatter<'_>) -> fmt::Result {
    let Some(schema::Described { name, code, composite: row }) = schema::described(descriptor) else {
        f.write_char('@')?;
        descriptor_text(descriptor, f)?;
        return write!(f, " {value}");
    };
    write!(f, "@{name}({code}) ")?;
    let (Some(row), Value::List(fields)) = (row, value) else {
        // No list where one should be: what it holds is not known to be harmless.
        return if matches!(code, 0x41 | 0x43) { f.write_str(REDACTED) } else { value.fmt(f) };
    };
    f.write_char('[')?;
    let mut comma = "";
    for (index, field) in fields.iter().enumerate().filter(|(_, field)| **field != Value::Null) {
        f.write_str(comma)?;
        comma = ", ";
        if let Some(field) = row.fields.get(index) {
            write!(f, "{}=", field.name)?;
        }
        if schema::is_secret(code, index, fields) { f.write_str(REDACTED)? } else { field.fmt(f)? }
    }
    f.write_char(']')
}

/// A descriptor: its number in decimal, as the standard's tables are quoted.
fn descriptor_text(descriptor: &Value, f: &mut Formatter<'_>) -> fmt::Result {
    match descriptor {
        Value::Ulong(code) => code.fmt(f),
        other => other.fmt(f),
    }
}

fn sequence(values: &[Value], f: &mut Formatter<'_>) -> fmt::Result {
    f.write_char('[')?;
    for (index, value) in values.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{value}")?;
    }
    f.write_char(']')
}

fn symbol_text(symbol: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let plain = symbol.starts_with(|c: char| c.is_ascii_alphabetic())
        && symbol.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain { write!(f, ":{symbol}") } else { quoted(":", symbol.as_bytes(), f) }
}

fn quoted(prefix: &str, bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(prefix)?;
    f.write_char('"')?;
    escape(bytes, f)?;
    f.write_char('"')
}

/// Printable ASCII as it is, but for quotation mark and backslash; the rest in hexadecimal.
pub(crate) fn escape(bytes: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    bytes.iter().try_for_each(|byte| match byte {
        b' '..=b'~' if !matches!(byte, b'"' | b'\\') => out.write_char(char::from(*byte)),
        byte => write!(out, "\\x{byte:02x}"),
    })
}

/// The shortest text that reads back as the same number, with an exponent where it would be long. (Proton rounds to
/// six digits.)
fn float<T: Into<f64> + Copy + fmt::Display + fmt::LowerExp>(value: T, f: &mut Formatter<'_>) -> fmt::Result {
    let size = value.into().abs();
    if size.is_nan() {
        f.write_str("nan")
    } else if size >= 1e15 && size.is_finite() {
        f.write_str(&format!("{value:e}").replace('e', "e+"))
    } else if size != 0.0 && size < 1e-5 {
        write!(f, "{value:e}")
    } else {
        write!(f, "{value}")
    }
}

fn hex(name: &str, bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{name}(")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
    f.write_char(')')
}
