//! Which octets are there: ordered intervals that do not touch.

use std::ops::Range;

/// A set of octets, as intervals from zero on. One interval that grows, which is what most messages are, costs no memory of
/// its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// The first interval, and the others in their order.
    first: Option<Span>,
    others: Vec<Span>,
    covered: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
}

impl RangeSet {
    /// How many intervals there may be: who sends single octets far apart is not to fill our memory.
    pub const MAX: usize = 1024;

    /// An empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: None, others: Vec::new(), covered: 0 }
    }

    /// Adds octets.
    ///
    /// # Errors
    /// There would be more than [`MAX`](Self::MAX) intervals; nothing was added.
    pub fn insert(&mut self, range: Range<u64>) -> Result<(), TooManyRanges> {
        let new = Span { start: range.start, end: range.end };
        if new.start >= new.end {
            return Ok(());
        }
        let Some(first) = &mut self.first else {
            self.first = Some(new);
            self.covered = new.end - new.start;
            return Ok(());
        };
        if self.others.is_empty() && first.touches(new) {
            *first = first.with(new);
            self.covered = first.end - first.start;
            return Ok(());
        }
        let mut spans = std::mem::take(&mut self.others);
        spans.insert(0, self.first.take().expect("just looked at"));
        let from = spans.partition_point(|span| span.end < new.start);
        let to = spans.partition_point(|span| span.start <= new.end);
        let result = if from == to && spans.len() >= Self::MAX {
            Err(TooManyRanges)
        } else {
            let merged = spans[from..to].iter().fold(new, |merged, span| merged.with(*span));
            let before: u64 = spans[from..to].iter().map(|span| span.end - span.start).sum();
            self.covered += merged.end - merged.start - before;
            spans.splice(from..to, [merged]);
            Ok(())
        };
        self.first = Some(spans.remove(0));
        self.others = spans;
        result
    }

    /// How many octets are in the set.
    #[must_use]
    pub const fn covered(&self) -> u64 {
        self.covered
    }

    /// Whether all octets before this one are there.
    #[must_use]
    pub fn covers(&self, size: u64) -> bool {
        size == 0 || self.first.is_some_and(|first| first.start == 0 && first.end >= size)
    }

    /// The octet behind the last one.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.others.last().copied().or(self.first).map_or(0, |last| last.end)
    }

    /// The intervals, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.first.iter().chain(&self.others).map(|span| span.start..span.end)
    }

    /// The intervals before an end that are not there.
    pub fn gaps(&self, size: u64) -> impl Iterator<Item = Range<u64>> {
        let starts = std::iter::once(0).chain(self.iter().map(|range| range.end));
        let ends = self.iter().map(|range| range.start).chain(std::iter::once(size));
        starts.zip(ends).map(move |(start, end)| start..end.min(size)).filter(|gap| gap.start < gap.end)
    }
}

impl Span {
    fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn with(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// There would be more than [`RangeSet::MAX`] intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {} separate ranges", RangeSet::MAX)]
pub struct TooManyRanges;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r40_ranges_in_any_order() {
        let mut set = RangeSet::new();
        for range in [10..20, 30..40, 0..5, 19..31, 5..10, 7..7] {
            set.insert(range).unwrap();
        }
        assert!(set.iter().eq(std::iter::once(0..40)));
        assert!(set.covers(40) && !set.covers(41) && set.covers(0));
        assert_eq!((set.covered(), set.end()), (40, 40));
    }

    #[test]
    fn r40_gaps() {
        let mut set = RangeSet::new();
        assert!(set.gaps(9).eq(std::iter::once(0..9)));
        set.insert(2..4).unwrap();
        set.insert(6..8).unwrap();
        assert_eq!(set.gaps(9).collect::<Vec<_>>(), [0..2, 4..6, 8..9]);
        assert!(set.gaps(3).eq(std::iter::once(0..2)));
        assert!(!set.covers(4));
    }

    #[test]
    fn r59_intervals_are_limited() {
        let mut set = RangeSet::new();
        for place in 0..RangeSet::MAX as u64 {
            set.insert(2 * place..2 * place + 1).unwrap();
        }
        let before = set.clone();
        assert_eq!(set.insert(5000..5001), Err(TooManyRanges));
        assert_eq!(set, before);
        set.insert(1..2).unwrap();
        set.insert(5000..5001).unwrap();
    }

    proptest! {
        #[test]
        fn r40_as_a_list_of_octets(ranges in proptest::collection::vec((0_u64..60, 0_u64..12), 0..30)) {
            let (mut set, mut model) = (RangeSet::new(), [false; 80]);
            for (start, length) in ranges {
                set.insert(start..start + length).unwrap();
                model[start as usize..(start + length) as usize].fill(true);
            }
            let there: Vec<bool> = (0..80).map(|octet| set.iter().any(|range| range.contains(&octet))).collect();
            prop_assert_eq!(&there[..], &model[..]);
            prop_assert_eq!(set.covered(), model.iter().filter(|there| **there).count() as u64);
            let missing: Vec<u64> = set.gaps(80).flatten().collect();
            prop_assert_eq!(missing, (0..80).filter(|octet| !model[*octet as usize]).collect::<Vec<_>>());
            prop_assert!(set.iter().zip(set.iter().skip(1)).all(|(one, next)| one.end < next.start));
        }
    }
}
