//! The end of a broker.

use std::time::{Duration, Instant};

use postroad_amqp::v1_0::ConnectionError;
use postroad_codec::v1_0::{DeliveryState, ErrorCondition};
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
    tokio::time::sleep(Duration::from_millis(50)).await;
    // More credit brings nothing now, and what is sent may be sent elsewhere.
    let token = client.send(sender, "late").await;
    assert_eq!(client.outcome(sender, token).await.state, Some(DeliveryState::Released));
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
async fn a_client_in_its_tls_handshake_is_dropped() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let server = postroad_taps::TlsConfig::builder().server_certificate_pem(&chain, &key).build().unwrap();
    let broker = postroad_broker::Broker::builder().tls(server).listen("amqps://127.0.0.1:0").start().await.unwrap();
    let _silent = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    crate::eventually("it is there", || broker.connections() == 1).await;
    let began = Instant::now();
    assert_eq!(broker.shutdown(Duration::from_secs(8)).await, 0);
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn dropping_the_broker_cuts_everybody_off() {
    let broker = broker().await;
    let mut client = Client::connect(&broker).await;
    drop(broker);
    assert!(matches!(client.closed().await, ConnectionError::Lost | ConnectionError::Remote(_)));
}
