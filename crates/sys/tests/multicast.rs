//! Multicast on the loopback interface, from chosen sources.
#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use postroad_sys::{interface, multicast};
use socket2::SockRef;

fn loopback() -> u32 {
    let interfaces = interface::interfaces().unwrap();
    interfaces.iter().find(|interface| interface.loopback).expect("there is a loopback").index
}

/// A socket that hears a group, once it has joined, and nothing else.
fn listening(group: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((group, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

fn sending(from: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    SockRef::from(&socket).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket
}

fn heard(socket: &UdpSocket) -> (Vec<u8>, IpAddr) {
    let mut buffer = [0; 64];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..len].to_vec(), from.ip())
}

#[test]
fn only_the_chosen_source_is_heard() {
    let group = Ipv4Addr::new(232, 18, 7, 1);
    let (one, other) = (Ipv4Addr::new(127, 0, 0, 41), Ipv4Addr::new(127, 0, 0, 42));
    let receiver = listening(group);
    let to = receiver.local_addr().unwrap();
    let (from_one, from_other) = (sending(one), sending(other));
    let lo = loopback();

    // The loopback keeps the order, so what is missing was not for the socket.
    multicast::join_source(&receiver, group.into(), one.into(), lo).unwrap();
    from_other.send_to(b"1", to).unwrap();
    from_one.send_to(b"2", to).unwrap();
    assert_eq!(heard(&receiver), (b"2".to_vec(), one.into()));

    multicast::join_source(&receiver, group.into(), other.into(), lo).unwrap();
    from_other.send_to(b"3", to).unwrap();
    from_one.send_to(b"4", to).unwrap();
    assert_eq!(heard(&receiver), (b"3".to_vec(), other.into()));
    assert_eq!(heard(&receiver), (b"4".to_vec(), one.into()));
}

#[test]
fn only_the_chosen_source_is_heard_over_ipv6() {
    // The loopback has no route for groups of IPv6. Of another interface nothing leaves that is for a group within it.
    let group: Ipv6Addr = "ff31::8000:1807".parse().unwrap();
    let interfaces = interface::interfaces().unwrap();
    let Some((index, source)) = interfaces.iter().filter(|one| one.running && one.multicast).find_map(|one| {
        one.addresses.iter().find_map(|address| match address.address {
            IpAddr::V6(source) if !address.tentative => Some((one.index, source)),
            _ => None,
        })
    }) else {
        return println!("skipped: ipv6: no interface that can multicast");
    };
    let bound = |address| UdpSocket::bind(SocketAddrV6::new(address, 0, 0, index)).unwrap();
    let (receiver, sender) = (bound(group), bound(source));
    receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    SockRef::from(&sender).set_multicast_if_v6(index).unwrap();
    let send = |payload: &[u8]| sender.send_to(payload, receiver.local_addr().unwrap()).unwrap();
    let other = Ipv6Addr::LOCALHOST;

    multicast::join_source(&receiver, group.into(), other.into(), index).unwrap();
    send(b"1");
    multicast::join_source(&receiver, group.into(), source.into(), index).unwrap();
    send(b"2");
    assert_eq!(heard(&receiver), (b"2".to_vec(), source.into()));
}

/// What socket2 has for any source, beside what is here.
#[test]
fn any_source_is_heard_by_an_interface() {
    let group = Ipv4Addr::new(239, 18, 7, 1);
    let receiver = listening(group);
    let by = socket2::InterfaceIndexOrAddress::Index(loopback());
    SockRef::from(&receiver).join_multicast_v4_n(&group, &by).unwrap();
    for source in [Ipv4Addr::new(127, 0, 0, 41), Ipv4Addr::new(127, 0, 0, 42)] {
        sending(source).send_to(b"x", receiver.local_addr().unwrap()).unwrap();
        assert_eq!(heard(&receiver).1, source);
    }
}

#[test]
fn what_is_no_group_is_refused() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (group, source) = (IpAddr::from([232, 18, 7, 2]), IpAddr::from([127, 0, 0, 1]));
    let lo = loopback();
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(multicast::join_source(&socket, source, source, lo)), ErrorKind::InvalidInput);
    assert_eq!(kind(multicast::join_source(&socket, group, Ipv6Addr::LOCALHOST.into(), lo)), ErrorKind::InvalidInput);
    assert!(multicast::join_source(&socket, group, source, i32::MAX as u32).is_err());
    multicast::join_source(&socket, group, source, lo).unwrap();
    assert_eq!(kind(multicast::join_source(&socket, group, source, lo)), ErrorKind::AddrNotAvailable);
}
