//! A connection with a socket of its own.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use postroad_sys::soft_error;
use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::inlet::Inlet;
use super::outlet::{self, Manner, Setting as Set, Way, Wish};
use super::{FAULTS, ask_for_news, longest, singular, wants_soft_errors};
use crate::endpoint::{EndpointAddress, canonical};
use crate::error::AttemptError;
use crate::framer::outbox::Leaving;
use crate::properties::{CapacityProfile, ConnectionProperties};
use crate::protocol::ProtocolStack;
use crate::stack::socket::{bind_interface, mark};
use crate::stack::{Leaf, Setting};
use crate::transport::{About, Arrived, BoxFuture, Established, Limits, MessageTransport, NotSent};

/// How often a message is sent again that the system has refused: each time it may have told of an earlier one instead.
const TRIES: usize = 4;

/// Reserves a local port, and nothing more: it is ready at once, and the peer hears nothing (RFC 9623 10.3).
///
/// To a multicast group it only sends, and joins nothing (RFC 9622 6.1.1).
pub(in crate::stack) async fn connect(leaf: &Leaf, setting: &Setting) -> Result<Established, AttemptError> {
    let remote = leaf.remote.ip().ok_or(AttemptError::Transport(io::ErrorKind::InvalidInput))?;
    let connected = open(leaf, setting, remote)?;
    let local = connected.socket.local_addr().map_err(|error| AttemptError::from_io(&error))?;
    let mut about = About::new(leaf.stack, canonical(local).into(), canonical(remote).into());
    about.can_receive = !connected.send_only;
    Ok(Established::messages(Box::new(connected), about))
}

fn open(leaf: &Leaf, setting: &Setting, remote: SocketAddr) -> Result<Connected, AttemptError> {
    let local = |error: io::Error| AttemptError::LocalEndpoint(error.kind());
    let property = |error: io::Error| AttemptError::Property(error.kind());
    let transport = |error: io::Error| AttemptError::from_io(&error);
    let socket = super::open(leaf.stack, remote).map_err(transport)?;
    if let Some(interface) = &leaf.interface {
        bind_interface(&socket, interface).map_err(local)?;
    }
    if let Some(source) = leaf.local.as_ref().and_then(EndpointAddress::ip) {
        if source.ip().is_multicast() {
            // Who receives from a group listens (RFC 9623 10.5).
            return Err(AttemptError::LocalEndpoint(io::ErrorKind::Unsupported));
        }
        socket.bind(&source.into()).map_err(local)?;
    }
    if let Some(hops) = leaf.hop_limit {
        set_hop_limit(&socket, remote, hops.into()).map_err(property)?;
    }
    let properties = &*setting.properties;
    ask_for_news(&socket, properties).map_err(property)?;
    if leaf.stack == ProtocolStack::UdpLite {
        outlet::set_receive_coverage(&socket, properties.connection.recv_checksum_len).map_err(property)?;
    }
    socket.connect(&remote.into()).map_err(transport)?;
    let profile = properties.connection.capacity_profile;
    if profile != CapacityProfile::Default {
        mark(&SockRef::from(&socket), profile).map_err(property)?;
    }
    let socket = Arc::new(UdpSocket::from_std(socket.into()).map_err(transport)?);
    let soft_errors = wants_soft_errors(properties).then(|| next_soft_error(&socket));
    Ok(Connected {
        peer: remote,
        inlet: Inlet::default(),
        manner: Manner { defaults: properties.message, profile, base: profile },
        setting: Set::new(leaf.stack),
        lite: leaf.stack == ProtocolStack::UdpLite,
        send_only: remote.ip().is_multicast(),
        soft_errors,
        faults: 0,
        socket,
    })
}

/// Time to live or hop limit: the system keeps one for groups and one for everything else.
fn set_hop_limit(socket: &Socket, remote: SocketAddr, hops: u32) -> io::Result<()> {
    match (remote, remote.ip().is_multicast()) {
        (SocketAddr::V4(_), false) => socket.set_ttl_v4(hops),
        (SocketAddr::V4(_), true) => socket.set_multicast_ttl_v4(hops),
        (SocketAddr::V6(_), false) => socket.set_unicast_hops_v6(hops),
        (SocketAddr::V6(_), true) => socket.set_multicast_hops_v6(hops),
    }
}

type NextSoftError = BoxFuture<'static, io::Result<soft_error::SoftError>>;

