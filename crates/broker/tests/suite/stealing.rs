//! Links that are attached while they are attached elsewhere (AMQP 1.0 part 2, 2.6.1).

use std::future::Future;
use std::pin::Pin;

use postroad_amqp::v1_0::{Config, Event, LinkId, LinkState, LinkTerms};
use postroad_broker::Broker;
use postroad_codec::v1_0::{
    DeliveryState, ErrorCondition, Map, Message, Performative, ReceiverSettleMode, Role, Source, Target,
    TerminusExpiryPolicy, Value,
};
use postroad_testkit::{attach_receiver, disposition, flow};
use tokio::io::DuplexStream;

use crate::client::{Client, Stream, numbered, text};
use crate::resuming::{receiver, receives, sender, sends, source, target};
use crate::wire::Raw;
use crate::{broker, eventually};

/// The terms of a client that resumes a link of its own.
fn again(role: Role) -> LinkTerms {
    let policy = TerminusExpiryPolicy::CONNECTION_CLOSE;
    match role {
        Role::Sender => sends(target("q0", policy, 300)),
        Role::Receiver => receives(source("q0", policy, 300)),
    }
}

/// A client that attaches a link and does not wait for the answer.
async fn claim<S: Stream>(client: &mut Client<S>, state: &mut LinkState) -> LinkId {
    let terms = again(state.role);
    let link = client.engine.resume(client.session(), state, terms).unwrap();
    client.flush().await;
    link
}

async fn attached<S: Stream>(client: &mut Client<S>, link: LinkId) {
    client.wait("attach", |event| matches!(event, Event::LinkAttached(id) if *id == link).then_some(())).await;
}

/// A client over a stream that is served only while the test has the future polled.
async fn served_by_hand(broker: &Broker) -> (Client<DuplexStream>, LinkId, Pin<Box<dyn Future<Output = ()>>>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let mut serving: Pin<Box<dyn Future<Output = ()>>> = Box::pin(broker.serve(theirs));
    let opening = async {
        let mut client = Client::open_with(ours, None, Config::new("c")).await.unwrap();
        let link = client.attach_as("a", Role::Receiver, again(Role::Receiver)).await.unwrap();
        client.engine.receiver(link).set_credit(10);
        client.receive(link).await;
        (client, link)
    };
    let (client, link) = tokio::select! {
        opened = opening => opened,
        () = &mut serving => panic!("it is over"),
    };
    (client, link, serving)
}

#[tokio::test]
async fn whoever_attaches_a_link_takes_it_from_another_connection() {
    let broker = broker().await;
    let mut one = Client::connect_as(&broker, "c").await;
    let producer = sender(&mut one, "a").await;
    for text in numbered(0..3) {
        one.send(producer, &text).await;
    }
    one.flush().await;
    let consumer = receiver(&mut one, "a", 2).await;
    one.receive(consumer).await;
    one.receive(consumer).await;

    // What the thief knows, as if the connection had been lost some time ago.
    let (mut sent, mut received) = (one_state(&one, producer, Role::Sender), one_state(&one, consumer, Role::Receiver));
    let mut two = Client::connect_as(&broker, "c").await;
    let producer_again = two.resume(&mut sent, again(Role::Sender)).await;
    assert_eq!(one.stolen(producer).await.name, "a");
    let consumer_again = two.resume(&mut received, again(Role::Receiver)).await;
    let left = one.stolen(consumer).await;
    assert_eq!(left.unsettled.len(), 2);
    two.engine.receiver(consumer_again).set_credit(10);
    for number in 0..3 {
        // The first two come again, since the thief knew of none.
        assert_eq!(two.receive_text(consumer_again).await, format!("m{number}"));
    }
    two.send_all(producer_again, numbered(3..4)).await;
    assert_eq!(two.receive_text(consumer_again).await, "m3");
    two.flush().await;
    eventually("everything is settled", || broker.queue_stats("q0").unwrap().settled == 4).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.enqueued, stats.unsettled, stats.consumers, stats.producers), (4, 0, 1, 1));
    // The victim goes on.
    let other = one.receiver("q0", 1).await.unwrap();
    one.expect_nothing(other).await;
}

/// A link as one knows it that has heard of no delivery.
fn one_state(client: &Client, link: LinkId, role: Role) -> LinkState {
    let _ = client.engine.terms(link).unwrap();
    let mut pair = postroad_testkit::Pair::new(Config::new("c"), Config::new("d"));
    let (session, _) = pair.session();
    let link = pair.client.attach(session, "a", role, again(role)).unwrap();
    pair.client.handle_eof();
    let mut state = pair.client.release(link).unwrap();
    (state.source, state.target) = (again(role).source, again(role).target);
    state
}

