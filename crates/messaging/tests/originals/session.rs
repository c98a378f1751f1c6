//! Sessions, acknowledgments and transactions: `SessionTests` of `qpid.tests.messaging.endpoints`.

use postroad_messaging::types::{ErrorCondition, PeerError};
use postroad_messaging::{Disposition, FetchError, LinkError, SessionError, TransactionState, UNLIMITED};

use super::*;

/// Sends three messages by a link of their own.
async fn send(ssn: &Session, target: &str, base: &str) -> Vec<String> {
    let snd = ssn.sender(target).await.unwrap();
    let texts: Vec<String> = (0..3).map(|number| format!("{base} {number}")).collect();
    for text in &texts {
        snd.send_async(text.as_str()).await.unwrap();
    }
    snd.close().await.unwrap();
    texts
}

/// Fetches what there is: these messages, delivered before or not.
async fn drain_expecting(rcv: &Receiver, texts: &[String], redelivered: bool) -> Vec<Message> {
    let messages = drain(rcv).await;
    let came: Vec<_> = messages.iter().map(|message| message.text().unwrap()).collect();
    assert_eq!(came, texts);
    let before: Vec<_> = messages.iter().map(Message::redelivered).collect();
    assert_eq!(before, vec![redelivered; texts.len()]);
    messages
}

async fn assert_empty(rcv: &Receiver) {
    assert_eq!(drain_texts(rcv).await, Vec::<String>::new());
}

#[tokio::test]
async fn test_sender() {
    let Base { broker: _broker, ssn, .. } = base().await;
    let snd = ssn.sender("test-snd-queue; {create: sender, delete: receiver}").await.unwrap();
    let snd2 = ssn.sender(snd.target()).await.unwrap();
    assert!(!snd.is_same(&snd2));
    snd2.close().await.unwrap();
    snd.send("testSender").await.unwrap();
    let rcv = ssn.receiver(snd.target()).await.unwrap();
    let message = rcv.fetch_timeout(NOW).await.unwrap();
    assert_eq!(message.text(), Some("testSender"));
    ssn.acknowledge(&message).await.unwrap();
}

#[tokio::test]
async fn test_receiver() {
    let Base { broker, ssn, .. } = base().await;
    let rcv = ssn.receiver("test-rcv-queue; {create: always}").await.unwrap();
    let rcv2 = ssn.receiver(rcv.source()).await.unwrap();
    assert!(!rcv.is_same(&rcv2));
    rcv2.close().await.unwrap();
    let snd = ssn.sender(rcv.source()).await.unwrap();
    snd.send("testReceiver").await.unwrap();
    let message = rcv.fetch_timeout(NOW).await.unwrap();
    assert_eq!(message.text(), Some("testReceiver"));
    ssn.acknowledge(&message).await.unwrap();
    let rcv3 = ssn.receiver("test-rcv-queue; {delete: always}").await.unwrap();
    assert!(broker.queue_stats("test-rcv-queue").is_some());
    rcv3.close().await.unwrap();
    assert!(broker.queue_stats("test-rcv-queue").is_none());
}

#[tokio::test]
async fn test_detached_receiver() {
    let Base { broker: _broker, conn, ssn } = base().await;
    conn.detach().await.unwrap();
    let rcv = ssn.receiver("test-dis-rcv-queue; {create: always, delete: always}").await.unwrap();
    conn.attach().await.unwrap();
    let snd = ssn.sender("test-dis-rcv-queue").await.unwrap();
    snd.send("testDetachedReceiver").await.unwrap();
    assert_eq!(drain_texts(&rcv).await, ["testDetachedReceiver"]);
}

