//! Terms of links: settle modes, names, credit, drain, limits.

use std::time::{Duration, Instant};

use postroad_amqp::v1_0::LimitError;
use postroad_client::types::{Bytes, Value};
use postroad_client::{AttachError, Guarantee, LinkOptions, Message, Node, Outcome, SendError};
use postroad_codec::v1_0::{Frame, Performative};
use postroad_tests::capture::{Capture, Side};
use postroad_tests::ours::{connect, run, soon, take};

fn at_most_once() -> LinkOptions {
    let mut options = LinkOptions::default();
    options.guarantee = Guarantee::AtMostOnce;
    options
}

#[test]
fn messages_sent_at_most_once_are_settled_both_ways() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender_with("q", at_most_once()).await.unwrap();
        assert_eq!(listener.event("attach").unwrap()["snd_settle_mode"], "settled");
        // The peer's wish comes too late for a message that is settled.
        let message = Message::from("once").with_property("outcome", "reject");
        assert_eq!(soon(sender.send(&message)).await.unwrap(), Outcome::Accepted);
        soon(sender.sync()).await.unwrap();
        assert_eq!(listener.event("message").unwrap()["settled"], true);

        let mut receiver = session.receiver_with("echo", at_most_once()).await.unwrap();
        assert_eq!(listener.event("attach").unwrap()["snd_settle_mode"], "settled");
        let message = soon(receiver.receive()).await.unwrap();
        assert!(message.is_settled());
        receiver.accept(&message).unwrap();

        let sender = session.sender("q").await.unwrap();
        let attach = listener.event("attach").unwrap();
        assert_eq!((&attach["snd_settle_mode"], &attach["rcv_settle_mode"]), (&"unsettled".into(), &"first".into()));
        soon(sender.send(&Message::from("at least once"))).await.unwrap();
        assert_eq!(listener.event("message").unwrap()["settled"], false);
    });
}

#[test]
fn hundreds_of_messages_under_way_at_once() {
    let proton = proton!();
    for credit in ["7", "1000"] {
        run(async {
            let mut listener = proton.listen(&["--credit", credit]).unwrap();
            let connection = connect(&listener.url()).await.unwrap();
            let session = connection.session().await.unwrap();
            let sender = session.sender("q").await.unwrap();
            for n in 0..500u32 {
                soon(sender.submit(&Message::from(Value::from(n)))).await.unwrap();
            }
            soon(sender.sync()).await.unwrap();
            assert_eq!(sender.unsettled(), 0);
            for (n, got) in listener.messages(500).unwrap().iter().enumerate() {
                assert_eq!(got["sections"][0]["v"]["v"], n, "credit {credit}");
            }
            // One at a time, and as many as there are.
            for prefetch in [0, 1, 1000] {
                let mut options = LinkOptions::default();
                options.prefetch = prefetch;
                let mut receiver = session.receiver_with("echo", options).await.unwrap();
                for (n, got) in take(&mut receiver, 500).await.iter().enumerate() {
                    assert_eq!(got.value(), Some(&Value::from(n as u32)), "prefetch {prefetch}");
                }
                soon(receiver.close()).await.unwrap();
            }
            soon(connection.close()).await.unwrap();
        });
    }
}

#[test]
fn tasks_share_a_sender() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&["--credit", "3"]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = std::sync::Arc::new(session.sender("q").await.unwrap());
        let tasks: Vec<_> = (0..50u32)
            .map(|n| {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(&Message::from(Value::from(n))).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(soon(task).await.unwrap().unwrap(), Outcome::Accepted);
        }
    });
}

#[test]
fn a_drain_of_an_empty_source_gives_up_the_whole_credit() {
    let proton = proton!();
    for prefetch in [0, 100] {
        run(async {
            let mut listener = proton.listen(&[]).unwrap();
            let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
            let mut options = LinkOptions::default();
            options.prefetch = prefetch;
            let mut receiver = session.receiver_with("nothing", options).await.unwrap();
            let started = Instant::now();
            assert!(soon(receiver.fetch(Duration::ZERO)).await.unwrap().is_none());
            assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
            assert_eq!(listener.event("draining").unwrap()["dropped"], prefetch.max(1));
        });
    }
}

