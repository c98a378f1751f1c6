//! Views say what the owned values say, of every message, and take no memory.

use bytes::Bytes;
use postroad_codec::v1_0::*;

use super::samples::{Sample, messages};
use super::{encode, hex, list_of};

/// What the owned reader makes of a section, and what its view makes of it.
type Both<T> = (Result<Option<T>, DecodeError>, Result<Option<T>, DecodeError>);

/// Reads every section in both ways. Properties are refused by both or by neither; of a map, the view is read through.
pub(crate) fn agree(encoded: &Bytes) {
    let Ok(sections) = Sections::find(encoded.clone()) else { return };
    let owned = sections.properties();
    assert_eq!(sections.properties_ref().map(|view| view.map(|view| owned_properties(&view))), owned);
    let map = |annotations: Annotations| annotations.0;
    let owned: [Both<Map>; 4] = [
        (sections.delivery_annotations().map(|it| it.map(|it| map(it.0))), whole(sections.delivery_annotations_ref())),
        (sections.message_annotations().map(|it| it.map(|it| map(it.0))), whole(sections.message_annotations_ref())),
        (sections.application_properties().map(|it| it.map(|it| it.0)), whole(sections.application_properties_ref())),
        (sections.footer().map(|it| it.map(|it| map(it.0))), whole(sections.footer_ref())),
    ];
    for (owned, view) in owned {
        match (owned, view) {
            // Text, since a number that is none equals nothing.
            (Ok(owned), Ok(view)) => assert_eq!(format!("{owned:?}"), format!("{view:?}")),
            (Err(_), Err(_)) => {}
            // The allowance for elements without width is the section's, and that of each value which is read alone.
            (Err(error), Ok(_)) if matches!(error.kind, DecodeErrorKind::TooManyElements(_)) => {}
            (owned, view) => panic!("{owned:?} and {view:?} of {encoded:02x?}"),
        }
    }
    match (sections.body(), sections.data_ref()) {
        (Ok(Body::Data(owned)), view) => assert_eq!(view, Ok(Some(&owned[..]))),
        (Ok(_), view) => assert_eq!(view, Ok(None)),
        // What is not looked at: other bodies, and data sections behind the first.
        (Err(_), view) => assert!(!matches!(view, Ok(Some(_))), "{view:?} of {encoded:02x?}"),
    }
}

fn whole(view: Result<Option<MapRef<'_>>, DecodeError>) -> Result<Option<Map>, DecodeError> {
    let Some(view) = view? else { return Ok(None) };
    let mut entries = Vec::new();
    for entry in &view {
        let (key, value) = entry?;
        entries.push((key.to_value()?, value.to_value()?));
    }
    assert_eq!(view.len(), entries.len());
    assert_eq!(view.is_empty(), entries.is_empty());
    Ok(Some(Map(entries)))
}

fn owned_properties(view: &PropertiesRef<'_>) -> Properties {
    let id = |view: ValueRef<'_>| match view {
        ValueRef::Ulong(id) => MessageId::Ulong(id),
        ValueRef::Uuid(id) => MessageId::Uuid(id),
        ValueRef::Binary(id) => MessageId::Binary(Bytes::copy_from_slice(id)),
        ValueRef::String(id) => MessageId::String(id.into()),
        other => panic!("{other:?} is no id"),
    };
    let text = |view: Option<&str>| view.map(ByteString::from);
    let symbol = |view: Option<&str>| view.and_then(Symbol::new);
    Properties {
        message_id: view.message_id.map(id),
        user_id: view.user_id.map(Bytes::copy_from_slice),
        to: text(view.to).map(Into::into),
        subject: text(view.subject),
        reply_to: text(view.reply_to).map(Into::into),
        correlation_id: view.correlation_id.map(id),
        content_type: symbol(view.content_type),
        content_encoding: symbol(view.content_encoding),
        absolute_expiry_time: view.absolute_expiry_time,
        creation_time: view.creation_time,
        group_id: text(view.group_id),
        group_sequence: view.group_sequence,
        reply_to_group_id: text(view.reply_to_group_id),
    }
}

