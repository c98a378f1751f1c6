//! Any AMQP 1.0 value.

use bytes::Bytes;
use bytestring::ByteString;
pub use uuid::Uuid;

use super::primitive::length32;
use super::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Symbol, Typed, code};

/// A value of any AMQP 1.0 type (part 1, 1.6).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
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

/// A map that keeps the order of its entries.
///
/// The standard calls a map with two equal keys invalid, yet peers send them: both entries are kept,
/// so that what is passed on is unchanged, and [`Map::get`] answers with the first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map(pub Vec<(Value, Value)>);

/// An array: values of one type behind one constructor.
///
/// ```
/// use postroad_codec::v1_0::{Array, Value, ValueType};
/// let array = Array::new(ValueType::Uint, vec![Value::Uint(1), Value::Uint(2)]).unwrap();
/// assert_eq!(array.elements().len(), 2);
/// assert!(Array::new(ValueType::Uint, vec![Value::Null]).is_none());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    descriptors: Vec<Value>,
    element_type: ValueType,
    elements: Vec<Value>,
}

/// The type of a value, described ones aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the variant of `Value` with this name")]
pub enum ValueType {
    Null,
    Boolean,
    Ubyte,
    Ushort,
    Uint,
    Ulong,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    Decimal32,
    Decimal64,
    Decimal128,
    Char,
    Timestamp,
    Uuid,
    Binary,
    String,
    Symbol,
    List,
    Map,
    Array,
}

impl ValueType {
    /// The standard's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        code::PRIMITIVES[self as usize].name
    }

    fn of_code(code: u8) -> Option<Self> {
        Some(match code {
            code::NULL => Self::Null,
            code::TRUE | code::FALSE | code::BOOLEAN => Self::Boolean,
            code::UBYTE => Self::Ubyte,
            code::USHORT => Self::Ushort,
            code::UINT | code::SMALLUINT | code::UINT0 => Self::Uint,
            code::ULONG | code::SMALLULONG | code::ULONG0 => Self::Ulong,
            code::BYTE => Self::Byte,
            code::SHORT => Self::Short,
            code::INT | code::SMALLINT => Self::Int,
            code::LONG | code::SMALLLONG => Self::Long,
            code::FLOAT => Self::Float,
            code::DOUBLE => Self::Double,
            code::DECIMAL32 => Self::Decimal32,
            code::DECIMAL64 => Self::Decimal64,
            code::DECIMAL128 => Self::Decimal128,
            code::CHAR => Self::Char,
            code::TIMESTAMP => Self::Timestamp,
            code::UUID => Self::Uuid,
            code::VBIN8 | code::VBIN32 => Self::Binary,
            code::STR8 | code::STR32 => Self::String,
            code::SYM8 | code::SYM32 => Self::Symbol,
            code::LIST0 | code::LIST8 | code::LIST32 => Self::List,
            code::MAP8 | code::MAP32 => Self::Map,
            code::ARRAY8 | code::ARRAY32 => Self::Array,
            _ => return None,
        })
    }

    /// The constructor that every value of the type fits, and the one for small ones.
    fn codes(self) -> (u8, u8) {
        match self {
            Self::Null => (code::NULL, code::NULL),
            Self::Boolean => (code::BOOLEAN, code::BOOLEAN),
            Self::Ubyte => (code::UBYTE, code::UBYTE),
            Self::Ushort => (code::USHORT, code::USHORT),
            Self::Uint => (code::UINT, code::SMALLUINT),
            Self::Ulong => (code::ULONG, code::SMALLULONG),
            Self::Byte => (code::BYTE, code::BYTE),
            Self::Short => (code::SHORT, code::SHORT),
            Self::Int => (code::INT, code::SMALLINT),
            Self::Long => (code::LONG, code::SMALLLONG),
            Self::Float => (code::FLOAT, code::FLOAT),
            Self::Double => (code::DOUBLE, code::DOUBLE),
            Self::Decimal32 => (code::DECIMAL32, code::DECIMAL32),
            Self::Decimal64 => (code::DECIMAL64, code::DECIMAL64),
            Self::Decimal128 => (code::DECIMAL128, code::DECIMAL128),
            Self::Char => (code::CHAR, code::CHAR),
            Self::Timestamp => (code::TIMESTAMP, code::TIMESTAMP),
            Self::Uuid => (code::UUID, code::UUID),
            Self::Binary => (code::VBIN32, code::VBIN8),
            Self::String => (code::STR32, code::STR8),
            Self::Symbol => (code::SYM32, code::SYM8),
            Self::List => (code::LIST32, code::LIST8),
            Self::Map => (code::MAP32, code::MAP8),
            Self::Array => (code::ARRAY32, code::ARRAY8),
        }
    }
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

    pub(crate) fn array_of<T: Clone + Into<Self>>(values: &[T]) -> Self {
        let elements: Vec<Self> = values.iter().cloned().map(Into::into).collect();
        let element_type = elements.first().and_then(Self::value_type).unwrap_or(ValueType::Null);
        Self::Array(Box::new(Array { descriptors: Vec::new(), element_type, elements }))
    }

    /// Both lengths of the value behind its constructor, in one walk over what it holds.
    fn measure(&self) -> Measure {
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
            Self::Array(array) => Measure::compound(array.measure().1, array.elements.len()),
            Self::Described(described) => described.value.measure(),
        }
    }

    /// Writes the value behind its constructor.
    fn encode_body(&self, small: bool, out: &mut Vec<u8>) {
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
                size_and_count(content, array.elements.len(), out);
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
    fn read_next(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let code = reader.u8("constructor")?;
        self.read(code, reader)
    }
}

