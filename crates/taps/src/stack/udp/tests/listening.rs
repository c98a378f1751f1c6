//! Listeners: who becomes a connection, and what it hears.

use std::net::Ipv6Addr;

use super::*;

#[tokio::test]
async fn case_29_the_first_datagram_makes_a_connection_and_is_received_on_it() {
    let listener = listener(LOOPBACK);
    let (mut first, mut second) = (client(address(&*listener)).await, client(address(&*listener)).await);
    first.send(b"1a").await.unwrap();
    first.send(b"1b").await.unwrap();
    second.send(b"2a").await.unwrap();
    let (mut to_first, mut to_second) = (accept(&*listener).await, accept(&*listener).await);
    assert_eq!((to_first.remote(), to_second.remote()), (first.local(), second.local()));
    assert_eq!((to_first.local(), first.remote()), (address(&*listener), address(&*listener)));
    assert_eq!(to_first.data().await, "1a");
    assert_eq!(to_second.data().await, "2a");
    assert_eq!(to_first.data().await, "1b");
    to_second.send(b"answer").await.unwrap();
    assert_eq!(second.data().await, "answer");
    // The same four-tuple is the same connection, until that is closed.
    first.send(b"1c").await.unwrap();
    assert_eq!(to_first.data().await, "1c");
    drop(to_first);
    first.send(b"1d").await.unwrap();
    let mut again = accept(&*listener).await;
    assert_eq!((again.remote(), again.data().await), (first.local(), "1d".into()));
}

#[tokio::test]
async fn a_client_that_is_not_wanted_frees_its_place() {
    let listener = listener(LOOPBACK);
    let mut client = client(address(&*listener)).await;
    client.send(b"first").await.unwrap();
    drop(soon(listener.accept()).await.unwrap());
    client.send(b"second").await.unwrap();
    assert_eq!(accept(&*listener).await.data().await, "second");
}

