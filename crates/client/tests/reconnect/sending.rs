//! Senders over connections that are lost.

use std::collections::BTreeSet;
use std::time::Duration;

use postroad_client::{Guarantee, LinkError, Message, Outcome, Recovery, SendError};
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Plan, Point, Rule};

use crate::{PATIENCE, Road, attached, guaranteed, numbered};

#[tokio::test]
async fn a_sender_goes_on_where_it_was() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let sender = connection.session().await.unwrap().sender("q").await.unwrap();
    let name = sender.name().to_owned();
    for (number, message) in numbered(0..5).enumerate() {
        assert_eq!(sender.send(&message).await, Ok(Outcome::Accepted));
        if number % 2 == 0 {
            road.proxy.cut_all();
        }
    }
    assert_eq!((sender.name(), sender.error()), (&*name, None));
    assert_eq!(road.drain("q").await, ["0", "1", "2", "3", "4"]);
    sender.close().await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn at_least_once_loses_nothing_wherever_it_is_cut() {
    for (kind, direction) in [
        (FrameKind::Transfer, Direction::ToServer),
        (FrameKind::Disposition, Direction::ToClient),
        (FrameKind::Flow, Direction::ToClient),
    ] {
        for point in [Point::Before, Point::Inside, Point::After] {
            let rules = (0..4).map(|connection| {
                Rule::cut(At::frame(kind).nth(1).at(point)).in_direction(direction).on_connection(connection)
            });
            let plan = rules.fold(Plan::new(3), Plan::rule);
            let road = Road::with_plan(&["q"], plan).await;
            let connection = road.connect().await;
            let sender = connection.session().await.unwrap().sender("q").await.unwrap();
            let sending = async {
                for message in numbered(0..50) {
                    sender.submit(&message).await.unwrap();
                }
                sender.sync().await.unwrap();
            };
            tokio::time::timeout(PATIENCE, sending).await.unwrap_or_else(|_| panic!("it hangs: {kind:?} {point:?}"));
            assert!(road.proxy.stats().cuts > 0, "{kind:?} {point:?}");
            let came: BTreeSet<String> = road.drain("q").await.into_iter().collect();
            assert_eq!(came.len(), 50, "{kind:?} {point:?}: {came:?}");
        }
    }
}

#[tokio::test]
async fn at_most_once_repeats_nothing() {
    let plan = (0..20).fold(Plan::new(5), |plan, connection| {
        plan.rule(Rule::cut(At::frame(FrameKind::Transfer).nth(7).at(Point::Inside)).on_connection(connection))
    });
    let road = Road::with_plan(&["q"], plan).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let sender = session.sender_with("q", guaranteed(Guarantee::AtMostOnce)).await.unwrap();
    for message in numbered(0..200) {
        sender.send(&message).await.unwrap();
        tokio::task::yield_now().await;
    }
    connection.close().await.unwrap();
    let came = road.drain("q").await;
    let once: BTreeSet<&String> = came.iter().collect();
    assert_eq!(once.len(), came.len(), "{came:?}");
    assert!(road.proxy.stats().cuts >= 10, "{:?}", road.proxy.stats());
}

#[tokio::test]
async fn calls_wait_while_there_is_no_connection_and_go_on_behind_it() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    road.proxy.set_door(postroad_testkit::Door::Refused);
    road.proxy.cut_all();
    let mut events = connection.events();
    let message = Message::from("late");
    let mut sending = Box::pin(sender.send(&message));
    let mut attaching = Box::pin(session.sender("q"));
    let mut beginning = Box::pin(connection.session());
    let short = Duration::from_millis(50);
    assert!(tokio::time::timeout(short, &mut sending).await.is_err());
    assert!(tokio::time::timeout(short, &mut attaching).await.is_err());
    assert!(tokio::time::timeout(short, &mut beginning).await.is_err());
    assert_eq!(sender.try_submit(&Message::from("now")), Err(SendError::NoCredit));
    assert_eq!(sender.credit(), 0);
    road.proxy.set_door(postroad_testkit::Door::Open);
    assert_eq!(tokio::time::timeout(PATIENCE, sending).await.unwrap(), Ok(Outcome::Accepted));
    attaching.await.unwrap().close().await.unwrap();
    beginning.await.unwrap();
    assert!(!attached(&mut events).await);
    assert_eq!(road.drain("q").await, ["late"]);
}

#[tokio::test]
async fn what_is_under_way_is_bounded_without_anybody_waiting() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let mut options = guaranteed(Guarantee::AtLeastOnce);
    options.max_unsettled = Some(10);
    let sender = connection.session().await.unwrap().sender_with("q", options).await.unwrap();
    for message in numbered(0..300) {
        sender.submit(&message).await.unwrap();
        assert!(sender.unsettled() <= 10);
    }
    sender.sync().await.unwrap();
    assert_eq!(road.drain("q").await.len(), 300);
}

#[tokio::test]
async fn a_close_while_there_is_no_connection_ends_everything_at_once() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let (sender, other) = (session.sender("q").await.unwrap(), session.sender("q").await.unwrap());
    road.proxy.set_door(postroad_testkit::Door::Hanging);
    road.proxy.cut_all();
    let mut events = connection.events();
    crate::until(&mut events, |event| matches!(event, postroad_client::ConnectionEvent::Trying { .. }).then_some(()))
        .await;
    // Sooner than anything that waits for the peer.
    let at_once = Duration::from_secs(5);
    tokio::time::timeout(at_once, other.close()).await.unwrap().unwrap();
    let message = Message::from("never");
    let (sent, closed) = tokio::join!(sender.send(&message), async {
        tokio::task::yield_now().await;
        tokio::time::timeout(at_once, connection.close()).await.unwrap()
    });
    closed.unwrap();
    assert!(matches!(sent, Err(SendError::NotSent(LinkError::Connection(_)))), "{sent:?}");
}

#[tokio::test]
async fn bytes_that_are_kept_are_bounded_too() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let mut options = guaranteed(Guarantee::AtLeastOnce);
    options.max_unsettled_bytes = 1000;
    let sender = connection.session().await.unwrap().sender_with("q", options).await.unwrap();
    road.proxy.arm(Rule::new(Fault::Stall, At::frame(FrameKind::Disposition)).in_direction(Direction::ToClient));
    let message = Message::from("x".repeat(400).as_str());
    for _ in 0..3 {
        tokio::time::timeout(PATIENCE, sender.submit(&message)).await.expect("the last may exceed it").unwrap();
    }
    assert!(tokio::time::timeout(Duration::from_millis(100), sender.submit(&message)).await.is_err());
    assert_eq!(sender.unsettled(), 3);
    road.proxy.cut_all();
    tokio::time::timeout(PATIENCE, sender.submit(&message)).await.unwrap().unwrap();
    tokio::time::timeout(PATIENCE, sender.sync()).await.unwrap().unwrap();
}

#[tokio::test]
async fn errors_say_what_is_to_be_made_anew() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let refused = session.sender("not here").await.unwrap_err();
    assert_eq!(refused.recovery(), Recovery::Link);
    let sender = session.sender("q").await.unwrap();
    let mut events = connection.events();
    let mut writer = sender.begin(&Message::new());
    writer.write("part").await.unwrap();
    road.proxy.cut_all();
    attached(&mut events).await;
    assert_eq!(writer.write("rest").await.unwrap_err().recovery(), Recovery::Nothing);
    drop(writer);
    assert_eq!(sender.send(&Message::from("next")).await, Ok(Outcome::Accepted));
    connection.close().await.unwrap();
    assert!(sender.send(&Message::from("late")).await.unwrap_err().recovery() >= Recovery::Session);
}
