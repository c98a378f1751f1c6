//! Sending without waiting, and how much may be under way.

use postroad_messaging::types::Bytes;
use postroad_messaging::{SendError, UNLIMITED};

use super::*;

#[tokio::test]
async fn send_async_and_sync() {
    let world = world().await;
    let sender = world.sender("q").await;
    for number in 0..1000 {
        sender.send_async(number.to_string()).await.unwrap();
    }
    sender.sync().await.unwrap();
    assert_eq!(sender.unsettled(), 0);
    assert_eq!(world.ready(), 1000);
}

#[tokio::test]
async fn every_kind_of_content_arrives() {
    let world = world().await;
    let sender = world.sender("q").await;
    let receiver = world.receiver("q").await;
    let mut map = postroad_messaging::types::Map::default();
    map.insert("key", 1_i64);
    let messages = [
        Message::from("text"),
        Message::from(String::new()),
        Message::from(Bytes::from_static(b"\x00\xff")),
        Message::from(vec![7_u8; 200_000]),
        Message::from(map),
        Message::new(),
    ];
    for message in messages {
        sender.send(message.clone()).await.unwrap();
        assert_eq!(receiver.fetch().await.unwrap().body(), message.body());
    }
}

#[tokio::test]
async fn a_capacity_bounds_what_is_under_way() {
    let (sender, mut receiver, _theirs) = sender_to_peer(10).await;
    assert_eq!((sender.capacity(), sender.available()), (UNLIMITED, UNLIMITED));
    sender.set_capacity(2);
    assert_eq!((sender.capacity(), sender.available()), (2, 2));
    sender.send_async("a").await.unwrap();
    sender.send_async("b").await.unwrap();
    assert_eq!((sender.unsettled(), sender.available()), (2, 0));
    assert_eq!(sender.try_send_async("c"), Err(SendError::InsufficientCapacity));
    let third = tokio::time::timeout(Duration::from_millis(50), sender.send_async("c")).await;
    assert!(third.is_err(), "waits");
    let (third, ()) = tokio::join!(sender.send_async("c"), async {
        let message = receiver.receive().await.unwrap();
        receiver.accept(&message).unwrap();
    });
    third.unwrap();
    assert_eq!(sender.unsettled(), 2);
    for _ in 0..2 {
        let message = receiver.receive().await.unwrap();
        receiver.accept(&message).unwrap();
    }
    sender.sync().await.unwrap();
    assert_eq!(receiver.try_receive().unwrap(), None, "what was cancelled was not sent");
}

#[tokio::test]
async fn with_a_capacity_of_0_nothing_is_sent() {
    let world = world().await;
    let sender = world.sender("q").await;
    sender.set_capacity(0);
    assert_eq!(sender.send("a").await, Err(SendError::InsufficientCapacity));
    assert_eq!(sender.send_async("a").await, Err(SendError::InsufficientCapacity));
    assert_eq!(sender.try_send_async("a"), Err(SendError::InsufficientCapacity));
    sender.set_capacity(UNLIMITED);
    sender.send("a").await.unwrap();
    assert_eq!(world.ready(), 1);
}

#[tokio::test]
async fn without_credit_try_send_async_gives_up() {
    let (sender, mut receiver, _theirs) = sender_to_peer(0).await;
    assert_eq!(sender.try_send_async("a"), Err(SendError::InsufficientCapacity));
    let (sent, received) = tokio::join!(sender.send_async("b"), receiver.receive());
    sent.unwrap();
    assert_eq!(text(&received.unwrap()), "b");
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_not_sent() {
    let world = world_with(Broker::builder().queue("q").with_limits(|limits| limits.message_size = 1000)).await;
    let sender = world.sender("q").await;
    assert_eq!(sender.send(vec![0_u8; 2000]).await, Err(SendError::TooLarge { limit: 1000 }));
    sender.send("fits").await.unwrap();
    assert_eq!(world.ready(), 1);
}

#[tokio::test]
async fn an_unreliable_sender_does_not_wait() {
    let world = world().await;
    let sender = world.sender("q; {link: {reliability: at-most-once}}").await;
    sender.send("a").await.unwrap();
    assert_eq!(sender.unsettled(), 0);
    eventually("arrived", || world.ready() == 1).await;
}

#[tokio::test]
async fn tasks_share_a_sender() {
    let world = world().await;
    let sender = std::sync::Arc::new(world.sender("q").await);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    sender.send("x").await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(world.ready(), 400);
}
