//! Peers that break the rules when a connection is made anew: every call ends in time and says why, and what the fault
//! does not concern goes on.

#[path = "../raw/mod.rs"]
mod raw;

mod calls;
mod conditions;
mod container;
mod elsewhere;
mod leaks;
mod maps;
mod maps_of_senders;
mod parts;
mod stalls;
mod terms;
mod twice;
mod vanishing;

use std::net::TcpListener;
use std::time::Duration;

use postroad_client::{
    ConnectOptions, Connection, ConnectionEvent, ConnectionEvents, Guarantee, LinkOptions, Reconnect,
};
use postroad_codec::v1_0::{Attach, Frame, Performative, Role};
use postroad_testkit::{Builder, attach_receiver, attach_sender, flow};
use tokio::task::JoinHandle;

use crate::raw::Peer;

/// More than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes")
}

/// Plays one connection of a client after another, as the script has it.
pub(crate) async fn serve(
    script: impl FnOnce(&TcpListener) + Send + 'static,
    change: impl FnOnce(&mut ConnectOptions),
) -> (Connection, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
    options.sasl_enabled = false;
    options.reconnect = Some(quickly());
    change(&mut options);
    let thread = tokio::task::spawn_blocking(move || script(&listener));
    (soon(Connection::open(options)).await.unwrap(), thread)
}

pub(crate) fn quickly() -> Reconnect {
    let mut reconnect = Reconnect::default();
    (reconnect.interval, reconnect.max_interval) = (Duration::from_millis(2), Duration::from_millis(10));
    reconnect.timeout = Some(PATIENCE);
    reconnect
}

/// The next connection, with its session begun.
pub(crate) fn next_connection(listener: &TcpListener) -> Peer {
    let mut peer = Peer::accept(listener, 65_536);
    peer.begin();
    peer
}

/// The next attach, whatever comes before it.
#[track_caller]
pub(crate) fn take_attach(peer: &mut Peer) -> Attach {
    loop {
        let frame = peer.next().expect("the client has hung up");
        if let Frame::Amqp { performative: Performative::Attach(attach), .. } = frame {
            return *attach;
        }
    }
}

/// An answer that grants what was asked for.
pub(crate) fn answer(theirs: &Attach) -> Builder<Attach> {
    let attach = match theirs.role {
        Role::Sender => attach_receiver(&theirs.name),
        Role::Receiver => attach_sender(&theirs.name),
    };
    let (source, target) = (theirs.source.clone(), theirs.target.clone());
    let modes = (theirs.snd_settle_mode, theirs.rcv_settle_mode);
    attach.handle(theirs.handle.0).with(|attach| {
        (attach.source, attach.target) = (source, target);
        (attach.snd_settle_mode, attach.rcv_settle_mode) = modes;
    })
}

/// Attaches the next link as it was asked for, and lets a sender send ten messages.
pub(crate) fn grant(peer: &mut Peer) -> Attach {
    let theirs = take_attach(peer);
    peer.send(answer(&theirs));
    if theirs.role == Role::Sender {
        let count = theirs.initial_delivery_count.map_or(0, |count| count.0);
        peer.send(flow().handle(theirs.handle.0).delivery_count(count).link_credit(10));
    }
    theirs
}

pub(crate) fn named(name: &str, guarantee: Guarantee) -> LinkOptions {
    let mut options = LinkOptions::default();
    (options.name, options.guarantee) = (Some(name.to_owned()), guarantee);
    options
}

/// Waits for an event.
pub(crate) async fn until<R>(events: &mut ConnectionEvents, mut wanted: impl FnMut(ConnectionEvent) -> Option<R>) -> R {
    soon(async {
        loop {
            let event = events.next().await.expect("the connection is not over");
            if let Some(result) = wanted(event) {
                return result;
            }
        }
    })
    .await
}

/// Waits until a link is over, and gives its name and why.
pub(crate) async fn lost_link(events: &mut ConnectionEvents) -> (String, postroad_client::LinkError) {
    until(events, |event| match event {
        ConnectionEvent::LinkLost { link, error } => Some((link, error)),
        _ => None,
    })
    .await
}
