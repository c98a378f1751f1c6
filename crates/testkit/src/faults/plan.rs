//! Which faults there are to be, and where.

use std::time::Duration;

use super::FrameKind;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From who connected.
    ToServer,
    /// To who connected.
    ToClient,
}

/// The faults of all connections of a proxy. The default has none.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Fixes what is left to chance.
    pub seed: u64,
    /// Faults at places that are known. Each connection has them anew, and counts for itself, each direction too.
    pub rules: Vec<Rule>,
    /// Faults anywhere.
    pub random: Option<Random>,
}

/// A fault, and where it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What happens.
    pub fault: Fault,
    /// Where.
    pub at: At,
    /// In which direction; in either when there is none.
    pub direction: Option<Direction>,
    /// On which connection, counted from 0; on any when there is none.
    pub connection: Option<u64>,
}

/// Where a fault comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum At {
    /// Behind so many bytes of the direction. Behind none means before the first one.
    Byte(u64),
    /// At a frame.
    Frame {
        /// Which kind; any when there is none.
        kind: Option<FrameKind>,
        /// The how manieth of this kind, counted from 1.
        nth: u64,
        /// Where in it.
        point: Point,
    },
}

/// Where in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Point {
    /// Before its first byte.
    Before,
    /// Somewhere in it, with one byte at least on each side, as the seed has it.
    Inside,
    /// Behind so many of its bytes: at its end when it has less.
    Byte(u32),
    /// Behind its last byte.
    After,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Both sides are left, and nothing more is passed on in this direction; in the way that the seed has when there is
    /// none. Whether what the other direction has on its way still arrives is left to the seed.
    Cut(Option<Ending>),
    /// Nothing more is passed on in this direction, and nothing ends.
    Stall,
    /// Nothing is passed on in this direction for this time.
    Delay(Duration),
    /// These bytes come in between.
    Insert(Vec<u8>),
    /// Some bits of the next byte are turned over, as the seed has it.
    Flip,
}

/// How a connection is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Hard: both sides are told that it is reset.
    Reset,
    /// As if both sides had ended in order.
    Fin,
}

/// Faults anywhere, at a mean rate. They fall on bytes and not on frames: most of them come in the middle of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random {
    /// The mean number of bytes of a direction from one fault to the next. The distance is between 1 and twice as much,
    /// and each distance is as likely as another.
    pub mean: u64,
    /// What may happen, each as likely as another.
    pub faults: Vec<Fault>,
    /// In which direction; in both when there is none.
    pub direction: Option<Direction>,
}

impl Direction {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];
}

impl Plan {
    /// No fault yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Adds a fault at a place.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds cuts anywhere in both directions, one in so many bytes of each on average.
    #[must_use]
    pub fn cuts_every(mut self, mean: u64) -> Self {
        self.random = Some(Random { mean, faults: vec![Fault::Cut(None)], direction: None });
        self
    }
}

impl Rule {
    /// A fault in either direction of any connection.
    #[must_use]
    pub fn new(fault: Fault, at: At) -> Self {
        Self { fault, at, direction: None, connection: None }
    }

    /// A cut at a place, in a way that the seed has.
    #[must_use]
    pub fn cut(at: At) -> Self {
        Self::new(Fault::Cut(None), at)
    }

    /// Only the first `bytes` of the direction arrive, and the connection ends.
    #[must_use]
    pub fn truncate(bytes: u64, direction: Direction) -> Self {
        Self::new(Fault::Cut(Some(Ending::Fin)), At::Byte(bytes)).in_direction(direction)
    }

    /// The same in one direction only.
    #[must_use]
    pub fn in_direction(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// The same on one connection only, counted from 0.
    #[must_use]
    pub fn on_connection(mut self, number: u64) -> Self {
        self.connection = Some(number);
        self
    }

    pub(super) fn concerns(&self, connection: u64, direction: Direction) -> bool {
        self.connection.is_none_or(|number| number == connection) && self.direction.is_none_or(|only| only == direction)
    }
}

impl At {
    /// Before the first frame of a kind.
    #[must_use]
    pub fn frame(kind: FrameKind) -> Self {
        Self::Frame { kind: Some(kind), nth: 1, point: Point::Before }
    }

    /// The same at the `nth` frame of its kind, counted from 1; a place that is no frame's stays as it is.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        match self {
            Self::Frame { kind, point, .. } => Self::Frame { kind, nth, point },
            Self::Byte(_) => self,
        }
    }

    /// The same at another point of the frame; a place that is no frame's stays as it is.
    #[must_use]
    pub fn at(self, point: Point) -> Self {
        match self {
            Self::Frame { kind, nth, .. } => Self::Frame { kind, nth, point },
            Self::Byte(_) => self,
        }
    }
}
