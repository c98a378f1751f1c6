//! fe2o3-amqp 0.18.

use std::time::Duration;

use postroad_client::types::{ErrorCondition, PeerError, Value};
use postroad_client::{AttachError, ConnectionEvent, Guarantee, LinkError, LinkOptions, Message, Outcome, SendError};
use postroad_codec::v1_0::{Attach, Frame, Performative};
use postroad_testkit::faults::{At, Direction, FrameKind, Point, Rule};
use postroad_tests::capture::{Capture, Side};
use postroad_tests::ours::{SOON, connect, run, soon};
use postroad_tests::peers::Listener;
use postroad_tests::{peers, typed};
use serde_json::{Value as Json, json};

use super::{Known, broker, cuts, dissect, numbered, numbers, peer_sends, url};

/// docs/protocol/peers.md, fe2o3-amqp.
const FE2O3: Known = Known {
    reads,
    writes,
    echoes,
    returns: echoes,
    tells_open: false,
    tells_idle: false,
    tls_conditions: ["UnknownIssuer", "NotValidForNameContext"],
    ..Known::NOTHING
};

/// What serde_amqp neither reads nor writes.
const UNKNOWN: [&str; 6] = [
    "array of list",
    "array of map",
    "array of arrays",
    "array of null",
    "array of described",
    "described by a string",
];

fn reads(name: &str, value: &Value) -> Option<Json> {
    let cannot = UNKNOWN.contains(&name) || name == "array empty";
    (!cannot).then(|| typed::value_to_json(value))
}

/// Our peer program has no bytes of a message, and gives back null for what it has not read.
fn echoes(name: &str, value: &Value) -> Option<Json> {
    Some(reads(name, value).unwrap_or_else(|| json!({"t": "null"})))
}

fn writes(name: &str, value: &Value) -> Option<Json> {
    if name == "array empty" {
        // Written without the constructor that 1.6.24 asks for, so that its type is lost.
        return Some(json!({"t": "array", "of": "null", "v": []}));
    }
    (!UNKNOWN.contains(&name)).then(|| typed::value_to_json(value))
}

suite! {
    peers::fe2o3, FE2O3,
    client_values::{
        client_bodies_of_every_type, client_properties_of_every_type, client_header_and_properties, client_bodies_of_every_size,
        client_sections_of_every_kind,
    },
    client_links::{
        client_learns_every_outcome_of_the_peer, client_outcomes_are_seen_by_the_peer, client_passes_messages_at_credit_1,
        client_has_1000_links,
    },
    client_access::{
        client_and_idle_peer_keep_each_other_alive, client_gives_up_a_peer_that_says_nothing, client_that_says_nothing_is_given_up,
        client_comes_in_with_the_right_password, client_checks_the_certificate,
    },
    broker_values::{
        broker_bodies_of_every_type, broker_properties_of_every_type, broker_header_and_properties, broker_bodies_of_every_size,
    },
    broker_links::{
        broker_acts_on_every_outcome_of_the_peer, broker_refuses_and_the_peer_is_told, broker_passes_messages_at_credit_1,
        broker_takes_settled_messages, broker_has_1000_links_of_a_connection, broker_gives_a_dynamic_source,
    },
    broker_access::{
        broker_and_idle_peer_keep_each_other_alive, broker_gives_up_a_peer_that_says_nothing, broker_that_says_nothing_is_given_up, broker_lets_the_right_user_in,
        broker_shows_its_certificate,
    },
}

/// The peer, or a named skip.
macro_rules! fe2o3 {
    () => {
        match peers::fe2o3() {
            Ok(fe2o3) => fe2o3,
            Err(skipped) => return skipped.report(),
        }
    };
}

#[test]
fn a_drain_drops_the_credit_that_a_message_waits_for() {
    let fe2o3 = fe2o3!();
    run(async {
        let listener = fe2o3.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let mut options = LinkOptions::default();
        options.prefetch = 0;
        let mut dropped = 0;
        for _ in 0..20 {
            let mut receiver = soon(session.receiver_with("generate/2/1", options.clone())).await.unwrap();
            // Where credit and drain are read at once, the sender's program does not get its turn.
            let mut left = match soon(receiver.fetch(Duration::ZERO)).await.unwrap() {
                None => 2,
                Some(message) => {
                    receiver.accept(&message).unwrap();
                    1
                }
            };
            dropped += left - 1;
            while left > 0 {
                let message = soon(receiver.receive()).await.unwrap();
                receiver.accept(&message).unwrap();
                left -= 1;
            }
            soon(receiver.close()).await.unwrap();
        }
        assert!(dropped > 0);
    });
}

