//! What a peer may say of deliveries when a sender with unsettled ones is attached again: no map, one that leaves deliveries
//! out or tells others, states of every kind, and maps that are none (AMQP 1.0 part 2, 2.6.13 and 2.7.3; part 3, 3.4.6).

use std::sync::{Arc, Mutex};

use postroad_amqp::v1_0::ConnectionError as Protocol;
use postroad_client::types::ErrorCondition;
use postroad_client::{ConnectionError, ConnectionEvent, Guarantee, LinkError, Message, Outcome, SendError, Sender};
use postroad_codec::v1_0::{
    self as codec, Attach, Decode, DeliveryState, DeliveryTag, Described, Encode, Frame, FrameError, Map, Performative,
    Reader, Received, ReceiverSettleMode, Role, TransactionId, TransactionalState, Transfer, Value,
};
use postroad_testkit::{close, detach, disposition, end, flow, transfer};

use crate::raw::Peer;
use crate::{answer, grant, named, next_connection, serve, soon, take_attach, until};

/// What the peer's attach tells: a map or none, and whether it lacks entries.
type Told = (Option<Map>, bool);

/// What the peer sees of the link when it is attached again, in short words.
type Log = Arc<Mutex<Vec<String>>>;

pub(crate) fn tag(number: u64) -> Value {
    Value::Binary(DeliveryTag::from(number).as_bytes().to_vec().into())
}

pub(crate) fn value(state: &DeliveryState) -> Value {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    Value::decode(&mut Reader::from_slice(&bytes)).unwrap()
}

pub(crate) fn received(section_number: u32, section_offset: u64) -> Value {
    value(&DeliveryState::Received(Received { section_number, section_offset }))
}

pub(crate) fn transactional(outcome: Option<codec::Outcome>) -> Value {
    let txn_id = TransactionId(b"gone".as_slice().into());
    value(&DeliveryState::Transactional(Box::new(TransactionalState { txn_id, outcome })))
}

pub(crate) fn unheard_of() -> Value {
    Value::Described(Box::new(Described { descriptor: Value::Ulong(0x7777), value: Value::List(Vec::new()) }))
}

pub(crate) fn modified() -> Value {
    value(&codec::Outcome::modified(true, true, None).into())
}

pub(crate) fn map(entries: impl IntoIterator<Item = (Value, Value)>) -> Option<Map> {
    Some(Map(entries.into_iter().collect()))
}

/// The three deliveries that are under way, each with this state.
pub(crate) fn each(state: &Value) -> Option<Map> {
    map((0..3).map(|number| (tag(number), state.clone())))
}

/// Answers every attach with what it is to tell, accepts what comes, and writes down what that is.
fn serve_links(peer: &mut Peer, log: &Log, mut told: impl FnMut(&Attach) -> Told) {
    let mut first = false;
    while let Some(frame) = peer.next() {
        let Frame::Amqp { performative, .. } = frame else { continue };
        match performative {
            Performative::Attach(theirs) => {
                first = theirs.rcv_settle_mode == ReceiverSettleMode::FIRST;
                let (unsettled, incomplete) = told(&theirs);
                peer.send(answer(&theirs).with(|attach| {
                    (attach.unsettled, attach.incomplete_unsettled) = (unsettled, incomplete);
                }));
                if theirs.role == Role::Sender {
                    let count = theirs.initial_delivery_count.unwrap().0;
                    peer.send(flow().handle(theirs.handle.0).delivery_count(count).link_credit(10));
                }
            }
            Performative::Transfer(Transfer { delivery_id, delivery_tag, settled, resume, aborted, .. }) => {
                let settled = settled == Some(true);
                let how = match (resume, aborted, settled) {
                    (_, true, _) => "aborted",
                    (_, _, true) => "settled",
                    (true, ..) => "resumed",
                    (false, ..) => "sent",
                };
                log.lock().unwrap().push(format!("{} {how}", delivery_tag.unwrap()[0]));
                if !settled && !aborted {
                    let number = delivery_id.unwrap().0;
                    let told = disposition(Role::Receiver, number).settled(first).state(DeliveryState::Accepted);
                    peer.send(told);
                }
            }
            Performative::Detach(theirs) => {
                peer.send_bytes(&detach().handle(theirs.handle.0).closed(theirs.closed).to_bytes());
            }
            Performative::End(_) => drop(peer.send_bytes(&end().to_bytes())),
            Performative::Close(_) => drop(peer.send_bytes(&close().to_bytes())),
            _ => {}
        }
    }
}

