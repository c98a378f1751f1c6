//! Exactly once, over connections that are lost.

use std::collections::BTreeMap;
use std::time::Duration;

use postroad_client::{AttachError, Guarantee, Message, Outcome, Receiver};
use postroad_testkit::faults::{At, Direction, FrameKind, Plan, Point, Rule};

use crate::{PATIENCE, Road, attached, guaranteed, numbered};

const ONCE: Guarantee = Guarantee::ExactlyOnce;

async fn next(receiver: &mut Receiver) -> Message {
    tokio::time::timeout(PATIENCE, receiver.receive()).await.expect("a message comes").unwrap()
}

/// Places that matter, each on the first connections.
fn places() -> impl Iterator<Item = Plan> {
    let kinds = [
        (FrameKind::Transfer, Direction::ToServer),
        (FrameKind::Transfer, Direction::ToClient),
        (FrameKind::Disposition, Direction::ToServer),
        (FrameKind::Disposition, Direction::ToClient),
        (FrameKind::Attach, Direction::ToServer),
        (FrameKind::Attach, Direction::ToClient),
        (FrameKind::ResumingTransfer, Direction::ToServer),
        (FrameKind::ResumingTransfer, Direction::ToClient),
    ];
    kinds.into_iter().flat_map(|(kind, direction)| {
        [Point::Before, Point::Inside, Point::After].into_iter().map(move |point| {
            // What resumes comes only behind a cut, and what attaches must succeed once.
            let first = Rule::cut(At::frame(FrameKind::Disposition).nth(2)).on_connection(0);
            let later = Rule::cut(At::frame(kind).nth(1).at(point)).in_direction(direction);
            (1..5)
                .fold(Plan::new(17).rule(first), |plan, connection| plan.rule(later.clone().on_connection(connection)))
        })
    })
}

