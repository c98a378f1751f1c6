//! Credit: how much is granted, and what comes of it.

mod raw;

use std::future::Future;
use std::time::Duration;

use postroad_client::{LinkOptions, Message};
use postroad_testkit::{attach_receiver, attach_sender, flow, transfer};
use raw::Peer;

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
