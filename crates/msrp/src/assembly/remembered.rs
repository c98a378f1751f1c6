//! Names of messages that are over.

use std::borrow::Borrow;
use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};

/// The last names, up to a limit.
#[derive(Debug)]
pub(super) struct Remembered {
    names: HashSet<Id>,
    /// The oldest first.
    order: VecDeque<Id>,
    limit: usize,
}

impl Remembered {
    pub(super) fn new(limit: usize) -> Self {
        Self { names: HashSet::new(), order: VecDeque::new(), limit }
    }

    pub(super) fn contains(&self, id: &[u8]) -> bool {
        !self.names.is_empty() && self.names.contains(id)
    }

    pub(super) fn insert(&mut self, id: &Id) {
        if self.limit == 0 || self.contains(id.as_bytes()) {
            return;
        }
        if self.order.len() >= self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.names.insert(id.clone());
    }
}

/// The name of a message, in no allocation of its own where it is as the standard has it. It is a copy in any case: a
/// slice would keep what was read with it in memory for as long as it is remembered.
#[derive(Debug, Clone)]
pub(super) enum Id {
    Short(u8, [u8; Self::SHORT]),
    Long(Box<[u8]>),
}

impl Id {
    /// The most octets of a name in the standard (RFC 4975 9, `ident`).
    const SHORT: usize = 32;

    pub(super) fn new(text: &[u8]) -> Self {
        if text.len() > Self::SHORT {
            return Self::Long(text.into());
        }
        let mut bytes = [0; Self::SHORT];
        bytes[..text.len()].copy_from_slice(text);
        Self::Short(text.len() as u8, bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Id {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r43_the_last_names_are_remembered_and_no_more() {
        let mut names = Remembered::new(3);
        let long = [b'x'; 100];
        for id in [&b"one1"[..], b"two2", &long, b"two2"] {
            names.insert(&Id::new(id));
        }
        assert!(names.contains(b"one1") && names.contains(b"two2") && names.contains(&long));
        names.insert(&Id::new(b"four"));
        assert!(!names.contains(b"one1") && names.contains(b"four"));
        assert!(!names.contains(&long[1..]) && !names.contains(b""));
        for number in 0..1000 {
            names.insert(&Id::new(format!("name{number}").as_bytes()));
        }
        assert_eq!((names.names.len(), names.order.len()), (3, 3));
        let mut none = Remembered::new(0);
        none.insert(&Id::new(b"one1"));
        assert!(!none.contains(b"one1"));
    }
}
