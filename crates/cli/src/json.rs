//! Messages as JSON, one object each, with names that stay.
//!
//! | AMQP | JSON |
//! |---|---|
//! | null, boolean, integers, finite floats | the same |
//! | string, symbol, char | string |
//! | binary | string where it is UTF-8, else `{"$bytes": "<base64>"}` |
//! | timestamp | string as in RFC 3339, UTC; outside the years 0 to 9999 `{"$timestamp": <ms>}` |
//! | uuid | string |
//! | NaN and infinities | `{"$float": "NaN"}`, `"Infinity"`, `"-Infinity"` |
//! | decimals | `{"$decimal64": "<hex digits of the encoding>"}` |
//! | list, array | array |
//! | map | object where every key is a string or symbol, none twice and none with `$` in front; else `{"$map": [[key, value], ..]}` |
//! | described | `{"$descriptor": .., "$value": ..}` |

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postroad::client::Message;
use postroad::client::types::{Body, Map, MessageId, Timestamp, Value};
use serde_json::{Map as Object, Value as Json, json};

/// A message as one object. What the message does not have is left out, but for `v`, `body_type` and `body`.
pub(crate) fn message(message: &Message) -> Json {
    let mut object = Object::new();
    object.insert("v".to_owned(), json!(1));

    let mut header = Object::new();
    header.insert("durable".to_owned(), json!(message.durable()));
    header.insert("priority".to_owned(), json!(message.priority()));
    put(&mut header, "ttl_ms", message.ttl().map(|ttl| json!(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))));
    header.insert("first_acquirer".to_owned(), json!(message.first_acquirer()));
    header.insert("delivery_count".to_owned(), json!(message.delivery_count()));
    object.insert("header".to_owned(), Json::Object(header));

    let annotations = |annotations: Option<&Map>| annotations.map(map);
    put(&mut object, "delivery_annotations", annotations(message.instructions().map(|it| &it.0)));
    put(&mut object, "message_annotations", annotations(message.annotations().map(|it| &it.0)));
    let properties = properties(message);
    if !properties.is_empty() {
        object.insert("properties".to_owned(), Json::Object(properties));
    }
    put(&mut object, "application_properties", message.properties().map(map));
    object.insert("body_type".to_owned(), json!(body_type(message.body())));
    object.insert("body".to_owned(), body(message.body()));
    put(&mut object, "footer", annotations(message.footer().map(|it| &it.0)));
    Json::Object(object)
}

fn properties(message: &Message) -> Object<String, Json> {
    let mut properties = Object::new();
    let text = |text: Option<&str>| text.map(Json::from);
    put(&mut properties, "message_id", message.id().map(id));
    put(&mut properties, "user_id", message.user_id().map(bytes));
    put(&mut properties, "to", text(message.address()));
    put(&mut properties, "subject", text(message.subject()));
    put(&mut properties, "reply_to", text(message.reply_to()));
    put(&mut properties, "correlation_id", message.correlation_id().map(id));
    put(&mut properties, "content_type", text(message.content_type()));
    put(&mut properties, "content_encoding", text(message.content_encoding()));
    put(&mut properties, "absolute_expiry_time", message.expiry_time().map(time));
    put(&mut properties, "creation_time", message.creation_time().map(time));
    put(&mut properties, "group_id", text(message.group_id()));
    put(&mut properties, "group_sequence", message.group_sequence().map(Json::from));
    put(&mut properties, "reply_to_group_id", text(message.reply_to_group_id()));
    properties
}

fn put(object: &mut Object<String, Json>, name: &str, value: Option<Json>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value);
    }
}

fn body_type(body: &Body) -> &'static str {
    match body {
        Body::Empty => "empty",
        Body::Data(_) | Body::DataSections(_) => "data",
        Body::Sequence(_) => "sequence",
        Body::Sequences(_) => "sequences",
        Body::Value(_) => "value",
    }
}