/// A message whose application properties and annotations hold a value of every type.
fn of_every_type() -> Message {
    let values = [
        Value::Null,
        true.into(),
        1u8.into(),
        2u16.into(),
        3u32.into(),
        4u64.into(),
        (-1i8).into(),
        (-2i16).into(),
        (-3i32).into(),
        i64::MIN.into(),
        1.5f32.into(),
        0.25f64.into(),
        Decimal32([1; 4]).into(),
        Decimal64([2; 8]).into(),
        Decimal128([3; 16]).into(),
        'x'.into(),
        Timestamp(-1).into(),
        Uuid::from_bytes([7; 16]).into(),
        b"octets".to_vec().into(),
        "text".into(),
        Symbol::from_static("symbol").into(),
        Value::List(vec![1u8.into(), Value::List(vec![])]),
        Value::List(vec![]),
        Map::from_iter([("inner", 1u8)]).into(),
        Array::new(ValueType::Uint, vec![1u32.into(), 2u32.into()]).unwrap().into(),
        Value::described(1u64, "described"),
    ];
    let map: Map = values.into_iter().enumerate().map(|(n, value)| (format!("key-{n}"), value)).collect();
    let mut message = Message::from(b"data".to_vec());
    message.properties = Some(Box::new(Properties::full()));
    message.message_annotations = Some(MessageAnnotations(Annotations(map.clone())));
    message.application_properties = Some(ApplicationProperties(map));
    message
}

#[test]
fn samples() {
    for message in messages() {
        agree(&message.to_bytes());
    }
    agree(&of_every_type().to_bytes());
}

#[test]
fn every_prefix_and_every_changed_byte() {
    for message in messages().into_iter().take(3).chain([of_every_type()]) {
        let bytes = message.to_bytes();
        for length in 0..bytes.len() {
            agree(&bytes.slice(..length));
        }
        let mut changed = bytes.to_vec();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                changed[index] ^= 1 << bit;
                agree(&Bytes::copy_from_slice(&changed));
                changed[index] = bytes[index];
            }
        }
    }
}

#[test]
fn values_equal_those_that_are_owned() {
    let message = of_every_type();
    let owned = message.application_properties.clone().unwrap();
    let sections = Sections::find(message.to_bytes()).unwrap();
    let view = sections.application_properties_ref().unwrap().unwrap();
    for (entry, (key, value)) in view.iter().zip(owned.iter()) {
        let (found, seen) = entry.unwrap();
        assert_eq!(found.as_str(), key.as_str());
        assert_eq!(seen, *value);
        assert_eq!((seen.as_str(), seen.as_i64()), (value.as_str(), value.as_i64()));
        assert_eq!(seen.value_type(), value.value_type());
        assert_eq!(owned.iter().filter(|(_, other)| seen == *other).count(), 1, "{seen:?}");
        let ValueRef::Encoded(encoded) = seen else { continue };
        assert_eq!(encoded.as_bytes(), encode(value));
    }
    assert_eq!(view.get_str("key-1").unwrap().unwrap().as_bool(), Some(true));
    assert_eq!(view.get_str("key-18").unwrap().unwrap().as_bytes(), Some(&b"octets"[..]));
    assert_eq!(view.get_str("key").unwrap(), None);
    assert_eq!(ValueRef::String("é"), Value::from("é"));
    assert_ne!(ValueRef::String("a"), Value::from(Symbol::from_static("a")));
    assert!(ValueRef::Symbol("é").to_value().is_err());
}

/// A section of application properties, found: a map that claims so many keys and values.
fn properties(count: u8, content: &str) -> Sections {
    let content = hex(content);
    let head = [0, 0x53, 0x74, 0xc1, content.len() as u8 + 1, count];
    Sections::find([&head[..], &content].concat().into()).unwrap()
}

#[test]
fn entries_end_at_what_is_malformed() {
    for (count, map, good, kind) in [
        (4, "a1016b 41 a101ff 41", 1, DecodeErrorKind::Utf8),
        (4, "a1016b 41 a30180 41", 1, DecodeErrorKind::NotAscii),
        (4, "a1016b 41 5602 41", 1, DecodeErrorKind::Boolean(2)),
        (4, "a1016b 41 a10261", 1, DecodeErrorKind::Truncated),
        (4, "a1016b 41 40 c10240", 1, DecodeErrorKind::Truncated),
        (2, "a1016b 41 40", 1, DecodeErrorKind::TrailingBytes(1)),
        (2, "73 00110000 41", 0, DecodeErrorKind::Char(0x11_0000)),
        (2, "c2 40", 0, DecodeErrorKind::Constructor(0xc2)),
    ] {
        let sections = properties(count, map);
        let view = sections.application_properties_ref().unwrap().unwrap();
        let mut entries = view.iter();
        for _ in 0..good {
            assert!(entries.next().unwrap().is_ok(), "{map}");
        }
        assert_eq!(entries.next().unwrap().unwrap_err().kind, kind, "{map}");
        assert!(entries.next().is_none(), "{map}");
        assert_eq!(matches!(view.get_str("k"), Ok(Some(_))), good == 1, "{map}");
        assert_eq!(view.get_str("other").unwrap_err().kind, kind, "{map}");
        assert!(sections.application_properties().is_err(), "{map}");
    }
    let odd = properties(1, "4040");
    assert_eq!(odd.application_properties_ref().unwrap_err().kind, DecodeErrorKind::OddMap(1));
    let many = properties(254, "4040");
    assert_eq!(many.application_properties_ref().unwrap_err().kind, DecodeErrorKind::TooManyElements(254));
}