/// A sender with three messages under way whose connection is lost, and whose peer tells something of them then.
async fn three_under_way(
    guarantee: Guarantee,
    told: impl FnMut(&Attach) -> Told + Send + 'static,
) -> (Sender, Vec<Result<Outcome, SendError>>, Log) {
    let log = Log::default();
    let script = {
        let log = log.clone();
        move |listener: &_| {
            let mut peer = next_connection(listener);
            assert_eq!(grant(&mut peer).unsettled, None);
            (0..3).for_each(|number| drop(peer.take(transfer(number))));
            drop(peer);
            serve_links(&mut next_connection(listener), &log, told);
        }
    };
    let (connection, _) = serve(script, |_| {}).await;
    let session = soon(connection.session()).await.unwrap();
    let sender = soon(session.sender_with("a", named("link", guarantee))).await.unwrap();
    let mut sent = Vec::new();
    for text in ["0", "1", "2"] {
        sent.push(soon(sender.submit_tracked(&Message::from(text))).await.unwrap());
    }
    let mut outcomes = Vec::new();
    for settlement in sent {
        outcomes.push(soon(settlement).await);
    }
    (sender, outcomes, log)
}

/// An outcome in a word.
fn word(outcome: &Result<Outcome, SendError>) -> &'static str {
    match outcome {
        Ok(Outcome::Accepted) => "accepted",
        Ok(Outcome::Modified { delivery_failed: true, undeliverable_here: true, .. }) => "modified",
        Err(SendError::InDoubt(LinkError::Interrupted(_))) => "in doubt",
        Err(SendError::NoOutcome) => "none",
        other => panic!("{other:?}"),
    }
}

