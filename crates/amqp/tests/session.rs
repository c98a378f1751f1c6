//! Sessions: windows, several at once, and their end (part 2, 2.5).

mod common;

use common::{config, incoming, pair, received, receiving_peer, send, sending, tag};
use postroad_amqp::v1_0::{Config, Connection, ConnectionError, Event, LimitError, LinkTerms, Message, SendError};
use postroad_codec::v1_0::{DeliveryState, ErrorCondition, ProtocolHeader, Role};
use postroad_testkit::{
    Pair, ScriptedPeer, Side, accepted, attach_receiver, attach_sender, begin, close, continuation, detach, end, error,
    flow, open, transfer,
};

#[test]
fn sessions_are_told_apart_by_channel() {
    let mut pair = pair();
    let (first, _) = pair.session();
    let (second, _) = pair.session();
    assert_ne!(first, second);
    let (one, their_one) = pair.link(first, "a", Role::Sender);
    let (two, their_two) = pair.link(second, "b", Role::Sender);
    for (ours, theirs, text) in [(one, their_one, 1), (two, their_two, 2)] {
        pair.server.receiver(theirs).set_credit(1);
        pair.run();
        send(&mut pair.client, ours, text).unwrap();
        pair.run();
        assert_eq!(received(&mut pair.server, theirs)[0].payload, format!("message {text}"));
    }
    assert_eq!(pair.client.session_of(one), Some(first));
    assert_eq!(pair.client.role_of(one), Some(Role::Sender));
}

#[test]
fn channels_need_not_agree() {
    let mut peer = ScriptedPeer::of_client(config());
    let first = peer.engine.begin().unwrap();
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin().channel(0)).expect_nothing();
    peer.send_header(ProtocolHeader::AMQP).send(open());
    let sessions = [first, peer.engine.begin().unwrap()];
    peer.expect(begin().channel(1));
    peer.send(begin().channel(9).remote_channel(1)).send(begin().channel(4).remote_channel(0));
    assert_eq!(peer.events(), [Event::Opened, Event::SessionBegun(sessions[1]), Event::SessionBegun(sessions[0])]);
    peer.send(end().channel(9)).expect(end().channel(1)).expect_nothing();
    assert_eq!(peer.events(), [Event::SessionEnded { session: sessions[1], error: None }]);
    // The channel is free again, for either end.
    peer.send(begin().channel(9)).expect(begin().channel(1).remote_channel(9));
}

#[test]
fn there_are_only_so_many_channels() {
    let mut peer = ScriptedPeer::of_client(config());
    peer.send_header(ProtocolHeader::AMQP).send(open().channel_max(2));
    for _ in 0..3 {
        peer.engine.begin().unwrap();
    }
    assert_eq!(peer.engine.begin(), Err(LimitError::NoneFree));

    let mut small = config();
    small.channel_max = 1;
    let mut peer = ScriptedPeer::of_client(small);
    peer.send_header(ProtocolHeader::AMQP).send(open());
    assert!(peer.engine.begin().is_ok() && peer.engine.begin().is_ok());
    assert_eq!(peer.engine.begin(), Err(LimitError::NoneFree));

    // A peer that does not keep to it.
    let mut small = config();
    small.channel_max = 1;
    let mut peer = ScriptedPeer::with_session(small);
    peer.send(begin().channel(1)).expect(begin().channel(1).remote_channel(1));
    peer.send(begin().channel(2)).expect(close().condition(ErrorCondition::FRAMING_ERROR)).expect_nothing();
}

#[test]
fn begin_is_answered_once_and_on_a_free_channel() {
    for (broken, condition) in [
        (begin(), ErrorCondition::ILLEGAL_STATE),
        (begin().channel(1).remote_channel(5), ErrorCondition::NOT_ALLOWED),
        (begin().channel(1).remote_channel(0), ErrorCondition::NOT_ALLOWED),
    ] {
        let mut peer = ScriptedPeer::with_session(config());
        peer.send(broken).expect(close().condition(condition)).expect_nothing();
    }
}

#[test]
fn frames_on_a_channel_without_session_close_the_connection() {
    let mut peer = ScriptedPeer::with_session(config());
    peer.send(flow().channel(3)).expect(close().condition(ErrorCondition::NOT_ALLOWED)).expect_nothing();
    let mut peer = ScriptedPeer::with_session(config());
    peer.send(end()).expect(end()).send(end()).expect(close().condition(ErrorCondition::NOT_ALLOWED));
}