/// Waits for an error beside the datagrams: the system wakes nobody who waits to read for it.
fn next_soft_error(socket: &Arc<UdpSocket>) -> NextSoftError {
    let socket = Arc::clone(socket);
    Box::pin(async move {
        let take = || soft_error::take(&*socket)?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
        socket.async_io(Interest::ERROR, take).await
    })
}

struct Connected {
    socket: Arc<UdpSocket>,
    peer: SocketAddr,
    inlet: Inlet,
    manner: Manner,
    setting: Set,
    lite: bool,
    send_only: bool,
    soft_errors: Option<NextSoftError>,
    /// How many reads have failed one after the other.
    faults: usize,
}

impl Connected {
    /// A datagram from somebody else came between the binding of the socket and its connecting.
    fn is_peer(&self, from: SocketAddr) -> bool {
        (from.ip(), from.port()) == (self.peer.ip(), self.peer.port())
    }

    fn poll_soft_error(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        while let Some(next) = &mut self.soft_errors {
            let Ok(error) = ready!(next.as_mut().poll(cx)) else {
                self.soft_errors = None;
                break;
            };
            self.soft_errors = Some(next_soft_error(&self.socket));
            if let Some(error) = super::soft_error(&error) {
                return Poll::Ready(Ok(Arrived::SoftError(error)));
            }
        }
        Poll::Pending
    }

    fn too_long(&self, message: &Leaving<'_>) -> bool {
        let limits = self.limits();
        let limit = if self.manner.fragments(message.context) { limits.send } else { limits.singular };
        limit.is_some_and(|limit| message.len() > limit)
    }
}

