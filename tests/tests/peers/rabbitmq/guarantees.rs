//! Which guarantees RabbitMQ keeps, beyond what `cuts` shows.

use std::time::Duration;

use postroad_client::{AttachError, Expiry, Guarantee, LinkOptions, Message, Node, Outcome};
use postroad_codec::v1_0::{Attach, Frame, Performative, ReceiverSettleMode};
use postroad_tests::capture::{Capture, Side};
use postroad_tests::ours::{connect, run, soon, take};
use postroad_tests::relay::Relay;

use crate::cuts;

#[test]
fn exactly_once_is_refused_with_the_session() {
    let rabbitmq = rabbitmq!();
    run(async {
        let connection = connect(&rabbitmq.url()).await.unwrap();
        let mut once = LinkOptions::default();
        once.guarantee = Guarantee::ExactlyOnce;
        for sends in [true, false] {
            let session = connection.session().await.unwrap();
            let error = if sends {
                soon(session.sender_with("/queue/ours-once", once.clone())).await.unwrap_err()
            } else {
                soon(session.receiver_with("/queue/ours-once", once.clone())).await.unwrap_err()
            };
            let missing = cuts::missing(&error);
            assert!(missing.contains("rcv-settle-mode second not supported"), "{missing}");
            assert!(error.hint().is_some());
            // The session is gone with it, and says so to whoever goes on with it; the guarantee is not to blame then.
            let error = soon(session.sender_with("/queue/ours-once", once.clone())).await.unwrap_err();
            assert!(matches!(error, AttachError::Link(_)), "{error:?}");
        }
        // The connection goes on.
        let session = connection.session().await.unwrap();
        let sender = soon(session.sender("/queue/ours-once")).await.unwrap();
        assert_eq!(soon(sender.send(&Message::from("at least once"))).await, Ok(Outcome::Accepted));
        let mut receiver = soon(session.receiver("/queue/ours-once")).await.unwrap();
        assert_eq!(take(&mut receiver, 1).await[0].text(), Some("at least once"));
    });
}

#[test]
fn an_expiry_is_echoed_and_no_link_is_remembered() {
    let rabbitmq = rabbitmq!();
    run(async {
        let capture = Capture::new();
        let relay = Relay::start(rabbitmq.port(), Some(capture.clone())).unwrap();
        let proxy = cuts::before(relay.port()).await;
        let (connection, session) = cuts::session(&proxy, "guest:guest@").await;
        let expiry = Some(Expiry::ConnectionClose(Duration::from_secs(60)));
        let node = Node { expiry, ..Node::at("/queue/ours-expiry") };
        let mut receiver = soon(session.receiver_with(node, LinkOptions::default())).await.unwrap();
        let sender = soon(session.sender("/queue/ours-expiry")).await.unwrap();
        soon(sender.send(&Message::from("one"))).await.unwrap();
        let first = soon(receiver.receive()).await.unwrap();
        assert!(first.first_acquirer());
        proxy.cut_all();
        // What was not settled is another delivery of another link.
        let again = soon(receiver.receive()).await.unwrap();
        assert_eq!((again.text(), again.first_acquirer()), (Some("one"), false));
        receiver.accept(&again).unwrap();
        soon(connection.close()).await.unwrap();
        let mut answers = capture.frames().into_iter().flatten().filter_map(answer);
        assert!(answers.clone().count() >= 4);
        assert!(answers.clone().all(|attach| attach.unsettled.is_none()));
        assert!(answers.clone().all(|attach| attach.rcv_settle_mode == ReceiverSettleMode::FIRST));
        let echoed = |attach: Attach| attach.source.is_some_and(|source| source.timeout.0 == 60);
        assert!(answers.any(echoed));
    });
}

/// An attach of the broker.
fn answer((side, frame): (Side, bytes::Bytes)) -> Option<Attach> {
    match Frame::decode(&frame) {
        Ok(Frame::Amqp { performative: Performative::Attach(attach), .. }) if side == Side::Server => Some(*attach),
        _ => None,
    }
}

#[test]
fn a_durable_terminus_asks_for_a_durable_queue() {
    let rabbitmq = rabbitmq!();
    run(async {
        let connection = connect(&rabbitmq.url()).await.unwrap();
        let session = connection.session().await.unwrap();
        let _sender = soon(session.sender("/queue/ours-durable")).await.unwrap();
        let node = Node { durable: true, ..Node::at("/queue/ours-durable") };
        let error = soon(session.sender(node)).await.unwrap_err();
        assert!(error.to_string().contains("inequivalent arg 'durable'"), "{error}");
        // The session is gone with it, and the connection goes on.
        assert!(session.error().is_some());
        connection.session().await.unwrap();
    });
}
