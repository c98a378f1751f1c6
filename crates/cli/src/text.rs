//! Messages as lines of text.

use std::borrow::Cow;

use postroad::client::Message;
use postroad::client::types::{Body, Value};

use crate::json;

/// The content of a message as bytes: data and texts as they are, other values as JSON.
pub(crate) fn body(message: &Message) -> Cow<'_, [u8]> {
    match message.body() {
        Body::Empty => Cow::Borrowed(&[]),
        Body::Data(bytes) | Body::Value(Value::Binary(bytes)) => Cow::Borrowed(bytes),
        Body::DataSections(sections) => Cow::Owned(sections.concat()),
        Body::Value(Value::String(text)) => Cow::Borrowed(text.as_bytes()),
        Body::Value(Value::Symbol(symbol)) => Cow::Borrowed(symbol.as_bytes()),
        body => Cow::Owned(json::body(body).to_string().into_bytes()),
    }
}

/// A value as text: texts as they are, other values as JSON, nothing for null.
pub(crate) fn value(value: &Value) -> Cow<'_, [u8]> {
    match value {
        Value::Null => Cow::Borrowed(&[]),
        Value::Binary(bytes) => Cow::Borrowed(bytes),
        Value::String(text) => Cow::Borrowed(text.as_bytes()),
        Value::Symbol(symbol) => Cow::Borrowed(symbol.as_bytes()),
        value => match json::value(value) {
            // Such as times and UUIDs: without the quotes.
            serde_json::Value::String(text) => Cow::Owned(text.into_bytes()),
            json => Cow::Owned(json.to_string().into_bytes()),
        },
    }
}

/// Appends bytes as text that is safe to print. Text stays as it is; in bytes that are no UTF-8, what
/// is not text becomes `\xff` and a backslash becomes two. A terminal gets no control characters
/// but tab and line feed: a message must not be able to steer it.
pub(crate) fn push_escaped(bytes: &[u8], terminal: bool, out: &mut Vec<u8>) {
    let binary = match std::str::from_utf8(bytes) {
        Ok(text) if !terminal || !text.chars().any(steers) => return out.extend_from_slice(bytes),
        text => text.is_err(),
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' && binary {
                out.extend_from_slice(b"\\\\");
            } else if terminal && steers(c) {
                out.extend_from_slice(c.escape_default().to_string().as_bytes());
            } else {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
}

fn steers(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8], terminal: bool) -> String {
        let mut out = Vec::new();
        push_escaped(bytes, terminal, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_stays() {
        assert_eq!(escaped("grün\\\n\t\x1b".as_bytes(), false), "grün\\\n\t\x1b");
        assert_eq!(escaped("grün\\\n\t".as_bytes(), true), "grün\\\n\t");
    }

    #[test]
    fn a_message_does_not_steer_the_terminal() {
        assert_eq!(escaped(b"a\x1b[2J\r\\", true), "a\\u{1b}[2J\\r\\");
        assert_eq!(escaped("\u{9b}2J".as_bytes(), true), "\\u{9b}2J");
    }

    #[test]
    fn binary_is_escaped() {
        assert_eq!(escaped(b"\x00\xffab\\\xc3", false), "\0\\xffab\\\\\\xc3");
    }

    #[test]
    fn bodies_as_bytes() {
        let check = |message: Message, text: &str| assert_eq!(body(&message), text.as_bytes());
        check(Message::new(), "");
        check(Message::from("hello"), "hello");
        check(Message::from(b"data".to_vec()), "data");
        check(Message::from(Value::Int(5)), "5");
        check(Message::from(Value::List(vec![Value::from("a"), Value::Null])), r#"["a",null]"#);
    }
}
