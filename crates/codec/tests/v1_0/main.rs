//! The behaviour of the AMQP 1.0 codec.

mod arbitrary;
mod composites;
mod compounds;
mod corpus;
mod frames;
mod golden;
mod limits;
mod messages;
mod multiple;
mod outlines;
mod primitives;
mod printing;
mod properties;
mod protocol_headers;
mod samples;
mod views;
mod zero_copy;

use postroad_codec::v1_0::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Value};

/// Bytes from hex digits; blanks are for the eye.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

/// Reads one value that must take all the bytes.
fn decode<T: Decode>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::from_slice(bytes);
    let value = T::decode(&mut reader)?;
    reader.finish("test")?;
    Ok(value)
}

/// Writes a value, and holds the length that it announces against the one that it has.
fn encode(value: &impl Encode) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    assert_eq!(out.len(), value.encoded_len());
    out
}

/// Why these bytes are no such value.
fn refusal<T: Decode + std::fmt::Debug>(bytes: &[u8]) -> DecodeErrorKind {
    decode::<T>(bytes).unwrap_err().kind
}

/// A described list, as a composite type is written.
fn list_of(code: u64, fields: Vec<Value>) -> Vec<u8> {
    encode(&Value::described(code, Value::List(fields)))
}
