//! A stack without a transport.

use super::*;
use crate::framer::{Framer, FramerCx, LengthPrefix};
use crate::message::{Message, Receive};

fn stack(factories: &[FramerFactory]) -> Stack {
    let mut stack = Stack::new(factories);
    assert!(stack.start().unwrap());
    stack
}

fn length_prefix() -> FramerFactory {
    Arc::new(|| Box::new(LengthPrefix::new()))
}

/// Delivers each byte as a part; a dot ends the message.
struct Drops;

impl Framer for Drops {
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let Some(parsed) = cx.parse(1, 1) else { return Ok(()) };
        let end = parsed.data == b".";
        cx.deliver_and_advance_receive_cursor(MessageContext::default(), 1, end);
        Ok(())
    }
}

fn drops() -> FramerFactory {
    Arc::new(|| Box::new(Drops))
}

fn got(message: Option<Message>) -> Option<(Vec<u8>, bool)> {
    message.map(|message| (message.data.to_vec(), message.end_of_message))
}

#[test]
fn parts_are_joined_and_cut_as_the_application_wants() {
    let mut stack = stack(&[drops()]);
    stack.received().extend_from_slice(b"one.two");
    let want = Receive::complete();
    assert_eq!(got(stack.receive(&want).unwrap()), Some((b"one.".to_vec(), true)));
    assert_eq!(got(stack.receive(&want).unwrap()), None);
    let want = Receive::min_incomplete(4);
    assert_eq!(got(stack.receive(&want).unwrap()), None);
    stack.received().extend_from_slice(b"three.x");
    let want = want.max(5);
    assert_eq!(got(stack.receive(&want).unwrap()), Some((b"twoth".to_vec(), false)));
    assert_eq!(got(stack.receive(&want).unwrap()), Some((b"ree.".to_vec(), true)));
    let want = Receive::min_incomplete(1);
    assert_eq!(got(stack.receive(&want).unwrap()), Some((b"x".to_vec(), false)));
}

#[test]
fn every_split_of_a_stack_of_two_gives_the_same_messages() {
    let factories = [length_prefix(), length_prefix()];
    let bodies = [&b"one"[..], b"", b"three"];
    let mut sender = stack(&factories);
    for body in bodies {
        sender.send(Message::new(body)).unwrap();
    }
    let wire = sender.out.take();
    assert_eq!(&wire[..11], b"\0\0\0\x07\0\0\0\x03one");
    for split in 0..=wire.len() {
        let mut receiver = stack(&factories);
        let mut messages = Vec::new();
        for piece in [&wire[..split], &wire[split..]] {
            receiver.received().extend_from_slice(piece);
            while let Some(message) = receiver.receive(&Receive::complete()).unwrap() {
                messages.push(message.data);
            }
        }
        assert_eq!(messages, bodies, "split at {split}");
    }
}

#[test]
fn a_message_that_cannot_hold_the_one_above_is_truncated() {
    // The lower messages have two bytes, too few for a header, and six, too few for the five declared.
    for wire in [&b"\0\0\0\x02\0\0"[..], b"\0\0\0\x06\0\0\0\x05ab"] {
        let mut receiver = stack(&[length_prefix(), length_prefix()]);
        receiver.received().extend_from_slice(wire);
        assert_eq!(receiver.receive(&Receive::complete()), Err(FramerError::Truncated));
    }
}

#[test]
fn a_large_body_goes_through_without_a_copy() {
    let mut stack = stack(&[length_prefix()]);
    stack.received().extend_from_slice(b"\0\0\x10\0");
    stack.received().extend_from_slice(&[7; 4096]);
    let address = stack.received()[4..].as_ptr();
    let message = stack.receive(&Receive::complete()).unwrap().unwrap();
    assert_eq!((message.data.len(), message.data.as_ptr()), (4096, address));
}

fn bytes(data: &'static str) -> Bytes {
    Bytes::from_static(data.as_bytes())
}

fn receive_all(stack: &mut Stack) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(message) = stack.receive(&Receive::complete()).unwrap() {
        messages.push(message);
    }
    messages
}