#[test]
fn a_peer_that_never_answers_a_drain_delays_and_does_no_more() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&["--ignore-drain"]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let mut receiver = session.receiver("nothing").await.unwrap();
        let started = Instant::now();
        assert!(soon(receiver.fetch(Duration::ZERO)).await.unwrap().is_none());
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(receiver.error().is_none());
    });
}

#[test]
fn no_credit_holds_a_message_back_and_takes_none() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&["--credit", "2", "--credit-once"]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        for _ in 0..2 {
            soon(sender.send(&Message::from("taken"))).await.unwrap();
        }
        assert_eq!(sender.credit(), 0);
        assert_eq!(sender.try_submit(&Message::from("held")), Err(SendError::NoCredit));
        let held = Message::from("held");
        let waiting = tokio::time::timeout(Duration::from_millis(300), sender.send(&held)).await;
        assert!(waiting.is_err(), "{waiting:?}");
        // The dropped send has handed over nothing.
        assert_eq!(sender.unsettled(), 0);
        soon(sender.close()).await.unwrap();
        listener.messages(2).unwrap();
        listener.event("detach").unwrap();
        assert!(listener.process().event("message", Duration::from_millis(200)).is_err());
    });
}

#[test]
fn a_message_larger_than_the_peer_takes_stays_here() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&["--max-message-size", "1000"]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let of = |size| Message::from(Bytes::from(vec![1; size]));
        assert_eq!(soon(sender.send(&of(2000))).await, Err(SendError::TooLarge(1000)));
        // The link goes on.
        assert_eq!(soon(sender.send(&of(900))).await, Ok(Outcome::Accepted));
        listener.event("message").unwrap();
    });
}

#[test]
fn a_sender_and_a_receiver_may_share_a_name() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let mut named = LinkOptions::default();
        named.name = Some("both".to_owned());
        let sender = session.sender_with("q", named.clone()).await.unwrap();
        let mut receiver = session.receiver_with("echo", named.clone()).await.unwrap();
        assert_eq!(session.sender_with("q", named).await.unwrap_err(), AttachError::Limit(LimitError::NameInUse));
        for role in ["sender", "receiver"] {
            let attach = listener.event("attach").unwrap();
            assert_eq!((&attach["role"], &attach["name"]), (&role.into(), &"both".into()));
        }
        soon(sender.send(&Message::from("to and fro"))).await.unwrap();
        assert_eq!(soon(receiver.receive()).await.unwrap().text(), Some("to and fro"));
    });
}

#[test]
fn a_dynamic_node_has_the_address_that_the_peer_gives() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let mut named = LinkOptions::default();
        named.name = Some("mine".to_owned());
        let receiver = session.receiver_with(Node::dynamic(), named.clone()).await.unwrap();
        assert_eq!(receiver.address().as_deref(), Some("dynamic-mine"));
        let attach = listener.event("attach").unwrap();
        assert_eq!(
            (&attach["source"]["dynamic"], &attach["source"]["address"]),
            (&true.into(), &serde_json::Value::Null)
        );
        let sender = session.sender_with(Node::dynamic(), named).await.unwrap();
        assert_eq!(sender.address().as_deref(), Some("dynamic-mine"));
    });
}

#[test]
fn a_peer_of_one_channel_gets_one_session() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&["--channel-max", "0"]).unwrap();
        let connection = connect(&listener.url()).await.unwrap();
        let session = connection.session().await.unwrap();
        assert_eq!(connection.session().await.unwrap_err(), AttachError::Limit(LimitError::NoneFree));
        soon(session.close()).await.unwrap();
        // The channel is free again.
        let session = soon(connection.session()).await.unwrap();
        let sender = session.sender("q").await.unwrap();
        soon(sender.send(&Message::from("again"))).await.unwrap();
    });
}

#[test]
fn a_largest_message_of_0_is_no_limit() {
    let proton = proton!();
    run(async {
        let capture = Capture::new();
        let mut listener = proton.recorded(&capture).listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        soon(sender.send(&Message::from(Bytes::from(vec![1; 1024 * 1024])))).await.unwrap();
        listener.event("message").unwrap();
        let told = capture.frames()[0].iter().find_map(|(side, frame)| match Frame::decode(frame) {
            Ok(Frame::Amqp { performative: Performative::Attach(attach), .. }) if *side == Side::Server => {
                attach.max_message_size
            }
            _ => None,
        });
        assert_eq!(told, Some(0));
    });
}
