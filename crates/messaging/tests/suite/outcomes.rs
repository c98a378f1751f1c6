//! What a receiver says of a message, as the sender sees it and as the broker acts on it.

use postroad_client::Outcome;
use postroad_messaging::types::{ErrorCondition, Fields, PeerError, Value};
use postroad_messaging::{Disposition, SendError, SyncError};

use super::*;

/// What `send` says when the peer answers with `outcome`.
async fn sent(outcome: Outcome) -> Result<(), SendError> {
    let (sender, mut receiver, _theirs) = sender_to_peer(10).await;
    let (result, ()) = tokio::join!(sender.send("hello"), async {
        let message = receiver.receive().await.unwrap();
        receiver.session().settle(&message, outcome).unwrap();
    });
    result
}

fn annotations() -> Option<Fields> {
    let mut fields = Fields::default();
    fields.0.insert(Value::Symbol("x-opt-why".into()), "late");
    Some(fields)
}

#[tokio::test]
async fn send_tells_each_outcome() {
    assert_eq!(sent(Outcome::Accepted).await, Ok(()));
    let error = PeerError::new(ErrorCondition::DECODE_ERROR, "no number");
    let rejected = sent(Outcome::Rejected(Some(error.clone()))).await.unwrap_err();
    assert_eq!(rejected.to_string(), "rejected: amqp:decode-error: no number");
    assert_eq!(rejected.condition(), Some(&ErrorCondition::DECODE_ERROR));
    assert_eq!(rejected, SendError::Rejected(Some(error)));
    assert_eq!(sent(Outcome::Rejected(None)).await, Err(SendError::Rejected(None)));
    assert_eq!(sent(Outcome::Released).await, Err(SendError::Released));
    let modified = Outcome::Modified { delivery_failed: true, undeliverable_here: false, annotations: annotations() };
    let seen = SendError::Modified { delivery_failed: true, undeliverable_here: false, annotations: annotations() };
    assert_eq!(sent(modified).await, Err(seen));
    let full = PeerError::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, "full");
    let exceeded = sent(Outcome::Rejected(Some(full.clone()))).await.unwrap_err();
    assert!(exceeded.hint().is_some());
    assert_eq!(exceeded, SendError::TargetCapacityExceeded(full));
}

#[tokio::test]
async fn the_sender_sees_what_the_receiver_says() {
    let (receiver, sender) = receiver_from_peer().await;
    let session = receiver.session().clone();
    let error = PeerError::new(ErrorCondition::NOT_IMPLEMENTED, "no");
    let modified =
        Disposition::Modified { delivery_failed: true, undeliverable_here: true, annotations: annotations() };
    let settled = async {
        let message = receiver.fetch().await.unwrap();
        receiver.accept(&message).unwrap();
        let message = receiver.fetch().await.unwrap();
        receiver.reject(&message, Some(error.clone())).unwrap();
        let message = receiver.fetch().await.unwrap();
        receiver.release(&message).unwrap();
        let message = receiver.fetch().await.unwrap();
        receiver.modify(&message, true, true, annotations()).unwrap();
        for disposition in [Disposition::Rejected(None), Disposition::Released, modified.clone()] {
            let message = receiver.fetch().await.unwrap();
            session.acknowledge_with(&message, disposition).await.unwrap();
        }
        assert_eq!(session.unacknowledged(), 0);
    };
    let mut outcomes = Vec::new();
    let sending = async {
        for _ in 0..7 {
            outcomes.push(sender.send(&Message::from("hello")).await.unwrap());
        }
    };
    tokio::join!(settled, sending);
    let expected = [
        Outcome::Accepted,
        Outcome::Rejected(Some(error)),
        Outcome::Released,
        modified.clone(),
        Outcome::Rejected(None),
        Outcome::Released,
        modified,
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn the_broker_delivers_again_what_was_given_back() {
    let world = world().await;
    world.fill(&["a"]).await;
    let receiver = world.receiver("q").await;
    let message = receiver.fetch().await.unwrap();
    assert_eq!((message.redelivered(), message.delivery_count()), (false, 0));
    receiver.release(&message).unwrap();
    let message = receiver.fetch().await.unwrap();
    assert_eq!(message.delivery_count(), 0, "released counts as never delivered");
    receiver.modify(&message, true, false, None).unwrap();
    let message = receiver.fetch().await.unwrap();
    assert_eq!((message.redelivered(), message.delivery_count()), (true, 1));
    receiver.reject(&message, None).unwrap();
    assert_eq!(texts(&receiver).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_broker_rejects_what_has_nowhere_to_go() {
    let world = world().await;
    // Each message says where it goes.
    let sender = world.sender("''").await;
    sender.send(Message::from("a").with_address("q")).await.unwrap();
    let rejected = sender.send(Message::from("b").with_address("nowhere")).await.unwrap_err();
    assert!(matches!(rejected, SendError::Rejected(Some(_))), "{rejected:?}");
    assert_eq!(rejected.condition(), Some(&ErrorCondition::NOT_FOUND));

    sender.send_async(Message::from("c").with_address("nowhere")).await.unwrap();
    sender.send_async(Message::from("d").with_address("q")).await.unwrap();
    sender.send_async(Message::from("e").with_address("nowhere")).await.unwrap();
    let SyncError::NotAccepted { count, first } = sender.sync().await.unwrap_err() else { panic!("not told") };
    assert_eq!(count, 2);
    assert!(matches!(*first, SendError::Rejected(Some(_))), "{first:?}");
    assert_eq!(sender.sync().await, Ok(()), "told once");
    assert_eq!(world.ready(), 2);
}
