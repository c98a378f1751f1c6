//! One direction of one connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use postroad_codec::v1_0::{FrameHeader, ProtocolHeader};

use super::{At, Direction, Ending, Fault, Faults, FrameKind, Part, Place, Plan, Point, Random, Rule};
use crate::Rng;

/// What is to be done next in a direction, before anything else is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Pass these bytes on.
    Deliver(Bytes),
    /// Pass nothing on for so long.
    Wait(Duration),
    /// Pass nothing on any more, and end nothing.
    Stall,
    /// End the connection.
    Cut(Cut),
}

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// In which way.
    pub ending: Ending,
    /// Whether what the other direction has on its way is still passed on, without further faults.
    pub other_arrives: bool,
}

/// One direction of a connection: bytes that have been read and not passed on, and where they stand among frames.
#[derive(Debug)]
pub struct Lane {
    connection: u64,
    direction: Direction,
    held: BytesMut,
    /// Bytes that have been passed on.
    passed: u64,
    /// The frame that is passed on, or was last.
    frame: Seen,
    /// Whether the bytes are no frames, from here on.
    opaque: bool,
    /// Whether no more bytes will come.
    ended: bool,
    over: bool,
    stalled: bool,
    /// Faults of the plan whose place is known, by the number of bytes before them.
    due: Vec<(u64, Fault)>,
    /// How many frames each rule of the plan has counted.
    counts: Vec<u64>,
    generation: u64,
    rng: Rng,
    random_at: Option<u64>,
    /// Bits that are turned over in the next byte.
    flip: u8,
}

/// A frame by the bytes before and behind it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    kind: FrameKind,
    start: u64,
    end: u64,
}

/// Bytes of a frame that are held until all of them are here. What a larger one is, is told from as many.
const HOLD: usize = 64 * 1024;

impl Lane {
    pub(super) fn new(connection: u64, direction: Direction, plan: &Plan, generation: u64) -> Self {
        let mut lane = Self {
            connection,
            direction,
            held: BytesMut::new(),
            passed: 0,
            frame: Seen { kind: FrameKind::Bytes, start: 0, end: 0 },
            opaque: false,
            ended: false,
            over: false,
            stalled: false,
            due: Vec::new(),
            counts: Vec::new(),
            generation,
            rng: Rng::new(0),
            random_at: None,
            flip: 0,
        };
        lane.follow(plan);
        lane
    }

    /// Which way its bytes go.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Takes bytes that were read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Takes the end of the stream: nothing waits for the rest of a frame any more.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the end of the stream was taken.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing more is passed on though the connection is there: not when it is cut, either.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// What was read and not passed on, given up.
    #[must_use]
    pub fn rest(&mut self) -> Bytes {
        self.over = true;
        self.held.split().freeze()
    }

    pub(super) fn next(&mut self, faults: &mut Faults) -> Option<Action> {
        if self.over {
            return None;
        }
        if self.generation != faults.generation {
            self.generation = faults.generation;
            self.follow(&faults.plan);
        }
        let mut go = 0;
        loop {
            let at = self.passed + go as u64;
            if self.is_due(at, faults) {
                if go > 0 {
                    break;
                }
                return Some(self.fire(faults));
            }
            if at == self.frame.end && !self.look(go, faults) {
                break;
            }
            let most = ((self.held.len() - go) as u64).min(self.frame.end - at);
            let step = self.next_stop(at, faults).map_or(most, |stop| most.min(stop - at));
            if step == 0 {
                // Either the frame needs more bytes, or what was just seen makes a fault due here.
                if most == 0 {
                    break;
                }
                continue;
            }
            go += step as usize;
            for armed in faults.armed.iter_mut().filter(|armed| armed.rule.concerns(self.connection, self.direction)) {
                if let At::Byte(_) = armed.rule.at {
                    armed.left = armed.left.saturating_sub(step);
                }
            }
        }
        if go == 0 {
            return None;
        }
        self.passed += go as u64;
        faults.stats.bytes += go as u64;
        let mut bytes = self.held.split_to(go);
        bytes[0] ^= std::mem::take(&mut self.flip);
        Some(Action::Deliver(bytes.freeze()))
    }

