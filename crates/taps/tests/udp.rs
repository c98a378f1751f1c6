//! UDP, selected by properties, as an application sees it.

use std::future::IntoFuture;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use postroad_taps::{
    CapacityProfile, Connection, EstablishmentErrorKind, Event, ListenError, Listener, LocalEndpoint, Message,
    Preconnection, Protocol, ProtocolStack, RemoteEndpoint, Security, SelectionProperty, SendError,
    TransportProperties,
};
use tokio::net::{TcpListener, UdpSocket};

async fn soon<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future.into_future()).await.expect("it happens soon")
}

/// What UDP has, and no more; messages may arrive twice.
fn unreliable() -> TransportProperties {
    TransportProperties::new()
        .ignore(SelectionProperty::Reliability)
        .ignore(SelectionProperty::PreserveOrder)
        .ignore(SelectionProperty::CongestionControl)
        .with_safely_replayable(true)
}

fn clear(properties: TransportProperties) -> Preconnection {
    Preconnection::new().security(Security::Disabled).properties(properties)
}

/// A server that has both protocols on one port.
async fn both() -> (TcpListener, UdpSocket, SocketAddr) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = tcp.local_addr().unwrap();
        // The same number may be taken for the other protocol.
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (tcp, udp, address);
        }
    }
}

#[tokio::test]
async fn case_10_what_is_prohibited_is_never_used() {
    let (tcp, udp, address) = both().await;
    let properties = unreliable().prohibit(SelectionProperty::Reliability);
    let connection = soon(clear(properties).remote(address).initiate()).await.unwrap();
    assert_eq!(connection.protocol_stack(), Some(ProtocolStack::Udp));
    connection.send("hello").await.unwrap();
    let mut buffer = [0; 100];
    let (length, from) = soon(udp.recv_from(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..length], connection.local_endpoint().unwrap()), (&b"hello"[..], &from.into()));
    udp.send_to(b"answer", from).await.unwrap();
    assert_eq!(soon(connection.receive()).await.unwrap().data, "answer");
    // Nobody has come by TCP.
    tokio::task::yield_now().await;
    let waiting = tokio::time::timeout(Duration::ZERO, tcp.accept()).await;
    assert!(waiting.is_err());
}

#[tokio::test]
async fn case_11_messages_that_must_not_arrive_twice_are_not_for_udp() {
    let (_tcp, udp, address) = both().await;
    let prohibited = unreliable().prohibit(SelectionProperty::Reliability);
    let refused = soon(clear(prohibited.clone().with_safely_replayable(false)).remote(address).initiate()).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused.kind(), EstablishmentErrorKind::NoCandidates { .. }), "{refused}");
    // Without the prohibition it is TCP, even where nothing else would be in the way.
    let tcp = soon(clear(unreliable().with_safely_replayable(false)).remote(address).initiate()).await.unwrap();
    assert_eq!(tcp.protocol_stack(), Some(ProtocolStack::Tcp));
    // The profile says that they may.
    let profile = TransportProperties::unreliable_datagram();
    let connection = soon(clear(profile).remote(address).initiate()).await.unwrap();
    assert_eq!(connection.protocol_stack(), Some(ProtocolStack::Udp));
    let once = connection.send(Message::new("once").safely_replayable(false)).await;
    assert!(matches!(once, Err(SendError::InvalidMessageProperties(_))), "{once:?}");
    connection.send("twice").await.unwrap();
    let mut buffer = [0; 100];
    let (length, _) = soon(udp.recv_from(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..length], b"twice");
}

#[tokio::test]
async fn a_clone_is_another_flow_to_the_same_peer() {
    let (_tcp, udp, address) = both().await;
    let connection = soon(clear(TransportProperties::unreliable_datagram()).remote(address).initiate()).await.unwrap();
    let clone = soon(connection.clone_connection()).await.unwrap();
    assert_ne!(connection.local_endpoint(), clone.local_endpoint());
    clone.send("from the clone").await.unwrap();
    let mut buffer = [0; 100];
    let (length, from) = soon(udp.recv_from(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..length], clone.local_endpoint().unwrap()), (&b"from the clone"[..], &from.into()));
    assert_eq!(connection.grouped_connections().len(), 2);
}

