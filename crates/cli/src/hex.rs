//! Bytes from hexadecimal text, and as a dump that points at one of them.

use std::fmt::Write as _;

/// Reads hexadecimal digits as people copy them: blanks, line feeds, colons and commas between bytes do not matter, nor
/// do `0x` and `\x` in front of them.
pub(crate) fn read(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    // The first digit of a byte, and where it stands.
    let mut high: Option<(u8, usize)> = None;
    let mut at = 0;
    while at < text.len() {
        let (start, c) = (at, text[at]);
        at += 1;
        let prefix = matches!((c, text.get(at)), (b'0' | b'\\', Some(b'x' | b'X')));
        match (high, char::from(c).to_digit(16)) {
            (None, _) if prefix => at += 1,
            (None, _) if c.is_ascii_whitespace() || matches!(c, b':' | b',') => {}
            (None, Some(digit)) => high = Some((digit as u8, start)),
            (Some((first, _)), Some(digit)) => {
                bytes.push(first << 4 | digit as u8);
                high = None;
            }
            (Some((_, first)), None) => return Err(format!("one digit alone at character {}", first + 1)),
            (None, None) => {
                return Err(format!("\"{}\" at character {} is no hexadecimal digit", c.escape_ascii(), start + 1));
            }
        }
    }
    match high {
        Some((_, first)) => Err(format!("one digit alone at character {}", first + 1)),
        None => Ok(bytes),
    }
}

/// Whether these bytes are hexadecimal text rather than what the text would stand for. What AMQP 1.0 begins with, be
/// it a header, a frame or a message, has bytes in it that such a text has not.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace() || b":,xX\\".contains(byte))
}

/// Rows of sixteen bytes around one of them, with carets under it. `at` may be the place behind the last byte.
pub(crate) fn dump(bytes: &[u8], at: usize) -> String {
    const ROW: usize = 16;
    let row = at / ROW;
    let mut text = String::new();
    for index in row.saturating_sub(1)..=row + 1 {
        let start = index * ROW;
        let part = &bytes[start.min(bytes.len())..(start + ROW).min(bytes.len())];
        if part.is_empty() && index != row {
            continue;
        }
        let digits: Vec<String> = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown: String =
            part.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect();
        let _ = writeln!(text, "{start:08x}  {:47}  |{shown}|", digits.join(" "));
        if index == row {
            let _ = writeln!(text, "{:1$}^^", "", 10 + 3 * (at - start));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_as_people_copy_them() {
        for text in ["414d51", "41 4D 51", "41:4d:51\n", "0x41, 0x4d, 0x51", "0x414d51", "\\x41\\x4d\\x51", "414d5 1"] {
            let expected =
                if text == "414d5 1" { Err("one digit alone at character 5".to_owned()) } else { Ok(b"AMQ".to_vec()) };
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(read(b"00"), Ok(vec![0]));
        assert_eq!(read(b""), Ok(vec![]));
        assert_eq!(read(b"4g"), Err("one digit alone at character 1".to_owned()));
        assert_eq!(read(b"g4"), Err("\"g\" at character 1 is no hexadecimal digit".to_owned()));
        assert_eq!(read(b"41 4"), Err("one digit alone at character 4".to_owned()));
    }

    #[test]
    fn text_and_bytes() {
        assert!(is_text(b"41 4d:51 0x50\n") && is_text(b""));
        assert!(!is_text(b"AMQP\x00\x01\x00\x00") && !is_text(&[0, 0, 0, 8, 2, 0, 0, 0]) && !is_text(b"\x00Sw"));
    }

    #[test]
    fn the_caret_is_under_the_byte() {
        let bytes: Vec<u8> = (b'a'..=b'z').collect();
        assert_eq!(
            dump(&bytes, 17),
            "00000000  61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f 70  |abcdefghijklmnop|\n\
             00000010  71 72 73 74 75 76 77 78 79 7a                    |qrstuvwxyz|\n             ^^\n"
        );
        assert!(dump(&bytes, 0).contains("\n          ^^\n00000010"));
        assert!(
            dump(&bytes[..16], 16)
                .ends_with("\n00000010                                                   ||\n          ^^\n")
        );
        assert_eq!(dump(&[], 0), format!("00000000  {:47}  ||\n          ^^\n", ""));
    }
}