    /// Begins with a plan where it stands.
    fn follow(&mut self, plan: &Plan) {
        let salt = self.connection << 1 | u64::from(self.direction == Direction::ToClient);
        self.rng = Rng::new(plan.seed ^ salt.wrapping_mul(0xd6e8_feb8_6659_fd93));
        self.rng.next_u64();
        self.due.clear();
        self.counts = vec![0; plan.rules.len()];
        for rule in plan.rules.iter().filter(|rule| rule.concerns(self.connection, self.direction)) {
            if let At::Byte(offset) = rule.at {
                self.due.push((self.passed.saturating_add(offset), rule.fault.clone()));
            }
        }
        self.random_at = None;
        self.draw(plan.random.as_ref());
    }

    /// Draws where the next fault comes that may come anywhere.
    fn draw(&mut self, random: Option<&Random>) {
        let random = random.filter(|random| random.direction.is_none_or(|only| only == self.direction));
        self.random_at = random.map(|random| {
            let most = usize::try_from(random.mean.max(1).saturating_mul(2)).unwrap_or(usize::MAX);
            self.passed + 1 + self.rng.below(most) as u64
        });
    }

    fn is_due(&self, at: u64, faults: &Faults) -> bool {
        self.random_at == Some(at)
            || self.due.iter().any(|(offset, _)| *offset == at)
            || self.armed_bytes(faults).any(|left| left == 0)
    }

    /// The number of bytes before the next fault whose place is known.
    fn next_stop(&self, at: u64, faults: &Faults) -> Option<u64> {
        let due = self.due.iter().map(|(offset, _)| *offset).filter(|offset| *offset >= at);
        due.chain(self.random_at).chain(self.armed_bytes(faults).map(|left| at + left)).min()
    }

    /// Bytes that still pass before armed rules come true.
    fn armed_bytes(&self, faults: &Faults) -> impl Iterator<Item = u64> {
        let concerned = faults.armed.iter().filter(|armed| armed.rule.concerns(self.connection, self.direction));
        concerned.filter(|armed| matches!(armed.rule.at, At::Byte(_))).map(|armed| armed.left)
    }

    /// Looks at what begins at `held[go]`, once enough of it is here, and finds the faults that it brings.
    fn look(&mut self, go: usize, faults: &mut Faults) -> bool {
        let start = self.passed + go as u64;
        let rest = &self.held[go..];
        if rest.is_empty() {
            return false;
        }
        let (kind, size) = match self.measure(rest, start) {
            Some(seen) => seen,
            None if self.ended => (FrameKind::of(rest), rest.len() as u64),
            None => return false,
        };
        self.opaque |= kind == FrameKind::Bytes && size == u64::MAX;
        if kind == FrameKind::Header && rest[4] == ProtocolHeader::TLS.to_bytes()[4] {
            // What follows is for the two ends alone.
            self.opaque = true;
        }
        self.frame = Seen { kind, start, end: start.saturating_add(size) };
        if size < u64::MAX {
            self.count(faults);
        }
        true
    }

    /// What begins here, and its size in bytes; bytes that are no frames have no end. `None`: more are needed.
    fn measure(&self, rest: &[u8], start: u64) -> Option<(FrameKind, u64)> {
        const BYTES: (FrameKind, u64) = (FrameKind::Bytes, u64::MAX);
        if self.opaque {
            return Some(BYTES);
        }
        let shown = &rest[..rest.len().min(4)];
        if b"AMQP".starts_with(shown) {
            let header = ProtocolHeader::parse(rest)?;
            return Some(header.map_or(BYTES, |_| (FrameKind::Header, ProtocolHeader::LENGTH as u64)));
        }
        if start == 0 {
            return Some(BYTES);
        }
        match FrameHeader::frame_size(rest, u32::MAX) {
            Ok(None) => None,
            Ok(Some(size)) => {
                let whole = size.min(HOLD);
                (rest.len() >= whole).then(|| (FrameKind::of(&rest[..whole]), size as u64))
            }
            Err(_) => Some(BYTES),
        }
    }

