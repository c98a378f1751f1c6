//! What brokers do, through the API: `qpid_tests.broker_0_10.new_api`.

use postroad_messaging::{AddressError, FetchError, LinkError, Sender};

use super::*;

#[tokio::test]
async fn test_not_found() {
    let result = base().await.ssn.receiver("does-not-exist").await;
    let Err(LinkError::Address(AddressError::NotFound { .. })) = result else { panic!("{result:?}") };
}

#[tokio::test]
async fn test_qpid_3481_acquired_to_alt_exchange() {
    let base = base().await;
    let (sess1, sess2) = (base.conn.session().await.unwrap(), base.conn.session().await.unwrap());
    let tx = sess1.sender("amq.direct/key").await.unwrap();
    let address = "amq.direct/key; {link: {reliability: at-least-once, x-declare: {alternate-exchange: 'amq.fanout'}}}";
    let rx_main = sess1.receiver(address).await.unwrap();
    let rx_alt = sess2.receiver("amq.fanout").await.unwrap();
    rx_alt.set_capacity(10);
    for _ in 0..5 {
        tx.send("DATA").await.unwrap();
    }
    for _ in 0..3 {
        rx_main.fetch().await.unwrap();
    }
    assert_eq!(rx_alt.available(), 0);
    sess1.close().await.unwrap();
    eventually("all are routed to the alternate exchange", || rx_alt.available() == 5).await;
}

#[tokio::test]
async fn test_qpid_3481_acquired_to_alt_exchange_2_consumers() {
    let base = base().await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(base.conn.session().await.unwrap());
    }
    let address =
        "test_acquired; {create: always, delete: always, node: {x-declare: {alternate-exchange: 'amq.fanout'}}}";
    let tx = sessions[0].sender(address).await.unwrap();
    let rx_main1 = sessions[1].receiver("test_acquired").await.unwrap();
    let _rx_main2 = sessions[2].receiver("test_acquired").await.unwrap();
    let rx_alt = sessions[3].receiver("amq.fanout").await.unwrap();
    rx_alt.set_capacity(10);
    for _ in 0..5 {
        tx.send("DATA").await.unwrap();
    }
    for _ in 0..3 {
        rx_main1.fetch().await.unwrap();
    }
    assert_eq!(rx_alt.available(), 0);
    // The queue goes with the session, and what it holds is routed on, the acquired ones too.
    sessions[0].close().await.unwrap();
    eventually("all are routed to the alternate exchange", || rx_alt.available() == 5).await;
    // The broker has detached the links of the others.
    let _ = sessions[1].close().await;
    for _ in 0..5 {
        rx_alt.fetch_timeout(NOW).await.unwrap();
    }
    let _ = sessions[2].close().await;
    assert_eq!(rx_alt.fetch_timeout(NOW).await.unwrap_err(), FetchError::Empty);
}

