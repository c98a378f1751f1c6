//! What becomes of calls when the link, the session, the connection or the broker goes away.

use postroad_messaging::{ConnectionError, FetchError, LinkError, SendError, SessionError, SyncError};

use super::*;

fn is_closed(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::Closed
            | LinkError::Session(
                SessionError::Closed | SessionError::Ended(None) | SessionError::Connection(ConnectionError::Closed)
            )
    )
}

#[tokio::test]
async fn fetching_from_a_closed_session_fails_at_once() {
    let world = world().await;
    let receiver = world.receiver("q").await;
    world.session.close().await.unwrap();
    for result in [receiver.fetch_timeout(PATIENCE).await, receiver.fetch().await, receiver.fetch_timeout(NOW).await] {
        let FetchError::Link(error) = result.unwrap_err() else { panic!("not told") };
        assert!(is_closed(&error), "{error:?}");
    }
    assert!(receiver.error().is_some());
}

#[tokio::test]
async fn fetching_from_a_closed_connection_fails_at_once() {
    let world = world().await;
    let receiver = world.receiver("q").await;
    world.connection.close().await.unwrap();
    let FetchError::Link(error) = receiver.fetch().await.unwrap_err() else { panic!("not told") };
    assert!(is_closed(&error), "{error:?}");
    let error = world.connection.session().await.unwrap_err();
    assert_eq!(error, SessionError::Connection(ConnectionError::Closed));
}

#[tokio::test]
async fn a_fetch_that_waits_learns_of_the_close() {
    let world = world().await;
    let receiver = world.receiver("q").await;
    let fetching = tokio::spawn(async move { receiver.fetch().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.session.close().await.unwrap();
    let result = tokio::time::timeout(PATIENCE, fetching).await.unwrap().unwrap();
    let FetchError::Link(error) = result.unwrap_err() else { panic!("not told") };
    assert!(is_closed(&error), "{error:?}");
}

#[tokio::test]
async fn sending_on_a_closed_session_sends_nothing() {
    let world = world().await;
    let sender = world.sender("q").await;
    world.session.close().await.unwrap();
    let SendError::NotSent(error) = sender.send("a").await.unwrap_err() else { panic!("not told") };
    assert!(is_closed(&error), "{error:?}");
    assert!(matches!(sender.send_async("a").await, Err(SendError::NotSent(_))));
    assert_eq!(world.ready(), 0);
}

#[tokio::test]
async fn what_was_under_way_is_in_doubt() {
    let (sender, mut receiver, theirs) = sender_to_peer(10).await;
    let sender = std::sync::Arc::new(sender);
    sender.send_async("a").await.unwrap();
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("b").await }
    });
    receiver.receive().await.unwrap();
    receiver.receive().await.unwrap();
    theirs.close().await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(SendError::InDoubt(_))));
    let error = sender.sync().await.unwrap_err();
    assert!(matches!(error, SyncError::InDoubt { count: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn a_deleted_queue_detaches_its_links() {
    let world = world().await;
    let receiver = world.receiver("q").await;
    let (result, deleted) = tokio::join!(receiver.fetch(), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.broker.delete_queue("q")
    });
    assert!(deleted);
    let error = result.unwrap_err();
    assert!(matches!(error, FetchError::Link(LinkError::Detached(Some(_)))), "{error:?}");
    assert_eq!(error.condition().unwrap().0.as_str(), "amqp:resource-deleted");
}

#[tokio::test]
async fn a_broker_that_shuts_down_says_so() {
    let World { broker, connection, session } = world().await;
    let receiver = session.receiver("q").await.unwrap();
    broker.shutdown(Duration::from_secs(1)).await;
    let error = tokio::time::timeout(PATIENCE, receiver.fetch()).await.unwrap().unwrap_err();
    assert_eq!(error.condition().unwrap().0.as_str(), "amqp:connection:forced");
    assert!(matches!(connection.error(), Some(ConnectionError::Remote(_))), "{:?}", connection.error());
}

#[tokio::test]
async fn acknowledging_on_a_closed_link_is_an_error() {
    let world = world().await;
    world.fill(&["a"]).await;
    let receiver = world.receiver("q").await;
    let message = receiver.fetch().await.unwrap();
    receiver.close().await.unwrap();
    assert_eq!(world.session.acknowledge(&message).await, Err(LinkError::Closed));
    assert_eq!(world.ready(), 1);
}

#[tokio::test]
async fn closing_a_receiver_gives_back_what_it_had() {
    let world = world().await;
    world.fill(&["a", "b"]).await;
    let receiver = world.receiver("q").await;
    receiver.set_capacity(2);
    eventually("both are here", || receiver.available() == 2).await;
    receiver.fetch().await.unwrap();
    receiver.close().await.unwrap();
    assert_eq!(texts(&world.receiver("q").await).await, ["a", "b"]);
}

#[tokio::test]
async fn a_link_leads_to_its_session_and_connection() {
    let world = world().await;
    let (sender, receiver) = (world.sender("q").await, world.receiver("q").await);
    assert_eq!((sender.address().as_deref(), receiver.address().as_deref()), (Some("q"), Some("q")));
    receiver.session().connection().close().await.unwrap();
    assert!(!sender.session().connection().is_open() && !world.connection.is_open());
}

#[tokio::test]
async fn closing_a_sender_waits_for_what_is_under_way() {
    let (sender, mut receiver, _theirs) = sender_to_peer(10).await;
    sender.send_async("a").await.unwrap();
    let closing = tokio::spawn(async move { sender.close().await });
    let message = receiver.receive().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!closing.is_finished());
    receiver.accept(&message).unwrap();
    tokio::time::timeout(PATIENCE, closing).await.unwrap().unwrap().unwrap();
}
