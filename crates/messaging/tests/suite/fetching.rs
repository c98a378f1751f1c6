//! Fetching, with and without a capacity, and who gets which message.

use std::time::Instant;

use postroad_messaging::{FetchError, UNLIMITED};

use super::*;

#[tokio::test]
async fn a_message_is_sent_fetched_and_acknowledged() {
    let world = world().await;
    let sender = world.sender("q").await;
    let receiver = world.receiver("q").await;
    sender.send(Message::from("hello").with_subject("greeting").with_property("n", 7)).await.unwrap();
    let message = receiver.fetch().await.unwrap();
    assert_eq!((message.text(), message.subject()), (Some("hello"), Some("greeting")));
    assert_eq!(message.property("n").and_then(|n| n.as_i64()), Some(7));
    assert_eq!(world.session.unacknowledged(), 1);
    world.session.acknowledge(&message).await.unwrap();
    assert_eq!(world.session.unacknowledged(), 0);
    eventually("settled", || world.broker.queue_stats("q").unwrap().settled == 1).await;
    world.connection.close().await.unwrap();
    assert!(!world.connection.is_open());
}

#[tokio::test]
async fn fetch_waits_for_a_message() {
    let world = world().await;
    let receiver = world.receiver("q").await;
    let fetching = tokio::spawn(async move { receiver.fetch().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!fetching.is_finished());
    world.fill(&["late"]).await;
    let message = tokio::time::timeout(PATIENCE, fetching).await.unwrap().unwrap().unwrap();
    assert_eq!(text(&message), "late");
}

#[tokio::test]
async fn fetch_with_a_timeout_says_that_there_is_none() {
    let world = world().await;
    for capacity in [0, 10] {
        let receiver = world.receiver("q").await;
        receiver.set_capacity(capacity);
        for timeout in [NOW, Duration::from_millis(200)] {
            let start = Instant::now();
            assert_eq!(receiver.fetch_timeout(timeout).await, Err(FetchError::Empty), "capacity {capacity}");
            assert!(start.elapsed() >= timeout && start.elapsed() < timeout + Duration::from_secs(1));
        }
        world.fill(&["there"]).await;
        assert_eq!(text(&receiver.fetch_timeout(NOW).await.unwrap()), "there", "capacity {capacity}");
        world.session.acknowledge_all().await.unwrap();
        receiver.close().await.unwrap();
    }
}

#[tokio::test]
async fn fetch_with_a_timeout_takes_what_comes_in_time() {
    let world = world().await;
    let receiver = world.receiver("q").await;
    let (fetched, ()) = tokio::join!(receiver.fetch_timeout(PATIENCE), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.fill(&["in time"]).await;
    });
    assert_eq!(text(&fetched.unwrap()), "in time");
}

#[tokio::test]
async fn without_a_capacity_nothing_is_taken_ahead() {
    let world = world().await;
    world.fill(&["a", "b", "c"]).await;
    let receiver = world.receiver("q").await;
    assert_eq!(receiver.capacity(), 0);
    assert_eq!(text(&receiver.fetch().await.unwrap()), "a");
    assert_eq!(receiver.available(), 0);
    assert_eq!(world.ready(), 2);
}

#[tokio::test]
async fn a_capacity_takes_messages_ahead_and_keeps_their_order() {
    let world = world().await;
    let sent: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    world.fill(&sent.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let receiver = world.receiver("q").await;
    receiver.set_capacity(10);
    eventually("ten are here", || receiver.available() == 10).await;
    assert_eq!(world.ready(), 15);
    assert_eq!(texts(&receiver).await, sent);
    world.session.acknowledge_all().await.unwrap();
    eventually("settled", || world.broker.queue_stats("q").unwrap().settled == 25).await;
}

#[tokio::test]
async fn an_unlimited_capacity_takes_everything() {
    let world = world().await;
    world.fill(&["x"; 300]).await;
    let receiver = world.receiver("q").await;
    receiver.set_capacity(UNLIMITED);
    eventually("all are here", || receiver.available() == 300).await;
    assert_eq!(texts(&receiver).await.len(), 300);
}

#[tokio::test]
async fn browsing_leaves_the_messages() {
    let world = world().await;
    world.fill(&["a", "b", "c"]).await;
    let browser = world.receiver("q; {mode: browse}").await;
    assert_eq!(texts(&browser).await, ["a", "b", "c"]);
    assert_eq!(world.session.unacknowledged(), 0);
    browser.close().await.unwrap();
    let consumer = world.receiver("q; {mode: consume}").await;
    assert_eq!(texts(&consumer).await, ["a", "b", "c"]);
    world.session.acknowledge_all().await.unwrap();
    eventually("taken", || world.broker.queue_stats("q").unwrap().settled == 3).await;
}

#[tokio::test]
async fn two_receivers_share_the_messages() {
    let world = world().await;
    let (mut one, mut two) = (world.receiver("q").await, world.receiver("q").await);
    one.set_capacity(4);
    two.set_capacity(4);
    let sent: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    world.fill(&sent.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut of_one, mut of_two) = (0, 0);
    let mut all = Vec::new();
    while all.len() < sent.len() {
        for (receiver, count) in [(&mut one, &mut of_one), (&mut two, &mut of_two)] {
            if let Ok(message) = receiver.fetch_timeout(NOW).await {
                receiver.accept(&message).unwrap();
                *count += 1;
                all.push(message.text().unwrap().parse::<usize>().unwrap());
            }
        }
    }
    all.sort_unstable();
    assert_eq!(all, (0..40).collect::<Vec<_>>());
    assert!(of_one >= 10 && of_two >= 10, "{of_one} and {of_two}");
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_in_order() {
    let world = world().await;
    world.fill(&["a", "b", "c"]).await;
    let session = world.other_session().await;
    let receiver = session.receiver("q").await.unwrap();
    let first = receiver.fetch().await.unwrap();
    receiver.fetch().await.unwrap();
    session.acknowledge(&first).await.unwrap();
    session.close().await.unwrap();
    let again = world.receiver("q").await;
    assert_eq!(texts(&again).await, ["b", "c"]);
}

#[tokio::test]
async fn an_unreliable_receiver_has_nothing_to_acknowledge() {
    let world = world().await;
    world.fill(&["a", "b"]).await;
    for reliability in ["unreliable", "at-most-once"] {
        let receiver = world.receiver(&format!("q; {{link: {{reliability: {reliability}}}}}")).await;
        assert!(receiver.fetch().await.unwrap().is_settled());
        assert_eq!(world.session.unacknowledged(), 0);
        receiver.close().await.unwrap();
    }
    assert_eq!(texts(&world.receiver("q").await).await, Vec::<String>::new());
}
