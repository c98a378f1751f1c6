//! Messages in parts: handed over as they are made, taken as they come (part 2, 2.6.14).

mod common;

use common::{config, pattern, received, send, tag};
use postroad_amqp::v1_0::{Delivery, Event, LinkId, LinkTerms, Message, SendError};
use postroad_codec::v1_0::{Body, DeliveryNumber, DeliveryState, ErrorCondition, Message as Amqp, Role};
use postroad_testkit::{Pair, Side, accepted, close, continuation, flow, transfer};

fn terms() -> LinkTerms {
    LinkTerms { in_parts: true, ..common::resumable() }
}

/// A pair with small frames and a link on which the client sends and the server takes parts.
fn in_parts(credit: u32) -> (Pair, LinkId, LinkId) {
    let small = || {
        let mut config = config();
        config.max_frame_size = 512;
        config.incoming_bytes = 4096;
        config.outgoing_bytes = 4096;
        config
    };
    let mut pair = Pair::new(small(), small());
    let (session, _) = pair.session();
    let (ours, theirs) = pair.link_with(session, "a", Role::Sender, terms(), terms());
    pair.server.receiver(theirs).set_credit(credit);
    pair.run();
    pair.events(Side::Client);
    (pair, ours, theirs)
}

fn begin(pair: &mut Pair, link: LinkId, token: u64, part: &[u8]) -> DeliveryNumber {
    let message = Message { more: true, ..Message::new(part, tag(token), token) };
    pair.client.sender(link).send(&message).unwrap()
}

#[test]
fn a_message_of_any_length_passes_in_bounded_memory() {
    let (mut pair, ours, theirs) = in_parts(1);
    let all = pattern(200_000, 3);
    let delivery = begin(&mut pair, ours, 1, &all[..10]);
    let (mut sent, mut taken, mut waiting) = (10, Vec::new(), 0);
    let mut parts = 0;
    while taken.len() < all.len() {
        while sent < all.len() && pair.client.sender(ours).can_append() {
            let size = (1 + sent * 7 % 1900).min(all.len() - sent);
            let more = sent + size < all.len();
            pair.client.sender(ours).append(delivery, &all[sent..sent + size], None, more).unwrap();
            sent += size;
        }
        pair.run();
        waiting = waiting.max(sent - taken.len());
        // A slow reader takes a part at a time.
        let Some(part) = pair.server.receiver(theirs).take() else { continue };
        parts += 1;
        assert_eq!((part.number, part.continues), (delivery, !taken.is_empty()));
        taken.extend_from_slice(&part.payload);
        assert_eq!(part.more, taken.len() < all.len());
    }
    assert!(taken == all);
    assert!(parts > 100);
    // The window of the session, the output of the sender, one part in its hands.
    assert!(waiting < 4096 + 4096 + 2 * 1900 + 1024, "{waiting} bytes waited");
    pair.server.receiver(theirs).dispose(delivery, Some(DeliveryState::Accepted), true);
    pair.run();
    let settled = pair.events(Side::Client).into_iter().any(|event| match event {
        Event::Update(update) => {
            (update.token, update.state, update.settled) == (1, Some(DeliveryState::Accepted), true)
        }
        _ => false,
    });
    assert!(settled);
}

#[test]
fn a_receiver_that_wants_it_whole_gets_it_whole() {
    let (mut pair, ours, theirs) = common::sending_pair(5);
    let delivery = begin(&mut pair, ours, 1, b"one ");
    pair.client.sender(ours).append(delivery, b"", None, true).unwrap();
    pair.client.sender(ours).append(delivery, b"two ", None, true).unwrap();
    pair.run();
    assert_eq!(received(&mut pair.server, theirs), []);
    assert_eq!(send(&mut pair.client, ours, 2), Err(SendError::Blocked), "one at a time");
    pair.client.sender(ours).append(delivery, b"three", None, false).unwrap();
    assert_eq!(pair.client.sender(ours).append(delivery, b"four", None, false), Err(SendError::Detached));
    send(&mut pair.client, ours, 2).unwrap();
    pair.run();
    let taken = received(&mut pair.server, theirs);
    let shown = |delivery: &Delivery| (delivery.payload.to_vec(), delivery.continues, delivery.more);
    assert_eq!(
        taken.iter().map(shown).collect::<Vec<_>>(),
        [(b"one two three".to_vec(), false, false), (b"message 2".to_vec(), false, false),]
    );
}