impl Typed for Value {
    const TYPE: &'static str = "*";
}

impl Map {
    /// The value of the first entry whose key is `key`.
    #[must_use]
    pub fn get(&self, key: &Value) -> Option<&Value> {
        self.0.iter().find(|(candidate, _)| candidate == key).map(|(_, value)| value)
    }

    /// The value of the first entry whose key is a string or symbol with this text.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(candidate, _)| candidate.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// Sets the value of `key`: replaces the first entry that has it, or appends one.
    pub fn insert(&mut self, key: impl Into<Value>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(candidate, _)| *candidate == key) {
            Some(entry) => entry.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// Takes out the first entry whose key is `key`.
    pub fn remove(&mut self, key: &Value) -> Option<Value> {
        let index = self.0.iter().position(|(candidate, _)| candidate == key)?;
        Some(self.0.remove(index).1)
    }

    /// The entries in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Value, Value)> {
        self.0.iter()
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn content_len(&self) -> usize {
        self.0.iter().map(|(key, value)| key.encoded_len() + value.encoded_len()).sum()
    }

    fn encode_entries(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.0 {
            key.encode(out);
            value.encode(out);
        }
    }
}

impl Encode for Map {
    fn encode(&self, out: &mut Vec<u8>) {
        let head = compound_head(code::MAP8, out);
        self.encode_entries(out);
        finish_compound(head, self.0.len() * 2, code::MAP32, out);
    }

    fn encoded_len(&self) -> usize {
        let content = self.content_len();
        content + if content < 255 && self.0.len() <= 127 { 3 } else { 9 }
    }
}

impl Decode for Map {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut scope, count) = compound(code, code::MAP8, code::MAP32, "map", reader)?;
        if count % 2 != 0 {
            return Err(scope.error("map", DecodeErrorKind::OddMap(count)));
        }
        scope.enter("map")?;
        let mut entries = Vec::with_capacity((count as usize / 2).min(PROMISED / 2));
        for _ in 0..count / 2 {
            entries.push((Value::Null, Value::Null));
            if let Some((key, value)) = entries.last_mut() {
                key.read_next(&mut scope)?;
                value.read_next(&mut scope)?;
            }
        }
        scope.finish("map")?;
        reader.rejoin(&scope);
        Ok(Self(entries))
    }
}

