//! Attaching a link to a peer that has no state of it (part 2, 2.7.3): sent again as new, or in doubt.

mod common;

use bytes::Bytes;
use common::{received, resumable, send, serving_peer, states, tag};
use postroad_amqp::v1_0::{
    Config, Event, LimitError, LinkId, LinkState, LinkTerms, Message, SessionId, Unsettled, Update,
};
use postroad_codec::v1_0::{
    DeliveryNumber, DeliveryState, Map, Received, Role, TransactionId, TransactionalState, Value,
};
use postroad_testkit::{
    Builder, ScriptedPeer, Side, attach_receiver, attach_sender, begin, detach, error, flow, open, transfer,
};

/// Deliveries of every kind: sent, with an outcome, in a transaction, and not kept.
fn mixed() -> LinkState {
    let (mut state, _) = states(4);
    state.unsettled[1].remote_state = Some(DeliveryState::Accepted);
    let transaction = TransactionalState { txn_id: TransactionId(Bytes::from_static(b"t")), outcome: None };
    state.unsettled[2].local_state = Some(DeliveryState::Transactional(Box::new(transaction)));
    state.unsettled[3].message = None;
    state
}

/// How a link is attached again.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Restart,
    Resume,
}

fn attach(
    peer: &mut ScriptedPeer,
    how: How,
    session: SessionId,
    state: &mut LinkState,
    terms: LinkTerms,
) -> Result<LinkId, LimitError> {
    match how {
        How::Restart => peer.engine.restart(session, state, terms),
        How::Resume => peer.engine.resume(session, state, terms),
    }
}

/// A peer to which the engine attaches a link with this state again, and which has answered with no map.
fn answered(how: How, state: &mut LinkState, terms: LinkTerms) -> (ScriptedPeer, LinkId) {
    let (mut peer, session) = serving_peer();
    let role = state.role;
    let link = attach(&mut peer, how, session, state, terms).unwrap();
    assert_eq!(state.unsettled, []);
    let map = match role {
        Role::Sender => peer.take(attach_sender("a")).0.unsettled,
        Role::Receiver => peer.take(attach_receiver("a")).0.unsettled,
    };
    assert_eq!(map.is_some(), how == How::Resume, "only a link that is resumed tells a map");
    peer.send(match role {
        Role::Sender => attach_receiver("a"),
        Role::Receiver => attach_sender("a"),
    });
    assert_eq!(peer.events()[..1], [Event::LinkAttached(link)]);
    (peer, link)
}

fn credit(count: u32, credit: u32) -> Builder<postroad_codec::v1_0::Flow> {
    flow().handle(0).delivery_count(count).link_credit(credit)
}

fn in_doubt(link: LinkId, number: u64, message: Option<&str>) -> Event {
    Event::InDoubt {
        link,
        token: number,
        delivery: DeliveryNumber(number as u32),
        tag: tag(number),
        message_format: postroad_codec::v1_0::MessageFormat(0),
        message: message.map(|text| Bytes::from(text.to_owned())),
    }
}

fn accepted(link: LinkId, number: u64) -> Event {
    let state = Some(DeliveryState::Accepted);
    let delivery = DeliveryNumber(number as u32);
    Event::Update(Update { link, token: number, delivery, state, settled: true, by_peer: true })
}

fn numbers(unsettled: &[Unsettled]) -> Vec<u64> {
    unsettled.iter().map(|unsettled| unsettled.token).collect()
}

/// The events between the attach and the end of resuming, and the end of it.
fn attached_with(how: How, resend_lost: bool) -> (ScriptedPeer, LinkId) {
    let terms = LinkTerms { resend_lost, ..resumable() };
    let (mut peer, session) = serving_peer();
    let link = attach(&mut peer, how, session, &mut mixed(), terms).unwrap();
    peer.take_bytes();
    peer.send(attach_receiver("a"));
    (peer, link)
}

