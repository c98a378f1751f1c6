//! Detaches, ends and closes with every error condition of the standard: the smallest scope is over, with the peer's own
//! words.

use postroad_client::types::{ErrorCondition, PeerError};
use postroad_client::{
    AttachError, ConnectionError, ConnectionEvent, Guarantee, LinkError, Message, Outcome, ReceiveError, Recovery,
    SendError,
};
use postroad_testkit::{CONDITIONS, close, detach, end, transfer};

use crate::{grant, lost_link, named, next_connection, serve, soon, until};

/// Closes with these mean that another connection may fare better.
const PASSING: [ErrorCondition; 5] = [
    ErrorCondition::CONNECTION_FORCED,
    ErrorCondition::FRAMING_ERROR,
    ErrorCondition::DECODE_ERROR,
    ErrorCondition::INTERNAL_ERROR,
    ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
];

fn told(condition: &ErrorCondition) -> PeerError {
    PeerError::new(condition.clone(), "said in so many words")
}

#[tokio::test]
async fn a_detach_of_any_condition_costs_the_link_alone() {
    let script = |listener: &_| {
        let mut peer = next_connection(listener);
        // A detach that leaves the link's state (not closed) costs no less: it came with an error.
        for (number, condition) in (0..).zip(&CONDITIONS) {
            for handle in 0..2 {
                assert_eq!(grant(&mut peer).handle.0, handle);
            }
            // It may come before the receiver's credit, or after.
            while !matches!(
                peer.next().unwrap(),
                postroad_codec::v1_0::Frame::Amqp { performative: postroad_codec::v1_0::Performative::Transfer(_), .. }
            ) {}
            for handle in 0..2 {
                peer.send(detach().handle(handle).closed(number % 2 == 0).error(told(condition)));
            }
        }
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let mut events = connection.events();
    let session = soon(connection.session()).await.unwrap();
    for condition in &CONDITIONS {
        let lost = LinkError::Detached(told(condition));
        let sender = soon(session.sender_with("a", named("out", Guarantee::AtLeastOnce))).await.unwrap();
        let mut receiver = soon(session.receiver_with("a", named("in", Guarantee::AtLeastOnce))).await.unwrap();
        let message = Message::from("under way");
        let both = async { tokio::join!(sender.send(&message), receiver.receive()) };
        let (sent, received) = soon(both).await;
        assert_eq!(sent, Err(SendError::InDoubt(lost.clone())));
        assert_eq!(received, Err(ReceiveError::Link(lost.clone())));
        assert_eq!(lost.recovery(), Recovery::Link);
        assert_eq!(lost.peer_error(), Some(&told(condition)));
        assert_eq!(sender.take_in_doubt().len(), 1);
        for name in ["out", "in"] {
            assert_eq!(lost_link(&mut events).await, (name.to_owned(), lost.clone()));
        }
        // The next links are attached on the same session.
        assert_eq!(connection.error(), None);
    }
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn an_end_of_any_condition_costs_the_session_alone() {
    let script = |listener: &_| {
        let mut peer = crate::raw::Peer::accept(listener, 65_536);
        for condition in &CONDITIONS {
            peer.begin();
            grant(&mut peer);
            peer.take(transfer(0));
            peer.send(end().error(told(condition)));
            peer.take(end());
        }
        peer.part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    for condition in &CONDITIONS {
        let session = soon(connection.session()).await.unwrap();
        let lost = LinkError::SessionEnded(Some(told(condition)));
        let sender = soon(session.sender_with("a", named("out", Guarantee::ExactlyOnce))).await.unwrap();
        assert_eq!(soon(sender.send(&Message::from("under way"))).await, Err(SendError::InDoubt(lost.clone())));
        assert_eq!(lost.recovery(), Recovery::Session);
        let refused = soon(session.sender("a")).await.map(drop);
        assert_eq!((refused, connection.error()), (Err(AttachError::Link(lost)), None));
    }
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn a_close_is_the_end_unless_another_connection_may_fare_better() {
    for condition in CONDITIONS {
        let passing = PASSING.contains(&condition);
        let script = {
            let condition = condition.clone();
            move |listener: &_| {
                let mut peer = next_connection(listener);
                grant(&mut peer);
                peer.take(transfer(0));
                peer.send(close().error(told(&condition)));
                peer.take(close());
                drop(peer);
                if passing {
                    let mut peer = next_connection(listener);
                    grant(&mut peer);
                    peer.part_with_messages();
                }
            }
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let mut events = connection.events();
        let session = soon(connection.session()).await.unwrap();
        let sender = soon(session.sender_with("a", named("out", Guarantee::AtLeastOnce))).await.unwrap();
        let result = soon(sender.send(&Message::from("under way"))).await;
        let lost = ConnectionError::Protocol(postroad_amqp::v1_0::ConnectionError::Remote(told(&condition)));
        if passing {
            assert_eq!(result, Ok(Outcome::Accepted), "{condition}");
            let why = until(&mut events, |event| match event {
                ConnectionEvent::Lost(error) => Some(error),
                _ => None,
            });
            assert_eq!(why.await, lost);
            soon(connection.close()).await.unwrap();
        } else {
            assert_eq!(result, Err(SendError::InDoubt(LinkError::Connection(lost.clone()))));
            assert_eq!((lost.peer_error(), lost.recovery()), (Some(&told(&condition)), Recovery::Connection));
            assert_eq!(soon(events.next()).await.map(|_| ()), Some(()));
            assert_eq!(connection.error(), Some(lost.clone()));
            assert_eq!(soon(connection.close()).await, Err(lost));
        }
        soon(peer).await.unwrap();
    }
}
