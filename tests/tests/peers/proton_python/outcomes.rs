//! What the receiving side says about a message is what the sending side learns, both ways.

use postroad_client::types::{ErrorCondition, Fields, Map, PeerError, Symbol, Value};
use postroad_client::{Message, Outcome, Sender, SyncError};
use postroad_tests::ours::{connect, run, soon};
use postroad_tests::typed;
use serde_json::Value as Json;

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
fn the_info_of_a_rejection_arrives() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let all = [
            ("outcome", "reject".into()),
            ("condition", "x:bad".into()),
            ("description", "not this one".into()),
            ("info", details_json().to_string().into()),
        ];
        assert_eq!(ask(&sender, &all).await, Outcome::Rejected(Some(rejection())));
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
