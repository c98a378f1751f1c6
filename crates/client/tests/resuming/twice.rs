//! Peers that say things twice, or of deliveries that never were: what is resumed, settled or told an outcome of.

use std::sync::mpsc;

use postroad_client::{ConnectionEvent, Guarantee, Message, Outcome};
use postroad_codec::v1_0::{self as codec, DeliveryState, Frame, Performative, Role};
use postroad_testkit::{accepted, detach, disposition, transfer};

use crate::maps::{each, map, tag};
use crate::maps_of_senders::{Held, ONCE, credited, message, outcome, resumed, settle, telling};
use crate::raw::Peer;
use crate::{answer, grant, named, next_connection, serve, soon, take_attach, until};

const BOTH: [Guarantee; 2] = [Guarantee::AtLeastOnce, ONCE];

fn released() -> DeliveryState {
    codec::Outcome::Released.into()
}

/// Reads until the client allows so many deliveries on the link in all (2.6.7): a flow before that may have crossed some.
fn allowed(peer: &mut Peer, limit: u32) -> &mut Peer {
    loop {
        if let Frame::Amqp { performative: Performative::Flow(flow), .. } = peer.next().expect("there is credit")
            && let (Some(count), Some(credit)) = (flow.delivery_count, flow.link_credit)
            && count.0 + credit >= limit
        {
            return peer;
        }
    }
}

/// Takes what the client tells of a delivery, and settles where that is up to the peer.
fn settled(peer: &mut Peer, guarantee: Guarantee, number: u32) {
    let once = guarantee == ONCE;
    assert_eq!(outcome(peer), (number, Some(DeliveryState::Accepted), !once));
    if once {
        settle(peer, number, DeliveryState::Accepted);
    }
}

#[tokio::test]
async fn what_is_resumed_and_was_never_sent_is_not_received() {
    for guarantee in BOTH {
        let mut held = Held::new(guarantee, move |peer, theirs| {
            peer.send(telling(&theirs, map([(tag(77), codec::Value::Null)])));
            credited(peer);
            // In one transfer, in two, and one that is given up.
            peer.send(resumed(0, 77, None).payload("out of nowhere"));
            peer.send(resumed(1, 78, Some(DeliveryState::Accepted)).payload("out ").more(true));
            peer.send(transfer(1).delivery_tag(None).payload("of nowhere"));
            peer.send(resumed(2, 79, None).aborted(true));
            peer.send(resumed(3, 80, Some(released())).settled(true));
            peer.send(message(4));
            settled(peer, guarantee, 4);
        })
        .await;
        let new = held.next().await;
        assert_eq!(new.text(), Some("4"));
        held.receiver.accept(&new).unwrap();
        held.end().await;
    }
}

#[tokio::test]
async fn what_is_resumed_twice_is_resumed_once() {
    let mut held = Held::new(ONCE, |peer, theirs| {
        peer.send(telling(&theirs, each(&codec::Value::Null)));
        credited(peer).send(resumed(0, 1, None)).send(resumed(1, 1, None));
        peer.send(resumed(2, 0, Some(DeliveryState::Accepted)).settled(true));
        peer.send(resumed(3, 0, None)).send(resumed(4, 2, None)).send(message(5));
        settled(peer, ONCE, 0);
        // It is settled by now.
        peer.send(resumed(6, 1, None));
        peer.send(message(7));
        settled(peer, ONCE, 7);
    })
    .await;
    assert!(held.attached().await);
    held.receiver.accept(&held.messages[1]).unwrap();
    for text in ["5", "7"] {
        let new = held.next().await;
        assert_eq!(new.text(), Some(text));
        if text == "7" {
            held.receiver.accept(&new).unwrap();
        }
    }
    held.end().await;
}