#[test]
fn what_was_kept_is_sent_again_in_order_and_before_anything_new() {
    for how in [How::Restart, How::Resume] {
        let (mut peer, link) = answered(how, &mut states(3).0, resumable());
        assert_eq!(peer.engine.sender(link).capacity(), 0);
        peer.send(credit(3, 2));
        for number in 0..2 {
            let (again, payload) = peer.take(transfer(number));
            assert_eq!((again.resume, again.delivery_tag), (false, Some(tag(number.into()))));
            assert_eq!(payload, format!("message {number}"));
        }
        peer.expect_nothing();
        assert_eq!(peer.events(), [], "nothing new may come before the third");
        peer.send(credit(5, 2));
        assert_eq!(peer.take(transfer(2)).1, "message 2");
        let resumed = Event::Resumed { link, complete: true, remembered: false };
        assert_eq!(peer.events(), [resumed, Event::Credit(link)]);
        assert_eq!(peer.engine.sender(link).capacity(), 1);
        peer.send(postroad_testkit::accepted(0).last(2).settled(true));
        let settled = peer.events();
        assert_eq!(settled, [0, 1, 2].map(|number| accepted(link, number)));
    }
}

#[test]
fn what_is_not_to_be_sent_again_is_in_doubt() {
    for how in [How::Restart, How::Resume] {
        let (mut peer, link) = attached_with(how, false);
        let events = [
            Event::LinkAttached(link),
            in_doubt(link, 0, Some("message 0")),
            accepted(link, 1),
            in_doubt(link, 2, Some("message 2")),
            in_doubt(link, 3, None),
            Event::Resumed { link, complete: true, remembered: false },
        ];
        assert_eq!(peer.events(), events);
        peer.send(credit(4, 1)).expect_nothing();
        assert_eq!(peer.engine.release(link).unwrap().unsettled, []);
    }
}

#[test]
fn what_cannot_be_sent_again_is_in_doubt() {
    for how in [How::Restart, How::Resume] {
        let (mut peer, link) = attached_with(how, true);
        let events = [
            Event::LinkAttached(link),
            accepted(link, 1),
            in_doubt(link, 2, Some("message 2")),
            in_doubt(link, 3, None),
        ];
        assert_eq!(peer.events(), events);
        peer.send(credit(4, 5));
        assert_eq!(peer.take(transfer(0)).1, "message 0");
        peer.expect_nothing();
        // A message that has become too large for the peer is in doubt, too.
        let (mut peer, session) = serving_peer();
        let link = attach(&mut peer, how, session, &mut states(1).0, resumable()).unwrap();
        peer.take_bytes();
        peer.send(attach_receiver("a").max_message_size(3));
        assert!(peer.events().contains(&in_doubt(link, 0, Some("message 0"))));
    }
}

#[test]
fn a_map_that_is_empty_is_one() {
    let (mut peer, session) = serving_peer();
    let terms = LinkTerms { resend_lost: false, ..resumable() };
    let link = attach(&mut peer, How::Resume, session, &mut mixed(), terms).unwrap();
    peer.take_bytes();
    peer.send(attach_receiver("a").with(|attach| attach.unsettled = Some(Map::default())));
    let given_up = |number| match accepted(link, number) {
        Event::Update(update) => Event::Update(Update { state: None, ..update }),
        _ => unreachable!(),
    };
    // The standard's examples 5 and 10: what has not come is sent, however it stands with a peer that has no state. Of
    // what cannot be sent nothing is known.
    assert_eq!(peer.events(), [Event::LinkAttached(link), accepted(link, 1), given_up(2), given_up(3)]);
    peer.send(credit(4, 9));
    assert_eq!(peer.take(transfer(0)).1, "message 0");
    let events = peer.events();
    assert_eq!(events, [Event::Resumed { link, complete: true, remembered: true }, Event::Credit(link)]);
}

