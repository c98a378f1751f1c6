//! Messages over framers on loopback, with a raw peer where the bytes on the wire matter.

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use common::{Authority, PATIENCE, bare, clear, framed, next, pair, wire};
use postroad_taps::{
    Connection, Framer, FramerCx, FramerError, IntoByteStreamError, LengthPrefix, LocalEndpoint, Message,
    MessageContext, Preconnection, Receive, ReceiveError, SendError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[tokio::test]
async fn the_example_framers_bytes_reach_the_wire() {
    let (connection, mut raw) = bare(framed()).await;
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
    let (connection, mut raw) = bare(framed()).await;
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
        let (connection, mut raw) = bare(framed()).await;
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
    let (connection, mut raw) = bare(framed()).await;
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
        let (connection, mut raw) = bare(framed()).await;
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
            None => (framed(), framed()),
            Some((server, client)) => (framed().security(server), framed().security(client)),
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
    let (connection, mut raw) = bare(framed()).await;
    raw.write_all(&[&1500u32.to_be_bytes()[..], &[9; 1500]].concat()).await.unwrap();
    let want = Receive::min_incomplete(1000).max(1000);
    let part = connection.receive_with(want).await.unwrap();
    assert_eq!((part.data.len(), part.end_of_message), (1000, false));
    let part = connection.receive_with(want).await.unwrap();
    assert_eq!((part.data.len(), part.end_of_message), (500, true));
}

#[tokio::test]
async fn a_part_is_given_before_the_rest_has_come() {
    let (connection, mut raw) = bare(framed()).await;
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
async fn a_batch_leaves_in_order() {
    let (connection, mut raw) = bare(framed()).await;
    connection
        .batch(|batch| {
            for number in 0..64u8 {
                batch.send([number; 100].as_slice());
            }
        })
        .await
        .unwrap();
    let mut bytes = vec![0; 64 * 104];
    raw.read_exact(&mut bytes).await.unwrap();
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

#[tokio::test]
async fn a_dropped_send_never_tears_a_message() {
    let (connection, mut raw) = bare(framed()).await;
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
    let (connection, mut raw) = bare(framed()).await;
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
    let server = framed().security(authority.server().serve());
    let (server, client) = pair(server, framed().security(authority.trusted())).await;
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
    let listener = framed().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap();
    let client = framed().remote(listener.local_endpoint());
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
    let (connection, _raw) = bare(framed()).await;
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
    let (connection, mut raw) = bare(framed()).await;
    let context = MessageContext::new();
    connection.send(Message::new("hel").in_context(context.clone()).partial()).await.unwrap();
    let others = connection.send("other");
    let (rest, others) = tokio::join!(connection.send(Message::new("lo").in_context(context)), others);
    rest.unwrap();
    others.unwrap();
    assert_eq!(wire(&mut raw, 18).await, b"\0\0\0\x05hello\0\0\0\x05other");
}
