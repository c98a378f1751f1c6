//! Receivers over connections that are lost.

use std::collections::BTreeSet;
use std::time::Duration;

use postroad_client::{Guarantee, LinkError, LinkOptions, Outcome, Receiver};
use postroad_testkit::Door;
use postroad_testkit::faults::{At, Direction, FrameKind, Plan, Point, Rule};

use crate::{PATIENCE, Road, attached, guaranteed, numbered};

async fn fill(road: &Road, count: usize) {
    let connection = road.quiet().await;
    let sender = connection.session().await.unwrap().sender("q").await.unwrap();
    for message in numbered(0..count) {
        sender.submit(&message).await.unwrap();
    }
    sender.sync().await.unwrap();
    connection.close().await.unwrap();
}

async fn next(receiver: &mut Receiver) -> postroad_client::Message {
    tokio::time::timeout(PATIENCE, receiver.receive()).await.expect("a message comes").unwrap()
}

#[tokio::test]
async fn a_receiver_goes_on_with_the_credit_that_it_had() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let mut receiver = session.receiver("q").await.unwrap();
    let mut events = connection.events();
    road.proxy.cut_all();
    assert!(!attached(&mut events).await);
    fill(&road, 3).await;
    for number in 0..3 {
        let message = next(&mut receiver).await;
        assert_eq!(message.text(), Some(&*number.to_string()));
        receiver.accept(&message).unwrap();
    }
    road.empty("q").await;
    // What its owner allowed, and nothing else, where credit is by hand.
    receiver.set_credit(2);
    road.proxy.cut_all();
    attached(&mut events).await;
    fill(&road, 5).await;
    let first = next(&mut receiver).await;
    let second = next(&mut receiver).await;
    assert_eq!((first.text(), second.text()), (Some("0"), Some("1")));
    assert_eq!(receiver.fetch(Duration::from_millis(200)).await.unwrap().map(|_| ()), None);
    receiver.accept(&first).unwrap();
    receiver.accept(&second).unwrap();
    connection.close().await.unwrap();
    assert_eq!(road.drain("q").await, ["2", "3", "4"]);
}

#[tokio::test]
async fn what_is_not_settled_comes_again_and_what_came_before_cannot_be_settled_any_more() {
    let road = Road::new(&["q"]).await;
    fill(&road, 3).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let mut receiver = session.receiver("q").await.unwrap();
    let before = next(&mut receiver).await;
    let mut events = connection.events();
    road.proxy.set_door(Door::Refused);
    road.proxy.cut_all();
    crate::until(&mut events, |event| matches!(event, postroad_client::ConnectionEvent::Lost(_)).then_some(())).await;
    assert!(matches!(receiver.accept(&before), Err(LinkError::Interrupted(_))), "there is nobody to tell");
    road.proxy.set_door(Door::Open);
    attached(&mut events).await;
    assert_eq!(receiver.accept(&before), Err(LinkError::Stale));
    assert!(receiver.settler().is_settled(&before));
    assert!(receiver.brought(&before) && session.brought(&before) && connection.brought(&before));
    // The others of its batch were thrown away: all three come, in their order, and each once.
    for number in 0..3 {
        let message = next(&mut receiver).await;
        assert_eq!(message.text(), Some(&*number.to_string()));
        assert_eq!(message.delivery_count(), 1, "it was on its way before");
        receiver.accept(&message).unwrap();
    }
    assert!(receiver.fetch(Duration::ZERO).await.unwrap().is_none());
    connection.close().await.unwrap();
    assert_eq!(road.drain("q").await, [""; 0]);
}

