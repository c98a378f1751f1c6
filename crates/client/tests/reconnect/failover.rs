//! Several brokers: what goes over to another one, and what does not.

use std::collections::BTreeSet;
use std::time::Duration;

use postroad_client::{
    AttachError, ConnectError, ConnectOptions, Connection, ConnectionEvent, Guarantee, Message, Node, Outcome,
    SendError, SyncError,
};
use postroad_testkit::Door;
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Rule};

use crate::{PATIENCE, Road, attached, guaranteed, numbered, until};

/// Two brokers, the first of which is tried first.
async fn two() -> (Road, Road, ConnectOptions) {
    let (first, second) = (Road::new(&["q"]).await, Road::new(&["q"]).await);
    let mut options = first.options();
    options.failover.push(format!("amqp://{}", second.proxy.addr()).parse().unwrap());
    (first, second, options)
}

fn away(road: &Road) {
    road.proxy.set_door(Door::Refused);
    road.proxy.cut_all();
}

#[tokio::test]
async fn brokers_are_tried_in_turn() {
    let (first, second, options) = two().await;
    first.proxy.set_door(Door::Refused);
    let connection = Connection::open(options.clone()).await.unwrap();
    let mut events = connection.events();
    let sender = connection.session().await.unwrap().sender("q").await.unwrap();
    assert_eq!(sender.send(&Message::from("one")).await, Ok(Outcome::Accepted));
    first.proxy.set_door(Door::Open);
    away(&second);
    // The broker that was lost is tried once more before the other one.
    let mut tried = Vec::new();
    let (broker, same) = until(&mut events, |event| match event {
        ConnectionEvent::Trying { broker, attempt } => {
            tried.push((broker, attempt));
            None
        }
        ConnectionEvent::Reopened { broker, same_container, .. } => Some((broker, same_container)),
        _ => None,
    })
    .await;
    let [first_url, second_url] = [&first, &second].map(|road| format!("amqp://{}", road.proxy.addr()));
    assert_eq!(tried, [(second_url, 1), (first_url.clone(), 2)]);
    assert_eq!((broker, same), (first_url, false));
    assert_eq!(sender.send(&Message::from("two")).await, Ok(Outcome::Accepted));
    assert_eq!((first.drain("q").await, second.drain("q").await), (vec!["two".to_owned()], vec!["one".to_owned()]));

    connection.close().await.unwrap();
    away(&first);
    let error = Connection::open(options).await.unwrap_err();
    let ConnectError::Brokers(errors) = &error else { panic!("{error:?}") };
    assert!(matches!(&errors[..], [(_, ConnectError::Transport(_)), (_, ConnectError::Transport(_))]), "{error}");
}

/// A sender of which messages wait at a broker that never answers.
async fn unanswered(
    resend_elsewhere: bool,
) -> (Road, Road, Connection, postroad_client::Sender, postroad_client::Settlement) {
    let (first, second, options) = two().await;
    let connection = Connection::open(options).await.unwrap();
    let mut terms = guaranteed(Guarantee::AtLeastOnce);
    terms.resend_elsewhere = resend_elsewhere;
    let sender = connection.session().await.unwrap().sender_with("q", terms).await.unwrap();
    let stall = Rule::new(Fault::Stall, At::frame(FrameKind::Disposition)).in_direction(Direction::ToClient);
    first.proxy.arm(stall);
    let tracked = sender.submit_tracked(&Message::from("tracked")).await.unwrap();
    for message in numbered(0..3) {
        sender.submit(&message).await.unwrap();
    }
    // A cut before the stall may let the outcomes through that are on their way.
    while first.broker.queue_stats("q").unwrap().enqueued < 4 || first.proxy.stats().stalls == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (first, second, connection, sender, tracked)
}

#[tokio::test]
async fn what_is_not_settled_is_told_in_doubt_on_another_broker_and_not_sent_again() {
    let (first, second, connection, sender, tracked) = unanswered(false).await;
    let mut events = connection.events();
    away(&first);
    let (link, messages) = until(&mut events, |event| match event {
        ConnectionEvent::InDoubt { link, messages } => Some((link, messages)),
        _ => None,
    })
    .await;
    assert_eq!((&*link, messages), (sender.name(), 4));
    assert!(matches!(tracked.await, Err(SendError::InDoubt(_))));
    assert!(matches!(sender.sync().await, Err(SyncError::Link { in_doubt: 3, .. })));
    assert_eq!(sender.sync().await, Ok(()), "it is told once");
    let doubts = sender.take_in_doubt();
    let texts: Vec<_> =
        doubts.iter().map(|doubt| doubt.message().unwrap().unwrap().text().unwrap().to_owned()).collect();
    assert_eq!(texts, ["tracked", "0", "1", "2"]);
    assert_eq!(doubts.iter().map(|doubt| doubt.tag).collect::<BTreeSet<_>>().len(), 4);
    assert!(sender.take_in_doubt().is_empty());
    assert_eq!(sender.unsettled(), 0);
    // The link itself goes on.
    assert_eq!(sender.send(&Message::from("new")).await, Ok(Outcome::Accepted));
    assert_eq!(second.drain("q").await, ["new"]);
}

