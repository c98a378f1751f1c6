//! The framers that are built in, on streams that come in every way and end at every place.

use std::sync::Arc;

use bytes::Bytes;

use crate::framer::stack::Stack;
use crate::framer::{Delimiter, FixedLength, Framer, FramerError, FramerFactory, LengthPrefix, Tlv};
use crate::message::{Message, MessageContext, Receive};

fn factory<F: Framer + 'static>(make: impl Fn() -> F + Send + Sync + 'static) -> FramerFactory {
    Arc::new(move || Box::new(make()))
}

fn started(factories: &[FramerFactory]) -> Stack {
    let mut stack = Stack::new(factories);
    assert!(stack.start().unwrap());
    stack
}

/// Receives everything, and how it ends.
fn drain(stack: &mut Stack) -> (Vec<Bytes>, Option<FramerError>) {
    let mut bodies = Vec::new();
    loop {
        match stack.receive(&Receive::complete()) {
            Ok(Some(message)) => {
                assert!(message.end_of_message);
                bodies.push(message.data);
            }
            Ok(None) => return (bodies, None),
            Err(error) => return (bodies, Some(error)),
        }
    }
}

/// Sends the bodies, wants these bytes, and wants the bodies back from them: at once, byte by byte, at every split,
/// and from every prefix as many as are whole.
fn check(factories: &[FramerFactory], bodies: &[&[u8]], wire: &[u8]) {
    let mut sender = started(factories);
    let mut ends = vec![0];
    for body in bodies {
        sender.send(Message::new(*body)).unwrap();
        ends.push(sender.out.open_len());
    }
    assert_eq!(sender.out.take(), wire);

    let mut receiver = started(factories);
    let mut received = Vec::new();
    for byte in wire {
        receiver.received().extend_from_slice(&[*byte]);
        let (more, error) = drain(&mut receiver);
        received.extend(more);
        assert_eq!(error, None);
    }
    assert_eq!(received, bodies, "byte by byte");

    for split in 0..=wire.len() {
        let mut receiver = started(factories);
        let whole = ends.iter().filter(|end| **end <= split).count() - 1;
        let (before, after) = bodies.split_at(whole);
        receiver.received().extend_from_slice(&wire[..split]);
        let (received, error) = drain(&mut receiver);
        assert!(received == before && error.is_none(), "split at {split}: {received:?} {error:?}");
        receiver.received().extend_from_slice(&wire[split..]);
        let (received, error) = drain(&mut receiver);
        assert!(received == after && error.is_none(), "split at {split}: {received:?} {error:?}");
        assert!(!receiver.holds_received());

        let mut receiver = started(factories);
        receiver.received().extend_from_slice(&wire[..split]);
        receiver.handle_end();
        let (received, error) = drain(&mut receiver);
        let expected = (!ends.contains(&split)).then_some(FramerError::Truncated);
        assert_eq!((received.len(), error), (whole, expected), "the first {split} bytes");
    }
}

/// RFC 9623 6: the stream may come in any pieces and end anywhere.
#[test]
fn every_framer_stands_every_split_and_every_prefix() {
    let bodies = [&b"one"[..], b"", b"three", b"", b""];
    check(&[factory(LengthPrefix::new)], &bodies, b"\0\0\0\x03one\0\0\0\0\0\0\0\x05three\0\0\0\0\0\0\0\0");
    check(&[factory(Tlv::new)], &bodies[..3], b"\0\0\0\0\0\x03one\0\0\0\0\0\0\0\0\0\0\0\x05three");
    check(&[factory(|| Delimiter::new("\n"))], &bodies, b"one\n\nthree\n\n\n");
    check(&[factory(|| Delimiter::new("\r\n"))], &bodies, b"one\r\n\r\nthree\r\n\r\n\r\n");
    check(&[factory(|| Delimiter::new("abab"))], &[b"aba!", b"b!a", b"ab!"], b"aba!ababb!aababab!abab");
    check(&[factory(|| FixedLength::new(5))], &[b"hello", b"world"], b"helloworld");
    check(
        &[factory(|| Delimiter::new("\n")), factory(LengthPrefix::new)],
        &[b"hi", b"", b"!"],
        b"\0\0\0\x02hi\n\0\0\0\0\n\0\0\0\x01!\n",
    );
    check(&[factory(|| FixedLength::new(4)), factory(|| Delimiter::new("."))], &[b"abc"], b"abc.");
}

#[test]
fn the_type_of_a_message_is_metadata() {
    let mut stack = started(&[factory(Tlv::new)]);
    let mut message = Message::new("x");
    message.context.add(Tlv::TYPE, 0x0102, Tlv::SCOPE);
    stack.send(message).unwrap();
    let wire = stack.out.take();
    assert_eq!(wire, &b"\x01\x02\0\0\0\x01x"[..]);
    stack.received().extend_from_slice(&wire);
    let message = stack.receive(&Receive::complete()).unwrap().unwrap();
    assert_eq!(message.context.get(Tlv::TYPE, Tlv::SCOPE).and_then(|value| value.as_integer()), Some(0x0102));
    assert_eq!(message.context.get(Tlv::TYPE, "other"), None);

    let refuse = |stack: &mut Stack, context: MessageContext| {
        let expected = FramerError::InvalidMetadata { key: "type".to_owned() };
        assert_eq!(stack.send(Message::new("x").in_context(context)), Err(expected));
    };
    let mut context = MessageContext::default();
    context.add(Tlv::TYPE, 65_536, Tlv::SCOPE);
    refuse(&mut stack, context.clone());
    context.add(Tlv::TYPE, "seven", Tlv::SCOPE);
    refuse(&mut stack, context);
    assert!(stack.out.is_empty());
}

