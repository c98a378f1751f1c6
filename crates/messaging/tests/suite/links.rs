//! What links tell of themselves, and links as streams and sinks.

use std::task::{Context, Waker};

use futures_util::{SinkExt, StreamExt as _};
use postroad_messaging::{ReceiverOptions, SendError, SenderOptions, SinkError, UNLIMITED};

use super::*;

#[tokio::test]
async fn a_sender_tells_what_it_is_and_what_it_has_done() {
    let world = world().await;
    let options = SenderOptions::default().capacity(3).durable(true);
    let (first, sender) = (world.sender("q").await, world.session.sender_with("q/news", options).await.unwrap());
    assert_eq!((first.id(), sender.id(), sender.target()), (0, 1, "q/news"));
    assert_eq!((sender.options(), sender.capacity(), sender.durable()), (&options, 3, Some(true)));
    assert_eq!((first.capacity(), first.durable(), first.available()), (UNLIMITED, None, UNLIMITED));
    assert!((sender.threshold() - 0.5).abs() < f64::EPSILON && sender.is_linked() && !sender.is_closed());
    assert_eq!((sender.queued(), sender.synced(), sender.acked()), (0, 0, 0));
    sender.send_async("a").await.unwrap();
    sender.send_async(Message::from("b").with_durable(false)).await.unwrap();
    assert_eq!((sender.queued(), sender.synced()), (2, 0));
    sender.sync().await.unwrap();
    assert_eq!((sender.synced(), sender.acked(), sender.unsettled(), sender.available()), (2, 2, 0, 3));
    sender.set_durable(None);
    sender.send("c").await.unwrap();
    assert_eq!((sender.queued(), sender.acked(), sender.synced()), (3, 3, 2));
    let receiver = world.receiver("q").await;
    let mut durable = Vec::new();
    while let Ok(message) = receiver.fetch_timeout(NOW).await {
        durable.push(message.durable());
    }
    assert_eq!(durable, [true, false, false]);
    sender.set_threshold(7.0);
    assert!((sender.threshold() - 1.0).abs() < f64::EPSILON);
    assert_ne!(first.name(), sender.name());
    sender.close().await.unwrap();
    assert!(sender.is_closed() && !sender.is_linked() && first.is_linked());
}

#[tokio::test]
async fn a_receiver_tells_what_it_is_and_what_has_come() {
    let world = world().await;
    world.fill(&["a", "b", "c"]).await;
    let options = ReceiverOptions::default().capacity(2);
    let receiver = world.session.receiver_with("q; {mode: browse}", options).await.unwrap();
    assert_eq!((receiver.id(), receiver.source(), receiver.options()), (0, "q; {mode: browse}", &options));
    assert_eq!((receiver.capacity(), receiver.returned()), (2, 0));
    eventually("two have come", || receiver.received() == 2).await;
    assert_eq!((receiver.granted(), receiver.available()), (2, 2));
    receiver.fetch().await.unwrap();
    assert_eq!(receiver.returned(), 1);
    eventually("one more has come", || receiver.received() == 3).await;
    assert!(receiver.is_linked() && !receiver.is_closed() && !receiver.is_draining());
    receiver.close().await.unwrap();
    assert!(receiver.is_closed() && !receiver.is_linked());
}

#[tokio::test]
async fn a_temporary_node_can_be_named_by_what_its_link_tells() {
    let world = world().await;
    let receiver = world.receiver("#answers").await;
    assert!(
        receiver.source().ends_with("#answers'") || receiver.source().ends_with("#answers"),
        "{}",
        receiver.source()
    );
    assert_ne!(receiver.source(), "#answers");
    world.sender(receiver.source()).await.send("an answer").await.unwrap();
    assert_eq!(text(&receiver.fetch_timeout(NOW).await.unwrap()), "an answer");
}

