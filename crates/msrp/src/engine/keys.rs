//! Names of what an engine holds. A key is never used twice.

macro_rules! keys {
    ($($name:ident $doc:literal)*) => {
        $(
            #[doc = $doc]
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub struct $name {
                pub(super) index: usize,
                pub(super) serial: u64,
            }
        )*
    };
}

keys! {
    SessionKey "A session of a connection."
    MessageKey "A message that is being sent."
    IncomingKey "A message that is coming in parts."
    RequestKey "A request of its owner's own."
}

/// Values under keys of their own.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slab: slab::Slab<(u64, T)>,
    serial: u64,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slab: slab::Slab::new(), serial: 0 }
    }
}

impl<T> Arena<T> {
    pub(crate) fn insert(&mut self, value: T) -> (usize, u64) {
        self.serial += 1;
        (self.slab.insert((self.serial, value)), self.serial)
    }

    pub(crate) fn get(&self, (index, serial): (usize, u64)) -> Option<&T> {
        self.slab.get(index).filter(|(its, _)| *its == serial).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, (index, serial): (usize, u64)) -> Option<&mut T> {
        self.slab.get_mut(index).filter(|(its, _)| *its == serial).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: (usize, u64)) -> Option<T> {
        self.get(key)?;
        Some(self.slab.remove(key.0).1)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ((usize, u64), &T)> {
        self.slab.iter().map(|(index, (serial, value))| ((index, *serial), value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = ((usize, u64), &mut T)> {
        self.slab.iter_mut().map(|(index, (serial, value))| ((index, *serial), value))
    }
}
