//! Credit of links (part 2, 2.6.7).

mod common;

use common::{config, incoming, received, receiving_peer, send, sending_pair, sending_peer, sending_peer_with};
use postroad_amqp::v1_0::{Event, LinkTerms, Message, SendError};
use postroad_codec::v1_0::{ErrorCondition, Fields, Map, SequenceNo, Symbol};
use postroad_testkit::{ScriptedPeer, Side, attach_receiver, attach_sender, begin, detach, flow, transfer};

#[test]
fn credit_counts_messages_not_frames() {
    let mut small = config();
    small.max_frame_size = 512;
    let (mut peer, link) = receiving_peer(small, 2);
    for part in 0..10 {
        peer.send(transfer(0).more(part < 9).payload(vec![0; 400]));
    }
    peer.send(transfer(1)).expect_nothing();
    assert_eq!(received(&mut peer.engine, link).len(), 2);
    assert_eq!(peer.engine.receiver(link).credit(), 0);
}

#[test]
fn a_message_beyond_the_credit_closes_that_link_only() {
    let (mut peer, link) = receiving_peer(config(), 2);
    let other = incoming(&mut peer, attach_sender("b").handle(1), LinkTerms::default());
    peer.engine.receiver(other).set_credit(1);
    peer.take_bytes();
    peer.events();
    peer.send(transfer(0)).send(transfer(1)).expect_nothing().send(transfer(2));
    peer.expect(detach().handle(0).closed(true).condition(ErrorCondition::TRANSFER_LIMIT_EXCEEDED)).expect_nothing();
    // The owner hears at once; what had come before can still be taken.
    let events = peer.events();
    assert!(
        matches!(&events[..], [Event::Readable(_), Event::LinkDetached { link: found, closed: true, error: Some(error) }]
        if *found == link && error.condition == ErrorCondition::TRANSFER_LIMIT_EXCEEDED),
        "{events:?}"
    );
    assert_eq!(received(&mut peer.engine, link).len(), 2);
    peer.send(transfer(3).handle(1));
    assert_eq!(received(&mut peer.engine, other).len(), 1);
    peer.send(detach().closed(true)).expect_nothing();
    assert_eq!(peer.events(), [Event::Readable(other)]);
}

#[test]
fn an_overdraft_is_taken_and_counted_anew_with_each_flow() {
    let (mut peer, link) = receiving_peer(config(), 1);
    peer.engine.receiver(link).set_overdraft(2);
    peer.send(transfer(0)).send(transfer(1)).send(transfer(2)).expect_nothing();
    peer.engine.receiver(link).set_credit(1);
    peer.expect(flow().delivery_count(3).link_credit(1));
    peer.send(transfer(3)).send(transfer(4)).send(transfer(5)).expect_nothing();
    assert_eq!(received(&mut peer.engine, link).len(), 6);
    peer.send(transfer(6)).expect(detach().condition(ErrorCondition::TRANSFER_LIMIT_EXCEEDED));
}

#[test]
fn a_message_before_the_attach_is_answered_is_beyond_the_credit() {
    let mut peer = ScriptedPeer::with_session(config());
    peer.send(attach_sender("a")).send(transfer(0));
    peer.expect(attach_receiver("a")).expect(detach().condition(ErrorCondition::TRANSFER_LIMIT_EXCEEDED));
    let Event::LinkIncoming(link) = peer.event() else { panic!("no link") };
    assert!(peer.engine.accept(link, LinkTerms::default()).is_err());
    assert!(matches!(peer.event(), Event::LinkDetached { .. }));
}

#[test]
fn the_credit_on_the_wire_is_the_total() {
    let (mut peer, link) = receiving_peer(config(), 5);
    peer.send(transfer(0)).send(transfer(1));
    peer.engine.receiver(link).set_credit(10);
    peer.expect(flow().handle(0).delivery_count(2).link_credit(10)).expect_nothing();
    // Nothing to tell, nothing told.
    peer.engine.receiver(link).set_credit(10);
    peer.expect_nothing();
}

#[test]
fn a_sender_stops_at_its_credit() {
    let (mut peer, link) = sending_peer(config(), 0);
    assert_eq!(send(&mut peer.engine, link, 0), Err(SendError::Blocked));
    peer.send(flow().handle(0).link_credit(2));
    assert_eq!(peer.events(), [Event::Credit(link)]);
    assert_eq!(peer.engine.sender(link).capacity(), 2);
    for number in 0..2 {
        assert!(send(&mut peer.engine, link, number).is_ok());
    }
    assert_eq!(send(&mut peer.engine, link, 2), Err(SendError::Blocked));
    peer.expect(transfer(0)).expect(transfer(1)).expect_nothing();
    // The total is counted from what the receiver has seen: one is under way.
    peer.send(flow().handle(0).delivery_count(1).link_credit(3));
    assert_eq!(peer.events(), [Event::Credit(link)]);
    assert_eq!(peer.engine.sender(link).capacity(), 2);
    // Taken back.
    peer.send(flow().handle(0).delivery_count(2).link_credit(0));
    assert_eq!(peer.engine.sender(link).capacity(), 0);
    peer.send(flow().handle(0).delivery_count(2).link_credit(1));
    assert_eq!(peer.events(), [Event::Credit(link)]);
}

