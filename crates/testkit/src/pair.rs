//! Two engines, one clock, and a wire each way.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use postroad_amqp::v1_0::{Config, Connection, Event, LinkId, LinkTerms, SessionId, Transmit};
use postroad_codec::v1_0::Role;

use crate::{Chunks, Rng, Wire};

/// Which engine of a [`Pair`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that connected.
    Client,
    /// The one that was connected to.
    Server,
}

/// A client and a server that talk to each other in virtual time.
///
/// ```
/// use postroad_amqp::v1_0::{Config, Event};
/// use postroad_testkit::{Chunks, Pair, Side};
///
/// let mut pair = Pair::new(Config::new("client"), Config::new("server"));
/// pair.to_server.chunks = Chunks::Fixed(1);
/// pair.run();
/// assert_eq!(pair.events(Side::Client), [Event::Opened]);
/// assert_eq!(pair.events(Side::Server), [Event::Opened]);
/// ```
#[derive(Debug)]
pub struct Pair {
    /// The engine that connected.
    pub client: Connection,
    /// The engine that was connected to.
    pub server: Connection,
    /// From client to server.
    pub to_server: Wire,
    /// From server to client.
    pub to_client: Wire,
    /// The time, which moves as far as bytes need to arrive, and when it is told.
    pub now: Instant,
    unread: [BytesMut; 2],
    broken: bool,
}

impl Pair {
    /// Two engines without SASL.
    #[must_use]
    pub fn new(client: Config, server: Config) -> Self {
        let now = Instant::now();
        Self::of(Connection::client(client, None, now), Connection::server(server, None, now), now)
    }

    /// Two engines that were made at `now`.
    #[must_use]
    pub fn of(client: Connection, server: Connection, now: Instant) -> Self {
        let (to_server, to_client) = (Wire::default(), Wire::default());
        Self { client, server, to_server, to_client, now, unread: Default::default(), broken: false }
    }

    /// Two engines where bytes arrive in pieces that `seed` fixes.
    #[must_use]
    pub fn in_pieces(client: Config, server: Config, seed: u64) -> Self {
        let mut pair = Self::new(client, server);
        pair.to_server.chunks = Chunks::Random(Rng::new(seed), 300);
        pair.to_client.chunks = Chunks::Random(Rng::new(!seed), 300);
        pair
    }

    /// Lets bytes flow until nothing is on its way that is not stalled. Timers do not fire, whatever
    /// the latency.
    pub fn run(&mut self) -> &mut Self {
        loop {
            self.exchange();
            let next = [self.to_server.next_arrival(), self.to_client.next_arrival()].into_iter().flatten().min();
            match next {
                Some(at) if !self.broken => self.now = self.now.max(at),
                _ => return self,
            }
        }
    }

    /// Lets time pass: bytes arrive and timers fire when they are due.
    ///
    /// # Panics
    /// When an engine asks to be woken over and over at one time.
    pub fn advance(&mut self, duration: Duration) -> &mut Self {
        let end = self.now + duration;
        let mut still = 0;
        loop {
            self.exchange();
            let next = [
                self.to_server.next_arrival().filter(|_| !self.broken),
                self.to_client.next_arrival().filter(|_| !self.broken),
                self.client.poll_timeout(),
                self.server.poll_timeout(),
            ];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else { break };
            still = if at > self.now { 0 } else { still + 1 };
            assert!(still < 10, "an engine is never content");
            self.now = self.now.max(at);
            for engine in [&mut self.client, &mut self.server] {
                if engine.poll_timeout().is_some_and(|at| at <= self.now) {
                    engine.handle_timeout(self.now);
                }
            }
        }
        self.now = end;
        self
    }

    /// An engine.
    pub fn engine(&mut self, side: Side) -> &mut Connection {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Every event of a side that has not been seen.
    pub fn events(&mut self, side: Side) -> Vec<Event> {
        let engine = self.engine(side);
        std::iter::from_fn(|| engine.poll_event()).collect()
    }

    /// Opens the connection and begins a session from the client; gives the client's and the server's.
    ///
    /// # Panics
    /// When that does not work.
    #[track_caller]
    pub fn session(&mut self) -> (SessionId, SessionId) {
        let ours = self.client.begin().expect("a channel is free");
        self.run();
        let theirs = self.events(Side::Server).into_iter().find_map(|event| match event {
            Event::SessionIncoming(session) => Some(session),
            _ => None,
        });
        assert!(self.events(Side::Client).contains(&Event::SessionBegun(ours)));
        (ours, theirs.expect("the server hears of the session"))
    }

    /// Attaches a link on a client's session, in the role of the client, and has the server accept it;
    /// gives the client's and the server's.
    ///
    /// # Panics
    /// When that does not work.
    #[track_caller]
    pub fn link(&mut self, session: SessionId, name: &str, role: Role) -> (LinkId, LinkId) {
        self.link_with(session, name, role, LinkTerms::default(), LinkTerms::default())
    }

    /// As [`link`](Self::link), with terms.
    ///
    /// # Panics
    /// When that does not work.
    #[track_caller]
    pub fn link_with(
        &mut self,
        session: SessionId,
        name: &str,
        role: Role,
        client: LinkTerms,
        server: LinkTerms,
    ) -> (LinkId, LinkId) {
        let ours = self.client.attach(session, name, role, client).expect("the link can be attached");
        self.run();
        let theirs = self.events(Side::Server).into_iter().find_map(|event| match event {
            Event::LinkIncoming(link) => Some(link),
            _ => None,
        });
        let theirs = theirs.expect("the server hears of the link");
        self.server.accept(theirs, server).expect("the link can be accepted");
        self.run();
        assert!(self.events(Side::Client).contains(&Event::LinkAttached(ours)));
        (ours, theirs)
    }

    /// Moves what can be moved at this time.
    fn exchange(&mut self) {
        let mut transmit = Transmit::default();
        loop {
            let mut moved = false;
            for (engine, wire) in [(&mut self.client, &mut self.to_server), (&mut self.server, &mut self.to_client)] {
                if !wire.stalled {
                    engine.poll_transmit(self.now, &mut transmit);
                    wire.put(self.now, transmit.to_vec());
                    transmit.clear();
                }
            }
            let [to_server, to_client] = &mut self.unread;
            for (engine, wire, unread) in
                [(&mut self.server, &mut self.to_server, to_server), (&mut self.client, &mut self.to_client, to_client)]
            {
                if let Some(piece) = wire.take(self.now).filter(|_| !self.broken) {
                    moved = true;
                    unread.extend_from_slice(&piece);
                    // What an engine thinks of it is in its events.
                    let _ = engine.handle_input(self.now, unread);
                }
            }
            if !self.broken && (self.to_server.is_cut() || self.to_client.is_cut()) {
                self.broken = true;
                self.client.handle_eof();
                self.server.handle_eof();
            }
            if !moved {
                return;
            }
        }
    }
}
