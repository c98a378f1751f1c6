//! Connections that are detached and attached again.

use postroad_client::ConnectionEvent;
use postroad_messaging::{
    ConnectError, ConnectionError, FetchError, LinkError, SendError, SessionError, TransactionError,
};
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Plan, Rule};
use postroad_testkit::{Door, Proxy};

use super::*;

const DETACHED: SessionError = SessionError::Detached;

/// Sends a message to the queue and takes it again, with new links.
async fn ping(session: &Session) -> Result<(), SendError> {
    let sender = session.sender("q").await.unwrap();
    sender.send("ping").await?;
    let receiver = session.receiver("q").await.unwrap();
    let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
    assert_eq!(text(&message), "ping");
    session.acknowledge(&message).await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_detached_connection_sends_nothing_and_is_the_same_afterwards() {
    let world = world().await;
    ping(&world.session).await.unwrap();
    let (sender, receiver) = (world.sender("q").await, world.receiver("q").await);
    assert!(world.connection.is_attached());
    world.connection.detach().await.unwrap();
    assert!(world.connection.is_open() && !world.connection.is_attached());
    eventually("the broker knows", || world.broker.connections() == 0).await;
    let refused = Err(SendError::NotSent(LinkError::Session(DETACHED)));
    assert_eq!(ping(&world.session).await, refused);
    assert_eq!(sender.send("a").await, refused);
    assert_eq!(sender.send_async("a").await, refused);
    assert_eq!(sender.try_send_async("a"), refused);
    assert!(DETACHED.hint().is_some());
    assert!(sender.error().is_none() && receiver.error().is_none() && world.session.error().is_none());
    // Once more changes nothing.
    world.connection.detach().await.unwrap();

    world.connection.attach().await.unwrap();
    assert!(world.connection.is_attached());
    world.connection.attach().await.unwrap();
    sender.send("a").await.unwrap();
    let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
    assert_eq!(text(&message), "a");
    receiver.accept(&message).unwrap();
    ping(&world.session).await.unwrap();
    assert!(world.connection.sessions()[0].is_same(&world.session));
    world.connection.close().await.unwrap();
    assert!(!world.connection.is_open() && !world.connection.is_attached());
    assert!(world.connection.detach().await.is_err() && world.connection.attach().await.is_err());
}

#[tokio::test]
async fn links_and_sessions_that_are_made_meanwhile_are_attached_with_the_connection() {
    let world = world_with(Broker::builder()).await;
    world.connection.detach().await.unwrap();
    let receiver = world.receiver("made; {create: always}").await;
    receiver.set_capacity(3);
    let session = world.connection.session().await.unwrap();
    let (sender, lost) =
        (session.sender("late; {create: always}").await.unwrap(), session.sender("nowhere").await.unwrap());
    let gone = world.sender("made; {create: always}").await;
    drop(gone);
    let waiting = tokio::spawn({
        let receiver = receiver.clone();
        async move { receiver.fetch().await }
    });
    world.connection.attach().await.unwrap();
    sender.send("hello").await.unwrap();
    assert!(matches!(lost.error(), Some(LinkError::Detached(Some(_)))), "{:?}", lost.error());
    world.sender("made").await.send("hello").await.unwrap();
    let message = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(text(&message), "hello");
    session.close().await.unwrap();
    assert_eq!(world.session.senders().len(), 0);
}

#[tokio::test]
async fn what_is_closed_meanwhile_is_over() {
    let world = world().await;
    let (kept, closed) = (world.receiver("q").await, world.receiver("q").await);
    let session = world.connection.session().await.unwrap();
    world.connection.detach().await.unwrap();
    let unborn = world.sender("q").await;
    unborn.close().await.unwrap();
    closed.close().await.unwrap();
    session.close().await.unwrap();
    let begun = world.connection.session().await.unwrap();
    begun.receiver("q").await.unwrap();
    begun.close().await.unwrap();
    world.connection.attach().await.unwrap();
    for error in [unborn.error(), closed.error()] {
        assert_eq!(error, Some(LinkError::Closed));
    }
    assert_eq!((session.error(), begun.error()), (Some(SessionError::Closed), Some(SessionError::Closed)));
    world.fill(&["a"]).await;
    assert_eq!(text(&kept.fetch_timeout(PATIENCE).await.unwrap()), "a");
    // And the connection itself.
    world.connection.detach().await.unwrap();
    world.connection.close().await.unwrap();
    assert_eq!(world.connection.error(), Some(ConnectionError::Closed));
    assert!(matches!(kept.fetch().await, Err(FetchError::Link(LinkError::Session(_)))));
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    let world = world().await;
    world.fill(&["a", "b"]).await;
    let receiver = world.receiver("q").await;
    receiver.set_capacity(2);
    let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
    world.connection.detach().await.unwrap();
    assert_eq!(world.session.acknowledge(&message).await, Ok(()), "ignored");
    world.connection.attach().await.unwrap();
    assert_eq!(world.session.acknowledge(&message).await, Ok(()), "ignored");
    assert_eq!(texts(&receiver).await, ["a", "b"]);
    world.session.acknowledge_all().await.unwrap();
    eventually("settled", || world.broker.queue_stats("q").unwrap().settled == 2).await;
}

// testReliabilityUnreliable and testReliabilityAtLeastOnce.

#[tokio::test]
async fn an_unreliable_subscription_does_not_outlive_a_detach() {
    let world = world_with(Broker::builder().topic("t")).await;
    let sender = world.other_session().await.sender("t").await.unwrap();
    let receiver = world.receiver("t; {link: {reliability: unreliable}}").await;
    sender.send("a").await.unwrap();
    world.connection.detach().await.unwrap();
    eventually("gone", || world.broker.connections() == 1).await;
    let _ = sender.send("b").await;
    world.connection.attach().await.unwrap();
    sender.send("c").await.unwrap();
    assert_eq!(text(&receiver.fetch_timeout(PATIENCE).await.unwrap()), "c");
}

#[tokio::test]
async fn a_detach_aborts_transactions() {
    let world = world().await;
    let session = world.connection.transactional_session().await.unwrap();
    session.sender("q").await.unwrap().send("a").await.unwrap();
    world.connection.detach().await.unwrap();
    let error = session.commit().await.unwrap_err();
    assert!(matches!(&error, SessionError::Transaction(TransactionError::Aborted(_))), "{error:?}");
    assert_eq!(world.connection.transactional_session().await.unwrap_err(), DETACHED);
    world.connection.attach().await.unwrap();
    assert_eq!(world.ready(), 0);
    world.connection.transactional_session().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_cannot_be_attached_stays_detached() {
    let world = world().await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let connection = Connection::establish(&format!("amqp://{}", proxy.addr())).await.unwrap();
    let sender = connection.session().await.unwrap().sender("q").await.unwrap();
    connection.detach().await.unwrap();
    proxy.set_door(Door::Refused);
    for _ in 0..2 {
        let error = tokio::time::timeout(PATIENCE, connection.attach()).await.unwrap().unwrap_err();
        assert!(matches!(error, ConnectError::Connection(_)), "{error:?}");
        assert!(connection.is_open() && !connection.is_attached());
    }
    proxy.set_door(Door::Open);
    connection.attach().await.unwrap();
    sender.send("a").await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_being_made_anew_can_be_detached() {
    let world = world().await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let builder = Connection::new(&format!("amqp://{}", proxy.addr())).unwrap();
    let connection = builder.reconnect_interval(Duration::from_millis(2)).open().await.unwrap();
    let sender = connection.session().await.unwrap().sender("q").await.unwrap();
    let mut events = connection.client().events();
    proxy.set_door(Door::Refused);
    proxy.cut_all();
    while !matches!(events.next().await.unwrap(), ConnectionEvent::Failed { .. }) {}
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("a").await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    tokio::time::timeout(PATIENCE, connection.detach()).await.unwrap().unwrap();
    // Whoever waits for the connection is not left alone.
    let refused = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(refused, Err(SendError::NotSent(LinkError::Session(DETACHED))));
    proxy.set_door(Door::Open);
    let refused = proxy.stats().refused;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(proxy.stats().refused, refused, "nobody tries");
    assert_eq!(sender.send("a").await, Err(SendError::NotSent(LinkError::Session(DETACHED))));
    connection.attach().await.unwrap();
    sender.send("b").await.unwrap();
    assert_eq!(world.ready(), 1);
}

// testConnectionDetach of the original's timeout tests.

#[tokio::test]
async fn a_broker_that_does_not_answer_holds_nobody() {
    let world = world().await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let builder = Connection::new(&format!("amqp://{}", proxy.addr())).unwrap();
    let short = Duration::from_millis(100);
    let connection = builder.close_timeout(short).open().await.unwrap();
    let sender = connection.session().await.unwrap().sender("q").await.unwrap();
    proxy.arm(Rule::new(Fault::Stall, At::frame(FrameKind::Close)).in_direction(Direction::ToServer));
    assert_eq!(connection.detach().await, Err(ConnectionError::CloseTimeout(short)));
    assert!(!connection.is_attached() && connection.is_open());
    proxy.set_plan(Plan::new(1));
    connection.attach().await.unwrap();
    sender.send("a").await.unwrap();
}
