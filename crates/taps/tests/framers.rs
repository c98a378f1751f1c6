//! Framers on connections (RFC 9622 9.1.2, RFC 9623 6), with a raw peer where the bytes on the wire matter.

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::{PATIENCE, bare, clear, next, pair, wire};
use postroad_taps::{
    AttemptError, Delimiter, FixedLength, Framer, FramerCx, FramerError, LengthPrefix, LocalEndpoint, Message,
    MessageContext, Preconnection, Receive, ReceiveError, RemoteEndpoint, SendError, Start, Tlv,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Turns every bit over: what it sends twice is what it was.
struct Xor;

impl Framer for Xor {
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data.iter().map(|byte| !byte).collect());
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let Some(parsed) = cx.parse(0, usize::MAX).filter(|parsed| parsed.end_of_message) else { return Ok(()) };
        let (length, data) = (parsed.data.len(), parsed.data.iter().map(|byte| !byte).collect::<Bytes>());
        cx.deliver(MessageContext::default(), data, true);
        cx.advance_receive_cursor(length);
        Ok(())
    }
}

/// RFC 9622 9.1.2.1: the framer added last runs first on what is sent, and last on what is received.
#[tokio::test]
async fn the_length_is_outside_when_it_was_added_first() {
    let (connection, mut raw) = bare(clear().framer(LengthPrefix::new).framer(|| Xor)).await;
    connection.send(b"\x0f").await.unwrap();
    assert_eq!(wire(&mut raw, 5).await, b"\0\0\0\x01\xf0");
    raw.write_all(b"\0\0\0\x02\xf0\xff\0\0\0\0").await.unwrap();
    assert_eq!(next(&connection).await.unwrap().data, &b"\x0f\0"[..]);
    assert_eq!(next(&connection).await.unwrap().data, &b""[..]);

    let (connection, mut raw) = bare(clear().framer(|| Xor).framer(LengthPrefix::new)).await;
    connection.send(b"\x0f").await.unwrap();
    assert_eq!(wire(&mut raw, 5).await, b"\xff\xff\xff\xfe\xf0");
}

/// RFC 9622 9.2.3: a message in parts is one for a framer that has to know its length.
#[tokio::test]
async fn a_message_that_is_sent_in_parts_arrives_as_one() {
    let (server, client) = pair(clear().framer(LengthPrefix::new), clear().framer(LengthPrefix::new)).await;
    let mut parts = client.start_message(MessageContext::new());
    parts.send("hel").await.unwrap();
    parts.finish("lo").await.unwrap();
    let message = next(&server).await.unwrap();
    assert_eq!((&message.data[..], message.len(), message.end_of_message), (&b"hello"[..], 5, true));
}

/// RFC 9622 9.2.3: a delimiter comes at the end, so the parts need not wait for it.
#[tokio::test]
async fn the_parts_of_a_line_leave_as_they_are_sent() {
    let (connection, mut raw) = bare(clear().framer(|| Delimiter::new("\r\n"))).await;
    let mut parts = connection.start_message(MessageContext::new());
    parts.send("hel").await.unwrap();
    assert_eq!(wire(&mut raw, 3).await, b"hel");
    parts.finish("lo").await.unwrap();
    assert_eq!(wire(&mut raw, 4).await, b"lo\r\n");
    let error = FramerError::ContainsDelimiter { offset: 1 };
    assert_eq!(connection.send("a\r\nb").await, Err(SendError::Framer(error)));
    connection.send("next").await.unwrap();
    assert_eq!(wire(&mut raw, 6).await, b"next\r\n");
    raw.write_all(b"one\r").await.unwrap();
    raw.write_all(b"\ntwo\r\n\r\n").await.unwrap();
    for expected in ["one", "two", ""] {
        assert_eq!(next(&connection).await.unwrap().data, expected);
    }
}

/// RFC 9622 9.1.2.2: what the application tells a framer about a message, and the framer the other application.
#[tokio::test]
async fn the_type_of_a_message_comes_through() {
    let (server, client) = pair(clear().framer(Tlv::new), clear().framer(Tlv::new)).await;
    let mut message = Message::new("hello");
    message.context.add(Tlv::TYPE, 7, Tlv::SCOPE).add("note", "kept here", "application");
    client.send(message).await.unwrap();
    client.send("plain").await.unwrap();
    for (body, kind) in [("hello", 7), ("plain", 0)] {
        let message = next(&server).await.unwrap();
        assert_eq!(message.data, body);
        assert_eq!(message.context.get(Tlv::TYPE, Tlv::SCOPE).and_then(|value| value.as_integer()), Some(kind));
        assert_eq!(message.context.get("note", "application"), None);
    }
    let mut message = Message::new("x");
    message.context.add(Tlv::TYPE, -1, Tlv::SCOPE);
    let error = FramerError::InvalidMetadata { key: "type".to_owned() };
    assert_eq!(client.send(message).await, Err(SendError::Framer(error)));
}

