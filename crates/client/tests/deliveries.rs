//! What is known of a delivery before, while and after it is settled.

mod common;
mod raw;

use std::time::Duration;

use common::{connect, pair};
use postroad_client::types::Bytes;
use postroad_client::{LinkError, LinkOptions, Message, Node, Outcome};
use postroad_codec::v1_0::{DeliveryState, Role};
use postroad_testkit::{attach_receiver, attach_sender, disposition, flow, transfer};

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes")
}

async fn eventually(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_outcome_may_be_told_before_it_is_settled() {
    let (sender, mut receiver, ends) = pair(10).await;
    let settlement = soon(sender.submit_tracked(&Message::from("a"))).await.unwrap();
    assert_eq!((settlement.is_settled(), settlement.remote_state()), (false, None));
    let message = soon(receiver.receive()).await.unwrap();
    let settler = receiver.settler();
    assert_eq!((settler.local_state(&message), settler.is_settled(&message)), (None, false));

    receiver.update(&message, Outcome::Accepted).unwrap();
    assert_eq!((settler.local_state(&message), settler.is_settled(&message)), (Some(Outcome::Accepted), false));
    // The sender settles what has an outcome.
    eventually(|| settlement.is_settled() && settler.is_settled(&message)).await;
    assert_eq!((settlement.remote_state(), settler.local_state(&message)), (Some(Outcome::Accepted), None));
    assert_eq!(soon(settlement).await, Ok(Outcome::Accepted));
    // What is settled already is nobody's business any more.
    receiver.update(&message, Outcome::Released).unwrap();

    assert!(receiver.brought(&message) && receiver.session().brought(&message) && ends.server.brought(&message));
    assert!(!ends.client.brought(&message) && !sender.session().brought(&message));
    assert!(!receiver.brought(&Message::from("b")), "it was made here");
    soon(receiver.close()).await.unwrap();
    assert_eq!(settler.update(&message, Outcome::Accepted), Err(LinkError::Closed));
}

#[tokio::test]
async fn what_the_sender_tells_of_a_delivery_is_known() {
    let script = |mut peer: raw::Peer| {
        peer.begin();
        peer.take(attach_receiver("in"));
        peer.send(attach_sender("in"));
        peer.take(flow().handle(0));
        peer.send(transfer(0).payload(Message::from("a").encode()));
        peer.send(disposition(Role::Sender, 0).state(DeliveryState::Released));
        peer.take(disposition(Role::Receiver, 0).state(DeliveryState::Accepted).settled(false));
        peer.send(disposition(Role::Sender, 0).settled(true));
        peer.part();
    };
    let (connection, peer) = raw::Peer::serve(script).await;
    let session = soon(connection.session()).await.unwrap();
    let mut options = LinkOptions::default();
    options.name = Some("in".to_owned());
    let mut receiver = soon(session.receiver_with(Node::at("a"), options)).await.unwrap();
    let message = soon(receiver.receive()).await.unwrap();
    let settler = receiver.settler();
    eventually(|| settler.remote_state(&message) == Some(Outcome::Released)).await;
    assert!(!settler.is_settled(&message));
    receiver.update(&message, Outcome::Accepted).unwrap();
    eventually(|| settler.is_settled(&message)).await;
    assert_eq!(settler.remote_state(&message), None);
    drop((receiver, session, connection));
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn a_message_in_parts_tells_what_is_here() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let mut options = LinkOptions::default();
    options.prefetch = 0;
    let accepting = async { ends.server.next_link().await.unwrap().into_streaming_receiver(&options).unwrap() };
    let (sender, mut receiver) = tokio::join!(session.sender(Node::at("queue")), accepting);
    let sender = sender.unwrap();
    let mut writer = sender.begin(&Message::new());
    assert!(!writer.is_writable(), "there is no credit");
    let reading = async {
        let mut reader = receiver.receive().await.unwrap();
        assert!(reader.is_partial() && reader.is_readable());
        assert_eq!(reader.chunk_within(2).await, Ok(Some(Bytes::from("on"))));
        assert_eq!(reader.chunk_within(100).await, Ok(Some(Bytes::from("e"))));
        assert!(reader.is_partial() && !reader.is_readable());
        reader
    };
    let writing = async { writer.write("one").await.unwrap() };
    let (mut reader, ()) = soon(async { tokio::join!(reading, writing) }).await;
    assert!(writer.is_writable());
    soon(writer.write("two")).await.unwrap();
    assert_eq!(soon(reader.chunk_within(0)).await, Ok(Some(Bytes::from("t"))), "one byte at least");
    let finishing = async {
        assert_eq!(reader.chunk_within(3).await, Ok(Some(Bytes::from("wo"))));
        assert_eq!(reader.chunk_within(3).await, Ok(None));
        assert!(!reader.is_partial());
        reader.accept().unwrap();
    };
    let (outcome, ()) = soon(async { tokio::join!(writer.finish(), finishing) }).await;
    assert_eq!(outcome, Ok(Outcome::Accepted));
}
