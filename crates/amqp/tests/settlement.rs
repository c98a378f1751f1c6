//! Settlement and outcomes (part 2, 2.6.12 and 2.7.6; part 3, 3.4).

mod common;

use common::{
    config, pair, received, receiving_peer, send, sending, sending_pair, sending_peer, sending_peer_with, tag, updates,
};
use postroad_amqp::v1_0::{Event, LinkTerms, Message, Update};
use postroad_codec::v1_0::{
    DeliveryNumber, DeliveryState, ErrorCondition, Fields, Map, Modified, Received, ReceiverSettleMode, Rejected, Role,
    SenderSettleMode, Symbol,
};
use postroad_testkit::{Side, accepted, disposition, error, flow, transfer};

fn number(value: u32) -> DeliveryNumber {
    DeliveryNumber(value)
}

#[test]
fn every_outcome_is_seen_by_the_other_end() {
    let annotations = Map(vec![(Symbol::from_static("x-opt-why").into(), "because".into())]);
    let outcomes = [
        DeliveryState::Accepted,
        DeliveryState::Rejected(Box::new(Rejected { error: Some(error("test:bad")) })),
        DeliveryState::Rejected(Box::default()),
        DeliveryState::Released,
        DeliveryState::Modified(Box::new(Modified {
            delivery_failed: Some(true),
            undeliverable_here: Some(true),
            message_annotations: Some(Fields(annotations)),
        })),
    ];
    let (mut pair, ours, theirs) = sending_pair(10);
    for (token, outcome) in outcomes.iter().enumerate() {
        let delivery = send(&mut pair.client, ours, token as u64).unwrap();
        pair.run();
        let taken = received(&mut pair.server, theirs);
        pair.server.receiver(theirs).dispose(taken[0].number, Some(outcome.clone()), true);
        pair.run();
        let (token, state) = (token as u64, Some(outcome.clone()));
        let expected = Update { link: ours, token, delivery, state, settled: true, by_peer: true };
        assert_eq!(updates(&mut pair, Side::Client), [expected]);
    }
    assert_eq!(pair.client.sender(ours).unsettled(), 0);
}

#[test]
fn settled_messages_are_never_heard_of_again() {
    let (mut pair, ours, theirs) = sending_pair(10);
    let mut message = Message::new(b"fire and forget", tag(0), 0);
    message.settled = true;
    let delivery = pair.client.sender(ours).send(&message).unwrap();
    assert_eq!(pair.client.sender(ours).unsettled(), 0);
    pair.run();
    let taken = received(&mut pair.server, theirs);
    assert!(taken[0].settled);
    pair.server.receiver(theirs).dispose(delivery, Some(DeliveryState::Accepted), true);
    pair.run();
    assert_eq!(updates(&mut pair, Side::Client), []);
    assert!(pair.server.release(theirs).unwrap().unsettled.is_empty());
}

#[test]
fn modes_and_terms_reach_the_other_end() {
    let mut pair = pair();
    let (session, _) = pair.session();
    let client = LinkTerms {
        snd_settle_mode: SenderSettleMode::UNSETTLED,
        rcv_settle_mode: ReceiverSettleMode::SECOND,
        ..LinkTerms::default()
    };
    let server = LinkTerms { snd_settle_mode: SenderSettleMode::SETTLED, max_message_size: 77, ..LinkTerms::default() };
    let (ours, theirs) = pair.link_with(session, "a", Role::Sender, client, server);
    let heard = pair.server.remote_attach(theirs).unwrap();
    assert_eq!(heard.snd_settle_mode, SenderSettleMode::UNSETTLED);
    assert_eq!(heard.rcv_settle_mode, ReceiverSettleMode::SECOND);
    let answer = pair.client.remote_attach(ours).unwrap();
    assert_eq!(answer.snd_settle_mode, SenderSettleMode::SETTLED);
    assert_eq!(answer.max_message_size, Some(77));
}

