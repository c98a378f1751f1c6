//! A connection: two engines, and what may happen between them.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use postroad_amqp::v1_0::{Config, Connection, FrameTrace, Transmit};
use postroad_codec::v1_0::Direction;

use super::Trace;
use crate::{Chunks, CutIn, Rng, Wire};

/// Client and server, as indices.
pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

#[derive(Debug)]
pub(super) struct Link {
    number: usize,
    /// The client's and the server's, until their owners are done with them.
    pub(super) engines: [Option<Connection>; 2],
    /// From the client, and from the server.
    wires: [Wire; 2],
    unread: [BytesMut; 2],
    /// When an end hears that the connection is gone.
    eof_at: [Option<Instant>; 2],
    /// Whether an end has closed its socket.
    closed: [bool; 2],
    broken: bool,
    /// Whether nobody hears of it when it breaks: then silence tells.
    silent: bool,
    trace: FrameTrace,
}

impl Link {
    pub(super) fn new(number: usize, configs: [Config; 2], now: Instant) -> Self {
        let [client, server] = configs;
        let engines = [Some(Connection::client(client, None, now)), Some(Connection::server(server, None, now))];
        let mut wires = <[Wire; 2]>::default();
        wires.iter_mut().for_each(|wire| wire.latency = Duration::from_micros(500));
        Self {
            number,
            engines,
            wires,
            unread: Default::default(),
            eof_at: [None; 2],
            closed: [false; 2],
            broken: false,
            silent: false,
            trace: FrameTrace::new(number),
        }
    }

    /// Has something happen to it, sooner or later.
    pub(super) fn disturb(&mut self, now: Instant, rng: &mut Rng, trace: &mut Trace) {
        let millis = |most: usize, rng: &mut Rng| Duration::from_micros(rng.below(1000 * most + 1) as u64);
        for wire in &mut self.wires {
            wire.latency = millis(20, rng);
            if rng.one_in(2) {
                wire.jitter = Some((Rng::new(rng.next_u64()), millis(20, rng)));
            }
            if rng.one_in(4) {
                wire.bandwidth = Some(2000 + rng.below(100_000) as u32);
            }
            if rng.one_in(2) {
                wire.chunks = Chunks::Random(Rng::new(rng.next_u64()), 1 + rng.below(600));
            }
        }
        let side = rng.below(2);
        let wire = &mut self.wires[side];
        match rng.below(8) {
            0 | 1 => wire.cut_at = Some(rng.below(1 + rng.clone().below(6000)) as u64),
            2 => wire.cut_in = Some(CutIn { performative: None, after: rng.below(30), bytes: rng.below(80) }),
            // Open, begin, attach, flow, transfer, disposition, detach, end.
            3..=5 => {
                let performative = Some([0x10, 0x11, 0x12, 0x13, 0x14, 0x14, 0x15, 0x15, 0x16, 0x17][rng.below(10)]);
                wire.cut_in = Some(CutIn { performative, after: rng.below(6), bytes: rng.below(120) });
            }
            6 => {
                let from = now + millis(200, rng);
                wire.pause = Some((from, from + millis(900, rng)));
            }
            _ => {}
        }
        self.silent = rng.one_in(4);
        let Self { number, wires, silent, .. } = self;
        trace.say(|| {
            let [to_server, to_client] = wires;
            let (cuts, pauses) = ([to_server.cut_at, to_client.cut_at], [to_server.pause, to_client.pause]);
            let frames = [to_server.cut_in, to_client.cut_in];
            format!("connection {number}: cuts {cuts:?} {frames:?}, pauses {}, silent {silent}", pauses != [None; 2])
        });
    }

    /// Moves what can be moved at this time. Answers whether something was.
    pub(super) fn exchange(&mut self, now: Instant, rng: &mut Rng, trace: &mut Trace) -> bool {
        let (mut transmit, mut moved) = (Transmit::default(), false);
        for side in [CLIENT, SERVER] {
            let Some(engine) = self.engines[side].as_mut().filter(|_| !self.closed[side]) else { continue };
            engine.poll_transmit(now, &mut transmit);
            if !transmit.is_empty() && !self.broken {
                let bytes = transmit.to_vec();
                let direction = if side == CLIENT { Direction::Out } else { Direction::In };
                trace.frames(&mut self.trace, direction, &bytes);
                self.wires[side].put(now, bytes);
                moved = true;
            }
            transmit.clear();
            if engine.error().is_some() {
                self.closed[side] = true;
            }
        }
        for side in [CLIENT, SERVER] {
            let to = 1 - side;
            while !self.broken
                && let Some(piece) = self.wires[side].take(now)
            {
                moved = true;
                if let Some(engine) = self.engines[to].as_mut().filter(|_| !self.closed[to]) {
                    self.unread[to].extend_from_slice(&piece);
                    // What an engine thinks of it is in its events.
                    let _ = engine.handle_input(now, &mut self.unread[to]);
                }
            }
            if !self.broken && self.closed[side] && self.wires[side].is_empty() && self.eof_at[to].is_none() {
                self.eof_at[to] = Some(now + self.wires[side].latency);
            }
        }
        if !self.broken && self.wires.iter().any(Wire::is_cut) {
            self.broken = true;
            trace.say(|| format!("connection {} is broken", self.number));
            for at in &mut self.eof_at {
                let heard = now + Duration::from_micros(rng.below(30_000) as u64);
                *at = at.or(Some(heard).filter(|_| !self.silent));
            }
        }
        moved
    }

    /// The client closes its socket, and the server may never hear of it.
    pub(super) fn abandon(&mut self, rng: &mut Rng, now: Instant) {
        self.broken = true;
        self.eof_at[CLIENT] = Some(now);
        self.eof_at[SERVER] = (!rng.one_in(3)).then(|| now + Duration::from_micros(rng.below(100_000) as u64));
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Instant> {
        let arrivals = self.wires.iter().filter(|_| !self.broken).filter_map(Wire::next_arrival);
        let sides = [CLIENT, SERVER].into_iter().filter(|side| self.is_alive(*side));
        let timers = sides.flat_map(|side| {
            let timeout = self.engines[side].as_ref().and_then(Connection::poll_timeout);
            [timeout, self.eof_at[side]]
        });
        arrivals.chain(timers.flatten()).min()
    }

    /// Lets timers fire.
    pub(super) fn handle_timeouts(&mut self, now: Instant) {
        for side in [CLIENT, SERVER] {
            let alive = self.is_alive(side);
            let Some(engine) = self.engines[side].as_mut().filter(|_| alive) else { continue };
            if engine.poll_timeout().is_some_and(|at| at <= now) {
                engine.handle_timeout(now);
            }
            if self.eof_at[side].is_some_and(|at| at <= now) {
                engine.handle_eof();
            }
        }
    }

    /// Whether an end still has its socket.
    pub(super) fn is_alive(&self, side: usize) -> bool {
        self.engines[side].as_ref().is_some_and(|engine| engine.error().is_none())
    }
}
