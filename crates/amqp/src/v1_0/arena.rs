//! Slots that are used again, behind keys that are not.

/// Names a slot and the value that lived in it when the key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) serial: u32,
}

#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Arena<T> {
    pub(crate) fn insert(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            if self.slots.is_empty() {
                // Most connections have one session with one link, and there may be very many connections.
                self.slots.reserve_exact(1);
            }
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.0 = slot.0.wrapping_add(1);
        let key = Key { index, serial: slot.0 };
        slot.1 = Some(make(key));
        key
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index as usize) {
            Some((serial, value)) if *serial == key.serial => value.as_ref(),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize) {
            Some((serial, value)) if *serial == key.serial => value.as_mut(),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let value = match self.slots.get_mut(key.index as usize) {
            Some((serial, value)) if *serial == key.serial => value.take(),
            _ => None,
        };
        if value.is_some() {
            self.free.push(key.index);
        }
        value
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|(_, value)| value.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_finds_nothing() {
        let mut arena = Arena::default();
        let old = arena.insert(|_| 'a');
        assert_eq!(arena.remove(old), Some('a'));
        let new = arena.insert(|_| 'b');
        assert_eq!((old.index, arena.iter().count()), (new.index, 1));
        assert_eq!((arena.get(old), arena.get(new)), (None, Some(&'b')));
        assert_eq!(arena.remove(old), None);
    }
}
