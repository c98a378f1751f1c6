//! A relay (RFC 4976) over many connections, without input and output: it lets clients in, gives them URIs, and forwards what
//! comes for them and from them.
//!
//! Deterministic; no sockets, no clock, no random numbers of its own. A driver accepts connections and tells of each by
//! [`connection_opened`](Relay::connection_opened), makes those that [`Event::Connect`] asks for, hands what it has read to
//! [`handle_input`](Relay::handle_input), writes what [`poll_transmit`](Relay::poll_transmit) gives and says with
//! [`handle_sent`](Relay::handle_sent) how much of it the transport took. It reads from a connection only while that
//! [`is_hungry`](Relay::is_hungry). After each call it takes the events of [`poll_event`](Relay::poll_event), and looks again after
//! the connections that [`poll_ready`](Relay::poll_ready) names: what comes over one leaves over another. At
//! [`poll_timeout`](Relay::poll_timeout) it calls [`handle_timeout`](Relay::handle_timeout).
//!
//! # Who is forwarded
//!
//! A request is forwarded only where its `To-Path` begins with a URI that a client was given in answer to `AUTH` and that still
//! lasts: over the client's own connection, whatever else the path says; or, when it comes over that connection, to the next URI,
//! for which the same holds where it is the relay's too (RFC 4976 6.4, 9.4). So nobody reaches anything over the relay but
//! clients whose secret URIs they know, unless they are clients themselves.
//!
//! # Memory, and who waits for whom
//!
//! Chunks are not collected. What comes of one leaves in pieces, each a whole chunk, in turn with the pieces of other messages;
//! pieces of one message leave in the order in which they came. Of a next hop that does not read, at most
//! [`RelayConfig::queue`] octets wait, and what each connection that sends to it has brought by one read: these connections
//! are not hungry meanwhile. (Four times as many may come from one whose own responses are waited for, or else two clients that
//! send much to each other would wait for each other.) Others are not affected, but for one case that cannot be helped: a connection from another relay
//! carries messages for many, and is not read from as a whole. After [`RelayConfig::stall_timeout`] the next hop is given up and
//! what waited is reported as failed.
//!
//! ```
//! use std::time::Instant;
//!
//! use bytes::Bytes;
//! use postroad_msrp::Host;
//! use postroad_msrp::digest::{Ha1, Verifier};
//! use postroad_msrp::relay::{Origin, Peer, Relay, RelayConfig};
//!
//! let now = Instant::now();
//! let verifier = Verifier::new("example.com", [7; 32], now)?; // 32 random octets
//! let users = |user: &str, algorithm| {
//!     (user == "alice").then(|| Ha1::from_password(algorithm, "alice", "example.com", "wonderland"))
//! };
//! let random = |octets: &mut [u8]| octets.fill(4); // from the operating system, in earnest
//! let mut relay = Relay::new(RelayConfig::new(Host::name("relay.example.com")?), verifier, users, random);
//!
//! let alice = relay.connection_opened(Origin::Accepted, Peer::new(true), now)?;
//! relay.handle_input(alice, Bytes::from_static(b"\
//!     MSRP 49fh AUTH\r\n\
//!     To-Path: msrps://alice@relay.example.com;tcp\r\n\
//!     From-Path: msrps://alice.example.com:9892/98cjs;tcp\r\n\
//!     -------49fh$\r\n"), now);
//! let mut out = Default::default();
//! let length = relay.poll_transmit(alice, now, &mut out);
//! relay.handle_sent(alice, length, now);
//! assert!(out[0].starts_with(b"MSRP 49fh 401 Unauthorized\r\n"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;

use crate::digest::{Users, Verifier};
use crate::engine::keys::Arena;
use crate::engine::sender::Random;
use crate::{Host, Uri};

mod auth;
mod closing;
mod config;
mod event;
mod incoming;
mod link;
mod queue;
mod responses;
mod route;
#[cfg(test)]
mod tests;
mod timing;
mod token;
mod transaction;

pub use config::RelayConfig;
pub use event::{CloseReason, ConnectionKey, Event, OpenError, Origin, Peer};
pub use incoming::MAX_REQUEST;
pub use token::MAX_PEERS;

use link::Link;
use queue::Queue;
use token::Tokens;

