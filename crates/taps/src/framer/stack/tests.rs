//! A stack without a transport.

use std::time::Duration;

use super::*;
use crate::framer::{Delimiter, FixedLength, Framer, FramerCx, LengthPrefix};
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

/// A factory for the only stack of a test.
fn only(framer: impl Framer + Clone + Sync + 'static) -> FramerFactory {
    Arc::new(move || Box::new(framer.clone()))
}

/// Does what the first byte of what arrives, or of what is sent, tells it to, and passes everything else on.
#[derive(Clone, Default)]
struct Puppet {
    start: &'static str,
    stop: &'static str,
    waits: bool,
    takes_parts: bool,
}

impl Puppet {
    fn act(&self, cx: &mut FramerCx<'_>, order: &str) -> Result<(), FramerError> {
        for order in order.chars() {
            match order {
                'r' => cx.make_connection_ready(),
                'c' => cx.make_connection_closed(),
                'f' => cx.fail_connection(FramerError::Failed("told to".to_owned())),
                'p' => cx.start_passthrough(),
                'w' => cx.schedule_wakeup(Duration::from_secs(1)),
                'a' => cx.prepend_framer(LengthPrefix::new())?,
                'd' => cx.deliver(MessageContext::default(), Bytes::from_static(b"own"), true),
                's' => cx.send_slice(b"<s>"),
                '!' => panic!("told to"),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Framer for Puppet {
    fn start(&mut self, cx: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        self.act(cx, self.start)?;
        Ok(if self.waits { Start::WillMarkReady } else { Start::Ready })
    }

    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        if let Some(order) = message.data.strip_prefix(b"$") {
            return self.act(cx, std::str::from_utf8(order).unwrap());
        }
        cx.send_slice(if message.end_of_message { b"(e)" } else { b"(p)" });
        cx.send(message.data);
        Ok(())
    }

    /// `$` and an order, or one other byte: a message.
    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        match cx.parse(1, 2).map(|parsed| parsed.data.to_vec()).as_deref() {
            Some([b'$', order]) => {
                cx.advance_receive_cursor(2);
                self.act(cx, &char::from(*order).to_string())
            }
            None | Some(b"$") => Ok(()),
            Some(_) => {
                cx.deliver_and_advance_receive_cursor(MessageContext::default(), 1, true);
                Ok(())
            }
        }
    }

    fn stop(&mut self, cx: &mut FramerCx<'_>) -> Stop {
        let _ = self.act(cx, self.stop);
        if self.waits { Stop::WillMarkClosed } else { Stop::Closed }
    }

    fn wakeup(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        cx.send_slice(b"<woken>");
        Ok(())
    }

    fn takes_parts(&self) -> bool {
        self.takes_parts
    }
}

fn told() -> FramerError {
    FramerError::Failed("told to".to_owned())
}

/// RFC 9623 6.1: before it is ready, a framer may fail the attempt.
#[test]
fn a_framer_that_gives_up_before_it_is_ready_fails_the_attempt() {
    let factory = only(Puppet { start: "sf", ..Puppet::default() });
    let mut attempt = Stack::new(std::slice::from_ref(&factory));
    assert_eq!(attempt.start(), Err(told()));
    assert_eq!(attempt.out.take(), &b"<s>"[..], "what it has sent still leaves");
    let mut waiting = Stack::new(&[only(Puppet { waits: true, ..Puppet::default() })]);
    assert_eq!(waiting.start(), Ok(false));
    waiting.received().extend_from_slice(b"$f");
    assert_eq!(waiting.start(), Err(told()));
    assert_eq!(Stack::new(&[factory]).start(), Err(told()), "the next attempt has a framer of its own");
}

#[test]
fn a_framer_that_gives_up_later_ends_everything() {
    let mut stack = stack(&[only(Puppet::default())]);
    stack.received().extend_from_slice(b"a$fb");
    let want = Receive::complete();
    assert_eq!(got(stack.receive(&want).unwrap()), Some((b"a".to_vec(), true)));
    assert_eq!(stack.receive(&want), Err(told()));
    assert_eq!(stack.failure(), Some(&told()));
    assert_eq!(stack.receive(&want), Err(told()));
    assert_eq!(stack.send(Message::new("x")), Err(told()));
    assert_eq!(stack.stop(), Err(told()));
}

/// RFC 9623 6.1: a framer above the one that asks for it, before that one is ready.
#[test]
fn a_framer_can_be_put_above_before_it_is_too_late() {
    let mut stack = Stack::new(&[only(Puppet { waits: true, ..Puppet::default() }), only(FixedLength::new(2))]);
    assert_eq!(stack.start(), Ok(false));
    stack.received().extend_from_slice(b"$a$r");
    assert_eq!(stack.start(), Ok(true));
    // From the top: the fixed length, the length prefix, the puppet.
    stack.send(Message::new("hi")).unwrap();
    assert_eq!(stack.out.take(), &b"(e)\0\0\0\x02hi"[..]);
    assert_eq!(stack.send(Message::new("$a")), Ok(()), "the puppet sees the length first");
    stack.received().extend_from_slice(b"$a");
    assert_eq!(stack.receive(&Receive::complete()), Err(FramerError::AlreadyReady));
}

#[test]
fn framers_that_put_framers_above_them_come_to_an_end() {
    #[derive(Clone)]
    struct Tower;
    impl Framer for Tower {
        fn start(&mut self, cx: &mut FramerCx<'_>) -> Result<Start, FramerError> {
            cx.prepend_framer(Self)?;
            Ok(Start::Ready)
        }
        fn new_sent_message(&mut self, _: &mut FramerCx<'_>, _: Message) -> Result<(), FramerError> {
            Ok(())
        }
        fn handle_received_data(&mut self, _: &mut FramerCx<'_>) -> Result<(), FramerError> {
            Ok(())
        }
    }
    assert_eq!(Stack::new(&[only(Tower)]).start(), Err(FramerError::TooManyFramers { limit: MAX_FRAMERS }));
}

/// RFC 9623 6.1: a framer that has done its part is out of the way.
#[test]
fn a_framer_that_steps_aside_leaves_the_others_to_each_other() {
    let want = Receive::min_incomplete(1);
    // Alone over a stream: the rest of the stream is one message.
    let mut alone = stack(&[only(Puppet::default())]);
    alone.received().extend_from_slice(b"a$pbc");
    assert_eq!(got(alone.receive(&want).unwrap()), Some((b"a".to_vec(), true)));
    assert_eq!(got(alone.receive(&want).unwrap()), Some((b"bc".to_vec(), false)));
    assert!(!alone.has_framers());
    alone.send(Message::new("$!")).unwrap();
    assert_eq!(alone.out.take(), &b"$!"[..]);
    alone.handle_end();
    assert_eq!(got(alone.receive(&want).unwrap()), Some((b"".to_vec(), true)));
    assert!(alone.stop().unwrap());

    // Under another: what it has not used is the other's.
    let mut under = stack(&[only(Puppet::default()), length_prefix()]);
    under.received().extend_from_slice(b"$p\0\0\0\x02hi");
    assert_eq!(got(under.receive(&want).unwrap()), Some((b"hi".to_vec(), true)));
    under.send(Message::new("yes")).unwrap();
    assert_eq!(under.out.take(), &b"\0\0\0\x03yes"[..]);

    // Above another: the application gets the other's messages.
    let mut above = stack(&[length_prefix(), only(Puppet::default())]);
    above.received().extend_from_slice(b"\0\0\0\x02$p\0\0\0\x02hi\0\0\0\0");
    assert_eq!(got(above.receive(&want).unwrap()), Some((b"hi".to_vec(), true)));
    assert_eq!(got(above.receive(&want).unwrap()), Some((b"".to_vec(), true)));
    above.send(Message::new("yes")).unwrap();
    assert_eq!(above.out.take(), &b"\0\0\0\x03yes"[..]);

    // Over a transport of messages: each is one.
    let mut datagrams = over_messages(&[only(Puppet::default())], None);
    datagrams.push_message(bytes("$p"), MessageContext::default());
    datagrams.push_message(bytes("one"), MessageContext::default());
    assert_eq!(data(&receive_all(&mut datagrams)), [b"one"]);
    datagrams.push_message(bytes("two"), MessageContext::default());
    assert_eq!(data(&receive_all(&mut datagrams)), [b"two"]);
    datagrams.send(Message::new("$!")).unwrap();
    assert_eq!(leaving(&mut datagrams), ["$!"]);
}

#[test]
fn a_framer_may_step_aside_at_its_start_or_when_it_sends() {
    let mut at_start = stack(&[only(Puppet { start: "p", waits: true, ..Puppet::default() }), length_prefix()]);
    at_start.send(Message::new("x")).unwrap();
    assert_eq!(at_start.out.take(), &b"\0\0\0\x01x"[..]);
    let mut sending = stack(&[only(Puppet::default())]);
    sending.send(Message::new("$sp")).unwrap();
    sending.send(Message::new("x")).unwrap();
    assert_eq!(sending.out.take(), &b"<s>x"[..]);
}

/// RFC 9623 6.1: the end waits until the framer has finished, from the top down.
#[test]
fn a_framer_may_hold_the_end_until_it_has_heard_from_its_peer() {
    let polite = Puppet { stop: "s", waits: true, start: "r", takes_parts: false };
    let mut stack = stack(&[length_prefix(), only(polite.clone()), only(polite)]);
    assert_eq!(stack.stop(), Ok(false));
    assert_eq!(stack.out.take(), &b"\0\0\0\x06(e)<s>"[..]);
    stack.received().extend_from_slice(b"\0\0\0\x05lost!\0\0\0\x01$");
    assert_eq!(stack.stop(), Err(FramerError::Truncated));

    let polite = Puppet { stop: "s", waits: true, start: "r", takes_parts: false };
    let mut stack = self::stack(&[only(polite)]);
    assert_eq!(stack.stop(), Ok(false));
    assert_eq!(stack.out.take(), &b"<s>"[..]);
    stack.received().extend_from_slice(b"lost$c");
    assert_eq!(stack.stop(), Ok(true));
    assert_eq!(stack.stop(), Ok(true));
    assert!(stack.out.is_empty());

    // Nobody is left to say anything.
    let polite = Puppet { stop: "s", waits: true, start: "r", takes_parts: false };
    let mut stack = self::stack(&[only(polite.clone()), only(polite)]);
    assert_eq!(stack.stop(), Ok(false));
    stack.handle_end();
    assert_eq!(stack.stop(), Ok(true));
    assert_eq!(stack.out.take(), &b"(e)<s><s>"[..]);
}

/// The time is an argument, and nothing is asked of who has no framer that waits.
#[test]
fn a_framer_is_woken_when_its_time_has_come() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut stack = stack(&[length_prefix(), only(Puppet::default())]);
    assert_eq!(stack.next_wakeup(now), None);
    stack.send(Message::new("$w")).unwrap();
    assert_eq!(stack.next_wakeup(now), Some(now + second));
    assert_eq!(stack.next_wakeup(now + second / 2), Some(now + second), "it does not move");
    stack.handle_wakeup(now + second / 2).unwrap();
    assert!(stack.out.is_empty());
    stack.handle_wakeup(now + second).unwrap();
    assert_eq!(stack.out.take(), &b"\0\0\0\x07<woken>"[..]);
    assert_eq!(stack.next_wakeup(now), None);
}

/// RFC 9622 9.2.3, its own example.
#[test]
fn parts_of_a_sent_message_are_one_message() {
    let context = MessageContext::new();
    let send = |stack: &mut Stack| {
        stack.send(Message::new("hel").in_context(context.clone()).partial())?;
        let early = stack.out.is_empty();
        stack.send(Message::new("lo").in_context(context.clone())).map(|()| early)
    };
    // A length comes first, so nothing leaves before the end.
    let mut whole = stack(&[length_prefix()]);
    assert_eq!(send(&mut whole), Ok(true));
    assert_eq!(whole.out.take(), &b"\0\0\0\x05hello"[..]);
    let mut line = stack(&[only(Delimiter::new("\n"))]);
    assert_eq!(send(&mut line), Ok(false));
    assert_eq!(line.out.take(), &b"hello\n"[..]);
    let mut bare = stack(&[]);
    assert_eq!(send(&mut bare), Ok(false));
    assert_eq!(bare.out.take(), &b"hello"[..]);
    let mut datagram = over_messages(&[], None);
    assert_eq!(send(&mut datagram), Ok(true));
    assert_eq!(leaving(&mut datagram), ["hello"]);
    let mut both = stack(&[length_prefix(), only(Delimiter::new("\n"))]);
    assert_eq!(send(&mut both), Ok(true));
    assert_eq!(both.out.take(), &b"\0\0\0\x06hello\n"[..]);
    let mut both = over_messages(&[only(Delimiter::new("\n")), only(Delimiter::new("!"))], None);
    assert_eq!(send(&mut both), Ok(true));
    assert_eq!(leaving(&mut both), ["hello!\n"]);
}

#[test]
fn parts_of_two_messages_are_not_mixed() {
    for factories in
        [&[length_prefix()][..], &[only(Delimiter::new("\n"))], &[length_prefix(), only(Puppet::default())]]
    {
        let mut stack = stack(factories);
        let (one, two) = (MessageContext::new(), MessageContext::new());
        stack.send(Message::new("a").in_context(one.clone()).partial()).unwrap();
        let mark = stack.out.open_len();
        assert_eq!(stack.send(Message::new("b").in_context(two.clone()).partial()), Err(FramerError::Interleaved));
        assert_eq!(stack.send(Message::new("b").in_context(two.clone())), Err(FramerError::Interleaved));
        assert_eq!(stack.send(Message::new("b")), Err(FramerError::Interleaved));
        assert_eq!(stack.out.open_len(), mark);
        stack.send(Message::new("c").in_context(one)).unwrap();
        stack.send(Message::new("b").in_context(two)).unwrap();
    }
}

/// A framer that answers while a message of the application is on its way in parts does not get into it.
#[test]
fn what_a_framer_answers_does_not_get_into_a_message_in_parts() {
    let context = MessageContext::new();
    let first = || Message::new("hel").in_context(context.clone()).partial();
    let rest = || Message::new("lo").in_context(context.clone());
    let passing = Puppet { takes_parts: true, ..Puppet::default() };
    // The layer below collects: the answer goes first.
    let mut stack = stack(&[length_prefix(), only(passing.clone())]);
    stack.send(first()).unwrap();
    stack.received().extend_from_slice(b"\0\0\0\x02$s");
    assert_eq!(stack.receive(&Receive::complete()), Ok(None));
    assert_eq!(stack.out.take(), &b"\0\0\0\x03<s>"[..]);
    stack.send(rest()).unwrap();
    assert_eq!(stack.out.take(), &b"\0\0\0\x0b(p)hel(e)lo"[..]);
    // The layer below has begun to send: the answer comes after.
    let mut stack = self::stack(&[only(Delimiter::new("\n")), only(passing)]);
    stack.send(first()).unwrap();
    stack.received().extend_from_slice(b"$s\n");
    assert_eq!(stack.receive(&Receive::complete()), Ok(None));
    stack.send(rest()).unwrap();
    assert_eq!(stack.out.take(), &b"(p)hel(e)lo\n<s>\n"[..]);
}

#[test]
fn a_message_in_parts_that_is_refused_is_refused_as_a_whole() {
    let context = MessageContext::new();
    let part = |data: &'static str| Message::new(data).in_context(context.clone()).partial();
    let end = |data: &'static str| Message::new(data).in_context(context.clone());
    let mut stack = stack(&[only(LengthPrefix::with_limit(5))]);
    stack.send(part("hel")).unwrap();
    assert_eq!(stack.send(part("lo!")), Err(FramerError::MessageTooLarge { size: 6, limit: 5 }));
    assert_eq!(stack.send(part("?")), Err(FramerError::PartRefused));
    assert_eq!(stack.send(end("?")), Err(FramerError::PartRefused));
    stack.send(Message::new("fine")).unwrap();
    assert_eq!(stack.out.take(), &b"\0\0\0\x04fine"[..]);
    // Given up without an end.
    stack.send(part("hello")).unwrap();
    assert!(stack.send(part("!")).is_err());
    stack.send(Message::new("fine")).unwrap();
    assert_eq!(stack.out.take(), &b"\0\0\0\x04fine"[..]);

    // The first part is refused: nothing has left.
    let mut line = self::stack(&[only(Delimiter::new("\n"))]);
    assert!(line.send(part("\n")).is_err());
    line.send(Message::new("fine")).unwrap();
    assert_eq!(line.out.take(), &b"fine\n"[..]);
    // What has left cannot be taken back: no other message must join it.
    line.send(part("hel")).unwrap();
    let error = FramerError::ContainsDelimiter { offset: 3 };
    assert_eq!(line.send(part("\n")), Err(error.clone()));
    assert_eq!(line.send(Message::new("fine")), Err(error));
    assert_eq!(line.out.take(), &b"hel"[..]);
}

#[test]
fn a_framer_that_panics_has_made_its_stack_unusable() {
    let mut stack = stack(&[only(Puppet::default())]);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stack.send(Message::new("$!"))));
    assert!(panicked.is_err());
    assert_eq!(stack.failure(), Some(&FramerError::Panicked));
    assert_eq!(stack.send(Message::new("x")), Err(FramerError::Panicked));
    assert_eq!(stack.receive(&Receive::complete()), Err(FramerError::Panicked));
    assert_eq!(stack.start(), Err(FramerError::Panicked));
    assert_eq!(stack.stop(), Err(FramerError::Panicked));
}

