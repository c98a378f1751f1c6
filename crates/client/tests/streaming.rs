//! Content that is sent while it is made, and read while it comes.

mod common;

use std::time::Duration;

use common::{connect_with, pair};
use postroad_client::types::{Body, Bytes, Value};
use postroad_client::{
    LinkError, LinkOptions, Message, Node, Outcome, ReceiveError, SendError, Sender, StreamingReceiver,
};

struct Ends {
    sender: Sender,
    receiver: StreamingReceiver,
    _ends: common::Ends,
}

async fn streaming(max_message_size: u64) -> Ends {
    let ends = connect_with(4096).await;
    let session = ends.client.session().await.unwrap();
    let mut options = LinkOptions::default();
    (options.prefetch, options.max_message_size) = (3, max_message_size);
    let accepting = async { ends.server.next_link().await.unwrap().into_streaming_receiver(&options).unwrap() };
    let (sender, receiver) = tokio::join!(session.sender(Node::at("queue")), accepting);
    Ends { sender: sender.unwrap(), receiver, _ends: ends }
}

fn piece(number: usize, length: usize) -> Bytes {
    (0..length).map(|index| (index * 31 + number * 7) as u8).collect()
}

/// All of the content that is still to come.
async fn rest(reader: &mut postroad_client::MessageReader<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = reader.chunk().await.unwrap() {
        assert!(!chunk.is_empty());
        all.extend_from_slice(&chunk);
    }
    all
}

#[tokio::test]
async fn content_larger_than_any_buffer_passes() {
    const PIECES: usize = 400;
    let mut ends = streaming(0).await;
    let front = Message::new().with_subject("large").with_property("n", 7u32);
    for sized in [true, false] {
        let length = |number: usize| 1 + number * 7919 % 200_000;
        let total: usize = (0..PIECES).map(length).sum();
        assert!(total > 32 << 20, "more than a session's window");
        let writing = async {
            let mut writer = match sized {
                true => ends.sender.begin_sized(&front, u32::try_from(total).unwrap()),
                false => ends.sender.begin(&front),
            };
            for number in 0..PIECES {
                writer.write(piece(number, length(number))).await.unwrap();
            }
            writer.finish().await
        };
        let reading = async {
            let mut reader = ends.receiver.receive().await.unwrap();
            assert_eq!(
                (reader.message().subject(), reader.message().property("n")),
                (Some("large"), Some(&7u32.into()))
            );
            assert_eq!(reader.message().body(), &Body::Empty);
            let (mut number, mut expected) = (0, piece(0, length(0)));
            let mut came = 0;
            while let Some(mut chunk) = reader.chunk().await.unwrap() {
                came += chunk.len();
                while !chunk.is_empty() {
                    if expected.is_empty() {
                        number += 1;
                        expected = piece(number, length(number));
                    }
                    let common = chunk.len().min(expected.len());
                    assert!(chunk.split_to(common) == expected.split_to(common), "in piece {number}");
                }
            }
            assert_eq!(came, total);
            reader.accept().unwrap();
        };
        let (outcome, ()) = tokio::join!(writing, reading);
        assert_eq!(outcome, Ok(Outcome::Accepted));
    }
}

#[tokio::test]
async fn ordinary_messages_pass_a_streaming_receiver_and_the_reverse() {
    let mut ends = streaming(0).await;
    let text = Message::from("no data").with_subject("text");
    let value = Message::from(Value::from(vec![0u8; 9000].into_iter().map(Value::from).collect::<Vec<_>>()));
    for message in [&text, &value, &Message::from(Body::Empty)] {
        let (sent, ()) = tokio::join!(ends.sender.send(message), async {
            let mut reader = ends.receiver.receive().await.unwrap();
            assert_eq!(reader.message().body(), message.body());
            assert_eq!(reader.chunk().await.unwrap(), None);
            reader.settle(Outcome::Released).unwrap();
        });
        assert_eq!(sent, Ok(Outcome::Released));
    }
    let data = Message::from(piece(1, 10_000));
    let (sent, ()) = tokio::join!(ends.sender.send(&data), async {
        let mut reader = ends.receiver.receive().await.unwrap();
        assert!(rest(&mut reader).await == piece(1, 10_000));
        reader.accept().unwrap();
    });
    assert_eq!(sent, Ok(Outcome::Accepted));
    // What is written in pieces is an ordinary message to others.
    let (sender, mut receiver, _ends) = pair(5).await;
    let writing = async {
        let mut writer = sender.begin_sized(&Message::new().with_subject("s"), 9);
        writer.write("in ").await.unwrap();
        writer.write("pieces").await.unwrap();
        writer.finish().await
    };
    let (sent, ()) = tokio::join!(writing, async {
        let message = receiver.receive().await.unwrap();
        assert_eq!((message.subject(), message.bytes()), (Some("s"), Some(&Bytes::from_static(b"in pieces"))));
        receiver.accept(&message).unwrap();
    });
    assert_eq!(sent, Ok(Outcome::Accepted));
}

#[tokio::test]
async fn a_writer_that_is_dropped_gives_the_message_up() {
    let mut ends = streaming(0).await;
    let mut writer = ends.sender.begin(&Message::new());
    writer.write(piece(0, 10_000)).await.unwrap();
    {
        let mut reader = ends.receiver.receive().await.unwrap();
        assert!(reader.chunk().await.unwrap().is_some());
        drop(writer);
        let error = loop {
            match reader.chunk().await {
                Ok(chunk) => assert!(chunk.is_some(), "it has no end"),
                Err(error) => break error,
            }
        };
        assert_eq!(error, ReceiveError::Aborted);
    }
    assert_eq!(ends.sender.unsettled(), 0);
    // Nothing was handed over yet.
    drop(ends.sender.begin(&Message::new().with_subject("never")));
    let next = Message::from(piece(2, 5));
    let (sent, ()) = tokio::join!(ends.sender.send(&next), async {
        let mut reader = ends.receiver.receive().await.unwrap();
        assert_eq!(reader.message().subject(), None);
        assert_eq!(rest(&mut reader).await, piece(2, 5));
        reader.accept().unwrap();
    });
    assert_eq!(sent, Ok(Outcome::Accepted));
}

