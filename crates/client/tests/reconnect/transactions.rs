//! Transactions end with their connection.

use std::time::Duration;

use postroad_client::{ConnectionEvent, LinkError, Message, Outcome, SendError, TransactionError};
use postroad_testkit::Door;
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Point, Rule};

use crate::{PATIENCE, Road};

#[tokio::test]
async fn an_open_transaction_is_gone_and_the_controller_goes_on() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    let controller = session.transaction_controller().await.unwrap();
    let transaction = controller.declare().await.unwrap();
    transaction.send(&sender, &Message::from("undone")).await.unwrap();
    let mut events = connection.events();
    road.proxy.cut_all();
    crate::attached(&mut events).await;
    let late = transaction.send(&sender, &Message::from("late")).await;
    assert!(matches!(late, Err(SendError::NotSent(LinkError::Interrupted(_)))), "{late:?}");
    let committed = transaction.commit().await;
    assert!(matches!(committed, Err(TransactionError::Link(LinkError::Interrupted(_)))), "{committed:?}");

    let transaction = tokio::time::timeout(PATIENCE, controller.declare()).await.unwrap().unwrap();
    transaction.send(&sender, &Message::from("done")).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(road.drain("q").await, ["done"]);
    drop(connection);
}

#[tokio::test]
async fn what_waits_for_credit_in_a_transaction_does_not_go_over_to_the_next_connection() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let mut options = postroad_client::LinkOptions::default();
    options.max_unsettled = Some(1);
    let sender = session.sender_with("q", options).await.unwrap();
    let controller = session.transaction_controller().await.unwrap();
    let transaction = controller.declare().await.unwrap();
    let stall = Rule::new(Fault::Stall, At::frame(FrameKind::Disposition)).in_direction(Direction::ToClient);
    road.proxy.arm(stall);
    transaction.submit(&sender, &Message::from("one")).await.unwrap();
    let two = Message::from("two");
    let mut waiting = Box::pin(transaction.submit(&sender, &two));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    road.proxy.cut_all();
    let waited = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert!(matches!(waited, Err(SendError::NotSent(_))), "{waited:?}");
    let committed = tokio::time::timeout(PATIENCE, transaction.commit()).await.unwrap();
    assert!(matches!(committed, Err(TransactionError::Send(_) | TransactionError::Link(_))), "{committed:?}");
    assert_eq!(road.drain("q").await, [""; 0]);
}

#[tokio::test]
async fn a_commit_under_way_is_in_doubt_and_either_way_whole() {
    for (point, arrives) in [(Point::Before, false), (Point::After, true)] {
        let road = Road::new(&["q"]).await;
        let connection = road.connect().await;
        let session = connection.session().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        let controller = session.transaction_controller().await.unwrap();
        let transaction = controller.declare().await.unwrap();
        for text in ["a", "b"] {
            transaction.send(&sender, &Message::from(text)).await.unwrap();
        }
        road.proxy.set_door(Door::Refused);
        // The discharge is the next transfer; its answer the next disposition.
        road.proxy.arm(match arrives {
            true => Rule::cut(At::frame(FrameKind::Disposition)).in_direction(Direction::ToClient),
            false => Rule::cut(At::frame(FrameKind::Transfer).at(point)).in_direction(Direction::ToServer),
        });
        let committed = tokio::time::timeout(PATIENCE, transaction.commit()).await.unwrap();
        assert!(matches!(committed, Err(TransactionError::InDoubt(LinkError::Interrupted(_)))), "{committed:?}");
        road.proxy.set_door(Door::Open);
        let expected: &[&str] = if arrives { &["a", "b"] } else { &[] };
        assert_eq!(road.drain("q").await, expected);
    }
}

#[tokio::test]
async fn what_was_retired_in_a_transaction_that_is_gone_comes_again() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    sender.send(&Message::from("once")).await.unwrap();
    let mut receiver = session.receiver("q").await.unwrap();
    let controller = session.transaction_controller().await.unwrap();
    let message = receiver.receive().await.unwrap();
    let transaction = controller.declare().await.unwrap();
    transaction.accept(&message).unwrap();
    let mut events = connection.events();
    road.proxy.cut_all();
    for _ in 0..3 {
        crate::attached(&mut events).await;
    }
    assert!(transaction.commit().await.is_err());
    let again = tokio::time::timeout(PATIENCE, receiver.receive()).await.unwrap().unwrap();
    let transaction = controller.declare().await.unwrap();
    assert_eq!(transaction.accept(&message), Err(LinkError::Stale));
    transaction.accept(&again).unwrap();
    transaction.commit().await.unwrap();
    road.empty("q").await;
}

#[tokio::test]
async fn a_session_that_is_over_is_not_taken_for_one_that_has_its_number_on_the_next_connection() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    // Each is the first session of its connection, and all handles are kept.
    let (mut before, mut untaken) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let session = connection.session().await.unwrap();
        let work = session.transacted().await.unwrap();
        let sender = session.sender("q").await.unwrap();
        work.submit(&sender, &Message::from("undone")).await.unwrap();
        // A link stays until every outcome has been taken.
        untaken.push(sender.submit_tracked(&Message::from("outside")).await.unwrap());
        assert_eq!((session.error(), sender.error()), (None, None), "{round}");
        let mut events = connection.events();
        road.proxy.cut_all();
        tokio::time::timeout(PATIENCE, async {
            while !matches!(events.next().await, Some(ConnectionEvent::Reopened { .. })) {}
        })
        .await
        .unwrap();
        for error in [session.error(), sender.error()] {
            assert!(matches!(error, Some(LinkError::TransactionAborted(_))), "{round}: {error:?}");
        }
        before.push((session, work, sender));
    }
    // Nor is one that works taken for one that is over: it is the second link here, as the others were.
    let session = connection.session().await.unwrap();
    let _first = session.sender("q").await.unwrap();
    let sender = session.sender("q").await.unwrap();
    drop(before);
    assert_eq!(sender.send(&Message::from("sent")).await, Ok(Outcome::Accepted));
    drop(untaken);
    let left = road.drain("q").await;
    assert!(left.iter().any(|text| text == "sent") && !left.iter().any(|text| text == "undone"), "{left:?}");
}
