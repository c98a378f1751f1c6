//! Links that outlive their connections, played by two engines in virtual time (AMQP 1.0 part 2, 2.6.13).
//!
//! A run is fixed by its seed: what the network does, what both users do and when. The client keeps its links as a
//! supervisor does: it resumes those that are exactly once, and attaches the others anew. The server keeps its side of
//! links as a broker's link table does, and forgets it when it has expired. Messages have numbers, and a ledger holds
//! what became of each against what its link guarantees.

mod client;
mod endpoint;
mod ledger;
mod network;
mod server;
mod world;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::{Event, FrameTrace};
use postroad_codec::v1_0::Direction;

use world::World;

/// What a link is to keep.
#[allow(clippy::enum_variant_names, reason = "these are their names")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guarantee {
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

/// What happened in runs: whether they came by what they are to check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections.
    pub connections: u64,
    /// Links that were attached again where the peer told what it had not settled.
    pub resumed: u64,
    /// Links that were attached again where it told nothing.
    pub restarted: u64,
    /// Rounds with maps that did not fit into a frame.
    pub incomplete: u64,
    /// Deliveries that were resumed, for their receivers.
    pub reassociated: u64,
    /// Deliveries in doubt.
    pub in_doubt: u64,
    /// Links that were taken over from a connection that the server took for alive.
    pub stolen: u64,
    /// Links that their server forgot in time.
    pub expired: u64,
}

/// Plays the run of a seed, and prints everything that happens where it is to be traced.
///
/// # Errors
/// What went wrong: a broken guarantee, a panic of an engine, or no end.
pub fn simulate(seed: u64, trace: bool) -> Result<Stats, String> {
    let play = || {
        let mut world = World::new(seed, trace);
        world.run();
        world.stats
    };
    catch_unwind(AssertUnwindSafe(play)).map_err(|panic| text(&*panic))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

impl Stats {
    fn count(&mut self, event: &Event) {
        match event {
            Event::Resumed { complete, remembered, .. } => {
                self.resumed += u64::from(*remembered);
                self.restarted += u64::from(!remembered);
                self.incomplete += u64::from(!complete);
            }
            Event::Reassociated { .. } => self.reassociated += 1,
            Event::InDoubt { .. } => self.in_doubt += 1,
            _ => {}
        }
    }
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.resumed += other.resumed;
        self.restarted += other.restarted;
        self.incomplete += other.incomplete;
        self.reassociated += other.reassociated;
        self.in_doubt += other.in_doubt;
        self.stolen += other.stolen;
        self.expired += other.expired;
    }
}

/// Prints what happens, where that is wanted.
#[derive(Debug)]
struct Trace {
    on: bool,
    start: Instant,
    now: Instant,
}

impl Trace {
    fn new(on: bool, start: Instant) -> Self {
        Self { on, start, now: start }
    }

    /// Virtual time since the run began.
    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.on {
            println!("{:>9.3} {}", self.elapsed().as_secs_f64() * 1000.0, what());
        }
    }

    /// Frames as they are written, as the client sees them.
    fn frames(&mut self, trace: &mut FrameTrace, direction: Direction, bytes: &[u8]) {
        if self.on {
            let time = self.elapsed().as_secs_f64() * 1000.0;
            trace.bytes(direction, bytes, |line| println!("{time:>9.3} {line}"));
        }
    }
}