#[tokio::test]
async fn an_endpoint_may_ask_for_udp_by_name() {
    let (_tcp, udp, address) = both().await;
    let remote = RemoteEndpoint::from(address).protocol(Protocol::Udp);
    let connection = soon(clear(unreliable()).remote(remote.clone()).initiate()).await.unwrap();
    assert_eq!(connection.protocol_stack(), Some(ProtocolStack::Udp));
    drop(udp);
    // The name overrides no requirement.
    let refused = soon(clear(TransportProperties::new()).remote(remote).initiate()).await.unwrap_err();
    assert!(matches!(refused.kind(), EstablishmentErrorKind::NoCandidates { .. }), "{refused}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_64_nobody_at_the_port_is_a_soft_error() {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = udp.local_addr().unwrap();
    // Connected to itself, it hears nobody, and nobody else can have the port.
    udp.connect(address).await.unwrap();
    let properties = unreliable().prohibit(SelectionProperty::Reliability).prefer(SelectionProperty::SoftErrorNotify);
    let connection = soon(clear(properties).remote(address).initiate()).await.unwrap();
    let mut events = connection.events();
    connection.send("nobody").await.unwrap();
    let error = soon(async {
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::SoftError(error)) => return error,
                    Some(event) => assert!(!event.is_last(), "{event:?}"),
                    None => panic!("the connection is over"),
                },
                received = connection.receive() => panic!("{received:?}"),
            }
        }
    });
    assert_eq!(error.await.icmp, Some((3, 3)));
    udp.connect(connection.local_endpoint().unwrap().ip().unwrap()).await.unwrap();
    udp.send(b"somebody").await.unwrap();
    assert_eq!(soon(connection.receive()).await.unwrap().data, "somebody");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_61_profiles_are_marks_on_the_packets() {
    use postroad_sys::message;
    use tokio::io::Interest;

    let (_tcp, udp, address) = both().await;
    message::set_receive_traffic_class(&udp, true).unwrap();
    let properties = TransportProperties::unreliable_datagram().capacity_profile(CapacityProfile::Scavenger);
    let connection = soon(clear(properties).remote(address).initiate()).await.unwrap();
    connection.send("scavenger").await.unwrap();
    connection.send(Message::new("now").capacity_profile(CapacityProfile::LowLatencyInteractive)).await.unwrap();
    for expected in [1, 36] {
        let mut buffer = [0; 100];
        let received = udp.async_io(Interest::READABLE, || message::receive(&udp, &mut buffer));
        assert_eq!(soon(received).await.unwrap().dscp(), Some(expected));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_67_a_group_is_sent_to_and_not_received_from() {
    let group = Ipv4Addr::new(239, 192, 9, 40);
    let member = UdpSocket::bind((group, 0)).await.unwrap();
    member.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
    let port = member.local_addr().unwrap().port();
    let remote = RemoteEndpoint::multicast_group(group).port(port).hop_limit(0);
    let group = clear(TransportProperties::unreliable_datagram()).remote(remote);
    let from_loopback = group.clone().local(LocalEndpoint::address(Ipv4Addr::LOCALHOST));
    let connection = soon(from_loopback.initiate()).await.unwrap();
    assert!(connection.can_send() && !connection.can_receive());
    connection.send("hello").await.unwrap();
    let mut buffer = [0; 100];
    let (length, from) = soon(member.recv_from(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..length], from.ip()), (&b"hello"[..], IpAddr::from(Ipv4Addr::LOCALHOST)));
    assert!(soon(connection.receive()).await.is_err());
    // Who receives from a group listens.
    let joined = LocalEndpoint::multicast_group(Ipv4Addr::new(232, 1, 9, 41)).source(Ipv4Addr::LOCALHOST);
    assert!(soon(group.local(joined).initiate()).await.is_err());
}

fn here() -> LocalEndpoint {
    LocalEndpoint::address(Ipv4Addr::LOCALHOST)
}

async fn listening(properties: TransportProperties, local: LocalEndpoint) -> Listener {
    soon(clear(properties).local(local).listen()).await.unwrap()
}

async fn next(listener: &Listener) -> Connection {
    soon(listener.accept()).await.unwrap().unwrap()
}

async fn initiated(properties: TransportProperties, remote: impl Into<RemoteEndpoint>) -> Connection {
    soon(clear(properties).remote(remote.into()).initiate()).await.unwrap()
}

#[tokio::test]
async fn case_28_one_listener_takes_tcp_and_udp_on_one_port() {
    let listener = listening(unreliable(), here()).await;
    let address = listener.local_endpoint().clone();
    assert!(listener.local_endpoints().iter().all(|local| *local == address), "one port for all");
    let datagrams = unreliable().prohibit(SelectionProperty::Reliability);
    for (properties, stack) in [
        (datagrams.clone(), ProtocolStack::Udp),
        (TransportProperties::new(), ProtocolStack::Tcp),
        (datagrams, ProtocolStack::Udp),
    ] {
        let client = initiated(properties, address.clone()).await;
        client.send("hello").await.unwrap();
        let server = next(&listener).await;
        assert_eq!(server.protocol_stack(), Some(stack));
        assert_eq!(server.remote_endpoint(), client.local_endpoint());
        if stack == ProtocolStack::Udp {
            assert_eq!(soon(server.receive()).await.unwrap().data, "hello");
        }
    }
}

#[tokio::test]
async fn a_listener_has_no_more_than_the_properties_allow() {
    let tcp = listening(TransportProperties::new(), here()).await;
    let address = tcp.local_endpoint().ip().unwrap();
    // Nobody has the port for UDP.
    let udp = listening(TransportProperties::unreliable_datagram(), LocalEndpoint::from(address)).await;
    assert_eq!(udp.local_endpoint(), tcp.local_endpoint());
    // UDP alone is not reliable.
    let local = here().protocol(Protocol::Udp);
    let refused = soon(clear(TransportProperties::new()).local(local).listen()).await.unwrap_err();
    assert!(matches!(refused, ListenError::NoCandidates { .. }), "{refused}");
}

#[tokio::test]
async fn case_29_the_first_datagram_is_a_connection_and_its_four_tuple_another_one_later() {
    let datagrams = TransportProperties::unreliable_datagram;
    let listener = listening(datagrams(), here()).await;
    let (first, second) = (
        initiated(datagrams(), listener.local_endpoint()).await,
        initiated(datagrams(), listener.local_endpoint()).await,
    );
    for text in ["one", "two"] {
        first.send(text).await.unwrap();
    }
    second.send("three").await.unwrap();
    let (to_first, to_second) = (next(&listener).await, next(&listener).await);
    assert_eq!(soon(to_first.receive()).await.unwrap().data, "one");
    assert_eq!(soon(to_first.receive()).await.unwrap().data, "two");
    assert_eq!(soon(to_second.receive()).await.unwrap().data, "three");
    assert_eq!(to_first.grouped_connections().len(), 1, "they have nothing to do with each other");
    to_first.close().await.unwrap();
    first.send("four").await.unwrap();
    let again = next(&listener).await;
    assert_eq!(soon(again.receive()).await.unwrap().data, "four");
    // The listener stops, and its connections do not.
    listener.stop();
    first.send("five").await.unwrap();
    assert_eq!(soon(again.receive()).await.unwrap().data, "five");
    again.send("six").await.unwrap();
    assert_eq!(soon(first.receive()).await.unwrap().data, "six");
}

#[tokio::test]
async fn case_30_datagrams_of_new_peers_wait_while_no_connection_is_wanted() {
    let datagrams = TransportProperties::unreliable_datagram;
    let listener = listening(datagrams(), here()).await;
    listener.set_new_connection_limit(1);
    let mut clients = Vec::new();
    for text in ["one", "two"] {
        let client = initiated(datagrams(), listener.local_endpoint()).await;
        client.send(text).await.unwrap();
        clients.push(client);
    }
    let first = next(&listener).await;
    assert_eq!(soon(first.receive()).await.unwrap().data, "one");
    assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err());
    listener.reset_connection_limit();
    assert_eq!(soon(next(&listener).await.receive()).await.unwrap().data, "two");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_67_a_listener_on_a_group_has_a_connection_for_each_sender() {
    let datagrams = TransportProperties::unreliable_datagram;
    let group = Ipv4Addr::new(239, 192, 9, 42);
    let local = LocalEndpoint::multicast_group(group).interface("lo");
    let listener = listening(datagrams(), local).await;
    let port = listener.local_endpoint().ip().unwrap().port();
    let mut senders = Vec::new();
    for last in [1, 2] {
        let remote = RemoteEndpoint::multicast_group(group).port(port).hop_limit(0);
        let from = LocalEndpoint::address(Ipv4Addr::new(127, 0, 0, last));
        let sender = soon(clear(datagrams()).remote(remote).local(from).initiate()).await.unwrap();
        sender.send("hello").await.unwrap();
        senders.push(sender);
    }
    let (first, second) = (next(&listener).await, next(&listener).await);
    for (connection, sender) in [(&first, &senders[0]), (&second, &senders[1])] {
        assert_eq!(connection.remote_endpoint(), sender.local_endpoint());
        assert_eq!(soon(connection.receive()).await.unwrap().data, "hello");
        assert_eq!(connection.grouped_connections().len(), 2);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_67_a_listener_for_one_source_does_not_hear_another() {
    let datagrams = TransportProperties::unreliable_datagram;
    let group = Ipv4Addr::new(232, 1, 9, 43);
    let local = LocalEndpoint::multicast_group(group).source(Ipv4Addr::new(127, 0, 0, 2)).interface("lo");
    let listener = listening(datagrams(), local).await;
    let port = listener.local_endpoint().ip().unwrap().port();
    for last in [1, 2] {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, last), 0)).await.unwrap();
        socket.send_to(&[last], (group, port)).await.unwrap();
    }
    assert_eq!(soon(next(&listener).await.receive()).await.unwrap().data[..], [2]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_68_udp_lite_is_there_for_who_wants_part_of_a_message_covered() {
    use postroad_taps::ChecksumCoverage;

    let mut partial = TransportProperties::unreliable_datagram()
        .ignore(SelectionProperty::FullChecksumSend)
        .ignore(SelectionProperty::FullChecksumRecv);
    partial.connection.recv_checksum_len = ChecksumCoverage::Bytes(64);
    let local = here().protocol(Protocol::UdpLite);
    let listener = match soon(clear(partial.clone()).local(local).listen()).await {
        Ok(listener) => listener,
        Err(error) => return println!("skipped: {error}"),
    };
    let remote = RemoteEndpoint::from(listener.local_endpoint()).protocol(Protocol::UdpLite);
    let client = initiated(partial, remote).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::UdpLite));
    client.send(Message::new(vec![1; 100]).checksum_len(ChecksumCoverage::Bytes(20))).await.unwrap();
    client.send(Message::new(vec![2; 100])).await.unwrap();
    client.send(Message::new(vec![3; 100]).checksum_len(ChecksumCoverage::Bytes(64))).await.unwrap();
    let server = next(&listener).await;
    for expected in [2, 3] {
        assert_eq!(soon(server.receive()).await.unwrap().data[..], [expected; 100]);
    }
}
