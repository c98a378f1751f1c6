//! Datagrams with what stands beside their payload, and errors that come back, on the loopback.
#![cfg(target_os = "linux")]

use std::future::Future;
use std::io::{ErrorKind, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use postroad_sys::message::{self, Destination, Outgoing, Received};
use postroad_sys::path_mtu::{self, PathMtuDiscovery};
use postroad_sys::soft_error::{self, Origin, SoftError};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Nothing waits so long that happens at all.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it happens soon")
}

async fn bound(address: impl Into<SocketAddr>) -> UdpSocket {
    UdpSocket::bind(address.into()).await.unwrap()
}

/// Loopback addresses of the families that this host has.
async fn loopbacks() -> Vec<SocketAddr> {
    let mut addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    let ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    match UdpSocket::bind(ipv6).await {
        Ok(_) => addresses.push(ipv6),
        Err(error) => println!("skipped: ipv6: {error}"),
    }
    addresses
}

/// A socket for both families, bound to everything.
fn for_both() -> Option<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).ok()?;
    socket.set_only_v6(false).unwrap();
    socket.set_nonblocking(true).unwrap();
    if let Err(error) = socket.bind(&SockAddr::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))) {
        println!("skipped: ipv6: {error}");
        return None;
    }
    Some(UdpSocket::from_std(socket.into()).unwrap())
}

/// A port that answers as a closed one, and that nobody else can open: its socket hears nobody but itself.
async fn closed(address: impl Into<SocketAddr>) -> (UdpSocket, SocketAddr) {
    let socket = bound(address).await;
    let address = socket.local_addr().unwrap();
    socket.connect(address).await.unwrap();
    (socket, address)
}

async fn send(socket: &UdpSocket, payload: &[u8], outgoing: &Outgoing) {
    let sent = socket.async_io(Interest::WRITABLE, || message::send(socket, &[IoSlice::new(payload)], outgoing));
    assert_eq!(soon(sent).await.unwrap(), payload.len());
}

async fn receive(socket: &UdpSocket) -> (Received, Vec<u8>) {
    let mut buffer = vec![0; 2000];
    let received = soon(socket.async_io(Interest::READABLE, || message::receive(socket, &mut buffer))).await.unwrap();
    buffer.truncate(received.len);
    (received, buffer)
}

async fn soft_error(socket: &UdpSocket) -> SoftError {
    let take = || soft_error::take(socket)?.ok_or_else(|| ErrorKind::WouldBlock.into());
    soon(socket.async_io(Interest::ERROR, take)).await.unwrap()
}

#[tokio::test]
async fn each_message_has_its_traffic_class() {
    for address in loopbacks().await {
        let receiver = bound(address).await;
        message::set_receive_traffic_class(&receiver, true).unwrap();
        let sender = bound(address).await;
        let outgoing = Outgoing::new().to(receiver.local_addr().unwrap());
        // The code points of RFC 9622 8.1.6's profiles, each with another ECN.
        for (dscp, ecn) in [(0, 0), (1, 1), (36, 2), (18, 3), (28, 0), (10, 1)] {
            send(&sender, b"x", &outgoing.traffic_class(dscp << 2 | ecn)).await;
            let (received, _) = receive(&receiver).await;
            assert_eq!((received.dscp(), received.ecn()), (Some(dscp), Some(ecn)), "{address}");
            assert_eq!(received.from, Some(sender.local_addr().unwrap()));
        }
        // The socket's own is as it was.
        send(&sender, b"x", &outgoing).await;
        assert_eq!(receive(&receiver).await.0.traffic_class, Some(0));
    }
}

#[tokio::test]
async fn connected_sender_needs_no_address() {
    for address in loopbacks().await {
        let receiver = bound(address).await;
        message::set_receive_traffic_class(&receiver, true).unwrap();
        let sender = bound(address).await;
        sender.connect(receiver.local_addr().unwrap()).await.unwrap();
        let outgoing = Outgoing::new().traffic_class(0x48);
        let parts = [IoSlice::new(b"in "), IoSlice::new(b""), IoSlice::new(b"parts")];
        soon(sender.async_io(Interest::WRITABLE, || message::send(&sender, &parts, &outgoing))).await.unwrap();
        let (received, payload) = receive(&receiver).await;
        assert_eq!((received.traffic_class, &payload[..]), (Some(0x48), &b"in parts"[..]), "{address}");
    }
}

