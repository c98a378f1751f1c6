//! The bytes that a broker holds, in all of its queues together.

use std::time::Duration;

use postroad_broker::Broker;
use postroad_codec::v1_0::{DeliveryState, ErrorCondition, Message, Outcome};

use crate::client::{Client, numbered};
use crate::transactions::{control, declare, discharge, hand_over, within};
use crate::{eventually, start};

#[tokio::test]
async fn all_queues_share_what_the_broker_holds() {
    let builder = Broker::builder().queue("q0").queue("q1").with_limits(|limits| limits.total_bytes = 10_000);
    let broker = start(builder).await;
    let payload = Message::from(vec![0; 1000]).to_bytes();
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    for _ in 0..9 {
        let token = client.send_with(sender, &payload, false).await;
        assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Accepted));
    }
    assert!((9 * payload.len()..=10_000).contains(&broker.held_bytes()));
    // The other queue is empty, and so it does not know the size of messages yet: what it cannot take is rejected.
    let other = client.sender("q1").await.unwrap();
    let token = client.send_with(other, &payload, false).await;
    let Some(DeliveryState::Rejected(rejected)) = client.outcome(other, token).await.state else { panic!("no room") };
    let error = rejected.error.unwrap();
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LIMIT_EXCEEDED);
    assert!(error.description.unwrap().contains("10000 bytes"));

    let mut reader = Client::connect(&broker).await;
    let receiver = reader.receiver("q0", 100).await.unwrap();
    for _ in 0..9 {
        let delivery = reader.receive(receiver).await;
        reader.accept(receiver, delivery.number);
    }
    reader.flush().await;
    eventually("nothing is held", || broker.held_bytes() == 0).await;
    let token = client.send_with(other, &payload, false).await;
    assert_eq!(client.outcome(other, token).await.state, Some(DeliveryState::Accepted));
    broker.delete_queue("q1");
    assert_eq!(broker.held_bytes(), 0);
}

#[tokio::test]
async fn a_sender_without_room_in_the_broker_goes_on_when_another_queue_makes_some() {
    let builder = Broker::builder().queue("q0").queue("q1").with_limits(|limits| limits.total_bytes = 2000);
    let broker = start(builder).await;
    let mut client = Client::connect(&broker).await;
    let first = client.sender("q0").await.unwrap();
    let payload = Message::from(vec![0; 990]).to_bytes();
    let token = client.send_with(first, &payload, false).await;
    assert_eq!(client.outcome(first, token).await.state, Some(DeliveryState::Accepted));
    let second = client.sender("q1").await.unwrap();
    let small = Message::from(vec![0; 90]).to_bytes();
    for _ in 0..500 {
        if client.engine.sender(second).capacity() == 0 {
            // A flow may be behind the last outcome.
            let _ = tokio::time::timeout(Duration::from_millis(100), client.step()).await;
        }
        if client.engine.sender(second).capacity() == 0 {
            break;
        }
        let token = client.send_with(second, &small, false).await;
        client.outcome(second, token).await;
    }
    assert_eq!(client.engine.sender(second).capacity(), 0, "there is no room for one more");
    let mut reader = Client::connect(&broker).await;
    let receiver = reader.receiver("q0", 1).await.unwrap();
    let delivery = reader.receive(receiver).await;
    reader.accept(receiver, delivery.number);
    reader.flush().await;
    client.send_all(second, numbered(0..1)).await;
}

#[tokio::test]
async fn a_message_of_a_topic_counts_once() {
    let builder = Broker::builder().topic("t").with_limits(|limits| limits.total_bytes = 10_000);
    let broker = start(builder).await;
    let payload = Message::from(vec![0; 4000]).to_bytes();
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("t").await.unwrap();
    for _ in 0..5 {
        // Nobody gets it, so nobody keeps it.
        client.send_with(sender, &payload, false).await;
    }
    let receivers = [client.receiver("t", 2).await.unwrap(), client.receiver("t", 2).await.unwrap()];
    for _ in 0..2 {
        let token = client.send_with(sender, &payload, false).await;
        assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Accepted));
    }
    assert_eq!(broker.held_bytes(), 2 * payload.len());
    let token = client.send_with(sender, &payload, false).await;
    let state = client.outcome(sender, token).await.state;
    assert!(matches!(state, Some(DeliveryState::Rejected(_))), "{state:?}");
    for receiver in receivers {
        for _ in 0..2 {
            let delivery = client.receive(receiver).await;
            client.accept(receiver, delivery.number);
        }
    }
    client.flush().await;
    eventually("nothing is held", || broker.held_bytes() == 0).await;
}

/// What a queue with a name has is accounted for there, and there alone once no subscription has it any more.
#[tokio::test]
async fn a_message_in_a_queue_is_not_held_for_the_topic_as_well() {
    let broker = start(Broker::builder().topic("t").queue("q")).await;
    broker.bind("t", "q", "#").unwrap();
    let payload = Message::from(vec![0; 4000]).to_bytes();
    let once = payload.len()..payload.len() * 5 / 4;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("t").await.unwrap();
    let subscriber = client.receiver("t", 2).await.unwrap();
    let token = client.send_with(sender, &payload, false).await;
    assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Accepted));
    assert!(broker.held_bytes() >= 2 * payload.len());
    let delivery = client.receive(subscriber).await;
    client.accept(subscriber, delivery.number);
    client.flush().await;
    eventually("the queue has it alone", || once.contains(&broker.held_bytes())).await;
    client.detach(subscriber).await;
    let receiver = client.receiver("q", 1).await.unwrap();
    let delivery = client.receive(receiver).await;
    client.accept(receiver, delivery.number);
    client.detach(receiver).await;
    eventually("nothing is held", || broker.held_bytes() == 0).await;

    let control = control(&mut client).await;
    for fail in [true, false] {
        let id = declare(&mut client, control).await;
        let token = hand_over(&mut client, sender, &id, &payload, false).await;
        assert_eq!(client.outcome(sender, token).await.state, Some(within(&id, Some(Outcome::Accepted))));
        assert_eq!(broker.held_bytes(), payload.len(), "until it is known who gets it");
        discharge(&mut client, control, &id, fail).await.unwrap();
        assert_eq!(broker.held_bytes() == 0, fail);
    }
    assert!(once.contains(&broker.held_bytes()), "{}", broker.held_bytes());
}

/// A commit needs no room for a message beside that which it has.
#[tokio::test]
async fn what_is_posted_to_a_topic_needs_no_more_room_in_the_end() {
    let builder = Broker::builder().topic("t").queue("q").with_limits(|limits| limits.total_bytes = 6000);
    let broker = start(builder).await;
    broker.bind("t", "q", "#").unwrap();
    let payload = Message::from(vec![0; 4000]).to_bytes();
    let mut client = Client::connect(&broker).await;
    let (control, sender) = (control(&mut client).await, client.sender("t").await.unwrap());
    let id = declare(&mut client, control).await;
    let token = hand_over(&mut client, sender, &id, &payload, false).await;
    assert_eq!(client.outcome(sender, token).await.state, Some(within(&id, Some(Outcome::Accepted))));
    discharge(&mut client, control, &id, false).await.unwrap();
    assert_eq!(broker.queue_stats("q").unwrap().ready, 1);
}
