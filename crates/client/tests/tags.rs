//! Tags of the caller's.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::pair;
use postroad_client::types::DeliveryTag;
use postroad_client::{Message, Outcome, SendError};

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes")
}

fn tag(bytes: &[u8]) -> DeliveryTag {
    DeliveryTag::new(bytes).unwrap()
}

#[tokio::test]
async fn a_tag_that_was_chosen_is_what_the_receiver_sees() {
    let (sender, mut receiver, _ends) = pair(10).await;
    let chosen = tag(b"order 66");
    let settlement = soon(sender.submit_tagged(&Message::from("a"), chosen)).await.unwrap();
    let message = soon(receiver.receive()).await.unwrap();
    assert_eq!((message.text(), message.delivery_tag()), (Some("a"), Some(chosen)));
    receiver.release(&message).unwrap();
    assert_eq!(soon(settlement).await, Ok(Outcome::Released));

    // Settled, it may be used again.
    let again = Message::from("b");
    let (sent, received) = tokio::join!(soon(sender.send_tagged(&again, chosen)), async {
        let message = soon(receiver.receive()).await.unwrap();
        receiver.accept(&message).unwrap();
        message.delivery_tag()
    });
    assert_eq!((sent, received), (Ok(Outcome::Accepted), Some(chosen)));
}

#[tokio::test]
async fn no_two_unsettled_messages_have_one_tag() {
    let (sender, mut receiver, _ends) = pair(100).await;
    let settlement = soon(sender.submit_tagged(&Message::from("a"), tag(b"x"))).await.unwrap();
    let again = soon(sender.submit_tagged(&Message::from("b"), tag(b"x"))).await;
    assert_eq!(again.map(drop), Err(SendError::TagInUse(tag(b"x"))));

    // Nor do those that are numbered here meet one that was chosen.
    soon(sender.submit(&Message::from("c"))).await.unwrap();
    let chosen = soon(receiver.receive()).await.unwrap();
    let own = soon(receiver.receive()).await.unwrap().delivery_tag().unwrap();
    let clash = soon(sender.submit_tagged(&Message::from("d"), own)).await;
    assert_eq!(clash.map(drop), Err(SendError::TagInUse(own)));
    let taken = own[0] + 3;
    let _taken = soon(sender.submit_tagged(&Message::from("e"), tag(&[taken]))).await.unwrap();
    let mut tags = BTreeSet::from([tag(b"x"), own]);
    for number in 0..10 {
        soon(sender.submit(&Message::from(number.to_string().as_str()))).await.unwrap();
    }
    for _ in 0..11 {
        let message = soon(receiver.receive()).await.unwrap();
        assert!(tags.insert(message.delivery_tag().unwrap()), "{tags:?} twice");
    }
    receiver.accept(&chosen).unwrap();
    assert_eq!(soon(settlement).await, Ok(Outcome::Accepted));
}
