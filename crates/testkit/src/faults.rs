//! Faults of a connection, decided from the bytes that it carries.
//!
//! [`Faults`] sees the bytes of both directions of every connection, finds protocol headers, frames and performatives
//! in them, and says what is to become of them: passed on, held up, changed, or cut off. What it decides for the rules of a
//! [`Plan`] depends on the plan, its seed, the number of the connection and the bytes of the direction, and on nothing
//! else: not on the pieces in which they were read, nor on what the other direction does meanwhile. It opens no socket and
//! reads no clock; the proxy that does (feature `net`) only does what it is told here.
//!
//! ```
//! use postroad_testkit::faults::{Action, At, Direction, Fault, Faults, FrameKind, Plan, Point, Rule};
//!
//! let begin = At::frame(FrameKind::Begin).at(Point::Inside);
//! let mut faults = Faults::new(Plan::new(7).rule(Rule::new(Fault::Cut(None), begin)));
//! let [mut to_server, _to_client] = faults.connect();
//! assert_eq!(to_server.direction(), Direction::ToServer);
//!
//! to_server.feed(b"AMQP\x00\x01\x00\x00");
//! assert_eq!(faults.next(&mut to_server), Some(Action::Deliver(b"AMQP\x00\x01\x00\x00"[..].into())));
//! to_server.feed(b"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x11\x45");
//! assert!(matches!(faults.next(&mut to_server), Some(Action::Deliver(part)) if part.len() < 12));
//! assert!(matches!(faults.next(&mut to_server), Some(Action::Cut(_))));
//! assert_eq!(faults.stats().inside_frames(), 1);
//! ```

mod frame_kind;
mod lane;
mod plan;
mod stats;

#[cfg(test)]
mod tests;

pub use frame_kind::FrameKind;
pub use lane::{Action, Cut, Lane};
pub use plan::{At, Direction, Ending, Fault, Plan, Point, Random, Rule};
pub use stats::{Part, Place, Stats};

/// Decides the faults of all connections that one proxy carries.
#[derive(Debug)]
pub struct Faults {
    plan: Plan,
    /// Counts the plans, so that a lane knows that it has seen another one.
    generation: u64,
    armed: Vec<Armed>,
    connections: u64,
    stats: Stats,
}

/// A rule that comes true once, on whatever connection is first.
#[derive(Debug)]
struct Armed {
    rule: Rule,
    /// Frames, or bytes, that still pass before it does.
    left: u64,
}

impl Faults {
    /// Decides by a plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { plan, generation: 0, armed: Vec::new(), connections: 0, stats: Stats::default() }
    }

    /// Decides by another plan from now on, on connections that are there too: their frames are counted anew, and bytes
    /// from where they are. What was [armed](Self::arm) and is still to come is forgotten.
    pub fn set_plan(&mut self, plan: Plan) {
        self.plan = plan;
        self.generation += 1;
        self.armed.clear();
    }

    /// Adds a rule that comes true once. It counts frames and bytes of all connections together, from now on; of two
    /// that are due at the same place, the older one comes first and the other one waits for the next.
    pub fn arm(&mut self, rule: Rule) {
        let left = match rule.at {
            At::Byte(offset) => offset,
            At::Frame { nth, .. } => nth.max(1),
        };
        self.armed.push(Armed { rule, left });
    }

    /// Rules that were armed and have not come true.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.armed.len()
    }

    /// The two directions of a new connection: to the server, and to the client.
    pub fn connect(&mut self) -> [Lane; 2] {
        let number = self.connections;
        self.connections += 1;
        self.stats.connections += 1;
        Direction::BOTH.map(|direction| Lane::new(number, direction, &self.plan, self.generation))
    }

    /// What is to be done next in a direction; `None` when it needs more bytes, or is over.
    pub fn next(&mut self, lane: &mut Lane) -> Option<Action> {
        lane.next(self)
    }

    /// Cuts a connection where it is; the lanes of it are over. The first one names the place.
    pub fn cut(&mut self, lanes: [&mut Lane; 2]) -> Cut {
        let [first, second] = lanes;
        let cut = first.cut_now(self);
        second.finish();
        cut
    }

    /// What was done until now.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Notes a connection that was refused.
    pub fn note_refused(&mut self) {
        self.stats.refused += 1;
    }

    /// Notes a connection that was taken and left alone.
    pub fn note_hung(&mut self) {
        self.stats.hung += 1;
    }
}
