//! A server that breaks the rules while a message is under way: whoever waits for it is told why, and that it is in doubt.

mod raw;

use std::time::Duration;

use postroad_client::types::ErrorCondition;
use postroad_client::{ConnectionError, LinkError, LinkOptions, Message, Node, Outcome, SendError};
use postroad_codec::v1_0::{DeliveryState, Described, Frame, Role, SaslOutcome};
use postroad_testkit::{
    accepted, attach_receiver, attach_sender, begin, close, detach, disposition, end, flow, open, transfer,
};

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes")
}

/// What a rule that was broken costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Link,
    Session,
    Connection,
}

/// Sends a message to a server that takes it and then does as the script says; gives what became of the message.
async fn after(
    script: impl FnOnce(&mut raw::Peer) + Send + 'static,
) -> (Result<Outcome, SendError>, Option<LinkError>) {
    let script = |mut peer: raw::Peer| {
        peer.begin();
        peer.take(attach_sender("out"));
        peer.send(attach_receiver("out"));
        peer.send(flow().handle(0).link_credit(10));
        peer.take(transfer(0));
        script(&mut peer);
        peer.part();
    };
    let (connection, peer) = raw::Peer::serve(script).await;
    let session = soon(connection.session()).await.unwrap();
    let mut options = LinkOptions::default();
    options.name = Some("out".to_owned());
    let sender = soon(session.sender_with(Node::at("a"), options)).await.unwrap();
    let result = soon(sender.send(&Message::from("in doubt"))).await;
    let error = sender.error();
    // However it ended, closing ends too.
    let _ = soon(connection.close()).await;
    soon(peer).await.unwrap();
    (result, error)
}

/// A frame with this body.
fn frame_of(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + body.len()).unwrap();
    [&size.to_be_bytes()[..], &[2, 0, 0, 0], body].concat()
}

#[tokio::test]
async fn a_message_under_way_is_in_doubt_with_the_reason() {
    let mut sasl = Vec::new();
    Frame::put_sasl(&SaslOutcome::default(), &mut sasl);
    // A map whose value is an array of four thousand million nulls, as the properties of a session.
    let no_width =
        b"\x00\x53\x11\xc0\x1d\x08\x40\x43\x43\x43\x40\x40\x40\xc1\x0f\x02\xa3\x01k\xf0\0\0\0\x05\xff\xff\xff\xff\x40";
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let cases: [(&str, Vec<u8>, Scope, ErrorCondition); 15] = [
        ("a frame too large", vec![0x7f, 0xff, 0xff, 0xff], Scope::Connection, ErrorCondition::FRAMING_ERROR),
        ("a frame too small", vec![0, 0, 0, 7], Scope::Connection, ErrorCondition::FRAMING_ERROR),
        ("another protocol", http, Scope::Connection, ErrorCondition::FRAMING_ERROR),
        ("a frame of SASL", sasl, Scope::Connection, ErrorCondition::FRAMING_ERROR),
        ("no performative", frame_of(b"\x00\x53\x99\x45"), Scope::Connection, ErrorCondition::DECODE_ERROR),
        ("no descriptor", frame_of(b"\x00\x40\x45"), Scope::Connection, ErrorCondition::DECODE_ERROR),
        ("no frame body", frame_of(&[0xff; 100]), Scope::Connection, ErrorCondition::DECODE_ERROR),
        ("elements without width", frame_of(no_width), Scope::Connection, ErrorCondition::DECODE_ERROR),
        ("a second open", open().to_bytes(), Scope::Connection, ErrorCondition::NOT_ALLOWED),
        ("a channel in use", begin().to_bytes(), Scope::Connection, ErrorCondition::ILLEGAL_STATE),
        ("no session", accepted(0).channel(9).to_bytes(), Scope::Connection, ErrorCondition::NOT_ALLOWED),
        (
            "a handle too large",
            attach_sender("z").handle(70_000).to_bytes(),
            Scope::Connection,
            ErrorCondition::FRAMING_ERROR,
        ),
        ("a handle in use", attach_sender("z").handle(0).to_bytes(), Scope::Session, ErrorCondition::HANDLE_IN_USE),
        ("no link", transfer(0).handle(5).to_bytes(), Scope::Session, ErrorCondition::UNATTACHED_HANDLE),
        ("a transfer to a sender", transfer(0).to_bytes(), Scope::Link, ErrorCondition::NOT_ALLOWED),
    ];
    for (what, bytes, scope, condition) in cases {
        let told = condition.clone();
        let (result, over) = after(move |peer| {
            peer.send_bytes(&bytes);
            match scope {
                Scope::Link => drop(peer.take(detach().handle(0).condition(told))),
                Scope::Session => drop(peer.take(end().condition(told))),
                Scope::Connection => drop(peer.take(close().condition(told))),
            }
            match scope {
                Scope::Link => peer.send(detach().handle(0).closed(true)),
                Scope::Session => peer.send(end()),
                Scope::Connection => peer.send(close()),
            };
        })
        .await;
        let Err(SendError::InDoubt(error)) = result else { panic!("{what}: {result:?}") };
        let (found, at) = match &error {
            LinkError::Detached(error) => (Some(error.condition.clone()), Scope::Link),
            LinkError::SessionEnded(error) => (error.as_ref().map(|error| error.condition.clone()), Scope::Session),
            LinkError::Connection(ConnectionError::Protocol(error)) => {
                (error.to_error().map(|error| error.condition), Scope::Connection)
            }
            other => panic!("{what}: {other:?}"),
        };
        assert_eq!((found, at), (Some(condition), scope), "{what}");
        assert_eq!(over, Some(error), "{what}");
    }
}