#[test]
fn a_message_that_is_given_up_is_told_so_and_settled() {
    let (mut pair, ours, theirs) = in_parts(3);
    let delivery = begin(&mut pair, ours, 1, &pattern(2000, 0));
    pair.run();
    pair.client.sender(ours).abort(delivery);
    pair.client.sender(ours).abort(delivery);
    send(&mut pair.client, ours, 2).unwrap();
    pair.run();
    let taken = received(&mut pair.server, theirs);
    let (last, parts) = taken.split_last().unwrap();
    assert_eq!(last.payload, "message 2");
    let aborted = parts.last().unwrap();
    assert_eq!((aborted.aborted, aborted.more, aborted.payload.len()), (true, false, 0));
    assert!(parts.iter().rev().skip(1).all(|part| part.more && !part.aborted));
    assert_eq!(pair.client.sender(ours).unsettled(), 1);
    // One that takes messages whole never sees it, and the credit is used.
    let (mut pair, ours, theirs) = common::sending_pair(3);
    let delivery = begin(&mut pair, ours, 1, b"never");
    pair.client.sender(ours).abort(delivery);
    send(&mut pair.client, ours, 2).unwrap();
    pair.run();
    assert_eq!(received(&mut pair.server, theirs).len(), 1);
    assert_eq!((pair.client.sender(ours).credit(), pair.server.receiver(theirs).credit()), (1, 1));
}

#[test]
fn parts_without_bytes_are_bounded_too() {
    for length in [0, 1] {
        let mut small = config();
        (small.max_frame_size, small.incoming_bytes) = (512, 65_536);
        let mut peer = postroad_testkit::ScriptedPeer::with_session(small);
        let link = common::incoming(&mut peer, postroad_testkit::attach_sender("a"), terms());
        peer.engine.receiver(link).set_credit(1);
        peer.take_bytes();
        peer.send(transfer(0).more(true).payload(vec![7; length]));
        // Whatever window it is told, nobody takes what it sends.
        let mut parts = 1;
        while peer.engine.receiver(link).queued() == parts && parts < 10_000 {
            peer.send(continuation().more(true).payload(vec![7; length]));
            peer.take_bytes();
            parts += 1;
        }
        assert!((100..600).contains(&parts), "{parts} parts of {length} bytes wait");
        assert_eq!(peer.engine.error(), None, "the session ends, and nothing wider");
    }
}

#[test]
fn nothing_is_given_up_behind_a_close() {
    let (mut peer, link) = common::sending_peer(config(), 5);
    let message = Message { more: true, ..Message::new(b"a", tag(7), 7) };
    let delivery = peer.engine.sender(link).send(&message).unwrap();
    peer.expect(transfer(0).more(true).payload(&b"a"[..]));
    peer.engine.close(None);
    peer.engine.sender(link).abort(delivery);
    assert_eq!(peer.engine.sender(link).append(delivery, b"b", None, false), Err(SendError::Detached));
    peer.expect(close()).expect_nothing();
}

#[test]
fn frames_of_a_message_in_parts() {
    let (mut peer, link) = common::sending_peer(config(), 5);
    let message = Message { more: true, ..Message::new(b"a", tag(7), 7) };
    let delivery = peer.engine.sender(link).send(&message).unwrap();
    peer.expect(transfer(0).delivery_tag(tag(7)).more(true).payload(&b"a"[..]));
    peer.engine.sender(link).append(delivery, b"b", None, true).unwrap();
    peer.expect(continuation().more(true).payload(&b"b"[..]));
    // A drain is answered behind the message, whose credit is used.
    peer.send(flow().handle(0).delivery_count(0).link_credit(5).drain(true)).expect_nothing();
    peer.engine.sender(link).drained();
    peer.expect_nothing();
    peer.engine.sender(link).append(delivery, b"c", None, false).unwrap();
    peer.expect(continuation().payload(&b"c"[..]));
    peer.expect(flow().handle(0).delivery_count(5).link_credit(0).drain(true));
    peer.send(accepted(0)).expect_nothing();
    assert!(peer.events().iter().any(|event| matches!(event, Event::Update(update) if update.settled)));
}

#[test]
fn other_links_go_on_while_a_message_is_open() {
    let (mut pair, ours, theirs) = in_parts(2);
    let session = pair.client.session_of(ours).unwrap();
    let (other, their_other) = pair.link(session, "b", Role::Sender);
    pair.server.receiver(their_other).set_credit(2);
    pair.run();
    let delivery = begin(&mut pair, ours, 1, b"open");
    send(&mut pair.client, other, 5).unwrap();
    pair.run();
    assert_eq!(received(&mut pair.server, their_other).len(), 1);
    pair.client.sender(ours).append(delivery, b"closed", None, false).unwrap();
    pair.run();
    assert_eq!(received(&mut pair.server, theirs).len(), 2);
}

