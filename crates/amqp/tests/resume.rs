//! Resuming a link (part 2, 2.6.13): what both ends tell, and what becomes of each delivery.

mod common;

use common::{pattern, received, resumable, resumed, resumed_on, send, tag};
use postroad_amqp::v1_0::{Config, Connection, Event, LimitError, LinkId, LinkState, Message, SessionId, Unsettled};
use postroad_codec::v1_0::{
    Body, Decode as _, DeliveryState, DeliveryTag, Encode as _, ErrorCondition, Map, Message as Amqp, Position, Reader,
    Received, Role, Value,
};
use postroad_testkit::{
    Pair, ScriptedPeer, Side, attach_receiver, attach_sender, begin, continuation, detach, disposition, error, flow,
    open, transfer,
};

/// A message of a few sections, about 1000 bytes long.
fn message() -> Vec<u8> {
    let body = Body::Data(pattern(1000, 1).into());
    Amqp { properties: Some(Box::default()), body, ..Amqp::default() }.to_bytes().to_vec()
}

/// States of both ends of a link on which so many messages were sent and not settled.
fn states(count: u64) -> (LinkState, LinkState) {
    let mut pair = common::pair();
    let (session, _) = pair.session();
    let (ours, theirs) = pair.link_with(session, "a", Role::Sender, resumable(), resumable());
    pair.server.receiver(theirs).set_credit(count as u32);
    pair.run();
    for number in 0..count {
        pair.client.sender(ours).send(&Message::new(&message(), tag(number), number)).unwrap();
    }
    pair.run();
    assert_eq!(received(&mut pair.server, theirs).len() as u64, count);
    (pair.client.release(ours).unwrap(), pair.server.release(theirs).unwrap())
}

/// A delivery at the sender.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ours {
    Absent,
    /// Nothing is known, and the message is kept.
    Kept,
    /// Nothing is known, and the message is gone.
    Gone,
    Accepted,
}

/// A delivery at the receiver.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Theirs {
    Absent,
    Nothing,
    Part,
    Whole,
    Accepted,
    Rejected,
}

fn rejected() -> DeliveryState {
    DeliveryState::Rejected(Box::default())
}

fn at_sender(is: Ours, mut unsettled: Unsettled) -> Option<Unsettled> {
    match is {
        Ours::Absent => return None,
        Ours::Kept => assert_eq!(unsettled.message.as_deref(), Some(&message()[..])),
        Ours::Gone => unsettled.message = None,
        Ours::Accepted => unsettled.remote_state = Some(DeliveryState::Accepted),
    }
    Some(unsettled)
}

fn at_receiver(is: Theirs, mut unsettled: Unsettled) -> Option<Unsettled> {
    assert!(unsettled.is_whole());
    match is {
        Theirs::Absent => return None,
        Theirs::Nothing => unsettled.received = None,
        Theirs::Part => {
            let part = &message()[..100];
            let mut position = Position::default();
            position.advance(part);
            (unsettled.received, unsettled.message) = (Some(position), Some(part.to_vec().into()));
        }
        Theirs::Whole => {}
        Theirs::Accepted => unsettled.local_state = Some(DeliveryState::Accepted),
        Theirs::Rejected => unsettled.local_state = Some(rejected()),
    }
    Some(unsettled)
}

/// What an owner of the sending end learns in the end, whether the message comes, and what the owner of the receiving
/// end learns of one that it had taken: whether it is still to be settled.
type Expected = (Option<Option<DeliveryState>>, bool, Option<bool>);

fn expected(ours: Ours, theirs: Theirs) -> Expected {
    let accepted = Some(Some(DeliveryState::Accepted));
    let known = matches!(theirs, Theirs::Whole | Theirs::Accepted | Theirs::Rejected);
    match (ours, theirs) {
        // The sender has settled: the receiver hears that nobody waits for it any more.
        (Ours::Absent, _) => (None, false, known.then_some(false)),
        // 1, 2, 4: what the receiver lacks is sent.
        (Ours::Kept, Theirs::Absent | Theirs::Nothing | Theirs::Part) => (accepted, true, None),
        // 6, with nothing left to send: the receiver goes on to decide.
        (Ours::Kept, Theirs::Whole) => (accepted, false, Some(true)),
        // 3 and 8: the outcome is known now, whether the message is kept or not.
        (Ours::Kept | Ours::Gone, Theirs::Accepted) => (accepted, false, Some(false)),
        (Ours::Kept | Ours::Gone, Theirs::Rejected) => (Some(Some(rejected())), false, Some(false)),
        // 5, 7 and 9, where nothing can be sent again: given up, and the owner knows that nothing is known.
        (Ours::Gone, _) => (Some(None), false, known.then_some(false)),
        // 10, 11, 12, 13, 14: the sender's outcome stands.
        (Ours::Accepted, _) => (accepted, false, known.then_some(false)),
    }
}

