//! A build with TCP and memory alone: what needs more is refused, by its name, before anything is opened.
#![cfg(not(feature = "tls"))]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use postroad_taps::{
    EstablishmentError, EstablishmentErrorKind, LengthPrefix, ListenError, LocalEndpoint, Preconnection, Protocol,
    ProtocolStack, Rejected, Rejection, RemoteEndpoint, Security, TlsConfig, TransportProperties,
};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// What asks for security, the default first.
fn wishes() -> [Preconnection; 3] {
    let asking = |security: Security| Preconnection::new().security(security);
    [Preconnection::new(), asking(Security::Opportunistic), asking(TlsConfig::default().into())]
}

fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled)
}

fn server() -> (TcpListener, SocketAddr) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

fn rejected(error: &EstablishmentError) -> &[Rejected] {
    assert!(error.attempts().is_empty(), "{error}");
    match error.kind() {
        EstablishmentErrorKind::NoCandidates { rejected, .. } => rejected,
        other => panic!("{other}"),
    }
}

fn reason(rejected: &[Rejected], stack: ProtocolStack) -> Option<&Rejection> {
    rejected.iter().find(|rejected| rejected.stack == Some(stack)).map(|rejected| &rejected.reason)
}

/// Every way in clear text is refused for that, and every way under TLS for the feature.
fn assert_refused(rejected: &[Rejected]) {
    assert_eq!(reason(rejected, ProtocolStack::Tls), Some(&Rejection::NotBuilt { feature: Some("tls") }));
    assert_eq!(reason(rejected, ProtocolStack::Tcp), Some(&Rejection::Clear));
    assert!(rejected.iter().all(|rejected| matches!(rejected.reason, Rejection::NotBuilt { .. } | Rejection::Clear)));
}

#[tokio::test]
async fn a_client_that_wants_security_opens_nothing() {
    let (server, address) = server();
    for wish in wishes() {
        let error = wish.remote(address).initiate().timeout(PATIENCE).await.unwrap_err();
        assert_refused(rejected(&error));
        assert!(error.to_string().contains("tls/tcp: it is not built in: feature `tls`"), "{error}");
    }
    assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody has come");
}

#[tokio::test]
async fn what_would_be_tried_says_the_same() {
    let error = Preconnection::new().remote(SocketAddr::from(([127, 0, 0, 1], 1))).candidates().await.unwrap_err();
    assert_refused(rejected(&error));
}

#[tokio::test]
async fn a_listener_that_wants_security_opens_nothing() {
    for wish in wishes() {
        match wish.clone().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap_err() {
            ListenError::NoCandidates { rejected, .. } => assert_refused(&rejected),
            other => panic!("{other}"),
        }
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        match wish.listen_on_tcp(socket).unwrap_err() {
            ListenError::NoCandidates { rejected, .. } => {
                assert_eq!(rejected[0].reason, Rejection::NotBuilt { feature: Some("tls") });
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_rendezvous_that_wants_security_opens_nothing() {
    let (server, address) = server();
    let local = LocalEndpoint::host("127.0.0.1").port(1);
    let error = Preconnection::new().local(local).remote(address).rendezvous().timeout(PATIENCE).await.unwrap_err();
    assert_refused(rejected(&error));
    assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody has come");
}

#[tokio::test]
async fn clear_text_that_is_asked_for_is_had() {
    for place in [LocalEndpoint::host("127.0.0.1"), LocalEndpoint::memory("without-tls")] {
        let framed = clear().framer(LengthPrefix::new);
        let listener = framed.clone().local(place).listen().await.unwrap();
        let client = framed.remote(listener.local_endpoint()).initiate().timeout(PATIENCE).await.unwrap();
        client.send("hello").await.unwrap();
        let server = listener.accept().await.unwrap().unwrap();
        assert_eq!(server.receive().await.unwrap().data, "hello");
        assert!(client.tls_info().is_none());
    }
}

/// The names of protocols are there whatever is built in; each tells which feature it lacks.
#[tokio::test]
async fn a_protocol_that_is_not_built_in_names_its_feature() {
    let properties = TransportProperties::unreliable_datagram();
    for (protocol, stack, feature) in [
        (Protocol::Quic, ProtocolStack::QuicStream, "quic"),
        (Protocol::Udp, ProtocolStack::Udp, "udp"),
        (Protocol::WebSocket, ProtocolStack::WebSocket, "websocket"),
    ] {
        let remote = RemoteEndpoint::host("127.0.0.1").port(1).protocol(protocol);
        let error = clear().properties(properties.clone()).remote(remote).initiate().await.unwrap_err();
        assert_eq!(reason(rejected(&error), stack), Some(&Rejection::NotBuilt { feature: Some(feature) }));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_not_taken_without_its_feature() {
    use postroad_taps::{AdoptError, ByteStream};

    let error = clear().remote(RemoteEndpoint::path("/nowhere")).initiate().await.unwrap_err();
    let reason = reason(rejected(&error), ProtocolStack::UnixStream);
    assert_eq!(reason, Some(&Rejection::NotBuilt { feature: Some("unix") }));
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let adopted = ByteStream::from_owned_fd(socket.into());
    assert_eq!(adopted.unwrap_err(), AdoptError::NotBuilt { feature: "unix" });
}
