//! The bodies of the fuzz targets in `fuzz/`; no part of the API.

use std::sync::Arc;

use bytes::Bytes;

use crate::framer::stack::Stack;
use crate::framer::{Delimiter, FixedLength, Framer, FramerFactory, LengthPrefix, Tlv};
use crate::message::{Message, MessageContext, Receive};

/// A stack of framers takes any bytes in any pieces, and gives back what it has framed itself.
///
/// # Panics
/// When more comes out than went in, or a message does not come back as it was sent.
pub fn framers(input: &[u8]) {
    let [setup, pieces, data @ ..] = input else { return };
    let factories = factories(*setup);
    let piece = usize::from(*pieces % 61) + 1;
    any_bytes(&factories, piece, data);
    for messages in [false, true] {
        round_trip(&factories, messages, piece, data);
    }
}

fn factory<F: Framer + 'static>(make: impl Fn() -> F + Send + Sync + 'static) -> FramerFactory {
    Arc::new(move || Box::new(make()))
}

/// None to three framers, from the bottom up.
fn factories(mut setup: u8) -> Vec<FramerFactory> {
    let mut factories = Vec::new();
    while setup > 0 && factories.len() < 3 {
        factories.push(match setup % 6 {
            0 => factory(|| LengthPrefix::with_limit(300)),
            1 => factory(LengthPrefix::new),
            2 => factory(Tlv::new),
            3 => factory(|| Delimiter::new("\n").limit(200)),
            4 => factory(|| Delimiter::new("abab")),
            _ => factory(|| FixedLength::new(7)),
        });
        setup /= 6;
    }
    factories
}

fn started(factories: &[FramerFactory], messages: bool) -> Stack {
    let mut stack = if messages { Stack::of_messages(factories, Some(1000)) } else { Stack::new(factories) };
    assert_eq!(stack.start(), Ok(true));
    stack
}

fn any_bytes(factories: &[FramerFactory], piece: usize, data: &[u8]) {
    let mut stream = started(factories, false);
    let mut datagrams = started(factories, true);
    let want = Receive::min_incomplete(piece).max(100);
    let (mut fed, mut got) = (0, 0);
    for piece in data.chunks(piece) {
        fed += piece.len();
        stream.received().extend_from_slice(piece);
        while let Ok(Some(part)) = stream.receive(&want) {
            assert!(part.len() <= 100);
            got += part.len();
        }
        assert!(got <= fed);
        datagrams.push_message(Bytes::copy_from_slice(piece), MessageContext::default());
        let mut faults = 0;
        loop {
            match datagrams.receive(&want) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => faults += 1,
            }
            assert!(faults <= piece.len() + 1, "each fault takes something along");
        }
        assert!(!datagrams.holds_received());
    }
    // Whatever was wrong with one message is not held against the next.
    let mut sender = started(factories, true);
    if sender.send(Message::new("1234567")).is_ok() {
        let (datagram, context) = sender.out.take_message().expect("it was sent");
        datagrams.push_message(datagram, context);
        let message = datagrams.receive(&Receive::complete()).expect("it is what a framer has sent");
        assert_eq!(message.expect("it is whole").data, "1234567");
    }
    stream.handle_end();
    while let Ok(Some(_)) = stream.receive(&want) {}
    let end = stream.receive(&want);
    assert_eq!(stream.receive(&want), end, "it stays so");
}

/// Sends the pieces of `data` as messages, some in two parts, and receives what was taken.
fn round_trip(factories: &[FramerFactory], messages: bool, piece: usize, data: &[u8]) {
    let mut sender = started(factories, messages);
    let mut receiver = started(factories, messages);
    let mut sent: Vec<Bytes> = Vec::new();
    for body in data.chunks(piece) {
        // Two parts when the first byte is odd; the first may be empty.
        let context = MessageContext::new();
        let at = body[0] as usize % body.len();
        let first = Message::new(&body[..at]).in_context(context.clone()).partial();
        let accepted = if body[0] & 1 == 1 {
            sender.send(first).and_then(|()| sender.send(Message::new(&body[at..]).in_context(context)))
        } else {
            sender.send(Message::new(body))
        };
        match accepted {
            Ok(()) => sent.push(Bytes::copy_from_slice(body)),
            // What has left cannot be taken back: nothing more can be sent.
            Err(_) if sender.failure().is_some() => return,
            Err(_) => {}
        }
    }
    let mut received: Vec<Bytes> = Vec::new();
    let mut drain = |receiver: &mut Stack| {
        while let Some(message) = receiver.receive(&Receive::complete()).expect("it is what a framer has sent") {
            received.push(message.data);
        }
    };
    if messages {
        while let Some((datagram, context)) = sender.out.take_message() {
            receiver.push_message(datagram, context);
            drain(&mut receiver);
        }
    } else {
        for piece in sender.out.take().chunks(piece) {
            receiver.received().extend_from_slice(piece);
            drain(&mut receiver);
        }
        receiver.handle_end();
        drain(&mut receiver);
    }
    if factories.is_empty() && !messages {
        // A stream is one message.
        assert_eq!(received.concat(), sent.concat());
    } else {
        assert_eq!(received, sent);
    }
}

#[cfg(test)]
mod tests {
    use super::framers;

    /// The same inputs each time: bytes that mean something to a framer, in a fixed disorder.
    #[test]
    fn disordered_bytes_in_every_stack() {
        let alphabet = b"\0\0\0\0\x01\x02\x05\x07\n\nabab!\xff";
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for setup in 0..=255 {
            for _ in 0..20 {
                let mut input = vec![setup, u8::try_from(next(256)).unwrap()];
                let length = next(400);
                input.extend((0..length).map(|_| alphabet[next(alphabet.len())]));
                framers(&input);
            }
        }
    }
}
