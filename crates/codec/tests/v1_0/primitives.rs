//! Part 1, 1.6: every primitive in every encoding.

use bytes::Bytes;
use postroad_codec::v1_0::{
    Decimal32, Decimal64, Decimal128, DecodeErrorKind, DeliveryTag, Symbol, Timestamp, Uuid, Value,
};

use super::{decode, encode, hex, refusal};

fn symbol(text: &str) -> Value {
    Symbol::new(text.to_owned()).unwrap().into()
}

/// Encodings and what they say; the first of a value is the one that we write.
fn table() -> Vec<(&'static [&'static str], Value)> {
    vec![
        (&["40"], Value::Null),
        (&["41", "56 01"], true.into()),
        (&["42", "56 00"], false.into()),
        (&["50 00"], 0u8.into()),
        (&["50 ff"], u8::MAX.into()),
        (&["60 0000"], 0u16.into()),
        (&["60 ffff"], u16::MAX.into()),
        (&["43", "52 00", "70 00000000"], 0u32.into()),
        (&["52 01", "70 00000001"], 1u32.into()),
        (&["52 ff", "70 000000ff"], 255u32.into()),
        (&["70 00000100"], 256u32.into()),
        (&["70 ffffffff"], u32::MAX.into()),
        (&["44", "53 00", "80 0000000000000000"], 0u64.into()),
        (&["53 ff", "80 00000000000000ff"], 255u64.into()),
        (&["80 0000000000000100"], 256u64.into()),
        (&["80 8000000000000000"], (1u64 << 63).into()),
        (&["80 8000000000000001"], ((1u64 << 63) + 1).into()),
        (&["80 ffffffffffffffff"], u64::MAX.into()),
        (&["51 80"], i8::MIN.into()),
        (&["51 ff"], (-1i8).into()),
        (&["51 7f"], i8::MAX.into()),
        (&["61 8000"], i16::MIN.into()),
        (&["61 7fff"], i16::MAX.into()),
        (&["54 00", "71 00000000"], 0i32.into()),
        (&["54 80", "71 ffffff80"], (-128i32).into()),
        (&["54 7f", "71 0000007f"], 127i32.into()),
        (&["71 ffffff7f"], (-129i32).into()),
        (&["71 00000080"], 128i32.into()),
        (&["71 80000000"], i32::MIN.into()),
        (&["71 7fffffff"], i32::MAX.into()),
        (&["55 00", "81 0000000000000000"], 0i64.into()),
        (&["55 80", "81 ffffffffffffff80"], (-128i64).into()),
        (&["55 7f", "81 000000000000007f"], 127i64.into()),
        (&["81 ffffffffffffff7f"], (-129i64).into()),
        (&["81 0000000000000080"], 128i64.into()),
        (&["81 0020000000000001"], ((1i64 << 53) + 1).into()),
        (&["81 8000000000000000"], i64::MIN.into()),
        (&["81 7fffffffffffffff"], i64::MAX.into()),
        (&["72 00000000"], 0f32.into()),
        (&["72 bfc00000"], (-1.5f32).into()),
        (&["72 7f800000"], f32::INFINITY.into()),
        (&["72 00000001"], f32::from_bits(1).into()),
        (&["82 3fd0000000000000"], 0.25f64.into()),
        (&["82 fff0000000000000"], f64::NEG_INFINITY.into()),
        (&["82 0000000000000001"], f64::from_bits(1).into()),
        (&["74 22500001"], Decimal32([0x22, 0x50, 0, 1]).into()),
        (&["84 ffffffffffffffff"], Decimal64([0xff; 8]).into()),
        (&["94 000102030405060708090a0b0c0d0e0f"], Decimal128(std::array::from_fn(|n| n as u8)).into()),
        (&["73 00000000"], '\0'.into()),
        (&["73 00000061"], 'a'.into()),
        (&["73 0000d7ff"], '\u{d7ff}'.into()),
        (&["73 0010ffff"], char::MAX.into()),
        (&["83 0000000000000000"], Timestamp(0).into()),
        (&["83 0000018bcfe5687b"], Timestamp(1_700_000_000_123).into()),
        (&["83 ffffffffffffffff"], Timestamp(-1).into()),
        (&["83 8000000000000000"], Timestamp(i64::MIN).into()),
        (&["98 00112233445566778899aabbccddeeff"], Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff).into()),
        (&["a0 00", "b0 00000000"], Bytes::new().into()),
        (&["a0 02 00ff", "b0 00000002 00ff"], Bytes::from_static(&[0, 255]).into()),
        (&["a1 00", "b1 00000000"], "".into()),
        (&["a1 05 68656c6c6f", "b1 00000005 68656c6c6f"], "hello".into()),
        (&["a1 03 610062"], "a\0b".into()),
        (&["a1 04 f09d849e"], "𝄞".into()),
        (&["a3 00", "b3 00000000"], symbol("")),
        (&["a3 03 613a62", "b3 00000003 613a62"], symbol("a:b")),
        (&["45", "c0 01 00", "d0 00000004 00000000"], Value::List(vec![])),
        (&["c0 03 02 40 41", "d0 00000006 00000002 40 41"], Value::List(vec![Value::Null, true.into()])),
        (&["c1 01 00", "d1 00000004 00000000"], Value::Map(Default::default())),
    ]
}

#[test]
fn every_encoding_is_read_and_the_smallest_is_written() {
    for (encodings, value) in table() {
        for digits in encodings {
            assert_eq!(decode::<Value>(&hex(digits)).as_ref(), Ok(&value), "{digits}");
        }
        assert_eq!(encode(&value), hex(encodings[0]), "{value:?}");
        let shortest = encodings.iter().map(|digits| hex(digits).len()).min();
        assert_eq!(Some(hex(encodings[0]).len()), shortest, "{value:?}");
    }
}

