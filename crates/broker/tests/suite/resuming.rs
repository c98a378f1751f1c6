//! Links that are attached again: what is kept of them, and that nothing is lost or comes twice.

use std::time::Duration;

use postroad_amqp::v1_0::{Event, LinkId, LinkTerms};
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    Attach, AttachTarget, DeliveryState, DistributionMode, ErrorCondition, Message, ReceiverSettleMode, Role, Seconds,
    Source, Target, TerminusExpiryPolicy,
};

use crate::client::{Client, assert_refused, numbered, text};
use crate::{broker, eventually, start};

/// A time that no test takes.
const LONG: u32 = 300;

pub(crate) fn source(address: &str, policy: TerminusExpiryPolicy, timeout: u32) -> Source {
    Source { expiry_policy: policy, timeout: Seconds(timeout), ..Source::at(address) }
}

pub(crate) fn target(address: &str, policy: TerminusExpiryPolicy, timeout: u32) -> Target {
    Target { expiry_policy: policy, timeout: Seconds(timeout), ..Target::at(address) }
}

/// The terms of a client that receives exactly once.
pub(crate) fn receives(source: Source) -> LinkTerms {
    LinkTerms {
        source: Some(source),
        target: Some(Target::default().into()),
        rcv_settle_mode: ReceiverSettleMode::SECOND,
        keep: true,
        ..LinkTerms::default()
    }
}

/// The terms of one that sends exactly once.
pub(crate) fn sends(target: Target) -> LinkTerms {
    LinkTerms {
        source: Some(Source::default()),
        target: Some(target.into()),
        rcv_settle_mode: ReceiverSettleMode::SECOND,
        keep: true,
        ..LinkTerms::default()
    }
}

fn close_after(address: &str) -> Source {
    source(address, TerminusExpiryPolicy::CONNECTION_CLOSE, LONG)
}

pub(crate) async fn receiver(client: &mut Client, name: &str, credit: u32) -> LinkId {
    let link = client.attach_as(name, Role::Receiver, receives(close_after("q0"))).await.unwrap();
    client.engine.receiver(link).set_credit(credit);
    client.flush().await;
    link
}

pub(crate) async fn sender(client: &mut Client, name: &str) -> LinkId {
    let terms = sends(target("q0", TerminusExpiryPolicy::CONNECTION_CLOSE, LONG));
    client.attach_as(name, Role::Sender, terms).await.unwrap()
}

fn answer(client: &Client, link: LinkId) -> &Attach {
    client.engine.remote_attach(link).unwrap()
}

/// What the broker told of its end of a link.
fn told(client: &Client, link: LinkId) -> (TerminusExpiryPolicy, u32) {
    let attach = answer(client, link);
    let (policy, timeout) = match (attach.role, attach.target.as_deref()) {
        (Role::Receiver, Some(AttachTarget::Target(target))) => (&target.expiry_policy, target.timeout),
        (Role::Sender, _) => {
            let source = attach.source.as_deref().unwrap();
            (&source.expiry_policy, source.timeout)
        }
        other => panic!("{other:?}"),
    };
    (policy.clone(), timeout.0)
}

/// Waits until a receiver that was attached again knows what becomes of so many deliveries; how many are still its own.
async fn reassociated(client: &mut Client, link: LinkId, count: usize) -> usize {
    let mut kept = 0;
    for _ in 0..count {
        let delivery = client
            .wait("news of a delivery", |event| match event {
                Event::Reassociated { link: of, delivery, .. } if *of == link => Some(*delivery),
                _ => None,
            })
            .await;
        kept += usize::from(delivery.is_some());
    }
    kept
}

