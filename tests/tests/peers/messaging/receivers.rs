//! `ReceiverTests` of `qpid.tests.messaging.endpoints`.

use std::ops::RangeInclusive;
use std::time::Instant;

use postroad_messaging::UNLIMITED;

use super::*;

/// How long a fetch waits where nothing comes.
const DELAY: Duration = Duration::from_millis(200);

/// Waits until so many messages are there that have not been fetched.
async fn available(rcv: &Receiver, wanted: RangeInclusive<usize>) {
    eventually("messages come", || wanted.contains(&rcv.available())).await;
    // And no more of them.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(wanted.contains(&rcv.available()), "{} not in {wanted:?}", rcv.available());
}

pub(super) async fn test_fetch(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    drain(&rcv, 0).await;
    let begin = Instant::now();
    assert_eq!(rcv.fetch_timeout(DELAY).await.unwrap_err(), FetchError::Empty);
    assert!(begin.elapsed() >= DELAY);
    for text in ["1", "2", "3"] {
        soon(snd.send(text)).await.unwrap();
    }
    assert_eq!(fetch(&rcv).await.text(), Some("1"));
    assert_eq!(fetch(&rcv).await.text(), Some("2"));
    assert_eq!(soon(rcv.fetch()).await.unwrap().text(), Some("3"));
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

fn link_closed(result: Result<Message, FetchError>) {
    let Err(FetchError::Link(error)) = result else { panic!("{result:?}") };
    // A session or connection that is closed has closed its links.
    assert!(matches!(error, LinkError::Closed | LinkError::Session(_)), "{error:?}");
}

pub(super) async fn test_fetch_from_closed_receiver(base: Base) {
    let Pair { base: _base, snd: _snd, rcv } = base.pair().await;
    soon(rcv.close()).await.unwrap();
    link_closed(rcv.fetch_timeout(NOW).await);
}

pub(super) async fn test_fetch_from_closed_session(base: Base) {
    let Pair { base, snd: _snd, rcv } = base.pair().await;
    close_session(&base.ssn).await.unwrap();
    link_closed(rcv.fetch_timeout(NOW).await);
}

pub(super) async fn test_fetch_from_closed_connection(base: Base) {
    let Pair { base, snd: _snd, rcv } = base.pair().await;
    soon(base.conn.close()).await.unwrap();
    link_closed(rcv.fetch_timeout(NOW).await);
}

/// Fetches while something is closed.
async fn fetch_beside<E: std::fmt::Debug>(rcv: &Receiver, close: impl Future<Output = Result<(), E>>) {
    let both = async {
        tokio::join!(rcv.fetch(), async {
            tokio::task::yield_now().await;
            close.await
        })
    };
    let (fetched, closed) = soon(both).await;
    closed.unwrap();
    link_closed(fetched);
}

pub(super) async fn test_fetch_from_concurrent_close_receiver(base: Base) {
    let Pair { base: _base, snd: _snd, rcv } = base.pair().await;
    fetch_beside(&rcv, rcv.close()).await;
}

pub(super) async fn test_fetch_from_concurrent_close_session(base: Base) {
    let Pair { base, snd: _snd, rcv } = base.pair().await;
    fetch_beside(&rcv, close_session(&base.ssn)).await;
}

pub(super) async fn test_fetch_from_concurrent_close_connection(base: Base) {
    let Pair { base, snd: _snd, rcv } = base.pair().await;
    fetch_beside(&rcv, base.conn.close()).await;
}

pub(super) async fn test_capacity_increase(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    soon(snd.send("testCapacityIncrease")).await.unwrap();
    available(&rcv, 0..=0).await;
    rcv.set_capacity(UNLIMITED);
    available(&rcv, 1..=1).await;
    assert_eq!(fetch(&rcv).await.text(), Some("testCapacityIncrease"));
    assert_eq!(rcv.available(), 0);
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

pub(super) async fn test_capacity_decrease(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    rcv.set_capacity(UNLIMITED);
    soon(snd.send("1")).await.unwrap();
    available(&rcv, 1..=1).await;
    assert_eq!(fetch(&rcv).await.text(), Some("1"));
    rcv.set_capacity(0);
    soon(snd.send("2")).await.unwrap();
    // RabbitMQ may send what it is not allowed any more.
    available(&rcv, 0..=usize::from(base.broker.overdraws)).await;
    assert_eq!(fetch(&rcv).await.text(), Some("2"));
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

async fn capacity(base: Base, capacity: u32, threshold: Option<f64>) {
    let Pair { base, snd, rcv } = base.pair().await;
    if let Some(threshold) = threshold {
        rcv.set_threshold(threshold);
    }
    rcv.set_capacity(capacity);
    let count = capacity as usize;
    let most = if base.broker.overdraws { 2 * count } else { count };
    // Below the threshold more are asked for.
    let least = (rcv.threshold() * f64::from(capacity)).ceil() as usize;
    assert_eq!(rcv.available(), 0);
    for number in 0..2 * count {
        soon(snd.send_async(format!("{number}").as_str())).await.unwrap();
    }
    soon(snd.sync()).await.unwrap();
    available(&rcv, least..=most).await;
    for limit in [count / 2, count - count / 2] {
        for _ in 0..limit {
            fetch(&rcv).await;
        }
        available(&rcv, least..=most).await;
    }
    drain(&rcv, count).await;
    available(&rcv, 0..=0).await;
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

pub(super) async fn test_capacity5(base: Base) {
    capacity(base, 5, None).await;
}

pub(super) async fn test_capacity5_threshold1(base: Base) {
    capacity(base, 5, Some(1.0)).await;
}

pub(super) async fn test_capacity10(base: Base) {
    capacity(base, 10, None).await;
}

pub(super) async fn test_capacity10_threshold1(base: Base) {
    capacity(base, 10, Some(1.0)).await;
}

pub(super) async fn test_capacity100(base: Base) {
    capacity(base, 100, None).await;
}

pub(super) async fn test_capacity100_threshold1(base: Base) {
    capacity(base, 100, Some(1.0)).await;
}

pub(super) async fn test_capacity_unlimited(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    rcv.set_capacity(UNLIMITED);
    assert_eq!(rcv.available(), 0);
    for number in 0..10 {
        soon(snd.send(format!("{number}").as_str())).await.unwrap();
    }
    available(&rcv, 10..=10).await;
    drain(&rcv, 10).await;
    assert_eq!(rcv.available(), 0);
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

pub(super) async fn test_available(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    rcv.set_capacity(UNLIMITED);
    assert_eq!(rcv.available(), 0);
    for (numbers, there) in [(0..3, 3), (3..10, 10)] {
        for number in numbers {
            soon(snd.send(format!("{number}").as_str())).await.unwrap();
        }
        available(&rcv, there..=there).await;
    }
    for _ in 0..3 {
        fetch(&rcv).await;
    }
    assert_eq!(rcv.available(), 7);
    drain(&rcv, 7).await;
    assert_eq!(rcv.available(), 0);
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

/// A topic of RabbitMQ: each receiver has a copy.
pub(super) async fn test_double_close(base: Base) {
    let snd = soon(base.ssn.sender("'/topic/face-double-close'")).await.unwrap();
    let r1 = soon(base.ssn.receiver(snd.target())).await.unwrap();
    let r2 = soon(base.ssn.receiver(snd.target())).await.unwrap();
    soon(snd.send("1")).await.unwrap();
    assert_eq!(drain_texts(&r1, 1).await, ["1"]);
    assert_eq!(drain_texts(&r2, 1).await, ["1"]);
    soon(r1.close()).await.unwrap();
    soon(snd.send("2")).await.unwrap();
    assert_eq!(drain_texts(&r2, 1).await, ["2"]);
    soon(r2.close()).await.unwrap();
    soon(r2.close()).await.unwrap();
}

/// The original calls it and looks at nothing; here it is seen from the other end of the queue.
pub(super) async fn test_unsettled(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    soon(snd.send("1")).await.unwrap();
    assert_eq!(snd.unsettled(), 0);
    let message = fetch(&rcv).await;
    assert_eq!(base.ssn.unacknowledged(), 1);
    soon(base.ssn.acknowledge(&message)).await.unwrap();
    assert_eq!(base.ssn.unacknowledged(), 0);
    let address = base.queue();
    let (_conn, ssn) = base.other().await;
    give_back((base.conn, base.ssn)).await;
    drain(&soon(ssn.receiver(&address)).await.unwrap(), 0).await;
}

async fn unreliability(base: Base, mode: &str) {
    let Pair { base, snd, rcv } = base.pair().await;
    for text in ["0", "1", "2"] {
        soon(snd.send(text)).await.unwrap();
    }
    if base.broker.one_at_a_time {
        soon(rcv.close()).await.unwrap();
    }
    if base.broker.gives_back {
        // Closed without an acknowledgment, a reliable receiver gives them back.
        let (conn, ssn) = base.other().await;
        let rrcv = soon(ssn.receiver(&base.queue())).await.unwrap();
        assert_eq!(drain_texts(&rrcv, 3).await, ["0", "1", "2"]);
        give_back((conn, ssn)).await;
    }
    let (conn, ssn) = base.other().await;
    let urcv = soon(ssn.receiver(&base.queue_with(&format!("link: {{reliability: {mode}}}")))).await.unwrap();
    let messages = drain(&urcv, 3).await;
    assert_eq!(messages.iter().filter_map(Message::text).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert!(!base.broker.gives_back || messages.iter().all(|message| !message.first_acquirer()));
    give_back((conn, ssn)).await;
    let ssn = soon(base.conn.session()).await.unwrap();
    drain(&soon(ssn.receiver(&base.queue())).await.unwrap(), 0).await;
}

pub(super) async fn test_unreliable(base: Base) {
    unreliability(base, "unreliable").await;
}

pub(super) async fn test_at_most_once(base: Base) {
    unreliability(base, "at-most-once").await;
}
