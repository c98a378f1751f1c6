//! Messages over framers on loopback, with a raw peer where the bytes on the wire matter.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use common::{Authority, PATIENCE, pair};
use postroad_taps::{
    AttemptError, Connection, ConnectionError, ConnectionState, Delimiter, Framer, FramerCx, FramerError,
    IntoByteStreamError, LengthPrefix, LocalEndpoint, Message, MessageContext, Preconnection, Receive, ReceiveError,
    Security, SendError, Start, Stop, TransportProperties,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled)
}

fn tlv() -> Preconnection {
    clear().framer(LengthPrefix::new)
}

/// A connection whose peer is a bare socket.
async fn bare(preconnection: Preconnection) -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let initiate = preconnection.remote(listener.local_addr().unwrap()).initiate().timeout(PATIENCE);
    let (accepted, connection) = tokio::join!(listener.accept(), async { initiate.await });
    let raw = accepted.unwrap().0;
    raw.set_nodelay(true).unwrap();
    (connection.unwrap(), raw)
}

async fn next(connection: &Connection) -> Result<Message, ReceiveError> {
    timeout(PATIENCE, connection.receive()).await.expect("nothing was received")
}

async fn wire(raw: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(PATIENCE, raw.read_exact(&mut bytes)).await.expect("nothing on the wire").unwrap();
    bytes
}

#[tokio::test]
async fn the_example_framers_bytes_reach_the_wire() {
    let (connection, mut raw) = bare(tlv()).await;
    connection.send(b"hello").await.unwrap();
    assert_eq!(wire(&mut raw, 9).await, b"\0\0\0\x05hello");
    connection.send(Bytes::new()).await.unwrap();
    assert_eq!(wire(&mut raw, 4).await, [0; 4]);
    // A body that is not copied next to its header.
    connection.send(vec![7; 10_000]).await.unwrap();
    let bytes = wire(&mut raw, 10_004).await;
    assert_eq!(bytes[..4], 10_000u32.to_be_bytes());
    assert!(bytes[4..].iter().all(|&byte| byte == 7));
}

#[tokio::test]
async fn two_messages_in_one_segment_are_two() {
    let (connection, mut raw) = bare(tlv()).await;
    raw.write_all(b"\0\0\0\x03one\0\0\0\0\0\0\0\x03two").await.unwrap();
    for expected in [&b"one"[..], b"", b"two"] {
        let message = next(&connection).await.unwrap();
        assert_eq!((&message.data[..], message.end_of_message), (expected, true));
    }
}

#[tokio::test]
async fn every_split_of_two_messages_is_received() {
    let bytes = b"\0\0\0\x03one\0\0\0\x03two";
    for split in 0..=bytes.len() {
        let (connection, mut raw) = bare(tlv()).await;
        raw.write_all(&bytes[..split]).await.unwrap();
        let mut first = pin!(connection.receive());
        // Takes in what is there, and waits when that is not enough.
        let early = timeout(Duration::from_millis(2), &mut first).await;
        raw.write_all(&bytes[split..]).await.unwrap();
        let first = match early {
            Ok(message) => message.unwrap(),
            Err(_) => timeout(PATIENCE, first).await.unwrap().unwrap(),
        };
        assert_eq!((&first.data[..], &next(&connection).await.unwrap().data[..]), (&b"one"[..], &b"two"[..]));
    }
}

