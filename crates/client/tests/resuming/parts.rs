//! A peer that detaches, ends or closes in the middle of a message of several frames, with an error: half a message is
//! none, and whoever waits hears the peer's own words.

use bytes::Bytes;
use postroad_client::types::{ErrorCondition, PeerError};
use postroad_client::{Guarantee, LinkError, Message, Outcome, ReceiveError, SendError};
use postroad_codec::v1_0::{self as codec, Frame, Performative, Transfer};
use postroad_testkit::{accepted, close, detach, end, transfer};

use crate::maps_of_senders::credited;
use crate::raw::Peer;
use crate::{grant, named, serve, soon};

/// How the peer leaves in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    Detach,
    End,
    /// Another connection may fare better.
    CloseForced,
    /// Another connection will not.
    CloseForGood,
}

const ALL: [Leave; 4] = [Leave::Detach, Leave::End, Leave::CloseForced, Leave::CloseForGood];
const GUARANTEES: [Guarantee; 3] = [Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

impl Leave {
    fn told(self) -> PeerError {
        let condition = match self {
            Self::CloseForced => ErrorCondition::CONNECTION_FORCED,
            _ => ErrorCondition::NOT_ALLOWED,
        };
        PeerError::new(condition, "in the middle of it")
    }

    /// Leaves, and reads what the client still says.
    fn play(self, peer: &mut Peer) {
        match self {
            Self::Detach => peer.send(detach().closed(true).error(self.told())),
            Self::End => peer.send(end().error(self.told())),
            Self::CloseForced | Self::CloseForGood => peer.send(close().error(self.told())),
        };
        while let Some(Frame::Amqp { performative, .. }) = peer.next() {
            match performative {
                Performative::Detach(_) if self == Self::Detach => break,
                Performative::End(_) if self == Self::End => break,
                Performative::Close(_) => break,
                _ => {}
            }
        }
    }

    #[track_caller]
    fn check(self, error: &LinkError) {
        assert_eq!(error.peer_error(), Some(&self.told()), "{error:?}");
        let right = match self {
            Self::Detach => matches!(error, LinkError::Detached(_)),
            Self::End => matches!(error, LinkError::SessionEnded(_)),
            Self::CloseForced => matches!(error, LinkError::Interrupted(_)),
            Self::CloseForGood => matches!(error, LinkError::Connection(_)),
        };
        assert!(right, "{error:?} after {self:?}");
    }
}

/// A connection with small frames.
fn next(listener: &std::net::TcpListener) -> Peer {
    let mut peer = Peer::accept(listener, 512);
    peer.begin();
    peer
}

/// Reads a whole message: its number and how long it is, and whether it is resumed.
fn whole(peer: &mut Peer) -> (u32, usize, bool) {
    let (mut number, mut length, mut again) = (None, 0, false);
    loop {
        let Some(Frame::Amqp { performative, payload, .. }) = peer.next() else { panic!("the client has hung up") };
        if let Performative::Transfer(Transfer { delivery_id, more, resume, .. }) = performative {
            number = number.or(delivery_id);
            length += payload.len();
            again |= resume;
            if !more {
                return (number.unwrap().0, length, again);
            }
        }
    }
}

#[tokio::test]
async fn half_a_message_that_was_sent_is_in_doubt_or_sent_again_from_its_start() {
    let text = "0123456789".repeat(1000);
    // At most once nobody waits for what becomes of it.
    let kept = GUARANTEES.into_iter().skip(1);
    for (guarantee, leave) in kept.flat_map(|guarantee| ALL.map(|leave| (guarantee, leave))) {
        let script = move |listener: &_| {
            let mut peer = next(listener);
            grant(&mut peer);
            peer.take(transfer(0).more(true));
            leave.play(&mut peer);
            if leave == Leave::CloseForced {
                drop(peer);
                peer = next(listener);
                let theirs = grant(&mut peer);
                let told = theirs.unsettled.map(|map| map.len());
                assert_eq!(told, (guarantee == Guarantee::ExactlyOnce).then_some(1));
                // The peer tells no map: what is in doubt exactly once is sent again at least once.
                if guarantee == Guarantee::AtLeastOnce {
                    let (number, length, again) = whole(&mut peer);
                    assert!(length > 10_000 && !again);
                    peer.send(accepted(number));
                }
            }
            peer.part();
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let session = soon(connection.session()).await.unwrap();
        let sender = soon(session.sender_with("a", named("link", guarantee))).await.unwrap();
        let result = soon(sender.send(&Message::from(text.as_str()))).await;
        match (guarantee, leave, result) {
            (Guarantee::AtLeastOnce, Leave::CloseForced, result) => assert_eq!(result, Ok(Outcome::Accepted)),
            (_, _, Err(SendError::InDoubt(error))) => {
                leave.check(&error);
                let doubts = sender.take_in_doubt();
                assert_eq!(doubts.len(), 1);
                assert_eq!(doubts[0].message().unwrap().unwrap().text(), Some(&*text));
            }
            (_, _, other) => panic!("{other:?} after {leave:?}, {guarantee:?}"),
        }
        let _ = soon(connection.close()).await;
        soon(peer).await.unwrap();
    }
}

#[tokio::test]
async fn half_a_message_that_came_is_none_and_comes_again_from_its_start() {
    let encoded = codec::Message::new(codec::Body::Value("0123456789".repeat(20).as_str().into())).to_bytes();
    for (guarantee, leave) in GUARANTEES.into_iter().flat_map(|guarantee| ALL.map(|leave| (guarantee, leave))) {
        let bytes = encoded.clone();
        let script = move |listener: &_| {
            let settled = guarantee == Guarantee::AtMostOnce;
            let part = |range: std::ops::Range<usize>| -> Bytes { bytes.slice(range) };
            let first = || transfer(0).settled(settled).more(true).payload(part(0..50));
            let mut peer = next(listener);
            grant(&mut peer);
            credited(&mut peer).send(first()).send(transfer(0).delivery_tag(None).more(true).payload(part(50..90)));
            leave.play(&mut peer);
            if leave == Leave::CloseForced {
                drop(peer);
                peer = next(listener);
                grant(&mut peer);
                credited(&mut peer).send(first());
                peer.send(transfer(0).delivery_tag(None).payload(part(50..bytes.len())));
            }
            peer.part();
        };
        let (connection, peer) = serve(script, |_| {}).await;
        let session = soon(connection.session()).await.unwrap();
        let mut receiver = soon(session.receiver_with("a", named("link", guarantee))).await.unwrap();
        match soon(receiver.receive()).await {
            Ok(message) if leave == Leave::CloseForced => {
                assert_eq!(message.text(), Some(&*"0123456789".repeat(20)));
            }
            Err(ReceiveError::Link(error)) if leave != Leave::CloseForced => leave.check(&error),
            other => panic!("{other:?} after {leave:?}, {guarantee:?}"),
        }
        let _ = soon(connection.close()).await;
        soon(peer).await.unwrap();
    }
}