#[test]
fn a_framer_that_uses_nothing_is_stopped_at_its_limit() {
    #[derive(Clone)]
    struct Idle(bool);
    impl Framer for Idle {
        fn new_sent_message(&mut self, _: &mut FramerCx<'_>, _: Message) -> Result<(), FramerError> {
            Ok(())
        }
        fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
            cx.advance_receive_cursor(0);
            cx.send_slice(b"");
            if self.0 {
                cx.deliver(MessageContext::default(), Bytes::new(), true);
            }
            Ok(())
        }
        fn max_message_len(&self) -> usize {
            10_000
        }
    }
    let mut idle = stack(&[only(Idle(false))]);
    idle.received().extend_from_slice(&[0; 10_000]);
    assert_eq!(idle.receive(&Receive::complete()), Ok(None));
    idle.received().extend_from_slice(&[0; 64 * 1024 + 1]);
    assert_eq!(idle.receive(&Receive::complete()), Err(FramerError::NoProgress { held: 75_537 }));
    // One that delivers without an end is stopped too.
    let mut busy = stack(&[only(Idle(true))]);
    busy.received().extend_from_slice(b"x");
    let count = std::iter::from_fn(|| busy.receive(&Receive::complete()).unwrap_or(None)).count();
    assert!(count > 0);
    assert_eq!(busy.receive(&Receive::complete()), Err(FramerError::NoProgress { held: 1 }));
}
