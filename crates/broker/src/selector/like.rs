//! Patterns of LIKE: `%` is any text, `_` any character.

use super::MAX_PATTERN;
use super::error::SelectorErrorKind;

/// A pattern, cut at its `%`.
///
/// Pieces are sought from left to right, and the first place where one is found is as good as any other: nothing is
/// tried twice. The time is linear where pieces are text, and at worst the length of the text by that of the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What the text starts with; without a `%` it is all of it.
    first: Piece,
    /// What comes in between, in this order.
    middle: Vec<Piece>,
    /// What the text ends with, where there is a `%`.
    last: Option<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// `None` is any character.
    Mixed(Box<[Option<char>]>),
}

impl Pattern {
    pub(super) fn new(pattern: &str, escape: Option<char>) -> Result<Self, SelectorErrorKind> {
        if pattern.len() > MAX_PATTERN {
            return Err(SelectorErrorKind::PatternTooLong(pattern.len()));
        }
        let mut pieces = vec![Vec::new()];
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            let unit = match c {
                c if Some(c) == escape => Some(chars.next().ok_or(SelectorErrorKind::DanglingEscape)?),
                '%' => {
                    pieces.push(Vec::new());
                    continue;
                }
                '_' => None,
                c => Some(c),
            };
            pieces.last_mut().expect("it starts with one").push(unit);
        }
        let mut pieces = pieces.into_iter().map(Piece::new);
        let first = pieces.next().expect("it starts with one");
        let last = pieces.next_back();
        Ok(Self { first, middle: pieces.filter(|piece| !piece.is_empty()).collect(), last })
    }

    /// How often it may look at each byte of a text; what is at its ends alone is found at once.
    pub(super) fn cost(&self) -> usize {
        let length = |piece: &Piece| match piece {
            Piece::Text(_) => 0,
            Piece::Mixed(units) => units.len(),
        };
        usize::from(!self.middle.is_empty()) + self.middle.iter().map(length).sum::<usize>()
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(mut rest) = self.first.strip_start(text) else { return false };
        let Some(last) = &self.last else { return rest.is_empty() };
        let Some(before) = last.strip_end(rest) else { return false };
        rest = before;
        for piece in &self.middle {
            let Some(behind) = piece.strip_through(rest) else { return false };
            rest = behind;
        }
        true
    }
}

impl Piece {
    fn new(units: Vec<Option<char>>) -> Self {
        match units.iter().copied().collect::<Option<String>>() {
            Some(text) => Self::Text(text.into()),
            None => Self::Mixed(units.into()),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }

    /// What is behind it in a text that starts with it.
    fn strip_start<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Text(piece) => text.strip_prefix(&**piece),
            Self::Mixed(units) => {
                let mut chars = text.chars();
                units.iter().all(|unit| fits(*unit, chars.next())).then_some(chars.as_str())
            }
        }
    }

    /// What is in front of it in a text that ends with it.
    fn strip_end<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Text(piece) => text.strip_suffix(&**piece),
            Self::Mixed(units) => {
                let mut chars = text.chars();
                units.iter().rev().all(|unit| fits(*unit, chars.next_back())).then_some(chars.as_str())
            }
        }
    }

    /// What is behind the first place where it is.
    fn strip_through<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Text(piece) => text.find(&**piece).map(|at| &text[at + piece.len()..]),
            Self::Mixed(_) => {
                let mut chars = text.chars();
                loop {
                    if let Some(behind) = self.strip_start(chars.as_str()) {
                        return Some(behind);
                    }
                    chars.next()?;
                }
            }
        }
    }
}

fn fits(unit: Option<char>, c: Option<char>) -> bool {
    c.is_some() && (unit.is_none() || unit == c)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn like(text: &str, pattern: &str) -> bool {
        Pattern::new(pattern, Some('!')).unwrap().matches(text)
    }

    #[test]
    fn patterns() {
        for (text, pattern) in [
            ("", ""),
            ("", "%"),
            ("abc", "abc"),
            ("abc", "a%"),
            ("abc", "%c"),
            ("abc", "%b%"),
            ("abc", "a_c"),
            ("abc", "___"),
            ("abc", "%%_%%"),
            ("größe", "gr_ße"),
            ("aab", "%ab"),
            ("ababab", "a%b%ab"),
            ("100%", "100!%"),
            ("a_b", "a!_b"),
            ("a!b", "a!!b"),
            // What regular expressions make something of is plain text.
            (r"{}[]<>,.$^&*()-+=?/|\", r"{}[]<>,.$^&*()-+=?/|\"),
            ("line\nbreak", "line%k"),
        ] {
            assert!(like(text, pattern), "{text} LIKE {pattern}");
        }
        for (text, pattern) in [
            ("abc", ""),
            ("abc", "ab"),
            ("abc", "b%"),
            ("abc", "____"),
            ("", "_"),
            ("abc", "ABC"),
            ("aXb", "a.b"),
            ("aa", "a*"),
            ("axb", "a!_b"),
            ("ab", "ab%b"),
            ("1000", "100!%"),
        ] {
            assert!(!like(text, pattern), "{text} NOT LIKE {pattern}");
        }
        assert_eq!(Pattern::new("a!", Some('!')), Err(SelectorErrorKind::DanglingEscape));
        assert!(Pattern::new(&"a".repeat(MAX_PATTERN + 1), None).is_err());
    }

    #[test]
    fn patterns_that_make_others_slow_do_not() {
        let started = Instant::now();
        let text = "a".repeat(100_000);
        assert!(!like(&text, &format!("{}b", "%a".repeat(200))));
        assert!(!like(&text, &format!("%{}b%", "_a".repeat(100))));
        assert!(!like(&text, &format!("%{}b", "a%_".repeat(100))));
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    /// The textbook's recursion.
    fn slowly(text: &[char], pattern: &[char]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            (['%', rest @ ..], text) => (0..=text.len()).any(|skip| slowly(&text[skip..], rest)),
            (['_', rest @ ..], [_, text @ ..]) => slowly(text, rest),
            ([c, rest @ ..], [first, text @ ..]) => c == first && slowly(text, rest),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_the_textbooks(text in "[abä]{0,8}", pattern in "[abä%_]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(like(&text, &pattern), slowly(&chars(&text), &chars(&pattern)));
        }
    }
}