/// RFC 9622 9.3.1: the parts of a message have the context of the message.
#[tokio::test]
async fn the_parts_of_a_received_message_have_the_same_context() {
    let (connection, mut raw) = bare(clear().framer(LengthPrefix::new)).await;
    for _ in 0..2 {
        raw.write_all(&1500u32.to_be_bytes()).await.unwrap();
        raw.write_all(&[7; 1500]).await.unwrap();
    }
    let mut parts = Vec::new();
    while parts.iter().map(Message::len).sum::<usize>() < 3000 {
        let want = Receive::min_incomplete(1000).max(1000);
        parts.push(timeout(PATIENCE, connection.receive_with(want)).await.unwrap().unwrap());
    }
    let shape: Vec<_> = parts.iter().map(|part| (part.len(), part.end_of_message)).collect();
    assert_eq!(shape, [(1000, false), (500, true), (1000, false), (500, true)]);
    assert!(parts[0].context.same_message(&parts[1].context));
    assert!(parts[2].context.same_message(&parts[3].context));
    assert!(!parts[1].context.same_message(&parts[2].context));
}

/// RFC 9623 6: what is over the limit is an error, and so is an end inside a message.
#[tokio::test]
async fn what_a_framer_cannot_take_is_a_failed_deframing() {
    let too_large = |size, limit| FramerError::MessageTooLarge { size, limit };
    let cases: [(Preconnection, &[u8], FramerError); 5] = [
        (clear().framer(|| LengthPrefix::with_limit(9)), b"\0\0\0\x0a", too_large(10, 9)),
        (clear().framer(|| Tlv::with_limit(9)), b"\0\x01\x7f\0\0\0", too_large(0x7f00_0000, 9)),
        (clear().framer(|| Delimiter::new("\n").limit(9)), b"0123456789", too_large(10, 9)),
        (clear().framer(|| Delimiter::new("\n")), b"no end", FramerError::Truncated),
        (clear().framer(|| FixedLength::new(5)), b"four", FramerError::Truncated),
    ];
    for (preconnection, bytes, expected) in cases {
        let (connection, mut raw) = bare(preconnection).await;
        raw.write_all(bytes).await.unwrap();
        raw.shutdown().await.unwrap();
        assert_eq!(next(&connection).await, Err(ReceiveError::DeframingFailed(expected)));
    }
}

/// What came whole before the fault is received before the error.
#[tokio::test]
async fn a_fault_does_not_take_the_messages_before_it_along() {
    let (connection, mut raw) = bare(clear().framer(|| LengthPrefix::with_limit(5))).await;
    raw.write_all(b"\0\0\0\x01a\0\0\0\x01b\xff\xff\xff\xff").await.unwrap();
    assert_eq!(next(&connection).await.unwrap().data, "a");
    assert_eq!(next(&connection).await.unwrap().data, "b");
    assert!(matches!(next(&connection).await, Err(ReceiveError::DeframingFailed(_))));
}

/// Fails the first attempt; the framers of the others are ready.
struct Choosy(usize);

impl Framer for Choosy {
    fn start(&mut self, cx: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        cx.send_slice(&[b'0' + u8::try_from(self.0).unwrap()]);
        if self.0 == 0 {
            cx.fail_connection(FramerError::Failed("not this one".to_owned()));
        }
        Ok(Start::Ready)
    }

    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, _: &mut FramerCx<'_>) -> Result<(), FramerError> {
        Ok(())
    }
}

fn choosy() -> Preconnection {
    let made = Arc::new(AtomicUsize::new(0));
    clear().framer(move || Choosy(made.fetch_add(1, Ordering::Relaxed)))
}

