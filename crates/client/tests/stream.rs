//! Receivers as streams, senders as sinks.

mod common;
mod raw;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Ends, pair};
use futures_util::{SinkExt, StreamExt, stream};
use postroad_client::types::{ErrorCondition, Value};
use postroad_client::{
    LinkError, LinkOptions, Message, ReceiveError, Receiver, SendError, Sender, SinkError, SyncError,
};
use postroad_testkit::{attach_receiver, attach_sender, detach, flow, transfer};
use raw::Peer;

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

fn numbered(number: u64) -> Message {
    Message::from(Value::from(number))
}

fn number(message: &Message) -> u64 {
    let Some(Value::Ulong(number)) = message.value() else { panic!("{message:?}") };
    *number
}

/// Accepts whatever comes, and tells the numbers once the stream has ended.
async fn accept_all(mut receiver: Receiver) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(message) = receiver.next().await {
        let message = message.unwrap();
        receiver.accept(&message).unwrap();
        numbers.push(number(&message));
    }
    assert!(receiver.next().await.is_none(), "a stream that has ended has ended");
    numbers
}

/// Counts how often a future is polled.
async fn counted<T>(future: impl Future<Output = T>) -> (T, usize) {
    let (mut future, mut polls) = (pin!(future), 0);
    let result = poll_fn(|cx| {
        polls += 1;
        future.as_mut().poll(cx)
    });
    (result.await, polls)
}

#[tokio::test]
async fn a_sink_wakes_once_for_many_messages() {
    const MESSAGES: u64 = 500;
    let (mut sender, receiver, _ends) = pair(1000).await;
    while sender.credit() < 1000 {
        tokio::task::yield_now().await;
    }
    let receiving = tokio::spawn(accept_all(receiver));
    let mut messages = stream::iter((0..MESSAGES).map(|number| Ok(numbered(number))));
    let (sent, polls) = soon(counted(sender.send_all(&mut messages))).await;
    assert_eq!(sent, Ok(()));
    assert!(polls <= 3, "woken {polls} times for {MESSAGES} messages");
    assert_eq!(sender.unsettled(), 0, "what is flushed has an outcome");
    soon(SinkExt::<Message>::close(&mut sender)).await.unwrap();
    assert_eq!(soon(receiving).await.unwrap(), (0..MESSAGES).collect::<Vec<_>>());
    // The sink of a link that is over takes nothing, and says why.
    let refused = soon(sender.feed(numbered(0))).await;
    assert_eq!(refused, Err(SinkError::Send(SendError::NotSent(LinkError::Closed))));
}

#[tokio::test]
async fn a_sink_keeps_to_the_credit_and_to_the_bound() {
    for (prefetch, bound) in [(1, None), (3, None), (100, Some(1)), (100, Some(7))] {
        let (mut sender, receiver, _ends) = pair(prefetch).await;
        sender.set_max_unsettled(bound);
        let receiving = tokio::spawn(accept_all(receiver));
        let mut messages = stream::iter((0..60).map(|number| Ok(numbered(number))));
        soon(sender.send_all(&mut messages)).await.unwrap();
        soon(SinkExt::<Message>::close(&mut sender)).await.unwrap();
        assert_eq!(soon(receiving).await.unwrap(), (0..60).collect::<Vec<_>>(), "credit {prefetch}, bound {bound:?}");
    }
}

