//! What a receiver may have that settles nothing, or does not read.

use std::time::Duration;

use postroad_amqp::v1_0::{Event, LinkId};
use postroad_broker::Broker;
use postroad_codec::v1_0::{DeliveryNumber, DistributionMode, Message, Role, Source, TerminusExpiryPolicy};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::resuming::{receives, source};
use crate::{broker, eventually};

/// Has so many messages of so many bytes wait in `q0`.
async fn fill(client: &mut Client<TcpStream>, messages: usize, bytes: usize) {
    let sender = client.sender("q0").await.unwrap();
    let payload = Message::from(vec![0; bytes]).to_bytes();
    let mut last = 0;
    for _ in 0..messages {
        last = client.send_with(sender, &payload, false).await;
    }
    client.outcome(sender, last).await;
}

/// Takes the 4096 messages that may be unsettled, and as many more as it settles; answers those that are unsettled then.
async fn take_all_that_may_come(client: &mut Client<TcpStream>, link: LinkId) -> Vec<DeliveryNumber> {
    let mut unsettled = Vec::new();
    for _ in 0..4096 {
        unsettled.push(client.receive(link).await.number);
    }
    client.expect_nothing(link).await;
    for number in unsettled.drain(..10) {
        client.accept(link, number);
    }
    for _ in 0..10 {
        unsettled.push(client.receive(link).await.number);
    }
    client.expect_nothing(link).await;
    unsettled
}

/// A client that attaches a receiver to `q0` and never reads again.
async fn stalled(broker: &Broker, credit: u32) -> Client<tokio::io::DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(broker.serve(theirs));
    let mut client = Client::open(ours, None).await.unwrap();
    client.receiver("q0", credit).await.unwrap();
    client
}

#[tokio::test]
async fn a_receiver_that_stops_costs_its_window_and_no_more() {
    const MESSAGES: usize = 6000;
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    fill(&mut client, MESSAGES, 1000).await;
    // With a little credit it has that, with much credit what the stream and the output hold.
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(stalled(&broker, 10).await);
    }
    eventually("each has its credit", || broker.queue_stats("q0").unwrap().unsettled == 50).await;
    for _ in 0..5 {
        clients.push(stalled(&broker, u32::MAX).await);
    }
    let unsettled = || broker.queue_stats("q0").unwrap().unsettled;
    let mut before = 0;
    eventually("nothing more goes out", || {
        let now = unsettled();
        std::mem::replace(&mut before, now) == now && now > 50 + 5 * 64
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    // 64 KiB in the stream, 256 KiB of output and a batch beyond.
    let each = (unsettled() - 50) / 5;
    assert!((64..700).contains(&each), "{each} messages each");

    // Everything else goes to whoever reads, and what they had when they are gone.
    let left = MESSAGES - unsettled();
    let receiver = client.receiver("q0", u32::MAX).await.unwrap();
    for _ in 0..left {
        let delivery = client.receive(receiver).await;
        client.accept(receiver, delivery.number);
    }
    drop(clients);
    for _ in left..MESSAGES {
        let delivery = client.receive(receiver).await;
        client.accept(receiver, delivery.number);
    }
    client.flush().await;
    eventually("none is left", || broker.queue_stats("q0").unwrap().settled == MESSAGES as u64).await;
    assert_eq!(broker.held_bytes(), 0);
}

#[tokio::test]
async fn a_browser_that_settles_nothing_is_bounded() {
    const MESSAGES: usize = 4200;
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    fill(&mut client, MESSAGES, 1).await;
    let browse = Source { distribution_mode: Some(DistributionMode::COPY), ..Source::at("q0") };
    let browser = client.attach_source(browse, u32::MAX).await.unwrap();
    let looked_at = take_all_that_may_come(&mut client, browser).await;
    // A drain is answered all the same.
    client.engine.receiver(browser).drain();
    client.wait("drained", |event| matches!(event, Event::Drained(id) if *id == browser).then_some(())).await;
    client.engine.receiver(browser).set_credit(u32::MAX);
    for number in looked_at {
        client.accept(browser, number);
    }
    for _ in 4096 + 10..MESSAGES {
        client.receive(browser).await;
    }
    assert_eq!(broker.queue_stats("q0").unwrap().ready, MESSAGES, "nothing was taken");
}

#[tokio::test]
async fn a_link_that_is_kept_and_settles_nothing_is_bounded() {
    const MESSAGES: usize = 4200;
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    fill(&mut client, MESSAGES, 1).await;
    let kept = source("q0", TerminusExpiryPolicy::LINK_DETACH, 300);
    let link = client.attach_as("kept", Role::Receiver, receives(kept.clone())).await.unwrap();
    client.engine.receiver(link).set_credit(u32::MAX);
    take_all_that_may_come(&mut client, link).await;
    // It comes back with all of them, and gets no more.
    let mut state = client.leave(link).await;
    assert_eq!(state.unsettled.len(), 4096);
    let link = client.resume(&mut state, receives(kept)).await;
    client.engine.receiver(link).set_credit(u32::MAX);
    client.wait("resumed", |event| matches!(event, Event::Resumed { link: id, .. } if *id == link).then_some(())).await;
    client.expect_nothing(link).await;
    // The others are for whoever is there.
    let plain = client.receiver("q0", 1000).await.unwrap();
    for _ in 4096 + 10..MESSAGES {
        client.receive(plain).await;
    }
    client.expect_nothing(plain).await;
}