#[test]
fn links_that_are_released_together_are_released_as_each_alone() {
    // Two sessions, links of both roles, deliveries that take turns, and some that are settled.
    let states = |release: fn(&mut Connection, &[LinkId]) -> Vec<Option<LinkState>>| {
        let mut pair = common::pair();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (session, _) = pair.session();
            for (name, role) in [("a", Role::Sender), ("b", Role::Sender), ("c", Role::Receiver)] {
                let name = format!("{name}{}", ours.len());
                let link = pair.link_with(session, &name, role, resumable(), resumable());
                ours.push(link.0);
                theirs.push(link.1);
                let (receiver, end) =
                    if role == Role::Sender { (&mut pair.server, link.1) } else { (&mut pair.client, link.0) };
                receiver.receiver(end).set_credit(10);
                pair.run();
            }
        }
        for number in 0..6 {
            for (index, (our, their)) in ours.iter().zip(&theirs).enumerate() {
                let receives = index % 3 == 2;
                let (from, end) = if receives { (&mut pair.server, their) } else { (&mut pair.client, our) };
                send(from, *end, number).unwrap();
            }
        }
        pair.run();
        for (index, their) in theirs.iter().enumerate().filter(|(index, _)| index % 3 != 2) {
            for delivery in received(&mut pair.server, *their).iter().skip(index).step_by(2) {
                pair.server.receiver(*their).dispose(delivery.number, Some(DeliveryState::Accepted), true);
            }
        }
        pair.run();
        pair.client.handle_eof();
        ours.push(ours[0]);
        release(&mut pair.client, &ours)
    };
    let together = states(|engine, links| engine.release_all(links));
    assert_eq!(together, states(|engine, links| links.iter().map(|link| engine.release(*link)).collect()));
    assert_eq!(together[6], None, "it is named twice");
    let unsettled: Vec<usize> = together.iter().flatten().map(|state| state.unsettled.len()).collect();
    assert_eq!(unsettled, [3, 3, 6, 4, 5, 6]);
}

#[test]
fn every_pairing_of_states_in_either_role() {
    let (sender, receiver) = states(1);
    let theirs_all = [Theirs::Absent, Theirs::Nothing, Theirs::Part, Theirs::Whole, Theirs::Accepted, Theirs::Rejected];
    for ours in [Ours::Absent, Ours::Kept, Ours::Gone, Ours::Accepted] {
        for theirs in theirs_all {
            for client_sends in [true, false] {
                let (mut sender, mut receiver) = (sender.clone(), receiver.clone());
                sender.unsettled = at_sender(ours, sender.unsettled[0].clone()).into_iter().collect();
                receiver.unsettled = at_receiver(theirs, receiver.unsettled[0].clone()).into_iter().collect();
                let found = play(&mut sender, &mut receiver, client_sends);
                assert_eq!(found, expected(ours, theirs), "{ours:?}, {theirs:?}, client sends: {client_sends}");
            }
        }
    }
}

