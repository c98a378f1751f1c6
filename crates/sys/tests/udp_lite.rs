//! UDP-Lite on the loopback: what is covered by the checksum, and what the kernel drops.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use postroad_sys::udp_lite::{self, Coverage};
use socket2::{Domain, SockAddr, Socket};

/// A receiver and a sender that is connected to it, or a skip that says why not.
fn pair(address: SocketAddr) -> Option<(Socket, Socket)> {
    let open = || match udp_lite::socket(Domain::for_address(address)) {
        Ok(socket) => Some(socket),
        Err(error) => {
            println!("skipped: udp-lite: {error}");
            None
        }
    };
    let (receiver, sender) = (open()?, open()?);
    assert_eq!(receiver.recv(&mut []).unwrap_err().kind(), ErrorKind::WouldBlock);
    receiver.set_nonblocking(false).unwrap();
    // Nothing waits so long that arrives at all.
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    receiver.bind(&SockAddr::from(address)).unwrap();
    sender.connect(&receiver.local_addr().unwrap()).unwrap();
    Some((receiver, sender))
}

fn received(receiver: &Socket) -> Vec<u8> {
    use std::io::Read;
    let mut buffer = [0; 2000];
    let len = (&mut &*receiver).read(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn coverage_decides(address: SocketAddr) {
    let Some((receiver, sender)) = pair(address) else { return };
    udp_lite::set_receive_coverage(&receiver, Coverage::Bytes(64)).unwrap();

    udp_lite::set_send_coverage(&sender, Coverage::Bytes(20)).unwrap();
    sender.send(&[b'a'; 200]).unwrap();
    udp_lite::set_send_coverage(&sender, Coverage::Bytes(64)).unwrap();
    sender.send(&[b'b'; 200]).unwrap();
    udp_lite::set_send_coverage(&sender, Coverage::Full).unwrap();
    sender.send(&[b'c'; 200]).unwrap();

    // The loopback keeps the order, so what is missing was dropped.
    assert_eq!(received(&receiver), [b'b'; 200]);
    assert_eq!(received(&receiver), [b'c'; 200]);

    // Without a minimum every coverage will do.
    udp_lite::set_receive_coverage(&receiver, Coverage::Bytes(0)).unwrap();
    udp_lite::set_send_coverage(&sender, Coverage::Bytes(0)).unwrap();
    sender.send(&[b'd'; 200]).unwrap();
    assert_eq!(received(&receiver), [b'd'; 200]);
}

#[test]
fn coverage_below_the_minimum_is_dropped() {
    coverage_decides((Ipv4Addr::LOCALHOST, 0).into());
}

#[test]
fn coverage_below_the_minimum_is_dropped_over_ipv6() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: ipv6: no ::1");
        return;
    }
    coverage_decides((Ipv6Addr::LOCALHOST, 0).into());
}

#[test]
fn coverage_is_read_back() {
    let Some((receiver, sender)) = pair((Ipv4Addr::LOCALHOST, 0).into()) else { return };
    assert_eq!(udp_lite::send_coverage(&sender).unwrap(), Coverage::Full);
    for coverage in [Coverage::Bytes(0), Coverage::Bytes(20), Coverage::Bytes(65_527), Coverage::Full] {
        udp_lite::set_send_coverage(&sender, coverage).unwrap();
        assert_eq!(udp_lite::send_coverage(&sender).unwrap(), coverage);
        udp_lite::set_receive_coverage(&receiver, coverage).unwrap();
        assert_eq!(udp_lite::receive_coverage(&receiver).unwrap(), coverage);
    }
    let error = udp_lite::set_send_coverage(&sender, Coverage::Bytes(65_528)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn udp_has_no_coverage() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(udp_lite::set_send_coverage(&socket, Coverage::Bytes(8)).is_err());
}
