//! Values and frames as text, in the form that people know from Proton's traces.

use std::fmt::{self, Display as _, Formatter, Write as _};

use super::{Array, Decode as _, Encode, Map, Reader, Value, schema};

/// How many bytes of a payload a trace shows.
const SHOWN: usize = 256;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Ubyte(value) => value.fmt(f),
            Self::Ushort(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::Ulong(value) => value.fmt(f),
            Self::Byte(value) => value.fmt(f),
            Self::Short(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Long(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Decimal32(value) => hex("D32", &value.0, f),
            Self::Decimal64(value) => hex("D64", &value.0, f),
            Self::Decimal128(value) => hex("D128", &value.0, f),
            Self::Char(value) => write!(f, "{value:?}"),
            Self::Timestamp(value) => value.0.fmt(f),
            Self::Uuid(value) => value.fmt(f),
            Self::Binary(bytes) => binary(bytes, f),
            Self::String(text) => write!(f, "{text:?}", text = &**text),
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
            write!(f, "@{descriptor} ")?;
        }
        write!(f, "@{}", self.element_type().name())?;
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

/// Prints the start of a payload.
pub(crate) fn payload(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "\"{}\"", bytes[..bytes.len().min(SHOWN)].escape_ascii())?;
    if bytes.len() > SHOWN { f.write_str("...") } else { Ok(()) }
}

fn composite(descriptor: &Value, value: &Value, f: &mut Formatter<'_>) -> fmt::Result {
    let known = schema::COMPOSITES.iter().find(|row| match descriptor {
        Value::Ulong(code) => row.code == *code,
        Value::Symbol(symbol) => row.descriptor == symbol.as_str(),
        _ => false,
    });
    let (Some(row), Value::List(fields)) = (known, value) else {
        return write!(f, "@{descriptor} {value}");
    };
    write!(f, "@{}({}) [", row.name, row.code)?;
    let present = row.fields.iter().zip(fields).filter(|(_, value)| **value != Value::Null);
    for (index, (field, value)) in present.enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{}={value}", field.name)?;
    }
    f.write_char(']')
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
    let plain = symbol.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
    if plain && !symbol.is_empty() { write!(f, ":{symbol}") } else { write!(f, ":{symbol:?}") }
}

fn binary(bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "b\"{}\"", bytes.escape_ascii())
}

fn hex(name: &str, bytes: &[u8], f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{name}(")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
    f.write_char(')')
}
