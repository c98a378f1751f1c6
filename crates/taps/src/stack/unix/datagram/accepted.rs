//! A connection that shares the socket of the listener that took it in.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockAddr;
use tokio::io::Interest;
use tokio::time::{Sleep, sleep};

use super::hub::Hub;
use super::sorted;
use crate::framer::outbox::Leaving;
use crate::properties::ConnectionProperties;
use crate::stack::peers::PeerId;
use crate::stack::unix::REST;
use crate::stack::unix::seqpacket::MAX_MESSAGE;
use crate::transport::{Arrived, Limits, MessageTransport};

/// Dropped, it leaves the name of its peer to the next connection.
#[derive(Debug)]
pub(super) struct Accepted {
    hub: Arc<Hub>,
    id: PeerId,
    peer: SockAddr,
    /// Until when to wait before the system is asked again.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Accepted {
    pub(super) fn new(hub: Arc<Hub>, id: PeerId, peer: SockAddr) -> Self {
        Self { hub, id, peer, rest: None }
    }
}

impl MessageTransport for Accepted {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Leaving<'_>) -> Poll<io::Result<()>> {
        let socket = self.hub.socket();
        let send = || socket.send(message, Some(&self.peer));
        let mut rested = false;
        loop {
            let sent = if rested { send() } else { socket.socket.try_io(Interest::WRITABLE, send) };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => {
                    self.rest = None;
                    return Poll::Ready(sent.map_err(sorted));
                }
            }
            // Either the socket has sent as much as may be on its way, and the system tells when that changes; or the
            // peer's queue is full, which it tells those only who are connected.
            let rest = self.rest.get_or_insert_with(|| Box::pin(sleep(REST)));
            rested = rest.as_mut().poll(cx).is_ready();
            if rested {
                self.rest = None;
            } else {
                ready!(self.hub.poll_send_ready(cx))?;
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
        Limits { send: Some(self.hub.socket().largest), receive: Some(MAX_MESSAGE), singular: None }
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        crate::stack::unix::apply(from, to)
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.hub.peers().remove(self.id);
    }
}
