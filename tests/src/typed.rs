//! AMQP values and messages as JSON that tells every type apart, so that two implementations can be
//! compared exactly. The form is described, once, at the head of `tests/peers/typed_json.py`, which
//! has the other half.

use bytes::Bytes;
use postroad_codec::v1_0::{
    Array, Decimal32, Decimal64, Decimal128, Decode, Described, Encode, Map, Reader, Symbol, Timestamp, Uuid, Value,
    ValueType,
};
use serde_json::{Map as Fields, Value as Json, json};

/// JSON that is no value or message of the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not of the typed form: {0}")]
pub struct NotTyped(String);

/// The sections of a message and their descriptor codes (AMQP 1.0 part 3, 3.2).
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

const TYPES: [ValueType; 24] = [
    ValueType::Null,
    ValueType::Boolean,
    ValueType::Ubyte,
    ValueType::Ushort,
    ValueType::Uint,
    ValueType::Ulong,
    ValueType::Byte,
    ValueType::Short,
    ValueType::Int,
    ValueType::Long,
    ValueType::Float,
    ValueType::Double,
    ValueType::Decimal32,
    ValueType::Decimal64,
    ValueType::Decimal128,
    ValueType::Char,
    ValueType::Timestamp,
    ValueType::Uuid,
    ValueType::Binary,
    ValueType::String,
    ValueType::Symbol,
    ValueType::List,
    ValueType::Map,
    ValueType::Array,
];

/// The typed form of a value.
///
/// ```
/// use postroad_tests::typed::{value_from_json, value_to_json};
/// let json = value_to_json(&7u32.into());
/// assert_eq!(json.to_string(), r#"{"t":"uint","v":7}"#);
/// assert_eq!(value_from_json(&json), Ok(7u32.into()));
/// ```
///
/// # Panics
/// For an array with several descriptors, or a variant that is newer than this function: the form has none.
#[must_use]
pub fn value_to_json(value: &Value) -> Json {
    let typed = |v: Json| json!({"t": value.value_type().map_or("described", ValueType::name), "v": v});
    match value {
        Value::Null => json!({"t": "null"}),
        Value::Boolean(v) => typed(json!(v)),
        Value::Ubyte(v) => typed(json!(v)),
        Value::Ushort(v) => typed(json!(v)),
        Value::Uint(v) => typed(json!(v)),
        Value::Ulong(v) => typed(json!(v)),
        Value::Byte(v) => typed(json!(v)),
        Value::Short(v) => typed(json!(v)),
        Value::Int(v) => typed(json!(v)),
        Value::Long(v) => typed(json!(v)),
        Value::Float(v) => typed(json!(hex(&v.to_be_bytes()))),
        Value::Double(v) => typed(json!(hex(&v.to_be_bytes()))),
        Value::Decimal32(v) => typed(json!(hex(&v.0))),
        Value::Decimal64(v) => typed(json!(hex(&v.0))),
        Value::Decimal128(v) => typed(json!(hex(&v.0))),
        Value::Char(v) => typed(json!(u32::from(*v))),
        Value::Timestamp(v) => typed(json!(v.0)),
        Value::Uuid(v) => typed(json!(v.hyphenated().to_string())),
        Value::Binary(v) => typed(json!(hex(v))),
        Value::String(v) => typed(json!(&**v)),
        Value::Symbol(v) => typed(json!(v.as_str())),
        Value::List(v) => typed(v.iter().map(value_to_json).collect()),
        Value::Map(v) => typed(v.iter().map(|(k, v)| json!([value_to_json(k), value_to_json(v)])).collect()),
        Value::Array(array) => {
            let mut out = json!({"t": "array", "of": array.element_type().name()});
            match array.descriptors() {
                [] => {}
                [descriptor] => out["d"] = value_to_json(descriptor),
                several => panic!("an array whose elements have {} descriptors", several.len()),
            }
            out["v"] = array.elements().iter().map(value_to_json).collect();
            out
        }
        Value::Described(v) => {
            json!({"t": "described", "d": value_to_json(&v.descriptor), "v": value_to_json(&v.value)})
        }
        other => panic!("no typed form for {other:?}"),
    }
}

