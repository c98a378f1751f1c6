//! No frame leaves that is larger than the peer takes, whatever the owner says.

mod common;

use common::{config, incoming, tag};
use postroad_amqp::v1_0::{Config, Event, LimitError, LinkTerms, Message, SendError};
use postroad_codec::v1_0::{
    DeliveryState, Described, Encode, Error, ErrorCondition, Fields, Frame, Map, Modified, Outcome, Performative,
    ProtocolHeader, Rejected, Role, Source, Symbol, Target, TransactionId, TransactionalState, Value,
};
use postroad_testkit::{
    ScriptedPeer, attach_receiver, attach_sender, begin, close, detach, disposition, end, flow, open, transfer,
};

/// What every peer takes, and this one no more.
const LIMIT: usize = 512;

fn fields(bytes: usize) -> Fields {
    let mut map = Map::default();
    map.insert(Symbol::from_static("x-much"), "m".repeat(bytes));
    Fields(map)
}

/// An error that explains itself at length, in characters of three bytes.
fn wordy() -> Error {
    let info = Some(fields(600));
    Error { info, ..Error::new(ErrorCondition::NOT_FOUND, "\u{20ac}".repeat(300)) }
}

/// The peer of an engine that serves, which takes small frames and has a session.
fn small_peer() -> ScriptedPeer {
    let mut peer = ScriptedPeer::of_server(config());
    peer.send_header(ProtocolHeader::AMQP).send(open().max_frame_size(LIMIT as u32)).send(begin());
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin());
    peer.events();
    peer
}

/// What of the error was told: the condition, and the start of the description.
#[track_caller]
fn assert_clipped(error: Option<&Error>) {
    let error = error.expect("an error");
    assert_eq!((&error.condition, &error.info), (&ErrorCondition::NOT_FOUND, &None));
    let text = error.description.as_deref().expect("it says something");
    let start = text.strip_suffix("...").expect("it says that there was more");
    assert!(start.len() > 300 && "\u{20ac}".repeat(300).starts_with(start), "{text}");
}

/// Checks the size of each frame that is there, and gives the last.
#[track_caller]
fn last_frame(peer: &mut ScriptedPeer) -> Performative {
    let bytes = peer.take_bytes();
    let (mut at, mut last) = (0, None);
    while at < bytes.len() {
        let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        assert!(size <= LIMIT, "a frame of {size} bytes");
        last = Some(Frame::decode(&bytes.slice(at..at + size)).unwrap());
        at += size;
    }
    match last {
        Some(Frame::Amqp { performative, .. }) => performative,
        other => panic!("{other:?}"),
    }
}

#[test]
fn errors_are_told_as_far_as_they_fit() {
    let mut peer = small_peer();
    let link = incoming(&mut peer, attach_sender("a"), LinkTerms::default());
    peer.engine.detach(link, true, Some(wordy()));
    let Performative::Detach(told) = last_frame(&mut peer) else { panic!("no detach") };
    assert_clipped(told.error.as_deref());

    let session = peer.engine.session_of(link).unwrap();
    peer.engine.end(session, Some(wordy()));
    let Performative::End(told) = last_frame(&mut peer) else { panic!("no end") };
    assert_clipped(told.error.as_deref());

    peer.engine.close(Some(wordy()));
    let Performative::Close(told) = last_frame(&mut peer) else { panic!("no close") };
    assert_clipped(told.error.as_deref());
}

#[test]
fn a_condition_that_fits_nowhere_is_an_internal_error() {
    let mut peer = small_peer();
    let condition = ErrorCondition(Symbol::new("c".repeat(1000)).unwrap());
    peer.engine.close(Some(Error::new(condition, "and why")));
    peer.expect(close().condition(ErrorCondition::INTERNAL_ERROR)).expect_nothing();
}

