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
