//! Delivery tags: at most 32 bytes, so they live in place.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::Deref;

use super::primitive::{put_variable, small_word, variable, variable_len};
use super::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Typed, code};

/// The tag of a delivery (AMQP 1.0 part 2, 2.8.7): up to 32 bytes that name it among the unsettled
/// deliveries of its link.
// In words: bytes would be copied in odd pieces, and whoever reads them whole would wait for the last.
#[derive(Clone, Copy)]
pub struct DeliveryTag {
    words: [u64; Self::MAX / 8],
    /// The length and one, which leaves the 0 to an optional tag that is absent.
    length: NonZeroU64,
}

impl DeliveryTag {
    /// The longest tag, in bytes.
    pub const MAX: usize = 32;

    /// A tag, or `None` for more than 32 bytes.
    #[inline]
    #[must_use]
    pub fn new(tag: &[u8]) -> Option<Self> {
        let words = match tag.len() {
            // Nearly every tag, which never lies in memory by pieces.
            0..=8 => [small_word(tag).to_le(), 0, 0, 0],
            9..=Self::MAX => long_words(tag),
            _ => return None,
        };
        Some(Self { words, length: NonZeroU64::new(tag.len() as u64 + 1)? })
    }

    #[inline]
    fn length(&self) -> usize {
        (self.length.get() - 1) as usize
    }

    /// The tag's bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &bytemuck::bytes_of(&self.words)[..self.length()]
    }
}

#[inline(never)]
fn long_words(tag: &[u8]) -> [u64; DeliveryTag::MAX / 8] {
    let mut words = [0; DeliveryTag::MAX / 8];
    bytemuck::bytes_of_mut(&mut words)[..tag.len()].copy_from_slice(tag);
    words
}

impl Default for DeliveryTag {
    /// The empty tag.
    fn default() -> Self {
        Self { words: [0; Self::MAX / 8], length: NonZeroU64::MIN }
    }
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