fn data(messages: &[Message]) -> Vec<&[u8]> {
    messages.iter().map(|message| &message.data[..]).collect()
}

fn over_messages(factories: &[FramerFactory], limit: Option<usize>) -> Stack {
    let mut stack = Stack::of_messages(factories, limit);
    assert!(stack.start().unwrap());
    stack
}

fn leaving(stack: &mut Stack) -> Vec<Bytes> {
    std::iter::from_fn(|| stack.out.take_message()).map(|(data, _)| data).collect()
}

/// RFC 9622 9.3.1, its own example: 1500 bytes where 1000 are wanted at once.
#[test]
fn all_parts_of_a_received_message_have_the_same_context() {
    let mut stack = stack(&[length_prefix()]);
    for length in [1500u32, 1500] {
        stack.received().extend_from_slice(&length.to_be_bytes());
        stack.received().extend_from_slice(&[7; 1500]);
    }
    let want = Receive::min_incomplete(1).max(1000);
    let mut part = || stack.receive(&want).unwrap().unwrap();
    let (first, second, third) = (part(), part(), part());
    assert_eq!((first.len(), first.end_of_message), (1000, false));
    assert_eq!((second.len(), second.end_of_message), (500, true));
    assert!(first.context.same_message(&second.context));
    assert!(!second.context.same_message(&third.context), "another message has another");
}

/// RFC 9622 9.3.2.2 and 9.3.3.3: a stream is one message, and the last.
#[test]
fn a_stream_is_one_message_whose_last_part_says_so() {
    let mut stack = stack(&[]);
    let want = Receive::min_incomplete(1);
    stack.received().extend_from_slice(b"one");
    let first = stack.receive(&want).unwrap().unwrap();
    stack.received().extend_from_slice(b"two");
    let second = stack.receive(&want).unwrap().unwrap();
    stack.received().extend_from_slice(b"three");
    stack.handle_end();
    let third = stack.receive(&Receive::min_incomplete(1000)).unwrap().unwrap();
    assert_eq!(data(&[first.clone(), second.clone(), third.clone()]), [&b"one"[..], b"two", b"three"]);
    assert!(first.context.same_message(&second.context) && first.context.same_message(&third.context));
    assert!(!second.end_of_message && third.end_of_message && third.context.last);
    assert_eq!(stack.receive(&want), Ok(None));
}

#[test]
fn the_parts_that_a_framer_delivers_have_the_same_context() {
    let mut stack = stack(&[drops()]);
    stack.received().extend_from_slice(b"ab.c.");
    let want = Receive::min_incomplete(1).max(1);
    let parts: Vec<_> = std::iter::from_fn(|| stack.receive(&want).unwrap()).collect();
    let same = |a: usize, b: usize| parts[a].context.same_message(&parts[b].context);
    assert!(same(0, 1) && same(1, 2) && same(3, 4) && !same(2, 3));
}

/// RFC 9622 9.1.2: without framers, what the transport keeps apart stays apart.
#[test]
fn messages_of_the_transport_are_messages() {
    let mut stack = over_messages(&[], None);
    assert!(stack.preserves_boundaries() && !stack.has_framers());
    let mut context = MessageContext::default();
    context.set_ecn(crate::message::Ecn::Ce);
    for message in ["one", "", "three"] {
        stack.push_message(bytes(message), context.clone());
    }
    let messages = receive_all(&mut stack);
    assert_eq!(data(&messages), [&b"one"[..], b"", b"three"]);
    assert!(messages.iter().all(|message| message.end_of_message && message.context == context));

    for message in ["one", "", "three"] {
        stack.send(Message::new(message)).unwrap();
    }
    assert_eq!(leaving(&mut stack), ["one", "", "three"]);
    assert!(stack.out.is_empty());
}

