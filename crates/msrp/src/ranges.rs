//! Sets of octets, as intervals.

use std::ops::Range;

/// Which octets there are: intervals of offsets from 0, in order, none of which touches another.
///
/// One interval that grows costs no allocation and no search. A [`ByteRange`](crate::ByteRange) gives its
/// [`offsets`](crate::ByteRange::offsets) to insert.
///
/// ```
/// use postroad_msrp::RangeSet;
///
/// let mut set = RangeSet::default();
/// assert_eq!(set.insert(0..4), Ok(4));
/// assert_eq!(set.insert(2..8), Ok(4));
/// assert!(set.is_complete(8));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet {
    /// The lowest one; empty only where the whole set is.
    head: Range<u64>,
    tail: Vec<Range<u64>>,
    octets: u64,
    limit: usize,
}

impl RangeSet {
    /// The intervals there may be by default. A peer that sends every other octet alone would have us remember an
    /// interval for each, many times what it sends, and search among them.
    pub const LIMIT: usize = 256;

    /// An empty set of up to `limit` intervals, at least one.
    #[must_use]
    pub const fn with_limit(limit: usize) -> Self {
        let limit = if limit == 0 { 1 } else { limit };
        Self { head: 0..0, tail: Vec::new(), octets: 0, limit }
    }

    /// Adds the octets of a range, and says how many of them are new.
    ///
    /// # Errors
    /// There would be more intervals than there may be; nothing has changed.
    pub fn insert(&mut self, range: Range<u64>) -> Result<u64, RangesFull> {
        if range.is_empty() {
            return Ok(0);
        }
        let count = self.len();
        if count == 0 {
            self.octets = range.end - range.start;
            self.head = range;
            return Ok(self.octets);
        }
        // Mostly the last one grows.
        let last = self.tail.last_mut().unwrap_or(&mut self.head);
        if (last.start..=last.end).contains(&range.start) {
            let new = range.end.saturating_sub(last.end);
            last.end += new;
            self.octets += new;
            return Ok(new);
        }
        let from = self.position(|interval| interval.end < range.start);
        let to = self.position(|interval| interval.start <= range.end);
        if from == to {
            return self.insert_apart(from, range);
        }
        let before: u64 = (from..to).map(|index| self.get(index)).map(|interval| interval.end - interval.start).sum();
        let merged = self.get(from).start.min(range.start)..self.get(to - 1).end.max(range.end);
        let new = merged.end - merged.start - before;
        match from {
            0 => self.head = merged,
            _ => self.tail[from - 1] = merged,
        }
        self.tail.drain(from..to - 1);
        self.octets += new;
        Ok(new)
    }

    /// Whether all octets of a range are there.
    #[must_use]
    pub fn contains(&self, range: Range<u64>) -> bool {
        self.gaps(range).next().is_none()
    }

