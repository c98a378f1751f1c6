//! `receive -f FORMAT`: what is printed of a message.

use std::str::FromStr;

use postroad::client::Message;
use postroad::client::types::{MessageId, Value};

use crate::{json, text};

/// A format, read once: the parts in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Text as it is.
    Literal(String),
    /// `%b`
    Body,
    /// `%i`
    Id,
    /// `%c`
    CorrelationId,
    /// `%s`
    Subject,
    /// `%r`
    ReplyTo,
    /// `%t`
    CreationTime,
    /// `%p{name}`
    Property(String),
    /// `%j`
    Json,
}

/// The page of the help.
pub(crate) const HELP: &str = "\
FORMAT is text in which these stand for a part of the message (nothing where it has none):
  %b  body               %i  message id        %c  correlation id   %s  subject
  %r  reply-to           %t  creation time     %p{name}  an application property
  %j  the object that --json prints            %%  a percent sign
  \\n \\t \\0 \\\\  line feed, tab, NUL, backslash
Each message ends with a line feed.";

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = match c {
                '%' => match chars.next() {
                    Some('%') => {
                        literal.push('%');
                        continue;
                    }
                    Some('b') => Part::Body,
                    Some('i') => Part::Id,
                    Some('c') => Part::CorrelationId,
                    Some('s') => Part::Subject,
                    Some('r') => Part::ReplyTo,
                    Some('t') => Part::CreationTime,
                    Some('j') => Part::Json,
                    Some('p') => {
                        let name = chars.as_str().strip_prefix('{').and_then(|rest| rest.split_once('}'));
                        let Some((name, rest)) = name else {
                            return Err("name the property of %p, as in %p{color}".to_owned());
                        };
                        chars = rest.chars();
                        Part::Property(name.to_owned())
                    }
                    Some(other) => return Err(format!("%{other} is no part of a message (a percent sign is %%)")),
                    None => return Err("a percent sign is %%".to_owned()),
                },
                '\\' => {
                    literal.push(match chars.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('0') => '\0',
                        Some('\\') => '\\',
                        Some(other) => return Err(format!("no escape \\{other} (a backslash is \\\\)")),
                        None => return Err("a backslash is \\\\".to_owned()),
                    });
                    continue;
                }
                _ => {
                    literal.push(c);
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }
}

impl Format {
    /// Appends what the format says of a message.
    pub(crate) fn push(&self, message: &Message, terminal: bool, out: &mut Vec<u8>) {
        let id = |id: Option<&MessageId>| id.map(|id| Value::from(id.clone()));
        for part in &self.0 {
            let owned;
            let bytes = match part {
                // The person who wrote it may steer the terminal.
                Part::Literal(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Part::Body => text::body(message),
                Part::Subject => message.subject().unwrap_or_default().as_bytes().into(),
                Part::ReplyTo => message.reply_to().unwrap_or_default().as_bytes().into(),
                Part::Json => json::message(message).to_string().into_bytes().into(),
                Part::Property(name) => message.property(name).map(text::value).unwrap_or_default(),
                Part::Id | Part::CorrelationId | Part::CreationTime => {
                    owned = match part {
                        Part::Id => id(message.id()),
                        Part::CorrelationId => id(message.correlation_id()),
                        _ => message.creation_time().map(Value::Timestamp),
                    };
                    owned.as_ref().map(text::value).unwrap_or_default()
                }
            };
            text::push_escaped(&bytes, terminal, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use postroad::client::types::Timestamp;

    use super::*;

    fn formatted(format: &str, message: &Message) -> String {
        let mut out = Vec::new();
        format.parse::<Format>().unwrap().push(message, false, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_part() {
        let mut message =
            Message::from("hi").with_id("m1").with_correlation_id(7_u64).with_subject("s").with_reply_to("r");
        message.set_creation_time(Timestamp(0));
        message.set_property("a b", 5_i32);
        let text = formatted("%b|%i|%c|%s|%r|%t|%p{a b}|%p{none}|%%\\n\\t\\\\", &message);
        assert_eq!(text, "hi|m1|7|s|r|1970-01-01T00:00:00.000Z|5||%\n\t\\");
        let json: serde_json::Value = serde_json::from_str(&formatted("%j", &message)).unwrap();
        assert_eq!(json["properties"]["message_id"], "m1");
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        assert_eq!(formatted("[%b%i%c%s%r%t%p{}]", &Message::new()), "[]");
    }

    #[test]
    fn bad_formats() {
        for bad in ["%", "%x", "%p", "%p{a", "%pa}", "\\x", "\\"] {
            assert!(bad.parse::<Format>().is_err(), "{bad}");
        }
    }
}