/// Polls a receiver once.
fn is_pending(receiver: &mut Receiver) -> bool {
    receiver.poll_next_unpin(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test]
async fn a_receiver_is_a_stream() {
    let world = world().await;
    let mut receiver = world.receiver("q").await;
    assert!(is_pending(&mut receiver));
    world.fill(&["a", "b"]).await;
    let first = receiver.next().await.unwrap().unwrap();
    assert_eq!((text(&first), receiver.returned()), ("a".to_owned(), 1));
    // A handle that goes while it waits takes nothing with it.
    let mut other = receiver.clone();
    assert_eq!(text(&other.next().await.unwrap().unwrap()), "b");
    assert!(is_pending(&mut other));
    drop(other);
    world.fill(&["c"]).await;
    assert_eq!(text(&receiver.next().await.unwrap().unwrap()), "c");
    assert_eq!(world.session.unacknowledged(), 3);
    world.session.acknowledge_all().await.unwrap();
    let mut other = receiver.clone();
    let (ended, closed) = tokio::join!(other.next(), receiver.close());
    closed.unwrap();
    assert!(ended.is_none());
    assert!(receiver.next().await.is_none() && receiver.next().await.is_none());
}

#[tokio::test]
async fn a_stream_tells_why_it_ends() {
    let world = world().await;
    let mut receiver = world.receiver("q").await;
    assert!(is_pending(&mut receiver));
    assert!(world.broker.delete_queue("q"));
    receiver.next().await.unwrap().unwrap_err();
    assert!(receiver.next().await.is_none());
}

#[tokio::test]
async fn a_sender_is_a_sink() {
    let world = world().await;
    let mut sender = world.sender("q/news").await;
    let mut messages = futures_util::stream::iter(["a", "b", "c"].map(Message::from)).map(Ok);
    sender.send_all(&mut messages).await.unwrap();
    assert_eq!((world.ready(), sender.queued(), sender.unsettled()), (3, 3, 0));
    let receiver = world.receiver("q").await;
    assert_eq!(receiver.fetch().await.unwrap().subject(), Some("news"));
    SinkExt::<Message>::close(&mut sender).await.unwrap();
    assert!(sender.is_closed());
    let error = sender.feed(Message::from("late")).await.unwrap_err();
    assert!(matches!(error, SinkError::Send(SendError::NotSent(_))), "{error:?}");
}

#[tokio::test]
async fn a_sink_waits_for_capacity_and_keeps_the_order() {
    let (sender, mut theirs, _connection) = sender_to_peer(100).await;
    sender.set_capacity(2);
    let mut sink = sender.clone();
    let sending = tokio::spawn(async move {
        for number in 0..10 {
            sink.feed(Message::from(format!("{number}").as_str())).await.unwrap();
        }
        SinkExt::<Message>::flush(&mut sink).await.unwrap();
    });
    for number in 0..10 {
        let message = theirs.receive().await.unwrap();
        assert_eq!(message.text(), Some(format!("{number}").as_str()));
        assert!(sender.unsettled() <= 2);
        theirs.accept(&message).unwrap();
    }
    sending.await.unwrap();
    assert_eq!((sender.queued(), sender.acked()), (10, 10));
}

#[tokio::test]
async fn a_sink_that_has_not_handed_over_takes_no_more() {
    let (mut sender, _theirs, _connection) = sender_to_peer(0).await;
    sender.start_send_unpin(Message::from("a")).unwrap();
    let error = sender.start_send_unpin(Message::from("b")).unwrap_err();
    assert!(matches!(error, SinkError::Send(SendError::InsufficientCapacity)), "{error:?}");
}

#[tokio::test]
async fn a_message_that_is_lent_is_sent_again_as_it_is() {
    let world = world().await;
    let sender = world.sender("q/of-the-sender").await;
    sender.set_durable(Some(true));
    let (bare, whole) = (Message::from("bare"), Message::from("whole").with_subject("its own").with_durable(false));
    for message in [&bare, &bare, &whole] {
        sender.send(message).await.unwrap();
        sender.send_async(message).await.unwrap();
        sender.try_send_async(message).unwrap();
    }
    // What the sender sets is set on a copy.
    assert_eq!((&bare, bare.subject()), (&Message::from("bare"), None));
    let receiver = world.receiver("q").await;
    for (content, subject, durable) in
        [("bare", "of-the-sender", true); 6].into_iter().chain([("whole", "its own", false); 3])
    {
        let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
        assert_eq!((text(&message).as_str(), message.subject(), message.durable()), (content, Some(subject), durable));
    }
}
