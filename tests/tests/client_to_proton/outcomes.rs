//! What the receiving side says about a message is what the sending side learns, both ways.

use postroad_client::types::{ErrorCondition, Fields, Map, PeerError, Symbol, Value};
use postroad_client::{Message, Outcome, Sender, SyncError};
use postroad_tests::ours::{connect, run, soon};
use postroad_tests::typed;
use serde_json::{Value as Json, json};

fn fields(entries: &[(&'static str, Value)]) -> Fields {
    Fields(Map(entries.iter().map(|(key, value)| (Symbol::from_static(key).into(), value.clone())).collect()))
}

/// A map of every kind of thing, as `info` of an error and as annotations of `modified`.
fn details() -> Fields {
    fields(&[
        ("x-opt-count", 5u32.into()),
        ("x-opt-text", "why".into()),
        ("x-opt-list", Value::List(vec![true.into(), Value::Null])),
    ])
}

fn details_json() -> Json {
    typed::value_to_json(&Value::from(details().0))
}

fn rejection() -> PeerError {
    PeerError {
        condition: ErrorCondition(Symbol::from_static("x:bad")),
        description: Some("not this one".into()),
        info: Some(details()),
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

#[test]
fn every_outcome_of_the_peer_is_seen_by_our_sender() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let modified = |delivery_failed, undeliverable_here, annotations| Outcome::Modified {
            delivery_failed,
            undeliverable_here,
            annotations,
        };
        assert_eq!(ask(&sender, &[("outcome", "accept".into())]).await, Outcome::Accepted);
        assert_eq!(ask(&sender, &[("outcome", "release".into())]).await, Outcome::Released);
        assert_eq!(ask(&sender, &[("outcome", "reject".into())]).await, Outcome::Rejected(None));
        let all = [
            ("outcome", "reject".into()),
            ("condition", "x:bad".into()),
            ("description", "not this one".into()),
            ("info", details_json().to_string().into()),
        ];
        assert_eq!(ask(&sender, &all).await, Outcome::Rejected(Some(rejection())));
        assert_eq!(ask(&sender, &[("outcome", "modify".into())]).await, modified(false, false, None));
        let failed = [("outcome", "modify".into()), ("failed", true.into())];
        assert_eq!(ask(&sender, &failed).await, modified(true, false, None));
        let undeliverable = [("outcome", "modify".into()), ("undeliverable", true.into())];
        assert_eq!(ask(&sender, &undeliverable).await, modified(false, true, None));
        let all = [
            ("outcome", "modify".into()),
            ("failed", true.into()),
            ("undeliverable", true.into()),
            ("annotations", details_json().to_string().into()),
        ];
        assert_eq!(ask(&sender, &all).await, modified(true, true, Some(details())));
    });
}

#[test]
fn outcomes_out_of_order_reach_the_messages_they_belong_to() {
    let proton = proton!();
    run(async {
        // Proton gathers dispositions by state: they come in another order than the transfers.
        let listener = proton.listen(&["--outcome", "release", "--outcome", "accept", "--outcome", "reject"]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let mut settlements = Vec::new();
        for n in 0..300u32 {
            settlements.push(soon(sender.submit_tracked(&Message::from(Value::from(n)))).await.unwrap());
        }
        for (n, settlement) in settlements.into_iter().enumerate() {
            let expected = [Outcome::Released, Outcome::Accepted, Outcome::Rejected(None)][n % 3].clone();
            assert_eq!(soon(settlement).await.unwrap(), expected, "message {n}");
        }
        assert_eq!(sender.unsettled(), 0);
    });
}

#[test]
fn sync_tells_how_many_were_not_accepted() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&["--outcome", "accept", "--outcome", "reject"]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        for n in 0..10u32 {
            soon(sender.submit(&Message::from(Value::from(n)))).await.unwrap();
        }
        let first = Some(Outcome::Rejected(None));
        assert_eq!(soon(sender.sync()).await, Err(SyncError::NotAccepted { count: 5, first }));
        assert_eq!(soon(sender.sync()).await, Ok(()));
    });
}

#[test]
fn every_outcome_of_our_receiver_is_seen_by_the_peer() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let mut receiver = session.receiver("generate/7/10").await.unwrap();
        let mut messages = Vec::new();
        for _ in 0..7 {
            messages.push(soon(receiver.receive()).await.unwrap());
        }
        receiver.accept(&messages[0]).unwrap();
        receiver.reject(&messages[1], Some(rejection())).unwrap();
        receiver.reject(&messages[2], None).unwrap();
        receiver.release(&messages[3]).unwrap();
        receiver.modify(&messages[4], true, true, Some(details())).unwrap();
        receiver.modify(&messages[5], false, false, None).unwrap();
        // From another task, by the session: what a worker pool does.
        let last = messages[6].clone();
        tokio::spawn(async move { session.settle(&last, Outcome::Accepted) }).await.unwrap().unwrap();

        let error = json!({"condition": "x:bad", "description": "not this one", "info": details_json()});
        let modified = |failed, annotations| json!({"state": "modified", "settled": true, "failed": failed, "undeliverable": failed, "annotations": annotations});
        let expected = [
            json!({"state": "accepted", "settled": true}),
            json!({"state": "rejected", "settled": true, "error": error}),
            json!({"state": "rejected", "settled": true, "error": null}),
            json!({"state": "released", "settled": true}),
            modified(true, details_json()),
            modified(false, Json::Null),
            json!({"state": "accepted", "settled": true}),
        ];
        let mut seen: Vec<Json> = (0..7).map(|_| listener.event("outcome").unwrap()).collect();
        for (message, expected) in messages.iter().zip(expected) {
            let tag = typed::hex(&message.delivery_tag().unwrap());
            let index =
                seen.iter().position(|outcome| outcome["tag"] == tag).unwrap_or_else(|| panic!("{tag}: {seen:?}"));
            let mut outcome = seen.swap_remove(index);
            for key in ["event", "name", "tag"] {
                outcome.as_object_mut().unwrap().remove(key);
            }
            assert_eq!(outcome, expected);
        }
    });
}

#[test]
fn a_peer_that_takes_any_link_and_declares_nothing_is_told_apart() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        // It says that it is a coordinator, since it says what it was told, and accepts a declare as any message.
        let controller = soon(session.transaction_controller()).await.unwrap();
        let error = soon(controller.declare()).await.unwrap_err();
        assert_eq!(error, postroad_client::TransactionError::Refused(None));
    });
}
