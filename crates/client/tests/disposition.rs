//! Settling from other tasks, while one receives.

mod common;

use std::time::Duration;

use common::pair;
use postroad_client::types::Value;
use postroad_client::{LinkError, Message, Outcome, SendError};
use tokio::sync::mpsc;

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

const MESSAGES: u64 = 400;

fn outcome_of(number: u64) -> Outcome {
    match number % 4 {
        0 => Outcome::Accepted,
        1 => Outcome::Rejected(None),
        2 => Outcome::Released,
        _ => Outcome::Modified { delivery_failed: true, undeliverable_here: false, annotations: None },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tasks_settle_while_a_third_receives() {
    // Credit comes back only for what is handed out, so that receiving waits now and then.
    let (sender, mut receiver, _ends) = pair(7).await;
    let settler = receiver.settler();
    let (to, tasks): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (to, mut messages) = mpsc::unbounded_channel::<Message>();
            let settler = settler.clone();
            let task = tokio::spawn(async move {
                while let Some(message) = messages.recv().await {
                    let Some(Value::Ulong(number)) = message.value() else { panic!("{message:?}") };
                    settler.settle(&message, outcome_of(*number)).unwrap();
                }
            });
            (to, task)
        })
        .unzip();
    let receiving = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let message = receiver.receive().await.unwrap();
            assert_eq!(message.value(), Some(&Value::from(number)));
            to[usize::from(number % 3 == 0)].send(message).unwrap();
        }
        drop(to);
        // This one waits in vain, and what the others settle goes out all the same.
        receiver.receive().await
    });
    let mut settlements = Vec::new();
    for number in 0..MESSAGES {
        let message = Message::from(Value::from(number));
        settlements.push(tokio::time::timeout(PATIENCE, sender.submit_tracked(&message)).await.unwrap().unwrap());
    }
    for (number, settlement) in (0..).zip(settlements) {
        let outcome = tokio::time::timeout(PATIENCE, settlement).await.unwrap();
        assert_eq!(outcome, Ok(outcome_of(number)), "message {number}");
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(!receiving.is_finished());
    receiving.abort();
}

#[tokio::test]
async fn every_handle_settles_and_none_keeps_the_link() {
    let (sender, mut receiver, ends) = pair(10).await;
    let (settler, session) = (receiver.settler(), receiver.session().clone());
    let mut settlements = Vec::new();
    let mut messages = Vec::new();
    for number in 0..6u64 {
        settlements.push(sender.submit_tracked(&Message::from(Value::from(number))).await.unwrap());
        messages.push(receiver.receive().await.unwrap());
    }
    settler.accept(&messages[0]).unwrap();
    settler.reject(&messages[1], None).unwrap();
    settler.release(&messages[2]).unwrap();
    settler.modify(&messages[3], true, false, None).unwrap();
    settler.settle_origin(messages[4].origin().unwrap(), Outcome::Accepted).unwrap();
    // What is settled is not settled again: the first word counts.
    settler.release(&messages[4]).unwrap();
    for (number, settlement) in (0..5).zip(settlements.drain(..5)) {
        assert_eq!(settlement.await, Ok(outcome_of(number)));
    }
    drop(session);
    receiver.close().await.unwrap();
    assert_eq!(settler.accept(&messages[5]), Err(LinkError::Closed));
    let last = tokio::time::timeout(PATIENCE, settlements.remove(0)).await.unwrap();
    assert_eq!(last, Err(SendError::InDoubt(LinkError::DetachedByPeer)));
    let (_, mut other, _ends) = pair(1).await;
    assert!(matches!(other.try_receive(), Ok(None)));
    assert_eq!(other.settler().accept(&messages[5]), Err(LinkError::ForeignMessage));
    ends.client.close().await.unwrap();
    assert!(matches!(settler.accept(&messages[5]), Err(LinkError::Connection(_))));
}
