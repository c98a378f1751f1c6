//! Unix sockets: streams and sequenced packets, abstract names, who the peer is, and the files that sockets leave.
#![cfg(unix)]

use std::path::Path;
use std::time::Duration;

use postroad_taps::{
    AttemptError, Connection, LengthPrefix, ListenError, Listener, LocalEndpoint, Message, Preconnection,
    ProtocolStack, ReceiveError, RemoteEndpoint, Security, SelectionProperty, SendError, TransportProperties,
    UnixAddress,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

fn streams() -> Preconnection {
    let properties = TransportProperties::new().prohibit(SelectionProperty::PreserveMsgBoundaries);
    Preconnection::new().security(Security::Disabled).properties(properties).framer(LengthPrefix::new)
}

#[cfg(target_os = "linux")]
fn packets() -> Preconnection {
    let properties = TransportProperties::new().require(SelectionProperty::PreserveMsgBoundaries);
    Preconnection::new().security(Security::Disabled).properties(properties)
}

async fn meet(preconnection: &Preconnection, local: LocalEndpoint, remote: RemoteEndpoint) -> (Connection, Connection) {
    let listener = preconnection.clone().local(local).listen().await.unwrap();
    let client = preconnection.clone().remote(remote);
    let (accepted, initiated) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
    (accepted.unwrap().unwrap(), initiated.unwrap())
}

async fn at(preconnection: &Preconnection, path: &Path) -> (Connection, Connection) {
    meet(preconnection, LocalEndpoint::path(path), RemoteEndpoint::path(path)).await
}

async fn next(connection: &Connection) -> Result<Message, ReceiveError> {
    timeout(PATIENCE, connection.receive()).await.expect("nothing was received")
}

async fn listen(path: &Path) -> Result<Listener, ListenError> {
    streams().local(LocalEndpoint::path(path)).listen().await
}

#[tokio::test]
async fn a_stream_knows_both_addresses_and_who_the_peer_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream");
    let (server, client) = at(&streams(), &path).await;
    client.send("hello").await.unwrap();
    assert_eq!(next(&server).await.unwrap().data, "hello");
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::UnixStream));
    assert_eq!(client.remote_endpoint().unwrap().to_string(), format!("unix:{}", path.display()));
    for end in [&client, &server] {
        let peer = end.peer_credentials().unwrap();
        assert!(peer.process().is_none_or(|process| process == std::process::id() as i32), "{peer:?}");
    }
    assert_eq!(client.peer_credentials().map(|peer| peer.user()), server.peer_credentials().map(|peer| peer.user()));
}

#[tokio::test]
async fn a_file_that_was_left_behind_is_no_obstacle_and_a_listener_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("left behind");
    // A process that ends without its last words leaves its file.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = listen(&path).await.unwrap();
    assert!(matches!(listen(&path).await, Err(ListenError::AddressInUse { .. })));
    listener.stop();
    drop(listener);
    assert!(!path.exists(), "the file goes with its socket");
}

