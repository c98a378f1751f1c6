//! Unsettled deliveries of a session by delivery number.

use std::collections::{BTreeMap, VecDeque};

use postroad_codec::v1_0::DeliveryNumber;

/// Deliveries come in rising numbers and mostly leave in that order, so they live in a ring indexed
/// by number. One that stays while thousands pass would make the ring long; such stragglers move to
/// a tree, and the ring stays short.
#[derive(Debug)]
pub(crate) struct DeliveryMap<T> {
    base: DeliveryNumber,
    ring: VecDeque<Option<T>>,
    live: usize,
    stragglers: BTreeMap<u32, T>,
}

/// A ring shorter than this is never compacted.
const SHORT: usize = 256;

impl<T> Default for DeliveryMap<T> {
    fn default() -> Self {
        Self { base: DeliveryNumber(0), ring: VecDeque::new(), live: 0, stragglers: BTreeMap::new() }
    }
}

impl<T> DeliveryMap<T> {
    pub(crate) fn len(&self) -> usize {
        self.live + self.stragglers.len()
    }

    /// Adds a delivery whose number follows those added before.
    #[inline]
    pub(crate) fn push(&mut self, number: DeliveryNumber, value: T) {
        if self.ring.is_empty() {
            self.base = number;
        }
        let index = number.since(self.base) as usize;
        if index != self.ring.len() {
            self.fill_gap(number);
        } else if self.ring.len() >= SHORT && self.live < self.ring.len() / 4 {
            self.spill();
            self.base = number;
        }
        self.ring.push_back(Some(value));
        self.live += 1;
    }

    /// Numbers were left out: settled deliveries take no place here.
    #[cold]
    fn fill_gap(&mut self, number: DeliveryNumber) {
        let index = number.since(self.base) as usize;
        // Empty slots must not outnumber deliveries by far: who leaves numbers out would waste our memory.
        if index < self.ring.len() || index > SHORT.max(4 * self.live) {
            self.spill();
            self.base = number;
        } else {
            self.ring.resize_with(index, || None);
        }
    }

    fn spill(&mut self) {
        let base = self.base;
        let live = self.ring.drain(..).enumerate().filter_map(|(index, slot)| Some((index, slot?)));
        self.stragglers.extend(live.map(|(index, value)| (base.plus(index as u32).0, value)));
        self.live = 0;
    }

