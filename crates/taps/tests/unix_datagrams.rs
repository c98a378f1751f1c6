//! Unix datagrams: messages between names, back-pressure where reliability is asked for and loss where it is not, and
//! what peers of any kind see of it.
#![cfg(target_os = "linux")]

mod common;

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram as Raw;
use std::path::Path;
use std::time::Duration;

use common::{PATIENCE, clear, next};
use postroad_taps::{
    Connection, ConnectionError, Listener, LocalEndpoint, Preconnection, ProtocolStack, RemoteEndpoint,
    SelectionProperty, SendError, TransportProperties,
};
use tokio::time::timeout;

/// What may be lost.
fn loose() -> Preconnection {
    clear().properties(TransportProperties::unreliable_datagram())
}

/// What must not be lost.
fn reliable() -> Preconnection {
    let properties = TransportProperties::reliable_message().prohibit(SelectionProperty::ActiveReadBeforeSend);
    clear().properties(properties)
}

async fn listen(preconnection: &Preconnection, path: &Path) -> Listener {
    preconnection.clone().local(LocalEndpoint::path(path)).listen().await.unwrap()
}

async fn initiate(preconnection: &Preconnection, path: &Path) -> Connection {
    preconnection.clone().remote(RemoteEndpoint::path(path)).initiate().timeout(PATIENCE).await.unwrap()
}

async fn accept(listener: &Listener) -> Connection {
    timeout(PATIENCE, listener.accept()).await.expect("nobody came").unwrap().unwrap()
}

/// Both ends, with one message exchanged each way.
async fn meet(preconnection: &Preconnection, path: &Path) -> (Listener, Connection, Connection) {
    let listener = listen(preconnection, path).await;
    let client = initiate(preconnection, path).await;
    client.send("hello").await.unwrap();
    let server = accept(&listener).await;
    assert_eq!(next(&server).await.unwrap().data, "hello");
    server.send("welcome").await.unwrap();
    assert_eq!(next(&client).await.unwrap().data, "welcome");
    (listener, server, client)
}