/// A declared length is checked before anything is kept for it.
#[test]
fn a_message_over_the_limit_is_refused_in_both_directions() {
    let too_large = |size, limit| FramerError::MessageTooLarge { size, limit };
    let cases: [(FramerFactory, &[u8], u64); 5] = [
        (factory(|| LengthPrefix::with_limit(10)), b"\0\0\0\x0b", 11),
        (factory(|| LengthPrefix::with_limit(10)), b"\xff\xff\xff\xff", 0xffff_ffff),
        (factory(|| Tlv::with_limit(10)), b"\0\0\xff\xff\xff\xff", 0xffff_ffff),
        (factory(|| Delimiter::new("\n").limit(10)), b"0123456789a", 11),
        (factory(|| Delimiter::new("\r\n").limit(10)), b"0123456789a\r", 11),
    ];
    for (factory, wire, size) in cases {
        let mut stack = started(&[factory]);
        stack.received().extend_from_slice(wire);
        assert_eq!(drain(&mut stack), (vec![], Some(too_large(size, 10))));
        assert_eq!(stack.send(Message::new("0123456789a")), Err(too_large(11, 10)));
        assert!(stack.out.is_empty());
        stack.send(Message::new("0123456789")).unwrap();
    }
}

#[test]
fn a_message_that_contains_the_delimiter_is_refused() {
    let refused = |delimiter: &'static str, parts: &[&'static str]| {
        let mut stack = started(&[factory(move || Delimiter::new(delimiter))]);
        let context = MessageContext::new();
        let mut offset = None;
        for (index, part) in parts.iter().enumerate() {
            let message = Message::new(*part).in_context(context.clone());
            let message = if index + 1 < parts.len() { message.partial() } else { message };
            match stack.send(message) {
                Ok(()) => {}
                Err(FramerError::ContainsDelimiter { offset: at }) => offset = offset.or(Some(at)),
                Err(error) => panic!("{error}"),
            }
        }
        offset
    };
    assert_eq!(refused("\n", &["one\ntwo"]), Some(3));
    assert_eq!(refused("\n", &["one", "two\n"]), Some(6));
    assert_eq!(refused("\r\n", &["one\rtwo\n"]), None);
    assert_eq!(refused("\r\n", &["one\r"]), None);
    assert_eq!(refused("\r\n", &["one\r", "\ntwo"]), Some(3));
    assert_eq!(refused("\r\n", &["one\r", "", "\ntwo"]), Some(3));
    assert_eq!(refused("abab", &["a", "b", "a", "b"]), Some(0));
    assert_eq!(refused("abab", &["xxa", "bax", "ab"]), Some(6), "with the delimiter behind it");
    assert_eq!(refused("aa", &["xa"]), Some(1), "with the delimiter behind it");
    assert_eq!(refused("aa", &["x", "a"]), Some(1));
    assert_eq!(refused("aa", &["ax"]), None);
}

#[test]
fn a_message_of_another_length_is_refused() {
    let mut stack = started(&[factory(|| FixedLength::new(5))]);
    for (body, size) in [("four", 4), ("sixsix", 6), ("", 0)] {
        assert_eq!(stack.send(Message::new(body)), Err(FramerError::WrongLength { size, expected: 5 }));
    }
    assert!(stack.out.is_empty());
}

#[test]
fn a_framer_that_cannot_work_does_not_start() {
    for factory in [factory(|| Delimiter::new("")), factory(|| FixedLength::new(0))] {
        let error = Stack::new(&[factory]).start().unwrap_err();
        assert!(matches!(error, FramerError::InvalidConfiguration(_)));
    }
}

/// RFC 9623 6.3: a large body is earmarked, and goes through as it comes.
#[test]
fn ten_mebibytes_are_earmarked_and_come_through_in_pieces() {
    const SIZE: usize = 10 * 1024 * 1024;
    let mut stack = started(&[factory(LengthPrefix::new)]);
    stack.received().extend_from_slice(&u32::try_from(SIZE).unwrap().to_be_bytes());
    let want = Receive::min_incomplete(1).max(100_000);
    let (mut total, mut rest, mut context) = (0, SIZE, None);
    while rest > 0 {
        let length = rest.min(65_000);
        stack.received().extend_from_slice(&vec![7; length]);
        rest -= length;
        while let Some(part) = stack.receive(&want).unwrap() {
            total += part.len();
            assert_eq!(part.end_of_message, total == SIZE);
            let first: &MessageContext = context.get_or_insert_with(|| part.context.clone());
            assert!(first.same_message(&part.context));
        }
        assert!(stack.received().len() < 100_000, "nothing is kept");
        assert_eq!(stack.lacking(), rest);
    }
    assert_eq!(total, SIZE);
}
