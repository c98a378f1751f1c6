//! Messages that are coming: which octets of them are there, and where those are (RFC 4975 5.1, 7.3).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::keys::IncomingKey;
use crate::{ByteRange, FailureReport, Flag, Head, MessageId, RangeSet};

/// How many names of messages that are over are remembered.
const REMEMBERED: usize = 1024;

/// The messages of one session that are coming.
#[derive(Debug)]
pub(super) struct Assemblies {
    open: HashMap<MessageId, Assembly>,
    /// Names of messages that are whole: what comes of them again is a copy.
    whole: Names,
    /// Names of messages that were given up, at either end: no more is taken of them.
    stopped: Names,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) open: usize,
    pub(super) size: u64,
    pub(super) timeout: Duration,
    /// Whether content is handed on part by part instead of being kept.
    pub(super) parts: bool,
}

/// A message that is coming.
#[derive(Debug)]
pub(super) struct Assembly {
    /// Its first chunk's.
    pub(super) head: Head,
    pub(super) failure: FailureReport,
    pub(super) key: IncomingKey,
    pub(super) duplicate: bool,
    there: RangeSet,
    size: Option<u64>,
    /// Whether the chunk that ends it has come.
    ended: bool,
    /// Where the next octet of the open chunk belongs.
    at: u64,
    store: Store,
    until: Option<Instant>,
}

/// What of a message is kept.
#[derive(Debug, Default)]
struct Store {
    /// The first and only part, as it came.
    only: Option<Bytes>,
    /// What is there from the first octet on without a gap.
    front: BytesMut,
    /// What lies behind the first gap, by its place.
    islands: BTreeMap<u64, BytesMut>,
    /// Octets in all of these.
    octets: u64,
}

/// Why a chunk is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It contradicts what was said before.
    Contradiction,
    /// It is not wanted, or too much.
    TooMuch,
}

/// What has come of the end of a chunk.
#[derive(Debug)]
pub(super) enum Ended {
    /// More is to come.
    Open,
    /// The message is whole.
    Whole { assembly: Box<Assembly>, content: Bytes, size: u64 },
    /// Its sender has given it up.
    Aborted(Box<Assembly>),
}

impl Assemblies {
    pub(super) fn new(limits: Limits) -> Self {
        Self { open: HashMap::new(), whole: Names::default(), stopped: Names::default(), limits }
    }

    /// A chunk begins. `Some` for the first of its message: what it goes by from now on.
    pub(super) fn begin(
        &mut self,
        id: &MessageId,
        range: ByteRange,
        head: &Head,
        failure: FailureReport,
        key: impl FnOnce() -> IncomingKey,
        now: Instant,
    ) -> Result<Option<&Assembly>, Refusal> {
        if self.stopped.has(id) {
            return Err(Refusal::TooMuch);
        }
        if range.total().is_some_and(|total| total > self.limits.size) || range.start() - 1 > self.limits.size {
            return Err(Refusal::TooMuch);
        }
        let until = now.checked_add(self.limits.timeout);
        if let Some(assembly) = self.open.get_mut(id) {
            if assembly.size.zip(range.total()).is_some_and(|(size, total)| size != total) {
                return Err(Refusal::Contradiction);
            }
            let size = assembly.size.or_else(|| range.total());
            if size.is_some_and(|size| assembly.there.end() > size || range.start() - 1 > size) {
                return Err(Refusal::Contradiction);
            }
            (assembly.size, assembly.at, assembly.until) = (size, range.start() - 1, until);
            return Ok(None);
        }
        if self.open.len() >= self.limits.open {
            return Err(Refusal::TooMuch);
        }
        let assembly = Assembly {
            head: head.clone(),
            failure,
            key: key(),
            duplicate: self.whole.has(id),
            there: RangeSet::new(),
            size: range.total(),
            ended: false,
            at: range.start() - 1,
            store: Store::default(),
            until,
        };
        Ok(Some(self.open.entry(id.clone()).or_insert(assembly)))
    }

    /// Takes content of the open chunk of a message: where it belongs, and what it goes by. `room` is what all messages of
    /// the connection together may still take.
    pub(super) fn content(
        &mut self,
        id: &MessageId,
        content: &Bytes,
        room: &mut u64,
        now: Instant,
    ) -> Result<(IncomingKey, u64), Refusal> {
        let assembly = self.open.get_mut(id).expect("its chunk is open");
        let at = assembly.at;
        // Numbers of octets have 19 digits at most, and content fits into memory.
        let end = at + content.len() as u64;
        if end > self.limits.size {
            return Err(Refusal::TooMuch);
        }
        if assembly.size.is_some_and(|size| end > size) {
            return Err(Refusal::Contradiction);
        }
        assembly.there.insert(at..end).map_err(|_| Refusal::TooMuch)?;
        if !self.limits.parts {
            assembly.store.put(at, content, room)?;
        }
        assembly.at = end;
        assembly.until = now.checked_add(self.limits.timeout);
        Ok((assembly.key, at))
    }

