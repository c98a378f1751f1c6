//! The life of a suspended link: what it holds, when it ends, and what becomes of it then.

use std::time::{Duration, Instant};

use postroad_amqp::v1_0::{Config, Event, LinkId, LinkState, LinkTerms};
use postroad_broker::{Broker, QueueStats};
use postroad_codec::v1_0::{
    AttachTarget, DeliveryState, ErrorCondition, Message, Outcome, ReceiverSettleMode, Role, Source, Target,
    TerminusExpiryPolicy as Policy,
};

use crate::client::{Client, assert_refused, numbered, text};
use crate::resuming::{receiver, receives, sender, sends, source, target};
use crate::transactions::{control, declare, hand_over, post, retire};
use crate::{broker, eventually, start};

const LONG: u32 = 300;

fn stats(broker: &Broker) -> QueueStats {
    broker.queue_stats("q0").unwrap()
}

/// A link over which one message of the queue has come, and is not settled.
async fn with_one(client: &mut Client, name: &str, policy: Policy, timeout: u32) -> LinkId {
    let link = client.attach_as(name, Role::Receiver, receives(source("q0", policy, timeout))).await.unwrap();
    client.engine.receiver(link).set_credit(1);
    client.receive(link).await;
    link
}

#[tokio::test]
async fn the_policy_says_when_the_time_begins() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let plain = client.sender("q0").await.unwrap();
    client.send_all(plain, numbered(0..4)).await;
    client.begin().await;
    let session = client.session();
    // The one whose time begins first is left last.
    for (name, policy, timeout) in [
        ("never", Policy::LINK_DETACH, LONG),
        ("connection", Policy::CONNECTION_CLOSE, 1),
        ("session", Policy::SESSION_END, 1),
        ("link", Policy::LINK_DETACH, 1),
    ] {
        let link = with_one(&mut client, name, policy, timeout).await;
        client.leave(link).await;
    }
    assert_eq!((broker.suspended_links(), stats(&broker).unsettled), (4, 4));
    eventually("the first expires", || broker.suspended_links() < 4).await;
    assert_eq!((broker.suspended_links(), stats(&broker).unsettled, stats(&broker).ready), (3, 3, 1));

    client.engine.end(session, None);
    client.flush().await;
    eventually("the second expires", || broker.suspended_links() < 3).await;
    assert_eq!((broker.suspended_links(), stats(&broker).unsettled, stats(&broker).ready), (2, 2, 2));

    drop(client);
    eventually("the third expires", || broker.suspended_links() < 2).await;
    assert_eq!((broker.suspended_links(), stats(&broker).unsettled, stats(&broker).ready), (1, 1, 3));
    assert_eq!(broker.forget_suspended_links(), 1);
    assert_eq!((stats(&broker).unsettled, stats(&broker).ready, stats(&broker).consumers), (0, 4, 0));

    // Whether they were processed is not known.
    let mut client = Client::connect(&broker).await;
    let receiver = client.receiver("q0", 4).await.unwrap();
    for number in 0..4 {
        let delivery = client.receive(receiver).await;
        let count = Message::from_bytes(&delivery.payload).unwrap().header.and_then(|header| header.delivery_count);
        assert_eq!((text(&delivery), count), (format!("m{number}"), Some(1)));
    }
}

#[tokio::test]
async fn a_link_that_is_attached_in_time_does_not_expire() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let plain = client.sender("q0").await.unwrap();
    client.send_all(plain, numbered(0..2)).await;
    let link = with_one(&mut client, "a", Policy::LINK_DETACH, 1).await;
    let other = with_one(&mut client, "b", Policy::LINK_DETACH, 1).await;
    let mut state = client.leave(link).await;
    client.leave(other).await;
    let link = client.resume(&mut state, receives(source("q0", Policy::LINK_DETACH, 1))).await;
    eventually("the other expires", || broker.suspended_links() == 0 && stats(&broker).ready == 1).await;
    assert_eq!(stats(&broker).unsettled, 1);
    // Its time begins anew with each detach.
    client.leave(link).await;
    assert_eq!(broker.suspended_links(), 1);
    eventually("it expires", || broker.suspended_links() == 0).await;
}

