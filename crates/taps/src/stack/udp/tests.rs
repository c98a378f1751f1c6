//! The stacks over real sockets on the loopback.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;

use super::{connect, listen};
use crate::connection::SoftError;
use crate::error::AttemptError;
use crate::framer::outbox::Outbox;
use crate::message::MessageContext;
use crate::properties::{CapacityProfile, ConnectionProperties, SelectionProperty, TransportProperties};
use crate::protocol::ProtocolStack;
use crate::stack::{Acceptor, Hosting, Leaf, Setting, Stand};
use crate::transport::{About, Arrived, Established, MessageTransport, Transport};

mod listening;
mod lite;
mod marks;
mod multicast;
mod whole;

const PATIENCE: Duration = Duration::from_secs(10);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens soon")
}

/// One end.
struct End {
    transport: Box<dyn MessageTransport>,
    about: About,
    grouped: bool,
}

impl End {
    fn new(established: Established) -> Self {
        let Established { transport, about, group, .. } = established;
        let Transport::Message(transport) = transport else { panic!("{transport:?}") };
        Self { transport, about, grouped: group.is_some() }
    }

    async fn send(&mut self, data: &[u8]) -> io::Result<()> {
        self.send_with(data, MessageContext::default()).await
    }

    async fn send_with(&mut self, data: &[u8], context: MessageContext) -> io::Result<()> {
        let mut out = Outbox::of_messages();
        out.push(Bytes::copy_from_slice(data));
        out.end_message(context);
        let message = out.next_message().unwrap();
        soon(poll_fn(|cx| self.transport.poll_send(cx, &message))).await
    }

    async fn arrived(&mut self) -> Arrived {
        soon(poll_fn(|cx| self.transport.poll_receive(cx))).await.unwrap()
    }

    async fn receive(&mut self) -> (Bytes, MessageContext) {
        match self.arrived().await {
            Arrived::Message(data, context) => (data, context),
            other => panic!("{other:?}"),
        }
    }

    async fn data(&mut self) -> Bytes {
        self.receive().await.0
    }

    fn local(&self) -> SocketAddr {
        self.about.local.ip().unwrap()
    }

    fn remote(&self) -> SocketAddr {
        self.about.remote.ip().unwrap()
    }
}

fn leaf(remote: SocketAddr) -> Leaf {
    Leaf {
        stack: ProtocolStack::Udp,
        remote: remote.into(),
        local: None,
        interface: None,
        host: "".into(),
        websocket: None,
        hop_limit: None,
    }
}

fn setting(properties: TransportProperties) -> Setting {
    Setting { properties: Arc::new(properties), security: None, early: false, proxy: None }
}

async fn client_of(leaf: &Leaf, properties: TransportProperties) -> Result<End, AttemptError> {
    connect(leaf, &setting(properties)).await.map(End::new)
}

async fn client(remote: SocketAddr) -> End {
    client_of(&leaf(remote), TransportProperties::new()).await.unwrap()
}

fn stand(local: impl Into<SocketAddr>) -> Stand {
    Stand {
        stack: ProtocolStack::Udp,
        local: local.into().into(),
        interface: None,
        both_families: false,
        websocket: None,
        source: None,
    }
}

fn listener_of(stand: &Stand, properties: TransportProperties) -> io::Result<Box<dyn Acceptor>> {
    listen(stand, &Hosting { properties: Arc::new(properties), security: None })
}

fn listener(local: impl Into<SocketAddr>) -> Box<dyn Acceptor> {
    listener_of(&stand(local), TransportProperties::new()).unwrap()
}

fn address(acceptor: &dyn Acceptor) -> SocketAddr {
    acceptor.local().ip().unwrap()
}

async fn accept(acceptor: &dyn Acceptor) -> End {
    let arrival = soon(acceptor.accept()).await.unwrap();
    let end = End::new(arrival.establish.await.unwrap());
    assert_eq!(end.about.remote, arrival.peer);
    end
}

/// Whether nobody new comes, after everything that was sent before has been taken in.
async fn nobody_comes(acceptor: &dyn Acceptor) -> bool {
    let mut marker = client(address(acceptor)).await;
    marker.send(b"marker").await.unwrap();
    let mut next = accept(acceptor).await;
    next.remote() == marker.local() && next.data().await == "marker"
}