#[tokio::test]
async fn a_reader_that_is_dropped_skips_the_rest() {
    let mut ends = streaming(0).await;
    for taken in 0..4 {
        let writing = async {
            let mut writer = ends.sender.begin(&Message::new());
            for number in 0..10 {
                writer.write(piece(number, 5000)).await.unwrap();
            }
            writer.finish().await
        };
        let (written, ()) = tokio::join!(writing, async {
            let mut reader = ends.receiver.receive().await.unwrap();
            for _ in 0..taken {
                assert!(reader.chunk().await.unwrap().is_some());
            }
            reader.settle(Outcome::Rejected(None)).unwrap();
        });
        assert_eq!(written, Ok(Outcome::Rejected(None)));
        let next = Message::from(piece(taken, 7));
        let (sent, ()) = tokio::join!(ends.sender.send(&next), async {
            let mut reader = ends.receiver.receive().await.unwrap();
            assert_eq!(rest(&mut reader).await, piece(taken, 7));
            reader.accept().unwrap();
        });
        assert_eq!(sent, Ok(Outcome::Accepted), "after {taken} chunks");
    }
}

#[tokio::test]
async fn a_write_that_is_dropped_loses_nothing() {
    let mut ends = streaming(0).await;
    let total = 60 * 50_000;
    let writing = async {
        let mut writer = ends.sender.begin_sized(&Message::new(), total);
        for number in 0..60 {
            // Given up at once where it does not go at once: the piece stays with the writer.
            let _ = tokio::time::timeout(Duration::ZERO, writer.write(piece(number, 50_000))).await;
        }
        writer.finish().await
    };
    let (written, ()) = tokio::join!(writing, async {
        let mut reader = ends.receiver.receive().await.unwrap();
        let expected: Vec<u8> = (0..60).flat_map(|number| piece(number, 50_000)).collect();
        assert!(rest(&mut reader).await == expected);
        reader.accept().unwrap();
    });
    assert_eq!(written, Ok(Outcome::Accepted));
}

#[tokio::test]
async fn a_length_that_is_not_kept_is_an_error_and_no_message() {
    let mut ends = streaming(0).await;
    let mut writer = ends.sender.begin_sized(&Message::new(), 5);
    assert_eq!(writer.write("123456").await, Err(SendError::Length));
    drop(writer);
    let mut writer = ends.sender.begin_sized(&Message::new(), 5);
    writer.write("1234").await.unwrap();
    assert_eq!(writer.finish().await, Err(SendError::Length));
    let error = ends.receiver.receive().await.map(|reader| reader.message().subject().map(str::len)).err();
    assert!(matches!(error, None | Some(ReceiveError::Aborted)), "{error:?}");
    assert_eq!(ends.sender.unsettled(), 0);
}

#[tokio::test]
async fn what_grows_beyond_the_peers_limit_is_given_up() {
    let ends = streaming(20_000).await;
    let mut writer = ends.sender.begin(&Message::new());
    let mut written = 0;
    let error = loop {
        match writer.write(piece(0, 5000)).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((written, error), (3, SendError::TooLarge(20_000)));
    drop(writer);
    assert_eq!(ends.sender.unsettled(), 0);
    assert_eq!(ends.sender.error(), None, "the link goes on");
}

#[tokio::test]
async fn a_link_that_ends_within_a_message_tells_both() {
    let mut ends = streaming(0).await;
    let mut writer = ends.sender.begin(&Message::new());
    writer.write(piece(0, 10_000)).await.unwrap();
    assert!(ends.receiver.receive().await.is_ok());
    ends.receiver.close().await.unwrap();
    let error = loop {
        if let Err(error) = writer.write(piece(0, 10_000)).await {
            break error;
        }
    };
    assert_eq!(error, SendError::InDoubt(LinkError::DetachedByPeer));
}

#[tokio::test]
async fn a_receive_that_is_dropped_within_a_message_gives_it_back() {
    let mut ends = streaming(0).await;
    let mut writer = ends.sender.begin_sized(&Message::new().with_subject("s"), 5);
    // The sections in front of the content, and none of it.
    writer.write("").await.unwrap();
    let arrived = async {
        while ends.receiver.receiver().available() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived).await.unwrap();
    assert!(tokio::time::timeout(Duration::ZERO, ends.receiver.receive()).await.is_err());
    assert_eq!(ends.receiver.receiver().available(), 0, "it was taken");
    let next = Message::from(piece(1, 5));
    let writing = async {
        writer.write("12345").await.unwrap();
        let first = writer.finish().await;
        (first, ends.sender.send(&next).await)
    };
    let reading = async {
        let mut reader = ends.receiver.receive().await.unwrap();
        assert_eq!(reader.message().subject(), None, "the first is not handed out in part");
        assert_eq!(rest(&mut reader).await, piece(1, 5));
        reader.accept().unwrap();
    };
    let both = async { tokio::join!(writing, reading) };
    let (written, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("nobody settles it");
    assert_eq!(written, (Ok(Outcome::Released), Ok(Outcome::Accepted)));
}