#[tokio::test]
async fn test_next_receiver() {
    const ADDR: &str = "test-next-rcv-queue; {create: always, delete: always}";
    let Base { broker: _broker, ssn, .. } = base().await;
    let mut receivers = Vec::new();
    for _ in 0..3 {
        let rcv = ssn.receiver(ADDR).await.unwrap();
        rcv.set_capacity(UNLIMITED);
        receivers.push(rcv);
    }
    let snd = ssn.sender(ADDR).await.unwrap();
    let texts: Vec<String> = (0..10).map(|number| format!("testNextReceiver {number}")).collect();
    for text in &texts {
        snd.send(text.as_str()).await.unwrap();
    }
    let mut fetched = Vec::new();
    let error = loop {
        match ssn.next_receiver_timeout(Duration::from_millis(200)).await {
            Ok(rcv) => {
                assert!(receivers.iter().any(|known| known.is_same(&rcv)));
                assert!(rcv.available() > 0);
                fetched.push(rcv.fetch().await.unwrap().text().unwrap().to_owned());
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error, FetchError::Empty);
    assert_eq!(fetched, texts);
    ssn.acknowledge_all().await.unwrap();
}

/// How everything is acknowledged.
#[derive(Clone, Copy, PartialEq)]
enum Acker {
    Sync,
    Async,
}

async fn ack_test(acker: Acker, ack_capacity: Option<u32>) -> Result<(), LinkError> {
    const ACK_QC: &str = "test-ack-queue; {create: always}";
    const ACK_QD: &str = "test-ack-queue; {delete: always}";
    let Base { broker, conn, ssn } = base().await;
    let snd = ssn.sender(ACK_QC).await.unwrap();
    let texts: Vec<String> = (0..15).map(|number| format!("ackTest {number}")).collect();
    for text in &texts {
        snd.send(text.as_str()).await.unwrap();
    }
    // What is not acknowledged is there again, in its order.
    let rcv = ssn.receiver(ACK_QC).await.unwrap();
    assert_eq!(drain_texts(&rcv).await, texts);
    ssn.close().await.unwrap();

    let ssn = conn.session().await.unwrap();
    assert_eq!(ssn.ack_capacity(), UNLIMITED);
    if let Some(capacity) = ack_capacity {
        ssn.set_ack_capacity(capacity);
    }
    let rcv = ssn.receiver(ACK_QC).await.unwrap();
    assert_eq!(drain_texts(&rcv).await, texts);
    assert_eq!(ssn.unacknowledged(), 15);
    match acker {
        Acker::Sync => ssn.acknowledge_all_sync().await?,
        Acker::Async => ssn.acknowledge_all().await?,
    }
    assert_eq!(ssn.unacknowledged(), 0);
    if acker == Acker::Sync {
        assert_eq!((ssn.acked(), rcv.unsettled()), (0, 0));
        assert_eq!(broker.queue_stats("test-ack-queue").unwrap().settled, 15);
    } else if let Some(capacity) = ack_capacity {
        assert!(ssn.acked() <= capacity as usize);
    }
    ssn.close().await.unwrap();

    // What is acknowledged is gone.
    let ssn = conn.session().await.unwrap();
    assert_empty(&ssn.receiver(ACK_QD).await.unwrap()).await;
    Ok(())
}

#[tokio::test]
async fn test_acknowledge() {
    ack_test(Acker::Sync, None).await.unwrap();
    ack_test(Acker::Sync, Some(3)).await.unwrap();
}

#[tokio::test]
async fn test_acknowledge_async() {
    ack_test(Acker::Async, None).await.unwrap();
}

#[tokio::test]
async fn test_acknowledge_async_ack_cap0() {
    assert_eq!(ack_test(Acker::Async, Some(0)).await, Err(LinkError::InsufficientCapacity));
}

#[tokio::test]
async fn test_acknowledge_async_ack_cap1() {
    ack_test(Acker::Async, Some(1)).await.unwrap();
}

#[tokio::test]
async fn test_acknowledge_async_ack_cap5() {
    ack_test(Acker::Async, Some(5)).await.unwrap();
}

#[tokio::test]
async fn test_acknowledge_async_ack_cap_unlimited() {
    ack_test(Acker::Async, Some(UNLIMITED)).await.unwrap();
}

#[tokio::test]
async fn test_release() {
    let Base { broker: _broker, ssn, .. } = base().await;
    let target = "test-release-queue; {create: always, delete: always}";
    let snd = ssn.sender(target).await.unwrap();
    let texts: Vec<String> = (0..3).map(|number| format!("testRelease {number}")).collect();
    for text in &texts {
        snd.send(text.as_str()).await.unwrap();
    }
    let rcv = ssn.receiver(snd.target()).await.unwrap();
    let echos = drain_expecting(&rcv, &texts, false).await;
    // RELEASED with set_redelivered is a delivery that failed.
    let failed = Disposition::Modified { delivery_failed: true, undeliverable_here: false, annotations: None };
    ssn.acknowledge(&echos[0]).await.unwrap();
    ssn.acknowledge_with(&echos[1], failed).await.unwrap();
    ssn.acknowledge_with(&echos[2], Disposition::Released).await.unwrap();
    let first = rcv.fetch_timeout(PATIENCE).await.unwrap();
    assert_eq!((first.text(), first.redelivered()), (Some("testRelease 1"), true));
    drain_expecting(&rcv, &texts[2..], false).await;
    ssn.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn test_reject() {
    let Base { broker: _broker, ssn, .. } = base().await;
    let target = "test-reject-queue; {create: always, delete: always, node: {x-declare: \
                  {alternate-exchange: 'amq.topic'}}}";
    let snd = ssn.sender(target).await.unwrap();
    let texts: Vec<String> = (0..3).map(|number| format!("testReject {number}")).collect();
    for text in &texts {
        snd.send(text.as_str()).await.unwrap();
    }
    let rcv = ssn.receiver(snd.target()).await.unwrap();
    let rej = ssn.receiver("amq.topic").await.unwrap();
    let echos = drain_expecting(&rcv, &texts, false).await;
    let why = PeerError::new(ErrorCondition::NOT_ALLOWED, "test-reject");
    ssn.acknowledge(&echos[0]).await.unwrap();
    ssn.acknowledge_with(&echos[1], Disposition::Rejected(None)).await.unwrap();
    ssn.acknowledge_with(&echos[2], Disposition::Rejected(Some(why))).await.unwrap();
    for text in &texts[1..] {
        assert_eq!(rej.fetch_timeout(PATIENCE).await.unwrap().text(), Some(text.as_str()));
    }
    assert_empty(&rej).await;
    ssn.acknowledge_all().await.unwrap();
}

async fn tx_test(commit: bool) {
    const TX_Q: &str = "test-tx-queue; {create: sender, delete: receiver}";
    const TX_Q_COPY: &str = "test-tx-queue-copy; {create: always, delete: always}";
    let Base { broker: _broker, conn, ssn } = base().await;
    let txssn = conn.transactional_session().await.unwrap();
    let texts = send(&ssn, TX_Q, "txTest").await;
    let (txrcv, txsnd) = (txssn.receiver(TX_Q).await.unwrap(), txssn.sender(TX_Q_COPY).await.unwrap());
    let rcv = ssn.receiver(txrcv.source()).await.unwrap();
    let copy_rcv = ssn.receiver(txsnd.target()).await.unwrap();
    assert_empty(&copy_rcv).await;
    for _ in 0..3 {
        let message = txrcv.fetch_timeout(NOW).await.unwrap();
        txsnd.send(message).await.unwrap();
        assert_empty(&copy_rcv).await;
    }
    txssn.acknowledge_all().await.unwrap();
    assert_eq!(txssn.transaction_state(), Some(TransactionState::Active));
    if commit {
        txssn.commit().await.unwrap();
        assert_eq!(txssn.transaction_state(), Some(TransactionState::Committed));
        assert_empty(&rcv).await;
        drain_expecting(&copy_rcv, &texts, false).await;
    } else {
        txssn.rollback().await.unwrap();
        assert_eq!(txssn.transaction_state(), Some(TransactionState::Aborted));
        drain_expecting(&rcv, &texts, true).await;
        assert_empty(&copy_rcv).await;
    }
    ssn.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn test_commit() {
    tx_test(true).await;
}

#[tokio::test]
async fn test_rollback() {
    tx_test(false).await;
}

async fn tx_test_send(commit: bool) {
    const TX_SEND_Q: &str = "test-tx-send-queue; {create: sender, delete: receiver}";
    let Base { broker: _broker, conn, ssn } = base().await;
    let txssn = conn.transactional_session().await.unwrap();
    let texts = send(&txssn, TX_SEND_Q, "txTestSend").await;
    let rcv = ssn.receiver(TX_SEND_Q).await.unwrap();
    assert_empty(&rcv).await;
    if commit {
        txssn.commit().await.unwrap();
        drain_expecting(&rcv, &texts, false).await;
        ssn.acknowledge_all().await.unwrap();
    } else {
        txssn.rollback().await.unwrap();
        assert_empty(&rcv).await;
        txssn.commit().await.unwrap();
        assert_empty(&rcv).await;
    }
}

#[tokio::test]
async fn test_commit_send() {
    tx_test_send(true).await;
}

#[tokio::test]
async fn test_rollback_send() {
    tx_test_send(false).await;
}

async fn tx_test_ack(commit: bool) {
    const TX_ACK_QC: &str = "test-tx-ack-queue; {create: always}";
    const TX_ACK_QD: &str = "test-tx-ack-queue; {delete: always}";
    let Base { broker: _broker, conn, ssn } = base().await;
    let txssn = conn.transactional_session().await.unwrap();
    let txrcv = txssn.receiver(TX_ACK_QC).await.unwrap();
    assert_empty(&txrcv).await;
    let texts = send(&ssn, TX_ACK_QC, "txTestAck").await;
    drain_expecting(&txrcv, &texts, false).await;
    if commit {
        txssn.acknowledge_all().await.unwrap();
        assert_eq!(txssn.unacknowledged(), 0);
    } else {
        txssn.rollback().await.unwrap();
        drain_expecting(&txrcv, &texts, true).await;
        txssn.acknowledge_all().await.unwrap();
        txssn.rollback().await.unwrap();
        drain_expecting(&txrcv, &texts, true).await;
        // A commit without an acknowledgment changes nothing.
        txssn.commit().await.unwrap();
        assert_empty(&txrcv).await;
    }
    // The end of the session undoes what is not committed.
    txssn.close().await.unwrap();

    let txssn = conn.transactional_session().await.unwrap();
    let txrcv = txssn.receiver(TX_ACK_QC).await.unwrap();
    drain_expecting(&txrcv, &texts, true).await;
    txssn.acknowledge_all().await.unwrap();
    txssn.commit().await.unwrap();
    let rcv = ssn.receiver(TX_ACK_QD).await.unwrap();
    assert_empty(&rcv).await;
    txssn.close().await.unwrap();
    assert_empty(&rcv).await;
}

#[tokio::test]
async fn test_commit_ack() {
    tx_test_ack(true).await;
}

#[tokio::test]
async fn test_rollback_ack() {
    tx_test_ack(false).await;
}

#[tokio::test]
async fn test_double_commit() {
    let Base { broker: _broker, conn, .. } = base().await;
    let ssn = conn.transactional_session().await.unwrap();
    let snd = ssn.sender("amq.direct/doubleCommit").await.unwrap();
    let rcv = ssn.receiver("amq.direct/doubleCommit").await.unwrap();
    let texts: Vec<String> = (0..3).map(|number| format!("testDoubleCommit {number}")).collect();
    for text in &texts {
        snd.send(Message::from(text.as_str()).with_subject("doubleCommit")).await.unwrap();
    }
    ssn.commit().await.unwrap();
    drain_expecting(&rcv, &texts, false).await;
    ssn.acknowledge_all().await.unwrap();
    ssn.commit().await.unwrap();
}

#[tokio::test]
async fn test_close() {
    let base = base().await;
    base.ssn.close().await.unwrap();
    let error = base.ssn.sender("ping-queue; {create: always, delete: always}").await.map(drop).unwrap_err();
    assert_eq!(error, LinkError::Closed);
    assert_eq!(base.ssn.check_closed(), Err(SessionError::Closed));
}

/// Whoever waits for the next receiver is told that a message has come, and not before.
#[tokio::test]
async fn test_rx_callback() {
    const ADDR: &str = "test-rx_callback-queue; {create: always, delete: receiver}";
    let Base { broker: _broker, ssn, .. } = base().await;
    let called = tokio::spawn({
        let ssn = ssn.clone();
        async move { ssn.next_receiver().await }
    });
    let rcv = ssn.receiver(ADDR).await.unwrap();
    rcv.set_capacity(UNLIMITED);
    let snd = ssn.sender(ADDR).await.unwrap();
    assert!(!called.is_finished());
    snd.send("Ping").await.unwrap();
    let next = tokio::time::timeout(PATIENCE, called).await.unwrap().unwrap().unwrap();
    assert!(next.is_same(&rcv) && next.session().is_same(&ssn));
    snd.close().await.unwrap();
    rcv.close().await.unwrap();
}
