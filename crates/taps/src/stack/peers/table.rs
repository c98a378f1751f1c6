//! Who the datagrams of one socket belong to. Nothing here touches the socket, and every call is short.
//!
//! What waits is bounded. Where datagrams may be lost, one beyond a bound is dropped, the newest first as the system
//! does it, and counted. A peer that nobody has taken yet gets little, all of those together too, and what they hold is
//! not at the expense of connections. A connection that is read has room for one datagram at least, whatever the others
//! hold. Where none may be lost, whoever reads from the socket stops while the table is full: a bound is exceeded by
//! one datagram then.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::task::Waker;

use slab::Slab;

use crate::connection::SoftError;
use crate::transport::Arrived;

/// How many peers may wait to be taken. Who comes then is not heard.
const MAX_NEW: usize = 1024;

/// How much may wait for one connection, and for one peer that nobody has taken, in bytes with [`OVERHEAD`].
const MOST_OF_ONE: usize = 256 * 1024;
const MOST_OF_A_NEW_ONE: usize = 128 * 1024;

/// How much may wait for all connections, and for all peers that nobody has taken.
const MOST: usize = 16 * 1024 * 1024;
const MOST_OF_NEW: usize = 1024 * 1024;

/// What a datagram takes beside its payload.
const OVERHEAD: usize = 256;

/// What becomes of a datagram that there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// It is lost.
    Drop,
    /// There is room: whoever reads from the socket asks [`Table::is_full`] before.
    Wait,
}

/// The number of a peer in the table; given away again when it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerId(usize);

/// What has become of a datagram.
#[derive(Debug)]
pub(super) enum Fate {
    /// It waits; who is to be woken.
    Waits(Option<Waker>),
    /// It waits, and is the first of its peer.
    IsFirst,
    Dropped,
}

/// The peers of one socket, each known by a key: what tells connections apart.
#[derive(Debug)]
pub(super) struct Table<K> {
    peers: Slab<Peer<K>>,
    ids: HashMap<K, usize>,
    /// Whose datagram came last: where one has come, the next often is of the same.
    last: usize,
    /// Those that nobody has taken, the oldest first.
    new: VecDeque<usize>,
    listening: bool,
    overflow: Overflow,
    /// What waits for connections, and for peers that nobody has taken.
    held: usize,
    held_of_new: usize,
    /// For how many peers more waits than may.
    over: usize,
    /// How many datagrams and errors there was no room for.
    dropped: u64,
}

#[derive(Debug)]
struct Peer<K> {
    key: K,
    taken: bool,
    waiting: VecDeque<Arrived>,
    held: usize,
    waker: Option<Waker>,
}

impl<K> Peer<K> {
    /// Whether nothing more may wait for it.
    fn is_over(&self) -> bool {
        self.held >= if self.taken { MOST_OF_ONE } else { MOST_OF_A_NEW_ONE }
    }
}

impl<K: Clone + Eq + Hash> Table<K> {
    pub(super) fn new(overflow: Overflow) -> Self {
        Self {
            peers: Slab::new(),
            ids: HashMap::new(),
            last: 0,
            new: VecDeque::new(),
            listening: true,
            overflow,
            held: 0,
            held_of_new: 0,
            over: 0,
            dropped: 0,
        }
    }

    /// Puts what has arrived where it belongs. Only a message makes a peer of somebody unknown.
    pub(super) fn deliver(&mut self, key: K, arrived: Arrived) -> Fate {
        let cost = cost(&arrived);
        let known = self.find(&key);
        let waits = self.overflow == Overflow::Wait;
        let room = match known.map(|id| &self.peers[id]) {
            Some(_) if waits => true,
            Some(peer) if peer.taken => {
                peer.waiting.is_empty() || (peer.held + cost <= MOST_OF_ONE && self.held + cost <= MOST)
            }
            Some(peer) => peer.held + cost <= MOST_OF_A_NEW_ONE && self.held_of_new + cost <= MOST_OF_NEW,
            None => {
                let welcome = self.listening && matches!(arrived, Arrived::Message(..));
                welcome && (waits || (self.new.len() < MAX_NEW && self.held_of_new + cost <= MOST_OF_NEW))
            }
        };
        if !room {
            self.dropped += 1;
            return Fate::Dropped;
        }
        let id = known.unwrap_or_else(|| self.insert(key));
        self.last = id;
        let peer = &mut self.peers[id];
        let was_over = peer.is_over();
        peer.waiting.push_back(arrived);
        peer.held += cost;
        *(if peer.taken { &mut self.held } else { &mut self.held_of_new }) += cost;
        self.over += usize::from(peer.is_over()) - usize::from(was_over);
        if known.is_none() { Fate::IsFirst } else { Fate::Waits(peer.waker.take()) }
    }