/// The content: data sections are one run of bytes, several sequences a list of lists.
pub(crate) fn body(body: &Body) -> Json {
    match body {
        Body::Empty => Json::Null,
        Body::Data(data) => bytes(data),
        Body::DataSections(sections) => bytes(&sections.concat()),
        Body::Sequence(values) => list(values),
        Body::Sequences(sequences) => sequences.iter().map(|values| list(values)).collect(),
        Body::Value(it) => value(it),
    }
}

/// Any AMQP value, as the table above says.
pub(crate) fn value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(it) => json!(it),
        Value::Ubyte(it) => json!(it),
        Value::Ushort(it) => json!(it),
        Value::Uint(it) => json!(it),
        Value::Ulong(it) => json!(it),
        Value::Byte(it) => json!(it),
        Value::Short(it) => json!(it),
        Value::Int(it) => json!(it),
        Value::Long(it) => json!(it),
        // By its shortest text, so that 0.1 stays 0.1.
        Value::Float(it) => float(it.to_string().parse().unwrap_or(f64::NAN)),
        Value::Double(it) => float(*it),
        Value::Decimal32(it) => json!({ "$decimal32": hex(&it.0) }),
        Value::Decimal64(it) => json!({ "$decimal64": hex(&it.0) }),
        Value::Decimal128(it) => json!({ "$decimal128": hex(&it.0) }),
        Value::Char(it) => json!(it),
        Value::Timestamp(it) => time(*it),
        Value::Uuid(it) => json!(it.to_string()),
        Value::Binary(it) => bytes(it),
        Value::String(it) => json!(&**it),
        Value::Symbol(it) => json!(it.as_str()),
        Value::List(it) => list(it),
        Value::Map(it) => map(it),
        Value::Array(it) => list(it.elements()),
        Value::Described(it) => {
            json!({ "$descriptor": self::value(&it.descriptor), "$value": self::value(&it.value) })
        }
        // A type that is newer than this page.
        other => json!({ "$unknown": format!("{other:?}") }),
    }
}

fn list(values: &[Value]) -> Json {
    values.iter().map(value).collect()
}

fn map(map: &Map) -> Json {
    let mut seen = HashSet::new();
    let plain = map.iter().all(|(key, _)| key.as_str().is_some_and(|key| !key.starts_with('$') && seen.insert(key)));
    if !plain {
        let entries: Json = map.iter().map(|(key, it)| json!([value(key), value(it)])).collect();
        return json!({ "$map": entries });
    }
    let entry = |(key, it): &(Value, Value)| (key.as_str().unwrap_or_default().to_owned(), value(it));
    Json::Object(map.iter().map(entry).collect())
}

fn id(id: &MessageId) -> Json {
    value(&Value::from(id.clone()))
}

/// Bytes: text where they are UTF-8, else in base64.
pub(crate) fn bytes(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "$bytes": STANDARD.encode(bytes) }),
    }
}

