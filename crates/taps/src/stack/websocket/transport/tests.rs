use std::future::poll_fn;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::framer::outbox::Outbox;
use crate::protocol::ProtocolStack;
use crate::stack::tcp;

const PATIENCE: Duration = Duration::from_secs(10);

/// A server's WebSocket, and the socket of a client that writes what it likes.
async fn with_client() -> (WebSocket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let server = listener.accept().await.unwrap().0;
    let about = tcp::about(ProtocolStack::WebSocket, &server).unwrap();
    (WebSocket::new(ByteStream::tcp(server, about), Role::Server, Vec::new()).await, client)
}

/// The head of a frame without a mask (RFC 6455 5.2).
fn head(first: u8, length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![first, length as u8],
        126..=0xffff => [&[first, 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

const KEY: [u8; 4] = [1, 2, 3, 4];

/// The head of a frame that is masked with [`KEY`].
fn masked_head(first: u8, length: usize) -> Vec<u8> {
    let mut head = head(first, length);
    head[1] |= 0x80;
    head.extend_from_slice(&KEY);
    head
}

fn mask(payload: &mut [u8], key: [u8; 4]) {
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

/// A masked frame.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    mask(&mut payload, KEY);
    [masked_head(first, payload.len()), payload].concat()
}

async fn receive(socket: &mut WebSocket) -> io::Result<Arrived> {
    timeout(PATIENCE, poll_fn(|cx| socket.poll_receive(cx))).await.expect("nothing came")
}

async fn receive_data(socket: &mut WebSocket) -> Bytes {
    match receive(socket).await.unwrap() {
        Arrived::Message(data, _) => data,
        other => panic!("{other:?}"),
    }
}

fn outbox(data: impl Into<Bytes>, context: MessageContext) -> Outbox {
    let mut out = Outbox::of_messages();
    out.push(data.into());
    out.end_message(context);
    out
}

async fn hand_over(socket: &mut WebSocket, out: &Outbox) -> io::Result<()> {
    poll_fn(|cx| socket.poll_send(cx, &out.next_message().unwrap())).await
}

async fn send(socket: &mut WebSocket, data: impl Into<Bytes>) -> io::Result<()> {
    hand_over(socket, &outbox(data, MessageContext::default())).await?;
    poll_fn(|cx| socket.poll_flush(cx)).await
}

async fn wire(client: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(PATIENCE, client.read_exact(&mut bytes)).await.expect("nothing on the wire").unwrap();
    bytes
}

fn failure(error: &io::Error) -> WebSocketError {
    WebSocketError::from_io(error).expect("a typed error")
}

#[tokio::test]
async fn messages_are_frames_on_the_wire() {
    let (mut server, mut client) = with_client().await;
    send(&mut server, &b"hello"[..]).await.unwrap();
    assert_eq!(wire(&mut client, 7).await, b"\x82\x05hello");
    let mut context = MessageContext::default();
    context.add("text", true, "websocket");
    let out = outbox(&b"text"[..], context.clone());
    hand_over(&mut server, &out).await.unwrap();
    poll_fn(|cx| server.poll_flush(cx)).await.unwrap();
    assert_eq!(wire(&mut client, 6).await, b"\x81\x04text");
    let out = outbox(&b"\xff"[..], context);
    let refused = hand_over(&mut server, &out).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    client.write_all(&masked(0x81, b"text too")).await.unwrap();
    let Arrived::Message(data, context) = receive(&mut server).await.unwrap() else { panic!() };
    assert_eq!(data, "text too");
    assert_eq!(context.get("text", "websocket").and_then(|value| value.as_bool()), Some(true));
    let long = send(&mut server, vec![0; MAX_MESSAGE + 1]).await.unwrap_err();
    assert_eq!(long.kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_client_masks_with_a_key_of_its_own_for_each_frame() {
    let (server, client) = with_client().await;
    let mut raw = server.socket.into_inner();
    let about = raw.about().clone();
    let mut socket = WebSocket::new(ByteStream::tcp(client, about), Role::Client, Vec::new()).await;
    let mut keys = std::collections::HashSet::new();
    let body = Bytes::from(vec![9; 5000]);
    for _ in 0..100 {
        send(&mut socket, body.clone()).await.unwrap();
        let mut bytes = vec![0; 8 + body.len()];
        raw.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes[..4], [0x82, 0xfe, 0x13, 0x88]);
        let key: [u8; 4] = bytes[4..8].try_into().unwrap();
        mask(&mut bytes[8..], key);
        assert_eq!(bytes[8..], body);
        keys.insert(key);
    }
    assert!(keys.len() > 90, "{} keys", keys.len());
}

#[tokio::test]
async fn a_ping_is_answered_by_one_who_only_receives() {
    let (mut server, mut client) = with_client().await;
    client.write_all(&[masked(0x89, b"one"), masked(0x89, b"two"), masked(0x82, b"data")].concat()).await.unwrap();
    assert_eq!(receive_data(&mut server).await, "data");
    let waiting = tokio::spawn(async move {
        let data = receive_data(&mut server).await;
        (server, data)
    });
    // The latest is enough (RFC 6455 5.5.3), though pings that come apart may each get an answer.
    let mut answer = wire(&mut client, 5).await;
    if answer == b"\x8a\x03one" {
        answer = wire(&mut client, 5).await;
    }
    assert_eq!(answer, b"\x8a\x03two");
    client.write_all(&masked(0x82, b"more")).await.unwrap();
    assert_eq!(waiting.await.unwrap().1, "more");
}

#[tokio::test]
async fn a_good_bye_is_answered_and_ends_what_is_received() {
    let (mut server, mut client) = with_client().await;
    client.write_all(&[masked(0x82, b"last"), masked(0x88, b"\x03\xe9going")].concat()).await.unwrap();
    assert_eq!(receive_data(&mut server).await, "last");
    assert!(matches!(receive(&mut server).await, Ok(Arrived::End)));
    assert!(matches!(receive(&mut server).await, Ok(Arrived::End)));
    // What is answered is what was said (RFC 6455 5.5.1).
    assert_eq!(wire(&mut client, 9).await, b"\x88\x07\x03\xe9going");
    assert_eq!(send(&mut server, &b"x"[..]).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    timeout(PATIENCE, poll_fn(|cx| server.poll_shutdown(cx))).await.unwrap().unwrap();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn one_who_says_good_bye_hears_the_peer_out() {
    let (mut server, mut client) = with_client().await;
    let closing = tokio::spawn(async move {
        poll_fn(|cx| server.poll_shutdown(cx)).await.unwrap();
        server
    });
    assert_eq!(wire(&mut client, 4).await, b"\x88\x02\x03\xe8");
    client.write_all(&[masked(0x82, b"late"), masked(0x88, b"")].concat()).await.unwrap();
    let mut server = timeout(PATIENCE, closing).await.unwrap().unwrap();
    assert_eq!(receive_data(&mut server).await, "late");
    assert!(matches!(receive(&mut server).await, Ok(Arrived::End)));
    // The socket closes without a reset: everything was read.
    drop(server);
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_never_says_good_bye_is_left_after_a_while() {
    let (mut server, _client) = with_client().await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    poll_fn(|cx| server.poll_shutdown(cx)).await.unwrap();
    assert!(begun.elapsed() >= CLOSE_TIMEOUT);
}

#[tokio::test]
async fn what_a_peer_goes_on_to_send_after_a_good_bye_is_kept_within_bounds_and_not_lost() {
    let (mut server, mut client) = with_client().await;
    client.write_all(&masked(0x82, b"").repeat(3000)).await.unwrap();
    timeout(PATIENCE, poll_fn(|cx| server.poll_shutdown(cx))).await.unwrap().unwrap();
    assert_eq!(server.kept.len(), KEPT / KEPT_BESIDE);
    for _ in 0..3000 {
        assert_eq!(receive_data(&mut server).await, "");
    }
    assert_eq!(server.kept_len, 0);
}

#[tokio::test]
async fn other_ends_are_typed_errors() {
    let (mut server, mut client) = with_client().await;
    client.write_all(&masked(0x88, b"\x03\xf3broken")).await.unwrap();
    let closed = WebSocketError::Closed { code: 1011, reason: "broken".to_owned() };
    assert_eq!(failure(&receive(&mut server).await.unwrap_err()), closed);
    assert_eq!(failure(&receive(&mut server).await.unwrap_err()), closed, "again");

    let whole = masked(0x82, b"some message");
    for cut in 0..whole.len() {
        let (mut server, mut client) = with_client().await;
        client.write_all(&whole[..cut]).await.unwrap();
        drop(client);
        assert_eq!(failure(&receive(&mut server).await.unwrap_err()), WebSocketError::Truncated, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_violation_ends_the_connection_with_its_code() {
    let too_long = masked_head(0x82, MAX_MESSAGE + 1);
    let two = [masked(0x02, b""), masked(0x82, b"")].concat();
    let half = [masked(0x01, b"\xe2\x82"), masked(0x80, b"")].concat();
    for (bytes, code) in [
        (&b"\x82\x00"[..], 1002u16),
        (b"GET / HTTP/1.1\r\n", 1002),
        (&masked(0xc2, b""), 1002),
        (&masked(0xa2, b""), 1002),
        (&masked(0x92, b""), 1002),
        (&masked(0x83, b""), 1002),
        (&masked(0x8b, b""), 1002),
        (&masked(0x09, b""), 1002),
        (&masked(0x89, &[0; 126]), 1002),
        (&masked(0x80, b""), 1002),
        (&two, 1002),
        (&masked(0x88, b"\x03"), 1002),
        (&masked(0x81, b"\xff"), 1007),
        (&half, 1007),
        (&masked(0x88, b"\x03\xe8\xff"), 1007),
        (&too_long, 1009),
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
    ] {
        let (mut server, mut client) = with_client().await;
        client.write_all(bytes).await.unwrap();
        let error = failure(&receive(&mut server).await.unwrap_err());
        assert_eq!(error.code(), code, "{bytes:x?}: {error}");
        assert_eq!(failure(&receive(&mut server).await.unwrap_err()), error, "again");
        assert_eq!(wire(&mut client, 4).await, [[0x88, 2], code.to_be_bytes()].concat(), "{bytes:x?}");
        assert_eq!(send(&mut server, &b"x"[..]).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn a_code_that_must_not_be_sent_is_answered_as_a_violation() {
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let (mut server, mut client) = with_client().await;
        client.write_all(&masked(0x88, &code.to_be_bytes())).await.unwrap();
        let error = failure(&receive(&mut server).await.unwrap_err());
        assert!(matches!(error, WebSocketError::Closed { code: 1002, .. }), "{code}: {error}");
        assert_eq!(wire(&mut client, 4).await[2..], [0x03, 0xea], "{code}");
    }
}

#[tokio::test]
async fn fragments_are_one_message_however_they_come() {
    let (mut server, mut client) = with_client().await;
    client.set_nodelay(true).unwrap();
    let parts = [masked(0x01, b"\xe2\x82"), masked(0x89, b"?"), masked(0x00, b""), masked(0x80, b"\xac")].concat();
    let ends = [masked(0x02, &[7; 300]), masked(0x80, &[7; 70_000])].concat();
    let writing = tokio::spawn(async move {
        for byte in parts {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.write_all(&ends).await.unwrap();
        client
    });
    assert_eq!(receive_data(&mut server).await, "\u{20ac}");
    assert_eq!(receive_data(&mut server).await, vec![7; 70_300]);
    let mut client = writing.await.unwrap();
    assert_eq!(wire(&mut client, 3).await, b"\x8a\x01?");
}

#[tokio::test]
async fn the_parts_of_a_message_count_together() {
    let (mut server, mut client) = with_client().await;
    let writing = tokio::spawn(async move {
        for (first, length) in [(0x02, 10 << 20), (0x80, 7 << 20)] {
            // The server may have seen enough before the last byte.
            let _ = client.write_all(&[masked_head(first, length), vec![0; length]].concat()).await;
        }
        client
    });
    let error = failure(&receive(&mut server).await.unwrap_err());
    assert_eq!(error, WebSocketError::MessageTooLong { limit: MAX_MESSAGE });
    let mut client = timeout(PATIENCE, writing).await.unwrap().unwrap();
    assert_eq!(wire(&mut client, 4).await, [[0x88, 2], 1009u16.to_be_bytes()].concat());
}

#[tokio::test]
async fn the_word_of_a_frames_length_takes_no_more_than_a_frame() {
    for (length, most) in
        [(MAX_MESSAGE, MAX_MESSAGE + 256 * 1024), (MAX_MESSAGE + 1, 256 * 1024), (1 << 62, 256 * 1024)]
    {
        let (mut server, mut client) = with_client().await;
        client.write_all(&masked_head(0x82, length)).await.unwrap();
        poll_fn(|cx| server.socket.get_mut().poll_read_ready(cx)).await.unwrap();
        let mut polled = Poll::Pending;
        let taken = allocation_counter::measure(|| {
            polled = server.poll_receive(&mut Context::from_waker(Waker::noop()));
        });
        assert_eq!(polled.is_pending(), length == MAX_MESSAGE, "{length}: {polled:?}");
        assert!(taken.bytes_max <= most as u64, "{length}: {taken:?}");
    }
}

#[tokio::test]
async fn pings_that_nobody_hears_the_answers_of_hold_up_nothing() {
    let (mut server, mut client) = with_client().await;
    let body = outbox(vec![3; 1 << 20], MessageContext::default());
    while timeout(Duration::from_millis(100), hand_over(&mut server, &body)).await.is_ok() {}
    let pings = masked(0x89, &[1; 125]).repeat(100);
    let writing = tokio::spawn(async move {
        for _ in 0..20 {
            client.write_all(&pings).await.unwrap();
        }
        client.write_all(&masked(0x82, b"data")).await.unwrap();
        client
    });
    assert_eq!(receive_data(&mut server).await, "data");
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_up_the_sender_and_no_memory() {
    let (mut server, mut client) = with_client().await;
    let body = outbox(vec![3; 1 << 20], MessageContext::default());
    let mut sent = 0;
    while timeout(Duration::from_millis(100), hand_over(&mut server, &body)).await.is_ok() {
        sent += 1;
        assert!(sent < 200, "nothing holds up the sender");
    }
    // Pings are answered when there is room again, and nothing is torn.
    client.write_all(&masked(0x89, b"?")).await.unwrap();
    client.write_all(&masked(0x82, b"data")).await.unwrap();
    assert_eq!(receive_data(&mut server).await, "data");
    let reading = tokio::spawn(async move {
        for _ in 0..sent {
            assert_eq!(wire(&mut client, 10).await[..2], [0x82, 127]);
            assert_eq!(wire(&mut client, 1 << 20).await.iter().position(|byte| *byte != 3), None);
        }
        assert_eq!(wire(&mut client, 3).await, b"\x8a\x01?");
    });
    poll_fn(|cx| server.poll_flush(cx)).await.unwrap();
    timeout(PATIENCE, reading).await.unwrap().unwrap();
}

#[tokio::test]
async fn both_directions_wait_in_tasks_of_their_own() {
    // A reader that answers pings and a writer that waits share one socket: each is woken.
    let (server, mut client) = with_client().await;
    let server = Arc::new(Mutex::new(server));
    let reader = tokio::spawn({
        let server = Arc::clone(&server);
        async move { poll_fn(|cx| server.lock().unwrap().poll_receive(cx)).await }
    });
    let writer = tokio::spawn(async move {
        for _ in 0..20 {
            let out = outbox(vec![5; 1 << 20], MessageContext::default());
            poll_fn(|cx| server.lock().unwrap().poll_send(cx, &out.next_message().unwrap())).await.unwrap();
        }
        poll_fn(|cx| server.lock().unwrap().poll_flush(cx)).await.unwrap();
    });
    let (mut from, mut to) = client.split();
    let mut sink = vec![0; 1 << 16];
    let mut read = 0;
    for _ in 0..20 {
        to.write_all(&masked(0x89, b"ping")).await.unwrap();
        while read < 20 * (10 + (1 << 20)) && !writer.is_finished() {
            read += timeout(PATIENCE, from.read(&mut sink)).await.expect("the writer sleeps").unwrap();
            if read % 7 == 0 {
                break;
            }
        }
    }
    while !writer.is_finished() {
        let _ = timeout(Duration::from_millis(20), from.read(&mut sink)).await;
    }
    writer.await.unwrap();
    to.write_all(&masked(0x82, b"end")).await.unwrap();
    let arrived = timeout(PATIENCE, reader).await.unwrap().unwrap().unwrap();
    assert!(matches!(arrived, Arrived::Message(data, _) if data == "end"));
}
