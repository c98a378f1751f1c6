//! Part 3, 3.2: messages and their sections.

use bytes::Bytes;
use postroad_codec::v1_0::*;

use super::hex;
use super::samples::{Sample, messages};

fn read(bytes: &[u8]) -> Result<Message, DecodeError> {
    Message::from_bytes(&Bytes::copy_from_slice(bytes))
}

fn order(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    assert_eq!(Message::from_bytes(&bytes).unwrap_err().kind, DecodeErrorKind::SectionOrder, "{bytes:02x?}");
    assert_eq!(Sections::find(bytes).unwrap_err().kind, DecodeErrorKind::SectionOrder);
}

#[test]
fn every_section_survives() {
    for message in messages() {
        let bytes = message.to_bytes();
        assert_eq!(bytes.len(), message.encoded_len());
        assert_eq!(Message::from_bytes(&bytes), Ok(message));
    }
}

/// The sections of a message, each as its bytes, in the order of the standard.
fn one_of_each() -> Vec<Vec<u8>> {
    let digits = [
        "005370 c002 01 41",
        "005371 c107 02 a30178 a10161",
        "005372 c107 02 a30178 a10161",
        "005373 c004 01 a10161",
        "005374 c107 02 a10178 a10161",
        "005375 a001ff",
        "005378 c107 02 a30178 a10161",
    ];
    digits.map(hex).to_vec()
}

#[test]
fn sections_stand_in_order_and_once() {
    let sections = one_of_each();
    // Every choice of them that keeps the order is a message.
    for chosen in 0u32..1 << sections.len() {
        let bytes: Vec<u8> =
            sections.iter().enumerate().filter(|(n, _)| chosen >> n & 1 == 1).flat_map(|(_, s)| s.clone()).collect();
        let message = read(&bytes).unwrap();
        let found = Sections::find(Bytes::copy_from_slice(&bytes)).unwrap();
        let is = |n: u32| chosen >> n & 1 == 1;
        assert_eq!(message.header.is_some(), is(0));
        assert_eq!(message.delivery_annotations.is_some(), is(1));
        assert_eq!(message.message_annotations.is_some(), is(2));
        assert_eq!(message.properties.is_some(), is(3));
        assert_eq!(message.application_properties.is_some(), is(4));
        assert_eq!(message.body != Body::Empty, is(5));
        assert_eq!(message.footer.is_some(), is(6));
        assert_eq!(found.header().unwrap(), message.header);
        assert_eq!(found.delivery_annotations().unwrap(), message.delivery_annotations);
        assert_eq!(found.message_annotations().unwrap(), message.message_annotations);
        assert_eq!(found.properties().unwrap(), message.properties.as_deref().cloned());
        assert_eq!(found.application_properties().unwrap(), message.application_properties);
        assert_eq!(found.body().unwrap(), message.body);
        assert_eq!(found.footer().unwrap(), message.footer);
        let part = |from: usize, to: usize| -> Vec<u8> {
            (from..to).filter(|n| is(*n as u32)).flat_map(|n| sections[n].clone()).collect()
        };
        assert_eq!(found.bare(), part(3, 6));
        assert_eq!(found.behind_delivery_annotations(), part(2, 7));
    }
    for (n, first) in sections.iter().enumerate() {
        for second in &sections[..n] {
            order(&[&first[..], second].concat());
        }
        // Only the body, here a data section, may stand twice.
        if n != 5 {
            order(&[&first[..], first].concat());
        }
    }
}

#[test]
fn bodies_of_several_sections() {
    let (one, two) = (hex("005375 a001aa"), hex("005375 a00100"));
    let sections = |parts: &[&[u8]]| read(&parts.concat()).unwrap().body;
    assert_eq!(sections(&[&one]), Body::Data(Bytes::from_static(&[0xaa])));
    let several =
        Body::DataSections(vec![Bytes::from_static(&[0xaa]), Bytes::from_static(&[0]), Bytes::from_static(&[0xaa])]);
    assert_eq!(sections(&[&one, &two, &one]), several);
    let (empty, nulls) = (hex("005376 45"), hex("005376 c002 01 40"));
    assert_eq!(sections(&[&empty]), Body::Sequence(vec![]));
    assert_eq!(sections(&[&nulls, &empty]), Body::Sequences(vec![vec![Value::Null], vec![]]));
    // Data, sequences and a value do not mix, and there is one value.
    let value = hex("005377 40");
    for (first, second) in
        [(&one, &nulls), (&nulls, &one), (&one, &value), (&value, &one), (&value, &nulls), (&value, &value)]
    {
        order(&[&first[..], second].concat());
    }
}

#[test]
fn a_body_may_be_absent() {
    assert_eq!(read(&[]), Ok(Message::default()));
    let sections = Sections::find(Bytes::new()).unwrap();
    assert_eq!(sections.body(), Ok(Body::Empty));
    assert_eq!(sections.message(), Ok(Message::default()));
    assert!(sections.bare().is_empty());
}

