//! Any AMQP 1.0 value.

use bytes::Bytes;
use bytestring::ByteString;
pub use uuid::Uuid;

use super::compound::{Measure, decode_list, list_content_len, put_list};
use super::primitive::length32;
use super::{Array, Decode, DecodeError, DecodeErrorKind, Encode, Map, Reader, Symbol, Typed, ValueType, code};

/// A value of any AMQP 1.0 type (part 1, 1.6).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
// Its discriminant is a word, so that values are copied in words: odd pieces would stall whoever reads them.
#[repr(u64)]
pub enum Value {
    /// The absence of a value.
    #[default]
    Null,
    /// True or false.
    Boolean(bool),
    /// 0 to 2^8 - 1.
    Ubyte(u8),
    /// 0 to 2^16 - 1.
    Ushort(u16),
    /// 0 to 2^32 - 1.
    Uint(u32),
    /// 0 to 2^64 - 1.
    Ulong(u64),
    /// -(2^7) to 2^7 - 1.
    Byte(i8),
    /// -(2^15) to 2^15 - 1.
    Short(i16),
    /// -(2^31) to 2^31 - 1.
    Int(i32),
    /// -(2^63) to 2^63 - 1.
    Long(i64),
    /// IEEE 754-2008 binary32.
    Float(f32),
    /// IEEE 754-2008 binary64.
    Double(f64),
    /// IEEE 754-2008 decimal32, kept bit for bit.
    Decimal32(Decimal32),
    /// IEEE 754-2008 decimal64, kept bit for bit.
    Decimal64(Decimal64),
    /// IEEE 754-2008 decimal128, kept bit for bit.
    Decimal128(Decimal128),
    /// A Unicode scalar value.
    Char(char),
    /// A point in time.
    Timestamp(Timestamp),
    /// A UUID of RFC 4122.
    Uuid(Uuid),
    /// Octets.
    Binary(Bytes),
    /// Unicode text.
    String(ByteString),
    /// A symbolic value.
    Symbol(Symbol),
    /// Values of any types.
    List(Vec<Self>),
    /// Keys and values of any types, in order.
    Map(Map),
    /// Values of one type.
    Array(Box<Array>),
    /// A value with a descriptor.
    Described(Box<Described>),
}

/// A decimal32, as the four bytes of its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Decimal32(pub [u8; 4]);

/// A decimal64, as the eight bytes of its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Decimal64(pub [u8; 8]);

/// A decimal128, as the sixteen bytes of its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Decimal128(pub [u8; 16]);

/// Milliseconds since the Unix epoch (part 1, 1.6.17); may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A described value: the descriptor says what the value means (part 1, 1.2).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Described {
    /// A `ulong` or a `symbol` in everything that the standard defines; any value is kept.
    pub descriptor: Value,
    /// The value.
    pub value: Value,
}

impl Value {
    /// The value's type; `None` for a described value, whose type is its descriptor's.
    #[must_use]
    pub fn value_type(&self) -> Option<ValueType> {
        Some(match self {
            Self::Null => ValueType::Null,
            Self::Boolean(_) => ValueType::Boolean,
            Self::Ubyte(_) => ValueType::Ubyte,
            Self::Ushort(_) => ValueType::Ushort,
            Self::Uint(_) => ValueType::Uint,
            Self::Ulong(_) => ValueType::Ulong,
            Self::Byte(_) => ValueType::Byte,
            Self::Short(_) => ValueType::Short,
            Self::Int(_) => ValueType::Int,
            Self::Long(_) => ValueType::Long,
            Self::Float(_) => ValueType::Float,
            Self::Double(_) => ValueType::Double,
            Self::Decimal32(_) => ValueType::Decimal32,
            Self::Decimal64(_) => ValueType::Decimal64,
            Self::Decimal128(_) => ValueType::Decimal128,
            Self::Char(_) => ValueType::Char,
            Self::Timestamp(_) => ValueType::Timestamp,
            Self::Uuid(_) => ValueType::Uuid,
            Self::Binary(_) => ValueType::Binary,
            Self::String(_) => ValueType::String,
            Self::Symbol(_) => ValueType::Symbol,
            Self::List(_) => ValueType::List,
            Self::Map(_) => ValueType::Map,
            Self::Array(_) => ValueType::Array,
            Self::Described(_) => return None,
        })
    }

    /// A described value with a numeric descriptor.
    #[must_use]
    pub fn described(descriptor: impl Into<Self>, value: impl Into<Self>) -> Self {
        Self::Described(Box::new(Described { descriptor: descriptor.into(), value: value.into() }))
    }

