//! Where the parts of a value lie.

use postroad_codec::v1_0::*;

use super::samples::{messages, performatives, sasl_frames};
use super::{encode, hex};

fn lines(bytes: &[u8]) -> Vec<String> {
    let show = |part: &Part| {
        let name = part.name.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
        let text = part.text.as_deref().map(|text| format!(" {text}")).unwrap_or_default();
        format!("{}{}+{} {name}{}{text}", "  ".repeat(part.depth), part.offset, part.length, part.ty)
    };
    let mut reader = Reader::from_slice(bytes);
    let parts = outline(&mut reader).unwrap();
    assert!(reader.is_empty());
    parts.iter().map(show).collect()
}

#[test]
fn fields_have_names_and_places() {
    let open = hex("005310 c01f03 a10163 40 c11804 a30161 005328c00502a1017142 a30162 c00502a1017840");
    assert_eq!(
        lines(&open),
        [
            "0+36 open",
            "  6+3 container-id: string \"c\"",
            "  10+26 max-frame-size: map",
            "    16+10 :a: source",
            "      22+3 address: string \"q\"",
            "      25+1 durable: boolean false",
            "    29+7 :b: list",
            "      32+3 string \"x\"",
            "      35+1 null null",
        ]
    );
    assert_eq!(lines(&hex("00537741")), ["0+4 amqp-value", "  3+1 boolean true"]);
    assert_eq!(lines(&hex("00a30166 5207")), ["0+6 described", "  4+2 @:f: uint 0x7"]);
    assert_eq!(lines(&hex("00532445")), ["0+4 accepted"]);
}

#[test]
fn the_list_of_parts_is_bounded() {
    let bytes = encode(&Value::List(vec![Value::List(vec![Value::Null; 1000]); 1000]));
    let mut reader = Reader::from_slice(&bytes);
    assert_eq!(outline(&mut reader).unwrap().len(), MAX_PARTS);
    assert!(reader.is_empty());
    // What is behind it is read all the same.
    assert!(outline(&mut Reader::from_slice(&bytes[..bytes.len() - 1])).is_err());
    // Secrets too are beyond it.
    let nulls = Value::List(vec![Value::Null; MAX_PARTS]);
    let init = Value::described(0x41_u64, Value::List(vec![Symbol::from_static("PLAIN").into(), vec![1].into()]));
    assert_eq!(outline(&mut Reader::from_slice(&encode(&Value::List(vec![nulls, init])))).unwrap().len(), MAX_PARTS);
}

#[test]
fn it_takes_exactly_what_a_value_takes() {
    let mut all: Vec<Vec<u8>> = performatives().iter().map(encode).collect();
    all.extend(sasl_frames().iter().map(encode));
    // Constructors, and sizes that are too small or too large.
    let encodings = schema::PRIMITIVES.iter().flat_map(|row| row.encodings);
    let octets: Vec<u8> = encodings.map(|encoding| encoding.code).chain([0x00, 0x01, 0x3f, 0xff]).collect();
    for bytes in &all {
        for part in outline(&mut Reader::from_slice(bytes)).unwrap() {
            assert!(part.length > 0 && part.offset + part.length <= bytes.len());
            assert!(!part.text.unwrap_or_default().contains("secret"));
        }
        for end in 0..bytes.len() {
            assert!(outline(&mut Reader::from_slice(&bytes[..end])).is_err());
        }
        for at in 0..bytes.len() {
            for &octet in &octets {
                let mut changed = bytes.clone();
                changed[at] = octet;
                let (mut ours, mut value) = (Reader::from_slice(&changed), Reader::from_slice(&changed));
                let (outlined, read) = (outline(&mut ours), Value::decode(&mut value));
                assert_eq!(outlined.is_ok(), read.is_ok(), "{outlined:?} {read:?} {changed:02x?}");
                assert_eq!(outlined.is_ok().then(|| ours.offset()), read.is_ok().then(|| value.offset()));
            }
        }
    }
    for message in messages() {
        let bytes = message.to_bytes();
        let mut reader = Reader::new(&bytes);
        while !reader.is_empty() {
            outline(&mut reader).unwrap();
        }
    }
}
