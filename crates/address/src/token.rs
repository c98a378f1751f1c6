//! The tokens of the Python dialect: text in, a flat list of tokens out.
//!
//! The original tries its token patterns in a fixed order and takes the first that matches, not the longest. No two of
//! them can begin at the same character and both match, except NUMBER and SYM (`+`, `-`, `.`), so the order below is
//! the original's in effect.

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{take_while_m_n, take_while1},
    character::complete::{anychar, char, digit0, digit1, none_of, one_of},
    combinator::{opt, recognize, value, verify},
    multi::many0_count,
    sequence::{pair, preceded},
};

use crate::{
    address::MAX_ADDRESS_LEN,
    error::{ParseError, ParseErrorKind},
};

/// Names a kind of token, as error messages do (`LBRACE`, `NUMBER`, `EOF`).
///
/// The order of the variants is the order in which an error lists what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// A number: sign, digits, at most one point with a digit behind it.
    Number,
    /// A single- or double-quoted string.
    String,
    /// A word: a letter or `_`, then letters, digits, `_` and inner dashes.
    Id,
    /// `{`
    LBrace,
    /// `[`
    LBrack,
    /// `,`
    Comma,
    /// `}`
    RBrace,
    /// `]`
    RBrack,
    /// `:`
    Colon,
    /// `;`
    Semi,
    /// `/`
    Slash,
    /// A backslash escape outside quotes.
    Esc,
    /// One of `. # * % @ $ ^ ! + -` that is no part of a number or word.
    Sym,
    /// Blanks, tabs and line ends. They part tokens, and the grammar does not see them.
    #[doc(alias = "WSPACE")]
    Blank,
    /// The end of the text.
    Eof,
}

impl TokenKind {
    pub(crate) const ALL: [Self; 15] = [
        Self::Number,
        Self::String,
        Self::Id,
        Self::LBrace,
        Self::LBrack,
        Self::Comma,
        Self::RBrace,
        Self::RBrack,
        Self::Colon,
        Self::Semi,
        Self::Slash,
        Self::Esc,
        Self::Sym,
        Self::Blank,
        Self::Eof,
    ];

    /// Returns the name that the original gives this kind in its error messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "NUMBER",
            Self::String => "STRING",
            Self::Id => "ID",
            Self::LBrace => "LBRACE",
            Self::LBrack => "LBRACK",
            Self::Comma => "COMMA",
            Self::RBrace => "RBRACE",
            Self::RBrack => "RBRACK",
            Self::Colon => "COLON",
            Self::Semi => "SEMI",
            Self::Slash => "SLASH",
            Self::Esc => "ESC",
            Self::Sym => "SYM",
            Self::Blank => "WSPACE",
            Self::Eof => "EOF",
        }
    }
}

impl std::fmt::Display for TokenKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its kind.
    pub kind: TokenKind,
    /// The token as written, quotes and backslashes included; empty at the end.
    pub text: &'a str,
    /// The byte at which the token begins.
    pub offset: usize,
}

/// Splits a text into the tokens of the Python dialect, blanks among them; the last one is [`TokenKind::Eof`].
///
/// It is what [`Address::parse`](crate::Address::parse) does first, for programs that show or check an address.
///
/// ```
/// use postroad_address::{TokenKind, lex};
///
/// let kinds: Vec<_> = lex("foo - 3")?.iter().map(|token| token.kind.name()).collect();
/// assert_eq!(kinds, ["ID", "WSPACE", "SYM", "WSPACE", "NUMBER", "EOF"]);
/// # Ok::<(), postroad_address::ParseError>(())
/// ```
///
/// # Errors
/// A character with which no token begins, and a text that is longer than [`MAX_ADDRESS_LEN`].
pub fn lex(input: &str) -> Result<Vec<Token<'_>>, ParseError> {
    if input.len() > MAX_ADDRESS_LEN { Err(ParseError::too_long(input.len())) } else { scan(input, true) }
}

/// As [`lex`], without the blanks, for a text whose length the caller has checked.
pub(crate) fn tokens(input: &str) -> Result<Vec<Token<'_>>, ParseError> {
    scan(input, false)
}

fn scan(input: &str, blanks: bool) -> Result<Vec<Token<'_>>, ParseError> {
    let mut tokens = Vec::new();
    let mut rest = input;
    while let Some(character) = rest.chars().next() {
        let offset = input.len() - rest.len();
        let Ok((after, kind)) = lexeme(rest) else {
            return Err(ParseError::at(input, offset, ParseErrorKind::Unrecognized { character }));
        };
        if blanks || kind != TokenKind::Blank {
            let text = &rest[..rest.len() - after.len()];
            tokens.push(Token { kind, text, offset });
        }
        rest = after;
    }
    tokens.push(Token { kind: TokenKind::Eof, text: "", offset: input.len() });
    Ok(tokens)
}

fn lexeme(input: &str) -> IResult<&str, TokenKind> {
    alt((
        punctuation,
        value(TokenKind::Number, number),
        value(TokenKind::Id, id),
        value(TokenKind::String, string),
        value(TokenKind::Esc, escape),
        value(TokenKind::Sym, one_of(".#*%@$^!+-")),
        value(TokenKind::Blank, blanks),
    ))
    .parse(input)
}

