//! Peers that break the rules of resuming, or change their mind: the link at most suffers, and nothing that it brought
//! along is lost.

mod common;

use bytes::Bytes;
use common::{received, resumable, send, serving_peer, states, tag};
use postroad_amqp::v1_0::{Config, Event, LinkId, LinkState, LinkTerms};
use postroad_codec::v1_0::{
    Attach, AttachTarget, DeliveryNumber, DeliveryState, ErrorCondition, Map, ReceiverSettleMode, Role,
    SenderSettleMode, Source, Target, Value,
};
use postroad_testkit::{
    Builder, CONDITIONS, ScriptedPeer, accepted, attach_receiver, attach_sender, begin, continuation, detach, end,
    error, flow, open, transfer,
};

/// A peer to which the engine resumes its link `a` with so many deliveries; it has seen the attach.
fn resuming(role: Role, count: u64) -> (ScriptedPeer, LinkId) {
    let (sender, receiver) = states(count);
    let mut state = if role == Role::Sender { sender } else { receiver };
    let (mut peer, session) = serving_peer();
    let link = peer.engine.resume(session, &mut state, resumable()).unwrap();
    peer.take_bytes();
    (peer, link)
}

/// An attach with these deliveries in its map, of which nothing is known.
fn telling(attach: Builder<Attach>, tags: impl IntoIterator<Item = u64>) -> Builder<Attach> {
    let entry = |number: u64| (Value::Binary(Bytes::copy_from_slice(tag(number).as_bytes())), Value::Null);
    let map = Map(tags.into_iter().map(entry).collect());
    attach.with(|attach| attach.unsettled = Some(map))
}

fn resumed(number: u32, tagged: u64) -> Builder<postroad_codec::v1_0::Transfer> {
    transfer(number).delivery_tag(tag(tagged)).with(|transfer| transfer.resume = true)
}

fn tags(state: &LinkState) -> Vec<postroad_codec::v1_0::DeliveryTag> {
    state.unsettled.iter().map(|unsettled| unsettled.tag).collect()
}

fn reassociated(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Reassociated { .. })).count()
}

#[test]
fn deliveries_that_were_never_sent_are_not_looked_at() {
    let (mut peer, link) = resuming(Role::Sender, 2);
    peer.send(telling(attach_receiver("a"), [7, 0, 8, 9])).send(flow().handle(0).delivery_count(2).link_credit(9));
    // The one that both know is resumed, the one that the peer has not is sent, and of the others nothing is said.
    assert!(peer.take(transfer(0).delivery_tag(tag(0))).0.resume);
    assert!(!peer.take(transfer(1).delivery_tag(tag(1))).0.resume);
    peer.expect_nothing();
    assert!(peer.events().contains(&Event::Resumed { link, complete: true, remembered: true }));
    // As a sender it may claim them, too: there is nothing to resume.
    let (mut peer, link) = resuming(Role::Receiver, 1);
    peer.send(telling(attach_sender("a"), [7, 0, 8]));
    peer.engine.receiver(link).set_credit(2);
    peer.take_bytes();
    peer.send(resumed(0, 7)).send(resumed(1, 0));
    assert_eq!(reassociated(&peer.events()), 1);
    assert_eq!((received(&mut peer.engine, link).len(), peer.engine.error()), (0, None));
}