#[tokio::test]
async fn what_is_resumed_on_a_link_that_was_not_uses_no_credit_up() {
    for guarantee in BOTH {
        let script = move |listener: &_| {
            let mut peer = next_connection(listener);
            grant(&mut peer);
            let mut number = 0;
            // All the credit that there is, again and again.
            for _ in 0..3 {
                allowed(&mut peer, number + 2);
                for _ in 0..2 {
                    peer.send(resumed(number, 77, None).payload("out of nowhere"));
                    number += 1;
                }
            }
            allowed(&mut peer, number + 2).send(message(number));
            settled(&mut peer, guarantee, number);
            // What was settled is not there to be resumed.
            peer.send(resumed(number + 1, u64::from(number), None));
            peer.send(message(number + 2));
            peer.part();
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let session = soon(connection.session()).await.unwrap();
        let mut options = named("link", guarantee);
        options.prefetch = 2;
        let mut receiver = soon(session.receiver_with("a", options)).await.unwrap();
        let new = soon(receiver.receive()).await.unwrap();
        assert_eq!(new.text(), Some("6"));
        receiver.accept(&new).unwrap();
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("8"));
        soon(connection.close()).await.unwrap();
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn a_sender_that_settles_what_it_never_sent_or_twice_settles_nothing_else() {
    for guarantee in BOTH {
        let script = move |listener: &_| {
            let mut peer = next_connection(listener);
            grant(&mut peer);
            let all = |first: u32, last: u32| disposition(Role::Sender, first).last(last).settled(true);
            credited(&mut peer).send(all(0, u32::MAX / 2)).send(all(7, 3)).send(message(0));
            settled(&mut peer, guarantee, 0);
            // Both ends have settled it: once more, and with another outcome.
            settle(&mut peer, 0, DeliveryState::Accepted);
            settle(&mut peer, 0, released());
            peer.send(all(2, 1000)).send(message(1));
            settled(&mut peer, guarantee, 1);
            peer.part();
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let session = soon(connection.session()).await.unwrap();
        let mut receiver = soon(session.receiver_with("a", named("link", guarantee))).await.unwrap();
        for text in ["0", "1"] {
            let message = soon(receiver.receive()).await.unwrap();
            assert_eq!(message.text(), Some(text));
            receiver.accept(&message).unwrap();
        }
        soon(connection.close()).await.unwrap();
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn a_receiver_that_tells_twice_or_of_what_never_was_is_heard_once() {
    for guarantee in BOTH {
        let script = move |listener: &_| {
            let mut peer = next_connection(listener);
            grant(&mut peer);
            (0..2).for_each(|number| {
                peer.take(transfer(number));
            });
            drop(peer);
            let mut peer = next_connection(listener);
            let theirs = take_attach(&mut peer);
            peer.send(answer(&theirs).with(|attach| attach.unsettled = map([])));
            // Of the connection before, where they had these numbers, and of numbers that nobody has given yet.
            let up_to = |last| disposition(Role::Receiver, 0).last(last).settled(true).state(released());
            peer.send(up_to(u32::MAX / 2));
            peer.send(postroad_testkit::flow().handle(0).delivery_count(0).link_credit(10));
            peer.take(transfer(0));
            peer.take(transfer(1));
            // Of the other direction, then twice, then too late.
            peer.send(disposition(Role::Sender, 0).last(1).settled(true).state(released()));
            peer.send(disposition(Role::Receiver, 0).settled(guarantee != ONCE).state(DeliveryState::Accepted));
            peer.send(disposition(Role::Receiver, 0).settled(true).state(released()));
            // No further than here: the next message may be on its way by now.
            peer.send(accepted(0)).send(accepted(1)).send(up_to(1));
            loop {
                let Some(Frame::Amqp { performative, .. }) = peer.next() else { panic!("the client has hung up") };
                match performative {
                    Performative::Transfer(transfer) => break assert_eq!(transfer.delivery_id.unwrap().0, 2),
                    Performative::Disposition(told) => assert!(told.settled && told.role == Role::Sender, "{told:?}"),
                    other => panic!("{other:?}"),
                }
            }
            peer.send(accepted(2));
            let is_detach = |frame| matches!(frame, Frame::Amqp { performative: Performative::Detach(_), .. });
            while !is_detach(peer.next().expect("the client has hung up")) {}
            peer.send(detach().closed(true));
            peer.part();
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let session = soon(connection.session()).await.unwrap();
        let sender = soon(session.sender_with("a", named("link", guarantee))).await.unwrap();
        let first = soon(sender.submit_tracked(&Message::from("0"))).await.unwrap();
        let second = soon(sender.submit_tracked(&Message::from("1"))).await.unwrap();
        assert_eq!((soon(first).await, soon(second).await), (Ok(Outcome::Accepted), Ok(Outcome::Accepted)));
        assert_eq!(soon(sender.send(&Message::from("2"))).await, Ok(Outcome::Accepted));
        assert_eq!((sender.unsettled(), sender.take_in_doubt().len()), (0, 0));
        soon(sender.close()).await.unwrap();
        soon(connection.close()).await.unwrap();
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn what_its_sender_has_settled_needs_no_outcome() {
    let script = |listener: &_| {
        let mut peer = next_connection(listener);
        grant(&mut peer);
        credited(&mut peer).send(message(0)).send(message(1)).send(message(2));
        settle(&mut peer, 1, DeliveryState::Accepted);
        // Behind it, so that it has been heard.
        peer.send(message(3));
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let session = soon(connection.session()).await.unwrap();
    let mut options = named("link", Guarantee::AtLeastOnce);
    options.prefetch = 10;
    let receiver = soon(session.receiver_with("a", options)).await.unwrap().into_shared();
    receiver.note_unacknowledged();
    for number in 0..4 {
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some(number.to_string().as_str()));
    }
    assert_eq!((session.unacknowledged(), session.unacknowledged_origins().len()), (3, 3));
    session.acknowledge_origins(&session.unacknowledged_origins(), &Outcome::Accepted).unwrap();
    assert_eq!(session.unacknowledged(), 0);
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn what_has_an_outcome_gets_no_other_with_the_rest() {
    let script = |listener: &_| {
        let mut peer = next_connection(listener);
        grant(&mut peer);
        credited(&mut peer).send(message(0)).send(message(1));
        // A message of an exactly-once link can be told another outcome until its sender settles it.
        assert_eq!(outcome(&mut peer), (0, Some(released()), false));
        assert_eq!(outcome(&mut peer), (1, Some(DeliveryState::Accepted), false));
        settle(&mut peer, 0, released());
        settle(&mut peer, 1, DeliveryState::Accepted);
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let session = soon(connection.session()).await.unwrap();
    let mut options = named("link", ONCE);
    options.prefetch = 10;
    let receiver = soon(session.receiver_with("a", options)).await.unwrap().into_shared();
    receiver.note_unacknowledged();
    let (first, _second) = (soon(receiver.receive()).await.unwrap(), soon(receiver.receive()).await.unwrap());
    let both = session.unacknowledged_origins();
    assert_eq!(both.len(), 2);
    session.settle(&first, Outcome::Released).unwrap();
    session.acknowledge_origins(&both, &Outcome::Accepted).unwrap();
    assert_eq!(session.unacknowledged(), 0);
    soon(receiver.confirmed()).await.unwrap();
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn what_outlived_its_connection_has_an_outcome_once_it_is_told() {
    let (go, wait) = mpsc::channel();
    let script = move |listener: &_| {
        let mut peer = next_connection(listener);
        grant(&mut peer);
        credited(&mut peer).send(message(0)).send(message(1)).send(message(2));
        wait.recv().unwrap();
        drop(peer);
        let mut peer = next_connection(listener);
        let theirs = take_attach(&mut peer);
        wait.recv().unwrap();
        // All of them are over.
        peer.send(telling(&theirs, map([])));
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let mut events = connection.events();
    let session = soon(connection.session()).await.unwrap();
    let mut options = named("link", ONCE);
    options.prefetch = 10;
    let receiver = soon(session.receiver_with("a", options)).await.unwrap().into_shared();
    receiver.note_unacknowledged();
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(soon(receiver.receive()).await.unwrap());
    }
    go.send(()).unwrap();
    until(&mut events, |event| matches!(event, ConnectionEvent::Reopened { .. }).then_some(())).await;
    // Its sender has not said what becomes of them.
    session.settle(&messages[0], Outcome::Accepted).unwrap();
    assert_eq!(session.unacknowledged(), 2);
    go.send(()).unwrap();
    until(&mut events, |event| matches!(event, ConnectionEvent::LinkAttached { resumed: true, .. }).then_some(()))
        .await;
    session.settle(&messages[1], Outcome::Accepted).unwrap();
    assert_eq!(session.unacknowledged(), 1);
    session.acknowledge_origins(&session.unacknowledged_origins(), &Outcome::Accepted).unwrap();
    assert_eq!(session.unacknowledged(), 0);
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}
