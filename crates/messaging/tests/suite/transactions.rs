//! Sessions whose work happens in transactions.

use postroad_messaging::{FetchError, LinkError, SendError, SessionError, TransactionError, TransactionState};
use postroad_testkit::Proxy;
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Plan, Point, Rule};

use super::*;

/// A world with a transactional session beside the other one, and the queue `copy`.
async fn transacted() -> (World, Session) {
    let world = world_with(Broker::builder().queue("q").queue("copy")).await;
    let session = world.connection.transactional_session().await.unwrap();
    (world, session)
}

/// The texts of all messages there are, which are acknowledged where the session is not transactional, and whether each
/// was delivered before.
async fn drain(receiver: &Receiver) -> Vec<(String, bool)> {
    let mut came = Vec::new();
    while let Ok(message) = receiver.fetch_timeout(NOW).await {
        came.push((text(&message), message.redelivered()));
    }
    came
}

fn all(texts: &[&str], redelivered: bool) -> Vec<(String, bool)> {
    texts.iter().map(|text| ((*text).to_owned(), redelivered)).collect()
}

const THREE: [&str; 3] = ["a", "b", "c"];

#[tokio::test]
async fn one_transaction_follows_another() {
    let (world, session) = transacted().await;
    let (sender, receiver) = (session.sender("q").await.unwrap(), session.receiver("q").await.unwrap());
    for round in 0..5 {
        for text in THREE {
            sender.send(text).await.unwrap();
        }
        session.commit().await.unwrap();
        assert_eq!(drain(&receiver).await, all(&THREE, false), "round {round}");
        session.acknowledge_all().await.unwrap();
        session.commit().await.unwrap();
    }
    assert_eq!(world.ready(), 0);
    session.close().await.unwrap();
    assert_eq!(drain(&world.receiver("q").await).await, []);
}

// testRollbackWithFullPrefetch of the C++ suite, with more than is fetched.