#[test]
fn the_window_of_the_peer_is_never_exceeded() {
    let mut peer = ScriptedPeer::of_server(config());
    peer.send_header(ProtocolHeader::AMQP).send(open().max_frame_size(512)).send(begin().incoming_window(3));
    peer.events();
    let link = incoming(&mut peer, attach_receiver("a"), LinkTerms::default());
    peer.send(flow().incoming_window(3).handle(0).link_credit(100)).take_bytes();
    peer.events();
    // A message of three frames and a bit, then others that have to wait.
    let payload = vec![7; 1600];
    peer.engine.sender(link).send(&Message::new(&payload, tag(0), 0)).unwrap();
    assert_eq!(send(&mut peer.engine, link, 1), Err(SendError::Blocked));
    assert_eq!(peer.engine.sender(link).capacity(), 0);
    peer.expect(transfer(0).more(true)).expect(continuation().more(true)).expect(continuation().more(true));
    peer.expect_nothing();
    // Two of them have arrived, and one more is welcome.
    peer.send(flow().next_incoming_id(2).incoming_window(1)).expect_nothing();
    peer.send(flow().next_incoming_id(3).incoming_window(2));
    peer.expect(continuation().more(false)).expect_nothing();
    assert_eq!(peer.events(), [Event::Credit(link)]);
    assert_eq!(peer.engine.sender(link).capacity(), 1);
    send(&mut peer.engine, link, 1).unwrap();
    assert_eq!(send(&mut peer.engine, link, 2), Err(SendError::Blocked));
    peer.expect(transfer(1)).expect_nothing();
    // A window that the peer has closed.
    peer.send(flow().next_incoming_id(5).incoming_window(0)).expect_nothing();
    assert_eq!(peer.events(), []);
    peer.send(flow().next_incoming_id(5).incoming_window(1));
    assert_eq!(peer.events(), [Event::Credit(link)]);
}

#[test]
fn links_take_turns_at_a_narrow_window() {
    let mut peer = ScriptedPeer::of_server(config());
    peer.send_header(ProtocolHeader::AMQP).send(open().max_frame_size(512)).send(begin().incoming_window(2));
    let first = incoming(&mut peer, attach_receiver("a"), LinkTerms::default());
    let second = incoming(&mut peer, attach_receiver("b").handle(1), LinkTerms::default());
    for handle in 0..2 {
        peer.send(flow().incoming_window(2).handle(handle).link_credit(100));
    }
    peer.take_bytes();
    // Each starts when there is room for two frames; then there is none, and they take turns.
    let payload = vec![7; 1800];
    peer.engine.sender(first).send(&Message::new(&payload, tag(0), 0)).unwrap();
    peer.expect(transfer(0).more(true)).expect(continuation().more(true)).expect_nothing();
    assert_eq!(peer.engine.sender(second).capacity(), 0);
    peer.send(flow().next_incoming_id(2).incoming_window(3));
    assert_eq!(peer.engine.sender(second).capacity(), 3);
    peer.engine.sender(second).send(&Message::new(&payload, tag(0), 0)).unwrap();
    peer.expect(transfer(1).handle(1).more(true)).expect(continuation().handle(0).more(true));
    peer.expect(continuation().handle(1).more(true)).expect_nothing();
    peer.send(flow().next_incoming_id(5).incoming_window(9));
    peer.expect(continuation().handle(0).more(false)).expect(continuation().handle(1).more(true));
    peer.expect(continuation().handle(1).more(false)).expect_nothing();
}

#[test]
fn our_window_is_told_and_opened_again() {
    for window in [1, 2, 7, 64] {
        let mut small = config();
        small.incoming_window = window;
        let (mut peer, link) = receiving_peer(small, u32::MAX);
        let (mut allowed, mut sent) = (window, 0);
        for _ in 0..1000 {
            if allowed == sent {
                panic!("shut after {sent} with a window of {window}");
            }
            peer.send(transfer(sent).settled(true));
            sent += 1;
            while let Some(frame) = peer.next_frame() {
                let (told, _) = flow().handle(None).check(frame);
                assert_eq!(told.next_incoming_id.unwrap().0, sent);
                assert!(told.incoming_window <= window);
                allowed = sent + told.incoming_window;
            }
            peer.engine.receiver(link).take().unwrap();
        }
        assert_eq!(peer.result(), Ok(()));
    }
}

#[test]
fn a_transfer_beyond_the_window_ends_the_session() {
    let mut small = config();
    (small.incoming_window, small.incoming_bytes, small.max_frame_size) = (4, 4000, 1000);
    let (mut peer, link) = receiving_peer(small, 100);
    let session = peer.engine.session_of(link).unwrap();
    for delivery in 0..8 {
        peer.send(transfer(delivery).payload(vec![0; 900]));
    }
    // The first four were allowed; nobody has taken them, so no more were.
    peer.expect(end().condition(ErrorCondition::WINDOW_VIOLATION)).expect_nothing();
    let told = peer.events();
    assert!(
        matches!(&told[..], [Event::Readable(_), Event::SessionEnded { session: found, error: Some(error) }]
        if *found == session && error.condition == ErrorCondition::WINDOW_VIOLATION),
        "{told:?}"
    );
    assert_eq!(received(&mut peer.engine, link).len(), 4);
    peer.send(end()).expect_nothing();
    assert_eq!(peer.events(), []);
    assert_eq!(peer.result(), Ok(()));
}