#[tokio::test]
async fn a_server_that_vanishes_leaves_it_in_doubt() {
    // In the middle of a frame, or between two.
    for last in [&b"\x00\x00\x00\x20\x02"[..], b""] {
        let (result, over) = after(move |peer| {
            peer.send_bytes(last).hang_up();
        })
        .await;
        let error = LinkError::Connection(ConnectionError::Protocol(postroad_amqp::v1_0::ConnectionError::Lost));
        assert_eq!((result, over), (Err(SendError::InDoubt(error.clone())), Some(error)));
    }
}

#[tokio::test]
async fn outcomes_of_other_messages_and_of_no_kind_harm_nobody() {
    let other = DeliveryState::Other(Box::new(Described { descriptor: 0x99u64.into(), value: 1u8.into() }));
    let (result, over) = after(move |peer| {
        // Deliveries that were never sent, ranges that are none, and states that nobody knows.
        let all = disposition(Role::Receiver, 1).last(u32::MAX / 2).settled(true).state(DeliveryState::Accepted);
        peer.send(all).send(disposition(Role::Receiver, 9).last(3).settled(true));
        peer.send(disposition(Role::Sender, 0).last(1_000_000).settled(true))
            .send(disposition(Role::Receiver, 0).state(other));
        peer.send(flow().handle(0).delivery_count(u32::MAX).link_credit(u32::MAX));
        peer.send(disposition(Role::Receiver, 0).settled(true).state(DeliveryState::Released));
    })
    .await;
    assert_eq!((result, over), (Ok(Outcome::Released), None));
    let (result, over) = after(|peer| {
        peer.send(disposition(Role::Receiver, 0).settled(true));
    })
    .await;
    assert_eq!((result, over), (Err(SendError::NoOutcome), None));
}

#[tokio::test]
async fn a_server_that_answers_no_detach_costs_the_timeout() {
    let script = |mut peer: raw::Peer| {
        peer.begin();
        peer.take(attach_sender("out"));
        peer.send(attach_receiver("out"));
        peer.send(flow().handle(0).link_credit(10));
        peer.take(transfer(0));
        peer.take(detach().handle(0).closed(true));
        // It says nothing to that, and goes on with everything else.
        peer.part();
    };
    let (connection, peer) = raw::Peer::serve(script).await;
    let session = soon(connection.session()).await.unwrap();
    let mut options = LinkOptions::default();
    options.name = Some("out".to_owned());
    // The attach has as long; a busy machine may take its time for it.
    options.timeout = Duration::from_secs(2);
    let timeout = options.timeout;
    let sender = soon(session.sender_with(Node::at("a"), options)).await.unwrap();
    let settlement = soon(sender.submit_tracked(&Message::from("in doubt"))).await.unwrap();
    assert_eq!(soon(sender.close()).await, Err(LinkError::Timeout(timeout)));
    // Its session and connection have not suffered.
    assert_eq!((session.connection().error(), soon(connection.close()).await), (None, Ok(())));
    let result = soon(settlement).await;
    assert!(matches!(result, Err(SendError::InDoubt(_))), "{result:?}");
    soon(peer).await.unwrap();
}
