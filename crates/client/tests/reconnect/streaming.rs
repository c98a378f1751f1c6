//! Messages that are sent or read in parts when the connection is lost.

use postroad_client::{LinkOptions, Message, Outcome, ReceiveError, SendError};
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Rule};

use crate::{PATIENCE, Road, attached};

#[tokio::test]
async fn a_message_in_the_making_is_not_sent_and_the_next_one_is() {
    let road = Road::new(&["q"]).await;
    let connection = road.connect().await;
    let sender = connection.session().await.unwrap().sender("q").await.unwrap();
    let mut events = connection.events();
    let front = Message::new().with_subject("log");
    let mut writer = sender.begin(&front);
    writer.write("one").await.unwrap();
    road.proxy.cut_all();
    attached(&mut events).await;
    assert!(matches!(writer.write("two").await, Err(SendError::NotSent(_))));
    assert!(!writer.is_writable());
    assert!(matches!(writer.finish().await, Err(SendError::NotSent(_))));
    let mut writer = sender.begin(&front);
    writer.write("whole").await.unwrap();
    assert_eq!(writer.finish().await, Ok(Outcome::Accepted));
    assert_eq!(sender.unsettled(), 0);
    assert_eq!(road.broker.queue_stats("q").unwrap().enqueued, 1);
}

#[tokio::test]
async fn a_message_that_is_read_comes_again_from_its_start() {
    let road = Road::new(&["q"]).await;
    let mut options = road.options();
    options.max_frame_size = 2048;
    let connection = postroad_client::Connection::open(options).await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender("q").await.unwrap();
    let text = "0123456789".repeat(100_000);
    for text in [&*text, "second"] {
        sender.send(&Message::from(bytes::Bytes::from(text.to_owned()))).await.unwrap();
    }
    let mut options = LinkOptions::default();
    options.prefetch = 1;
    let stall = Rule::new(Fault::Stall, At::frame(FrameKind::Transfer).nth(50)).in_direction(Direction::ToClient);
    road.proxy.arm(stall.clone());
    let mut receiver = session.streaming_receiver_with("q", options).await.unwrap();
    let mut reader = tokio::time::timeout(PATIENCE, receiver.receive()).await.unwrap().unwrap();
    road.proxy.arm(stall);
    road.proxy.cut_all();
    let read = async {
        loop {
            match reader.chunk().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, read).await.unwrap(), Err(ReceiveError::Aborted));
    assert_eq!(reader.chunk().await, Ok(None), "it stays over");
    // Skipped by its reader, cut once more, and read at last.
    drop(tokio::time::timeout(PATIENCE, receiver.receive()).await.unwrap().unwrap());
    road.proxy.cut_all();
    for expected in [&*text, "second"] {
        let mut reader = tokio::time::timeout(PATIENCE, receiver.receive()).await.unwrap().unwrap();
        let mut content = Vec::new();
        while let Some(chunk) = reader.chunk().await.unwrap() {
            content.extend_from_slice(&chunk);
        }
        assert!(content == expected.as_bytes(), "{} bytes", content.len());
        reader.accept().unwrap();
    }
    road.empty("q").await;
}