#[test]
fn exactly_once_takes_three_steps() {
    let mut pair = pair();
    let (session, _) = pair.session();
    let second =
        || LinkTerms { rcv_settle_mode: ReceiverSettleMode::SECOND, auto_settle: false, ..LinkTerms::default() };
    let (ours, theirs) = pair.link_with(session, "a", Role::Sender, second(), second());
    pair.server.receiver(theirs).set_credit(10);
    pair.run();
    let delivery = send(&mut pair.client, ours, 5).unwrap();
    pair.run();
    received(&mut pair.server, theirs);
    pair.events(Side::Server);
    // The receiver tells its outcome and does not settle.
    pair.server.receiver(theirs).dispose(delivery, Some(DeliveryState::Accepted), false);
    pair.run();
    let state = Some(DeliveryState::Accepted);
    let update = Update { link: ours, token: 5, delivery, state: state.clone(), settled: false, by_peer: false };
    assert_eq!(updates(&mut pair, Side::Client), [update]);
    assert_eq!(pair.client.sender(ours).unsettled(), 1);
    // The sender settles when it has forgotten the message for good.
    pair.client.sender(ours).settle(delivery);
    assert_eq!(pair.client.sender(ours).unsettled(), 0);
    pair.run();
    assert_eq!(pair.events(Side::Server), [Event::SettledBySender { link: theirs, delivery, state }]);
    assert!(pair.server.release(theirs).unwrap().unsettled.is_empty());
    // Once is enough.
    pair.client.sender(ours).settle(delivery);
    pair.run();
    assert_eq!(updates(&mut pair, Side::Client), []);
}

#[test]
fn a_sender_settles_by_itself_what_has_an_outcome() {
    let (mut peer, link) = sending_peer(config(), 10);
    for token in 0..3 {
        send(&mut peer.engine, link, token).unwrap();
    }
    peer.take_bytes();
    // Progress is no outcome.
    let progress = DeliveryState::Received(Received { section_number: 1, section_offset: 2 });
    peer.send(disposition(Role::Receiver, 0).state(progress.clone())).expect_nothing();
    let update = |token, state, settled| {
        Event::Update(Update { link, token, delivery: number(token as u32), state, settled, by_peer: false })
    };
    assert_eq!(peer.events(), [update(0, Some(progress), false)]);
    peer.send(disposition(Role::Receiver, 0).last(2).state(DeliveryState::Released));
    peer.expect(disposition(Role::Sender, 0).last(2).settled(true).state(DeliveryState::Released)).expect_nothing();
    let state = Some(DeliveryState::Released);
    assert_eq!(peer.events(), [0, 1, 2].map(|token| update(token, state.clone(), true)));
}

#[test]
fn settling_without_a_state_keeps_the_last_one() {
    let terms = LinkTerms { auto_settle: false, ..LinkTerms::default() };
    let (mut peer, link) = sending_peer_with(config(), 10, terms);
    send(&mut peer.engine, link, 0).unwrap();
    peer.send(disposition(Role::Receiver, 0).state(DeliveryState::Accepted));
    peer.events();
    peer.send(disposition(Role::Receiver, 0).settled(true));
    let state = Some(DeliveryState::Accepted);
    let update = Update { link, token: 0, delivery: number(0), state, settled: true, by_peer: true };
    assert_eq!(peer.events(), [Event::Update(update)]);
}

