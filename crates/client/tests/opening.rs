//! Connections that do not come about, or end without a word.

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::connect;
use postroad_client::{ConnectError, ConnectOptions, Connection, ConnectionError, LinkError, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A peer that reads what comes, answers with `answer`, and then closes or stays silent.
async fn peer(answer: &'static [u8], close: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await;
        stream.write_all(answer).await.unwrap();
        if !close {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    });
    address
}

fn options(address: SocketAddr) -> ConnectOptions {
    let mut options = ConnectOptions::new(format!("amqp://{address}").parse().unwrap());
    options.connect_timeout = Duration::from_secs(2);
    options
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let closed = postroad_testkit::nobody();
    let error = Connection::open(options(closed)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Transport(_)), "{error:?}");
    assert!(error.to_string().contains(&closed.to_string()), "{error}");
}

#[tokio::test]
async fn properties_that_fit_into_no_open_are_refused_before_anything_else() {
    // Nobody listens there: it is not even tried.
    let mut options = options(postroad_testkit::nobody());
    options.properties = vec![("note".to_owned(), "n".repeat(300).into())];
    let refused = Connection::open(options.clone()).await;
    assert!(matches!(refused, Err(ConnectError::Transport(_))), "{refused:?}");
    options.properties = vec![("note".to_owned(), "n".repeat(500).into())];
    let refused = Connection::open(options).await;
    let Err(ConnectError::Options(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("512 at most"), "{text}");
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_named_with_a_hint() {
    let cases: [(&[u8], &str, &str); 4] = [
        (b"AMQP\0\0\x09\x01", "AMQP 0-9-1", "this is an AMQP 0-9-1 broker: RabbitMQ needs its AMQP 1.0 plugin"),
        (b"AMQP\x01\x01\x00\x0a", "AMQP 0-10", "qpidd needs its AMQP 1.0 module"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP", "is the port right?"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS", "use amqps"),
    ];
    for (answer, name, hint) in cases {
        let error = Connection::open(options(peer(answer, true).await)).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{name}: {:?}", error.hint());
    }
}

#[tokio::test]
async fn a_silent_peer_costs_the_timeout_and_no_more() {
    let mut options = options(peer(b"", false).await);
    options.connect_timeout = Duration::from_millis(200);
    let started = Instant::now();
    let error = Connection::open(options).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(matches!(&error, ConnectError::Timeout(_) | ConnectError::Connection(_)), "{error:?}");
}

#[tokio::test]
async fn a_peer_that_closes_in_mid_handshake_is_lost() {
    for answer in [&b""[..], b"AMQ", b"AMQP\x03\x01\x00\x00", b"AMQP\x03\x01\x00\x00\x00\x00\x00\x10\x02"] {
        let error = Connection::open(options(peer(answer, true).await)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Connection(_)), "{error:?}");
    }
}

#[tokio::test]
async fn every_prefix_of_a_server_s_words_ends_in_an_error() {
    // SASL header, mechanisms ANONYMOUS, outcome ok, AMQP header, open of container "x", then nothing.
    const WORDS: &[u8] = b"AMQP\x03\x01\x00\x00\x00\x00\x00\x1a\x02\x01\x00\x00\x00\x53\x40\xc0\x0d\x01\xa3\x0a\
        ANONYMOUS!\x00\x00\x00\x10\x02\x01\x00\x00\x00\x53\x44\xc0\x03\x01\x50\x00AMQP\x00\x01\x00\x00\
        \x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01x";
    for length in (0..WORDS.len()).step_by(3) {
        let started = Instant::now();
        let error = Connection::open(options(peer(&WORDS[..length], true).await)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Connection(_)), "{length}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{length}");
    }
}

#[tokio::test]
async fn a_peer_that_vanishes_fails_every_wait() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let gone = async {
        let _link = ends.server.next_link().await.unwrap();
        ends.server.close().await.unwrap();
        // The link is dropped unanswered: its connection is gone.
    };
    let (attached, ()) = tokio::join!(session.sender(Node::at("queue")), gone);
    let error = attached.unwrap_err();
    assert!(error.to_string().contains("closed by the peer") || error.peer_error().is_some(), "{error}");
    assert!(ends.client.error().is_some());
    assert!(matches!(ends.client.session().await, Err(error) if error.to_string().contains("closed")));
}

#[tokio::test]
async fn a_peer_that_never_answers_a_close_is_left() {
    // Opens, and then says nothing more.
    const OPENS: &[u8] = b"AMQP\x00\x01\x00\x00\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01x";
    let mut options = options(peer(OPENS, false).await);
    options.sasl_enabled = false;
    options.close_timeout = Duration::from_millis(200);
    let connection = Connection::open(options).await.unwrap();
    assert_eq!(connection.remote_container().as_deref(), Some("x"));
    let started = Instant::now();
    let closed = connection.close().await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(closed, Err(ConnectionError::CloseTimeout(Duration::from_millis(200))));
    assert!(matches!(connection.session().await, Err(error) if matches!(error,
        postroad_client::AttachError::Link(LinkError::Connection(_)))));
}

#[test]
fn a_runtime_that_ends_takes_its_connections_with_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ends = runtime.block_on(connect());
    drop(runtime);
    assert_eq!(ends.client.error(), Some(ConnectionError::Runtime));
}
