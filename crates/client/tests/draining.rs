//! Drains whose answer finds nobody, or somebody who waits for something else.

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::pair;
use postroad_client::types::Value;
use postroad_client::{Message, Outcome};

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_fetch_that_is_dropped_while_it_asks_costs_no_credit() {
    for prefetch in [0, 1, 10] {
        let (sender, mut receiver, _ends) = pair(prefetch).await;
        assert!(poll_once(receiver.fetch(Duration::ZERO)).is_pending());
        pause().await;
        for number in 0..30u64 {
            let message = Message::from(Value::from(number));
            let (sent, received) = soon(async {
                tokio::join!(sender.send(&message), async {
                    let received = receiver.receive().await.unwrap();
                    receiver.accept(&received).unwrap();
                    received
                })
            })
            .await;
            assert_eq!((sent, received.value()), (Ok(Outcome::Accepted), Some(&Value::from(number))), "{prefetch}");
        }
    }
}

#[tokio::test]
async fn a_drain_that_is_answered_while_somebody_receives_costs_no_credit() {
    for prefetch in [0, 1, 10] {
        let (sender, mut receiver, _ends) = pair(prefetch).await;
        assert!(poll_once(receiver.fetch(Duration::ZERO)).is_pending());
        // The answer comes while this waits.
        let received = async { (receiver.receive().await, pause().await).0.unwrap() };
        let sending = async {
            pause().await;
            sender.submit(&Message::from("x")).await.unwrap();
        };
        let (received, ()) = soon(async { tokio::join!(received, sending) }).await;
        assert_eq!(received.text(), Some("x"), "prefetch {prefetch}");
    }
}

#[tokio::test]
async fn a_drain_lets_those_who_wait_for_credit_send_first() {
    let (sender, mut receiver, _ends) = pair(0).await;
    let message = Message::from("waits for credit");
    let fetching = async {
        // Every fetch grants one message and asks for it to be used or given up.
        for _ in 0..20 {
            if let Some(message) = receiver.fetch(Duration::ZERO).await.unwrap() {
                receiver.accept(&message).unwrap();
                return true;
            }
        }
        false
    };
    let sending = tokio::time::timeout(Duration::from_secs(10), sender.send(&message));
    let (sent, fetched) = tokio::join!(sending, fetching);
    assert!(fetched, "the credit was given up while a message waited for it");
    assert_eq!(sent.unwrap(), Ok(Outcome::Accepted));
}