#[tokio::test]
async fn a_link_that_never_expires_outlives_attaches_that_fail() {
    let broker = start(Broker::builder().queue("q0").links_that_never_expire(true)).await;
    let mut client = Client::connect_as(&broker, "c").await;
    let plain = client.sender("q0").await.unwrap();
    client.send_all(plain, numbered(0..1)).await;
    let link = with_one(&mut client, "a", Policy::NEVER, 0).await;
    let other = client.attach_as("b", Role::Receiver, receives(source("q0", Policy::LINK_DETACH, 1))).await.unwrap();
    client.leave(link).await;
    let refused = client.attach_as("a", Role::Receiver, receives(source("nowhere", Policy::NEVER, 0))).await;
    assert_refused(refused, &ErrorCondition::NOT_FOUND);
    // What expires later has expired.
    client.leave(other).await;
    eventually("the other expires", || broker.suspended_links() < 2).await;
    assert_eq!((broker.suspended_links(), stats(&broker).unsettled, stats(&broker).ready), (1, 1, 0));
}

#[tokio::test]
async fn beyond_the_limit_nothing_is_granted() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.resumable_links = 1)).await;
    let mut client = Client::connect_as(&broker, "c").await;
    let plain = client.sender("q0").await.unwrap();
    client.send_all(plain, numbered(0..2)).await;
    let first = with_one(&mut client, "a", Policy::LINK_DETACH, LONG).await;
    let second = with_one(&mut client, "b", Policy::LINK_DETACH, LONG).await;
    let told = |client: &Client, link| {
        let source = client.engine.remote_attach(link).unwrap().source.clone().unwrap();
        (source.expiry_policy, source.timeout.0)
    };
    assert_eq!(told(&client, first), (Policy::LINK_DETACH, LONG));
    assert_eq!(told(&client, second), (Policy::LINK_DETACH, 0));
    client.leave(second).await;
    assert_eq!((broker.suspended_links(), stats(&broker).ready), (0, 1), "it is not kept");
    let mut state = client.leave(first).await;
    assert_eq!((broker.suspended_links(), stats(&broker).unsettled), (1, 1));
    // The place is its own until it is gone.
    let third = client.attach_as("c", Role::Receiver, receives(source("q0", Policy::NEVER, 0))).await.unwrap();
    assert_eq!(told(&client, third), (Policy::LINK_DETACH, 0));
    let first = client.resume(&mut state, receives(source("q0", Policy::LINK_DETACH, LONG))).await;
    assert_eq!(told(&client, first), (Policy::LINK_DETACH, LONG));
    client.detach(first).await;
    // Nor is a link that has a long name.
    let name = "n".repeat(1025);
    let long =
        client.attach_as(&name, Role::Receiver, receives(source("q0", Policy::LINK_DETACH, LONG))).await.unwrap();
    assert_eq!(told(&client, long), (Policy::LINK_DETACH, 0));
    let fourth =
        client.attach_as("d", Role::Receiver, receives(source("q0", Policy::LINK_DETACH, LONG))).await.unwrap();
    assert_eq!(told(&client, fourth), (Policy::LINK_DETACH, LONG));
}

#[tokio::test]
async fn a_suspended_link_holds_no_room() {
    let broker = start(Broker::builder().queue("q0").with_limits(|limits| limits.queue_messages = 100)).await;
    let mut client = Client::connect(&broker).await;
    for number in 0..9 {
        let link = sender(&mut client, &number.to_string()).await;
        client.leave(link).await;
    }
    assert_eq!(broker.suspended_links(), 9);
    let plain = client.sender("q0").await.unwrap();
    client.send_all(plain, numbered(0..1)).await;
    let credit = client.engine.sender(plain).capacity();
    assert!(credit > 40, "{credit}: half of the room, as if it were alone");
}

