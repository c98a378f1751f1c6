//! Why a text is no address: the original's facts, and for a person the place and what to write instead.

use std::fmt;

use crate::{
    address::{MAX_ADDRESS_LEN, MAX_DEPTH},
    strict::Laxity,
    token::TokenKind,
};

/// Says why a text is no address, and where.
///
/// `{}` prints the facts on one line in the words of the original parsers; `{:#}` (or [`report`](Self::report)) adds the
/// line with a caret under the place, and a hint:
///
/// ```
/// let error = postroad_address::Address::parse("orders; create").unwrap_err();
/// assert_eq!(error.to_string(), "expecting LBRACE, got ID(create) line:1,8:orders; create");
/// assert_eq!(
///     format!("{error:#}"),
///     "expecting LBRACE, got ID(create) line:1,8\n\
///     \x20 orders; create\n\
///     \x20         ^\n\
///      hint: options are a map: write {create: always}"
/// );
/// ```
#[doc(alias = "MalformedAddress")]
#[doc(alias = "LexError")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    kind: ParseErrorKind,
    offset: usize,
    input: Box<str>,
}

/// What went wrong in a [`ParseError`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// No token begins here: a character outside the alphabet, an open quote, a broken escape. Quotes let any character in.
    Unrecognized {
        /// The character at the place.
        character: char,
    },
    /// A token stands where another was wanted.
    Unexpected {
        /// What would have been right; empty when the name is missing.
        expected: Vec<TokenKind>,
        /// What stands there.
        found: FoundToken,
    },
    /// A line ends inside quotes; `\n` writes a line feed there. The original answers with a `SyntaxError`.
    LineEndInQuotes,
    /// A NUL character inside quotes; `\x00` writes one. The original answers with a `SyntaxError`.
    NulInQuotes,
    /// An escape with too few digits, one that names no character, or `\N{..}`.
    BadEscape {
        /// The escape as far as it makes sense.
        escape: String,
    },
    /// A whole number with a leading zero, octal for some and decimal for others. The original answers with a `SyntaxError`.
    LeadingZeros {
        /// The number as written.
        number: String,
    },
    /// A number that 64 bits do not hold.
    NumberOutOfRange {
        /// The number as written.
        number: String,
    },
    /// A list or map as the key of a map. The original answers with a `TypeError`.
    UnhashableKey {
        /// `list` or `map`.
        container: &'static str,
    },
    /// The text is longer than [`MAX_ADDRESS_LEN`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Lists and maps nest deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A fault in the C++ dialect, which knows no tokens.
    Cpp(CppFault),
    /// The text is an address, and a strict reader was asked for.
    NotStrict(Laxity),
}

/// The faults of [`Dialect::Cpp`](crate::Dialect::Cpp), one for each message of the C++ parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CppFault {
    /// There is no name.
    ExpectedName,
    /// A map does not end.
    UnmatchedBrace,
    /// A list does not end.
    UnmatchedBracket,
    /// A key has no colon behind it.
    ExpectedColon,
    /// A key has no value.
    ExpectedValue,
    /// A quoted string does not end.
    UnmatchedQuote,
    /// Something follows the address.
    Trailing,
}

/// Tells which half of the parser refused the text; the original has an exception class for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The text does not split into tokens (the original's `LexError`).
    Lex,
    /// The tokens make no address (the original's `ParseError`, or a crash).
    Parse,
}

/// A token as an error shows it: `ID(asdf)`, `STRING('x')`, `EOF`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundToken {
    /// Its kind.
    pub kind: TokenKind,
    /// Its text as written; empty for the end.
    pub text: String,
}

impl CppFault {
    /// The original's words, without the place.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::ExpectedName => "Expected name",
            Self::UnmatchedBrace => "Unmatched '{'!",
            Self::UnmatchedBracket => "Unmatched '['!",
            Self::ExpectedColon => "Bad key-value pair, expected ':'",
            Self::ExpectedValue => "Expected value",
            Self::UnmatchedQuote => "Unmatched delimiter",
            Self::Trailing => "Unexpected chars in address",
        }
    }

    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::ExpectedName => "an address begins with a name, as in my-queue; {create: always}",
            Self::UnmatchedBrace => "close the map with }, and put commas between entries",
            Self::UnmatchedBracket => "close the list with ], and put commas between items",
            Self::ExpectedColon => "an option is a key and a value, as in {create: always}",
            Self::ExpectedValue => "write a value behind the colon, as in {create: always}",
            Self::UnmatchedQuote => "close the quote; this dialect has no escapes",
            Self::Trailing => "quote a name with blanks in it, and begin options with ;",
        }
    }
}

