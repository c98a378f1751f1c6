//! Two peers of ours over loopback: what one end does, the other sees.

mod common;

use std::time::Duration;

use common::{connect, pair, pair_with};
use postroad_client::types::{Body, Bytes, Fields, Map, PeerError, Symbol, Value};
use postroad_client::{LinkError, LinkOptions, Message, Node, Outcome, ReceiveError, SendError, SyncError};

fn options(prefetch: u32) -> LinkOptions {
    let mut options = LinkOptions::default();
    options.prefetch = prefetch;
    options.timeout = Duration::from_secs(5);
    options
}

#[tokio::test]
async fn an_outcome_comes_back_to_its_message() {
    let (sender, mut receiver, _ends) = pair(10).await;
    let mut annotations = Map::default();
    annotations.insert(Symbol::from_static("x-opt-why"), "tired");
    let outcomes = [
        Outcome::Accepted,
        Outcome::Rejected(Some(PeerError::new(postroad_client::types::ErrorCondition::DECODE_ERROR, "no"))),
        Outcome::Rejected(None),
        Outcome::Released,
        Outcome::Modified { delivery_failed: true, undeliverable_here: true, annotations: Some(Fields(annotations)) },
        Outcome::Modified { delivery_failed: false, undeliverable_here: false, annotations: None },
    ];
    let mut settlements = Vec::new();
    for number in 0..outcomes.len() as u64 {
        settlements.push(sender.submit_tracked(&Message::from(Value::from(number))).await.unwrap());
    }
    let mut messages = Vec::new();
    for number in 0..outcomes.len() as u64 {
        let message = receiver.receive().await.unwrap();
        assert_eq!(message.value(), Some(&Value::from(number)));
        messages.push(message);
    }
    // The last first: each outcome must find its own message.
    for (message, outcome) in messages.iter().zip(&outcomes).rev() {
        receiver.session().settle(message, outcome.clone()).unwrap();
    }
    for (settlement, outcome) in settlements.into_iter().zip(outcomes) {
        assert_eq!(settlement.await, Ok(outcome));
    }
    assert_eq!(sender.unsettled(), 0);
}

#[tokio::test]
async fn bodies_of_every_size_arrive_whole() {
    for frame in [512, 65_536] {
        let (sender, mut receiver, _ends) = pair_with(options(4), frame).await;
        for size in [0, 1, 100, 4095, 4096, 4097, 65_536, 1_048_576] {
            let body: Bytes = (0..size).map(|byte| (byte % 251) as u8).collect::<Vec<_>>().into();
            let message = Message::from(Body::Data(body.clone()));
            let (sent, received) = tokio::join!(sender.send(&message), async {
                let received = receiver.receive().await.unwrap();
                receiver.accept(&received).unwrap();
                received
            });
            assert_eq!(sent, Ok(Outcome::Accepted), "{size} bytes in frames of {frame}");
            assert_eq!(received.bytes(), Some(&body), "{size} bytes in frames of {frame}");
        }
    }
}

#[tokio::test]
async fn messages_keep_their_order_and_none_is_lost() {
    let (sender, mut receiver, _ends) = pair(7).await;
    let count = 5_000u64;
    let send = async {
        for number in 0..count {
            sender.submit(&Message::from(Value::from(number))).await.unwrap();
        }
        sender.sync().await.unwrap();
    };
    let receive = async {
        for number in 0..count {
            let message = receiver.receive().await.unwrap();
            assert_eq!(message.value(), Some(&Value::from(number)));
            receiver.accept(&message).unwrap();
        }
    };
    tokio::join!(send, receive);
}

#[tokio::test]
async fn sync_tells_what_was_not_accepted() {
    let (sender, mut receiver, _ends) = pair(10).await;
    for _ in 0..3 {
        sender.submit(&Message::from("x")).await.unwrap();
    }
    for number in 0..3 {
        let message = receiver.receive().await.unwrap();
        if number == 0 { receiver.accept(&message) } else { receiver.release(&message) }.unwrap();
    }
    assert_eq!(sender.sync().await, Err(SyncError::NotAccepted { count: 2, first: Some(Outcome::Released) }));
    assert_eq!(sender.sync().await, Ok(()), "told once");
}

