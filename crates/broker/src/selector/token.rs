//! The words of a selector.

use std::borrow::Cow;

use super::error::{SelectorError, SelectorErrorKind as Kind};

/// A word with the place where it starts, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) at: usize,
    pub(super) word: Word<'a>,
}

/// What a selector is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word<'a> {
    End,
    Keyword(Keyword),
    /// A name, which is in double quotes where it would be something else without them.
    Name(Cow<'a, str>),
    Text(Cow<'a, str>),
    /// An integer as it is written; only a decimal one may be too large for a long.
    Exact {
        magnitude: u64,
        decimal: bool,
    },
    Approx(f64),
    Sign(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    And,
    Between,
    Escape,
    False,
    In,
    Is,
    Like,
    Not,
    Null,
    Or,
    True,
}

/// Words that are no names, whatever their case (JMS 2.0, 3.8.1.1).
const KEYWORDS: [(&str, Keyword); 11] = [
    ("and", Keyword::And),
    ("between", Keyword::Between),
    ("escape", Keyword::Escape),
    ("false", Keyword::False),
    ("in", Keyword::In),
    ("is", Keyword::Is),
    ("like", Keyword::Like),
    ("not", Keyword::Not),
    ("null", Keyword::Null),
    ("or", Keyword::Or),
    ("true", Keyword::True),
];

/// Those of two characters come before those that they begin with.
const SIGNS: [&str; 13] = ["<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "(", ")", ","];

/// Reads a selector word by word.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next word; behind the last one it is the end, again and again.
    pub(super) fn next(&mut self) -> Result<Token<'a>, SelectorError> {
        let rest = self.rest().trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
        let at = self.text.len() - rest.len();
        self.at = at;
        let Some(first) = rest.chars().next() else { return Ok(Token { at, word: Word::End }) };
        let word = match first {
            '\'' => Word::Text(self.quoted('\'')?),
            '"' => Word::Name(self.quoted('"')?),
            first if starts_name(first) => self.name(),
            '0'..='9' => self.number()?,
            '.' if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => self.number()?,
            other => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| SelectorError::new(at, Kind::Character(other)))?;
                self.at += sign.len();
                Word::Sign(sign)
            }
        };
        Ok(Token { at, word })
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// What is between quotes, where two are one.
    fn quoted(&mut self, quote: char) -> Result<Cow<'a, str>, SelectorError> {
        let start = self.at;
        let inside = &self.text[start + 1..];
        let mut end = 0;
        let mut doubled = false;
        loop {
            let Some(found) = inside[end..].find(quote) else {
                return Err(SelectorError::new(start, Kind::Unclosed(quote)));
            };
            end += found;
            if !inside[end + 1..].starts_with(quote) {
                break;
            }
            doubled = true;
            end += 2;
        }
        self.at = start + 1 + end + 1;
        let content = &inside[..end];
        if doubled {
            let (two, one) = if quote == '"' { ("\"\"", "\"") } else { ("''", "'") };
            return Ok(content.replace(two, one).into());
        }
        Ok(content.into())
    }

    fn name(&mut self) -> Word<'a> {
        let rest = self.rest();
        let end = rest.find(|c| !(starts_name(c) || c == '.' || c.is_numeric())).unwrap_or(rest.len());
        self.at += end;
        let name = &rest[..end];
        let keyword = KEYWORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(name));
        keyword.map_or_else(|| Word::Name(name.into()), |(_, keyword)| Word::Keyword(*keyword))
    }

    /// A number as Java writes it: in base 2, 8, 10 or 16, with underscores, with a suffix for its type.
    fn number(&mut self) -> Result<Word<'a>, SelectorError> {
        let start = self.at;
        let rest = self.rest();
        let malformed = || SelectorError::new(start, Kind::Number);
        let (base, prefix) = match rest.as_bytes() {
            [b'0', b'x' | b'X', ..] => (16, 2),
            [b'0', b'b' | b'B', ..] => (2, 2),
            _ => (10, 0),
        };
        let digits = |from: usize| {
            let part = &rest[from..];
            let end = part.find(|c: char| !(c.is_digit(base) || c == '_')).unwrap_or(part.len());
            &part[..end]
        };
        let whole = digits(prefix);
        if prefix > 0 && !whole.starts_with(|c: char| c.is_digit(base)) {
            return Err(malformed());
        }
        let mut end = prefix + whole.len();
        let mut approx = false;
        if base == 10 && rest[end..].starts_with('.') {
            approx = true;
            end += 1;
            end += digits(end).len();
        }
        let mut exponent = None;
        let marks = if base == 16 { ['p', 'P'] } else { ['e', 'E'] };
        if base != 2 && rest[end..].starts_with(marks) {
            approx = true;
            let from = end + 1;
            let signed = usize::from(rest[from..].starts_with(['+', '-']));
            let part = &rest[from + signed..];
            let length = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            if length == 0 {
                return Err(malformed());
            }
            end = from + signed + length;
            exponent = Some(&rest[from..end]);
        }
        let written = &rest[..end];
        // In base 16 `d` and `f` are digits.
        if base == 10 && rest[end..].starts_with(['f', 'F', 'd', 'D']) {
            approx = true;
            end += 1;
        } else if !approx && rest[end..].starts_with(['l', 'L']) {
            end += 1;
        }
        if rest[end..].starts_with(|c| starts_name(c) || char::is_numeric(c)) {
            return Err(malformed());
        }
        self.at += end;
        let too_large = || SelectorError::new(start, Kind::TooLarge);
        if approx {
            let value = match (base, exponent) {
                (16, Some(exponent)) => {
                    let whole = u64::from_str_radix(&plain(whole), 16).map_err(|_| too_large())?;
                    let exponent: i32 = exponent.parse().map_err(|_| too_large())?;
                    whole as f64 * 2f64.powi(exponent)
                }
                _ => plain(written).parse().map_err(|_| malformed())?,
            };
            return if value.is_finite() { Ok(Word::Approx(value)) } else { Err(too_large()) };
        }
        let whole = plain(whole);
        let octal = base == 10 && whole.len() > 1 && whole.starts_with('0');
        let base = if octal { 8 } else { base };
        if octal && !whole.bytes().all(|digit| digit < b'8') {
            return Err(malformed());
        }
        let magnitude = u64::from_str_radix(&whole, base).map_err(|_| too_large())?;
        Ok(Word::Exact { magnitude, decimal: base == 10 })
    }
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '$'
}

