//! How the primitive types of part 1, 1.6 are written and read.

use bytes::Bytes;
use bytestring::ByteString;

use super::code;
use super::{DecodeError, DecodeErrorKind, Reader, Timestamp, Uuid};

/// A value with an AMQP 1.0 encoding.
pub trait Encode {
    /// Appends the value in its smallest form.
    fn encode(&self, out: &mut Vec<u8>);

    /// The number of bytes that [`Encode::encode`] appends.
    fn encoded_len(&self) -> usize;
}

/// A value that can be read from its AMQP 1.0 encoding, in any legal form.
pub trait Decode: Sized {
    /// Reads a value whose constructor octet `code` has been read already.
    ///
    /// # Errors
    /// When the bytes are no such value.
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads a value.
    ///
    /// # Errors
    /// When the bytes are no such value.
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.u8("constructor")?;
        Self::decode_as(code, reader)
    }
}

/// A type that the standard names.
pub trait Typed: Encode + Decode {
    /// The standard's name; `*` where a field takes any type that provides [`Typed::REQUIRES`].
    const TYPE: &'static str;
    /// What values of any type must provide to stand in such a field.
    const REQUIRES: Option<&'static str> = None;
}

macro_rules! fixed {
    ($ty:ty, $name:literal, $code:path) => {
        impl Encode for $ty {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.push($code);
                out.extend_from_slice(&self.to_be_bytes());
            }
            #[inline]
            fn encoded_len(&self) -> usize {
                1 + size_of::<Self>()
            }
        }
        impl Decode for $ty {
            #[inline(always)]
            fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match code {
                    $code => Ok(Self::from_be_bytes(reader.array($name)?)),
                    other => Err(reader.error($name, DecodeErrorKind::Constructor(other))),
                }
            }
        }
        impl Typed for $ty {
            const TYPE: &'static str = $name;
        }
    };
}

fixed!(u8, "ubyte", code::UBYTE);
fixed!(u16, "ushort", code::USHORT);
fixed!(i8, "byte", code::BYTE);
fixed!(i16, "short", code::SHORT);
fixed!(f32, "float", code::FLOAT);
fixed!(f64, "double", code::DOUBLE);

macro_rules! unsigned {
    ($ty:ty, $name:literal, $full:path, $small:path, $zero:path) => {
        impl Encode for $ty {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                match u8::try_from(*self) {
                    Ok(0) => out.push($zero),
                    Ok(small) => out.extend_from_slice(&[$small, small]),
                    Err(_) => {
                        out.push($full);
                        out.extend_from_slice(&self.to_be_bytes());
                    }
                }
            }
            #[inline]
            fn encoded_len(&self) -> usize {
                match *self {
                    0 => 1,
                    1..=255 => 2,
                    _ => 1 + size_of::<Self>(),
                }
            }
        }
        impl Decode for $ty {
            #[inline(always)]
            fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match code {
                    $small => Ok(reader.u8($name)?.into()),
                    $zero => Ok(0),
                    $full => Ok(Self::from_be_bytes(reader.array($name)?)),
                    other => Err(reader.error($name, DecodeErrorKind::Constructor(other))),
                }
            }
        }
        impl Typed for $ty {
            const TYPE: &'static str = $name;
        }
    };
}

unsigned!(u32, "uint", code::UINT, code::SMALLUINT, code::UINT0);
unsigned!(u64, "ulong", code::ULONG, code::SMALLULONG, code::ULONG0);

macro_rules! signed {
    ($ty:ty, $name:literal, $full:path, $small:path) => {
        impl Encode for $ty {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                match i8::try_from(*self) {
                    Ok(small) => out.extend_from_slice(&[$small, small.to_be_bytes()[0]]),
                    Err(_) => {
                        out.push($full);
                        out.extend_from_slice(&self.to_be_bytes());
                    }
                }
            }
            #[inline]
            fn encoded_len(&self) -> usize {
                if i8::try_from(*self).is_ok() { 2 } else { 1 + size_of::<Self>() }
            }
        }
        impl Decode for $ty {
            #[inline(always)]
            fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match code {
                    $small => Ok(i8::from_be_bytes([reader.u8($name)?]).into()),
                    $full => Ok(Self::from_be_bytes(reader.array($name)?)),
                    other => Err(reader.error($name, DecodeErrorKind::Constructor(other))),
                }
            }
        }
        impl Typed for $ty {
            const TYPE: &'static str = $name;
        }
    };
}

signed!(i32, "int", code::INT, code::SMALLINT);
signed!(i64, "long", code::LONG, code::SMALLLONG);

impl Encode for bool {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(if *self { code::TRUE } else { code::FALSE });
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        1
    }
}

impl Decode for bool {
    #[inline(always)]
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match code {
            code::TRUE => Ok(true),
            code::FALSE => Ok(false),
            code::BOOLEAN => match reader.u8("boolean")? {
                0 => Ok(false),
                1 => Ok(true),
                other => Err(reader.error("boolean", DecodeErrorKind::Boolean(other))),
            },
            other => Err(reader.error("boolean", DecodeErrorKind::Constructor(other))),
        }
    }
}

impl Typed for bool {
    const TYPE: &'static str = "boolean";
}

impl Encode for char {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(code::CHAR);
        out.extend_from_slice(&u32::from(*self).to_be_bytes());
    }
    fn encoded_len(&self) -> usize {
        5
    }
}

impl Decode for char {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match code {
            code::CHAR => {
                let scalar = reader.u32("char")?;
                Self::from_u32(scalar).ok_or_else(|| reader.error("char", DecodeErrorKind::Char(scalar)))
            }
            other => Err(reader.error("char", DecodeErrorKind::Constructor(other))),
        }
    }
}

