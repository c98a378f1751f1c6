//! A connection that is lost in the middle of a call: behind the frame that asks, before any answer. Where it comes back
//! the call goes on or says what became of it; where it does not the call ends as well.

use std::net::TcpListener;
use std::time::Duration;

use postroad_amqp::v1_0::ConnectionError as Protocol;
use postroad_client::{
    AttachError, Connection, ConnectionError, Guarantee, LinkError, Message, Outcome, SendError, SyncError,
    TransactionError,
};
use postroad_codec::v1_0::{
    Declared, DeliveryState, Disposition, Flow, Frame, Performative, Role, TransactionId, Transfer,
};
use postroad_testkit::{accepted, begin, close, detach, disposition, end, flow};

use crate::raw::Peer;
use crate::{answer, named, serve, soon};

/// The frame behind which the peer hangs up.
type At = fn(&Performative, &[u8]) -> bool;

const DECLARE: &[u8] = b"\x00\x53\x31";
const DISCHARGE: &[u8] = b"\x00\x53\x32";

fn contains(payload: &[u8], what: &[u8]) -> bool {
    payload.windows(what.len()).any(|bytes| bytes == what)
}

/// Serves a client well, until it says what `at` waits for, or hangs up.
fn tend(peer: &mut Peer, at: At) {
    while let Some(Frame::Amqp { performative, payload, .. }) = peer.next() {
        if at(&performative, &payload) {
            return;
        }
        match performative {
            Performative::Begin(_) => {
                peer.send_bytes(&begin().remote_channel(0).to_bytes());
            }
            Performative::Attach(theirs) => {
                peer.send(answer(&theirs));
                if theirs.role == Role::Sender {
                    let count = theirs.initial_delivery_count.unwrap().0;
                    peer.send(flow().handle(theirs.handle.0).delivery_count(count).link_credit(10));
                }
            }
            Performative::Flow(Flow { handle: Some(handle), delivery_count, link_credit, drain: true, .. }) => {
                let count = delivery_count.unwrap_or_default().0 + link_credit.unwrap_or_default();
                peer.send(flow().handle(handle.0).delivery_count(count).link_credit(0).drain(true));
            }
            Performative::Transfer(Transfer { delivery_id: Some(number), .. }) if contains(&payload, DECLARE) => {
                let declared = Declared { txn_id: TransactionId(b"t".as_slice().into()) };
                let state = DeliveryState::Declared(Box::new(declared));
                peer.send(disposition(Role::Receiver, number.0).settled(true).state(state));
            }
            Performative::Transfer(Transfer { delivery_id: Some(number), .. }) => {
                peer.send(accepted(number.0));
            }
            Performative::Disposition(Disposition { .. }) => {}
            Performative::Detach(theirs) => {
                peer.send_bytes(&detach().handle(theirs.handle.0).closed(true).to_bytes());
            }
            Performative::End(_) => {
                peer.send_bytes(&end().to_bytes());
            }
            Performative::Close(_) => {
                peer.send_bytes(&close().to_bytes());
            }
            _ => {}
        }
    }
}

/// A client whose connection is lost at a frame; where it `returns` it is served well from then on.
async fn lost_at(at: At, returns: bool) -> Connection {
    let script = move |listener: &TcpListener| {
        tend(&mut Peer::accept(listener, 65_536), at);
        if returns {
            tend(&mut Peer::accept(listener, 65_536), |_, _| false);
        }
    };
    serve(script, |options| {
        if !returns {
            options.reconnect = None;
        }
    })
    .await
    .0
}

fn is_lost(error: &LinkError) -> bool {
    matches!(error, LinkError::Connection(ConnectionError::Protocol(Protocol::Lost) | ConnectionError::Transport(_)))
}

const BOTH: [bool; 2] = [true, false];

