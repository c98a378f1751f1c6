//! What a peer that sends may say of deliveries when a receiver with unsettled ones is attached again (AMQP 1.0 part 2,
//! 2.6.13; part 3, 3.4.6).

use postroad_client::types::ErrorCondition;
use postroad_client::{
    Connection, ConnectionEvent, ConnectionEvents, Guarantee, LinkError, Message, Outcome, ReceiveError, Receiver,
};
use postroad_codec::v1_0::{
    self as codec, Attach, DeliveryState, Detach, Disposition, Frame, Map, Performative, Role, Transfer, Value,
};
use postroad_testkit::{Builder, detach, disposition, transfer};

use crate::maps::{each, map, modified, no_maps, received, tag, transactional, unheard_of, value};
use crate::raw::Peer;
use crate::{answer, grant, named, next_connection, serve, soon, take_attach, until};

pub(crate) const ONCE: Guarantee = Guarantee::ExactlyOnce;

/// The only transfer of a delivery, as the peer sends it.
pub(crate) fn message(number: u32) -> Builder<Transfer> {
    transfer(number).payload(codec::Message::new(codec::Body::Value(number.to_string().as_str().into())).to_bytes())
}

/// A transfer that goes on with a delivery of which the client has everything.
pub(crate) fn resumed(number: u32, of: u64, state: Option<DeliveryState>) -> Builder<Transfer> {
    let tag = codec::DeliveryTag::from(of);
    transfer(number).delivery_tag(tag).state(state).with(|transfer| transfer.resume = true)
}

/// Reads until the client has given credit.
pub(crate) fn credited(peer: &mut Peer) -> &mut Peer {
    loop {
        if let Frame::Amqp { performative: Performative::Flow(flow), .. } = peer.next().expect("there is credit")
            && flow.link_credit.is_some_and(|credit| credit > 0)
        {
            return peer;
        }
    }
}

/// The next disposition or detach, whatever comes before it.
pub(crate) fn next_word(peer: &mut Peer) -> Result<Disposition, Detach> {
    loop {
        match peer.next().expect("the client has hung up") {
            Frame::Amqp { performative: Performative::Disposition(disposition), .. } => return Ok(disposition),
            Frame::Amqp { performative: Performative::Detach(detach), .. } => return Err(detach),
            _ => {}
        }
    }
}

/// What the client tells of a delivery: its number, its state, and whether it settles with that.
pub(crate) fn outcome(peer: &mut Peer) -> (u32, Option<DeliveryState>, bool) {
    let told = next_word(peer).expect("no detach");
    assert_eq!((told.role, told.last.unwrap_or(told.first)), (Role::Receiver, told.first));
    (told.first.0, told.state, told.settled)
}

pub(crate) fn settle(peer: &mut Peer, number: u32, state: DeliveryState) {
    peer.send(disposition(Role::Sender, number).settled(true).state(state));
}

/// A receiver that holds three messages, the first of them accepted, whose connection is lost.
pub(crate) struct Held {
    pub(crate) connection: Connection,
    pub(crate) events: ConnectionEvents,
    pub(crate) receiver: Receiver,
    pub(crate) messages: Vec<Message>,
    pub(crate) peer: tokio::task::JoinHandle<()>,
}

impl Held {
    /// The link comes back to a peer that plays the script behind the client's attach.
    pub(crate) async fn new(guarantee: Guarantee, script: impl FnOnce(&mut Peer, Attach) + Send + 'static) -> Self {
        let play = move |listener: &_| {
            let mut peer = next_connection(listener);
            grant(&mut peer);
            credited(&mut peer);
            for number in 0..3 {
                peer.send(message(number));
            }
            assert_eq!(outcome(&mut peer), (0, Some(DeliveryState::Accepted), guarantee != ONCE));
            drop(peer);
            let mut peer = next_connection(listener);
            let theirs = take_attach(&mut peer);
            script(&mut peer, theirs);
            peer.part();
        };
        let (connection, peer) = serve(play, |_| {}).await;
        let mut events = connection.events();
        let session = soon(connection.session()).await.unwrap();
        let mut receiver = soon(session.receiver_with("a", named("link", guarantee))).await.unwrap();
        let mut messages = Vec::new();
        for _ in 0..3 {
            messages.push(soon(receiver.receive()).await.unwrap());
        }
        receiver.accept(&messages[0]).unwrap();
        until(&mut events, |event| matches!(event, ConnectionEvent::Lost(_)).then_some(())).await;
        Self { connection, events, receiver, messages, peer }
    }

    /// Waits until the link is attached again; whether it was resumed.
    pub(crate) async fn attached(&mut self) -> bool {
        until(&mut self.events, |event| match event {
            ConnectionEvent::LinkAttached { resumed, .. } => Some(resumed),
            _ => None,
        })
        .await
    }