fn float(number: f64) -> Json {
    match number {
        _ if number.is_finite() => json!(number),
        _ if number.is_nan() => json!({ "$float": "NaN" }),
        _ if number > 0.0 => json!({ "$float": "Infinity" }),
        _ => json!({ "$float": "-Infinity" }),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn time(time: Timestamp) -> Json {
    rfc3339(time).map_or_else(|| json!({ "$timestamp": time.0 }), Json::from)
}

/// A time as in RFC 3339, UTC, to the millisecond; only the years 0 to 9999 can be written so.
pub(crate) fn rfc3339(time: Timestamp) -> Option<String> {
    const DAY: i64 = 86_400_000;
    let (days, of_day) = (time.0.div_euclid(DAY), time.0.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    (0..=9999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"))
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar, which repeats after
/// 146 097 days. Years are counted from March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    // From 0000-03-01 on.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months of 31, 30, 31, 30 and 31 days: five have 153.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let january = i64::from(month >= 10);
    (era * 400 + year + january, if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use postroad::client::types::{Annotations, Decimal32, Symbol, Uuid};

    use super::*;

    #[test]
    fn times() {
        let check = |ms, text: &str| assert_eq!(rfc3339(Timestamp(ms)).as_deref(), Some(text));
        check(0, "1970-01-01T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000Z");
        check(1_709_210_096_789, "2024-02-29T12:34:56.789Z");
        check(4_107_542_399_000, "2100-02-28T23:59:59.000Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        check(253_402_300_799_999, "9999-12-31T23:59:59.999Z");
        check(-62_167_219_200_000, "0000-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp(253_402_300_800_000)), None);
        assert_eq!(rfc3339(Timestamp(i64::MIN)), None);
        assert_eq!(rfc3339(Timestamp(i64::MAX)), None);
    }

    #[test]
    fn values() {
        let check = |it: Value, json: Json| assert_eq!(value(&it), json, "{it:?}");
        check(Value::Null, json!(null));
        check(Value::Ulong(u64::MAX), json!(18_446_744_073_709_551_615_u64));
        check(Value::Float(0.1), json!(0.1));
        check(Value::Double(f64::NAN), json!({"$float": "NaN"}));
        check(Value::Float(f32::NEG_INFINITY), json!({"$float": "-Infinity"}));
        check(Value::Decimal32(Decimal32([0x22, 0x50, 0, 0x0f])), json!({"$decimal32": "2250000f"}));
        check(Value::Char('é'), json!("é"));
        check(Value::Timestamp(Timestamp(0)), json!("1970-01-01T00:00:00.000Z"));
        check(Value::Timestamp(Timestamp(i64::MAX)), json!({"$timestamp": i64::MAX}));
        check(Value::Uuid(Uuid::nil()), json!("00000000-0000-0000-0000-000000000000"));
        check(Value::Binary(b"text".to_vec().into()), json!("text"));
        check(Value::Binary(vec![0xff, 0].into()), json!({"$bytes": "/wA="}));
        check(Value::Symbol(Symbol::from_static("s")), json!("s"));
        check(Value::described(0x70_u64, "x"), json!({"$descriptor": 0x70, "$value": "x"}));
    }

    #[test]
    fn maps_that_are_no_objects() {
        let check = |entries: Vec<(Value, Value)>, json: Json| assert_eq!(map(&Map(entries)), json);
        check(vec![("a".into(), 1_i32.into())], json!({"a": 1}));
        check(vec![(5_i32.into(), 1_i32.into())], json!({"$map": [[5, 1]]}));
        check(vec![("a".into(), 1_i32.into()), ("a".into(), 2_i32.into())], json!({"$map": [["a", 1], ["a", 2]]}));
        check(vec![("$map".into(), 1_i32.into())], json!({"$map": [["$map", 1]]}));
    }

    #[test]
    fn a_message_with_everything() {
        let mut it = Message::from("hello").with_id(7_u64).with_subject("s").with_property("n", 1_i32);
        it.set_ttl(std::time::Duration::from_secs(1));
        it.set_durable(true);
        it.set_user_id(b"me".to_vec());
        it.set_creation_time(Timestamp(0));
        let mut annotations = Annotations::default();
        annotations.0.insert(Symbol::from_static("x-opt-a"), 1_i32);
        it.set_annotations(annotations);
        let expected = json!({
            "v": 1,
            "header": {"durable": true, "priority": 4, "ttl_ms": 1000, "first_acquirer": false, "delivery_count": 0},
            "message_annotations": {"x-opt-a": 1},
            "properties": {"message_id": 7, "user_id": "me", "subject": "s", "creation_time": "1970-01-01T00:00:00.000Z"},
            "application_properties": {"n": 1},
            "body_type": "value",
            "body": "hello",
        });
        assert_eq!(message(&it), expected);
    }

    #[test]
    fn an_empty_message() {
        let it = message(&Message::new());
        assert_eq!((&it["v"], &it["body_type"], &it["body"]), (&json!(1), &json!("empty"), &json!(null)));
        assert!(it.get("properties").is_none());
    }
}