#[test]
fn a_delivery_that_is_resumed_twice_is_resumed_once() {
    for credit in [0, 5] {
        let (mut peer, link) = resuming(Role::Receiver, 2);
        peer.send(telling(attach_sender("a"), [0, 1]));
        if credit > 0 {
            peer.engine.receiver(link).set_credit(credit);
            peer.take_bytes();
        }
        peer.send(resumed(0, 0)).send(resumed(1, 0).payload(&b"again"[..])).send(resumed(2, 1));
        assert_eq!(reassociated(&peer.events()), 2);
        // What is resumed needs no credit as long as something waits for it, and no longer.
        peer.send(resumed(3, 1).payload(&b"again"[..]));
        match credit {
            0 => drop(peer.take(detach().condition(ErrorCondition::TRANSFER_LIMIT_EXCEEDED))),
            _ => drop(peer.expect_nothing()),
        }
        assert_eq!((received(&mut peer.engine, link).len(), peer.engine.error()), (0, None));
        let state = peer.engine.release(link).unwrap();
        assert_eq!(tags(&state), [tag(0), tag(1)]);
        assert_eq!(state.unsettled[0].delivery, DeliveryNumber(0));
        assert_eq!(state.unsettled[1].delivery, DeliveryNumber(2));
    }
}

#[test]
fn who_tells_a_tag_twice_is_taken_by_the_first_word() {
    let (mut peer, link) = resuming(Role::Sender, 1);
    let mut state = Vec::new();
    postroad_codec::v1_0::Encode::encode(&DeliveryState::Accepted, &mut state);
    let state = postroad_codec::v1_0::Decode::decode(&mut postroad_codec::v1_0::Reader::new(&state.into())).unwrap();
    let key = || Value::Binary(Bytes::copy_from_slice(tag(0).as_bytes()));
    let map = Map(vec![(key(), state), (key(), Value::Null)]);
    peer.send(attach_receiver("a").with(|attach| attach.unsettled = Some(map)));
    peer.send(flow().handle(0).delivery_count(1).link_credit(1));
    assert_eq!(peer.take(transfer(0)).0.settled, Some(true));
    assert_eq!(peer.engine.release(link).unwrap().unsettled, []);
}

#[test]
fn a_message_does_not_change_its_format_or_tag_on_its_way() {
    let format = |frame: Builder<postroad_codec::v1_0::Transfer>| {
        frame.with(|transfer| transfer.message_format = Some(postroad_codec::v1_0::MessageFormat(7)))
    };
    // Resumed as another format.
    let (mut peer, link) = resuming(Role::Receiver, 2);
    peer.send(telling(attach_sender("a"), [0, 1])).send(format(resumed(0, 0)));
    peer.take(detach().condition(ErrorCondition::NOT_ALLOWED));
    assert_eq!(tags(&peer.engine.release(link).unwrap()), [tag(0), tag(1)], "it is not lost by that");
    // A part that was resumed goes on as another format, or under another tag.
    for other in [format(continuation()), continuation().delivery_tag(tag(1))] {
        let (_, mut state) = states(1);
        let message = b"message 0".slice(..4);
        let mut position = postroad_codec::v1_0::Position::default();
        position.advance(&message);
        (state.unsettled[0].received, state.unsettled[0].message) = (Some(position), Some(message));
        let (mut peer, session) = serving_peer();
        let link = peer.engine.resume(session, &mut state, resumable()).unwrap();
        peer.take_bytes();
        peer.send(telling(attach_sender("a"), [0])).send(resumed(0, 0).more(true).payload(&b"age"[..]));
        peer.send(other.payload(&b" 0"[..]));
        peer.take(detach().condition(ErrorCondition::NOT_ALLOWED));
        assert_eq!((received(&mut peer.engine, link).len(), peer.engine.error()), (0, None));
    }
    // Another delivery before the resumed one has ended.
    let (mut peer, link) = resuming(Role::Receiver, 2);
    peer.send(telling(attach_sender("a"), [0, 1])).send(resumed(0, 0).more(true)).send(resumed(1, 1));
    peer.take(detach().condition(ErrorCondition::NOT_ALLOWED));
    assert_eq!(tags(&peer.engine.release(link).unwrap()), [tag(0), tag(1)]);
}

trait Slice {
    fn slice(&self, range: std::ops::RangeTo<usize>) -> Bytes;
}

impl Slice for [u8; 9] {
    fn slice(&self, range: std::ops::RangeTo<usize>) -> Bytes {
        Bytes::copy_from_slice(&self[range])
    }
}