/// Resumes a link; the receiver accepts whatever it has to decide. Nothing is unsettled afterwards.
fn play(sender: &mut LinkState, receiver: &mut LinkState, client_sends: bool) -> Expected {
    let (mut pair, client, server) = if client_sends { resumed(sender, receiver) } else { resumed(receiver, sender) };
    let (sends, receives) = if client_sends { (Side::Client, Side::Server) } else { (Side::Server, Side::Client) };
    let (sending, receiving) = if client_sends { (client, server) } else { (server, client) };
    pair.engine(receives).receiver(receiving).set_credit(10);
    let (mut outcome, mut came, mut known) = (None, false, None);
    let mut resumed = [0; 2];
    for _ in 0..5 {
        pair.run();
        for event in pair.events(sends) {
            match event {
                Event::Update(update) if update.settled => outcome = Some(update.state),
                Event::Resumed { complete, .. } => resumed[0] += usize::from(complete),
                _ => {}
            }
        }
        for event in pair.events(receives) {
            match event {
                Event::Reassociated { delivery, .. } => {
                    known = Some(delivery.is_some());
                    if let Some(delivery) = delivery {
                        let mut link = pair.engine(receives).receiver(receiving);
                        link.dispose(delivery, Some(DeliveryState::Accepted), true);
                    }
                }
                Event::Resumed { complete, .. } => resumed[1] += usize::from(complete),
                _ => {}
            }
        }
        for delivery in received(pair.engine(receives), receiving) {
            assert_eq!(delivery.payload, message());
            assert!(!came, "it came twice");
            came = true;
            let mut link = pair.engine(receives).receiver(receiving);
            link.dispose(delivery.number, Some(DeliveryState::Accepted), true);
        }
    }
    assert_eq!(resumed, [1, 1], "each end hears once that it is over");
    // Something new passes as ever.
    send(pair.engine(sends), sending, 99).unwrap();
    pair.run();
    let new = received(pair.engine(receives), receiving);
    assert_eq!(new[0].payload, "message 99");
    pair.engine(receives).receiver(receiving).dispose(new[0].number, Some(DeliveryState::Accepted), true);
    pair.run();
    pair.events(sends);
    assert_eq!((pair.client.error(), pair.server.error()), (None, None));
    *sender = pair.engine(sends).release(sending).unwrap();
    *receiver = pair.engine(receives).release(receiving).unwrap();
    assert_eq!((&sender.unsettled, &receiver.unsettled), (&vec![], &vec![]));
    (outcome, came, known)
}

#[test]
fn maps_that_do_not_fit_into_a_frame_go_in_parts() {
    let (mut sender, mut receiver) = states(100);
    let (mut rounds, mut known, mut outcomes) = (0, 0, 0);
    while !sender.unsettled.is_empty() || !receiver.unsettled.is_empty() {
        rounds += 1;
        assert!(rounds < 20, "it never ends");
        let small = || {
            let mut config = Config::new("small");
            config.max_frame_size = 512;
            config
        };
        let pair = Pair::new(small(), small());
        let (mut pair, ours, theirs) = resumed_on(pair, &mut sender, &mut receiver);
        pair.server.receiver(theirs).set_credit(200);
        pair.run();
        let mut complete = None;
        for event in pair.events(Side::Server) {
            match event {
                Event::Reassociated { delivery: Some(delivery), .. } => {
                    known += 1;
                    pair.server.receiver(theirs).dispose(delivery, Some(DeliveryState::Accepted), true);
                }
                Event::Resumed { complete: all, .. } => complete = Some(all),
                _ => {}
            }
        }
        pair.run();
        outcomes += pair.events(Side::Client).iter().filter(|event| matches!(event, Event::Update(_))).count();
        assert_eq!(received(&mut pair.server, theirs).len(), 0, "what the receiver has does not come again");
        let left = pair.client.sender(ours).capacity() == 0;
        assert_eq!(complete, Some(!left), "nothing new before everything is resumed");
        sender = pair.client.release(ours).unwrap();
        receiver = pair.server.release(theirs).unwrap();
    }
    assert_eq!((known, outcomes), (100, 100));
    assert!(rounds > 1);
}

#[test]
fn two_maps_that_lack_entries_do_not_go_round_in_circles() {
    let (mut sender, mut receiver) = states(230);
    // What the receiver has the sender has settled, and what the sender has not settled never came.
    sender.unsettled.drain(..100);
    receiver.unsettled.truncate(100);
    let (mut rounds, mut came, mut over) = (0, 0, 0);
    while !sender.unsettled.is_empty() || !receiver.unsettled.is_empty() {
        rounds += 1;
        assert!(rounds < 20, "{} and {} are left", sender.unsettled.len(), receiver.unsettled.len());
        let small = || {
            let mut config = Config::new("small");
            config.max_frame_size = 512;
            config
        };
        let (mut pair, ours, theirs) = resumed_on(Pair::new(small(), small()), &mut sender, &mut receiver);
        pair.server.receiver(theirs).set_credit(1000);
        pair.run();
        for event in pair.events(Side::Server) {
            over += usize::from(matches!(event, Event::Reassociated { delivery: None, .. }));
        }
        for delivery in received(&mut pair.server, theirs) {
            came += 1;
            pair.server.receiver(theirs).dispose(delivery.number, Some(DeliveryState::Accepted), true);
        }
        pair.run();
        sender = pair.client.release(ours).unwrap();
        receiver = pair.server.release(theirs).unwrap();
    }
    assert_eq!((came, over), (130, 100));
}