#[tokio::test]
async fn case_31_connections_live_on_when_the_listener_has_stopped() {
    let listener = listener(LOOPBACK);
    let local = address(&*listener);
    let (mut known, mut waiting, mut stranger) = (client(local).await, client(local).await, client(local).await);
    known.send(b"known").await.unwrap();
    let mut server = accept(&*listener).await;
    assert_eq!(server.data().await, "known");
    waiting.send(b"waiting").await.unwrap();
    drop(listener);
    stranger.send(b"stranger").await.unwrap();
    known.send(b"still").await.unwrap();
    assert_eq!(server.data().await, "still");
    server.send(b"here").await.unwrap();
    assert_eq!(known.data().await, "here");
    // The port is the connection's until that is gone; then the task that holds the socket ends soon.
    assert!(std::net::UdpSocket::bind(local).is_err());
    drop(server);
    soon(async {
        while std::net::UdpSocket::bind(local).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn answers_come_from_the_address_that_was_asked() {
    let listener = listener((Ipv4Addr::UNSPECIFIED, 0));
    let port = address(&*listener).port();
    let (socket, from) = raw(Ipv4Addr::LOCALHOST).await;
    let mut ends = Vec::new();
    for last in [1, 5] {
        let asked = SocketAddr::from(([127, 0, 0, last], port));
        socket.send_to(&[last], asked).await.unwrap();
        let mut end = accept(&*listener).await;
        assert_eq!((end.local(), end.remote()), (asked, from), "one connection for each four-tuple");
        assert_eq!(end.data().await[..], [last]);
        end.send(b"answer").await.unwrap();
        let mut buffer = [0; 100];
        let (length, answered) = soon(socket.recv_from(&mut buffer)).await.unwrap();
        assert_eq!((&buffer[..length], answered), (&b"answer"[..], asked));
        ends.push(end);
    }
    for (end, last) in ends.iter_mut().zip([1, 5]) {
        socket.send_to(&[last, last], SocketAddr::from(([127, 0, 0, last], port))).await.unwrap();
        assert_eq!(end.data().await[..], [last, last]);
    }
}

#[tokio::test]
async fn one_socket_stands_for_both_families() {
    let both = Stand { both_families: true, ..stand((Ipv6Addr::UNSPECIFIED, 0)) };
    let Ok(listener) = listener_of(&both, TransportProperties::new()) else { return println!("skipped: no ipv6") };
    let port = address(&*listener).port();
    for loopback in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let remote = SocketAddr::new(loopback, port);
        let mut client = client(remote).await;
        client.send(b"hello").await.unwrap();
        let mut server = accept(&*listener).await;
        assert_eq!((server.local(), server.remote()), (remote, client.local()));
        let (data, context) = server.receive().await;
        assert_eq!(data, "hello");
        if cfg!(target_os = "linux") {
            assert_eq!((context.ecn(), context.dscp()), (Some(crate::message::Ecn::NotEct), Some(0)));
        }
        server.send(&data).await.unwrap();
        assert_eq!(client.data().await, "hello");
        // A client that goes away is no business of the others.
        #[cfg(target_os = "linux")]
        {
            drop(client);
            server.send(b"nobody").await.unwrap();
            assert!(matches!(server.arrived().await, Arrived::SoftError(SoftError { icmp: Some(_), .. })));
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_error_goes_to_the_connection_that_it_is_about() {
    let listener = listener(LOOPBACK);
    let (mut here, mut gone) = (client(address(&*listener)).await, client(address(&*listener)).await);
    here.send(b"here").await.unwrap();
    gone.send(b"gone").await.unwrap();
    let (mut to_here, mut to_gone) = (accept(&*listener).await, accept(&*listener).await);
    assert_eq!((to_here.data().await, to_gone.data().await), ("here".into(), "gone".into()));
    drop(gone);
    for _ in 0..20 {
        to_gone.send(b"nobody").await.unwrap();
        to_here.send(b"somebody").await.unwrap();
        assert_eq!(here.data().await, "somebody");
    }
    assert!(matches!(to_gone.arrived().await, Arrived::SoftError(SoftError { icmp: Some((3, 3)), .. })));
    here.send(b"still here").await.unwrap();
    assert_eq!(to_here.data().await, "still here");
    assert!(nobody_comes(&*listener).await);
}

#[tokio::test]
async fn tasks_that_wait_together_each_get_a_peer() {
    let listener: Arc<dyn Acceptor> = Arc::from(listener(LOOPBACK));
    let local = address(&*listener);
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let listener = Arc::clone(&listener);
            tokio::spawn(async move { accept(&*listener).await.remote() })
        })
        .collect();
    tokio::task::yield_now().await;
    // One that stops to wait takes nobody with it.
    waiting[3].abort();
    let mut clients = Vec::new();
    for _ in 0..7 {
        let mut client = client(local).await;
        client.send(b"hello").await.unwrap();
        clients.push(client);
    }
    let mut accepted = Vec::new();
    for task in waiting {
        accepted.extend(task.await.ok());
    }
    accepted.sort();
    let mut expected: Vec<_> = clients.iter().map(End::local).collect();
    expected.sort();
    assert_eq!(accepted, expected);
}

#[tokio::test]
async fn a_port_in_use_is_told() {
    let listener = listener(LOOPBACK);
    let error = listener_of(&stand(address(&*listener)), TransportProperties::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_flood_of_sources_keeps_nobody_from_a_connection() {
    let listener = listener(LOOPBACK);
    let mut client = client(address(&*listener)).await;
    client.send(b"first").await.unwrap();
    let mut server = accept(&*listener).await;
    assert_eq!(server.data().await, "first");
    for round in 0..20 {
        for _ in 0..100 {
            let (socket, _) = raw(Ipv4Addr::LOCALHOST).await;
            socket.send_to(b"flood", address(&*listener)).await.unwrap();
        }
        client.send(&[round]).await.unwrap();
        assert_eq!(server.data().await[..], [round]);
    }
}