#[tokio::test]
async fn whoever_no_longer_asks_for_it_is_not_kept() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let link = sender(&mut client, "a").await;
    let mut state = client.leave(link).await;
    assert_eq!(broker.suspended_links(), 1);
    let link = client.resume(&mut state, sends(Target::at("q0"))).await;
    client.leave(link).await;
    assert_eq!((broker.suspended_links(), stats(&broker).producers), (0, 0));
}

#[tokio::test]
async fn links_of_a_node_that_is_deleted_go_with_it() {
    let broker = start(Broker::builder().queue("q0").topic("t")).await;
    let mut client = Client::connect_as(&broker, "c").await;
    let producer = sender(&mut client, "a").await;
    client.send_all(producer, numbered(0..2)).await;
    let consumer = receiver(&mut client, "a", 1).await;
    client.receive(consumer).await;
    let subscriber =
        client.attach_as("s", Role::Receiver, receives(source("t", Policy::CONNECTION_CLOSE, LONG))).await.unwrap();
    let topic = client.sender("t").await.unwrap();
    client.send_all(topic, numbered(2..3)).await;
    let mut states = Vec::new();
    for link in [producer, consumer, subscriber] {
        states.push(client.leave(link).await);
    }
    assert_eq!(broker.suspended_links(), 3);
    assert!(broker.held_bytes() > 0);
    assert!(broker.delete_queue("q0") && broker.delete_topic("t"));
    assert_eq!(broker.suspended_links(), 0);
    eventually("nothing is held", || broker.held_bytes() == 0).await;
    for mut state in states {
        let (role, name) = (state.role, state.name.to_string());
        let link = client.engine.resume(client.session(), &mut state, LinkTerms::default()).unwrap();
        let error = client.detached(link).await.unwrap();
        assert_eq!(error.condition, ErrorCondition::NOT_FOUND, "{role:?} {name}");
    }
}

#[tokio::test]
async fn a_subscription_goes_on_while_its_link_is_suspended() {
    let broker = start(Broker::builder().topic("t")).await;
    let mut client = Client::connect_as(&broker, "c").await;
    let terms = || receives(source("t", Policy::CONNECTION_CLOSE, LONG));
    let publisher = client.sender("t").await.unwrap();
    let link = client.attach_as("s", Role::Receiver, terms()).await.unwrap();
    client.send_all(publisher, numbered(0..2)).await;
    client.engine.receiver(link).set_credit(1);
    client.receive(link).await;
    let mut state = client.leave(link).await;
    client.send_all(publisher, numbered(2..3)).await;
    let topic = broker.topic_stats("t").unwrap();
    assert_eq!((topic.subscriptions, topic.ready, topic.unsettled), (1, 2, 1));

    let link = client.resume(&mut state, terms()).await;
    client.engine.receiver(link).set_credit(10);
    let known = |event: &Event| match event {
        Event::Reassociated { delivery, .. } => Some(delivery.unwrap()),
        _ => None,
    };
    let first = client.wait("its delivery", known).await;
    client.accept(link, first);
    for number in 1..3 {
        assert_eq!(client.receive_text(link).await, format!("m{number}"));
    }
    client.leave(link).await;
    client.send_all(publisher, numbered(3..4)).await;
    // As durable subscribers come back, who remember nothing.
    let link = client.attach_as("s", Role::Receiver, terms()).await.unwrap();
    client.engine.receiver(link).set_credit(10);
    assert_eq!(client.receive_text(link).await, "m3");
    // Another subscriber with its name is another subscription.
    client.leave(link).await;
    let shared = Source {
        capabilities: ["shared"].map(postroad_codec::v1_0::Symbol::from_static).to_vec().into(),
        ..source("t", Policy::CONNECTION_CLOSE, LONG)
    };
    let link = client.attach_as("s", Role::Receiver, receives(shared)).await.unwrap();
    assert_eq!((broker.topic_stats("t").unwrap().subscriptions, broker.suspended_links()), (1, 0));
    client.leave(link).await;
    assert_eq!(broker.forget_suspended_links(), 1);
    assert_eq!(broker.topic_stats("t").unwrap().subscriptions, 0);
}