#[test]
fn who_restarts_does_not_look_at_the_peers_map() {
    let (mut peer, session) = serving_peer();
    let link = attach(&mut peer, How::Restart, session, &mut states(2).0, resumable()).unwrap();
    peer.take_bytes();
    let map = Map(vec![(Value::Binary(b"\0".to_vec().into()), Value::Null)]);
    peer.send(attach_receiver("a").with(|attach| (attach.unsettled, attach.incomplete_unsettled) = (Some(map), true)));
    peer.send(credit(2, 9));
    for number in 0..2 {
        assert!(!peer.take(transfer(number)).0.resume);
    }
    assert!(peer.events().contains(&Event::Resumed { link, complete: true, remembered: true }));
    assert_eq!(peer.engine.sender(link).capacity(), 7);
}

#[test]
fn what_a_receiver_had_is_over() {
    for how in [How::Restart, How::Resume] {
        let (_, mut state) = states(2);
        let (mut peer, session) = serving_peer();
        let link = attach(&mut peer, how, session, &mut state, resumable()).unwrap();
        peer.take_bytes();
        peer.engine.receiver(link).set_credit(2);
        peer.send(attach_sender("a").initial_delivery_count(u32::MAX));
        let over = |number: u32| Event::Reassociated {
            link,
            tag: tag(number.into()),
            previous: DeliveryNumber(number),
            delivery: None,
            state: None,
        };
        let resumed = Event::Resumed { link, complete: true, remembered: false };
        let events = match how {
            How::Restart => vec![Event::LinkAttached(link), resumed],
            How::Resume => vec![Event::LinkAttached(link), over(0), over(1), resumed],
        };
        assert_eq!(peer.events(), events);
        // Credit counts from the sender's own count on, and messages count as ever.
        peer.expect(credit(u32::MAX, 2));
        peer.send(transfer(0).delivery_tag(tag(0)).payload(&b"one"[..]));
        peer.send(transfer(1).delivery_tag(tag(1)).payload(&b"two"[..]));
        assert_eq!(peer.engine.receiver(link).credit(), 0);
        peer.engine.receiver(link).set_credit(1);
        peer.expect(credit(1, 1));
        peer.send(transfer(2).delivery_tag(tag(2)).payload(&b"three"[..]));
        assert_eq!(received(&mut peer.engine, link).len(), 3);
        peer.send(transfer(3).delivery_tag(tag(3)).payload(&b"four"[..]));
        peer.take(detach().condition(postroad_codec::v1_0::ErrorCondition::TRANSFER_LIMIT_EXCEEDED));
    }
}

#[test]
fn tags_that_wait_are_not_to_be_used_again() {
    for how in [How::Restart, How::Resume] {
        let (mut peer, session) = serving_peer();
        let link = attach(&mut peer, how, session, &mut states(2).0, resumable()).unwrap();
        let check = |peer: &mut ScriptedPeer, tags: [bool; 3], count: usize| {
            let sender = peer.engine.sender(link);
            assert_eq!([0, 1, 2].map(|number| sender.has_unsettled(&tag(number))), tags);
            assert_eq!(sender.unsettled(), count);
        };
        check(&mut peer, [true, true, false], 2);
        peer.take_bytes();
        peer.send(attach_receiver("a"));
        check(&mut peer, [true, true, false], 2);
        peer.send(credit(2, 1));
        check(&mut peer, [true, true, false], 2);
        peer.send(postroad_testkit::accepted(0).settled(true));
        check(&mut peer, [false, true, false], 1);
        peer.send(credit(3, 2));
        check(&mut peer, [false, true, false], 1);
        let message = Message::new(b"new", tag(0), 7);
        peer.engine.sender(link).send(&message).unwrap();
        check(&mut peer, [true, true, false], 2);
    }
}