#[tokio::test]
async fn a_session_and_links_are_asked_for_again() {
    let begins: At = |frame, _| matches!(frame, Performative::Begin(_));
    let attaches: At = |frame, _| matches!(frame, Performative::Attach(_));
    for returns in BOTH {
        let connection = lost_at(begins, returns).await;
        match (soon(connection.session()).await, returns) {
            (Ok(_), true) => {}
            (Err(AttachError::Link(error)), false) => assert!(is_lost(&error), "{error:?}"),
            (other, _) => panic!("{other:?}"),
        }
        for receives in BOTH {
            let session = soon(lost_at(attaches, returns).await.session()).await.unwrap();
            let attached = match receives {
                true => soon(session.receiver("a")).await.map(drop),
                false => soon(session.sender("a")).await.map(drop),
            };
            match (attached, returns) {
                (Ok(()), true) => {}
                (Err(AttachError::Link(error)), false) => assert!(is_lost(&error), "{error:?}"),
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn what_was_to_be_closed_is_closed() {
    for returns in BOTH {
        let detaches: At = |frame, _| matches!(frame, Performative::Detach(_));
        let session = soon(lost_at(detaches, returns).await.session()).await.unwrap();
        let (sender, receiver) = (soon(session.sender("a")).await.unwrap(), soon(session.receiver("a")).await.unwrap());
        let closed = soon(async { tokio::join!(sender.close(), receiver.close()) }).await;
        for closed in [closed.0, closed.1] {
            assert!(closed.as_ref().err().is_none_or(|error| !returns && is_lost(error)), "{closed:?}");
        }

        let ends: At = |frame, _| matches!(frame, Performative::End(_));
        let connection = lost_at(ends, returns).await;
        let session = soon(connection.session()).await.unwrap();
        let closed = soon(session.close()).await;
        assert!(closed.as_ref().err().is_none_or(|error| !returns && is_lost(error)), "{closed:?}");
        if returns {
            soon(connection.session()).await.unwrap();
        }

        // Nobody comes back for the answer to a close.
        let script = |listener: &TcpListener| {
            tend(&mut Peer::accept(listener, 65_536), |frame, _| matches!(frame, Performative::Close(_)));
        };
        let (connection, _) =
            serve(script, |options| options.reconnect = options.reconnect.take().filter(|_| returns)).await;
        let closed = soon(connection.close()).await;
        // A peer that hangs up at it has heard it.
        let lost = |error: &ConnectionError| is_lost(&LinkError::Connection(error.clone()));
        assert!(closed.as_ref().err().is_none_or(lost), "{closed:?}");
        assert_eq!(soon(connection.session()).await.map(drop).unwrap_err().peer_error(), None);
    }
}

#[tokio::test]
async fn what_was_handed_over_is_accepted_or_in_doubt() {
    for returns in BOTH {
        let transfers: At = |frame, _| matches!(frame, Performative::Transfer(_));
        let session = soon(lost_at(transfers, returns).await.session()).await.unwrap();
        let sender = soon(session.sender_with("a", named("link", Guarantee::AtLeastOnce))).await.unwrap();
        soon(sender.submit(&Message::from("0"))).await.unwrap();
        let (synced, sent) =
            soon(async { tokio::join!(sender.sync(), async { sender.send(&Message::from("1")).await }) }).await;
        if returns {
            assert_eq!((synced, sent), (Ok(()), Ok(Outcome::Accepted)));
        } else {
            let Err(SyncError::Link { in_doubt: 1, error }) = synced else { panic!("{synced:?}") };
            assert!(is_lost(&error), "{error:?}");
            let Err(SendError::InDoubt(error) | SendError::NotSent(error)) = sent else { panic!("{sent:?}") };
            assert!(is_lost(&error), "{error:?}");
        }
    }
}

#[tokio::test]
async fn who_asks_whether_there_is_something_hears_it_of_the_next_connection() {
    for returns in BOTH {
        let drains: At = |frame, _| matches!(frame, Performative::Flow(Flow { drain: true, .. }));
        for fetches in BOTH {
            let session = soon(lost_at(drains, returns).await.session()).await.unwrap();
            let mut receiver = soon(session.receiver("a")).await.unwrap();
            let asked = match fetches {
                true => soon(receiver.fetch(Duration::ZERO)).await.map(|message| assert!(message.is_none())),
                false => soon(receiver.drain()).await.map_err(Into::into),
            };
            assert_eq!(asked.is_ok(), returns, "{asked:?}");
        }
        let asks: At = |frame, _| matches!(frame, Performative::Attach(_));
        let session = soon(lost_at(asks, returns).await.session()).await.unwrap();
        let answered = soon(session.query("a")).await;
        assert_eq!(answered.is_ok(), returns, "{answered:?}");
    }
}

#[tokio::test]
async fn a_transaction_ends_with_its_connection_and_the_next_one_begins() {
    for returns in BOTH {
        let declares: At = |_, payload| contains(payload, DECLARE);
        let session = soon(lost_at(declares, returns).await.session()).await.unwrap();
        let controller = soon(session.transaction_controller()).await.unwrap();
        let declared = soon(controller.declare()).await;
        assert!(declared.is_err(), "what was asked for may have been made, and is gone");
        assert_eq!(soon(controller.declare()).await.is_ok(), returns);

        let discharges: At = |_, payload| contains(payload, DISCHARGE);
        for commits in BOTH {
            let session = soon(lost_at(discharges, returns).await.session()).await.unwrap();
            let controller = soon(session.transaction_controller()).await.unwrap();
            let transaction = soon(controller.declare()).await.unwrap();
            let ended = match commits {
                true => soon(transaction.commit()).await,
                false => soon(transaction.rollback()).await,
            };
            match ended {
                Err(TransactionError::InDoubt(_)) if commits => {}
                // It is undone in any case.
                Ok(()) | Err(TransactionError::Link(_) | TransactionError::InDoubt(_)) if !commits => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(soon(controller.declare()).await.is_ok(), returns);
        }
    }
}