#[tokio::test]
async fn what_is_granted_is_told() {
    use TerminusExpiryPolicy as Policy;
    let builder = Broker::builder().queue("q0").topic("t").max_link_timeout(Duration::from_secs(60));
    let broker = start(builder).await;
    let mut client = Client::connect(&broker).await;
    let nothing = (Policy::LINK_DETACH, 0);
    for (policy, timeout, granted) in [
        (Policy::LINK_DETACH, 0, nothing.clone()),
        (Policy::SESSION_END, 0, nothing.clone()),
        (Policy::CONNECTION_CLOSE, 0, nothing.clone()),
        (Policy::LINK_DETACH, 1, (Policy::LINK_DETACH, 1)),
        (Policy::SESSION_END, 60, (Policy::SESSION_END, 60)),
        (Policy::CONNECTION_CLOSE, LONG, (Policy::CONNECTION_CLOSE, 60)),
        (Policy::NEVER, 0, (Policy::CONNECTION_CLOSE, 60)),
    ] {
        for address in ["q0", "t"] {
            let link = client.attach_source(source(address, policy.clone(), timeout), 0).await.unwrap();
            assert_eq!(told(&client, link), granted, "{address} {policy:?}");
            client.detach(link).await;
        }
        for address in ["q0", "t", ""] {
            let link = client.attach_target(target(address, policy.clone(), timeout)).await.unwrap();
            assert_eq!(told(&client, link), granted, "{address} {policy:?}");
            client.detach(link).await;
        }
    }
    // Whoever browses has nothing to come back to.
    let browser = Source { distribution_mode: Some(DistributionMode::COPY), ..close_after("q0") };
    let browser = client.attach_source(browser, 0).await.unwrap();
    assert_eq!(told(&client, browser), nothing);
    assert_eq!(broker.suspended_links(), 0, "what is closed is gone");

    let broker = start(Broker::builder().queue("q0").links_that_never_expire(true)).await;
    let mut client = Client::connect(&broker).await;
    let link = client.attach_source(source("q0", Policy::NEVER, 0), 0).await.unwrap();
    assert_eq!(told(&client, link), (Policy::NEVER, 0));
}

#[tokio::test]
async fn what_a_client_has_sent_is_not_taken_twice() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let link = sender(&mut client, "a").await;
    let mut tokens = Vec::new();
    for text in numbered(0..3) {
        tokens.push(client.send(link, &text).await);
    }
    client.flush().await;
    eventually("they are there", || broker.queue_stats("q0").unwrap().enqueued == 3).await;
    // Their outcomes are never read.
    let mut state = client.lose(link);
    assert_eq!(state.unsettled.len(), 3);
    eventually("it is suspended", || broker.suspended_links() == 1).await;

    let mut client = Client::connect_as(&broker, "c").await;
    let link = client
        .resume(&mut state, LinkTerms { rcv_settle_mode: ReceiverSettleMode::SECOND, ..LinkTerms::default() })
        .await;
    assert_eq!(broker.suspended_links(), 0);
    for token in tokens {
        assert_eq!(client.outcome(link, token).await.state, Some(DeliveryState::Accepted));
    }
    client.send_all(link, numbered(3..4)).await;
    assert_eq!(broker.queue_stats("q0").unwrap().enqueued, 4);
    assert_eq!(client.engine.sender(link).unsettled(), 0);
}

#[tokio::test]
async fn what_a_client_has_received_does_not_come_twice() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..4)).await;
    let link = receiver(&mut client, "a", 3).await;
    for number in 0..3 {
        let delivery = client.receive(link).await;
        assert_eq!(text(&delivery), format!("m{number}"));
        if number < 2 {
            client.engine.receiver(link).dispose(delivery.number, Some(DeliveryState::Accepted), false);
        }
    }
    // Nobody hears of the outcomes.
    let mut state = client.lose(link);
    eventually("it is suspended", || broker.suspended_links() == 1).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.unsettled, stats.settled), (1, 3, 0), "what it has stays acquired");

    let mut client = Client::connect_as(&broker, "c").await;
    let link = client.resume(&mut state, receives(close_after("q0"))).await;
    client.engine.receiver(link).set_credit(10);
    assert_eq!(reassociated(&mut client, link, 3).await, 1);
    eventually("two are settled", || broker.queue_stats("q0").unwrap().settled == 2).await;
    assert_eq!(client.receive_text(link).await, "m3");
    client.expect_nothing(link).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.unsettled, stats.enqueued), (0, 1, 4));
    client.detach(link).await;
    eventually("what it has not settled goes back", || broker.queue_stats("q0").unwrap().ready == 1).await;
}

#[tokio::test]
async fn what_a_client_has_not_received_comes_again() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..3)).await;
    let link = receiver(&mut client, "a", 3).await;
    client.flush().await;
    eventually("they are sent", || broker.queue_stats("q0").unwrap().unsettled == 3).await;
    let mut state = client.lose(link);
    state.unsettled.clear();
    eventually("it is suspended", || broker.suspended_links() == 1).await;

    // Another consumer has none of them.
    let mut other = Client::connect(&broker).await;
    let others = other.receiver("q0", 10).await.unwrap();
    other.expect_nothing(others).await;

    let mut client = Client::connect_as(&broker, "c").await;
    let link = client.resume(&mut state, receives(close_after("q0"))).await;
    client.engine.receiver(link).set_credit(10);
    for number in 0..3 {
        let delivery = client.receive(link).await;
        let message = Message::from_bytes(&delivery.payload).unwrap();
        assert_eq!((text(&delivery), message.header), (format!("m{number}"), None), "no failed delivery");
        client.accept(link, delivery.number);
    }
    client.flush().await;
    eventually("all are settled", || broker.queue_stats("q0").unwrap().settled == 3).await;
}