#[tokio::test]
async fn socket_for_both_families_tells_of_ipv4() {
    let Some(both) = for_both() else { return };
    message::set_receive_traffic_class(&both, true).unwrap();
    message::set_receive_destination(&both, true).unwrap();
    let port = both.local_addr().unwrap().port();
    let ipv4 = bound((Ipv4Addr::LOCALHOST, 0)).await;
    message::set_receive_traffic_class(&ipv4, true).unwrap();

    send(&ipv4, b"x", &Outgoing::new().to((Ipv4Addr::LOCALHOST, port).into()).traffic_class(0x29)).await;
    let (received, _) = receive(&both).await;
    assert_eq!(received.traffic_class, Some(0x29));
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    assert_eq!(received.destination.map(|to| to.address), Some(mapped.into()));
    let from = received.from.unwrap();
    assert_eq!(from, (mapped, ipv4.local_addr().unwrap().port()).into());

    // And back, to the mapped address.
    let answer = Outgoing::new().to(from).traffic_class(0x2A).source(mapped.into());
    send(&both, b"y", &answer).await;
    assert_eq!(receive(&ipv4).await.0.traffic_class, Some(0x2A));
}

#[tokio::test]
async fn destination_and_source_are_told_and_chosen() {
    let receiver = bound((Ipv4Addr::UNSPECIFIED, 0)).await;
    message::set_receive_destination(&receiver, true).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let sender = bound((Ipv4Addr::UNSPECIFIED, 0)).await;

    let (asked, asking) = (Ipv4Addr::new(127, 0, 0, 7), Ipv4Addr::new(127, 0, 0, 8));
    send(&sender, b"x", &Outgoing::new().to((asked, port).into()).source(asking.into())).await;
    let (received, _) = receive(&receiver).await;
    assert_eq!(received.from, Some((asking, sender.local_addr().unwrap().port()).into()));
    let Destination { address, interface } = received.destination.unwrap();
    assert_eq!(address, asked);
    assert_ne!(interface, 0);

    // The answer leaves from the address that was asked, by the interface by which it came.
    let answer = Outgoing::new().to(received.from.unwrap()).source(asked.into()).interface(interface);
    send(&receiver, b"y", &answer).await;
    assert_eq!(receive(&sender).await.0.from, Some((asked, port).into()));

    let foreign = Outgoing::new().to((asked, port).into()).source(Ipv4Addr::new(192, 0, 2, 1).into());
    assert!(message::send(&sender, &[IoSlice::new(b"z")], &foreign).is_err());
}

#[tokio::test]
async fn destination_is_told_over_ipv6() {
    if loopbacks().await.len() < 2 {
        return;
    }
    let receiver = bound((Ipv6Addr::UNSPECIFIED, 0)).await;
    message::set_receive_destination(&receiver, true).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let sender = bound((Ipv6Addr::UNSPECIFIED, 0)).await;
    let outgoing = Outgoing::new().to((Ipv6Addr::LOCALHOST, port).into()).source(Ipv6Addr::LOCALHOST.into());
    send(&sender, b"x", &outgoing).await;
    let (received, _) = receive(&receiver).await;
    let to = received.destination.unwrap();
    assert_eq!(to.address, Ipv6Addr::LOCALHOST);
    assert_ne!(to.interface, 0);
    let answer =
        Outgoing::new().to(received.from.unwrap()).source(to.address).interface(to.interface).traffic_class(0x48);
    send(&receiver, b"y", &answer).await;
    assert_eq!(receive(&sender).await.0.from.unwrap().ip(), Ipv6Addr::LOCALHOST);
}

#[tokio::test]
async fn nothing_is_told_that_was_not_asked_for() {
    let receiver = bound((Ipv4Addr::LOCALHOST, 0)).await;
    let sender = bound((Ipv4Addr::LOCALHOST, 0)).await;
    let outgoing = Outgoing::new().to(receiver.local_addr().unwrap()).traffic_class(0x48);
    send(&sender, b"x", &outgoing).await;
    let (received, _) = receive(&receiver).await;
    assert_eq!((received.traffic_class, received.destination), (None, None));
    assert_eq!((received.len, received.truncated), (1, false));
}

