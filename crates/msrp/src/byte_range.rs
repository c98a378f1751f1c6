//! Which octets of a message a chunk has (RFC 4975 7.1.1).

use std::fmt;
use std::str::FromStr;

/// The value of `Byte-Range`: `1-25/25`, or `1-*/*` where neither end nor total is said. Octets count from one; an empty
/// message is `1-0/0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    start: u64,
    end: Option<u64>,
    total: Option<u64>,
}

/// More digits are no number of octets: 19 of them always fit.
const DIGITS: usize = 19;

impl ByteRange {
    /// A range.
    ///
    /// # Errors
    /// It begins before the first octet, ends before it begins, or beyond the total.
    pub fn new(start: u64, end: Option<u64>, total: Option<u64>) -> Result<Self, ByteRangeError> {
        if start == 0 {
            return Err(ByteRangeError::Start);
        }
        if end.is_some_and(|end| end < start - 1) {
            return Err(ByteRangeError::End);
        }
        if total.is_some_and(|total| end.unwrap_or(start - 1) > total) {
            return Err(ByteRangeError::Total);
        }
        Ok(Self { start, end, total })
    }

    /// The range of a message that is whole.
    #[must_use]
    pub const fn whole(size: u64) -> Self {
        Self { start: 1, end: Some(size), total: Some(size) }
    }

    /// The first octet, from one on.
    #[doc(alias = "fro")]
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The last octet, where it is said. A chunk may end before (RFC 4975 7.1.1).
    #[must_use]
    pub const fn end(&self) -> Option<u64> {
        self.end
    }

    /// The size of the whole message, where it is said.
    #[doc(alias = "length")]
    #[must_use]
    pub const fn total(&self) -> Option<u64> {
        self.total
    }

    /// The range that these octets spell.
    ///
    /// # Errors
    /// They spell none.
    pub fn from_bytes(text: &[u8]) -> Result<Self, ByteRangeError> {
        let (start, rest) = number(text)?;
        let rest = rest.strip_prefix(b"-").ok_or(ByteRangeError::Syntax)?;
        let (end, rest) = number_or_star(rest)?;
        let rest = rest.strip_prefix(b"/").ok_or(ByteRangeError::Syntax)?;
        let (total, rest) = number_or_star(rest)?;
        if !rest.is_empty() {
            return Err(ByteRangeError::Syntax);
        }
        Self::new(start, end, total)
    }
}

impl FromStr for ByteRange {
    type Err = ByteRangeError;

    fn from_str(text: &str) -> Result<Self, ByteRangeError> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, number: Option<u64>| match number {
            Some(number) => number.fmt(f),
            None => f.write_str("*"),
        };
        write!(f, "{}-", self.start)?;
        part(f, self.end)?;
        f.write_str("/")?;
        part(f, self.total)
    }
}

fn number(text: &[u8]) -> Result<(u64, &[u8]), ByteRangeError> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match digits {
        0 => Err(ByteRangeError::Syntax),
        1..=DIGITS => {
            let number = text[..digits].iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            Ok((number, &text[digits..]))
        }
        _ => Err(ByteRangeError::TooLarge),
    }
}

fn number_or_star(text: &[u8]) -> Result<(Option<u64>, &[u8]), ByteRangeError> {
    match text.strip_prefix(b"*") {
        Some(rest) => Ok((None, rest)),
        None => number(text).map(|(number, rest)| (Some(number), rest)),
    }
}

/// What is wrong with a byte range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ByteRangeError {
    /// It is not like `1-25/25`.
    #[error("a byte range is like 1-25/25, with * for what is not known")]
    Syntax,
    /// A number has more than 19 digits.
    #[error("a number of more than 19 digits")]
    TooLarge,
    /// It begins at 0: octets count from 1.
    #[error("octets count from 1")]
    Start,
    /// It ends before it begins.
    #[error("it ends before it begins")]
    End,
    /// It ends, or begins, beyond the message.
    #[error("it is not within the message")]
    Total,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r11_byte_ranges() {
        for (text, start, end, total) in [
            ("1-25/25", 1, Some(25), Some(25)),
            ("1-*/*", 1, None, None),
            ("5-8/*", 5, Some(8), None),
            ("1-0/0", 1, Some(0), Some(0)),
            ("26-25/25", 26, Some(25), Some(25)),
            (
                "9999999999999999999-*/9999999999999999999",
                9_999_999_999_999_999_999,
                None,
                Some(9_999_999_999_999_999_999),
            ),
        ] {
            let range: ByteRange = text.parse().unwrap();
            assert_eq!((range.start(), range.end(), range.total()), (start, end, total));
            assert_eq!(range.to_string(), text);
        }
        assert_eq!(ByteRange::whole(7).to_string(), "1-7/7");
        for (text, error) in [
            ("", ByteRangeError::Syntax),
            ("1", ByteRangeError::Syntax),
            ("1-2", ByteRangeError::Syntax),
            ("1-2/3 ", ByteRangeError::Syntax),
            ("*-2/3", ByteRangeError::Syntax),
            ("+1-2/3", ByteRangeError::Syntax),
            ("1--2/3", ByteRangeError::Syntax),
            ("0-2/3", ByteRangeError::Start),
            ("3-1/3", ByteRangeError::End),
            ("1-4/3", ByteRangeError::Total),
            ("5-*/3", ByteRangeError::Total),
            ("10000000000000000000-*/*", ByteRangeError::TooLarge),
            ("1-*/99999999999999999999999999999", ByteRangeError::TooLarge),
        ] {
            assert_eq!(text.parse::<ByteRange>(), Err(error), "{text}");
        }
    }
}