/// A bare socket at a path of its own.
fn raw(path: &Path) -> Raw {
    let socket = Raw::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn raw_received(socket: &Raw) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 20];
    let length = socket.recv(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

/// Sends numbered messages until one has to wait, which is given up; returns how many left before.
async fn fill(connection: &Connection, most: u32) -> u32 {
    for number in 0..most {
        let body = number.to_be_bytes().repeat(1000);
        if timeout(Duration::from_millis(100), connection.send(body)).await.is_err() {
            return number;
        }
    }
    panic!("nothing holds up the sender")
}

#[tokio::test]
async fn messages_keep_their_boundaries_and_order_between_two_names() {
    for (preconnection, is_reliable) in [(loose(), false), (reliable(), true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (listener, server, client) = meet(&preconnection, &path).await;
        for end in [&client, &server] {
            assert_eq!(end.protocol_stack(), Some(ProtocolStack::UnixDatagram));
            assert!(end.preserves_boundaries());
            assert_eq!(end.properties().has(SelectionProperty::Reliability), is_reliable);
            assert!(end.properties().has(SelectionProperty::PreserveOrder));
        }
        assert_eq!(client.remote_endpoint().unwrap().to_string(), format!("unix:{}", path.display()));
        assert_eq!(server.remote_endpoint(), client.local_endpoint());
        for (from, to) in [(&client, &server), (&server, &client)] {
            for body in [&b"one"[..], b"", &[7; 100_000], b""] {
                from.send(body).await.unwrap();
                assert_eq!(next(to).await.unwrap().data, body);
            }
            for number in 0..5u8 {
                from.send(vec![number]).await.unwrap();
            }
            for number in 0..5u8 {
                assert_eq!(next(to).await.unwrap().data[..], [number]);
            }
        }
        let another = initiate(&preconnection, &path).await;
        another.send("another").await.unwrap();
        let server_of_another = accept(&listener).await;
        assert_eq!(next(&server_of_another).await.unwrap().data, "another");
        drop(listener);
        assert!(!path.exists(), "the file goes with the listener");
        server.send("still").await.unwrap();
        assert_eq!(next(&client).await.unwrap().data, "still");
    }
}

#[tokio::test]
async fn a_bare_socket_is_answered_at_its_path_and_answers_there() {
    let folder = tempfile::tempdir().unwrap();
    let (path, own) = (folder.path().join("listener"), folder.path().join("own"));
    let listener = listen(&loose(), &path).await;
    let socket = raw(&own);
    socket.send_to(b"question", &path).unwrap();
    let server = accept(&listener).await;
    assert_eq!(next(&server).await.unwrap().data, "question");
    assert_eq!(server.remote_endpoint().unwrap().to_string(), format!("unix:{}", own.display()));
    server.send("answer").await.unwrap();
    assert_eq!(raw_received(&socket), b"answer");
    // And the other way round, from a path that the application names.
    let named = folder.path().join("named");
    let client = loose().local(LocalEndpoint::path(&named));
    let client = initiate(&client, &own).await;
    client.send("question").await.unwrap();
    assert_eq!(raw_received(&socket), b"question");
    socket.send_to(b"answer", &named).unwrap();
    assert_eq!(next(&client).await.unwrap().data, "answer");
    client.close().await.unwrap();
    drop(client);
    assert!(!named.exists(), "what the connection made goes with it");
}

#[tokio::test]
async fn senders_without_a_name_are_one_peer_that_cannot_be_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let listener = listen(&loose(), &path).await;
    for text in ["first", "second"] {
        Raw::unbound().unwrap().send_to(text.as_bytes(), &path).unwrap();
    }
    let server = accept(&listener).await;
    assert_eq!(next(&server).await.unwrap().data, "first");
    assert_eq!(next(&server).await.unwrap().data, "second");
    assert!(!server.can_send());
    assert!(server.send("answer").await.is_err());
}

#[tokio::test]
async fn only_the_peer_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let (_listener, server, client) = meet(&loose(), &folder.path().join("socket")).await;
    let local = client.local_endpoint().unwrap().unix().unwrap();
    let stranger = Raw::unbound().unwrap();
    let sent = stranger.connect_addr(&local.try_into().unwrap());
    assert_eq!(sent.unwrap_err().kind(), ErrorKind::PermissionDenied);
    server.send("peer").await.unwrap();
    assert_eq!(next(&client).await.unwrap().data, "peer");
}

#[tokio::test]
async fn nothing_is_lost_of_a_connection_that_is_not_read_where_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow");
    let (listener, server, client) = meet(&reliable(), &path).await;
    let sent = fill(&client, 100_000).await;
    // Everybody waits.
    let other = initiate(&reliable(), &path).await;
    let waiting = tokio::spawn(async move {
        other.send("other").await.unwrap();
        other
    });
    for number in 0..sent {
        assert_eq!(next(&server).await.unwrap().data[..4], number.to_be_bytes());
    }
    let server_of_other = accept(&listener).await;
    assert_eq!(next(&server_of_other).await.unwrap().data, "other");
    waiting.await.unwrap();
}

#[tokio::test]
async fn peers_that_nobody_accepts_are_not_lost_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late");
    let listener = listen(&reliable(), &path).await;
    let client = initiate(&reliable(), &path).await;
    let sent = fill(&client, 100_000).await;
    let server = accept(&listener).await;
    for number in 0..sent {
        assert_eq!(next(&server).await.unwrap().data[..4], number.to_be_bytes());
    }
}

