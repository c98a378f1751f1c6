//! What is ruled out: security, Prohibit, Require, and what an endpoint cannot be reached by.

use ProtocolStack::*;
use SelectionProperty as P;

use super::*;
use crate::properties::{Multipath, Preference, SelectionProperty};
use crate::protocol::Protocol;

fn datagrams() -> TransportProperties {
    TransportProperties::unreliable_datagram()
}

#[test]
fn security_is_a_filter_and_never_a_preference() {
    // RFC 9621 3.3: nothing falls back from TLS to clear text.
    assert_eq!(Scene::tls(TransportProperties::new()).stacks(), [Tls]);
    assert_eq!(Scene::clear(TransportProperties::new()).stacks(), [Tcp]);
    assert_eq!(Scene::tls(TransportProperties::new()).reason(Tcp), Rejection::Clear);
    assert_eq!(Scene::clear(TransportProperties::new()).reason(Tls), Rejection::Encrypted);
    let only_clear = Scene { built: [Tcp, Mptcp].into_iter().collect(), ..Scene::tls(TransportProperties::new()) };
    let rejected = only_clear.select().unwrap_err();
    assert!(rejected.iter().any(|r| r.to_string() == "tcp: TLS is asked for, and it has none"), "{rejected:?}");
    assert!(rejected.iter().any(|r| r.to_string() == "tls/tcp: it is not built in"), "{rejected:?}");
}

#[test]
fn boundaries_are_required_of_the_transport_or_of_a_framer() {
    // RFC 9622 6.2, case of a server that has TCP alone.
    let properties = || TransportProperties::new().require(P::PreserveMsgBoundaries).require(P::Reliability);
    let bare = Scene { built: [Tcp].into_iter().collect(), ..Scene::clear(properties()) };
    let wanted =
        Rejection::Property { property: P::PreserveMsgBoundaries, wanted: Preference::Require, has: Support::Never };
    assert_eq!((bare.select().is_err(), bare.reason(Tcp)), (true, wanted));
    assert_eq!(Scene { framed: true, ..bare }.stacks(), [Tcp]);
}

#[test]
fn a_prohibition_of_boundaries_is_about_the_transport_alone() {
    let properties = datagrams().ignore(P::Reliability).prohibit(P::PreserveMsgBoundaries);
    let scene = Scene { framed: true, ..Scene::clear(properties) };
    assert_eq!(scene.stacks(), [Tcp]);
}

#[test]
fn who_prohibits_reliability_never_gets_tcp() {
    // The defaults require order and congestion control, which UDP does not have.
    let strict = Scene::clear(TransportProperties::new().prohibit(P::Reliability).with_safely_replayable(true));
    assert!(strict.select().is_err());
    let properties = TransportProperties::new()
        .prohibit(P::Reliability)
        .ignore(P::PreserveOrder)
        .ignore(P::CongestionControl)
        .with_safely_replayable(true);
    let scene = Scene::clear(properties);
    assert_eq!(scene.stacks(), [Udp, UdpLite]);
    let has = Support::Always;
    let reason = Rejection::Property { property: P::Reliability, wanted: Preference::Prohibit, has };
    assert_eq!(scene.reason(Tcp), reason);
}

#[test]
fn what_may_duplicate_needs_messages_that_are_safely_replayable() {
    // RFC 9622 9.1.3.4.
    assert_eq!(Scene::clear(datagrams()).stacks(), [Udp, UdpLite]);
    let scene = Scene::clear(datagrams().with_safely_replayable(false));
    assert_eq!((scene.select().is_err(), scene.reason(Udp)), (true, Rejection::NotReplayable));
    let secure = Scene { application_protocol: true, ..Scene::tls(datagrams()) };
    assert_eq!(secure.stacks(), [QuicDatagram]);
}

#[test]
fn what_is_optional_can_always_be_had_or_not() {
    for wanted in [Preference::Prohibit, Preference::Avoid, Preference::Prefer, Preference::Require] {
        let mut properties = TransportProperties::new();
        properties.set_preference(P::KeepAlive, wanted);
        let scene = Scene::clear(properties);
        let tree = scene.tree();
        let candidate = tree.candidates().next().unwrap();
        // RFC 9622 6.2: upon reading, a preference is a boolean.
        assert_eq!((candidate.stack(), candidate.provides(P::KeepAlive)), (Tcp, wanted > Preference::Ignore));
        assert!(candidate.provides(P::Reliability) && !candidate.provides(P::Multistreaming));
    }
}

