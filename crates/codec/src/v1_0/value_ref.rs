//! Values that borrow from the bytes they are read from.

use super::primitive::variable;
use super::sections::skip;
use super::symbol::ascii;
use super::{
    ByteString, Decimal32, Decimal64, Decimal128, Decode, DecodeError, DecodeErrorKind, Reader, Symbol, Timestamp,
    Uuid, Value, ValueType, code,
};

/// A value that is looked at where it lies: [`Value`] without owning anything.
///
/// It is read by the rules of [`Value`]. What holds other values is passed over by its size and stays unread.
///
/// ```
/// use postroad_codec::v1_0::{Encode as _, Reader, Value, ValueRef};
/// let mut bytes = Vec::new();
/// Value::from("hello").encode(&mut bytes);
/// let value = ValueRef::read(&mut Reader::from_slice(&bytes))?;
/// assert_eq!(value, ValueRef::String("hello"));
/// assert_eq!(value.to_value()?, Value::from("hello"));
/// # Ok::<(), postroad_codec::v1_0::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
// Its discriminant is a word, as that of `Value`: odd pieces would stall whoever reads them.
#[repr(u64)]
pub enum ValueRef<'a> {
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
    Binary(&'a [u8]),
    /// Unicode text.
    String(&'a str),
    /// A symbolic value.
    Symbol(&'a str),
    /// A list, map, array or described value, which has not been read.
    Encoded(EncodedRef<'a>),
}

/// A list, map, array or described value that was passed over by its size: what is in it may still be malformed.
///
/// Two are equal when their bytes are.
#[derive(Debug, Clone, Copy)]
pub struct EncodedRef<'a> {
    bytes: &'a [u8],
    /// How many values it lies in.
    depth: u8,
}

impl<'a> ValueRef<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When the bytes are no value, as far as they are looked at.
    #[inline(always)]
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if reader.peek().is_some_and(holds_values) {
            return EncodedRef::read(reader).map(Self::Encoded);
        }
        let code = reader.u8("constructor")?;
        Self::scalar(code, reader)
    }

    /// Reads a value that holds no others.
    #[inline(always)]
    pub(super) fn scalar(code: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match code {
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
            code::VBIN8 | code::VBIN32 => Self::Binary(binary(code, reader)?),
            code::STR8 | code::STR32 => Self::String(string(code, reader)?),
            code::SYM8 | code::SYM32 => Self::Symbol(symbol(code, reader)?),
            other => return Err(reader.error("value", DecodeErrorKind::Constructor(other))),
        })
    }

    /// The text of a string or a symbol.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Self::String(text) | Self::Symbol(text) => Some(text),
            _ => None,
        }
    }

    /// The octets of a binary.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Binary(octets) => Some(octets),
            _ => None,
        }
    }

    /// The value of a boolean.
    #[inline]
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// The value of an integer of any width, where it fits.
    #[inline]
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        Some(match *self {
            Self::Ubyte(value) => value.into(),
            Self::Ushort(value) => value.into(),
            Self::Uint(value) => value.into(),
            Self::Ulong(value) => i64::try_from(value).ok()?,
            Self::Byte(value) => value.into(),
            Self::Short(value) => value.into(),
            Self::Int(value) => value.into(),
            Self::Long(value) => value,
            _ => return None,
        })
    }

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
            Self::Encoded(encoded) => return encoded.value_type(),
        })
    }

    /// The value as one that owns a copy of what is in it.
    ///
    /// # Errors
    /// When it holds values and is malformed.
    pub fn to_value(&self) -> Result<Value, DecodeError> {
        Ok(match *self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Boolean(value),
            Self::Ubyte(value) => Value::Ubyte(value),
            Self::Ushort(value) => Value::Ushort(value),
            Self::Uint(value) => Value::Uint(value),
            Self::Ulong(value) => Value::Ulong(value),
            Self::Byte(value) => Value::Byte(value),
            Self::Short(value) => Value::Short(value),
            Self::Int(value) => Value::Int(value),
            Self::Long(value) => Value::Long(value),
            Self::Float(value) => Value::Float(value),
            Self::Double(value) => Value::Double(value),
            Self::Decimal32(value) => Value::Decimal32(value),
            Self::Decimal64(value) => Value::Decimal64(value),
            Self::Decimal128(value) => Value::Decimal128(value),
            Self::Char(value) => Value::Char(value),
            Self::Timestamp(value) => Value::Timestamp(value),
            Self::Uuid(value) => Value::Uuid(value),
            Self::Binary(octets) => octets.to_vec().into(),
            Self::String(text) => text.into(),
            Self::Symbol(text) => Symbol::new(ByteString::from(text))
                .map(Value::Symbol)
                .ok_or_else(|| DecodeError::at(0, "symbol", DecodeErrorKind::NotAscii))?,
            Self::Encoded(encoded) => encoded.to_value()?,
        })
    }
}

impl PartialEq<Value> for ValueRef<'_> {
    /// Whether it is the same value. What holds other values is read for it; what is malformed equals nothing.
    fn eq(&self, other: &Value) -> bool {
        match (*self, other) {
            (Self::String(text), Value::String(other)) => *text == **other,
            (Self::Symbol(text), Value::Symbol(other)) => *text == **other,
            (Self::Binary(octets), Value::Binary(other)) => *octets == **other,
            (Self::String(_) | Self::Symbol(_) | Self::Binary(_), _) => false,
            _ => self.value_type() == other.value_type() && self.to_value().as_ref() == Ok(other),
        }
    }
}

impl<'a> EncodedRef<'a> {
    /// Passes over a value.
    #[inline(never)]
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.as_slice();
        skip("value", reader)?;
        Ok(Self { bytes: &start[..start.len() - reader.remaining()], depth: reader.depth() })
    }

    /// The value as it is encoded, constructor and all.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The type: a list, a map or an array; `None` for a described value.
    #[must_use]
    pub fn value_type(&self) -> Option<ValueType> {
        self.bytes.first().and_then(|code| ValueType::of_code(*code))
    }

    /// Reads the value; what is in it is copied. Offsets in errors are from its start.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn to_value(&self) -> Result<Value, DecodeError> {
        Value::decode(&mut Reader::from_depth(self.bytes, self.depth))
    }
}

impl PartialEq for EncodedRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

#[inline]
fn holds_values(code: u8) -> bool {
    use code::{ARRAY8, ARRAY32, DESCRIBED, LIST0, LIST8, LIST32, MAP8, MAP32};
    matches!(code, DESCRIBED | LIST0 | LIST8 | LIST32 | MAP8 | MAP32 | ARRAY8 | ARRAY32)
}

/// Reads the text of a string.
#[inline(always)]
pub(super) fn string<'a>(code: u8, reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let bytes = variable(code, code::STR8, code::STR32, "string", reader)?;
    text(bytes).ok_or_else(|| reader.error("string", DecodeErrorKind::Utf8))
}

/// Reads the text of a symbol.
#[inline(always)]
pub(super) fn symbol<'a>(code: u8, reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let bytes = ascii(code, reader)?;
    text(bytes).ok_or_else(|| reader.error("symbol", DecodeErrorKind::Utf8))
}

#[inline(always)]
fn text(bytes: &[u8]) -> Option<&str> {
    // The length is taken from `bytes`: what the call has just written in two words is slow to read back as one.
    std::str::from_utf8(bytes).ok()?.get(..bytes.len())
}

/// Reads the octets of a binary.
#[inline(always)]
pub(super) fn binary<'a>(code: u8, reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    variable(code, code::VBIN8, code::VBIN32, "binary", reader)
}