#[test]
fn an_answer_of_another_role_or_name_is_a_link_of_its_own() {
    for role in [Role::Sender, Role::Receiver] {
        let (mut peer, link) = resuming(role, 3);
        let other = match role {
            // In our role: it is the other end of a link that nobody asked for.
            Role::Sender => [attach_sender("a"), attach_receiver("b").handle(1)],
            Role::Receiver => [attach_receiver("a"), attach_sender("b").handle(1)],
        };
        for attach in other {
            peer.send(telling(attach, [0, 1, 2]));
        }
        let events = peer.events();
        assert!(matches!(events[..], [Event::LinkIncoming(_), Event::LinkIncoming(_)]), "{events:?}");
        assert!(peer.engine.remote_attach(link).is_none(), "ours still waits");
        peer.send(detach().handle(0)).send(detach().handle(1));
        assert!(peer.engine.has_link(link));
        assert_eq!(tags(&peer.engine.release(link).unwrap()), [tag(0), tag(1), tag(2)]);
    }
}

#[test]
fn modes_and_termini_that_were_not_asked_for_are_there_to_be_seen() {
    let (mut state, _) = states(1);
    let (mut peer, session) = serving_peer();
    let terms = LinkTerms { rcv_settle_mode: ReceiverSettleMode::SECOND, ..resumable() };
    let link = peer.engine.resume(session, &mut state, terms).unwrap();
    peer.take_bytes();
    let target = Target { address: Some("elsewhere".into()), ..Target::default() };
    peer.send(telling(attach_receiver("a"), [0]).with(|attach| {
        (attach.rcv_settle_mode, attach.snd_settle_mode) = (ReceiverSettleMode::FIRST, SenderSettleMode::SETTLED);
        attach.target = Some(Box::new(AttachTarget::Target(target.clone())));
        attach.source = Some(Box::new(Source::default()));
    }));
    assert_eq!(peer.events()[..1], [Event::LinkAttached(link)]);
    let attach = peer.engine.remote_attach(link).unwrap();
    assert_eq!(attach.rcv_settle_mode, ReceiverSettleMode::FIRST);
    assert_eq!(attach.snd_settle_mode, SenderSettleMode::SETTLED);
    assert_eq!(attach.target.as_deref(), Some(&AttachTarget::Target(target.clone())));
    // Its owner decides: what was brought along is there as long as nothing was sent.
    peer.engine.detach(link, false, None);
    peer.send(detach());
    let state = peer.engine.release(link).unwrap();
    assert_eq!(state.target, Some(AttachTarget::Target(target)));
    assert_eq!((tags(&state), state.rcv_settle_mode), (vec![tag(0)], ReceiverSettleMode::SECOND));
}

#[test]
fn a_map_of_any_size_or_depth_costs_what_it_weighs() {
    // As many entries as a frame has room for, and one of them is ours.
    let (mut peer, link) = resuming(Role::Sender, 1);
    peer.send(telling(attach_receiver("a"), (1000..12_000).chain([0])));
    peer.send(flow().handle(0).delivery_count(1).link_credit(1));
    assert!(peer.take(transfer(0)).0.resume);
    assert_eq!(peer.engine.error(), None);
    let _ = link;
    // States within states.
    let mut value = Value::Null;
    for _ in 0..200 {
        value = Value::List(vec![value]);
    }
    let deep = Map(vec![(Value::Binary(Bytes::from_static(b"0")), value)]);
    let (mut peer, link) = resuming(Role::Sender, 1);
    peer.send(attach_receiver("a").with(|attach| attach.unsettled = Some(deep)));
    assert!(peer.result().is_err(), "values nest as deep as the limit and no deeper");
    assert_eq!(peer.engine.release(link).unwrap().unsettled.len(), 1);
}

