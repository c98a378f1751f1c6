//! What a connection is made of follows the properties and the endpoints, over real sockets.

use postroad_taps::{
    EstablishmentErrorKind, InterfaceType, Listener, LocalEndpoint, Multipath, Preconnection, Preference,
    ProtocolStack, RemoteEndpoint, Security, SelectionProperty as P, Tlv, TransportProperties,
};

fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled)
}

async fn server() -> Listener {
    clear().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap()
}

/// The reasons why nothing was tried.
async fn rejected(preconnection: Preconnection) -> Vec<String> {
    let error = preconnection.initiate().await.unwrap_err();
    assert!(error.attempts().is_empty(), "{error}");
    match error.kind() {
        EstablishmentErrorKind::NoCandidates { rejected, .. } => rejected.iter().map(ToString::to_string).collect(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn boundaries_are_required_of_a_framer_where_the_transport_has_none() {
    // RFC 9622 6.2.2.
    let server = server().await;
    let properties = TransportProperties::new().require(P::PreserveMsgBoundaries);
    let bare = clear().remote(server.local_endpoint()).properties(properties);
    let reasons = rejected(bare.clone()).await;
    assert!(reasons.contains(&"tcp: preserveMsgBoundaries is required, and it has it never".to_owned()), "{reasons:?}");
    let framed = bare.framer(Tlv::new).initiate().await.unwrap();
    assert_eq!(framed.remote_endpoint().unwrap(), server.local_endpoint());
}

#[tokio::test]
async fn who_prohibits_reliability_is_not_given_tcp() {
    let server = server().await;
    let properties = TransportProperties::unreliable_datagram().ignore(P::PreserveMsgBoundaries);
    let only_tcp = RemoteEndpoint::host("127.0.0.1")
        .port(server.local_endpoint().ip().unwrap().port())
        .protocol(postroad_taps::Protocol::Tcp);
    let reasons = rejected(clear().remote(only_tcp).properties(properties)).await;
    assert!(reasons.contains(&"tcp: reliability is prohibited, and it has it always".to_owned()), "{reasons:?}");
}

#[tokio::test]
async fn one_of_several_endpoints_is_reached() {
    // RFC 9622 6.1: a port where nobody listens, a name that does not exist, and a server.
    let closed = server().await.local_endpoint().ip().unwrap();
    let unknown = RemoteEndpoint::host("unknown.invalid").port(1);
    let server = server().await;
    let client = clear().remote(closed).add_remote(unknown).add_remote(server.local_endpoint());
    let connection = client.initiate().await.unwrap();
    assert_eq!(connection.remote_endpoint().unwrap(), server.local_endpoint());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn interfaces_are_required_and_prohibited() {
    // RFC 9622 6.2.11.
    let server = server().await;
    let with = |interface: &str, preference| {
        let properties = TransportProperties::new().interface(interface, preference);
        clear().remote(server.local_endpoint()).properties(properties)
    };
    let over = with("lo", Preference::Require).initiate().await.unwrap();
    assert_eq!(over.remote_endpoint().unwrap(), server.local_endpoint());
    assert!(
        rejected(with("lo", Preference::Prohibit)).await.contains(&"lo: the interface lo is prohibited".to_owned())
    );
    assert!(
        rejected(with("none0", Preference::Require)).await.contains(&"lo: the interface none0 is required".to_owned())
    );
    let by_type = TransportProperties::new().interface(InterfaceType::Loopback, Preference::Require);
    clear().remote(server.local_endpoint()).properties(by_type).initiate().await.unwrap();
}

#[tokio::test]
async fn multipath_falls_back_to_one_path() {
    // RFC 9622 6.2.14: the server has TCP alone, and a system without MPTCP goes on with TCP itself.
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let properties = TransportProperties::new().with_multipath(Multipath::Active);
    let client = clear().remote(address).properties(properties);
    #[cfg(target_os = "linux")]
    assert_eq!(client.candidates().await.unwrap().candidates().next().unwrap().stack(), ProtocolStack::Mptcp);
    let connection = client.initiate().await.unwrap();
    assert_eq!(connection.remote_endpoint().unwrap(), &address);
    assert_eq!(connection.protocol_stack(), Some(ProtocolStack::Tcp));
    assert_eq!(connection.properties().get("multipath"), Ok(false.into()));
}

#[tokio::test]
async fn the_attempts_name_their_stacks() {
    let closed = server().await.local_endpoint().ip().unwrap();
    let properties = TransportProperties::new().with_multipath(Multipath::Active);
    let error = clear().remote(closed).properties(properties).initiate().await.unwrap_err();
    let last = error.attempts().last().unwrap();
    assert_eq!((last.stack, last.address.ip()), (ProtocolStack::Tcp, Some(closed)));
}

#[tokio::test]
async fn what_would_be_tried_can_be_read() {
    let generic = RemoteEndpoint::host("192.0.2.1").port(443);
    let tcp = RemoteEndpoint::host("192.0.2.1").port(444).protocol(postroad_taps::Protocol::Tcp);
    let tree = clear().remote(generic).add_remote(tcp).candidates().await.unwrap();
    let text = tree.to_string();
    assert!(
        text.starts_with("1 [192.0.2.1:443 or 192.0.2.1:444]\n  1.1 [any path]\n    1.1.1 [any path, tcp] "),
        "{text}"
    );
    assert!(text.contains("      1.1.1.1 [192.0.2.1:444, any path, tcp]\n"), "{text}");
    assert!(text.contains("rejected: tls/tcp: clear text is asked for, and it always encrypts\n"), "{text}");
}
