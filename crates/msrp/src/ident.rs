//! Names of transactions (RFC 4975 9, `ident`).

use std::fmt;
use std::str::FromStr;

/// The name of a transaction: 4 to 32 characters, none of which ends a line.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionId {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl TransactionId {
    /// The fewest characters.
    pub const MIN: usize = 4;
    /// The most characters.
    pub const MAX: usize = 32;

    /// The id that these octets spell; nothing where they spell none.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        let first = text.first()?;
        if !(Self::MIN..=Self::MAX).contains(&text.len()) || !first.is_ascii_alphanumeric() {
            return None;
        }
        if !text.iter().copied().all(is_ident) {
            return None;
        }
        let mut bytes = [0; Self::MAX];
        bytes[..text.len()].copy_from_slice(text);
        // Just compared.
        Some(Self { length: text.len() as u8, bytes })
    }

    /// An id of 96 random bits: nobody guesses it, so that no body ends a frame by accident or by intent.
    #[must_use]
    pub fn from_random(random: [u8; 12]) -> Self {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";
        let mut bytes = [0; Self::MAX];
        // The first one is a letter or digit: 30 possibilities are enough there.
        bytes[0] = DIGITS[usize::from(random[0] & 0x1f)];
        let mut rest = u128::from_be_bytes({
            let mut wide = [0; 16];
            wide[4..].copy_from_slice(&random);
            wide
        });
        for byte in &mut bytes[1..17] {
            *byte = DIGITS[(rest & 0x3f) as usize];
            rest >>= 6;
        }
        Self { length: 17, bytes }
    }

    /// Its octets, which are ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("an id is ASCII")
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionId({self})")
    }
}

impl FromStr for TransactionId {
    type Err = IdentError;

    fn from_str(text: &str) -> Result<Self, IdentError> {
        Self::from_bytes(text.as_bytes()).ok_or(IdentError)
    }
}

/// A text that cannot name a transaction or a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("4 to 32 letters, digits and . - + % = were expected, the first a letter or digit")]
pub struct IdentError;

pub(crate) fn is_ident(byte: u8) -> bool {
    IDENT[usize::from(byte)]
}

static IDENT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x7f {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'%' | b'=');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r2_what_names_a_transaction() {
        for text in ["a786", "9.-+", "A%==", "abcdefghijklmnopqrstuvwxyz012345"] {
            assert_eq!(text.parse::<TransactionId>().unwrap().as_str(), text);
        }
        for text in ["", "abc", ".abc", "a b c", "abc$", "a\r\nb", "h\u{f6}rt", "abcdefghijklmnopqrstuvwxyz0123456"] {
            assert_eq!(text.parse::<TransactionId>(), Err(IdentError), "{text:?}");
        }
    }

    #[test]
    fn r2_random_bits_make_different_ids() {
        let mut seen = std::collections::HashSet::new();
        for bit in 0..96 {
            let id = TransactionId::from_random((1_u128 << bit).to_be_bytes()[4..].try_into().unwrap());
            assert_eq!(id.as_str().parse(), Ok(id));
            assert!(seen.insert(id), "bit {bit}");
        }
    }
}