#[tokio::test]
async fn what_is_in_the_way_of_a_path_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter");
    std::fs::write(&path, "precious").unwrap();
    let address = || UnixAddress::path(&path).into();
    let error = listen(&path).await.unwrap_err();
    assert_eq!(error, ListenError::NotASocket { address: address() });
    assert!(error.to_string().contains("another path"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let nowhere = folder.path().join("no/socket");
    let error = listen(&nowhere).await.unwrap_err();
    assert_eq!(error, ListenError::NoFolder { address: UnixAddress::path(&nowhere).into() });
    let connect = |path: &Path| streams().remote(RemoteEndpoint::path(path)).initiate().timeout(PATIENCE);
    let error = connect(&nowhere).await.unwrap_err();
    assert_eq!(error.attempts()[0].error, AttemptError::Absent);
    assert!(error.to_string().contains("is a server listening there?"), "{error}");
    let error = connect(&path).await.unwrap_err();
    assert_eq!(error.attempts()[0].error, AttemptError::Refused);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn packets_keep_messages_apart_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packets");
    let (server, client) = at(&packets(), &path).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::UnixSeqpacket));
    assert_eq!(server.protocol_stack(), Some(ProtocolStack::UnixSeqpacket));
    assert!(client.preserves_boundaries());
    for body in [&b"one"[..], b"", b"three"] {
        client.send(body).await.unwrap();
    }
    for body in [&b"one"[..], b"", b"three"] {
        assert_eq!(next(&server).await.unwrap().data, body);
    }
    server.send(vec![7; 100_000]).await.unwrap();
    assert_eq!(next(&client).await.unwrap().data, vec![7; 100_000]);
    let peer = server.peer_credentials().unwrap();
    assert_eq!(peer.process(), Some(std::process::id() as i32));
    assert_eq!(client.remote_endpoint().unwrap().to_string(), format!("unix:{}", path.display()));
    assert!(!path.exists(), "the listener is gone, and its file with it");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_empty_message_is_none_of_the_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = at(&packets(), &folder.path().join("empty")).await;
    client.send("").await.unwrap();
    client.send(Message::new("").last()).await.unwrap();
    assert_eq!(next(&server).await.unwrap().data, "");
    assert_eq!(next(&server).await.unwrap().data, "");
    assert_eq!(next(&server).await.unwrap_err(), ReceiveError::Closed);
    // The other direction goes on.
    server.send("still").await.unwrap();
    assert_eq!(next(&client).await.unwrap().data, "still");
    server.close().await.unwrap();
    assert_eq!(next(&client).await.unwrap_err(), ReceiveError::Closed);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_message_over_the_systems_limit_is_refused_and_the_connection_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = at(&packets(), &folder.path().join("long")).await;
    let error = client.send(vec![0; 8 << 20]).await.unwrap_err();
    let SendError::MessageTooLarge { size, limit } = error else { panic!("{error:?}") };
    assert_eq!(size, 8 << 20);
    // The limit is the longest that works.
    let sending = client.send(vec![1; limit as usize]);
    let (sent, received) = tokio::join!(sending, next(&server));
    sent.unwrap();
    assert_eq!(received.unwrap().data.len() as u64, limit);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_that_receives_nothing_holds_up_the_sender() {
    let folder = tempfile::tempdir().unwrap();
    let (server, client) = at(&packets(), &folder.path().join("slow")).await;
    let mut sent = 0u32;
    while timeout(Duration::from_millis(100), client.send(sent.to_be_bytes().repeat(1000))).await.is_ok() {
        sent += 1;
        assert!(sent < 100_000, "nothing holds up the sender");
    }
    let finished = tokio::spawn(async move { client.close().await });
    for number in 0..sent {
        assert_eq!(next(&server).await.unwrap().data[..4], number.to_be_bytes());
    }
    // The one that was dropped while it waited arrives whole or not at all.
    match next(&server).await {
        Ok(message) => assert_eq!(message.data, sent.to_be_bytes().repeat(1000)),
        Err(error) => assert_eq!(error, ReceiveError::Closed),
    }
    finished.await.unwrap().unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn abstract_names_need_no_file() {
    let name = format!("postroad-test-{}", std::process::id());
    for preconnection in [streams(), packets()] {
        let (local, remote) = (LocalEndpoint::abstract_name(&name), RemoteEndpoint::abstract_name(&name));
        let (server, client) = meet(&preconnection, local, remote).await;
        assert_eq!(client.remote_endpoint().unwrap().to_string(), format!("unix:@{name}"));
        client.send("abstract").await.unwrap();
        assert_eq!(next(&server).await.unwrap().data, "abstract");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_finds_out_which_kind_of_socket_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("either");
    let listener = packets().local(LocalEndpoint::path(&path)).listen().await.unwrap();
    let either = Preconnection::new().security(Security::Disabled).remote(RemoteEndpoint::path(&path));
    let (accepted, initiated) = tokio::join!(listener.accept(), async { either.initiate().timeout(PATIENCE).await });
    accepted.unwrap().unwrap();
    assert_eq!(initiated.unwrap().protocol_stack(), Some(ProtocolStack::UnixSeqpacket));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_waits_for_a_place_in_the_listeners_queue() {
    use socket2::{Domain, SockAddr, Socket, Type};
    for (preconnection, kind) in [(streams(), Type::STREAM), (packets(), Type::SEQPACKET)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        // A queue with one place.
        let listener = Socket::new(Domain::UNIX, kind, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let remote = preconnection.remote(RemoteEndpoint::path(&path));
        let _first = remote.initiate().timeout(PATIENCE).await.unwrap();
        let mut late = tokio::spawn(async move { remote.initiate().timeout(PATIENCE).await });
        let waiting = timeout(Duration::from_millis(50), &mut late).await;
        assert!(waiting.is_err(), "{waiting:?}");
        let _accepted = listener.accept().unwrap();
        late.await.unwrap().unwrap();
    }
}
