//! Several consumers of one queue.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use postroad_codec::v1_0::{DeliveryState, DistributionMode, Message, Outcome, Source};

use crate::client::{Client, numbered, text};
use crate::{broker, eventually};

fn browse(address: &str) -> Source {
    Source { distribution_mode: Some(DistributionMode::COPY), ..Source::at(address) }
}

/// Whoever gives a message back has no credit for another, and so does not look for any.
#[tokio::test]
async fn what_one_gives_back_another_gets() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let one = client.receiver("q0", 1).await.unwrap();
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    let delivery = client.receive(one).await;
    let mut other = Client::connect(&broker).await;
    let waiting = other.receiver("q0", 1).await.unwrap();
    other.expect_nothing(waiting).await;
    client.settle(one, delivery.number, DeliveryState::Released);
    client.flush().await;
    assert_eq!(other.receive_text(waiting).await, "m0");
}

#[tokio::test]
async fn competing_consumers_get_equal_shares_whatever_their_credit() {
    let broker = broker().await;
    let mut producer = Client::connect(&broker).await;
    let sender = producer.sender("q0").await.unwrap();
    let (mut greedy, mut modest) = (Client::connect(&broker).await, Client::connect(&broker).await);
    let greedy_link = greedy.receiver("q0", 1000).await.unwrap();
    let modest_link = modest.receiver("q0", 50).await.unwrap();
    eventually("both are there", || broker.queue_stats("q0").unwrap().consumers == 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;

    producer.send_all(sender, numbered(0..80)).await;
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        seen.insert(greedy.receive_text(greedy_link).await);
        seen.insert(modest.receive_text(modest_link).await);
    }
    assert_eq!(seen, numbered(0..80).collect());
}

#[tokio::test]
async fn a_consumer_that_is_out_of_credit_leaves_the_rest_to_others() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let small = client.receiver("q0", 2).await.unwrap();
    let large = client.receiver("q0", 100).await.unwrap();
    client.send_all(sender, numbered(0..20)).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(text(&client.receive(small).await));
    }
    for _ in 0..18 {
        seen.push(text(&client.receive(large).await));
    }
    client.expect_nothing(small).await;
    let seen: BTreeSet<_> = seen.into_iter().collect();
    assert_eq!(seen, numbered(0..20).collect());
}

#[tokio::test]
async fn browsing_leaves_messages_and_sees_each_once() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..5)).await;
    let browser = client.attach_source(browse("q0"), 3).await.unwrap();
    let source = client.engine.remote_attach(browser).unwrap().source.clone().unwrap();
    assert_eq!(source.distribution_mode, Some(DistributionMode::COPY));
    for expected in numbered(0..3) {
        assert_eq!(client.receive_text(browser).await, expected);
    }
    client.engine.receiver(browser).set_credit(100);
    for expected in numbered(3..5) {
        assert_eq!(client.receive_text(browser).await, expected);
    }
    client.expect_nothing(browser).await;
    client.send_all(sender, numbered(5..6)).await;
    assert_eq!(client.receive_text(browser).await, "m5");
    assert_eq!(broker.queue_stats("q0").unwrap().ready, 6);

    let consumer = client.receiver("q0", 10).await.unwrap();
    for expected in numbered(0..6) {
        assert_eq!(client.receive_text(consumer).await, expected);
    }
    client.expect_nothing(browser).await;
}

#[tokio::test]
async fn a_drained_browser_is_at_the_end() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..3)).await;
    let browser = client.attach_source(browse("q0"), 0).await.unwrap();
    client.engine.receiver(browser).set_credit(100);
    client.engine.receiver(browser).drain();
    client.wait("drain", |event| matches!(event, postroad_amqp::v1_0::Event::Drained(_)).then_some(())).await;
    for expected in numbered(0..3) {
        assert_eq!(text(&client.receive(browser).await), expected);
    }
}

#[tokio::test]
async fn what_is_undeliverable_here_goes_to_another() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..2)).await;
    let first = client.receiver("q0", 1).await.unwrap();
    let delivery = client.receive(first).await;
    client.settle(first, delivery.number, Outcome::modified(false, true, None));
    client.engine.receiver(first).set_credit(10);
    assert_eq!(client.receive_text(first).await, "m1");
    client.expect_nothing(first).await;
    let second = client.receiver("q0", 10).await.unwrap();
    assert_eq!(client.receive_text(second).await, "m0");
}

