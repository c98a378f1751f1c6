//! Escapes in headers: those of Java (RFC 3862 2.3).

use std::borrow::Cow;

/// Where the quote stands that ends a quoted text, of which this is what lies behind its first quote.
pub(super) fn quoted_end(inside: &str) -> Option<usize> {
    let mut escaped = false;
    inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// What a text with escapes stands for. It never fails: what is no escape stands for what is behind its backslash
/// (RFC 3862 2.3.1), and half of a pair of UTF-16 for U+FFFD.
pub(super) fn unescape(raw: &str) -> Cow<'_, str> {
    let Some(first) = raw.find('\\') else { return Cow::Borrowed(raw) };
    let (plain, mut rest) = raw.split_at(first);
    let mut text = plain.to_owned();
    while let Some(place) = rest.find('\\') {
        text.push_str(&rest[..place]);
        rest = &rest[place + 1..];
        let Some(character) = rest.chars().next() else { return text.into() };
        let unit = |text: &str| -> Option<u16> {
            let digits = text.strip_prefix('u')?.get(..4)?;
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
        };
        if let Some(high) = unit(rest) {
            rest = &rest[5..];
            let low = rest.strip_prefix('\\').and_then(unit).filter(|low| (0xdc00..0xe000).contains(low));
            let pair = low.filter(|_| (0xd800..0xdc00).contains(&high));
            let units = [high, pair.unwrap_or(0)];
            let units = &units[..1 + usize::from(pair.is_some())];
            text.extend(char::decode_utf16(units.iter().copied()).map(|unit| unit.unwrap_or('\u{fffd}')));
            rest = &rest[if pair.is_some() { 6 } else { 0 }..];
            continue;
        }
        text.push(match character {
            'b' => '\u{8}',
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            other => other,
        });
        rest = &rest[character.len_utf8()..];
    }
    text.push_str(rest);
    text.into()
}

/// Writes a text so that it is one line: control characters and the backslash by escapes, and the double quote too where
/// the text stands in double quotes.
pub(super) fn escape(text: &str, quoted: bool, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' if quoted => out.push_str("\\\""),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ if character.is_ascii_control() => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
}

/// The place of a character that no value of an application may have: what ends a line, or a string in C.
pub(super) fn line_end(text: &str) -> Option<usize> {
    text.find(['\r', '\n', '\0'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r45_escapes_are_read() {
        for (raw, text) in [
            ("plain \u{e9}", "plain \u{e9}"),
            (r#"\\ \" \' \b \t \n \r"#, "\\ \" ' \u{8} \t \n \r"),
            (r"\u0041\u00e9\u20AC", "A\u{e9}\u{20ac}"),
            // A pair of UTF-16, and halves of one.
            (r"\ud83d\ude00!", "\u{1f600}!"),
            (r"\ud83d!", "\u{fffd}!"),
            (r"\ude00\ud83d\u0041", "\u{fffd}\u{fffd}A"),
            // What is no escape stands for what is behind the backslash, and a lone one for nothing.
            (r"\x\u00g0\u12", "xu00g0u12"),
            ("\\\u{e9}", "\u{e9}"),
            ("\\u000\u{e9}", "u000\u{e9}"),
            ("a\\", "a"),
            (r"\\\", "\\"),
        ] {
            assert_eq!(unescape(raw), text, "{raw}");
        }
    }

    #[test]
    fn r45_escapes_are_written_where_they_must_be() {
        let escaped = |text, quoted| {
            let mut out = String::new();
            escape(text, quoted, &mut out);
            out
        };
        assert_eq!(escaped("a\\\"'\u{8}\t\n\r\0\u{b}\u{7f}\u{e9}", false), r#"a\\"'\b\t\n\r\u0000\u000b\u007fé"#);
        assert_eq!(escaped("\"'", true), "\\\"'");
    }

    proptest! {
        #[test]
        fn r45_round_trip(text in any::<String>(), quoted: bool) {
            let mut out = String::new();
            escape(&text, quoted, &mut out);
            prop_assert!(!out.chars().any(|character| character.is_ascii_control()));
            prop_assert_eq!(unescape(&out), text);
        }
    }
}