#[test]
fn credit_may_be_as_large_as_it_gets() {
    for credit in [1 << 31, u32::MAX] {
        let (mut peer, link) = sending_peer(config(), credit);
        assert_eq!(peer.engine.sender(link).credit(), credit);
        assert!(send(&mut peer.engine, link, 0).is_ok());
        peer.send(flow().handle(0).delivery_count(1).link_credit(credit));
        assert_eq!(peer.engine.sender(link).credit(), credit);

        let (mut peer, link) = receiving_peer(config(), credit);
        peer.send(transfer(0)).send(transfer(1)).expect_nothing();
        assert_eq!(peer.engine.receiver(link).credit(), credit - 2);
    }
}

#[test]
fn credit_behind_the_attach_counts() {
    // Receivers often attach and give credit in one write.
    let mut peer = ScriptedPeer::with_session(config());
    peer.send(attach_receiver("a")).send(flow().handle(0).link_credit(7).echo(true)).expect_nothing();
    let Event::LinkIncoming(link) = peer.event() else { panic!("no link") };
    let terms = LinkTerms { initial_delivery_count: SequenceNo(1000), ..LinkTerms::default() };
    peer.engine.accept(link, terms).unwrap();
    peer.expect(attach_sender("a").initial_delivery_count(1000));
    peer.expect(flow().handle(0).delivery_count(1000).link_credit(7)).expect_nothing();
    assert_eq!(peer.events(), [Event::Credit(link)]);
    assert_eq!(peer.engine.sender(link).capacity(), 7);
}

#[test]
fn delivery_counts_wrap_around() {
    let start = u32::MAX - 2;
    let terms = LinkTerms { initial_delivery_count: SequenceNo(start), ..LinkTerms::default() };
    let (mut peer, link) = sending_peer_with(config(), 0, terms);
    peer.send(flow().handle(0).delivery_count(start).link_credit(5));
    for number in 0..5 {
        assert!(send(&mut peer.engine, link, number).is_ok());
    }
    assert_eq!(send(&mut peer.engine, link, 5), Err(SendError::Blocked));
    peer.send(flow().handle(0).delivery_count(1).link_credit(3));
    assert_eq!(peer.engine.sender(link).capacity(), 2);

    let mut peer = ScriptedPeer::with_session(config());
    let link = incoming(&mut peer, attach_sender("a").initial_delivery_count(start), LinkTerms::default());
    peer.engine.receiver(link).set_credit(10);
    peer.expect(attach_receiver("a")).expect(flow().delivery_count(start).link_credit(10));
    for number in 0..6 {
        peer.send(transfer(number));
    }
    peer.engine.receiver(link).set_credit(10);
    peer.expect(flow().delivery_count(3).link_credit(10));
}

#[test]
fn credit_that_is_lowered_does_not_punish_what_is_under_way() {
    let (mut peer, link) = receiving_peer(config(), 3);
    peer.engine.receiver(link).set_credit(0);
    peer.expect(flow().delivery_count(0).link_credit(0));
    peer.send(transfer(0)).send(transfer(1)).send(transfer(2)).expect_nothing();
    assert_eq!(received(&mut peer.engine, link).len(), 3);
    peer.engine.receiver(link).set_credit(1);
    peer.expect(flow().delivery_count(3).link_credit(1));
    peer.send(transfer(3)).expect_nothing();
    peer.send(transfer(4)).expect(detach().condition(ErrorCondition::TRANSFER_LIMIT_EXCEEDED));
}

