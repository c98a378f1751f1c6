//! What descriptors turn out to be.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use postroad_sys::adopt::{self, Description, Family, Kind, Protocol};
use postroad_sys::{mptcp, udp_lite};
use socket2::{Domain, SockRef, Socket, Type};

fn of(descriptor: impl Into<OwnedFd>) -> (Family, Kind, Protocol, bool, bool) {
    let (_socket, Description { family, kind, protocol, listening, connected, .. }) =
        adopt::adopt(descriptor.into()).unwrap();
    (family, kind, protocol, listening, connected)
}

#[test]
fn each_kind_of_socket_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(of(client), (Family::Ipv4, Kind::Stream, Protocol::Tcp, false, true));
    assert_eq!(of(listener), (Family::Ipv4, Kind::Stream, Protocol::Tcp, true, false));

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(of(udp.try_clone().unwrap()), (Family::Ipv4, Kind::Datagram, Protocol::Udp, false, false));
    udp.connect(udp.local_addr().unwrap()).unwrap();
    assert_eq!(of(udp), (Family::Ipv4, Kind::Datagram, Protocol::Udp, false, true));
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(udp) => assert_eq!(of(udp), (Family::Ipv6, Kind::Datagram, Protocol::Udp, false, false)),
        Err(error) => println!("skipped: ipv6: {error}"),
    }

    let (stream, _peer) = UnixStream::pair().unwrap();
    assert_eq!(of(stream), (Family::Unix, Kind::Stream, Protocol::Own, false, true));
    assert_eq!(of(UnixDatagram::unbound().unwrap()), (Family::Unix, Kind::Datagram, Protocol::Own, false, false));
    let (packets, _peer) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    assert_eq!(of(packets), (Family::Unix, Kind::SequencedPacket, Protocol::Own, false, true));
}

#[test]
fn protocols_that_not_every_system_has_are_told() {
    match mptcp::socket(Domain::IPV4) {
        Ok(socket) => assert_eq!(of(socket), (Family::Ipv4, Kind::Stream, Protocol::Mptcp, false, false)),
        Err(error) => println!("skipped: mptcp: {error}"),
    }
    match udp_lite::socket(Domain::IPV4) {
        Ok(socket) => assert_eq!(of(socket), (Family::Ipv4, Kind::Datagram, Protocol::UdpLite, false, false)),
        Err(error) => println!("skipped: udp-lite: {error}"),
    }
}

#[test]
fn adopted_socket_does_not_block_and_lost_nothing() {
    let (adopted, mut peer) = UnixStream::pair().unwrap();
    peer.write_all(b"before").unwrap();
    SockRef::from(&adopted).set_cloexec(false).unwrap();
    let (mut adopted, _) = adopt::adopt(adopted.into()).unwrap();
    assert!(is_closed_on_exec(&adopted));
    let mut buffer = [0; 6];
    adopted.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"before");
    assert_eq!(adopted.read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
}

fn is_closed_on_exec(socket: &Socket) -> bool {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", socket.as_raw_fd())).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    // O_CLOEXEC
    i32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 != 0
}

#[test]
fn file_is_no_socket() {
    let file = File::open("/dev/null").unwrap();
    assert_eq!(adopt::adopt(file.into()).unwrap_err().raw_os_error(), Some(88), "ENOTSOCK");
}
