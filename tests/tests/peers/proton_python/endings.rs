//! How links, sessions and connections end: the waiting call learns the level, the reason, and what was under way.

use postroad_amqp::v1_0 as amqp;
use postroad_client::types::{ErrorCondition, PeerError, Symbol, Value};
use postroad_client::{
    AttachError, ConnectionError, LinkError, LinkOptions, Message, ReceiveError, SendError, Sender, Session, SyncError,
};
use postroad_tests::ours::{connect, run, soon};

/// The ends that an address asks for, by level.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Level {
    Link,
    Session,
    Connection,
    Transport,
}

const LEVELS: [Level; 4] = [Level::Link, Level::Session, Level::Connection, Level::Transport];

impl Level {
    fn address(self, count: usize) -> String {
        match self {
            Self::Link => format!("detach/{count}/amqp:link:detach-forced"),
            Self::Session => format!("end/{count}/x:over"),
            Self::Connection => format!("close/{count}/amqp:connection:forced"),
            Self::Transport => format!("drop/{count}"),
        }
    }

    fn expected(self) -> LinkError {
        let told = |name| PeerError::new(ErrorCondition(Symbol::from_static(name)), "as the address asks");
        match self {
            Self::Link => LinkError::Detached(told("amqp:link:detach-forced")),
            Self::Session => LinkError::SessionEnded(Some(told("x:over"))),
            Self::Connection => LinkError::Connection(remote(told("amqp:connection:forced"))),
            Self::Transport => LinkError::Connection(ConnectionError::Protocol(amqp::ConnectionError::Lost)),
        }
    }
}

fn remote(error: PeerError) -> ConnectionError {
    ConnectionError::Protocol(amqp::ConnectionError::Remote(error))
}

async fn works(session: &Session) {
    let sender = soon(session.sender("q")).await.unwrap();
    soon(sender.send(&Message::from("still here"))).await.unwrap();
}

/// Sends `count` messages that nobody settles.
async fn leave_open(sender: &Sender, count: u32) -> Vec<postroad_client::Settlement> {
    let mut settlements = Vec::new();
    for n in 0..count {
        settlements.push(soon(sender.submit_tracked(&Message::from(Value::from(n)))).await.unwrap());
    }
    settlements
}

#[test]
fn messages_under_way_are_in_doubt_with_the_reason() {
    let proton = proton!();
    run(async {
        // One peer each: after a drop, another connection would do as well, but the counts are its own.
        for level in LEVELS {
            let listener = proton.listen(&["--outcome", "none"]).unwrap();
            let connection = connect(&listener.url()).await.unwrap();
            let session = connection.session().await.unwrap();
            let sender = session.sender(&*level.address(4)).await.unwrap();
            let tracked = leave_open(&sender, 3).await;
            assert_eq!(sender.unsettled(), 3);
            soon(sender.submit(&Message::from("the last"))).await.unwrap();
            for settlement in tracked {
                assert_eq!(soon(settlement).await, Err(SendError::InDoubt(level.expected())), "{level:?}");
            }
            let error = level.expected();
            assert_eq!(soon(sender.sync()).await, Err(SyncError::Link { in_doubt: 1, error }), "{level:?}");
            assert_eq!(soon(sender.sync()).await, Ok(()), "{level:?}: told once");
            assert_eq!(sender.error(), Some(level.expected()));
            // What comes later was not sent.
            assert_eq!(soon(sender.send(&Message::from("late"))).await, Err(SendError::NotSent(level.expected())));
            assert_eq!(sender.try_submit(&Message::from("late")), Err(SendError::NotSent(level.expected())));
        }
    });
}

#[test]
fn a_send_that_waits_for_credit_was_not_sent() {
    let proton = proton!();
    run(async {
        for level in LEVELS {
            let listener = proton.listen(&["--credit", "1", "--credit-once", "--outcome", "none"]).unwrap();
            let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
            // The first link has its credit used up; the second brings about the end of what both are on.
            let held = session.sender("q").await.unwrap();
            let under_way = leave_open(&held, 1).await.remove(0);
            let late = Message::from("late");
            let waiting = held.send(&late);
            let end = async {
                let trigger = session.sender(&*level.address(1)).await.unwrap();
                trigger.send(&Message::from("go")).await.unwrap_err()
            };
            if level == Level::Link {
                soon(end).await;
                assert!(held.error().is_none());
                continue;
            }
            let (waiting, _) = soon(async { tokio::join!(waiting, end) }).await;
            assert_eq!(waiting, Err(SendError::NotSent(level.expected())), "{level:?}");
            assert_eq!(soon(under_way).await, Err(SendError::InDoubt(level.expected())), "{level:?}");
        }
    });
}

#[test]
fn a_receive_that_waits_is_told_the_reason() {
    let proton = proton!();
    run(async {
        for level in LEVELS {
            let listener = proton.listen(&[]).unwrap();
            let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
            let mut receiver = session.receiver(&*level.address(2)).await.unwrap();
            let first = soon(receiver.receive()).await.unwrap();
            let second = soon(receiver.receive()).await.unwrap();
            assert_eq!(second.bytes().map(|bytes| bytes[..].to_vec()), Some(vec![1]));
            // The first outcome brings about the end.
            let (end, ()) = tokio::join!(soon(receiver.receive()), async {
                session.settle(&first, postroad_client::Outcome::Accepted).unwrap();
            });
            assert_eq!(end.unwrap_err(), ReceiveError::Link(level.expected()), "{level:?}");
            assert!(session.settle(&second, postroad_client::Outcome::Accepted).is_err(), "{level:?}");
            assert_eq!(receiver.error(), Some(level.expected()));
        }
    });
}