#[tokio::test]
async fn a_sender_and_the_broker_agree_on_every_message_wherever_it_is_cut() {
    for (index, plan) in places().enumerate() {
        let road = Road::with_plan(&["q"], plan).await;
        let connection = road.connect().await;
        let sender = connection.session().await.unwrap().sender_with("q", guaranteed(ONCE)).await.unwrap();
        let sending = async {
            for message in numbered(0..60) {
                sender.submit(&message).await.unwrap();
                tokio::task::yield_now().await;
            }
            sender.sync().await.unwrap();
        };
        tokio::time::timeout(PATIENCE, sending).await.unwrap_or_else(|_| panic!("it hangs at {index}"));
        assert!(road.proxy.stats().cuts >= 1, "{index}");
        let came = road.drain("q").await;
        let expected: Vec<String> = (0..60).map(|number| number.to_string()).collect();
        assert_eq!(came, expected, "at {index}: {:?}", road.proxy.stats());
        assert!(sender.take_in_doubt().is_empty());
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_receiver_and_the_broker_agree_on_every_message_wherever_it_is_cut() {
    for (index, plan) in places().enumerate() {
        let road = Road::with_plan(&["q"], plan).await;
        let quiet = road.quiet().await;
        let sender = quiet.session().await.unwrap().sender("q").await.unwrap();
        for message in numbered(0..60) {
            sender.submit(&message).await.unwrap();
        }
        sender.sync().await.unwrap();
        let connection = road.connect().await;
        let mut options = guaranteed(ONCE);
        options.prefetch = 10;
        let mut receiver = connection.session().await.unwrap().receiver_with("q", options).await.unwrap();
        let mut came: BTreeMap<String, usize> = BTreeMap::new();
        while came.len() < 60 {
            let message = next(&mut receiver).await;
            *came.entry(message.text().unwrap().to_owned()).or_default() += 1;
            receiver.accept(&message).unwrap();
        }
        road.empty("q").await;
        assert!(receiver.fetch(Duration::ZERO).await.unwrap().is_none());
        assert!(came.values().all(|times| *times == 1), "at {index}: {came:?} {:?}", road.proxy.stats());
        assert!(road.proxy.stats().cuts >= 1, "{index}");
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_message_keeps_its_place_while_its_receiver_works_on_it() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    let mut receiver = session.receiver_with("q", guaranteed(ONCE)).await.unwrap();
    let mut events = connection.events();
    for text in ["during", "after", "later"] {
        sender.send(&Message::from(text)).await.unwrap();
    }
    let during = next(&mut receiver).await;
    let after = next(&mut receiver).await;
    let later = next(&mut receiver).await;
    // Told while there is no connection, while the link is resumed, and two connections later.
    road.proxy.set_door(postroad_testkit::Door::Refused);
    road.proxy.cut_all();
    crate::until(&mut events, |event| matches!(event, postroad_client::ConnectionEvent::Lost(_)).then_some(())).await;
    receiver.accept(&during).unwrap();
    road.proxy.set_door(postroad_testkit::Door::Open);
    while !attached(&mut events).await {}
    receiver.accept(&after).unwrap();
    road.proxy.cut_all();
    while !attached(&mut events).await {}
    receiver.accept(&after).unwrap();
    receiver.reject(&later, None).unwrap();
    road.empty("q").await;
    let stats = road.broker.queue_stats("q").unwrap();
    assert_eq!((stats.enqueued, stats.settled), (3, 3));
    assert!(receiver.fetch(Duration::ZERO).await.unwrap().is_none());
    assert_eq!(receiver.accept(&later), Ok(()), "it is settled, and stays so");
}

#[tokio::test]
async fn large_messages_go_on_where_they_were_cut() {
    let plan = (0..6).fold(Plan::new(23), |plan, connection| {
        let cut = Rule::cut(At::frame(FrameKind::Transfer).nth(20).at(Point::Inside));
        plan.rule(cut.in_direction(Direction::ToServer).on_connection(connection))
    });
    let road = Road::with_plan(&["q"], plan).await;
    let mut options = road.options();
    options.max_frame_size = 1024;
    let connection = postroad_client::Connection::open(options).await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender_with("q", guaranteed(ONCE)).await.unwrap();
    let text = "0123456789".repeat(200_000);
    for _ in 0..3 {
        assert_eq!(sender.send(&Message::from(text.as_str())).await, Ok(Outcome::Accepted));
    }
    assert!(road.proxy.stats().cuts >= 1, "{:?}", road.proxy.stats());
    let mut receiver = session.receiver_with("q", guaranteed(ONCE)).await.unwrap();
    for _ in 0..3 {
        let message = next(&mut receiver).await;
        assert!(message.text() == Some(&text));
        receiver.accept(&message).unwrap();
    }
    road.empty("q").await;
}

#[tokio::test]
async fn more_than_an_attach_can_tell_takes_several() {
    let road = Road::new(&["q"]).await;
    let mut options = road.options();
    options.max_frame_size = 512;
    let connection = postroad_client::Connection::open(options).await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    let mut terms = guaranteed(ONCE);
    terms.prefetch = 200;
    let mut receiver = session.receiver_with("q", terms).await.unwrap();
    let mut events = connection.events();
    for message in numbered(0..200) {
        sender.submit(&message).await.unwrap();
    }
    sender.sync().await.unwrap();
    let mut held = Vec::new();
    while held.len() < 200 {
        held.push(next(&mut receiver).await);
    }
    road.proxy.cut_all();
    while !attached(&mut events).await {}
    for message in &held {
        receiver.accept(message).unwrap();
    }
    road.empty("q").await;
    assert_eq!(road.broker.queue_stats("q").unwrap().enqueued, 200);
    assert!(receiver.fetch(Duration::ZERO).await.unwrap().is_none());
}

#[tokio::test]
async fn a_peer_that_keeps_nothing_is_refused() {
    // Our own acceptor has no table of links.
    let acceptor = postroad_client::Acceptor::listen(postroad_client::AcceptOptions::new(
        postroad_taps::LocalEndpoint::host("127.0.0.1").port(0),
    ))
    .await
    .unwrap();
    let url = format!("amqp://{}", acceptor.local_endpoint());
    let connecting = postroad_client::Connection::open(postroad_client::ConnectOptions::new(url.parse().unwrap()));
    let (client, server) = tokio::join!(connecting, acceptor.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    let session = client.session().await.unwrap();
    let accepting = async { server.next_link().await.unwrap().into_receiver(&guaranteed(Guarantee::AtLeastOnce)) };
    let (asked, granted) = tokio::join!(session.sender_with("q", guaranteed(ONCE)), accepting);
    let error = asked.unwrap_err();
    assert!(matches!(error, AttachError::GuaranteeUnavailable { asked: ONCE, .. }), "{error:?}");
    assert!(error.hint().is_some());
    drop(granted);
}

#[tokio::test]
async fn what_is_unsettled_stays_within_an_attach_and_is_resumed_beside_the_credit() {
    let builder = postroad_broker::Broker::builder().queue("q").with_limits(|limits| limits.frame_size = 1024);
    let road = Road::before(builder, Plan::new(1)).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    for message in numbered(0..60) {
        sender.submit(&message).await.unwrap();
    }
    sender.sync().await.unwrap();
    let mut options = guaranteed(ONCE);
    options.prefetch = 50;
    let mut receiver = session.receiver_with("q", options).await.unwrap();
    let mut held = Vec::new();
    while let Some(message) = receiver.fetch(Duration::from_millis(200)).await.unwrap() {
        held.push(message);
    }
    assert!((2..50).contains(&held.len()), "{} were more than a frame of 1024 bytes tells", held.len());
    let mut events = connection.events();
    road.proxy.cut_all();
    while !attached(&mut events).await {}
    // Whoever waits wants credit, and must not take that of the resumed ones away.
    assert!(receiver.fetch(Duration::from_millis(200)).await.unwrap().is_none());
    for message in held.drain(..) {
        receiver.accept(&message).unwrap();
    }
    loop {
        let message = next(&mut receiver).await;
        receiver.accept(&message).unwrap();
        if message.text() == Some("59") {
            break;
        }
    }
    road.empty("q").await;
}