#[test]
fn dispositions_come_in_any_order_and_range() {
    let (mut peer, link) = sending_peer(config(), 1000);
    for token in 0..10 {
        send(&mut peer.engine, link, token).unwrap();
    }
    let told = |peer: &mut postroad_testkit::ScriptedPeer| -> Vec<u64> {
        let updates = peer.events().into_iter().filter_map(|event| match event {
            Event::Update(update) => Some(update.token),
            _ => None,
        });
        updates.collect()
    };
    peer.send(accepted(7));
    assert_eq!(told(&mut peer), [7]);
    peer.send(accepted(2).last(4));
    assert_eq!(told(&mut peer), [2, 3, 4]);
    // Over some that are settled, and some that do not exist.
    peer.send(accepted(3).last(8));
    assert_eq!(told(&mut peer), [5, 6, 8]);
    peer.send(accepted(500)).send(accepted(u32::MAX)).send(accepted(4)).send(accepted(u32::MAX - 5).last(0));
    assert_eq!(told(&mut peer), [0]);
    // A bound below the other is an empty range.
    peer.send(accepted(9).last(1));
    assert_eq!(told(&mut peer), []);
    peer.send(accepted(0).last(i32::MAX as u32));
    assert_eq!(told(&mut peer), [1, 9]);
    assert_eq!(peer.result(), Ok(()));
}

#[test]
fn huge_ranges_cost_nothing() {
    let (mut peer, link) = sending_peer(config(), 1000);
    send(&mut peer.engine, link, 0).unwrap();
    let start = std::time::Instant::now();
    for _ in 0..10_000 {
        peer.send(disposition(Role::Receiver, 0).last(u32::MAX)).send(disposition(Role::Sender, 0).last(u32::MAX));
        peer.send(disposition(Role::Receiver, 1).last(1 << 31)).send(disposition(Role::Sender, 1).last(1 << 31));
    }
    assert!(start.elapsed().as_secs() < 5);
    assert_eq!(peer.result(), Ok(()));
    assert_eq!(peer.engine.sender(link).unsettled(), 1);
}

#[test]
fn neighbours_leave_as_one_range() {
    let (mut peer, link) = receiving_peer(config(), 10);
    for delivery in 0..6 {
        peer.send(transfer(delivery));
    }
    received(&mut peer.engine, link);
    for delivery in [0, 1, 2, 4, 5] {
        peer.engine.receiver(link).dispose(number(delivery), Some(DeliveryState::Accepted), true);
    }
    peer.engine.receiver(link).dispose(number(3), Some(DeliveryState::Released), true);
    // Settled already, or never heard of.
    peer.engine.receiver(link).dispose(number(3), Some(DeliveryState::Accepted), true);
    peer.engine.receiver(link).dispose(number(99), Some(DeliveryState::Accepted), true);
    peer.expect(accepted(0).last(2)).expect(accepted(4).last(5));
    peer.expect(disposition(Role::Receiver, 3).settled(true).state(DeliveryState::Released)).expect_nothing();
}

#[test]
fn a_link_disposes_of_its_own_deliveries_only() {
    let mut pair = pair();
    let (session, _) = pair.session();
    let (first, their_first) = pair.link(session, "a", Role::Sender);
    let (_, their_second) = pair.link(session, "b", Role::Sender);
    pair.server.receiver(their_first).set_credit(1);
    pair.run();
    let delivery = send(&mut pair.client, first, 0).unwrap();
    pair.run();
    pair.server.receiver(their_second).dispose(delivery, Some(DeliveryState::Accepted), true);
    pair.run();
    assert_eq!(updates(&mut pair, Side::Client), []);
    pair.client.sender(first).settle(number(77));
    assert_eq!(pair.client.sender(first).unsettled(), 1);
}

#[test]
fn one_unsettled_delivery_does_not_starve_the_session() {
    const COUNT: u64 = 100_000;
    let mut client = postroad_amqp::v1_0::Config::new("client");
    client.incoming_window = 64;
    let mut server = postroad_amqp::v1_0::Config::new("server");
    server.incoming_window = 64;
    let (mut pair, ours, theirs) = sending(postroad_testkit::Pair::new(client, server), 50);
    let (mut sent, mut settled) = (0, 0);
    while settled < COUNT - 1 {
        while sent < COUNT && send(&mut pair.client, ours, sent).is_ok() {
            sent += 1;
        }
        pair.run();
        let before = settled;
        for delivery in received(&mut pair.server, theirs) {
            // The very first one stays.
            if delivery.number != number(0) {
                pair.server.receiver(theirs).dispose(delivery.number, Some(DeliveryState::Accepted), true);
            }
        }
        pair.server.receiver(theirs).set_credit(50);
        pair.run();
        settled += updates(&mut pair, Side::Client).len() as u64;
        assert!(settled > before, "stuck after {settled}");
    }
    assert_eq!(pair.client.sender(ours).unsettled(), 1);
    pair.server.receiver(theirs).dispose(number(0), Some(DeliveryState::Accepted), true);
    pair.run();
    assert_eq!(updates(&mut pair, Side::Client)[0].token, 0);
}