    pub(crate) async fn next(&mut self) -> Message {
        soon(self.receiver.receive()).await.unwrap()
    }

    pub(crate) async fn end(self) {
        soon(self.connection.close()).await.unwrap();
        soon(self.peer).await.unwrap();
    }
}

pub(crate) fn telling(theirs: &Attach, unsettled: Option<Map>) -> Builder<Attach> {
    answer(theirs).with(|attach| attach.unsettled = unsettled)
}

/// The states of the client's map.
fn states(theirs: &Attach) -> Vec<(Value, Value)> {
    theirs.unsettled.as_ref().expect("an exactly-once link tells its map").iter().cloned().collect()
}

/// Everything of a message that has one section.
fn whole() -> Value {
    received(1, 0)
}

#[tokio::test]
async fn a_sender_that_knows_nothing_of_the_link_sends_anew_and_what_came_is_stale() {
    for unsettled in [None, map([])] {
        let forgotten = unsettled.is_none();
        let mut held = Held::new(ONCE, move |peer, theirs| {
            let accepted = value(&DeliveryState::Accepted);
            assert_eq!(states(&theirs), [(tag(0), accepted), (tag(1), whole()), (tag(2), whole())]);
            peer.send(telling(&theirs, unsettled));
            credited(peer).send(message(0));
            assert_eq!(outcome(peer), (0, Some(DeliveryState::Accepted), false));
            settle(peer, 0, DeliveryState::Accepted);
        })
        .await;
        assert_eq!(held.attached().await, !forgotten);
        // With a map the sender says that it has settled them, and nobody need hear of them.
        let settled = if forgotten { Err(LinkError::Stale) } else { Ok(()) };
        for message in &held.messages {
            assert_eq!(held.receiver.accept(message), settled);
        }
        let again = held.next().await;
        assert_eq!(again.text(), Some("0"));
        held.receiver.accept(&again).unwrap();
        held.end().await;
    }
}

#[tokio::test]
async fn whatever_state_a_sender_tells_what_it_resumes_is_settled_once() {
    let told = [
        each(&Value::Null),
        each(&received(u32::MAX, u64::MAX)),
        each(&value(&DeliveryState::Accepted)),
        each(&modified()),
        each(&transactional(Some(codec::Outcome::Accepted))),
        each(&unheard_of()),
        map([(tag(2), unheard_of()), (tag(0), Value::Null), (tag(1), modified()), (tag(40), Value::Null)]),
    ];
    for unsettled in told {
        let mut held = Held::new(ONCE, move |peer, theirs| {
            peer.send(telling(&theirs, unsettled));
            credited(peer);
            // It heard the first outcome, knows nothing of the second delivery's, and gives up the third.
            peer.send(resumed(0, 0, Some(DeliveryState::Accepted)).settled(true));
            peer.send(resumed(1, 1, None));
            peer.send(resumed(2, 2, None).aborted(true));
            peer.send(message(3));
            assert_eq!(outcome(peer), (1, Some(DeliveryState::Accepted), false));
            settle(peer, 1, DeliveryState::Accepted);
            assert_eq!(outcome(peer), (3, Some(DeliveryState::Released), false));
            settle(peer, 3, DeliveryState::Released);
        })
        .await;
        assert!(held.attached().await);
        let new = held.next().await;
        assert_eq!(new.text(), Some("3"), "nothing comes twice");
        for message in &held.messages {
            held.receiver.accept(message).unwrap();
        }
        held.receiver.release(&new).unwrap();
        held.end().await;
    }
}

#[tokio::test]
async fn a_sender_that_has_another_outcome_is_believed() {
    let released: DeliveryState = codec::Outcome::Released.into();
    let mut held = Held::new(ONCE, move |peer, theirs| {
        peer.send(telling(&theirs, each(&value(&released))));
        credited(peer).send(resumed(0, 0, Some(released.clone())));
        // 2.6.13, example 13: the receiver settles with the sender's outcome.
        assert_eq!(outcome(peer), (0, Some(released), true));
        peer.send(message(1));
    })
    .await;
    assert_eq!(held.next().await.text(), Some("1"));
    assert_eq!(held.receiver.accept(&held.messages[0]), Ok(()));
    held.end().await;
}

#[tokio::test]
async fn a_sender_that_tells_deliveries_and_never_resumes_them_holds_up_nothing() {
    let mut held = Held::new(ONCE, |peer, theirs| {
        peer.send(telling(&theirs, each(&Value::Null)));
        credited(peer).send(message(0).delivery_tag(codec::DeliveryTag::from(50)));
        assert_eq!(outcome(peer), (0, Some(DeliveryState::Accepted), false));
        // The link is closed, and no outcome of what was not resumed was told.
        assert!(next_word(peer).expect_err("what was not resumed has no number").closed);
        peer.send(detach().closed(true));
    })
    .await;
    assert!(held.attached().await);
    let new = held.next().await;
    assert_eq!(new.text(), Some("0"));
    for message in held.messages.iter().chain([&new]) {
        held.receiver.accept(message).unwrap();
    }
    soon(held.receiver.close()).await.unwrap();
    soon(held.connection.close()).await.unwrap();
    soon(held.peer).await.unwrap();
}

