//! Multipath TCP on loopback: when it is used, what it falls back to, and what it does not have. Conformance cases 36 and 59.
#![cfg(target_os = "linux")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Authority, PATIENCE, listen_with};
use postroad_sys::mptcp;
use postroad_taps::{
    Connection, Multipath, Preconnection, PropertyError, PropertyValue, ProtocolStack, RemoteEndpoint, Security,
    TransportProperties,
};
use socket2::Domain;
use tokio::net::TcpListener;

/// Whether this kernel has Multipath TCP, and nobody has switched it off.
fn is_possible() -> bool {
    let possible = mptcp::socket(Domain::IPV4).is_ok();
    if !possible {
        eprintln!("skipped: this machine has no Multipath TCP");
    }
    possible
}

fn clear(multipath: Option<Multipath>) -> Preconnection {
    with(TransportProperties::new().with_multipath(multipath))
}

fn with(properties: TransportProperties) -> Preconnection {
    Preconnection::new().security(Security::Disabled).properties(properties)
}

fn in_use(connection: &Connection) -> (ProtocolStack, PropertyValue) {
    (connection.protocol_stack().unwrap(), connection.properties().get("multipath").unwrap())
}

/// Both ends of one connection, over whichever protocol the client has selected.
async fn pair(server: Preconnection, client: Preconnection) -> (Connection, Connection) {
    let listener = listen_with(server).await;
    let port = listener.local_endpoint().ip().unwrap().port();
    let client = client.remote(RemoteEndpoint::host("127.0.0.1").port(port));
    let (accepted, initiated) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
    (accepted.unwrap().unwrap(), initiated.unwrap())
}

/// A server of the test's own: whether the client that comes is a multipath one is the kernel's word.
async fn serve(multipath: bool) -> (TcpListener, SocketAddr) {
    let socket = match multipath {
        true => mptcp::socket(Domain::IPV4).unwrap(),
        false => socket2::Socket::new(Domain::IPV4, socket2::Type::STREAM, None).unwrap(),
    };
    socket.set_nonblocking(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(8).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Case 36, RFC 9622 6.2.14.
#[tokio::test]
async fn a_client_uses_several_paths_where_it_is_told_to() {
    if !is_possible() {
        return;
    }
    for (wanted, server, used) in [
        (None, true, false),
        (Some(Multipath::Disabled), true, false),
        (Some(Multipath::Active), true, true),
        (Some(Multipath::Active), false, false),
    ] {
        let (listener, address) = serve(server).await;
        let client = clear(wanted).remote(postroad_taps::EndpointAddress::from(address));
        let (accepted, connection) =
            tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await.unwrap() });
        let (accepted, _) = accepted.unwrap();
        assert_eq!(mptcp::info(&accepted).unwrap().is_some(), used, "{wanted:?} with {server}");
        let stack = if used { ProtocolStack::Mptcp } else { ProtocolStack::Tcp };
        assert_eq!(in_use(&connection), (stack, used.into()), "{wanted:?} with {server}");
        connection.send("a message").await.unwrap();
    }
}

/// RFC 9622 6.2.14: a listener is passive by default. It takes what its clients offer.
#[tokio::test]
async fn a_listener_takes_both() {
    if !is_possible() {
        return;
    }
    let (both, tcp, mptcp) = (None, ProtocolStack::Tcp, ProtocolStack::Mptcp);
    for (listener, client, stack) in [
        (both, None, tcp),
        (both, Some(Multipath::Active), mptcp),
        (Some(Multipath::Active), Some(Multipath::Active), mptcp),
        (Some(Multipath::Disabled), Some(Multipath::Active), tcp),
    ] {
        let (accepted, initiated) = pair(clear(listener), clear(client)).await;
        assert_eq!(in_use(&accepted), (stack, (stack == mptcp).into()), "{listener:?} and {client:?}");
        assert_eq!(in_use(&initiated), (stack, (stack == mptcp).into()), "{listener:?} and {client:?}");
    }
}

#[tokio::test]
async fn tls_goes_over_several_paths_too() {
    if !is_possible() {
        return;
    }
    let authority = Authority::new();
    let server = Preconnection::new().security(authority.server().serve());
    let client = Preconnection::new()
        .security(authority.trusted())
        .properties(TransportProperties::new().with_multipath(Multipath::Active));
    let (accepted, initiated) = pair(server, client).await;
    assert_eq!(in_use(&accepted), (ProtocolStack::TlsMptcp, true.into()));
    assert_eq!(in_use(&initiated), (ProtocolStack::TlsMptcp, true.into()));
    assert!(initiated.tls_info().is_some());
}

/// Case 59, RFC 9622 8: what Multipath TCP does not have is an error, and the connection works on.
#[tokio::test]
async fn a_timeout_is_refused_and_the_connection_lives_on() {
    if !is_possible() {
        return;
    }
    let (server, client) = pair(clear(None), clear(Some(Multipath::Active))).await;
    if client.set_property("connTimeout", 30).is_ok() {
        eprintln!("skipped: this kernel has the user timeout for Multipath TCP");
        return;
    }
    let before = client.transport_properties();
    let refused = client.set_property("connTimeout", 30).unwrap_err();
    assert_eq!(refused, PropertyError::Unsupported { name: "connTimeout" });
    client.set_property("tcp.userTimeoutEnabled", true).unwrap_err();
    assert_eq!(client.transport_properties(), before);
    client.set_property("keepAliveTimeout", 30).unwrap();
    client.send("still here").await.unwrap();
    client.close().await.unwrap();
    assert_eq!(&server.receive().await.unwrap().data[..], b"still here");
}

/// A property that is wanted from the start is not dropped: the connection goes over TCP, which has it.
#[tokio::test]
async fn a_timeout_from_the_start_is_kept() {
    if !is_possible() {
        return;
    }
    let wanted = TransportProperties::new().with_multipath(Multipath::Active).conn_timeout(Duration::from_secs(30));
    let (probe, _peer) = pair(clear(None), clear(Some(Multipath::Active))).await;
    if probe.set_property("connTimeout", 30).is_ok() {
        eprintln!("skipped: this kernel has the user timeout for Multipath TCP");
        return;
    }
    let (accepted, initiated) = pair(clear(None), with(wanted.clone())).await;
    assert_eq!(in_use(&initiated), (ProtocolStack::Tcp, false.into()));
    assert_eq!(initiated.properties().connection().conn_timeout, Some(Duration::from_secs(30)));
    drop(accepted);
    // Nor does a listener offer what it could not keep.
    let (accepted, _client) = pair(with(wanted), clear(Some(Multipath::Active))).await;
    assert_eq!(in_use(&accepted), (ProtocolStack::Tcp, false.into()));
}
