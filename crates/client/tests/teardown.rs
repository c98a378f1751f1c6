//! What is dropped or closed ends in order: messages, links, sessions, the connection.

mod raw;

use std::future::Future;
use std::time::Duration;

use postroad_client::{LinkError, LinkOptions, Message, ReceiveError, SendError};
use postroad_testkit::{attach_receiver, attach_sender, begin, close, continuation, detach, end, flow, transfer};
use raw::Peer;

/// Nothing that should come takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

fn only() -> LinkOptions {
    let mut options = LinkOptions::default();
    options.name = Some("only".to_owned());
    options
}

#[tokio::test]
async fn messages_go_before_the_detach_the_end_and_the_close() {
    let script = |mut peer: Peer| {
        peer.begin();
        peer.take(attach_sender("only"));
        peer.send(attach_receiver("only")).send(flow().handle(0).delivery_count(0).link_credit(10));
        for number in 0..3 {
            peer.take(transfer(number).payload(Message::from("x").encode()));
        }
        peer.take(detach().handle(0).closed(true));
        peer.take(end());
        peer.hears_nothing(Duration::from_millis(100));
        peer.send(detach().closed(true)).send(end());
        peer.take(close());
        peer.send(close());
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = connection.session().await.unwrap();
    let sender = session.sender_with("q", only()).await.unwrap();
    for _ in 0..3 {
        soon(sender.submit(&Message::from("x"))).await.unwrap();
    }
    drop((sender, session, connection));
    soon(peer).await.unwrap();
}

/// What ends the link of a message that is half-way out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Drop,
    Link,
    Session,
    Connection,
}

#[tokio::test]
async fn the_rest_of_a_message_goes_out_first() {
    for ended_by in [End::Drop, End::Link, End::Session, End::Connection] {
        let text = "x".repeat(1200);
        let script = move |mut peer: Peer| {
            peer.take(begin());
            peer.send(begin().remote_channel(0).incoming_window(1));
            peer.take(attach_sender("only"));
            peer.send(attach_receiver("only"));
            peer.send(flow().incoming_window(1).handle(0).delivery_count(0).link_credit(5));
            let (_, mut payload) = peer.take(transfer(0).more(true));
            let mut all = payload.to_vec();
            for (window, more) in [(1, true), (2, false)] {
                peer.hears_nothing(Duration::from_millis(100));
                peer.send(flow().next_incoming_id(window).incoming_window(1));
                (_, payload) = peer.take(continuation().more(more));
                all.extend_from_slice(&payload);
            }
            let message = Message::decode(&all.into()).unwrap();
            assert_eq!(message.text().map(str::len), Some(1200));
            if matches!(ended_by, End::Drop | End::Link) {
                peer.take(detach().handle(0).closed(true));
                peer.send(detach().closed(true));
            }
            peer.take(end());
            peer.send(end());
            peer.take(close());
            peer.send(close());
        };
        let (connection, peer) = Peer::serve_with(512, script, |_| {}).await;
        let session = connection.session().await.unwrap();
        let sender = session.sender_with("q", only()).await.unwrap();
        soon(sender.submit(&Message::from(text))).await.unwrap();
        match ended_by {
            End::Drop => drop(sender),
            End::Link => soon(sender.close()).await.unwrap(),
            End::Session => {
                soon(session.close()).await.unwrap();
                drop(sender);
            }
            End::Connection => {
                soon(connection.close()).await.unwrap();
                drop(sender);
            }
        }
        drop((session, connection));
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn a_peer_that_takes_no_more_is_left() {
    let script = |mut peer: Peer| {
        peer.take(begin());
        peer.send(begin().remote_channel(0).incoming_window(1));
        peer.take(attach_sender("only"));
        peer.send(attach_receiver("only"));
        peer.send(flow().incoming_window(1).handle(0).delivery_count(0).link_credit(5));
        peer.take(transfer(0).more(true));
        // The rest is given up with the session.
        peer.take(end());
        peer.take(close());
        peer.send(close());
    };
    let change = |options: &mut postroad_client::ConnectOptions| options.close_timeout = Duration::from_millis(1200);
    let (connection, peer) = Peer::serve_with(512, script, change).await;
    let session = connection.session().await.unwrap();
    let sender = session.sender_with("q", only()).await.unwrap();
    let settlement = soon(sender.submit_tracked(&Message::from("x".repeat(1200)))).await.unwrap();
    drop((sender, session, connection));
    assert!(matches!(soon(settlement).await, Err(SendError::InDoubt(_))));
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn a_session_whose_end_is_not_answered_is_over_all_the_same() {
    for given_up in [false, true] {
        let script = |mut peer: Peer| {
            peer.begin();
            peer.take(attach_receiver("only"));
            peer.send(attach_sender("only"));
            peer.take(flow().handle(0));
            peer.take(end());
            peer.take(close());
            peer.send(close());
        };
        let timeout = Duration::from_millis(300);
        let (connection, peer) = Peer::serve_with(65_536, script, |options| options.close_timeout = timeout).await;
        let session = connection.session().await.unwrap();
        let mut receiver = session.receiver_with("q", only()).await.unwrap();
        let closing = async {
            if given_up {
                // Polled once, and dropped.
                assert!(tokio::time::timeout(Duration::ZERO, session.close()).await.is_err());
            } else {
                assert_eq!(session.close().await, Err(LinkError::Timeout(timeout)));
            }
        };
        let (received, ()) = soon(async { tokio::join!(receiver.receive(), closing) }).await;
        assert!(matches!(received, Err(ReceiveError::Link(LinkError::Timeout(_)))), "{received:?}");
        assert_eq!(connection.error(), None, "the connection goes on");
        soon(connection.close()).await.unwrap();
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn a_detach_of_an_idle_link_is_known_before_the_next_send() {
    let (attached, is_attached) = std::sync::mpsc::channel();
    let script = move |mut peer: Peer| {
        peer.begin();
        peer.take(attach_sender("only"));
        peer.send(attach_receiver("only")).send(flow().handle(0).delivery_count(0).link_credit(10));
        is_attached.recv().unwrap();
        peer.send(detach().closed(true).condition(postroad_client::types::ErrorCondition::DETACH_FORCED));
        peer.take(detach().handle(0));
        // The message that follows is not written.
        peer.take(end());
        peer.send(end());
        peer.take(close());
        peer.send(close());
    };
    let (connection, peer) = Peer::serve(script).await;
    let session = connection.session().await.unwrap();
    let sender = session.sender_with("q", only()).await.unwrap();
    attached.send(()).unwrap();
    let error = soon(sender.closed()).await;
    assert_eq!(error.peer_error().unwrap().condition, postroad_client::types::ErrorCondition::DETACH_FORCED);
    assert_eq!(soon(sender.send(&Message::from("late"))).await, Err(SendError::NotSent(error.clone())));
    assert_eq!((sender.try_submit(&Message::from("late")), sender.credit()), (Err(SendError::NotSent(error)), 0));
    drop((sender, session));
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}
