//! A client and a server of ours on loopback.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::Ipv4Addr;
use std::time::Duration;

use postroad_client::{AcceptOptions, Acceptor, ConnectOptions, Connection, LinkOptions, Node, Receiver, Sender};

pub(crate) struct Ends {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
}

/// A connection between two peers.
pub(crate) async fn connect() -> Ends {
    connect_with(65_536).await
}

/// A connection whose ends both take frames of `frame` bytes at most.
pub(crate) async fn connect_with(frame: u32) -> Ends {
    let (acceptor, options) = accept_one(frame).await;
    let (client, server) = tokio::join!(Connection::open(options), acceptor.accept());
    Ends { client: client.unwrap(), server: server.unwrap() }
}

/// An acceptor, and how to connect to it.
pub(crate) async fn accept_one(frame: u32) -> (Acceptor, ConnectOptions) {
    let mut accept = AcceptOptions::new((Ipv4Addr::LOCALHOST, 0).into_local());
    accept.max_frame_size = frame;
    let acceptor = Acceptor::listen(accept).await.unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", acceptor.local_endpoint()).parse().unwrap());
    options.max_frame_size = frame;
    options.connect_timeout = Duration::from_secs(10);
    // What is lost is over: links that go over to the next connection have tests of their own.
    options.reconnect = None;
    (acceptor, options)
}

/// A sender at one end and the receiver at the other, which takes `prefetch` messages ahead.
pub(crate) async fn pair(prefetch: u32) -> (Sender, Receiver, Ends) {
    let mut options = LinkOptions::default();
    options.prefetch = prefetch;
    pair_with(options, 65_536).await
}

/// As [`pair`], on other terms.
pub(crate) async fn pair_with(options: LinkOptions, frame: u32) -> (Sender, Receiver, Ends) {
    let ends = connect_with(frame).await;
    let session = ends.client.session().await.unwrap();
    let accepting = async { ends.server.next_link().await.unwrap().into_receiver(&options).unwrap() };
    let (sender, receiver) = tokio::join!(session.sender(Node::at("queue")), accepting);
    (sender.unwrap(), receiver, ends)
}

trait IntoLocal {
    fn into_local(self) -> postroad_taps::LocalEndpoint;
}

impl IntoLocal for (Ipv4Addr, u16) {
    fn into_local(self) -> postroad_taps::LocalEndpoint {
        postroad_taps::LocalEndpoint::address(self.0).port(self.1)
    }
}
