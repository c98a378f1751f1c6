//! A map whose entries end, and of which there are only so many.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// A map with an end for each entry. When it is full, what has ended makes room, and then what ends first.
pub(super) struct Expiring<K, V> {
    entries: HashMap<K, (V, Instant)>,
    max: usize,
}

impl<K: Eq + Hash, V> Expiring<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), max }
    }

    pub(super) fn get(&self, key: &K, now: Instant) -> Option<&V> {
        self.entries.get(key).filter(|(_, end)| now < *end).map(|(value, _)| value)
    }

    pub(super) fn insert(&mut self, key: K, value: V, end: Instant, now: Instant) {
        if self.entries.len() >= self.max && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.entries.insert(key, (value, end));
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// A quarter goes at once, so that a full map is not searched for each entry.
    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, (_, end)| now < *end);
        if self.entries.len() < self.max {
            return;
        }
        let mut ends: Vec<Instant> = self.entries.values().map(|(_, end)| *end).collect();
        let last = (self.max / 4).min(ends.len() - 1);
        let (_, last, _) = ends.select_nth_unstable(last);
        let last = *last;
        self.entries.retain(|_, (_, end)| *end > last);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_ends_first_makes_room() {
        let now = Instant::now();
        let after = |n: u64| now + Duration::from_secs(n);
        let mut map = Expiring::new(8);
        for n in 1..=9 {
            map.insert(n, (), after(n), now);
        }
        assert_eq!((map.get(&1, now), map.get(&9, now)), (None, Some(&())));
        assert!(map.len() <= 8);
    }

    #[test]
    fn what_has_ended_makes_room_before_what_has_not() {
        let now = Instant::now();
        let after = |n: u64| now + Duration::from_secs(n);
        let mut map = Expiring::new(4);
        for n in 1..=4 {
            map.insert(n, (), after(n), now);
        }
        map.insert(5, (), after(5), after(2));
        assert_eq!(map.len(), 3);
        assert!([3, 4, 5].iter().all(|n| map.get(n, after(2)).is_some()));
    }

    #[test]
    fn entries_that_end_together_make_room_too() {
        let now = Instant::now();
        let mut map = Expiring::new(4);
        for n in 0..100 {
            map.insert(n, (), now + Duration::from_secs(1), now);
            assert!(map.len() <= 4 && map.get(&n, now).is_some());
        }
    }
}
