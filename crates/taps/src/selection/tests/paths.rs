//! Which paths are taken, and where candidates start from.

use std::time::Duration;

use SelectionProperty as P;

use super::*;
use crate::endpoint::LocalEndpoint;
use crate::properties::{CapacityProfile, InterfaceSelector, Preference, PvdSelector, SelectionProperty};

fn eth0() -> Arc<PathInfo> {
    interface("eth0", 2, InterfaceType::Wired, &["192.0.2.7", "2001:db8::7", "~2001:db8::77"])
}

fn wlan0() -> Arc<PathInfo> {
    interface("wlan0", 3, InterfaceType::Wifi, &["198.51.100.7", "2001:db8:1::7", "fe80::7"])
}

fn lo() -> Arc<PathInfo> {
    interface("lo", 1, InterfaceType::Loopback, &["127.0.0.1", "::1"])
}

fn over(properties: TransportProperties) -> Scene {
    Scene { paths: vec![lo(), eth0(), wlan0()], ..Scene::clear(properties) }
}

/// The paths in the order in which they are tried.
fn order(scene: &Scene) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for candidate in scene.tree().candidates() {
        let name = candidate.path.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn local(endpoint: &LocalEndpoint, addresses: &[&str]) -> Source {
    let addresses = addresses.iter().map(|text| text.parse::<SocketAddr>().unwrap().into()).collect();
    Source::new(endpoint, addresses)
}

#[test]
fn the_system_chooses_where_nobody_cares() {
    assert_eq!(order(&over(TransportProperties::new())), ["any path"]);
}

#[test]
fn interfaces_are_preferred_avoided_required_and_prohibited() {
    // RFC 9622 6.2.11. The loopback does not lead to the peer.
    let with = |preference| order(&over(TransportProperties::new().interface("wlan0", preference)));
    assert_eq!(with(Preference::Prefer), ["wlan0", "eth0"]);
    assert_eq!(with(Preference::Avoid), ["eth0", "wlan0"]);
    assert_eq!(with(Preference::Require), ["wlan0"]);
    assert_eq!(with(Preference::Prohibit), ["eth0"]);
    let by_type = TransportProperties::new().interface(InterfaceType::Wifi, Preference::Require);
    assert_eq!(order(&over(by_type)), ["wlan0"]);
}

#[test]
fn a_required_interface_that_is_not_there_is_named() {
    let scene = over(TransportProperties::new().interface("eth9", Preference::Require));
    let rejected = scene.select().unwrap_err();
    let reason =
        Rejection::Interface { interface: InterfaceSelector::Name("eth9".to_owned()), wanted: Preference::Require };
    assert_eq!(rejected.len(), 3);
    assert!(rejected.iter().all(|rejected| rejected.reason == reason && rejected.stack.is_none()));
    assert_eq!(rejected[1].to_string(), "eth0: the interface eth9 is required");
    let none = Scene { paths: Vec::new(), ..scene };
    assert_eq!(none.select().unwrap_err()[0].reason, Rejection::NoPath);
}

#[test]
fn provisioning_domains_are_chosen_like_interfaces() {
    // RFC 9622 6.2.12.
    let mut wifi = PathInfo::clone(&wlan0());
    wifi.pvd = Some(Pvd { name: "cafe.example".to_owned(), kind: Some("guest".to_owned()) });
    let with = |pvd: PvdSelector, preference| {
        let properties = TransportProperties::new().pvd(pvd, preference);
        order(&Scene { paths: vec![eth0(), Arc::new(wifi.clone())], ..Scene::clear(properties) })
    };
    assert_eq!(with(PvdSelector::Name("cafe.example".to_owned()), Preference::Prefer), ["wlan0", "eth0"]);
    assert_eq!(with(PvdSelector::Type("guest".to_owned()), Preference::Prohibit), ["eth0"]);
    assert_eq!(with(PvdSelector::Type("guest".to_owned()), Preference::Require), ["wlan0"]);
}

#[test]
fn the_path_goes_before_the_protocol() {
    // RFC 9622 6.2: the preferred path is determined first. QUIC is preferred, but is not to be had over the Wi-Fi.
    let mut scene = over(TransportProperties::new().interface("wlan0", Preference::Prefer).prefer(P::Multistreaming));
    (scene.secure, scene.application_protocol) = (true, true);
    let quic = RemoteEndpoint::host("a").port(2).protocol(crate::Protocol::Quic).interface("eth0");
    let generic = RemoteEndpoint::host("a").port(1);
    let tcp = RemoteEndpoint::host("a").port(1).protocol(crate::Protocol::Tcp);
    scene.targets = vec![target(&tcp, &["192.0.2.1:1"]), target(&quic, &["192.0.2.1:2"])];
    let expected =
        ["[192.0.2.1:1, wlan0, tls/tcp]", "[192.0.2.1:2, eth0, quic-stream]", "[192.0.2.1:1, eth0, tls/tcp]"];
    assert_eq!(scene.leaves(), expected);
    // Where both can be had over both, the path still decides.
    scene.targets = vec![target(&generic, &["192.0.2.1:1"])];
    let stacks: Vec<_> = scene.tree().candidates().map(|c| (c.interface().unwrap().to_owned(), c.stack())).collect();
    let (wlan0, eth0) = ("wlan0".to_owned(), "eth0".to_owned());
    use ProtocolStack::{QuicStream, Tls};
    let pairs = [(wlan0.clone(), QuicStream), (wlan0, Tls), (eth0.clone(), QuicStream), (eth0, Tls)];
    assert_eq!(stacks, pairs);
}

#[test]
fn the_path_with_less_delay_is_for_those_who_mind() {
    // RFC 9623 4.1.3.
    let properties = TransportProperties::new().interface("lo", Preference::Prohibit);
    let scene = |profile| {
        let properties = properties.clone().capacity_profile(profile);
        let scene = Scene { paths: vec![eth0(), wlan0()], ..Scene::clear(properties) };
        // Nothing is known of this peer, but others were reached over these paths.
        for (path, time) in [("eth0", 80), ("wlan0", 8)] {
            let way = Way { path: path.into(), host: "another".into() };
            scene.context.measured(&way, Duration::from_millis(time), scene.now);
        }
        scene
    };
    assert_eq!(order(&scene(CapacityProfile::Default)), ["eth0", "wlan0"]);
    assert_eq!(order(&scene(CapacityProfile::LowLatencyInteractive)), ["wlan0", "eth0"]);
    // What has been measured toward the peer counts more than what the path is like to others.
    let measured = scene(CapacityProfile::LowLatencyInteractive);
    let tree = measured.tree();
    let way = tree.candidates().find(|c| c.interface() == Some("eth0")).unwrap().place().way;
    measured.context.measured(&way, Duration::from_millis(2), measured.now);
    assert_eq!(order(&measured), ["eth0", "wlan0"]);
    // Where no transport measures, a handshake tells as well, and what has none says nothing.
    for (stack, expected) in [(ProtocolStack::Tcp, ["eth0", "wlan0"]), (ProtocolStack::Udp, ["wlan0", "eth0"])] {
        let scene = scene(CapacityProfile::LowLatencyInteractive);
        let place = scene.tree().candidates().find(|c| c.interface() == Some("eth0")).unwrap().place();
        scene.context.succeeded(&Place { stack, ..place }, Duration::from_millis(2), scene.now);
        assert_eq!(order(&scene), expected);
    }
}

#[test]
fn who_requires_temporary_addresses_gets_ipv6_from_one() {
    // RFC 9622 6.2.13.
    let scene = over(TransportProperties::new().require(P::UseTemporaryLocalAddress));
    assert_eq!(scene.leaves(), ["[[2001:db8::1]:443, eth0, tcp, from [2001:db8::77]:0]"]);
    assert!(scene.tree().candidates().all(|candidate| candidate.provides(P::UseTemporaryLocalAddress)));
    let reason =
        Rejection::Property { property: P::UseTemporaryLocalAddress, wanted: Preference::Require, has: Support::Never };
    assert!(scene.tree().rejected().iter().any(|r| r.path.as_deref() == Some("wlan0") && r.reason == reason));
}

#[test]
fn who_prohibits_temporary_addresses_starts_from_a_stable_one() {
    let scene =
        over(TransportProperties::new().prohibit(P::UseTemporaryLocalAddress).interface("eth0", Preference::Require));
    let expected = ["[[2001:db8::1]:443, eth0, tcp, from [2001:db8::7]:0]", "[192.0.2.1:443, eth0, tcp]"];
    assert_eq!(scene.leaves(), expected);
}

#[test]
fn who_prefers_temporary_addresses_prefers_ipv6() {
    // RFC 9623 4.1.1.1; the default alone does not overrule the resolver.
    let endpoint = || RemoteEndpoint::host("a").port(1);
    let targets = || vec![target(&endpoint(), &["192.0.2.1:1", "[2001:db8::1]:1"])];
    let first = |properties| Scene { targets: targets(), ..Scene::clear(properties) }.leaves().swap_remove(0);
    assert_eq!(first(TransportProperties::new()), "[192.0.2.1:1, any path, tcp]");
    let asked = TransportProperties::new().prefer(P::UseTemporaryLocalAddress);
    assert_eq!(first(asked), "[[2001:db8::1]:1, any path, tcp]");
}

#[test]
fn a_local_endpoint_decides_on_the_family() {
    let sources = vec![local(&LocalEndpoint::host("192.0.2.7"), &["192.0.2.7:0"])];
    let scene = Scene { sources, ..Scene::clear(TransportProperties::new()) };
    assert_eq!(scene.leaves(), ["[192.0.2.1:443, any path, tcp, from 192.0.2.7:0]"]);
    let targets = vec![target(&RemoteEndpoint::host("a").port(1), &["[2001:db8::1]:1"])];
    let unreachable = Scene { targets, ..scene };
    assert_eq!((unreachable.select().is_err(), unreachable.reason(ProtocolStack::Tcp)), (true, Rejection::NoAddress));
}

#[test]
fn a_local_port_alone_leaves_the_address_to_the_system() {
    let sources = vec![local(&LocalEndpoint::any().port(7000), &[])];
    let scene = Scene { sources, ..Scene::clear(TransportProperties::new()) };
    let expected =
        ["[[2001:db8::1]:443, any path, tcp, from [::]:7000]", "[192.0.2.1:443, any path, tcp, from 0.0.0.0:7000]"];
    assert_eq!(scene.leaves(), expected);
}

#[test]
fn an_endpoint_that_names_an_interface_is_reached_over_it() {
    // RFC 9622 6.1.
    let named = target(&RemoteEndpoint::host("a").port(1).interface("wlan0"), &["203.0.113.1:1"]);
    let generic = target(&RemoteEndpoint::host("b").port(1), &["203.0.113.2:1"]);
    let scene = Scene { targets: vec![named, generic], ..over(TransportProperties::new()) };
    assert_eq!(scene.leaves(), ["[203.0.113.2:1, any path, tcp]", "[203.0.113.1:1, wlan0, tcp]"]);
    let missing = target(&RemoteEndpoint::host("a").port(1).interface("eth9"), &["203.0.113.1:1"]);
    let scene = Scene { targets: vec![missing], ..over(TransportProperties::new()) };
    assert_eq!(scene.select().unwrap_err()[0].reason, Rejection::NoInterface("eth9".into()));
    let sources = vec![local(&LocalEndpoint::any().interface("eth0"), &[])];
    let from = Scene { sources, ..over(TransportProperties::new()) };
    assert_eq!(order(&from), ["eth0"]);
}

#[test]
fn the_zone_of_a_link_local_address_is_no_choice_of_a_path() {
    // RFC 9622 6.1.2.
    let endpoint = RemoteEndpoint::host("fe80::1%wlan0").port(1);
    let targets = vec![target(&endpoint, &["[fe80::1%3]:1"])];
    let scene = Scene { targets: targets.clone(), ..over(TransportProperties::new()) };
    assert_eq!(order(&scene), ["any path"]);
    let chosen = over(TransportProperties::new().interface("lo", Preference::Avoid));
    assert_eq!(Scene { targets, ..chosen }.leaves(), ["[[fe80::1%3]:1, wlan0, tcp]"]);
}

#[test]
fn what_is_in_the_machine_is_reached_over_the_loopback() {
    let targets = vec![target(&RemoteEndpoint::host("localhost").port(1), &["127.0.0.1:1"])];
    let scene = Scene { targets, ..over(TransportProperties::new().interface("eth0", Preference::Prefer)) };
    assert_eq!(scene.leaves(), ["[127.0.0.1:1, lo, tcp]"]);
}

#[test]
fn a_required_interface_leaves_nothing_of_what_has_no_network() {
    let address = crate::UnixAddress::path("/run/a.sock").into();
    let unix = Target::remote(&RemoteEndpoint::path("/run/a.sock"), vec![address], true);
    let with = |preference| {
        let properties = TransportProperties::new().interface("eth0", preference);
        Scene { targets: vec![unix.clone()], ..over(properties) }.select().is_ok()
    };
    assert!(with(Preference::Prohibit) && !with(Preference::Require));
}

#[test]
fn a_listener_stands_where_it_is_told() {
    let stand = |endpoint: LocalEndpoint, address: &str| {
        Target::local(&endpoint, vec![address.parse::<SocketAddr>().unwrap().into()])
    };
    let any = stand(LocalEndpoint::any().port(1), "[::]:1");
    let here = stand(LocalEndpoint::host("192.0.2.7").port(1), "192.0.2.7:1");
    let properties = TransportProperties::new().with_multipath(crate::Multipath::Disabled);
    let scene = Scene { role: Role::Listen, targets: vec![any, here], ..over(properties.clone()) };
    assert_eq!(scene.leaves(), ["[[::]:1, any path, tcp]", "[192.0.2.7:1, any path, tcp]"]);
    let required = over(properties.interface("eth0", Preference::Require));
    let elsewhere = stand(LocalEndpoint::host("198.51.100.7").port(1), "198.51.100.7:1");
    let scene = Scene { role: Role::Listen, targets: vec![elsewhere], ..required };
    assert!(scene.select().is_err(), "the address is not one of that interface");
}