#[tokio::test]
async fn links_that_nobody_keeps_are_stolen_too() {
    let broker = broker().await;
    let mut one = Client::connect_as(&broker, "c").await;
    let plain = |address: &str| LinkTerms {
        source: Some(Source::at(address)),
        target: Some(Target::default().into()),
        ..LinkTerms::default()
    };
    let producer = one.sender("q0").await.unwrap();
    one.send_all(producer, numbered(0..1)).await;
    let consumer = one.attach_as("a", Role::Receiver, plain("q0")).await.unwrap();
    one.engine.receiver(consumer).set_credit(1);
    one.receive(consumer).await;
    // Another user, container, direction or name is another link.
    let mut other = Client::connect_as(&broker, "d").await;
    other.attach_as("a", Role::Receiver, plain("q0")).await.unwrap();
    let mut two = Client::connect_as(&broker, "c").await;
    two.attach_as("b", Role::Receiver, plain("q0")).await.unwrap();
    sender(&mut two, "a").await;
    assert!(one.engine.is_attached(consumer));

    let again = two.attach_as("a", Role::Receiver, plain("q0")).await.unwrap();
    one.stolen(consumer).await;
    two.engine.receiver(again).set_credit(1);
    let delivery = two.receive(again).await;
    let count = Message::from_bytes(&delivery.payload).unwrap().header.and_then(|header| header.delivery_count);
    assert_eq!((text(&delivery), count), ("m0".to_owned(), Some(1)));
    assert_eq!(broker.queue_stats("q0").unwrap().consumers, 3);
}

#[tokio::test]
async fn two_that_steal_from_each_other_both_end_up_with_one() {
    let broker = broker().await;
    let mut one = Client::connect_as(&broker, "c").await;
    let mut two = Client::connect_as(&broker, "c").await;
    let (a, b) = (sender(&mut one, "a").await, sender(&mut two, "b").await);
    one.send_all(a, numbered(0..1)).await;
    two.send_all(b, numbered(1..2)).await;
    let mut state_a = one_state(&one, a, Role::Sender);
    let mut state_b = one_state(&two, b, Role::Sender);
    state_b.name = "b".into();
    let (new_b, new_a) = (claim(&mut one, &mut state_b).await, claim(&mut two, &mut state_a).await);
    attached(&mut one, new_b).await;
    attached(&mut two, new_a).await;
    one.stolen(a).await;
    two.stolen(b).await;
    one.send_all(new_b, numbered(2..3)).await;
    two.send_all(new_a, numbered(3..4)).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.enqueued, stats.producers, broker.suspended_links()), (4, 2, 0));
}

#[tokio::test]
async fn of_many_that_steal_at_once_one_has_it_in_the_end() {
    let broker = broker().await;
    let mut holder = Client::connect_as(&broker, "c").await;
    let plain = holder.sender("q0").await.unwrap();
    holder.send_all(plain, numbered(0..3)).await;
    let held = receiver(&mut holder, "a", 3).await;
    for _ in 0..3 {
        holder.receive(held).await;
    }
    let state = one_state(&holder, held, Role::Receiver);
    let mut thieves = Vec::new();
    for _ in 0..5 {
        thieves.push(Client::connect_as(&broker, "c").await);
    }
    let mut claims = Vec::new();
    for thief in &mut thieves {
        claims.push(claim(thief, &mut state.clone()).await);
    }
    // Each has it for a while, and all but the last lose it again.
    let mut stolen = 0;
    holder.stolen(held).await;
    let mut winner = None;
    for (thief, link) in thieves.iter_mut().zip(&claims) {
        attached(thief, *link).await;
    }
    for (index, (thief, link)) in thieves.iter_mut().zip(&claims).enumerate() {
        thief.engine.receiver(*link).set_credit(10);
        // One or the other comes to each.
        for waits in 0.. {
            assert!(waits < 500, "neither a message nor a detach");
            if thief.receive_within(*link, std::time::Duration::from_millis(20)).await.is_some() {
                assert_eq!(winner.replace(index), None, "two have it");
                break;
            }
            if !thief.engine.is_attached(*link) {
                thief.stolen(*link).await;
                stolen += 1;
                break;
            }
        }
    }
    assert_eq!((stolen, winner.is_some()), (4, true));
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.unsettled, stats.ready, stats.consumers, broker.suspended_links()), (3, 0, 1, 0));
    drop(thieves);
    eventually("it is suspended", || broker.suspended_links() == 1).await;
    assert_eq!(broker.forget_suspended_links(), 1);
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.unsettled, stats.ready, stats.consumers), (0, 3, 0));
}