#[tokio::test]
async fn byte_at_a_time_is_received() {
    let (connection, mut raw) = bare(tlv()).await;
    let writer = tokio::spawn(async move {
        for byte in b"\0\0\0\x05hello\0\0\0\x01!" {
            raw.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        raw
    });
    assert_eq!(&next(&connection).await.unwrap().data[..], b"hello");
    assert_eq!(&next(&connection).await.unwrap().data[..], b"!");
    drop(writer.await.unwrap());
    assert_eq!(next(&connection).await, Err(ReceiveError::Closed));
    assert!(!connection.can_receive() && connection.can_send());
}

#[tokio::test]
async fn an_end_inside_a_message_is_an_error() {
    for bytes in [&b"\0\0"[..], b"\0\0\0\x05he"] {
        let (connection, mut raw) = bare(tlv()).await;
        raw.write_all(bytes).await.unwrap();
        drop(raw);
        let expected = Err(ReceiveError::DeframingFailed(FramerError::Truncated));
        assert_eq!(next(&connection).await, expected);
        assert_eq!(next(&connection).await, expected, "it stays so");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_in_both_directions() {
    let (connection, mut raw) = bare(clear().framer(|| LengthPrefix::with_limit(10))).await;
    let limit = SendError::MessageTooLarge { size: 11, limit: 10 };
    assert_eq!(connection.send([1; 11].as_slice()).await, Err(limit.clone()));
    let batch = connection.batch(|batch| {
        batch.send(b"one");
        batch.send([1; 11].as_slice());
        batch.send(b"two");
    });
    assert_eq!(batch.await.unwrap_err().failed(), [(1, limit)], "each message for itself");
    assert_eq!(wire(&mut raw, 14).await, b"\0\0\0\x03one\0\0\0\x03two");
    connection.send(b"0123456789").await.unwrap();
    assert_eq!(wire(&mut raw, 14).await, b"\0\0\0\x0a0123456789");
    raw.write_all(b"\xff\xff\xff\xff").await.unwrap();
    let error = FramerError::MessageTooLarge { size: u64::from(u32::MAX), limit: 10 };
    assert_eq!(next(&connection).await, Err(ReceiveError::DeframingFailed(error)));
}

#[tokio::test]
async fn a_mebibyte_arrives_whole_over_tcp_and_tls() {
    let authority = Authority::new();
    let body = Bytes::from((0..1 << 20).map(|index: u32| ((index * 31) >> 3) as u8).collect::<Vec<_>>());
    for security in [None, Some((authority.server().serve(), authority.trusted()))] {
        let (server, client) = match security {
            None => (tlv(), tlv()),
            Some((server, client)) => (tlv().security(server), tlv().security(client)),
        };
        let (server, client) = pair(server, client).await;
        let (sent, received) = tokio::join!(client.send(body.clone()), next(&server));
        sent.unwrap();
        assert!(received.unwrap().data == body);
        // And back, in parts, as they come.
        let (sent, received) = tokio::join!(server.send(body.clone()), async {
            let mut whole = Vec::new();
            loop {
                let part = client.receive_with(Receive::min_incomplete(1).max(100_000)).await.unwrap();
                assert!(part.data.len() <= 100_000);
                whole.extend_from_slice(&part.data);
                if part.end_of_message {
                    return whole;
                }
            }
        });
        sent.unwrap();
        assert!(received == body);
    }
}

#[tokio::test]
async fn a_long_message_comes_in_parts_of_the_length_asked_for() {
    // RFC 9622 9.3.1: a message of 1500 bytes and a maximum of 1000.
    let (connection, mut raw) = bare(tlv()).await;
    raw.write_all(&[&1500u32.to_be_bytes()[..], &[9; 1500]].concat()).await.unwrap();
    let want = Receive::min_incomplete(1000).max(1000);
    let part = connection.receive_with(want).await.unwrap();
    assert_eq!((part.data.len(), part.end_of_message), (1000, false));
    let part = connection.receive_with(want).await.unwrap();
    assert_eq!((part.data.len(), part.end_of_message), (500, true));
}

#[tokio::test]
async fn a_part_is_given_before_the_rest_has_come() {
    let (connection, mut raw) = bare(tlv()).await;
    raw.write_all(b"\0\0\0\x06abc").await.unwrap();
    let part = timeout(PATIENCE, connection.receive_with(Receive::min_incomplete(3))).await.unwrap().unwrap();
    assert_eq!((&part.data[..], part.end_of_message), (&b"abc"[..], false));
    raw.write_all(b"def").await.unwrap();
    let part = next(&connection).await.unwrap();
    assert_eq!((&part.data[..], part.end_of_message), (&b"def"[..], true));
}

#[tokio::test]
async fn without_framers_the_stream_is_one_message() {
    let (connection, mut raw) = bare(clear()).await;
    assert!(!connection.preserves_boundaries());
    raw.write_all(b"some").await.unwrap();
    let part = connection.receive_with(Receive::min_incomplete(1)).await.unwrap();
    assert_eq!((&part.data[..], part.end_of_message), (&b"some"[..], false));
    raw.write_all(b" more").await.unwrap();
    // Less than asked for is delivered when the stream ends (RFC 9623 5.2).
    raw.shutdown().await.unwrap();
    let part = connection.receive_with(Receive::min_incomplete(1000)).await.unwrap();
    assert_eq!((&part.data[..], part.end_of_message, part.context.last), (&b" more"[..], true, true));
    assert_eq!(next(&connection).await, Err(ReceiveError::Closed));
    connection.send("still here").await.unwrap();
    assert_eq!(wire(&mut raw, 10).await, b"still here");
}

#[tokio::test]
async fn an_empty_stream_has_no_message() {
    let (connection, raw) = bare(clear()).await;
    drop(raw);
    assert_eq!(next(&connection).await, Err(ReceiveError::Closed));
}

#[tokio::test]
async fn the_last_message_ends_the_stream_and_the_peer_still_answers() {
    let authority = Authority::new();
    for security in [None, Some((authority.server().serve(), authority.trusted()))] {
        let (server, client) = match security {
            None => (tlv(), tlv()),
            Some((server, client)) => (tlv().security(server), tlv().security(client)),
        };
        let (server, client) = pair(server, client).await;
        client.send(Message::new("question").last()).await.unwrap();
        assert!(!client.can_send() && client.can_receive());
        assert_eq!(client.send("more").await, Err(SendError::FinalAlreadySent));
        assert_eq!(&next(&server).await.unwrap().data[..], b"question");
        assert_eq!(next(&server).await, Err(ReceiveError::Closed));
        server.send("answer").await.unwrap();
        assert_eq!(&next(&client).await.unwrap().data[..], b"answer");
        server.close().await.unwrap();
        assert_eq!(next(&client).await, Err(ReceiveError::Closed));
        client.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_leaves_in_order_and_in_one_write() {
    let (connection, mut raw) = bare(tlv()).await;
    connection
        .batch(|batch| {
            for number in 0..64u8 {
                batch.send([number; 100].as_slice());
            }
        })
        .await
        .unwrap();
    let mut bytes = vec![0; 64 * 104];
    // One read takes it all, for one write has brought it.
    assert_eq!(raw.read(&mut bytes).await.unwrap(), bytes.len());
    for (number, message) in bytes.chunks(104).enumerate() {
        assert_eq!(message[..4], 100u32.to_be_bytes());
        assert!(message[4..].iter().all(|&byte| usize::from(byte) == number));
    }
}

/// Puts a letter before each message, and takes it off again: what it sees must have ends.
struct Letter(u8);

impl Framer for Letter {
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send_slice(&[self.0]);
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let Some(parsed) = cx.parse(1, usize::MAX) else { return Ok(()) };
        if parsed.data[0] != self.0 {
            return Err(FramerError::Malformed(format!("letter {}", parsed.data[0])));
        }
        if !parsed.end_of_message {
            return Ok(());
        }
        let length = parsed.data.len();
        if length == 1 {
            // The end of an empty message goes with its letter.
            cx.advance_receive_cursor(1);
            cx.deliver(MessageContext::default(), Bytes::new(), true);
        } else {
            cx.advance_receive_cursor(1);
            cx.deliver_and_advance_receive_cursor(MessageContext::default(), length - 1, true);
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_framer_added_last_runs_first_outbound_and_last_inbound() {
    let stack = || clear().framer(LengthPrefix::new).framer(|| Letter(b'a')).framer(|| Letter(b'b'));
    let (connection, mut raw) = bare(stack()).await;
    assert!(connection.preserves_boundaries());
    connection.send("hi").await.unwrap();
    assert_eq!(wire(&mut raw, 8).await, b"\0\0\0\x04abhi");
    raw.write_all(b"\0\0\0\x05abyes\0\0\0\x02ab\0\0\0\x03ab!").await.unwrap();
    for expected in [&b"yes"[..], b"", b"!"] {
        assert_eq!(&next(&connection).await.unwrap().data[..], expected);
    }
    raw.write_all(b"\0\0\0\x03ba!").await.unwrap();
    let error = FramerError::Malformed("letter 98".to_owned());
    assert_eq!(next(&connection).await, Err(ReceiveError::DeframingFailed(error)));

    let (server, client) = pair(stack(), stack()).await;
    let body = vec![5; 300_000];
    let (sent, received) = tokio::join!(client.send(body.clone()), next(&server));
    sent.unwrap();
    assert!(received.unwrap().data == body);
}

/// Says a word at the start, is ready when the peer has said it too, answers `?` with `!`, and says good-bye.
struct Polite;

impl Framer for Polite {
    fn start(&mut self, cx: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        cx.send_slice(b"HI");
        Ok(Start::WillMarkReady)
    }

    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        let Some(parsed) = cx.parse(2, 2) else { return Ok(()) };
        match parsed.data {
            b"HI" => cx.make_connection_ready(),
            b"??" => cx.send_slice(b"!!"),
            b"NO" => return Err(FramerError::Malformed("impolite".to_owned())),
            _ => {
                return {
                    cx.deliver_and_advance_receive_cursor(MessageContext::default(), 2, true);
                    Ok(())
                };
            }
        }
        cx.advance_receive_cursor(2);
        Ok(())
    }

    fn stop(&mut self, cx: &mut FramerCx<'_>) -> Stop {
        cx.send_slice(b"BYE");
        Stop::Closed
    }
}

#[tokio::test]
async fn a_framer_may_talk_before_the_connection_is_ready_and_after_it_is_used() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut initiate = tokio::spawn(async move { clear().framer(|| Polite).remote(address).initiate().await });
    let (mut raw, _) = listener.accept().await.unwrap();
    assert_eq!(wire(&mut raw, 2).await, b"HI");
    assert!(timeout(Duration::from_millis(30), &mut initiate).await.is_err(), "not ready before the peer has spoken");
    raw.write_all(b"HIok").await.unwrap();
    let connection = timeout(PATIENCE, initiate).await.unwrap().unwrap().unwrap();
    assert_eq!(&next(&connection).await.unwrap().data[..], b"ok");
    // The answer leaves while the application only receives.
    raw.write_all(b"??").await.unwrap();
    let (received, _) = tokio::join!(next(&connection), async {
        assert_eq!(wire(&mut raw, 2).await, b"!!");
        raw.write_all(b"so").await.unwrap();
    });
    assert_eq!(&received.unwrap().data[..], b"so");
    connection.close().await.unwrap();
    let mut rest = Vec::new();
    raw.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"BYE");
}

#[tokio::test]
async fn a_framer_that_fails_at_its_start_fails_the_attempt() {
    for (answer, expected) in [
        (&b"NO"[..], AttemptError::Framer(FramerError::Malformed("impolite".to_owned()))),
        (b"", AttemptError::Transport(std::io::ErrorKind::UnexpectedEof)),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let initiate = clear().framer(|| Polite).remote(listener.local_addr().unwrap()).initiate().timeout(PATIENCE);
        let (_, result) = tokio::join!(
            async {
                let mut raw = listener.accept().await.unwrap().0;
                assert_eq!(wire(&mut raw, 2).await, b"HI");
                raw.write_all(answer).await.unwrap();
            },
            async { initiate.await }
        );
        assert_eq!(result.unwrap_err().attempts()[0].error, expected);
    }
}

#[tokio::test]
async fn close_delivers_what_was_sent_and_ends_everything() {
    let (server, client) = pair(tlv(), tlv()).await;
    assert_eq!(client.state(), ConnectionState::Established);
    let body = vec![1; 200_000];
    let (_, received) = tokio::join!(
        async {
            client.send(body.clone()).await.unwrap();
            client.close().await.unwrap();
            client.close().await.unwrap();
        },
        next(&server)
    );
    assert!(received.unwrap().data == body);
    assert_eq!(next(&server).await, Err(ReceiveError::Closed));
    assert_eq!(client.state(), ConnectionState::Closed);
    assert!(!client.can_send() && !client.can_receive());
    assert_eq!(client.send("late").await, Err(SendError::Closed));
    assert_eq!(next(&client).await, Err(ReceiveError::Closed));
}

#[tokio::test]
async fn close_with_unread_bytes_does_not_lose_what_was_sent() {
    let (connection, mut raw) = bare(tlv()).await;
    raw.write_all(&[0; 1000]).await.unwrap();
    connection.send("the last word").await.unwrap();
    connection.close().await.unwrap();
    let mut bytes = Vec::new();
    raw.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"\0\0\0\x0dthe last word");
}

#[tokio::test]
async fn abort_resets_the_peer_and_wakes_who_waits() {
    let (connection, mut raw) = bare(tlv()).await;
    let connection = Arc::new(connection);
    let receiver = tokio::spawn({
        let connection = connection.clone();
        async move { connection.receive().await }
    });
    let sender = tokio::spawn({
        let connection = connection.clone();
        // More than the buffers of both ends hold, and nobody reads.
        async move { connection.send(vec![0; LengthPrefix::DEFAULT_LIMIT as usize]).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!receiver.is_finished() && !sender.is_finished());
    connection.abort();
    let (received, sent) = timeout(PATIENCE, async { (receiver.await.unwrap(), sender.await.unwrap()) }).await.unwrap();
    assert_eq!(received, Err(ReceiveError::ProtocolFailed(ConnectionError::LocalAbort)));
    assert_eq!(sent, Err(SendError::ProtocolFailed(ConnectionError::LocalAbort)));
    assert_eq!(connection.close().await, Err(ConnectionError::LocalAbort));
    let error = raw.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_by_the_peer_is_told_apart_from_an_end() {
    let (connection, raw) = bare(tlv()).await;
    raw.set_zero_linger().unwrap();
    drop(raw);
    assert_eq!(next(&connection).await, Err(ReceiveError::ProtocolFailed(ConnectionError::PeerAbort)));
    assert_eq!(connection.state(), ConnectionState::Closed);
}

#[tokio::test]
async fn a_dropped_send_never_tears_a_message() {
    let (connection, mut raw) = bare(tlv()).await;
    let size = 8 * 1024 * 1024;
    {
        // Polled once, and dropped in the middle of the body.
        let mut send = pin!(connection.send(vec![1; size]));
        assert!(send.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    {
        // Never polled: nothing of it is sent.
        drop(connection.send("never"));
    }
    let reader = tokio::spawn(async move {
        let bytes = wire(&mut raw, 4 + size + 4 + 5).await;
        (bytes, raw)
    });
    connection.send("after").await.unwrap();
    let (bytes, _raw) = reader.await.unwrap();
    assert_eq!(bytes[..4], u32::try_from(size).unwrap().to_be_bytes());
    assert!(bytes[4..4 + size].iter().all(|&byte| byte == 1));
    assert_eq!(&bytes[4 + size..], b"\0\0\0\x05after");
}

#[tokio::test]
async fn a_dropped_receive_loses_nothing() {
    let (connection, mut raw) = bare(tlv()).await;
    for byte in b"\0\0\0\x03abc" {
        raw.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut receive = pin!(connection.receive());
        let poll = receive.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(message) = poll {
            assert_eq!(&message.unwrap().data[..], b"abc");
            return;
        }
    }
    assert_eq!(&next(&connection).await.unwrap().data[..], b"abc");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_run_at_once_from_several_tasks() {
    let authority = Authority::new();
    let server = tlv().security(authority.server().serve());
    let (server, client) = pair(server, tlv().security(authority.trusted())).await;
    let ends = [Arc::new(server), Arc::new(client)];
    let mut tasks = Vec::new();
    for end in &ends {
        for task in 0..4u8 {
            let end = end.clone();
            tasks.push(tokio::spawn(async move {
                for number in 0..100u32 {
                    end.send([&[task][..], &number.to_be_bytes(), &[0; 5000]].concat()).await.unwrap();
                }
            }));
        }
        let end = end.clone();
        tasks.push(tokio::spawn(async move {
            let mut seen = [0u32; 4];
            for _ in 0..400 {
                let data = next(&end).await.unwrap().data;
                assert_eq!(data.len(), 5005);
                let seen = &mut seen[usize::from(data[0])];
                assert_eq!(data[1..5], seen.to_be_bytes());
                *seen += 1;
            }
        }));
    }
    for task in tasks {
        timeout(PATIENCE, task).await.expect("stuck").unwrap();
    }
}

#[tokio::test]
async fn each_connection_has_framers_of_its_own() {
    let listener = tlv().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap();
    let client = tlv().remote(listener.local_endpoint());
    let (one, two) = tokio::join!(async { client.initiate().await }, async { client.initiate().await });
    let (one, two) = (one.unwrap(), two.unwrap());
    let servers = [listener.accept().await.unwrap().unwrap(), listener.accept().await.unwrap().unwrap()];
    one.send("one").await.unwrap();
    two.send("two").await.unwrap();
    for server in &servers {
        let expected = if server.remote_endpoint() == one.local_endpoint() { "one" } else { "two" };
        assert_eq!(&next(server).await.unwrap().data[..], expected.as_bytes());
    }
}

#[tokio::test]
async fn only_an_unused_connection_without_framers_becomes_a_stream() {
    let (connection, _raw) = bare(tlv()).await;
    assert_eq!(connection.into_byte_stream().unwrap_err(), IntoByteStreamError::HasFramers);
    let (connection, mut raw) = bare(clear()).await;
    raw.write_all(b"abcdef").await.unwrap();
    connection.receive_with(Receive::min_incomplete(6).max(6)).await.unwrap();
    raw.write_all(b"ghi").await.unwrap();
    connection.receive_with(Receive::min_incomplete(3).max(2)).await.unwrap();
    assert_eq!(connection.into_byte_stream().unwrap_err(), IntoByteStreamError::HoldsData);
    let (connection, mut raw) = bare(clear()).await;
    connection.send("sent before").await.unwrap();
    let mut stream = connection.into_byte_stream().unwrap();
    stream.write_all(b", and after").await.unwrap();
    assert_eq!(wire(&mut raw, 22).await, b"sent before, and after");
    let (connection, _raw) = bare(clear()).await;
    connection.close().await.unwrap();
    assert_eq!(connection.into_byte_stream().unwrap_err(), IntoByteStreamError::Closed);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_that_stops_reading_fails_the_connection_in_time() {
    // RFC 9622 8.1.3.
    let properties = TransportProperties::new().conn_timeout(Duration::from_secs(1));
    let (connection, raw) = bare(tlv().properties(properties.clone())).await;
    assert_eq!(connection.transport_properties(), properties);
    let begin = std::time::Instant::now();
    let sent =
        timeout(PATIENCE, connection.send(vec![0; LengthPrefix::DEFAULT_LIMIT as usize])).await.expect("no timeout");
    assert_eq!(sent, Err(SendError::ProtocolFailed(ConnectionError::Timeout)));
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    assert!(!connection.can_send());
    drop(raw);
}

#[test]
fn handles_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send + Unpin>() {}
    shared::<Connection>();
    shared::<postroad_taps::Listener>();
    shared::<Preconnection>();
    moved::<postroad_taps::ByteStream>();
}

/// RFC 9622 9.2.3: parts may be sent by single calls too, in one context.
#[tokio::test]
async fn parts_in_one_context_are_one_message() {
    let (connection, mut raw) = bare(tlv()).await;
    let context = MessageContext::new();
    connection.send(Message::new("hel").in_context(context.clone()).partial()).await.unwrap();
    let others = connection.send("other");
    let (rest, others) = tokio::join!(connection.send(Message::new("lo").in_context(context)), others);
    rest.unwrap();
    others.unwrap();
    assert_eq!(wire(&mut raw, 18).await, b"\0\0\0\x05hello\0\0\0\x05other");
}

/// Says good-bye, and waits for the answer.
struct Courteous;

impl Framer for Courteous {
    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        if cx.parse(3, 3).is_some_and(|parsed| parsed.data == b"bye") {
            cx.advance_receive_cursor(3);
            cx.make_connection_closed();
        }
        Ok(())
    }

    fn stop(&mut self, cx: &mut FramerCx<'_>) -> Stop {
        cx.send_slice(b"good");
        Stop::WillMarkClosed
    }
}

/// RFC 9623 6.1: a framer may hold the end of a connection until its peer has answered.
#[tokio::test]
async fn a_framer_that_waits_for_the_answer_holds_the_end() {
    let (connection, mut raw) = bare(clear().framer(|| Courteous)).await;
    let closing = connection.close();
    tokio::pin!(closing);
    let heard = tokio::select! {
        biased;
        _ = &mut closing => panic!("it has not heard the answer"),
        heard = wire(&mut raw, 4) => heard,
    };
    assert_eq!(heard, b"good");
    raw.write_all(b"bye").await.unwrap();
    timeout(PATIENCE, closing).await.unwrap().unwrap();
    assert_eq!(raw.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

/// Sends a beat of its own accord.
struct Beats;

impl Framer for Beats {
    fn start(&mut self, cx: &mut FramerCx<'_>) -> Result<Start, FramerError> {
        cx.schedule_wakeup(Duration::from_millis(20));
        Ok(Start::Ready)
    }

    fn new_sent_message(&mut self, cx: &mut FramerCx<'_>, message: Message) -> Result<(), FramerError> {
        cx.send(message.data);
        Ok(())
    }

    fn handle_received_data(&mut self, _: &mut FramerCx<'_>) -> Result<(), FramerError> {
        Ok(())
    }

    fn wakeup(&mut self, cx: &mut FramerCx<'_>) -> Result<(), FramerError> {
        cx.send_slice(b"beat");
        cx.schedule_wakeup(Duration::from_millis(20));
        Ok(())
    }
}

#[tokio::test]
async fn a_framer_may_speak_when_its_time_comes() {
    let (connection, mut raw) = bare(clear().framer(|| Beats)).await;
    tokio::select! {
        received = connection.receive() => panic!("{received:?}"),
        heard = wire(&mut raw, 12) => assert_eq!(heard, b"beatbeatbeat"),
    }
}

/// Whoever waits for the end of a connection does not take the messages of another, and takes over when that one goes.
#[tokio::test]
async fn who_waits_for_the_end_and_who_receives_share_the_transport() {
    let (connection, mut raw) = bare(tlv()).await;
    let connection = Arc::new(connection);
    let receiving = tokio::spawn({
        let connection = connection.clone();
        async move { connection.receive().await.unwrap().data }
    });
    let closed = tokio::spawn({
        let connection = connection.clone();
        async move { connection.closed().await }
    });
    tokio::task::yield_now().await;
    raw.write_all(b"\0\0\0\x02hi").await.unwrap();
    assert_eq!(&timeout(PATIENCE, receiving).await.unwrap().unwrap()[..], b"hi");
    {
        let dropped = connection.receive();
        tokio::pin!(dropped);
        assert!(timeout(Duration::from_millis(10), dropped).await.is_err());
    }
    raw.set_zero_linger().unwrap();
    drop(raw);
    assert!(timeout(PATIENCE, closed).await.unwrap().unwrap().is_err());
}

/// RFC 9622 9.2.3: a message that is given up in the middle is as if it had never been, where its framer needs the whole;
/// where the peer has seen a part of it, the connection is aborted.
#[tokio::test]
async fn a_message_that_is_given_up_is_not_half_sent() {
    let (connection, mut raw) = bare(tlv()).await;
    let mut message = connection.start_message(MessageContext::default());
    message.send("hel").await.unwrap();
    drop(message);
    connection.send("other").await.unwrap();
    assert_eq!(wire(&mut raw, 9).await, b"\0\0\0\x05other");

    let (connection, mut raw) = bare(clear().framer(|| Delimiter::new("\n"))).await;
    let mut message = connection.start_message(MessageContext::default());
    message.send("hel").await.unwrap();
    drop(message);
    let expected = SendError::ProtocolFailed(ConnectionError::LocalAbort);
    assert_eq!(connection.send("other").await, Err(expected));
    let mut rest = Vec::new();
    assert_eq!(raw.read_to_end(&mut rest).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