#[tokio::test]
async fn a_map_that_is_none_costs_the_receiver_alone() {
    for unsettled in no_maps() {
        let mut held = Held::new(ONCE, move |peer, theirs| {
            peer.send(telling(&theirs, unsettled));
            let theirs = next_word(peer).expect_err("the link is detached");
            assert_eq!(theirs.error.unwrap().condition, ErrorCondition::INVALID_FIELD);
            peer.send(detach().closed(theirs.closed));
            grant(peer);
        })
        .await;
        let Err(ReceiveError::Link(error)) = soon(held.receiver.receive()).await else { panic!("there is nothing") };
        assert_eq!(error.peer_error().unwrap().condition, ErrorCondition::INVALID_FIELD);
        for message in &held.messages {
            assert_eq!(held.receiver.accept(message), Err(error.clone()));
        }
        let session = held.receiver.session().clone();
        soon(session.receiver_with("a", named("next", ONCE))).await.unwrap();
        assert_eq!(held.connection.error(), None);
        held.end().await;
    }
}

#[tokio::test]
async fn a_sender_s_map_that_lacks_entries_takes_another_attach_and_one_that_always_does_is_given_up() {
    let mut held = Held::new(ONCE, |peer, theirs| {
        let lacking = |theirs: &Attach, told| telling(theirs, told).with(|attach| attach.incomplete_unsettled = true);
        peer.send(lacking(&theirs, map([(tag(1), Value::Null)])));
        credited(peer).send(resumed(0, 1, None));
        assert_eq!(outcome(peer), (0, Some(DeliveryState::Accepted), false));
        settle(peer, 0, DeliveryState::Accepted);
        assert!(!next_word(peer).expect_err("the round is over").closed);
        peer.send(detach());
        let theirs = take_attach(peer);
        assert_eq!(states(&theirs), [(tag(0), value(&DeliveryState::Accepted)), (tag(2), whole())]);
        peer.send(telling(&theirs, map([(tag(2), Value::Null)])));
        credited(peer).send(resumed(1, 2, None));
        assert_eq!(outcome(peer), (1, Some(DeliveryState::Accepted), false));
        settle(peer, 1, DeliveryState::Accepted);
        peer.send(message(2));
    })
    .await;
    assert!(held.attached().await);
    for message in &held.messages {
        held.receiver.accept(message).unwrap();
    }
    assert_eq!(held.next().await.text(), Some("2"));
    held.end().await;

    let mut held = Held::new(ONCE, |peer, mut theirs| {
        let mut rounds = 0;
        loop {
            peer.send(telling(&theirs, map([])).with(|attach| attach.incomplete_unsettled = true));
            let theirs_gone = next_word(peer).expect_err("nothing is resumed");
            peer.send(detach().closed(theirs_gone.closed));
            rounds += 1;
            theirs = loop {
                match peer.next() {
                    Some(Frame::Amqp { performative: Performative::Attach(again), .. }) => break *again,
                    Some(Frame::Amqp { performative: Performative::Close(_), .. }) | None => {
                        assert!((3..5000).contains(&rounds), "{rounds} rounds");
                        peer.send_bytes(&postroad_testkit::close().to_bytes());
                        return;
                    }
                    Some(_) => {}
                }
            };
        }
    })
    .await;
    let error = soon(held.receiver.receive()).await.map(drop);
    assert_eq!(error, Err(ReceiveError::Link(LinkError::DetachedByPeer)));
    assert_eq!(held.connection.error(), None);
    held.end().await;
}

#[tokio::test]
async fn at_least_once_no_map_of_a_sender_keeps_messages_from_coming_again() {
    let told = no_maps().into_iter().chain([None, map([]), each(&Value::Null), each(&modified()), each(&unheard_of())]);
    for unsettled in told {
        let mut held = Held::new(Guarantee::AtLeastOnce, move |peer, theirs| {
            assert_eq!(theirs.unsettled, None, "the peer is to know nothing of it");
            peer.send(telling(&theirs, unsettled));
            credited(peer);
            for number in 0..2 {
                peer.send(message(number));
                assert_eq!(outcome(peer), (number, Some(DeliveryState::Accepted), true));
            }
        })
        .await;
        assert!(!held.attached().await);
        assert_eq!(held.receiver.settler().settle(&held.messages[1], Outcome::Accepted), Err(LinkError::Stale));
        for text in ["0", "1"] {
            let again = held.next().await;
            assert_eq!(again.text(), Some(text));
            held.receiver.accept(&again).unwrap();
        }
        held.end().await;
    }
}
