//! The C++ dialect: recursive descent over characters, with no escapes.
//!
//! ```text
//! address = name [ "/" [ subject ] ] [ ";" [ map ] ]    name: quoted, or a run without blanks, / and ;
//! map     = "{" { key ":" value [ "," ] } "}"           subject: quoted, or a run without blanks and ;
//! list    = "[" { value [ "," ] } "]"                   word: a run without blanks and ' " { } [ ] , : /
//! ```
//! Blanks may stand before any of these.

use std::collections::BTreeSet;

use nom::{Parser, bytes::complete::take_while1, character::complete::char, error::Error};

use crate::{
    address::{Address, MAX_DEPTH},
    error::{CppFault, ParseError, ParseErrorKind},
    strict::{Laxity, has_leading_zeros},
    value::{Float, OptionKey, OptionMap, OptionValue},
};

/// Reads an address in the C++ dialect; the caller has checked the length.
pub(crate) fn parse(input: &str, strict: bool) -> Result<Address, ParseError> {
    let mut reader = Reader::new(input);
    let Some(name) = reader.text("/;")? else {
        return Err(reader.fault(CppFault::ExpectedName));
    };
    let mut address = Address::new(name);
    if reader.eat('/') {
        address.subject = reader.text(";")?;
    }
    if reader.eat(';') {
        let semicolon = reader.place() - 1;
        address.options = reader.map(0)?;
        if address.options.is_none() {
            reader.note(semicolon, Laxity::NoOptions);
        }
    }
    if !reader.at_end() {
        return Err(reader.fault(CppFault::Trailing));
    }
    match reader.laxity {
        Some((place, laxity)) if strict => Err(ParseError::at(input, place, ParseErrorKind::NotStrict(laxity))),
        _ => Ok(address),
    }
}

/// Reads a map that stands alone, in the C++ dialect; `None` when the text begins otherwise. The caller has checked the length.
pub(crate) fn parse_map(input: &str) -> Result<Option<OptionMap>, ParseError> {
    let mut reader = Reader::new(input);
    match reader.map(0)? {
        Some(_) if !reader.at_end() => Err(reader.fault(CppFault::Trailing)),
        map => Ok(map),
    }
}

struct Reader<'a> {
    input: &'a str,
    rest: &'a str,
    /// The first thing that a strict reader refuses, and its place.
    laxity: Option<(usize, Laxity)>,
}

impl<'a> Reader<'a> {
    fn new(input: &'a str) -> Self {
        Self { input, rest: input, laxity: None }
    }

    /// A quoted text, or a run of characters up to a blank or one of `stops`.
    fn text(&mut self, stops: &str) -> Result<Option<String>, ParseError> {
        if let Some(quoted) = self.quoted()? {
            return Ok(Some(quoted.to_owned()));
        }
        let word = self.word(stops);
        for (at, character) in word.unwrap_or_default().char_indices() {
            let laxity = match character {
                '{' | '}' | '[' | ']' => Laxity::BareBracket { bracket: character },
                '\'' | '"' => Laxity::BareQuote,
                '\\' => Laxity::BareBackslash,
                _ => continue,
            };
            self.note(self.place() - word.map_or(0, str::len) + at, laxity);
        }
        Ok(word.map(str::to_owned))
    }

    fn map(&mut self, depth: usize) -> Result<Option<OptionMap>, ParseError> {
        if !self.open('{', depth)? {
            return Ok(None);
        }
        let mut entries = Vec::new();
        let mut keys = BTreeSet::new();
        while let Some(key) = self.key()? {
            if !keys.insert(key) {
                // A quoted key ends before its quote.
                let place = self.input[..self.place()].rfind(key).unwrap_or_default();
                self.note(place, Laxity::DuplicateKey { key: key.to_owned() });
            }
            if !self.eat(':') {
                return Err(self.fault(CppFault::ExpectedColon));
            }
            let Some(value) = self.value(depth + 1)? else {
                return Err(self.fault(CppFault::ExpectedValue));
            };
            entries.push((OptionKey::from(key), value));
            if !self.eat(',') {
                break;
            }
        }
        if !self.eat('}') {
            return Err(self.fault(CppFault::UnmatchedBrace));
        }
        Ok(Some(entries.into_iter().collect()))
    }

    fn list(&mut self, depth: usize) -> Result<Option<Vec<OptionValue>>, ParseError> {
        if !self.open('[', depth)? {
            return Ok(None);
        }
        let mut items = Vec::new();
        while let Some(item) = self.value(depth + 1)? {
            items.push(item);
            if !self.eat(',') {
                break;
            }
        }
        if self.eat(']') { Ok(Some(items)) } else { Err(self.fault(CppFault::UnmatchedBracket)) }
    }

    fn key(&mut self) -> Result<Option<&'a str>, ParseError> {
        match self.word(RESERVED) {
            Some(word) => Ok(Some(word)),
            None => self.quoted(),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Option<OptionValue>, ParseError> {
        if let Some(word) = self.word(RESERVED) {
            let value = variant(word);
            if !matches!(value, OptionValue::String(_)) && has_leading_zeros(word) {
                self.note(self.place() - word.len(), Laxity::LeadingZeros { number: word.to_owned() });
            }
            return Ok(Some(value));
        }
        if let Some(text) = self.quoted()? {
            return Ok(Some(OptionValue::from(text)));
        }
        if let Some(map) = self.map(depth)? {
            return Ok(Some(OptionValue::Map(map)));
        }
        Ok(self.list(depth)?.map(OptionValue::List))
    }

    fn word(&mut self, stops: &str) -> Option<&'a str> {
        self.step(take_while1(|c| !is_blank(c) && !stops.contains(c)))
    }