#[tokio::test]
async fn test_next_receiver() {
    let base = base().await;
    let mut keys = vec!["a", "b", "c"];
    let mut receivers = Vec::new();
    for key in &keys {
        let receiver = base.ssn.receiver(&format!("amq.direct/{key}")).await.unwrap();
        receiver.set_capacity(10);
        receivers.push(receiver);
    }
    let snd = base.ssn.sender("amq.direct").await.unwrap();
    for key in &keys {
        snd.send(Message::from(*key).with_subject(*key)).await.unwrap();
    }
    while !keys.is_empty() {
        let rcv = base.ssn.next_receiver_timeout(PATIENCE).await.unwrap();
        let message = rcv.fetch().await.unwrap();
        let at = keys.iter().position(|key| message.text() == Some(key)).unwrap();
        keys.remove(at);
    }
    base.ssn.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn test_nolocal_rerouted() {
    let base = base().await;
    let conn2 = Connection::establish(&base.broker.urls()[0]).await.unwrap();
    let ssn2 = conn2.session().await.unwrap();
    let address = "holding_q; {create: always, delete: always, node: {x-declare: {alternate-exchange: 'amq.fanout'}}}";
    let s1 = base.ssn.sender(address).await.unwrap();
    let s2 = ssn2.sender("holding_q").await.unwrap();
    s2.send("a").await.unwrap();
    s1.send("b").await.unwrap();
    s2.send("c").await.unwrap();
    let r = base.ssn.receiver("amq.fanout; {link: {x-declare: {arguments: {'no-local': True}}}}").await.unwrap();
    conn2.close().await.unwrap();
    s1.close().await.unwrap();
    assert_eq!(drain_texts(&r).await, ["a", "c"]);
}

/// A queue and an exchange of one name, and what reads from each.
struct Ambiguous {
    base: Base,
    e: Receiver,
    q: Receiver,
}

async fn disambiguation(Ambiguous { base, e, q }: Ambiguous, ambiguous_send: bool) {
    let s1 = base.ssn.sender("ambiguous; {node: {type: topic}}").await.unwrap();
    let s2 = base.ssn.sender("ambiguous; {node: {type: queue}}").await.unwrap();
    s1.send("a").await.unwrap();
    s2.send("b").await.unwrap();
    if ambiguous_send {
        // As the Python client has it: the queue.
        base.ssn.sender("ambiguous").await.unwrap().send("c").await.unwrap();
    }
    assert_eq!(drain_texts(&e).await, ["a"]);
    assert_eq!(drain_texts(&q).await, if ambiguous_send { vec!["b", "c"] } else { vec!["b"] });
}

async fn precreated() -> Base {
    let base = base().await;
    let topic = "ambiguous; {create: always, node: {type: topic, x-declare: {type: fanout}}}";
    base.ssn.sender(topic).await.unwrap();
    base.ssn.sender("ambiguous; {create: always, node: {type: queue}}").await.unwrap();
    base
}

async fn node_disambiguation(ambiguous_send: bool) {
    let base = precreated().await;
    let e = base.ssn.receiver("ambiguous; {node: {type: topic}}").await.unwrap();
    let q = base.ssn.receiver("ambiguous; {node: {type: queue}}").await.unwrap();
    disambiguation(Ambiguous { base, e, q }, ambiguous_send).await;
}

#[tokio::test]
async fn test_node_disambiguation_1() {
    node_disambiguation(false).await;
}

#[tokio::test]
async fn test_node_disambiguation_2() {
    node_disambiguation(true).await;
}

#[tokio::test]
async fn test_ambiguous_create_1() {
    let base = base().await;
    let q = base.ssn.receiver("ambiguous; {create: receiver, node: {type: queue}}").await.unwrap();
    let e = base.ssn.receiver("ambiguous; {create: receiver, node: {type: topic}}").await.unwrap();
    disambiguation(Ambiguous { base, e, q }, false).await;
}

#[tokio::test]
async fn test_ambiguous_create_2() {
    let base = base().await;
    let e = base.ssn.receiver("ambiguous; {create: receiver, node: {type: topic}}").await.unwrap();
    let q = base.ssn.receiver("ambiguous; {create: receiver, node: {type: queue}}").await.unwrap();
    disambiguation(Ambiguous { base, e, q }, false).await;
}

/// Whether there is a queue, and an exchange.
fn are_there(base: &Base) -> (bool, bool) {
    let is_ours = |name: &String| name == "ambiguous";
    (base.broker.queues().iter().any(is_ours), base.broker.exchanges().iter().any(is_ours))
}

#[tokio::test]
async fn test_ambiguous_delete_1() {
    let base = precreated().await;
    assert_eq!(are_there(&base), (true, true));
    let receiver = base.ssn.receiver("ambiguous; {delete: receiver, node: {type: topic}}").await.unwrap();
    receiver.close().await.unwrap();
    assert_eq!(are_there(&base), (true, false));
}

#[tokio::test]
async fn test_ambiguous_delete_2() {
    let base = precreated().await;
    let receiver = base.ssn.receiver("ambiguous; {delete: receiver, node: {type: queue}}").await.unwrap();
    receiver.close().await.unwrap();
    assert_eq!(are_there(&base), (false, true));
}

async fn sequence_sender(base: &Base, name: &str, key: &str) -> Sender {
    let address = format!(
        "{name}; {{create: sender, node: {{x-declare: {{auto-delete: True, arguments: {{'qpid.queue_msg_sequence': \
         '{key}', 'qpid.policy_type': 'ring', 'qpid.max_count': 4}}}}}}}}"
    );
    base.ssn.sender(&address).await.unwrap()
}

/// The number that the queue gave: AMQP 1.0 has it among the annotations.
fn sequence(message: &Message, key: &str) -> Option<i64> {
    message.annotations()?.0.get_str(key)?.as_i64()
}

#[tokio::test]
async fn test_create_sequence_queue() {
    let base = base().await;
    sequence_sender(&base, "ring-sequence-queue", "qpid.queue_msg_sequence").await;
}

#[tokio::test]
async fn test_get_sequence_number() {
    let base = base().await;
    let sender = sequence_sender(&base, "ring-sequence-queue2", "k").await;
    sender.send(Message::new()).await.unwrap();
    let receiver = base.ssn.receiver("ring-sequence-queue2").await.unwrap();
    let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
    assert_eq!(sequence(&message, "k"), Some(1));
    receiver.close().await.unwrap();
}

#[tokio::test]
async fn test_sequence_number_gap() {
    let base = base().await;
    let sender = sequence_sender(&base, "ring-sequence-queue3", "qpid.seq").await;
    let receiver = base.ssn.receiver("ring-sequence-queue3").await.unwrap();
    sender.send(Message::new()).await.unwrap();
    receiver.fetch_timeout(PATIENCE).await.unwrap();
    // Five more do not fit beside it: the ring drops the oldest.
    for _ in 0..5 {
        sender.send(Message::new()).await.unwrap();
    }
    let message = receiver.fetch_timeout(PATIENCE).await.unwrap();
    assert_eq!(sequence(&message, "qpid.seq"), Some(3));
    receiver.close().await.unwrap();
}
