//! The grammar of the Python dialect over its tokens.
//!
//! ```text
//! address = name [ "/" subject ] [ ";" map ] EOF        name: one or more tokens, none of them / or ;
//! map     = "{" [ keyval { "," keyval } [ "," ] ] "}"   subject: any tokens but ;
//! keyval  = value ":" value
//! list    = "[" [ value { "," value } [ "," ] ] "]"
//! value   = NUMBER | STRING | ID | map | list
//! ```
//!
//! One token decides every choice. An alternative that does not fit adds what it wanted to the fault, one that was
//! chosen cuts; so the list of expected tokens in an error is the original's without being written down anywhere.

use nom::{
    Err, IResult, Parser,
    branch::alt,
    combinator::{cut, opt},
    error::{ErrorKind, ParseError as Merge},
    sequence::preceded,
};

use crate::{
    address::{Address, MAX_DEPTH},
    error::{FoundToken, ParseError, ParseErrorKind},
    literal::{BadLiteral, push_text, scalar},
    strict,
    token::{Token, TokenKind, tokens},
    value::{OptionKey, OptionMap, OptionValue},
};

/// Reads an address in the Python dialect; the caller has checked the length.
pub(crate) fn parse(input: &str, strict: bool) -> Result<Address, ParseError> {
    let tokens = tokens(input)?;
    match address(&tokens) {
        Ok((_, address)) if strict => strict::check(input, &tokens).map(|()| address),
        Ok((_, address)) => Ok(address),
        Err(Err::Error(fault) | Err::Failure(fault)) => Err(fault.place(input)),
        Err(Err::Incomplete(_)) => unreachable!("complete parsers never ask for more"),
    }
}

/// The tokens still to read; the last one is always `Eof`, which only `address` eats.
type Tokens<'t, 'a> = &'t [Token<'a>];
type Parsed<'t, 'a, T> = IResult<Tokens<'t, 'a>, T, Fault<'a>>;

fn address<'t, 'a>(input: Tokens<'t, 'a>) -> Parsed<'t, 'a, Address> {
    let (rest, name) = text_until(input, &[TokenKind::Slash, TokenKind::Semi])?;
    let Some(name) = name else {
        return Err(Err::Failure(Fault::unexpected(input)));
    };
    let subject = preceded(eat(TokenKind::Slash), |input| text_until(input, &[TokenKind::Semi]));
    let options = preceded(eat(TokenKind::Semi), cut(|input| map(input, 0)));
    let (rest, (subject, options)) = (opt(subject), opt(options)).parse(rest)?;
    let (rest, _) = eat(TokenKind::Eof)(rest)?;
    let mut address = Address::new(name);
    address.subject = subject.flatten();
    address.options = options;
    Ok((rest, address))
}

/// Joins the text of all tokens up to one of `stops` or the end; `None` when there are none.
fn text_until<'t, 'a>(input: Tokens<'t, 'a>, stops: &[TokenKind]) -> Parsed<'t, 'a, Option<String>> {
    let stop = |token: &Token<'a>| token.kind == TokenKind::Eof || stops.contains(&token.kind);
    let (run, rest) = input.split_at(input.iter().position(stop).unwrap_or(input.len()));
    if run.is_empty() {
        return Ok((rest, None));
    }
    let mut text = String::new();
    for token in run {
        push_text(token, &mut text).map_err(Fault::literal)?;
    }
    Ok((rest, Some(text)))
}

fn value<'t, 'a>(input: Tokens<'t, 'a>, depth: usize) -> Parsed<'t, 'a, OptionValue> {
    alt((
        literal,
        (|input| map(input, depth)).map(OptionValue::Map),
        (|input| list(input, depth)).map(OptionValue::List),
    ))
    .parse(input)
}

fn literal<'t, 'a>(input: Tokens<'t, 'a>) -> Parsed<'t, 'a, OptionValue> {
    let (rest, token) = alt((eat(TokenKind::Number), eat(TokenKind::String), eat(TokenKind::Id))).parse(input)?;
    Ok((rest, scalar(&token).map_err(Fault::literal)?))
}

fn map<'t, 'a>(input: Tokens<'t, 'a>, depth: usize) -> Parsed<'t, 'a, OptionMap> {
    let (mut rest, open) = eat(TokenKind::LBrace)(input)?;
    descend(&open, depth)?;
    let mut entries = Vec::new();
    loop {
        let entry = (|input| keyval(input, depth + 1)).map(Some);
        let (after, entry) = cut(alt((entry, eat(TokenKind::RBrace).map(|_| None)))).parse(rest)?;
        let Some(entry) = entry else {
            return Ok((after, entries.into_iter().collect()));
        };
        entries.push(entry);
        let (after, next) = cut(alt((eat(TokenKind::Comma), eat(TokenKind::RBrace)))).parse(after)?;
        if next.kind == TokenKind::RBrace {
            return Ok((after, entries.into_iter().collect()));
        }
        rest = after;
    }
}

