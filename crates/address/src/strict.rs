//! What a strict reader refuses of the Python dialect although the grammar takes it: one pass over the tokens of a text
//! that is an address.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use crate::{
    error::{ParseError, ParseErrorKind},
    literal::scalar,
    token::{Token, TokenKind},
    value::OptionValue,
};

/// Something that a strict reader refuses, because the original takes it only by accident and does not do what it seems
/// to say. See [`Address::parse_strict`](crate::Address::parse_strict).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Laxity {
    /// A blank between the parts of an unquoted name or subject. It vanishes: `foo bar` names `foobar`.
    BlankInText,
    /// A brace or bracket in an unquoted name or subject, mostly of options whose `;` is missing.
    BareBracket {
        /// The brace or bracket.
        bracket: char,
    },
    /// An escaped letter or digit outside quotes. It stands for itself: `\n` is an `n`.
    EscapedLetter {
        /// The letter or digit.
        letter: char,
    },
    /// An escape inside quotes that Python does not know, and so keeps with its backslash; or one of a line end.
    UnknownEscape {
        /// The escape.
        escape: String,
    },
    /// The same key twice in one map. The last value counts.
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A key that is a number, `True`, `False` or `None`. The documented grammar has words there.
    KeyIsNoText {
        /// The key.
        key: String,
    },
    /// A number with zeros in front, which is octal for some readers.
    LeadingZeros {
        /// The number.
        number: String,
    },
    /// A quote inside an unquoted name or subject of the C++ dialect. It stands for itself there, and begins a string in the
    /// other dialect.
    BareQuote,
    /// A backslash in an unquoted name or subject of the C++ dialect. It stands for itself there, and escapes in the other
    /// dialect.
    BareBackslash,
    /// A `;` with no options behind it, in the C++ dialect.
    NoOptions,
}

impl Laxity {
    /// What to write instead.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::BlankInText => "put the text in quotes, as in 'my queue'; without quotes the blank vanishes",
            Self::BareBracket { .. } => {
                "begin options with ;, as in my-queue; {create: always}, or put the text in quotes"
            }
            Self::EscapedLetter { .. } => {
                r"leave the backslash out; outside quotes only \xHH and \uHHHH are characters, and '\n' needs quotes"
            }
            Self::UnknownEscape { .. } => r"write \\ for a backslash",
            Self::DuplicateKey { .. } => "give each key once",
            Self::KeyIsNoText { .. } => "put the key in quotes",
            Self::LeadingZeros { .. } => "drop the zeros, or quote the digits when they are text",
            Self::BareQuote | Self::BareBackslash => "put the whole text in quotes",
            Self::NoOptions => "drop the ; or write options behind it, as in {create: always}",
        }
    }
}

impl fmt::Display for Laxity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlankInText => f.write_str("blank in an unquoted text"),
            Self::BareBracket { bracket } => write!(f, "{bracket} in an unquoted text"),
            Self::EscapedLetter { letter } => write!(f, "needless escape \\{letter}"),
            Self::UnknownEscape { escape } => write!(f, "unknown escape {escape}"),
            Self::DuplicateKey { key } => write!(f, "key {key} a second time"),
            Self::KeyIsNoText { key } => write!(f, "key {key} is no text"),
            Self::LeadingZeros { number } => write!(f, "leading zeros in {number}"),
            Self::BareQuote => f.write_str("quote in an unquoted text"),
            Self::BareBackslash => f.write_str("backslash in an unquoted text"),
            Self::NoOptions => f.write_str("no options behind the ;"),
        }
    }
}

/// Looks for the first laxity of an address that has been read from these tokens.
pub(crate) fn check(input: &str, tokens: &[Token<'_>]) -> Result<(), ParseError> {
    let options = tokens.iter().position(|token| token.kind == TokenKind::Semi).unwrap_or(tokens.len());
    let (text, options) = tokens.split_at(options);
    let found = in_text(text).or_else(|| in_options(options));
    match found {
        Some((offset, laxity)) => Err(ParseError::at(input, offset, ParseErrorKind::NotStrict(laxity))),
        None => Ok(()),
    }
}

/// A laxity and its place.
type Found = (usize, Laxity);

/// The tokens of name and subject.
fn in_text(tokens: &[Token<'_>]) -> Option<Found> {
    let mut end_of_part = None;
    let mut name = true;
    for token in tokens {
        let place = |laxity| Some((token.offset, laxity));
        match token.kind {
            // Blanks may stand around the first slash; further ones are part of the subject.
            TokenKind::Slash if name => {
                (name, end_of_part) = (false, None);
                continue;
            }
            TokenKind::Eof => break,
            TokenKind::LBrace | TokenKind::RBrace | TokenKind::LBrack | TokenKind::RBrack => {
                let bracket = token.text.chars().next().unwrap_or_default();
                return place(Laxity::BareBracket { bracket });
            }
            TokenKind::Esc => match token.text[1..].chars().next() {
                Some(letter) if letter.is_alphanumeric() && token.text.len() == 1 + letter.len_utf8() => {
                    return place(Laxity::EscapedLetter { letter });
                }
                _ => {}
            },
            TokenKind::String => {
                if let Some(found) = in_string(token) {
                    return Some(found);
                }
            }
            _ => {}
        }
        if end_of_part.is_some_and(|end| end < token.offset) {
            return end_of_part.map(|end| (end, Laxity::BlankInText));
        }
        end_of_part = Some(token.offset + token.text.len());
    }
    None
}

/// The tokens behind the name and subject; the grammar has seen that each colon has its key before it.
fn in_options(tokens: &[Token<'_>]) -> Option<Found> {
    let mut maps: Vec<BTreeSet<Cow<'_, str>>> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let place = |laxity| Some((token.offset, laxity));
        match token.kind {
            TokenKind::LBrace => maps.push(BTreeSet::new()),
            TokenKind::RBrace => drop(maps.pop()),
            TokenKind::Number if has_leading_zeros(token.text) => {
                return place(Laxity::LeadingZeros { number: token.text.to_owned() });
            }
            TokenKind::String => {
                if let Some(found) = in_string(token) {
                    return Some(found);
                }
            }
            _ => {}
        }
        if tokens.get(at + 1).is_none_or(|next| next.kind != TokenKind::Colon) {
            continue;
        }
        let key = match scalar(token) {
            Ok(OptionValue::String(_)) if token.kind == TokenKind::Id => Cow::Borrowed(token.text),
            Ok(OptionValue::String(text)) => Cow::Owned(text),
            _ => return place(Laxity::KeyIsNoText { key: token.text.to_owned() }),
        };
        if maps.last_mut().is_some_and(|keys| !keys.insert(key)) {
            return place(Laxity::DuplicateKey { key: token.text.to_owned() });
        }
    }
    None
}

/// The first escape inside quotes that is none.
fn in_string(token: &Token<'_>) -> Option<Found> {
    let mut characters = token.text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character != '\\' {
            continue;
        }
        let (_, escaped) = characters.next()?;
        if !"\\'\"abfnrtvxuU01234567".contains(escaped) {
            let end = at + 1 + escaped.len_utf8();
            let escape = token.text[at..end].to_owned();
            return Some((token.offset + at, Laxity::UnknownEscape { escape }));
        }
    }
    None
}

/// Zeros before another digit, also of a number with a point: `007`, `00`, `-01.5`.
pub(crate) fn has_leading_zeros(number: &str) -> bool {
    let digits = number.trim_start_matches(['+', '-']);
    digits.len() > 1 && digits.starts_with('0') && digits[1..].starts_with(|c: char| c.is_ascii_digit())
}