    /// Counts the frame that was just seen, and notes the faults whose turn it is.
    fn count(&mut self, faults: &mut Faults) {
        let Seen { kind, start, end } = self.frame;
        let seen_by = |rule: &Rule| match rule.at {
            At::Frame { kind: wanted, nth, point } if wanted.is_none_or(|wanted| wanted.covers(kind)) => {
                Some((nth, point))
            }
            At::Frame { .. } | At::Byte(_) => None,
        };
        let seed = faults.plan.seed;
        for (rule, count) in faults.plan.rules.iter().zip(&mut self.counts) {
            let Some((nth, point)) = seen_by(rule).filter(|_| rule.concerns(self.connection, self.direction)) else {
                continue;
            };
            *count += 1;
            if *count == nth.max(1) {
                let at = start + offset(point, end - start, &mut choice(seed, self.connection, start));
                self.due.push((at, rule.fault.clone()));
            }
        }
        let mut found = None;
        for (index, armed) in faults.armed.iter_mut().enumerate() {
            let Some((_, point)) =
                seen_by(&armed.rule).filter(|_| armed.rule.concerns(self.connection, self.direction))
            else {
                continue;
            };
            armed.left = armed.left.saturating_sub(1);
            if armed.left == 0 && found.is_none() {
                found = Some((index, point));
            } else {
                // Two at one frame would be one.
                armed.left = armed.left.max(1);
            }
        }
        if let Some((index, point)) = found {
            let armed = faults.armed.remove(index);
            let at = start + offset(point, end - start, &mut choice(seed, self.connection, start));
            self.due.push((at, armed.rule.fault));
        }
    }

    /// Does the fault that is due here.
    fn fire(&mut self, faults: &mut Faults) -> Action {
        let fault = self.take_due(faults);
        let place = self.place();
        faults.stats.note(&fault, place);
        let mut choice = choice(faults.plan.seed, self.connection, self.passed);
        match fault {
            Fault::Cut(ending) => {
                self.over = true;
                Action::Cut(Cut::by(ending, &mut choice))
            }
            Fault::Stall => {
                (self.over, self.stalled) = (true, true);
                Action::Stall
            }
            Fault::Delay(time) => Action::Wait(time),
            Fault::Insert(bytes) => Action::Deliver(bytes.into()),
            Fault::Flip => {
                self.flip = 1 + choice.below(255) as u8;
                // What carries it is the next byte: nothing to be done until then.
                Action::Wait(Duration::ZERO)
            }
        }
    }

    /// Ends the connection here.
    pub(super) fn cut_now(&mut self, faults: &mut Faults) -> Cut {
        self.over = true;
        faults.stats.note(&Fault::Cut(None), self.place());
        Cut::by(None, &mut choice(faults.plan.seed, self.connection, self.passed))
    }

    pub(super) fn finish(&mut self) {
        self.over = true;
    }

    /// The first fault that is due here; those of the plan come before others.
    fn take_due(&mut self, faults: &mut Faults) -> Fault {
        if let Some(index) = self.due.iter().position(|(offset, _)| *offset == self.passed) {
            return self.due.remove(index).1;
        }
        if self.random_at == Some(self.passed) {
            let random = faults.plan.random.as_ref();
            let choices = random.map_or(&[][..], |random| &random.faults);
            let fault = choices.get(self.rng.below(choices.len())).cloned().unwrap_or(Fault::Cut(None));
            self.draw(random);
            return fault;
        }
        let (connection, direction) = (self.connection, self.direction);
        let index = faults.armed.iter().position(|armed| {
            armed.left == 0 && matches!(armed.rule.at, At::Byte(_)) && armed.rule.concerns(connection, direction)
        });
        faults.armed.remove(index.expect("a fault is due")).rule.fault
    }

    fn place(&self) -> Place {
        let Seen { kind, start, end } = self.frame;
        let part = match self.passed {
            at if at >= end => Part::After,
            at if at > start => Part::Inside,
            _ => Part::Before,
        };
        Place { direction: self.direction, kind, part }
    }
}

impl Cut {
    fn by(ending: Option<Ending>, choice: &mut Rng) -> Self {
        let by_seed = if choice.one_in(2) { Ending::Reset } else { Ending::Fin };
        Self { ending: ending.unwrap_or(by_seed), other_arrives: choice.one_in(2) }
    }
}

/// Chance at a place of a connection: the same, however its bytes come.
fn choice(seed: u64, connection: u64, at: u64) -> Rng {
    let place = connection.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ at.wrapping_mul(0xa076_1d64_78bd_642f);
    let mut rng = Rng::new(seed ^ place);
    rng.next_u64();
    rng
}

/// How many bytes of a frame of this size come before the point.
fn offset(point: Point, size: u64, choice: &mut Rng) -> u64 {
    match point {
        Point::Before => 0,
        Point::Inside => {
            (1 + choice.below(usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(1)) as u64).min(size)
        }
        Point::Byte(bytes) => u64::from(bytes).min(size),
        Point::After => size,
    }
}