#[tokio::test]
async fn who_wants_it_has_it_sent_again_on_another_broker() {
    let (first, second, connection, sender, tracked) = unanswered(true).await;
    let mut events = connection.events();
    away(&first);
    assert_eq!(tokio::time::timeout(PATIENCE, tracked).await.unwrap(), Ok(Outcome::Accepted));
    assert_eq!(sender.sync().await, Ok(()));
    assert!(!attached(&mut events).await);
    assert_eq!(second.drain("q").await, ["tracked", "0", "1", "2"]);
}

#[tokio::test]
async fn a_node_that_the_broker_made_is_made_anew_and_said_so() {
    let road = Road::new(&[]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let mut receiver = session.receiver(Node::dynamic()).await.unwrap();
    let before = receiver.address().unwrap();
    let mut events = connection.events();
    road.proxy.cut_all();
    let renewed = until(&mut events, |event| match event {
        ConnectionEvent::NodeRenewed { link, previous, address } => Some((link, previous, address)),
        _ => None,
    })
    .await;
    let now = receiver.address().unwrap();
    assert_ne!(before, now);
    assert_eq!(renewed, (receiver.name().to_owned(), Some(before), now.clone()));
    let sender = session.sender(Node::at(now)).await.unwrap();
    sender.send(&Message::from("found")).await.unwrap();
    let message = receiver.receive().await.unwrap();
    assert_eq!(message.text(), Some("found"));
}

#[tokio::test]
async fn a_link_that_another_broker_refuses_is_lost_alone() {
    let (first, second, options) = {
        let (first, second) = (Road::new(&["q", "only-here"]).await, Road::new(&["q"]).await);
        let mut options = first.options();
        options.failover.push(format!("amqp://{}", second.proxy.addr()).parse().unwrap());
        (first, second, options)
    };
    let connection = Connection::open(options).await.unwrap();
    let session = connection.session().await.unwrap();
    let (stays, goes) = (session.sender("q").await.unwrap(), session.sender("only-here").await.unwrap());
    let mut events = connection.events();
    away(&first);
    let (link, error) = until(&mut events, |event| match event {
        ConnectionEvent::LinkLost { link, error } => Some((link, error)),
        _ => None,
    })
    .await;
    assert_eq!(link, goes.name());
    assert_eq!(goes.error(), Some(error.clone()));
    assert_eq!(error.peer_error().unwrap().condition, postroad_client::types::ErrorCondition::NOT_FOUND);
    assert!(matches!(goes.send(&Message::from("x")).await, Err(SendError::NotSent(_))));
    assert_eq!(stays.send(&Message::from("y")).await, Ok(Outcome::Accepted));
    assert!(matches!(session.sender("only-here").await, Err(AttachError::Link(_))));
    assert_eq!(second.drain("q").await, ["y"]);
}

#[tokio::test]
async fn a_link_that_what_is_left_of_us_has_stolen_is_taken_back_and_one_that_another_has_is_not() {
    let road = Road::new(&["q"]).await;
    let mut options = road.options();
    options.container_id = "ours".to_owned();
    let connection = Connection::open(options.clone()).await.unwrap();
    let mut terms = guaranteed(Guarantee::ExactlyOnce);
    terms.name = Some("link".to_owned());
    let sender = connection.session().await.unwrap().sender_with("q", terms.clone()).await.unwrap();
    let mut events = connection.events();
    road.proxy.cut_all();
    assert!(attached(&mut events).await);

    // As if an attach of the connection before came late.
    let mut late = options.clone();
    late.url = road.broker.urls()[0].parse().unwrap();
    let thief = Connection::open(late.clone()).await.unwrap();
    let stolen = thief.session().await.unwrap().sender_with("q", terms.clone()).await.unwrap();
    until(&mut events, |event| {
        matches!(event, ConnectionEvent::Lost(postroad_client::ConnectionError::Stolen)).then_some(())
    })
    .await;
    attached(&mut events).await;
    assert_eq!(sender.send(&Message::from("mine")).await, Ok(Outcome::Accepted));
    let lost = tokio::time::timeout(PATIENCE, stolen.closed()).await.unwrap();
    assert_eq!(lost.peer_error().unwrap().condition, postroad_client::types::ErrorCondition::STOLEN);
    assert_eq!(thief.error(), None, "it has never been lost, so it was another one that took it");
    assert_eq!(road.drain("q").await, ["mine"]);
}