#[test]
fn a_violation_is_told_within_the_limit() {
    let mut peer = small_peer();
    // The name of what cannot be read goes into the description.
    let name = "n".repeat(2000);
    peer.send(attach_sender(&name).handle(0).with(|attach| attach.role = Role::Sender)).events();
    peer.send(attach_sender(&name).handle(0));
    let Performative::End(told) = last_frame(&mut peer) else { panic!("no end") };
    assert_eq!(told.error.unwrap().condition, ErrorCondition::HANDLE_IN_USE);
}

#[test]
fn outcomes_are_told_as_far_as_they_fit() {
    let rejected = || Rejected { error: Some(wordy()) };
    let modified =
        || Modified { delivery_failed: Some(true), message_annotations: Some(fields(600)), ..Modified::default() };
    let within = |outcome| {
        let txn_id = TransactionId(vec![7; 32].into());
        DeliveryState::Transactional(Box::new(TransactionalState { txn_id, outcome: Some(outcome) }))
    };
    let other = Described { descriptor: 7u64.into(), value: Value::from("o".repeat(600)) };
    let states = [
        DeliveryState::Rejected(Box::new(rejected())),
        DeliveryState::Modified(Box::new(modified())),
        within(Outcome::Rejected(Box::new(rejected()))),
        within(Outcome::Modified(Box::new(modified()))),
        DeliveryState::Other(Box::new(other)),
    ];
    for state in states {
        let mut peer = small_peer();
        let link = incoming(&mut peer, attach_sender("a"), LinkTerms::default());
        peer.engine.receiver(link).set_credit(10);
        peer.take_bytes();
        peer.send(transfer(0).payload(&b"x"[..]));
        let number = peer.engine.receiver(link).take().unwrap().number;
        peer.engine.receiver(link).dispose(number, Some(state.clone()), true);
        let Performative::Disposition(told) = last_frame(&mut peer) else { panic!("no disposition") };
        assert!(told.settled);
        match (told.state, state) {
            (Some(DeliveryState::Rejected(told)), DeliveryState::Rejected(_)) => assert_clipped(told.error.as_ref()),
            (Some(DeliveryState::Modified(told)), DeliveryState::Modified(_)) => {
                assert_eq!((told.delivery_failed, told.message_annotations), (Some(true), None));
            }
            (Some(DeliveryState::Transactional(told)), DeliveryState::Transactional(said)) => {
                assert_eq!(told.txn_id, said.txn_id);
                match told.outcome {
                    Some(Outcome::Rejected(told)) => assert_clipped(told.error.as_ref()),
                    Some(Outcome::Modified(told)) => assert_eq!(told.message_annotations, None),
                    other => panic!("{other:?}"),
                }
            }
            (None, DeliveryState::Other(_)) => {}
            (told, said) => panic!("{told:?} for {said:?}"),
        }
    }
}

#[test]
fn what_decides_something_is_refused_instead() {
    let mut peer = small_peer();
    let link = incoming(&mut peer, attach_receiver("a"), LinkTerms::default());
    let session = peer.engine.session_of(link).unwrap();
    peer.send(flow().handle(0).link_credit(10)).take_bytes();

    let terms = LinkTerms { properties: Some(fields(600)), ..LinkTerms::default() };
    assert_eq!(peer.engine.attach(session, "b", Role::Sender, terms), Err(LimitError::FrameSize));
    assert!(!peer.engine.set_flow_properties(link, Some(fields(450))));
    peer.expect_nothing();
    assert!(peer.engine.set_flow_properties(link, Some(fields(380))));
    let Performative::Flow(told) = last_frame(&mut peer) else { panic!("no flow") };
    assert_eq!(told.properties.as_deref(), Some(&fields(380)));

    let state = |length: usize| {
        let state = TransactionalState { txn_id: TransactionId(vec![7; length].into()), outcome: None };
        Some(DeliveryState::Transactional(Box::new(state)))
    };
    let large = Message { state: state(450), ..Message::new(b"x", tag(0), 0) };
    assert_eq!(peer.engine.sender(link).send(&large), Err(SendError::State));
    peer.expect_nothing();
    let small = Message { state: state(200), ..Message::new(&[7; 1000], tag(0), 0) };
    peer.engine.sender(link).send(&small).unwrap();
    let Performative::Transfer(told) = last_frame(&mut peer) else { panic!("no transfer") };
    assert!(!told.more);
}