fn punctuation(input: &str) -> IResult<&str, TokenKind> {
    let (rest, c) = one_of("{}[]:;/,")(input)?;
    let kind = match c {
        '{' => TokenKind::LBrace,
        '}' => TokenKind::RBrace,
        '[' => TokenKind::LBrack,
        ']' => TokenKind::RBrack,
        ':' => TokenKind::Colon,
        ';' => TokenKind::Semi,
        '/' => TokenKind::Slash,
        _ => TokenKind::Comma,
    };
    Ok((rest, kind))
}

/// `[+-]?[0-9]*\.?[0-9]+`: a point needs a digit behind it, none before it.
fn number(input: &str) -> IResult<&str, &str> {
    let fraction = recognize((digit0, char('.'), digit1));
    recognize((opt(one_of("+-")), alt((fraction, digit1)))).parse(input)
}

/// `[a-zA-Z_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?`: dashes inside, none at the end.
fn id(input: &str) -> IResult<&str, &str> {
    let (_, run) = verify(take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-'), |run: &str| {
        run.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    })
    .parse(input)?;
    let end = run.trim_end_matches('-').len();
    Ok((&input[end..], &input[..end]))
}

/// A quoted string; raw line ends pass here and are refused when the string is read.
fn string(input: &str) -> IResult<&str, &str> {
    alt((quoted::<'"'>, quoted::<'\''>)).parse(input)
}

fn quoted<const QUOTE: char>(input: &str) -> IResult<&str, &str> {
    let plain = verify(anychar, |&c| c != '\\' && c != QUOTE);
    let escaped = preceded(char('\\'), none_of("\n"));
    recognize((char(QUOTE), many0_count(alt((plain, escaped))), char(QUOTE))).parse(input)
}

/// `\\[^ux]`, `\\xHH` or `\\uHHHH`.
fn escape(input: &str) -> IResult<&str, &str> {
    let hex = |count| take_while_m_n(count, count, |c: char| c.is_ascii_hexdigit());
    recognize(preceded(
        char('\\'),
        alt((recognize(none_of("ux")), recognize(pair(char('x'), hex(2))), recognize(pair(char('u'), hex(4))))),
    ))
    .parse(input)
}

fn blanks(input: &str) -> IResult<&str, &str> {
    take_while1(|c| matches!(c, ' ' | '\n' | '\r' | '\t'))(input)
}

#[cfg(test)]
mod tests {
    use super::{TokenKind::*, *};

    #[track_caller]
    fn check(input: &str, expected: &[(TokenKind, &str)]) {
        let found = tokens(input).unwrap();
        let (last, found) = found.split_last().unwrap();
        assert_eq!((last.kind, last.offset), (Eof, input.len()));
        let found: Vec<_> = found.iter().map(|token| (token.kind, token.text)).collect();
        assert_eq!(found, expected, "{input}");
    }

    #[test]
    fn blanks_are_tokens_that_the_grammar_does_not_see() {
        let kinds =
            |tokens: Vec<Token<'_>>| tokens.into_iter().map(|token| (token.kind, token.offset)).collect::<Vec<_>>();
        let text = "a \t\r\n;b";
        assert_eq!(kinds(lex(text).unwrap()), [(Id, 0), (Blank, 1), (Semi, 5), (Id, 6), (Eof, 7)]);
        assert_eq!(kinds(tokens(text).unwrap()), [(Id, 0), (Semi, 5), (Id, 6), (Eof, 7)]);
        let long = "a".repeat(MAX_ADDRESS_LEN + 1);
        assert_eq!(lex(&long).unwrap_err().kind(), &ParseErrorKind::TooLong { len: long.len() });
    }

    #[test]
    fn numbers() {
        check("+1.5", &[(Number, "+1.5")]);
        check(".5", &[(Number, ".5")]);
        check("1.", &[(Number, "1"), (Sym, ".")]);
        check("1.2.3", &[(Number, "1.2"), (Number, ".3")]);
        check("+-1", &[(Sym, "+"), (Number, "-1")]);
    }

    #[test]
    fn strings_end_at_their_own_quote() {
        check(r#"'a"b'"c'd""#, &[(String, r#"'a"b'"#), (String, r#""c'd""#)]);
        check(r"'a\'b'", &[(String, r"'a\'b'")]);
        check("'a\nb'", &[(String, "'a\nb'")]);
    }

    #[test]
    fn escapes() {
        check(r"\x41\u1234\;", &[(Esc, r"\x41"), (Esc, r"\u1234"), (Esc, r"\;")]);
        check("\\\n\\é", &[(Esc, "\\\n"), (Esc, "\\é")]);
    }

    #[test]
    fn every_character_outside_the_alphabet_is_refused_where_it_stands() {
        for character in ['&', '(', ')', '?', '=', '~', '|', '<', '>', '\0', 'é', '`', '\u{b}'] {
            let error = tokens(&format!("ab{character}")).unwrap_err();
            assert_eq!(error.kind(), &ParseErrorKind::Unrecognized { character });
            assert_eq!((error.line(), error.column(), error.offset()), (1, 2, 2));
        }
    }
}
