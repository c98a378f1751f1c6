//! Unix sockets, at a path and in the abstract namespace.

use std::path::Path;

use postroad_address::{BrokerUrl, Scheme};
use postroad_broker::StartError;
use postroad_client::AcceptOptions;
use postroad_taps::{ListenError, LocalEndpoint};

use super::*;

fn url(path: &Path) -> String {
    BrokerUrl::new(Scheme::AmqpUnix, path.to_str().unwrap()).unwrap().to_string()
}

#[tokio::test]
async fn a_client_reaches_a_broker_at_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a broker.sock");
    let (broker, options) = broker(Broker::builder(), &url(&path)).await;
    assert_eq!((broker.urls(), broker.addr()), (&[url(&path)][..], None));
    let connection = Connection::open(options).await.unwrap();
    assert_eq!(connection.hostname(), None, "a socket is no host");
    exchange(&connection, &[0, 100, 3_000_000]).await;
    connection.close().await.unwrap();
    assert_eq!(broker.shutdown(PATIENCE).await, 0);
    assert!(!path.exists(), "the file goes with the broker");
    // The place is free at once.
    self::broker(Broker::builder(), &url(&path)).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_reaches_a_broker_by_an_abstract_name() {
    let name = format!("amqp+unix://%40postroad-test-{}", std::process::id());
    let (broker, mut options) = broker(Broker::builder(), &name).await;
    assert_eq!(broker.urls(), [name]);
    options.virtual_host = Some("tenant".to_owned());
    let connection = Connection::open(options).await.unwrap();
    assert_eq!(connection.hostname().as_deref(), Some("tenant"));
    exchange(&connection, &[1, 70_000]).await;
    connection.close().await.unwrap();
}

#[test]
fn a_blocking_client_reaches_a_blocking_broker() {
    let directory = tempfile::tempdir().unwrap();
    block_over(&url(&directory.path().join("broker.sock")));
}

#[tokio::test]
async fn two_peers_talk_without_a_broker() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("peer.sock");
    let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::path(&path))).await.unwrap();
    assert_eq!(acceptor.local_endpoint().unix().unwrap().as_path(), Some(&*path));
    say_hello(&acceptor, ConnectOptions::new(url(&path).parse().unwrap())).await;
}

#[tokio::test]
async fn peers_without_an_address_are_not_counted_by_it() {
    let directory = tempfile::tempdir().unwrap();
    let limited = Broker::builder().with_limits(|limits| {
        limits.connections_per_address = 1;
        limits.connections = 3;
    });
    let (broker, options) = broker(limited, &url(&directory.path().join("broker.sock"))).await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(Connection::open(options.clone()).await.unwrap());
    }
    assert_eq!(broker.connections(), 3);
    // The limit of all connections is for them too. The error comes with the open, or soon after it.
    let refused = match Connection::open(options).await {
        Ok(connection) => connection.session().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(refused.contains("takes no more"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_reached_or_opened_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.sock");
    let nobody = Connection::open(ConnectOptions::new(url(&path).parse().unwrap())).await.unwrap_err();
    assert!(matches!(nobody, ConnectError::Transport(_)), "{nobody:?}");
    assert!(nobody.to_string().contains("broker.sock"), "{nobody}");

    let (_broker, mut options) = broker(Broker::builder(), &url(&path)).await;
    let taken = Broker::builder().listen(url(&path)).start().await.unwrap_err();
    assert!(matches!(&taken, StartError::Listen { error: ListenError::AddressInUse { .. }, .. }), "{taken:?}");
    assert!(taken.hint().unwrap().contains("remove"), "{taken:?}");

    options.tls_mode = TlsMode::Header;
    let error = Connection::open(options).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Options(text) if text.contains("TCP only")), "{error:?}");
    for url in [url(&path) + "/q", url(&path) + "?a=b", "amqp+unix://u@%2Fa".to_owned()] {
        assert!(matches!(Broker::builder().listen(url).start().await, Err(StartError::UrlParts { .. })));
    }
}

#[tokio::test]
async fn a_client_that_asks_for_tls_there_is_told_what_is_spoken() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broker.sock");
    let (_broker, _) = broker(Broker::builder().tls(tls().0), &url(&path)).await;
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"AMQP\x02\x01\x00\x00").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it ends").unwrap();
    assert_eq!(answer, b"AMQP\x00\x01\x00\x00");
}
