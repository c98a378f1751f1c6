//! Datagrams.

use std::task::Poll;

use super::*;

async fn pair(acceptor: &dyn Acceptor, tls: &TlsConfig) -> (Box<dyn MessageTransport>, Box<dyn MessageTransport>) {
    let leaf = leaf(ProtocolStack::QuicDatagram, acceptor.local().ip().unwrap());
    let client = soon(connect(&leaf, &setting(unreliable(), tls, false).await)).await.unwrap();
    assert_eq!(client.about.stack, ProtocolStack::QuicDatagram);
    let mut client = messages(client);
    send(&mut *client, b"first").await.unwrap();
    let server = accepted(acceptor).await;
    assert_eq!(server.about.stack, ProtocolStack::QuicDatagram);
    let mut server = messages(server);
    let (data, context) = receive(&mut *server).await.unwrap().unwrap();
    assert_eq!((&data[..], context.is_early_data()), (&b"first"[..], false));
    (client, server)
}

#[tokio::test]
async fn messages_keep_their_boundaries_both_ways() {
    let authority = Authority::new();
    let acceptor = listening(unreliable(), &authority.server());
    let (mut client, mut server) = pair(&*acceptor, &authority.client().build().unwrap()).await;
    let largest = client.limits().send.unwrap();
    assert!(largest >= 1000, "{largest}");
    for length in [0, 1, 500, 1000] {
        send(&mut *server, &vec![9; length]).await.unwrap();
        assert_eq!(receive(&mut *client).await.unwrap().unwrap().0.len(), length);
    }
    // One that is too large is refused, and nothing is lost by it.
    let error = send(&mut *client, &vec![0; 65_000]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    send(&mut *client, b"after").await.unwrap();
    assert_eq!(&receive(&mut *server).await.unwrap().unwrap().0[..], b"after");
    // What is sent last leaves before the end.
    send(&mut *client, b"last").await.unwrap();
    soon(poll_fn(|cx| client.poll_shutdown(cx))).await.unwrap();
    drop(client);
    assert_eq!(&receive(&mut *server).await.unwrap().unwrap().0[..], b"last");
    assert!(receive(&mut *server).await.unwrap().is_none());
}

#[tokio::test]
async fn more_than_fits_waits_for_room() {
    let authority = Authority::new();
    let acceptor = listening(unreliable(), &authority.server());
    let leaf = leaf(ProtocolStack::QuicDatagram, acceptor.local().ip().unwrap());
    let setting = setting(unreliable(), &authority.client().build().unwrap(), false).await;
    let attempt = Attempt::prepare(&leaf, &setting).await.unwrap();
    let (connecting, socket) = attempt.begin().unwrap();
    let connection = soon(connecting).await.unwrap();
    let room = connection.datagram_send_buffer_space();
    let mut client = messages(attempt.established(connection.clone(), &socket).await.unwrap());
    let mut outbox = Outbox::of_messages();
    outbox.push_slice(&[3; 1000]);
    outbox.end_message(MessageContext::default());
    let leaving = outbox.next_message().unwrap();
    // Four times what may wait at once. Nothing leaves before somebody waits: there is one thread for all.
    let (count, mut waits) = (4 * room / 1000, 0);
    for number in 0..count {
        let (mut taken, mut left) = (false, false);
        soon(poll_fn(|cx| {
            if !taken {
                taken = client.poll_send(cx, &leaving)?.is_ready();
            }
            left = taken && client.poll_flush(cx)?.is_ready();
            waits += usize::from(!left);
            if left { Poll::Ready(io::Result::Ok(())) } else { Poll::Pending }
        }))
        .await
        .unwrap();
        assert!(waits > 0 || number * 1000 < room, "there was room for {number}");
    }
    assert!(waits > 1, "{waits}");
    // All of them leave: none was dropped to make room for another.
    soon(async {
        while connection.datagram_send_buffer_space() < room {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert_eq!(connection.stats().frame_tx.datagram, count as u64);
    let mut server = messages(accepted(&*acceptor).await);
    assert_eq!(receive(&mut *server).await.unwrap().unwrap().0, vec![3; 1000]);
}

#[tokio::test]
async fn a_message_allocates_nothing_on_its_way_out_nor_in() {
    const BURST: u64 = 50;
    let authority = Authority::new();
    let acceptor = listening(unreliable(), &authority.server());
    let (mut client, mut server) = pair(&*acceptor, &authority.client().build().unwrap()).await;
    let body = Bytes::from(vec![7; 100]);
    // As one that the application keeps, or has cut from what it has received.
    let _kept = body.clone();
    let mut outbox = Outbox::of_messages();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let (mut found, mut allocations) = (0, 0);
    for _ in 0..20 {
        let sent = allocation_counter::measure(|| {
            for _ in 0..BURST {
                outbox.push(body.clone());
                outbox.end_message(MessageContext::default());
                assert!(client.poll_send(&mut cx, &outbox.next_message().unwrap()).is_ready());
                outbox.pop_message();
            }
        });
        allocations += sent.count_total;
        // Some come together.
        let mut next = receive(&mut *server).await.unwrap().map(|(data, _)| data);
        while let Some(data) = next.take() {
            assert_eq!(data, body);
            let received = allocation_counter::measure(|| {
                if let Poll::Ready(arrived) = server.poll_receive(&mut cx) {
                    let Arrived::Message(data, _) = arrived.unwrap() else { panic!("the end") };
                    next = Some(data);
                }
            });
            if next.is_some() {
                found += 1;
                assert_eq!(received.count_total, 0, "{found}");
            }
        }
    }
    // The room for those that wait doubles now and then.
    assert!(allocations <= 20, "{allocations}");
    assert!(found > 20, "{found}");
}

#[tokio::test]
async fn who_needs_reliability_takes_no_datagrams_and_who_forbids_it_no_streams() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let datagrams = leaf(ProtocolStack::QuicDatagram, acceptor.local().ip().unwrap());
    let error = soon(connect(&datagrams, &setting(unreliable(), &tls, false).await)).await.unwrap_err();
    assert_eq!(error, AttemptError::Transport(io::ErrorKind::Unsupported));
    let properties = TransportProperties::new().prohibit(SelectionProperty::Reliability);
    assert_eq!(properties.preference(SelectionProperty::Reliability), Preference::Prohibit);
    let acceptor = listening_on(0, ProtocolStack::QuicDatagram, properties, &authority.server()).unwrap();
    let error = connected(&*acceptor, TransportProperties::new(), &tls).await.unwrap_err();
    assert_eq!(error, AttemptError::Transport(io::ErrorKind::QuotaExceeded));
}
