//! The world of a run: a clock, connections one after another, a client that keeps its links across them, and a server
//! that keeps its side of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::{Config, Connection, Event, SessionId};
use postroad_codec::v1_0::{DeliveryNumber, Error, ErrorCondition, Role, TransferNumber};

use super::endpoint::{Endpoint, Habits, Life, Scene};
use super::ledger::Ledger;
use super::network::{self, CLIENT, SERVER};
use super::{Guarantee, Stats, Trace};
use crate::Rng;

/// Virtual time within which a run without faults must be over.
const PATIENCE: Duration = Duration::from_secs(120);
/// Virtual time within which a run must be over in any case; those with most faults take some seconds.
const LONGEST: Duration = Duration::from_secs(3600);
/// How often something may move while the clock stands: two engines that answer each other for ever are told, and do not hang.
const MOVES: usize = 100_000;

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) connections: BTreeMap<usize, network::Link>,
    next_connection: usize,
    /// The client's connection, and the one whose engine still holds its links.
    pub(super) current: Option<usize>,
    pub(super) opened: bool,
    pub(super) carrier: Option<usize>,
    /// When the client connects again.
    pub(super) connect_at: Instant,
    /// The client's sessions on its connection.
    pub(super) sessions: Vec<Option<SessionId>>,
    pub(super) links: Vec<Link>,
    pub(super) plan: Plan,
    /// When users act next.
    act_at: Instant,
    pub(super) trace: Trace,
    pub(super) stats: Stats,
}

/// What a run is like.
#[derive(Debug)]
pub(super) struct Plan {
    /// Connections that are disturbed.
    faults: usize,
    /// How long a server keeps what it knows of a link that is not attached.
    pub(super) expiry: Duration,
    frame_sizes: [u32; 2],
    windows: [u32; 2],
    idle: Duration,
    first_delivery: u32,
}

/// A link, and what became of its messages.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) session: usize,
    pub(super) ends: [Endpoint; 2],
    pub(super) ledger: Ledger,
}

