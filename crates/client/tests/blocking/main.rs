//! The mirror that blocks, without a runtime in sight.

mod ending;
mod inside;
#[path = "../raw/mod.rs"]
mod raw;
mod requests;
mod sending;
mod streaming;
mod transactions;
mod waiting;

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use postroad_client::blocking::{Acceptor, Connection, IncomingLink, Receiver, Sender, Session};
use postroad_client::{AcceptOptions, ConnectOptions, LinkOptions};
use postroad_taps::LocalEndpoint;

/// No test waits longer than this for anything that should come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Long enough for a timeout to be seen, and short enough to wait for.
const SHORT: Duration = Duration::from_millis(50);

/// Two ends of a connection.
struct Ends {
    client: Connection,
    server: Connection,
}

fn listen() -> (Acceptor, ConnectOptions) {
    let acceptor = Acceptor::listen(AcceptOptions::new(LocalEndpoint::address(Ipv4Addr::LOCALHOST))).unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", acceptor.local_endpoint()).parse().unwrap());
    options.reconnect = None;
    (acceptor, options)
}

fn connect() -> Ends {
    let (acceptor, options) = listen();
    thread::scope(|scope| {
        let server = scope.spawn(|| acceptor.accept_timeout(PATIENCE).unwrap().expect("a client in time"));
        let client = Connection::open(options).unwrap();
        Ends { client, server: server.join().unwrap() }
    })
}

/// A link of the client's session, and what the server makes of it.
fn link<L: Send, R: Send>(
    ends: &Ends,
    attach: impl FnOnce(&Session) -> L,
    answer: impl FnOnce(IncomingLink) -> R + Send,
) -> (L, R) {
    let session = ends.client.session().unwrap();
    thread::scope(|scope| {
        let answered =
            scope.spawn(|| answer(ends.server.next_link_timeout(PATIENCE).unwrap().expect("a link in time")));
        (attach(&session), answered.join().unwrap())
    })
}

/// A sender of the client, and the server's receiver, which takes `prefetch` messages ahead.
fn pair(prefetch: u32) -> (Sender, Receiver, Ends) {
    let ends = connect();
    let mut options = LinkOptions::default();
    options.prefetch = prefetch;
    let receive = |incoming: IncomingLink| incoming.into_receiver(&options).unwrap();
    let (sender, receiver) = link(&ends, |session| session.sender("queue").unwrap(), receive);
    (sender, receiver, ends)
}
