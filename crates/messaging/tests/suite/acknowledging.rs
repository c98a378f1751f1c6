//! Acknowledgments: how many may be under way, and when the broker has heard them.

use postroad_client::ConnectionEvent;
use postroad_client::types::{ErrorCondition, PeerError};
use postroad_messaging::{Disposition, LinkError, ReceiverOptions, SyncError, UNLIMITED};
use postroad_testkit::Proxy;
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Plan, Rule};

use super::*;

/// Gives a message back as delivered before, or not.
fn released(redelivered: bool) -> Disposition {
    match redelivered {
        true => Disposition::Modified { delivery_failed: true, undeliverable_here: false, annotations: None },
        false => Disposition::Released,
    }
}

#[tokio::test]
async fn acknowledge_async_ack_cap_0() {
    let world = world().await;
    world.fill(&["a"]).await;
    let receiver = world.receiver("q").await;
    let message = receiver.fetch().await.unwrap();
    world.session.set_ack_capacity(0);
    assert_eq!(world.session.acknowledge(&message).await, Err(LinkError::InsufficientCapacity));
    assert_eq!(world.session.acknowledge_all().await, Err(LinkError::InsufficientCapacity));
    assert_eq!(world.session.unacknowledged(), 1);
    world.session.set_ack_capacity(UNLIMITED);
    world.session.acknowledge_sync(&message).await.unwrap();
    assert_eq!(world.broker.queue_stats("q").unwrap().settled, 1);
}

