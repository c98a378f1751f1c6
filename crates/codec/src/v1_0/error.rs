//! What can be wrong with bytes that claim to be AMQP 1.0.

use std::fmt;

/// Bytes that are not the AMQP 1.0 value they should be: which type, where, and why.
///
/// A peer that sent them made a mistake (or is not an AMQP peer); the condition for it is
/// `amqp:decode-error`, or `amqp:connection:framing-error` when the frame itself is malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// The standard's name of the type that was being read, such as `transfer` or `str8-utf8`.
    pub ty: &'static str,
    /// Where reading stopped, in bytes from the start of the frame, message or value.
    pub offset: usize,
    /// Why it stopped.
    pub kind: DecodeErrorKind,
}

/// Why a value could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the value does.
    Truncated,
    /// A constructor that this type does not have, or that no type has.
    Constructor(u8),
    /// A descriptor other than that of the expected type.
    Descriptor,
    /// A string that is not UTF-8.
    Utf8,
    /// A symbol with a byte above 127.
    NotAscii,
    /// A number that is no Unicode scalar value.
    Char(u32),
    /// A boolean octet other than 0 and 1.
    Boolean(u8),
    /// A field that the standard calls mandatory is absent or null.
    MissingField(&'static str),
    /// A list with more entries than the type has fields.
    TooManyFields(u32),
    /// A map with an odd number of entries.
    OddMap(u32),
    /// Declared size and content disagree: so many bytes are left over.
    TrailingBytes(usize),
    /// A declared count that the remaining bytes cannot hold, or too many elements of no width.
    TooManyElements(u32),
    /// Values nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// A delivery tag longer than 32 bytes.
    TagTooLong(usize),
    /// A number that the type does not allow, such as a frame's data offset below 2.
    OutOfRange,
    /// A message section out of its order, or twice.
    SectionOrder,
}

impl DecodeError {
    #[cold]
    #[inline(never)]
    pub(crate) fn at(offset: usize, ty: &'static str, kind: DecodeErrorKind) -> Self {
        Self { ty, offset, kind }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.ty, self.offset, self.kind)
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end before the value does"),
            Self::Constructor(code) => write!(f, "unexpected constructor 0x{code:02x}"),
            Self::Descriptor => f.write_str("unexpected descriptor"),
            Self::Utf8 => f.write_str("not valid UTF-8"),
            Self::NotAscii => f.write_str("a symbol must be ASCII"),
            Self::Char(code) => write!(f, "0x{code:x} is no Unicode scalar value"),
            Self::Boolean(octet) => write!(f, "0x{octet:02x} is no boolean"),
            Self::MissingField(name) => write!(f, "mandatory field {name} is absent"),
            Self::TooManyFields(count) => write!(f, "{count} fields are more than the type has"),
            Self::OddMap(count) => write!(f, "a map of {count} entries has a key without a value"),
            Self::TrailingBytes(count) => write!(f, "{count} bytes left over"),
            Self::TooManyElements(count) => write!(f, "{count} elements cannot be there"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::TagTooLong(length) => {
                write!(f, "a delivery tag of {length} bytes, 32 are allowed")
            }
            Self::OutOfRange => f.write_str("value out of range"),
            Self::SectionOrder => f.write_str("message section out of order"),
        }
    }
}

impl std::error::Error for DecodeError {}