#[test]
fn a_slow_owner_costs_the_bytes_that_were_configured() {
    let mut server = Config::new("server");
    (server.incoming_bytes, server.max_frame_size, server.incoming_window) = (20_000, 1000, 1000);
    let mut client = Config::new("client");
    client.outgoing_bytes = usize::MAX;
    let (mut pair, ours, theirs) = sending(Pair::new(client, server), 100_000);
    let (mut sent, mut waiting) = (0, 0);
    for _ in 0..500 {
        while send_some(&mut pair.client, ours, sent) {
            sent += 1;
        }
        pair.run();
        waiting = pair.server.receiver(theirs).queued() * 700;
        assert!(waiting <= 20_000, "{waiting} bytes wait");
    }
    assert!(waiting > 10_000);
    // However small the limit, and however large a message: it gets through.
    let mut taken = 0;
    for _ in 0..1000 {
        taken += received(&mut pair.server, theirs).len();
        pair.run();
        while send_some(&mut pair.client, ours, sent) {
            sent += 1;
        }
    }
    assert!(taken > 10_000, "{taken}");
}

fn send_some(engine: &mut Connection, link: postroad_amqp::v1_0::LinkId, number: u64) -> bool {
    engine.sender(link).send(&Message::new(&[0; 700], tag(number), number)).is_ok()
}

#[test]
fn a_message_larger_than_all_limits_gets_through() {
    let mut server = Config::new("server");
    (server.incoming_bytes, server.max_frame_size, server.incoming_window) = (1, 512, 1);
    let (mut pair, ours, theirs) = sending(Pair::new(Config::new("client"), server), 2);
    let payload = common::pattern(100_000, 4);
    for number in 0..2 {
        pair.client.sender(ours).send(&Message::new(&payload, tag(number), number)).unwrap();
        pair.run();
        assert_eq!(received(&mut pair.server, theirs)[0].payload, payload);
        pair.run();
    }
}

#[test]
fn an_echo_is_answered_once() {
    let mut peer = ScriptedPeer::with_session(config());
    peer.send_bytes(&[flow().echo(true).to_bytes(), flow().echo(true).to_bytes()].concat());
    peer.expect(flow().handle(None).next_incoming_id(0).echo(false)).expect_nothing();
    let (mut peer, _) = receiving_peer(config(), 4);
    peer.send(flow().handle(0).delivery_count(0).echo(true));
    peer.expect(flow().handle(0).link_credit(4).echo(false)).expect_nothing();
}

#[test]
fn an_end_is_answered_and_links_give_back_what_is_not_settled() {
    let (mut pair, ours, theirs) = common::sending_pair(10);
    let session = pair.client.session_of(ours).unwrap();
    for token in 0..3 {
        send(&mut pair.client, ours, token).unwrap();
    }
    pair.run();
    let their_session = pair.server.session_of(theirs).unwrap();
    pair.server.end(their_session, Some(error("test:over")));
    assert_eq!(send(&mut pair.client, ours, 9).map(|number| number.0), Ok(3));
    pair.run();
    let over = Event::SessionEnded { session, error: Some(Box::new(error("test:over"))) };
    assert_eq!(pair.events(Side::Client), [over]);
    assert_eq!(send(&mut pair.client, ours, 4), Err(SendError::Detached));
    let state = pair.client.release(ours).unwrap();
    assert_eq!(state.unsettled.iter().map(|it| it.token).collect::<Vec<_>>(), [0, 1, 2, 9]);
    assert!(!pair.client.has_link(ours));
    assert_eq!(received(&mut pair.server, theirs).len(), 3);
    assert_eq!(pair.server.release(theirs).unwrap().unsettled.len(), 3);
    assert_eq!(pair.events(Side::Server), [Event::SessionEnded { session: their_session, error: None }]);
    assert_eq!((pair.client.error(), pair.server.error()), (None, None));
    // The name can be used again, and the connection.
    let (session, _) = pair.session();
    pair.link(session, "a", Role::Sender);
}