#[test]
fn every_delivery_is_given_back_once_and_in_order_whenever_the_connection_is_lost() {
    let attach_no_terminus = |role| match role {
        Role::Sender => attach_receiver("a").target(None),
        Role::Receiver => attach_sender("a").source(None),
    };
    let attach_answer = |role| match role {
        Role::Sender => attach_receiver("a"),
        Role::Receiver => attach_sender("a"),
    };
    for how in [How::Restart, How::Resume] {
        for role in [Role::Sender, Role::Receiver] {
            for phase in 0..6 {
                let mut state = if role == Role::Sender { states(4).0 } else { states(4).1 };
                let before = state.clone();
                let (mut peer, session) = serving_peer();
                let link = attach(&mut peer, how, session, &mut state, resumable()).unwrap();
                peer.take_bytes();
                match phase {
                    0 => {}
                    1 => drop(peer.send(attach_no_terminus(role))),
                    2 => {
                        peer.send(attach_no_terminus(role)).send(detach().closed(true).error(error("test:no")));
                    }
                    3 => peer.engine.detach(link, false, None),
                    4 => {
                        peer.engine.detach(link, true, None);
                        peer.send(attach_answer(role)).send(credit(4, 2));
                    }
                    _ => {
                        let all = before.unsettled.iter().map(|unsettled| {
                            (Value::Binary(Bytes::copy_from_slice(unsettled.tag.as_bytes())), Value::Null)
                        });
                        let map = (how == How::Resume || role == Role::Receiver).then(|| Map(all.collect()));
                        peer.send(attach_answer(role).with(|attach| attach.unsettled = map));
                        match role {
                            Role::Sender => drop(peer.send(credit(4, 2))),
                            Role::Receiver => {
                                for (number, tagged) in [2, 1].into_iter().enumerate() {
                                    let again = transfer(number as u32).delivery_tag(tag(tagged));
                                    peer.send(again.with(|transfer| transfer.resume = how == How::Resume));
                                }
                            }
                        }
                    }
                }
                peer.engine.handle_eof();
                let given_back = peer.engine.release(link).unwrap();
                let tags = |state: &LinkState| state.unsettled.iter().map(|one| one.tag).collect::<Vec<_>>();
                let what = format!("{how:?} {role:?} {phase}");
                if phase == 5 && role == Role::Receiver && how == How::Restart {
                    // What it had is over, and nobody allowed the new ones.
                    assert_eq!(tags(&given_back), [], "{what}");
                } else {
                    assert_eq!(tags(&given_back), tags(&before), "{what}");
                    assert_eq!(numbers(&given_back.unsettled), numbers(&before.unsettled), "{what}");
                    let messages = |state: &LinkState| state.unsettled.iter().map(|one| one.message.clone()).collect();
                    let (ours, theirs): (Vec<_>, Vec<_>) = (messages(&given_back), messages(&before));
                    assert_eq!(ours, theirs, "{what}");
                }
                assert_eq!(peer.engine.release(link), None, "once");
            }
        }
    }
}

/// A state that says nothing, in a few bytes.
fn received_nothing() -> DeliveryState {
    DeliveryState::Received(Received::default())
}

#[test]
fn an_incomplete_map_does_not_hold_back_who_has_no_state() {
    // Our own map lacks entries, and the peer knows nothing: all of it is dealt with at once.
    let (mut state, _) = states(100);
    state.unsettled.iter_mut().for_each(|unsettled| unsettled.local_state = Some(received_nothing()));
    let before = numbers(&state.unsettled);
    let (mut peer, session) = serving_peer();
    peer = {
        let mut small = ScriptedPeer::of_client(Config::new("engine"));
        small.send_header(postroad_codec::v1_0::ProtocolHeader::AMQP).send(open().max_frame_size(512)).take_bytes();
        assert_eq!(small.engine.begin().unwrap(), session);
        small.expect(begin()).send(begin().remote_channel(0));
        small.events();
        drop(peer);
        small
    };
    let link = peer.engine.resume(session, &mut state, resumable()).unwrap();
    assert!(peer.take(attach_sender("a")).0.incomplete_unsettled);
    peer.send(attach_receiver("a")).send(credit(100, 200));
    for number in before {
        assert_eq!(peer.take(transfer(number as u32)).0.delivery_tag, Some(tag(number)));
    }
    assert!(peer.events().contains(&Event::Resumed { link, complete: true, remembered: false }));
    assert_eq!(peer.engine.sender(link).capacity(), 100);
}