    /// The text of a string or a symbol.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    /// The value of an integer of any width, where it fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        Some(match self {
            Self::Ubyte(value) => (*value).into(),
            Self::Ushort(value) => (*value).into(),
            Self::Uint(value) => (*value).into(),
            Self::Ulong(value) => i64::try_from(*value).ok()?,
            Self::Byte(value) => (*value).into(),
            Self::Short(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Long(value) => *value,
            _ => return None,
        })
    }

    /// An array of values that are all of one type.
    pub(crate) fn array_of<T: Clone + Into<Self>>(values: &[T]) -> Self {
        let elements: Vec<Self> = values.iter().cloned().map(Into::into).collect();
        let element_type = elements.first().and_then(Self::value_type).unwrap_or(ValueType::Null);
        Self::from(Array::new(element_type, elements).expect("values of one Rust type are of one AMQP type"))
    }

    /// Both lengths of the value behind its constructor, in one walk over what it holds.
    pub(super) fn measure(&self) -> Measure {
        let fixed = |width| Measure { small: true, short: width, full: width };
        let integer = |small, width| Measure { small, short: 1, full: width };
        let variable = |length| Measure { small: length <= 255, short: 1 + length, full: 4 + length };
        match self {
            Self::Null => fixed(0),
            Self::Boolean(_) | Self::Ubyte(_) | Self::Byte(_) => fixed(1),
            Self::Ushort(_) | Self::Short(_) => fixed(2),
            Self::Uint(value) => integer(*value <= 255, 4),
            Self::Int(value) => integer(i8::try_from(*value).is_ok(), 4),
            Self::Ulong(value) => integer(*value <= 255, 8),
            Self::Long(value) => integer(i8::try_from(*value).is_ok(), 8),
            Self::Float(_) | Self::Decimal32(_) | Self::Char(_) => fixed(4),
            Self::Double(_) | Self::Decimal64(_) | Self::Timestamp(_) => fixed(8),
            Self::Decimal128(_) | Self::Uuid(_) => fixed(16),
            Self::Binary(bytes) => variable(bytes.len()),
            Self::String(text) => variable(text.len()),
            Self::Symbol(symbol) => variable(symbol.len()),
            Self::List(values) => Measure::compound(list_content_len(values), values.len()),
            Self::Map(map) => Measure::compound(map.content_len(), map.len() * 2),
            Self::Array(array) => Measure::compound(array.measure().1, array.elements().len()),
            Self::Described(described) => described.value.measure(),
        }
    }

    /// Writes a value that holds others, or of a type that is rarely seen.
    #[inline(never)]
    fn encode_large(&self, out: &mut Vec<u8>) {
        match self {
            Self::List(values) => put_list(values, out),
            Self::Map(map) => map.encode(out),
            Self::Described(described) => {
                out.push(code::DESCRIBED);
                described.descriptor.encode(out);
                described.value.encode(out);
            }
            other => {
                let (full, small) = other.value_type().expect("described values are handled above").codes();
                let is_small = other.measure().small;
                out.push(if is_small { small } else { full });
                other.encode_body(is_small, out);
            }
        }
    }

    /// Writes the value behind its constructor.
    pub(super) fn encode_body(&self, small: bool, out: &mut Vec<u8>) {
        let put_len = |length: usize, out: &mut Vec<u8>| {
            if small {
                out.push(u8::try_from(length).expect("measure was asked"));
            } else {
                out.extend_from_slice(&length32(length));
            }
        };
        let size_and_count = |content: usize, count: usize, out: &mut Vec<u8>| {
            put_len(content + if small { 1 } else { 4 }, out);
            put_len(count, out);
        };
        match self {
            Self::Null => {}
            Self::Boolean(value) => out.push((*value).into()),
            Self::Ubyte(value) => out.push(*value),
            Self::Byte(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Ushort(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Short(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Uint(value) if small => out.push(value.to_be_bytes()[3]),
            Self::Uint(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Int(value) if small => out.push(value.to_be_bytes()[3]),
            Self::Int(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Ulong(value) if small => out.push(value.to_be_bytes()[7]),
            Self::Ulong(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Long(value) if small => out.push(value.to_be_bytes()[7]),
            Self::Long(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Float(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Double(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Decimal32(value) => out.extend_from_slice(&value.0),
            Self::Decimal64(value) => out.extend_from_slice(&value.0),
            Self::Decimal128(value) => out.extend_from_slice(&value.0),
            Self::Char(value) => out.extend_from_slice(&u32::from(*value).to_be_bytes()),
            Self::Timestamp(value) => out.extend_from_slice(&value.0.to_be_bytes()),
            Self::Uuid(value) => out.extend_from_slice(value.as_bytes()),
            Self::Binary(bytes) => {
                put_len(bytes.len(), out);
                out.extend_from_slice(bytes);
            }
            Self::String(text) => {
                put_len(text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Symbol(symbol) => {
                put_len(symbol.len(), out);
                out.extend_from_slice(symbol.as_bytes());
            }
            Self::List(values) => {
                size_and_count(list_content_len(values), values.len(), out);
                values.iter().for_each(|value| value.encode(out));
            }
            Self::Map(map) => {
                size_and_count(map.content_len(), map.0.len() * 2, out);
                map.encode_entries(out);
            }
            Self::Array(array) => {
                let (elements_small, content) = array.measure();
                size_and_count(content, array.elements().len(), out);
                array.encode_content(elements_small, out);
            }
            Self::Described(described) => described.value.encode_body(small, out),
        }
    }
}

impl Encode for Value {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(code::NULL),
            Self::Boolean(value) => value.encode(out),
            Self::Ubyte(value) => value.encode(out),
            Self::Ushort(value) => value.encode(out),
            Self::Uint(value) => value.encode(out),
            Self::Ulong(value) => value.encode(out),
            Self::Byte(value) => value.encode(out),
            Self::Short(value) => value.encode(out),
            Self::Int(value) => value.encode(out),
            Self::Long(value) => value.encode(out),
            Self::Float(value) => value.encode(out),
            Self::Double(value) => value.encode(out),
            Self::Timestamp(value) => value.encode(out),
            Self::Uuid(value) => value.encode(out),
            Self::String(value) => value.encode(out),
            Self::Symbol(value) => value.encode(out),
            Self::Binary(value) => value.encode(out),
            _ => self.encode_large(out),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Boolean(_) => 1,
            Self::Uint(value) => value.encoded_len(),
            Self::Ulong(value) => value.encoded_len(),
            Self::List(values) if values.is_empty() => 1,
            Self::Described(described) => 1 + described.descriptor.encoded_len() + described.value.encoded_len(),
            other => 1 + other.measure().length(),
        }
    }
}

impl Decode for Value {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = Self::Null;
        value.read(code, reader)?;
        Ok(value)
    }
}

impl Value {
    /// Reads a value to where it will stay: moving what has just been written is dear.
    fn read(&mut self, code: u8, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        *self = match code {
            code::DESCRIBED => {
                reader.enter("described type")?;
                let descriptor = Self::decode(reader)?;
                let value = Self::decode(reader)?;
                reader.leave();
                Self::Described(Box::new(Described { descriptor, value }))
            }
            code::NULL => Self::Null,
            code::TRUE | code::FALSE | code::BOOLEAN => Self::Boolean(bool::decode_as(code, reader)?),
            code::UBYTE => Self::Ubyte(u8::decode_as(code, reader)?),
            code::USHORT => Self::Ushort(u16::decode_as(code, reader)?),
            code::UINT | code::SMALLUINT | code::UINT0 => Self::Uint(u32::decode_as(code, reader)?),
            code::ULONG | code::SMALLULONG | code::ULONG0 => Self::Ulong(u64::decode_as(code, reader)?),
            code::BYTE => Self::Byte(i8::decode_as(code, reader)?),
            code::SHORT => Self::Short(i16::decode_as(code, reader)?),
            code::INT | code::SMALLINT => Self::Int(i32::decode_as(code, reader)?),
            code::LONG | code::SMALLLONG => Self::Long(i64::decode_as(code, reader)?),
            code::FLOAT => Self::Float(f32::decode_as(code, reader)?),
            code::DOUBLE => Self::Double(f64::decode_as(code, reader)?),
            code::DECIMAL32 => Self::Decimal32(Decimal32(reader.array("decimal32")?)),
            code::DECIMAL64 => Self::Decimal64(Decimal64(reader.array("decimal64")?)),
            code::DECIMAL128 => Self::Decimal128(Decimal128(reader.array("decimal128")?)),
            code::CHAR => Self::Char(char::decode_as(code, reader)?),
            code::TIMESTAMP => Self::Timestamp(Timestamp::decode_as(code, reader)?),
            code::UUID => Self::Uuid(Uuid::decode_as(code, reader)?),
            code::VBIN8 | code::VBIN32 => Self::Binary(Bytes::decode_as(code, reader)?),
            code::STR8 | code::STR32 => Self::String(ByteString::decode_as(code, reader)?),
            code::SYM8 | code::SYM32 => Self::Symbol(Symbol::decode_as(code, reader)?),
            code::LIST0 | code::LIST8 | code::LIST32 => Self::List(decode_list(code, reader)?),
            code::MAP8 | code::MAP32 => Self::Map(Map::decode_as(code, reader)?),
            code::ARRAY8 | code::ARRAY32 => Self::Array(Box::new(Array::decode_as(code, reader)?)),
            other => return Err(reader.error("value", DecodeErrorKind::Constructor(other))),
        };
        Ok(())
    }

    /// Reads a value, constructor and all, to where it will stay.
    #[inline]
    pub(super) fn read_next(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let code = reader.u8("constructor")?;
        self.read(code, reader)
    }
}

impl Typed for Value {
    const TYPE: &'static str = "*";
}

macro_rules! from {
    ($($ty:ty => $variant:ident),* $(,)?) => {
        $(impl From<$ty> for Value {
            fn from(value: $ty) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from! {
    bool => Boolean, u8 => Ubyte, u16 => Ushort, u32 => Uint, u64 => Ulong, i8 => Byte, i16 => Short, i32 => Int,
    i64 => Long, f32 => Float, f64 => Double, char => Char, Timestamp => Timestamp, Uuid => Uuid, Bytes => Binary,
    Vec<u8> => Binary, &'static [u8] => Binary, ByteString => String, String => String, &str => String,
    Symbol => Symbol, Map => Map, Vec<Value> => List, Decimal32 => Decimal32, Decimal64 => Decimal64,
    Decimal128 => Decimal128, Array => Array, Described => Described,
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
