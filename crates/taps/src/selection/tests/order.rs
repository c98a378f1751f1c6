//! In which order stacks and addresses are tried.

use std::time::Duration;

use ProtocolStack::*;
use SelectionProperty as P;

use super::*;
use crate::properties::{Multipath, SelectionProperty};
use crate::selection::cache::FAILURE_LIFETIME;

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn the_same_wishes_give_the_same_order() {
    // RFC 9622 6.2: a consistent outcome.
    let scene = || Scene {
        application_protocol: true,
        paths: vec![
            interface("eth0", 2, InterfaceType::Wired, &["192.0.2.7", "2001:db8::7"]),
            interface("wlan0", 3, InterfaceType::Wifi, &["198.51.100.7", "2001:db8:1::7"]),
        ],
        ..Scene::tls(
            TransportProperties::new()
                .with_multipath(Multipath::Active)
                .interface(InterfaceType::Wifi, crate::Preference::Prefer),
        )
    };
    let first = scene().tree().to_string();
    assert!(first.contains("tls/mptcp"), "{first}");
    for _ in 0..100 {
        assert_eq!(scene().tree().to_string(), first);
    }
}

#[test]
fn prefer_outranks_avoid_and_avoid_breaks_ties() {
    // RFC 9623 4.1.3. TCP has both properties, and UDP neither.
    let relaxed = TransportProperties::new()
        .ignore(P::Reliability)
        .ignore(P::PreserveOrder)
        .ignore(P::CongestionControl)
        .ignore(P::PreserveMsgBoundaries)
        .with_safely_replayable(true);
    let both = Scene::clear(relaxed.clone().prefer(P::Reliability).avoid(P::PreserveOrder));
    assert_eq!(both.stacks(), [Tcp, Udp, UdpLite]);
    let one = Scene::clear(relaxed.clone().avoid(P::PreserveOrder));
    assert_eq!(one.stacks(), [Udp, UdpLite, Tcp]);
    let avoided_often = Scene::clear(
        relaxed
            .clone()
            .prefer(P::Reliability)
            .avoid(P::PreserveOrder)
            .avoid(P::CongestionControl)
            .avoid(P::ActiveReadBeforeSend),
    );
    assert_eq!(avoided_often.stacks(), [Tcp, Udp, UdpLite]);
    assert_eq!(Scene::clear(relaxed).stacks(), [Tcp, Udp, UdpLite]);
}

#[test]
fn what_is_wished_outright_goes_before_the_defaults() {
    // By default boundaries are preferred, which would put UDP first.
    let relaxed = TransportProperties::new()
        .ignore(P::Reliability)
        .ignore(P::PreserveOrder)
        .ignore(P::CongestionControl)
        .with_safely_replayable(true);
    assert_eq!(Scene::clear(relaxed.clone()).stacks(), [Udp, UdpLite, Tcp]);
    assert_eq!(Scene::clear(relaxed.prefer(P::Reliability)).stacks(), [Tcp, Udp, UdpLite]);
}

#[test]
fn what_is_optional_counts_as_there_where_it_is_preferred_and_as_absent_where_it_is_avoided() {
    let quic = |properties| Scene { application_protocol: true, ..Scene::tls(properties) };
    // Both can keep alive; TLS can tell retransmissions, QUIC cannot.
    let properties = TransportProperties::new().prefer(P::KeepAlive).prefer(P::RetransmitNotify);
    assert_eq!(quic(properties).stacks(), [Tls, QuicStream]);
    let properties = TransportProperties::new().avoid(P::RetransmitNotify);
    assert_eq!(quic(properties).stacks(), [QuicStream, Tls]);
}

#[test]
fn all_else_being_equal_there_is_a_general_order() {
    let properties = TransportProperties::new().ignore(P::Multistreaming).with_multipath(Multipath::Passive);
    let secure = Scene { application_protocol: true, ..Scene::tls(properties.clone()) };
    assert_eq!(secure.stacks(), [QuicStream, TlsMptcp, Tls]);
    assert_eq!(Scene::clear(properties).stacks(), [Mptcp, Tcp]);
    assert_eq!(Scene::clear(TransportProperties::unreliable_datagram()).stacks(), [Udp, UdpLite]);
}

#[test]
fn what_failed_a_short_time_ago_is_tried_later() {
    // RFC 9623 9.2: after a failure of QUIC the next connection starts with TCP.
    let mut scene = Scene { application_protocol: true, ..Scene::tls(TransportProperties::new()) };
    assert_eq!(scene.stacks(), [QuicStream, Tls]);
    let place = scene.tree().candidates().next().unwrap().place();
    scene.context.failed(&place, scene.now);
    assert_eq!(scene.stacks(), [Tls, QuicStream]);

    let isolated = Scene {
        context: scene.context.for_group(true),
        application_protocol: true,
        ..Scene::tls(TransportProperties::new())
    };
    assert_eq!(isolated.stacks(), [QuicStream, Tls], "an isolated group does not know");
    let mut elsewhere = Scene { application_protocol: true, ..Scene::tls(TransportProperties::new()) };
    elsewhere.context = scene.context.clone();
    elsewhere.targets = vec![target(&RemoteEndpoint::host("example.org").port(443), &["192.0.2.1:443"])];
    assert_eq!(elsewhere.stacks(), [QuicStream, Tls], "another host is another matter");

    scene.now += FAILURE_LIFETIME;
    assert_eq!(scene.stacks(), [QuicStream, Tls], "it is forgotten");
}

