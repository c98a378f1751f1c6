//! AMQP 1.0 values and messages as JSON that tells every type apart, by way of serde_amqp. The form is described at the head of
//! typed_json.py.

use std::io::Cursor;

use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{Body, Message};
use serde_amqp::Value;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::{Array, OrderedMap, Symbol, Timestamp};
use serde_bytes::ByteBuf;
use serde_json::{Map, Value as Json, json};

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

const SECTIONS: [(u64, &str); 9] = [
    (0x70, "header"),
    (0x71, "delivery-annotations"),
    (0x72, "message-annotations"),
    (0x73, "properties"),
    (0x74, "application-properties"),
    (0x75, "data"),
    (0x76, "amqp-sequence"),
    (0x77, "amqp-value"),
    (0x78, "footer"),
];
const HEADER: [&str; 5] = ["durable", "priority", "ttl", "first-acquirer", "delivery-count"];
const PROPERTIES: [&str; 13] = [
    "message-id",
    "user-id",
    "to",
    "subject",
    "reply-to",
    "correlation-id",
    "content-type",
    "content-encoding",
    "absolute-expiry-time",
    "creation-time",
    "group-id",
    "group-sequence",
    "reply-to-group-id",
];

fn fields_of(section: &str) -> Option<&'static [&'static str]> {
    match section {
        "header" => Some(&HEADER),
        "properties" => Some(&PROPERTIES),
        _ => None,
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(json: &Json) -> Result<Vec<u8>, Failure> {
    let digits = json.as_str().ok_or("no hex")?;
    (0..digits.len() / 2).map(|n| Ok(u8::from_str_radix(&digits[2 * n..2 * n + 2], 16)?)).collect()
}

fn bits<const N: usize>(json: &Json) -> Result<[u8; N], Failure> {
    unhex(json)?.try_into().map_err(|_| "bits of another size".into())
}

fn uuid_text(bytes: &[u8]) -> String {
    let digits = hex(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Described(_) => "described",
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Ubyte(_) => "ubyte",
        Value::Ushort(_) => "ushort",
        Value::Uint(_) => "uint",
        Value::Ulong(_) => "ulong",
        Value::Byte(_) => "byte",
        Value::Short(_) => "short",
        Value::Int(_) => "int",
        Value::Long(_) => "long",
        Value::Float(_) => "float",
        Value::Double(_) => "double",
        Value::Decimal32(_) => "decimal32",
        Value::Decimal64(_) => "decimal64",
        Value::Decimal128(_) => "decimal128",
        Value::Char(_) => "char",
        Value::Timestamp(_) => "timestamp",
        Value::Uuid(_) => "uuid",
        Value::Binary(_) => "binary",
        Value::String(_) => "string",
        Value::Symbol(_) => "symbol",
        Value::List(_) => "list",
        Value::Map(_) => "map",
        Value::Array(_) => "array",
    }
}

fn descriptor_to_json(descriptor: &Descriptor) -> Json {
    match descriptor {
        Descriptor::Name(name) => json!({"t": "symbol", "v": name.0}),
        Descriptor::Code(code) => json!({"t": "ulong", "v": code}),
    }
}

pub fn to_json(value: &Value) -> Json {
    let typed = |v: Json| json!({"t": name_of(value), "v": v});
    match value {
        Value::Null => json!({"t": "null"}),
        Value::Described(of) => {
            json!({"t": "described", "d": descriptor_to_json(&of.descriptor), "v": to_json(&of.value)})
        }
        Value::Bool(v) => typed(json!(v)),
        Value::Ubyte(v) => typed(json!(v)),
        Value::Ushort(v) => typed(json!(v)),
        Value::Uint(v) => typed(json!(v)),
        Value::Ulong(v) => typed(json!(v)),
        Value::Byte(v) => typed(json!(v)),
        Value::Short(v) => typed(json!(v)),
        Value::Int(v) => typed(json!(v)),
        Value::Long(v) => typed(json!(v)),
        Value::Float(v) => typed(json!(hex(&v.0.to_be_bytes()))),
        Value::Double(v) => typed(json!(hex(&v.0.to_be_bytes()))),
        Value::Decimal32(v) => typed(json!(hex(v.as_inner()))),
        Value::Decimal64(v) => typed(json!(hex(v.as_inner()))),
        Value::Decimal128(v) => typed(json!(hex(v.as_inner()))),
        Value::Char(v) => typed(json!(u32::from(*v))),
        Value::Timestamp(v) => typed(json!(v.milliseconds())),
        Value::Uuid(v) => typed(json!(uuid_text(&<[u8; 16]>::from(v.clone())))),
        Value::Binary(v) => typed(json!(hex(v))),
        Value::String(v) => typed(json!(v)),
        Value::Symbol(v) => typed(json!(v.0)),
        Value::List(v) => typed(v.iter().map(to_json).collect()),
        Value::Map(v) => typed(v.iter().map(|(key, value)| json!([to_json(key), to_json(value)])).collect()),
        // The type of the elements is known from the elements alone.
        Value::Array(v) => {
            let of = v.0.first().map_or("null", name_of);
            json!({"t": "array", "of": of, "v": v.0.iter().map(to_json).collect::<Vec<_>>()})
        }
    }
}

fn integer<T: TryFrom<i64> + TryFrom<u64>>(json: &Json) -> Result<T, Failure> {
    let signed = json.as_i64().and_then(|value| T::try_from(value).ok());
    signed.or_else(|| T::try_from(json.as_u64()?).ok()).ok_or_else(|| "no such integer".into())
}

pub fn from_json(json: &Json) -> Result<Value, Failure> {
    let v = &json["v"];
    let text = || v.as_str().map(str::to_owned).ok_or("no text");
    let items = || v.as_array().ok_or("no items");
    Ok(match json["t"].as_str().ok_or("no type")? {
        "null" => Value::Null,
        "boolean" => Value::Bool(v.as_bool().ok_or("no boolean")?),
        "ubyte" => Value::Ubyte(integer(v)?),
        "ushort" => Value::Ushort(integer(v)?),
        "uint" => Value::Uint(integer(v)?),
        "ulong" => Value::Ulong(integer(v)?),
        "byte" => Value::Byte(integer(v)?),
        "short" => Value::Short(integer(v)?),
        "int" => Value::Int(integer(v)?),
        "long" => Value::Long(integer(v)?),
        "float" => Value::Float(f32::from_be_bytes(bits(v)?).into()),
        "double" => Value::Double(f64::from_be_bytes(bits(v)?).into()),
        "decimal32" => Value::Decimal32(bits(v)?.into()),
        "decimal64" => Value::Decimal64(bits(v)?.into()),
        "decimal128" => Value::Decimal128(bits(v)?.into()),
        "char" => Value::Char(char::from_u32(integer(v)?).ok_or("no character")?),
        "timestamp" => Value::Timestamp(Timestamp::from_milliseconds(integer(v)?)),
        "uuid" => Value::Uuid(bits::<16>(&json!(text()?.replace('-', "")))?.into()),
        "binary" => Value::Binary(ByteBuf::from(unhex(v)?)),
        "string" => Value::String(text()?),
        "symbol" => Value::Symbol(Symbol::from(text()?)),
        "list" => Value::List(items()?.iter().map(from_json).collect::<Result<_, _>>()?),
        "map" => {
            let mut map = OrderedMap::new();
            for pair in items()? {
                map.insert(from_json(&pair[0])?, from_json(&pair[1])?);
            }
            Value::Map(map)
        }
        "array" if json.get("d").is_some() => return Err("an array of described values has no form".into()),
        "array" => Value::Array(Array(items()?.iter().map(from_json).collect::<Result<_, _>>()?)),
        "described" => {
            let descriptor = match from_json(&json["d"])? {
                Value::Symbol(name) => Descriptor::Name(name),
                Value::Ulong(code) => Descriptor::Code(code),
                _ => return Err("a descriptor that is neither symbol nor ulong".into()),
            };
            Value::Described(Box::new(Described { descriptor, value: from_json(v)? }))
        }
        other => return Err(format!("no type {other}").into()),
    })
}

/// The message as its sections in JSON tell it: built from their bytes, as a program would read it.
pub fn message_from_json(json: &Json) -> Result<Message<Body<Value>>, Failure> {
    let mut bytes = Vec::new();
    for section in json["sections"].as_array().ok_or("no sections")? {
        let (code, name) = SECTIONS.into_iter().find(|(_, name)| section["s"] == *name).ok_or("no such section")?;
        let value = match fields_of(name) {
            Some(names) => {
                let field = |name: &&str| section["v"].get(*name).map_or(Ok(Value::Null), from_json);
                let mut fields = names.iter().map(field).collect::<Result<Vec<_>, _>>()?;
                while fields.last() == Some(&Value::Null) {
                    fields.pop();
                }
                Value::List(fields)
            }
            None => from_json(&section["v"])?,
        };
        let section = Value::Described(Box::new(Described { descriptor: Descriptor::Code(code), value }));
        bytes.extend(serde_amqp::to_vec(&section)?);
    }
    Ok(serde_amqp::from_slice::<Deserializable<Message<Body<Value>>>>(&bytes)?.0)
}

/// The sections of a message as they would be sent on.
pub fn message_to_json(message: Message<Body<Value>>) -> Result<Json, Failure> {
    let bytes = serde_amqp::to_vec(&Serializable(message))?;
    let mut from = Cursor::new(&bytes);
    let mut sections = Vec::new();
    while (from.position() as usize) < bytes.len() {
        let Value::Described(section) = serde_amqp::from_reader(&mut from)? else { return Err("no section".into()) };
        let (_, name) = SECTIONS
            .into_iter()
            .find(|(code, _)| section.descriptor == Descriptor::Code(*code))
            .ok_or("no such section")?;
        let content = match (fields_of(name), &section.value) {
            (Some(names), Value::List(fields)) => {
                let present = names.iter().zip(fields).filter(|(_, field)| **field != Value::Null);
                Json::Object(present.map(|(name, field)| ((*name).to_owned(), to_json(field))).collect::<Map<_, _>>())
            }
            (_, value) => to_json(value),
        };
        sections.push(json!({"s": name, "v": content}));
    }
    Ok(Json::Array(sections))
}

/// The application properties of a message that are strings and booleans, by name.
pub fn application_properties(message: &Json) -> Json {
    let sections = message["sections"].as_array();
    let section = sections.and_then(|all| all.iter().find(|section| section["s"] == "application-properties"));
    let entries = section.and_then(|section| section["v"]["v"].as_array());
    let named = |pair: &Json| Some((pair[0]["v"].as_str()?.to_owned(), pair[1]["v"].clone()));
    Json::Object(entries.into_iter().flatten().filter_map(named).collect())
}