impl ParseError {
    pub(crate) fn at(input: &str, offset: usize, kind: ParseErrorKind) -> Self {
        Self { kind, offset, input: input.into() }
    }

    /// A text past the limit is not kept in the error.
    pub(crate) fn too_long(len: usize) -> Self {
        Self { kind: ParseErrorKind::TooLong { len }, offset: 0, input: "".into() }
    }

    /// Returns what went wrong.
    pub fn kind(&self) -> &ParseErrorKind {
        &self.kind
    }

    /// Tells which half of the parser refused the text.
    pub fn phase(&self) -> Phase {
        match self.kind {
            ParseErrorKind::Unrecognized { .. } | ParseErrorKind::TooLong { .. } => Phase::Lex,
            _ => Phase::Parse,
        }
    }

    /// Returns the kinds of token that would have been right, in the original's order.
    pub fn expected(&self) -> &[TokenKind] {
        match &self.kind {
            ParseErrorKind::Unexpected { expected, .. } => expected,
            _ => &[],
        }
    }

    /// Returns the token that was wrong, where one was.
    pub fn found(&self) -> Option<&FoundToken> {
        match &self.kind {
            ParseErrorKind::Unexpected { found, .. } => Some(found),
            _ => None,
        }
    }

    /// Returns the line, counted from 1.
    pub fn line(&self) -> usize {
        1 + self.before().matches('\n').count()
    }

    /// Returns the column in characters, counted from 0 on every line.
    ///
    /// The original is one too high on every line but the first, and shows no text for them.
    pub fn column(&self) -> usize {
        self.input[self.line_start()..self.offset].chars().count()
    }

    /// Returns the place in bytes from the start of the text.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the text of the line, without its end; empty when the text was too long to keep.
    pub fn line_text(&self) -> &str {
        self.input[self.line_start()..].split('\n').next().unwrap_or_default()
    }

    /// Returns the error as several lines for a person: facts, the line with a caret under the place, a hint.
    pub fn report(&self) -> String {
        format!("{self:#}")
    }

    /// Tells what to write instead, as far as that can be guessed.
    pub fn hint(&self) -> &'static str {
        use ParseErrorKind as Kind;
        match &self.kind {
            Kind::Unrecognized { character: '"' | '\'' } => "close the quote",
            Kind::Unrecognized { character: '\\' } => {
                r"write two hex digits after \x, four after \u, and \\ for a backslash"
            }
            Kind::Unrecognized { .. } => "put the text in quotes, as in 'a&b'",
            Kind::Unexpected { expected, found } => unexpected_hint(expected, found),
            Kind::LineEndInQuotes => r"write \n for a line feed inside quotes",
            Kind::NulInQuotes => r"write \x00 for a NUL inside quotes",
            Kind::BadEscape { .. } => r"write \xHH, \uHHHH or \UHHHHHHHH for a character, and \\ for a backslash",
            Kind::LeadingZeros { .. } => "drop the zeros, or quote the digits when they are text",
            Kind::NumberOutOfRange { .. } => "quote the digits when they are text",
            Kind::UnhashableKey { .. } => "a key is a word, a quoted string or a number, as in {create: always}",
            Kind::TooLong { .. } => "pass large arguments in code",
            Kind::TooDeep => "pass deep arguments in code",
            Kind::Cpp(fault) => fault.hint(),
            Kind::NotStrict(laxity) => laxity.hint(),
        }
    }

    fn before(&self) -> &str {
        &self.input[..self.offset]
    }

    fn line_start(&self) -> usize {
        self.before().rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn write_facts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ParseErrorKind as Kind;
        match &self.kind {
            Kind::Unrecognized { .. } => f.write_str("unrecognized characters"),
            Kind::Unexpected { expected, found } => match expected.as_slice() {
                [] => write!(f, "unexpected token {found}"),
                [one] => write!(f, "expecting {one}, got {found}"),
                several => {
                    let names: Vec<_> = several.iter().map(|kind| kind.name()).collect();
                    write!(f, "expecting ({}), got {found}", names.join(", "))
                }
            },
            Kind::LineEndInQuotes => f.write_str("line end inside quotes"),
            Kind::NulInQuotes => f.write_str("NUL character inside quotes"),
            Kind::BadEscape { escape } => write!(f, "broken escape {escape}"),
            Kind::LeadingZeros { number } => write!(f, "leading zeros in {number}"),
            Kind::NumberOutOfRange { number } => write!(f, "number out of range: {number}"),
            Kind::UnhashableKey { container } => write!(f, "unhashable type: '{container}'"),
            Kind::TooLong { len } => {
                write!(f, "address of {len} bytes, {MAX_ADDRESS_LEN} are allowed")
            }
            Kind::TooDeep => write!(f, "options nest more than {MAX_DEPTH} levels deep"),
            Kind::Cpp(CppFault::Trailing) => {
                write!(f, "{}: {}", CppFault::Trailing.text(), &self.input[self.offset..])
            }
            Kind::Cpp(fault) => f.write_str(fault.text()),
            Kind::NotStrict(laxity) => write!(f, "{laxity}"),
        }
    }

    /// The line with a caret under the place, cut so that it fits a terminal and shows no control characters.
    fn write_caret(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BEFORE: usize = 48;
        const WIDTH: usize = 72;
        let column = self.column();
        let skipped = column.saturating_sub(BEFORE);
        let line = self.line_text().trim_end_matches('\r');
        let shown: String = line
            .chars()
            .skip(skipped)
            .take(WIDTH)
            .map(|c| {
                if c == '\t' {
                    ' '
                } else if c.is_control() {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                }
            })
            .collect();
        let lead = if skipped > 0 { ".." } else { "" };
        let tail = if line.chars().nth(skipped + WIDTH).is_some() { ".." } else { "" };
        write!(f, "\n  {lead}{shown}{tail}\n  {:1$}^", "", lead.len() + column - skipped)
    }
}