#[tokio::test]
async fn message_longer_than_the_buffer_says_so() {
    let receiver = bound((Ipv4Addr::LOCALHOST, 0)).await;
    let sender = bound((Ipv4Addr::LOCALHOST, 0)).await;
    let outgoing = Outgoing::new().to(receiver.local_addr().unwrap());
    for payload in [&b"longer"[..], b"four", b""] {
        send(&sender, payload, &outgoing).await;
    }
    let mut buffer = [0; 4];
    for (len, truncated, payload) in [(4, true, &b"long"[..]), (4, false, b"four"), (0, false, b"")] {
        let received = receiver.async_io(Interest::READABLE, || message::receive(&receiver, &mut buffer));
        let received = soon(received).await.unwrap();
        assert_eq!((received.len, received.truncated, &buffer[..len]), (len, truncated, payload));
    }
}

#[tokio::test]
async fn message_is_appended_to_room_that_is_reserved() {
    let receiver = bound((Ipv4Addr::LOCALHOST, 0)).await;
    let sender = bound((Ipv4Addr::LOCALHOST, 0)).await;
    let outgoing = Outgoing::new().to(receiver.local_addr().unwrap());
    let mut buffer = bytes::BytesMut::with_capacity(1500);
    for payload in [&b"one"[..], b"two"] {
        send(&sender, payload, &outgoing).await;
        let received = receiver.async_io(Interest::READABLE, || message::receive_into(&receiver, &mut buffer));
        assert_eq!(soon(received).await.unwrap().len, 3);
    }
    assert_eq!(&buffer[..], b"onetwo");

    // A slice has no more room than its length, and keeps it where nothing came.
    let mut short = [0u8; 2];
    assert_eq!(message::receive_into(&receiver, &mut &mut short[..]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(message::receive_into(&receiver, &mut &mut short[..0]).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn messages_of_one_length_go_as_one() {
    for address in loopbacks().await {
        let receiver = bound(address).await;
        let sender = bound(address).await;
        message::set_receive_traffic_class(&receiver, true).unwrap();
        let outgoing = Outgoing::new().to(receiver.local_addr().unwrap()).traffic_class(0x48).segment_size(400);
        send(&sender, &[7; 1000], &outgoing).await;
        for len in [400, 400, 200] {
            let (received, payload) = receive(&receiver).await;
            assert_eq!((payload.len(), received.traffic_class), (len, Some(0x48)), "{address}");
        }
    }
}

#[tokio::test]
async fn closed_port_is_a_soft_error() {
    for address in loopbacks().await {
        let (_held, closed) = closed(address).await;
        let socket = bound(address).await;
        soft_error::set_queue(&socket, true).unwrap();
        assert_eq!(soft_error::take(&socket).unwrap(), None);

        send(&socket, b"into the void", &Outgoing::new().to(closed)).await;
        let error = soft_error(&socket).await;
        // Port unreachable (RFC 792; RFC 4443 3.1).
        let expected = if address.is_ipv4() { (Origin::Icmp, 3, 3) } else { (Origin::Icmpv6, 1, 4) };
        assert_eq!((error.origin, error.kind, error.code), expected);
        assert_eq!(error.io_error().kind(), ErrorKind::ConnectionRefused);
        assert_eq!((error.offender, error.destination), (Some(address.ip()), Some(closed)));
        assert_eq!((&error.payload[..], error.path_mtu), (&b"into the void"[..], None));
        assert_eq!(soft_error::take(&socket).unwrap(), None);

        // It is told once, and the socket goes on.
        let open = bound(address).await;
        send(&socket, b"x", &Outgoing::new().to(open.local_addr().unwrap())).await;
        assert_eq!(receive(&open).await.1, b"x");
    }
}

#[tokio::test]
async fn socket_for_both_families_has_soft_errors_of_ipv4() {
    let Some(both) = for_both() else { return };
    soft_error::set_queue(&both, true).unwrap();
    let (_held, closed) = closed((Ipv4Addr::LOCALHOST, 0)).await;
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), closed.port()));
    send(&both, b"x", &Outgoing::new().to(mapped)).await;
    let error = soft_error(&both).await;
    assert_eq!((error.origin, error.kind, error.code), (Origin::Icmp, 3, 3));
    assert_eq!((error.destination, error.offender), (Some(mapped), Some(mapped.ip())));
}

#[tokio::test]
async fn errors_keep_the_order_of_messages() {
    let socket = bound((Ipv4Addr::LOCALHOST, 0)).await;
    soft_error::set_queue(&socket, true).unwrap();
    let (_held, closed) = closed((Ipv4Addr::LOCALHOST, 0)).await;
    // The error of the one before may be told instead of sending the next: it is taken first.
    for payload in [b"1", b"2", b"3"] {
        send(&socket, payload, &Outgoing::new().to(closed)).await;
        assert_eq!(soft_error(&socket).await.payload, payload);
    }
}

#[tokio::test]
async fn discovery_of_the_path_mtu_is_read_back() {
    use PathMtuDiscovery::{Always, Interface, Never, Omit, Probe, Want};
    for address in loopbacks().await {
        let socket = bound(address).await;
        for discovery in [Never, Always, Probe, Interface, Omit, Want] {
            path_mtu::set_discovery(&socket, discovery).unwrap();
            assert_eq!(path_mtu::discovery(&socket).unwrap(), discovery, "{address}");
        }
        assert_eq!(path_mtu::path_mtu(&socket).unwrap_err().kind(), ErrorKind::NotConnected);
        socket.connect(socket.local_addr().unwrap()).await.unwrap();
        // The least that an IPv6 link has; the loopback has more.
        assert!(path_mtu::path_mtu(&socket).unwrap() >= 1280);
    }
}

#[tokio::test]
async fn message_longer_than_a_datagram_is_refused() {
    let socket = bound((Ipv4Addr::LOCALHOST, 0)).await;
    let outgoing = Outgoing::new().to(socket.local_addr().unwrap());
    let error = message::send(&socket, &[IoSlice::new(&[0; 65_508])], &outgoing).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE");
}

#[test]
fn options_of_ip_are_refused_on_other_sockets() {
    let (unix, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    assert_eq!(path_mtu::discovery(&unix).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(soft_error::set_queue(&unix, true).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(message::set_receive_traffic_class(&unix, true).unwrap_err().kind(), ErrorKind::InvalidInput);
    let stream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(soft_error::set_queue(&stream, true).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn seqpacket_keeps_messages_apart() {
    let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    for payload in [&b"first"[..], b"second"] {
        message::send(&one, &[IoSlice::new(payload)], &Outgoing::new()).unwrap();
    }
    let mut buffer = [0; 5];
    let first = message::receive(&other, &mut buffer).unwrap();
    assert_eq!((first.len, first.truncated, first.from, &buffer), (5, false, None, b"first"));
    let second = message::receive(&other, &mut buffer).unwrap();
    assert_eq!((second.len, second.truncated, &buffer), (5, true, b"secon"));
    drop(one);
    assert_eq!(message::receive(&other, &mut buffer).unwrap().len, 0);
}

#[test]
fn descriptors_that_come_along_are_closed() {
    let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let (given, left) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
    left.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    send_descriptor(&one, &given);
    drop(given);
    let mut buffer = [0; 5];
    assert_eq!(message::receive(&other, &mut buffer).unwrap().len, 1);
    // The last descriptor of the other end is closed, or this would wait.
    use std::io::Read;
    assert_eq!((&left).read(&mut buffer).unwrap(), 0);
}

/// Sends one byte with a descriptor beside it: `cmsg_len`, SOL_SOCKET, SCM_RIGHTS, the number, padding.
fn send_descriptor(socket: &Socket, descriptor: &Socket) {
    use std::os::fd::AsRawFd;
    let len = size_of::<usize>() + 12;
    let mut control = len.to_ne_bytes().to_vec();
    for number in [1, 1, descriptor.as_raw_fd()] {
        control.extend(i32::to_ne_bytes(number));
    }
    control.resize(len.next_multiple_of(size_of::<usize>()), 0);
    let parts = [IoSlice::new(b"x")];
    let message = socket2::MsgHdr::new().with_buffers(&parts).with_control(&control);
    assert_eq!(SockRef::from(socket).sendmsg(&message, 0).unwrap(), 1);
}