#[tokio::test]
async fn without_credit_a_message_waits_or_comes_back() {
    let (sender, mut receiver, _ends) = pair(0).await;
    assert_eq!(sender.try_submit(&Message::from("now")), Err(SendError::NoCredit));
    let later = Message::from("later");
    let waiting = sender.send(&later);
    assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err(), "there was no credit");
    // The dropped future has sent nothing: the next message is the first.
    let message = Message::from("first");
    let (sent, received) = tokio::join!(sender.send(&message), async {
        let received = receiver.receive().await.unwrap();
        receiver.accept(&received).unwrap();
        received
    });
    assert_eq!((sent, received.text()), (Ok(Outcome::Accepted), Some("first")));
}

#[tokio::test]
async fn a_dropped_receive_takes_no_message() {
    let (sender, mut receiver, _ends) = pair(5).await;
    for _ in 0..50 {
        // Dropped at whatever point it has reached.
        let _ = tokio::time::timeout(Duration::from_micros(50), receiver.receive()).await;
    }
    for number in 0..20u64 {
        let message = Message::from(Value::from(number));
        let settled = sender.submit_tracked(&message).await.unwrap();
        let received = loop {
            if let Ok(received) = tokio::time::timeout(Duration::from_micros(20), receiver.receive()).await {
                break received.unwrap();
            }
        };
        assert_eq!(received.value(), Some(&Value::from(number)));
        receiver.accept(&received).unwrap();
        assert_eq!(settled.await, Ok(Outcome::Accepted));
    }
}