#[test]
fn messages_that_came_before_the_end_can_still_be_read() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&[]).unwrap();
        let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
        let mut receiver = session.receiver(&*Level::Link.address(3)).await.unwrap();
        let first = soon(receiver.receive()).await.unwrap();
        // All three are taken in one batch or lie with the link; either way they are not lost without a word.
        while receiver.available() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        receiver.accept(&first).unwrap();
        let mut seen = 0;
        let error = loop {
            match soon(receiver.receive()).await {
                Ok(_) => seen += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, ReceiveError::Link(Level::Link.expected()));
        assert!(seen <= 2);
    });
}

#[test]
fn the_end_of_one_link_leaves_its_neighbours() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&[]).unwrap();
        let connection = connect(&listener.url()).await.unwrap();
        let (one, other) = (connection.session().await.unwrap(), connection.session().await.unwrap());
        let neighbour = one.sender("q").await.unwrap();
        let far = other.sender("q").await.unwrap();
        let ending = one.sender(&*Level::Link.address(1)).await.unwrap();
        // Its outcome may come before its end.
        let _ = soon(ending.send(&Message::from("end"))).await;
        soon(neighbour.send(&Message::from("same session"))).await.unwrap();
        let ending = one.sender(&*Level::Session.address(1)).await.unwrap();
        let _ = soon(ending.send(&Message::from("end"))).await;
        // No message gets past the end of its session.
        let error = soon(async {
            loop {
                if let Err(error) = neighbour.send(&Message::from("gone")).await {
                    break error;
                }
            }
        })
        .await;
        let expected = Level::Session.expected();
        assert!(matches!(&error, SendError::NotSent(e) | SendError::InDoubt(e) if *e == expected), "{error:?}");
        assert_eq!(soon(one.sender("q")).await.unwrap_err(), AttachError::Link(expected));
        soon(far.send(&Message::from("other session"))).await.unwrap();
        works(&other).await;
        works(&soon(connection.session()).await.unwrap()).await;
        assert!(connection.error().is_none());
    });
}

#[test]
fn the_end_of_the_connection_is_told_to_every_call() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&[]).unwrap();
        let connection = connect(&listener.url()).await.unwrap();
        let session = connection.session().await.unwrap();
        let sender = session.sender(&*Level::Connection.address(0)).await;
        let expected = Level::Connection.expected();
        let LinkError::Connection(over) = expected.clone() else { unreachable!() };
        // The attach may have been answered before.
        if let Err(error) = sender {
            assert_eq!(error, AttachError::Link(expected.clone()));
        }
        assert_eq!(soon(connection.close()).await, Err(over.clone()));
        assert_eq!(connection.error(), Some(over));
        assert_eq!(connection.session().await.unwrap_err(), AttachError::Link(expected.clone()));
        assert_eq!(session.receiver("q").await.unwrap_err(), AttachError::Link(expected));
        // The peer takes the next one.
        works(&connect(&listener.url()).await.unwrap().session().await.unwrap()).await;
    });
}

#[test]
fn a_close_is_read_while_more_is_being_written() {
    let proton = proton!();
    run(async {
        let listener = proton.listen(&["--credit", "1000"]).unwrap();
        let connection = connect(&listener.url()).await.unwrap();
        let session = connection.session().await.unwrap();
        let sender = session.sender(&*Level::Connection.address(20)).await.unwrap();
        let large = Message::from(postroad_client::types::Bytes::from(vec![7; 256 * 1024]));
        let error = loop {
            if let Err(error) = soon(sender.submit(&large)).await {
                break error;
            }
        };
        assert_eq!(error, SendError::NotSent(Level::Connection.expected()));
        let Err(SyncError::Link { in_doubt, error }) = soon(sender.sync()).await else { panic!("nothing in doubt") };
        assert!(in_doubt > 0);
        assert_eq!(error, Level::Connection.expected());
    });
}

#[test]
fn our_ends_are_seen_by_the_peer_after_what_was_handed_over() {
    let proton = proton!();
    run(async {
        let mut listener = proton.listen(&[]).unwrap();
        let connection = connect(&listener.url()).await.unwrap();
        let session = connection.session().await.unwrap();
        let mut options = LinkOptions::default();
        options.name = Some("named".to_owned());
        let sender = session.sender_with("q", options).await.unwrap();
        soon(sender.submit(&Message::from("first"))).await.unwrap();
        soon(sender.close()).await.unwrap();
        let detach = listener.event("detach").unwrap();
        assert_eq!(
            (&detach["name"], &detach["closed"], &detach["error"]),
            (&"named".into(), &true.into(), &serde_json::Value::Null)
        );
        listener.event("message").unwrap();

        let sender = session.sender("q").await.unwrap();
        soon(sender.submit(&Message::from("dropped with its sender"))).await.unwrap();
        drop(sender);
        listener.event("detach").unwrap();
        listener.event("message").unwrap();

        soon(session.close()).await.unwrap();
        assert_eq!(listener.event("end").unwrap()["error"], serde_json::Value::Null);
        connection.abort(PeerError::new(ErrorCondition::INTERNAL_ERROR, "enough"));
        let close = listener.event("close").unwrap();
        assert_eq!(
            (&close["error"]["condition"], &close["error"]["description"]),
            (&"amqp:internal-error".into(), &"enough".into())
        );

        // A connection whose handles are gone closes by itself.
        let sender = {
            let session = connect(&listener.url()).await.unwrap().session().await.unwrap();
            session.sender("q").await.unwrap()
        };
        soon(sender.send(&Message::from("the link keeps it"))).await.unwrap();
        drop(sender);
        assert_eq!(listener.event("close").unwrap()["error"], serde_json::Value::Null);
    });
}