    fn quoted(&mut self) -> Result<Option<&'a str>, ParseError> {
        for quote in ['"', '\''] {
            if self.eat(quote) {
                let Some(end) = self.rest.find(quote) else {
                    self.rest = "";
                    return Err(self.fault(CppFault::UnmatchedQuote));
                };
                let text = &self.rest[..end];
                self.rest = &self.rest[end + 1..];
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Opens a list or map, unless it would be one too deep.
    fn open(&mut self, delimiter: char, depth: usize) -> Result<bool, ParseError> {
        if !self.eat(delimiter) {
            return Ok(false);
        }
        if depth < MAX_DEPTH {
            return Ok(true);
        }
        let place = self.place() - delimiter.len_utf8();
        Err(ParseError::at(self.input, place, ParseErrorKind::TooDeep))
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.step(char(wanted)).is_some()
    }

    /// Moves on past blanks, and then past what `parser` reads, if it does.
    fn step<T>(&mut self, mut parser: impl Parser<&'a str, Output = T, Error = Error<&'a str>>) -> Option<T> {
        self.rest = self.rest.trim_start_matches(is_blank);
        let (rest, value) = parser.parse(self.rest).ok()?;
        self.rest = rest;
        Some(value)
    }

    /// Moves on past blanks and tells whether nothing else is left.
    fn at_end(&mut self) -> bool {
        self.rest = self.rest.trim_start_matches(is_blank);
        self.rest.is_empty()
    }

    /// The byte that is next.
    fn place(&self) -> usize {
        self.input.len() - self.rest.len()
    }

    fn fault(&self, fault: CppFault) -> ParseError {
        ParseError::at(self.input, self.place(), ParseErrorKind::Cpp(fault))
    }

    fn note(&mut self, place: usize, laxity: Laxity) {
        self.laxity.get_or_insert((place, laxity));
    }
}

/// What ends a word inside the options.
pub(crate) const RESERVED: &str = "'\"{}[],:/";

/// C's `isspace`.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// An unquoted value: a whole number, a number, a boolean in any case, and otherwise text.
///
/// Past 63 bits the C++ client goes on to unsigned and floating-point numbers; such digits are text here, and nothing of
/// them is lost.
pub(crate) fn variant(word: &str) -> OptionValue {
    if let Ok(int) = word.parse() {
        return OptionValue::Int(int);
    }
    let integral = word.trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit());
    if let Some(float) = word.parse().ok().filter(|_| !integral).and_then(Float::new) {
        return OptionValue::Float(float);
    }
    if word.eq_ignore_ascii_case("true") {
        OptionValue::Bool(true)
    } else if word.eq_ignore_ascii_case("false") {
        OptionValue::Bool(false)
    } else {
        OptionValue::from(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, name: &str, subject: Option<&str>, options: Option<&str>) {
        let address = parse(input, false).unwrap();
        assert_eq!((address.name.as_str(), address.subject.as_deref()), (name, subject), "{input}");
        assert_eq!(address.options.map(|map| map.to_string()).as_deref(), options, "{input}");
    }

    fn refuse(input: &str, message: &str) {
        assert_eq!(parse(input, false).unwrap_err().to_string(), message);
    }

    #[test]
    fn words_that_the_other_dialect_refuses() {
        let text = r"a&b\/c/d; {e: amq.topic, f: 1.2.3, g: 1e5, h: @x, i: [j,], k: TRUE, l: -.5, m: 007, n: None,}";
        let options = "{e: 'amq.topic', f: '1.2.3', g: 100000.0, h: '@x', i: [j], k: True, l: -0.5, m: 7, n: 'None'}";
        check(text, "a&b\\", Some("c/d"), Some(options));
        check(
            "x; {a: 9223372036854775808, b: inf, c: -}",
            "x",
            None,
            Some("{a: '9223372036854775808', b: inf, c: '-'}"),
        );
        check("foo/", "foo", None, None);
        check(" foo ; ", "foo", None, None);
        check("''", "", None, None);
    }

    #[test]
    fn faults_are_the_originals() {
        refuse("", "Expected name, character 0 of ");
        refuse("  ;", "Expected name, character 2 of   ;");
        refuse("foo bar", "Unexpected chars in address: bar, character 4 of foo bar");
        refuse("foo; bar", "Unexpected chars in address: bar, character 5 of foo; bar");
        refuse("foo; {a:b", "Unmatched '{'!, character 9 of foo; {a:b");
        refuse("foo; {a:b c}", "Unmatched '{'!, character 10 of foo; {a:b c}");
        refuse("foo; {a:[b}", "Unmatched '['!, character 10 of foo; {a:[b}");
        refuse("foo; {a}", "Bad key-value pair, expected ':', character 7 of foo; {a}");
        refuse("foo; {a:}", "Expected value, character 8 of foo; {a:}");
        refuse("'foo", "Unmatched delimiter, character 4 of 'foo");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!("x; {{a: {}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&nested(MAX_DEPTH - 1), false).is_ok());
        let error = parse(&nested(MAX_DEPTH), false).unwrap_err();
        assert_eq!((error.kind(), error.column()), (&ParseErrorKind::TooDeep, 7 + MAX_DEPTH - 1));
        assert_eq!(
            parse(&format!("x;{{a:{}", "[".repeat(60_000)), false).unwrap_err().kind(),
            &ParseErrorKind::TooDeep
        );
    }
}