#[test]
fn what_was_in_doubt_is_told_after_the_link_is_released_too() {
    let (mut peer, link) = attached_with(How::Restart, false);
    assert_eq!(peer.engine.release(link).unwrap().unsettled, []);
    let told: Vec<_> = peer.events().into_iter().filter(|event| matches!(event, Event::InDoubt { .. })).collect();
    assert_eq!(told.len(), 3);
}

#[test]
fn a_state_stays_whole_when_the_link_cannot_be_attached_anew() {
    let (mut state, _) = states(2);
    let before = state.clone();
    let (mut peer, session) = serving_peer();
    peer.engine.attach(session, "a", Role::Sender, resumable()).unwrap();
    assert_eq!(peer.engine.restart(session, &mut state, resumable()), Err(LimitError::NameInUse));
    assert_eq!(state, before);
    peer.engine.handle_eof();
    assert_eq!(peer.engine.restart(session, &mut state, resumable()), Err(LimitError::Ended));
    assert_eq!(state, before);
}

#[test]
fn two_engines_restart_a_link() {
    for client_sends in [true, false] {
        let (mut sender, mut receiver) = states(5);
        let state = if client_sends { &mut sender } else { &mut receiver };
        let mut pair = common::pair();
        let (session, _) = pair.session();
        let ours = pair.client.restart(session, state, resumable()).unwrap();
        pair.run();
        let theirs = pair.events(Side::Server).into_iter().find_map(|event| match event {
            Event::LinkIncoming(link) => Some(link),
            _ => None,
        });
        let theirs = theirs.unwrap();
        // The other end may have a state, or not: as one end has none, it makes no difference.
        let state = if client_sends { &mut receiver } else { &mut sender };
        pair.server.accept_resumed(theirs, state, resumable()).unwrap();
        let receives = if client_sends { Side::Server } else { Side::Client };
        let link = if client_sends { theirs } else { ours };
        pair.engine(receives).receiver(link).set_credit(10);
        pair.run();
        let again = received(pair.engine(receives), link);
        assert_eq!(again.len(), 5);
        for (number, delivery) in again.iter().enumerate() {
            assert_eq!(delivery.payload, format!("message {number}"));
        }
    }
}

/// A peer that attaches its sending link `a` and tells these deliveries, and the link that waits to be accepted.
fn telling_peer(tags: &[u64]) -> (ScriptedPeer, LinkId) {
    let mut peer = ScriptedPeer::with_session(Config::new("engine"));
    let map = tags.iter().map(|number| (Value::Binary(Bytes::copy_from_slice(tag(*number).as_bytes())), Value::Null));
    let map = Map(map.collect());
    peer.send(attach_sender("a").with(|attach| attach.unsettled = Some(map)));
    let link = peer.events().into_iter().find_map(|event| match event {
        Event::LinkIncoming(link) => Some(link),
        _ => None,
    });
    (peer, link.unwrap())
}

#[test]
fn who_has_forgotten_a_link_says_so_until_it_is_heard() {
    let forgotten = || {
        let (mut peer, link) = telling_peer(&[7, 8]);
        peer.engine.accept(link, resumable()).unwrap();
        assert_eq!(peer.take(attach_receiver("a")).0.unsettled, None);
        (peer, link)
    };
    // The answer is lost: whoever still tells the deliveries has not heard, and an empty map would have it send them.
    let (mut peer, link) = forgotten();
    let mut state = peer.engine.release(link).unwrap();
    assert_eq!(state.unheard, [tag(7), tag(8)]);
    for _ in 0..2 {
        let (mut peer, link) = telling_peer(&[8, 9]);
        peer.engine.accept_resumed(link, &mut state, resumable()).unwrap();
        assert_eq!(peer.take(attach_receiver("a")).0.unsettled, None);
        assert!(peer.events().contains(&Event::Resumed { link, complete: true, remembered: true }));
        state = peer.engine.release(link).unwrap();
        assert_eq!(state.unheard, [tag(8), tag(9)]);
    }
    // Whoever tells others has heard.
    let (mut peer, link) = telling_peer(&[10]);
    peer.engine.accept_resumed(link, &mut state, resumable()).unwrap();
    assert_eq!(peer.take(attach_receiver("a")).0.unsettled, Some(Map::default()));
    // So has whoever sends something: it has got our credit.
    let (mut peer, link) = forgotten();
    peer.engine.receiver(link).set_credit(1);
    peer.expect(flow().handle(0).link_credit(1));
    peer.send(transfer(0).delivery_tag(tag(7)));
    let state = peer.engine.release(link).unwrap();
    assert_eq!((&state.unheard[..], state.unsettled.len()), (&[][..], 1));
}