    pub(crate) fn get(&self, number: DeliveryNumber) -> Option<&T> {
        let index = number.since(self.base) as usize;
        let in_ring = self.ring.get(index).and_then(Option::as_ref);
        in_ring.or_else(|| self.stragglers.get(&number.0))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: DeliveryNumber) -> Option<&mut T> {
        let index = number.since(self.base) as usize;
        match self.ring.get_mut(index) {
            Some(slot) if slot.is_some() => slot.as_mut(),
            _ if self.stragglers.is_empty() => None,
            _ => self.stragglers.get_mut(&number.0),
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, number: DeliveryNumber) -> Option<T> {
        let index = number.since(self.base) as usize;
        let taken = match self.ring.get_mut(index) {
            Some(slot) if slot.is_some() => {
                self.live -= 1;
                slot.take()
            }
            _ => return if self.stragglers.is_empty() { None } else { self.stragglers.remove(&number.0) },
        };
        self.trim();
        taken
    }

    /// As [`DeliveryMap::remove`], for who does not want it: it is dropped where it is.
    #[inline]
    pub(crate) fn discard(&mut self, number: DeliveryNumber) {
        let index = number.since(self.base) as usize;
        match self.ring.get_mut(index) {
            Some(slot) if slot.is_some() => {
                self.live -= 1;
                *slot = None;
                self.trim();
            }
            _ if self.stragglers.is_empty() => {}
            _ => drop(self.stragglers.remove(&number.0)),
        }
    }

    /// Has the ring begin with a delivery.
    #[inline]
    fn trim(&mut self) {
        while let Some(None) = self.ring.front() {
            // It is empty: forgotten, it need not be copied out to be dropped.
            std::mem::forget(self.ring.pop_front());
            self.base = self.base.next();
        }
    }

    /// The numbers from `first` to `last` that are in the map. What a peer names costs no more than
    /// what is there.
    pub(crate) fn numbers(&self, first: DeliveryNumber, last: DeliveryNumber) -> Vec<DeliveryNumber> {
        if last.precedes(first) {
            return Vec::new();
        }
        let mut numbers = Vec::new();
        if !self.stragglers.is_empty() {
            // The range may wrap around, the tree does not.
            let (low, high) = if first.0 <= last.0 { (last.0, last.0) } else { (u32::MAX, last.0) };
            numbers.extend(self.stragglers.range(first.0..=low).map(|(&number, _)| DeliveryNumber(number)));
            if first.0 > high {
                numbers.extend(self.stragglers.range(0..=high).map(|(&number, _)| DeliveryNumber(number)));
            }
        }
        let start = if first.precedes(self.base) { 0 } else { first.since(self.base) as usize };
        let end = if last.precedes(self.base) { 0 } else { self.ring.len().min(last.since(self.base) as usize + 1) };
        if start < end {
            let slots = self.ring.range(start..end).enumerate().filter(|(_, slot)| slot.is_some());
            numbers.extend(slots.map(|(index, _)| self.base.plus((start + index) as u32)));
        }
        numbers
    }

    /// The part of `first` to `last` that the ring covers, where no straggler can be meant: the
    /// common case, without a list.
    #[inline]
    pub(crate) fn window(&self, first: DeliveryNumber, last: DeliveryNumber) -> Option<(DeliveryNumber, u32)> {
        let offset = first.since(self.base) as usize;
        let count = last.since(first) as usize + 1;
        (self.stragglers.is_empty() && offset + count <= self.ring.len()).then_some((first, count as u32))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DeliveryNumber, &T)> {
        let ring = self.ring.iter().enumerate();
        let ring = ring.filter_map(|(index, slot)| Some((self.base.plus(index as u32), slot.as_ref()?)));
        self.stragglers.iter().map(|(&number, value)| (DeliveryNumber(number), value)).chain(ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: u32) -> DeliveryNumber {
        DeliveryNumber(value)
    }

    #[test]
    fn numbers_wrap_around() {
        let mut map = DeliveryMap::default();
        for offset in 0..4 {
            map.push(number(u32::MAX - 1).plus(offset), offset);
        }
        assert_eq!(map.numbers(number(u32::MAX), number(0)), [number(u32::MAX), number(0)]);
        assert_eq!(map.remove(number(0)), Some(2));
        assert_eq!(map.remove(number(0)), None);
        assert_eq!(map.get_mut(number(1)), Some(&mut 3));
        assert_eq!(map.len(), 3);
    }

    #[test]
    fn a_straggler_does_not_hold_the_ring() {
        let mut map = DeliveryMap::default();
        map.push(number(0), 0);
        for value in 1..100_000 {
            map.push(number(value), value);
            assert_eq!(map.remove(number(value)), Some(value));
        }
        assert!(map.ring.capacity() <= 4 * SHORT, "{} slots for one delivery", map.ring.capacity());
        assert_eq!(map.numbers(number(0), number(200_000)), [number(0)]);
        assert_eq!(map.remove(number(0)), Some(0));
        assert_eq!(map.len(), 0);
    }

    #[test]
    fn numbers_may_be_left_out() {
        let mut map = DeliveryMap::default();
        map.push(number(3), 'a');
        map.push(number(7), 'b');
        map.push(number(1_000_000), 'c');
        assert_eq!(map.remove(number(7)), Some('b'));
        assert_eq!(map.numbers(number(0), number(2_000_000)), [number(3), number(1_000_000)]);
        assert_eq!(map.iter().map(|(_, value)| *value).collect::<String>(), "ac");
    }

    #[test]
    fn a_range_costs_no_more_than_what_is_there() {
        let mut map = DeliveryMap::default();
        map.push(number(5), ());
        assert_eq!(map.window(number(0), number(u32::MAX)), None);
        assert_eq!(map.window(number(5), number(5)), Some((number(5), 1)));
        assert_eq!(map.numbers(number(0), number(u32::MAX / 2)).len(), 1);
        assert_eq!(map.numbers(number(0), number(u32::MAX)), []);
    }
}
