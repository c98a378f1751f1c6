//! What was read, as lines, as a tree of fields, and as JSON objects with names that stay.
//!
//! Every object has `v`, `type` (`header`, `amqp`, `sasl` or `message`), `offset` and `length` in bytes. A header has
//! `protocol` and `version`; a frame `channel`, `performative` (null in an empty one), `fields` by name, and `payload`
//! where there is one; a message has `sections`, each with `name` and `fields` or `value`.

use std::fmt::Write as _;

use postroad::client::types::{Bytes, Value};
use postroad::codec::v1_0::{
    Decode as _, FrameHeader, FrameText, FrameType, Message, ProtocolHeader, ProtocolId, Reader, outline, schema,
};
use serde_json::{Map as Object, Value as Json, json};

use super::{Item, Kind};
use crate::json;

impl Item {
    /// Appends the line, and with `tree` the fields below it.
    pub(super) fn print(&self, tree: bool, out: &mut String) {
        match &self.kind {
            Kind::Header(_) => {
                let _ = writeln!(out, "{}", FrameText::new(&self.bytes));
                if tree {
                    row(out, self.start, self.bytes.len(), 0, "protocol header");
                }
            }
            Kind::Frame(header) => {
                let _ = writeln!(out, "{}", FrameText::new(&self.bytes));
                if tree {
                    self.frame_tree(header, out);
                }
            }
            Kind::Message => {
                let mut reader = Reader::new(&self.bytes);
                while let Ok(section) = Value::decode(&mut reader) {
                    let _ = writeln!(out, "{section}");
                }
                if tree {
                    values_tree(&self.bytes, self.start, 0, out);
                }
            }
        }
    }

    fn frame_tree(&self, header: &FrameHeader, out: &mut String) {
        let kind = match header.frame_type {
            FrameType::Amqp => "AMQP",
            FrameType::Sasl => "SASL",
        };
        let body = usize::from(header.data_offset) * 4;
        row(out, self.start, body, 0, &format!("{kind} frame of {} bytes, channel {}", header.size, header.channel));
        let Some(rest) = self.payload(header) else { return };
        let payload = self.bytes.len() - rest.len();
        values_tree(&self.bytes.slice(body..payload), self.start + body, 0, out);
        if !rest.is_empty() {
            row(out, self.start + payload, rest.len(), 0, "payload");
            // A part of a message may end anywhere.
            if Message::from_bytes(&rest).is_ok() {
                values_tree(&rest, self.start + payload, 1, out);
            }
        }
    }

    /// What follows the performative of a frame.
    fn payload(&self, header: &FrameHeader) -> Option<Bytes> {
        let body = self.bytes.slice(usize::from(header.data_offset) * 4..);
        let mut reader = Reader::new(&body);
        if reader.is_empty() {
            return None;
        }
        Value::decode(&mut reader).ok()?;
        Some(reader.rest())
    }

    pub(super) fn json(&self) -> Json {
        let mut object = Object::new();
        let mut put = |name: &str, value: Json| drop(object.insert(name.to_owned(), value));
        put("v", json!(1));
        put("offset", json!(self.start));
        put("length", json!(self.bytes.len()));
        match &self.kind {
            Kind::Header(ProtocolHeader { id, version: [major, minor, revision] }) => {
                put("type", json!("header"));
                let protocol = match id {
                    ProtocolId::Amqp => "AMQP",
                    ProtocolId::Tls => "TLS",
                    ProtocolId::Sasl => "SASL",
                };
                put("protocol", json!(protocol));
                put("version", json!(format!("{major}.{minor}.{revision}")));
            }
            Kind::Frame(header) => {
                put("type", json!(if header.frame_type == FrameType::Amqp { "amqp" } else { "sasl" }));
                put("channel", json!(header.channel));
                let body = self.bytes.slice(usize::from(header.data_offset) * 4..);
                match Value::decode(&mut Reader::new(&body)) {
                    Ok(value) => {
                        let (name, fields) = named(&value);
                        put("performative", json!(name));
                        put("fields", fields);
                    }
                    Err(_) => put("performative", Json::Null),
                }
                if let Some(payload) = self.payload(header).filter(|payload| !payload.is_empty()) {
                    put("payload", json::bytes(&payload));
                }
            }
            Kind::Message => {
                put("type", json!("message"));
                let mut reader = Reader::new(&self.bytes);
                let mut sections = Vec::new();
                while let Ok(section) = Value::decode(&mut reader) {
                    let (name, content) = named(&section);
                    let content_name = if is_composite(&section) { "fields" } else { "value" };
                    sections.push(json!({ "name": name, content_name: content }));
                }
                put("sections", Json::Array(sections));
            }
        }
        Json::Object(object)
    }
}

/// A line of a tree: where the bytes lie, how many, and what they are.
fn row(out: &mut String, offset: usize, length: usize, depth: usize, what: &str) {
    let _ = writeln!(out, "  {offset:08x} {:<6} {:2$}{what}", format!("+{length}"), "", 2 * depth);
}

/// The parts of values that follow each other; `offset` is where they begin in the input.
fn values_tree(bytes: &Bytes, offset: usize, depth: usize, out: &mut String) {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let Ok(parts) = outline(&mut reader) else { return };
        for part in parts {
            let name = part.name.map(|name| format!("{name}: ")).unwrap_or_default();
            let text = part.text.map(|text| format!(" {text}")).unwrap_or_default();
            row(out, offset + part.offset, part.length, depth + part.depth, &format!("{name}{}{text}", part.ty));
        }
    }
}

fn described(value: &Value) -> Option<(schema::Described, &Value)> {
    let Value::Described(it) = value else { return None };
    Some((schema::described(&it.descriptor)?, &it.value))
}

fn is_composite(value: &Value) -> bool {
    described(value).is_some_and(|(known, inner)| known.composite.is_some() && matches!(inner, Value::List(_)))
}

/// The standard's name of a described value, and its fields by name, or what else it holds.
fn named(value: &Value) -> (Option<&'static str>, Json) {
    let Some((known, inner)) = described(value) else { return (None, json::value(value)) };
    let (Some(row), Value::List(fields)) = (known.composite, inner) else {
        return (Some(known.name), json::value(inner));
    };
    let mut object = Object::new();
    for (index, (field, value)) in row.fields.iter().zip(fields).enumerate() {
        if schema::is_secret(known.code, index, fields) {
            object.insert(field.name.to_owned(), json!("[redacted]"));
        } else if *value != Value::Null {
            object.insert(field.name.to_owned(), nested(value));
        }
    }
    (Some(known.name), Json::Object(object))
}

/// The value of a field: types of the standard have `name` and `fields`, any other is as in messages.
fn nested(value: &Value) -> Json {
    match named(value) {
        (Some(name), fields) if is_composite(value) => json!({ "name": name, "fields": fields }),
        _ => json::value(value),
    }
}
