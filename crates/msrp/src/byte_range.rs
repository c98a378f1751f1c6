//! `Byte-Range`: which octets of its message a chunk has (RFC 4975 7.1).

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Which octets of a message a chunk or a report is about: `5-8/8`, or `1-*/*` where it is not known yet.
///
/// Positions count from 1, and the end is the last octet itself. A chunk of no octets ends before it starts: `1-0/0`.
///
/// ```
/// use postroad_msrp::ByteRange;
///
/// let range: ByteRange = "5-*/8".parse()?;
/// assert_eq!((range.start(), range.end(), range.total()), (5, None, Some(8)));
/// assert_eq!(range.to_string(), "5-*/8");
/// # Ok::<_, postroad_msrp::ByteRangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "ByteRangeHeader")]
pub struct ByteRange {
    start: u64,
    end: Option<u64>,
    total: Option<u64>,
}

impl ByteRange {
    /// The highest position and total, of 19 digits: one more octet still is a number of 64 bits.
    pub const MAX: u64 = 9_999_999_999_999_999_999;

    /// `1-0/0`, the range of nothing (RFC 4975 7.1).
    pub const EMPTY: Self = Self { start: 1, end: Some(0), total: Some(0) };

    /// A range from `start`, which counts from 1, to `end` of `total`; none stands for `*`.
    ///
    /// # Errors
    /// There is no such range.
    pub const fn new(start: u64, end: Option<u64>, total: Option<u64>) -> Result<Self, ByteRangeErrorKind> {
        if start == 0 {
            return Err(ByteRangeErrorKind::StartZero);
        }
        if start > Self::MAX {
            return Err(ByteRangeErrorKind::TooLong);
        }
        if let Some(end) = end {
            if end > Self::MAX {
                return Err(ByteRangeErrorKind::TooLong);
            }
            if end < start - 1 {
                return Err(ByteRangeErrorKind::EndBeforeStart);
            }
        }
        if let Some(total) = total {
            if total > Self::MAX {
                return Err(ByteRangeErrorKind::TooLong);
            }
            let reaches = match end {
                Some(end) => end,
                None => start - 1,
            };
            if reaches > total {
                return Err(ByteRangeErrorKind::BeyondTotal);
            }
        }
        Ok(Self { start, end, total })
    }

    /// The range that a value of the header spells.
    ///
    /// # Errors
    /// It spells none.
    pub fn from_bytes(text: &[u8]) -> Result<Self, ByteRangeError> {
        let at = |kind, offset| ByteRangeError { kind, offset };
        let (start, dash) = number(text, 0)?;
        let end_at = behind(text, dash, b'-')?;
        let (end, slash) = number_or_star(text, end_at)?;
        let total_at = behind(text, slash, b'/')?;
        let (total, over) = number_or_star(text, total_at)?;
        if over != text.len() {
            return Err(at(ByteRangeErrorKind::Syntax, over));
        }
        Self::new(start, end, total).map_err(|kind| {
            let offset = match kind {
                ByteRangeErrorKind::EndBeforeStart => end_at,
                ByteRangeErrorKind::BeyondTotal => total_at,
                ByteRangeErrorKind::Syntax | ByteRangeErrorKind::TooLong | ByteRangeErrorKind::StartZero => 0,
            };
            at(kind, offset)
        })
    }

    /// The position of the first octet, from 1.
    #[must_use]
    #[doc(alias = "fro")]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The position of the last octet; none for `*`.
    #[must_use]
    pub const fn end(&self) -> Option<u64> {
        self.end
    }

    /// The octets of the whole message; none for `*`.
    #[must_use]
    #[doc(alias = "length")]
    pub const fn total(&self) -> Option<u64> {
        self.total
    }

    /// The octets as a [`RangeSet`](crate::RangeSet) has them, which counts from 0; none where the end is `*`.
    #[must_use]
    pub fn offsets(&self) -> Option<Range<u64>> {
        Some(self.start - 1..self.end?)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.start)?;
        match self.end {
            Some(end) => write!(f, "{end}/")?,
            None => f.write_str("*/")?,
        }
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

impl FromStr for ByteRange {
    type Err = ByteRangeError;

    fn from_str(text: &str) -> Result<Self, ByteRangeError> {
        Self::from_bytes(text.as_bytes())
    }
}

/// Why a text is no range of octets, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at octet {offset}")]
pub struct ByteRangeError {
    /// Why.
    pub kind: ByteRangeErrorKind,
    /// The offset of the number or octet that is wrong, from 0.
    pub offset: usize,
}

/// Why there is no such range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ByteRangeErrorKind {
    /// A digit, `*`, `-` or `/` is missing, or something is where nothing may be.
    #[error("not of the form 1-25/25")]
    Syntax,
    /// A number has more than 19 digits.
    #[error("a number of more than 19 digits")]
    TooLong,
    /// It starts at 0.
    #[error("a start of 0, where the first octet is 1")]
    StartZero,
    /// The end is more than one octet before the start.
    #[error("an end before the start")]
    EndBeforeStart,
    /// There is less in all than the range reaches to.
    #[error("a total below the range")]
    BeyondTotal,
}

