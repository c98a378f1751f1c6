//! Points in time as RFC 3339 writes them.

use std::fmt;
use std::str::FromStr;

/// A date and a time of day with its distance from UTC: `2001-02-01T12:16:49-05:00`.
///
/// It keeps what was written, and is compared by that; [`unix_seconds`](Self::unix_seconds) says when it is.
///
/// ```
/// use postroad_msrp::content::DateTime;
///
/// let written: DateTime = "1970-01-01T01:00:00.5+01:00".parse()?;
/// assert_eq!(written.unix_seconds(), 0);
/// assert_eq!(DateTime::from_unix_seconds(0).unwrap().to_string(), "1970-01-01T00:00:00Z");
/// # Ok::<_, postroad_msrp::content::DateTimeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DateTime {
    text: Box<str>,
    seconds: i64,
}

impl DateTime {
    /// How many characters one may have: the grammar has no end of digits behind the point.
    pub const MAX_LENGTH: usize = 64;

    /// A point in time in UTC by its distance from the beginning of 1970, in seconds without leap seconds; none outside
    /// the years 0 to 9999.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Option<Self> {
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days since the first of March of year 0, in eras of 400 years, which all have 146 097 days.
        let since = days.checked_add(719_468)?;
        let (era, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era.checked_mul(400)? + year + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let text = (0..=9999)
            .contains(&year)
            .then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))?;
        Some(Self { text: text.into(), seconds })
    }

    /// The distance from the beginning of 1970 in UTC, in whole seconds without leap seconds.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        self.seconds
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for DateTime {
    type Err = DateTimeError;

    fn from_str(text: &str) -> Result<Self, DateTimeError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(DateTimeError);
        }
        let mut rest = text.as_bytes();
        let year = number(&mut rest, 4, 0..=9999)?;
        let month = number_behind(&mut rest, b"-", 1..=12)?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let day = number_behind(&mut rest, b"-", 1..=last)?;
        let hour = number_behind(&mut rest, b"Tt", 0..=23)?;
        let minute = number_behind(&mut rest, b":", 0..=59)?;
        let second = number_behind(&mut rest, b":", 0..=60)?;
        if let [b'.', fraction @ ..] = rest {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            rest = Some(&fraction[digits..]).filter(|_| digits > 0).ok_or(DateTimeError)?;
        }
        let ahead = match rest {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), ..] => {
                rest = &rest[1..];
                let minutes = number(&mut rest, 2, 0..=23)? * 60 + number_behind(&mut rest, b":", 0..=59)?;
                if !rest.is_empty() {
                    return Err(DateTimeError);
                }
                if *sign == b'+' { minutes } else { -minutes }
            }
            _ => return Err(DateTimeError),
        };
        // The year begins in March here, so that the day of a leap year is its last.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468;
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - ahead * 60;
        Ok(Self { text: text.into(), seconds })
    }
}

fn number_behind(
    rest: &mut &[u8],
    separators: &[u8],
    range: std::ops::RangeInclusive<i64>,
) -> Result<i64, DateTimeError> {
    match rest.split_first() {
        Some((byte, behind)) if separators.contains(byte) => *rest = behind,
        _ => return Err(DateTimeError),
    }
    number(rest, 2, range)
}

fn number(rest: &mut &[u8], digits: usize, range: std::ops::RangeInclusive<i64>) -> Result<i64, DateTimeError> {
    let (number, behind) = rest.split_at_checked(digits).ok_or(DateTimeError)?;
    if !number.iter().all(u8::is_ascii_digit) {
        return Err(DateTimeError);
    }
    *rest = behind;
    let number = number.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some(number).filter(|number| range.contains(number)).ok_or(DateTimeError)
}

/// A text is no date with a time and its distance from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no date and time as in 2001-02-01T12:16:49-05:00")]
pub struct DateTimeError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r45_points_in_time() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2001-02-01T12:16:49-05:00", 981_047_809),
            ("2000-12-13T13:40:00-08:00", 976_743_600),
            ("2006-05-15t15:02:31.25-03:00", 1_147_716_151),
            ("2003-01-27T10:43:00z", 1_043_664_180),
            ("2004-02-29T23:59:59+00:00", 1_078_099_199),
            ("1969-12-31T23:59:60Z", 0),
            ("0000-03-01T00:00:00Z", -62_162_035_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            let time: DateTime = text.parse().unwrap();
            assert_eq!((time.unix_seconds(), time.as_str()), (seconds, text));
        }
        assert_eq!(DateTime::from_unix_seconds(981_047_809).unwrap().as_str(), "2001-02-01T17:16:49Z");
        assert_eq!(DateTime::from_unix_seconds(-62_167_219_200).unwrap().as_str(), "0000-01-01T00:00:00Z");
        for outside in [253_402_300_800, -62_167_219_201, i64::MAX, i64::MIN] {
            assert_eq!(DateTime::from_unix_seconds(outside), None);
        }
    }

    #[test]
    fn r45_what_is_no_point_in_time() {
        for text in [
            "",
            "2001-02-01",
            "2001-02-01T12:16:49",
            "2001-02-01 12:16:49Z",
            "2001-02-29T12:16:49Z",
            "1900-02-29T12:16:49Z",
            "2001-13-01T12:16:49Z",
            "2001-04-31T12:16:49Z",
            "2001-02-00T12:16:49Z",
            "2001-02-01T24:16:49Z",
            "2001-02-01T12:60:49Z",
            "2001-02-01T12:16:61Z",
            "2001-02-01T12:16:49.Z",
            "2001-02-01T12:16:49+24:00",
            "2001-02-01T12:16:49+01",
            "2001-02-01T12:16:49+01:00 ",
            "2001-02-01T12:16:49Zx",
            "+001-02-01T12:16:49Z",
            "2001-02-01T12:16:49.00000000000000000000000000000000000000000000Z",
        ] {
            assert_eq!(text.parse::<DateTime>(), Err(DateTimeError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn r45_round_trip(seconds in -62_167_219_200..253_402_300_800i64) {
            let time = DateTime::from_unix_seconds(seconds).unwrap();
            let read = time.as_str().parse();
            prop_assert_eq!(read, Ok(time));
        }
    }
}
