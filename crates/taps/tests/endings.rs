//! How a connection ends: in order, by an abort, by its peer, in the middle of a message (RFC 9622 9.1.3.5 and 10).

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Authority, PATIENCE, bare, clear, framed, next, pair, wire};
use postroad_taps::{
    ConnectionError, ConnectionState, Delimiter, LengthPrefix, Message, MessageContext, ReceiveError, SendError,
    TransportProperties,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

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
            None => (framed(), framed()),
            Some((server, client)) => (framed().security(server), framed().security(client)),
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
async fn close_delivers_what_was_sent_and_ends_everything() {
    let (server, client) = pair(framed(), framed()).await;
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
    let (connection, mut raw) = bare(framed()).await;
    raw.write_all(&[0; 1000]).await.unwrap();
    connection.send("the last word").await.unwrap();
    connection.close().await.unwrap();
    let mut bytes = Vec::new();
    raw.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"\0\0\0\x0dthe last word");
}

#[tokio::test]
async fn abort_resets_the_peer_and_wakes_who_waits() {
    let (connection, mut raw) = bare(framed()).await;
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
    let (connection, raw) = bare(framed()).await;
    raw.set_zero_linger().unwrap();
    drop(raw);
    assert_eq!(next(&connection).await, Err(ReceiveError::ProtocolFailed(ConnectionError::PeerAbort)));
    assert_eq!(connection.state(), ConnectionState::Closed);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_that_stops_reading_fails_the_connection_in_time() {
    // RFC 9622 8.1.3.
    let properties = TransportProperties::new().conn_timeout(Duration::from_secs(1));
    let (connection, raw) = bare(framed().properties(properties.clone())).await;
    assert_eq!(connection.transport_properties(), properties);
    let begin = std::time::Instant::now();
    let sent =
        timeout(PATIENCE, connection.send(vec![0; LengthPrefix::DEFAULT_LIMIT as usize])).await.expect("no timeout");
    assert_eq!(sent, Err(SendError::ProtocolFailed(ConnectionError::Timeout)));
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    assert!(!connection.can_send());
    drop(raw);
}

/// Whoever waits for the end of a connection does not take the messages of another, and takes over when that one goes.
#[tokio::test]
async fn who_waits_for_the_end_and_who_receives_share_the_transport() {
    let (connection, mut raw) = bare(framed()).await;
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
    let (connection, mut raw) = bare(framed()).await;
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