#[test]
fn what_is_not_settled_is_given_back() {
    let (mut pair, ours, theirs) = sending_pair(10);
    for token in 0..4 {
        send(&mut pair.client, ours, token).unwrap();
    }
    pair.run();
    received(&mut pair.server, theirs);
    pair.server.receiver(theirs).dispose(number(1), Some(DeliveryState::Accepted), true);
    let progress = DeliveryState::Received(Received { section_number: 0, section_offset: 0 });
    pair.server.receiver(theirs).dispose(number(2), Some(progress.clone()), false);
    pair.run();
    assert_eq!(updates(&mut pair, Side::Client).len(), 2);
    pair.client.detach(ours, false, None);
    pair.run();
    // Of a link that is detached nothing can be told; it is kept for the next attach.
    pair.server.receiver(theirs).dispose(number(3), Some(DeliveryState::Released), false);
    pair.run();
    assert_eq!(pair.events(Side::Client), [Event::LinkDetached { link: ours, closed: false, error: None }]);
    let ours = pair.client.release(ours).unwrap();
    let sides: Vec<_> = ours.unsettled.iter().map(|it| (it.token, it.tag, it.remote_state.clone())).collect();
    assert_eq!(sides, [(0, tag(0), None), (2, tag(2), Some(progress.clone())), (3, tag(3), None)]);
    let theirs = pair.server.release(theirs).unwrap();
    let sides: Vec<_> = theirs.unsettled.iter().map(|it| (it.tag, it.local_state.clone())).collect();
    assert_eq!(sides, [(tag(0), None), (tag(2), Some(progress)), (tag(3), Some(DeliveryState::Released))]);
}

#[test]
fn an_outcome_that_nobody_has_read_survives_a_release() {
    let (mut peer, link) = sending_peer(config(), 10);
    send(&mut peer.engine, link, 1).unwrap();
    send(&mut peer.engine, link, 2).unwrap();
    peer.send(accepted(0)).send(flow().handle(0).delivery_count(2).link_credit(5).drain(true));
    let state = peer.engine.release(link).unwrap();
    assert_eq!(state.unsettled.iter().map(|it| it.token).collect::<Vec<_>>(), [2]);
    let events = peer.events();
    assert!(matches!(&events[..], [Event::Update(Update { token: 1, settled: true, .. })]), "{events:?}");
}

#[test]
fn a_large_state_of_many_deliveries_is_refused_before_it_is_copied() {
    let rejected = |length: usize| {
        let mut error = error("test:bad");
        error.description = Some("x".repeat(length).into());
        DeliveryState::Rejected(Box::new(Rejected { error: Some(error) }))
    };
    for (length, count, fits) in [(8_000, 500, true), (8_000, 600, false), (8_000, 1, true), (0, 600, true)] {
        let (mut peer, link) = sending_peer(config(), 1000);
        for token in 0..600 {
            send(&mut peer.engine, link, token).unwrap();
        }
        peer.take_bytes();
        peer.send(disposition(Role::Receiver, 0).last(count - 1).settled(true).state(rejected(length)));
        let ended = peer.events().into_iter().find_map(|event| match event {
            Event::SessionEnded { error, .. } => Some(error.unwrap()),
            _ => None,
        });
        assert_eq!(ended.is_none(), fits, "{length} {count}");
        if let Some(error) = ended {
            assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
            assert!(error.description.unwrap().contains("600 deliveries"));
        }
    }
}