impl Typed for Map {
    const TYPE: &'static str = "map";
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a (Value, Value);
    type IntoIter = std::slice::Iter<'a, (Value, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Map {
    type Item = (Value, Value);
    type IntoIter = std::vec::IntoIter<(Value, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Array {
    /// An array of `element_type`, or `None` where an element is of another type.
    #[must_use]
    pub fn new(element_type: ValueType, elements: Vec<Value>) -> Option<Self> {
        Self::described(Vec::new(), element_type, elements)
    }

    /// An array whose elements all carry `descriptors`, the outermost first.
    #[must_use]
    pub fn described(descriptors: Vec<Value>, element_type: ValueType, elements: Vec<Value>) -> Option<Self> {
        elements.iter().all(|element| element.value_type() == Some(element_type)).then_some(Self {
            descriptors,
            element_type,
            elements,
        })
    }

    /// The elements, without their descriptors.
    #[must_use]
    pub fn elements(&self) -> &[Value] {
        &self.elements
    }

    /// The type of every element.
    #[must_use]
    pub fn element_type(&self) -> ValueType {
        self.element_type
    }

    /// The descriptors that every element carries, the outermost first; mostly none.
    #[must_use]
    pub fn descriptors(&self) -> &[Value] {
        &self.descriptors
    }

    /// Whether every element has the short form, and the bytes from the element constructor on.
    fn measure(&self) -> (bool, usize) {
        let descriptors: usize = self.descriptors.iter().map(|descriptor| 1 + descriptor.encoded_len()).sum();
        let elements = self.elements.iter().map(Value::measure).fold(
            Measure { small: true, short: 0, full: 0 },
            |sum, element| Measure {
                small: sum.small && element.small,
                short: sum.short + element.short,
                full: sum.full + element.full,
            },
        );
        (elements.small, descriptors + 1 + elements.length())
    }

    fn encode_content(&self, small: bool, out: &mut Vec<u8>) {
        for descriptor in &self.descriptors {
            out.push(code::DESCRIBED);
            descriptor.encode(out);
        }
        let (full, short) = self.element_type.codes();
        out.push(if small { short } else { full });
        self.elements.iter().for_each(|element| element.encode_body(small, out));
    }
}

/// The lengths of a value in its two forms, and whether the short one can hold it.
#[derive(Clone, Copy)]
struct Measure {
    small: bool,
    short: usize,
    full: usize,
}

impl Measure {
    fn compound(content: usize, count: usize) -> Self {
        Self { small: content < 255 && count <= 255, short: 2 + content, full: 8 + content }
    }

    fn length(self) -> usize {
        if self.small { self.short } else { self.full }
    }
}

impl Decode for Array {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut scope, count) = array_head(code, reader)?;
        scope.enter("array")?;
        let mut descriptors = Vec::new();
        let mut element = scope.u8("array")?;
        while element == code::DESCRIBED {
            scope.enter("array")?;
            descriptors.push(Value::decode(&mut scope)?);
            element = scope.u8("array")?;
        }
        let element_type =
            ValueType::of_code(element).ok_or_else(|| scope.error("array", DecodeErrorKind::Constructor(element)))?;
        scope.check_count(count, is_zero_width(element), "array")?;
        let mut elements = Vec::with_capacity((count as usize).min(PROMISED));
        for _ in 0..count {
            elements.push(Value::decode_as(element, &mut scope)?);
        }
        scope.finish("array")?;
        reader.rejoin(&scope);
        Ok(Self { descriptors, element_type, elements })
    }
}

/// Elements for which room is made on the word of the peer: each level of nesting can promise as many as
/// there are bytes, and have none of them.
const PROMISED: usize = 64;

/// Whether elements with this constructor take no bytes of their own.
pub(crate) fn is_zero_width(element: u8) -> bool {
    matches!(element, code::NULL | code::TRUE | code::FALSE | code::UINT0 | code::ULONG0 | code::LIST0)
}