/// The value of a typed form.
///
/// # Errors
/// When `json` is not of the form.
pub fn value_from_json(json: &Json) -> Result<Value, NotTyped> {
    let wrong = || NotTyped(json.to_string());
    let v = &json["v"];
    Ok(match json["t"].as_str().ok_or_else(wrong)? {
        "null" => Value::Null,
        "boolean" => v.as_bool().ok_or_else(wrong)?.into(),
        "ubyte" => integer::<u8>(v)?.into(),
        "ushort" => integer::<u16>(v)?.into(),
        "uint" => integer::<u32>(v)?.into(),
        "ulong" => integer::<u64>(v)?.into(),
        "byte" => integer::<i8>(v)?.into(),
        "short" => integer::<i16>(v)?.into(),
        "int" => integer::<i32>(v)?.into(),
        "long" => integer::<i64>(v)?.into(),
        "float" => f32::from_be_bytes(bits(v)?).into(),
        "double" => f64::from_be_bytes(bits(v)?).into(),
        "decimal32" => Decimal32(bits(v)?).into(),
        "decimal64" => Decimal64(bits(v)?).into(),
        "decimal128" => Decimal128(bits(v)?).into(),
        "char" => char::from_u32(integer(v)?).ok_or_else(wrong)?.into(),
        "timestamp" => Timestamp(integer(v)?).into(),
        "uuid" => Uuid::try_parse(text(v)?).map_err(|_| wrong())?.into(),
        "binary" => Bytes::from(unhex(text(v)?)?).into(),
        "string" => text(v)?.into(),
        "symbol" => Symbol::new(text(v)?.to_owned()).ok_or_else(wrong)?.into(),
        "list" => values(v)?.into(),
        "map" => {
            let pair = |entry: &Json| Ok((value_from_json(&entry[0])?, value_from_json(&entry[1])?));
            let entries = v.as_array().ok_or_else(wrong)?.iter().map(pair).collect::<Result<_, NotTyped>>()?;
            Map(entries).into()
        }
        "array" => {
            let of = TYPES.into_iter().find(|ty| json["of"] == ty.name()).ok_or_else(wrong)?;
            let descriptors = json.get("d").map(value_from_json).transpose()?.into_iter().collect();
            Array::described(descriptors, of, values(v)?).ok_or_else(wrong)?.into()
        }
        "described" => Described { descriptor: value_from_json(&json["d"])?, value: value_from_json(v)? }.into(),
        _ => return Err(wrong()),
    })
}

/// The typed form of a message of one section, `amqp-value`.
#[must_use]
pub fn value_message(body: &Value) -> Json {
    json!({"sections": [{"s": "amqp-value", "v": value_to_json(body)}]})
}

/// The typed form of an encoded message.
///
/// # Errors
/// When the bytes are no sections of a message.
pub fn message_to_json(bytes: &[u8]) -> Result<Json, NotTyped> {
    let mut reader = Reader::from_slice(bytes);
    let mut sections = Vec::new();
    while !reader.is_empty() {
        let value = Value::decode(&mut reader).map_err(|error| NotTyped(error.to_string()))?;
        let wrong = || NotTyped(format!("a section {value:?}"));
        let Value::Described(described) = &value else { return Err(wrong()) };
        let code = described.descriptor.as_i64();
        let (_, name) = SECTIONS.iter().find(|(known, _)| code == (*known).try_into().ok()).ok_or_else(wrong)?;
        let content = match (field_names(name), &described.value) {
            (Some(names), Value::List(fields)) => names
                .iter()
                .zip(fields)
                .filter(|(_, field)| **field != Value::Null)
                .map(|(name, field)| ((*name).to_owned(), value_to_json(field)))
                .collect::<Fields<_, _>>()
                .into(),
            (Some(_), _) => return Err(wrong()),
            (None, value) => value_to_json(value),
        };
        sections.push(json!({"s": name, "v": content}));
    }
    Ok(json!({"sections": sections}))
}

