//! Drains whose answer finds nobody, or somebody who waits for something else.

mod common;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Ends, connect, pair};
use postroad_client::types::Value;
use postroad_client::{LinkOptions, Message, Outcome, Receiver, Sender, SenderNews, Ticket};

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

/// A sender of a server's, and the receiver of its client's.
async fn accepted_sender() -> (Sender, Receiver, Ends) {
    accepted_sender_with(LinkOptions::default()).await
}

async fn accepted_sender_with(terms: LinkOptions) -> (Sender, Receiver, Ends) {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let mut options = LinkOptions::default();
    options.prefetch = 0;
    let accepting = async { ends.server.next_link().await.unwrap().into_sender(&terms).unwrap() };
    let (receiver, sender) = tokio::join!(session.receiver_with("q", options), accepting);
    (sender, receiver.unwrap(), ends)
}

async fn news(sender: &Sender, ticket: &mut Ticket) -> SenderNews {
    soon(poll_fn(|cx| sender.poll_news(ticket, cx))).await
}

#[tokio::test]
async fn a_sender_that_is_told_of_a_drain_uses_the_credit_first() {
    let (sender, mut receiver, _ends) = accepted_sender().await;
    let mut ticket = Ticket::default();
    receiver.set_credit(10);
    let first = news(&sender, &mut ticket).await;
    assert_eq!((first.room, first.drain), (10, false));
    assert!(!sender.is_draining());
    let draining = tokio::spawn(async move {
        receiver.drain().await.unwrap();
        receiver
    });
    let told = news(&sender, &mut ticket).await;
    assert_eq!((told.room, told.drain), (10, true));
    assert!(sender.is_draining());
    // However long it takes.
    pause().await;
    assert_eq!((draining.is_finished(), sender.credit()), (false, 10));
    for text in ["a", "b"] {
        sender.try_submit_told(&Message::from(text), None).unwrap();
    }
    // Whoever asks for more news is done with it.
    assert!(poll_fn(|cx| Poll::Ready(sender.poll_news(&mut ticket, cx))).await.is_pending());
    let mut receiver = soon(draining).await.unwrap();
    assert_eq!((receiver.credit(), receiver.available(), sender.credit()), (0, 2, 0));
    for text in ["a", "b"] {
        assert_eq!(receiver.try_receive().unwrap().unwrap().text(), Some(text));
    }
    receiver.set_credit(1);
    assert_eq!(news(&sender, &mut ticket).await.room, 1);
}

#[tokio::test]
async fn a_sender_gives_credit_up_when_it_says_so() {
    let (sender, mut receiver, _ends) = accepted_sender().await;
    let mut ticket = Ticket::default();
    receiver.set_credit(10);
    // What is not asked for stays.
    assert_eq!(news(&sender, &mut ticket).await.room, 10);
    sender.drained();
    assert_eq!(sender.credit(), 10);
    let draining = async { receiver.drain().await.unwrap() };
    let answering = async {
        assert!(news(&sender, &mut ticket).await.drain);
        sender.drained();
    };
    soon(async { tokio::join!(draining, answering) }).await;
    assert_eq!((receiver.credit(), receiver.available(), sender.credit()), (0, 0, 0));
}

#[tokio::test]
async fn a_sender_whose_owner_asks_for_no_news_gives_credit_up_by_itself() {
    let (sender, mut receiver, _ends) = accepted_sender().await;
    receiver.set_credit(10);
    soon(receiver.drain()).await.unwrap();
    assert_eq!((receiver.credit(), sender.credit()), (0, 0));
}

#[tokio::test]
async fn a_drain_that_comes_before_the_first_poll_waits_for_who_is_going_to_poll() {
    let mut terms = LinkOptions::default();
    terms.polls_news = true;
    let (sender, mut receiver, _ends) = accepted_sender_with(terms).await;
    receiver.set_credit(10);
    let draining = tokio::spawn(async move {
        receiver.drain().await.unwrap();
        receiver.available()
    });
    pause().await;
    let mut ticket = Ticket::default();
    let told = news(&sender, &mut ticket).await;
    assert_eq!((told.room, told.drain), (10, true));
    sender.try_submit_told(&Message::from("a"), None).unwrap();
    sender.drained();
    assert_eq!(soon(draining).await.unwrap(), 1);
}
