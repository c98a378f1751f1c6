//! A connection that shares the socket of the listener that took it in.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::hub::Hub;
use super::outlet::{Manner, Way};
use super::{longest, singular};
use crate::endpoint::canonical;
use crate::framer::outbox::Leaving;
use crate::properties::ConnectionProperties;
use crate::protocol::ProtocolStack;
use crate::stack::peers::PeerId;
use crate::transport::{Arrived, Limits, MessageTransport, NotSent};

/// How often a message is sent again that the system has refused: each time it may have told of another one instead.
const TRIES: usize = 4;

/// Dropped, it leaves the four-tuple to the next connection.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) hub: Arc<Hub>,
    pub(super) id: PeerId,
    /// As the socket knows it.
    pub(super) peer: SocketAddr,
    /// Where answers come from, if that is not the socket's only address.
    pub(super) source: Option<IpAddr>,
    pub(super) manner: Manner,
    pub(super) stack: ProtocolStack,
}

impl Accepted {
    /// Asks a socket of its own: the shared one has no path of this peer.
    fn singular(&self) -> Option<usize> {
        let peer = canonical(self.peer);
        let probe = super::open(self.stack, peer).ok()?;
        probe.connect(&peer.into()).ok()?;
        singular(&probe, peer)
    }

    fn too_long(&self, message: &Leaving<'_>) -> bool {
        !self.manner.fragments(message.context) && self.singular().is_some_and(|limit| message.len() > limit)
    }
}

impl MessageTransport for Accepted {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Leaving<'_>) -> Poll<io::Result<()>> {
        if message.len() > longest(canonical(self.peer)) {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        let mut tries = 0;
        loop {
            let way = Way { to: Some(self.peer), source: self.source };
            match self.hub.send(message, &self.manner, way) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.hub.poll_send_ready(cx))?,
                Err(_) if self.too_long(message) => return Poll::Ready(Err(io::ErrorKind::InvalidInput.into())),
                // What came to a broadcast address cannot be answered from there.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && self.source.is_some() => {
                    self.source = None;
                }
                // An earlier message of any connection came back; this one has not left.
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Poll::Ready(Err(NotSent::error(&error))),
                Ok(()) => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        self.hub.peers().poll_receive(self.id, cx).map(Ok)
    }

    fn limits(&self) -> Limits {
        let longest = longest(canonical(self.peer));
        Limits { send: Some(longest), receive: Some(longest), singular: self.singular() }
    }

    fn longest(&self) -> Option<usize> {
        Some(longest(canonical(self.peer)))
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        if from.user_timeout != to.user_timeout {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "UDP has no user timeout"));
        }
        if self.stack == ProtocolStack::UdpLite && from.recv_checksum_len != to.recv_checksum_len {
            // The socket drops what has less, and it is everybody's.
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the listener's connections share one coverage"));
        }
        self.manner.profile = to.capacity_profile;
        Ok(())
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.hub.peers().remove(self.id);
    }
}