/// The bytes of a message in typed form.
///
/// # Errors
/// When `json` is not of the form.
pub fn message_from_json(json: &Json) -> Result<Vec<u8>, NotTyped> {
    let wrong = || NotTyped(json.to_string());
    let mut out = Vec::new();
    for section in json["sections"].as_array().ok_or_else(wrong)? {
        let (code, name) = SECTIONS.into_iter().find(|(_, name)| section["s"] == *name).ok_or_else(wrong)?;
        let content = match field_names(name) {
            Some(names) => {
                let given = section["v"].as_object().ok_or_else(wrong)?;
                let mut fields = names
                    .iter()
                    .map(|name| given.get(*name).map_or(Ok(Value::Null), value_from_json))
                    .collect::<Result<Vec<_>, _>>()?;
                fields.truncate(fields.iter().rposition(|field| *field != Value::Null).map_or(0, |last| last + 1));
                fields.into()
            }
            None => value_from_json(&section["v"])?,
        };
        Value::described(code, content).encode(&mut out);
    }
    Ok(out)
}

fn field_names(section: &str) -> Option<&'static [&'static str]> {
    match section {
        "header" => Some(&HEADER),
        "properties" => Some(&PROPERTIES),
        _ => None,
    }
}

fn values(json: &Json) -> Result<Vec<Value>, NotTyped> {
    json.as_array().ok_or_else(|| NotTyped(json.to_string()))?.iter().map(value_from_json).collect()
}

fn integer<T: TryFrom<i64> + TryFrom<u64>>(json: &Json) -> Result<T, NotTyped> {
    let signed = json.as_i64().and_then(|value| T::try_from(value).ok());
    signed.or_else(|| T::try_from(json.as_u64()?).ok()).ok_or_else(|| NotTyped(json.to_string()))
}

fn text(json: &Json) -> Result<&str, NotTyped> {
    json.as_str().ok_or_else(|| NotTyped(json.to_string()))
}

fn bits<const N: usize>(json: &Json) -> Result<[u8; N], NotTyped> {
    unhex(text(json)?)?.try_into().map_err(|_| NotTyped(json.to_string()))
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes all");
        out
    })
}

/// The bytes of lower- or upper-case hex.
///
/// # Errors
/// When a character is no hex digit, or one is left over.
pub fn unhex(digits: &str) -> Result<Vec<u8>, NotTyped> {
    let wrong = || NotTyped(digits.to_owned());
    if !digits.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(wrong);
    digits.as_bytes().chunks_exact(2).map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus;

    #[test]
    fn every_value_of_the_corpus_survives_its_json() {
        for (name, value) in corpus::values() {
            let json = value_to_json(&value);
            let again = value_from_json(&serde_json::from_str(&json.to_string()).unwrap()).unwrap();
            // As JSON: a NaN differs from itself.
            assert_eq!(value_to_json(&again), json, "{name}");
        }
    }

    #[test]
    fn a_message_survives_its_json() {
        let json: Json = json!({"sections": [
            {"s": "header", "v": {"priority": {"t": "ubyte", "v": 9}}},
            {"s": "properties", "v": {"message-id": {"t": "ulong", "v": u64::MAX}, "subject": {"t": "string", "v": "s"}}},
            {"s": "data", "v": {"t": "binary", "v": "00ff"}},
            {"s": "data", "v": {"t": "binary", "v": ""}},
        ]});
        let bytes = message_from_json(&json).unwrap();
        assert_eq!(message_to_json(&bytes), Ok(json));
    }

    #[test]
    fn what_is_not_typed_is_refused() {
        for text in [r#"{"t":"ubyte","v":256}"#, r#"{"t":"char","v":55296}"#, r#"{"t":"float","v":"00"}"#, r#"{"v":1}"#]
        {
            assert!(value_from_json(&serde_json::from_str(text).unwrap()).is_err(), "{text}");
        }
    }
}
