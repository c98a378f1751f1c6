//! Who the datagrams of one socket belong to. Nothing here touches the socket, and every call is short.
//!
//! What waits is bounded: a datagram beyond a bound is dropped, the newest first as the system does it, and counted.
//! A peer that nobody has taken yet gets little, all of those together too, and what they hold is not at the expense of
//! connections. A connection that is read has room for one datagram at least, whatever the others hold.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;

use slab::Slab;

use crate::connection::SoftError;
use crate::transport::Arrived;

/// How many peers may wait to be taken. Who comes then is not heard.
pub(super) const MAX_NEW: usize = 1024;

/// How much may wait for one connection, and for one peer that nobody has taken, in bytes with [`OVERHEAD`].
pub(super) const MOST_OF_ONE: usize = 256 * 1024;
const MOST_OF_A_NEW_ONE: usize = 128 * 1024;

/// How much may wait for all connections, and for all peers that nobody has taken.
pub(super) const MOST: usize = 16 * 1024 * 1024;
pub(super) const MOST_OF_NEW: usize = 1024 * 1024;

/// For how many addresses of this end errors are told.
const MAX_LOCALS: usize = 16;

/// What a datagram takes beside its payload.
pub(super) const OVERHEAD: usize = 256;

/// What tells connections apart: the four-tuple, of which the port of this end is always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) peer: SocketAddr,
    /// The address that the peer sends to, where the socket stands for several.
    pub(super) local: Option<IpAddr>,
}

/// The number of a peer in the table; given away again when it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PeerId(usize);

/// What has become of a datagram.
#[derive(Debug)]
pub(super) enum Fate {
    /// It waits; who is to be woken.
    Waits(Option<Waker>),
    /// It waits, and is the first of its peer.
    IsFirst,
    Dropped,
}

#[derive(Debug)]
pub(super) struct Table {
    peers: Slab<Peer>,
    ids: HashMap<Key, usize>,
    /// The addresses of this end that peers have sent to.
    locals: Vec<Option<IpAddr>>,
    /// Those that nobody has taken, the oldest first.
    new: VecDeque<usize>,
    listening: bool,
    /// What waits for connections, and for peers that nobody has taken.
    held: usize,
    held_of_new: usize,
    /// How many datagrams and errors there was no room for.
    dropped: u64,
}

