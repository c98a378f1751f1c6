//! What fails, who is told, and what is of no use afterwards.

use std::sync::mpsc::{self, Receiver as Heard};

use postroad_messaging::{ConnectionError, FetchError, LinkError, SessionError};
use postroad_testkit::Proxy;
use postroad_testkit::faults::Plan;

use super::*;

/// A handler that tells a channel who has failed, and with what.
fn handler<E: ToString>(who: &'static str, told: &mpsc::Sender<(&'static str, String)>) -> impl Fn(&E) + use<E> {
    let told = told.clone();
    move |error| {
        let _ = told.send((who, error.to_string()));
    }
}

/// Handlers on a connection, its session, and a sender and a receiver of `q` and of `other`.
async fn watched(connection: &Connection) -> (Session, Vec<Sender>, Vec<Receiver>, Heard<(&'static str, String)>) {
    let (told, heard) = mpsc::channel();
    let session = connection.session().await.unwrap();
    connection.on_error(handler("connection", &told));
    session.on_error(handler("session", &told));
    let senders = vec![session.sender("q").await.unwrap(), session.sender("other").await.unwrap()];
    let receivers = vec![session.receiver("q").await.unwrap(), session.receiver("other").await.unwrap()];
    for (link, who) in senders.iter().zip(["sender of q", "sender of other"]) {
        link.on_error(handler(who, &told));
    }
    for (link, who) in receivers.iter().zip(["receiver of q", "receiver of other"]) {
        link.on_error(handler(who, &told));
    }
    (session, senders, receivers, heard)
}

async fn two_queues() -> World {
    world_with(Broker::builder().queue("q").queue("other")).await
}

async fn all_heard(heard: &Heard<(&'static str, String)>, count: usize) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    eventually("told", || {
        all.extend(heard.try_iter());
        all.len() >= count
    })
    .await;
    // Nobody else is told.
    tokio::time::sleep(Duration::from_millis(50)).await;
    all.extend(heard.try_iter());
    all.sort();
    all
}

#[tokio::test]
async fn the_handlers_of_the_links_that_fail_are_called() {
    let world = two_queues().await;
    let (session, senders, receivers, heard) = watched(&world.connection).await;
    world.broker.delete_queue("q");
    let told = all_heard(&heard, 2).await;
    let who: Vec<_> = told.iter().map(|(who, _)| *who).collect();
    assert_eq!(who, ["receiver of q", "sender of q"]);
    assert!(told[0].1.contains("amqp:resource-deleted"), "{told:?}");
    assert!(senders[0].check_error().is_err() && receivers[0].check_error().is_err());
    assert_eq!(senders[0].check_error().unwrap_err().to_string(), told[1].1);
    assert!(senders[1].check_closed().is_ok() && receivers[1].check_closed().is_ok() && session.check_error().is_ok());
}

#[tokio::test]
async fn the_handler_of_the_connection_that_fails_is_called() {
    let world = two_queues().await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let connection = Connection::establish(&format!("amqp://{}", proxy.addr())).await.unwrap();
    let (session, senders, receivers, heard) = watched(&connection).await;
    proxy.cut_all();
    let told = all_heard(&heard, 1).await;
    assert_eq!(told.iter().map(|(who, _)| *who).collect::<Vec<_>>(), ["connection"]);
    assert_eq!(connection.check_error().unwrap_err().to_string(), told[0].1);
    assert!(matches!(session.check_error(), Err(SessionError::Connection(_))));
    assert!(senders[0].check_closed().is_err() && receivers[0].check_closed().is_err());
}

#[tokio::test]
async fn the_handler_of_the_session_that_fails_is_called() {
    let world = two_queues().await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let builder = Connection::new(&format!("amqp://{}", proxy.addr())).unwrap();
    let connection = builder.reconnect_interval(Duration::from_millis(2)).open().await.unwrap();
    let (told, heard) = mpsc::channel();
    let session = connection.transactional_session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    connection.on_error(handler("connection", &told));
    session.on_error(handler("session", &told));
    sender.on_error(handler("sender", &told));
    proxy.cut_all();
    let told = all_heard(&heard, 1).await;
    assert_eq!(told.iter().map(|(who, _)| *who).collect::<Vec<_>>(), ["session"]);
    assert!(told[0].1.starts_with("transaction aborted"), "{told:?}");
}

#[tokio::test]
async fn a_close_at_this_end_is_no_error() {
    let world = two_queues().await;
    let (session, senders, receivers, heard) = watched(&world.connection).await;
    senders[0].close().await.unwrap();
    receivers[0].close().await.unwrap();
    session.close().await.unwrap();
    world.connection.close().await.unwrap();
    assert_eq!(all_heard(&heard, 0).await, []);
    assert!(senders[0].check_error().is_ok() && senders[0].check_closed() == Err(LinkError::Closed));
    assert!(receivers[0].check_error().is_ok() && receivers[0].check_closed() == Err(LinkError::Closed));
    assert!(session.check_error().is_ok() && session.check_closed() == Err(SessionError::Closed));
    assert!(world.connection.check_error().is_ok());
    assert_eq!(world.connection.check_closed(), Err(ConnectionError::Closed));
}

#[tokio::test]
async fn a_fetch_that_waits_learns_of_every_close() {
    for what in ["receiver", "session", "connection"] {
        let world = world().await;
        let receiver = world.receiver("q").await;
        let fetching = tokio::spawn({
            let receiver = receiver.clone();
            async move { receiver.fetch().await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        match what {
            "receiver" => receiver.close().await.unwrap(),
            "session" => world.session.close().await.unwrap(),
            _ => world.connection.close().await.unwrap(),
        }
        let error = tokio::time::timeout(PATIENCE, fetching).await.unwrap().unwrap().unwrap_err();
        assert!(matches!(error, FetchError::Link(LinkError::Closed | LinkError::Session(_))), "{what}: {error:?}");
        let error = receiver.fetch_timeout(NOW).await.unwrap_err();
        assert!(matches!(error, FetchError::Link(LinkError::Closed | LinkError::Session(_))), "{what}: {error:?}");
    }
}