#[test]
fn an_id_is_of_four_types() {
    for (value, allowed) in [
        (Value::from(1u64), true),
        (Value::from(Uuid::from_bytes([1; 16])), true),
        (Value::from(vec![1u8]), true),
        (Value::from("id"), true),
        (Value::from(1u32), false),
        (Value::from(Symbol::from_static("id")), false),
        (Value::List(vec![]), false),
    ] {
        let sections = Sections::find(list_of(0x73, vec![value.clone()]).into()).unwrap();
        let view = sections.properties_ref().map(|view| view.unwrap().message_id.unwrap().to_value().unwrap());
        assert_eq!(view.as_ref().ok() == Some(&value), allowed, "{view:?}");
        assert_eq!(sections.properties().is_ok(), allowed);
    }
}

#[test]
fn what_holds_values_is_read_when_asked_for() {
    // The list says two elements, and has one that is no UTF-8.
    let sections = properties(2, "a1016b c004 02 a101ff");
    let view = sections.application_properties_ref().unwrap().unwrap();
    let value = view.get_str("k").unwrap().unwrap();
    assert_eq!(value.value_type(), Some(ValueType::List));
    assert_eq!(value.to_value().unwrap_err().kind, DecodeErrorKind::Utf8);
    assert_ne!(value, Value::List(vec![]));
    let ValueRef::Encoded(list) = value else { panic!("{value:?}") };
    assert_eq!(list.as_bytes(), hex("c004 02 a101ff"));
}

/// A map is a level, so that a value in it may have one level less.
#[test]
fn values_are_as_deep_as_they_may_be() {
    for levels in [1, usize::from(MAX_DEPTH) - 1, usize::from(MAX_DEPTH)] {
        let mut value = Value::Null;
        for _ in 0..levels {
            value = Value::List(vec![value]);
        }
        let map = Map(vec![("k".into(), value)]);
        let bytes = encode(&ApplicationProperties(map));
        let sections = Sections::find(bytes.into()).unwrap();
        let value = sections.application_properties_ref().unwrap().unwrap().get_str("k").unwrap().unwrap();
        assert_eq!(value.to_value().is_ok(), levels < usize::from(MAX_DEPTH), "{levels}");
        assert_eq!(sections.application_properties().is_ok(), levels < usize::from(MAX_DEPTH), "{levels}");
    }
}

#[test]
fn views_allocate_nothing_and_lie_in_the_message() {
    let encoded = of_every_type().to_bytes();
    // The first clone of bytes makes the count that all of them share.
    let _shared = encoded.clone();
    let info = allocation_counter::measure(|| {
        let sections = Sections::find(encoded.clone()).unwrap();
        assert!(sections.header().unwrap().is_none());
        let properties = sections.properties_ref().unwrap().unwrap();
        assert!(encoded.as_ptr_range().contains(&properties.subject.unwrap().as_ptr()));
        let map = sections.application_properties_ref().unwrap().unwrap();
        assert_eq!(map.iter().filter(Result::is_ok).count(), 26);
        assert_eq!(map.get_str("key-19").unwrap().unwrap().as_str(), Some("text"));
        assert_eq!(sections.message_annotations_ref().unwrap().unwrap().len(), 26);
        assert!(sections.footer_ref().unwrap().is_none() && sections.delivery_annotations_ref().unwrap().is_none());
        let data = sections.data_ref().unwrap().unwrap();
        assert_eq!(data.as_ptr_range(), encoded[encoded.len() - 4..].as_ptr_range());
    });
    assert_eq!(info.count_total, 0);
}