#[derive(Debug)]
struct Peer {
    key: Key,
    taken: bool,
    waiting: VecDeque<Arrived>,
    held: usize,
    waker: Option<Waker>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            peers: Slab::new(),
            ids: HashMap::new(),
            locals: Vec::new(),
            new: VecDeque::new(),
            listening: true,
            held: 0,
            held_of_new: 0,
            dropped: 0,
        }
    }

    /// Puts what has arrived where it belongs. Only a message makes a peer of somebody unknown.
    pub(super) fn deliver(&mut self, key: Key, arrived: Arrived) -> Fate {
        let cost = cost(&arrived);
        let known = self.ids.get(&key).copied();
        let room = match known.map(|id| &self.peers[id]) {
            Some(peer) if peer.taken => {
                peer.waiting.is_empty() || (peer.held + cost <= MOST_OF_ONE && self.held + cost <= MOST)
            }
            Some(peer) => peer.held + cost <= MOST_OF_A_NEW_ONE && self.held_of_new + cost <= MOST_OF_NEW,
            None => {
                let welcome = self.listening && matches!(arrived, Arrived::Message(..)) && self.new.len() < MAX_NEW;
                welcome && self.held_of_new + cost <= MOST_OF_NEW
            }
        };
        if !room {
            self.dropped += 1;
            return Fate::Dropped;
        }
        let id = known.unwrap_or_else(|| self.insert(key));
        let peer = &mut self.peers[id];
        peer.waiting.push_back(arrived);
        peer.held += cost;
        *(if peer.taken { &mut self.held } else { &mut self.held_of_new }) += cost;
        if known.is_none() { Fate::IsFirst } else { Fate::Waits(peer.waker.take()) }
    }

    fn insert(&mut self, key: Key) -> usize {
        if self.locals.len() < MAX_LOCALS && !self.locals.contains(&key.local) {
            self.locals.push(key.local);
        }
        let peer = Peer { key, taken: false, waiting: VecDeque::new(), held: 0, waker: None };
        let id = self.peers.insert(peer);
        self.ids.insert(key, id);
        self.new.push_back(id);
        id
    }

    /// Tells every connection with a peer of an error about a message; returns who is to be woken.
    ///
    /// The system does not say from which address the message left.
    pub(super) fn deliver_error(&mut self, peer: SocketAddr, error: SoftError) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for index in 0..self.locals.len() {
            let key = Key { peer, local: self.locals[index] };
            if self.ids.contains_key(&key)
                && let Fate::Waits(Some(waker)) = self.deliver(key, Arrived::SoftError(error))
            {
                wakers.push(waker);
            }
        }
        wakers
    }

    /// Takes the peer that has waited longest.
    pub(super) fn take_new(&mut self) -> Option<(PeerId, Key)> {
        let id = self.new.pop_front()?;
        let peer = &mut self.peers[id];
        peer.taken = true;
        self.held_of_new -= peer.held;
        self.held += peer.held;
        Some((PeerId(id), peer.key))
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
                let cost = cost(&arrived);
                peer.held -= cost;
                self.held -= cost;
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

    /// Forgets a connection: its four-tuple is free for a new one.
    pub(super) fn remove(&mut self, id: PeerId) {
        let peer = self.peers.remove(id.0);
        self.ids.remove(&peer.key);
        self.held -= peer.held;
    }

    /// Takes in nobody any more. Connections stay.
    pub(super) fn stop(&mut self) {
        self.listening = false;
        for id in self.new.drain(..) {
            let peer = self.peers.remove(id);
            self.ids.remove(&peer.key);
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

    fn key(port: u16) -> Key {
        Key { peer: SocketAddr::from(([192, 0, 2, 1], port)), local: None }
    }

    fn datagram(len: usize) -> Arrived {
        Arrived::Message(vec![0; len].into(), MessageContext::default())
    }

    fn received(table: &mut Table, id: PeerId) -> Option<Bytes> {
        match table.receive(id, Waker::noop())? {
            Arrived::Message(data, _) => Some(data),
            other => panic!("{other:?}"),
        }
    }

    /// A table in which `port` has a connection with nothing waiting.
    fn taken(table: &mut Table, port: u16) -> PeerId {
        assert!(matches!(table.deliver(key(port), datagram(0)), Fate::IsFirst));
        let (id, of) = table.take_new().unwrap();
        assert_eq!(of, key(port));
        assert_eq!(received(table, id).unwrap().len(), 0);
        id
    }

    #[test]
    fn a_peer_is_one_connection_until_that_is_removed() {
        let mut table = Table::new();
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
        let mut table = Table::new();
        let to = |last| Key { local: Some([127, 0, 0, last].into()), ..key(1) };
        assert!(matches!(table.deliver(to(1), datagram(1)), Fate::IsFirst));
        assert!(matches!(table.deliver(to(2), datagram(1)), Fate::IsFirst));
        assert!(matches!(table.deliver(to(1), datagram(1)), Fate::Waits(_)));
    }

    #[test]
    fn a_flood_of_sources_is_cut_off_and_costs_connections_nothing() {
        let mut table = Table::new();
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
        let mut table = Table::new();
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
        let mut table = Table::new();
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
        let mut table = Table::new();
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
        let mut table = Table::new();
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
        let mut table = Table::new();
        let error = SoftError { kind: std::io::ErrorKind::ConnectionRefused, icmp: Some((3, 3)) };
        let id = taken(&mut table, 1);
        assert!(table.receive(id, Waker::noop()).is_none());
        assert_eq!(table.deliver_error(key(2).peer, error).len(), 0);
        assert!(!table.has_new());
        assert_eq!(table.deliver_error(key(1).peer, error).len(), 1, "who waits is woken");
        assert!(matches!(table.receive(id, Waker::noop()), Some(Arrived::SoftError(_))));
    }
}