#[test]
fn a_round_goes_on_until_what_the_sender_told_has_come() {
    let (mut sender, mut receiver) = states(100);
    // The receiver has none of them, so its map is complete and empty.
    receiver.unsettled.clear();
    for (number, unsettled) in sender.unsettled.iter_mut().enumerate() {
        unsettled.tag = DeliveryTag::new(&number.to_be_bytes()).unwrap();
    }
    let mut small = Config::new("small");
    small.max_frame_size = 512;
    let pair = Pair::new(small.clone(), small);
    let (mut pair, _, theirs) = resumed_on(pair, &mut sender, &mut receiver);
    pair.run();
    assert!(!pair.server.is_round_over(theirs), "nothing has come yet");
    pair.server.receiver(theirs).set_credit(1000);
    pair.run();
    let came = received(&mut pair.server, theirs);
    assert!(!came.is_empty() && came.len() < 100);
    assert!(!pair.server.is_round_over(theirs), "nothing is settled yet");
    for delivery in came {
        pair.server.receiver(theirs).dispose(delivery.number, Some(DeliveryState::Accepted), true);
    }
    assert!(pair.server.is_round_over(theirs));
}

#[test]
fn what_a_link_brings_along_takes_no_room_from_the_map() {
    let capacity = |count| {
        let (mut peer, link, _) = resuming_peer(Role::Sender, count);
        peer.take_bytes();
        peer.engine.map_capacity(link, 16)
    };
    let (none, many) = (capacity(0), capacity(20));
    assert_eq!(none, many);
    // As many as it says fit, and with a few more the map lacks entries.
    let mut small = Config::new("small");
    small.max_frame_size = 1024;
    let told_all = |count: usize| {
        let (mut sender, mut receiver) = states(0);
        let entries = states(1).0.unsettled;
        sender.unsettled = (0..count as u64)
            .map(|number| {
                let mut unsettled = entries[0].clone();
                // With the length in front and the state behind, 16 bytes.
                let tag = [&number.to_be_bytes()[..], &[0; 5]].concat();
                unsettled.tag = DeliveryTag::new(&tag).unwrap();
                unsettled
            })
            .collect();
        let pair = Pair::new(small.clone(), small.clone());
        let (pair, ours, theirs) = resumed_on(pair, &mut sender, &mut receiver);
        let attach = pair.server.remote_attach(theirs).unwrap();
        (!attach.incomplete_unsettled, pair.client.map_capacity(ours, 16))
    };
    let (all, room) = told_all(0);
    assert!(all && room > 10);
    assert_eq!([room - 1, room, room + 1].map(|count| told_all(count).0), [true, true, false]);
}

/// A peer that serves, to which the engine resumes its link `a`.
fn resuming_peer(role: Role, count: u64) -> (ScriptedPeer, LinkId, SessionId) {
    let (sender, receiver) = states(count);
    peer_that_resumes(if role == Role::Sender { sender } else { receiver })
}

fn peer_that_resumes(mut state: LinkState) -> (ScriptedPeer, LinkId, SessionId) {
    let mut peer = ScriptedPeer::of_client(Config::new("engine"));
    peer.send_header(postroad_codec::v1_0::ProtocolHeader::AMQP).send(open()).take_bytes();
    let session = peer.engine.begin().unwrap();
    peer.expect(begin()).send(begin().remote_channel(0));
    let link = peer.engine.resume(session, &mut state, resumable()).unwrap();
    assert_eq!(state.unsettled, []);
    peer.events();
    (peer, link, session)
}

/// Part 3, 3.4.1: the place from which it can send again is behind everything.
#[test]
fn a_sender_tells_which_messages_it_has_no_longer() {
    let mut sender = states(2).0;
    sender.unsettled[0].message = None;
    let (mut peer, _, _) = peer_that_resumes(sender);
    let (attach, _) = peer.take(attach_sender("a"));
    let told: Vec<_> = attach.unsettled.unwrap().iter().map(|(_, state)| state.clone()).collect();
    let nowhere = DeliveryState::Received(Received { section_number: u32::MAX, section_offset: 0 });
    assert_eq!(told[1], Value::Null);
    let mut bytes = Vec::new();
    told[0].encode(&mut bytes);
    assert_eq!(DeliveryState::decode(&mut Reader::from_slice(&bytes)).unwrap(), nowhere);
}