#[tokio::test]
async fn a_dynamic_node_stays_with_its_suspended_link() {
    let broker = start(Broker::builder()).await;
    let mut client = Client::connect_as(&broker, "c").await;
    let dynamic = || Source { address: None, dynamic: true, ..source("", Policy::CONNECTION_CLOSE, LONG) };
    let link = client.attach_as("a", Role::Receiver, receives(dynamic())).await.unwrap();
    let address = |client: &Client, link| {
        client.engine.remote_attach(link).unwrap().source.as_ref().unwrap().address.as_ref().unwrap().to_string()
    };
    let name = address(&client, link);
    let producer = client.sender(&name).await.unwrap();
    client.send_all(producer, numbered(0..2)).await;
    // It is meant by its address, and by asking for a dynamic node once more; with a map, and without.
    let mut state = client.leave(link).await;
    assert_eq!(broker.queues(), std::slice::from_ref(&name));
    let link = client.resume(&mut state, LinkTerms { source: None, ..receives(dynamic()) }).await;
    assert_eq!(address(&client, link), name);
    let mut state = client.leave(link).await;
    let link = client.resume(&mut state, receives(dynamic())).await;
    assert_eq!(address(&client, link), name);
    client.leave(link).await;
    let link = client.attach_as("a", Role::Receiver, receives(dynamic())).await.unwrap();
    assert_eq!(address(&client, link), name);
    client.engine.receiver(link).set_credit(10);
    for number in 0..2 {
        assert_eq!(client.receive_text(link).await, format!("m{number}"));
    }
    client.leave(link).await;
    assert_eq!(broker.forget_suspended_links(), 1);
    eventually("it goes with its link", || broker.queues().is_empty()).await;
    assert_eq!(client.detached(producer).await.unwrap().condition, ErrorCondition::RESOURCE_DELETED);
}

#[tokio::test]
async fn a_broker_that_stops_keeps_nothing() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let producer = sender(&mut client, "a").await;
    client.send_all(producer, numbered(0..2)).await;
    let consumer = receiver(&mut client, "a", 1).await;
    client.receive(consumer).await;
    client.leave(producer).await;
    let begun = Instant::now();
    let stopping = tokio::spawn(broker.shutdown(Duration::from_secs(30)));
    // What is attached may be settled until it is detached, and is not kept then.
    client.leave(consumer).await;
    client.closed().await;
    assert_eq!(stopping.await.unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "it waits for no suspended link");
}

#[tokio::test]
async fn work_in_a_transaction_does_not_outlive_the_connection() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let controller = control(&mut client).await;
    let producer = sender(&mut client, "a").await;
    client.send_all(producer, numbered(0..2)).await;
    let consumer = receiver(&mut client, "a", 2).await;
    let (first, second) = (client.receive(consumer).await, client.receive(consumer).await);
    let id = declare(&mut client, controller).await;
    // Posted over a link that settles second: its outcome is provisional and stays unsettled.
    hand_over(&mut client, producer, &id, &Message::from("posted").to_bytes(), false).await;
    retire(&mut client, consumer, first.number, &id, Outcome::Accepted, false);
    client.flush().await;
    eventually("it is posted", || stats(&broker).uncommitted == 1).await;
    let session = client.session();
    client.engine.handle_eof();
    let mut sent = client.engine.release(producer).unwrap();
    let mut received = client.engine.release(consumer).unwrap();
    let _ = (session, second);
    drop(client);
    eventually("both are suspended", || broker.suspended_links() == 2).await;
    assert_eq!((stats(&broker).uncommitted, broker.open_transactions()), (0, 0));
    // What was retired is rolled back and goes back to the queue; the other is the client's still.
    assert_eq!((stats(&broker).ready, stats(&broker).unsettled, stats(&broker).enqueued), (1, 1, 2));

    let mut client = Client::connect_as(&broker, "c").await;
    let producer = client.resume(&mut sent, sends(target("q0", Policy::CONNECTION_CLOSE, LONG))).await;
    let consumer = client.resume(&mut received, receives(source("q0", Policy::CONNECTION_CLOSE, LONG))).await;
    client.engine.receiver(consumer).set_credit(10);
    let mut known = Vec::new();
    for _ in 0..2 {
        let news = client.wait("news", |event| match event {
            Event::Reassociated { delivery, .. } => Some(*delivery),
            _ => None,
        });
        known.push(news.await);
    }
    assert_eq!(known.iter().flatten().count(), 1);
    assert_eq!(client.receive_text(consumer).await, "m0", "it comes again");
    for number in known.into_iter().flatten() {
        client.accept(consumer, number);
    }
    client.send_all(producer, numbered(2..3)).await;
    assert_eq!(client.receive_text(consumer).await, "m2");
    client.flush().await;
    eventually("all are settled", || stats(&broker).settled == 3).await;
    assert_eq!((stats(&broker).unsettled, stats(&broker).enqueued), (0, 3));
}

