//! What a token stands for: the text of a string, the value of a number.
//!
//! The original hands both to Python's `eval`; this module reads what that would, as Python 3 does, and turns every
//! crash into a typed error.

use crate::{
    error::ParseErrorKind,
    token::{Token, TokenKind},
    value::{Float, OptionValue},
};

/// A literal that cannot be read: the byte of the address at which it goes wrong, and why.
pub(crate) type BadLiteral = (usize, ParseErrorKind);

/// Appends what `token` means inside a name or subject.
pub(crate) fn push_text(token: &Token<'_>, out: &mut String) -> Result<(), BadLiteral> {
    match token.kind {
        TokenKind::String => push_string(token, out),
        TokenKind::Esc => push_escape(token, out),
        _ => {
            out.push_str(token.text);
            Ok(())
        }
    }
}

/// The value of a NUMBER, STRING or ID token in the options.
pub(crate) fn scalar(token: &Token<'_>) -> Result<OptionValue, BadLiteral> {
    match token.kind {
        TokenKind::Number => number(token),
        TokenKind::String => {
            let mut text = String::new();
            push_string(token, &mut text)?;
            Ok(OptionValue::String(text))
        }
        _ => Ok(match constant(token.text) {
            Some(constant) => constant,
            None => OptionValue::String(token.text.to_owned()),
        }),
    }
}

/// The words that are not strings. `null`, `TRUE` and `none` are strings in the original, so they are here.
pub(crate) fn constant(word: &str) -> Option<OptionValue> {
    match word {
        "True" | "true" => Some(OptionValue::Bool(true)),
        "False" | "false" => Some(OptionValue::Bool(false)),
        "None" => Some(OptionValue::Null),
        _ => None,
    }
}

fn number(token: &Token<'_>) -> Result<OptionValue, BadLiteral> {
    let text = token.text;
    let refuse = |kind| Err((token.offset, kind));
    if text.contains('.') {
        return match text.parse().ok().and_then(Float::new) {
            Some(float) => Ok(OptionValue::Float(float)),
            None => refuse(ParseErrorKind::NumberOutOfRange { number: text.to_owned() }),
        };
    }
    // Python 3 takes `0` and `00`, and refuses `007`, which was octal in Python 2.
    let digits = text.trim_start_matches(['+', '-']);
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|digit| digit != b'0') {
        return refuse(ParseErrorKind::LeadingZeros { number: text.to_owned() });
    }
    match text.parse() {
        Ok(int) => Ok(OptionValue::Int(int)),
        Err(_) => refuse(ParseErrorKind::NumberOutOfRange { number: text.to_owned() }),
    }
}

/// An escape outside quotes: `\xHH` and `\uHHHH` are characters, any other character stands for itself.
fn push_escape(token: &Token<'_>, out: &mut String) -> Result<(), BadLiteral> {
    let after = &token.text[1..];
    match after.as_bytes().first() {
        Some(b'x' | b'u') => {
            let code = u32::from_str_radix(&after[1..], 16).ok();
            let Some(character) = code.and_then(char::from_u32) else {
                return Err((token.offset, ParseErrorKind::BadEscape { escape: token.text.to_owned() }));
            };
            out.push(character);
        }
        _ => out.push_str(after),
    }
    Ok(())
}

