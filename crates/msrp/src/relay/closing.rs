//! What goes with a connection that ends (RFC 4976 6.3, 6.4.1).

use std::collections::VecDeque;
use std::net::IpAddr;

use super::Relay;
use super::event::{CloseReason, ConnectionKey, Event};
use super::incoming::Frame;
use super::link::Link;
use super::responses::Part;
use crate::{Code, FailureReport, Flag};

impl Relay {
    /// Ends a connection, with all that goes with it.
    pub(super) fn close(&mut self, key: ConnectionKey, reason: CloseReason) {
        let Some(mut link) = self.links.remove(key.slot()) else { return };
        let mut rest = VecDeque::new();
        while link.outbox.take(&mut rest) > 0 {}
        self.events.push_back(Event::Closed { connection: key, reason, rest });
        self.forget(key, &link);
        // A URI goes with its connection (RFC 4976 6.3), unless a relay stands for the client that may come over another.
        for session in &link.sessions {
            if !self.tokens.is_of_relay(session) {
                self.tokens.remove(session);
            }
        }
        self.cut(&link.frame);
        for what in link.transactions.drain() {
            self.overdue(what);
        }
        self.queued -= link.queue.octets();
        for chunk in link.queue.into_chunks().filter(|chunk| chunk.failure != FailureReport::No) {
            let end = chunk.ended.map(|_| chunk.next.saturating_add(chunk.waiting as u64));
            self.report(&chunk.back, Part { start: chunk.next, end, total: chunk.total }, Code::TIMEOUT);
        }
        self.freed.extend(link.feeders);
    }

    /// Ends what was coming over a connection that is gone. A client that is gone does not go on with its message; what came
    /// from farther on may be sent again over another connection (RFC 4975 5.4).
    fn cut(&mut self, frame: &Frame) {
        if let &Frame::Chunk { dest, stream, from_client, .. } = frame {
            let flag = if from_client { Flag::Aborted } else { Flag::Continues };
            self.with_queue(dest, |queue| queue.cut(stream, flag));
        }
    }

    /// Forgets by what a connection was found.
    fn forget(&mut self, key: ConnectionKey, link: &Link) {
        if let Some((place, _)) = &link.place
            && self.by_place.get(place) == Some(&key)
        {
            self.by_place.remove(place);
        }
        if let Some(host) = &link.peer.host
            && let Some(keys) = self.by_host.get_mut(host)
        {
            keys.retain(|its| *its != key);
            if keys.is_empty() {
                self.by_host.remove(host);
            }
        }
        if let Some(timer) = link.timer {
            self.timers.remove(&(timer, key));
        }
        if link.pending.is_some() {
            self.pending -= 1;
        }
        if link.probation.is_some() {
            self.forget_stranger(link.peer.address);
        }
    }

    /// A connection from an address has done something, or is gone.
    pub(super) fn forget_stranger(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        if let Some(count) = self.strangers.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.strangers.remove(&address);
            }
        }
    }
}