#[tokio::test]
async fn outcomes_of_a_transaction_that_goes_on_do_not_wait_for_the_link() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let controller = control(&mut client).await;
    let producer = sender(&mut client, "a").await;
    client.send_all(producer, numbered(0..2)).await;
    let consumer = receiver(&mut client, "a", 2).await;
    let first = client.receive(consumer).await;
    client.receive(consumer).await;
    let id = declare(&mut client, controller).await;
    post(&mut client, producer, &id, "m2").await;
    retire(&mut client, consumer, first.number, &id, Outcome::Accepted, false);
    client.flush().await;
    for link in [producer, consumer] {
        client.leave(link).await;
    }
    crate::transactions::discharge(&mut client, controller, &id, false).await.unwrap();
    eventually("it is committed", || stats(&broker).enqueued == 3 && stats(&broker).settled == 1).await;
    assert_eq!((stats(&broker).ready, stats(&broker).unsettled, broker.suspended_links()), (1, 1, 2));
    assert_eq!(broker.forget_suspended_links(), 2);
    assert_eq!((stats(&broker).ready, stats(&broker).unsettled), (2, 0));
}

/// Messages of which the maps do not fit into a frame of 512 bytes.
const MANY: usize = 150;

/// A client that takes small frames, of a broker that does so too.
async fn small_client(broker: &Broker) -> Client {
    let stream = tokio::net::TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    let mut config = Config::new("c");
    config.max_frame_size = 512;
    Client::open_with(stream, None, config).await.unwrap()
}

async fn small_broker() -> Broker {
    start(Broker::builder().queue("q0").with_limits(|limits| limits.frame_size = 512)).await
}

/// Attaches a link again and again until both ends have told everything; answers how often that was.
async fn resume_in_rounds(client: &mut Client, mut state: LinkState, terms: impl Fn() -> LinkTerms) -> usize {
    for round in 1..50 {
        let link = client.resume(&mut state, terms()).await;
        if state.role == Role::Receiver {
            client.engine.receiver(link).set_credit(1000);
        }
        let ended = |event: &Event| match event {
            Event::Resumed { link: of, complete, .. } if *of == link => Some(*complete),
            _ => None,
        };
        let complete = client.wait("the end of it", ended).await;
        // What the broker says of deliveries has come before it answers this.
        client.begin().await;
        state = client.leave(link).await;
        if complete {
            assert_eq!(state.unsettled, []);
            return round;
        }
    }
    panic!("it never ends");
}

#[tokio::test]
async fn what_was_received_is_settled_in_rounds_where_maps_do_not_fit_into_a_frame() {
    let broker = small_broker().await;
    let mut client = small_client(&broker).await;
    let producer = client.sender("q0").await.unwrap();
    client.send_all(producer, numbered(0..MANY)).await;
    let consumer = receiver(&mut client, "a", MANY as u32).await;
    for _ in 0..MANY {
        let delivery = client.receive(consumer).await;
        client.engine.receiver(consumer).dispose(delivery.number, None, false);
    }
    let mut state = client.lose(consumer);
    for unsettled in &mut state.unsettled {
        unsettled.local_state = Some(DeliveryState::Accepted);
    }
    let mut client = small_client(&broker).await;
    let terms = || receives(source("q0", Policy::CONNECTION_CLOSE, LONG));
    let rounds = resume_in_rounds(&mut client, state, terms).await;
    assert!(rounds > 1);
    assert_eq!((stats(&broker).settled, stats(&broker).unsettled, stats(&broker).ready), (MANY as u64, 0, 0));
    assert_eq!((broker.forget_suspended_links(), stats(&broker).consumers), (1, 0));
}