    fn find(&self, key: &K) -> Option<usize> {
        match self.peers.get(self.last) {
            Some(peer) if peer.key == *key => Some(self.last),
            _ => self.ids.get(key).copied(),
        }
    }

    fn insert(&mut self, key: K) -> usize {
        let peer = Peer { key: key.clone(), taken: false, waiting: VecDeque::new(), held: 0, waker: None };
        let id = self.peers.insert(peer);
        self.ids.insert(key, id);
        self.new.push_back(id);
        id
    }

    /// Tells a peer of an error about a message that was sent to it; returns who is to be woken.
    pub(super) fn deliver_error(&mut self, key: K, error: SoftError) -> Option<Waker> {
        match self.ids.contains_key(&key).then(|| self.deliver(key, Arrived::SoftError(error)))? {
            Fate::Waits(waker) => waker,
            Fate::IsFirst | Fate::Dropped => None,
        }
    }

    /// Whether nothing more may be put in where none may be lost.
    pub(super) fn is_full(&self) -> bool {
        self.over > 0 || self.new.len() >= MAX_NEW || self.held >= MOST || self.held_of_new >= MOST_OF_NEW
    }

    /// Takes the peer that has waited longest.
    pub(super) fn take_new(&mut self) -> Option<(PeerId, K)> {
        let id = self.new.pop_front()?;
        let peer = &mut self.peers[id];
        let was_over = peer.is_over();
        peer.taken = true;
        self.held_of_new -= peer.held;
        self.held += peer.held;
        self.over -= usize::from(was_over) - usize::from(peer.is_over());
        Some((PeerId(id), peer.key.clone()))
    }

    /// Whether there are peers that nobody has taken.
    pub(super) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// What waits for a connection; without that, the waker is kept.
    pub(super) fn receive(&mut self, id: PeerId, waker: &Waker) -> Option<Arrived> {
        let peer = &mut self.peers[id.0];
        match peer.waiting.pop_front() {
            Some(arrived) => {
                let (cost, was_over) = (cost(&arrived), peer.is_over());
                peer.held -= cost;
                self.held -= cost;
                self.over -= usize::from(was_over) - usize::from(peer.is_over());
                Some(arrived)
            }
            None => {
                match &mut peer.waker {
                    Some(known) => known.clone_from(waker),
                    none => *none = Some(waker.clone()),
                }
                None
            }
        }
    }

    /// Forgets a connection: its key is free for a new one.
    pub(super) fn remove(&mut self, id: PeerId) {
        let peer = self.peers.remove(id.0);
        self.ids.remove(&peer.key);
        self.held -= peer.held;
        self.over -= usize::from(peer.is_over());
    }

    /// Takes in nobody any more. Connections stay.
    pub(super) fn stop(&mut self) {
        self.listening = false;
        for id in self.new.drain(..) {
            let peer = self.peers.remove(id);
            self.ids.remove(&peer.key);
            self.over -= usize::from(peer.is_over());
        }
        self.held_of_new = 0;
    }
}