#[test]
fn what_a_peer_tells_is_noted_in_part() {
    let (mut peer, link) = telling_peer(&(0..1000).collect::<Vec<_>>());
    peer.engine.accept(link, resumable()).unwrap();
    assert_eq!(peer.engine.release(link).unwrap().unheard.len(), 16);
}

#[test]
fn a_link_that_nobody_has_answered_is_new_again() {
    let refuse = detach().closed(true).error(error("test:no"));
    for (answers, anew) in
        [(vec![], true), (vec![attach_receiver("a").target(None)], true), (vec![attach_receiver("a")], false)]
    {
        let (mut peer, session) = serving_peer();
        let link = peer.engine.attach(session, "a", Role::Sender, resumable()).unwrap();
        peer.take_bytes();
        let refused = answers.iter().any(|answer| answer.to_bytes() == attach_receiver("a").target(None).to_bytes());
        for answer in answers {
            peer.send(answer);
        }
        if refused {
            peer.send_bytes(&refuse.to_bytes());
        }
        peer.engine.handle_eof();
        let mut state = peer.engine.release(link).unwrap();
        assert_eq!(state.anew, anew);
        let (mut peer, session) = serving_peer();
        peer.engine.resume(session, &mut state, resumable()).unwrap();
        assert_eq!(peer.take(attach_sender("a")).0.unsettled.is_none(), anew);
    }
}

#[test]
fn an_outcome_that_crosses_a_detach_is_told_and_not_answered() {
    let (mut peer, link) = common::sending_peer(Config::new("engine"), 1);
    send(&mut peer.engine, link, 0).unwrap();
    peer.engine.detach(link, false, None);
    peer.take_bytes();
    peer.send(postroad_testkit::accepted(0)).expect_nothing();
    assert_eq!(peer.events(), [accepted(link, 0)]);
    peer.send(detach());
    assert_eq!(peer.engine.release(link).unwrap().unsettled, []);
}

#[test]
fn a_held_sender_sends_nothing_before_its_owner_has_seen_the_terms() {
    for how in [How::Restart, How::Resume] {
        let (mut state, _) = states(2);
        let before = state.clone();
        let (mut peer, session) = serving_peer();
        let terms = LinkTerms { hold: true, ..resumable() };
        let link = attach(&mut peer, how, session, &mut state, terms).unwrap();
        peer.take_bytes();
        peer.send(attach_receiver("a")).send(flow().handle(0).delivery_count(2).link_credit(10));
        assert!(peer.take_bytes().is_empty(), "{how:?}");
        assert_eq!(peer.engine.sender(link).capacity(), 0);
        peer.engine.proceed(link);
        let sent = std::iter::from_fn(|| peer.next_frame()).count();
        assert_eq!(sent, 2, "{how:?}");

        // Given up instead, everything comes back.
        let (mut peer, session) = serving_peer();
        let (mut state, terms) = (before.clone(), LinkTerms { hold: true, ..resumable() });
        let link = attach(&mut peer, how, session, &mut state, terms).unwrap();
        peer.send(attach_receiver("a")).send(flow().handle(0).delivery_count(2).link_credit(10));
        peer.take_bytes();
        let back = peer.engine.release(link).unwrap();
        assert_eq!(back.unsettled, before.unsettled);
    }
}