fn plain(digits: &str) -> Cow<'_, str> {
    if digits.contains('_') { digits.replace('_', "").into() } else { digits.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word<'_>> {
        let mut tokens = Tokens::new(text);
        let mut words = Vec::new();
        loop {
            match tokens.next().unwrap().word {
                Word::End => return words,
                word => words.push(word),
            }
        }
    }

    fn name(name: &str) -> Word<'_> {
        Word::Name(name.into())
    }

    #[test]
    fn words_are_told_apart() {
        assert_eq!(words(" \t\n"), []);
        assert_eq!(words("a<=b"), [name("a"), Word::Sign("<="), name("b")]);
        assert_eq!(words("nOt null_1"), [Word::Keyword(Keyword::Not), name("null_1")]);
        assert_eq!(words("$a.b_c größe"), [name("$a.b_c"), name("größe")]);
        assert_eq!(words(r#""null-1" "an ""odd"" one""#), [name("null-1"), name(r#"an "odd" one"#)]);
        assert_eq!(words("'it''s' ''"), [Word::Text("it's".into()), Word::Text("".into())]);
    }

    #[test]
    fn numbers_are_written_as_in_java() {
        let exact = |magnitude, decimal| Word::Exact { magnitude, decimal };
        assert_eq!(words("0 12L 1_000"), [exact(0, true), exact(12, true), exact(1000, true)]);
        assert_eq!(words("017 0xfF 0b1_01l"), [exact(15, false), exact(255, false), exact(5, false)]);
        let approx = [".5 5. 1e3", "2.5E-1 3f 0d", "0x800p-3 1_0.5D 34.25e+2"].map(words).concat();
        let values = [0.5, 5.0, 1000.0, 0.25, 3.0, 0.0, 256.0, 10.5, 3425.0].map(Word::Approx);
        assert_eq!(approx, values);
        assert_eq!(words("u-1"), [name("u"), Word::Sign("-"), exact(1, true)]);
    }

    #[test]
    fn what_is_no_word_says_where_and_why() {
        let fault = |text| {
            let mut tokens = Tokens::new(text);
            loop {
                match tokens.next() {
                    Ok(Token { word: Word::End, .. }) => panic!("{text} is fine"),
                    Ok(_) => {}
                    Err(error) => return (error.offset(), error.kind().clone()),
                }
            }
        };
        assert_eq!(fault("a ^ b"), (2, Kind::Character('^')));
        assert_eq!(fault("a = 'open"), (4, Kind::Unclosed('\'')));
        assert_eq!(fault("'it''s"), (0, Kind::Unclosed('\'')));
        for number in ["019", "0x", "0b2", "34e", ".3e+", "12abc", "0x_1"] {
            assert_eq!(fault(number), (0, Kind::Number), "{number}");
        }
        for number in ["18446744073709551616", "1e999", "0x1_0000_0000_0000_0000"] {
            assert_eq!(fault(number), (0, Kind::TooLarge), "{number}");
        }
        assert_eq!(fault("."), (0, Kind::Character('.')));
    }
}