#[tokio::test]
async fn rollback_gives_back_what_was_taken_ahead() {
    let (world, session) = transacted().await;
    let texts: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    world.fill(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let receiver = session.receiver("q").await.unwrap();
    receiver.set_capacity(8);
    for round in 0..4 {
        for text in &texts[..3] {
            let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
            assert_eq!((super::text(&message).as_str(), message.redelivered()), (text.as_str(), round > 0));
            session.acknowledge(&message).await.unwrap();
        }
        // One that is not acknowledged.
        receiver.fetch_timeout(PATIENCE).await.unwrap();
        session.rollback().await.unwrap();
    }
    // Credit has come back, and the order is that of the queue.
    assert_eq!(super::texts(&receiver).await, texts);
    session.acknowledge_all().await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(world.ready(), 0);
}

#[tokio::test]
async fn whoever_waits_for_a_message_has_one_after_a_rollback() {
    let (world, session) = transacted().await;
    world.fill(&["a"]).await;
    let (one, two) = (session.receiver("q").await.unwrap(), session.receiver("q").await.unwrap());
    assert_eq!(text(&one.fetch_timeout(PATIENCE).await.unwrap()), "a");
    let waiting = tokio::spawn({
        let two = two.clone();
        async move { two.fetch().await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    session.rollback().await.unwrap();
    let message = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!((text(&message).as_str(), message.redelivered()), ("a", true));
}

#[tokio::test]
async fn other_sessions_have_no_transactions() {
    let world = world().await;
    assert_eq!(world.session.commit().await, Err(SessionError::Nontransactional));
    let error = world.session.rollback().await.unwrap_err();
    assert_eq!(error.to_string(), "the session is not transactional");
    assert!(error.hint().is_some());
    assert!(!world.session.is_transactional() && world.session.transaction_state().is_none());
}

#[tokio::test]
async fn a_peer_without_transactions_says_so() {
    let (session, theirs) = peer().await;
    let error = session.connection().transactional_session().await.unwrap_err();
    assert!(matches!(&error, SessionError::Transaction(TransactionError::Unsupported(_))), "{error:?}");
    assert!(error.hint().is_some() && error.condition().is_some());
    drop(theirs);
}

#[tokio::test]
async fn a_message_that_is_not_accepted_rolls_back() {
    let (world, session) = transacted().await;
    world.fill(&["a"]).await;
    let (receiver, sender) = (session.receiver("q").await.unwrap(), session.sender("''").await.unwrap());
    let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
    session.acknowledge(&message).await.unwrap();
    sender.send_async(Message::from("b").with_address("nowhere")).await.unwrap();
    let error = session.commit().await.unwrap_err();
    assert!(matches!(&error, SessionError::Transaction(TransactionError::Aborted(_))), "{error:?}");
    assert_eq!(session.transaction_state(), Some(TransactionState::Aborted));
    // What was acknowledged has gone back, and the session goes on.
    let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
    assert!(message.redelivered());
    session.acknowledge(&message).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(world.ready(), 0);
}

/// A transactional session over a proxy, on a connection that is made anew.
async fn proxied() -> (World, Proxy, Session) {
    let world = world().await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let url = format!("amqp://{}", proxy.addr());
    let builder = Connection::new(&url).unwrap().reconnect_interval(Duration::from_millis(2));
    let session = builder.open().await.unwrap().transactional_session().await.unwrap();
    (world, proxy, session)
}

#[tokio::test]
async fn a_lost_connection_aborts_and_ends_the_session() {
    let (world, proxy, session) = proxied().await;
    world.fill(&["a"]).await;
    let (sender, receiver) = (session.sender("q").await.unwrap(), session.receiver("q").await.unwrap());
    sender.send("b").await.unwrap();
    let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
    session.acknowledge(&message).await.unwrap();
    proxy.cut_all();
    eventually("over", || session.error().is_some()).await;
    let error = session.error().unwrap();
    assert!(matches!(&error, SessionError::Transaction(TransactionError::Aborted(_))), "{error:?}");
    assert_eq!(session.commit().await, Err(error.clone()));
    assert_eq!(session.rollback().await, Err(error.clone()));
    assert_eq!(sender.send("c").await, Err(SendError::NotSent(LinkError::Session(error.clone()))));
    assert_eq!(receiver.fetch().await, Err(FetchError::Link(LinkError::Session(error))));
    // The connection goes on, with other sessions.
    let session = session.connection().transactional_session().await.unwrap();
    let receiver = session.receiver("q").await.unwrap();
    assert_eq!(texts(&receiver).await, ["a"]);
    session.acknowledge_all().await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(world.ready(), 0);
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_of_a_commit_leaves_it_unknown() {
    let (world, proxy, session) = proxied().await;
    let sender = session.sender("q").await.unwrap();
    sender.send("a").await.unwrap();
    // The discharge arrives, and its answer does not.
    proxy.arm(Rule::cut(At::frame(FrameKind::Transfer).at(Point::After)).in_direction(Direction::ToServer));
    let error = session.commit().await.unwrap_err();
    assert!(matches!(&error, SessionError::Transaction(TransactionError::Unknown(_))), "{error:?}");
    assert!(error.to_string().starts_with("transaction outcome unknown"), "{error}");
    let over = session.error().unwrap();
    assert!(matches!(over, SessionError::Transaction(TransactionError::Unknown(_))), "{over:?}");
    assert!(proxy.stats().cuts > 0);
    drop(world);
}

#[tokio::test]
async fn a_commit_that_is_not_waited_for_goes_on() {
    let (world, proxy, session) = proxied().await;
    let sender = session.sender("q").await.unwrap();
    sender.send("a").await.unwrap();
    let delay = Fault::Delay(Duration::from_millis(200));
    proxy.arm(Rule::new(delay, At::frame(FrameKind::Disposition)).in_direction(Direction::ToClient));
    assert!(tokio::time::timeout(Duration::from_millis(50), session.commit()).await.is_err());
    session.commit().await.unwrap();
    assert_eq!(world.ready(), 1);
    sender.send("b").await.unwrap();
    session.rollback().await.unwrap();
    assert_eq!(world.ready(), 1);
}
