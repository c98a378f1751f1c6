//! A part of a file (RFC 5547 6).

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use super::error::wrong;
use super::{SdpError, SdpErrorKind};

/// The octets of a file that are transferred; the first one is number 1.
///
/// ```
/// use postroad_msrp::sdp::FileRange;
///
/// // 1000 octets had come before the connection was lost.
/// let rest = FileRange::resume(1000).unwrap();
/// assert_eq!((rest.to_string().as_str(), rest.len(4092)), ("1001-*", 3092));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileRange {
    start: NonZeroU64,
    stop: Option<u64>,
}

impl FileRange {
    /// From one octet to another one, or to the end of the file.
    ///
    /// # Errors
    /// The start is 0, or behind the stop.
    pub fn new(start: u64, stop: Option<u64>) -> Result<Self, SdpError> {
        let first = NonZeroU64::new(start).ok_or_else(|| wrong(SdpErrorKind::Range))?;
        if stop.is_some_and(|stop| stop < start) {
            return Err(wrong(SdpErrorKind::Range));
        }
        Ok(Self { start: first, stop })
    }

    /// What is missing of a file of which this much is there; `None` where no file is that long.
    #[must_use]
    pub fn resume(received: u64) -> Option<Self> {
        Some(Self { start: NonZeroU64::new(received.checked_add(1)?)?, stop: None })
    }

    /// How many octets of the file stand before it.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.start.get() - 1
    }

    /// The number of its last octet, where it is not the last one of the file.
    #[must_use]
    pub fn stop(&self) -> Option<u64> {
        self.stop
    }

    /// How many octets it has of a file of this size; 0 where the file is shorter.
    #[must_use]
    pub fn len(&self, size: u64) -> u64 {
        self.stop.map_or(size, |stop| stop.min(size)).saturating_sub(self.offset())
    }
}

impl fmt::Display for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stop {
            Some(stop) => write!(f, "{}-{stop}", self.start),
            None => write!(f, "{}-*", self.start),
        }
    }
}

impl FromStr for FileRange {
    type Err = SdpError;

    fn from_str(text: &str) -> Result<Self, SdpError> {
        let (start, stop) = text.trim().split_once('-').ok_or_else(|| wrong(SdpErrorKind::Range))?;
        let stop = if stop == "*" { None } else { Some(number(stop)?) };
        Self::new(number(start)?, stop)
    }
}

/// Digits and nothing else.
pub(super) fn number(text: &str) -> Result<u64, SdpError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| wrong(SdpErrorKind::Number))
}