impl Typed for char {
    const TYPE: &'static str = "char";
}

impl Encode for Timestamp {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(code::TIMESTAMP);
        out.extend_from_slice(&self.0.to_be_bytes());
    }
    fn encoded_len(&self) -> usize {
        9
    }
}

impl Decode for Timestamp {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match code {
            code::TIMESTAMP => Ok(Self(i64::from_be_bytes(reader.array("timestamp")?))),
            other => Err(reader.error("timestamp", DecodeErrorKind::Constructor(other))),
        }
    }
}

impl Typed for Timestamp {
    const TYPE: &'static str = "timestamp";
}

impl Encode for Uuid {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(code::UUID);
        out.extend_from_slice(self.as_bytes());
    }
    fn encoded_len(&self) -> usize {
        17
    }
}

impl Decode for Uuid {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match code {
            code::UUID => Ok(Self::from_bytes(reader.array("uuid")?)),
            other => Err(reader.error("uuid", DecodeErrorKind::Constructor(other))),
        }
    }
}

impl Typed for Uuid {
    const TYPE: &'static str = "uuid";
}

/// Reads the bytes of a variable-width value.
#[inline(always)]
pub(crate) fn variable<'a>(
    code: u8,
    short: u8,
    long: u8,
    name: &'static str,
    reader: &mut Reader<'a>,
) -> Result<&'a [u8], DecodeError> {
    let length = if code == short {
        usize::from(reader.u8(name)?)
    } else if code == long {
        reader.u32(name)? as usize
    } else {
        return Err(reader.error(name, DecodeErrorKind::Constructor(code)));
    };
    reader.take(length, name)
}

/// A head of two bytes and 16 bytes.
const PIECE: usize = 18;

#[inline]
pub(crate) fn put_variable(bytes: &[u8], short: u8, long: u8, out: &mut Vec<u8>) {
    match u8::try_from(bytes.len()) {
        // Most names and ids, where there is room: written in one piece, without a call that copies a few bytes.
        Ok(length @ 0..=16) if out.capacity() - out.len() >= PIECE => {
            let mut piece = [0; PIECE];
            piece[..2].copy_from_slice(&[short, length]);
            piece[2..].copy_from_slice(&word(bytes).to_le_bytes());
            let end = out.len() + 2 + bytes.len();
            out.extend_from_slice(&piece);
            out.truncate(end);
        }
        _ => {
            put_variable_head(bytes.len(), short, long, out);
            out.extend_from_slice(bytes);
        }
    }
}

/// Writes what stands in front of so many bytes.
#[inline]
pub(crate) fn put_variable_head(length: usize, short: u8, long: u8, out: &mut Vec<u8>) {
    match u8::try_from(length) {
        Ok(length) => out.extend_from_slice(&[short, length]),
        Err(_) => {
            out.push(long);
            out.extend_from_slice(&length32(length));
        }
    }
}

/// Up to 16 bytes as a little-endian number, read as words that may overlap.
#[inline]
pub(super) fn word(bytes: &[u8]) -> u128 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u128::from(u64::from_le_bytes(*first)), u128::from(u64::from_le_bytes(*last)));
        return first | last << (8 * (bytes.len() - 8));
    }
    u128::from(small_word(bytes))
}

/// Up to 8 bytes as a little-endian number.
#[inline]
pub(super) fn small_word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
        return first | last << (8 * (bytes.len() - 4));
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// A length as it stands on the wire.
///
/// # Panics
/// When a value of 4 GiB or more is encoded: no frame or message can hold one.
#[inline]
pub(crate) fn length32(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("an AMQP value is smaller than 4 GiB").to_be_bytes()
}

#[inline]
pub(crate) fn variable_len(length: usize) -> usize {
    if length <= 255 { 2 + length } else { 5 + length }
}

impl Encode for Bytes {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        put_variable(self, code::VBIN8, code::VBIN32, out);
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        variable_len(self.len())
    }
}

impl Decode for Bytes {
    #[inline(always)]
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = variable(code, code::VBIN8, code::VBIN32, "binary", reader)?;
        Ok(reader.share(bytes))
    }
}

impl Typed for Bytes {
    const TYPE: &'static str = "binary";
}

impl Encode for ByteString {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        put_variable(self.as_bytes(), code::STR8, code::STR32, out);
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        variable_len(self.len())
    }
}

impl Decode for ByteString {
    #[inline(always)]
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = variable(code, code::STR8, code::STR32, "string", reader)?;
        Self::try_from(reader.share(bytes)).map_err(|_| reader.error("string", DecodeErrorKind::Utf8))
    }
}

impl Typed for ByteString {
    const TYPE: &'static str = "string";
}

/// A text for people that some peers write in another encoding than UTF-8. To refuse it would hide what
/// it says about the error that it comes with.
pub(crate) struct Lossy(pub(crate) ByteString);

impl Decode for Lossy {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = variable(code, code::STR8, code::STR32, "string", reader)?;
        let text = ByteString::try_from(reader.share(bytes));
        Ok(Self(text.unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())))
    }
}

#[cfg(test)]
mod lossy_tests {
    use super::super::{Error, Reader};
    use super::Decode as _;

    #[test]
    fn a_description_in_latin_1_is_read() {
        let bytes = b"\x00\x53\x1d\xc0\x0a\x02\xa3\x01x\xa1\x04caf\xe9";
        let error = Error::decode(&mut Reader::from_slice(bytes)).unwrap();
        assert_eq!(error.description.as_deref(), Some("caf\u{fffd}"));
    }
}