/// What the peer tells, what the client sends then, and what the messages come to.
struct Case(&'static str, Told, [&'static str; 3], [&'static str; 3]);

fn cases() -> Vec<Case> {
    let complete = |map| (map, false);
    let strangers = || map((40..45).map(|number| (tag(number), Value::Null)));
    let nothing = ["", "", ""];
    let (anew, resumed) = (["0 sent", "1 sent", "2 sent"], ["0 resumed", "1 resumed", "2 resumed"]);
    let (settled, aborted) = (["0 settled", "1 settled", "2 settled"], ["0 aborted", "1 aborted", "2 aborted"]);
    let (accepted, none) = (["accepted"; 3], ["none"; 3]);
    vec![
        Case("no map", complete(None), nothing, ["in doubt"; 3]),
        Case("no map, which lacks entries", (None, true), nothing, ["in doubt"; 3]),
        Case("a map of nothing", complete(map([])), anew, accepted),
        Case("deliveries that never were", complete(strangers()), anew, accepted),
        Case("nothing of each", complete(each(&Value::Null)), resumed, accepted),
        Case("more than there is", complete(each(&received(u32::MAX, u64::MAX))), resumed, accepted),
        Case("a place in the first section", complete(each(&received(0, 2))), resumed, accepted),
        Case("accepted", complete(each(&value(&DeliveryState::Accepted))), settled, accepted),
        Case("modified", complete(each(&modified())), settled, ["modified"; 3]),
        // A transaction ends with its connection, so whatever was done in it is undone (part 4, 4.3).
        Case("in a transaction", complete(each(&transactional(None))), aborted, none),
        Case("in it, accepted", complete(each(&transactional(Some(codec::Outcome::Accepted)))), aborted, none),
        Case("a state that nobody knows", complete(each(&unheard_of())), resumed, accepted),
        Case(
            "one of each",
            complete(map([
                (tag(2), modified()),
                (tag(1), Value::Null),
                (tag(7), Value::Null),
                (tag(2), value(&DeliveryState::Accepted)),
            ])),
            ["0 sent", "1 resumed", "2 settled"],
            ["accepted", "accepted", "modified"],
        ),
    ]
}

#[tokio::test]
async fn exactly_once_whatever_the_map_says_each_message_comes_to_an_end() {
    for Case(name, told, sent, outcomes) in cases() {
        let mut told = Some(told);
        let answers = move |theirs: &Attach| {
            let ours = theirs.unsettled.as_ref().expect("an exactly-once link tells its map");
            assert_eq!(ours.iter().map(|(tag, _)| tag.clone()).collect::<Vec<_>>(), [tag(0), tag(1), tag(2)]);
            told.take().expect("the link is attached again once")
        };
        let (sender, came, log) = three_under_way(Guarantee::ExactlyOnce, answers).await;
        assert_eq!(came.iter().map(word).collect::<Vec<_>>(), outcomes, "{name}");
        let doubts = sender.take_in_doubt();
        let texts: Vec<_> =
            doubts.iter().map(|doubt| doubt.message().unwrap().unwrap().text().unwrap().to_owned()).collect();
        assert_eq!(texts.len(), outcomes.iter().filter(|outcome| **outcome == "in doubt").count(), "{name}");
        assert!(texts.iter().eq(["0", "1", "2"].iter().take(texts.len())), "{name}: {texts:?}");
        // The link is as good as ever.
        assert_eq!(soon(sender.send(&Message::from("later"))).await, Ok(Outcome::Accepted), "{name}");
        assert_eq!(sender.unsettled(), 0);
        soon(sender.session().connection().clone().close()).await.unwrap();
        let expected: Vec<_> = sent.into_iter().filter(|sent| !sent.is_empty()).chain(["3 sent"]).collect();
        assert_eq!(*log.lock().unwrap(), expected, "{name}");
    }
}

#[tokio::test]
async fn at_least_once_no_map_keeps_a_message_from_being_sent_again() {
    for Case(name, told, ..) in cases() {
        let answers = move |theirs: &Attach| {
            assert_eq!(theirs.unsettled, None, "the peer is to know nothing of it");
            told.clone()
        };
        let (sender, came, log) = three_under_way(Guarantee::AtLeastOnce, answers).await;
        assert!(came.iter().all(|outcome| *outcome == Ok(Outcome::Accepted)), "{name}: {came:?}");
        assert!(sender.take_in_doubt().is_empty());
        assert_eq!(soon(sender.send(&Message::from("later"))).await, Ok(Outcome::Accepted), "{name}");
        assert_eq!(*log.lock().unwrap(), ["0 sent", "1 sent", "2 sent", "3 sent"], "{name}");
    }
}

/// Maps that are none.
pub(crate) fn no_maps() -> [Option<Map>; 6] {
    [
        map([(Value::Uint(7), Value::Null)]),
        map([(Value::String("0".into()), Value::Null)]),
        map([(Value::Binary(vec![7; 33].into()), Value::Null)]),
        map([(tag(0), Value::Boolean(true))]),
        map([(tag(0), Value::Map(Map::default()))]),
        map([(tag(9), Value::Null), (Value::Null, Value::Null)]),
    ]
}

#[tokio::test]
async fn a_map_that_is_none_costs_the_sender_and_leaves_the_messages_in_doubt() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        for told in no_maps() {
            let shown = format!("{guarantee:?} {told:?}");
            let (sender, came, log) = three_under_way(guarantee, move |_| (told.clone(), false)).await;
            for outcome in came {
                let Err(SendError::InDoubt(error)) = outcome else { panic!("{shown}: {outcome:?}") };
                assert_eq!(error.peer_error().unwrap().condition, ErrorCondition::INVALID_FIELD, "{shown}");
            }
            assert_eq!(sender.take_in_doubt().len(), 3);
            let later = soon(sender.send(&Message::from("later"))).await;
            assert!(matches!(later, Err(SendError::NotSent(LinkError::Detached(_)))), "{shown}: {later:?}");
            // Nothing was sent, and the connection is not to blame.
            assert_eq!(*log.lock().unwrap(), [""; 0], "{shown}");
            let session = sender.session();
            soon(session.sender_with("a", named("next", guarantee))).await.unwrap();
            assert_eq!(session.connection().error(), None);
        }
    }
}