/// RFC 9623 6.1: a framer that fails its connection before it is ready moves on to the next candidate, where a framer
/// of its own starts anew.
#[tokio::test]
async fn a_candidate_that_the_framer_does_not_want_is_not_the_last() {
    let listener = clear().local(LocalEndpoint::host("localhost")).listen().await.unwrap();
    let port = listener.local_endpoint().ip().unwrap().port();
    let candidates: HashSet<_> = tokio::net::lookup_host(("localhost", port)).await.unwrap().collect();
    // A machine without IPv6 has one candidate only.
    if candidates.len() > 1 {
        let remote = RemoteEndpoint::host("localhost").port(port);
        let connection = choosy().remote(remote).initiate().timeout(PATIENCE).await.unwrap();
        connection.send("x").await.unwrap();
        let want = Receive::min_incomplete(2);
        let mut heard = Vec::new();
        for _ in 0..2 {
            let accepted = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().unwrap();
            heard.push(timeout(PATIENCE, accepted.receive_with(want)).await.unwrap().unwrap().data);
        }
        heard.sort();
        assert_eq!(heard, ["0", "1x"]);
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = choosy().remote(listener.local_addr().unwrap()).initiate().timeout(PATIENCE).await.unwrap_err();
    let expected = AttemptError::Framer(FramerError::Failed("not this one".to_owned()));
    assert_eq!(error.attempts()[0].error, expected);
}

/// A greeting in clear text, on which both ends agree to put a length before each message from then on.
struct Greeting;

impl Framer for Greeting {
    fn start(&mut self, cx: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        cx.send_slice(b"LENGTHS?");
        Ok(Start::WillMarkReady)
    }

    fn new_sent_message(&mut self, _: &mut FramerCx<'_>, _: Message) -> Result<(), FramerError> {
        Err(FramerError::Failed("it has stepped aside".to_owned()))
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let Some(answer) = cx.parse(3, 3) else { return Ok(()) };
        if answer.data != b"YES" {
            return Err(FramerError::Malformed("neither yes nor no".to_owned()));
        }
        cx.advance_receive_cursor(3);
        cx.prepend_framer(LengthPrefix::new())?;
        cx.make_connection_ready();
        assert_eq!(cx.prepend_framer(LengthPrefix::new()), Err(FramerError::AlreadyReady));
        cx.start_passthrough();
        Ok(())
    }
}

/// RFC 9623 6.1: a framer may change what stands above it by what it has agreed on with its peer, and step aside.
#[tokio::test]
async fn an_exchange_at_the_start_decides_on_the_framers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let initiate = clear().framer(|| Greeting).remote(listener.local_addr().unwrap()).initiate().timeout(PATIENCE);
    let (raw, connection) = tokio::join!(
        async {
            let mut raw = listener.accept().await.unwrap().0;
            assert_eq!(wire(&mut raw, 8).await, b"LENGTHS?");
            raw.write_all(b"YES\0\0\0\x05early").await.unwrap();
            raw
        },
        async { initiate.await }
    );
    let (mut raw, connection) = (raw, connection.unwrap());
    assert_eq!(next(&connection).await.unwrap().data, "early");
    connection.send("hello").await.unwrap();
    assert_eq!(wire(&mut raw, 9).await, b"\0\0\0\x05hello");
}

/// Cuts the stream into messages of five bytes, as the documentation's example does.
struct FiveBytes;

impl Framer for FiveBytes {
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        if cx.parse(5, 5).is_some() {
            cx.deliver_and_advance_receive_cursor(MessageContext::default(), 5, true);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_framer_of_the_applications_own_is_a_few_lines() {
    let (server, client) = pair(clear().framer(|| FiveBytes), clear().framer(|| FiveBytes)).await;
    client.send("helloworld").await.unwrap();
    assert_eq!(next(&server).await.unwrap().data, "hello");
    assert_eq!(next(&server).await.unwrap().data, "world");
}

/// RFC 9621 3.4: a peer need not have this interface. This one has blocking sockets and does its own counting.
#[tokio::test]
async fn a_peer_without_framers_understands_the_example_framer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..3 {
            let mut header = [0; 4];
            socket.read_exact(&mut header).unwrap();
            let mut body = vec![0; u32::from_be_bytes(header) as usize];
            socket.read_exact(&mut body).unwrap();
            body.reverse();
            for byte in header.iter().chain(&body) {
                socket.write_all(&[*byte]).unwrap();
            }
        }
    });
    let connection = clear().framer(LengthPrefix::new).remote(address).initiate().timeout(PATIENCE).await.unwrap();
    for (sent, received) in [("hello", "olleh"), ("", ""), ("ab", "ba")] {
        connection.send(sent).await.unwrap();
        assert_eq!(next(&connection).await.unwrap().data, received);
    }
    peer.join().unwrap();
}

/// A panic of a framer is its caller's, and nobody else's: the connection is of no use any more, the process is.
#[tokio::test]
async fn a_framer_that_panics_leaves_an_unusable_connection() {
    struct Fragile;
    impl Framer for Fragile {
        fn new_sent_message(&mut self, _: &mut FramerCx<'_>, _: Message) -> Result<(), FramerError> {
            panic!("fragile")
        }
        fn handle_received_data(&mut self, _: &mut FramerCx<'_>) -> Result<(), FramerError> {
            Ok(())
        }
    }
    let (connection, _raw) = bare(clear().framer(|| Fragile)).await;
    let connection = Arc::new(connection);
    let other = Arc::clone(&connection);
    assert!(tokio::spawn(async move { other.send("x").await }).await.unwrap_err().is_panic());
    assert_eq!(connection.send("x").await, Err(SendError::Framer(FramerError::Panicked)));
    assert_eq!(next(&connection).await, Err(ReceiveError::DeframingFailed(FramerError::Panicked)));
    connection.abort();
}