#[test]
fn a_message_that_grows_too_large_is_refused_at_both_ends() {
    let mut pair = common::pair();
    let (session, _) = pair.session();
    let limited = LinkTerms { max_message_size: 10, ..terms() };
    let (ours, theirs) = pair.link_with(session, "a", Role::Sender, terms(), limited);
    pair.server.receiver(theirs).set_credit(2);
    pair.run();
    let delivery = begin(&mut pair, ours, 1, b"12345");
    assert_eq!(pair.client.sender(ours).append(delivery, b"678901", None, true), Err(SendError::TooLarge(10)));
    pair.client.sender(ours).append(delivery, b"67890", None, false).unwrap();
    pair.run();
    assert_eq!(received(&mut pair.server, theirs).len(), 2);
    // A peer that does not look at the limit.
    let mut peer = postroad_testkit::ScriptedPeer::with_session(config());
    let limited = LinkTerms { max_message_size: 10, ..terms() };
    let link = common::incoming(&mut peer, postroad_testkit::attach_sender("a"), limited);
    peer.engine.receiver(link).set_credit(2);
    peer.take_bytes();
    peer.send(transfer(0).more(true).payload(&b"12345"[..]));
    assert!(peer.engine.receiver(link).take().is_some());
    peer.send(continuation().payload(&b"678901"[..]));
    peer.take(postroad_testkit::detach().condition(ErrorCondition::MESSAGE_SIZE_EXCEEDED));
}

/// Both ends again, on a new connection, with what they gave back.
fn resumed(old: &mut Pair, ours: LinkId, theirs: LinkId) -> (Pair, LinkId, LinkId) {
    old.client.handle_eof();
    old.server.handle_eof();
    let (mut sender, mut receiver) = (old.client.release(ours).unwrap(), old.server.release(theirs).unwrap());
    let (mut pair, ours, theirs) = common::resumed(&mut sender, &mut receiver);
    pair.server.receiver(theirs).set_credit(10);
    pair.run();
    (pair, ours, theirs)
}

#[test]
fn reading_goes_on_where_it_was_wherever_the_connection_broke() {
    let body = Body::Data(pattern(3000, 5).into());
    let all = Amqp { properties: Some(Box::default()), body, ..Amqp::default() }.to_bytes().to_vec();
    for parts in 0..8 {
        let (mut pair, ours, theirs) = in_parts(1);
        pair.client.sender(ours).send(&Message::new(&all, tag(1), 1)).unwrap();
        pair.run();
        let mut taken: Vec<u8> = Vec::new();
        for _ in 0..parts {
            pair.run();
            taken.extend_from_slice(&pair.server.receiver(theirs).take().unwrap().payload);
        }
        let whole = taken == all;
        let (mut pair, ours, theirs) = resumed(&mut pair, ours, theirs);
        let reassociated = pair
            .events(Side::Server)
            .into_iter()
            .any(|event| matches!(event, Event::Reassociated { delivery: Some(DeliveryNumber(0)), .. }));
        assert_eq!(reassociated, parts > 0, "after {parts} parts");
        for part in received(&mut pair.server, theirs) {
            assert_eq!(part.continues, !taken.is_empty());
            taken.extend_from_slice(&part.payload);
        }
        assert!(taken == all, "after {parts} parts: {} of {} bytes", taken.len(), all.len());
        assert!(!whole || parts == 7);
        pair.server.receiver(theirs).dispose(DeliveryNumber(0), Some(DeliveryState::Accepted), true);
        pair.run();
        assert_eq!(pair.client.release(ours).unwrap().unsettled, []);
    }
}

#[test]
fn a_message_whose_parts_were_not_kept_is_given_up_when_the_link_is_resumed() {
    let (mut pair, ours, theirs) = in_parts(1);
    begin(&mut pair, ours, 9, &pattern(1000, 0));
    pair.run();
    assert!(pair.server.receiver(theirs).take().is_some());
    let (mut pair, ours, theirs) = resumed(&mut pair, ours, theirs);
    let last = received(&mut pair.server, theirs);
    assert_eq!((last.len(), last[0].aborted, last[0].continues), (1, true, true));
    let outcome = pair.events(Side::Client).into_iter().find_map(|event| match event {
        Event::Update(update) if update.settled => Some((update.token, update.state)),
        _ => None,
    });
    assert_eq!(outcome, Some((9, None)), "nobody knows what became of it");
    assert_eq!(pair.client.release(ours).unwrap().unsettled, []);
    assert_eq!(pair.server.release(theirs).unwrap().unsettled, []);
}
