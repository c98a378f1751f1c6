//! One identifier of each kind, how endpoints read, and what cannot be one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::*;
use crate::Protocol;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_host_in_text_form_is_an_address() {
    assert_eq!(RemoteEndpoint::host("::1"), RemoteEndpoint::address(Ipv6Addr::LOCALHOST));
    assert_eq!(RemoteEndpoint::host("127.0.0.1").port(1), "127.0.0.1:1".parse::<SocketAddr>().unwrap().into());
    assert_eq!(LocalEndpoint::host("*"), LocalEndpoint::any());
    assert_eq!(LocalEndpoint::host("[::]").port(7).to_string(), "[::]:7");
}

#[test]
fn the_scope_of_a_link_local_address_survives() {
    let address: SocketAddr = SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 0, 3).into();
    assert_eq!(RemoteEndpoint::from(address).to_string(), address.to_string());
    assert_eq!(RemoteEndpoint::from(address), RemoteEndpoint::host("fe80::1%3").port(5));
}

#[test]
fn a_zone_is_the_interface_of_an_address() {
    let apart = RemoteEndpoint::address(ip("fe80::1")).interface("lo");
    assert_eq!(RemoteEndpoint::host("fe80::1%lo"), apart);
    assert_eq!(RemoteEndpoint::host("[fe80::1%lo]"), apart);
    assert_eq!(apart.host_text(), "fe80::1");
    let text = apart.to_string();
    assert_eq!(text, "[fe80::1%lo]:0");
    assert_eq!(RemoteEndpoint::host(text.strip_suffix(":0").unwrap()), apart);
    // Without a zone it is no address, but a name that nobody has.
    assert_eq!(RemoteEndpoint::host("fe80::1%").host_text(), "fe80::1%");
}

#[test]
fn a_second_identifier_of_a_kind_replaces_the_first() {
    let (first, second) = (ip("192.0.2.1"), ip("2001:db8::2"));
    assert_eq!(RemoteEndpoint::address(first).ip_address(second), RemoteEndpoint::address(second));
    assert_eq!(RemoteEndpoint::address(first).hostname("2001:db8::2"), RemoteEndpoint::address(second));
    assert_eq!(LocalEndpoint::address(first).ip_address(second), LocalEndpoint::address(second));
    assert_eq!(RemoteEndpoint::path("/a").ip_address(first), RemoteEndpoint::address(first));
    let host = RemoteEndpoint::host("a.example");
    assert_eq!(host.clone().hostname("b.example"), RemoteEndpoint::host("b.example"));
    assert_eq!(host.clone().port(1).port(2), host.clone().port(2));
    assert_eq!(host.clone().service("http").service("https"), host.clone().service("https"));
    assert_eq!(host.clone().interface("lo").interface(2), host.clone().interface(2));
    assert_eq!(host.clone().websocket("/a").websocket("/b"), host.websocket("/b"));
}

#[test]
fn a_name_beside_an_address_is_what_tls_verifies() {
    let endpoint = RemoteEndpoint::host("a.example").ip_address(ip("192.0.2.1")).port(5671);
    assert_eq!(
        (endpoint.host_text().as_str(), endpoint.to_string().as_str()),
        ("a.example", "192.0.2.1:5671 (a.example)")
    );
    assert_eq!(endpoint, RemoteEndpoint::address(ip("192.0.2.1")).hostname("a.example").port(5671));
    assert_eq!(endpoint.identifiers().place.host_address(), Some(ip("192.0.2.1")));
}

