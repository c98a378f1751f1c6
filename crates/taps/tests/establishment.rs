//! Opening and listening on loopback: races, refusals, timeouts, and what is left when nobody waits any more.

mod common;

use std::future::{Future, IntoFuture};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::{PATIENCE, listen, pair};
use postroad_taps::{
    AttemptError, ConfigurationError, EndpointAddress, EstablishmentErrorKind, ListenError, LocalEndpoint,
    Preconnection, RemoteEndpoint, Security,
};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled)
}

fn port(address: &EndpointAddress) -> u16 {
    address.ip().unwrap().port()
}

/// A port of 127.0.0.1 where nobody listens. It stays bound: one that was given back would be the next test's.
fn closed_port() -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// An address that never answers: a socket on 127.0.0.9 that listens with a full queue.
struct BlackHole {
    address: SocketAddr,
    _socket: Socket,
    _queue: Vec<Socket>,
}

impl BlackHole {
    fn new(port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let bind: SocketAddr = (Ipv4Addr::new(127, 0, 0, 9), port).into();
        socket.bind(&bind.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let queue = (0..4)
            .map(|_| {
                let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let _ = client.connect(&address.into());
                client
            })
            .collect();
        Self { address, _socket: socket, _queue: queue }
    }
}

#[tokio::test]
async fn what_is_missing_is_named_before_anything_is_opened() {
    let kind = |error: ConfigurationError| EstablishmentErrorKind::InvalidConfiguration(error);
    let error = clear().initiate().await.unwrap_err();
    assert_eq!(error.kind(), &kind(ConfigurationError::NoRemoteEndpoint));
    let error = clear().remote(RemoteEndpoint::host("localhost")).initiate().await.unwrap_err();
    assert_eq!(error.kind(), &kind(ConfigurationError::NoRemotePort));
    let error = clear().listen().await.unwrap_err();
    assert_eq!(error, ListenError::InvalidConfiguration(ConfigurationError::NoLocalEndpoint));
}

/// Case 1 (6): outside of a runtime nothing can be opened, and nothing need be to know what is missing.
#[test]
fn what_is_missing_is_told_without_a_socket() {
    let initiating = std::pin::pin!(clear().local(LocalEndpoint::host("127.0.0.1")).initiate().into_future());
    let error = at_once(initiating).unwrap_err();
    let missing = EstablishmentErrorKind::InvalidConfiguration(ConfigurationError::NoRemoteEndpoint);
    assert_eq!((error.kind(), error.attempts()), (&missing, &[][..]));
    let preconnection = clear().remote(RemoteEndpoint::host("127.0.0.1").port(1));
    let error = at_once(std::pin::pin!(preconnection.listen())).unwrap_err();
    assert_eq!(error, ListenError::InvalidConfiguration(ConfigurationError::NoLocalEndpoint));
}

/// What a future says when it is asked for the first time.
fn at_once<F: Future>(future: Pin<&mut F>) -> F::Output {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

#[tokio::test]
async fn a_refused_port_is_named_with_a_hint() {
    let address = closed_port();
    let error = clear().remote(address).initiate().await.unwrap_err();
    assert_eq!(error.kind(), &EstablishmentErrorKind::EstablishmentFailed);
    assert_eq!(error.attempts().len(), 1);
    assert_eq!(error.attempts()[0].address, address);
    assert_eq!(error.attempts()[0].error, AttemptError::Refused);
    assert_eq!(error.to_string(), format!("connection refused: is a server listening on {address}?"));
}

#[tokio::test]
async fn an_unknown_name_is_a_failed_resolution() {
    let host = "nobody.invalid";
    let error = clear().remote(RemoteEndpoint::host(host).port(1)).initiate().timeout(PATIENCE).await.unwrap_err();
    assert!(
        matches!(error.kind(), EstablishmentErrorKind::ResolutionFailed { host: failed, .. } if failed == host),
        "{error:?}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_black_hole_ends_in_a_timeout() {
    let hole = BlackHole::new(0);
    let start = Instant::now();
    let timeout = Duration::from_millis(300);
    let error = clear().remote(hole.address).initiate().timeout(timeout).await.unwrap_err();
    assert!(start.elapsed() >= timeout && start.elapsed() < PATIENCE);
    assert_eq!(error.kind(), &EstablishmentErrorKind::Timeout(timeout));
    assert_eq!(error.attempts().len(), 1);
    assert_eq!(error.attempts()[0].error, AttemptError::Unfinished);
    assert!(error.attempts()[0].elapsed >= timeout / 2);
}

#[tokio::test]
async fn a_local_endpoint_is_kept_and_its_family_decides() {
    // A port that is free, of an address that no other test uses.
    let own = Ipv4Addr::new(127, 0, 0, 8);
    let port = tokio::net::TcpListener::bind((own, 0)).await.unwrap().local_addr().unwrap().port();
    let server = listen(Security::Disabled).await;
    let client = clear().local(LocalEndpoint::address(own).port(port)).remote(server.local_endpoint());
    let client = client.initiate().await.unwrap();
    assert_eq!(client.local_endpoint().unwrap().ip().unwrap().port(), port);

    let other = clear().local(LocalEndpoint::host("::1")).remote(server.local_endpoint());
    let error = other.initiate().await.unwrap_err();
    let EstablishmentErrorKind::NoCandidates { host, rejected } = error.kind() else { panic!("{error}") };
    assert_eq!(host, "127.0.0.1");
    assert!(rejected.iter().any(|rejected| rejected.to_string() == "tcp: no address of the peer can be reached"));
}

#[tokio::test]
async fn a_preconnection_is_a_snapshot_and_makes_many() {
    let listener = listen(Security::Disabled).await;
    let preconnection = clear().remote(listener.local_endpoint());
    let first = preconnection.initiate();
    let preconnection = preconnection.remote(closed_port());
    let (one, two) = (first.await.unwrap(), preconnection.initiate().await);
    assert_eq!(one.remote_endpoint(), Some(listener.local_endpoint()));
    assert_eq!(two.unwrap_err().attempts()[0].error, AttemptError::Refused);
}

#[tokio::test]
async fn dropping_the_future_closes_the_attempt() {
    // A TLS client whose server never answers the handshake.
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let initiate = common::to(server.local_addr().unwrap().port(), common::Authority::new().trusted()).initiate();
    let task = tokio::spawn(async move { initiate.await.map(|_| ()) });
    let (mut accepted, _) = server.accept().await.unwrap();
    assert_eq!(accepted.read_u8().await.unwrap(), 22, "the handshake has begun");
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let mut rest = Vec::new();
    // An orderly end or a reset: either way the socket is gone.
    let _ = tokio::time::timeout(PATIENCE, accepted.read_to_end(&mut rest)).await.expect("the socket was left open");
}

#[tokio::test]
async fn a_listener_on_a_name_stands_on_all_its_addresses() {
    let listener = clear().local(LocalEndpoint::host("localhost")).listen().await.unwrap();
    assert!(!listener.local_endpoints().is_empty());
    for address in listener.local_endpoints() {
        assert_eq!(port(address), port(listener.local_endpoint()));
        let (accepted, client) = tokio::join!(listener.accept(), async { clear().remote(address).initiate().await });
        assert_eq!(accepted.unwrap().unwrap().local_endpoint(), Some(address));
        client.unwrap();
    }
}

#[tokio::test]
async fn any_address_takes_both_families_where_there_are_both() {
    let listener = clear().local(LocalEndpoint::any()).listen().await.unwrap();
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_endpoint().ip().unwrap().port()));
    let (accepted, client) = tokio::join!(listener.accept(), async { clear().remote(v4).initiate().await });
    // A client by IPv4 is seen as one, whatever the socket is.
    assert_eq!(accepted.unwrap().unwrap().remote_endpoint(), client.unwrap().local_endpoint());
}

#[tokio::test]
async fn an_address_in_use_and_a_foreign_one_are_named() {
    let listener = listen(Security::Disabled).await;
    let address = listener.local_endpoint().clone();
    let error = clear().local(&address).listen().await.unwrap_err();
    assert_eq!(error, ListenError::AddressInUse { address });
    // TEST-NET-1 (RFC 5737) is nobody's.
    let foreign: SocketAddr = "192.0.2.1:0".parse().unwrap();
    let error = clear().local(foreign).listen().await.unwrap_err();
    assert_eq!(error, ListenError::NotLocal { address: foreign.into() });
}

#[tokio::test]
async fn stop_ends_the_wait_and_spares_connections() {
    let listener = std::sync::Arc::new(listen(Security::Disabled).await);
    let client = clear().remote(listener.local_endpoint());
    let (server, first) = tokio::join!(listener.accept(), async { client.initiate().await });
    let (mut server, mut first) =
        (server.unwrap().unwrap().into_byte_stream().unwrap(), first.unwrap().into_byte_stream().unwrap());
    let waiting = tokio::spawn({
        let listener = listener.clone();
        async move { listener.accept().await.map(|connection| connection.is_none()) }
    });
    tokio::task::yield_now().await;
    listener.stop();
    assert!(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap());
    assert!(listener.accept().await.unwrap().is_none());
    assert_eq!(client.initiate().await.unwrap_err().attempts()[0].error, AttemptError::Refused);
    first.write_all(b"!").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'!');
}

#[tokio::test]
async fn several_tasks_may_wait_for_clients() {
    let listener = std::sync::Arc::new(listen(Security::Disabled).await);
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let listener = listener.clone();
            tokio::spawn(async move { port(listener.accept().await.unwrap().unwrap().remote_endpoint().unwrap()) })
        })
        .collect();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(clear().remote(listener.local_endpoint()).initiate().await.unwrap());
    }
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap());
    }
    let mut expected: Vec<_> = clients.iter().map(|client| port(client.local_endpoint().unwrap())).collect();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn readiness_of_clear_text_follows_the_bytes() {
    let (server, client) = pair(clear(), clear()).await;
    let (mut server, mut client) = (server.into_byte_stream().unwrap(), client.into_byte_stream().unwrap());
    assert!(server.tls_info().is_none());
    let early = std::future::poll_fn(|cx| Poll::Ready(server.poll_read_ready(cx).is_ready())).await;
    assert!(!early);
    client.write_all(b"a").await.unwrap();
    std::future::poll_fn(|cx| server.poll_read_ready(cx)).await.unwrap();
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 1);
    let more = std::future::poll_fn(|cx| Poll::Ready(server.poll_read_ready(cx).is_ready())).await;
    assert!(!more);
}
