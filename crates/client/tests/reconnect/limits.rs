//! What ends the attempts to make a connection anew.

use std::time::{Duration, Instant};

use postroad_broker::{Broker, UserFile};
use postroad_client::{
    ConnectError, ConnectOptions, Connection, ConnectionError, ConnectionEvent, LinkError, ReceiveError,
};
use postroad_testkit::faults::{At, Direction, FrameKind, Plan, Point, Rule};
use postroad_testkit::{Door, Proxy};

use crate::{PATIENCE, Road, options_to, quickly, until};

#[tokio::test]
async fn attempts_end_and_whoever_waits_is_told_why() {
    let road = Road::new(&["q"]).await;
    let mut options = road.options();
    options.reconnect.as_mut().unwrap().attempts = Some(3);
    let connection = Connection::open(options).await.unwrap();
    let session = connection.session().await.unwrap();
    let mut receiver = session.receiver("q").await.unwrap();
    let mut events = connection.events();
    let waiting = tokio::spawn(async move { receiver.receive().await });
    road.proxy.set_door(Door::Refused);
    road.proxy.cut_all();
    let over = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap_err();
    let ReceiveError::Link(LinkError::Connection(error)) = over else { panic!("{over:?}") };
    let ConnectionError::GaveUp { lost, attempts: 3, last: Some(last) } = &error else { panic!("{error:?}") };
    assert!(matches!(**lost, ConnectionError::Protocol(_) | ConnectionError::Transport(_)), "{lost:?}");
    assert!(matches!(**last, ConnectError::Transport(_)), "{last:?}");
    assert_eq!(connection.error(), Some(error.clone()));
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(event);
    }
    let failed = seen.iter().filter(|event| matches!(event, ConnectionEvent::Failed { .. })).count();
    assert_eq!(failed, 3);
    assert!(matches!(seen.first(), Some(ConnectionEvent::Lost(_))), "{seen:?}");
    assert_eq!(seen.last(), Some(&ConnectionEvent::Over(error)));
    assert_eq!(connection.events().next().await, None);
}

#[tokio::test]
async fn time_ends_them_too() {
    let road = Road::new(&["q"]).await;
    let mut options = road.options();
    options.reconnect.as_mut().unwrap().timeout = Some(Duration::from_millis(200));
    let connection = Connection::open(options).await.unwrap();
    let mut events = connection.events();
    // A broker that takes connections and says nothing costs no more time than that.
    road.proxy.set_door(Door::Hanging);
    road.proxy.cut_all();
    let started = Instant::now();
    let over = until(&mut events, |event| match event {
        ConnectionEvent::Over(error) => Some(error),
        _ => None,
    })
    .await;
    assert!(
        matches!(&over, ConnectionError::GaveUp { last: Some(last), .. } if matches!(**last, ConnectError::Timeout(_))),
        "{over:?}"
    );
    assert!(started.elapsed() >= Duration::from_millis(190) && started.elapsed() < PATIENCE);
}

