//! What brokers do, through the API: `qpid_tests.broker_0_10.new_api`.

use postroad_messaging::{AddressError, FetchError, LinkError};

use super::*;

#[tokio::test]
async fn test_not_found() {
    let result = base().await.ssn.receiver("does-not-exist").await;
    let Err(LinkError::Address(AddressError::NotFound { .. })) = result else { panic!("{result:?}") };
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
