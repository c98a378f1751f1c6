//! Arrays: values of one type behind one constructor.

use super::compound::{Measure, PROMISED, sized};
use super::{Decode, DecodeError, DecodeErrorKind, Encode as _, Reader, Value, code};

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
    pub(super) fn measure(&self) -> (bool, usize) {
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

    pub(super) fn encode_content(&self, small: bool, out: &mut Vec<u8>) {
        for descriptor in &self.descriptors {
            out.push(code::DESCRIBED);
            descriptor.encode(out);
        }
        let (full, short) = self.element_type.codes();
        out.push(if small { short } else { full });
        self.elements.iter().for_each(|element| element.encode_body(small, out));
    }
}

impl Decode for Array {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut scope, count) = array_head(code, reader)?;
        if ends_behind_head(&scope, count) {
            reader.rejoin(&scope);
            return Ok(Self { descriptors: Vec::new(), element_type: ValueType::Null, elements: Vec::new() });
        }
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

impl ValueType {
    /// The standard's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        code::PRIMITIVES[self as usize].name
    }

    pub(super) fn of_code(code: u8) -> Option<Self> {
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
    pub(super) fn codes(self) -> (u8, u8) {
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

/// Whether elements with this constructor take no bytes of their own.
pub(crate) fn is_zero_width(element: u8) -> bool {
    matches!(element, code::NULL | code::TRUE | code::FALSE | code::UINT0 | code::ULONG0 | code::LIST0)
}

/// The scope and count of an array, in front of its element constructor.
pub(crate) fn array_head<'a>(code: u8, reader: &mut Reader<'a>) -> Result<(Reader<'a>, u32), DecodeError> {
    sized(code, code::ARRAY8, code::ARRAY32, "array", reader)
}

/// Whether an array has no elements and no constructor for them either. Part 1, 1.6.24 asks for one; fe2o3-amqp leaves it out, and
/// the size leaves no doubt of what is meant.
pub(crate) fn ends_behind_head(scope: &Reader<'_>, count: u32) -> bool {
    count == 0 && scope.is_empty()
}