#[tokio::test]
async fn where_loss_is_allowed_a_connection_that_is_not_read_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lossy");
    let (listener, server, client) = meet(&loose(), &path).await;
    // More than waits anywhere.
    for number in 0..1000u32 {
        timeout(PATIENCE, client.send(number.to_be_bytes().repeat(1000))).await.unwrap().unwrap();
    }
    let other = initiate(&loose(), &path).await;
    other.send("other").await.unwrap();
    let server_of_other = accept(&listener).await;
    assert_eq!(next(&server_of_other).await.unwrap().data, "other");
    // What came first is there.
    for number in 0..10u32 {
        assert_eq!(next(&server).await.unwrap().data[..4], number.to_be_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_waits_for_a_place_in_the_peers_queue() {
    let folder = tempfile::tempdir().unwrap();
    let (path, own) = (folder.path().join("listener"), folder.path().join("own"));
    let listener = listen(&loose(), &path).await;
    let socket = raw(&own);
    socket.send_to(b"question", &path).unwrap();
    let server = accept(&listener).await;
    let sent = fill(&server, 100_000).await;
    let more = tokio::spawn(async move { server.send("more").await });
    for number in 0..sent {
        assert_eq!(raw_received(&socket)[..4], number.to_be_bytes());
    }
    // The one that was given up has left or not.
    let mut last = raw_received(&socket);
    if last[..] == *sent.to_be_bytes().repeat(1000) {
        last = raw_received(&socket);
    }
    assert_eq!(last, b"more");
    timeout(PATIENCE, more).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_message_over_the_systems_limit_is_refused_and_the_connection_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (_listener, server, client) = meet(&reliable(), &folder.path().join("long")).await;
    for (from, to) in [(&client, &server), (&server, &client)] {
        let error = from.send(vec![0; 8 << 20]).await.unwrap_err();
        let SendError::MessageTooLarge { size, limit } = error else { panic!("{error:?}") };
        assert_eq!(size, 8 << 20);
        // The limit is the longest that works.
        let sending = from.send(vec![1; limit as usize]);
        let (sent, received) = tokio::join!(sending, next(to));
        sent.unwrap();
        assert_eq!(received.unwrap().data.len() as u64, limit);
    }
}

#[tokio::test]
async fn a_peer_that_is_gone_is_found_out_by_sending() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, server, client) = meet(&loose(), &folder.path().join("gone")).await;
    drop(client);
    assert!(server.send("to nobody").await.is_err());
    let closed = timeout(PATIENCE, server.closed()).await.unwrap();
    assert_eq!(closed, Err(ConnectionError::Transport(ErrorKind::ConnectionRefused)));
    drop((listener, server));
    let folder = tempfile::tempdir().unwrap();
    let (listener, server, client) = meet(&loose(), &folder.path().join("gone")).await;
    server.close().await.unwrap();
    drop((listener, server));
    // The listener's task is told to end, and its socket goes with it.
    let refused = async { while client.send("to nobody").await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("a socket that is gone refuses");
}

#[tokio::test]
async fn a_client_finds_out_that_datagrams_are_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any");
    let listener = listen(&reliable(), &path).await;
    let client = initiate(&clear(), &path).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::UnixDatagram));
    client.send("hello").await.unwrap();
    assert_eq!(next(&accept(&listener).await).await.unwrap().data, "hello");
}

#[tokio::test]
async fn a_name_that_closed_its_connection_comes_again_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, server, client) = meet(&loose(), &folder.path().join("again")).await;
    server.close().await.unwrap();
    drop(server);
    client.send("again").await.unwrap();
    let server = accept(&listener).await;
    assert_eq!(next(&server).await.unwrap().data, "again");
    assert_eq!(server.remote_endpoint(), client.local_endpoint());
}

#[tokio::test]
async fn a_file_that_was_left_behind_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("left behind");
    drop(Raw::bind(&path).unwrap());
    assert!(path.exists());
    meet(&loose(), &path).await;
}

#[tokio::test]
async fn abstract_names_need_no_file() {
    let name = format!("postroad-test-datagram-{}", std::process::id());
    let listener = loose().local(LocalEndpoint::abstract_name(&name)).listen().await.unwrap();
    let client = loose().remote(RemoteEndpoint::abstract_name(&name)).initiate().timeout(PATIENCE).await.unwrap();
    client.send("abstract").await.unwrap();
    let server = accept(&listener).await;
    assert_eq!(next(&server).await.unwrap().data, "abstract");
    server.send("answer").await.unwrap();
    assert_eq!(next(&client).await.unwrap().data, "answer");
}
