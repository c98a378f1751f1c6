//! The connections of a broker: who is there, and who is one too many.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use postroad_codec::v1_0::{Error, ErrorCondition};
use slab::Slab;
use tokio::task::AbortHandle;

use crate::mailbox::{Mailbox, Order};

/// All connections, those included that are told that they are too many.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    live: Slab<Entry>,
    /// How many of them are being refused.
    refused: usize,
    addresses: HashMap<IpAddr, usize>,
    users: HashMap<String, usize>,
    /// No more are taken.
    pub(crate) shut: Option<Order>,
}

#[derive(Debug)]
struct Entry {
    mailbox: Arc<Mailbox>,
    abort: Option<AbortHandle>,
    refused: bool,
    address: Option<IpAddr>,
    user: Option<String>,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    pub(crate) all: usize,
    pub(crate) per_address: usize,
    pub(crate) per_user: usize,
}

/// So many are told at once that they are too many: that takes a handshake. Further ones are cut off.
const MAX_REFUSED: usize = 64;

impl Connections {
    /// Takes a connection in, with the error that it is to be told where it is one too many. `None`: there is no time
    /// to tell it anything.
    pub(crate) fn add(
        &mut self,
        mailbox: Arc<Mailbox>,
        address: Option<IpAddr>,
        limits: ConnectionLimits,
    ) -> Option<(usize, Option<Error>)> {
        if self.shut.is_some() {
            return None;
        }
        let from_there = address.and_then(|address| self.addresses.get(&address)).copied().unwrap_or(0);
        let error = if self.len() >= limits.all {
            Some(too_many(format!("the broker has {} connections and takes no more", limits.all)))
        } else if from_there >= limits.per_address {
            Some(too_many(format!("there are {} connections from this address", limits.per_address)))
        } else {
            None
        };
        let refused = error.is_some();
        if refused && self.refused >= MAX_REFUSED {
            return None;
        }
        self.refused += usize::from(refused);
        let address = address.filter(|_| !refused);
        if let Some(address) = address {
            *self.addresses.entry(address).or_default() += 1;
        }
        let key = self.live.insert(Entry { mailbox, abort: None, refused, address, user: None });
        Some((key, error))
    }

    /// Notes whose connection it is.
    pub(crate) fn authenticated(&mut self, key: usize, user: &str, limits: ConnectionLimits) -> Result<(), Error> {
        let Some(entry) = self.live.get_mut(key).filter(|entry| entry.user.is_none()) else { return Ok(()) };
        let count = self.users.get(user).copied().unwrap_or(0);
        if count >= limits.per_user {
            return Err(too_many(format!("there are {count} connections of this user")));
        }
        self.users.insert(user.to_owned(), count + 1);
        entry.user = Some(user.to_owned());
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: usize) {
        let entry = self.live.remove(key);
        self.refused -= usize::from(entry.refused);
        if let Some(address) = entry.address {
            one_less(&mut self.addresses, address);
        }
        if let Some(user) = entry.user {
            one_less(&mut self.users, user);
        }
    }

    /// Lets the broker cut off the task of a connection.
    pub(crate) fn set_abort(&mut self, key: usize, mailbox: &Arc<Mailbox>, abort: AbortHandle) {
        // The task may be over already, and its place another's.
        if let Some(entry) = self.live.get_mut(key)
            && Arc::ptr_eq(&entry.mailbox, mailbox)
        {
            entry.abort = Some(abort);
        }
    }

    /// How many there are, without those that are being refused.
    pub(crate) fn len(&self) -> usize {
        self.live.len() - self.refused
    }

    /// How many there are in all.
    pub(crate) fn in_all(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.live.iter().map(|(_, entry)| Arc::clone(&entry.mailbox)).collect()
    }

    pub(crate) fn abort_all(&self) {
        for abort in self.live.iter().filter_map(|(_, entry)| entry.abort.as_ref()) {
            abort.abort();
        }
    }
}

fn one_less<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let std::collections::hash_map::Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

fn too_many(text: String) -> Error {
    Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits { all: 3, per_address: 2, per_user: 1 };

    #[test]
    fn counts_go_up_and_down() {
        let mut connections = Connections::default();
        let here = Some(IpAddr::from([127, 0, 0, 1]));
        let add = |connections: &mut Connections, address| connections.add(Arc::default(), address, LIMITS);
        let (first, error) = add(&mut connections, here).unwrap();
        assert_eq!(error, None);
        assert_eq!(add(&mut connections, here).unwrap().1, None);
        let (third, error) = add(&mut connections, here).unwrap();
        assert!(error.unwrap().description.unwrap().contains("address"));
        assert_eq!((connections.len(), connections.in_all()), (2, 3));
        assert_eq!(add(&mut connections, None).unwrap().1, None);
        assert!(add(&mut connections, None).unwrap().1.is_some(), "it would be the fourth");

        assert_eq!(connections.authenticated(first, "alice", LIMITS), Ok(()));
        assert!(connections.authenticated(third, "alice", LIMITS).is_err());
        connections.remove(first);
        connections.remove(third);
        assert_eq!(connections.users.len(), 0);
        assert_eq!(add(&mut connections, here).unwrap().1, None);
    }

    #[test]
    fn refusals_are_bounded() {
        let mut connections = Connections::default();
        let none = ConnectionLimits { all: 0, ..LIMITS };
        for _ in 0..MAX_REFUSED {
            assert!(connections.add(Arc::default(), None, none).unwrap().1.is_some());
        }
        assert_eq!(connections.add(Arc::default(), None, none), None);
        connections.remove(0);
        assert!(connections.add(Arc::default(), None, none).is_some());
    }
}