#[tokio::test]
async fn a_consumer_that_stops_reading_costs_its_window_and_nobody_else() {
    let broker = broker().await;
    let mut producer = Client::connect(&broker).await;
    let sender = producer.sender("q0").await.unwrap();
    // It asks for everything and reads nothing.
    let mut stuck = Client::connect(&broker).await;
    let _link = stuck.receiver("q0", 1_000_000).await.unwrap();
    let payload = Message::from(vec![1; 64 * 1024]).to_bytes();
    for _ in 0..400 {
        producer.send_with(sender, &payload, false).await;
    }
    producer.flush().await;
    eventually("all 25 MiB are there", || broker.queue_stats("q0").unwrap().enqueued == 400).await;
    // Until it gets no more.
    let mut stats = broker.queue_stats("q0").unwrap();
    for quiet in 0.. {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = std::mem::replace(&mut stats, broker.queue_stats("q0").unwrap());
        if before == stats && quiet >= 2 {
            break;
        }
    }
    assert!(stats.unsettled < 200, "{stats:?}: sockets hold some MiB, the broker half a MiB more");

    let mut other = Client::connect(&broker).await;
    let link = other.receiver("q0", 1000).await.unwrap();
    for _ in 0..stats.ready {
        let delivery = other.receive(link).await;
        assert_eq!(delivery.payload.len(), payload.len());
        other.accept(link, delivery.number);
    }
    // What it had is not lost.
    drop(stuck);
    for _ in 0..stats.unsettled {
        let delivery = other.receive(link).await;
        other.accept(link, delivery.number);
    }
    other.flush().await;
    eventually("all are settled", || broker.queue_stats("q0").unwrap().settled == 400).await;
}

#[tokio::test]
async fn a_message_too_large_for_one_consumer_goes_to_another() {
    use postroad_amqp::v1_0::LinkTerms;
    use postroad_codec::v1_0::{Role, Target};
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    let terms = LinkTerms {
        source: Some(Source::at("q0")),
        target: Some(Target::default().into()),
        max_message_size: 100,
        ..LinkTerms::default()
    };
    let small = client.attach(Role::Receiver, terms).await.unwrap();
    client.engine.receiver(small).set_credit(10);
    let large = Message::from(vec![1; 1000]).to_bytes();
    client.send_with(sender, &large, false).await;
    client.send_all(sender, numbered(0..1)).await;
    assert_eq!(client.receive_text(small).await, "m0");
    client.expect_nothing(small).await;
    let any = client.receiver("q0", 10).await.unwrap();
    assert_eq!(client.receive(any).await.payload, large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_lose_and_double_nothing() {
    const PAIRS: usize = 100;
    const EACH: usize = 50;
    let broker = broker().await;
    let producers = (0..PAIRS).map(|index| {
        let connecting = connected(&broker);
        tokio::spawn(async move {
            let mut client = connecting.await;
            let sender = client.sender("q0").await.unwrap();
            client.send_all(sender, numbered(index * EACH..(index + 1) * EACH)).await;
            client.close().await;
        })
    });
    let producers: Vec<_> = producers.collect();
    let consumers = (0..PAIRS).map(|_| {
        let connecting = connected(&broker);
        tokio::spawn(async move {
            let mut client = connecting.await;
            let receiver = client.receiver("q0", 10).await.unwrap();
            let mut got = Vec::new();
            while let Some(delivery) = client.receive_within(receiver, Duration::from_secs(1)).await {
                client.accept(receiver, delivery.number);
                got.push(text(&delivery));
                client.engine.receiver(receiver).set_credit(10);
            }
            client.close().await;
            got
        })
    });
    let consumers: Vec<_> = consumers.collect();
    for producer in producers {
        producer.await.unwrap();
    }
    let mut all = Vec::new();
    for consumer in consumers {
        all.extend(consumer.await.unwrap());
    }
    assert_eq!(all.len(), PAIRS * EACH);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), numbered(0..PAIRS * EACH).collect());
}

fn connected(broker: &postroad_broker::Broker) -> impl Future<Output = Client> + use<> {
    let address = broker.addr().expect("it listens");
    async move {
        let stream = tokio::net::TcpStream::connect(address).await.expect("it accepts");
        Client::open(stream, None).await.expect("it gets in")
    }
}

#[tokio::test]
async fn a_small_session_window_holds_nothing_up() {
    let broker = broker().await;
    let mut producer = Client::connect(&broker).await;
    let sender = producer.sender("q0").await.unwrap();
    let stream = tokio::net::TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    let mut config = postroad_amqp::v1_0::Config::new("small");
    config.incoming_window = 3;
    let mut client = Client::open_with(stream, None, config).await.unwrap();
    let receiver = client.receiver("q0", 100).await.unwrap();
    // Messages of one frame and of many, more than the window takes at once.
    let payload = |size: usize| Message::from(Bytes::from(vec![3; size])).to_bytes();
    let sizes: Vec<usize> = (0..20).map(|index| if index % 4 == 3 { 400_000 } else { 10 + index }).collect();
    for size in &sizes {
        producer.send_with(sender, &payload(*size), false).await;
    }
    producer.flush().await;
    for size in sizes {
        let delivery = client.receive(receiver).await;
        assert_eq!(delivery.payload.len(), payload(size).len());
        client.accept(receiver, delivery.number);
    }
    client.flush().await;
    eventually("all are settled", || broker.queue_stats("q0").unwrap().settled == 20).await;
}
