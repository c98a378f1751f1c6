//! `quoted-string` of RFC 4975 9: of media types and of nicknames.

use std::borrow::Cow;
use std::fmt;

/// Reads the one that a text begins with: its value, and what comes behind it.
///
/// # Errors
/// The offset at which it is none.
pub(super) fn read(text: &str) -> Result<(Cow<'_, str>, &str), usize> {
    let inside = text.strip_prefix('"').ok_or(0usize)?;
    let mut value = Cow::Borrowed("");
    let mut plain = 0;
    let mut characters = inside.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => {
                let rest = &inside[plain..place];
                let value = if value.is_empty() { Cow::Borrowed(rest) } else { value + rest };
                return Ok((value, &inside[place + 1..]));
            }
            '\\' => {
                value += &inside[plain..place];
                match characters.next() {
                    // The escaped character begins the next plain piece.
                    Some((place, '"' | '\\')) => plain = place,
                    _ => return Err(1 + place),
                }
            }
            _ if !is_text(character) => return Err(1 + place),
            _ => {}
        }
    }
    Err(text.len())
}

/// Writes a value, of which each character [`is_text`].
pub(super) fn write(value: &str, out: &mut impl fmt::Write) -> fmt::Result {
    out.write_char('"')?;
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            out.write_char('\\')?;
        }
        out.write_char(character)?;
    }
    out.write_char('"')
}

/// Whether a quoted string can have a character, escaped or not: all but controls, and of these the tab.
pub(super) fn is_text(character: char) -> bool {
    character == '\t' || !character.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r46_what_is_quoted() {
        let read = |text| read(text).map(|(value, rest)| (value.into_owned(), rest));
        assert_eq!(read("\"\""), Ok((String::new(), "")));
        assert_eq!(read("\"a b\"; c"), Ok(("a b".to_owned(), "; c")));
        assert_eq!(read(r#""\"\\" "#), Ok((r#""\"#.to_owned(), " ")));
        assert_eq!(read(r#""a\"b\\c""#), Ok((r#"a"b\c"#.to_owned(), "")));
        assert_eq!(read("\"\u{e9}\t\""), Ok(("\u{e9}\t".to_owned(), "")));
        for (text, offset) in [("", 0), ("a", 0), ("\"", 1), ("\"ab", 3), ("\"a\\b\"", 2), ("\"a\\", 2), ("\"\r\"", 1)]
        {
            assert_eq!(read(text), Err(offset), "{text:?}");
        }
    }
}