/// A relay, with all its connections.
#[derive(Debug)]
pub struct Relay {
    config: RelayConfig,
    verifier: Verifier,
    users: Known,
    random: Random,
    links: Arena<Link>,
    tokens: Tokens,
    /// The connections that the relay has made, or asked for, by where they lead to.
    by_place: HashMap<Uri, ConnectionKey>,
    /// The connections that other relays have made, by the host that they have proved to be.
    by_host: HashMap<Host, Vec<ConnectionKey>>,
    /// How many connections from an address have done nothing yet.
    strangers: HashMap<IpAddr, usize>,
    /// Connections that are being made.
    pending: usize,
    /// Octets in all queues.
    queued: usize,
    timers: BTreeSet<(Instant, ConnectionKey)>,
    /// Connections that something has happened to in this call.
    touched: Vec<ConnectionKey>,
    /// Connections that may be read from again.
    freed: VecDeque<ConnectionKey>,
    ready: VecDeque<ConnectionKey>,
    events: VecDeque<Event>,
}

/// Who the users are.
struct Known(Box<dyn Users + Send>);

impl Relay {
    /// A relay. `users` are those of the verifier's realm, and `random` fills octets with numbers that nobody can guess: URIs and
    /// transactions are named by them.
    #[must_use]
    pub fn new(
        config: RelayConfig,
        verifier: Verifier,
        users: impl Users + Send + 'static,
        random: impl FnMut(&mut [u8]) + Send + 'static,
    ) -> Self {
        Self {
            config,
            verifier,
            users: Known(Box::new(users)),
            random: Random(Box::new(random)),
            links: Arena::default(),
            tokens: Tokens::default(),
            by_place: HashMap::new(),
            by_host: HashMap::new(),
            strangers: HashMap::new(),
            pending: 0,
            queued: 0,
            timers: BTreeSet::new(),
            touched: Vec::new(),
            freed: VecDeque::new(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A connection is made: by a peer, or because the relay has asked for it. Over TLS, the handshake is over.
    ///
    /// # Errors
    /// The relay does not take it; it is to be closed.
    pub fn connection_opened(&mut self, origin: Origin, peer: Peer, now: Instant) -> Result<ConnectionKey, OpenError> {
        let key = match origin {
            Origin::Asked(key) => {
                let link = self.links.get_mut(key.slot()).filter(|link| link.pending.is_some());
                let link = link.ok_or(OpenError::NotAsked)?;
                if !peer.is_tls && link.place.as_ref().is_some_and(|(place, _)| place.is_secure()) {
                    return Err(OpenError::NotTls);
                }
                link.opened(peer, now);
                self.pending -= 1;
                key
            }
            Origin::Accepted => {
                if self.links.len() >= self.config.connections {
                    return Err(OpenError::Full);
                }
                if let Some(address) = peer.address {
                    let count = self.strangers.entry(address).or_default();
                    if *count >= self.config.strangers {
                        return Err(OpenError::Strangers);
                    }
                    *count += 1;
                }
                let host = peer.host.clone();
                let (index, serial) = self.links.insert(Link::new(peer, &self.config, now));
                let key = ConnectionKey { index, serial };
                if let Some(host) = host {
                    self.by_host.entry(host).or_default().push(key);
                }
                key
            }
        };
        self.touch(key);
        self.settle(now);
        Ok(key)
    }

    /// A connection that the relay has asked for cannot be made.
    pub fn connection_failed(&mut self, key: ConnectionKey, now: Instant) {
        if self.links.get(key.slot()).is_some_and(|link| link.pending.is_some()) {
            self.close(key, CloseReason::Unreachable);
        }
        self.settle(now);
    }

    /// Takes what has come over a connection. To be called only while it [`is_hungry`](Self::is_hungry).
    pub fn handle_input(&mut self, key: ConnectionKey, octets: Bytes, now: Instant) {
        let Some(link) = self.links.get_mut(key.slot()).filter(|link| link.pending.is_none()) else { return };
        link.timing.input(octets.len(), now);
        link.used = now;
        link.read = octets.len();
        if link.probation.is_some() {
            link.unproven += octets.len();
        }
        link.parser.push(octets);
        self.read(key, now);
        self.settle(now);
    }

    /// A connection has ended, or its transport has failed.
    pub fn handle_eof(&mut self, key: ConnectionKey, now: Instant) {
        self.close(key, CloseReason::Peer);
        self.settle(now);
    }

    /// Ends a connection.
    pub fn close_connection(&mut self, key: ConnectionKey, now: Instant) {
        self.close(key, CloseReason::Local);
        self.settle(now);
    }

    /// Takes out what is to be written to a connection: how many octets. Over a transport that carries each frame by itself, it
    /// is one frame; more may follow at once.
    pub fn poll_transmit(&mut self, key: ConnectionKey, now: Instant, into: &mut VecDeque<Bytes>) -> usize {
        let Some(link) = self.links.get_mut(key.slot()) else { return 0 };
        let before = link.queue.octets();
        link.fill(&self.config, &mut self.random);
        let octets = link.outbox.take(into);
        self.queued -= before - link.queue.octets();
        if link.is_waiting(&self.config)
            && let Some(dest) = link.blocked
        {
            self.go_on(key, dest);
        }
        self.release(key);
        // Not touched: who asks need not be told to.
        self.arm(key, now);
        self.settle(now);
        octets
    }

    /// The transport has taken so many octets of what was to be written. There may be more to write then.
    pub fn handle_sent(&mut self, key: ConnectionKey, octets: usize, now: Instant) {
        let Some(link) = self.links.get_mut(key.slot()) else { return };
        let paused = link.is_paused(&self.config);
        link.sent(octets, &self.config, now);
        if paused && !link.is_paused(&self.config) {
            self.freed.push_back(key);
        }
        self.arm(key, now);
        self.settle(now);
    }

    /// Whether more is to be read from a connection.
    #[must_use]
    pub fn is_hungry(&self, key: ConnectionKey) -> bool {
        self.links.get(key.slot()).is_some_and(|link| !link.is_paused(&self.config))
    }

    /// What happens next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns a connection that may have something to write, or be hungry again: each once after something has happened to it.
    pub fn poll_ready(&mut self) -> Option<ConnectionKey> {
        while let Some(key) = self.ready.pop_front() {
            if let Some(link) = self.links.get_mut(key.slot()) {
                link.ready = false;
                return Some(key);
            }
        }
        None
    }

    /// Connections, those that are being made counted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.links.len()
    }

    /// URIs that clients have.
    #[must_use]
    pub fn uris(&self) -> usize {
        self.tokens.len()
    }

    /// Octets that wait for next hops, without what was put out already.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.queued
    }

    /// How much may wait for one next hop.
    fn limit(&self) -> usize {
        let RelayConfig { queue, queues, .. } = self.config;
        if self.queued < queues { queue } else { queue / 16 }
    }

    /// Something has happened to a connection.
    fn touch(&mut self, key: ConnectionKey) {
        if let Some(link) = self.links.get_mut(key.slot())
            && !std::mem::replace(&mut link.touched, true)
        {
            self.touched.push(key);
        }
    }

    /// Does something with a queue, and counts what waits.
    fn with_queue<T>(&mut self, key: ConnectionKey, change: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        let link = self.links.get_mut(key.slot())?;
        let before = link.queue.octets();
        let made = change(&mut link.queue);
        self.queued = self.queued - before + link.queue.octets();
        self.release(key);
        self.touch(key);
        Some(made)
    }

    /// Has those be read from again who were not because too much waited here.
    fn release(&mut self, key: ConnectionKey) {
        let limit = self.limit();
        let Some(link) = self.links.get_mut(key.slot()) else { return };
        // Where nothing can leave, nobody is waited for but those who would have to send more.
        if link.queue.octets() < limit / 2 || link.queue.is_idle() {
            self.freed.extend(link.feeders.drain(..));
        }
    }

    /// Has a connection be read from whose responses are behind what it is not read for.
    fn go_on(&mut self, key: ConnectionKey, dest: ConnectionKey) {
        let most = 4 * self.limit();
        if let Some(to) = self.links.get_mut(dest.slot())
            && to.queue.octets() < most
        {
            to.feeders.retain(|feeder| *feeder != key);
            self.freed.push_back(key);
        }
    }

    /// Does what came of a call beside what it was for.
    fn settle(&mut self, now: Instant) {
        while let Some(key) = self.freed.pop_front() {
            let Some(link) = self.links.get_mut(key.slot()) else { continue };
            link.blocked = None;
            // The time in which it was not read is not its peer's.
            link.timing.input(0, now);
            self.read(key, now);
        }
        while let Some(key) = self.touched.pop() {
            self.arm(key, now);
            let Some(link) = self.links.get_mut(key.slot()) else { continue };
            link.touched = false;
            if !std::mem::replace(&mut link.ready, true) {
                self.ready.push_back(key);
            }
        }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Users")
    }
}
