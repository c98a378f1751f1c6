//! Streams, and the groups that they make.

use std::collections::HashSet;

use super::relay::Relay;
use super::*;

#[tokio::test]
async fn a_stream_carries_bytes_both_ways_to_its_end() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let client = connected(&*acceptor, TransportProperties::new(), &authority.client().build().unwrap()).await.unwrap();
    assert_eq!(client.about.remote, acceptor.local().ip().unwrap());
    assert_eq!(client.about.local.ip().unwrap().ip(), Ipv4Addr::LOCALHOST);
    assert!(client.about.can_send && client.about.can_receive && !client.about.zero_rtt);
    let local = client.about.local.clone();
    let mut client = stream(client);
    // The peer sees the stream with its first byte.
    say(&mut client, b"hello").await;
    let server = accepted(&*acceptor).await;
    assert_eq!((server.about.remote.clone(), server.about.stack), (local, ProtocolStack::QuicStream));
    let mut server = stream(server);
    for (stream, certificates) in [(&client, 1), (&server, 0)] {
        let tls = stream.tls_info().unwrap();
        assert_eq!((tls.version(), tls.alpn()), (TlsVersion::V1_3, Some(&b"post/1"[..])));
        assert_eq!(tls.server_name(), Some(&*authority.name));
        assert_eq!(tls.peer_certificates().len(), certificates);
    }
    hear(&mut server, b"hello").await;
    let large = vec![7; 3_000_000];
    let (sent, received) = tokio::join!(
        async {
            say(&mut server, &large).await;
            soon(server.shutdown()).await.unwrap();
        },
        async {
            let mut received = Vec::new();
            soon(client.read_to_end(&mut received)).await.unwrap();
            received
        }
    );
    let () = sent;
    assert!(received == large);
    // The other half is open still.
    say(&mut client, b"thanks").await;
    hear(&mut server, b"thanks").await;
    soon(client.shutdown()).await.unwrap();
    drop(client);
    assert_eq!(soon(server.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn what_was_written_arrives_after_the_stream_is_dropped() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let client = connected(&*acceptor, TransportProperties::new(), &authority.client().build().unwrap()).await.unwrap();
    let mut client = stream(client);
    say(&mut client, &vec![1; 500_000]).await;
    drop(client);
    let mut server = stream(accepted(&*acceptor).await);
    let mut received = Vec::new();
    soon(server.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len(), 500_000);
}

#[tokio::test]
async fn clones_are_streams_of_one_connection() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let properties = TransportProperties::new();
    let first = connected(&*acceptor, properties.clone(), &authority.client().build().unwrap()).await.unwrap();
    let (streams, group) = (first.streams.clone().unwrap(), first.group.clone().unwrap());
    let mut clients = vec![stream(first)];
    for _ in 0..2 {
        let next = soon(streams.open(&properties.connection)).await.unwrap();
        assert!(Arc::ptr_eq(next.group.as_ref().unwrap(), &group));
        clients.push(stream(next));
    }
    let mut servers = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        say(client, &[number as u8]).await;
        servers.push(accepted(&*acceptor).await);
    }
    let ports: HashSet<_> = servers.iter().map(|server| server.about.remote.clone()).collect();
    assert_eq!(ports.len(), 1, "one socket, so one handshake");
    let groups: Vec<_> = servers.iter().map(|server| server.group.clone().unwrap()).collect();
    assert!(groups.iter().all(|other| Arc::ptr_eq(other, &groups[0])));
    let mut servers: Vec<_> = servers.into_iter().map(stream).collect();
    for (number, server) in servers.iter_mut().enumerate() {
        hear(server, &[number as u8]).await;
    }
    // One goes, the others stay.
    drop(clients.remove(0));
    assert_eq!(soon(servers[0].read(&mut [0; 1])).await.unwrap(), 0);
    say(&mut clients[0], b"still").await;
    hear(&mut servers[1], b"still").await;
    // One is aborted, the other stays.
    clients[0].reset_on_drop();
    drop(clients.remove(0));
    let error = soon(servers[1].read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    say(&mut servers[2], b"last").await;
    hear(&mut clients[0], b"last").await;
    // The last one takes the connection with it.
    clients[0].reset_on_drop();
    drop(clients);
    let error = soon(servers[2].read(&mut [0; 1])).await.unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted), "{error:?}");
    let error = soon(streams.open(&properties.connection)).await.unwrap_err();
    assert_eq!(error, AttemptError::Transport(io::ErrorKind::NotConnected));
}

#[tokio::test]
async fn the_peer_adds_no_more_connections_than_the_group_may_have() {
    let authority = Authority::new();
    let mut properties = TransportProperties::new();
    properties.connection.group_conn_limit = Some(1);
    let acceptor = listening(properties, &authority.server());
    let first = connected(&*acceptor, TransportProperties::new(), &authority.client().build().unwrap()).await.unwrap();
    let (streams, own) = (first.streams.clone().unwrap(), TransportProperties::new().connection);
    let mut first = stream(first);
    let mut second = stream(soon(streams.open(&own)).await.unwrap());
    let error = soon(streams.open(&own)).await.unwrap_err();
    assert_eq!(error, AttemptError::Transport(io::ErrorKind::QuotaExceeded));
    say(&mut first, b"1").await;
    say(&mut second, b"2").await;
    let (mut one, mut two) = (stream(accepted(&*acceptor).await), stream(accepted(&*acceptor).await));
    hear(&mut one, b"1").await;
    hear(&mut two, b"2").await;
    // Where one has gone there is room for another.
    soon(second.shutdown()).await.unwrap();
    assert_eq!(soon(two.read(&mut [0; 1])).await.unwrap(), 0);
    soon(two.shutdown()).await.unwrap();
    drop((second, two));
    let mut third = stream(soon(streams.open(&own)).await.unwrap());
    say(&mut third, b"3").await;
    hear(&mut stream(accepted(&*acceptor).await), b"3").await;
}