/// A quoted string: Python 3's escapes for `str`, `\N{..}` aside.
fn push_string(token: &Token<'_>, out: &mut String) -> Result<(), BadLiteral> {
    let body = &token.text[1..token.text.len() - 1];
    let start = token.offset + 1;
    let mut rest = body;
    while let Some(character) = rest.chars().next() {
        let here = start + (body.len() - rest.len());
        match character {
            '\\' => {
                let (taken, meaning) = match quoted_escape(rest) {
                    Ok(read) => read,
                    Err(len) => {
                        let escape = rest[..len].to_owned();
                        return Err((here, ParseErrorKind::BadEscape { escape }));
                    }
                };
                match meaning {
                    Meaning::Character(character) => out.push(character),
                    Meaning::Nothing => {}
                    Meaning::Verbatim => out.push_str(&rest[..taken]),
                }
                rest = &rest[taken..];
            }
            '\n' | '\r' => return Err((here, ParseErrorKind::LineEndInQuotes)),
            '\0' => return Err((here, ParseErrorKind::NulInQuotes)),
            _ => {
                out.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    Ok(())
}

/// What a backslash and its followers stand for inside quotes.
enum Meaning {
    Character(char),
    /// A continued line: nothing at all.
    Nothing,
    /// An escape that Python does not know keeps its backslash.
    Verbatim,
}

/// Reads the escape at the start of `text`: the bytes it takes and what it means, or the bytes that are wrong.
fn quoted_escape(text: &str) -> Result<(usize, Meaning), usize> {
    let Some(selector) = text[1..].chars().next() else {
        return Err(1); // The lexer lets no string end in a lone backslash.
    };
    let character = |character| Ok((2, Meaning::Character(character)));
    match selector {
        '\\' | '\'' | '"' => character(selector),
        'a' => character('\u{7}'),
        'b' => character('\u{8}'),
        'f' => character('\u{c}'),
        'n' => character('\n'),
        'r' => character('\r'),
        't' => character('\t'),
        'v' => character('\u{b}'),
        'x' => coded(text, 2, 2, 16),
        'u' => coded(text, 2, 4, 16),
        'U' => coded(text, 2, 8, 16),
        '0'..='7' => {
            let digits = text[1..].bytes().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
            coded(text, 1, digits, 8)
        }
        'N' => Err(2),
        // Python reads any line end as one, so a backslash before it continues the line.
        '\r' if text[2..].starts_with('\n') => Ok((3, Meaning::Nothing)),
        '\r' | '\n' => Ok((2, Meaning::Nothing)),
        '\0' => Err(1),
        other => Ok((1 + other.len_utf8(), Meaning::Verbatim)),
    }
}

/// Reads `count` digits from byte `from`; surrogates and codes past U+10FFFF are wrong, as no Rust string holds them.
fn coded(text: &str, from: usize, count: usize, radix: u32) -> Result<(usize, Meaning), usize> {
    let valid = text[from..].chars().take(count).take_while(|c| c.is_digit(radix)).count();
    if valid < count {
        return Err(from + valid);
    }
    match u32::from_str_radix(&text[from..from + count], radix).ok().and_then(char::from_u32) {
        Some(character) => Ok((from + count, Meaning::Character(character))),
        None => Err(from + count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(literal: &str) -> Result<String, BadLiteral> {
        let mut out = String::new();
        let token = Token { kind: TokenKind::String, text: literal, offset: 10 };
        push_text(&token, &mut out).map(|()| out)
    }

    fn int(literal: &str) -> Result<OptionValue, BadLiteral> {
        scalar(&Token { kind: TokenKind::Number, text: literal, offset: 10 })
    }

    #[test]
    fn quoted_escapes_are_pythons() {
        for (literal, expected) in [
            (r"'\a\b\f\n\r\t\v'", "\u{7}\u{8}\u{c}\n\r\t\u{b}"),
            (r#"'\\\'\"'"#, r#"\'""#),
            (r"'\x41\u1234\U0001F600'", "A\u{1234}\u{1F600}"),
            (r"'\0\18\101\777'", "\0\u{1}8A\u{1ff}"),
            (r"'\q\é'", r"\q\é"),
            ("'a\\\rb'", "ab"),
            ("'a\\\r\nb'", "ab"),
        ] {
            assert_eq!(text(literal).as_deref(), Ok(expected), "{literal}");
        }
    }

    #[test]
    fn a_broken_escape_says_which() {
        for (literal, at, escape) in [
            (r"'a\x4'", 12, r"\x4"),
            (r"'\u12 '", 11, r"\u12"),
            (r"'\ud800'", 11, r"\ud800"),
            (r"'\U00110000'", 11, r"\U00110000"),
            (r"'\N{DIGIT ONE}'", 11, r"\N"),
        ] {
            let kind = ParseErrorKind::BadEscape { escape: escape.to_owned() };
            assert_eq!(text(literal), Err((at, kind)), "{literal}");
        }
        assert_eq!(text("'a\nb'"), Err((12, ParseErrorKind::LineEndInQuotes)));
        assert_eq!(text("'\r'"), Err((11, ParseErrorKind::LineEndInQuotes)));
        assert_eq!(text("'\0'"), Err((11, ParseErrorKind::NulInQuotes)));
    }

    #[test]
    fn numbers_are_pythons() {
        let float = |value| Ok(OptionValue::Float(Float::new(value).unwrap()));
        for (literal, expected) in [("+5", 5), ("-3", -3), ("0", 0), ("-00", 0), ("-9223372036854775808", i64::MIN)] {
            assert_eq!(int(literal), Ok(OptionValue::Int(expected)), "{literal}");
        }
        assert_eq!(int("-.5"), float(-0.5));
        assert_eq!(int("007.5"), float(7.5));
        let zeros = |number: &str| Err((10, ParseErrorKind::LeadingZeros { number: number.to_owned() }));
        assert_eq!(int("007"), zeros("007"));
        assert_eq!(int("-08"), zeros("-08"));
    }

    #[test]
    fn numbers_past_64_bits_are_refused() {
        let huge = format!("{}.0", "9".repeat(400));
        for number in ["9223372036854775808", "99999999999999999999", &huge] {
            let kind = ParseErrorKind::NumberOutOfRange { number: number.to_owned() };
            assert_eq!(int(number), Err((10, kind)));
        }
    }
}