#[test]
fn both_ends_agree_whatever_the_credit_does() {
    let mut rng = postroad_testkit::Rng::new(11);
    let (mut pair, ours, theirs) = sending_pair(0);
    pair.to_server.latency = std::time::Duration::from_millis(3);
    pair.to_client.latency = std::time::Duration::from_millis(7);
    let (mut sent, mut taken) = (0, 0);
    for _ in 0..2000 {
        match rng.below(4) {
            0 => pair.server.receiver(theirs).set_credit(rng.below(20) as u32),
            1 => {
                while rng.below(5) > 0 && send(&mut pair.client, ours, sent).is_ok() {
                    sent += 1;
                }
            }
            2 => taken += received(&mut pair.server, theirs).len() as u64,
            _ => {
                pair.advance(std::time::Duration::from_millis(rng.below(10) as u64));
            }
        }
    }
    pair.run();
    taken += received(&mut pair.server, theirs).len() as u64;
    assert!(sent > 500);
    assert_eq!((sent, pair.client.sender(ours).credit()), (taken, pair.server.receiver(theirs).credit()));
    assert!(pair.events(Side::Server).iter().all(|event| matches!(event, Event::Readable(_))));
}

#[test]
fn what_waits_at_the_sender_is_told_when_asked() {
    let (mut pair, ours, theirs) = sending_pair(1);
    pair.client.sender(ours).offered(42);
    send(&mut pair.client, ours, 0).unwrap();
    pair.run();
    assert_eq!(pair.server.receiver(theirs).available(), 0);
    let (mut peer, link) = sending_peer(config(), 1);
    peer.engine.sender(link).offered(42);
    peer.send(flow().handle(0).link_credit(1).echo(true));
    peer.expect(flow().handle(0).available(42).link_credit(1).delivery_count(0).echo(false)).expect_nothing();
    let (mut peer, link) = receiving_peer(config(), 1);
    peer.send(flow().handle(0).delivery_count(0).available(17));
    assert_eq!(peer.engine.receiver(link).available(), 17);
}

#[test]
fn a_sender_is_held_back_when_nobody_writes() {
    let mut small = config();
    small.outgoing_bytes = 1000;
    let (mut peer, link) = sending_peer(small, 100);
    let message = [0; 600];
    let mut sent = 0;
    while peer.engine.sender(link).send(&Message::new(&message, common::tag(sent), sent)).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 2);
    for _ in 0..10 {
        assert_eq!(peer.engine.sender(link).capacity(), 0);
    }
    assert_eq!(peer.events(), []);
    peer.expect(transfer(0)).expect(transfer(1));
    assert_eq!(peer.events(), [Event::Credit(link)]);
    assert_eq!(peer.engine.sender(link).capacity(), 98);
}

#[test]
fn a_link_that_is_not_attached_takes_nothing() {
    let mut peer = ScriptedPeer::of_client(config());
    let session = peer.engine.begin().unwrap();
    let link = peer.engine.attach(session, "a", postroad_codec::v1_0::Role::Sender, LinkTerms::default()).unwrap();
    assert_eq!(send(&mut peer.engine, link, 0), Err(SendError::Detached));
    peer.send_header(postroad_codec::v1_0::ProtocolHeader::AMQP).send(postroad_testkit::open());
    peer.send(begin().remote_channel(0)).send(attach_receiver("a")).send(flow().handle(0).link_credit(1));
    peer.events();
    assert_eq!(peer.engine.sender(link).capacity(), 1);
    peer.engine.close(None);
    assert_eq!(send(&mut peer.engine, link, 0), Err(SendError::Detached));
}

#[test]
fn flows_tell_properties_both_ways_and_ask_for_an_answer_once() {
    let (mut pair, ours, theirs) = sending_pair(3);
    let fields = |text: &'static str| Fields(Map(vec![(Symbol::from_static("txn-id").into(), text.into())]));
    pair.server.set_flow_properties(theirs, Some(fields("receiver")));
    pair.client.set_flow_properties(ours, Some(fields("sender")));
    pair.run();
    assert!(pair.events(Side::Client).contains(&Event::FlowProperties(ours)));
    assert!(pair.events(Side::Server).contains(&Event::FlowProperties(theirs)));
    assert_eq!(pair.client.remote_flow_properties(ours), Some(&fields("receiver")));
    assert_eq!(pair.server.remote_flow_properties(theirs), Some(&fields("sender")));
    assert_eq!(pair.client.sender(ours).credit(), 3, "the credit is told as it was");
    pair.server.set_flow_properties(theirs, None);
    pair.run();
    // What a flow does not tell stays as it was told before.
    assert_eq!(pair.client.remote_flow_properties(ours), Some(&fields("receiver")));

    let (mut peer, link) = receiving_peer(config(), 2);
    peer.engine.ask_flow(link);
    peer.expect(flow().handle(0).link_credit(2).echo(true)).expect_nothing();
    peer.send(flow().handle(0).delivery_count(0).available(9)).expect_nothing();
    assert_eq!(peer.engine.receiver(link).available(), 9);
    peer.engine.receiver(link).set_credit(5);
    peer.expect(flow().handle(0).link_credit(5).echo(false));
}
