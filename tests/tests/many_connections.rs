//! Many short connections to the broker: each brings one message and goes, and none is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use postroad_broker::Broker;
use postroad_client::{ConnectOptions, Connection, Guarantee, LinkOptions, Message, Node};
use tokio::sync::Barrier;

/// Both ends of each are in this process: two descriptors, within what a process may have by default.
const CONNECTIONS: usize = 300;

const PATIENCE: Duration = Duration::from_secs(120);

async fn open(broker: &Broker) -> Connection {
    let mut options = ConnectOptions::new(broker.urls()[0].parse().expect("a URL of its own"));
    options.connect_timeout = PATIENCE;
    options.close_timeout = PATIENCE;
    Connection::open(options).await.expect("it lets everybody in")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_lost_of_hundreds_that_send_one_message_and_close() {
    let builder = Broker::builder().queue("q").listen("amqp://127.0.0.1:0").handshake_timeout(PATIENCE);
    let broker = builder.start().await.unwrap();
    let broker = Arc::new(broker);
    let barrier = Arc::new(Barrier::new(CONNECTIONS));
    let mut senders = Vec::new();
    for number in 0..CONNECTIONS {
        let (broker, barrier) = (Arc::clone(&broker), Arc::clone(&barrier));
        senders.push(tokio::spawn(async move {
            let connection = open(&broker).await;
            let session = connection.session().await.expect("a session");
            let mut options = LinkOptions::default();
            options.timeout = PATIENCE;
            // What is settled as it is sent has nothing to wait for but the close.
            if number % 2 == 0 {
                options.guarantee = Guarantee::AtMostOnce;
            }
            let sender = session.sender_with(Node::at("q"), options).await.expect("a sender");
            // All are there at once before any goes.
            barrier.wait().await;
            sender.send(&Message::from(number.to_string().as_str())).await.expect("it is taken");
            connection.close().await.expect("it closes");
        }));
    }
    for sender in senders {
        tokio::time::timeout(PATIENCE, sender).await.expect("in time").expect("no panic");
    }

    let connection = open(&broker).await;
    let session = connection.session().await.unwrap();
    let mut receiver = session.receiver(Node::at("q")).await.unwrap();
    let mut came = BTreeSet::new();
    for _ in 0..CONNECTIONS {
        let message = receiver.fetch(PATIENCE).await.unwrap().expect("a message of each");
        receiver.accept(&message).unwrap();
        assert!(came.insert(message.text().expect("a text").parse::<usize>().unwrap()), "none comes twice");
    }
    assert_eq!(came, (0..CONNECTIONS).collect());
    connection.close().await.unwrap();
    let broker = Arc::into_inner(broker).expect("the senders are done");
    let stats = broker.queue_stats("q").unwrap();
    assert_eq!((stats.enqueued, stats.ready), (CONNECTIONS as u64, 0));
    assert_eq!((stats.producers, stats.dropped, stats.expired), (0, 0, 0));
    assert_eq!(broker.shutdown(PATIENCE).await, 0, "nobody is left to cut off");
}