    /// The parts of a range that are not there, in order.
    pub fn gaps(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut index = self.position(|interval| interval.end <= range.start);
        let mut at = range.start;
        std::iter::from_fn(move || {
            while at < range.end {
                let next = if index < self.len() { self.get(index).clone() } else { u64::MAX..u64::MAX };
                let gap = at..next.start.min(range.end);
                at = next.end;
                index += 1;
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// Whether the first `total` octets are there.
    #[must_use]
    pub const fn is_complete(&self, total: u64) -> bool {
        total == 0 || (self.head.start == 0 && self.head.end >= total)
    }

    /// How many octets there are.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// Where the highest interval ends; 0 for an empty set.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.tail.last().unwrap_or(&self.head).end
    }

    /// How many intervals there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        if self.octets == 0 { 0 } else { self.tail.len() + 1 }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.octets == 0
    }

    /// The intervals, in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        (0..self.len()).map(|index| self.get(index).clone())
    }

    fn get(&self, index: usize) -> &Range<u64> {
        match index {
            0 => &self.head,
            _ => &self.tail[index - 1],
        }
    }

    /// How many intervals, which are the first ones, are as asked.
    fn position(&self, is: impl Fn(&Range<u64>) -> bool) -> usize {
        if self.is_empty() || !is(&self.head) {
            return 0;
        }
        // Mostly all of them.
        match self.tail.last() {
            Some(last) if !is(last) => 1 + self.tail.partition_point(is),
            _ => 1 + self.tail.len(),
        }
    }

    fn insert_apart(&mut self, index: usize, range: Range<u64>) -> Result<u64, RangesFull> {
        if self.len() >= self.limit {
            return Err(RangesFull);
        }
        let new = range.end - range.start;
        match index {
            0 => {
                let head = std::mem::replace(&mut self.head, range);
                self.tail.insert(0, head);
            }
            _ => self.tail.insert(index - 1, range),
        }
        self.octets += new;
        Ok(new)
    }
}

impl Default for RangeSet {
    fn default() -> Self {
        Self::with_limit(Self::LIMIT)
    }
}

/// A set that cannot have another interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many pieces that do not touch")]
pub struct RangesFull;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r35_ranges_merge_where_they_touch() {
        let mut set = RangeSet::default();
        assert!(set.is_complete(0) && !set.is_complete(1));
        assert_eq!(set.insert(10..20), Ok(10));
        assert_eq!(set.insert(30..40), Ok(10));
        assert_eq!(set.insert(0..5), Ok(5));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0..5, 10..20, 30..40]);
        assert_eq!(set.gaps(3..35).collect::<Vec<_>>(), [5..10, 20..30]);
        assert_eq!(set.insert(20..30), Ok(10));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0..5, 10..40]);
        assert_eq!(set.insert(4..11), Ok(5));
        assert_eq!((set.len(), set.octets(), set.end()), (1, 40, 40));
        assert!(set.is_complete(40) && !set.is_complete(41));
        assert!(set.contains(3..40) && !set.contains(39..41));
        assert_eq!(set.insert(7..7), Ok(0));
    }

    #[test]
    fn r59_intervals_are_limited_and_touching_ones_are_not() {
        let mut set = RangeSet::with_limit(3);
        for at in [0, 2, 4] {
            assert_eq!(set.insert(at..at + 1), Ok(1));
        }
        let before = set.clone();
        for apart in [6..7, 100..200] {
            assert_eq!(set.insert(apart), Err(RangesFull));
        }
        assert_eq!(set, before);
        assert_eq!(set.insert(1..2), Ok(1));
        assert_eq!(set.insert(6..7), Ok(1));
        assert_eq!(RangeSet::with_limit(0).insert(5..6), Ok(1));
    }

    #[test]
    fn r59_one_growing_range_has_no_tail() {
        let mut set = RangeSet::default();
        for at in 0..10_000_u64 {
            assert_eq!(set.insert(at * 7..at * 7 + 7), Ok(7));
        }
        assert_eq!((set.len(), set.tail.capacity()), (1, 0));
    }

    proptest! {
        #[test]
        fn r40_a_set_of_ranges_is_a_set_of_octets(ranges in prop::collection::vec((0_u64..60, 0_u64..12), 0..40)) {
            let mut set = RangeSet::with_limit(100);
            let mut model = BTreeSet::new();
            for (start, length) in ranges {
                let range = start..start + length;
                let gaps: Vec<u64> = set.gaps(range.clone()).flatten().collect();
                let missing: Vec<u64> = range.clone().filter(|octet| !model.contains(octet)).collect();
                prop_assert_eq!(&gaps, &missing);
                prop_assert_eq!(set.contains(range.clone()), missing.is_empty());
                prop_assert_eq!(set.insert(range.clone()), Ok(missing.len() as u64));
                model.extend(range);
                prop_assert_eq!(set.iter().flatten().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                prop_assert!(set.iter().zip(set.iter().skip(1)).all(|(one, next)| one.end < next.start));
                prop_assert_eq!((set.octets(), set.end()), (model.len() as u64, model.last().map_or(0, |last| last + 1)));
            }
        }
    }
}
