//! Several protocols of one peer: on one port, and on ports of their own (RFC 9622 6.1.3, 7.2 and 7.4, RFC 9623 4.7).
#![cfg(all(feature = "quic", feature = "udp"))]

mod common;

use std::future::IntoFuture;

use common::{Authority, PATIENCE};
use postroad_taps::{
    Connection, LengthPrefix, Listener, LocalEndpoint, Preconnection, Protocol, ProtocolStack, RemoteEndpoint,
    Security, SelectionProperty, TlsConfig, TransportProperties,
};
use tokio::time::timeout;

/// A server and its clients, who agree on an application protocol: QUIC needs one.
struct Secured {
    authority: Authority,
}

impl Secured {
    fn new() -> Self {
        Self { authority: Authority::new() }
    }

    fn client(&self) -> Preconnection {
        let tls = TlsConfig::builder().roots_pem(&self.authority.pem).alpn(["post/1"]).build().unwrap();
        // What the tests teach each other is none of their business.
        let mut properties = TransportProperties::new();
        properties.connection.isolate_session = true;
        Preconnection::new().security(tls).properties(properties).framer(LengthPrefix::new)
    }

    async fn listen(&self, change: impl Fn(LocalEndpoint) -> LocalEndpoint) -> Listener {
        let identity = self.authority.server();
        let tls = TlsConfig::builder().server_certificate_pem(&identity.chain, &identity.key).alpn(["post/1"]);
        let preconnection = Preconnection::new().security(tls.build().unwrap()).framer(LengthPrefix::new);
        preconnection.local(change(LocalEndpoint::host("127.0.0.1"))).listen().await.unwrap()
    }
}

fn port(listener: &Listener) -> u16 {
    listener.local_endpoint().ip().unwrap().port()
}

fn at(port: u16) -> RemoteEndpoint {
    RemoteEndpoint::host("localhost").ip_address([127, 0, 0, 1]).port(port)
}

async fn soon<F: IntoFuture>(future: F) -> F::Output {
    timeout(PATIENCE, future.into_future()).await.expect("it happens soon")
}

/// Connects and speaks first: over QUIC and UDP a listener hears of nobody else.
async fn greet(listener: &Listener, client: Preconnection) -> (Connection, Connection) {
    let speaking = async {
        let client = client.initiate().await.unwrap();
        client.send("hello").await.unwrap();
        client
    };
    let (client, server) = soon(async { tokio::join!(speaking, listener.accept()) }).await;
    let server = server.unwrap().unwrap();
    assert_eq!(soon(server.receive()).await.unwrap().data, "hello");
    soon(server.send("who is it?")).await.unwrap();
    assert_eq!(soon(client.receive()).await.unwrap().data, "who is it?");
    (client, server)
}

/// Case 28 (RFC 9623 4.7): clients of TCP, under TLS, and of QUIC come to one port number.
#[tokio::test]
async fn one_listener_takes_clients_of_tls_and_of_quic() {
    let secured = Secured::new();
    let listener = secured.listen(|local| local).await;
    assert_eq!(listener.local_endpoints().len(), 1, "protocols that share an address are one entry");
    let expected = [(Protocol::Tcp, ProtocolStack::Tls), (Protocol::Quic, ProtocolStack::QuicStream)];
    for (protocol, stack) in expected.into_iter().chain(expected) {
        let remote = at(port(&listener)).protocol(protocol);
        let (client, server) = greet(&listener, secured.client().remote(remote)).await;
        assert_eq!((client.protocol_stack(), server.protocol_stack()), (Some(stack), Some(stack)));
        assert!(server.tls_info().is_some());
    }
}

/// Case 28: and in clear text those of TCP and of UDP, where messages may be lost and arrive twice.
#[tokio::test]
async fn one_listener_takes_clients_of_tcp_and_of_udp() {
    let properties = || {
        TransportProperties::new()
            .ignore(SelectionProperty::Reliability)
            .ignore(SelectionProperty::PreserveOrder)
            .ignore(SelectionProperty::CongestionControl)
            .with_safely_replayable(true)
    };
    let clear = || Preconnection::new().security(Security::Disabled).properties(properties()).framer(LengthPrefix::new);
    let listener = clear().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap();
    let expected = [(Protocol::Tcp, ProtocolStack::Tcp), (Protocol::Udp, ProtocolStack::Udp)];
    for (protocol, stack) in expected.into_iter().chain(expected) {
        let remote = at(port(&listener)).protocol(protocol);
        let (client, server) = greet(&listener, clear().remote(remote)).await;
        assert_eq!((client.protocol_stack(), server.protocol_stack()), (Some(stack), Some(stack)));
    }
}

