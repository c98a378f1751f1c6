//! Drain (part 2, 2.6.7).

mod common;

use common::{config, pattern, received, receiving_peer, send, sending_pair, sending_peer, tag};
use postroad_amqp::v1_0::{Event, Message};
use postroad_testkit::{Side, continuation, flow, transfer};

#[test]
fn credit_that_nothing_waits_for_is_given_up() {
    let (mut pair, ours, theirs) = sending_pair(10);
    send(&mut pair.client, ours, 0).unwrap();
    pair.server.receiver(theirs).drain();
    pair.run();
    assert_eq!(pair.events(Side::Client), [Event::Drain(ours)]);
    assert!(pair.client.sender(ours).is_draining());
    assert!(pair.server.receiver(theirs).is_draining());
    send(&mut pair.client, ours, 1).unwrap();
    pair.client.sender(ours).drained();
    assert_eq!(pair.client.sender(ours).capacity(), 0);
    pair.run();
    assert_eq!(pair.events(Side::Server), [Event::Readable(theirs), Event::Drained(theirs)]);
    assert!(!pair.server.receiver(theirs).is_draining());
    assert_eq!(pair.server.receiver(theirs).credit(), 0);
    assert_eq!(received(&mut pair.server, theirs).len(), 2);
    // And on with it.
    pair.server.receiver(theirs).set_credit(2);
    pair.run();
    assert_eq!(pair.events(Side::Client), [Event::Credit(ours)]);
    assert_eq!(pair.client.sender(ours).capacity(), 2);
    assert!(!pair.client.sender(ours).is_draining());
}

#[test]
fn the_wire_shows_a_drain() {
    let (mut peer, link) = sending_peer(config(), 0);
    peer.send(flow().handle(0).link_credit(9).drain(true));
    assert_eq!(peer.events(), [Event::Drain(link), Event::Credit(link)]);
    send(&mut peer.engine, link, 0).unwrap();
    peer.engine.sender(link).drained();
    peer.expect(transfer(0)).expect(flow().handle(0).delivery_count(9).link_credit(0).drain(true)).expect_nothing();
    // Nothing asks for it any more.
    peer.send(flow().handle(0).delivery_count(9).link_credit(1));
    peer.engine.sender(link).drained();
    peer.expect_nothing();
    assert_eq!(peer.engine.sender(link).credit(), 1);
}

#[test]
fn a_receiver_that_drains_ends_with_the_credit() {
    // The sender uses all of its credit: no flow is needed.
    let (mut peer, link) = receiving_peer(config(), 2);
    peer.engine.receiver(link).drain();
    peer.expect(flow().handle(0).link_credit(2).drain(true));
    peer.send(transfer(0)).send(transfer(1).more(true));
    assert_eq!(peer.events(), [Event::Readable(link)]);
    peer.send(transfer(1));
    assert_eq!(peer.events(), [Event::Drained(link)]);
    // An aborted delivery uses credit as well.
    peer.engine.receiver(link).set_credit(1);
    peer.engine.receiver(link).drain();
    peer.take_bytes();
    peer.send(transfer(2).aborted(true));
    assert_eq!(peer.events(), [Event::Aborted(link), Event::Drained(link)]);
    // The sender gives up what it does not need.
    peer.engine.receiver(link).set_credit(5);
    peer.engine.receiver(link).drain();
    peer.expect(flow().handle(0).delivery_count(3).link_credit(5).drain(true));
    peer.send(flow().handle(0).delivery_count(8).link_credit(0).drain(true));
    assert_eq!(peer.events(), [Event::Drained(link)]);
    peer.engine.receiver(link).set_credit(1);
    peer.expect(flow().handle(0).delivery_count(8).link_credit(1).drain(false));
}

#[test]
fn a_drain_without_credit_is_over_at_once() {
    let (mut peer, link) = receiving_peer(config(), 0);
    peer.events();
    peer.engine.receiver(link).drain();
    assert_eq!(peer.events(), [Event::Drained(link)]);
    peer.expect_nothing();

    let (mut peer, link) = sending_peer(config(), 0);
    peer.send(flow().handle(0).link_credit(0).drain(true));
    assert_eq!(peer.events(), [Event::Drain(link)]);
    peer.engine.sender(link).drained();
    peer.expect(flow().handle(0).delivery_count(0).link_credit(0).drain(true)).expect_nothing();
}

#[test]
fn a_sender_cannot_take_more_than_it_has() {
    let (mut peer, link) = receiving_peer(config(), 5);
    // Nonsense is not believed.
    peer.send(flow().handle(0).delivery_count(6)).send(flow().handle(0).delivery_count(u32::MAX));
    assert_eq!(peer.engine.receiver(link).credit(), 5);
    peer.send(transfer(0)).expect_nothing();
}

#[test]
fn the_answer_waits_for_the_rest_of_a_message() {
    let mut peer = postroad_testkit::ScriptedPeer::of_server(config());
    peer.send_header(postroad_codec::v1_0::ProtocolHeader::AMQP).send(postroad_testkit::open().max_frame_size(512));
    peer.send(postroad_testkit::begin().incoming_window(1));
    peer.events();
    let link = common::incoming(&mut peer, postroad_testkit::attach_receiver("a"), Default::default());
    peer.send(flow().incoming_window(1).handle(0).link_credit(1)).take_bytes();
    let payload = pattern(600, 0);
    peer.engine.sender(link).send(&Message::new(&payload, tag(0), 0)).unwrap();
    peer.expect(transfer(0).more(true)).expect_nothing();
    peer.send(flow().next_incoming_id(1).incoming_window(0).handle(0).delivery_count(0).link_credit(5).drain(true));
    assert!(peer.events().contains(&Event::Drain(link)));
    peer.engine.sender(link).drained();
    peer.expect_nothing();
    peer.send(flow().next_incoming_id(1).incoming_window(1));
    peer.expect(continuation().more(false));
    peer.expect(flow().handle(0).delivery_count(5).link_credit(0).drain(true)).expect_nothing();
}

#[test]
fn a_drain_that_is_called_off_leaves_what_was_not_given_up() {
    let (mut peer, link) = receiving_peer(config(), 5);
    peer.engine.receiver(link).drain();
    peer.expect(flow().handle(0).delivery_count(0).link_credit(5).drain(true));
    peer.engine.receiver(link).stop_draining();
    peer.engine.receiver(link).set_credit(8);
    peer.expect(flow().handle(0).delivery_count(0).link_credit(8).drain(false));
    // The answer to the drain has crossed: of the eight, five were given up.
    peer.send(flow().handle(0).delivery_count(5).link_credit(0).drain(true));
    assert_eq!((peer.events(), peer.engine.receiver(link).credit()), (vec![], 3));
    assert!(!peer.engine.receiver(link).is_draining());
    peer.engine.receiver(link).stop_draining();
    peer.expect_nothing();
}
