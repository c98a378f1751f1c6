//! MPTCP, and what is told of streams, on the loopback.
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use postroad_sys::{mptcp, tcp};
use socket2::{Domain, SockAddr, Socket};

/// MPTCP sockets for one end and a client of the other kind: what a connection is on both ends.
fn accepted(listener: &Socket, client: &Socket) -> Socket {
    client.set_nonblocking(false).unwrap();
    listener.set_nonblocking(false).unwrap();
    client.connect(&listener.local_addr().unwrap()).unwrap();
    listener.accept().unwrap().0
}

fn listening(socket: Socket, address: SocketAddr) -> Socket {
    socket.bind(&SockAddr::from(address)).unwrap();
    socket.listen(8).unwrap();
    socket
}

fn v4() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// An MPTCP socket, or a skip that says why not.
fn multipath(domain: Domain) -> Option<Socket> {
    match mptcp::socket(domain) {
        Ok(socket) => Some(socket),
        Err(error) => {
            println!("skipped: mptcp: {error}");
            None
        }
    }
}

#[test]
fn mptcp_on_both_ends_is_multipath() {
    let (Some(listener), Some(client)) = (multipath(Domain::IPV4), multipath(Domain::IPV4)) else { return };
    let listener = listening(listener, v4());
    let mut server = accepted(&listener, &client);
    // The peer's key is there for sure once data has come.
    (&client).write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    for end in [&client, &server] {
        let info = mptcp::info(end).unwrap().expect("no fallback");
        assert!(info.established);
        assert!(!mptcp::is_fallback(end).unwrap());
    }
    let token = |end| mptcp::info(end).unwrap().map(|info| info.token);
    assert_ne!(token(&client), token(&server));
    // The first subflow answers for the connection.
    assert!(tcp::info(&client).unwrap().segment_size > 0);
}

#[test]
fn mptcp_over_ipv6() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: ipv6: no ::1");
        return;
    }
    let (Some(listener), Some(client)) = (multipath(Domain::IPV6), multipath(Domain::IPV6)) else { return };
    let listener = listening(listener, (Ipv6Addr::LOCALHOST, 0).into());
    let server = accepted(&listener, &client);
    assert!(!mptcp::is_fallback(&client).unwrap());
    assert!(!mptcp::is_fallback(&server).unwrap());
}

#[test]
fn mptcp_falls_back_to_a_plain_peer() {
    let Some(client) = multipath(Domain::IPV4) else { return };
    let plain = listening(Socket::new(Domain::IPV4, socket2::Type::STREAM, None).unwrap(), v4());
    let mut server = accepted(&plain, &client);
    assert!(mptcp::is_fallback(&client).unwrap());
    assert!(mptcp::is_fallback(&server).unwrap());
    (&client).write_all(b"still works").unwrap();
    let mut got = [0; 11];
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"still works");

    let Some(listener) = multipath(Domain::IPV4) else { return };
    let listener = listening(listener, v4());
    let client = Socket::new(Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let server = accepted(&listener, &client);
    assert!(mptcp::is_fallback(&client).unwrap());
    assert!(mptcp::is_fallback(&server).unwrap());
}

#[test]
fn mptcp_socket_is_nonblocking() {
    let Some(listener) = multipath(Domain::IPV4) else { return };
    let listener = listening(listener, v4());
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn tcp_info_tells_of_the_connection() {
    let (mut client, mut server) = pair();
    let payload = [7; 10_000];
    client.write_all(&payload).unwrap();
    server.read_exact(&mut [0; 10_000]).unwrap();
    // An answer carries the acknowledgement with it.
    server.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    let info = tcp::info(&client).unwrap();
    assert!(info.round_trip_time > Duration::ZERO, "{info:?}");
    assert!(info.round_trip_time < Duration::from_secs(5), "{info:?}");
    assert!(info.retransmission_timeout > info.round_trip_time, "{info:?}");
    assert!(info.congestion_window > 0 && info.segment_size > 500 && info.path_mtu > info.segment_size, "{info:?}");
    assert_eq!(info.retransmits, 0);
    // The handshake counts for one byte.
    assert!(info.acknowledged_bytes.is_none_or(|bytes| (10_000..=10_001).contains(&bytes)), "{info:?}");
}

#[test]
fn tcp_info_is_of_tcp_only() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(tcp::info(&udp).is_err());
}

#[test]
fn pacing_rate_is_set_read_and_taken_away() {
    let (client, _server) = pair();
    assert_eq!(tcp::max_pacing_rate(&client).unwrap(), None);
    tcp::set_max_pacing_rate(&client, Some(1_000_000)).unwrap();
    assert_eq!(tcp::max_pacing_rate(&client).unwrap(), Some(1_000_000));
    tcp::set_max_pacing_rate(&client, Some(10_000_000_000)).unwrap();
    #[cfg(target_pointer_width = "64")]
    assert_eq!(tcp::max_pacing_rate(&client).unwrap(), Some(10_000_000_000));
    tcp::set_max_pacing_rate(&client, None).unwrap();
    assert_eq!(tcp::max_pacing_rate(&client).unwrap(), None);
}

#[test]
fn paced_stream_is_not_faster_than_its_rate() {
    let (mut client, mut server) = pair();
    tcp::set_max_pacing_rate(&client, Some(4_000_000)).unwrap();
    let begun = Instant::now();
    let reader = thread::spawn(move || {
        let mut received = 0;
        let mut buffer = [0; 65_536];
        while let Ok(len @ 1..) = server.read(&mut buffer) {
            received += len;
        }
        (received, begun.elapsed())
    });
    client.write_all(&vec![0; 2_000_000]).unwrap();
    drop(client);
    let (received, took) = reader.join().unwrap();
    assert_eq!(received, 2_000_000);
    // Half a second by the rate; a burst at the beginning is not paced.
    assert!(took > Duration::from_millis(250), "{took:?}");
}