#[test]
fn sections_with_symbolic_and_wide_descriptors() {
    let sections = [
        (0x70, "amqp:header:list", "c002 01 41"),
        (0x71, "amqp:delivery-annotations:map", "c101 00"),
        (0x72, "amqp:message-annotations:map", "d1 00000004 00000000"),
        (0x73, "amqp:properties:list", "45"),
        (0x74, "amqp:application-properties:map", "c101 00"),
        (0x75, "amqp:data:binary", "b0 00000001 01"),
        (0x78, "amqp:footer:map", "c101 00"),
    ];
    let bodies = [(0x76, "amqp:amqp-sequence:list", "45"), (0x77, "amqp:amqp-value:*", "00 a30178 41")];
    let write = |symbolic: bool, sections: &[(u8, &str, &str)]| -> Bytes {
        let descriptor = |code: u8, name: &str| {
            if symbolic {
                [&[0xa3, name.len() as u8], name.as_bytes()].concat()
            } else {
                [&hex("80 00000000000000")[..], &[code]].concat()
            }
        };
        sections
            .iter()
            .flat_map(|(code, name, value)| [vec![0], descriptor(*code, name), hex(value)].concat())
            .collect()
    };
    for sections in [&sections[..], &bodies[..1], &bodies[1..]] {
        let (symbolic, wide) = (write(true, sections), write(false, sections));
        let message = Message::from_bytes(&symbolic).unwrap();
        assert_eq!(Message::from_bytes(&wide).as_ref(), Ok(&message));
        assert_eq!(Sections::find(symbolic).unwrap().message(), Ok(message.clone()));
        assert_eq!(Message::from_bytes(&message.to_bytes()), Ok(message));
    }
}

#[test]
fn what_is_no_section_is_refused() {
    for (bytes, kind) in [
        ("41", DecodeErrorKind::Constructor(0x41)),
        ("005379 45", DecodeErrorKind::Descriptor),
        ("005314 45", DecodeErrorKind::Descriptor),
        ("00a3 03 616d71 45", DecodeErrorKind::Descriptor),
        ("005370", DecodeErrorKind::Truncated),
        ("005375 a0 02 00", DecodeErrorKind::Truncated),
        ("005375 1f", DecodeErrorKind::Constructor(0x1f)),
    ] {
        assert_eq!(read(&hex(bytes)).unwrap_err().kind, kind, "{bytes}");
        assert_eq!(Sections::find(hex(bytes).into()).unwrap_err().kind, kind, "{bytes}");
    }
}

#[test]
fn a_message_that_is_passed_on_is_byte_identical() {
    // Forms that we would not write: wide numbers, explicit nulls, a long map.
    let odd = hex("00 80 0000000000000070 d0 00000006 00000002 40 40
         005373 c0 09 03 40 b0 00000001 61 40
         005374 d1 00000009 00000002 a1016b 5600
         005377 80 0000000000000001");
    let sections = Sections::find(odd.clone().into()).unwrap();
    assert_eq!(sections.properties().unwrap().unwrap().user_id.as_deref(), Some(&b"a"[..]));
    assert_eq!(sections.body(), Ok(Body::Value(1u64.into())));
    assert_eq!(sections.encoded(), &odd);
    assert_ne!(sections.message().unwrap().to_bytes(), odd);
    for message in messages() {
        let bytes = message.to_bytes();
        let sections = Sections::find(bytes.clone()).unwrap();
        assert_eq!(sections.message(), Ok(message));
        assert_eq!(sections.encoded(), &bytes);
    }
}

#[test]
fn sections_are_read_only_when_asked_for() {
    // A header whose priority is a string, properties that are fine.
    let bytes = hex("005370 c005 02 40 a10161 005373 c004 01 a10161 005375 a000");
    let sections = Sections::find(bytes.clone().into()).unwrap();
    assert_eq!(sections.properties().unwrap().unwrap().message_id, Some("a".into()));
    assert_eq!(sections.body(), Ok(Body::Data(Bytes::new())));
    assert_eq!(sections.header().unwrap_err().kind, DecodeErrorKind::Constructor(0xa1));
    assert_eq!(sections.message(), read(&bytes));
    assert!(sections.message().is_err());
}

/// Values of as many levels as there may be, whether they are read or passed over.
#[test]
fn sections_may_be_as_deep_as_values() {
    for levels in 0..=usize::from(MAX_DEPTH) + 1 {
        let described = [&hex("005377")[..], &hex("004440")[..2].repeat(levels), &[0x41]].concat();
        let in_descriptor = [&hex("005377")[..], &vec![0; levels], &vec![0x40; levels + 1]].concat();
        for bytes in [described, in_descriptor] {
            let message = read(&bytes);
            match Sections::find(Bytes::from(bytes)) {
                Ok(sections) => assert_eq!(sections.message(), message),
                Err(error) => assert!(message.is_err() && error.kind == DecodeErrorKind::TooDeep, "{levels}: {error}"),
            }
            assert_eq!(message.is_ok(), levels <= usize::from(MAX_DEPTH), "{levels}");
        }
    }
}

#[test]
fn conversions_make_the_body_that_they_say() {
    assert_eq!(Message::from("text").body, Body::Value("text".into()));
    assert_eq!(Message::from(vec![1u8]).body, Body::Data(Bytes::from_static(&[1])));
    assert_eq!(Message::from(Value::Null).body, Body::Value(Value::Null));
    let properties = Properties::full();
    let message = Message { properties: Some(Box::new(properties.clone())), ..Message::default() };
    assert_eq!(Sections::find(message.to_bytes()).unwrap().properties(), Ok(Some(properties)));
}
