//! Names of messages (RFC 4975 7.1.1).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::TransactionId;
use crate::ident::IdentError;

/// The name of a message, which all its chunks and reports have.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId(Bytes);

impl MessageId {
    /// The longest that is read. The standard has 32 (RFC 4975 9); some peers need more.
    pub const MAX: usize = 128;

    /// The id that was received: any visible ASCII of up to [`MAX`](Self::MAX).
    #[must_use]
    pub fn received(text: Bytes) -> Option<Self> {
        let good = (1..=Self::MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        good.then_some(Self(text))
    }

    /// An id of 96 random bits, which no other message has.
    #[must_use]
    pub fn from_random(random: [u8; 12]) -> Self {
        Self(Bytes::copy_from_slice(TransactionId::from_random(random).as_bytes()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is ASCII")
    }

    /// Its octets.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl FromStr for MessageId {
    type Err = IdentError;

    /// The id to send, which is as the standard has it.
    fn from_str(text: &str) -> Result<Self, IdentError> {
        text.parse::<TransactionId>()?;
        Ok(Self(Bytes::copy_from_slice(text.as_bytes())))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r2_what_is_sent_is_strict_and_what_is_read_is_not() {
        assert!("12339sdqwer".parse::<MessageId>().is_ok());
        for text in ["m", "<a@b>", "a\r\nb", &"x".repeat(33)] {
            assert_eq!(text.parse::<MessageId>(), Err(IdentError), "{text:?}");
        }
        for text in ["m", "<a@b>", &"x".repeat(128)] {
            assert_eq!(MessageId::received(text.to_owned().into()).unwrap().as_str(), text);
        }
        for text in ["", "a b", "a\r\nb", "\u{f6}", &"x".repeat(129)] {
            assert_eq!(MessageId::received(text.to_owned().into()), None, "{text:?}");
        }
    }
}