#[tokio::test]
async fn what_was_sent_is_settled_in_rounds_where_maps_do_not_fit_into_a_frame() {
    let broker = small_broker().await;
    let mut client = small_client(&broker).await;
    let terms = || sends(target("q0", Policy::CONNECTION_CLOSE, LONG));
    let producer = client.attach_as("a", Role::Sender, LinkTerms { auto_settle: false, ..terms() }).await.unwrap();
    for text in numbered(0..MANY) {
        client.send(producer, &text).await;
    }
    client.flush().await;
    eventually("all are there", || stats(&broker).enqueued == MANY as u64).await;
    let state = client.lose(producer);
    assert_eq!(state.unsettled.len(), MANY);
    let mut client = small_client(&broker).await;
    let rounds = resume_in_rounds(&mut client, state, terms).await;
    assert!(rounds > 1);
    assert_eq!((stats(&broker).enqueued, stats(&broker).ready), (MANY as u64, MANY));
    assert_eq!((broker.forget_suspended_links(), stats(&broker).producers), (1, 0));
}

#[tokio::test]
async fn an_outcome_that_could_not_be_told_is_kept() {
    let broker = broker().await;
    for (container, closes) in [("detaches", false), ("closes", true)] {
        let mut client = Client::connect_as(&broker, container).await;
        let terms = LinkTerms {
            rcv_settle_mode: ReceiverSettleMode::FIRST,
            ..sends(target("q0", Policy::CONNECTION_CLOSE, LONG))
        };
        let link = client.attach_as("a", Role::Sender, terms.clone()).await.unwrap();
        while client.engine.sender(link).capacity() == 0 {
            client.step().await;
        }
        let before = stats(&broker).enqueued;
        // In one write with what makes an answer impossible.
        let token = client.send(link, "m").await;
        let mut state = if closes {
            client.engine.close(None);
            client.closed().await;
            client.engine.release(link).unwrap()
        } else {
            client.leave(link).await
        };
        assert_eq!(state.unsettled.len(), 1);
        assert_eq!(stats(&broker).enqueued, before + 1);
        let mut client = Client::connect_as(&broker, container).await;
        let link = client.resume(&mut state, terms).await;
        assert_eq!(client.outcome(link, token).await.state, Some(DeliveryState::Accepted));
        assert_eq!(stats(&broker).enqueued, before + 1);
    }
}

#[tokio::test]
async fn the_anonymous_terminus_is_kept_too() {
    let broker = broker().await;
    let mut client = Client::connect_as(&broker, "c").await;
    let relay = || sends(target("", Policy::CONNECTION_CLOSE, LONG));
    let link = client.attach_as("a", Role::Sender, relay()).await.unwrap();
    let properties = postroad_codec::v1_0::Properties { to: Some("q0".into()), ..Default::default() };
    let message = Message { properties: Some(Box::new(properties)), ..Message::from("m0") };
    let token = client.send_with(link, &message.to_bytes(), false).await;
    client.flush().await;
    eventually("it is there", || stats(&broker).enqueued == 1).await;
    let mut state = client.lose(link);
    let mut client = Client::connect_as(&broker, "c").await;
    // Who sends to a node means another link.
    let other = client.attach_as("b", Role::Sender, sends(Target::at("nowhere"))).await;
    assert_refused(other, &ErrorCondition::NOT_FOUND);
    let link = client.resume(&mut state, relay()).await;
    assert!(matches!(client.engine.remote_attach(link).unwrap().target.as_deref(), Some(AttachTarget::Target(_))));
    assert_eq!(client.outcome(link, token).await.state, Some(DeliveryState::Accepted));
    assert_eq!(stats(&broker).enqueued, 1);
}