    /// The open chunk of a message has ended.
    pub(super) fn end(&mut self, id: &MessageId, flag: Flag, room: &mut u64) -> Result<Ended, Refusal> {
        let assembly = self.open.get_mut(id).expect("its chunk is open");
        match flag {
            Flag::Continues => {}
            Flag::Aborted => {
                let assembly = self.stop(id, room).expect("just looked up");
                return Ok(Ended::Aborted(Box::new(assembly)));
            }
            Flag::Complete => {
                // The last octet of the last chunk is the last of the message.
                if assembly.size.is_some_and(|size| size != assembly.at) || assembly.there.end() > assembly.at {
                    return Err(Refusal::Contradiction);
                }
                (assembly.size, assembly.ended) = (Some(assembly.at), true);
            }
        }
        let Some(size) = assembly.size.filter(|size| assembly.ended && assembly.there.covers(*size)) else {
            return Ok(Ended::Open);
        };
        let mut assembly = self.open.remove(id).expect("just looked up");
        *room += assembly.store.octets;
        self.whole.add(id);
        let content = std::mem::take(&mut assembly.store).into_content();
        Ok(Ended::Whole { assembly: Box::new(assembly), content, size })
    }

    /// Takes nothing more of a message.
    pub(super) fn stop(&mut self, id: &MessageId, room: &mut u64) -> Option<Assembly> {
        self.stopped.add(id);
        let assembly = self.open.remove(id)?;
        *room += assembly.store.octets;
        Some(assembly)
    }

    /// The name of the message that goes by this key.
    pub(super) fn named(&self, key: IncomingKey) -> Option<MessageId> {
        self.open.iter().find(|(_, assembly)| assembly.key == key).map(|(id, _)| id.clone())
    }

    /// Takes out all that are open.
    pub(super) fn clear(&mut self, room: &mut u64) -> Vec<IncomingKey> {
        let open = self.open.drain();
        open.map(|(_, assembly)| {
            *room += assembly.store.octets;
            assembly.key
        })
        .collect()
    }

    /// When the first one has waited too long.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.open.values().filter_map(|assembly| assembly.until).min()
    }

    /// Names of those that have waited too long.
    pub(super) fn overdue(&self, now: Instant) -> Vec<MessageId> {
        let late = self.open.iter().filter(|(_, assembly)| assembly.until.is_some_and(|until| until <= now));
        late.map(|(id, _)| id.clone()).collect()
    }
}

impl Assembly {
    /// The size of the message, where it was said.
    pub(super) fn said_size(&self) -> Option<u64> {
        self.size
    }
}

impl Store {
    fn put(&mut self, at: u64, content: &Bytes, room: &mut u64) -> Result<(), Refusal> {
        let needed = content.len() as u64;
        // What it replaces is counted twice for a moment.
        *room = room.checked_sub(needed).ok_or(Refusal::TooMuch)?;
        self.octets += needed;
        if at == 0 && self.only.is_none() && self.front.is_empty() && self.islands.is_empty() {
            self.only = Some(content.clone());
            return Ok(());
        }
        if let Some(only) = self.only.take() {
            self.front.extend_from_slice(&only);
        }
        let replaced = if at <= self.front.len() as u64 {
            self.put_in_front(at as usize, content)
        } else {
            self.put_on_an_island(at, content)
        };
        self.octets -= replaced;
        *room += replaced;
        Ok(())
    }

    /// How many octets of what was there it has replaced: what comes last counts.
    fn put_in_front(&mut self, at: usize, content: &[u8]) -> u64 {
        let over = content.len().min(self.front.len() - at);
        self.front[at..at + over].copy_from_slice(&content[..over]);
        self.front.extend_from_slice(&content[over..]);
        let mut replaced = over as u64;
        // Islands that it reaches, but for what it covers.
        while let Some(first) = self.islands.first_entry() {
            let end = self.front.len() as u64;
            let Some(covered) = end.checked_sub(*first.key()) else { break };
            let island = first.remove();
            let covered = island.len().min(covered as usize);
            replaced += covered as u64;
            self.front.extend_from_slice(&island[covered..]);
        }
        replaced
    }

    fn put_on_an_island(&mut self, at: u64, content: &[u8]) -> u64 {
        let end = at + content.len() as u64;
        let mut replaced = 0;
        // The island that begins before or here, and reaches it.
        let before = self.islands.range_mut(..=at).next_back();
        let start = match before {
            Some((start, island)) if start + island.len() as u64 >= at => {
                let from = (at - start) as usize;
                let over = content.len().min(island.len() - from);
                island[from..from + over].copy_from_slice(&content[..over]);
                island.extend_from_slice(&content[over..]);
                replaced += over as u64;
                *start
            }
            _ => {
                self.islands.insert(at, BytesMut::from(content));
                at
            }
        };
        // Islands behind that it reaches.
        while let Some((next, _)) = self.islands.range(start + 1..=end).next() {
            let next = *next;
            let behind = self.islands.remove(&next).expect("just looked up");
            let island = self.islands.get_mut(&start).expect("just put there");
            let covered = behind.len().min((start + island.len() as u64 - next) as usize);
            replaced += covered as u64;
            island.extend_from_slice(&behind[covered..]);
        }
        replaced
    }

    fn into_content(self) -> Bytes {
        self.only.unwrap_or_else(|| self.front.freeze())
    }
}

/// The last names, so many at most.
#[derive(Debug, Default)]
struct Names {
    set: HashSet<MessageId>,
    order: VecDeque<MessageId>,
}

impl Names {
    fn has(&self, id: &MessageId) -> bool {
        self.set.contains(id)
    }

    fn add(&mut self, id: &MessageId) {
        if self.set.insert(id.clone()) {
            self.order.push_back(id.clone());
            if self.order.len() > REMEMBERED {
                let oldest = self.order.pop_front().expect("there are more than none");
                self.set.remove(&oldest);
            }
        }
    }
}