#[tokio::test]
async fn a_map_that_lacks_entries_takes_another_attach() {
    let mut round = 0;
    let told = move |theirs: &Attach| {
        round += 1;
        let ours = theirs.unsettled.as_ref().unwrap().len();
        match round {
            1 => {
                assert_eq!(ours, 3);
                (map([(tag(1), value(&DeliveryState::Accepted))]), true)
            }
            2 => {
                assert_eq!(ours, 2);
                (map([(tag(2), Value::Null)]), false)
            }
            _ => panic!("it is attached for the third time"),
        }
    };
    let (sender, came, log) = three_under_way(Guarantee::ExactlyOnce, told).await;
    assert_eq!(came, [const { Ok(Outcome::Accepted) }; 3]);
    assert_eq!(soon(sender.send(&Message::from("later"))).await, Ok(Outcome::Accepted));
    assert_eq!(*log.lock().unwrap(), ["1 settled", "0 sent", "2 resumed", "3 sent"]);
}

#[tokio::test]
async fn maps_that_lack_entries_for_ever_are_given_up() {
    for told in [map([]), map([(tag(40), Value::Null)])] {
        let (sender, came, log) = three_under_way(Guarantee::ExactlyOnce, move |_| (told.clone(), true)).await;
        assert!(came.iter().all(|outcome| matches!(outcome, Err(SendError::InDoubt(_)))), "{came:?}");
        assert_eq!(sender.take_in_doubt().len(), 3);
        let later = soon(sender.send(&Message::from("later"))).await;
        assert!(matches!(later, Err(SendError::NotSent(LinkError::DetachedByPeer))), "{later:?}");
        // Nothing of them may go out while the peer has not told all that it knows (2.7.3).
        assert_eq!(*log.lock().unwrap(), [""; 0]);
        assert_eq!(sender.session().connection().error(), None);
    }
}

/// An attach whose map says that it has other entries than it has.
fn miscounted(theirs: &Attach, count: u8) -> Vec<u8> {
    let entry =
        |attach: &mut Attach| attach.unsettled = map([(Value::Binary(b"seven77".as_slice().into()), Value::Null)]);
    let mut bytes = answer(theirs).with(entry).to_bytes();
    // The head of a map8, its size and count, the head of a vbin8, and the entry.
    let at = bytes.windows(7).position(|bytes| bytes == b"seven77").unwrap() - 3;
    assert_eq!(bytes[at - 2], 0xc1);
    bytes[at] = count;
    bytes
}

#[tokio::test]
async fn a_map_of_more_entries_than_it_has_costs_the_connection_and_the_next_one_goes_on() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        for count in [3, 4, 254, 255] {
            let log = Log::default();
            let script = {
                let log = log.clone();
                move |listener: &_| {
                    let mut peer = next_connection(listener);
                    grant(&mut peer);
                    peer.take(transfer(0));
                    drop(peer);
                    let mut peer = next_connection(listener);
                    let theirs = take_attach(&mut peer);
                    peer.send_bytes(&miscounted(&theirs, count));
                    peer.take(close().condition(ErrorCondition::DECODE_ERROR));
                    drop(peer);
                    serve_links(&mut next_connection(listener), &log, |_| (map([]), false));
                }
            };
            let (connection, peer) = serve(script, |_| {}).await;
            let mut events = connection.events();
            let session = soon(connection.session()).await.unwrap();
            let sender = soon(session.sender_with("a", named("link", guarantee))).await.unwrap();
            assert_eq!(soon(sender.send(&Message::from("0"))).await, Ok(Outcome::Accepted));
            assert_eq!(*log.lock().unwrap(), ["0 sent"]);
            let garbled = until(&mut events, |event| match event {
                ConnectionEvent::Lost(ConnectionError::Protocol(error @ Protocol::Frame(_))) => Some(error),
                _ => None,
            });
            assert!(matches!(garbled.await, Protocol::Frame(FrameError::Body(_))));
            soon(connection.close()).await.unwrap();
            soon(peer).await.unwrap();
        }
    }
}
