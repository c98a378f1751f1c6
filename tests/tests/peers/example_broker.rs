//! The broker of Proton C++'s examples.

use std::time::{Duration, Instant};

use postroad_client::types::Value;
use postroad_client::{Expiry, Guarantee, LinkOptions, Message, Node, Receiver};
use postroad_tests::ours::{connect, run, soon};
use postroad_tests::peers::{ExampleBroker, Skipped};
use serde_json::Value as Json;

use super::through::Between;
use super::{Known, cuts, dissect, proton_cpp::PROTON_CPP};

/// docs/protocol/peers.md, Proton C++: a message is read and written anew on its way.
const EXAMPLE_BROKER: Known =
    Known { returns, sends_settled: false, gives_back: false, has_idle_timeout: false, ..PROTON_CPP };

fn returns(name: &str, value: &Value) -> Option<Json> {
    // Each copy on the way leaves another section around this one.
    if name == "described described" { None } else { (PROTON_CPP.returns)(name, value) }
}

pub(crate) fn example_broker() -> Result<Between, Skipped> {
    let broker = ExampleBroker::start()?;
    let (name, port) = ("proton-cpp example broker", broker.port());
    Ok(Between { name, port, user: "", address: str::to_owned, _example: Some(broker), _relay: None })
}

suite! {
    example_broker, EXAMPLE_BROKER,
    through::{
        through_bodies_of_every_type, through_properties_of_every_type, through_header_properties_and_sections,
        through_bodies_of_every_size, through_messages_at_credit_1, through_settled_messages, through_1000_links,
        through_an_idle_connection_both_keep_alive, through_a_broker_that_says_nothing_is_given_up,
        through_a_client_that_says_nothing_is_given_up,
    },
    cuts::{through_100_cuts_at_least_once},
}

#[test]
fn tshark_reads_every_frame() {
    dissect::every_frame_through(example_broker(), &EXAMPLE_BROKER);
}

/// The broker, or a named skip.
macro_rules! broker {
    () => {
        match ExampleBroker::start() {
            Ok(broker) => broker,
            Err(skipped) => return skipped.report(),
        }
    };
}

#[test]
fn dynamic_queues_have_a_name() {
    let broker = broker!();
    run(async {
        let session = connect(&broker.url()).await.unwrap().session().await.unwrap();
        let mut receiver: Receiver = soon(session.receiver(Node::dynamic())).await.unwrap();
        let address = receiver.address().expect("the broker has named it");
        let sender = soon(session.sender(&*address)).await.unwrap();
        soon(sender.send(&Message::from("to and fro"))).await.unwrap();
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("to and fro"));
    });
}

#[test]
fn a_drain_is_never_answered() {
    let broker = broker!();
    run(async {
        let session = connect(&broker.url()).await.unwrap().session().await.unwrap();
        let mut receiver = session.receiver("empty").await.unwrap();
        let started = Instant::now();
        assert!(soon(receiver.fetch(Duration::ZERO)).await.unwrap().is_none());
        // Our client has waited a while for the answer, and goes on without.
        assert!(started.elapsed() > Duration::from_secs(1), "answered within {:?}", started.elapsed());
        let sender = session.sender("empty").await.unwrap();
        soon(sender.send(&Message::from("after all"))).await.unwrap();
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("after all"));
    });
}

#[test]
fn a_value_described_twice_gathers_sections() {
    let broker = broker!();
    run(async {
        let session = connect(&broker.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("twice").await.unwrap();
        let twice = Value::described(1u64, Value::described(2u64, true));
        soon(sender.send(&Message::from(twice.clone()))).await.unwrap();
        let mut receiver = session.receiver("twice").await.unwrap();
        let got = soon(receiver.receive()).await.unwrap();
        let Some(Value::Described(around)) = got.value() else { panic!("{got:?}") };
        assert_eq!(around.descriptor, Value::from(0x77u64));
        assert_ne!(around.value, twice);
    });
}

#[test]
fn a_message_is_gone_whatever_becomes_of_it() {
    let broker = broker!();
    run(async {
        let session = connect(&broker.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("gone").await.unwrap();
        let mut receiver = session.receiver("gone").await.unwrap();
        for release in [true, false] {
            soon(sender.send(&Message::from("once"))).await.unwrap();
            let got = soon(receiver.receive()).await.unwrap();
            let told = if release { receiver.release(&got) } else { receiver.modify(&got, true, false, None) };
            told.unwrap();
            assert!(soon(receiver.fetch(Duration::from_millis(300))).await.unwrap().is_none(), "release: {release}");
        }
    });
}

#[test]
fn a_filter_is_echoed_and_not_applied() {
    let broker = broker!();
    run(async {
        let session = connect(&broker.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("filtered").await.unwrap();
        let mut receiver = super::through::selecting(&session, "filtered").await;
        assert_eq!(receiver.remote().unwrap().filters.len(), 1);
        soon(sender.send(&Message::from("not wanted"))).await.unwrap();
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("not wanted"));
    });
}

#[test]
fn exactly_once_is_refused_though_the_expiry_is_echoed() {
    let broker = broker!();
    run(async {
        let session = connect(&broker.url()).await.unwrap().session().await.unwrap();
        let mut once = LinkOptions::default();
        once.guarantee = Guarantee::ExactlyOnce;
        let error = soon(session.sender_with("once", once.clone())).await.unwrap_err();
        assert!(cuts::missing(&error).contains("rcv-settle-mode first"), "{error}");
        let error = soon(session.receiver_with("once", once)).await.unwrap_err();
        assert!(cuts::missing(&error).contains("rcv-settle-mode first"), "{error}");
        // The session goes on, and here is what alone would have looked like a link that is remembered.
        let expiry = Some(Expiry::ConnectionClose(Duration::from_secs(60)));
        let node = Node { expiry, ..Node::at("once") };
        let mut receiver: Receiver = soon(session.receiver(node)).await.unwrap();
        assert_eq!(receiver.remote().unwrap().expiry, expiry);
        let sender = soon(session.sender("once")).await.unwrap();
        soon(sender.send(&Message::from("at least once"))).await.unwrap();
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("at least once"));
    });
}

#[test]
fn what_a_lost_receiver_had_not_settled_is_gone() {
    let broker = broker!();
    run(async {
        let proxy = cuts::before(broker.port()).await;
        let (_connection, session) = cuts::session(&proxy, "").await;
        let sender = soon(session.sender("lost")).await.unwrap();
        let mut receiver = soon(session.receiver("lost")).await.unwrap();
        soon(sender.send(&Message::from("one"))).await.unwrap();
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("one"));
        proxy.cut_all();
        // The first ones may go where the lost one was.
        let next = async {
            loop {
                soon(sender.send(&Message::from("two"))).await.unwrap();
                if let Some(next) = receiver.fetch(Duration::from_millis(300)).await.unwrap() {
                    break next;
                }
            }
        };
        assert_eq!(soon(next).await.text(), Some("two"));
        while let Some(next) = soon(receiver.fetch(Duration::from_millis(300))).await.unwrap() {
            assert_eq!(next.text(), Some("two"));
        }
    });
}