#[tokio::test]
async fn a_thief_that_vanishes_while_it_waits_leaves_nothing_behind() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let plain = client.sender("q0").await.unwrap();
    client.send_all(plain, numbered(0..1)).await;
    let (holder, link, mut serving) = served_by_hand(&broker).await;
    for way in 0..3 {
        let mut thief = Client::connect_as(&broker, "c").await;
        let waiting = thief.engine.attach(thief.session(), "a", Role::Receiver, again(Role::Receiver)).unwrap();
        let session = thief.session();
        match way {
            0 => thief.engine.detach(waiting, false, None),
            1 => thief.engine.end(session, None),
            _ => {}
        }
        // The broker has heard of the attach when it answers what is behind it.
        thief.begin().await;
        drop(thief);
        eventually("it is gone", || broker.connections() == 2).await;
    }
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.unsettled, stats.consumers), (1, 1), "nothing has happened to the link");
    // The holder is told once it is served again.
    let mut holder = holder;
    let state = tokio::select! {
        state = holder.stolen(link) => state,
        () = &mut serving => panic!("it is over"),
    };
    assert_eq!((state.unsettled.len(), broker.suspended_links()), (1, 1));
    let mut state = state;
    let mut last = Client::connect_as(&broker, "c").await;
    let link = last.resume(&mut state, again(Role::Receiver)).await;
    last.engine.receiver(link).set_credit(1);
    last.wait("its delivery", |event| matches!(event, Event::Reassociated { delivery: Some(_), .. }).then_some(()))
        .await;
    assert_eq!(broker.suspended_links(), 0);
}

#[tokio::test]
async fn a_connection_that_nobody_serves_keeps_its_link_and_holds_nobody_up() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let plain = client.sender("q0").await.unwrap();
    client.send_all(plain, numbered(0..1)).await;
    let (mut holder, link, serving) = served_by_hand(&broker).await;
    let mut thief = Client::connect_as(&broker, "c").await;
    let mut state = one_state(&client, plain, Role::Receiver);
    let waiting = claim(&mut thief, &mut state).await;
    // Everything else goes on meanwhile.
    let other = thief.sender("q0").await.unwrap();
    thief.send_all(other, numbered(1..2)).await;
    let error = thief.detached(waiting).await.unwrap();
    assert_eq!(error.condition, ErrorCondition::RESOURCE_LOCKED);

    // Once it is dropped, whoever waits has the link.
    let waiting = claim(&mut thief, &mut state).await;
    thief.begin().await;
    drop(serving);
    attached(&mut thief, waiting).await;
    thief.engine.receiver(waiting).set_credit(10);
    assert_eq!(thief.receive_text(waiting).await, "m0");
    assert_eq!(thief.receive_text(waiting).await, "m1");
    // The last words of the holder's connection change nothing.
    holder.accept(link, postroad_codec::v1_0::DeliveryNumber(0));
    holder.flush().await;
    assert_eq!(broker.queue_stats("q0").unwrap().consumers, 1);
}

#[tokio::test]
async fn a_link_that_is_attached_twice_on_one_connection_goes_over_with_its_state() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let plain = client.sender("q0").await.unwrap();
    client.send_all(plain, numbered(0..3)).await;
    let mut raw = Raw::begun(&broker).await;
    let attach = |handle: u32| {
        attach_receiver("a").handle(handle).with(|attach| {
            attach.source = again(Role::Receiver).source.map(Box::new);
            attach.rcv_settle_mode = ReceiverSettleMode::SECOND;
        })
    };
    raw.write(&attach(0).to_bytes()).await;
    raw.write(&flow().handle(0).link_credit(3).to_bytes()).await;
    let mut tags = Vec::new();
    for _ in 0..3 {
        let transfer = raw.until(|frame| matches!(frame, Performative::Transfer(_))).await;
        let Performative::Transfer(transfer) = transfer else { unreachable!("just looked") };
        tags.push(Value::Binary(transfer.delivery_tag.unwrap().as_bytes().to_vec().into()));
    }
    // Behind the second attach, in the same write, comes an outcome of a delivery of the first.
    let map = Map(vec![(tags[2].clone(), Value::Null)]);
    let second = attach(1).with(|attach| attach.unsettled = Some(map));
    let first = disposition(Role::Receiver, 0).settled(true).state(DeliveryState::Accepted);
    raw.write(&[second.to_bytes(), first.to_bytes()].concat()).await;
    assert_eq!(raw.ended_by().await, ("link", ErrorCondition::STOLEN));
    let answer = raw.until(|frame| matches!(frame, Performative::Attach(_))).await;
    let Performative::Attach(answer) = answer else { unreachable!("just looked") };
    let told: Vec<_> = answer.unsettled.unwrap().iter().map(|(tag, _)| tag.clone()).collect();
    assert_eq!(told, tags[1..]);
    eventually("one is settled", || broker.queue_stats("q0").unwrap().settled == 1).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.unsettled, stats.ready, stats.consumers), (2, 0, 1));
    drop(raw);
    eventually("it is suspended", || broker.suspended_links() == 1).await;
}