#[test]
fn something_new_is_refused_where_our_map_lacked_entries() {
    let (_, mut state) = states(100);
    let before = tags(&state);
    let mut peer = ScriptedPeer::of_client(Config::new("engine"));
    peer.send_header(postroad_codec::v1_0::ProtocolHeader::AMQP).send(open().max_frame_size(512)).take_bytes();
    let session = peer.engine.begin().unwrap();
    peer.expect(begin()).send(begin().remote_channel(0));
    let link = peer.engine.resume(session, &mut state, resumable()).unwrap();
    let (attach, _) = peer.take(attach_receiver("a"));
    assert!(attach.incomplete_unsettled);
    peer.engine.receiver(link).set_credit(5);
    peer.send(telling(attach_sender("a"), 0..100).initial_delivery_count(100)).take_bytes();
    assert!(peer.events().contains(&Event::Resumed { link, complete: false, remembered: true }));
    peer.send(resumed(0, 3)).expect_nothing();
    peer.send(transfer(1).delivery_tag(tag(200)).payload(&b"new"[..]));
    peer.take(detach().condition(ErrorCondition::NOT_ALLOWED));
    let state = peer.engine.release(link).unwrap();
    assert_eq!(tags(&state), before, "each is given back, in order");
}

#[test]
fn a_detach_while_it_resumes_gives_everything_back_whatever_it_says() {
    for condition in CONDITIONS {
        for closed in [true, false] {
            for role in [Role::Sender, Role::Receiver] {
                let (mut peer, link) = resuming(role, 3);
                // Half way: one is dealt with, and two wait.
                match role {
                    Role::Sender => peer.send(telling(attach_receiver("a"), [0, 1, 2])),
                    Role::Receiver => peer.send(telling(attach_sender("a"), [0, 1, 2])).send(resumed(0, 1)),
                };
                if role == Role::Sender {
                    peer.send(flow().handle(0).delivery_count(3).link_credit(1));
                    peer.take(transfer(0));
                }
                peer.events();
                let told = postroad_codec::v1_0::Error::new(condition.clone(), "it says");
                peer.send(detach().closed(closed).error(told.clone()));
                peer.take(detach().closed(closed));
                assert_eq!(peer.events(), [Event::LinkDetached { link, closed, error: Some(Box::new(told)) }]);
                assert_eq!(tags(&peer.engine.release(link).unwrap()), [tag(0), tag(1), tag(2)]);
            }
        }
    }
}

#[test]
fn nothing_is_resumed_while_the_window_is_shut() {
    let (mut state, _) = states(2);
    let (mut peer, _) = serving_peer();
    let session = peer.engine.begin().unwrap();
    peer.take_bytes();
    peer.send(begin().channel(1).remote_channel(1).incoming_window(0));
    let link = peer.engine.resume(session, &mut state, resumable()).unwrap();
    peer.take_bytes();
    peer.send(telling(attach_receiver("a"), [0]).channel(1));
    peer.send(flow().channel(1).handle(0).delivery_count(2).link_credit(9).incoming_window(0)).expect_nothing();
    assert!(!peer.events().iter().any(|event| matches!(event, Event::Resumed { .. })));
    peer.send(flow().channel(1).incoming_window(1));
    peer.take(transfer(0).channel(1));
    peer.expect_nothing();
    peer.send(flow().channel(1).next_incoming_id(1).incoming_window(5));
    peer.take(transfer(1).channel(1));
    assert!(peer.events().contains(&Event::Resumed { link, complete: true, remembered: true }));
}

#[test]
fn a_peer_that_cannot_decide_whether_to_close_or_to_suspend_costs_nothing() {
    let (mut state, _) = states(3);
    let (mut peer, session) = serving_peer();
    for round in 0..50 {
        let link = peer.engine.resume(session, &mut state, resumable()).unwrap();
        peer.take(attach_sender("a").handle(0));
        if round % 3 > 0 {
            peer.send(telling(attach_receiver("a"), [0, 1, 2]));
        } else {
            peer.send(attach_receiver("a").target(None));
        }
        peer.send(detach().closed(round % 2 == 0));
        peer.take(detach().closed(round % 2 == 0));
        peer.events();
        state = peer.engine.release(link).unwrap();
        assert_eq!(tags(&state), [tag(0), tag(1), tag(2)]);
    }
    // Once more for a link that is gone.
    peer.send(detach());
    peer.take(end().condition(ErrorCondition::UNATTACHED_HANDLE));
}

