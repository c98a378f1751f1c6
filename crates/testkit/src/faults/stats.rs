//! What was done.

use std::collections::BTreeMap;

use super::{Direction, Fault, FrameKind};

/// What faults there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that were carried.
    pub connections: u64,
    /// Connections that were refused, as far as they were seen: one that the system refuses is not.
    pub refused: u64,
    /// Connections that were taken and left alone.
    pub hung: u64,
    /// Bytes that were passed on.
    pub bytes: u64,
    /// Cuts, wherever they were.
    pub cuts: u64,
    /// Where the cuts were, and how many at each place.
    pub places: BTreeMap<Place, u64>,
    /// Stalls that end with the connection.
    pub stalls: u64,
    /// Delays.
    pub delays: u64,
    /// Times that bytes were put in between.
    pub insertions: u64,
    /// Bytes that were changed.
    pub flips: u64,
}

/// Where a cut was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// In which direction nothing more was passed on.
    pub direction: Direction,
    /// At which frame.
    pub kind: FrameKind,
    /// Where in it.
    pub part: Part,
}

/// Which part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Nothing of it arrived.
    Before,
    /// Some of it arrived.
    Inside,
    /// All of it arrived, and nothing behind it.
    After,
}

impl Stats {
    /// Cuts at frames of a kind, at any part; those that resume count for their plain kinds too.
    #[must_use]
    pub fn cuts_at(&self, kind: FrameKind) -> u64 {
        self.count(|place| kind.covers(place.kind))
    }

    /// Cuts in the middle of a frame.
    #[must_use]
    pub fn inside_frames(&self) -> u64 {
        self.count(|place| place.part == Part::Inside)
    }

    /// Adds up two of them.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.connections += other.connections;
        self.refused += other.refused;
        self.hung += other.hung;
        self.bytes += other.bytes;
        self.cuts += other.cuts;
        for (place, count) in &other.places {
            *self.places.entry(*place).or_default() += count;
        }
        self.stalls += other.stalls;
        self.delays += other.delays;
        self.insertions += other.insertions;
        self.flips += other.flips;
        self
    }

    pub(super) fn note(&mut self, fault: &Fault, place: Place) {
        match fault {
            Fault::Cut(_) => {
                self.cuts += 1;
                *self.places.entry(place).or_default() += 1;
            }
            Fault::Stall => self.stalls += 1,
            Fault::Delay(_) => self.delays += 1,
            Fault::Insert(_) => self.insertions += 1,
            Fault::Flip => self.flips += 1,
        }
    }

    fn count(&self, matches: impl Fn(&Place) -> bool) -> u64 {
        self.places.iter().filter(|(place, _)| matches(place)).map(|(_, count)| count).sum()
    }
}
