//! Receivers: `ReceiverTests` of `qpid.tests.messaging.endpoints`.

use std::time::Instant;

use postroad_messaging::{FetchError, LinkError, Sender, UNLIMITED};

use super::*;

const RECEIVER_Q: &str = "test-receiver-queue; {create: always, delete: always}";

/// How long a fetch waits where nothing comes.
const DELAY: Duration = Duration::from_millis(200);

/// A sender and a receiver of one queue.
struct Pair {
    base: Base,
    snd: Sender,
    rcv: Receiver,
}

async fn pair() -> Pair {
    let base = base().await;
    let (snd, rcv) = (base.ssn.sender(RECEIVER_Q).await.unwrap(), base.ssn.receiver(RECEIVER_Q).await.unwrap());
    Pair { base, snd, rcv }
}

/// Waits until so many messages are there that have not been fetched.
async fn available(rcv: &Receiver, wanted: std::ops::RangeInclusive<usize>) {
    eventually("messages come", || wanted.contains(&rcv.available())).await;
    // And no more of them.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(wanted.contains(&rcv.available()), "{} not in {wanted:?}", rcv.available());
}

#[tokio::test]
async fn test_fetch() {
    let Pair { base, snd, rcv } = pair().await;
    assert_eq!(rcv.fetch_timeout(NOW).await.unwrap_err(), FetchError::Empty);
    let begin = Instant::now();
    assert_eq!(rcv.fetch_timeout(DELAY).await.unwrap_err(), FetchError::Empty);
    assert!(begin.elapsed() >= DELAY);
    for text in ["1", "2", "3"] {
        snd.send(text).await.unwrap();
    }
    assert_eq!(rcv.fetch_timeout(NOW).await.unwrap().text(), Some("1"));
    assert_eq!(rcv.fetch_timeout(DELAY).await.unwrap().text(), Some("2"));
    assert_eq!(rcv.fetch().await.unwrap().text(), Some("3"));
    base.ssn.acknowledge_all().await.unwrap();
}

fn link_closed(result: Result<Message, FetchError>) {
    let Err(FetchError::Link(error)) = result else { panic!("{result:?}") };
    // A session or connection that is closed has closed its links.
    assert!(matches!(error, LinkError::Closed | LinkError::Session(_)), "{error:?}");
}

#[tokio::test]
async fn test_fetch_from_closed_receiver() {
    let Pair { base: _base, snd: _snd, rcv } = pair().await;
    rcv.close().await.unwrap();
    link_closed(rcv.fetch_timeout(NOW).await);
}

#[tokio::test]
async fn test_fetch_from_closed_session() {
    let Pair { base, snd: _snd, rcv } = pair().await;
    base.ssn.close().await.unwrap();
    link_closed(rcv.fetch_timeout(NOW).await);
}

#[tokio::test]
async fn test_fetch_from_closed_connection() {
    let Pair { base, snd: _snd, rcv } = pair().await;
    base.conn.close().await.unwrap();
    link_closed(rcv.fetch_timeout(NOW).await);
}

#[tokio::test]
async fn test_fetch_from_concurrent_close_receiver() {
    let Pair { base: _base, snd: _snd, rcv } = pair().await;
    let (fetched, closed) = tokio::join!(rcv.fetch(), async {
        tokio::task::yield_now().await;
        rcv.close().await
    });
    closed.unwrap();
    link_closed(fetched);
}

#[tokio::test]
async fn test_fetch_from_concurrent_close_session() {
    let Pair { base, snd: _snd, rcv } = pair().await;
    let (fetched, closed) = tokio::join!(rcv.fetch(), async {
        tokio::task::yield_now().await;
        base.ssn.close().await
    });
    closed.unwrap();
    link_closed(fetched);
}

#[tokio::test]
async fn test_fetch_from_concurrent_close_connection() {
    let Pair { base, snd: _snd, rcv } = pair().await;
    let (fetched, closed) = tokio::join!(rcv.fetch(), async {
        tokio::task::yield_now().await;
        base.conn.close().await
    });
    closed.unwrap();
    link_closed(fetched);
}

