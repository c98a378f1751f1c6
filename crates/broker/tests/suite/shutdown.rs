//! The end of a broker.

use std::time::{Duration, Instant};

use postroad_amqp::v1_0::ConnectionError;
use postroad_codec::v1_0::ErrorCondition;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::broker;
use crate::client::{Client, numbered};

fn assert_forced(error: ConnectionError) {
    let ConnectionError::Remote(error) = error else { panic!("{error:?}") };
    assert_eq!(error.condition, ErrorCondition::CONNECTION_FORCED);
}

#[tokio::test]
async fn idle_clients_are_closed_at_once() {
    let broker = broker().await;
    let address = broker.addr().unwrap();
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..3)).await;
    let began = Instant::now();
    let (cut_off, error) = tokio::join!(broker.shutdown(Duration::from_secs(8)), client.closed());
    assert_eq!(cut_off, 0);
    assert_forced(error);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn what_is_under_way_may_be_settled_first() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..3)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    let delivery = client.receive(receiver).await;
    let stopping = tokio::spawn(broker.shutdown(Duration::from_secs(8)));
    // More credit brings nothing now.
    client.engine.receiver(receiver).set_credit(5);
    client.expect_nothing(receiver).await;
    assert!(client.engine.error().is_none(), "it waits for the settlement");
    client.accept(receiver, delivery.number);
    assert_forced(client.closed().await);
    assert_eq!(stopping.await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_asked() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    let sender = client.sender("q0").await.unwrap();
    client.send_all(sender, numbered(0..1)).await;
    let receiver = client.receiver("q0", 1).await.unwrap();
    client.receive(receiver).await;
    // It neither settles nor answers.
    let began = Instant::now();
    assert_eq!(broker.shutdown(Duration::from_millis(300)).await, 1);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_forced(client.closed().await);
}

#[tokio::test]
async fn a_client_in_its_handshake_is_dropped() {
    let broker = broker().await;
    let mut silent = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    crate::eventually("it is there", || broker.connections() == 1).await;
    assert_eq!(broker.shutdown(Duration::from_secs(8)).await, 0);
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn dropping_the_broker_cuts_everybody_off() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    drop(broker);
    assert!(matches!(client.closed().await, ConnectionError::Lost | ConnectionError::Remote(_)));
}