fn keyval<'t, 'a>(input: Tokens<'t, 'a>, depth: usize) -> Parsed<'t, 'a, (OptionKey, OptionValue)> {
    let (rest, key) = value(input, depth)?;
    let (rest, value) = cut(preceded(eat(TokenKind::Colon), |input| value(input, depth))).parse(rest)?;
    let key = OptionKey::try_from(key).map_err(|error| {
        let kind = ParseErrorKind::UnhashableKey { container: error.container };
        Fault::literal((input.first().map_or(0, |token| token.offset), kind))
    })?;
    Ok((rest, (key, value)))
}

fn list<'t, 'a>(input: Tokens<'t, 'a>, depth: usize) -> Parsed<'t, 'a, Vec<OptionValue>> {
    let (mut rest, open) = eat(TokenKind::LBrack)(input)?;
    descend(&open, depth)?;
    let mut items = Vec::new();
    loop {
        // Looked at beforehand: the original does not name RBRACK among what it expects here.
        if let Ok((after, _)) = eat(TokenKind::RBrack)(rest) {
            return Ok((after, items));
        }
        let (after, item) = cut(|input| value(input, depth + 1)).parse(rest)?;
        items.push(item);
        let (after, next) = cut(alt((eat(TokenKind::Comma), eat(TokenKind::RBrack)))).parse(after)?;
        if next.kind == TokenKind::RBrack {
            return Ok((after, items));
        }
        rest = after;
    }
}

/// Refuses the list or map that would be one too deep, before its contents use any stack.
fn descend<'a>(open: &Token<'a>, depth: usize) -> Result<(), Err<Fault<'a>>> {
    if depth < MAX_DEPTH { Ok(()) } else { Err(Fault::literal((open.offset, ParseErrorKind::TooDeep))) }
}

/// Takes the next token when it is of this kind.
fn eat<'t, 'a: 't>(kind: TokenKind) -> impl Fn(Tokens<'t, 'a>) -> Parsed<'t, 'a, Token<'a>> {
    move |input| match input.split_first() {
        Some((token, rest)) if token.kind == kind => Ok((rest, *token)),
        _ => Err(Err::Error(Fault { wanted: 1 << kind as u16, ..Fault::unexpected(input) })),
    }
}

/// Where and why the tokens make no address. Small and without allocation, because most of them are only alternatives
/// that were not taken.
struct Fault<'a> {
    found: Option<Token<'a>>,
    /// The kinds of token that would have fit: a bit for each, by discriminant.
    wanted: u16,
    /// Set when the token fits and its content is at fault.
    literal: Option<Box<BadLiteral>>,
}

impl<'a> Fault<'a> {
    fn unexpected(at: Tokens<'_, 'a>) -> Self {
        Self { found: at.first().copied(), wanted: 0, literal: None }
    }

    fn literal(bad: BadLiteral) -> Err<Self> {
        Err::Failure(Self { found: None, wanted: 0, literal: Some(Box::new(bad)) })
    }

    fn place(self, input: &str) -> ParseError {
        if let Some(bad) = self.literal {
            let (offset, kind) = *bad;
            return ParseError::at(input, offset, kind);
        }
        let end = Token { kind: TokenKind::Eof, text: "", offset: input.len() };
        let Token { kind, text, offset } = self.found.unwrap_or(end);
        let expected = TokenKind::ALL.into_iter().filter(|&kind| self.wanted & 1 << kind as u16 != 0).collect();
        let found = FoundToken { kind, text: text.to_owned() };
        ParseError::at(input, offset, ParseErrorKind::Unexpected { expected, found })
    }
}

impl<'t, 'a> Merge<Tokens<'t, 'a>> for Fault<'a> {
    fn from_error_kind(input: Tokens<'t, 'a>, _: ErrorKind) -> Self {
        Self::unexpected(input)
    }

    fn append(_: Tokens<'t, 'a>, _: ErrorKind, other: Self) -> Self {
        other
    }

    /// Two alternatives failed at the same token: either would have been right.
    fn or(self, other: Self) -> Self {
        Self { wanted: self.wanted | other.wanted, ..other }
    }
}