fn number(text: &[u8], from: usize) -> Result<(u64, usize), ByteRangeError> {
    let mut value = 0_u64;
    let mut at = from;
    while let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit()) {
        // 19 digits are always below 2^64.
        if at - from == 19 {
            return Err(ByteRangeError { kind: ByteRangeErrorKind::TooLong, offset: from });
        }
        value = value * 10 + u64::from(digit - b'0');
        at += 1;
    }
    if at == from {
        return Err(ByteRangeError { kind: ByteRangeErrorKind::Syntax, offset: from });
    }
    Ok((value, at))
}

fn number_or_star(text: &[u8], from: usize) -> Result<(Option<u64>, usize), ByteRangeError> {
    if text.get(from) == Some(&b'*') {
        return Ok((None, from + 1));
    }
    number(text, from).map(|(value, at)| (Some(value), at))
}

fn behind(text: &[u8], at: usize, wanted: u8) -> Result<usize, ByteRangeError> {
    if text.get(at) == Some(&wanted) {
        return Ok(at + 1);
    }
    Err(ByteRangeError { kind: ByteRangeErrorKind::Syntax, offset: at })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r11_ranges_of_the_standard_are_read_and_written() {
        for (text, start, end, total) in [
            ("1-25/25", 1, Some(25), Some(25)),
            ("1-*/8", 1, None, Some(8)),
            ("5-8/8", 5, Some(8), Some(8)),
            ("1-0/0", 1, Some(0), Some(0)),
            ("1-*/*", 1, None, None),
            ("138-148/148", 138, Some(148), Some(148)),
            ("9-8/8", 9, Some(8), Some(8)),
            ("9-*/8", 9, None, Some(8)),
            ("1-9999999999999999999/*", 1, Some(ByteRange::MAX), None),
        ] {
            let range: ByteRange = text.parse().unwrap();
            assert_eq!((range.start(), range.end(), range.total()), (start, end, total), "{text}");
            assert_eq!(range.to_string(), text);
        }
        assert_eq!(ByteRange::EMPTY.to_string(), "1-0/0");
        assert_eq!("001-010/0010".parse::<ByteRange>().unwrap().to_string(), "1-10/10");
        assert_eq!("5-8/8".parse::<ByteRange>().unwrap().offsets(), Some(4..8));
        assert_eq!("5-*/8".parse::<ByteRange>().unwrap().offsets(), None);
    }

    #[test]
    fn r11_what_is_no_range_is_refused_with_its_place() {
        use ByteRangeErrorKind::*;
        for (text, kind, offset) in [
            ("", Syntax, 0),
            ("*-1/1", Syntax, 0),
            ("-1/1", Syntax, 0),
            (" 1-1/1", Syntax, 0),
            ("+1-1/1", Syntax, 0),
            ("1", Syntax, 1),
            ("1-", Syntax, 2),
            ("1-1", Syntax, 3),
            ("1-1/", Syntax, 4),
            ("1-**/1", Syntax, 3),
            ("1-1/1 ", Syntax, 5),
            ("1-1/*1", Syntax, 5),
            ("1-1/1x", Syntax, 5),
            ("0-1/1", StartZero, 0),
            ("0-*/*", StartZero, 0),
            ("5-3/8", EndBeforeStart, 2),
            ("2-0/0", EndBeforeStart, 2),
            ("12-*/10", BeyondTotal, 5),
            ("1-9/8", BeyondTotal, 4),
            ("00000000000000000001-1/1", TooLong, 0),
            ("1-10000000000000000000/*", TooLong, 2),
            ("1-*/18446744073709551616", TooLong, 4),
        ] {
            assert_eq!(text.parse::<ByteRange>(), Err(ByteRangeError { kind, offset }), "{text:?}");
        }
        assert_eq!(ByteRange::new(ByteRange::MAX + 1, None, None), Err(TooLong));
        assert_eq!(ByteRange::new(1, Some(u64::MAX), None), Err(TooLong));
        assert_eq!(ByteRange::new(1, None, Some(u64::MAX)), Err(TooLong));
        let error = "5-3/8".parse::<ByteRange>().unwrap_err();
        assert_eq!(error.to_string(), "an end before the start at octet 2");
    }

    proptest! {
        #[test]
        fn r11_every_range_comes_back(start in 0..=u64::MAX, end: Option<u64>, total: Option<u64>, shift in 0_u32..64) {
            let made = ByteRange::new(start >> shift, end.map(|end| end >> shift), total.map(|total| total >> shift));
            if let Ok(range) = made {
                prop_assert_eq!(range.to_string().parse(), Ok(range));
            }
        }

        #[test]
        fn r11_any_octets_are_read_or_refused(text in "[0-9*/ -]{0,12}") {
            if let Ok(range) = text.parse::<ByteRange>() {
                prop_assert_eq!(range.to_string().parse(), Ok(range));
            }
        }
    }
}