#[tokio::test]
async fn release() {
    let world = world().await;
    world.fill(&["a", "b", "c"]).await;
    let receiver = world.receiver("q").await;
    let mut came = Vec::new();
    while let Ok(message) = receiver.fetch_timeout(NOW).await {
        came.push(message);
    }
    world.session.acknowledge(&came[0]).await.unwrap();
    world.session.acknowledge_with(&came[1], released(true)).await.unwrap();
    world.session.acknowledge_with(&came[2], released(false)).await.unwrap();
    for (expected, redelivered) in [("b", true), ("c", false)] {
        let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
        assert_eq!((text(&message).as_str(), message.redelivered()), (expected, redelivered));
    }
    world.session.acknowledge_all_with(Disposition::Released).await.unwrap();
    assert_eq!(texts(&receiver).await, ["b", "c"]);
    let rejected = Disposition::Rejected(Some(PeerError::new(ErrorCondition::NOT_ALLOWED, "test-reject")));
    world.session.acknowledge_all_with(rejected).await.unwrap();
    assert_eq!(texts(&receiver).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_the_broker_has_not_heard_is_counted() {
    let world = world().await;
    world.fill(&["a", "b"]).await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let connection = Connection::establish(&format!("amqp://{}", proxy.addr())).await.unwrap();
    let session = connection.session().await.unwrap();
    let (sender, receiver) = (session.sender("q").await.unwrap(), session.receiver("q").await.unwrap());
    assert_eq!(receiver.unsettled(), 0);
    let message = receiver.fetch().await.unwrap();
    let delay = Fault::Delay(Duration::from_millis(200));
    proxy.arm(Rule::new(delay, At::frame(FrameKind::Disposition)).in_direction(Direction::ToServer));
    session.acknowledge(&message).await.unwrap();
    assert_eq!((receiver.unsettled(), session.acked()), (1, 1));
    sender.send_async("c").await.unwrap();
    session.sync().await.unwrap();
    assert_eq!((receiver.unsettled(), session.acked(), sender.unsettled()), (0, 0, 0));
    assert_eq!(world.broker.queue_stats("q").unwrap().settled, 1);
    // Without being waited for, too.
    session.acknowledge(&receiver.fetch().await.unwrap()).await.unwrap();
    eventually("heard", || receiver.unsettled() == 0).await;
    session.close().await.unwrap();
    assert_eq!(session.sync().await, Ok(()), "nothing is left to be waited for");
}

#[tokio::test]
async fn exactly_once_is_confirmed_when_the_broker_has_settled() {
    let world = world().await;
    world.fill(&["a", "b"]).await;
    let receiver = world.receiver("q; {link: {reliability: exactly-once}}").await;
    for _ in 0..2 {
        receiver.fetch_timeout(PATIENCE).await.unwrap();
    }
    world.session.acknowledge_all_sync().await.unwrap();
    assert_eq!(receiver.unsettled(), 0);
    assert_eq!(world.broker.queue_stats("q").unwrap().settled, 2);
}

#[tokio::test]
async fn syncing_tells_of_what_was_not_accepted() {
    let world = world().await;
    let sender = world.sender("''").await;
    sender.send_async(Message::from("a").with_address("nowhere")).await.unwrap();
    sender.send_async(Message::from("b").with_address("q")).await.unwrap();
    let error = world.session.sync().await.unwrap_err();
    assert!(matches!(error, SyncError::NotAccepted { count: 1, .. }), "{error:?}");
    world.session.sync().await.unwrap();
    assert_eq!(world.ready(), 1);
}

#[tokio::test]
async fn messages_are_acknowledged_in_any_order() {
    let World { session, broker, .. } = world().await;
    let (sender, receiver) = (session.sender("q").await.unwrap(), session.receiver("q").await.unwrap());
    let mut messages = Vec::new();
    for number in 0..5 {
        sender.send(number.to_string()).await.unwrap();
        messages.push(receiver.fetch().await.unwrap());
    }
    // One in the middle, the newest, the same again, and the oldest.
    for (at, left) in [(2, 4), (4, 3), (4, 3), (0, 2)] {
        session.acknowledge(&messages[at]).await.unwrap();
        assert_eq!(session.unacknowledged(), left, "{at}");
    }
    session.acknowledge_all_with(Disposition::Released).await.unwrap();
    assert_eq!(session.unacknowledged(), 0);
    // What had its outcome has no other.
    let mut again = Vec::new();
    while let Ok(message) = receiver.fetch_timeout(NOW).await {
        again.push(text(&message).to_owned());
    }
    again.sort();
    assert_eq!(again, ["1", "3"]);
    session.acknowledge_all_sync().await.unwrap();
    assert_eq!(broker.queue_stats("q").unwrap().settled, 5);
}

#[tokio::test]
async fn what_was_taken_ahead_is_not_acknowledged_with_the_rest() {
    let world = world().await;
    world.fill(&["a", "b", "c", "d", "e"]).await;
    let receiver = world.session.receiver_with("q", ReceiverOptions::default().capacity(5)).await.unwrap();
    for left in 1..=2 {
        receiver.fetch().await.unwrap();
        assert_eq!((world.session.unacknowledged(), receiver.returned()), (left, left as u64));
    }
    eventually("all are here", || receiver.available() == 3).await;
    world.session.acknowledge_all_sync().await.unwrap();
    assert_eq!((world.session.unacknowledged(), world.broker.queue_stats("q").unwrap().settled), (0, 2));
    // Of the rest, a part, a few at a time.
    let (third, fourth) = (receiver.fetch().await.unwrap(), receiver.fetch().await.unwrap());
    world.session.acknowledge_with(&third, Disposition::Released).await.unwrap();
    world.session.set_ack_capacity(1);
    receiver.fetch().await.unwrap();
    world.session.acknowledge_all_sync().await.unwrap();
    assert_eq!((world.session.unacknowledged(), world.broker.queue_stats("q").unwrap().settled), (0, 4));
    assert_eq!(world.session.acknowledge(&fourth).await, Ok(()), "once more");
    assert_eq!(texts(&receiver).await, ["c"]);
}

#[tokio::test]
async fn what_cannot_be_acknowledged_any_more_is_told() {
    let world = world().await;
    world.fill(&["a", "b"]).await;
    let (gone, other) = (world.receiver("q").await, world.receiver("q").await);
    let (first, second) = (gone.fetch().await.unwrap(), other.fetch().await.unwrap());
    gone.close().await.unwrap();
    assert_eq!(world.session.unacknowledged(), 2);
    assert_eq!(world.session.acknowledge_all().await, Err(LinkError::Closed));
    assert_eq!((world.session.unacknowledged(), world.session.acknowledge_all().await), (0, Ok(())));
    assert_eq!(world.session.acknowledge(&first).await, Err(LinkError::Closed));
    world.session.acknowledge_sync(&second).await.unwrap();
    assert_eq!(world.broker.queue_stats("q").unwrap().settled, 1);
}

#[tokio::test]
async fn a_session_that_is_closed_has_nothing_to_acknowledge() {
    let world = world().await;
    world.fill(&["a", "b"]).await;
    let receiver = world.session.receiver_with("q", ReceiverOptions::default().capacity(2)).await.unwrap();
    let message = receiver.fetch().await.unwrap();
    assert_eq!(world.session.unacknowledged(), 1);
    world.session.close().await.unwrap();
    assert_eq!((world.session.unacknowledged(), world.session.acknowledge_all().await), (0, Ok(())));
    assert!(world.session.acknowledge(&message).await.is_err());
    eventually("both are back", || world.ready() == 2).await;
}

#[tokio::test]
async fn what_a_loss_takes_back_is_not_acknowledged() {
    let world = world().await;
    world.fill(&["a", "b", "c"]).await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let builder = Connection::new(&format!("amqp://{}", proxy.addr())).unwrap().reconnect(true);
    let connection = builder.reconnect_interval(Duration::from_millis(5)).open().await.unwrap();
    let session = connection.session().await.unwrap();
    let receiver = session.receiver_with("q", ReceiverOptions::default().capacity(10)).await.unwrap();
    let lost = receiver.fetch().await.unwrap();
    eventually("the others are here", || receiver.available() == 2).await;
    let mut events = connection.client().events();
    proxy.cut_all();
    while !matches!(events.next().await.unwrap(), ConnectionEvent::Reopened { .. }) {}
    // All come again: the one that was fetched, and the two that nobody has seen.
    for waiting in 2..=4 {
        receiver.fetch_timeout(PATIENCE).await.unwrap();
        assert_eq!(session.unacknowledged(), waiting);
    }
    session.acknowledge(&lost).await.unwrap();
    assert_eq!(session.unacknowledged(), 3);
    session.acknowledge_all_sync().await.unwrap();
    assert_eq!((session.unacknowledged(), world.ready()), (0, 0));
    assert_eq!(world.broker.queue_stats("q").unwrap().settled, 3);
}
