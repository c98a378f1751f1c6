//! What a received message costs in allocations: one for the properties, one for the map of the application's.

mod raw;

use std::sync::mpsc::{Receiver as Orders, Sender as Said, channel};

use allocation_counter::measure;
use postroad_client::types::{Body, Bytes};
use postroad_client::{LinkOptions, Message, Receiver};
use postroad_testkit::{attach_receiver, attach_sender, flow, transfer};
use raw::Peer;
use tokio::runtime::Builder;

/// Messages that are there at once, so that it is no matter of the machine's how many come with a read.
const BATCH: u32 = 100;

/// Batches that are counted, after as many that let buffers grow.
const BATCHES: u32 = 20;

/// A message with header, properties, five application properties and data.
fn message() -> Message {
    let mut message = Message::from(Body::Data(Bytes::from_static(&[b'x'; 100])))
        .with_id(70_000_u64)
        .with_durable(true)
        .with_subject("subject")
        .with_address("queue")
        .with_content_type("application/octet-stream");
    for number in 0..5 {
        message.set_property(format!("property-{number}"), format!("value-{number}"));
    }
    message
}

/// Attaches the client's link, and sends it a batch for each order.
fn serve(peer: &mut Peer, orders: &Orders<()>, sent: &Said<()>) {
    peer.begin().take(attach_receiver("link"));
    peer.send(attach_sender("link")).take(flow().handle(0).link_credit(500));
    sent.send(()).unwrap();
    let message = message().encode();
    let mut number = 0;
    for () in orders {
        let batch = (number..number + BATCH).flat_map(|number| transfer(number).payload(message.to_vec()).to_bytes());
        peer.send_bytes(&batch.collect::<Vec<u8>>());
        number += BATCH;
        sent.send(()).unwrap();
    }
    peer.part();
}

/// Receives a batch, reads what is in it, and accepts it.
async fn receive(receiver: &mut Receiver) {
    for _ in 0..BATCH {
        let message = receiver.receive().await.unwrap();
        assert!(message.durable());
        assert_eq!((message.subject(), message.address()), (Some("subject"), Some("queue")));
        assert_eq!(message.property("property-4").and_then(|value| value.as_str()), Some("value-4"));
        assert_eq!(message.bytes().map(Bytes::len), Some(100));
        receiver.accept(&message).unwrap();
    }
}

#[test]
fn a_message_that_is_received_and_read_costs_two_allocations() {
    // The count is of this thread, which is that of the connection as well.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ((order, orders), (said, sent)) = (channel(), channel());
    let (connection, peer) = runtime.block_on(Peer::serve(move |mut peer| serve(&mut peer, &orders, &said)));
    let mut receiver = runtime.block_on(async {
        let mut options = LinkOptions::default();
        (options.name, options.prefetch) = (Some("link".to_owned()), 500);
        let receiver = connection.session().await.unwrap().receiver_with("queue", options).await.unwrap();
        // Until the peer has the credit.
        while sent.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        receiver
    });
    let mut batch = || {
        order.send(()).unwrap();
        sent.recv().unwrap();
        measure(|| runtime.block_on(receive(&mut receiver))).count_total
    };
    let _: u64 = (0..BATCHES).map(|_| batch()).sum();
    let counted: u64 = (0..BATCHES).map(|_| batch()).sum();
    drop(order);
    runtime.block_on(async { (connection.close().await.unwrap(), peer.await.unwrap()) });
    // The messages of a read share what it takes to wake up, to keep payloads and to renew credit.
    let a_message = counted as f64 / f64::from(BATCH * BATCHES);
    assert!((2.0..2.3).contains(&a_message), "{a_message} allocations a message");
}
