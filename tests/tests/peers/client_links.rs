//! Outcomes, credit, drain, and many links, with our client and the peer listening.

use std::time::{Duration, Instant};

use postroad_client::types::{ErrorCondition, Fields, Map, PeerError, Symbol, Value};
use postroad_client::{AttachError, LinkError, LinkOptions, Message, Outcome, Sender};
use postroad_tests::ours::{connect, run, soon, take};
use postroad_tests::peers::Peer;
use postroad_tests::typed;
use serde_json::{Value as Json, json};

use super::{Known, details, numbers};

fn fields(json: &Json) -> Option<Fields> {
    match typed::value_from_json(json).unwrap() {
        Value::Map(Map(entries)) => Some(Fields(Map(entries))),
        _ => None,
    }
}

/// Sends a message that asks for an outcome.
async fn ask(sender: &Sender, wishes: &[(&'static str, Value)]) -> Outcome {
    let mut message = Message::from("what do you think?");
    for (name, value) in wishes {
        message.set_property(*name, value.clone());
    }
    soon(sender.send(&message)).await.unwrap()
}

pub(crate) fn client_learns_every_outcome_of_the_peer(peer: &Peer, known: &Known) {
    run(async {
        let listener = peer.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        assert_eq!(ask(&sender, &[("outcome", "accept".into())]).await, Outcome::Accepted);
        assert_eq!(ask(&sender, &[("outcome", "release".into())]).await, Outcome::Released);
        assert_eq!(ask(&sender, &[("outcome", "reject".into())]).await, Outcome::Rejected(None));
        if known.states_alone {
            let modified = Outcome::Modified { delivery_failed: false, undeliverable_here: false, annotations: None };
            assert_eq!(ask(&sender, &[("outcome", "modify".into())]).await, modified);
            return;
        }
        let told = PeerError {
            condition: ErrorCondition(Symbol::from_static("x:bad")),
            description: Some("not this one".into()),
            info: None,
        };
        let reject =
            [("outcome", "reject".into()), ("condition", "x:bad".into()), ("description", "not this one".into())];
        assert_eq!(ask(&sender, &reject).await, Outcome::Rejected(Some(told)));
        for (failed, undeliverable) in [(false, false), (true, false), (false, true)] {
            let modify =
                [("outcome", "modify".into()), ("failed", failed.into()), ("undeliverable", undeliverable.into())];
            let expected =
                Outcome::Modified { delivery_failed: failed, undeliverable_here: undeliverable, annotations: None };
            assert_eq!(ask(&sender, &modify).await, expected);
        }
        let all = [
            ("outcome", "modify".into()),
            ("failed", true.into()),
            ("undeliverable", true.into()),
            ("annotations", details().to_string().into()),
        ];
        let annotations = fields(&details());
        assert_eq!(
            ask(&sender, &all).await,
            Outcome::Modified { delivery_failed: true, undeliverable_here: true, annotations }
        );
    });
}

pub(crate) fn client_outcomes_are_seen_by_the_peer(peer: &Peer, known: &Known) {
    run(async {
        let mut listener = peer.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let mut receiver = session.receiver("generate/6/10").await.unwrap();
        let mut messages = Vec::new();
        for _ in 0..6 {
            messages.push(soon(receiver.receive()).await.unwrap());
        }
        receiver.accept(&messages[0]).unwrap();
        let error = PeerError {
            condition: ErrorCondition(Symbol::from_static("x:bad")),
            description: Some("not this one".into()),
            info: fields(&details()),
        };
        receiver.reject(&messages[1], Some(error)).unwrap();
        receiver.reject(&messages[2], None).unwrap();
        receiver.release(&messages[3]).unwrap();
        receiver.modify(&messages[4], true, true, fields(&details())).unwrap();
        receiver.modify(&messages[5], false, false, None).unwrap();
        let mut seen: Vec<Json> = (0..6).map(|_| listener.event("outcome").unwrap()).collect();
        for (message, expected) in messages.iter().zip(outcomes_with(&details())) {
            let tag = typed::hex(&message.delivery_tag().unwrap());
            let index =
                seen.iter().position(|outcome| outcome["tag"] == tag).unwrap_or_else(|| panic!("{tag}: {seen:?}"));
            let mut outcome = seen.swap_remove(index);
            for key in ["event", "name", "tag"] {
                outcome.as_object_mut().unwrap().remove(key);
            }
            if known.states_alone {
                assert_eq!((&outcome["state"], &outcome["settled"]), (&expected["state"], &expected["settled"]));
            } else {
                assert_eq!(outcome, expected);
            }
        }
    });
}

/// Accepted, rejected with and without an error, released, modified with all and with nothing, as the peer tells them.
fn outcomes_with(details: &Json) -> [Json; 6] {
    let error = json!({"condition": "x:bad", "description": "not this one", "info": details});
    let modified = |flag, annotations: &Json| json!({"state": "modified", "settled": true, "failed": flag, "undeliverable": flag, "annotations": annotations});
    [
        json!({"state": "accepted", "settled": true}),
        json!({"state": "rejected", "settled": true, "error": error}),
        json!({"state": "rejected", "settled": true, "error": null}),
        json!({"state": "released", "settled": true}),
        modified(true, details),
        modified(false, &Json::Null),
    ]
}

pub(crate) fn client_passes_messages_at_credit_1(peer: &Peer, _: &Known) {
    run(async {
        let mut listener = peer.listen(&["--credit", "1"]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        for n in 0..100u32 {
            soon(sender.submit(&Message::from(Value::from(n)))).await.unwrap();
        }
        soon(sender.sync()).await.unwrap();
        assert_eq!(numbers(&listener.messages(100).unwrap()), (0..100).collect::<Vec<_>>());
        for prefetch in [0, 1] {
            let mut options = LinkOptions::default();
            options.prefetch = prefetch;
            let mut receiver = session.receiver_with("echo", options).await.unwrap();
            for (n, got) in take(&mut receiver, 100).await.iter().enumerate() {
                assert_eq!(got.value(), Some(&Value::from(n as u32)), "prefetch {prefetch}");
            }
            soon(receiver.close()).await.unwrap();
        }
    });
}

pub(crate) fn client_is_told_that_nothing_is_left(peer: &Peer, _: &Known) {
    for prefetch in [0, 100] {
        run(async {
            let mut listener = peer.listen(&[]).unwrap();
            let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
            let mut options = LinkOptions::default();
            options.prefetch = prefetch;
            let mut receiver = session.receiver_with("generate/2/1", options).await.unwrap();
            for _ in 0..2 {
                let message = soon(receiver.fetch(Duration::ZERO)).await.unwrap().unwrap();
                receiver.accept(&message).unwrap();
            }
            let started = Instant::now();
            assert!(soon(receiver.fetch(Duration::ZERO)).await.unwrap().is_none());
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            listener.event("draining").unwrap();
        });
    }
}

pub(crate) fn client_answers_a_drain_and_goes_on(peer: &Peer, _: &Known) {
    run(async {
        let mut listener = peer.listen(&["--credit", "10", "--drain-after", "3"]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        for n in 0..3u32 {
            soon(sender.send(&Message::from(Value::from(n)))).await.unwrap();
        }
        listener.event("drained").unwrap();
        for n in 3..40u32 {
            soon(sender.send(&Message::from(Value::from(n)))).await.unwrap();
        }
        assert_eq!(numbers(&listener.messages(40).unwrap()), (0..40).collect::<Vec<_>>());
    });
}

pub(crate) fn client_has_1000_links(peer: &Peer, _: &Known) {
    run(async {
        let mut listener = peer.listen(&["--credit", "1"]).unwrap();
        let connection = connect(&listener.url()).await.unwrap();
        let session = connection.session().await.unwrap();
        // At once, for some peers look at all of their links whenever one has something to say.
        let attaching: Vec<_> = (0..1000)
            .map(|n| {
                let session = session.clone();
                tokio::spawn(async move { session.sender(&*format!("q{n}")).await })
            })
            .collect();
        let mut senders = Vec::new();
        for sender in attaching {
            senders.push(soon(sender).await.unwrap().unwrap());
        }
        for (n, sender) in senders.iter().enumerate() {
            soon(sender.submit(&Message::from(Value::from(n as u32)))).await.unwrap();
        }
        for sender in &senders {
            soon(sender.sync()).await.unwrap();
        }
        let mut got = numbers(&listener.messages(1000).unwrap());
        got.sort_unstable();
        assert_eq!(got, (0..1000).collect::<Vec<_>>());
        soon(connection.close()).await.unwrap();
    });
}

pub(crate) fn client_is_told_why_a_link_is_refused(peer: &Peer, _: &Known) {
    run(async {
        let listener = peer.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let expected = LinkError::Detached(PeerError::new(ErrorCondition::NOT_FOUND, "refused as the address asks"));
        let sender = soon(session.sender("refuse/amqp:not-found")).await.unwrap_err();
        assert_eq!(sender, AttachError::Link(expected.clone()));
        let receiver = soon(session.receiver("refuse/amqp:not-found")).await.unwrap_err();
        assert_eq!(receiver, AttachError::Link(expected));
        let sender = soon(session.sender("q")).await.unwrap();
        soon(sender.send(&Message::from("the session goes on"))).await.unwrap();
    });
}
