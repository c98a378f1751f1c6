//! A client and a broker, and two peers, over everything that URLs can name.

use std::time::Duration;

use postroad_broker::{Broker, Builder};
use postroad_client::types::Bytes;
use postroad_client::{Acceptor, ConnectError, ConnectOptions, Connection, LinkOptions, Message, TlsConfig, TlsMode};

#[cfg(unix)]
#[path = "transports/unix.rs"]
mod unix;

#[path = "transports/websocket.rs"]
mod websocket;

const PATIENCE: Duration = Duration::from_secs(30);

/// A broker with the queue `q` that listens there, and how to reach it by the URL that it tells.
async fn broker(builder: Builder, url: &str) -> (Broker, ConnectOptions) {
    let broker = builder.queue("q").listen(url).start().await.unwrap();
    let options = to(&broker);
    (broker, options)
}

fn to(broker: &Broker) -> ConnectOptions {
    let mut options = ConnectOptions::new(broker.urls()[0].parse().unwrap());
    options.connect_timeout = PATIENCE;
    options
}

/// The configurations of a server and of a client that trusts it by the name `localhost`.
fn tls() -> (TlsConfig, TlsConfig) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let server = TlsConfig::builder().server_certificate_pem(&chain, &key).build().unwrap();
    (server, TlsConfig::builder().roots_pem(&chain).build().unwrap())
}

fn body(length: usize) -> Bytes {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// Sends messages of these sizes to the queue and takes them out again.
async fn exchange(connection: &Connection, lengths: &[usize]) {
    let session = connection.session().await.unwrap();
    let (sender, mut receiver) = (session.sender("q").await.unwrap(), session.receiver("q").await.unwrap());
    for length in lengths {
        sender.submit(&Message::from(body(*length))).await.unwrap();
        let message = tokio::time::timeout(PATIENCE, receiver.receive()).await.expect("it comes").unwrap();
        assert_eq!(message.bytes(), Some(&body(*length)), "{length} bytes");
        receiver.accept(&message).unwrap();
    }
    sender.sync().await.unwrap();
}

/// Two peers without a broker: one sends a message to the other.
async fn say_hello(acceptor: &Acceptor, options: ConnectOptions) {
    let (client, server) = tokio::join!(Connection::open(options), acceptor.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    let session = client.session().await.unwrap();
    let accepting = async { server.next_link().await.unwrap().into_receiver(&LinkOptions::default()).unwrap() };
    let (sender, mut receiver) = tokio::join!(session.sender("q"), accepting);
    sender.unwrap().submit(&Message::from("hello")).await.unwrap();
    assert_eq!(receiver.receive().await.unwrap().text(), Some("hello"));
    client.close().await.unwrap();
}

/// A broker that listens there and a client, both without a runtime.
fn block_over(url: &str) {
    let broker = postroad_broker::blocking::Broker::builder().queue("q").listen(url).start().unwrap();
    let options = ConnectOptions::new(broker.urls()[0].parse().unwrap());
    let connection = postroad_client::blocking::Connection::open(options).unwrap();
    let session = connection.session().unwrap();
    session.sender("q").unwrap().send(&Message::from("hello")).unwrap();
    let mut receiver = session.receiver("q").unwrap();
    let message = receiver.receive_timeout(PATIENCE).unwrap().expect("it comes");
    assert_eq!(message.text(), Some("hello"));
    receiver.accept(&message).unwrap();
    connection.close().unwrap();
    assert_eq!(broker.shutdown(PATIENCE), Ok(0));
}

#[tokio::test]
async fn tcp_in_clear_text_and_under_tls() {
    for url in ["amqp://localhost:0", "amqps://localhost:0"] {
        let (server, client) = tls();
        let (broker, mut options) = broker(Broker::builder().tls(server), url).await;
        options.tls = client;
        let connection = Connection::open(options).await.unwrap();
        exchange(&connection, &[0, 100, 300_000]).await;
        connection.close().await.unwrap();
        assert_eq!(broker.shutdown(PATIENCE).await, 0);
    }
}