/// The scope and count of an array, in front of its element constructor.
pub(crate) fn array_head<'a>(code: u8, reader: &mut Reader<'a>) -> Result<(Reader<'a>, u32), DecodeError> {
    sized(code, code::ARRAY8, code::ARRAY32, "array", reader)
}

#[inline(always)]
fn sized<'a>(
    code: u8,
    short: u8,
    long: u8,
    name: &'static str,
    reader: &mut Reader<'a>,
) -> Result<(Reader<'a>, u32), DecodeError> {
    if code == short {
        let size = usize::from(reader.u8(name)?);
        let mut scope = reader.scope(size, name)?;
        let count = u32::from(scope.u8(name)?);
        Ok((scope, count))
    } else if code == long {
        let size = reader.u32(name)? as usize;
        let mut scope = reader.scope(size, name)?;
        let count = scope.u32(name)?;
        Ok((scope, count))
    } else {
        Err(reader.error(name, DecodeErrorKind::Constructor(code)))
    }
}

/// The scope and count of a list or map; every entry takes at least a byte.
#[inline(always)]
pub(crate) fn compound<'a>(
    code: u8,
    short: u8,
    long: u8,
    name: &'static str,
    reader: &mut Reader<'a>,
) -> Result<(Reader<'a>, u32), DecodeError> {
    let (mut scope, count) = sized(code, short, long, name, reader)?;
    scope.check_count(count, false, name)?;
    Ok((scope, count))
}

/// Reads the entries of a list.
pub(crate) fn decode_list(code: u8, reader: &mut Reader<'_>) -> Result<Vec<Value>, DecodeError> {
    if code == code::LIST0 {
        return Ok(Vec::new());
    }
    let (mut scope, count) = compound(code, code::LIST8, code::LIST32, "list", reader)?;
    scope.enter("list")?;
    let mut values = Vec::with_capacity((count as usize).min(PROMISED));
    for _ in 0..count {
        values.push(Value::Null);
        if let Some(value) = values.last_mut() {
            value.read_next(&mut scope)?;
        }
    }
    scope.finish("list")?;
    reader.rejoin(&scope);
    Ok(values)
}

fn list_content_len(values: &[Value]) -> usize {
    values.iter().map(Encode::encoded_len).sum()
}

/// Starts a list or map in its short form, and answers where it starts.
#[inline]
pub(crate) fn compound_head(short: u8, out: &mut Vec<u8>) -> usize {
    let head = out.len();
    out.extend_from_slice(&[short, 0, 0]);
    head
}

/// Fills in size and count, and widens the head where the content has outgrown the short form.
#[inline]
pub(crate) fn finish_compound(head: usize, count: usize, long: u8, out: &mut Vec<u8>) {
    let content = out.len() - head - 3;
    match (u8::try_from(content + 1), u8::try_from(count)) {
        (Ok(size), Ok(count)) => {
            out[head + 1] = size;
            out[head + 2] = count;
        }
        _ => widen(head, content, count, long, out),
    }
}

#[cold]
fn widen(head: usize, content: usize, count: usize, long: u8, out: &mut Vec<u8>) {
    let start = head + 3;
    out.extend_from_slice(&[0; 6]);
    out.copy_within(start..start + content, start + 6);
    out[head] = long;
    out[head + 1..head + 5].copy_from_slice(&length32(content + 4));
    out[head + 5..head + 9].copy_from_slice(&length32(count));
}

/// Writes a list, which has a form of one byte when it is empty.
pub(crate) fn put_list(values: &[Value], out: &mut Vec<u8>) {
    if values.is_empty() {
        return out.push(code::LIST0);
    }
    let head = compound_head(code::LIST8, out);
    values.iter().for_each(|value| value.encode(out));
    finish_compound(head, values.len(), code::LIST32, out);
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

/// Bytes of a list of these values.
pub(crate) fn list_len(values: &[Value]) -> usize {
    if values.is_empty() { 1 } else { 1 + Measure::compound(list_content_len(values), values.len()).length() }
}