fn unexpected_hint(expected: &[TokenKind], found: &FoundToken) -> &'static str {
    use TokenKind as Kind;
    let end = found.kind == Kind::Eof;
    match expected {
        [] => "an address begins with a name, as in my-queue/subject; {create: always}",
        [Kind::LBrace] if end => "drop the ; or write options behind it, as in {create: always}",
        [Kind::LBrace] => "options are a map: write {create: always}",
        [Kind::Colon] => "an option is a key and a value, as in {create: always}",
        [Kind::Eof] => "nothing may follow the options",
        [Kind::Comma, Kind::RBrace] if end => "close the map with }",
        [Kind::Comma, Kind::RBrack] if end => "close the list with ]",
        [Kind::Comma, Kind::RBrace | Kind::RBrack] if found.kind == Kind::RBrace => "close the list with ]",
        [Kind::Comma, Kind::RBrace | Kind::RBrack] => {
            "put a comma between values, and quote a value of more than one word, as in 'amq.topic'"
        }
        [.., Kind::RBrace] if end => "close the map with }",
        _ if found.kind == Kind::Comma => "drop the comma",
        _ if matches!(found.kind, Kind::Sym | Kind::Esc | Kind::Slash) => "quote the text, as in 'amq.topic'",
        _ if end => "write a value, as in {create: always}",
        _ if found.kind == Kind::RBrace => "write a value, or close the list with ]",
        _ => "write a word, a number, a quoted string, a map or a list here",
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_facts(f)?;
        if matches!(self.kind, ParseErrorKind::TooLong { .. }) {
            // There is no text to show.
            return if f.alternate() { write!(f, "\nhint: {}", self.hint()) } else { Ok(()) };
        }
        let (line, column) = (self.line(), self.column());
        if f.alternate() {
            write!(f, " line:{line},{column}")?;
            self.write_caret(f)?;
            return write!(f, "\nhint: {}", self.hint());
        }
        match self.kind {
            ParseErrorKind::Cpp(_) => write!(f, ", character {} of {}", self.offset, self.input),
            // The original's two exceptions differ in this blank.
            ParseErrorKind::Unrecognized { .. } => {
                write!(f, " line:{line},{column}: {}", self.line_text())
            }
            _ => write!(f, " line:{line},{column}:{}", self.line_text()),
        }
    }
}

impl std::error::Error for ParseError {}

impl fmt::Display for FoundToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TokenKind::Eof => f.write_str("EOF"),
            kind => write!(f, "{kind}({})", self.text),
        }
    }
}