#[tokio::test]
async fn a_message_whose_credit_another_task_took_is_kept() {
    let (mut sender, mut receiver, _ends) = pair(0).await;
    receiver.add_credit(1);
    soon(poll_fn(|cx| SinkExt::<Message>::poll_ready_unpin(&mut sender, cx))).await.unwrap();
    sender.try_submit(&numbered(0)).unwrap();
    sender.start_send_unpin(numbered(1)).unwrap();
    assert_eq!(sender.start_send_unpin(numbered(2)), Err(SinkError::Send(SendError::NoCredit)), "it was not ready");
    // Given up and taken up again, the flush neither loses the message nor sends it twice.
    for _ in 0..3 {
        let mut flushing = pin!(SinkExt::<Message>::flush(&mut sender));
        assert!(flushing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        tokio::task::yield_now().await;
    }
    receiver.add_credit(5);
    let receiving = async {
        for expected in 0..2 {
            let message = receiver.receive().await.unwrap();
            receiver.accept(&message).unwrap();
            assert_eq!(number(&message), expected);
        }
    };
    let (flushed, ()) = soon(async { tokio::join!(SinkExt::<Message>::flush(&mut sender), receiving) }).await;
    assert_eq!(flushed, Ok(()));
    soon(receiver.drain()).await.unwrap();
    assert!(receiver.try_receive().unwrap().is_none(), "nothing comes twice");
}

#[tokio::test]
async fn a_flush_tells_what_was_not_accepted() {
    let (mut sender, mut receiver, _ends) = pair(10).await;
    for number in 0..3 {
        soon(sender.feed(numbered(number))).await.unwrap();
        let message = soon(receiver.receive()).await.unwrap();
        if number == 1 { receiver.reject(&message, None) } else { receiver.accept(&message) }.unwrap();
    }
    let flushed = soon(SinkExt::<Message>::flush(&mut sender)).await;
    assert!(matches!(flushed, Err(SinkError::Sync(SyncError::NotAccepted { count: 1, .. }))), "{flushed:?}");
    assert_eq!(soon(SinkExt::<Message>::flush(&mut sender)).await, Ok(()), "it is told once");
}

#[tokio::test]
async fn a_stream_that_is_left_and_taken_up_loses_nothing() {
    let (sender, mut receiver, ends) = pair(3).await;
    let sending = tokio::spawn(async move {
        for number in 0..200 {
            sender.submit(&numbered(number)).await.unwrap();
        }
        (sender.sync().await, sender.close().await)
    });
    let (mut numbers, mut round) = (Vec::new(), 0);
    while numbers.len() < 200 {
        round += 1;
        let message = match round % 3 {
            // Polled a number of times and dropped.
            0 => {
                let mut next = receiver.next();
                let mut found = None;
                for _ in 0..round % 5 {
                    if let Poll::Ready(message) = pin!(&mut next).poll(&mut Context::from_waker(Waker::noop())) {
                        found = Some(message.unwrap().unwrap());
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                found
            }
            1 => receiver.try_receive().unwrap(),
            _ => Some(soon(receiver.receive()).await.unwrap()),
        };
        if let Some(message) = message {
            receiver.accept(&message).unwrap();
            numbers.push(number(&message));
        }
    }
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert!(soon(receiver.next()).await.is_none());
    assert_eq!(soon(sending).await.unwrap(), (Ok(()), Ok(())));
    let Ends { client, server: _server } = ends;
    assert_eq!(client.error(), None);
}

#[tokio::test]
async fn the_error_of_a_link_ends_its_stream_and_its_sink() {
    let script = |mut peer: Peer| {
        peer.begin();
        peer.take(attach_receiver("in"));
        peer.send(attach_sender("in"));
        // One message leaves more than half of it, so that no further flow comes.
        peer.take(flow().handle(0).link_credit(4));
        peer.send(transfer(0).payload(numbered(7).encode()));
        peer.send(detach().closed(true).condition(ErrorCondition::RESOURCE_DELETED));
        peer.take(detach().handle(0));
        peer.take(attach_sender("out"));
        peer.send(attach_receiver("out"));
        peer.send(flow().handle(0).delivery_count(0).link_credit(1));
        peer.take(transfer(0).handle(0));
        peer.send(detach().closed(true).condition(ErrorCondition::RESOURCE_DELETED));
        peer.part();
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = connection.session().await.unwrap();
    let options = |name: &str| {
        let mut options = LinkOptions::default();
        (options.name, options.prefetch) = (Some(name.to_owned()), 4);
        options
    };
    let mut receiver = session.receiver_with("q", options("in")).await.unwrap();
    assert_eq!(number(&soon(receiver.next()).await.unwrap().unwrap()), 7);
    let error = soon(receiver.next()).await;
    let deleted =
        |error: &LinkError| error.peer_error().is_some_and(|error| error.condition == ErrorCondition::RESOURCE_DELETED);
    assert!(matches!(&error, Some(Err(ReceiveError::Link(error))) if deleted(error)), "{error:?}");
    assert!(soon(receiver.next()).await.is_none());
    let mut sender: Sender = session.sender_with("q", options("out")).await.unwrap();
    soon(sender.feed(numbered(0))).await.unwrap();
    let flushed = soon(SinkExt::<Message>::flush(&mut sender)).await;
    assert!(
        matches!(&flushed, Err(SinkError::Sync(SyncError::Link { in_doubt: 1, error })) if deleted(error)),
        "{flushed:?}"
    );
    let closed = soon(SinkExt::<Message>::close(&mut sender)).await;
    assert!(matches!(&closed, Err(SinkError::Link(error)) if deleted(error)), "{closed:?}");
    drop((receiver, sender, session, connection));
    peer.await.unwrap();
}