#[test]
fn everything_is_told() {
    let remote = RemoteEndpoint::host("a.example").service("https").websocket("/chat").subprotocol("chat");
    assert_eq!(remote.hop_limit(8).to_string(), "a.example:https/chat (subprotocol chat, hop limit 8)");
    let local = LocalEndpoint::multicast_group(ip("233.252.0.0")).source(ip("198.51.100.10")).interface("en0");
    assert_eq!(local.port(5353).to_string(), "233.252.0.0%en0:5353 (from 198.51.100.10)");
    let quic = RemoteEndpoint::host("a.example").port(8443).service("https").protocol(Protocol::Quic);
    assert_eq!(quic.to_string(), "a.example:8443 (service https, over quic)");
    assert_eq!(format!("{:?}", LocalEndpoint::any().interface("en0")), "LocalEndpoint(*%en0:0)");
    assert_eq!(format!("{:?}", RemoteEndpoint::path("/run/a")), "RemoteEndpoint(unix:/run/a)");
    assert_eq!(RemoteEndpoint::memory("bus").to_string(), "memory:bus");
}

#[test]
fn an_address_makes_an_endpoint_again() {
    let memory = RemoteEndpoint::memory("a");
    for remote in
        [RemoteEndpoint::path("/run/a"), RemoteEndpoint::abstract_name("a"), RemoteEndpoint::pipe("a"), memory]
    {
        let address = match remote.identifiers().place.clone() {
            Place::Unix(address) => EndpointAddress::Unix(address),
            Place::Pipe(name) => EndpointAddress::Pipe(name),
            Place::Memory(name) => EndpointAddress::Memory(name),
            place => panic!("{place:?}"),
        };
        assert_eq!(RemoteEndpoint::from(address.clone()), remote);
        assert_eq!(address.to_string(), remote.to_string());
    }
}

#[test]
fn each_kind_of_endpoint_has_its_protocols() {
    let allowed = |endpoint: &RemoteEndpoint| -> Vec<Protocol> {
        Protocol::ALL.into_iter().filter(|protocol| endpoint.identifiers().allows(*protocol)).collect()
    };
    use Protocol::{Memory, Mptcp, NamedPipe, Quic, Tcp, Udp, UdpLite, Unix, WebSocket};
    let host = RemoteEndpoint::host("a.example").port(1);
    assert_eq!(allowed(&host), [Tcp, Mptcp, Udp, UdpLite, Quic, WebSocket]);
    assert_eq!(allowed(&host.clone().protocol(Quic)), [Quic]);
    assert_eq!(allowed(&host.subprotocol("chat")), [WebSocket]);
    assert_eq!(allowed(&RemoteEndpoint::multicast_group(ip("ff02::1"))), [Udp, UdpLite]);
    assert_eq!(allowed(&RemoteEndpoint::path("/a")), [Unix]);
    assert_eq!(allowed(&RemoteEndpoint::pipe("a")), [NamedPipe]);
    assert_eq!(allowed(&RemoteEndpoint::memory("a")), [Memory]);
}

#[test]
fn a_pipe_has_one_name_with_its_prefix_or_without() {
    let plain = RemoteEndpoint::pipe("post road");
    assert_eq!(plain.to_string(), "pipe:post road");
    for written in [r"\\.\pipe\post road", r"\\.\PIPE\post road"] {
        assert_eq!(RemoteEndpoint::pipe(written), plain);
        assert_eq!(LocalEndpoint::pipe(written), LocalEndpoint::pipe("post road"));
    }
    assert_eq!(plain.check(), Ok(()));
    assert_eq!(LocalEndpoint::pipe("a".repeat(247)).check(), Ok(()));
    for name in ["", r"\\.\pipe\", r"\\other\pipe\a", "a\0b", &"a".repeat(248)] {
        assert!(matches!(LocalEndpoint::pipe(name).check(), Err(EndpointError::PipeName(_))), "{name}");
    }
    assert!(LocalEndpoint::pipe("a").protocol(Protocol::Tcp).check().is_err());
}