#[test]
fn an_open_goes_without_what_does_not_fit() {
    let large = || {
        let mut config = Config::new("large");
        config.properties = Some(fields(600));
        config.offered_capabilities = [Symbol::from_static("offered")].into_iter().collect();
        config
    };
    // Nobody knows yet what the server takes.
    let mut peer = ScriptedPeer::of_client(large());
    peer.expect_header(ProtocolHeader::AMQP);
    let (told, _) = peer.take(open());
    assert!(large().open_len() > LIMIT && told.encoded_len() < LIMIT);
    assert_eq!((&*told.container_id, told.properties, told.offered_capabilities.len()), ("large", None, 1));

    // A server knows its client.
    for (limit, expected) in [(LIMIT as u32, None), (4096, Some(fields(600)))] {
        let mut peer = ScriptedPeer::of_server(large());
        peer.send_header(ProtocolHeader::AMQP).send(open().max_frame_size(limit));
        peer.expect_header(ProtocolHeader::AMQP);
        assert_eq!(peer.take(open()).0.properties, expected);
    }
}

#[test]
fn before_the_peer_has_opened_only_what_every_peer_takes_goes_out() {
    let mut peer = ScriptedPeer::of_client(config());
    let session = peer.engine.begin().unwrap();
    assert_eq!(peer.engine.begin(), Err(LimitError::NoneFree), "channel 0 alone is known to be there");
    let terms = |bytes: usize| LinkTerms {
        source: Some(Source::at("a".repeat(bytes))),
        target: Some(Target::default().into()),
        ..LinkTerms::default()
    };
    assert_eq!(peer.engine.attach(session, "a", Role::Receiver, terms(500)), Err(LimitError::FrameSize));
    peer.engine.attach(session, "a", Role::Receiver, terms(300)).unwrap();
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin()).expect(attach_receiver("a"));
    peer.expect_nothing();

    peer.send_header(ProtocolHeader::AMQP).send(open().channel_max(1));
    peer.engine.attach(session, "b", Role::Receiver, terms(500)).unwrap();
    peer.engine.begin().unwrap();
    peer.expect(attach_receiver("b")).expect(begin().channel(1)).expect_nothing();
}

#[test]
fn links_beyond_the_handles_of_a_begin_end_their_session() {
    for (handle_max, fits) in [(1, true), (0, false)] {
        let mut peer = ScriptedPeer::of_client(config());
        peer.expect_header(ProtocolHeader::AMQP).expect(open());
        peer.send_header(ProtocolHeader::AMQP).send(open());
        let session = peer.engine.begin().unwrap();
        let links = ["a", "b"].map(|name| {
            peer.engine.attach(session, name, Role::Sender, LinkTerms::default()).expect("nobody knows better")
        });
        peer.expect(begin()).expect(attach_sender("a").handle(0)).expect(attach_sender("b").handle(1));
        peer.events();
        peer.send(begin().remote_channel(0).handle_max(handle_max));
        let events = peer.events();
        if fits {
            assert_eq!(events, [Event::SessionBegun(session)]);
            peer.expect_nothing();
            continue;
        }
        let [Event::SessionBegun(_), Event::SessionEnded { session: ended, error: Some(error) }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((*ended, &error.condition), (session, &ErrorCondition::NOT_ALLOWED));
        peer.expect(end().condition(ErrorCondition::NOT_ALLOWED)).expect_nothing();
        // The connection goes on, and what the links held comes back.
        assert!(links.iter().all(|link| peer.engine.release(*link).is_some()));
        peer.send(detach().handle(0)).send(disposition(Role::Receiver, 0)).send(end());
        assert_eq!(peer.result(), Ok(()));
        peer.engine.begin().unwrap();
        peer.expect(begin());
    }
}
