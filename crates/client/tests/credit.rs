//! Credit: how much is granted, and what comes of it.

mod common;
mod raw;

use std::future::Future;
use std::net::TcpListener;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use common::pair;
use postroad_client::types::{Fields, Map, Symbol, Value};
use postroad_client::{ConnectOptions, Connection, LinkOptions, Message, Receiver};
use postroad_testkit::{accepted, attach_receiver, attach_sender, flow, open, transfer};
use raw::Peer;
use tokio::sync::mpsc;

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

/// The terms of the link named `only`.
fn only(prefetch: u32) -> LinkOptions {
    let mut options = LinkOptions::default();
    options.name = Some("only".to_owned());
    options.prefetch = prefetch;
    options
}

/// Takes a message that is here or comes soon, and tells its number.
async fn number(receiver: &mut Receiver) -> u64 {
    let message = soon(receiver.receive()).await.unwrap();
    receiver.accept(&message).unwrap();
    let Some(Value::Ulong(number)) = message.value() else { panic!("{message:?}") };
    *number
}

#[tokio::test]
async fn credit_that_a_given_up_message_used_is_granted_again() {
    let script = |mut peer: Peer| {
        peer.begin();
        peer.take(attach_receiver("only"));
        peer.send(attach_sender("only"));
        peer.take(flow().handle(0).delivery_count(0).link_credit(1));
        peer.send(transfer(0).more(true).payload("never")).send(transfer(0).aborted(true));
        peer.take(flow().handle(0).delivery_count(1).link_credit(1));
        peer.send(transfer(1).aborted(true));
        peer.take(flow().handle(0).delivery_count(2).link_credit(1));
        peer.send(transfer(2).payload(Message::from("whole").encode()));
        peer.part();
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = connection.session().await.unwrap();
    let mut receiver = session.receiver_with("q", only(0)).await.unwrap();
    let received = soon(receiver.receive()).await.unwrap();
    assert_eq!(received.text(), Some("whole"));
    drop((received, receiver, session, connection));
    peer.await.unwrap();
}

#[tokio::test]
async fn credit_of_the_caller_s_is_granted_as_told_and_no_more() {
    let (told, mut hears) = mpsc::unbounded_channel();
    let script = move |mut peer: Peer| {
        let message = |number| transfer(number).payload(Message::from(Value::from(u64::from(number))).encode());
        peer.begin();
        peer.take(attach_receiver("only"));
        peer.send(attach_sender("only"));
        // One at a time.
        peer.take(flow().handle(0).delivery_count(0).link_credit(1));
        peer.send(message(0));
        peer.take(accepted(0));
        peer.hears_nothing(Duration::from_millis(100));
        told.send("one").unwrap();
        peer.take(flow().handle(0).delivery_count(1).link_credit(2));
        told.send("two more").unwrap();
        peer.take(flow().handle(0).delivery_count(1).link_credit(5));
        told.send("and three").unwrap();
        peer.take(flow().handle(0).delivery_count(1).link_credit(0));
        // As if they had crossed the last flow.
        peer.send(message(1)).send(message(2));
        peer.part();
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = connection.session().await.unwrap();
    let mut receiver = session.receiver_with("q", only(0)).await.unwrap();
    receiver.add_credit(1);
    assert_eq!((number(&mut receiver).await, receiver.credit()), (0, 0));
    // Receiving without credit grants none.
    assert!(pin!(receiver.receive()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(soon(hears.recv()).await, Some("one"));
    receiver.add_credit(2);
    assert_eq!(soon(hears.recv()).await, Some("two more"));
    receiver.add_credit(3);
    assert_eq!((soon(hears.recv()).await, receiver.credit()), (Some("and three"), 5));
    receiver.set_credit(0);
    assert_eq!((number(&mut receiver).await, number(&mut receiver).await, receiver.credit()), (1, 2, 0));
    assert_eq!(receiver.name(), "only");
    drop((receiver, session, connection));
    peer.await.unwrap();
}

#[tokio::test]
async fn credit_is_no_more_than_serial_numbers_tell_apart() {
    const MOST: u32 = i32::MAX as u32;
    let (told, mut hears) = mpsc::unbounded_channel();
    let script = move |mut peer: Peer| {
        peer.begin();
        peer.take(attach_receiver("only"));
        peer.send(attach_sender("only"));
        for credit in [MOST, 1, MOST, 0, MOST, 3, MOST, 1, MOST] {
            peer.take(flow().handle(0).delivery_count(0).link_credit(credit));
            told.send(credit).unwrap();
        }
        peer.part();
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = connection.session().await.unwrap();
    let mut receiver = session.receiver_with("q", only(u32::MAX)).await.unwrap();
    assert_eq!((receiver.prefetch(), soon(hears.recv()).await), (MOST, Some(MOST)));
    receiver.set_prefetch(1);
    assert_eq!((receiver.prefetch(), soon(hears.recv()).await), (1, Some(1)));
    receiver.set_prefetch(MOST + 1);
    assert_eq!((receiver.prefetch(), soon(hears.recv()).await), (MOST, Some(MOST)));
    for credit in [0, MOST + 1, 3] {
        receiver.set_credit(credit);
        assert_eq!((receiver.credit(), soon(hears.recv()).await), (credit.min(MOST), Some(credit.min(MOST))));
    }
    receiver.add_credit(MOST);
    assert_eq!((receiver.credit(), soon(hears.recv()).await), (MOST, Some(MOST)));
    let receiver = receiver.into_shared();
    for prefetch in [1, u32::MAX] {
        receiver.set_prefetch(prefetch);
        assert_eq!((receiver.prefetch(), soon(hears.recv()).await), (prefetch.min(MOST), Some(prefetch.min(MOST))));
    }
    drop((receiver, session));
    soon(connection.close()).await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn a_drain_brings_what_there_is() {
    let (sender, mut receiver, _ends) = pair(0).await;
    receiver.add_credit(10);
    for number in 0..3u64 {
        soon(sender.submit(&Message::from(Value::from(number)))).await.unwrap();
    }
    sender.set_available(17);
    soon(receiver.drain()).await.unwrap();
    assert_eq!((receiver.available(), receiver.credit(), receiver.is_draining()), (3, 0, false));
    assert_eq!((sender.credit(), receiver.remote_available()), (0, 17));
    for expected in 0..3 {
        assert_eq!(number(&mut receiver).await, expected);
    }
    assert!(receiver.try_receive().unwrap().is_none());
    // Without credit there is nothing to ask for.
    soon(receiver.drain()).await.unwrap();
    // A receiver that takes messages ahead does so again.
    receiver.set_prefetch(4);
    for expected in 10..30u64 {
        soon(sender.submit(&Message::from(Value::from(expected)))).await.unwrap();
        assert_eq!(number(&mut receiver).await, expected);
    }
    soon(sender.sync()).await.unwrap();
}

#[tokio::test]
async fn a_drain_that_is_given_up_loses_nothing_and_leaves_the_link_at_work() {
    for polls in 0..8 {
        for again in [false, true] {
            let (sender, mut receiver, _ends) = pair(0).await;
            receiver.add_credit(5);
            for number in 0..2u64 {
                soon(sender.submit(&Message::from(Value::from(number)))).await.unwrap();
            }
            {
                let mut draining = pin!(receiver.drain());
                for _ in 0..polls {
                    if draining.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            if again {
                // Credit granted meanwhile calls it off.
                receiver.add_credit(3);
                assert!(!receiver.is_draining());
            }
            soon(receiver.drain()).await.unwrap();
            assert_eq!((receiver.credit(), receiver.is_draining(), receiver.available()), (0, false, 2));
            receiver.add_credit(1);
            soon(sender.submit(&Message::from(Value::from(2u64)))).await.unwrap();
            for expected in 0..3 {
                assert_eq!(number(&mut receiver).await, expected, "{polls} polls");
            }
            soon(sender.sync()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_fetch_leaves_the_caller_s_credit_alone() {
    let (sender, mut receiver, _ends) = pair(10).await;
    soon(receiver.drain()).await.unwrap();
    for timeout in [0, 20] {
        assert!(soon(receiver.fetch(Duration::from_millis(timeout))).await.unwrap().is_none());
        assert_eq!((receiver.credit(), sender.credit()), (0, 0));
    }
    receiver.add_credit(2);
    soon(sender.submit(&Message::from("x"))).await.unwrap();
    let fetched = soon(receiver.fetch(PATIENCE)).await.unwrap().expect("it was sent");
    assert_eq!((fetched.text(), receiver.credit()), (Some("x"), 1));
    assert!(soon(receiver.fetch(Duration::from_millis(20))).await.unwrap().is_none());
    assert_eq!((receiver.credit(), sender.credit()), (1, 1));
}

#[tokio::test]
async fn an_old_rabbitmq_has_time_to_use_its_credit_before_it_is_taken_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
    options.sasl_enabled = false;
    options.reconnect = None;
    let peer = tokio::task::spawn_blocking(move || {
        let mut properties = Map::default();
        for (name, value) in [("product", "RabbitMQ"), ("version", "3.10.8")] {
            properties.insert(Symbol::from_static(name), value);
        }
        let mut peer = Peer::accept_with(&listener, open().with(|open| open.properties = Some(Fields(properties))));
        peer.begin();
        peer.take(attach_receiver("only"));
        peer.send(attach_sender("only"));
        // The credit, and nothing of a drain.
        peer.take(flow().handle(0).delivery_count(0).link_credit(10));
        peer.send(transfer(0).payload(Message::from("one").encode()));
        peer.send(transfer(1).payload(Message::from("two").encode()));
        peer.take(flow().handle(0).delivery_count(2).link_credit(0));
        peer.part_with_messages();
    });
    let connection = soon(Connection::open(options)).await.unwrap();
    let session = connection.session().await.unwrap();
    let mut receiver = session.receiver_with("q", only(0)).await.unwrap();
    receiver.add_credit(10);
    // Nobody waits any more, and it goes on.
    let dropped = pin!(receiver.drain()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(dropped.is_pending() && receiver.is_draining());
    soon(receiver.drain()).await.unwrap();
    assert_eq!((receiver.is_draining(), receiver.credit(), receiver.available()), (false, 0, 2));
    // Without credit there is nothing to wait for.
    soon(receiver.drain()).await.unwrap();
    drop((receiver, session, connection));
    soon(peer).await.unwrap();
}
