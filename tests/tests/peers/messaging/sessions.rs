//! `SessionTests` of `qpid.tests.messaging.endpoints`.

use postroad_messaging::{Disposition, UNLIMITED};

use super::*;

pub(super) async fn test_sender(base: Base) {
    let snd = soon(base.ssn.sender(&base.queue_with("create: sender"))).await.unwrap();
    let snd2 = soon(base.ssn.sender(snd.target())).await.unwrap();
    assert!(!snd.is_same(&snd2));
    soon(snd2.close()).await.unwrap();
    soon(snd.send("testSender")).await.unwrap();
    let rcv = soon(base.ssn.receiver(snd.target())).await.unwrap();
    let message = fetch(&rcv).await;
    assert_eq!(message.text(), Some("testSender"));
    soon(base.ssn.acknowledge(&message)).await.unwrap();
}

pub(super) async fn test_receiver(base: Base) {
    let rcv = soon(base.ssn.receiver(&base.queue_with("create: always"))).await.unwrap();
    let rcv2 = soon(base.ssn.receiver(rcv.source())).await.unwrap();
    assert!(!rcv.is_same(&rcv2));
    soon(rcv2.close()).await.unwrap();
    let snd = soon(base.ssn.sender(rcv.source())).await.unwrap();
    soon(snd.send("testReceiver")).await.unwrap();
    let message = fetch(&rcv).await;
    assert_eq!(message.text(), Some("testReceiver"));
    soon(base.ssn.acknowledge(&message)).await.unwrap();
}

pub(super) async fn test_detached_receiver(base: Base) {
    soon(base.conn.detach()).await.unwrap();
    let rcv = soon(base.ssn.receiver(&base.queue_with("create: always"))).await.unwrap();
    soon(base.conn.attach()).await.unwrap();
    let snd = soon(base.ssn.sender(&base.queue())).await.unwrap();
    soon(snd.send("testDetachedReceiver")).await.unwrap();
    assert_eq!(drain_texts(&rcv, 1).await, ["testDetachedReceiver"]);
}