#[test]
fn what_cannot_be_is_refused() {
    use EndpointError as E;
    let host = || RemoteEndpoint::host("a.example").port(1);
    let group = ip("232.1.1.1");
    assert_eq!(host().interface("lo").service("http").hop_limit(0).check(), Ok(()));
    assert_eq!(RemoteEndpoint::host("").check(), Err(E::HostName(String::new())));
    assert_eq!(RemoteEndpoint::host("a b").check(), Err(E::HostName("a b".to_owned())));
    assert_eq!(RemoteEndpoint::host("a".repeat(255)).check(), Err(E::HostName("a".repeat(80))));
    assert_eq!(host().service("a/b").check(), Err(E::Service("a/b".to_owned())));
    assert_eq!(host().interface("../x").check(), Err(E::Interface("../x".to_owned())));
    assert_eq!(host().interface(0).check(), Err(E::Interface("0".to_owned())));
    assert_eq!(RemoteEndpoint::address(group).check(), Err(E::Multicast(group)));
    assert_eq!(
        RemoteEndpoint::multicast_group(Ipv4Addr::LOCALHOST).check(),
        Err(E::NotMulticast(Ipv4Addr::LOCALHOST.into()))
    );
    let local = LocalEndpoint::multicast_group(group);
    assert_eq!(local.clone().source(Ipv4Addr::LOCALHOST).check(), Ok(()));
    assert_eq!(local.clone().source(group).check(), Err(E::Source { group, source_address: group }));
    assert!(local.source(Ipv6Addr::LOCALHOST).check().is_err());
    assert_eq!(LocalEndpoint::any().source(Ipv4Addr::LOCALHOST).check(), Err(E::SourceWithoutGroup));
    for path in [String::new(), "/".repeat(108), "/a\0b".to_owned()] {
        assert!(matches!(RemoteEndpoint::path(path).check(), Err(E::UnixAddress(_))));
    }
    assert!(RemoteEndpoint::from(EndpointAddress::Unix(UnixAddress::Unnamed)).check().is_err());
    assert_eq!(LocalEndpoint::memory("").check(), Err(E::MemoryName(String::new())));
}

#[test]
fn a_websocket_cannot_smuggle_a_line() {
    use EndpointError as E;
    let at = |path: &str| RemoteEndpoint::host("a.example").port(80).websocket(path);
    assert_eq!(at("/chat?room=1&x=%20").check(), Ok(()));
    for path in ["", "chat", "/a b", "/a\r\nHost: b", "/a#b", "/a<b", "/?a=\"b\"", "/\u{e9}"] {
        assert_eq!(at(path).check(), Err(E::WebSocketPath(path.to_owned())));
    }
    assert_eq!(at("/").subprotocol("v12.stomp").subprotocol("chat").check(), Ok(()));
    for name in ["", "a,b", "a\r\nb"] {
        assert_eq!(at("/").subprotocol(name).check(), Err(E::Subprotocol(name.to_owned())));
    }
    assert_eq!(at("/").subprotocol("a").subprotocol("a").check(), Err(E::Subprotocol("a".to_owned())));
    let many = (0..17).fold(at("/"), |endpoint, n| endpoint.subprotocol(format!("p{n}")));
    assert_eq!(many.check(), Err(E::TooManySubprotocols { max: 16 }));
}

#[test]
fn a_protocol_that_cannot_go_there_is_refused() {
    let wrong = RemoteEndpoint::path("/a").protocol(Protocol::Quic);
    let endpoint = "unix:/a (over quic)".to_owned();
    assert_eq!(wrong.check(), Err(EndpointError::Protocol { protocol: Protocol::Quic, endpoint }));
    assert!(RemoteEndpoint::host("a.example").protocol(Protocol::Unix).check().is_err());
    assert!(RemoteEndpoint::host("a.example").websocket("/").protocol(Protocol::Tcp).check().is_err());
    assert!(RemoteEndpoint::multicast_group(ip("ff02::1")).protocol(Protocol::Tcp).check().is_err());
    assert!(RemoteEndpoint::memory("a").websocket("/").check().is_err());
    assert_eq!(RemoteEndpoint::path("/a").protocol(Protocol::Unix).check(), Ok(()));
}