#[tokio::test]
async fn test_capacity_increase() {
    let Pair { base, snd, rcv } = pair().await;
    snd.send("testCapacityIncrease").await.unwrap();
    available(&rcv, 0..=0).await;
    rcv.set_capacity(UNLIMITED);
    available(&rcv, 1..=1).await;
    assert_eq!(rcv.fetch_timeout(NOW).await.unwrap().text(), Some("testCapacityIncrease"));
    assert_eq!(rcv.available(), 0);
    base.ssn.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn test_capacity_decrease() {
    let Pair { base, snd, rcv } = pair().await;
    rcv.set_capacity(UNLIMITED);
    snd.send("1").await.unwrap();
    available(&rcv, 1..=1).await;
    assert_eq!(rcv.fetch_timeout(NOW).await.unwrap().text(), Some("1"));
    rcv.set_capacity(0);
    snd.send("2").await.unwrap();
    available(&rcv, 0..=0).await;
    assert_eq!(rcv.fetch_timeout(NOW).await.unwrap().text(), Some("2"));
    base.ssn.acknowledge_all().await.unwrap();
}

async fn capacity(capacity: u32, threshold: Option<f64>) {
    let Pair { base, snd, rcv } = pair().await;
    if let Some(threshold) = threshold {
        rcv.set_threshold(threshold);
    }
    rcv.set_capacity(capacity);
    let most = capacity as usize;
    // Below the threshold more are asked for.
    let least = (rcv.threshold() * f64::from(capacity)).ceil() as usize;
    assert_eq!(rcv.available(), 0);
    for number in 0..2 * most {
        snd.send_async(format!("{number}").as_str()).await.unwrap();
    }
    snd.sync().await.unwrap();
    available(&rcv, least..=most).await;
    for limit in [most / 2, most - most / 2] {
        for _ in 0..limit {
            rcv.fetch_timeout(NOW).await.unwrap();
        }
        available(&rcv, least..=most).await;
    }
    assert_eq!(drain(&rcv).await.len(), most);
    available(&rcv, 0..=0).await;
    base.ssn.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn test_capacity5() {
    capacity(5, None).await;
}

#[tokio::test]
async fn test_capacity5_threshold1() {
    capacity(5, Some(1.0)).await;
}

#[tokio::test]
async fn test_capacity10() {
    capacity(10, None).await;
}

#[tokio::test]
async fn test_capacity10_threshold1() {
    capacity(10, Some(1.0)).await;
}

#[tokio::test]
async fn test_capacity100() {
    capacity(100, None).await;
}

#[tokio::test]
async fn test_capacity100_threshold1() {
    capacity(100, Some(1.0)).await;
}

#[tokio::test]
async fn test_capacity_unlimited() {
    let Pair { base, snd, rcv } = pair().await;
    rcv.set_capacity(UNLIMITED);
    assert_eq!(rcv.available(), 0);
    for number in 0..10 {
        snd.send(format!("{number}").as_str()).await.unwrap();
    }
    available(&rcv, 10..=10).await;
    assert_eq!(drain(&rcv).await.len(), 10);
    assert_eq!(rcv.available(), 0);
    base.ssn.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn test_available() {
    let Pair { base, snd, rcv } = pair().await;
    rcv.set_capacity(UNLIMITED);
    assert_eq!(rcv.available(), 0);
    for number in 0..3 {
        snd.send(format!("{number}").as_str()).await.unwrap();
    }
    available(&rcv, 3..=3).await;
    for number in 3..10 {
        snd.send(format!("{number}").as_str()).await.unwrap();
    }
    available(&rcv, 10..=10).await;
    for _ in 0..3 {
        rcv.fetch_timeout(NOW).await.unwrap();
    }
    assert_eq!(rcv.available(), 7);
    assert_eq!(drain(&rcv).await.len(), 7);
    assert_eq!(rcv.available(), 0);
    base.ssn.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn test_double_close() {
    let base = base().await;
    let address = "test-double-close; {create: always, delete: sender, node: {type: topic}}";
    let snd = base.ssn.sender(address).await.unwrap();
    let r1 = base.ssn.receiver(snd.target()).await.unwrap();
    let r2 = base.ssn.receiver(snd.target()).await.unwrap();
    snd.send("1").await.unwrap();
    assert_eq!(drain_texts(&r1).await, ["1"]);
    assert_eq!(drain_texts(&r2).await, ["1"]);
    r1.close().await.unwrap();
    snd.send("2").await.unwrap();
    assert_eq!(drain_texts(&r2).await, ["2"]);
    r2.close().await.unwrap();
    r2.close().await.unwrap();
}

#[tokio::test]
async fn test_mode() {
    let Pair { base, snd, rcv } = pair().await;
    for text in ["1", "2", "3"] {
        snd.send(text).await.unwrap();
    }
    let rb = base.ssn.receiver("test-receiver-queue; {mode: browse}").await.unwrap();
    let rc = base.ssn.receiver("test-receiver-queue; {mode: consume}").await.unwrap();
    assert_eq!(drain_texts(&rb).await, ["1", "2", "3"]);
    assert_eq!(drain_texts(&rc).await, ["1", "2", "3"]);
    let rb2 = base.ssn.receiver(rb.source()).await.unwrap();
    assert!(drain(&rb2).await.is_empty());
    assert!(drain(&rcv).await.is_empty());
}

#[tokio::test]
async fn test_unsettled() {
    let Pair { base, snd, rcv } = pair().await;
    snd.send("1").await.unwrap();
    let message = rcv.fetch_timeout(NOW).await.unwrap();
    base.ssn.acknowledge(&message).await.unwrap();
    eventually("it is settled", || base.broker.queue_stats("test-receiver-queue").unwrap().unsettled == 0).await;
}

async fn unreliability(mode: &str) {
    let base = base().await;
    let address = "test-unreliability-queue; {create: sender, delete: receiver}";
    let snd = base.ssn.sender(address).await.unwrap();
    let rcv = base.ssn.receiver(snd.target()).await.unwrap();
    for text in ["0", "1", "2"] {
        snd.send(text).await.unwrap();
    }
    // Closed without an acknowledgment, a reliable receiver gives them back.
    let ssn = base.conn.session().await.unwrap();
    let rrcv = ssn.receiver("test-unreliability-queue").await.unwrap();
    assert_eq!(drain_texts(&rrcv).await, ["0", "1", "2"]);
    ssn.close().await.unwrap();

    let ssn = base.conn.session().await.unwrap();
    let address = format!("test-unreliability-queue; {{link: {{reliability: {mode}}}}}");
    let urcv = ssn.receiver(&address).await.unwrap();
    let messages = drain(&urcv).await;
    assert_eq!(messages.iter().filter_map(Message::text).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert!(messages.iter().all(Message::redelivered));
    ssn.close().await.unwrap();
    assert!(drain(&rcv).await.is_empty());
}

#[tokio::test]
async fn test_unreliable() {
    unreliability("unreliable").await;
}

#[tokio::test]
async fn test_at_most_once() {
    unreliability("at-most-once").await;
}