#[tokio::test]
async fn without_reconnect_a_lost_connection_is_over() {
    let road = Road::new(&["q"]).await;
    let mut options = road.options();
    options.reconnect = None;
    let connection = Connection::open(options).await.unwrap();
    let mut events = connection.events();
    road.proxy.cut_all();
    let event = events.next().await.unwrap();
    assert!(
        matches!(event, ConnectionEvent::Over(ConnectionError::Protocol(_) | ConnectionError::Transport(_))),
        "{event:?}"
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_first_connection_is_tried_again_where_that_is_wanted() {
    let road = Road::new(&["q"]).await;
    road.proxy.set_door(Door::Refused);
    let mut options = road.options();
    assert!(matches!(Connection::open(options.clone()).await, Err(ConnectError::Transport(_))));
    options.reconnect.as_mut().unwrap().initially = true;
    let opening = tokio::spawn(Connection::open(options));
    road.proxy.refuse_for(Duration::from_millis(50)).await;
    tokio::time::timeout(PATIENCE, opening).await.unwrap().unwrap().unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_no_longer_knows_us_is_not_asked_again() {
    let start = async |users: &str| {
        let users = UserFile::parse(users, [3; 32]).unwrap();
        Broker::builder().users(users).anonymous(false).listen("amqp://127.0.0.1:0").start().await.unwrap()
    };
    let (broker, other) = (start("ada:secret\n").await, start("bob:else\n").await);
    let proxy = Proxy::start(broker.addr().unwrap(), Plan::new(2)).await.unwrap();
    let mut options = options_to(&proxy);
    (options.user, options.password, options.allow_insecure_mechs) = (Some("ada".into()), Some("secret".into()), true);
    let connection = Connection::open(options).await.unwrap();
    let mut events = connection.events();
    proxy.set_target(other.addr().unwrap());
    proxy.cut_all();
    let over = until(&mut events, |event| match event {
        ConnectionEvent::Over(error) => Some(error),
        _ => None,
    })
    .await;
    let ConnectionError::GaveUp { attempts: 1, last: Some(last), .. } = &over else { panic!("{over:?}") };
    assert!(last.is_authentication(), "{last:?}");
}

#[tokio::test]
async fn a_broker_that_drops_connections_as_they_open_is_not_hammered() {
    // Every connection but the first ends behind the open.
    let plan = (1..1000).fold(Plan::new(4), |plan, connection| {
        let cut = Rule::cut(At::frame(FrameKind::Open).at(Point::After)).in_direction(Direction::ToClient);
        plan.rule(cut.on_connection(connection))
    });
    let road = Road::with_plan(&["q"], plan).await;
    let mut options = road.options();
    let mut reconnect = quickly();
    (reconnect.interval, reconnect.max_interval, reconnect.jitter) =
        (Duration::from_millis(20), Duration::from_millis(100), 0.0);
    options.reconnect = Some(reconnect);
    let connection = Connection::open(options).await.unwrap();
    let started = Instant::now();
    road.proxy.cut_all();
    let sixth = async {
        while road.proxy.stats().connections < 6 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sixth).await.expect("it goes on trying");
    // Pauses of 20, 40, 80 and 100 ms at least lie between; on a slow machine a connection may last, which takes a second.
    assert!(started.elapsed() >= Duration::from_millis(240), "six connections in {:?}", started.elapsed());
    connection.close().await.unwrap();
}

#[tokio::test]
async fn silence_counts_as_a_loss() {
    let road = Road::new(&["q"]).await;
    let mut options = road.options();
    options.idle_timeout = Some(Duration::from_millis(300));
    let connection = Connection::open(options).await.unwrap();
    let mut events = connection.events();
    let stall = Rule::new(postroad_testkit::faults::Fault::Stall, At::frame(FrameKind::Empty));
    road.proxy.arm(stall.in_direction(Direction::ToClient));
    until(&mut events, |event| matches!(event, ConnectionEvent::Lost(ConnectionError::Protocol(_))).then_some(()))
        .await;
    until(&mut events, |event| matches!(event, ConnectionEvent::Reopened { same_container: true, .. }).then_some(()))
        .await;
    assert_eq!(connection.error(), None);
}

#[tokio::test]
async fn events_that_nobody_takes_are_counted() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let mut late = connection.events();
    let mut events = connection.events();
    road.proxy.set_door(Door::Refused);
    road.proxy.cut_all();
    let mut failed = 0;
    until(&mut events, |event| {
        failed += usize::from(matches!(event, ConnectionEvent::Failed { .. }));
        (failed == 200).then_some(())
    })
    .await;
    assert!(matches!(late.next().await, Some(ConnectionEvent::Missed(1..))));
    assert!(matches!(late.next().await, Some(ConnectionEvent::Trying { .. } | ConnectionEvent::Failed { .. })));
    let options = ConnectOptions::new("amqp://localhost".parse().unwrap());
    assert!(options.reconnect.is_some(), "it is on unless somebody turns it off");
}