impl World {
    pub(super) fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let now = Instant::now();
        let plan = Plan {
            faults: rng.below(7),
            expiry: Duration::from_millis([300, 3000, 60_000, 60_000][rng.below(4)]),
            frame_sizes: [0; 2].map(|_| [512, 512, 700, 4096][rng.below(4)]),
            windows: [0; 2].map(|_| [1, 3, 10, 1000][rng.below(4)]),
            idle: Duration::from_millis(300 + rng.below(700) as u64),
            first_delivery: if rng.one_in(2) { 0 } else { u32::MAX - rng.below(6) as u32 },
        };
        let sessions = 1 + rng.below(2);
        let links = (0..=rng.below(3)).map(|index| Link::new(index, sessions, now, &mut rng)).collect();
        let mut trace = Trace::new(trace, now);
        trace.say(|| format!("{plan:?}"));
        Self {
            rng,
            now,
            connections: BTreeMap::new(),
            next_connection: 0,
            current: None,
            opened: false,
            carrier: None,
            connect_at: now,
            sessions: vec![None; sessions],
            links,
            plan,
            act_at: now,
            trace,
            stats: Stats::default(),
        }
    }

    /// Whether nothing is disturbed any more.
    pub(super) fn is_calm(&self) -> bool {
        self.next_connection > self.plan.faults
    }

    pub(super) fn run(&mut self) {
        let mut calm_since = None;
        while !self.is_calm() || !self.is_done() {
            self.step();
            assert!(self.trace.elapsed() < LONGEST, "it never comes to its last connection");
            if self.is_calm() {
                let since = *calm_since.get_or_insert(self.now);
                if self.now - since > PATIENCE {
                    let ends = self.links.iter().flat_map(|link| link.ends.iter().map(|end| (&link.name, end)));
                    let left: Vec<_> =
                        ends.filter(|(_, end)| !end.is_idle()).map(|(name, end)| end.summary(name)).collect();
                    panic!("it never ends: {left:#?}");
                }
            }
        }
        for link in &self.links {
            link.ledger.check(&link.name);
        }
        self.close();
    }

    fn is_done(&self) -> bool {
        let on = |end: &Endpoint| self.current.is_some_and(|number| end.on(number).is_some());
        let attached = |link: &Link| link.ends.iter().all(on);
        self.links.iter().all(|link| attached(link) && link.ends.iter().all(Endpoint::is_idle))
    }

    /// Everything that happens until the next thing is due.
    fn step(&mut self) {
        if self.current.is_none() && self.connect_at <= self.now {
            self.connect();
        }
        let mut moves = 0;
        loop {
            let mut moved = false;
            for connection in self.connections.values_mut() {
                moved |= connection.exchange(self.now, &mut self.rng, &mut self.trace);
            }
            moved |= self.handle_events();
            if !moved {
                break;
            }
            moves += 1;
            assert!(moves < MOVES, "the engines never come to rest");
        }
        if self.act_at <= self.now {
            self.act();
            // While nobody is connected there is little to do.
            let pause = if self.opened { 15_000 } else { 60_000 };
            self.act_at = self.now + Duration::from_micros(500 + self.rng.below(pause) as u64);
            return;
        }
        let next = self.connections.values().filter_map(network::Link::next).min();
        let next = next.map_or(self.act_at, |next| next.min(self.act_at));
        self.now = self.now.max(next);
        self.trace.now = self.now;
        for connection in self.connections.values_mut() {
            connection.handle_timeouts(self.now);
        }
    }

    fn config(&self, side: usize) -> Config {
        let mut config = Config::new(["client", "server"][side]);
        config.max_frame_size = self.plan.frame_sizes[side];
        config.incoming_window = self.plan.windows[side];
        config.idle_timeout = Some(self.plan.idle);
        config.handshake_timeout = Some(self.plan.idle);
        config.initial_delivery_id = DeliveryNumber(self.plan.first_delivery);
        config.initial_outgoing_id = TransferNumber(self.plan.first_delivery);
        config
    }

    fn connect(&mut self) {
        let number = self.next_connection;
        self.trace.say(|| format!("the client connects: {number}"));
        let mut connection = network::Link::new(number, [self.config(CLIENT), self.config(SERVER)], self.now);
        if number < self.plan.faults {
            connection.disturb(self.now, &mut self.rng, &mut self.trace);
        }
        self.connections.insert(number, connection);
        self.next_connection += 1;
        self.stats.connections += 1;
        (self.current, self.opened) = (Some(number), false);
        self.sessions.fill(None);
    }

    fn handle_events(&mut self) -> bool {
        let mut some = false;
        for number in self.connections.keys().copied().collect::<Vec<_>>() {
            for side in [CLIENT, SERVER] {
                while let Some(event) = self.engine(number, side).and_then(Connection::poll_event) {
                    some = true;
                    self.handle(number, side, event);
                }
            }
        }
        self.connections.retain(|_, connection| connection.engines.iter().any(Option::is_some));
        some
    }

    pub(super) fn engine(&mut self, number: usize, side: usize) -> Option<&mut Connection> {
        self.connections.get_mut(&number)?.engines[side].as_mut()
    }

    pub(super) fn handle(&mut self, number: usize, side: usize, event: Event) {
        let named = match &event {
            Event::LinkDetached { link, .. }
            | Event::Resumed { link, .. }
            | Event::Reassociated { link, .. }
            | Event::SettledBySender { link, .. }
            | Event::InDoubt { link, .. } => Some(*link),
            Event::Update(update) => Some(update.link),
            _ => None,
        };
        if named.is_some() {
            self.trace.say(|| format!("{} {number}: {event:?}", ["client", "server"][side]));
        }
        let index = named.and_then(|link| self.links.iter().position(|one| one.ends[side].on(number) == Some(link)));
        match event {
            Event::Opened if side == CLIENT => self.take_over(number),
            Event::Closed(error) => {
                self.trace.say(|| format!("{} {number}: over, {error}", ["client", "server"][side]));
                if side == CLIENT { self.lost(number) } else { self.suspend_all(number, None) }
            }
            Event::SessionEnded { session, .. } if side == SERVER => self.suspend_all(number, Some(session)),
            Event::SessionEnded { session, .. } => {
                for slot in self.sessions.iter_mut().filter(|slot| **slot == Some(session)) {
                    *slot = None;
                }
                self.release_client(number, Some(session));
            }
            Event::LinkIncoming(link) => self.incoming(number, link),
            Event::LinkDetached { closed, .. } => {
                let Some(index) = index else { return };
                if side == CLIENT { self.client_detached(number, index, closed) } else { self.suspend(index, closed) }
            }
            event => {
                let Some(index) = index else {
                    let last_word = matches!(event, Event::Update(_) | Event::InDoubt { .. });
                    assert!(!last_word, "{event:?} of a link that nobody has");
                    return;
                };
                self.stats.count(&event);
                let link = &mut self.links[index];
                link.ends[side].handle(event, self.now, &mut link.ledger, &mut self.rng);
            }
        }
    }

    fn act(&mut self) {
        self.expire();
        self.attach_links();
        let calm = self.is_calm();
        for link in &mut self.links {
            for side in [CLIENT, SERVER] {
                let end = &mut link.ends[side];
                let engine = match end.life {
                    Life::Live(number, ..) => {
                        self.connections.get_mut(&number).and_then(|one| one.engines[side].as_mut())
                    }
                    _ => None,
                };
                let (rng, trace) = (&mut self.rng, &mut self.trace);
                end.act(engine, &mut Scene { calm, now: self.now, ledger: &mut link.ledger, rng, trace });
            }
        }
        if !calm {
            self.meddle();
        }
    }

    /// Somebody detaches a link, ends a session, or closes the connection.
    fn meddle(&mut self) {
        for index in 0..self.links.len() {
            for side in [CLIENT, SERVER] {
                if !self.rng.one_in(80) {
                    continue;
                }
                let Life::Live(number, _, id) = self.links[index].ends[side].life else { continue };
                let (closed, error) = (self.rng.one_in(4), self.error(side));
                let Some(engine) = self.engine(number, side).filter(|engine| engine.is_attached(id)) else { continue };
                engine.detach(id, closed, error);
                self.trace.say(|| format!("{} detaches link {index}, for good: {closed}", ["client", "server"][side]));
                self.links[index].ends[side].closing |= closed;
            }
        }
        let Some(number) = self.current else { return };
        let side = self.rng.below(2);
        let error = self.error(side);
        match self.rng.below(400) {
            0 | 1 => {
                let Some(engine) = self.engine(number, side) else { return };
                let Some(session) = engine.sessions().next() else { return };
                engine.end(session, error);
                self.trace.say(|| format!("{} ends a session", ["client", "server"][side]));
            }
            2 | 3 => {
                if let Some(engine) = self.engine(number, side) {
                    engine.close(error);
                }
            }
            4 | 5 => {
                let connection = self.connections.get_mut(&number).expect("the client has it");
                connection.abandon(&mut self.rng, self.now);
            }
            _ => {}
        }
    }

    /// Why somebody ends something.
    fn error(&mut self, side: usize) -> Option<Error> {
        let conditions = [
            ErrorCondition::INTERNAL_ERROR,
            ErrorCondition::RESOURCE_DELETED,
            ErrorCondition::DETACH_FORCED,
            ErrorCondition::CONNECTION_FORCED,
        ];
        let condition = conditions[self.rng.below(conditions.len())].clone();
        (side == SERVER || self.rng.one_in(2)).then(|| Error::new(condition, "because"))
    }

    /// Ends everything in order: nothing is left.
    fn close(&mut self) {
        let Some(number) = self.current else { return };
        for link in &mut self.links {
            if let Some(id) = link.ends[CLIENT].on(number) {
                link.ends[CLIENT].closing = true;
                let engine = self.connections.get_mut(&number).and_then(|one| one.engines[CLIENT].as_mut());
                engine.expect("it has the link").detach(id, true, None);
            }
            // Not to be attached again.
            link.ends[CLIENT].at = self.now + 2 * PATIENCE;
        }
        let end = self.now + Duration::from_secs(5);
        while self.now < end && self.links.iter().any(|link| matches!(link.ends[CLIENT].life, Life::Live(..))) {
            self.step();
        }
        for (index, link) in self.links.iter().enumerate() {
            for end in &link.ends {
                match &end.life {
                    Life::None => {}
                    Life::Live(..) => panic!("link {index} is not closed"),
                    Life::Kept(state) => assert_eq!(state.unsettled, [], "link {index}"),
                }
            }
        }
        let sessions: Vec<_> = self.sessions.iter().flatten().copied().collect();
        let engine = self.engine(number, CLIENT).expect("it is open");
        sessions.iter().for_each(|session| engine.end(*session, None));
        let end = self.now + Duration::from_secs(5);
        let left = |connection: &network::Link| {
            let engines = connection.engines.iter().flatten();
            engines.map(|engine| engine.sessions().count()).sum::<usize>()
        };
        // The client begins them again where it is asked to act.
        self.act_at = end + Duration::from_secs(1);
        while self.now < end && left(&self.connections[&number]) > 0 {
            self.step();
        }
        assert_eq!(left(&self.connections[&number]), 0, "sessions are left");
        assert_eq!(self.connections[&number].engines.iter().flatten().filter_map(Connection::error).count(), 0);
    }
}

