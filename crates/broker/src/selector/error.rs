//! What is wrong with a selector.

use thiserror::Error;

use super::{MAX_DEPTH, MAX_LEN, MAX_PATTERN, MAX_PROPERTIES, MAX_STEPS};

/// A selector is malformed, or larger than is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("selector at byte {offset}: {kind}; {}", kind.hint())]
pub(crate) struct SelectorError {
    offset: usize,
    kind: SelectorErrorKind,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub(crate) enum SelectorErrorKind {
    #[error("unexpected character {0:?}")]
    Character(char),
    #[error("no closing {0}")]
    Unclosed(char),
    #[error("malformed number")]
    Number,
    #[error("number too large")]
    TooLarge,
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("the escape is not one character")]
    Escape,
    #[error("the escape has nothing behind it")]
    DanglingEscape,
    #[error("a selector of {0} bytes")]
    TooLong(usize),
    #[error("too many operations")]
    TooManySteps,
    #[error("nested too deep")]
    TooDeep,
    #[error("too many different properties")]
    TooManyProperties,
    #[error("a pattern of {0} bytes")]
    PatternTooLong(usize),
}

impl SelectorError {
    pub(super) fn new(offset: usize, kind: SelectorErrorKind) -> Self {
        Self { offset, kind }
    }

    /// The byte at which it was seen.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    #[cfg(test)]
    pub(super) fn kind(&self) -> &SelectorErrorKind {
        &self.kind
    }
}

impl SelectorErrorKind {
    /// What to write in its place.
    fn hint(&self) -> String {
        match self {
            Self::Character('!') => "not equal is <>".into(),
            Self::Character('%') => "% stands for any text in the pattern of LIKE alone".into(),
            Self::Character('.') => "a number has a digit before or behind the point".into(),
            Self::Character(_) => "names with other characters stand in double quotes".into(),
            Self::Unclosed(quote) => format!("a {quote} inside is written twice"),
            Self::Number => "integers are 10, 017, 0xff or 0b11, others 1.5 or 1e3".into(),
            Self::TooLarge => "integers have 64 bits and a sign".into(),
            Self::Expected(_) => "as in: colour = 'red' AND weight BETWEEN 1 AND 5".into(),
            Self::Escape => "as in: name LIKE 'a!_%' ESCAPE '!', and it is neither % nor _".into(),
            Self::DanglingEscape => "it stands before the character that is meant literally".into(),
            Self::TooLong(_) => format!("{MAX_LEN} are allowed"),
            Self::TooManySteps => format!("{MAX_STEPS} are allowed"),
            Self::TooDeep => format!("{MAX_DEPTH} levels are allowed"),
            Self::TooManyProperties => format!("{MAX_PROPERTIES} are allowed"),
            Self::PatternTooLong(_) => format!("{MAX_PATTERN} are allowed"),
        }
    }
}