#[test]
fn counts_that_jump_give_no_credit_that_was_not_given() {
    // A receiver that has counted further than we have sent.
    let (mut peer, link) = resuming(Role::Sender, 1);
    peer.send(telling(attach_receiver("a"), [0]));
    peer.send(flow().handle(0).delivery_count(100).link_credit(5)).expect_nothing();
    assert_eq!(peer.engine.sender(link).capacity(), 0);
    peer.send(flow().handle(0).delivery_count(1).link_credit(1));
    peer.take(transfer(0));
    // A sender that begins anywhere.
    for start in [0, 77, u32::MAX] {
        let (mut peer, link) = resuming(Role::Receiver, 1);
        peer.engine.receiver(link).set_credit(3);
        peer.send(telling(attach_sender("a"), [0]).initial_delivery_count(start));
        peer.expect(flow().handle(0).delivery_count(start).link_credit(3));
        peer.send(resumed(0, 0)).send(transfer(1)).send(transfer(2));
        assert_eq!((received(&mut peer.engine, link).len(), peer.engine.receiver(link).credit()), (2, 0));
        // It gives up more than it had: that counts for nothing.
        peer.send(flow().handle(0).delivery_count(start.wrapping_add(1000)).link_credit(0));
        assert_eq!(peer.engine.receiver(link).credit(), 0);
        peer.send(transfer(3));
        peer.take(detach().condition(ErrorCondition::TRANSFER_LIMIT_EXCEEDED));
    }
}

#[test]
fn numbers_wrap_around_while_it_resumes() {
    let (mut state, _) = states(4);
    let mut config = Config::new("engine");
    config.initial_delivery_id = DeliveryNumber(u32::MAX - 1);
    let mut peer = ScriptedPeer::of_client(config);
    peer.send_header(postroad_codec::v1_0::ProtocolHeader::AMQP).send(open()).take_bytes();
    let session = peer.engine.begin().unwrap();
    peer.expect(begin()).send(begin().remote_channel(0));
    let link = peer.engine.resume(session, &mut state, resumable()).unwrap();
    peer.take_bytes();
    peer.send(telling(attach_receiver("a"), [0, 1])).send(flow().handle(0).delivery_count(4).link_credit(9));
    for number in [u32::MAX - 1, u32::MAX, 0, 1] {
        peer.take(transfer(number));
    }
    send(&mut peer.engine, link, 4).unwrap();
    peer.take(transfer(2));
    peer.events();
    peer.send(accepted(u32::MAX - 1).last(1).settled(true));
    let tokens = peer.events().into_iter().filter_map(|event| match event {
        Event::Update(update) => Some((update.token, update.settled)),
        _ => None,
    });
    assert_eq!(tokens.collect::<Vec<_>>(), [(0, true), (1, true), (2, true), (3, true)]);
    assert_eq!(tags(&peer.engine.release(link).unwrap()), [tag(4)]);
}

#[test]
fn a_session_that_ends_while_it_resumes_gives_everything_back() {
    for role in [Role::Sender, Role::Receiver] {
        let (mut peer, link) = resuming(role, 2);
        match role {
            Role::Sender => drop(peer.send(telling(attach_receiver("a"), [0, 1]))),
            Role::Receiver => drop(peer.send(telling(attach_sender("a"), [0, 1])).send(resumed(0, 1))),
        }
        peer.send(end().error(error("test:over")));
        assert!(matches!(peer.events().last(), Some(Event::SessionEnded { .. })));
        assert_eq!(tags(&peer.engine.release(link).unwrap()), [tag(0), tag(1)]);
    }
}