impl Link {
    fn new(index: usize, sessions: usize, now: Instant, rng: &mut Rng) -> Self {
        let guarantee = [
            Guarantee::AtMostOnce,
            Guarantee::AtLeastOnce,
            Guarantee::AtLeastOnce,
            Guarantee::ExactlyOnce,
            Guarantee::ExactlyOnce,
            Guarantee::ExactlyOnce,
        ][rng.below(6)];
        let client_sends = rng.one_in(2);
        // So much is unsettled for so long that it does not fit into an attach.
        let hoards = guarantee == Guarantee::ExactlyOnce && rng.one_in(8);
        let count = if hoards || rng.one_in(6) { 20 + rng.below(50) } else { 1 + rng.below(12) };
        let long_tags = hoards || rng.one_in(3);
        let sizes: Vec<_> = (0..count).map(|_| [0, 10, 40, 400, 700, 1600, 3000][rng.below(7)]).collect();
        let auto_settle = [0; 2].map(|_| guarantee != Guarantee::ExactlyOnce || rng.one_in(2));
        // Until the sender has settled, its outcome may differ from the receiver's: then the sender's counts.
        let fickle = !auto_settle[usize::from(!client_sends)] && rng.one_in(2);
        let ledger = Ledger::new(guarantee, !client_sends, fickle, sizes.into_iter());
        let role = if client_sends { Role::Sender } else { Role::Receiver };
        let mut ends =
            [(role, auto_settle[CLIENT]), (role.opposite(), auto_settle[SERVER])].map(|(role, auto_settle)| {
                let habits = Habits {
                    auto_settle,
                    fickle,
                    in_parts: role == Role::Receiver && rng.one_in(3),
                    long_tags,
                    patience: if hoards { 1000 } else { [0, 30, 300][rng.below(3)] },
                    credit: if hoards { 40 } else { [1, 4, 30][rng.below(3)] },
                };
                Endpoint::new(role, guarantee, habits, now)
            });
        ends[usize::from(!client_sends)].queue = (0..count).collect();
        Self { name: format!("link-{index}"), session: index % sessions, ends, ledger }
    }
}