/// RFC 9622 9.1.2: over messages, framers add a transformation; each sees the messages of the one below.
#[test]
fn framers_work_inside_the_messages_of_the_transport() {
    let factories = [length_prefix(), length_prefix()];
    let mut sender = over_messages(&factories, None);
    for message in ["one", "", "three"] {
        sender.send(Message::new(message)).unwrap();
    }
    let datagrams = leaving(&mut sender);
    assert_eq!(datagrams[0], &b"\0\0\0\x07\0\0\0\x03one"[..]);
    assert_eq!(datagrams.len(), 3);
    let mut receiver = over_messages(&factories, None);
    let mut context = MessageContext::default();
    context.add("port", 7, "udp");
    for datagram in datagrams {
        receiver.push_message(datagram, context.clone());
    }
    // Several may be packed into one.
    receiver.push_message(bytes("\0\0\0\x05\0\0\0\x01a\0\0\0\x05\0\0\0\x01b"), context.clone());
    let messages = receive_all(&mut receiver);
    assert_eq!(data(&messages), [&b"one"[..], b"", b"three", b"a", b"b"]);
    assert!(messages.iter().all(|message| message.context == context), "the context comes through all layers");
}

#[test]
fn a_message_of_the_transport_that_makes_no_sense_is_dropped_alone() {
    for wrong in ["", "\0\0", "\0\0\0\x09short", "\0\0\0\x05\0\0\0\x09a", "\0\0\0\x05\0\0\0\x01a\0"] {
        let mut receiver = over_messages(&[length_prefix(), length_prefix()], None);
        receiver.push_message(bytes(wrong), MessageContext::default());
        receiver.push_message(bytes("\0\0\0\x06\0\0\0\x02ok"), MessageContext::default());
        let mut messages = Vec::new();
        let mut errors = 0;
        while let Some(next) = receiver.receive(&Receive::complete()).transpose() {
            match next {
                Ok(message) => messages.push(message),
                Err(error) => {
                    assert_eq!(error, FramerError::Truncated, "{wrong:?}");
                    errors += 1;
                }
            }
        }
        assert_eq!((data(&messages).last(), errors), (Some(&&b"ok"[..]), 1), "{wrong:?}");
    }
}

#[test]
fn a_framed_message_over_the_transports_limit_is_refused_and_nothing_of_it_stays() {
    for (factories, most) in [(&[][..], 10), (&[length_prefix()][..], 6)] {
        let mut stack = over_messages(factories, Some(10));
        stack.send(Message::new("before")).unwrap();
        let too_large = Err(FramerError::MessageTooLarge { size: 11, limit: 10 });
        assert_eq!(stack.send(Message::new(vec![0; most + 1])), too_large);
        stack.send(Message::new(vec![1; most])).unwrap();
        let datagrams = leaving(&mut stack);
        assert_eq!((datagrams.len(), datagrams[1].len()), (2, 10));
    }
}

/// Neither side allocates for a message once its buffers have their size; what is received shares the buffer that it
/// was read into.
#[test]
fn plain_messages_allocate_nothing() {
    let mut sender = stack(&[length_prefix()]);
    let mut receiver = stack(&[length_prefix()]);
    let body = Bytes::from(vec![1; 100]);
    let large = Bytes::from(vec![2; 10_000]);
    let message = Message::from(body.clone());
    for _ in 0..10 {
        sender.send(message.clone()).unwrap();
        sender.send(Message::from(large.clone())).unwrap();
        sender.out.advance(usize::MAX);
    }
    let sent = allocation_counter::measure(|| {
        for _ in 0..100 {
            sender.send(message.clone()).unwrap();
            sender.send(Message::from(large.clone())).unwrap();
            sender.out.advance(usize::MAX);
        }
    });
    assert_eq!(sent.count_total, 0);

    let want = Receive::complete();
    for round in 0..2 {
        receiver.received().reserve(64 * 1024);
        for _ in 0..100 {
            receiver.received().extend_from_slice(&100u32.to_be_bytes());
            receiver.received().extend_from_slice(&body);
        }
        let received = allocation_counter::measure(|| {
            for _ in 0..100 {
                assert_eq!(receiver.receive(&want).unwrap().unwrap().len(), 100);
            }
        });
        // The buffer gets its reference count.
        assert!(round == 0 || received.count_total <= 1, "{}", received.count_total);
    }
}
