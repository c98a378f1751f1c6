//! Sessions and what they know of each other and of their links.

use postroad_messaging::{FetchError, UNLIMITED};

use super::*;

/// Sends a message to a queue and takes it again.
async fn ping(session: &Session) {
    let (sender, receiver) = (session.sender("q").await.unwrap(), session.receiver("q").await.unwrap());
    sender.send("ping").await.unwrap();
    let message = receiver.fetch_timeout(NOW).await.unwrap();
    assert_eq!(text(&message), "ping");
    session.acknowledge(&message).await.unwrap();
}

#[tokio::test]
async fn a_name_is_that_of_one_session() {
    let World { connection, broker, .. } = world().await;
    let (one, two) = (connection.session_named("one").await.unwrap(), connection.session_named("two").await.unwrap());
    ping(&one).await;
    ping(&two).await;
    assert!(!one.is_same(&two));
    assert_eq!(one.name(), format!("{}:one", connection.id()));
    assert!(one.is_same(&connection.session_named("one").await.unwrap()));
    assert!(two.is_same(&connection.clone().session_named("two").await.unwrap()));
    // The name is free once the session is over, or gone.
    one.close().await.unwrap();
    let again = connection.session_named("one").await.unwrap();
    assert!(!again.is_same(&one) && one.error().is_some());
    ping(&again).await;
    drop(again);
    assert!(connection.session_named("one").await.unwrap().senders().is_empty());
    let (left, right) = tokio::join!(connection.session_named("both"), connection.session_named("both"));
    assert!(left.unwrap().is_same(&right.unwrap()));
    drop(broker);
}

#[tokio::test]
async fn a_connection_and_a_session_know_what_is_there_and_keep_nothing() {
    let world = world().await;
    let other = world.connection.session_named("other").await.unwrap();
    let sessions = world.connection.sessions();
    assert!(sessions.len() == 2 && sessions[0].is_same(&world.session) && sessions[1].is_same(&other));
    let (sender, receiver) = (world.sender("q").await, world.receiver("q").await);
    assert!(world.session.senders()[0].is_same(&sender) && world.session.receivers()[0].is_same(&receiver));
    assert!(other.senders().is_empty() && other.receivers().is_empty());
    // A handle from the list is as good as any.
    world.session.senders()[0].send("hello").await.unwrap();
    assert_eq!(text(&world.session.receivers()[0].fetch().await.unwrap()), "hello");
    drop((sender, receiver));
    assert!(world.session.senders().is_empty() && world.session.receivers().is_empty());
    eventually("given back", || world.ready() == 1).await;
    other.close().await.unwrap();
    drop(sessions);
    assert_eq!(world.connection.sessions().len(), 1);
}

#[tokio::test]
async fn the_next_receiver_is_that_of_the_message_that_came_first() {
    let world = world_with(Broker::builder().queue("q").queue("other")).await;
    let receivers = [world.receiver("q").await, world.receiver("q").await, world.receiver("other").await];
    receivers.iter().for_each(|receiver| receiver.set_capacity(UNLIMITED));
    let senders = [world.sender("q").await, world.sender("other").await];
    for number in 0..30 {
        senders[number % 2].send(number.to_string()).await.unwrap();
    }
    let mut fetched = Vec::new();
    let error = loop {
        match world.session.next_receiver_timeout(Duration::from_millis(200)).await {
            Ok(receiver) => {
                assert!(receivers.iter().any(|known| known.is_same(&receiver)));
                assert!(receiver.available() > 0);
                fetched.push(text(&receiver.fetch().await.unwrap()));
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error, FetchError::Empty);
    assert_eq!(fetched, (0..30).map(|number| number.to_string()).collect::<Vec<_>>());
    world.session.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn the_next_receiver_may_be_made_while_it_is_waited_for() {
    let world = world().await;
    let waiting = tokio::spawn({
        let session = world.session.clone();
        async move { session.next_receiver().await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let receiver = world.receiver("q").await;
    receiver.set_capacity(1);
    world.fill(&["a"]).await;
    let next = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
    assert!(next.is_same(&receiver));
    assert_eq!(text(&next.fetch().await.unwrap()), "a");
    // And it ends with the session.
    let waiting = tokio::spawn({
        let session = world.session.clone();
        async move { session.next_receiver().await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.session.close().await.unwrap();
    let error = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, FetchError::Link(_)), "{error:?}");
}

#[tokio::test]
async fn tasks_share_a_receiver() {
    let world = world().await;
    let receiver = world.receiver("q").await;
    receiver.set_capacity(10);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let receiver = receiver.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while let Ok(message) = receiver.fetch().await {
                    receiver.accept(&message).unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    world.fill(&["x"; 200]).await;
    eventually("all are taken", || world.broker.queue_stats("q").unwrap().settled == 200).await;
    receiver.close().await.unwrap();
    let mut count = 0;
    for task in tasks {
        count += tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
    assert_eq!(count, 200);
}