#[test]
fn quic_needs_an_application_protocol_or_an_endpoint_of_its_own() {
    let scene = Scene::tls(TransportProperties::new());
    assert_eq!((scene.stacks(), scene.reason(QuicStream)), (vec![Tls], Rejection::NoApplicationProtocol));
    let with_alpn = Scene { application_protocol: true, ..Scene::tls(TransportProperties::new()) };
    assert_eq!(with_alpn.stacks(), [QuicStream, Tls]);
    let quic = RemoteEndpoint::host("example.com").port(443).protocol(Protocol::Quic);
    let targets = vec![target(&quic, &["192.0.2.1:443"])];
    assert_eq!(Scene { targets, ..scene }.stacks(), [QuicStream]);
}

#[test]
fn quic_that_is_asked_for_by_name_is_never_raced_against_clear_text() {
    let quic = || target(&RemoteEndpoint::host("a").port(2).protocol(Protocol::Quic), &["192.0.2.1:2"]);
    let generic = || target(&RemoteEndpoint::host("a").port(1), &["192.0.2.1:1"]);
    let alone = Scene { targets: vec![quic()], ..Scene::clear(TransportProperties::new()) };
    assert_eq!(alone.stacks(), [QuicStream]);
    let beside = Scene { targets: vec![generic(), quic()], ..Scene::clear(TransportProperties::new()) };
    assert_eq!(beside.stacks(), [Tcp]);
    assert_eq!(beside.reason(QuicStream), Rejection::Encrypted);
}

#[test]
fn an_endpoint_of_a_protocol_stands_in_the_place_of_the_generic_one() {
    // RFC 9622 6.1.3: QUIC on 8443, everything else on 443.
    let generic = target(&RemoteEndpoint::host("example.com").port(443), &["192.0.2.1:443"]);
    let quic = RemoteEndpoint::host("example.com").port(8443).protocol(Protocol::Quic);
    let targets = vec![generic, target(&quic, &["192.0.2.1:8443"])];
    let scene = Scene { targets, ..Scene::tls(TransportProperties::new()) };
    assert_eq!(scene.leaves(), ["[192.0.2.1:8443, any path, quic-stream]", "[192.0.2.1:443, any path, tls/tcp]"]);
}

#[test]
fn an_endpoint_of_tcp_is_not_reached_by_mptcp() {
    let tcp = RemoteEndpoint::host("a").port(1).protocol(Protocol::Tcp);
    let targets = vec![target(&tcp, &["192.0.2.1:1"])];
    let properties = TransportProperties::new().with_multipath(Multipath::Active);
    let scene = Scene { targets, ..Scene::clear(properties) };
    assert_eq!(scene.stacks(), [Tcp]);
}

#[test]
fn multipath_is_off_unless_it_is_asked_for() {
    // RFC 9622 6.2.14.
    let off = Scene::clear(TransportProperties::new());
    assert_eq!((off.stacks(), off.reason(Mptcp)), (vec![Tcp], Rejection::Multipath));
    let tree = off.tree();
    assert!(tree.candidates().all(|candidate| !candidate.multipath()));

    let active = Scene::clear(TransportProperties::new().with_multipath(Multipath::Active));
    assert_eq!(active.stacks(), [Mptcp, Tcp]);
    let uses: Vec<_> = active.tree().candidates().map(Candidate::multipath).collect();
    assert_eq!(uses, [true, true, false, false]);

    let passive = Scene { role: Role::Listen, ..Scene::clear(TransportProperties::new()) };
    assert_eq!(passive.stacks(), [Mptcp, Tcp]);

    // Disabled does not prevent what could use several paths, only the use of them.
    let quic = Scene { application_protocol: true, ..Scene::tls(TransportProperties::new()) };
    let tree = quic.tree();
    assert!(tree.candidates().any(|candidate| candidate.stack() == QuicStream && !candidate.multipath()));
}

