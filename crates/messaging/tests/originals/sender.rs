//! Senders: `SenderTests` of `qpid.tests.messaging.endpoints`.

use postroad_messaging::types::{Map, Uuid, Value};
use postroad_messaging::{SendError, Sender, UNLIMITED};

use super::*;

const SENDER_Q: &str = "test-sender-q; {create: always, delete: always}";

/// A sender and a receiver of one queue.
struct Pair {
    base: Base,
    snd: Sender,
    rcv: Receiver,
}

async fn pair() -> Pair {
    let base = base().await;
    let (snd, rcv) = (base.ssn.sender(SENDER_Q).await.unwrap(), base.ssn.receiver(SENDER_Q).await.unwrap());
    Pair { base, snd, rcv }
}

async fn check_content(content: impl Into<Message>) {
    let Pair { base, snd, rcv } = pair().await;
    let message = content.into();
    for _ in 0..2 {
        snd.send(message.clone()).await.unwrap();
        let echo = rcv.fetch_timeout(NOW).await.unwrap();
        assert_eq!(echo.body(), message.body());
    }
    base.ssn.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn test_send_string() {
    check_content("testSendString").await;
}

#[tokio::test]
async fn test_send_list() {
    let id = Value::Uuid(Uuid::from_u128(7));
    check_content(Value::List(vec!["testSendList".into(), 1_i64.into(), 3.25.into(), id])).await;
}

#[tokio::test]
async fn test_send_map() {
    let id = Value::Uuid(Uuid::from_u128(7));
    check_content(Map::from_iter([("testSendMap", id), ("pie", "blueberry".into()), ("pi", 3.25.into())])).await;
}

async fn send_async(capacity: u32) -> Result<(), SendError> {
    let Pair { base, snd, rcv } = pair().await;
    snd.set_capacity(capacity);
    let texts: Vec<String> = (0..15).map(|number| format!("asyncTest {number}")).collect();
    for text in &texts {
        snd.send_async(text.as_str()).await?;
    }
    snd.sync().await.unwrap();
    assert_eq!(drain_texts(&rcv).await, texts);
    base.ssn.acknowledge_all().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn test_send_async_capacity0() {
    assert_eq!(send_async(0).await, Err(SendError::InsufficientCapacity));
}

#[tokio::test]
async fn test_send_async_capacity1() {
    send_async(1).await.unwrap();
}

#[tokio::test]
async fn test_send_async_capacity5() {
    send_async(5).await.unwrap();
}

#[tokio::test]
async fn test_send_async_capacity_unlimited() {
    send_async(UNLIMITED).await.unwrap();
}

#[tokio::test]
async fn test_capacity_timeout() {
    let Pair { base, snd, rcv } = pair().await;
    snd.set_capacity(1);
    let mut texts = Vec::new();
    // Nothing is awaited, so no answer comes in between.
    let caught = loop {
        let text = format!("testCapacity {}", texts.len());
        match snd.try_send_async(text.as_str()) {
            Ok(()) => texts.push(text),
            Err(error) => break error,
        }
        assert!(texts.len() < 100, "did not exceed the capacity");
    };
    assert_eq!(caught, SendError::InsufficientCapacity);
    snd.sync().await.unwrap();
    assert_eq!(drain_texts(&rcv).await, texts);
    base.ssn.acknowledge_all().await.unwrap();
}

#[tokio::test]
async fn test_eintr() {
    let Pair { base: _base, snd, rcv } = pair().await;
    snd.send("testEINTR 0").await.unwrap();
    // A call of the system that fails between two messages.
    std::fs::read("/nowhere").unwrap_err();
    snd.send("testEINTR 1").await.unwrap();
    assert_eq!(drain_texts(&rcv).await, ["testEINTR 0", "testEINTR 1"]);
}