#[test]
fn every_constructor_of_the_standard_is_in_the_table() {
    let known: Vec<u8> = postroad_codec::v1_0::schema::PRIMITIVES
        .iter()
        .flat_map(|primitive| primitive.encodings.iter().map(|encoding| encoding.code))
        .collect();
    // Arrays have tests of their own.
    let tested: Vec<u8> = table()
        .iter()
        .flat_map(|(encodings, _)| encodings.iter().map(|digits| hex(digits)[0]))
        .chain([0xe0, 0xf0])
        .collect();
    for code in 0..=255 {
        assert_eq!(known.contains(&code), tested.contains(&code), "0x{code:02x}");
        // Described values aside, whatever else stands in front is refused.
        if code != 0 && !known.contains(&code) {
            assert_eq!(refusal::<Value>(&[code; 40]), DecodeErrorKind::Constructor(code));
        }
    }
}

#[test]
fn lengths_change_their_form_between_255_and_256() {
    for (length, heads) in [
        (255, [vec![0xa0, 255], vec![0xa1, 255], vec![0xa3, 255]]),
        (256, [hex("b0 00000100"), hex("b1 00000100"), hex("b3 00000100")]),
    ] {
        let text = "x".repeat(length);
        let values = [Value::from(text.clone().into_bytes()), text.as_str().into(), symbol(&text)];
        for (value, head) in values.iter().zip(heads) {
            let bytes = encode(value);
            assert_eq!(bytes, [head, text.clone().into_bytes()].concat());
            assert_eq!(decode::<Value>(&bytes).as_ref(), Ok(value));
        }
    }
}

#[test]
fn numbers_that_are_none_survive_bit_for_bit() {
    for digits in ["72 7fc00000", "72 7fc00001", "72 ffc0dead", "82 7ff8000000000000", "82 fff800000000beef"] {
        assert_eq!(encode(&decode::<Value>(&hex(digits)).unwrap()), hex(digits));
    }
}

#[test]
fn what_a_type_does_not_allow_is_refused() {
    assert_eq!(refusal::<Value>(&hex("56 02")), DecodeErrorKind::Boolean(2));
    assert_eq!(refusal::<Value>(&hex("73 0000d800")), DecodeErrorKind::Char(0xd800));
    assert_eq!(refusal::<Value>(&hex("73 00110000")), DecodeErrorKind::Char(0x11_0000));
    assert_eq!(refusal::<Value>(&hex("a1 01 ff")), DecodeErrorKind::Utf8);
    // A surrogate half in UTF-8, and an overlong form.
    assert_eq!(refusal::<Value>(&hex("a1 03 eda080")), DecodeErrorKind::Utf8);
    assert_eq!(refusal::<Value>(&hex("a1 02 c080")), DecodeErrorKind::Utf8);
    assert_eq!(refusal::<Value>(&hex("a3 02 c3a9")), DecodeErrorKind::NotAscii);
    assert_eq!(refusal::<Value>(&hex("a0 02 00")), DecodeErrorKind::Truncated);
    assert_eq!(refusal::<Value>(&hex("b0 ffffffff 00")), DecodeErrorKind::Truncated);
    assert_eq!(refusal::<Value>(&[]), DecodeErrorKind::Truncated);
}

#[test]
fn types_are_not_mixed_up() {
    assert_eq!(refusal::<u32>(&hex("53 01")), DecodeErrorKind::Constructor(0x53));
    assert_eq!(refusal::<u64>(&hex("52 01")), DecodeErrorKind::Constructor(0x52));
    assert_eq!(refusal::<i32>(&hex("55 01")), DecodeErrorKind::Constructor(0x55));
    assert_eq!(refusal::<Symbol>(&hex("a1 01 61")), DecodeErrorKind::Constructor(0xa1));
    assert_eq!(refusal::<bool>(&hex("40")), DecodeErrorKind::Constructor(0x40));
    assert_eq!(refusal::<Timestamp>(&hex("81 0000000000000000")), DecodeErrorKind::Constructor(0x81));
    assert_eq!(refusal::<Bytes>(&hex("e0 03 01 50 00")), DecodeErrorKind::Constructor(0xe0));
}

#[test]
fn delivery_tags_of_every_length() {
    for length in 0..=DeliveryTag::MAX {
        let bytes: Vec<u8> = (0..length).map(|n| 0xf0 ^ n as u8).collect();
        let tag = DeliveryTag::new(&bytes).unwrap();
        assert_eq!(tag.as_bytes(), bytes);
        assert_eq!(encode(&tag), [vec![0xa0, length as u8], bytes.clone()].concat());
        assert_eq!(decode::<DeliveryTag>(&encode(&tag)), Ok(tag));
        let long = [hex("b0 000000"), vec![length as u8], bytes].concat();
        assert_eq!(decode::<DeliveryTag>(&long), Ok(tag));
    }
    assert_eq!(DeliveryTag::new(&[0; 33]), None);
    let long = [hex("a0 21"), vec![0; 33]].concat();
    assert_eq!(refusal::<DeliveryTag>(&long), DecodeErrorKind::TagTooLong(33));
    assert_ne!(DeliveryTag::new(&[0]), DeliveryTag::new(&[0, 0]));
}

#[test]
fn delivery_tags_of_numbers_are_short() {
    for (number, bytes) in [(0, "00"), (255, "ff"), (256, "0100"), (u64::MAX, "ffffffffffffffff")] {
        assert_eq!(DeliveryTag::from(number).as_bytes(), hex(bytes));
    }
}