impl MessageTransport for Connected {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Leaving<'_>) -> Poll<io::Result<()>> {
        if message.len() > longest(self.peer) {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        let mut tries = 0;
        loop {
            ready!(self.socket.poll_send_ready(cx))?;
            let follow = |wish: &Wish| self.setting.follow(&self.socket, wish);
            match outlet::send(&self.socket, message, &self.manner, Way::default(), follow) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) if self.too_long(message) => return Poll::Ready(Err(io::ErrorKind::InvalidInput.into())),
                // An earlier message came back; this one has not left.
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Poll::Ready(Err(NotSent::error(&error))),
                Ok(()) => return Poll::Ready(Ok(())),
            }
        }
    }

    /// The peer is told nothing: there is no end in a datagram.
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        if self.send_only {
            return Poll::Ready(Ok(Arrived::End));
        }
        loop {
            match self.socket.poll_recv_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return self.poll_soft_error(cx),
            }
            match self.inlet.receive(&self.socket) {
                Ok(datagram) => {
                    self.faults = 0;
                    if self.is_peer(datagram.from) {
                        return Poll::Ready(Ok(Arrived::Message(datagram.data, datagram.context)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.faults = 0,
                Err(error) if self.faults >= FAULTS => return Poll::Ready(Err(error)),
                Err(_) => {
                    self.faults += 1;
                    // What it was about is in the queue, where there is one.
                    if let Poll::Ready(arrived) = self.poll_soft_error(cx) {
                        return Poll::Ready(arrived);
                    }
                }
            }
        }
    }

    fn limits(&self) -> Limits {
        let longest = longest(self.peer);
        Limits {
            send: Some(longest),
            receive: Some(if self.send_only { 0 } else { longest }),
            singular: singular(&SockRef::from(&*self.socket), self.peer),
        }
    }

    fn longest(&self) -> Option<usize> {
        Some(longest(self.peer))
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        if from.user_timeout != to.user_timeout {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "UDP has no user timeout"));
        }
        if self.lite && from.recv_checksum_len != to.recv_checksum_len {
            outlet::set_receive_coverage(&*self.socket, to.recv_checksum_len)?;
        }
        if self.manner.base != to.capacity_profile {
            mark(&SockRef::from(&*self.socket), to.capacity_profile)?;
            (self.manner.base, self.manner.profile) = (to.capacity_profile, to.capacity_profile);
        }
        Ok(())
    }
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("socket", &self.socket).field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use bytes::Bytes;
    use postroad_sys::path_mtu::{PathMtuDiscovery, discovery};

    use super::*;
    use crate::framer::outbox::Outbox;
    use crate::message::MessageContext;
    use crate::properties::TransportProperties;

    fn connected(leaf: &Leaf, properties: TransportProperties) -> Connected {
        let setting = Setting { properties: Arc::new(properties), security: None, early: false, proxy: None };
        open(leaf, &setting, leaf.remote.ip().unwrap()).unwrap()
    }

    fn leaf(remote: SocketAddr) -> Leaf {
        let (host, hop_limit) = ("".into(), Some(7));
        let stack = ProtocolStack::Udp;
        Leaf { stack, remote: remote.into(), local: None, interface: None, host, websocket: None, hop_limit }
    }

    fn send(connected: &mut Connected, context: MessageContext) {
        let mut out = Outbox::of_messages();
        out.push(Bytes::from_static(b"hello"));
        out.end_message(context);
        let message = out.next_message().unwrap();
        let sent = connected.poll_send(&mut Context::from_waker(std::task::Waker::noop()), &message);
        assert!(matches!(sent, Poll::Ready(Ok(()))), "{sent:?}");
    }

    /// A socket that somebody has, so that what is sent there is nobody else's.
    fn peer() -> (std::net::UdpSocket, SocketAddr) {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn case_47_a_message_that_must_not_be_fragmented_forbids_it_in_its_header() {
        let (_peer, remote) = peer();
        let mut connected = connected(&leaf(remote), TransportProperties::new());
        let now = |connected: &Connected| discovery(&*connected.socket).unwrap();
        assert_eq!(now(&connected), PathMtuDiscovery::Want);
        poll_writable(&connected).await;
        let mut whole = MessageContext::default();
        whole.set_no_fragmentation(true);
        send(&mut connected, whole);
        assert_eq!(now(&connected), PathMtuDiscovery::Always);
        send(&mut connected, MessageContext::default());
        assert_eq!(now(&connected), PathMtuDiscovery::Want);
        let mut single = MessageContext::default();
        single.set_no_segmentation(true);
        send(&mut connected, single);
        assert_eq!(now(&connected), PathMtuDiscovery::Always);
    }

    async fn poll_writable(connected: &Connected) {
        connected.socket.writable().await.unwrap();
    }

    #[tokio::test]
    async fn the_hop_limit_is_that_of_the_endpoint() {
        let (_peer, remote) = peer();
        let unicast = connected(&leaf(remote), TransportProperties::new());
        assert_eq!(unicast.socket.ttl().unwrap(), 7);
        let group = SocketAddr::from(([239, 192, 9, 9], 9));
        let local = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into());
        let multicast = connected(&Leaf { local, ..leaf(group) }, TransportProperties::new());
        assert_eq!(multicast.socket.multicast_ttl_v4().unwrap(), 7);
    }

    #[tokio::test]
    async fn what_goes_in_one_packet_is_known_of_the_path() {
        let (_peer, remote) = peer();
        let connected = connected(&leaf(remote), TransportProperties::new());
        let path = postroad_sys::path_mtu::path_mtu(&*connected.socket).unwrap() as usize;
        assert_eq!(connected.limits().singular, Some((path - 28).min(65_507)));
    }

    #[tokio::test]
    async fn a_datagram_costs_one_allocation_and_a_message_none() {
        let (peer, remote) = peer();
        let mut connected = connected(&leaf(remote), TransportProperties::new());
        peer.connect(connected.socket.local_addr().unwrap()).unwrap();
        poll_writable(&connected).await;
        let mut out = Outbox::of_messages();
        out.push(Bytes::from_static(b"hello"));
        out.end_message(MessageContext::default());
        let message = out.next_message().unwrap();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let sent = allocation_counter::measure(|| assert!(connected.poll_send(&mut cx, &message).is_ready()));
        assert_eq!(sent.count_total, 0);
        let mut kept = Vec::with_capacity(64);
        let mut allocations = 0;
        // The first one makes the room for all.
        for length in [0, 5, 1400, 60_000, 60_000, 60_000, 60_000, 5, 20_000, 20_000, 20_000, 5] {
            peer.send(&vec![0; length]).unwrap();
            connected.socket.readable().await.unwrap();
            let received = allocation_counter::measure(|| {
                let Poll::Ready(Ok(Arrived::Message(data, _))) = connected.poll_receive(&mut cx) else { panic!() };
                kept.push(data);
            });
            assert_eq!(kept.last().unwrap().len(), length);
            // The room of several long ones is one allocation, and splitting it another.
            allocations += received.count_total;
            assert!(allocations <= kept.len() as u64 + 1, "{length}: {allocations}");
        }
    }
}
