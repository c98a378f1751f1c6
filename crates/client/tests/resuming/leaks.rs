//! A hundred losses, one after another, leave nothing behind: no task, no channel, no handle, no message.

use std::net::TcpListener;
use std::time::Duration;

use postroad_client::{ConnectionEvent, Guarantee, Message, Outcome};
use postroad_codec::v1_0::{Frame, Performative};
use postroad_testkit::{accepted, begin, detach, end, transfer};

use crate::raw::Peer;
use crate::{grant, named, serve, soon, until};

const ROUNDS: usize = 100;

/// A session and a sender of its own, of which a message is in doubt, and both given up again.
fn play(peer: &mut Peer) {
    peer.take(begin().channel(1));
    peer.send(begin().channel(1).remote_channel(1));
    while let Some(Frame::Amqp { channel, performative, .. }) = peer.next() {
        match performative {
            Performative::Attach(theirs) => {
                assert!(theirs.handle.0 == 0, "handles are used again");
                peer.send(crate::answer(&theirs).channel(channel));
            }
            Performative::Detach(theirs) => {
                peer.send(detach().channel(channel).handle(theirs.handle.0).closed(true));
            }
            Performative::End(_) => {
                peer.send(end().channel(channel));
                return;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_hundred_losses_leave_nothing_behind() {
    let script = |listener: &TcpListener| {
        for round in 0..=ROUNDS {
            let mut peer = Peer::accept(listener, 65_536);
            peer.begin();
            grant(&mut peer);
            // The message that the connection before did not answer, where there was one.
            if round > 0 {
                peer.take(transfer(0));
                peer.send(accepted(0));
            }
            if round == ROUNDS {
                return peer.part();
            }
            play(&mut peer);
            peer.take(transfer(u32::from(round > 0)));
        }
    };
    let (connection, peer) = serve(script, |options| {
        // Whoever comes back at once is made to wait longer and longer otherwise.
        options.reconnect.as_mut().unwrap().max_interval = Duration::from_millis(2);
    })
    .await;
    let mut events = connection.events();
    let session = soon(connection.session()).await.unwrap();
    let sender = soon(session.sender_with("a", named("link", Guarantee::AtLeastOnce))).await.unwrap();
    let metrics = tokio::runtime::Handle::current().metrics();
    let tasks = metrics.num_alive_tasks();
    for round in 0..ROUNDS {
        let other = soon(connection.session()).await.unwrap();
        let short = soon(other.receiver_with("a", named("short", Guarantee::ExactlyOnce))).await.unwrap();
        soon(short.close()).await.unwrap();
        soon(other.close()).await.unwrap();
        drop(other);
        assert_eq!(soon(sender.send(&Message::from("0"))).await, Ok(Outcome::Accepted), "{round}");
        until(&mut events, |event| matches!(event, ConnectionEvent::LinkAttached { .. }).then_some(())).await;
        assert_eq!((sender.unsettled(), sender.take_in_doubt().len()), (0, 0));
    }
    // What spoke the last words of a connection has gone.
    let gone = async {
        while metrics.num_alive_tasks() > tasks {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(gone).await;
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
    drop((sender, session, connection));
    let gone = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(gone).await;
}
