//! Detaches of a sender's that are answered last: behind the outcomes of what it had sent (part 2, 2.6.5).

mod common;

use common::{config, incoming, received};
use postroad_amqp::v1_0::{Event, LinkId, LinkTerms};
use postroad_codec::v1_0::{DeliveryNumber, DeliveryState, ErrorCondition, ReceiverSettleMode, Role};
use postroad_testkit::{ScriptedPeer, attach_receiver, attach_sender, detach, disposition, end, flow, transfer};

const ACCEPTED: DeliveryState = DeliveryState::Accepted;

/// A link on which the peer has sent this many messages and detached, and its numbers.
fn leaving(messages: u32, taken: bool) -> (ScriptedPeer, LinkId) {
    let mut peer = ScriptedPeer::with_session(config());
    let terms = LinkTerms { answers_last: true, ..LinkTerms::default() };
    let link = incoming(&mut peer, attach_sender("a"), terms);
    peer.expect(attach_receiver("a").handle(0));
    peer.engine.receiver(link).set_credit(10);
    peer.expect(flow().handle(0).link_credit(10));
    for number in 0..messages {
        peer.send(transfer(number).payload("x"));
    }
    peer.events();
    if taken {
        received(&mut peer.engine, link);
    }
    peer.send(detach().closed(true));
    (peer, link)
}

fn gone(link: LinkId) -> Event {
    Event::LinkDetached { link, closed: true, error: None }
}

#[test]
fn where_nothing_is_owed_the_answer_comes_at_once() {
    let (mut peer, link) = leaving(0, false);
    peer.expect(detach().closed(true)).expect_nothing();
    assert_eq!(peer.events(), [gone(link)]);
}

#[test]
fn the_answer_comes_behind_the_last_outcome() {
    let (mut peer, link) = leaving(3, false);
    peer.expect_nothing();
    assert_eq!(peer.events(), [Event::LinkLeaving { link, error: None }]);
    // What has come can still be taken.
    assert_eq!(received(&mut peer.engine, link).len(), 3);
    for number in [0, 2] {
        peer.engine.receiver(link).dispose(DeliveryNumber(number), Some(ACCEPTED), true);
        peer.expect(disposition(Role::Receiver, number).settled(true).state(ACCEPTED)).expect_nothing();
        assert_eq!(peer.events(), []);
    }
    peer.engine.receiver(link).dispose(DeliveryNumber(1), Some(DeliveryState::Released), true);
    peer.expect(disposition(Role::Receiver, 1).settled(true).state(DeliveryState::Released));
    peer.expect(detach().closed(true)).expect_nothing();
    assert_eq!(peer.events(), [gone(link)]);
}

#[test]
fn an_outcome_that_was_told_is_enough_and_so_is_the_sender_s_own_word() {
    let (mut peer, link) = leaving(2, true);
    peer.events();
    peer.engine.receiver(link).dispose(DeliveryNumber(0), Some(ACCEPTED), false);
    peer.expect(disposition(Role::Receiver, 0).state(ACCEPTED)).expect_nothing();
    peer.send(disposition(Role::Sender, 1).settled(true));
    peer.expect(detach().closed(true)).expect_nothing();
    let settled = Event::SettledBySender { link, delivery: DeliveryNumber(1), state: None };
    assert_eq!(peer.events(), [settled, gone(link)]);
}

#[test]
fn nothing_comes_on_the_handle_any_more() {
    for again in [true, false] {
        let (mut peer, _) = leaving(1, true);
        match again {
            true => peer.send(transfer(1).payload("y")),
            false => peer.send(detach().closed(true)),
        };
        peer.expect(end().condition(ErrorCondition::UNATTACHED_HANDLE));
    }
}

#[test]
fn our_own_detach_is_the_answer_whatever_is_owed() {
    let (mut peer, link) = leaving(2, true);
    peer.events();
    peer.engine.detach(link, true, None);
    peer.expect(detach().closed(true)).expect_nothing();
    assert_eq!(peer.events(), [gone(link)]);
    // The name and the handles are free.
    incoming(&mut peer, attach_sender("a"), LinkTerms::default());
    peer.expect(attach_receiver("a").handle(0));
}

#[test]
fn one_that_is_released_is_answered_and_gives_back_what_is_owed() {
    let (mut peer, link) = leaving(2, true);
    let state = peer.engine.release(link).unwrap();
    assert_eq!(state.unsettled.len(), 2);
    peer.expect(detach().closed(true)).expect_nothing();
    assert_eq!(peer.events(), []);
    assert!(!peer.engine.has_link(link));
}

#[test]
fn a_session_that_ends_meanwhile_takes_the_link_along() {
    let (mut peer, link) = leaving(1, true);
    peer.events();
    peer.send(end());
    peer.expect(end());
    assert!(matches!(&peer.events()[..], [Event::SessionEnded { .. }]));
    peer.engine.receiver(link).dispose(DeliveryNumber(0), Some(ACCEPTED), true);
    peer.engine.release(link);
    peer.expect_nothing();
}

#[test]
fn a_message_of_which_a_part_is_missing_owes_nothing() {
    let mut peer = ScriptedPeer::with_session(config());
    let terms = LinkTerms { answers_last: true, in_parts: true, ..LinkTerms::default() };
    let attach = attach_sender("a").with(|attach| attach.rcv_settle_mode = ReceiverSettleMode::FIRST);
    let link = incoming(&mut peer, attach, terms);
    peer.expect(attach_receiver("a").handle(0));
    peer.engine.receiver(link).set_credit(10);
    peer.expect(flow().handle(0).link_credit(10));
    peer.send(transfer(0).more(true).payload("half"));
    peer.send(detach().closed(true));
    peer.expect(detach().closed(true));
    assert!(peer.events().contains(&gone(link)));
}
