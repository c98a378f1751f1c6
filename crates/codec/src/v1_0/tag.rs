//! Delivery tags: at most 32 bytes, so they live in place.

use std::fmt;
use std::ops::Deref;

use super::primitive::{put_variable, variable, variable_len};
use super::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Typed, code};

/// The tag of a delivery (AMQP 1.0 part 2, 2.8.7): up to 32 bytes that name it among the unsettled
/// deliveries of its link.
#[derive(Clone, Copy, Default)]
pub struct DeliveryTag {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl DeliveryTag {
    /// The longest tag, in bytes.
    pub const MAX: usize = 32;

    /// A tag, or `None` for more than 32 bytes.
    #[inline]
    #[must_use]
    pub fn new(tag: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        match tag.len() {
            // Nearly every tag; in one word, since bytes that are stored one by one and read in words stall.
            0..=8 => bytes[..8].copy_from_slice(&word(tag)),
            _ => bytes.get_mut(..tag.len())?.copy_from_slice(tag),
        }
        Some(Self { length: u8::try_from(tag.len()).ok()?, bytes })
    }

    /// The tag's bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Up to eight bytes, with zeros behind them.
#[inline]
fn word(tag: &[u8]) -> [u8; 8] {
    if let (Some(first), Some(last)) = (tag.first_chunk(), tag.last_chunk()) {
        let (first, last) = (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
        return (first | last << (8 * (tag.len() - 4))).to_le_bytes();
    }
    tag.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)).to_le_bytes()
}

impl From<u64> for DeliveryTag {
    /// The number's bytes without leading zeros, one byte at least: short tags make short frames.
    fn from(number: u64) -> Self {
        let bytes = number.to_be_bytes();
        let skip = (number.leading_zeros() as usize / 8).min(7);
        Self::new(&bytes[skip..]).expect("eight bytes fit")
    }
}

impl Deref for DeliveryTag {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for DeliveryTag {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for DeliveryTag {}

impl std::hash::Hash for DeliveryTag {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl PartialOrd for DeliveryTag {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DeliveryTag {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Debug for DeliveryTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl Encode for DeliveryTag {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        put_variable(self.as_bytes(), code::VBIN8, code::VBIN32, out);
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        variable_len(self.len())
    }
}

impl Decode for DeliveryTag {
    #[inline(always)]
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bytes = variable(code, code::VBIN8, code::VBIN32, "delivery-tag", reader)?;
        Self::new(bytes).ok_or_else(|| reader.error("delivery-tag", DecodeErrorKind::TagTooLong(bytes.len())))
    }
}

impl Typed for DeliveryTag {
    const TYPE: &'static str = "delivery-tag";
}

impl DeliveryTag {
    pub(crate) const SCHEMA: &'static super::schema::Restricted =
        &super::schema::Restricted { name: "delivery-tag", source: "binary", descriptor: None, choices: &[] };
}