#[tokio::test]
async fn a_thousand_streams_are_open_at_once() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let first = connected(&*acceptor, TransportProperties::new(), &authority.client().build().unwrap()).await.unwrap();
    let (streams, own) = (first.streams.clone().unwrap(), TransportProperties::new().connection);
    let mut clients = vec![stream(first)];
    while clients.len() < 1000 {
        clients.push(stream(soon(streams.open(&own)).await.unwrap()));
    }
    let (_, mut servers) = tokio::join!(
        async {
            for (number, client) in clients.iter_mut().enumerate() {
                say(client, &(number as u32).to_be_bytes()).await;
            }
        },
        async {
            let mut servers = Vec::new();
            while servers.len() < 1000 {
                servers.push(stream(accepted(&*acceptor).await));
            }
            servers
        }
    );
    let mut numbers = HashSet::new();
    for server in &mut servers {
        numbers.insert(soon(server.read_u32()).await.unwrap());
    }
    assert_eq!(numbers.len(), 1000);
}

#[tokio::test]
async fn one_way_streams_have_one_way() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let out = TransportProperties::new().with_direction(Direction::UnidirectionalSend);
    let client = connected(&*acceptor, out.clone(), &tls).await.unwrap();
    assert!(client.about.can_send && !client.about.can_receive);
    let mut client = stream(client);
    say(&mut client, b"news").await;
    let server = accepted(&*acceptor).await;
    assert!(!server.about.can_send && server.about.can_receive);
    let mut server = stream(server);
    hear(&mut server, b"news").await;
    assert_eq!(soon(server.write(b"?")).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    // The other way round, a listener is the one that sends.
    let acceptor = listening(out, &authority.server());
    let into = TransportProperties::new().with_direction(Direction::UnidirectionalReceive);
    let client = connected(&*acceptor, into, &tls).await.unwrap();
    assert!(!client.about.can_send && client.about.can_receive);
    let (mut client, mut server) = (stream(client), stream(accepted(&*acceptor).await));
    say(&mut server, b"more news").await;
    hear(&mut client, b"more news").await;
    soon(server.shutdown()).await.unwrap();
    assert_eq!(soon(client.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_listener_that_is_gone_refuses_and_its_connections_live_on() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let address = acceptor.local().ip().unwrap();
    let mut client = stream(connected(&*acceptor, TransportProperties::new(), &tls).await.unwrap());
    say(&mut client, b"1").await;
    let mut server = stream(accepted(&*acceptor).await);
    drop(acceptor);
    let leaf = leaf(ProtocolStack::QuicStream, address);
    let refused = soon(connect(&leaf, &setting(TransportProperties::new(), &tls, false).await)).await;
    assert_eq!(refused.unwrap_err(), AttemptError::Refused);
    say(&mut server, b"2").await;
    hear(&mut client, b"2").await;
}

#[tokio::test]
async fn reading_ahead_tells_when_something_has_come() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let client = connected(&*acceptor, TransportProperties::new(), &authority.client().build().unwrap()).await.unwrap();
    let mut client = stream(client);
    say(&mut client, b"a").await;
    let mut server = stream(accepted(&*acceptor).await);
    hear(&mut server, b"a").await;
    let (_, _) = tokio::join!(soon(poll_fn(|cx| server.poll_read_ready(cx))), say(&mut client, b"bc"));
    let mut buffer = [0; 8];
    assert_eq!(soon(server.read(&mut buffer)).await.unwrap(), 2);
    assert_eq!(&buffer[..2], b"bc");
    soon(client.shutdown()).await.unwrap();
    soon(poll_fn(|cx| server.poll_read_ready(cx))).await.unwrap();
    assert_eq!(soon(server.read(&mut buffer)).await.unwrap(), 0);
}

/// RFC 9622 6.2.14, RFC 9000 9: a client that has another address now is the same one, unless the listener wants one path.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_may_move_on_to_another_address() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    for (multipath, goes_on) in [(None, true), (Some(Multipath::Disabled), false)] {
        let acceptor = listening(TransportProperties::new().with_multipath(multipath), &authority.server());
        let mut relay = Relay::to(acceptor.local().ip().unwrap()).await;
        let leaf = leaf(ProtocolStack::QuicStream, relay.address);
        let client = soon(connect(&leaf, &setting(TransportProperties::new(), &tls, false).await)).await;
        let mut client = stream(client.unwrap());
        say(&mut client, b"1").await;
        let mut server = stream(accepted(&*acceptor).await);
        hear(&mut server, b"1").await;
        say(&mut server, b"2").await;
        hear(&mut client, b"2").await;
        relay.move_on().await;
        say(&mut client, b"3").await;
        if goes_on {
            hear(&mut server, b"3").await;
            say(&mut server, b"4").await;
            hear(&mut client, b"4").await;
        } else {
            let heard = tokio::time::timeout(Duration::from_millis(500), server.read_u8()).await;
            assert!(heard.is_err(), "{heard:?} from somewhere else");
        }
    }
}