#[test]
fn a_path_of_the_file_system_is_reached_by_unix_sockets_alone() {
    let unix = || {
        Target::remote(&RemoteEndpoint::path("/run/a.sock"), vec![crate::UnixAddress::path("/run/a.sock").into()], true)
    };
    let scene = Scene { targets: vec![unix()], ..Scene::clear(TransportProperties::reliable_inorder_stream()) };
    assert_eq!(scene.leaves(), ["[unix:/run/a.sock, this machine, unix-stream]"]);
    let default = Scene { targets: vec![unix()], ..Scene::clear(TransportProperties::new()) };
    assert_eq!(default.stacks(), [UnixStream, UnixSeqpacket, UnixDatagram]);
    let messages = Scene { targets: vec![unix()], ..Scene::clear(TransportProperties::reliable_message()) };
    assert_eq!(messages.stacks(), [UnixSeqpacket, UnixDatagram]);
    let datagrams = Scene { targets: vec![unix()], ..Scene::clear(TransportProperties::unreliable_datagram()) };
    assert_eq!(datagrams.stacks(), [UnixDatagram]);
    let either = TransportProperties::unreliable_datagram_rfc9622();
    let either = Scene { targets: vec![unix()], ..Scene::clear(either) };
    assert_eq!(either.stacks(), [UnixDatagram, UnixSeqpacket]);
    let pipe = || Target::remote(&RemoteEndpoint::pipe("a"), vec![crate::EndpointAddress::Pipe("a".into())], true);
    let pipes = Scene { targets: vec![pipe()], ..Scene::clear(TransportProperties::new()) };
    assert_eq!(pipes.stacks(), [NamedPipe]);
    let secure = Scene { targets: vec![unix()], ..Scene::tls(TransportProperties::new()) };
    assert_eq!(secure.reason(UnixStream), Rejection::Clear);
}

#[test]
fn memory_is_reached_by_its_name_alone() {
    let endpoint = RemoteEndpoint::memory("inside");
    let memory = Target::remote(&endpoint, vec![crate::EndpointAddress::Memory("inside".into())], true);
    let scene = Scene { targets: vec![memory], ..Scene::clear(TransportProperties::reliable_message()) };
    assert_eq!(scene.leaves(), ["[memory:inside, this machine, memory-message]"]);
}

#[test]
fn websocket_is_never_an_alternative_to_tcp() {
    let websocket = RemoteEndpoint::host("a").port(80).websocket("/chat");
    let targets = vec![target(&websocket, &["192.0.2.1:80"])];
    let clear = Scene { targets: targets.clone(), ..Scene::clear(TransportProperties::reliable_message()) };
    assert_eq!(clear.stacks(), [WebSocket]);
    let secure = Scene { targets, ..Scene::tls(TransportProperties::reliable_message()) };
    assert_eq!(secure.stacks(), [SecureWebSocket]);
    // The generic endpoint has TCP, and says nothing of WebSocket.
    let generic = Scene::clear(TransportProperties::new());
    assert!(generic.tree().rejected().iter().all(|rejected| rejected.stack != Some(WebSocket)));
}

#[test]
fn a_group_is_reached_by_datagrams_alone() {
    let group = RemoteEndpoint::multicast_group("239.1.2.3".parse::<IpAddr>().unwrap()).port(9);
    let targets = vec![target(&group, &["239.1.2.3:9"])];
    let scene = Scene { targets: targets.clone(), ..Scene::clear(datagrams()) };
    assert_eq!(scene.stacks(), [Udp, UdpLite]);
    let reliable = Scene { targets, ..Scene::clear(TransportProperties::new().with_safely_replayable(true)) };
    let reason = Rejection::Property { property: P::Reliability, wanted: Preference::Require, has: Support::Never };
    assert_eq!((reliable.select().is_err(), reliable.reason(Udp)), (true, reason));
}

#[test]
fn without_an_address_there_is_no_candidate_unless_one_may_come() {
    let name = RemoteEndpoint::host("example.com").port(443);
    let nothing = Scene { targets: vec![target(&name, &[])], ..Scene::tls(TransportProperties::new()) };
    assert_eq!((nothing.select().is_err(), nothing.reason(Tls)), (true, Rejection::NoAddress));
    let soon = Target::remote(&name, Vec::new(), false);
    let tree = Scene { targets: vec![soon], ..nothing }.tree();
    assert_eq!((tree.is_empty(), tree.candidates().count()), (false, 0));
}