pub(super) async fn test_next_receiver(base: Base) {
    let address = base.queue_with("create: always");
    let mut receivers = Vec::new();
    for _ in 0..3 {
        let rcv = soon(base.ssn.receiver(&address)).await.unwrap();
        rcv.set_capacity(UNLIMITED);
        receivers.push(rcv);
    }
    let snd = soon(base.ssn.sender(&address)).await.unwrap();
    let texts: Vec<String> = (0..10).map(|number| format!("testNextReceiver {number}")).collect();
    for text in &texts {
        soon(snd.send(text.as_str())).await.unwrap();
    }
    let mut fetched = Vec::new();
    for _ in &texts {
        let rcv = base.ssn.next_receiver_timeout(SOON).await.unwrap();
        assert!(receivers.iter().any(|known| known.is_same(&rcv)) && rcv.available() > 0);
        fetched.push(fetch(&rcv).await.text().unwrap().to_owned());
    }
    assert_eq!(fetched, texts);
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

pub(super) async fn test_acknowledge(base: Base) {
    acknowledge(base, UNLIMITED, true).await;
}

pub(super) async fn test_acknowledge_async(base: Base) {
    acknowledge(base, UNLIMITED, false).await;
}

pub(super) async fn test_acknowledge_async_ack_cap1(base: Base) {
    acknowledge(base, 1, false).await;
}

pub(super) async fn test_acknowledge_async_ack_cap5(base: Base) {
    acknowledge(base, 5, false).await;
}

pub(super) async fn test_acknowledge_async_ack_cap_unlimited(base: Base) {
    acknowledge(base, UNLIMITED, false).await;
}

pub(super) async fn test_acknowledge_async_ack_cap0(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    soon(snd.send("0")).await.unwrap();
    fetch(&rcv).await;
    base.ssn.set_ack_capacity(0);
    let error = soon(base.ssn.acknowledge_all()).await.unwrap_err();
    assert_eq!(error, LinkError::InsufficientCapacity);
    base.ssn.set_ack_capacity(UNLIMITED);
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

async fn acknowledge(base: Base, ack_capacity: u32, sync: bool) {
    let address = base.queue_with("create: always");
    let snd = soon(base.ssn.sender(&address)).await.unwrap();
    let texts: Vec<String> = (0..15).map(|number| format!("ackTest {number}")).collect();
    for text in &texts {
        soon(snd.send(text.as_str())).await.unwrap();
    }
    // Closed without an acknowledgment: all come again.
    for acknowledges in [false, true] {
        let (conn, ssn) = base.other().await;
        let rcv = soon(ssn.receiver(&address)).await.unwrap();
        assert_eq!(drain_texts(&rcv, 15).await, texts);
        ssn.set_ack_capacity(ack_capacity);
        match (acknowledges, sync) {
            (false, _) => {}
            (true, true) => soon(ssn.acknowledge_all_sync()).await.unwrap(),
            (true, false) => soon(ssn.acknowledge_all()).await.unwrap(),
        }
        give_back((conn, ssn)).await;
    }
    let ssn = soon(base.conn.session()).await.unwrap();
    let rcv = soon(ssn.receiver(&address)).await.unwrap();
    drain(&rcv, 0).await;
}

pub(super) async fn test_release(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    let texts = ["0", "1", "2"];
    for text in texts {
        soon(snd.send(text)).await.unwrap();
    }
    let echos = drain(&rcv, 3).await;
    soon(base.ssn.acknowledge(&echos[0])).await.unwrap();
    for echo in &echos[1..] {
        soon(base.ssn.acknowledge_with(echo, Disposition::Released)).await.unwrap();
    }
    let again = drain(&rcv, 2).await;
    assert_eq!(again.iter().filter_map(Message::text).collect::<Vec<_>>(), texts[1..]);
    // RabbitMQ counts no deliveries, and tells no more than that somebody had them.
    assert!(again.iter().all(|message| !message.first_acquirer() && !message.redelivered()));
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

/// A rejected message goes where the queue has a policy for it, and no address can say so.
pub(super) async fn test_reject(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    for text in ["0", "1"] {
        soon(snd.send(text)).await.unwrap();
    }
    let echos = drain(&rcv, 2).await;
    soon(base.ssn.acknowledge(&echos[0])).await.unwrap();
    soon(base.ssn.acknowledge_with(&echos[1], Disposition::Rejected(None))).await.unwrap();
    let address = base.queue();
    let (_conn, ssn) = base.other().await;
    give_back((base.conn, base.ssn)).await;
    let rcv = soon(ssn.receiver(&address)).await.unwrap();
    drain(&rcv, 0).await;
}

/// In place of the original's tests of acknowledging, releasing and rejecting: nothing comes again.
pub(super) async fn what_was_sent_is_gone(base: Base) {
    let snd = soon(base.ssn.sender(&base.queue())).await.unwrap();
    for outcome in [Some(Disposition::Released), Some(Disposition::Rejected(None)), None] {
        soon(snd.send("once")).await.unwrap();
        let ssn = soon(base.conn.session()).await.unwrap();
        let rcv = soon(ssn.receiver(&base.queue())).await.unwrap();
        let message = fetch(&rcv).await;
        if let Some(outcome) = outcome {
            soon(ssn.acknowledge_with(&message, outcome)).await.unwrap();
        }
        soon(ssn.close()).await.unwrap();
    }
    soon(snd.send("the next")).await.unwrap();
    let rcv = soon(base.ssn.receiver(&base.queue())).await.unwrap();
    assert_eq!(drain_texts(&rcv, 1).await, ["the next"]);
}

pub(super) async fn test_session_close(base: Base) {
    close_session(&base.ssn).await.unwrap();
    let error = ping(&base, &base.ssn).await.unwrap_err();
    assert!(matches!(error, LinkError::Session(SessionError::Closed) | LinkError::Closed), "{error:?}");
}
