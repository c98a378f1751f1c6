//! Fields with `multiple="true"`: what peers send where one value, several or none may stand.

use postroad_codec::v1_0::{
    Attach, Coordinator, DecodeErrorKind, Encode as _, Multiple, Open, SaslMechanisms, Source, Symbol, Target,
};

use super::{decode, encode, hex, refusal};

fn names(list: &[Symbol]) -> Vec<&str> {
    list.iter().map(Symbol::as_str).collect()
}

/// RabbitMQ, Proton, rhea and others write the mechanisms in each of these forms.
#[test]
fn mechanisms_in_every_form() {
    let plain = "504c41494e";
    let anonymous = "414e4f4e594d4f5553";
    let cases = [
        (format!("a305 {plain}"), vec!["PLAIN"]),
        (format!("b300000005 {plain}"), vec!["PLAIN"]),
        (format!("e008 01 a3 05{plain}"), vec!["PLAIN"]),
        (format!("e012 02 a3 05{plain} 09{anonymous}"), vec!["PLAIN", "ANONYMOUS"]),
        (format!("e018 02 b3 00000005{plain} 00000009{anonymous}"), vec!["PLAIN", "ANONYMOUS"]),
        (format!("f000000015 00000002 a3 05{plain} 09{anonymous}"), vec!["PLAIN", "ANONYMOUS"]),
        (format!("f00000001b 00000002 b3 00000005{plain} 00000009{anonymous}"), vec!["PLAIN", "ANONYMOUS"]),
    ];
    for (field, expected) in cases {
        let field = hex(&field);
        let size = field.len() as u8;
        let list8 = [&hex("005340 c0")[..], &[size + 1, 1], &field].concat();
        let list32 = [&hex("005340 d0 000000")[..], &[size + 4, 0, 0, 0, 1], &field].concat();
        for bytes in [list8, list32] {
            let mechanisms = decode::<SaslMechanisms>(&bytes).unwrap_or_else(|error| panic!("{bytes:02x?}: {error}"));
            assert_eq!(names(&mechanisms.sasl_server_mechanisms), expected);
        }
    }
}

#[test]
fn null_and_an_empty_array_mean_the_same() {
    let open = decode::<Open>(&hex("005310 c004 01 a10163")).unwrap();
    let nones = [
        "40",
        "e0 02 00 a3",
        "e0 02 00 b3",
        "e0 02 00 40",
        "f0 00000005 00000000 a3",
        "e0 01 00",
        "f0 00000004 00000000",
    ];
    for none in nones {
        let none = hex(none);
        // container-id, four nulls, then the four multiple fields.
        let content = [&hex("a10163 40 40 40 40")[..], &none.repeat(4)].concat();
        let bytes = [&hex("005310 c0")[..], &[content.len() as u8 + 1, 9], &content].concat();
        assert_eq!(decode::<Open>(&bytes).as_ref(), Ok(&open), "{none:02x?}");

        let content = [&hex("a1016c 43 42")[..], &[0x40; 8], &none.repeat(2)].concat();
        let bytes = [&hex("005312 c0")[..], &[content.len() as u8 + 1, 13], &content].concat();
        let attach = decode::<Attach>(&bytes).unwrap();
        assert_eq!(attach, Attach { name: "l".into(), ..Attach::default() });
    }
    assert_eq!(encode(&open), hex("005310 c004 01 a10163"));
}

#[test]
fn one_value_is_written_bare_and_several_as_an_array() {
    let with = |names: &[&'static str]| Target {
        capabilities: names.iter().map(|name| Symbol::from_static(name)).collect(),
        ..Target::default()
    };
    assert_eq!(encode(&with(&[])), hex("005329 45"));
    assert_eq!(encode(&with(&["q"])), hex("005329 c00a 07 40 40 40 40 40 40 a30171"));
    assert_eq!(encode(&with(&["q", "t"])), hex("005329 c00f 07 40 40 40 40 40 40 e0 06 02 a3 0171 0174"));
    for names in [&[][..], &["q"], &["q", "t"], &["a", "b", "c"]] {
        let target = with(names);
        assert_eq!(decode::<Target>(&encode(&target)), Ok(target));
    }
    let long = "x".repeat(256).leak();
    let target = with(&["q", long]);
    assert_eq!(decode::<Target>(&encode(&target)), Ok(target));
}

#[test]
fn arrays_of_one_are_read() {
    let source = decode::<Source>(&hex("005328 c011 0b 40404040404040404040 e0 04 01 a3 0171")).unwrap();
    assert_eq!(names(&source.capabilities), ["q"]);
    assert_eq!(encode(&source), hex("005328 c00e 0b 40404040404040404040 a30171"));
}

#[test]
fn elements_of_another_type_are_refused() {
    assert_eq!(refusal::<Coordinator>(&hex("005330 c004 01 a10161")), DecodeErrorKind::Constructor(0xa1));
    assert_eq!(refusal::<Coordinator>(&hex("005330 c007 01 e0 04 01 a1 0161")), DecodeErrorKind::Constructor(0xa1));
    assert_eq!(refusal::<Coordinator>(&hex("005330 c006 01 c0 03 01 a300")), DecodeErrorKind::Constructor(0xc0));
    // More elements than bytes, and fewer.
    assert_eq!(refusal::<Coordinator>(&hex("005330 c007 01 e0 04 ff a3 0161")), DecodeErrorKind::TooManyElements(255));
    assert_eq!(refusal::<Coordinator>(&hex("005330 c009 01 e0 06 01 a3 0161 0162")), DecodeErrorKind::TrailingBytes(2));
}

#[test]
fn lengths_agree() {
    for count in 0..300 {
        let many: Multiple<Symbol> = (0..count).map(|_| Symbol::from_static("x")).collect();
        let mut out = Vec::new();
        many.encode(&mut out);
        assert_eq!(out.len(), many.encoded_len(), "{count}");
    }
}
