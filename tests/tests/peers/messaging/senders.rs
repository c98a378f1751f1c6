//! `SenderTests` of `qpid.tests.messaging.endpoints`.

use postroad_messaging::types::{Map, Uuid, Value};
use postroad_messaging::{SendError, UNLIMITED};

use super::*;

async fn check_content(base: Base, content: impl Into<Message>) {
    let Pair { base, snd, rcv } = base.pair().await;
    let message = content.into();
    for _ in 0..2 {
        soon(snd.send(message.clone())).await.unwrap();
        assert_eq!(fetch(&rcv).await.body(), message.body());
    }
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

pub(super) async fn test_send_string(base: Base) {
    check_content(base, "testSendString").await;
}

pub(super) async fn test_send_list(base: Base) {
    let id = Value::Uuid(Uuid::from_u128(7));
    check_content(base, Value::List(vec!["testSendList".into(), 1_i64.into(), 3.25.into(), id])).await;
}

pub(super) async fn test_send_map(base: Base) {
    let id = Value::Uuid(Uuid::from_u128(7));
    check_content(base, Map::from_iter([("testSendMap", id), ("pie", "blueberry".into()), ("pi", 3.25.into())])).await;
}

async fn send_async(base: Base, capacity: u32) -> Result<(), SendError> {
    let Pair { base, snd, rcv } = base.pair().await;
    snd.set_capacity(capacity);
    let texts: Vec<String> = (0..15).map(|number| format!("asyncTest {number}")).collect();
    for text in &texts {
        soon(snd.send_async(text.as_str())).await?;
    }
    soon(snd.sync()).await.unwrap();
    assert_eq!(drain_texts(&rcv, texts.len()).await, texts);
    soon(base.ssn.acknowledge_all()).await.unwrap();
    Ok(())
}

pub(super) async fn test_send_async_capacity0(base: Base) {
    assert_eq!(send_async(base, 0).await, Err(SendError::InsufficientCapacity));
}

pub(super) async fn test_send_async_capacity1(base: Base) {
    send_async(base, 1).await.unwrap();
}

pub(super) async fn test_send_async_capacity5(base: Base) {
    send_async(base, 5).await.unwrap();
}

pub(super) async fn test_send_async_capacity_unlimited(base: Base) {
    send_async(base, UNLIMITED).await.unwrap();
}

pub(super) async fn test_capacity_timeout(base: Base) {
    let Pair { base, snd, rcv } = base.pair().await;
    snd.set_capacity(1);
    let mut texts = Vec::new();
    // Nothing is awaited, so an answer hardly comes in between.
    let caught = loop {
        let text = format!("testCapacity {}", texts.len());
        match snd.try_send_async(text.as_str()) {
            Ok(()) => texts.push(text),
            Err(error) => break error,
        }
        assert!(texts.len() < 10_000, "did not exceed the capacity");
    };
    assert_eq!(caught, SendError::InsufficientCapacity);
    soon(snd.sync()).await.unwrap();
    assert_eq!(drain_texts(&rcv, texts.len()).await, texts);
    soon(base.ssn.acknowledge_all()).await.unwrap();
}

pub(super) async fn test_eintr(base: Base) {
    let Pair { base: _base, snd, rcv } = base.pair().await;
    soon(snd.send("testEINTR 0")).await.unwrap();
    // A call of the system that fails between two messages.
    std::fs::read("/nowhere").unwrap_err();
    soon(snd.send("testEINTR 1")).await.unwrap();
    assert_eq!(drain_texts(&rcv, 2).await, ["testEINTR 0", "testEINTR 1"]);
}