#[tokio::test]
async fn whoever_tells_no_map_attaches_a_new_link() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let producer = sender(&mut client, "a").await;
    client.send_all(producer, numbered(0..2)).await;
    let consumer = receiver(&mut client, "a", 2).await;
    client.receive(consumer).await;
    drop(client);
    eventually("both are suspended", || broker.suspended_links() == 2).await;

    let mut client = Client::connect_as(&broker, "c").await;
    let producer = sender(&mut client, "a").await;
    assert_eq!(answer(&client, producer).unsettled, None);
    let consumer = receiver(&mut client, "a", 2).await;
    assert_eq!(answer(&client, consumer).unsettled, None);
    for number in 0..2 {
        let delivery = client.receive(consumer).await;
        let message = Message::from_bytes(&delivery.payload).unwrap();
        let count = message.header.and_then(|header| header.delivery_count);
        assert_eq!((text(&delivery), count), (format!("m{number}"), Some(1)));
    }
    assert_eq!((broker.suspended_links(), broker.queue_stats("q0").unwrap().consumers), (0, 1));
}

#[tokio::test]
async fn what_a_link_has_sent_that_nobody_knows_is_sent_again() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let link = sender(&mut client, "a").await;
    client.send(link, "m0").await;
    client.flush().await;
    eventually("it is there", || broker.queue_stats("q0").unwrap().enqueued == 1).await;
    let mut state = client.lose(link);
    eventually("it is suspended", || broker.suspended_links() == 1).await;
    // Another container, another link of the same, and one that is the other end: the message is new to the broker.
    let mut others = 1;
    let mut client = Client::connect_as(&broker, "d").await;
    let mut copy = state.clone();
    let link = client.resume(&mut copy, LinkTerms::default()).await;
    assert_eq!(client.outcome(link, 0).await.state, Some(DeliveryState::Accepted));
    others += 1;
    let mut client = Client::connect_as(&broker, "c").await;
    let mut copy = state.clone();
    copy.name = "b".into();
    let link = client.resume(&mut copy, LinkTerms::default()).await;
    assert_eq!(client.outcome(link, 0).await.state, Some(DeliveryState::Accepted));
    others += 1;
    receiver(&mut client, "a", 0).await;
    assert_eq!((broker.suspended_links(), broker.queue_stats("q0").unwrap().enqueued), (1, others));
    let link = client.resume(&mut state, LinkTerms::default()).await;
    assert_eq!(client.outcome(link, 0).await.state, Some(DeliveryState::Accepted));
    assert_eq!((broker.suspended_links(), broker.queue_stats("q0").unwrap().enqueued), (0, others));
}

#[tokio::test]
async fn a_link_that_is_closed_is_gone() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let producer = sender(&mut client, "a").await;
    client.send_all(producer, numbered(0..1)).await;
    let consumer = receiver(&mut client, "a", 1).await;
    client.receive(consumer).await;
    client.detach(producer).await;
    client.detach(consumer).await;
    assert_eq!(broker.suspended_links(), 0);
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.consumers, stats.producers), (1, 0, 0));
    // And one that was left is gone when it is attached and closed.
    let producer = sender(&mut client, "b").await;
    let mut state = client.leave(producer).await;
    assert_eq!(broker.suspended_links(), 1);
    let producer = client.resume(&mut state, LinkTerms::default()).await;
    client.detach(producer).await;
    assert_eq!((broker.suspended_links(), broker.queue_stats("q0").unwrap().producers), (0, 0));
}

#[tokio::test]
async fn an_attach_to_another_node_means_another_link() {
    let broker = start(Broker::builder().queue("q0").queue("q1").topic("t")).await;
    let mut client = Client::connect_as(&broker, "c").await;
    let producer = client.sender("q0").await.unwrap();
    client.send_all(producer, numbered(0..1)).await;
    let consumer = receiver(&mut client, "a", 1).await;
    client.receive(consumer).await;
    let mut state = client.leave(consumer).await;
    // One that cannot be had leaves the old one where it is.
    let nowhere = client.attach_as("a", Role::Receiver, receives(close_after("nowhere"))).await;
    assert_refused(nowhere, &ErrorCondition::NOT_FOUND);
    assert_eq!((broker.suspended_links(), broker.queue_stats("q0").unwrap().unsettled), (1, 1));
    state.source = None;
    let consumer = client.resume(&mut state, receives(close_after("q1"))).await;
    assert!(client.engine.is_attached(consumer));
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.consumers, broker.suspended_links()), (1, 0, 0));
    assert_eq!(broker.queue_stats("q1").unwrap().consumers, 1);
}
