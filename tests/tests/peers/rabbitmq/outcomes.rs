//! What RabbitMQ makes of accept, reject, release and modify.

use std::time::Duration;

use postroad_client::types::{ErrorCondition, Fields, Map, PeerError, Symbol};
use postroad_client::{Distribution, LinkError, LinkOptions, Message, Node, Outcome, ReceiveError, Receiver, Session};
use postroad_tests::ours::{connect, run, soon};
use postroad_tests::peers::RabbitMq;

const WAIT: Duration = Duration::from_secs(1);

async fn session(rabbitmq: &RabbitMq) -> Session {
    connect(&rabbitmq.url()).await.unwrap().session().await.unwrap()
}

async fn one_by_one(session: &Session, node: impl Into<Node>) -> Receiver {
    let mut options = LinkOptions::default();
    options.prefetch = 0;
    soon(session.receiver_with(node, options)).await.unwrap()
}

async fn with_one_message(session: &Session, address: &str) -> Receiver {
    let sender = soon(session.sender(address)).await.unwrap();
    assert_eq!(soon(sender.send(&Message::from("one"))).await, Ok(Outcome::Accepted));
    one_by_one(session, address).await
}

#[test]
fn what_each_outcome_does_to_the_message() {
    let rabbitmq = rabbitmq!();
    run(async {
        let session = session(rabbitmq).await;
        let why = PeerError::new(ErrorCondition(Symbol::from_static("x:bad")), "not this one");
        let cases = [
            // Gone: accepted, and rejected without a dead-letter exchange.
            ("accept", Outcome::Accepted, false),
            ("reject", Outcome::Rejected(None), false),
            ("reject-why", Outcome::Rejected(Some(why)), false),
            ("release", Outcome::Released, true),
        ];
        for (name, outcome, comes_back) in cases {
            let address = format!("/queue/ours-outcome-{name}");
            let mut receiver = with_one_message(&session, &address).await;
            let first = soon(receiver.receive()).await.unwrap();
            assert!(first.first_acquirer(), "{name}");
            session.settle(&first, outcome).unwrap();
            let wait = if comes_back { Duration::from_secs(10) } else { WAIT };
            let again = soon(receiver.fetch(wait)).await.unwrap();
            assert_eq!(again.is_some(), comes_back, "{name}");
            if let Some(again) = again {
                // That it is not new is all that is told.
                assert_eq!((again.first_acquirer(), again.delivery_count()), (false, 0), "{name}");
                receiver.accept(&again).unwrap();
            }
        }
    });
}

#[test]
fn modified_ends_the_session_and_gives_the_message_back() {
    let rabbitmq = rabbitmq!();
    run(async {
        let connection = connect(&rabbitmq.url()).await.unwrap();
        let annotations = Fields(Map(vec![(Symbol::from_static("x-opt-a").into(), 1u32.into())]));
        let cases = [
            ("neither", false, false, None),
            ("failed", true, false, None),
            ("undeliverable", false, true, None),
            ("annotations", true, true, Some(annotations)),
        ];
        for (name, delivery_failed, undeliverable_here, annotations) in cases {
            let address = format!("/queue/ours-modified-{name}");
            let session = connection.session().await.unwrap();
            let mut receiver = with_one_message(&session, &address).await;
            let first = soon(receiver.receive()).await.unwrap();
            receiver.modify(&first, delivery_failed, undeliverable_here, annotations).unwrap();
            let error = soon(receiver.receive()).await.unwrap_err();
            let ReceiveError::Link(LinkError::SessionEnded(Some(error))) = error else { panic!("{name}: {error:?}") };
            assert_eq!(error.condition, ErrorCondition::INVALID_FIELD, "{name}");
            assert!(error.description.unwrap().starts_with("Unrecognised state"), "{name}");

            let session = connection.session().await.unwrap();
            let mut receiver = one_by_one(&session, &*address).await;
            let again = soon(receiver.receive()).await.unwrap();
            assert_eq!((again.first_acquirer(), again.delivery_count()), (false, 0), "{name}");
            assert_eq!(again.annotations(), None, "{name}");
            receiver.accept(&again).unwrap();
        }
    });
}

#[test]
fn what_nobody_settled_comes_again_when_its_receiver_is_gone() {
    let rabbitmq = rabbitmq!();
    run(async {
        let session = session(rabbitmq).await;
        let sender = soon(session.sender("/queue/ours-again")).await.unwrap();
        soon(sender.send(&Message::from("again"))).await.unwrap();
        let other = connect(&rabbitmq.url()).await.unwrap();
        let mut receiver = one_by_one(&other.session().await.unwrap(), "/queue/ours-again").await;
        let first = soon(receiver.receive()).await.unwrap();
        drop(receiver);
        soon(other.close()).await.unwrap();
        assert!(first.first_acquirer());
        let mut receiver = one_by_one(&session, "/queue/ours-again").await;
        let again = soon(receiver.receive()).await.unwrap();
        assert!(!again.first_acquirer());
        receiver.accept(&again).unwrap();
    });
}

#[test]
fn copy_consumes() {
    let rabbitmq = rabbitmq!();
    run(async {
        let session = session(rabbitmq).await;
        let sender = soon(session.sender("/queue/ours-copy")).await.unwrap();
        soon(sender.send(&Message::from("seen once"))).await.unwrap();
        let node = Node { distribution: Some(Distribution::Copy), ..Node::at("/queue/ours-copy") };
        let mut browser = one_by_one(&session, node).await;
        let seen = soon(browser.receive()).await.unwrap();
        browser.accept(&seen).unwrap();
        soon(browser.close()).await.unwrap();
        let mut receiver = one_by_one(&session, "/queue/ours-copy").await;
        assert!(soon(receiver.fetch(WAIT)).await.unwrap().is_none());
    });
}

#[test]
fn an_empty_queue_is_known_at_once() {
    let rabbitmq = rabbitmq!();
    run(async {
        let session = session(rabbitmq).await;
        let mut receiver = soon(session.receiver("/queue/ours-empty")).await.unwrap();
        let started = std::time::Instant::now();
        assert!(soon(receiver.fetch(Duration::ZERO)).await.unwrap().is_none());
        assert!(started.elapsed() < Duration::from_secs(1), "the drain was not answered: {:?}", started.elapsed());
        let sender = soon(session.sender("/queue/ours-empty")).await.unwrap();
        soon(sender.send(&Message::from("one"))).await.unwrap();
        let got = soon(receiver.fetch(Duration::from_secs(10))).await.unwrap().unwrap();
        receiver.accept(&got).unwrap();
        assert!(soon(receiver.fetch(Duration::ZERO)).await.unwrap().is_none());
    });
}

#[test]
fn a_filter_is_echoed_and_not_applied() {
    let rabbitmq = rabbitmq!();
    run(async {
        let session = session(rabbitmq).await;
        let sender = soon(session.sender("/queue/ours-filtered")).await.unwrap();
        let mut receiver = crate::through::selecting(&session, "/queue/ours-filtered").await;
        assert_eq!(receiver.remote().unwrap().filters.len(), 1);
        soon(sender.send(&Message::from("not wanted"))).await.unwrap();
        let got = soon(receiver.receive()).await.unwrap();
        assert_eq!(got.text(), Some("not wanted"));
        receiver.accept(&got).unwrap();
    });
}