/// Case 27 (6.1.3): QUIC has a port of its own; where nobody is there, the generic one is used, and the other way round.
#[tokio::test]
async fn an_endpoint_of_a_protocol_and_the_generic_one_stand_in_for_each_other() {
    let secured = Secured::new();
    let tls = secured.listen(|local| local.protocol(Protocol::Tcp)).await;
    let quic = secured.listen(|local| local.protocol(Protocol::Quic)).await;
    let both = secured.client().remote(at(port(&tls))).add_remote(at(port(&quic)).protocol(Protocol::Quic));
    let (client, _server) = greet(&quic, both.clone()).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::QuicStream));
    assert_eq!(client.remote_endpoint(), Some(quic.local_endpoint()));
    drop((client, _server));

    // Nobody speaks QUIC any more.
    drop(quic);
    let (client, _server) = greet(&tls, both.clone()).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::Tls));
    assert_eq!(client.remote_endpoint(), Some(tls.local_endpoint()));

    // Now it is TCP that nobody speaks.
    let generic = at(port(&tls));
    drop(tls);
    let quic = secured.listen(|local| local.protocol(Protocol::Quic)).await;
    let both = secured.client().remote(generic).add_remote(at(port(&quic)).protocol(Protocol::Quic));
    let (client, _server) = greet(&quic, both).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::QuicStream));
}

/// Case 35 (RFC 9623 9.2, RFC 9622 8.1.10): where QUIC has failed, TCP goes first; an isolated session does not know.
#[tokio::test]
async fn what_has_failed_is_tried_later_unless_the_session_is_isolated() {
    let secured = Secured::new();
    let tls = secured.listen(|local| local.protocol(Protocol::Tcp)).await;
    let isolated = secured.client().remote(at(port(&tls)));
    let known = isolated.clone().properties(TransportProperties::new());
    let order = async |preconnection: &Preconnection| -> Vec<ProtocolStack> {
        preconnection.candidates().await.unwrap().candidates().map(|candidate| candidate.stack()).collect()
    };
    let quic_first = [ProtocolStack::QuicStream, ProtocolStack::Tls];
    assert_eq!(order(&known).await, quic_first);
    // Nobody speaks QUIC at the port.
    let error = soon(known.clone().remote(at(port(&tls)).protocol(Protocol::Quic)).initiate()).await.unwrap_err();
    assert_eq!(error.attempts()[0].stack, ProtocolStack::QuicStream, "{error}");
    assert_eq!(order(&known).await, [ProtocolStack::Tls, ProtocolStack::QuicStream]);
    assert_eq!(order(&isolated).await, quic_first);
}

/// Case 37 (7.4): over QUIC a clone has the socket and the association of its original, and both know the group.
#[tokio::test]
async fn a_clone_over_quic_shares_the_association() {
    let secured = Secured::new();
    let listener = secured.listen(|local| local.protocol(Protocol::Quic)).await;
    let (client, server) =
        greet(&listener, secured.client().remote(at(port(&listener)).protocol(Protocol::Quic))).await;
    let clone = soon(client.clone_connection()).await.unwrap();
    soon(clone.send("from the clone")).await.unwrap();
    let other = soon(listener.accept()).await.unwrap().unwrap();
    assert_eq!(soon(other.receive()).await.unwrap().data, "from the clone");
    assert_eq!(client.local_endpoint(), clone.local_endpoint());
    assert_eq!(server.remote_endpoint(), other.remote_endpoint());
    assert!(client.is_grouped_with(&clone) && server.is_grouped_with(&other));
    assert_eq!([client.grouped_connections().len(), clone.grouped_connections().len()], [2, 2]);
    // One is closed alone (10).
    soon(clone.close()).await.unwrap();
    soon(client.send("still")).await.unwrap();
    assert_eq!(soon(server.receive()).await.unwrap().data, "still");
}

/// Case 29 (7.2): over UDP the first datagram makes the connection and is received on it; another peer is another connection,
/// and the same one is not.
#[tokio::test]
async fn each_peer_over_udp_is_a_connection_from_its_first_datagram() {
    let properties = || TransportProperties::unreliable_datagram();
    let clear = || Preconnection::new().security(Security::Disabled).properties(properties());
    let listener = clear().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap();
    let remote = || clear().remote(at(port(&listener)).protocol(Protocol::Udp));
    let (one, two) = (soon(remote().initiate()).await.unwrap(), soon(remote().initiate()).await.unwrap());
    let nobody = timeout(std::time::Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "nobody has said a word");
    soon(one.send("one")).await.unwrap();
    let first = soon(listener.accept()).await.unwrap().unwrap();
    soon(one.send("one again")).await.unwrap();
    soon(two.send("two")).await.unwrap();
    let second = soon(listener.accept()).await.unwrap().unwrap();
    assert_eq!(soon(first.receive()).await.unwrap().data, "one");
    assert_eq!(soon(first.receive()).await.unwrap().data, "one again");
    assert_eq!(soon(second.receive()).await.unwrap().data, "two");
    assert_eq!(first.remote_endpoint(), one.local_endpoint());
    assert_eq!(second.remote_endpoint(), two.local_endpoint());
}
