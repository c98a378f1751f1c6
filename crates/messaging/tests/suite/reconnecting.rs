//! Connections that are lost, or do not open at once: the options of the original that begin with `reconnect`.

use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use postroad_client::ConnectionEvent;
use postroad_messaging::address::BrokerUrl;
use postroad_messaging::{ConnectError, ConnectionBuilder, ConnectionError};
use postroad_testkit::faults::Plan;
use postroad_testkit::{Door, Proxy, nobody};

use super::*;

fn to(addr: SocketAddr) -> ConnectionBuilder {
    Connection::new(&format!("amqp://{addr}")).unwrap()
}

fn quickly(builder: ConnectionBuilder) -> ConnectionBuilder {
    builder.reconnect_interval(Duration::from_millis(2))
}

#[tokio::test]
async fn reconnect_urls_are_tried_in_turn() {
    let world = world().await;
    let urls: Vec<BrokerUrl> =
        vec![format!("amqp://{}", nobody()).parse().unwrap(), world.broker.urls()[0].parse().unwrap()];
    let connection = quickly(to(nobody()).reconnect_urls(urls)).open().await.unwrap();
    connection.session().await.unwrap().sender("q").await.unwrap().send("there").await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(world.ready(), 1);
}

#[tokio::test]
async fn opening_ends_with_the_reconnect_timeout() {
    let limit = Duration::from_millis(200);
    let started = Instant::now();
    let error = quickly(to(nobody()).reconnect_timeout(limit).reconnect(true)).open().await.unwrap_err();
    let ConnectError::GaveUp(told, _) = &error else { panic!("{error:?}") };
    assert_eq!(*told, limit);
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.hint().is_some());
    assert!(started.elapsed() < PATIENCE);

    // One that says nothing holds nobody longer.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = to(silent.local_addr().unwrap()).reconnect_timeout(limit).open().await.unwrap_err();
    assert_eq!(error, ConnectError::Timeout(limit));
    assert!(started.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_broker_that_comes_late_is_waited_for() {
    let world = world().await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    proxy.set_door(Door::Refused);
    let opening = tokio::spawn(quickly(to(proxy.addr()).reconnect(true)).open());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!opening.is_finished());
    proxy.set_door(Door::Open);
    let connection = tokio::time::timeout(PATIENCE, opening).await.unwrap().unwrap().unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn the_limit_ends_a_lost_connection() {
    let world = world().await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    let connection = quickly(to(proxy.addr()).reconnect_limit(3)).open().await.unwrap();
    let session = connection.session().await.unwrap();
    let mut events = connection.client().events();
    proxy.set_door(Door::Refused);
    proxy.cut_all();
    let mut attempts = 0;
    let over = async {
        loop {
            match events.next().await.unwrap() {
                ConnectionEvent::Failed { attempt, .. } => attempts = attempt,
                ConnectionEvent::Over(error) => break error,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, over).await.unwrap();
    assert_eq!(attempts, 3);
    assert!(!connection.is_open());
    assert!(matches!(connection.error(), Some(ConnectionError::Failed(_))), "{:?}", connection.error());
    assert!(session.sender("q").await.is_err());
}

#[tokio::test]
async fn without_reconnect_a_loss_is_the_end() {
    let world = world().await;
    let proxy = Proxy::start(world.broker.addr().unwrap(), Plan::new(1)).await.unwrap();
    for builder in [to(proxy.addr()), to(proxy.addr()).reconnect(true).reconnect(false)] {
        let connection = builder.open().await.unwrap();
        proxy.cut_all();
        eventually("over", || !connection.is_open()).await;
    }
}

#[tokio::test]
async fn pauses_that_contradict_each_other_are_refused() {
    let builder =
        to(nobody()).reconnect_interval_min(Duration::from_secs(2)).reconnect_interval_max(Duration::from_secs(1));
    let error = builder.open().await.unwrap_err();
    assert!(matches!(&error, ConnectError::Option { option, .. } if option == "reconnect_interval_max"), "{error:?}");
}