#[test]
fn nothing_follows_our_end() {
    let (mut peer, link) = common::sending_peer(config(), 10);
    let session = peer.engine.session_of(link).unwrap();
    send(&mut peer.engine, link, 0).unwrap();
    peer.engine.end(session, None);
    peer.expect(transfer(0)).expect(end().error(None));
    peer.engine.end(session, None);
    peer.engine.detach(link, true, None);
    assert_eq!(send(&mut peer.engine, link, 1), Err(SendError::Detached));
    assert_eq!(peer.engine.attach(session, "b", Role::Sender, LinkTerms::default()), Err(LimitError::Ended));
    // What crosses it is not read (2.5.5), not even when it makes no sense.
    peer.send(flow().handle(0).echo(true)).send(transfer(0).handle(77)).send(attach_sender("c").handle(4));
    peer.send(detach().handle(0)).expect_nothing();
    assert_eq!(peer.engine.release(link).unwrap().unsettled.len(), 1);
    peer.expect_nothing().send(end()).expect_nothing();
    assert_eq!(peer.events(), [Event::SessionEnded { session, error: None }]);
    assert_eq!(peer.result(), Ok(()));
}

#[test]
fn outcomes_that_cross_our_end_still_count_unless_it_says_an_error() {
    for (failed, told) in [(None, 1), (Some(error("test:failed")), 0)] {
        let (mut peer, link) = common::sending_peer(config(), 10);
        let session = peer.engine.session_of(link).unwrap();
        let delivery = send(&mut peer.engine, link, 7).unwrap();
        peer.engine.end(session, failed);
        peer.take_bytes();
        peer.events();
        peer.send(accepted(delivery.0).with(|disposition| disposition.settled = false)).expect_nothing();
        peer.send(accepted(delivery.0)).expect_nothing();
        let updates = peer.events().into_iter().filter_map(|event| match event {
            Event::Update(update) => Some((update.token, update.state, update.settled)),
            _ => None,
        });
        assert_eq!(updates.collect::<Vec<_>>(), vec![(7, Some(DeliveryState::Accepted), true); told]);
        assert_eq!(peer.engine.release(link).unwrap().unsettled.len(), 1 - told);
        peer.send(end()).expect_nothing();
        assert_eq!(peer.events(), [Event::SessionEnded { session, error: None }]);
    }
}

#[test]
fn a_session_may_end_before_it_has_begun() {
    let mut peer = ScriptedPeer::of_client(config());
    peer.send_header(ProtocolHeader::AMQP).send(open()).take_bytes();
    peer.events();
    let session = peer.engine.begin().unwrap();
    let link = peer.engine.attach(session, "a", Role::Sender, LinkTerms::default()).unwrap();
    peer.engine.end(session, None);
    peer.expect(begin()).expect(attach_sender("a")).expect(end()).expect_nothing();
    assert!(peer.engine.release(link).is_some());
    assert!(peer.engine.release(link).is_none());
    // Its channel is not free before the peer has answered both.
    peer.engine.begin().unwrap();
    peer.expect(begin().channel(1));
    peer.send(begin().remote_channel(0)).send(attach_receiver("a")).send(end()).expect_nothing();
    assert_eq!(peer.events(), [Event::SessionEnded { session, error: None }]);
    assert_eq!(peer.result(), Ok(()));
    peer.engine.begin().unwrap();
    peer.expect(begin().channel(0));
}

#[test]
fn a_refused_attach_may_come_as_an_end() {
    // RabbitMQ 3.10 does so.
    let mut peer = ScriptedPeer::of_client(config());
    let session = peer.engine.begin().unwrap();
    let link = peer.engine.attach(session, "a", Role::Sender, LinkTerms::default()).unwrap();
    peer.send_header(ProtocolHeader::AMQP).send(open()).send(begin().remote_channel(0));
    peer.send(end().error(error("test:no-such-queue"))).take_bytes();
    assert!(
        peer.events().contains(&Event::SessionEnded { session, error: Some(Box::new(error("test:no-such-queue"))) })
    );
    assert_eq!(send(&mut peer.engine, link, 0), Err(SendError::Detached));
    assert!(peer.engine.release(link).is_some());
    peer.expect_nothing();
}

#[test]
fn links_give_back_what_is_not_settled_when_the_connection_is_lost() {
    let (mut pair, ours, theirs) = common::sending_pair(10);
    send(&mut pair.client, ours, 3).unwrap();
    pair.to_server.cut_at = Some(pair.to_server.carried() + 5);
    pair.run();
    assert_eq!(pair.events(Side::Client), [Event::Closed(ConnectionError::Lost)]);
    assert_eq!(pair.events(Side::Server), [Event::Closed(ConnectionError::Lost)]);
    assert_eq!(pair.client.release(ours).unwrap().unsettled[0].token, 3);
    assert_eq!(pair.server.release(theirs).unwrap().unsettled, []);
    assert_eq!(pair.client.release(ours), None);
}