#[test]
fn a_failure_does_not_outweigh_what_is_wished_outright() {
    let properties = TransportProperties::new().prefer(P::Multistreaming);
    let scene = Scene { application_protocol: true, ..Scene::tls(properties) };
    scene.context.failed(&scene.tree().candidates().next().unwrap().place(), scene.now);
    assert_eq!(scene.stacks(), [QuicStream, Tls]);
}

#[test]
fn a_failure_of_everything_changes_nothing() {
    let scene = Scene { application_protocol: true, ..Scene::tls(TransportProperties::new()) };
    for candidate in scene.tree().candidates() {
        scene.context.failed(&candidate.place(), scene.now);
    }
    assert_eq!(scene.stacks(), [QuicStream, Tls]);
}

#[test]
fn the_families_alternate_from_the_resolvers_first_choice() {
    // RFC 8305 4.
    let addresses = ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1"];
    let targets = vec![target(&RemoteEndpoint::host("a").port(1), &addresses)];
    let scene = Scene { targets, ..Scene::clear(TransportProperties::new()) };
    let order: Vec<_> = scene.tree().candidates().map(|candidate| candidate.address().to_string()).collect();
    assert_eq!(order, ["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1"]);
}

#[test]
fn a_thousand_addresses_are_sixteen_candidates() {
    // RFC 9623 12.2.
    let many: Vec<_> = (0..1000u16).map(|n| SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 1)).into()).collect();
    let endpoint = RemoteEndpoint::host("a").port(1);
    let alone = Scene {
        targets: vec![Target::remote(&endpoint, many.clone(), true)],
        ..Scene::clear(TransportProperties::new())
    };
    assert_eq!(alone.tree().candidates().count(), 16);

    let other = target(&RemoteEndpoint::host("b").port(1), &["192.0.2.1:1"]);
    let beside = Scene {
        targets: vec![Target::remote(&endpoint, many, true), other],
        ..Scene::clear(TransportProperties::new())
    };
    assert_eq!(beside.leaves().last().unwrap(), "[192.0.2.1:1, any path, tcp]", "no name takes the room of another");
}

#[test]
fn a_tree_has_sixty_four_leaves_and_every_stack_keeps_its_first() {
    let many: Vec<_> = (0..100).map(|n| SocketAddr::from(([10, 0, 0, n], 1)).into()).collect();
    let paths = (1..=20).map(|n| interface(&format!("eth{n}"), n, InterfaceType::Wired, &["192.0.2.7"])).collect();
    let properties = TransportProperties::new()
        .with_multipath(Multipath::Active)
        .interface(InterfaceType::Wired, crate::Preference::Prefer);
    let endpoint = RemoteEndpoint::host("a").port(1);
    let scene = Scene { targets: vec![Target::remote(&endpoint, many, true)], paths, ..Scene::clear(properties) };
    let tree = scene.tree();
    assert_eq!((tree.candidates().count(), tree.paths.len()), (64, 16));
    assert!(tree.paths.iter().flat_map(|path| &path.stacks).all(|stack| stack.candidates.len() == 2));
    assert_eq!(tree.candidates().next().unwrap().to_string(), "[10.0.0.0:1, eth1, mptcp]");
}

#[test]
fn the_delay_between_addresses_follows_the_round_trip() {
    // RFC 8305 5 and 8.
    let scene = Scene::clear(TransportProperties::new());
    let delay = || scene.tree().paths[0].stacks[0].delay;
    assert_eq!(delay(), MS(250));
    let way = scene.tree().candidates().next().unwrap().place().way;
    for (round_trip, expected) in [(80, 160), (1, 100), (5000, 2000)] {
        scene.context.clear();
        scene.context.measured(&way, MS(round_trip), scene.now);
        assert_eq!(delay(), MS(expected));
    }
    // With it or without, what takes long to establish is given its time.
    for (latency, expected, with_round_trip) in [(3, 250, 160), (700, 700, 700), (9000, 2000, 2000)] {
        scene.context.clear();
        scene.context.succeeded(&scene.tree().candidates().next().unwrap().place(), MS(latency), scene.now);
        assert_eq!(delay(), MS(expected));
        scene.context.measured(&way, MS(80), scene.now);
        assert_eq!(delay(), MS(with_round_trip));
    }
}

#[test]
fn the_tree_can_be_read() {
    let mut scene = Scene { application_protocol: true, ..Scene::tls(TransportProperties::new()) };
    scene.built = [Tcp, Tls, QuicStream].into_iter().collect();
    scene.context.failed(&scene.tree().candidates().next().unwrap().place(), scene.now);
    let expected = "\
1 [example.com:443]
  1.1 [any path]
    1.1.1 [any path, tls/tcp] (general 12)
      1.1.1.1 [[2001:db8::1]:443, any path, tls/tcp]
      1.1.1.2 [192.0.2.1:443, any path, tls/tcp]
    1.1.2 [any path, quic-stream] (preferred 0+1, failed a short time ago, general 15)
      1.1.2.1 [[2001:db8::1]:443, any path, quic-stream]
      1.1.2.2 [192.0.2.1:443, any path, quic-stream]
rejected: tcp: TLS is asked for, and it has none
rejected: mptcp: it is not built in
rejected: tls/mptcp: it is not built in
rejected: udp: it is not built in
rejected: udp-lite: it is not built in
rejected: quic-datagram: it is not built in
";
    assert_eq!(scene.tree().to_string(), expected);
}