async fn raw(address: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(SocketAddr::new(address.into(), 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn every_length_is_a_message_and_none_is_cut() {
    let listener = listener(LOOPBACK);
    let mut client = client(address(&*listener)).await;
    let mut server = None;
    for length in [0, 1, 100, 1472, 1473, 16 * 1024, 40_000, 65_507, 0] {
        let data: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        client.send(&data).await.unwrap();
        let server = match &mut server {
            Some(server) => server,
            none => none.insert(accept(&*listener).await),
        };
        let got = server.data().await;
        assert_eq!((got.len(), got[..] == data[..]), (length, true));
        server.send(&got).await.unwrap();
        assert_eq!(client.data().await, got);
    }
}

#[tokio::test]
async fn case_47_a_message_that_is_too_long_is_refused_and_the_next_one_leaves() {
    let listener = listener(LOOPBACK);
    let mut client = client(address(&*listener)).await;
    assert_eq!(client.transport.limits().send, Some(65_507));
    client.send(b"first").await.unwrap();
    let mut server = accept(&*listener).await;
    assert_eq!(server.data().await, "first");
    for end in [&mut client, &mut server] {
        let error = end.send(&[0; 65_508]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    client.send(b"second").await.unwrap();
    assert_eq!(server.data().await, "second");
    server.send(b"third").await.unwrap();
    assert_eq!(client.data().await, "third");
}

#[tokio::test]
async fn nothing_leaves_before_a_message_and_a_final_one_changes_nothing() {
    let (socket, remote) = raw(Ipv4Addr::LOCALHOST).await;
    let mut client = client(remote).await;
    let mut last = MessageContext::default();
    last.last = true;
    client.send_with(b"only", last).await.unwrap();
    poll_fn(|cx| client.transport.poll_shutdown(cx)).await.unwrap();
    let mut buffer = [0; 10];
    let (length, from) = soon(socket.recv_from(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..length], from), (&b"only"[..], client.local()));
    socket.send_to(b"answer", from).await.unwrap();
    assert_eq!(client.data().await, "answer");
}

#[tokio::test]
async fn only_the_peer_is_heard() {
    let (_peer, remote) = raw(Ipv4Addr::LOCALHOST).await;
    let mut client = client(remote).await;
    let (stranger, _) = raw(Ipv4Addr::LOCALHOST).await;
    stranger.send_to(b"stranger", client.local()).await.unwrap();
    _peer.send_to(b"peer", client.local()).await.unwrap();
    assert_eq!(client.data().await, "peer");
}

#[tokio::test]
async fn case_59_a_property_of_tcp_is_refused_and_the_connection_goes_on() {
    let listener = listener(LOOPBACK);
    let mut client = client(address(&*listener)).await;
    client.send(b"hello").await.unwrap();
    let mut server = accept(&*listener).await;
    assert_eq!(server.data().await, "hello");
    let from = ConnectionProperties::default();
    let mut to = from.clone();
    to.user_timeout.value = Some(Duration::from_secs(7));
    for end in [&mut client, &mut server] {
        assert_eq!(end.transport.apply(&from, &to).unwrap_err().kind(), io::ErrorKind::Unsupported);
        end.send(b"again").await.unwrap();
    }
    assert_eq!((client.data().await, server.data().await), ("again".into(), "again".into()));
}

/// A port that answers as a closed one until its socket is connected to somebody else.
async fn closed(address: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
    let (socket, address) = raw(address).await;
    socket.connect(address).await.unwrap();
    (socket, address)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_64_a_closed_port_is_a_soft_error_and_not_the_end() {
    for (loopback, icmp) in [(IpAddr::from(Ipv4Addr::LOCALHOST), (3, 3)), ("::1".parse().unwrap(), (1, 4))] {
        if UdpSocket::bind(SocketAddr::new(loopback, 0)).await.is_err() {
            continue;
        }
        let (socket, remote) = closed(loopback).await;
        let mut client = client(remote).await;
        for _ in 0..3 {
            client.send(b"nobody").await.unwrap();
            match client.arrived().await {
                Arrived::SoftError(error) => {
                    assert_eq!(error, SoftError { kind: io::ErrorKind::ConnectionRefused, icmp: Some(icmp) });
                }
                other => panic!("{other:?}"),
            }
        }
        socket.connect(client.local()).await.unwrap();
        client.send(b"somebody").await.unwrap();
        let mut buffer = [0; 100];
        let length = soon(socket.recv(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..length], b"somebody");
        socket.send(b"answer").await.unwrap();
        assert_eq!(client.data().await, "answer");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_receive_that_waits_is_woken_by_a_soft_error() {
    let (_socket, remote) = closed(Ipv4Addr::LOCALHOST).await;
    let mut client = client(remote).await;
    let first = poll_fn(|cx| std::task::Poll::Ready(client.transport.poll_receive(cx).is_pending())).await;
    assert!(first);
    let sender = client.transport;
    let shared = Arc::new(std::sync::Mutex::new(sender));
    let receiving = Arc::clone(&shared);
    let waiting =
        tokio::spawn(async move { soon(poll_fn(|cx| receiving.lock().unwrap().poll_receive(cx))).await.unwrap() });
    tokio::task::yield_now().await;
    let mut out = Outbox::of_messages();
    out.push(Bytes::from_static(b"nobody"));
    out.end_message(MessageContext::default());
    let message = out.next_message().unwrap();
    soon(poll_fn(|cx| shared.lock().unwrap().poll_send(cx, &message))).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Arrived::SoftError(_)));
}

#[tokio::test]
async fn without_soft_errors_a_closed_port_changes_nothing() {
    let (socket, remote) = closed(Ipv4Addr::LOCALHOST).await;
    let properties = TransportProperties::new().prohibit(SelectionProperty::SoftErrorNotify);
    let mut client = client_of(&leaf(remote), properties).await.unwrap();
    for _ in 0..10 {
        client.send(b"nobody").await.unwrap();
    }
    socket.connect(client.local()).await.unwrap();
    client.send(b"somebody").await.unwrap();
    let mut buffer = [0; 100];
    let length = soon(socket.recv(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..length], b"somebody");
    socket.send(b"answer").await.unwrap();
    assert_eq!(client.data().await, "answer");
}

#[tokio::test]
async fn a_message_without_a_route_is_refused_alone() {
    // The loopback's own address leads nowhere else.
    let mut leaf = leaf("192.0.2.77:9".parse().unwrap());
    leaf.local = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into());
    let outcome = client_of(&leaf, TransportProperties::new()).await;
    // Some systems say so when the socket is connected, some when it sends.
    if let Ok(mut client) = outcome {
        let error = client.send(b"lost").await;
        assert!(error.is_err_and(|error| crate::transport::NotSent::of(&error).is_some()));
    }
}

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