fn cost(arrived: &Arrived) -> usize {
    match arrived {
        Arrived::Message(data, _) => data.len() + OVERHEAD,
        Arrived::SoftError(_) | Arrived::End => OVERHEAD,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::MessageContext;

    /// An address and a port, as one has them.
    type Key = (Option<u8>, u16);

    fn key(port: u16) -> Key {
        (None, port)
    }

    fn datagram(len: usize) -> Arrived {
        Arrived::Message(vec![0; len].into(), MessageContext::default())
    }

    fn received(table: &mut Table<Key>, id: PeerId) -> Option<Bytes> {
        match table.receive(id, Waker::noop())? {
            Arrived::Message(data, _) => Some(data),
            other => panic!("{other:?}"),
        }
    }

    /// A table in which `port` has a connection with nothing waiting.
    fn taken(table: &mut Table<Key>, port: u16) -> PeerId {
        assert!(matches!(table.deliver(key(port), datagram(0)), Fate::IsFirst));
        let (id, of) = table.take_new().unwrap();
        assert_eq!(of, key(port));
        assert_eq!(received(table, id).unwrap().len(), 0);
        id
    }

    #[test]
    fn a_peer_is_one_connection_until_that_is_removed() {
        let mut table = Table::new(Overflow::Drop);
        assert!(matches!(table.deliver(key(1), datagram(1)), Fate::IsFirst));
        assert!(matches!(table.deliver(key(1), datagram(2)), Fate::Waits(None)));
        assert!(matches!(table.deliver(key(2), datagram(3)), Fate::IsFirst));
        let (first, _) = table.take_new().unwrap();
        let (second, _) = table.take_new().unwrap();
        assert!(table.take_new().is_none());
        assert_eq!(received(&mut table, first).unwrap().len(), 1);
        assert_eq!(received(&mut table, first).unwrap().len(), 2);
        assert_eq!(received(&mut table, second).unwrap().len(), 3);
        assert_eq!(received(&mut table, first), None);
        assert!(matches!(table.deliver(key(1), datagram(4)), Fate::Waits(Some(_))), "who waits is woken");
        table.remove(first);
        assert!(matches!(table.deliver(key(1), datagram(5)), Fate::IsFirst));
        let (again, _) = table.take_new().unwrap();
        assert_eq!(received(&mut table, again).unwrap().len(), 5);
        table.remove(again);
        table.remove(second);
        assert_eq!((table.held, table.held_of_new, table.ids.len(), table.peers.len()), (0, 0, 0, 0));
    }

    #[test]
    fn the_same_peer_at_another_address_is_another_connection() {
        let mut table = Table::new(Overflow::Drop);
        let to = |last| (Some(last), 1);
        assert!(matches!(table.deliver(to(1), datagram(1)), Fate::IsFirst));
        assert!(matches!(table.deliver(to(2), datagram(1)), Fate::IsFirst));
        assert!(matches!(table.deliver(to(1), datagram(1)), Fate::Waits(_)));
    }

    #[test]
    fn a_flood_of_sources_is_cut_off_and_costs_connections_nothing() {
        let mut table = Table::new(Overflow::Drop);
        let connection = taken(&mut table, 1);
        let fates = (2..=40_000).map(|port| table.deliver(key(port), datagram(0)));
        assert_eq!(fates.filter(|fate| matches!(fate, Fate::IsFirst)).count(), MAX_NEW);
        assert_eq!(table.dropped, 39_999 - MAX_NEW as u64);
        assert!(matches!(table.deliver(key(1), datagram(9)), Fate::Waits(_)));
        assert_eq!(received(&mut table, connection).unwrap().len(), 9);
        // Each that is taken makes room for one.
        table.take_new().unwrap();
        assert!(matches!(table.deliver(key(40_001), datagram(0)), Fate::IsFirst));
        assert!(matches!(table.deliver(key(40_002), datagram(0)), Fate::Dropped));
    }

    #[test]
    fn large_datagrams_of_strangers_hold_little_together() {
        let mut table = Table::new(Overflow::Drop);
        for port in 1..=1000 {
            table.deliver(key(port), datagram(60_000));
            table.deliver(key(port), datagram(60_000));
            table.deliver(key(port), datagram(60_000));
        }
        assert!(table.held_of_new <= MOST_OF_NEW && table.held_of_new > MOST_OF_NEW / 2, "{}", table.held_of_new);
        let peer = &table.peers[0];
        assert_eq!((peer.waiting.len(), peer.held <= MOST_OF_A_NEW_ONE), (2, true));
        table.stop();
        assert_eq!((table.held_of_new, table.peers.len(), table.ids.len()), (0, 0, 0));
    }

    #[test]
    fn a_connection_that_is_not_read_loses_what_is_newest() {
        let mut table = Table::new(Overflow::Drop);
        let id = taken(&mut table, 1);
        for len in 0..3000 {
            table.deliver(key(1), datagram(len));
        }
        assert!(table.peers[id.0].held <= MOST_OF_ONE);
        assert!(table.dropped > 0);
        let lengths: Vec<_> = std::iter::from_fn(|| received(&mut table, id)).map(|data| data.len()).collect();
        assert!(lengths.starts_with(&[0, 1, 2, 3]), "what came first is there");
        assert_eq!(lengths.len() as u64 + table.dropped, 3000);
        assert_eq!(table.held, 0);
    }

    #[test]
    fn connections_that_are_not_read_leave_room_for_one_that_is() {
        let mut table = Table::new(Overflow::Drop);
        let reader = taken(&mut table, 1);
        for port in 2..200 {
            taken(&mut table, port);
            for _ in 0..10 {
                table.deliver(key(port), datagram(60_000));
            }
        }
        assert!(table.held <= MOST + 198 * 60_256, "{}", table.held);
        assert!(table.held > MOST - 60_256, "all of the room is taken");
        assert!(matches!(table.deliver(key(1), datagram(60_000)), Fate::Waits(_)));
        assert!(matches!(table.deliver(key(1), datagram(60_000)), Fate::Dropped));
        assert!(received(&mut table, reader).is_some());
        assert!(matches!(table.deliver(key(1), datagram(60_000)), Fate::Waits(_)));
    }

    #[test]
    fn who_stopped_hears_connections_and_no_strangers() {
        let mut table = Table::new(Overflow::Drop);
        let id = taken(&mut table, 1);
        table.deliver(key(2), datagram(1));
        table.stop();
        assert!(table.take_new().is_none());
        assert!(matches!(table.deliver(key(3), datagram(1)), Fate::Dropped));
        assert!(matches!(table.deliver(key(1), datagram(7)), Fate::Waits(_)));
        assert_eq!(received(&mut table, id).unwrap().len(), 7);
    }

    #[test]
    fn an_error_makes_no_connection() {
        let mut table = Table::new(Overflow::Drop);
        let error = SoftError { kind: std::io::ErrorKind::ConnectionRefused, icmp: Some((3, 3)) };
        let id = taken(&mut table, 1);
        assert!(table.receive(id, Waker::noop()).is_none());
        assert!(table.deliver_error(key(2), error).is_none());
        assert!(!table.has_new());
        assert!(table.deliver_error(key(1), error).is_some(), "who waits is woken");
        assert!(matches!(table.receive(id, Waker::noop()), Some(Arrived::SoftError(_))));
    }

    #[test]
    fn where_nothing_may_be_lost_the_table_is_full_until_somebody_is_read_taken_or_gone() {
        let mut table = Table::new(Overflow::Wait);
        let (id, other) = (taken(&mut table, 1), taken(&mut table, 2));
        assert!(!table.is_full());
        table.deliver(key(1), datagram(MOST_OF_ONE));
        assert!(table.is_full());
        assert!(matches!(table.deliver(key(1), datagram(1)), Fate::Waits(_)), "what was read already is not lost");
        assert_eq!(received(&mut table, id).unwrap().len(), MOST_OF_ONE);
        assert!(!table.is_full());
        table.deliver(key(1), datagram(MOST_OF_ONE));
        table.remove(id);
        assert!(!table.is_full());
        // A stranger has less room than a connection.
        table.deliver(key(3), datagram(MOST_OF_A_NEW_ONE));
        assert!(table.is_full());
        let (stranger, _) = table.take_new().unwrap();
        assert!(!table.is_full());
        table.deliver(key(4), datagram(MOST_OF_A_NEW_ONE));
        table.deliver(key(5), datagram(MOST_OF_A_NEW_ONE));
        assert!(table.is_full());
        table.stop();
        assert!(!table.is_full());
        assert_eq!(received(&mut table, stranger).unwrap().len(), MOST_OF_A_NEW_ONE);
        table.remove(stranger);
        table.remove(other);
        assert_eq!((table.held, table.held_of_new, table.over, table.dropped), (0, 0, 0, 0));
    }

    #[test]
    fn strangers_fill_the_table_by_their_number_too() {
        let mut table = Table::new(Overflow::Wait);
        for port in 0..MAX_NEW as u16 {
            assert!(!table.is_full());
            assert!(matches!(table.deliver(key(port), datagram(0)), Fate::IsFirst));
        }
        assert!(table.is_full());
        table.take_new().unwrap();
        assert!(!table.is_full());
    }
}