#[tokio::test]
async fn at_least_once_receives_everything_wherever_it_is_cut() {
    for (kind, direction) in [
        (FrameKind::Transfer, Direction::ToClient),
        (FrameKind::Disposition, Direction::ToServer),
        (FrameKind::Flow, Direction::ToServer),
    ] {
        for point in [Point::Before, Point::Inside, Point::After] {
            let plan = (0..4).fold(Plan::new(11), |plan, connection| {
                let cut = Rule::cut(At::frame(kind).nth(1).at(point));
                plan.rule(cut.in_direction(direction).on_connection(connection))
            });
            let road = Road::with_plan(&["q"], plan).await;
            fill(&road, 40).await;
            let connection = road.connect().await;
            let mut options = LinkOptions::default();
            options.prefetch = 7;
            let mut receiver = connection.session().await.unwrap().receiver_with("q", options).await.unwrap();
            let mut came = BTreeSet::new();
            while came.len() < 40 {
                let message = next(&mut receiver).await;
                came.insert(message.text().unwrap().to_owned());
                // It comes again where that is too late.
                let _ = receiver.accept(&message);
            }
            assert!(road.proxy.stats().cuts > 0, "{kind:?} {point:?}");
            connection.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn at_most_once_receives_nothing_twice_and_keeps_what_is_here() {
    let plan = (0..8).fold(Plan::new(5), |plan, connection| {
        let cut = Rule::cut(At::frame(FrameKind::Transfer).nth(9).at(Point::Inside));
        plan.rule(cut.in_direction(Direction::ToClient).on_connection(connection))
    });
    let road = Road::with_plan(&["q"], plan).await;
    fill(&road, 200).await;
    let connection = road.connect().await;
    let mut options = guaranteed(Guarantee::AtMostOnce);
    options.prefetch = 5;
    let mut receiver = connection.session().await.unwrap().receiver_with("q", options).await.unwrap();
    let mut came = Vec::new();
    while let Some(message) = receiver.fetch(Duration::ZERO).await.unwrap() {
        came.push(message.text().unwrap().to_owned());
    }
    let once: BTreeSet<&String> = came.iter().collect();
    assert_eq!(once.len(), came.len(), "{came:?}");
    assert!(road.proxy.stats().cuts >= 5 && came.len() >= 100, "{came:?}");
}

#[tokio::test]
async fn asking_whether_there_is_a_message_works_across_a_loss() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let mut receiver = connection.session().await.unwrap().receiver("q").await.unwrap();
    fill(&road, 1).await;
    let message = receiver.fetch(PATIENCE).await.unwrap().unwrap();
    receiver.settler().settle(&message, Outcome::Released).unwrap();
    road.proxy.cut_all();
    let again = receiver.fetch(PATIENCE).await.unwrap().unwrap();
    receiver.accept(&again).unwrap();
    road.empty("q").await;
    road.proxy.cut_all();
    assert!(receiver.fetch(Duration::ZERO).await.unwrap().is_none());
    let drained = async {
        let mut other = connection.session().await.unwrap().receiver("q").await.unwrap();
        road.proxy.cut_all();
        other.drain().await
    };
    tokio::time::timeout(PATIENCE, drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_waits_with_messages_of_the_past_gets_those_that_come_again() {
    let road = Road::new(&["q"]).await;
    fill(&road, 8).await;
    let connection = road.connect().await;
    let mut options = LinkOptions::default();
    options.prefetch = 8;
    let mut receiver = connection.session().await.unwrap().receiver_with("q", options).await.unwrap();
    // All credit is used, and seven are here.
    let first = next(&mut receiver).await;
    while receiver.available() < 7 {
        tokio::task::yield_now().await;
    }
    let mut events = connection.events();
    road.proxy.set_door(Door::Refused);
    road.proxy.cut_all();
    crate::until(&mut events, |event| matches!(event, postroad_client::ConnectionEvent::Lost(_)).then_some(())).await;
    let mut waiting = Box::pin(receiver.receive());
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    road.proxy.set_door(Door::Open);
    let again = tokio::time::timeout(PATIENCE, waiting).await.expect("it is granted credit").unwrap();
    assert_eq!(again.text(), first.text());
}
