//! A peer that is another one when the connection is made anew: another container, or one of which less is to be had.

use postroad_amqp::v1_0::LimitError;
use postroad_client::types::ErrorCondition;
use postroad_client::{
    AttachError, Connection, ConnectionEvent, ConnectionEvents, Guarantee, LinkError, Message, Outcome, SendError,
    Sender, TransactionError,
};
use postroad_codec::v1_0::{Attach, DeliveryState, Frame, Map, Performative, Role, Transfer};
use postroad_testkit::{begin, detach, disposition, flow, open, transfer};

use crate::maps::{each, map};
use crate::maps_of_senders::{ONCE, credited, message, outcome};
use crate::raw::Peer;
use crate::{answer, grant, lost_link, named, next_connection, serve, soon, take_attach, until};

/// A sender with two messages under way, whose connection is lost as soon as the peer has both.
async fn two_under_way(
    change: impl FnOnce(&mut postroad_client::LinkOptions),
    script: impl FnOnce(&std::net::TcpListener) + Send + 'static,
) -> (Connection, ConnectionEvents, Sender, Vec<postroad_client::Settlement>, tokio::task::JoinHandle<()>) {
    let script = move |listener: &_| {
        let mut peer = next_connection(listener);
        grant(&mut peer);
        for number in 0..2 {
            peer.take(transfer(number));
        }
        drop(peer);
        script(listener);
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let events = connection.events();
    let session = soon(connection.session()).await.unwrap();
    let mut options = named("link", Guarantee::AtLeastOnce);
    change(&mut options);
    let sender = soon(session.sender_with("a", options)).await.unwrap();
    let mut sent = Vec::new();
    for text in ["0", "1"] {
        sent.push(soon(sender.submit_tracked(&Message::from(text))).await.unwrap());
    }
    (connection, events, sender, sent, peer)
}

/// The next connection of a container of this name, with its session begun.
fn as_container(name: &'static str, listener: &std::net::TcpListener) -> Peer {
    let mut peer = Peer::accept_as(name, listener, 65_536);
    peer.begin();
    peer
}

/// Accepts the next transfer, which has this tag.
fn accept(peer: &mut Peer, tag: u8, once: bool) {
    let transfer = loop {
        let Some(Frame::Amqp { performative, .. }) = peer.next() else { panic!("the client has hung up") };
        if let Performative::Transfer(transfer) = performative {
            break transfer;
        }
    };
    assert_eq!((&transfer.delivery_tag.unwrap()[..], transfer.resume), (&[tag][..], false));
    let number = transfer.delivery_id.unwrap().0;
    peer.send(disposition(Role::Receiver, number).settled(!once).state(DeliveryState::Accepted));
}

#[tokio::test]
async fn another_container_at_the_same_address_gets_nothing_that_the_first_may_have() {
    for guarantee in [Guarantee::AtLeastOnce, ONCE] {
        let script = move |listener: &_| {
            let mut peer = as_container("another", listener);
            let theirs = take_attach(&mut peer);
            assert_eq!(theirs.unsettled, None, "another container has nothing to do with it");
            // It says that it knows the link all the same.
            peer.send(answer(&theirs).with(|attach| attach.unsettled = each(&postroad_codec::v1_0::Value::Null)));
            peer.send(flow().handle(0).delivery_count(0).link_credit(10));
            accept(&mut peer, 2, guarantee == ONCE);
            peer.part();
        };
        let (connection, mut events, sender, sent, peer) =
            two_under_way(|options| options.guarantee = guarantee, script).await;
        for settlement in sent {
            let result = soon(settlement).await;
            assert!(matches!(result, Err(SendError::InDoubt(LinkError::Interrupted(_)))), "{result:?}");
        }
        let told = until(&mut events, |event| match event {
            ConnectionEvent::Reopened { same_container, .. } => Some(same_container),
            _ => None,
        });
        assert!(!told.await);
        let doubts = until(&mut events, |event| match event {
            ConnectionEvent::InDoubt { link, messages } => Some((link, messages)),
            _ => None,
        });
        assert_eq!(doubts.await, ("link".to_owned(), 2));
        let texts = sender.take_in_doubt().into_iter().map(|doubt| doubt.message().unwrap().unwrap());
        assert_eq!(texts.map(|message| message.text().unwrap().to_owned()).collect::<Vec<_>>(), ["0", "1"]);
        assert_eq!(soon(sender.send(&Message::from("new"))).await, Ok(Outcome::Accepted));
        assert_eq!(connection.remote_container().as_deref(), Some("another"));
        soon(connection.close()).await.unwrap();
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn another_container_gets_what_is_wanted_there_and_the_first_one_is_another_by_then() {
    let script = |listener: &_| {
        let mut peer = as_container("another", listener);
        grant(&mut peer);
        // The first is accepted; then it goes as well, and the one from before comes back.
        accept(&mut peer, 0, false);
        accept(&mut peer, 1, false);
        peer.take(transfer(2));
        drop(peer);
        let mut peer = next_connection(listener);
        grant(&mut peer);
        accept(&mut peer, 2, false);
        peer.part();
    };
    let (connection, _, sender, sent, peer) = two_under_way(|options| options.resend_elsewhere = true, script).await;
    for settlement in sent {
        assert_eq!(soon(settlement).await, Ok(Outcome::Accepted));
    }
    assert_eq!(soon(sender.send(&Message::from("2"))).await, Ok(Outcome::Accepted));
    assert!(sender.take_in_doubt().is_empty());
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn what_came_of_the_first_container_cannot_be_settled_at_another() {
    let script = |listener: &_| {
        let mut peer = next_connection(listener);
        grant(&mut peer);
        credited(&mut peer).send(message(0));
        assert_eq!(outcome(&mut peer).0, 0);
        drop(peer);
        let mut peer = as_container("another", listener);
        let theirs = take_attach(&mut peer);
        assert_eq!(theirs.unsettled, None);
        // It has a delivery of this tag as well, and resumes it.
        peer.send(answer(&theirs).with(|attach| attach.unsettled = each(&postroad_codec::v1_0::Value::Null)));
        credited(&mut peer).send(crate::maps_of_senders::resumed(0, 0, None)).send(message(1));
        assert_eq!(outcome(&mut peer), (1, Some(DeliveryState::Accepted), false));
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let session = soon(connection.session()).await.unwrap();
    let mut receiver = soon(session.receiver_with("a", named("link", ONCE))).await.unwrap();
    let first = soon(receiver.receive()).await.unwrap();
    receiver.accept(&first).unwrap();
    let new = soon(receiver.receive()).await.unwrap();
    assert_eq!(new.text(), Some("1"));
    assert_eq!(receiver.accept(&first), Err(LinkError::Stale));
    receiver.accept(&new).unwrap();
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

/// Accepts all messages that come whole, and answers every detach and attach; the tags that came.
fn take_everything(peer: &mut Peer, first: &Attach) -> Vec<Vec<u8>> {
    let (mut came, mut now) = (Vec::new(), Vec::new());
    let tell = |peer: &mut Peer, theirs: &Attach| {
        let nothing = theirs.unsettled.as_ref().and_then(|_| map([]));
        peer.send(answer(theirs).with(|attach| attach.unsettled = nothing));
        let count = theirs.initial_delivery_count.unwrap().0;
        peer.send(flow().handle(theirs.handle.0).delivery_count(count).link_credit(1000));
    };
    tell(peer, first);
    while let Some(Frame::Amqp { performative, .. }) = peer.next() {
        match performative {
            Performative::Attach(theirs) => tell(peer, &theirs),
            Performative::Detach(theirs) => {
                peer.send(detach().handle(theirs.handle.0).closed(theirs.closed));
            }
            Performative::Transfer(Transfer { delivery_id, delivery_tag, more, .. }) => {
                if let (Some(number), Some(tag)) = (delivery_id, delivery_tag) {
                    now = vec![(number.0, tag.to_vec())];
                }
                if !more {
                    let (number, tag) = now.pop().unwrap();
                    came.push(tag);
                    peer.send(disposition(Role::Receiver, number).settled(true).state(DeliveryState::Accepted));
                }
            }
            Performative::End(_) => drop(peer.send_bytes(&postroad_testkit::end().to_bytes())),
            Performative::Close(_) => {
                peer.send_bytes(&postroad_testkit::close().to_bytes());
                break;
            }
            _ => {}
        }
    }
    came
}

#[tokio::test]
async fn smaller_frames_take_more_of_them_and_more_attaches() {
    const MESSAGES: usize = 120;
    for guarantee in [Guarantee::AtLeastOnce, ONCE] {
        let script = |listener: &_| {
            let mut peer = next_connection(listener);
            let theirs = take_attach(&mut peer);
            peer.send(answer(&theirs)).send(flow().handle(0).delivery_count(0).link_credit(1000));
            for number in 0..u32::try_from(MESSAGES).unwrap() {
                peer.take(transfer(number));
            }
            drop(peer);
            let mut peer = Peer::accept(listener, 512);
            peer.begin();
            let theirs = take_attach(&mut peer);
            if let Some(Map(told)) = &theirs.unsettled {
                assert!((2..MESSAGES).contains(&told.len()) && theirs.incomplete_unsettled, "{}", told.len());
            }
            let came = take_everything(&mut peer, &theirs);
            let expected: Vec<_> = (0..MESSAGES).map(|number| vec![u8::try_from(number).unwrap()]).collect();
            assert_eq!(came, expected);
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let session = soon(connection.session()).await.unwrap();
        let sender = soon(session.sender_with("a", named("link", guarantee))).await.unwrap();
        let text = "0123456789".repeat(100);
        for _ in 0..MESSAGES {
            soon(sender.submit(&Message::from(text.as_str()))).await.unwrap();
        }
        assert_eq!(soon(sender.sync()).await, Ok(()));
        assert!(sender.take_in_doubt().is_empty());
        soon(connection.close()).await.unwrap();
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn a_link_whose_attach_is_too_large_now_is_over_alone() {
    let long = "long".repeat(200);
    let script = |listener: &_| {
        let mut peer = next_connection(listener);
        grant(&mut peer);
        grant(&mut peer);
        peer.take(transfer(0));
        drop(peer);
        let mut peer = Peer::accept(listener, 512);
        peer.begin();
        assert_eq!(&*grant(&mut peer).name, "short");
        accept(&mut peer, 0, false);
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let mut events = connection.events();
    let session = soon(connection.session()).await.unwrap();
    let sender = soon(session.sender_with("a", named(&long, Guarantee::AtLeastOnce))).await.unwrap();
    let short = soon(session.sender_with("a", named("short", Guarantee::AtLeastOnce))).await.unwrap();
    let error = LinkError::Limit(LimitError::FrameSize);
    assert_eq!(soon(sender.send(&Message::from("0"))).await, Err(SendError::InDoubt(error.clone())));
    assert_eq!(lost_link(&mut events).await, (long, error));
    assert_eq!(sender.take_in_doubt().len(), 1);
    assert_eq!(soon(short.send(&Message::from("0"))).await, Ok(Outcome::Accepted));
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

/// The next connection, of a client that begins two sessions.
fn two_sessions(listener: &std::net::TcpListener) -> Peer {
    let mut peer = next_connection(listener);
    peer.take(begin().channel(1));
    peer.send(begin().channel(1).remote_channel(1));
    peer
}

#[tokio::test]
async fn fewer_channels_cost_the_sessions_that_find_none() {
    let script = |listener: &_| {
        let mut peer = two_sessions(listener);
        grant(&mut peer);
        let theirs = take_attach(&mut peer);
        peer.send(answer(&theirs).channel(1));
        peer.send(flow().channel(1).handle(0).delivery_count(0).link_credit(10));
        peer.take(transfer(0).channel(1));
        drop(peer);
        let mut peer = Peer::accept_with(listener, open().channel_max(0));
        peer.begin();
        assert_eq!(&*grant(&mut peer).name, "first");
        accept(&mut peer, 0, false);
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let (first, second) = (soon(connection.session()).await.unwrap(), soon(connection.session()).await.unwrap());
    let stays = soon(first.sender_with("a", named("first", Guarantee::AtLeastOnce))).await.unwrap();
    let goes = soon(second.sender_with("a", named("second", Guarantee::AtLeastOnce))).await.unwrap();
    let error = LinkError::SessionEnded(None);
    assert_eq!(soon(goes.send(&Message::from("0"))).await, Err(SendError::InDoubt(error.clone())));
    assert_eq!(goes.take_in_doubt().len(), 1);
    assert_eq!(soon(stays.send(&Message::from("0"))).await, Ok(Outcome::Accepted));
    assert_eq!(soon(second.sender("a")).await.map(drop), Err(AttachError::Link(error)));
    assert!(matches!(soon(connection.session()).await, Err(AttachError::Limit(LimitError::NoneFree))));
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn fewer_handles_cost_their_session_and_no_other() {
    let script = |listener: &_| {
        let mut peer = two_sessions(listener);
        grant(&mut peer);
        grant(&mut peer);
        peer.take(transfer(0));
        drop(peer);
        let mut peer = Peer::accept(listener, 65_536);
        for channel in 0..2 {
            peer.take(begin().channel(channel));
        }
        peer.send(begin().channel(1).remote_channel(1)).send(begin().remote_channel(0).handle_max(0));
        while !matches!(peer.next().unwrap(), Frame::Amqp { performative: Performative::End(_), channel: 0, .. }) {}
        peer.send(postroad_testkit::end());
        let theirs = take_attach(&mut peer);
        peer.send(answer(&theirs).channel(1));
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let (session, other) = (soon(connection.session()).await.unwrap(), soon(connection.session()).await.unwrap());
    let first = soon(session.sender_with("a", named("first", Guarantee::AtLeastOnce))).await.unwrap();
    let second = soon(session.sender_with("a", named("second", Guarantee::AtLeastOnce))).await.unwrap();
    let Err(SendError::InDoubt(error)) = soon(first.send(&Message::from("0"))).await else { panic!("no doubt") };
    assert_eq!(error.peer_error().unwrap().condition, ErrorCondition::NOT_ALLOWED);
    assert_eq!((soon(second.closed()).await, first.take_in_doubt().len()), (error, 1));
    soon(other.sender_with("a", named("third", Guarantee::AtLeastOnce))).await.unwrap();
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_has_no_coordinator_any_more_refuses_the_next_transaction() {
    let script = |listener: &_| {
        let mut peer = next_connection(listener);
        grant(&mut peer);
        drop(peer);
        let mut peer = next_connection(listener);
        let theirs = take_attach(&mut peer);
        peer.send(answer(&theirs).with(|attach| attach.target = None));
        peer.send(detach().closed(true).condition(ErrorCondition::NOT_IMPLEMENTED));
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let session = soon(connection.session()).await.unwrap();
    let controller = soon(session.transaction_controller()).await.unwrap();
    let error = soon(controller.closed()).await;
    assert_eq!(error.peer_error().unwrap().condition, ErrorCondition::NOT_IMPLEMENTED);
    let Err(refused) = soon(controller.declare()).await else { panic!("there is no coordinator") };
    assert!(matches!(&refused, TransactionError::Link(told) if *told == error), "{refused:?}");
    assert_eq!(connection.error(), None);
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}
