//! What a sender wants to hear of a message (RFC 4975 7.1.2).

use std::fmt;
use std::str::FromStr;

/// Whether a sender wants to hear that a message did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FailureReport {
    /// Each chunk is answered, and what goes wrong farther on is reported.
    #[default]
    Yes,
    /// Only what goes wrong is answered and reported: silence is success.
    Partial,
    /// Nothing is answered, and nothing reported.
    No,
}

impl FailureReport {
    /// The value of the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Partial => "partial",
            Self::No => "no",
        }
    }
}

impl fmt::Display for FailureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for FailureReport {
    type Err = ReportError;

    fn from_str(text: &str) -> Result<Self, ReportError> {
        let all = [Self::Yes, Self::Partial, Self::No];
        all.into_iter().find(|value| text.eq_ignore_ascii_case(value.as_str())).ok_or(ReportError)
    }
}

/// Whether a sender wants to hear that a message has arrived: `yes` or `no`.
///
/// # Errors
/// Something else.
pub(crate) fn success_report(text: &str) -> Result<bool, ReportError> {
    match text {
        _ if text.eq_ignore_ascii_case("yes") => Ok(true),
        _ if text.eq_ignore_ascii_case("no") => Ok(false),
        _ => Err(ReportError),
    }
}

/// A value of `Success-Report` or `Failure-Report` that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither yes nor no, nor partial for failures")]
pub struct ReportError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r32_what_is_to_be_reported() {
        assert_eq!(FailureReport::default(), FailureReport::Yes);
        for value in [FailureReport::Yes, FailureReport::Partial, FailureReport::No] {
            assert_eq!(value.to_string().parse(), Ok(value));
            assert_eq!(value.as_str().to_uppercase().parse(), Ok(value));
        }
        assert_eq!("".parse::<FailureReport>(), Err(ReportError));
        assert_eq!(
            (success_report("Yes"), success_report("no"), success_report("partial")),
            (Ok(true), Ok(false), Err(ReportError))
        );
    }
}