fn keys(map: &Map) -> Vec<Value> {
    map.iter().map(|(key, _)| key.clone()).collect()
}

#[test]
fn an_attach_tells_what_is_not_settled() {
    let (mut peer, link, _) = resuming_peer(Role::Sender, 2);
    let (attach, _) = peer.take(attach_sender("a"));
    let map = attach.unsettled.unwrap();
    assert_eq!(keys(&map), [Value::Binary(b"\0".to_vec().into()), Value::Binary(b"\x01".to_vec().into())]);
    assert!(map.iter().all(|(_, state)| *state == Value::Null));
    assert_eq!((attach.incomplete_unsettled, attach.initial_delivery_count.unwrap().0), (false, 2));
    // A link that brings nothing along, but is resumed, tells an empty map; a new one none.
    let (mut peer, _, session) = resuming_peer(Role::Receiver, 0);
    assert_eq!(peer.take(attach_receiver("a")).0.unsettled, Some(Map::default()));
    peer.engine.attach(session, "b", Role::Sender, resumable()).unwrap();
    assert_eq!(peer.take(attach_sender("b").handle(1)).0.unsettled, None);
    let _ = link;
}

#[test]
fn a_refused_link_gives_back_what_it_brought_along() {
    for role in [Role::Sender, Role::Receiver] {
        let (mut peer, link, _) = resuming_peer(role, 3);
        let answer = match role {
            Role::Sender => attach_receiver("a").target(None),
            Role::Receiver => attach_sender("a").source(None),
        };
        peer.take_bytes();
        peer.send(answer).send(detach().closed(true).error(error("test:no")));
        let events = peer.events();
        assert!(
            !events.iter().any(|event| matches!(event, Event::Update(_) | Event::Reassociated { .. })),
            "{events:?}"
        );
        let state = peer.engine.release(link).unwrap();
        assert_eq!(state.unsettled.iter().map(|unsettled| unsettled.delivery.0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(state.unsettled[0].message.is_some(), role == Role::Sender);
    }
}

#[test]
fn a_peer_that_names_no_terminus_is_believed_once_it_gives_credit() {
    let (mut peer, _, _) = resuming_peer(Role::Sender, 1);
    peer.take_bytes();
    peer.send(attach_receiver("a").target(None));
    peer.expect_nothing();
    // It has no record of the delivery, which comes as a new one.
    peer.send(flow().handle(0).delivery_count(1).link_credit(1));
    let (again, payload) = peer.take(transfer(0).handle(0));
    assert_eq!((again.resume, again.delivery_tag), (false, Some(tag(0))));
    assert_eq!(payload, message());
}

#[test]
fn nothing_is_resumed_without_credit() {
    let (mut peer, link, _) = resuming_peer(Role::Sender, 2);
    peer.take_bytes();
    peer.send(attach_receiver("a")).expect_nothing();
    assert_eq!(peer.engine.sender(link).capacity(), 0);
    peer.send(flow().handle(0).delivery_count(2).link_credit(1));
    peer.take(transfer(0));
    peer.expect_nothing();
    peer.send(flow().handle(0).delivery_count(3).link_credit(5));
    peer.take(transfer(1));
    assert!(peer.events().contains(&Event::Resumed { link, complete: true, remembered: false }));
    assert_eq!(peer.engine.sender(link).capacity(), 4);
}

#[test]
fn a_map_that_is_none_detaches_the_link_alone() {
    let no_tag = Map(vec![(Value::from("tag"), Value::Null)]);
    let long_tag = Map(vec![(Value::Binary(vec![0; 33].into()), Value::Null)]);
    let no_state = Map(vec![(Value::Binary(vec![0].into()), Value::from(1u32))]);
    for map in [no_tag, long_tag, no_state] {
        let (mut peer, link, _) = resuming_peer(Role::Sender, 1);
        peer.take_bytes();
        peer.send(attach_receiver("a").with(|attach| attach.unsettled = Some(map)));
        peer.take(detach().condition(ErrorCondition::INVALID_FIELD));
        assert_eq!(peer.engine.error(), None);
        assert_eq!(peer.engine.release(link).unwrap().unsettled.len(), 1, "nothing was decided");
    }
}

#[test]
fn a_resumed_delivery_that_nobody_knows_is_ignored_to_its_end() {
    let (mut peer, link) = common::receiving_peer(Config::new("engine"), 5);
    let resume = |number: u32| transfer(number).with(|transfer| transfer.resume = true);
    peer.send(resume(0).more(true).payload(&b"unknown"[..])).send(continuation().payload(&b"rest"[..]));
    peer.send(resume(1).payload(&b"unknown"[..]));
    // Its owner hears that credit is gone, and can give some again.
    assert_eq!(peer.events(), [Event::Aborted(link), Event::Aborted(link)]);
    peer.send(transfer(2).payload(&b"known"[..]));
    let taken = received(&mut peer.engine, link);
    assert_eq!(taken.iter().map(|delivery| &delivery.payload[..]).collect::<Vec<_>>(), [b"known"]);
    assert_eq!(peer.engine.receiver(link).credit(), 2);
    assert_eq!(peer.engine.error(), None);
}

#[test]
fn a_receiver_with_all_of_a_message_takes_nothing_of_it_again() {
    let (mut peer, link, _) = resuming_peer(Role::Receiver, 1);
    peer.take_bytes();
    let told = Map(vec![(Value::Binary(vec![0].into()), Value::Null)]);
    peer.send(attach_sender("a").with(|attach| attach.unsettled = Some(told)));
    // All of it, from a sender that does not read what we told, and in two frames.
    let all = message();
    let first = transfer(0).delivery_tag(tag(0)).with(|transfer| (transfer.resume, transfer.more) = (true, true));
    peer.send(first.payload(all[..500].to_vec())).send(continuation().payload(all[500..].to_vec()));
    let events = peer.events();
    let previous = postroad_codec::v1_0::DeliveryNumber(0);
    let again = Event::Reassociated { link, tag: tag(0), previous, delivery: Some(previous), state: None };
    assert!(events.contains(&again), "{events:?}");
    assert_eq!(received(&mut peer.engine, link).len(), 0);
    peer.engine.receiver(link).dispose(previous, Some(DeliveryState::Accepted), true);
    peer.expect(disposition(Role::Receiver, 0).settled(true).state(DeliveryState::Accepted));
}

#[test]
fn an_outcome_of_the_senders_is_echoed_and_settled() {
    let (_, mut state) = states(1);
    state.unsettled[0].local_state = Some(rejected());
    let mut peer = ScriptedPeer::with_session(Config::new("engine"));
    peer.send(attach_sender("a").with(|attach| {
        attach.unsettled = Some(Map(vec![(Value::Binary(vec![0].into()), Value::Null)]));
    }));
    let link = peer.events().into_iter().find_map(|event| match event {
        Event::LinkIncoming(link) => Some(link),
        _ => None,
    });
    let link = link.unwrap();
    peer.engine.accept_resumed(link, &mut state, resumable()).unwrap();
    peer.take_bytes();
    let restated = transfer(0).delivery_tag(tag(0)).with(|transfer| {
        (transfer.resume, transfer.state) = (true, Some(DeliveryState::Accepted));
    });
    peer.send(restated);
    peer.expect(disposition(Role::Receiver, 0).settled(true).state(DeliveryState::Accepted));
    assert_eq!(peer.engine.release(link).unwrap().unsettled, []);
}

#[test]
fn a_state_stays_whole_when_the_link_cannot_be_attached() {
    let (mut state, _) = states(2);
    let before = state.clone();
    let mut engine = Connection::client(Config::new("engine"), None, std::time::Instant::now());
    let session = engine.begin().unwrap();
    engine.attach(session, "a", Role::Sender, resumable()).unwrap();
    assert_eq!(engine.resume(session, &mut state, resumable()), Err(LimitError::NameInUse));
    assert_eq!(state, before);
    let mut large = resumable();
    state.name = "b".into();
    large.properties = Some(postroad_codec::v1_0::Fields(Map(vec![(Value::from("x"), Value::from("y".repeat(600)))])));
    assert_eq!(engine.resume(session, &mut state, large), Err(LimitError::FrameSize));
    assert_eq!(state.unsettled, before.unsettled);
}
