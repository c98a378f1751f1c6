//! Where the cuts were, as a table for people.

use std::collections::BTreeMap;
use std::fmt;

use postroad_testkit::faults::{Direction, FrameKind, Part, Stats};

use super::Blows;

/// The cuts of a run by end, direction, kind of frame, and part of it.
#[derive(Debug)]
pub struct Table<'a>(pub &'a Blows);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Blows { ends, stats, late, took } = self.0;
        let width = 18;
        write!(f, "{:<width$}", "cuts at")?;
        for end in ends {
            for direction in ["to broker", "from broker"] {
                write!(f, "{:>22}", format!("{end} {direction}"))?;
            }
        }
        writeln!(f, "{:>8}", "inside")?;
        let mut rows: BTreeMap<FrameKind, [u64; 5]> = BTreeMap::new();
        for (end, stats) in stats.iter().enumerate() {
            for (place, count) in &stats.places {
                let row = rows.entry(place.kind).or_default();
                row[end * 2 + usize::from(place.direction == Direction::ToClient)] += count;
                row[4] += if place.part == Part::Inside { *count } else { 0 };
            }
        }
        for (kind, [a, b, c, d, inside]) in &rows {
            writeln!(f, "{kind:<width$}{a:>22}{b:>22}{c:>22}{d:>22}{inside:>8}")?;
        }
        let [one, two] = stats;
        let Stats { connections, hung, delays, bytes, .. } = one.clone().with(two);
        write!(f, "{connections} connections, {hung} that hung, {delays} delays, {late} cuts elsewhere than meant, ")?;
        write!(f, "{:.1} MB, {:.1} s", bytes as f64 / 1e6, took.as_secs_f64())
    }
}