fn panic_unless_link(error: AttachError) -> LinkError {
    match error {
        AttachError::Link(error) => error,
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_refusal_looks_like_an_acceptance_until_its_detach() {
    let fe2o3 = fe2o3!();
    run(async {
        let capture = Capture::new();
        let listener = fe2o3.recorded(&capture).listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let told = LinkError::Detached(PeerError::new(ErrorCondition::NOT_FOUND, "refused as the address asks"));
        // The answer has a target, so that the link may count as attached until the detach is read.
        let ended = match soon(session.sender("refuse/amqp:not-found")).await {
            Ok(sender) => soon(sender.closed()).await,
            Err(error) => panic_unless_link(error),
        };
        assert_eq!(ended, told);
        let ended = match soon(session.receiver("refuse/amqp:not-found")).await {
            Ok(receiver) => soon(receiver.closed()).await,
            Err(error) => panic_unless_link(error),
        };
        assert_eq!(ended, told);
        let answers: Vec<Attach> = capture.frames()[0]
            .iter()
            .filter_map(|(side, frame)| match Frame::decode(frame) {
                Ok(Frame::Amqp { performative: Performative::Attach(attach), .. }) if *side == Side::Server => {
                    Some(*attach)
                }
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 2);
        assert!(answers.iter().all(|attach| attach.source.is_some() && attach.target.is_some()), "{answers:?}");
        let sender = soon(session.sender("q")).await.unwrap();
        soon(sender.send(&Message::from("the session goes on"))).await.unwrap();
    });
}

#[test]
fn a_drain_takes_the_credit_and_the_program_is_not_told() {
    let fe2o3 = fe2o3!();
    run(async {
        let broker = broker().await;
        peer_sends(&fe2o3, url(&broker), "few", &(0..3).map(numbered).collect::<Vec<_>>(), &[]);
        let mut receiver = fe2o3.receiver(url(&broker), "few", 10, &["--drain", "--wait", "6"]).unwrap();
        let got: Vec<Json> = (0..3).map(|_| receiver.event("message", SOON).unwrap()).collect();
        assert_eq!(numbers(&got), [0, 1, 2]);
        // Its credit is used up: what comes later stays.
        peer_sends(&fe2o3, url(&broker), "few", &[numbered(3)], &[]);
        let rest = receiver.finish(Duration::from_secs(30)).unwrap();
        assert_eq!((rest.code, rest.named("message").count(), rest.named("drained").count()), (Some(2), 0, 0));
        assert_eq!(broker.queue_stats("few").unwrap().ready, 1);
    });
}

#[test]
fn tshark_reads_every_frame() {
    dissect::every_frame(peers::fe2o3(), &FE2O3, &[&dissect::CLIENT[..], &dissect::BROKER]);
}

/// Cuts a connection before the next outcome that the peer tells.
fn before_an_outcome() -> Rule {
    let at = At::frame(FrameKind::Disposition).at(Point::Before);
    Rule { direction: Some(Direction::ToClient), ..Rule::cut(at) }
}

/// Bodies of so many messages that have come to the peer, and of those that come within a while after them.
fn came(listener: &mut Listener, count: usize) -> Vec<String> {
    let mut messages = listener.messages(count).unwrap();
    let more = || listener.process().event("message", Duration::from_millis(300)).ok();
    messages.extend(std::iter::from_fn(more));
    messages.iter().map(|message| super::body(message).unwrap()["v"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_link_is_attached_anew_and_nothing_is_lost() {
    let fe2o3 = fe2o3!();
    run(async {
        let mut listener = fe2o3.listen(&[]).unwrap();
        let proxy = cuts::before(listener.port()).await;
        let (connection, session) = cuts::session(&proxy, "").await;
        let sender = soon(session.sender("kept")).await.unwrap();
        soon(sender.send(&Message::from("one"))).await.unwrap();
        proxy.arm(before_an_outcome());
        // It has come, and comes again, since the outcome was lost.
        assert_eq!(soon(sender.send(&Message::from("two"))).await, Ok(Outcome::Accepted));
        assert_eq!(proxy.stats().cuts, 1);
        assert_eq!(came(&mut listener, 3), ["one", "two", "two"]);
        let mut receiver = soon(session.receiver("echo")).await.unwrap();
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("one"));
        proxy.cut_all();
        // A link of the same name is another one, which has all messages of the program to come.
        let mut again = Vec::new();
        while again.last().is_none_or(|last| last != "one") {
            again.push(soon(receiver.receive()).await.unwrap().text().unwrap().to_owned());
        }
        for text in ["two", "two"] {
            let message = soon(receiver.receive()).await.unwrap();
            assert_eq!(message.text(), Some(text));
            receiver.accept(&message).unwrap();
        }
        soon(connection.close()).await.unwrap();
    });
}

#[test]
fn exactly_once_is_granted_and_the_link_forgotten() {
    let fe2o3 = fe2o3!();
    run(async {
        let mut listener = fe2o3.listen(&[]).unwrap();
        let proxy = cuts::before(listener.port()).await;
        let (connection, session) = cuts::session(&proxy, "").await;
        let mut events = connection.events();
        let mut once = LinkOptions::default();
        once.guarantee = Guarantee::ExactlyOnce;
        // The answer has mode second, and the expiry that was asked for.
        let sender = soon(session.sender_with("kept", once)).await.unwrap();
        soon(sender.send(&Message::from("one"))).await.unwrap();
        proxy.arm(before_an_outcome());
        // Nobody knows any more whether it has come, so that it is neither sent again nor called lost.
        let error = soon(sender.send(&Message::from("two"))).await.unwrap_err();
        assert!(matches!(error, SendError::InDoubt(_)), "{error:?}");
        let in_doubt = async {
            loop {
                if let ConnectionEvent::InDoubt { messages, .. } = events.next().await.expect("it goes on") {
                    break messages;
                }
            }
        };
        assert_eq!(soon(in_doubt).await, 1);
        assert_eq!(soon(sender.send(&Message::from("three"))).await, Ok(Outcome::Accepted));
        assert_eq!(came(&mut listener, 3), ["one", "two", "three"]);
        soon(connection.close()).await.unwrap();
    });
}
