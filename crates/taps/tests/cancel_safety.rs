//! Case 69: futures that are dropped wherever they wait, over sockets. `memory.rs` has the same over streams of any cut.

mod common;

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::pin;
use std::task::Poll;

use common::{Authority, PATIENCE, pair};
use postroad_taps::{Connection, LengthPrefix, LocalEndpoint, MessageContext, Preconnection, ReceiveError, Security};
use tokio::task::yield_now;
use tokio::time::timeout;

fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled).framer(LengthPrefix::new)
}

/// The two ends, over TCP and over TLS.
fn stacks() -> [(Preconnection, Preconnection); 2] {
    let authority = Authority::new();
    [(clear(), clear()), (clear().security(authority.server().serve()), clear().security(authority.trusted()))]
}

/// Polls a future so many times and drops it then, unless it has ended.
async fn with_fuel<F: Future>(fuel: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..fuel {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// Receives everything to the end, dropping each receive after a poll or two.
async fn receive_all(connection: Connection) -> Vec<Vec<u8>> {
    let (mut all, mut fuel) = (Vec::new(), 1);
    loop {
        match with_fuel(fuel, connection.receive()).await {
            Some(Ok(message)) => all.push(message.data.to_vec()),
            Some(Err(error)) => {
                assert_eq!(error, ReceiveError::Closed);
                return all;
            }
            None => yield_now().await,
        }
        fuel = 3 - fuel;
    }
}

/// Longer than what the sockets hold, so that sends wait.
const LONG: usize = 6 << 20;

/// 9.2: a message arrives whole or not at all, and in its place, wherever its send is dropped.
#[tokio::test]
async fn a_send_may_be_dropped_wherever_it_waits() {
    for (server, client) in stacks() {
        for fuel in (0..10).chain([20, 40, 80]) {
            let (server, client) = pair(server.clone(), client.clone()).await;
            let reading = tokio::spawn(receive_all(server));
            let mut ended = Vec::new();
            for (number, length) in [(0, 10), (1, LONG), (2, 10), (3, 100_000)] {
                ended.push((vec![number; length], with_fuel(fuel, client.send(vec![number; length])).await));
            }
            let finish = async {
                client.send("the end").await.unwrap();
                client.close().await.unwrap();
            };
            timeout(PATIENCE, finish).await.unwrap();
            let all = timeout(PATIENCE, reading).await.unwrap().unwrap();
            let (last, all) = all.split_last().unwrap();
            assert_eq!(last, b"the end");
            let mut expected = ended.iter();
            // What has arrived is a part of what was sent, in order; what was told to be sent is in it.
            for received in all {
                let found = expected.find(|(body, end)| body == received || end.is_some());
                assert!(found.is_some_and(|(body, _)| body == received), "fuel {fuel}: a message was lost or torn");
            }
            assert!(expected.all(|(_, end)| end.is_none()), "fuel {fuel}: a message that was sent has not arrived");
        }
    }
}

/// 9.2.3, 9.2.4, 10: the parts of a message, a batch and a close may be dropped as well.
#[tokio::test]
async fn parts_batches_and_closes_may_be_dropped_wherever_they_wait() {
    for (server, client) in stacks() {
        for fuel in (0..6).chain([10, 30]) {
            let (server, client) = pair(server.clone(), client.clone()).await;
            let reading = tokio::spawn(receive_all(server));
            let long = vec![7; LONG];
            let batch = client.batch(|batch| {
                batch.send("one");
                batch.send(long.clone());
                batch.send("two");
            });
            let batched = with_fuel(fuel, batch).await;
            let mut part = client.start_message(MessageContext::default());
            let first = with_fuel(fuel, part.send("hel")).await;
            let second = with_fuel(fuel, part.finish("lo")).await;
            // A close that is dropped goes on where it was.
            let mut more = fuel;
            while with_fuel(more, client.close()).await.is_none() {
                more += 1;
                yield_now().await;
            }
            let all = timeout(PATIENCE, reading).await.unwrap().unwrap();
            let whole = |body: &[u8]| all.iter().any(|received| received == body);
            let known = |received: &Vec<u8>| {
                [&b"one"[..], b"two", b"hello", b"hel", b"lo", b""].contains(&&received[..]) || *received == long
            };
            assert!(all.iter().all(known), "fuel {fuel}: a message was torn");
            if batched.is_some() {
                assert!(whole(b"one") && whole(&long) && whole(b"two"), "fuel {fuel}");
            }
            if first.is_some() && second.is_some() {
                assert!(whole(b"hello"), "fuel {fuel}");
            }
        }
    }
}

/// 7.1, 7.2: an attempt, a listener and a client that was accepted may be dropped, and the next one works.
#[tokio::test]
async fn establishment_may_be_dropped_wherever_it_waits() {
    for (server, client) in stacks() {
        let mut listener = None;
        for fuel in 0..6 {
            listener = with_fuel(fuel, server.clone().local(LocalEndpoint::host("127.0.0.1")).listen()).await;
        }
        let listener = match listener {
            Some(listener) => listener.unwrap(),
            None => common::listen_with(server.clone()).await,
        };
        let client = client.remote(listener.local_endpoint());
        for fuel in 0..12 {
            let initiating = with_fuel(fuel, client.initiate().into_future());
            let (_, _) = tokio::join!(initiating, with_fuel(fuel, listener.accept()));
        }
        // Those who have come and gone meanwhile are accepted first, and end at once.
        let asking = async {
            let connection = client.initiate().await.unwrap();
            connection.send("still there?").await.unwrap();
            connection.receive().await.unwrap().data
        };
        let answering = async {
            loop {
                let Ok(connection) = listener.accept().await else { continue };
                let connection = connection.unwrap();
                let Ok(message) = connection.receive().await else { continue };
                connection.send(message.data).await.unwrap();
                // Kept until it is read.
                connection.close().await.unwrap();
            }
        };
        let answer = timeout(PATIENCE, async {
            tokio::select! {
                answer = asking => answer,
                () = answering => unreachable!(),
            }
        });
        assert_eq!(&answer.await.unwrap()[..], b"still there?");
    }
}