#[tokio::test]
async fn fetch_asks_before_it_says_that_there_is_nothing() {
    for prefetch in [0, 10] {
        let (sender, mut receiver, _ends) = pair(prefetch).await;
        assert_eq!(receiver.fetch(Duration::ZERO).await.unwrap(), None);
        assert_eq!(receiver.fetch(Duration::from_millis(30)).await.unwrap(), None);
        let message = Message::from("x");
        let (sent, fetched) = tokio::join!(sender.send(&message), async {
            let fetched = receiver.fetch(Duration::from_secs(5)).await.unwrap().expect("a message was sent");
            receiver.accept(&fetched).unwrap();
            fetched
        });
        assert_eq!((sent, fetched.text()), (Ok(Outcome::Accepted), Some("x")), "prefetch {prefetch}");
        assert_eq!(receiver.fetch(Duration::ZERO).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_link_that_ends_ends_every_wait_on_it() {
    let (sender, mut receiver, ends) = pair(1).await;
    let settlement = sender.submit_tracked(&Message::from("in doubt")).await.unwrap();
    let received = receiver.receive().await.unwrap();
    assert_eq!(received.text(), Some("in doubt"));
    let waiting = Message::from("waits for credit");
    let blocked = sender.send(&waiting);
    let (_, blocked) = tokio::join!(receiver.close(), blocked);
    assert_eq!(blocked, Err(SendError::NotSent(LinkError::DetachedByPeer)));
    assert_eq!(settlement.await, Err(SendError::InDoubt(LinkError::DetachedByPeer)));
    assert_eq!(sender.send(&Message::from("late")).await, Err(SendError::NotSent(LinkError::DetachedByPeer)));
    assert_eq!(sender.error(), Some(LinkError::DetachedByPeer));
    assert_eq!(ends.client.error(), None, "nothing wider suffers");
}

#[tokio::test]
async fn a_connection_that_ends_ends_every_wait_on_it() {
    let (sender, mut receiver, ends) = pair(5).await;
    let settlement = sender.submit_tracked(&Message::from("in doubt")).await.unwrap();
    receiver.receive().await.unwrap();
    let (closed, received) = tokio::join!(ends.server.close(), async {
        let error = receiver.receive().await.unwrap_err();
        (error, settlement.await)
    });
    closed.unwrap();
    assert!(matches!(received.0, ReceiveError::Link(LinkError::Connection(_))), "{:?}", received.0);
    assert!(matches!(received.1, Err(SendError::InDoubt(LinkError::Connection(_)))), "{:?}", received.1);
    assert!(matches!(sender.sync().await, Ok(())), "nothing was submitted without a name");
}

#[tokio::test]
async fn dropping_a_sender_loses_nothing_that_was_handed_over() {
    let (sender, mut receiver, _ends) = pair(100).await;
    for number in 0..100u64 {
        sender.submit(&Message::from(Value::from(number))).await.unwrap();
    }
    drop(sender);
    for number in 0..100u64 {
        assert_eq!(receiver.receive().await.unwrap().value(), Some(&Value::from(number)));
    }
    assert!(matches!(receiver.receive().await, Err(ReceiveError::Link(LinkError::DetachedByPeer))));
}

#[tokio::test]
async fn an_absent_body_is_a_message() {
    let (sender, mut receiver, _ends) = pair(5).await;
    let message = Message::from(Body::Empty);
    let (sent, ()) = tokio::join!(sender.send(&message), async {
        let empty = receiver.receive().await.unwrap();
        assert_eq!(empty.body(), &Body::Empty);
        receiver.accept(&empty).unwrap();
    });
    assert_eq!(sent, Ok(Outcome::Accepted));
}

#[tokio::test]
async fn a_refused_link_says_why() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let refusing = async {
        let link = ends.server.next_link().await.unwrap();
        assert_eq!(link.target_address(), Some("nowhere"));
        link.refuse(PeerError::new(postroad_client::types::ErrorCondition::NOT_FOUND, "no node nowhere"));
    };
    let (refused, ()) = tokio::join!(session.sender(Node::at("nowhere")), refusing);
    let error = refused.unwrap_err();
    assert_eq!(error.peer_error().unwrap().condition, postroad_client::types::ErrorCondition::NOT_FOUND);
    assert_eq!(error.to_string(), "detached by the peer: amqp:not-found: no node nowhere");
}

#[tokio::test]
async fn a_message_is_settled_on_its_own_connection_only() {
    let (sender, mut receiver, _ends) = pair(5).await;
    let (other_sender, mut other_receiver, _others) = pair(5).await;
    let (one, other) = (Message::from("one"), Message::from("other"));
    let one = sender.submit_tracked(&one).await.unwrap();
    let other = other_sender.submit_tracked(&other).await.unwrap();
    let (first, second) = (receiver.receive().await.unwrap(), other_receiver.receive().await.unwrap());
    assert_eq!(receiver.session().settle(&second, Outcome::Released), Err(LinkError::ForeignMessage));
    receiver.accept(&first).unwrap();
    other_receiver.accept(&second).unwrap();
    assert_eq!((one.await, other.await), (Ok(Outcome::Accepted), Ok(Outcome::Accepted)));
}

#[tokio::test]
async fn a_peer_can_be_asked_for_a_node() {
    let broker = postroad_broker::Broker::builder().queue("there").auto_create(false).listen("amqp://127.0.0.1:0");
    let broker = broker.start().await.unwrap();
    let options = postroad_client::ConnectOptions::new(broker.urls()[0].parse().unwrap());
    let connection = postroad_client::Connection::open(options).await.unwrap();
    let session = connection.session().await.unwrap();
    let node = session.query("there").await.unwrap().expect("there is one");
    assert_eq!(node.address.as_deref(), Some("there"));
    assert_eq!(session.query("not there").await, Ok(None));
    assert_eq!(broker.queue_stats("there").unwrap().consumers, 0, "nothing is left of the question");
    connection.close().await.unwrap();
    assert!(session.query("there").await.is_err());
}
